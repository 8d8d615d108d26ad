"""Training steps that several tests replay, and how their results are compared."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg


def same(a: Any, b: Any) -> None:
    """Bit for bit, NaN and -0.0 too."""
    a, b = np.asarray(a), np.asarray(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert a.tobytes() == b.tobytes()


def training(sizes, optimizer=mg.optim.Adam, clip=None, loss=None, options=None, lr=0.01, **net_options):
    net = mg.nn.MLP(sizes, rng=0, **net_options)
    optimizer = optimizer(net.parameters(), lr=lr, **(options or {}))
    loss = loss or (mg.cross_entropy if sizes[-1] > 1 else mg.binary_cross_entropy_with_logits)

    def step(x, y):
        value = loss(net(x), y)
        optimizer.zero_grad()
        value.backward()
        if clip is not None:
            mg.optim.clip_grad_norm(net.parameters(), clip)
        optimizer.step()
        return value

    return net, optimizer, step


def batch(sizes, rows, seed, dtype="float64"):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, max(sizes[-1], 2), rows)
    return rng.normal(size=(rows, sizes[0])).astype(dtype), y if sizes[-1] > 1 else y[:, None].astype(dtype)


def thrice(step, x):
    for _ in range(3):
        step(x)
