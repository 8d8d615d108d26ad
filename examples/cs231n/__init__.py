"""Seed 002: the cs231n batch-normalization notebook in minigrad. Run it with `python examples/cs231n_batchnorm.py`."""
