"""A small network and its data, which the tests of training share."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim, training

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0)
VAL = (X[40:] + 0.1, Y[40:])


def parts(seed: int = 0, norm: str = "batch", **more: Any) -> tuple[nn.MLP, Any, optim.Adam]:
    net = nn.MLP((4, 8, 3), norm=norm, rng=seed, **more)
    return net, mg.cross_entropy, optim.Adam(net.parameters(), lr=0.05)


def fit(net: Any, loss: Any, optimizer: Any, **more: Any) -> training.History:
    settings: dict[str, Any] = {"epochs": 4, "batch_size": 16, "progress": False}
    return training.fit(net, loss, optimizer, (X, Y), **(settings | more))
