"""Examples: each a program of its own, `python -m examples.NAME`, with a main(argv) that the tests call."""
