"""Batch norm of a few numbers, compiled: column by column in float64, whatever they are. See ../tiny.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from .memory import compiled


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def forward(
    x: Any, gamma: Any, beta: Any, eps: float, y: Any, x_hat: Any, inv_std: Any, moments: Any
) -> None:  # pragma: no cover - compiled
    """(1) to (5) of normalization.py: y, x_hat and inv_std; mean and variance of x - first row into `moments`."""
    n, d = x.shape
    for j in range(d):
        first = np.float64(x[0, j])
        total = 0.0
        for i in range(n):
            total += x[i, j] - first
        mean = total / n
        total = 0.0
        for i in range(n):
            centred = (x[i, j] - first) - mean
            total += centred * centred
        var = total / n
        scale = 1.0 / np.sqrt(var + eps)
        moments[0, j], moments[1, j], inv_std[0, j] = mean, var, scale
        for i in range(n):
            h = ((x[i, j] - first) - mean) * scale
            x_hat[i, j] = h
            y[i, j] = h * gamma[j] + beta[j]


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def backward(
    g: Any, gamma: Any, x_hat: Any, inv_std: Any, dx: Any, d_gamma: Any, d_beta: Any
) -> None:  # pragma: no cover - compiled
    """(6) to (9'): dx, d_gamma and d_beta."""
    n, d = g.shape
    for j in range(d):
        over, along = 0.0, 0.0
        for i in range(n):
            over += np.float64(g[i, j])
            along += np.float64(g[i, j]) * x_hat[i, j]
        d_beta[j], d_gamma[j] = over, along
        mean, slope, scale = over / n, along / n, np.float64(gamma[j]) * inv_std[0, j]
        for i in range(n):
            dx[i, j] = scale * (g[i, j] - (mean + x_hat[i, j] * slope))
