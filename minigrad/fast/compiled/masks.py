"""x where a condition holds and 0 elsewhere, compiled: one loop in place of three passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .memory import compiled

Array = np.ndarray[Any, Any]


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _masked(condition: Any, x: Any, out: Any) -> None:  # pragma: no cover - compiled
    zero = x.dtype.type(0.0)
    for k in range(x.size):
        out[k] = x[k] if condition[k] else zero


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _in_place(condition: Any, x: Any) -> None:  # pragma: no cover - compiled
    zero = x.dtype.type(0.0)
    for k in range(x.size):
        x[k] = x[k] if condition[k] else zero


def masked(condition: Array, x: Array, out: Array) -> None:
    """out = np.where(condition, x, 0.0), all C-ordered and of one shape; out may be x."""
    if out is x:  # two arrays in one memory would be walked element by element
        _in_place(condition.reshape(-1), x.reshape(-1))
    else:
        _masked(condition.reshape(-1), x.reshape(-1), out.reshape(-1))
