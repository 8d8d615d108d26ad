"""Mistakes on purpose in the package's source, one at a time: do the tests of their room notice?"""
