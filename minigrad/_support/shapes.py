"""Arithmetic of shapes and axes, worked out once for each. Knows Python, and which array owns its memory."""

from __future__ import annotations

import functools
import math
from typing import Any, TypeAlias

import numpy as np

Ints: TypeAlias = tuple[int, ...]  # a shape, or axes
Axis: TypeAlias = int | Ints | None


@functools.lru_cache(maxsize=512)
def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes named, as sorted non-negative numbers.

    >>> axes_of((-1, 0), 3), axes_of(None, 2)
    ((0, 2), (0, 1))
    """
    if axis is None:
        return tuple(range(ndim))
    named = axis if isinstance(axis, tuple) else (axis,)
    if not ndim and named in ((0,), (-1,)):  # of a single number, as NumPy has it
        return ()
    if any(not -ndim <= k < ndim for k in named) or len({k % ndim for k in named}) < len(named):
        raise ValueError(f"axis={axis!r} must name different axes of an array with {ndim} dimensions")
    return tuple(sorted(int(k) % ndim for k in named))


@functools.lru_cache(maxsize=512)
def count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements each result of a reduction over `axis` is made of."""
    return math.prod([shape[k] for k in axes_of(axis, len(shape))])


@functools.lru_cache(maxsize=512)
def with_ones(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape of a reduction over `axis` with keepdims=True."""
    axes = axes_of(axis, len(shape))
    return tuple([1 if k in axes else n for k, n in enumerate(shape)])


@functools.lru_cache(maxsize=1024)
def stretched(wide: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes of `wide` along which an array of `shape` was stretched; None if it cannot have been.

    >>> stretched((2, 3), (1, 3)), stretched((2, 3), (2,))
    ((0,), None)
    """
    lead = len(wide) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, wide[lead:], strict=True)):
        return None
    return (*range(lead), *(lead + k for k, n in enumerate(shape) if n == 1 and wide[lead + k] != 1))


def storage(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array that owns the memory of a view: what to count once."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
