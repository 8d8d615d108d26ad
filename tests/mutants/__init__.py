"""Mistakes on purpose in the package's source, one at a time: do the tests of their room notice?

`python -m tests.mutation --kind optimizers` plants those of optimizers.py beside this file, and so on. Where a line
that a mistake names was rewritten, the run says "outdated": give the mistake its new text.
"""
