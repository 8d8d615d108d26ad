"""Arithmetic on large arrays whose results lie in memory that was used before. Knows NumPy and the pool alone.

A fresh page costs more than filling it (fast/buffers.py). Kernels and rules are written with operators, which ask the
system for fresh memory; given a `Reusing` array they take it from the pool, and so do the temporaries between.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import pool as buffers

LARGE = 1 << 18  # bytes from which the detour through Python is worth its few microseconds

_SAME_DTYPE = {
    np.add, np.subtract, np.multiply, np.divide, np.negative, np.square, np.sqrt, np.exp, np.log, np.tanh, np.maximum,
    np.minimum, np.absolute, np.sign, np.sin, np.cos, np.expm1, np.log1p,
}  # fmt: skip


class Reusing(np.ndarray[Any, Any]):
    """A view of an array of floats; what NumPy's elementwise functions make of it is one, too."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [plain(x) for x in inputs]
        if method == "__call__" and not options and ufunc in _SAME_DTYPE:
            room = _room(self, arrays)
            if room is not None:
                return ufunc(*arrays, room).view(Reusing)
        if "out" in options:
            options["out"] = tuple([plain(x) for x in options["out"]])
        return getattr(ufunc, method)(*arrays, **options)


def plain(x: Any) -> Any:
    """The array itself, of which a Reusing is a view; anything else as it is."""
    return x.view(np.ndarray) if type(x) is Reusing else x


def reusing(x: Any) -> Any:
    """A large array of floats as a Reusing; anything else as it is."""
    large = type(x) is np.ndarray and x.nbytes >= LARGE and x.dtype.kind == "f"
    return x.view(Reusing) if large else x


def _room(self: Any, arrays: list[Any]) -> Any:
    """Memory for the result, where it has the shape and dtype of `self`; else None."""
    for x in arrays:
        if type(x) is np.ndarray:
            if x.dtype != self.dtype or (x.shape != self.shape and x.shape != self.shape[self.ndim - x.ndim :]):
                return None
        elif type(x) is not float:
            return None
    return buffers.empty(self.shape, self.dtype)
