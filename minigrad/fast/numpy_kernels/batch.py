"""Batch norm over the rows of a matrix, in NumPy. Steps and their numbers are those of normalization/batch.py.

Small matrices cost calls: few of them, and sums as ones @ x. Large ones cost memory traffic: blocks of rows that stay
in the cache, and results in buffers that were used before. The statistics are taken in one reading of x: of each block
the sums and squares about a pivot near the mean, and the blocks are put together by Chan's formula (Chan, Golub and
LeVeque 1979). A block whose mean lies more than a standard deviation from the pivot, in any column, is read once more
about its own mean, so that no variance loses more than a bit. float32 sums a block in float32, in steps of few rows,
and the blocks in float64.

A row vector against a block costs NumPy half as much again as two blocks do, unless its inner loop is LONG. So a block
is viewed as few wide rows, each of k rows side by side, and the vector is repeated k times to match.

A few numbers are computed in float64, whatever they are, and only the results are rounded: a dozen rounded steps in
float32 make errors of two or three units, and of few numbers none averages out. That is for the digits alone, and costs
a tenth of the speed at (7, 3).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .. import pool

Array = np.ndarray[Any, Any]

BLOCK = 1 << 19  # bytes of one block: it and its scratch stay in the second-level cache
WHOLE = 1 << 20  # bytes up to which a matrix is one block
LONG = 8192  # elements of an inner loop: as many as a ufunc's buffer
SMALL = 1 << 17  # bytes below which repeating a vector costs what it saves
SHORT = 64  # rows that float32 sums in its own precision
FEW = 256  # elements that are computed in float64
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(float)
_ndarray = np.ndarray
FEWEST = 32  # rows of a block: the mean of fewer would often lie far from the pivot


class Moments(NamedTuple):
    """Per column: the first row, the mean and the biased variance of x - first."""

    first: Array
    offset: Array
    var: Array


def fits(x: Any, *others: Any) -> bool:
    """Whether the kernels take these: C-ordered float32 or float64 matrices with a row, one dtype, or None."""
    dtype = x.dtype
    if dtype is not _SINGLE and dtype is not _DOUBLE and (dtype.char not in "fd" or not dtype.isnative):
        return False
    if x.ndim != 2 or not x.size or not x.flags.c_contiguous:
        return False
    for a in others:
        if a is not None and (a.__class__ is not _ndarray or a.dtype != dtype or not a.flags.c_contiguous):
            return False
    return True


@functools.lru_cache(maxsize=64)
def _ones(n: int, dtype: Any) -> Array:
    return np.ones(n, dtype)


@functools.lru_cache(maxsize=64)
def _halves(n: int, dtype: Any) -> tuple[Array, int, int]:
    """How n rows are summed: with these weights, so many of them beside one another, and how many are left over.

    A divisor of n that leaves few, where there is one; 1 beside one another where the precision holds for n terms.
    """
    if n <= 2 * SHORT or dtype.char == "d":
        return np.ones(n, dtype), 1, 0
    side = next((k for k in range(-(-n // (2 * SHORT)), 2 * n // SHORT) if n % k == 0), n // SHORT)
    return np.ones(n // side, dtype), side, n % side


def _sum(block: Array) -> Array:
    """Column sums. float32 is summed over SHORT rows or so, then over their sums: its precision holds for few terms."""
    n, d = block.shape
    ones, side, rest = _halves(n, block.dtype)
    total: Array
    if side == 1:
        total = ones.dot(block)
        return total
    whole = block[: n - rest] if rest else block
    sums = ones.dot(whole.reshape(len(ones), side * d)).reshape(side, d)
    total = _ones(side, block.dtype).dot(sums) if side <= 2 * SHORT else _sum(sums)
    if rest:
        total += _ones(rest, block.dtype).dot(block[n - rest :])
    return total


@functools.lru_cache(maxsize=64)
def _shares(n: int, dtype: Any) -> Array:
    return np.full(n, 1.0 / n, dtype)


def _mean(block: Array) -> Array:
    """Column means; of few rows with the division in the sum's weights, one call less."""
    n = len(block)
    return _shares(n, block.dtype).dot(block) if n <= 2 * SHORT else _sum(block) / n


