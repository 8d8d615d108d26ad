"""Graphs that the drawing tests share: batch norm both ways on the same small numbers."""

from typing import Any

import numpy as np

import minigrad as mg

DY = np.random.default_rng(1).normal(0, 1, (4, 3)).round(2)


def leaves() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(7)
    x = mg.tensor(rng.normal(1, 2, (4, 3)).round(2), requires_grad=True, name="x")
    gamma = mg.tensor([1.5, 0.5, 1.0], requires_grad=True, name="gamma")
    beta = mg.tensor([0.0, 0.1, -0.2], requires_grad=True, name="beta")
    return x, gamma, beta


def composed(variance: str = "staged", of: Any = None) -> Any:
    return mg.batch_norm_composed(*(of or leaves()), variance=variance).named("y")


def fused(of: Any = None) -> Any:
    return mg.batch_norm(*(of or leaves())).named("y")
