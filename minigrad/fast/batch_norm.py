"""Batch norm over the rows of a matrix, in NumPy. Steps and their numbers are those of normalization.py.

Small matrices cost calls: few of them, and sums as ones @ x. Large ones cost memory traffic: blocks of rows that stay
in the cache, results in buffers that were used before. The statistics are taken in one reading of x: each block is
centred on its own mean, so every variance is two-pass, and the blocks are put together by Chan's formula (Chan, Golub
and LeVeque 1979). float32 sums a block in float32 and the blocks in float64.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from . import buffers

Array = np.ndarray[Any, Any]

BLOCK = 1 << 18  # bytes of one block: half of it and its scratch stay in the second-level cache
SHORT = 64  # rows that float32 sums in its own precision
WHOLE = buffers.SMALLEST  # bytes up to which a matrix is one block, and its results are fresh arrays


class Moments(NamedTuple):
    """Per column: the first row, the mean and the biased variance of x - first."""

    first: Array
    offset: Array
    var: Array


def fits(*arrays: Any) -> bool:
    """Whether the kernels take these: C-ordered float32 or float64 matrices with a row, one dtype, or None."""
    x = arrays[0]
    dtype = x.dtype
    if x.ndim != 2 or not x.size or dtype.char not in "fd" or not x.flags.c_contiguous:
        return False
    for a in arrays[1:]:
        if a is not None and (a.__class__ is not np.ndarray or a.dtype is not dtype or not a.flags.c_contiguous):
            return False
    return True


@functools.lru_cache(maxsize=64)
def _ones(n: int, dtype: Any) -> Array:
    return np.ones(n, dtype)


def _rows(x: Array) -> int:
    """How many rows make a block."""
    return min(max(BLOCK // (x.shape[1] * x.itemsize), 1), len(x))


def _sum(block: Array) -> Array:
    """Column sums; in float64 where the block is float32 and long, for its own precision holds for SHORT rows."""
    n, d = block.shape
    if n <= 2 * SHORT or block.dtype.char == "d":
        return np.dot(_ones(n, block.dtype), block)
    whole = n // SHORT * SHORT
    parts = np.matmul(_ones(SHORT, block.dtype), block[:whole].reshape(-1, SHORT, d))
    total: Array = np.add.reduce(parts, axis=0, dtype=float)
    if whole < n:
        total += np.dot(_ones(n - whole, block.dtype), block[whole:])
    return total


class batch_norm:
    """The kernels of one primitive: `moments`, `forward`, `backward`."""

    fits = staticmethod(fits)

    @staticmethod
    def moments(x: Array) -> Moments:
        """(1) and (2) of x - first row."""
        n, d = x.shape
        first = x[0]
        step = _rows(x)
        if x.nbytes <= WHOLE:
            centred = x - first
            offset = (_sum(centred) / n).astype(x.dtype, copy=False)
            centred -= offset
            np.multiply(centred, centred, centred)
            return Moments(first, offset, (_sum(centred) / n).astype(x.dtype, copy=False))
        scratch = buffers.empty((step, d), x.dtype)
        means, squares, counts = [], [], []
        for start in range(0, n, step):
            block = x[start : start + step]
            centred = scratch[: len(block)]
            np.subtract(block, first, centred)
            mean = (_sum(centred) / len(block)).astype(x.dtype, copy=False)
            centred -= mean
            np.multiply(centred, centred, centred)
            means.append(mean)
            squares.append(_sum(centred))
            counts.append(float(len(block)))
        weights, each = np.array(counts) / n, np.array(means, float)
        mean = weights @ each
        each -= mean
        var = np.add.reduce(np.array(squares, float), axis=0) / n + weights @ (each * each)
        return Moments(first, mean.astype(x.dtype), var.astype(x.dtype))

    @staticmethod
    def forward(
        x: Array, gamma: Any, beta: Any, eps: float, moments: Moments, into: Any = None
    ) -> tuple[Array, tuple[Array, Array]]:
        """(3) to (5): y, and (x_hat, inv_std) for backward; `into`: these three, to be filled."""
        first, offset, var = moments
        if into is None:
            into = buffers.empty(x.shape, x.dtype), buffers.empty(x.shape, x.dtype), np.empty_like(var[None])
        y, x_hat, kept = into
        inv_std = np.add(var, eps, kept[0])
        np.sqrt(inv_std, inv_std)
        np.divide(1.0, inv_std, inv_std)  # (3)
        n = len(x)
        step = _rows(x)
        if x.nbytes <= WHOLE:
            np.subtract(x, first, x_hat)
            x_hat -= offset
            x_hat *= inv_std  # (4)
            if gamma is None:
                np.copyto(y, x_hat)
            else:
                np.multiply(x_hat, gamma, y)
            if beta is not None:
                y += beta  # (5)
            return y, (x_hat, kept)
        for start in reversed(range(0, n, step)):  # what was read last is still in a cache
            rows = slice(start, start + step)
            h, out = x_hat[rows], y[rows]
            np.subtract(x[rows], first, h)
            np.subtract(h, offset, h)
            np.multiply(h, inv_std, h)  # (4)
            if gamma is None:
                np.copyto(out, h)
            else:
                np.multiply(h, gamma, out)
            if beta is not None:
                np.add(out, beta, out)  # (5)
        return y, (x_hat, kept)

    @staticmethod
    def backward(g: Array, gamma: Any, x_hat: Array, inv_std: Array, into: Any = None) -> tuple[Array, Array, Array]:
        """(6) to (9'): dx, d_gamma, d_beta; `into`: these three, to be filled."""
        if into is not None:
            done = batch_norm.backward(g, gamma, x_hat, inv_std)
            for a, b in zip(into, done, strict=True):
                if a is not None:
                    np.copyto(a, b)
            return into
        n, d = g.shape
        inv_std = inv_std[0]
        step = _rows(g)
        scale = inv_std if gamma is None else gamma * inv_std  # (8)
        if g.nbytes <= WHOLE:
            d_beta = _sum(g).astype(g.dtype, copy=False)  # (6)
            product = g * x_hat
            d_gamma = _sum(product).astype(g.dtype, copy=False)  # (7)
            np.multiply(x_hat, d_gamma / n, product)
            product += d_beta / n
            np.subtract(g, product, product)
            product *= scale  # (9')
            return product, d_gamma, d_beta
        scratch = buffers.empty((step, d), g.dtype)
        sums = np.zeros((2, d))
        for start in range(0, n, step):
            rows = slice(start, start + step)
            block = g[rows]
            product = scratch[: len(block)]
            sums[0] += _sum(block)  # (6)
            np.multiply(block, x_hat[rows], product)
            sums[1] += _sum(product)  # (7)
        d_beta, d_gamma = sums.astype(g.dtype)
        mean_g, mean_product = (sums / n).astype(g.dtype)
        dx = buffers.empty(g.shape, g.dtype)
        for start in reversed(range(0, n, step)):
            rows = slice(start, start + step)
            out = dx[rows]
            np.multiply(x_hat[rows], mean_product, out)
            np.add(out, mean_g, out)
            np.subtract(g[rows], out, out)
            np.multiply(out, scale, out)  # (9')
        return dx, d_gamma, d_beta
