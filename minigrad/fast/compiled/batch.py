"""Batch norm over the rows of a matrix, compiled: one call a pass. Steps are those of normalization.py."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import pool as buffers
from ..numpy_kernels.batch import FEW, Moments, fits
from . import tiny
from .memory import aligned, compiled, pour, pours

Array = np.ndarray[Any, Any]

LONG = 1024  # elements of an inner loop: what comes before it, such as looking whether arrays overlap, costs as much
SHORT = 64  # wide rows of a block: it is summed in its own precision, and blocks in float64
GUESSED = 16  # rows that say where the mean may lie
STRIP = 16  # wide rows that are walked forwards where the strips are walked backwards: whole lines, whatever a row is

# A matrix is walked as one vector, in steps of a wide row: as many rows side by side as make it LONG. The vectors that
# belong to a row are repeated to match, and wide sums are folded. The last wide row may be shorter.
#
# Statistics are taken in one reading: a block's squares about a pivot near its mean, less what the distance of the two
# adds. That costs at most a bit where the mean lies within a standard deviation of the pivot, in every column; else
# the block, which is still in a cache, is read once more about its own mean. The pivot of a block is the mean of those
# before it. Where a column is constant the pivot is that constant, and everything is exact.


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _wide(n: int, d: int) -> int:  # pragma: no cover - compiled
    return d * min(n, max(LONG // d, 1))


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _repeated(v: Any, size: int) -> Any:  # pragma: no cover - compiled
    wide = np.empty(size, v.dtype)
    for start in range(0, size, v.size):
        part = wide[start : start + v.size]
        for j in range(v.size):
            part[j] = v[j]
    return wide


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _folded(wide: Any, d: int) -> Any:  # pragma: no cover - compiled
    total = np.zeros(d)
    for start in range(0, wide.size, d):
        part = wide[start : start + d]
        for j in range(d):
            total[j] += part[j]
    return total


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _about(flat: Any, pivot: Any, d: int) -> Any:  # pragma: no cover - compiled
    """Column sums of x - pivot and of its squares, over SHORT wide rows at most."""
    w = pivot.size
    sums, squares = np.zeros(w, flat.dtype), np.zeros(w, flat.dtype)
    fours = flat.size // (4 * w) * (4 * w)
    for i in range(0, fours, 4 * w):
        rows = flat[i : i + 4 * w].reshape(4, w)
        x0, x1, x2, x3 = rows[0], rows[1], rows[2], rows[3]
        for j in range(w):
            p = pivot[j]
            a0, a1, a2, a3 = x0[j] - p, x1[j] - p, x2[j] - p, x3[j] - p
            sums[j] += (a0 + a1) + (a2 + a3)
            squares[j] += (a0 * a0 + a1 * a1) + (a2 * a2 + a3 * a3)
    for i in range(fours, flat.size, w):
        row = flat[i : i + w]
        for j in range(row.size):
            a = row[j] - pivot[j]
            sums[j] += a
            squares[j] += a * a
    return _folded(sums, d), _folded(squares, d)


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _moments(x: Any, offset: Any, var: Any) -> None:  # pragma: no cover - compiled
    n, d = x.shape
    flat, w, first = x.reshape(-1), _wide(n, d), x[0]
    total, squares = np.zeros(d), np.zeros(d)  # of the blocks so far; before the first, a guess from a few rows
    for i in range(1, min(n, GUESSED)):
        row = x[i]
        for j in range(d):
            total[j] += row[j] - first[j]
    total /= min(n, GUESSED)
    pivot = np.empty(d, x.dtype)
    for start in range(0, flat.size, SHORT * w):
        block = flat[start : start + SHORT * w]
        m, done = block.size // d, start // d
        for j in range(d):
            pivot[j] = first[j] + total[j]
        sums, own = _about(block, _repeated(pivot, w), d)
        near = True
        for j in range(d):
            near = near and 2.0 * sums[j] * sums[j] <= m * own[j]
        if not near:
            for j in range(d):
                pivot[j] += sums[j] / m
            sums, own = _about(block, _repeated(pivot, w), d)
        share, weight = m / (done + m), done * m / (done + m)
        for j in range(d):
            mean = sums[j] / m
            # Chan's formula: the blocks so far, this block, and the distance of their means
            gap = mean + (np.float64(pivot[j]) - np.float64(first[j])) - total[j]
            squares[j] += own[j] - mean * sums[j] + gap * gap * weight
            total[j] += gap * share
    for j in range(d):
        offset[j] = total[j]
        var[j] = 0.0 if squares[j] < 0.0 else squares[j] / n


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _normalize(
    x: Any, gamma: Any, beta: Any, eps: float, offset: Any, var: Any, y: Any, x_hat: Any, inv_std: Any
) -> None:  # pragma: no cover - compiled
    n, d = x.shape
    one, small = x.dtype.type(1.0), x.dtype.type(eps)
    for j in range(d):
        inv_std[0, j] = one / np.sqrt(var[j] + small)
    w = _wide(n, d)
    first, shift, scale = _repeated(x[0], w), _repeated(offset, w), _repeated(inv_std[0], w)
    slope, level = _repeated(gamma, w), _repeated(beta, w)
    flat, flat_h, flat_y = x.reshape(-1), x_hat.reshape(-1), y.reshape(-1)
    size = STRIP * w
    poured = pours(flat_y) and pours(flat_h)
    strip_h, strip_y = aligned(size if poured else 0, x), aligned(size if poured else 0, x)
    last = (flat.size - 1) // size
    for k in range(last + 1):
        start = (k if poured else last - k) * size  # what was read last is still in a cache, but for large matrices
        stop = min(start + size, flat.size)
        hs, outs = (strip_h, strip_y) if poured else (flat_h[start:stop], flat_y[start:stop])
        block = flat[start:stop]
        for i in range(0, stop - start, w):
            row = block[i : i + w]
            h, out = hs[i : i + w], outs[i : i + w]
            if poured:  # strips are in the nearest caches: one loop
                for j in range(row.size):
                    a = ((row[j] - first[j]) - shift[j]) * scale[j]
                    h[j] = a
                    out[j] = a * slope[j] + level[j]
            else:  # loops that store to one array each take three quarters of the time
                for j in range(row.size):
                    h[j] = ((row[j] - first[j]) - shift[j]) * scale[j]
                for j in range(row.size):
                    out[j] = h[j] * slope[j] + level[j]
        if poured:
            pour(flat_h[start:stop], strip_h)
            pour(flat_y[start:stop], strip_y)


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _forward(
    x: Any, gamma: Any, beta: Any, eps: float, y: Any, x_hat: Any, inv_std: Any, moments: Any
) -> None:  # pragma: no cover - compiled
    if x.size <= FEW:
        tiny.forward(x, gamma, beta, eps, y, x_hat, inv_std, moments)
        return
    _moments(x, moments[0], moments[1])
    _normalize(x, gamma, beta, eps, moments[0], moments[1], y, x_hat, inv_std)


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _sums(flat: Any, flat_h: Any, w: int, d: int) -> Any:  # pragma: no cover - compiled
    """Column sums of g and of g * x_hat, over SHORT wide rows at most."""
    sums, products = np.zeros(w, flat.dtype), np.zeros(w, flat.dtype)
    fours = flat.size // (4 * w) * (4 * w)
    for i in range(0, fours, 4 * w):
        gs, hs = flat[i : i + 4 * w].reshape(4, w), flat_h[i : i + 4 * w].reshape(4, w)
        g0, g1, g2, g3 = gs[0], gs[1], gs[2], gs[3]
        h0, h1, h2, h3 = hs[0], hs[1], hs[2], hs[3]
        for j in range(w):
            sums[j] += (g0[j] + g1[j]) + (g2[j] + g3[j])
            products[j] += (g0[j] * h0[j] + g1[j] * h1[j]) + (g2[j] * h2[j] + g3[j] * h3[j])
    for i in range(fours, flat.size, w):
        g0, h0 = flat[i : i + w], flat_h[i : i + w]
        for j in range(g0.size):
            sums[j] += g0[j]
            products[j] += g0[j] * h0[j]
    return _folded(sums, d), _folded(products, d)


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _backward(
    g: Any, gamma: Any, x_hat: Any, inv_std: Any, dx: Any, d_gamma: Any, d_beta: Any
) -> None:  # pragma: no cover - compiled
    if g.size <= FEW:
        tiny.backward(g, gamma, x_hat, inv_std, dx, d_gamma, d_beta)
        return
    n, d = g.shape
    flat, flat_h, flat_dx, w = g.reshape(-1), x_hat.reshape(-1), dx.reshape(-1), _wide(n, d)
    over, along = np.zeros(d), np.zeros(d)
    for start in range(0, flat.size, SHORT * w):
        sums, products = _sums(flat[start : start + SHORT * w], flat_h[start : start + SHORT * w], w, d)
        for j in range(d):
            over[j] += sums[j]
            along[j] += products[j]
    vectors = np.empty((3, d), g.dtype)
    for j in range(d):
        d_beta[j], d_gamma[j] = over[j], along[j]
        vectors[0, j], vectors[1, j], vectors[2, j] = over[j] / n, along[j] / n, gamma[j] * inv_std[0, j]
    mean, slope, scale = _repeated(vectors[0], w), _repeated(vectors[1], w), _repeated(vectors[2], w)
    size = STRIP * w
    poured = pours(flat_dx)
    strip = aligned(size if poured else 0, g)
    last = (flat.size - 1) // size
    for k in range(last + 1):
        start = (k if poured else last - k) * size
        stop = min(start + size, flat.size)
        outs = strip if poured else flat_dx[start:stop]
        gs, hs = flat[start:stop], flat_h[start:stop]
        for i in range(0, stop - start, w):
            row, h = gs[i : i + w], hs[i : i + w]
            out = outs[i : i + w]
            for j in range(row.size):
                out[j] = scale[j] * (row[j] - (mean[j] + h[j] * slope[j]))
        if poured:
            pour(flat_dx[start:stop], strip)


@functools.lru_cache(maxsize=64)
def constant(value: float, d: int, dtype: Any) -> Array:
    """What stands for a missing gamma or beta."""
    return np.full(d, value, dtype)


class batch_norm:
    """The kernels of one primitive: `moments`, `forward`, `backward`."""

    fits = staticmethod(fits)

    @staticmethod
    def moments(x: Array) -> Moments:
        """(1) and (2) of x - first row."""
        offset, var = np.empty((2, x.shape[1]), x.dtype)
        _moments(x, offset, var)
        return Moments(x[0], offset, var)

    @staticmethod
    def forward(
        x: Array, gamma: Any, beta: Any, eps: float, into: Any = None
    ) -> tuple[Array, tuple[Array, Array], Any]:
        """(1) to (5): y, (x_hat, inv_std) for backward, and (offset, var); `into`: the first three, to be filled."""
        shape, dtype = x.shape, x.dtype
        gamma = constant(1.0, shape[1], dtype) if gamma is None else gamma
        beta = constant(0.0, shape[1], dtype) if beta is None else beta
        if into is None:
            into = buffers.empty(shape, dtype), buffers.empty(shape, dtype), np.empty((1, shape[1]), dtype)
        y, x_hat, inv_std = into
        moments = np.empty((2, shape[1]), dtype)
        _forward(x, gamma, beta, eps, y, x_hat, inv_std, moments)
        return y, (x_hat, inv_std), moments

    @staticmethod
    def backward(g: Array, gamma: Any, x_hat: Array, inv_std: Array, into: Any = None) -> tuple[Array, Array, Array]:
        """(6) to (9'): dx, d_gamma, d_beta; `into`: these three, to be filled where they are no None."""
        shape, dtype = g.shape, g.dtype
        gamma = constant(1.0, shape[1], dtype) if gamma is None else gamma
        dx, d_gamma, d_beta = into or (None, None, None)
        dx = buffers.empty(shape, dtype) if dx is None else dx
        d_gamma = np.empty(shape[1], dtype) if d_gamma is None else d_gamma
        d_beta = np.empty(shape[1], dtype) if d_beta is None else d_beta
        _backward(g, gamma, x_hat, inv_std, dx, d_gamma, d_beta)
        return dx, d_gamma, d_beta
