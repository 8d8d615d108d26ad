"""Adam over a flat vector, in NumPy: in blocks that stay in the cache, with one block of scratch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BLOCK = 1 << 14  # elements: a block of the four vectors and the scratch fits the second-level cache


def adam(
    value: Array, slope: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    """One step of value, m and v along `slope`, in place; `slope` stays as it is.

    m = beta1 * m + (1 - beta1) * g, v likewise with g^2, value -= lr * m' / (sqrt(v') + eps) with
    m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t). Kingma and Ba 2015. Both corrections stand in two numbers:
    with r = sqrt(1 - beta2^t) that step is (lr * r / (1 - beta1^t)) * m / (sqrt(v) + eps * r).
    """
    beta1, beta2 = betas
    root = math.sqrt(1 - beta2**step)
    rate, eps = lr * root / (1 - beta1**step), eps * root
    # as arrays of no axes: NumPy takes as long to convert a Python number as to multiply a few hundred by it
    keep1, rest1, keep2, rest2, rate_, eps_ = np.array(
        (beta1, 1 - beta1, beta2, 1 - beta2, rate, eps), value.dtype
    ).reshape(6, 1)
    scratch = np.empty(min(BLOCK, value.size), value.dtype)
    for start in range(0, value.size, BLOCK):
        block = slice(start, start + BLOCK)
        g, m_, v_, w = slope[block], m[block], v[block], value[block]
        work = scratch[: g.size]
        np.multiply(g, rest1, work)
        np.multiply(m_, keep1, m_)
        np.add(m_, work, m_)
        np.multiply(g, g, work)
        np.multiply(work, rest2, work)
        np.multiply(v_, keep2, v_)
        np.add(v_, work, v_)
        np.sqrt(v_, work)
        np.add(work, eps_, work)
        np.divide(m_, work, work)
        np.multiply(work, rate_, work)
        np.subtract(w, work, w)
