"""A loss, a gradient or an input that stops being finite: the step, the op and the line are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, training
from minigrad._support.randomness import state_of

from .small import fit


class Fragile(nn.Module):
    """Takes the logarithm of something that becomes negative."""

    def __init__(self) -> None:
        self.first = nn.Linear(4, 4, rng=0)
        self.norm = nn.BatchNorm1d(4, allow_bias=True)
        self.drop = nn.Dropout(0.25, rng=1)
        self.shift = mg.full(4, 3.0, requires_grad=True)

    def forward(self, x: Any) -> Any:
        h = self.drop(self.norm(self.first(x)))
        risky = mg.log(h + self.shift)  # the line to be named
        return risky.sum(axis=1)


@pytest.mark.parametrize("rng", [np.random.default_rng(1), np.random.RandomState(1)], ids=["Generator", "RandomState"])
def test_a_loss_that_turns_nan_stops_with_step_node_and_line(rng: Any):
    net = Fragile()
    net.drop.rng = rng
    optimizer = optim.SGD(net.parameters(), lr=0.5)
    states = []

    def note(run: training.Run) -> None:
        states.append((run.model.state_dict(), state_of(net.drop.rng)))

    with pytest.raises(
        training.NonFiniteStep, match=r"step \d+: the loss is not finite.*in Fragile, log made NaN"
    ) as caught:
        fit(net, lambda out, y: out.mean(), optimizer, epochs=200, callbacks=[note])
    error = caught.value
    assert error.node.op.name == "log"
    assert error.line is not None
    file, line = error.line
    assert Path(file) == Path(__file__)
    assert "the line to be named" in Path(__file__).read_text().splitlines()[line - 1]
    assert error.step == len(error.history.loss) + 1 > 1
    before, drawn = states[-1]  # weights, statistics and generators are those before the step
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert state_of(net.drop.rng) == drawn


def test_a_gradient_that_is_infinite_is_found_before_it_is_applied():
    w = mg.zeros(4, requires_grad=True)

    class Root(nn.Module):
        def __init__(self) -> None:
            self.w = w

        def forward(self, x: Any) -> Any:
            return mg.sqrt((x * self.w).sum(axis=1) * 0.0)

    with pytest.raises(training.NonFiniteStep, match=r"a gradient is not finite.*the rule of sqrt made infinity"):
        fit(Root(), lambda out, y: out.mean(), optim.SGD([w], lr=1.0))
    np.testing.assert_array_equal(w.data, 0)


def test_large_gradients_whose_squares_overflow_are_applied():
    w = mg.zeros(2, requires_grad=True)

    class Steep(nn.Module):
        def __init__(self) -> None:
            self.w = w

        def forward(self, x: Any) -> Any:
            return (x * self.w).sum(axis=1) * 1e200

    rows = np.ones((4, 2))
    training.fit(
        Steep(), lambda out, y: out.mean(), optim.SGD([w], lr=1.0), (rows, rows[:, 0]), epochs=1, progress=False
    )
    np.testing.assert_array_equal(w.data, -1e200)


def test_overflow_before_a_batch_norm_is_explained_by_what_overflowed():
    class Exploding(nn.Module):
        def __init__(self) -> None:
            self.scale = mg.full(4, 1e3, requires_grad=True)
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: Any) -> Any:
            return self.norm(mg.exp(x * self.scale)).sum(axis=1)

    net = Exploding()
    with pytest.raises(
        training.NonFiniteStep, match=r"step 1: the input of a layer is not finite.*in Exploding, exp made infinity"
    ) as caught:
        fit(net, lambda out, y: out.mean(), optim.SGD(net.parameters(), lr=1.0))
    assert caught.value.node.op.name == "exp"
    assert net.norm.updates.item() == 0
