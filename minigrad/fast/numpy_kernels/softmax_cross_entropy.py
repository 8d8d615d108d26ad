"""Softmax cross-entropy of each row of a matrix in few NumPy calls: the steps of losses.py, to the last bit.

Not compiled: another exponential would round otherwise, and ten classes are too few to gain by it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@functools.lru_cache(maxsize=64)
def _starts(rows: int, classes: int) -> Array:
    """Where each row begins in the flat matrix."""
    return np.arange(rows) * classes


class softmax_cross_entropy:
    """The kernels of one primitive, for C-ordered arrays of one dtype: `forward`, `backward`."""

    @staticmethod
    def fits(labels: Any, *arrays: Array) -> bool:
        """Whether labels are integers in order, one for each row."""
        return bool(labels.__class__ is np.ndarray and labels.shape == arrays[0].shape[:1] and labels.dtype == np.intp)

    @staticmethod
    def forward(logits: Array, labels: Array, into: Any = None) -> tuple[Array, tuple[Array]] | None:
        """(loss, (log_p,)); None for a row without a finite number, or labels that are not among the classes."""
        # along the first axis, for along a short last one NumPy takes three times as long
        top = np.maximum.reduce(np.ascontiguousarray(logits.T), axis=0)
        rows, classes = logits.shape
        # read without a sign, a negative label is a very large one
        if not np.logical_and.reduce(np.isfinite(top)) or np.maximum.reduce(labels.view(np.uintp)) >= classes:
            return None
        top = top[:, None]
        loss, log_p = into if into is not None else (np.empty(rows, logits.dtype), np.empty_like(logits))
        np.subtract(logits, top, log_p)
        total = np.add.reduce(np.exp(log_p), axis=1, keepdims=True)
        np.log(total, total)
        np.subtract(log_p, total, log_p)
        np.negative(log_p.reshape(-1)[_starts(rows, classes) + labels], loss)
        return loss, (log_p,)

    @staticmethod
    def backward(g: Array, labels: Array, log_p: Array, into: Array | None = None) -> Array:
        """g * (softmax(logits) - one_hot(labels))."""
        d_logits = np.exp(log_p, into)
        d_logits.reshape(-1)[_starts(*log_p.shape) + labels] -= 1.0
        np.multiply(d_logits, g[:, None], d_logits)
        return d_logits
