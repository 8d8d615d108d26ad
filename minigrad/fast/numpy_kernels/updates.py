"""Updates in place, in NumPy: Adam over a flat vector, and the running statistics of batch norm."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import pool
from .batch import constant

Array = np.ndarray[Any, Any]

BLOCK = 1 << 17  # bytes: a block of each of the four vectors and the scratch fit the second-level cache


def adam(
    value: Array, slope: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    """One step of value, m and v along `slope`, in place; `slope` stays as it is.

    m = beta1 * m + (1 - beta1) * g, v likewise with g^2, value -= lr * m' / (sqrt(v') + eps) with
    m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t). Kingma and Ba 2015.
    """
    dtype = value.dtype
    numbers = _numbers(*betas, dtype), np.array(folded(lr, betas, eps, step), dtype)
    size = BLOCK // dtype.itemsize
    if value.size <= size:
        _block(value, slope, m, v, np.empty(value.size, dtype), *numbers)
        return
    scratch = pool.empty((size,), dtype)
    for start in range(0, value.size, size):
        w, g, first, second = (vector[start : start + size] for vector in (value, slope, m, v))
        _block(w, g, first, second, scratch[: w.size], *numbers)


def _block(w: Array, g: Array, m: Array, v: Array, work: Array, shares: tuple[Array, ...], rate_and_eps: Array) -> None:
    keep1, rest1, keep2, rest2 = shares
    np.multiply(g, rest1, work)
    np.multiply(m, keep1, m)
    np.add(m, work, m)
    np.square(g, work)
    np.multiply(work, rest2, work)
    np.multiply(v, keep2, v)
    np.add(v, work, v)
    np.sqrt(v, work)
    np.add(work, rate_and_eps[1:], work)
    np.divide(m, work, work)
    np.multiply(work, rate_and_eps[:1], work)
    np.subtract(w, work, w)


def folded(lr: float, betas: tuple[float, float], eps: float, step: int) -> tuple[float, float]:
    """(rate, epsilon) such that a step is value -= rate * m / (sqrt(v) + epsilon): both corrections in two numbers."""
    beta1, beta2 = betas
    root = math.sqrt(1 - beta2**step)
    return lr * root / (1 - beta1**step), eps * root


@functools.lru_cache(maxsize=64)
def _numbers(beta1: float, beta2: float, dtype: Any) -> tuple[Array, ...]:
    """beta1, 1 - beta1, beta2, 1 - beta2 as arrays: NumPy takes as long to convert a Python number as to multiply."""
    return tuple([np.array([x], dtype) for x in (beta1, 1 - beta1, beta2, 1 - beta2)])


def running_statistics(
    running_mean: Array,
    running_var: Array,
    first: Array,
    offset: Array,
    var: Array,
    keep: float,
    take: float,
    scale: float,
) -> bool:
    """running = keep * running + take * (first + offset, scale * var), in place.

    False, and nothing is computed, if var is not finite.
    """
    if not math.isfinite(np.maximum.reduce(var)):  # no variance is negative, and NaN is the largest
        return False
    dtype = running_mean.dtype
    mean = first + offset
    mean *= constant(take, dtype)
    running_mean *= constant(keep, dtype)
    running_mean += mean
    running_var *= constant(keep, dtype)
    running_var += var * constant(take * scale, dtype)
    return True
