"""Sigmoid cross-entropy of each element in few NumPy calls, with one exponential for the value and both slopes.

With e = exp(-|z|): sigmoid(z) = a / (1 + e) and sigmoid(-z) = b / (1 + e), where (a, b) is (1, e) for z > 0 and (e, 1)
elsewhere, so that a = max([z > 0], e) and b = max([z <= 0], e) without a branch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def fits(z: Any, t: Any) -> bool:
    """Whether the kernel takes these: C-ordered float32 or float64 of one shape and dtype, with an axis."""
    if z.__class__ is not np.ndarray or t.__class__ is not np.ndarray or z.shape != t.shape or not (z.ndim and z.size):
        return False
    dtype = z.dtype
    return bool(
        dtype.char in "fd" and dtype.isnative and t.dtype is dtype and z.flags.c_contiguous and t.flags.c_contiguous
    )


def decayed(z: Array) -> Array:
    """e = exp(-|z|)."""
    e = np.abs(z)
    np.negative(e, e)
    np.exp(e, e)
    return e


class sigmoid_cross_entropy:
    """The kernels of one primitive, for arrays that `fits` takes: `forward`; backward is one product."""

    fits = staticmethod(fits)

    @staticmethod
    def forward(z: Array, t: Array, loss: Array, slope: Array) -> None:
        """loss = z ([z > 0] - t) + log(1 + e), slope = ((1 - t) a - t b) / (1 + e)."""
        e = decayed(z)
        positive = np.greater(z, 0)
        np.subtract(positive, t, loss)
        np.multiply(loss, z, loss)
        part = np.log1p(e)
        np.add(loss, part, loss)
        np.subtract(1, t, slope)
        np.maximum(positive, e, out=part)
        np.multiply(slope, part, slope)
        np.logical_not(positive, positive)
        np.maximum(positive, e, out=part)
        np.multiply(part, t, part)
        np.subtract(slope, part, slope)
        np.add(e, 1, e)
        np.divide(slope, e, slope)
