"""Sums of bare arrays over axes, in few calls and with the digits kept where NumPy loses them.

Knows NumPy and the pool alone. Small arrays cost calls: axes and counts are worked out once per shape,
and numbers that divide an array are arrays themselves, because NumPy takes as long to convert a Python number as to
divide by it. Large ones cost passes over memory: a sum of something takes it block by block.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .._support.arrays import finite, in_floats
from .._support.shapes import Axis, axes_of, count
from . import pool

Array: TypeAlias = Any

BLOCK = 64  # rows that float32 sums in its own precision
SCRATCH = 1 << 18  # bytes of a few blocks that stay in the second-level cache
_SINGLE, _DOUBLE, _ndarray = np.dtype(np.float32), np.dtype(float), np.ndarray
_add: Any = np.add.reduce  # NumPy's stubs do not know that `axis` may be a tuple


@functools.lru_cache(maxsize=512)
def number(n: float, dtype: Any) -> Array:
    """A number as an array of no axes; not to be written to."""
    return np.array(n, dtype)


@functools.lru_cache(maxsize=512)
def count_of(shape: tuple[int, ...], axis: Axis, dtype: Any) -> Array:
    """How many elements each result of a reduction over `axis` is made of, as an array of no axes."""
    return number(count(shape, axis), dtype)


def total(x: Array, axis: Axis, keepdims: bool = False, dtype: Any = None) -> Array:
    """Sum over `axis`, with the digits kept where NumPy loses them.

    NumPy adds the rows of a matrix one after the other, so float32 column sums are off by eps * rows. Adding blocks
    of rows, as ones @ x, and the blocks in float64, costs less and leaves the rounding of one block.
    """
    if x.__class__ is not _ndarray:
        x = np.asarray(x)
    kind = x.dtype
    if kind is _DOUBLE or (kind is _SINGLE and (x.ndim < 2 or len(x) < 2 * BLOCK)):  # as most are: nothing to keep
        return _add(x, axis, dtype, None, keepdims)
    if x.itemsize < 8 and x.dtype.kind == "f":
        if x.itemsize == 2:
            return np.asarray(_add(x, axis, np.float32, None, keepdims)).astype(x.dtype)
        if x.ndim > 1 and len(x) >= 2 * BLOCK and axes_of(axis, x.ndim) == (0,):
            found = _of_columns(x)
            return found[None] if keepdims else found
    return _add(x, axis, dtype, None, keepdims)


def _of_columns(x: Array) -> Array:
    if x.size == len(x):  # one column: NumPy sums in pairs along it, which keeps the digits by itself
        return np.asarray(_add(x.reshape(-1), 0)).reshape(x.shape[1:])
    whole = len(x) // BLOCK * BLOCK
    rows = np.ascontiguousarray(x).reshape(len(x), -1)
    found = _add(_sums_of_blocks(rows[:whole]), axis=0, dtype=float) + _few(rows[whole:])
    return np.asarray(found.astype(x.dtype).reshape(x.shape[1:]))


@functools.lru_cache(maxsize=2 * BLOCK)
def _ones(n: int) -> Array:
    return np.ones(n, np.float32)


def _sums_of_blocks(rows: Array, out: Any = None) -> Array:
    """The column sums of each BLOCK rows of a C-ordered float32 matrix."""
    blocks = rows.reshape(-1, BLOCK, rows.shape[1])
    found: Array = np.matmul(_ones(BLOCK)[None], blocks, None if out is None else out[:, None])
    return found[:, 0]


def _few(rows: Array, out: Any = None) -> Array:
    """Column sums of less than a block."""
    return np.dot(_ones(len(rows)), rows, out)


def _long(x: Array) -> bool:
    return bool(x.ndim > 1 and len(x) >= 2 * BLOCK and x.itemsize < 8 and x.dtype.kind == "f")


def total_into(x: Array, axis: Axis, out: Array) -> Callable[[], Any] | None:
    """A call that writes total(x, axis, keepdims=True) to `out`, of the dtype of x; None where there is no such way."""
    if not _long(x) or axes_of(axis, x.ndim) != (0,):
        return functools.partial(_add, x, axis, None, out, True)
    if x.size == len(x):
        return functools.partial(_add, x.reshape(-1), 0, None, out.reshape(()))
    if x.dtype.char != "f" or not (x.flags.c_contiguous and out.flags.c_contiguous):
        return None
    rows, place, whole = x.reshape(len(x), -1), out.reshape(-1), len(x) // BLOCK * BLOCK
    blocks = np.empty((whole // BLOCK, rows.shape[1]), x.dtype)
    rest, wide = np.empty(rows.shape[1], x.dtype), np.empty(rows.shape[1])

    def run() -> None:
        _sums_of_blocks(rows[:whole], blocks)
        _add(blocks, 0, float, wide)
        np.add(wide, _few(rows[whole:], rest), wide)
        place[...] = wide

    return run


def in_blocks(x: Array) -> bool:
    """Whether `total_of` takes the column sums of arrays like x: large float32 matrices."""
    return bool(x.nbytes >= SCRATCH and x.ndim == 2 and len(x) >= 2 * BLOCK and x.dtype.char == "f")


def total_of(fill: Callable[[slice, Array], None], x: Array) -> Array:
    """Column sums of a matrix like x that never exists as a whole, with the digits and the bits of `total`.

    `fill(rows, out)` writes rows of it; a few at a time, so that they are still in the cache when they are added.
    """
    n, d = x.shape
    whole = n // BLOCK * BLOCK
    step = max(SCRATCH // (BLOCK * d * x.itemsize), 1) * BLOCK
    scratch = pool.empty((min(step, whole), d), x.dtype)
    blocks = np.empty((whole // BLOCK, d), x.dtype)
    for start in range(0, whole, step):
        stop = min(start + step, whole)
        part = scratch[: stop - start]
        fill(slice(start, stop), part)
        _sums_of_blocks(part, blocks[start // BLOCK : stop // BLOCK])
    rest = scratch[: n - whole]
    fill(slice(whole, n), rest)
    return (_add(blocks, axis=0, dtype=float) + _few(rest)).astype(x.dtype)


def squares_about(x: Array, mean: Array) -> Array:
    """Column sums of (x - mean)**2."""

    def fill(rows: slice, out: Array) -> None:
        np.subtract(x[rows], mean, out)
        np.multiply(out, out, out)

    return total_of(fill, x)


def products(x: Array, y: Array) -> Array:
    """Column sums of x * y."""
    return total_of(lambda rows, out: np.multiply(x[rows], y[rows], out), x)


def mean_of(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over `axis`; where the sum would overflow, the parts are divided first."""
    if x.__class__ is _ndarray and ((kind := x.dtype) is _SINGLE or kind is _DOUBLE) and x.size:  # as most are
        found = total(x, axis, keepdims) / count_of(x.shape, axis, kind)
        if finite(found) if found.__class__ is _ndarray else math.isfinite(found):
            return found
    return _mean_of(x, axis, keepdims)


@in_floats
def _mean_of(x: Array, axis: Axis, keepdims: bool) -> Array:
    found = average(x, axis, keepdims)
    return found if finite(found) or not x.size else total(x / number(count(x.shape, axis), x.dtype), axis, keepdims)


def average(x: Any, axis: Axis, keepdims: bool = False, ddof: int = 0) -> Array:
    """Sum over `axis` divided by the count less `ddof`; NaN where that is not positive."""
    if x.__class__ is not np.ndarray:
        x = np.asarray(x)
    if not ddof and x.size and x.dtype.char in "fd":
        return total(x, axis, keepdims) / count_of(x.shape, axis, x.dtype)
    n = count(x.shape, axis) - ddof
    found = total(x, axis, keepdims, None if x.dtype.kind == "f" else float)
    return found / number(n, found.dtype) if n > 0 else np.full_like(found, np.nan)
