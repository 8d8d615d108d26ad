"""Adam over a flat vector, compiled: one loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .memory import compiled

Array = np.ndarray[Any, Any]


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _adam(
    value: Any, slope: Any, m: Any, v: Any, beta1: Any, beta2: Any, rest1: Any, rest2: Any, rate: Any, eps: Any
) -> None:  # pragma: no cover - compiled
    for k in range(value.size):
        g = slope[k]
        a = beta1 * m[k] + rest1 * g
        b = beta2 * v[k] + rest2 * (g * g)
        m[k], v[k] = a, b
        value[k] -= rate * (a / (np.sqrt(b) + eps))


def adam(
    value: Array, slope: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    """One step of value, m and v along `slope`, in place; `slope` stays as it is. See ../adam.py."""
    beta1, beta2 = betas
    root = math.sqrt(1 - beta2**step)
    real = value.dtype.type  # in the dtype: a float64 constant would make the whole loop float64
    constants = (beta1, beta2, 1 - beta1, 1 - beta2, lr * root / (1 - beta1**step), eps * root)
    _adam(value, slope, m, v, *[real(c) for c in constants])
