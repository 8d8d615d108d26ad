"""Functions that programs are recorded of: every row of the primitive table, every loss and norm, in one list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core.nodes import registry

from ..table import ROWS, Row


@dataclass(frozen=True)
class Subject:
    """A function, and a way to make inputs for it."""

    name: str
    function: Callable[..., Any]
    inputs: Callable[[int], list[Any]]  # of a seed

    def __str__(self) -> str:
        return self.name


def of_row(row: Row) -> Subject:
    """A primitive called as a row of the table says, as a function of its arrays."""
    template = row.arrays(np.random.default_rng(0))
    places = [k for k, x in enumerate(template) if isinstance(x, np.ndarray)]
    call = registry[row.op]

    def function(*arrays: Any) -> Any:
        given = list(template)
        for k, x in zip(places, arrays, strict=True):
            given[k] = x
        return call(*given, **row.params)

    return Subject(str(row), function, lambda seed: [row.arrays(np.random.default_rng(seed))[k] for k in places])


def _normal(*shapes: tuple[int, ...]) -> Callable[[int], list[Any]]:
    def inputs(seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        return [rng.normal(size=shape) for shape in shapes]

    return inputs


LABELS = np.array([2, 0, 1, 1, 2])
SHARES = np.array([0.0, 0.25, 1.0, 0.5, 0.75])
OTHERS = [
    Subject("batch_norm", mg.batch_norm, _normal((5, 3), (3,), (3,))),
    Subject("batch_norm axes", lambda x, gamma: mg.batch_norm(x, gamma, axis=(0, 2)), _normal((5, 3, 2), (3,))),
    Subject("batch_norm_composed", mg.batch_norm_composed, _normal((5, 3), (3,), (3,))),
    Subject("staged", lambda x: mg.batch_norm_composed(x, variance="staged"), _normal((5, 3))),
    Subject("batch_norm_inference", lambda x, m: mg.batch_norm_inference(x, None, None, m, SHARES[:3] + 1.0),
            _normal((5, 3), (3,))),
    Subject("layer_norm", mg.layer_norm, _normal((5, 3), (3,), (3,))),
    Subject("layer_norm_composed", mg.layer_norm_composed, _normal((5, 3), (3,), (3,))),
    Subject("softmax", mg.softmax, _normal((5, 3))),
    Subject("log_softmax", lambda x: mg.log_softmax(x, axis=0), _normal((5, 3))),
    Subject("linear", mg.linear, _normal((5, 3), (3, 2), (2,))),
    Subject("cross_entropy", lambda z: mg.cross_entropy(z, LABELS), _normal((5, 3))),
    Subject("cross_entropy of sequences", lambda z: mg.cross_entropy(z, LABELS.reshape(5, 1)), _normal((5, 1, 3))),
    Subject("cross_entropy_composed", lambda z: mg.cross_entropy_composed(z, LABELS), _normal((5, 3))),
    Subject("nll_loss", lambda z: mg.nll_loss(mg.log_softmax(z), LABELS), _normal((5, 3))),
    Subject("bce with logits", lambda z: mg.binary_cross_entropy_with_logits(z, SHARES), _normal((5,))),
    Subject("bce", lambda z: mg.binary_cross_entropy(mg.sigmoid(z), SHARES), _normal((5,))),
    Subject("mse_loss", lambda x, y: mg.mse_loss(x, y), _normal((5,), (5,))),
    Subject("l1_loss", lambda x, y: mg.l1_loss(x, y), _normal((5,), (5,))),
    Subject("huber_loss", lambda x, y: mg.huber_loss(x, y, delta=0.7), _normal((5,), (5,))),
    Subject("a diamond", lambda x: (lambda a: (a * mg.exp(a)).sum())(mg.tanh(x)), _normal((4,))),
    Subject("several results", lambda x, y: {"sum": x + y, "pair": (mg.sin(x), (y * y).sum())}, _normal((3,), (3,))),
]  # fmt: skip
SUBJECTS = [of_row(row) for row in ROWS] + OTHERS
