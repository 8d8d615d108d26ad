"""x where a condition holds and 0 elsewhere, without a branch an element: the backward of relu and of every clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import kernel, pool

Array = np.ndarray[Any, Any]

SMALLEST = 1024  # elements below which np.where is as quick


def fits(condition: Any, x: Any, y: Any = 0.0) -> bool:
    """Whether `masked` takes these: C-ordered float32 or float64 and a mask of its shape, large enough, and 0.0."""
    return (
        x.__class__ is condition.__class__ is np.ndarray
        and x.size >= SMALLEST
        and x.dtype.char in "fd"
        and x.dtype.isnative
        and condition.dtype.char == "?"
        and condition.shape == x.shape
        and condition.flags.c_contiguous
        and x.flags.c_contiguous
        and y.__class__ is float
        and str(y) == "0.0"  # and not -0.0
        and kernel("masked") is not None
    )


def masked(condition: Array, x: Array, into: Any = None) -> Array:
    """np.where(condition, x, 0.0), bit for bit; `into`: an array like x, to be filled and returned."""
    out: Array = pool.empty(x.shape, x.dtype) if into is None else into
    kernel("masked")(condition, x, out)
    return out


def relu(x: Any) -> Any:
    """np.maximum(x, 0); a large result in memory that was used before, and begins with a line of the cache."""
    large = x.__class__ is np.ndarray and x.nbytes >= pool.MAPPED and x.flags.c_contiguous
    if large and x.dtype.char in "fd" and x.dtype.isnative:
        return np.maximum(x, 0, out=pool.empty(x.shape, x.dtype))
    return np.maximum(x, 0)


def relu_rule(g: Any, out: Any, x: Any) -> Any:
    """The rule of relu: g where the result is not 0."""
    return where(np.not_equal(out, 0), pool.unwrapped(g), 0.0)


def where(condition: Any, x: Any, y: Any) -> Any:
    """np.where; for 0.0 elsewhere, which is what every rule of a clip asks for, without a branch."""
    return masked(condition, x) if fits(condition, x, y) else np.where(condition, x, y)
