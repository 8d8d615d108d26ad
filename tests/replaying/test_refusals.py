"""What cannot be replayed is refused, with its line and its reason, before anything is guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.replaying import NotReplayable

from .steps import batch, same, thrice, training


def test_checks_of_the_data_run_in_every_replay():
    net, _, step = training((4, 5, 3), norm="batch")
    replayed = mg.replay(step)
    x, y = batch((4, 3), 6, 0)
    for _ in range(3):
        replayed(x, y)
    before = net.state_dict()
    with pytest.raises(ValueError, match="label 7 is not one of the 3 classes"):
        replayed(x, np.full(6, 7))
    weights = {name: a for name, a in net.state_dict().items() if "running" not in name and "updates" not in name}
    for name in weights:
        if "share" not in name:
            same(weights[name], before[name])
    running = net.state_dict()
    with pytest.raises(ValueError, match="NaN or infinite values in 5 channel"):
        replayed(np.full((6, 4), np.nan), y)
    for name, a in net.state_dict().items():
        same(a, running[name])
    replayed(x, y)
    assert replayed.replays == 4


def test_anomalies_are_looked_for_in_the_step_itself():
    w = mg.tensor([1.0, -1.0], requires_grad=True)
    replayed = mg.replay(lambda: mg.log(w * 1.0))
    with np.errstate(invalid="ignore"):
        for _ in range(3):
            replayed()
        with mg.detect_anomalies(), pytest.raises(FloatingPointError, match="log made NaN"):
            replayed()


W = mg.tensor([1.0, 2.0], requires_grad=True)


def carried(x):
    loss = (W * x).sum()
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (lambda x: x * 2.0 if x.sum() > 0 else x, "the number of .* was read at line"),
        (lambda x: x * x.sum().item(), "the number"),
        (lambda x: x * float(x.max()), "the number"),
        (lambda x: mg.tensor(np.sort(x.data)), "the array"),
        (lambda x: 3.0 in x, "the content"),
        (lambda x: x[int(x.argmax())], "the number"),
        (lambda x: mg.grad((W * x).sum(), W, create_graph=True), "create_graph=True cannot be replayed"),
        (lambda x: x * np.random.default_rng().normal(), "a constant that changed|, then"),
        (lambda x: x * mg.tensor(np.random.default_rng().normal(size=2)), "a constant that changed"),
        (carried, "gradient of .* that was there before"),
        (lambda x: object(), "returns Tensors, numbers, or tuples"),
    ],
)
def test_what_cannot_be_replayed_says_why(step, text):
    W.grad = None
    replayed = mg.replay(step)
    with pytest.raises(NotReplayable, match=text):
        thrice(replayed, np.array([1.0, 2.0]))
    assert replayed.replays == 0


def test_a_gradient_left_from_outside_is_refused_before_anything_runs():
    w = mg.tensor([1.0], requires_grad=True)

    def step(x):
        (w * x).sum().backward()

    replayed = mg.replay(step)
    for k in range(3):
        w.grad = None
        replayed(np.array([float(k)]))
    left = w.grad
    assert left is not None
    assert left.item() == 2.0
    with pytest.raises(NotReplayable, match="has a gradient from before"):
        replayed(np.array([5.0]))
    assert w.grad is left


def test_bad_arguments_are_refused():
    replayed = mg.replay(lambda *xs: xs[0])
    with pytest.raises(TypeError, match="requires a gradient"):
        replayed(W)
    with pytest.raises(TypeError, match="got list; pass arrays one by one"):
        replayed([np.ones(2)])
    with pytest.raises(TypeError, match="arrays of real numbers"):
        replayed(np.array(["a"]))
    with pytest.raises(TypeError, match="replay takes a function"):
        mg.replay(3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="fuse='conv' must be among batch_norm, layer_norm, softmax_cross_entropy"):
        mg.replay(lambda x: x, fuse=["conv"])
    with pytest.raises(RuntimeError, match="nothing has been recorded yet"):
        mg.replay(lambda x: x).program  # noqa: B018


def test_a_refusal_is_remembered_and_the_step_is_not_taken_again():
    w = mg.tensor([1.0], requires_grad=True)
    sgd = mg.optim.SGD([w], lr=0.5)

    def step(x):
        loss = (w * x).sum()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return loss.item()

    replayed = mg.replay(step)
    with pytest.raises(NotReplayable, match="the number"):
        replayed(np.ones(1))
    after = w.data.copy()
    with pytest.raises(NotReplayable, match=r"found in an earlier call; this one did nothing"):
        replayed(np.ones(1))
    same(w.data, after)


def test_a_module_that_counts_is_refused():
    class Counting(mg.nn.Module):
        steps = 0

        def forward(self, x: Any) -> Any:
            self.steps += 1
            return x * 2.0 if self.steps < 5 else x

    with pytest.raises(NotReplayable, match=r"the step changes Counting\.steps"):
        thrice(mg.replay(Counting()), np.ones(1))


def test_a_counter_beside_a_replayed_method_is_refused_and_told_where_to_keep_it():
    class Trainer:
        def __init__(self) -> None:
            self.calls = 0

        def step(self, x: Any) -> Any:
            return x * 2.0

    trainer = Trainer()
    replayed = mg.replay(trainer.step)

    def train() -> None:
        for _ in range(20):
            replayed(np.ones(2))
            trainer.calls += 1

    with pytest.raises(NotReplayable, match=r"because Trainer\.calls changes; .* not in an object that it uses"):
        train()
