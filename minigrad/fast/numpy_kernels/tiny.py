"""Batch norm of a few numbers, in float64 whatever they are: calls cost so much more that the digits are free.

In float32 each of a dozen steps rounds, and of few numbers none averages out. Here only results are rounded.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

FEW = 256  # elements of what is taken here


@functools.lru_cache(maxsize=64)
def _weights(n: int) -> tuple[Array, Array]:
    """Of a sum over n rows, and of their mean."""
    return np.ones(n), np.full(n, 1.0 / n)


def forward(x: Array, gamma: Any, beta: Any, eps: float, into: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    """(1) to (5) of normalization.py: y, x_hat and inv_std into `into`; returns mean and variance of x - first row."""
    y, x_hat, inv_std = into
    shares = _weights(len(x))[1]
    h = np.subtract(x, x[0], dtype=float)
    offset = np.dot(shares, h)  # (1)
    np.subtract(h, offset, h)
    var = np.dot(shares, np.square(h))  # (2)
    scale = np.add(var, eps)
    np.sqrt(scale, scale)
    np.reciprocal(scale, scale)  # (3)
    inv_std[0] = scale
    np.multiply(h, scale, h)  # (4)
    x_hat[...] = h
    if gamma is not None:
        np.multiply(h, gamma, h)
    np.add(h, 0.0 if beta is None else beta, y)  # (5)
    return offset.astype(x.dtype), var.astype(x.dtype)


def backward(g: Array, gamma: Any, x_hat: Array, inv_std: Array, dx: Array) -> tuple[Array, Array]:
    """(6) to (9'): dx into `dx`; returns d_gamma and d_beta."""
    ones, share = _weights(len(g))[0], 1.0 / len(g)
    wide = g.astype(float)
    over = np.dot(ones, wide)  # (6)
    part = np.multiply(wide, x_hat)
    along = np.dot(ones, part)  # (7)
    np.multiply(x_hat, along * share, part)
    np.add(part, over * share, part)
    np.subtract(wide, part, wide)
    np.multiply(wide, inv_std[0] if gamma is None else np.multiply(inv_std[0], gamma, dtype=float), dx)  # (8), (9')
    return along.astype(g.dtype), over.astype(g.dtype)
