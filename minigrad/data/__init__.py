"""Data sets as plain arrays, and mini-batches as index arrays. Knows NumPy; scikit-learn where it is asked for."""

from __future__ import annotations

from .batches import shuffled, with_replacement
from .cifar import WHERE, Cifar10, load_cifar10
from .samples import load_digits, make_blobs, train_test_split

__all__ = [
    "WHERE",
    "Cifar10",
    "load_cifar10",
    "load_digits",
    "make_blobs",
    "shuffled",
    "train_test_split",
    "with_replacement",
]
