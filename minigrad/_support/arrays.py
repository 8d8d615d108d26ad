"""Which arrays a graph takes in, and copies of what others may write to. Knows NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np


def real(value: Any, who: str) -> np.ndarray[Any, Any]:
    """A result as an array: NumPy returns 0-d results as scalars. Nothing but real numbers is let in."""
    array = np.asarray(value)
    if array is value and array.dtype.hasobject:
        raise TypeError("an array of Python objects has no gradient; give numbers")
    if array.dtype.kind not in "fiub" or isinstance(value, (list, tuple)):
        raise TypeError(f"{who} returned {type(value).__name__}, expected an array of real numbers")
    return array


def constant(x: Any) -> Any:
    """An input without a graph as the graph keeps it: arrays are copied, so that writing to them changes nothing."""
    if x is None or isinstance(x, (int, float, np.generic)):
        return x
    return np.array(x)


def copied(x: Any) -> Any:
    """A parameter as the graph keeps it: arrays in it are copied."""
    return tuple(map(copied, x)) if type(x) is tuple else np.array(x) if isinstance(x, np.ndarray) else x
