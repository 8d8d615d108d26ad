"""Adam over a flat vector, in NumPy: in blocks that stay in the cache, without a new array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BLOCK = 1 << 15  # elements: the slope and both averages of a block fit the second-level cache


def adam(slope: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int) -> None:
    """Update m and v by `slope`, and put what is to be taken off the parameters in its place.

    m = beta1 * m + (1 - beta1) * g, v likewise with g^2; the step is lr * m' / (sqrt(v') + eps) with
    m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t). Kingma and Ba 2015.
    """
    beta1, beta2 = betas
    rate, root = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    scratch = np.empty(min(BLOCK, slope.size), slope.dtype)
    for start in range(0, slope.size, BLOCK):
        g, m_, v_ = slope[start : start + BLOCK], m[start : start + BLOCK], v[start : start + BLOCK]
        work = scratch[: g.size]
        np.multiply(g, 1 - beta1, work)
        m_ *= beta1
        m_ += work
        np.multiply(g, g, g)
        g *= 1 - beta2
        v_ *= beta2
        v_ += g
        np.sqrt(v_, g)
        g *= root
        g += eps
        np.divide(m_, g, g)
        g *= rate
