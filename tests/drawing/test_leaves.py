"""Right words: what each leaf is called, and of what kind it is, in a table of graphs."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

RNG = np.random.default_rng(0)


def leaf(name: str | None, *shape: int, needs: bool = True) -> Any:
    return mg.tensor(RNG.normal(size=shape or (2, 2)), requires_grad=needs, name=name)


def net() -> Any:
    return nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4, allow_bias=True), nn.ReLU(), nn.Linear(4, 1, rng=1))


def on_array() -> Any:
    return net()(RNG.normal(size=(5, 3)))


def two_modules() -> Any:
    return nn.Linear(4, 1, rng=0)(mg.tanh(nn.Linear(3, 4, rng=1)(leaf("x", 5, 3, needs=False))))


def in_eval() -> Any:
    return nn.BatchNorm1d(3).eval()(leaf("x", 5, 3))


def attention() -> Any:
    q, k, v = leaf("q", 4, 3), leaf("k", 4, 3), leaf("v", 4, 3)
    return mg.softmax(q @ k.T / 3**0.5) @ v


def embedding() -> Any:
    return mg.mean(leaf("table", 10, 3)[np.array([1, 4, 1])])


def likelihood() -> Any:
    data = RNG.normal(size=7)
    mu, log_sigma = leaf("mu", 1), leaf("log_sigma", 1)
    return mg.sum(mg.square((data - mu) / mg.exp(log_sigma)) / 2 + log_sigma), {"data": data}


def recurrent() -> Any:
    w, u, h = leaf("w", 3, 3), leaf("u", 2, 3), leaf("h0", 1, 3, needs=False)
    for k in range(3):
        h = mg.tanh(h @ w + leaf(f"x{k}", 1, 2, needs=False) @ u)
    return h


def twice_differentiated() -> Any:
    x, v = leaf("x", 3), np.array([1.0, 2.0, 3.0])
    dx = mg.grad(mg.sum(x**3), x, create_graph=True)
    return mg.grad(mg.sum(dx * v), x, create_graph=True)


def with_mask() -> Any:
    return mg.sum(leaf("x") * np.array([[1.0, 0.0], [0.0, 1.0]]) + np.ones(2))


CASES: dict[str, tuple[Any, dict[str, str]]] = {
    "x*x+y": (lambda: leaf("x") * leaf("x2") + leaf("y"), {"x": "leaf", "x2": "leaf", "y": "leaf"}),
    "W x": (lambda: leaf("w") @ leaf("x", needs=False), {"w": "leaf", "x": "data"}),
    "a module on an array": (
        on_array,
        {
            "x": "data",
            "layers.0.weight": "parameter",
            "layers.0.bias": "parameter",
            "layers.1.gamma": "parameter",
            "layers.1.beta": "parameter",
            "layers.3.weight": "parameter",
            "layers.3.bias": "parameter",
        },
    ),
    "two modules": (
        two_modules,
        {
            "x": "data",
            "Linear.weight": "parameter",
            "Linear.bias": "parameter",
            "Linear2.weight": "parameter",
            "Linear2.bias": "parameter",
        },
    ),
    "batch norm in eval mode": (
        in_eval,
        {
            "x": "leaf",
            "gamma": "parameter",
            "beta": "parameter",
            "running_mean": "buffer",
            "running_var": "buffer",
        },
    ),
    "attention": (attention, {"q": "leaf", "k": "leaf", "v": "leaf", "constant": "data"}),
    "embedding": (embedding, {"table": "leaf"}),
    "a Gaussian's log-likelihood": (likelihood, {"mu": "leaf", "log_sigma": "leaf", "data": "data"}),
    "an RNN": (recurrent, {"w": "leaf", "u": "leaf", "h0": "data", "x0": "data", "x1": "data", "x2": "data"}),
    "a second derivative": (twice_differentiated, {"x": "leaf", "g": "data"}),
    "unnamed arrays": (with_mask, {"x": "leaf", "constant": "data", "constant2": "data"}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_leaf_has_its_word_and_its_name(name):
    build, expected = CASES[name]
    y = build()
    y, names = y if isinstance(y, tuple) else (y, None)
    leaves = {n.name: n.kind for n in mg.graph(y, names=names) if not n.op}
    assert leaves == expected
    dot = mg.draw(y, names=names, fold=False).dot
    assert all(f"> {kind}</FONT>" in dot for kind in expected.values())
