"""What is no part of the field: files, extras, random sources, tables in notebooks."""
