"""Which arrays a graph takes in, and copies of what others may write to. Knows NumPy."""

from __future__ import annotations

from collections.abc import Mapping
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


def misfits(given: Mapping[str, Any], expected: Mapping[str, Any], *, cast: bool = False) -> list[str]:
    """What keeps arrays by name from being put in the place of those expected: names, shapes, dtypes.

    cast: other dtypes of real numbers are welcome, but for fractions where whole numbers stand.

    >>> misfits({"w": np.ones(3)}, {"w": np.ones(2), "b": np.ones(2)})
    ['b is missing', 'w is (3,) float64, expected (2,) float64']
    """
    wrong = [f"{name} is missing" for name in expected if name not in given]
    wrong += [f"{name} is not known" for name in given if name not in expected]
    for name in (name for name in expected if name in given):
        found, wanted = given[name], expected[name]
        kinds = "fiub" if wanted.dtype.kind == "f" else "iub"
        fits = found.dtype.kind in kinds if cast else found.dtype == wanted.dtype
        if found.shape != wanted.shape or not fits:
            wrong.append(f"{name} is {found.shape} {found.dtype}, expected {wanted.shape} {wanted.dtype}")
    return wrong
