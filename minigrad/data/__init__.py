"""Data sets as plain arrays, tables as people have them, mini-batches as index arrays.

Knows NumPy, and scikit-learn where it is asked for.
"""

from __future__ import annotations

from .batches import shuffled, with_replacement
from .cifar import Cifar10, load_cifar10
from .samples import load_diabetes, load_digits, make_blobs, make_moons, make_spirals, train_test_split
from .tables import Table, array, table

__all__ = [
    "Cifar10",
    "Table",
    "array",
    "load_cifar10",
    "load_diabetes",
    "load_digits",
    "make_blobs",
    "make_moons",
    "make_spirals",
    "shuffled",
    "table",
    "train_test_split",
    "with_replacement",
]
