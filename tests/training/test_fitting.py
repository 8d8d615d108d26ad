"""fit: what it computes, and what it refuses before any weight changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, nn, optim, training

from .small import X, Y, fit, parts


def test_fit_is_the_loop_written_out():
    net, loss, optimizer = parts()
    history = fit(net, loss, optimizer, seed=5)
    twin, _, other = parts()
    rng, losses = np.random.default_rng(5), []
    for _ in range(4):
        for index in data.shuffled(60, 16, rng):
            value = mg.cross_entropy(twin(mg.tensor(X[index])), Y[index])
            other.zero_grad()
            value.backward()
            other.step()
            losses.append(value.item())
    np.testing.assert_array_equal(history.loss, losses)
    for name, array in twin.state_dict().items():
        np.testing.assert_array_equal(net.state_dict()[name], array)


def test_evaluation_leaves_modes_and_statistics_alone():
    net, *_ = parts()
    net[1].eval()
    net.training = True
    before = net.state_dict()
    assert training.predict(net, X, batch_size=7).shape == (60, 3)
    assert (net.training, net[1].training, net[2].training) == (True, False, True)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_samplers_schedules_clipping_and_callbacks_take_part():
    net, loss, optimizer = parts()
    seen = []

    def note(run: training.Run) -> None:
        seen.append((run.event, run.epoch, run.step))
        run.stop = run.event == "epoch" and run.epoch == 2

    history = fit(
        net,
        loss,
        optimizer,
        sampler=lambda n, rng: data.with_replacement(n, 10, rng, steps=3),
        seed=np.random.RandomState(0),
        schedule=optim.StepLR(optimizer, 1, 0.5),
        clip_norm=1e-12,
        callbacks=[note],
    )
    assert [event for event, *_ in seen] == ["step", "step", "step", "epoch"] * 2
    assert len(history.loss) == 6
    assert optimizer.groups[0]["lr"] == 0.05 / 4


def test_float32_models_train_in_float32():
    net = nn.MLP((4, 8, 3), norm="batch", rng=0, dtype=np.float32)
    seen: list[Any] = []

    def loss(out: Any, y: Any) -> Any:
        seen.append(out.dtype)
        return mg.cross_entropy(out, y)

    fit(net, loss, optim.Adam(net.parameters()), epochs=1)
    assert set(seen) == {np.dtype(np.float32)}
    assert {parameter.dtype for parameter in net.parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"train": (X, Y[:-1])}, "same number of rows"),
        ({"train": (X[:0], Y[:0])}, "at least one"),
        ({"train": X}, r"must be a pair \(x, y\)"),
        ({"train": (np.where(X[3, 2] == X, np.nan, X), Y)}, r"train: x has NaN .* index \[3, 2\]"),
        ({"val": (X, np.full(60, np.inf))}, "val: y has NaN or infinite"),
        ({"train": (X.astype(str), Y)}, "must hold numbers"),
        ({"train": (X, Y + 3)}, "label . is not one of the 3 classes"),
        ({"train": (X[:1], Y[:1])}, "batch norm cannot train on one sample"),
        ({"batch_size": 1}, "batch norm cannot train on one sample"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 2.5}, "epochs=2.5"),
        ({"seed": None}, "pass a seed"),
        ({"checkpoint": "no/such/folder/run.npz"}, "folder does not exist"),
        ({"loss": lambda out, y: out}, r"single number, got a Tensor of shape"),
        ({"loss": lambda out, y: 1.0}, "got float"),
        ({"loss": lambda out, y: mg.cross_entropy(out.detach(), y)}, "does not depend on a parameter"),
        ({"sampler": lambda n, rng: iter(())}, "yielded no batches"),
    ],
)
def test_bad_data_and_settings_are_refused_and_no_weight_changes(change: dict[str, Any], text: str):
    net, loss, optimizer = parts()
    parameters = [parameter.data.copy() for parameter in net.parameters()]
    settings = {"loss": loss, "train": (X, Y), "epochs": 1, "batch_size": 16, "progress": False} | change
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=text):
        training.fit(net, settings.pop("loss"), optimizer, settings.pop("train"), **settings)
    for parameter, before in zip(net.parameters(), parameters, strict=True):
        np.testing.assert_array_equal(parameter.data, before)
