"""Batch norm over the rows of a matrix, in NumPy. Steps and their numbers are those of normalization.py.

Small matrices cost calls: few of them, and sums as ones @ x. Large ones cost memory traffic: blocks of rows that stay
in the cache, and results in buffers that were used before. The statistics are taken in one reading of x: of each block
the sums and squares about a pivot near the mean, and the blocks are put together by Chan's formula (Chan, Golub and
LeVeque 1979). A block whose mean lies more than a standard deviation from the pivot, in any column, is read once more
about its own mean, so that no variance loses more than a bit. float32 sums a block in float32, in steps of few rows,
and the blocks in float64.

A row vector against a block costs NumPy half as much again as two blocks do, unless its inner loop is LONG. So a block
is viewed as few wide rows, each of k rows side by side, and the vector is repeated k times to match.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import pool as buffers
from . import tiny

Array = np.ndarray[Any, Any]

BLOCK = 1 << 19  # bytes of one block: it and its scratch stay in the second-level cache
WHOLE = 1 << 20  # bytes up to which a matrix is one block
LONG = 8192  # elements of an inner loop: as many as a ufunc's buffer
SMALL = 1 << 17  # bytes below which repeating a vector costs what it saves
SHORT = 64  # rows that float32 sums in its own precision
FEWEST = 32  # rows of a block: the mean of fewer would often lie far from the pivot


class Moments(NamedTuple):
    """Per column: the first row, the mean and the biased variance of x - first."""

    first: Array
    offset: Array
    var: Array


def fits(*arrays: Any) -> bool:
    """Whether the kernels take these: C-ordered float32 or float64 matrices with a row, one dtype, or None."""
    x = arrays[0]
    dtype = x.dtype
    if x.ndim != 2 or not x.size or dtype.char not in "fd" or not (dtype.isnative and x.flags.c_contiguous):
        return False
    for a in arrays[1:]:
        if a is not None and (a.__class__ is not np.ndarray or a.dtype is not dtype or not a.flags.c_contiguous):
            return False
    return True


@functools.lru_cache(maxsize=64)
def _ones(n: int, dtype: Any) -> Array:
    return np.ones(n, dtype)


@functools.lru_cache(maxsize=64)
def _even(n: int) -> int:
    """How many of n rows to sum beside one another: a divisor that leaves few, where there is one."""
    return next((k for k in range(-(-n // (2 * SHORT)), 2 * n // SHORT) if n % k == 0), n // SHORT)


def _sum(block: Array) -> Array:
    """Column sums. float32 is summed over SHORT rows or so, then over their sums: its precision holds for few terms."""
    n, d = block.shape
    if n <= 2 * SHORT or block.dtype.char == "d":
        total: Array = np.dot(_ones(n, block.dtype), block)
        return total
    side = _even(n)
    few = n // side
    total = _sum(np.dot(_ones(few, block.dtype), block[: few * side].reshape(few, side * d)).reshape(side, d))
    if few * side < n:
        total += np.dot(_ones(n - few * side, block.dtype), block[few * side :])
    return total


@functools.lru_cache(maxsize=64)
def _shares(n: int, dtype: Any) -> Array:
    return np.full(n, 1.0 / n, dtype)


def _mean(block: Array) -> Array:
    """Column means; of few rows with the division in the sum's weights, one call less."""
    n = len(block)
    return np.dot(_shares(n, block.dtype), block) if n <= 2 * SHORT else _sum(block) / n


