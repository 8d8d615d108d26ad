"""Layer norm of each row of a matrix, compiled. Steps are those of normalization.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from .batch import constant
from .memory import compiled

Array = np.ndarray[Any, Any]

LANES = 32  # sums that grow side by side: one alone would wait for itself, for the order of a sum stays as written


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _total(lanes: Any) -> float:  # pragma: no cover - compiled
    total = 0.0
    for j in range(LANES):
        total += lanes[j]
        lanes[j] = 0.0
    return total


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _forward(
    x: Any, gamma: Any, beta: Any, eps: float, y: Any, x_hat: Any, inv_std: Any
) -> None:  # pragma: no cover - compiled
    n, d = x.shape
    whole = d // LANES * LANES
    lanes = np.zeros(LANES)
    one, small = x.dtype.type(1.0), x.dtype.type(eps)
    for i in range(n):
        row, h, out = x[i], x_hat[i], y[i]
        first = row[0]
        for k in range(0, whole, LANES):
            part = row[k : k + LANES]
            for j in range(LANES):
                lanes[j] += part[j] - first
        total = _total(lanes)
        for j in range(whole, d):
            total += row[j] - first
        mean = x.dtype.type(total / d)  # (1)
        for j in range(d):
            h[j] = (row[j] - first) - mean
        for k in range(0, whole, LANES):
            part = h[k : k + LANES]
            for j in range(LANES):
                lanes[j] += part[j] * part[j]
        total = _total(lanes)
        for j in range(whole, d):
            total += h[j] * h[j]
        scale = one / np.sqrt(x.dtype.type(total / d) + small)  # (2), (3)
        inv_std[i, 0] = scale
        for j in range(d):
            h[j] *= scale  # (4)
        for j in range(d):
            out[j] = h[j] * gamma[j] + beta[j]  # (5)


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _backward(
    g: Any, gamma: Any, x_hat: Any, inv_std: Any, dx: Any, d_gamma: Any, d_beta: Any
) -> None:  # pragma: no cover - compiled
    n, d = g.shape
    whole = d // LANES * LANES
    lanes, lanes_h = np.zeros(LANES), np.zeros(LANES)
    over, along = np.zeros(d), np.zeros(d)
    for i in range(n):
        row, h, out = g[i], x_hat[i], dx[i]
        for j in range(d):
            over[j] += row[j]  # (6)
        for j in range(d):
            along[j] += row[j] * h[j]  # (7)
        for j in range(d):
            out[j] = row[j] * gamma[j]  # (8)
        for k in range(0, whole, LANES):
            part, part_h = out[k : k + LANES], h[k : k + LANES]
            for j in range(LANES):
                lanes[j] += part[j]
            for j in range(LANES):
                lanes_h[j] += part[j] * part_h[j]
        total, total_h = _total(lanes), _total(lanes_h)
        for j in range(whole, d):
            total += out[j]
            total_h += out[j] * h[j]
        scale, mean, slope = inv_std[i, 0], g.dtype.type(total / d), g.dtype.type(total_h / d)
        for j in range(d):
            out[j] = scale * (out[j] - mean - h[j] * slope)  # (9)
    for j in range(d):
        d_gamma[j], d_beta[j] = along[j], over[j]


class layer_norm:
    """The kernels of one primitive, for C-ordered matrices of one dtype: `forward`, `backward`."""

    @staticmethod
    def forward(x: Array, gamma: Any, beta: Any, eps: float, y: Array, x_hat: Array, inv_std: Array) -> None:
        """(1) to (5): fills y, and x_hat and inv_std for backward."""
        gamma, beta = (constant(c, x.shape[1], x.dtype) if v is None else v for c, v in ((1.0, gamma), (0.0, beta)))
        _forward(x, gamma, beta, eps, y, x_hat, inv_std)

    @staticmethod
    def backward(g: Array, gamma: Any, x_hat: Array, inv_std: Array, dx: Array, d_gamma: Array, d_beta: Array) -> None:
        """(6) to (9): fills dx, d_gamma and d_beta."""
        gamma = constant(1.0, g.shape[1], g.dtype) if gamma is None else gamma
        _backward(g, gamma, x_hat, inv_std, dx, d_gamma, d_beta)
