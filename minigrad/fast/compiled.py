"""The same kernels compiled by numba (the extra `fast`). The first call compiles; later processes find it on disk.

One reading of memory where NumPy needs five: this is where the mid-sized matrices win. No fast-math: the order of
operations is as written, so NaN and infinity go through and a run repeats bit for bit. Sums are taken in the dtype
over four rows and in float64 beyond.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from . import batch_norm as plain
from . import buffers
from .batch_norm import Moments

Array = np.ndarray[Any, Any]

_compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")

ROWS = 1 << 16  # elements of a block that is centred on its own mean
STRIP = 8  # rows that are walked forwards where the strips are walked backwards


# How loops are written here decides whether they become vector instructions, five times as fast: rows as views of
# their own, found by an index that only grows (one that falls may be negative, as far as the compiler knows).


@_compiled  # type: ignore[untyped-decorator,unused-ignore]
def _moments(x: Any, offset: Any, var: Any, rows: int) -> None:  # pragma: no cover - compiled
    n, d = x.shape
    first = x[0]
    total, squares, part = np.zeros(d), np.zeros(d), np.empty(d)
    mean = np.empty(d, x.dtype)
    done = 0
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        m = stop - start
        fours = start + m // 4 * 4
        part[:] = 0.0
        for i in range(start, fours, 4):
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            for j in range(d):
                f = first[j]
                part[j] += ((x0[j] - f) + (x1[j] - f)) + ((x2[j] - f) + (x3[j] - f))
        for i in range(fours, stop):
            x0 = x[i]
            for j in range(d):
                part[j] += x0[j] - first[j]
        for j in range(d):
            part[j] /= m
            mean[j] = part[j]
            # Chan's formula: the blocks so far, this block, and the distance of their means
            gap = part[j] - total[j]
            squares[j] += gap * gap * (done * m / (done + m))
            total[j] += gap * m / (done + m)
        for i in range(start, fours, 4):
            x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
            for j in range(d):
                f, c = first[j], mean[j]
                a, b, e, h = (x0[j] - f) - c, (x1[j] - f) - c, (x2[j] - f) - c, (x3[j] - f) - c
                squares[j] += (a * a + b * b) + (e * e + h * h)
        for i in range(fours, stop):
            x0 = x[i]
            for j in range(d):
                a = (x0[j] - first[j]) - mean[j]
                squares[j] += a * a
        done += m
    for j in range(d):
        offset[j] = total[j]
        var[j] = squares[j] / n


@_compiled  # type: ignore[untyped-decorator,unused-ignore]
def _forward(
    x: Any, gamma: Any, beta: Any, eps: float, offset: Any, var: Any, x_hat: Any, y: Any, inv_std: Any
) -> None:  # pragma: no cover - compiled
    n, d = x.shape
    first, scale = x[0], inv_std[0]
    one, small = x.dtype.type(1.0), x.dtype.type(eps)
    for j in range(d):
        scale[j] = one / np.sqrt(var[j] + small)
    for start in range((n - 1) // STRIP * STRIP, -1, -STRIP):  # what was read last is still in a cache
        for i in range(start, min(start + STRIP, n)):
            row, h, out = x[i], x_hat[i], y[i]
            for j in range(d):
                a = ((row[j] - first[j]) - offset[j]) * scale[j]
                h[j] = a
                out[j] = a * gamma[j] + beta[j]


@_compiled  # type: ignore[untyped-decorator,unused-ignore]
def _backward(
    g: Any, gamma: Any, x_hat: Any, inv_std: Any, dx: Any, d_gamma: Any, d_beta: Any
) -> None:  # pragma: no cover - compiled
    n, d = g.shape
    along, over = np.zeros(d), np.zeros(d)
    fours = n // 4 * 4
    for i in range(0, fours, 4):
        g0, g1, g2, g3 = g[i], g[i + 1], g[i + 2], g[i + 3]
        h0, h1, h2, h3 = x_hat[i], x_hat[i + 1], x_hat[i + 2], x_hat[i + 3]
        for j in range(d):
            over[j] += (g0[j] + g1[j]) + (g2[j] + g3[j])
        for j in range(d):
            along[j] += (g0[j] * h0[j] + g1[j] * h1[j]) + (g2[j] * h2[j] + g3[j] * h3[j])
    for i in range(fours, n):
        g0, h0 = g[i], x_hat[i]
        for j in range(d):
            over[j] += g0[j]
            along[j] += g0[j] * h0[j]
    mean, slope, scale = np.empty(d, g.dtype), np.empty(d, g.dtype), np.empty(d, g.dtype)
    for j in range(d):
        d_beta[j], d_gamma[j] = over[j], along[j]
        mean[j], slope[j], scale[j] = over[j] / n, along[j] / n, gamma[j] * inv_std[0, j]
    for start in range((n - 1) // STRIP * STRIP, -1, -STRIP):
        for i in range(start, min(start + STRIP, n)):
            row, h, out = g[i], x_hat[i], dx[i]
            for j in range(d):
                out[j] = scale[j] * (row[j] - (mean[j] + h[j] * slope[j]))


@_compiled  # type: ignore[untyped-decorator,unused-ignore]
def _adam(
    value: Any, slope: Any, m: Any, v: Any, beta1: Any, beta2: Any, rest1: Any, rest2: Any, rate: Any, eps: Any
) -> None:  # pragma: no cover - compiled
    for k in range(slope.size):
        g = slope[k]
        a = beta1 * m[k] + rest1 * g
        b = beta2 * v[k] + rest2 * (g * g)
        m[k], v[k] = a, b
        value[k] -= rate * (a / (np.sqrt(b) + eps))


class batch_norm:
    """The kernels of one primitive: `moments`, `forward`, `backward`."""

    fits = staticmethod(plain.fits)

    @staticmethod
    def moments(x: Array) -> Moments:
        """(1) and (2) of x - first row."""
        offset, var = np.empty((2, x.shape[1]), x.dtype)
        _moments(x, offset, var, max(ROWS // x.shape[1], 8))
        return Moments(x[0], offset, var)

    @staticmethod
    def forward(
        x: Array, gamma: Any, beta: Any, eps: float, moments: Moments | None = None, into: Any = None
    ) -> tuple[Array, tuple[Array, Array]]:
        """(3) to (5): y, and (x_hat, inv_std) for backward; `into`: these three, to be filled."""
        d = x.shape[1]
        moments = moments or batch_norm.moments(x)
        gamma = np.ones(d, x.dtype) if gamma is None else gamma
        beta = np.zeros(d, x.dtype) if beta is None else beta
        y, x_hat, inv_std = into or (
            buffers.empty(x.shape, x.dtype),
            buffers.empty(x.shape, x.dtype),
            np.empty((1, d), x.dtype),
        )
        _forward(x, gamma, beta, eps, moments.offset, moments.var, x_hat, y, inv_std)
        return y, (x_hat, inv_std)

    @staticmethod
    def backward(
        g: Array, gamma: Any, x_hat: Array, inv_std: Array, into: Any = (None, None, None)
    ) -> tuple[Array, Array, Array]:
        """(6) to (9'): dx, d_gamma, d_beta; `into`: these three, to be filled where they are no None."""
        d = g.shape[1]
        gamma = np.ones(d, g.dtype) if gamma is None else gamma
        dx, d_gamma, d_beta = into or (None, None, None)
        dx = buffers.empty(g.shape, g.dtype) if dx is None else dx
        d_gamma = np.empty(d, g.dtype) if d_gamma is None else d_gamma
        d_beta = np.empty(d, g.dtype) if d_beta is None else d_beta
        _backward(g, gamma, x_hat, inv_std, dx, d_gamma, d_beta)
        return dx, d_gamma, d_beta


def adam(
    value: Array, slope: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    """One step of value, m and v, in place; see adam.py."""
    beta1, beta2 = betas
    root = math.sqrt(1 - beta2**step)
    real = value.dtype.type  # in the dtype: a float64 constant would make the whole loop float64
    constants = (beta1, beta2, 1 - beta1, 1 - beta2, lr * root / (1 - beta1**step), eps * root)
    _adam(value, slope, m, v, *[real(c) for c in constants])