@functools.lru_cache(maxsize=64)
def _side_by_side(n: int, d: int) -> int:
    """How many of n rows make a wide one, in a matrix that is one block: a divisor of n, 1 where none fits."""
    shortest = -(-(LONG * 3 // 4) // d)  # as quick from somewhere above half of LONG, and less to repeat
    return next((k for k in range(shortest, min(4 * shortest, n) + 1) if n % k == 0), 1)


@functools.lru_cache(maxsize=64)
def _blocks(n: int, d: int, itemsize: int) -> tuple[tuple[slice, int], ...]:
    """Blocks of rows, each with how many of them make a wide row; those that are left over make a block too."""
    side = min(-(-LONG // d), n)
    step = max(BLOCK // (side * d * itemsize), -(-FEWEST // side)) * side
    whole = n // side * side
    blocks = [(slice(start, min(start + step, whole)), side) for start in range(0, whole, step)]
    return (*blocks, *([(slice(whole, n), 1)] if whole < n else []))


def _repeated(blocks: tuple[tuple[slice, int], ...], *vectors: Any) -> dict[int, list[Any]]:
    """For each number of rows that make a wide one in these blocks: each vector as many times in a row."""
    sides = {side for _, side in blocks}  # all of them wide, but for those that are left over
    return {side: [None if v is None else np.tile(v, side) for v in vectors] for side in sides}


def _same(v: Any) -> Any:
    return v


def _wide(*arrays: Array) -> tuple[Any, Any]:
    """Large matrices that are one block, as fewer and wider rows, and a function that repeats a vector to match.

    What that returns lives until it is called again.
    """
    n, d = arrays[0].shape
    k = _side_by_side(n, d)
    flat = np.empty(k * d, arrays[0].dtype)
    rows = flat.reshape(k, d)

    def repeat(v: Array) -> Array:
        rows[...] = v
        return flat

    return [a.reshape(-1, k * d) for a in arrays], repeat


class batch_norm:
    """The kernels of one primitive: `moments`, `forward`, `backward`."""

    fits = staticmethod(fits)

    @staticmethod
    def moments(x: Array) -> Moments:
        """(1) and (2) of x - first row, block by block."""
        n, d = x.shape
        first, blocks = x[0], _blocks(n, d, x.itemsize)
        pivot = first + _mean(x[: 2 * SHORT] - first)  # where a column is constant, that constant
        repeated = _repeated(blocks, pivot)
        sizes = np.array([[float(rows.stop - rows.start)] for rows, _ in blocks])
        pivots, totals, squares = np.empty((3, len(blocks), d))
        pivots[:] = pivot
        scratch = pool.empty((blocks[0][0].stop, d), x.dtype)
        for k, (rows, side) in enumerate(blocks):
            totals[k], squares[k] = _about(x[rows], repeated[side][0], scratch)
        far = (2.0 * totals * totals > sizes * squares).any(axis=1)
        for k, (rows, side) in enumerate(blocks):
            if not far[k]:
                continue
            pivot = (pivots[k] + totals[k] / sizes[k]).astype(x.dtype)
            pivots[k] = pivot
            totals[k], squares[k] = _about(x[rows], np.tile(pivot, side), scratch)
        means = totals / sizes
        squares -= means * totals
        means += pivots - first
        weights = sizes[:, 0] / n
        mean = weights @ means
        means -= mean
        means *= means
        var = np.maximum(np.add.reduce(squares, axis=0) / n + weights @ means, 0.0)
        return Moments(first, mean.astype(x.dtype), var.astype(x.dtype))

    @staticmethod
    def forward(x: Any, gamma: Any, beta: Any, eps: float, into: Any = None) -> tuple[Array, Any, Any]:
        """(1) to (5): y, (x_hat, inv_std) for backward, and (offset, var); `into`: the first three, to be filled."""
        if into is None:
            room = np.empty if x.size <= FEW else pool.empty
            into = room(x.shape, x.dtype), room(x.shape, x.dtype), np.empty((1, x.shape[1]), x.dtype)
        y, x_hat, inv_std = into
        if x.nbytes > WHOLE:
            return y, (x_hat, inv_std), _forward_by_block(x, gamma, beta, eps, y, x_hat, inv_std[0])
        if x.size <= FEW and x.itemsize < 8:
            return y, (x_hat, inv_std), _forward_of_few(x, gamma, beta, eps, y, x_hat, inv_std)
        h, out, repeat = x_hat, y, _same  # what is worked on, and how a vector is repeated to match
        if x.nbytes <= SMALL:
            np.subtract(x, x[0], h)
        else:
            (rows, h, out), repeat = _wide(x, x_hat, y)
            np.subtract(rows, repeat(x[0]), h)
        offset = _mean(x_hat)  # (1)
        h -= repeat(offset)
        np.multiply(h, h, out)
        var = _mean(y)  # (2)
        scale = inv_std[0] = _inverted(var, eps)  # (3)
        _scale(h, scale, gamma, beta, out, out, repeat)
        return y, (x_hat, inv_std), (offset, var)

    @staticmethod
    def backward(g: Any, gamma: Any, x_hat: Array, inv_std: Array, into: Any = None) -> tuple[Array, Array, Array]:
        """(6) to (9'): dx, d_gamma, d_beta; `into`: these three, to be filled where they are no None."""
        dx, d_gamma, d_beta = into or (None, None, None)
        dx = pool.empty(g.shape, g.dtype) if dx is None else dx
        if g.nbytes > WHOLE:
            along, over = _backward_by_block(g, gamma, x_hat, inv_std[0], dx)
            return dx, _given(along, d_gamma), _given(over, d_beta)
        if g.size <= FEW and g.itemsize < 8:
            along, over = _backward_of_few(g, gamma, x_hat, inv_std, dx)
            return dx, _given(along, d_gamma), _given(over, d_beta)
        over = _sum(g)  # (6)
        np.multiply(g, x_hat, dx)
        along = _sum(dx)  # (7)
        scale = inv_std[0] if gamma is None else gamma * inv_std[0]  # (8)
        share = 1.0 / len(g)
        given: Any = g, x_hat, dx
        (g, h, out), repeat = (given, _same) if g.nbytes <= SMALL else _wide(*given)
        _slope(g, h, out, out, over * share, along * share, scale, repeat)
        return dx, _given(along, d_gamma), _given(over, d_beta)


def _forward_of_few(
    x: Array, gamma: Any, beta: Any, eps: float, y: Array, x_hat: Array, inv_std: Array
) -> tuple[Array, Array]:
    """(1) to (5) in float64: fills y, x_hat and inv_std; offset and var."""
    shares = _shares(len(x), _DOUBLE)
    h = np.subtract(x, x[0], dtype=float)
    offset = shares.dot(h)  # (1)
    h -= offset
    var = shares.dot(h * h)  # (2)
    scale = inv_std[0] = 1.0 / np.sqrt(var + eps)  # (3)
    h *= scale  # (4)
    x_hat[...] = h
    if gamma is not None:
        h *= gamma
    np.add(h, 0.0 if beta is None else beta, y)  # (5)
    return offset.astype(x.dtype), var.astype(x.dtype)


def _backward_of_few(g: Array, gamma: Any, x_hat: Array, inv_std: Array, dx: Array) -> tuple[Array, Array]:
    """(6) to (9') in float64: fills dx; d_gamma and d_beta."""
    ones, share, wide = _ones(len(g), _DOUBLE), 1.0 / len(g), g.astype(float)
    over = ones.dot(wide)  # (6)
    part = wide * x_hat
    along = ones.dot(part)  # (7)
    np.multiply(x_hat, along * share, part)
    part += over * share
    wide -= part
    scale = inv_std[0] if gamma is None else np.multiply(gamma, inv_std[0], dtype=float)  # (8)
    np.multiply(wide, scale, dx)  # (9')
    return along.astype(g.dtype), over.astype(g.dtype)


def _forward_by_block(
    x: Array, gamma: Any, beta: Any, eps: float, y: Array, x_hat: Array, inv_std: Array
) -> tuple[Array, Array]:
    """(1) to (5) of a large matrix: fills y, x_hat and inv_std; offset and var."""
    first, offset, var = batch_norm.moments(x)
    inv_std[...] = _inverted(var, eps)  # (3)
    mean, lost = _two_sum(first, offset)
    exact = bool((2.0 * np.abs(lost * inv_std) <= np.finfo(x.dtype).eps).all())  # x_hat cannot see what is lost
    blocks = _blocks(*x.shape, x.itemsize)
    vectors = _repeated(blocks, mean, lost, inv_std, gamma, beta)
    for rows, side in reversed(blocks):  # what was read last is still in a cache
        centre, rest, scale, scale_by, offset_by = vectors[side]
        block, h, out = (a[rows].reshape(-1, side * x.shape[1]) for a in (x, x_hat, y))
        np.subtract(block, centre, h)
        if not exact:
            h -= rest
        _scale(h, scale, scale_by, offset_by, out, out)
    return offset, var


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b as the rounded sum and what rounding took (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _scale(h: Array, scale: Any, gamma: Any, beta: Any, part: Array, out: Array, repeat: Any = _same) -> None:
    """(4) and (5) of what is centred, in place; `part` is work space, and may be `out`."""
    h *= repeat(scale)  # (4)
    scaled = h if gamma is None else np.multiply(h, repeat(gamma), part)
    if beta is None:  # (5)
        np.copyto(out, scaled)
    else:
        np.add(scaled, repeat(beta), out)


def _backward_by_block(g: Array, gamma: Any, x_hat: Array, inv_std: Array, dx: Array) -> tuple[Array, Array]:
    """(6) to (9') of a large matrix: fills dx; d_gamma and d_beta."""
    (n, d), blocks = g.shape, _blocks(*g.shape, g.itemsize)
    scratch = pool.empty((blocks[0][0].stop, d), g.dtype)
    totals = np.zeros((2, d))
    for rows, _ in blocks:
        totals[0] += _sum(g[rows])  # (6)
        totals[1] += _sum(np.multiply(g[rows], x_hat[rows], scratch[: rows.stop - rows.start]))  # (7)
    over, along = totals.astype(g.dtype)
    scale = inv_std if gamma is None else gamma * inv_std  # (8)
    vectors = _repeated(blocks, *(totals / n).astype(g.dtype), scale)
    for rows, side in reversed(blocks):
        block, h, out = (a[rows].reshape(-1, side * d) for a in (g, x_hat, dx))
        _slope(block, h, out, out, *vectors[side])
    return along, over


def _slope(
    g: Array, h: Array, part: Array, dx: Array, mean_g: Any, mean_product: Any, scale: Any, repeat: Any = _same
) -> None:
    """(9') with the means of g and of g * h; `part` is work space, and may be `dx`."""
    np.multiply(h, repeat(mean_product), part)
    part += repeat(mean_g)
    np.subtract(g, part, part)
    np.multiply(part, repeat(scale), dx)  # (9')


def _given(found: Array, into: Array | None) -> Array:
    if into is None:
        return found
    np.copyto(into, found)
    return into


def _about(block: Array, pivot: Array, scratch: Array) -> tuple[Array, Array]:
    """Column sums of block - pivot and of its squares; the pivot stands for as many rows as it is long."""
    centred = scratch[: len(block)]
    wide = centred.reshape(-1, pivot.size)
    np.subtract(block.reshape(wide.shape), pivot, wide)
    total = _sum(centred)
    wide *= wide
    return total, _sum(centred)


@functools.lru_cache(maxsize=256)
def constant(value: float, dtype: Any) -> Array:
    """An array of no axes: to convert a Python number takes as long as to multiply a few hundred by it."""
    return np.array(value, dtype)


def _inverted(var: Array, eps: float) -> Array:
    out = np.add(var, constant(eps, var.dtype))
    np.sqrt(out, out)
    return np.reciprocal(out, out)
