"""Sigmoid cross-entropy, compiled but for the exponential and the logarithm: NumPy's, so that the bits are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..numpy_kernels.losses import sigmoid_cross_entropy as in_numpy
from .memory import compiled

Array = np.ndarray[Any, Any]


def _decayed(z: Array) -> Array:
    """e = exp(-|z|)."""
    e = np.abs(z)
    np.negative(e, e)
    np.exp(e, e)
    return e


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _combined(z: Any, t: Any, e: Any, loss: Any, slope: Any) -> None:  # pragma: no cover - compiled
    one = z.dtype.type(1.0)
    zero = z.dtype.type(0.0)
    for k in range(z.size):
        x, p, small = z[k], t[k], e[k]
        positive = x > zero
        a, b = (one, small) if positive else (small, one)
        loss[k] += x * ((one if positive else zero) - p)
        slope[k] = ((one - p) * a - p * b) / (one + small)


class sigmoid_cross_entropy(in_numpy):
    """As in NumPy, but for the loop."""

    @staticmethod
    def forward(z: Array, t: Array, loss: Array, slope: Array) -> None:
        """loss = z ([z > 0] - t) + log(1 + e), slope = ((1 - t) a - t b) / (1 + e). See ../numpy_kernels/losses.py."""
        e = _decayed(z)
        np.log1p(e, loss)
        _combined(z.reshape(-1), t.reshape(-1), e.reshape(-1), loss.reshape(-1), slope.reshape(-1))
