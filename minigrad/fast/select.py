"""x where a condition holds and 0 elsewhere, without a branch an element: the backward of relu and of every clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import chosen

Array = np.ndarray[Any, Any]

SMALLEST = 1024  # elements below which np.where is as quick
_BITS = {"f": np.int32, "d": np.int64}


def fits(condition: Any, x: Any) -> bool:
    """Whether `masked` takes these: C-ordered float32 or float64 and a mask of its shape, large enough."""
    return (
        x.__class__ is np.ndarray
        and x.size >= SMALLEST
        and x.dtype.char in _BITS
        and x.dtype.isnative
        and condition.__class__ is np.ndarray
        and condition.dtype.char == "?"
        and condition.shape == x.shape
        and condition.flags.c_contiguous
        and x.flags.c_contiguous
        and chosen() != "reference"
    )


def masked(condition: Array, x: Array, into: Any = None) -> Array:
    """np.where(condition, x, 0.0), bit for bit: x and a mask of ones or zeros. (x * mask would make inf * 0 a NaN.)

    np.where takes a branch an element, which a processor guesses wrong half of the time where the mask is random.
    `into`: an array like x, to be filled and returned.
    """
    mask = np.negative(condition.view(np.int8))  # True, 1, becomes -1: every bit set, in any width
    if into is None:
        bits = mask.astype(_BITS[x.dtype.char])
    else:
        bits = into.view(_BITS[x.dtype.char])
        np.copyto(bits, mask)
    np.bitwise_and(bits, x.view(bits.dtype), bits)
    return bits.view(x.dtype) if into is None else into
