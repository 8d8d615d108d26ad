"""Which arrays a graph takes in, and copies of what others may write to. Knows NumPy."""

from __future__ import annotations

from collections.abc import Callable
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


def mapped(change: Callable[[Any], Any], x: Any) -> Any:
    """x with everything in its tuples, lists and dicts changed.

    >>> mapped(lambda v: v + 1, (1, {"eps": 2}))
    (2, {'eps': 3})
    """
    if isinstance(x, (tuple, list)):
        inside = [mapped(change, part) for part in x]
        return inside if isinstance(x, list) else type(x)(*inside) if hasattr(x, "_fields") else tuple(inside)
    return {key: mapped(change, part) for key, part in x.items()} if isinstance(x, dict) else change(x)


def parts(x: Any) -> list[Any]:
    """All that is in what `save` returned, in order: arrays, numbers, anything."""
    found: list[Any] = []
    mapped(found.append, () if x is None else x)
    return found


def buffers(x: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays in what `save` returned: what memory it keeps."""
    return [part for part in parts(x) if isinstance(part, np.ndarray)]
