"""Batch norm over the rows of a matrix, compiled: one call a pass. Steps are those of normalization.py."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import buffers
from ..batch_norm import Moments, fits
from .memory import aligned, compiled, pour, pours

Array = np.ndarray[Any, Any]

LONG = 1024  # elements of an inner loop: what comes before it, such as looking whether arrays overlap, costs as much
BLOCK = 1 << 16  # elements of a block that is centred on its own mean
STRIP = 16  # wide rows that are walked forwards where the strips are walked backwards: whole lines, whatever a row is

# A matrix is walked as one vector, in steps of a wide row: as many rows side by side as make it LONG. The vectors that
# belong to a row are repeated to match, and wide sums are folded. The last wide row may be shorter.


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
def _moments(x: Any, offset: Any, var: Any) -> None:  # pragma: no cover - compiled
    n, d = x.shape
    flat, w = x.reshape(-1), _wide(n, d)
    first, mean = _repeated(x[0], w), np.empty(w, x.dtype)
    part, squares = np.empty(w), np.zeros(w)
    total, between = np.zeros(d), np.zeros(d)
    size = max(BLOCK // w, 8) * w
    done = 0
    for start in range(0, flat.size, size):
        stop = min(start + size, flat.size)
        m = (stop - start) // d
        eights = start + (stop - start) // (8 * w) * (8 * w)
        part[:] = 0.0
        for i in range(start, eights, 8 * w):
            rows = flat[i : i + 8 * w].reshape(8, w)
            x0, x1, x2, x3, x4, x5, x6, x7 = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]
            for j in range(w):
                f = first[j]
                low = ((x0[j] - f) + (x1[j] - f)) + ((x2[j] - f) + (x3[j] - f))
                part[j] += low + (((x4[j] - f) + (x5[j] - f)) + ((x6[j] - f) + (x7[j] - f)))
        for i in range(eights, stop, w):
            x0 = flat[i : min(i + w, stop)]
            for j in range(x0.size):
                part[j] += x0[j] - first[j]
        own = _folded(part, d)
        share, weight = m / (done + m), done * m / (done + m)
        for j in range(d):
            own[j] /= m
            # Chan's formula: the blocks so far, this block, and the distance of their means
            gap = own[j] - total[j]
            between[j] += gap * gap * weight
            total[j] += gap * share
        for i in range(0, w, d):
            for j in range(d):
                mean[i + j] = own[j]
        for i in range(start, eights, 8 * w):
            rows = flat[i : i + 8 * w].reshape(8, w)
            x0, x1, x2, x3, x4, x5, x6, x7 = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]
            for j in range(w):
                f, c = first[j], mean[j]
                a0, a1, a2, a3 = (x0[j] - f) - c, (x1[j] - f) - c, (x2[j] - f) - c, (x3[j] - f) - c
                a4, a5, a6, a7 = (x4[j] - f) - c, (x5[j] - f) - c, (x6[j] - f) - c, (x7[j] - f) - c
                low = (a0 * a0 + a1 * a1) + (a2 * a2 + a3 * a3)
                squares[j] += low + ((a4 * a4 + a5 * a5) + (a6 * a6 + a7 * a7))
        for i in range(eights, stop, w):
            x0 = flat[i : min(i + w, stop)]
            for j in range(x0.size):
                a = (x0[j] - first[j]) - mean[j]
                squares[j] += a * a
        done += m
    within = _folded(squares, d)
    for j in range(d):
        offset[j] = total[j]
        var[j] = (within[j] + between[j]) / n


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
            for j in range(row.size):
                a = ((row[j] - first[j]) - shift[j]) * scale[j]
                h[j] = a
                out[j] = a * slope[j] + level[j]
        if poured:
            pour(flat_h[start:stop], strip_h)
            pour(flat_y[start:stop], strip_y)


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _forward(
    x: Any, gamma: Any, beta: Any, eps: float, y: Any, x_hat: Any, inv_std: Any, moments: Any
) -> None:  # pragma: no cover - compiled
    _moments(x, moments[0], moments[1])
    _normalize(x, gamma, beta, eps, moments[0], moments[1], y, x_hat, inv_std)


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _backward(
    g: Any, gamma: Any, x_hat: Any, inv_std: Any, dx: Any, d_gamma: Any, d_beta: Any
) -> None:  # pragma: no cover - compiled
    n, d = g.shape
    flat, flat_h, flat_dx, w = g.reshape(-1), x_hat.reshape(-1), dx.reshape(-1), _wide(n, d)
    part_h, part_g = np.zeros(w), np.zeros(w)
    fours = flat.size // (4 * w) * (4 * w)
    for i in range(0, fours, 4 * w):
        gs, hs = flat[i : i + 4 * w].reshape(4, w), flat_h[i : i + 4 * w].reshape(4, w)
        g0, g1, g2, g3 = gs[0], gs[1], gs[2], gs[3]
        h0, h1, h2, h3 = hs[0], hs[1], hs[2], hs[3]
        for j in range(w):
            part_g[j] += (g0[j] + g1[j]) + (g2[j] + g3[j])
        for j in range(w):
            part_h[j] += (g0[j] * h0[j] + g1[j] * h1[j]) + (g2[j] * h2[j] + g3[j] * h3[j])
    for i in range(fours, flat.size, w):
        g0, h0 = flat[i : i + w], flat_h[i : i + w]
        for j in range(g0.size):
            part_g[j] += g0[j]
            part_h[j] += g0[j] * h0[j]
    along, over = _folded(part_h, d), _folded(part_g, d)
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


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _move(
    running_mean: Any, running_var: Any, first: Any, offset: Any, var: Any, keep: Any, take: Any, take_var: Any
) -> bool:  # pragma: no cover - compiled
    for j in range(var.size):
        if not np.isfinite(var[j]):
            return False
    for j in range(var.size):
        running_mean[j] = keep * running_mean[j] + take * (first[j] + offset[j])
        running_var[j] = keep * running_var[j] + take_var * var[j]
    return True


def running_statistics(
    running_mean: Array, running_var: Array, moments: Moments, keep: float, take: float, scale: float
) -> bool:
    """running = keep * running + take * (mean, scale * var), in place; nothing, and False, if var is not finite."""
    real = running_mean.dtype.type
    return bool(_move(running_mean, running_var, *moments, real(keep), real(take), real(take * scale)))


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
    ) -> tuple[Array, tuple[Array, Array], Moments]:
        """(1) to (5): y, (x_hat, inv_std) for backward, and the moments; `into`: the first three, to be filled."""
        shape, dtype = x.shape, x.dtype
        gamma = constant(1.0, shape[1], dtype) if gamma is None else gamma
        beta = constant(0.0, shape[1], dtype) if beta is None else beta
        if into is None:
            into = buffers.empty(shape, dtype), buffers.empty(shape, dtype), np.empty((1, shape[1]), dtype)
        y, x_hat, inv_std = into
        moments = np.empty((2, shape[1]), dtype)
        _forward(x, gamma, beta, eps, y, x_hat, inv_std, moments)
        return y, (x_hat, inv_std), Moments(x[0], moments[0], moments[1])

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
