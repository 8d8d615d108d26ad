"""Adam over a flat vector, in NumPy: in blocks that stay in the cache, with one block of scratch."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from . import buffers

Array = np.ndarray[Any, Any]

BLOCK = 1 << 17  # bytes: a block of each of the four vectors and the scratch fit the second-level cache


def adam(
    value: Array, slope: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    """One step of value, m and v along `slope`, in place; `slope` stays as it is.

    m = beta1 * m + g and v = beta2 * v + g^2, sums in which what came k steps ago counts beta^k; then
    value -= lr * m' / (sqrt(v') + eps) with m' and v' the weighted means, each sum over the sum of its weights. Those
    are the moving averages of Kingma and Ba 2015, without their start, in two passes over memory less.
    """
    dtype, n = value.dtype, value.size
    keep1, keep2 = _numbers(*betas, dtype)
    rate, eps = folded(lr, betas, eps, step)
    numbers = keep1, keep2, dtype.type(rate), dtype.type(eps)
    size = BLOCK // dtype.itemsize
    scratch = buffers.empty((min(size, n),), dtype)
    if n <= size:
        _block(value, slope, m, v, scratch, *numbers)
        return
    for start in range(0, n, size):
        block = slice(start, start + size)
        w = value[block]
        _block(w, slope[block], m[block], v[block], scratch[: w.size], *numbers)


def folded(lr: float, betas: tuple[float, float], eps: float, step: int) -> tuple[float, float]:
    """(rate, epsilon) such that a step is value -= rate * m / (sqrt(v) + epsilon): both sums of weights folded in."""
    weights1, weights2 = [(1 - beta**step) / (1 - beta) for beta in betas]
    return lr * math.sqrt(weights2) / weights1, eps * math.sqrt(weights2)


@functools.lru_cache(maxsize=64)
def _numbers(beta1: float, beta2: float, dtype: Any) -> tuple[Array, Array]:
    """The betas as arrays: NumPy takes as long to convert a Python number as to multiply a few hundred by it."""
    return np.array([beta1], dtype), np.array([beta2], dtype)


def _block(w: Array, g: Array, m: Array, v: Array, work: Array, keep1: Any, keep2: Any, rate: Any, eps: Any) -> None:
    np.multiply(m, keep1, m)
    np.add(m, g, m)
    np.square(g, work)
    np.multiply(v, keep2, v)
    np.add(v, work, v)
    np.sqrt(v, work)
    np.add(work, eps, work)
    np.divide(m, work, work)
    np.multiply(work, rate, work)
    np.subtract(w, work, w)
