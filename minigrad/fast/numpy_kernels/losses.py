"""Cross-entropies in few NumPy calls.

Softmax cross-entropy, of each row of a matrix: the steps of losses.py, to the last bit. Not compiled: another
exponential would round otherwise, and ten classes are too few to gain by it.

Sigmoid cross-entropy, of each element. With e = exp(-|z|): sigmoid(z) = a / (1 + e) and sigmoid(-z) = b / (1 + e),
where (a, b) is (1, e) for z > 0 and (e, 1) elsewhere. So a = exp(min(z, 0)), b = exp(-max(z, 0)), e = a b and
1 + e = a + b, exactly and without a branch; a comparison would give booleans, which NumPy takes longer to multiply by
than a second exponential takes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import pool
from .batch import constant

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


def fits(z: Any, t: Any) -> bool:
    """Whether the kernel takes these: C-ordered float32 or float64 of one shape and dtype, with an axis."""
    if z.__class__ is not np.ndarray or t.__class__ is not np.ndarray or z.shape != t.shape or not (z.ndim and z.size):
        return False
    dtype = z.dtype
    return bool(
        dtype.char in "fd" and dtype.isnative and t.dtype is dtype and z.flags.c_contiguous and t.flags.c_contiguous
    )


class sigmoid_cross_entropy:
    """The kernels of one primitive, for arrays that `fits` takes: `forward`; backward is one product."""

    fits = staticmethod(fits)

    @staticmethod
    def forward(z: Array, t: Array, loss: Array, slope: Array) -> None:
        """loss = max(z, 0) (1 - t) - min(z, 0) t + log(1 + e), slope = ((1 - t) a - t b) / (a + b)."""
        zero, one = constant(0.0, z.dtype), constant(1.0, z.dtype)
        high, a, rest = (pool.empty(z.shape, z.dtype) for _ in range(3))
        np.minimum(z, zero, out=loss)
        np.maximum(z, zero, out=high)
        np.exp(loss, a)
        np.negative(high, slope)
        np.exp(slope, slope)  # b
        np.subtract(one, t, rest)
        np.multiply(high, rest, high)
        np.multiply(loss, t, loss)
        np.subtract(high, loss, loss)
        np.multiply(a, slope, high)  # e
        np.log1p(high, high)
        np.add(loss, high, loss)
        np.multiply(rest, a, rest)
        np.add(a, slope, a)
        np.multiply(slope, t, slope)
        np.subtract(rest, slope, slope)
        np.divide(slope, a, slope)
