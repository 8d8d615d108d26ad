"""Adam over a flat vector, compiled: one loop."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..numpy_kernels.updates import folded
from .memory import compiled

Array = np.ndarray[Any, Any]


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _adam(
    value: Any, slope: Any, m: Any, v: Any, keep1: Any, rest1: Any, keep2: Any, rest2: Any, rate: Any, eps: Any
) -> None:  # pragma: no cover - compiled
    for k in range(value.size):
        g = slope[k]
        a = keep1 * m[k] + rest1 * g
        b = keep2 * v[k] + rest2 * (g * g)
        m[k], v[k] = a, b
        value[k] -= rate * (a / (np.sqrt(b) + eps))


def adam(
    value: Array, slope: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    """One step of value, m and v along `slope`, in place; `slope` stays as it is. See ../numpy_kernels/updates.py."""
    real = value.dtype.type  # in the dtype: a float64 constant would make the whole loop float64
    rate, eps = folded(lr, betas, eps, step)
    _adam(value, slope, m, v, *_numbers(*betas, real), real(rate), real(eps))


@functools.lru_cache(maxsize=64)
def _numbers(beta1: float, beta2: float, real: Any) -> tuple[Any, ...]:
    return real(beta1), real(1 - beta1), real(beta2), real(1 - beta2)