@functools.lru_cache(maxsize=64)
def _side_by_side(n: int, d: int) -> int:
    """How many of n rows make a wide one, in a matrix that is one block: a divisor of n, 1 where none fits."""
    shortest = -(-LONG // d)
    return next((k for k in range(shortest, min(4 * shortest, n) + 1) if n % k == 0), 1)


@functools.lru_cache(maxsize=64)
def _blocks(n: int, d: int, itemsize: int) -> tuple[tuple[slice, int], ...]:
    """Blocks of rows, each with how many of them make a wide row; those that are left over make a block too."""
    side = min(-(-LONG // d), n)
    step = max(BLOCK // (side * d * itemsize), -(-FEWEST // side)) * side
    whole = n // side * side
    blocks = [(slice(start, min(start + step, whole)), side) for start in range(0, whole, step)]
    return (*blocks, *([(slice(whole, n), 1)] if whole < n else []))


def _repeated(*vectors: Array | None) -> Callable[[int], list[Any]]:
    """For a number k: each vector k times in a row."""
    made: dict[int, list[Any]] = {1: list(vectors)}

    def times(k: int) -> list[Any]:
        if k not in made:
            made[k] = [None if v is None else np.tile(v, k) for v in vectors]
        return made[k]

    return times


def _same(v: Array) -> Array:
    return v


def _spread(x: Array) -> tuple[int, Callable[[Array], Array]]:
    """For a matrix that is one block: how many rows make a wide one, and a function that repeats a vector to match.

    What it returns lives until it is called again.
    """
    n, d = x.shape
    k = _side_by_side(n, d) if x.nbytes > SMALL else 1
    if k == 1:
        return d, _same
    tile = np.empty((k, d), x.dtype)
    flat = tile.reshape(-1)

    def repeat(v: Array) -> Array:
        np.copyto(tile, v)
        return flat

    return k * d, repeat


class batch_norm:
    """The kernels of one primitive: `moments`, `forward`, `backward`."""

    fits = staticmethod(fits)

    @staticmethod
    def moments(x: Array) -> Moments:
        """(1) and (2) of x - first row."""
        first = x[0]
        if x.nbytes <= WHOLE:
            width, spread = _spread(x)
            centred = buffers.empty(x.shape, x.dtype)
            wide = centred.reshape(-1, width)
            np.subtract(x.reshape(-1, width), spread(first), wide)
            offset = _mean(centred)
            wide -= spread(offset)
            wide *= wide
            var = _mean(centred)
            return Moments(first, offset, var)
        return _moments_of_blocks(x)

    @staticmethod
    def forward(
        x: Array, gamma: Any, beta: Any, eps: float, into: Any = None
    ) -> tuple[Array, tuple[Array, Array], Any]:
        """(1) to (5): y, (x_hat, inv_std) for backward, and (offset, var); `into`: the first three, to be filled."""
        n, d = x.shape
        if into is None:
            room = np.empty if x.size <= tiny.FEW else buffers.empty
            into = room(x.shape, x.dtype), room(x.shape, x.dtype), np.empty((1, d), x.dtype)
        y, x_hat, kept = into
        if x.size <= tiny.FEW:
            return y, (x_hat, kept), tiny.forward(x, gamma, beta, eps, into)
        inv_std = kept[0]
        if x.nbytes <= WHOLE:
            width, spread = _spread(x)
            h, out = (x_hat, y) if width == d else (x_hat.reshape(-1, width), y.reshape(-1, width))
            np.subtract(x if width == d else x.reshape(-1, width), spread(x[0]), h)
            offset = _mean(x_hat)  # (1)
            h -= spread(offset)
            np.multiply(h, h, out)
            var = _mean(y)  # (2)
            _inverted(var, eps, inv_std)  # (3)
            h *= spread(inv_std)  # (4)
            if gamma is None:
                np.copyto(out, h)
            else:
                np.multiply(h, spread(gamma), out)
            if beta is not None:
                out += spread(beta)  # (5)
            return y, (x_hat, kept), (offset, var)
        first, offset, var = batch_norm.moments(x)
        _inverted(var, eps, inv_std)  # (3)
        mean, lost = _two_sum(first, offset)
        # whether x_hat cannot see what is lost
        close = bool((2.0 * np.abs(lost * inv_std) <= np.finfo(x.dtype).eps).all())
        vectors = _repeated(mean, lost, inv_std, gamma, beta)
        for rows, side in reversed(_blocks(n, d, x.itemsize)):  # what was read last is still in a cache
            centre, rest, scale, slope, level = vectors(side)
            h, out = x_hat[rows].reshape(-1, side * d), y[rows].reshape(-1, side * d)
            np.subtract(x[rows].reshape(h.shape), centre, h)
            if not close:
                h -= rest
            h *= scale  # (4)
            if slope is None:
                np.copyto(out, h)
            else:
                np.multiply(h, slope, out)
            if level is not None:
                out += level  # (5)
        return y, (x_hat, kept), (offset, var)

    @staticmethod
    def backward(g: Array, gamma: Any, x_hat: Array, inv_std: Array, into: Any = None) -> tuple[Array, Array, Array]:
        """(6) to (9'): dx, d_gamma, d_beta; `into`: these three, to be filled where they are no None."""
        n, d = g.shape
        dx, d_gamma, d_beta = into or (None, None, None)
        dx = buffers.empty(g.shape, g.dtype) if dx is None else dx
        if g.size <= tiny.FEW:
            along, over = tiny.backward(g, gamma, x_hat, inv_std, dx)
            return dx, _given(along, d_gamma), _given(over, d_beta)
        scale = inv_std[0] if gamma is None else gamma * inv_std[0]  # (8)
        if g.nbytes <= WHOLE:
            over = _sum(g)  # (6)
            np.multiply(g, x_hat, dx)
            along = _sum(dx)  # (7)
            share = constant(1.0 / n, g.dtype)
            width, spread = _spread(g)
            h, out = (x_hat, dx) if width == d else (x_hat.reshape(-1, width), dx.reshape(-1, width))
            np.multiply(h, spread(along * share), out)
            out += spread(over * share)
            np.subtract(g if width == d else g.reshape(-1, width), out, out)
            out *= spread(scale)  # (9')
        else:
            blocks = _blocks(n, d, g.itemsize)
            scratch = buffers.empty((blocks[0][0].stop, d), g.dtype)
            sums = np.zeros((2, d))
            for rows, _ in blocks:
                block = g[rows]
                product = scratch[: len(block)]
                sums[0] += _sum(block)  # (6)
                np.multiply(block, x_hat[rows], product)
                sums[1] += _sum(product)  # (7)
            over, along = sums.astype(g.dtype)
            mean_g, mean_product = (sums / n).astype(g.dtype)
            vectors = _repeated(mean_product, mean_g, scale)
            for rows, side in reversed(blocks):
                slope, level, factor = vectors(side)
                out = dx[rows].reshape(-1, side * d)
                np.multiply(x_hat[rows].reshape(out.shape), slope, out)
                out += level
                np.subtract(g[rows].reshape(out.shape), out, out)
                out *= factor  # (9')
        return dx, _given(along, d_gamma), _given(over, d_beta)


def _given(found: Array, into: Array | None) -> Array:
    if into is None:
        return found
    np.copyto(into, found)
    return into


def _moments_of_blocks(x: Array) -> Moments:
    n, d = x.shape
    first, blocks = x[0], _blocks(n, d, x.itemsize)
    pivot = first + _mean(x[: 2 * SHORT] - first)  # where a column is constant, that constant
    repeated = _repeated(pivot)
    sizes = np.array([[float(rows.stop - rows.start)] for rows, _ in blocks])
    pivots, sums, squares = np.empty((3, len(blocks), d))
    pivots[:] = pivot
    scratch = buffers.empty((blocks[0][0].stop, d), x.dtype)
    for k, (rows, side) in enumerate(blocks):
        sums[k], squares[k] = _about(x[rows], repeated(side)[0], scratch)
    far = (2.0 * sums * sums > sizes * squares).any(axis=1)
    for k, (rows, side) in enumerate(blocks):
        if not far[k]:
            continue
        pivot = (pivots[k] + sums[k] / sizes[k]).astype(x.dtype)
        pivots[k] = pivot
        sums[k], squares[k] = _about(x[rows], np.tile(pivot, side), scratch)
    means = sums / sizes
    squares -= means * sums
    means += pivots - first
    weights = sizes[:, 0] / n
    mean = weights @ means
    means -= mean
    means *= means
    var = np.maximum(np.add.reduce(squares, axis=0) / n + weights @ means, 0.0)
    return Moments(first, mean.astype(x.dtype), var.astype(x.dtype))


def _about(block: Array, pivot: Array, scratch: Array) -> tuple[Array, Array]:
    """Column sums of block - pivot and of its squares; the pivot stands for as many rows as it is long."""
    centred = scratch[: len(block)]
    wide = centred.reshape(-1, pivot.size)
    np.subtract(block.reshape(wide.shape), pivot, wide)
    sums = _sum(centred)
    wide *= wide
    return sums, _sum(centred)


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b, and what its rounding lost (Knuth)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


@functools.lru_cache(maxsize=256)
def constant(value: float, dtype: Any) -> Array:
    """An array of no axes: to convert a Python number takes as long as to multiply a few hundred by it."""
    return np.array(value, dtype)


def _inverted(var: Array, eps: float, out: Array) -> None:
    np.add(var, constant(eps, var.dtype), out)
    np.sqrt(out, out)
    np.reciprocal(out, out)
