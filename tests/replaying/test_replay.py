"""Replayed training steps: the same bits as the step itself, and what may be looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.replaying import NotReplayable, Replayed

from .steps import batch, same, thrice, training

CASES: dict[str, dict[str, Any]] = {
    "batch norm": {"norm": "batch"},
    "batch norm, float32": {"norm": "batch", "dtype": "float32"},
    "composed batch norm": {"norm": "batch", "implementation": "composed"},
    "keras convention": {"norm": "batch", "convention": "keras"},
    "average of batches": {"norm": "batch", "convention": "paper"},
    "layer norm": {"norm": "layer"},
    "dropout": {"dropout": 0.4},
    "tanh": {"activation": "tanh"},
    "leaky relu, bias": {"activation": "leaky_relu", "norm": "batch", "bias": True},
    "sgd": {"optimizer": mg.optim.SGD, "options": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}},
    "rmsprop": {"optimizer": mg.optim.RMSprop, "options": {"momentum": 0.5}},
    "adamw": {"optimizer": mg.optim.AdamW},
    "clipped": {"clip": 0.05},
    "composed loss": {"loss": mg.cross_entropy_composed},
}


@pytest.mark.parametrize("sizes", [(6, 8, 5, 3), (6, 7, 1)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_a_training_step_replayed_is_the_step(case, sizes):
    options = CASES[case]
    if options.get("loss") is not None and sizes[-1] == 1:
        options = {**options, "loss": mg.mse_loss}
    net, optimizer, step = training(sizes, **options)
    other, other_optimizer, other_step = training(sizes, **options)
    replayed = mg.replay(other_step)
    for k in range(7):
        x, y = batch(sizes, 300 if k == 0 else 9, k, options.get("dtype", "float64"))
        if k == 5:  # as a schedule does
            optimizer.groups[0]["lr"] = other_optimizer.groups[0]["lr"] = 0.002
        same(replayed(x, y).data, step(mg.tensor(x), y).data)
        for (name, a), (_, b) in zip(net.named_tensors(), other.named_tensors(), strict=True):
            same(a.data, b.data)
            if a.requires_grad:
                assert b.grad is not None, name
                same(a.grad.data, b.grad.data)
    for name, value in optimizer.state_dict().items():
        same(value, other_optimizer.state_dict()[name])
    assert replayed.replays == 4


def test_two_optimizers_over_the_same_parameters():
    def made():
        w = mg.tensor(np.ones(3), requires_grad=True)
        first, second = mg.optim.SGD([w], lr=0.1), mg.optim.Adam([w], lr=0.1)

        def step(x):
            for optimizer in (first, second):
                loss = ((w - x) ** 2).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return loss

        return w, step

    (a, step), (b, other) = made(), made()
    replayed = mg.replay(other)
    for k in range(5):
        x = np.full(3, float(k))
        same(replayed(x).data, step(mg.tensor(x)).data)
        same(a.data, b.data)
    assert replayed.replays == 3


@pytest.mark.parametrize("kind", ["SGD", "RMSprop", "Adam", "AdamW"])
@pytest.mark.parametrize("unused", [0, 1, 2])
def test_a_parameter_that_the_loss_does_not_reach_stays_as_it_is(kind, unused):
    def made():
        params = [mg.tensor(np.arange(1.0, 4.0) + k, requires_grad=True) for k in range(3)]
        optimizer = getattr(mg.optim, kind)(params, lr=0.1, weight_decay=0.1)

        def step(x):
            loss = sum((mg.sum(mg.square(w * x)) for k, w in enumerate(params) if k != unused), start=mg.tensor(0.0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return params, optimizer, step

    (ours, mine, step), (theirs, other, eager) = made(), made()
    again = mg.replay(step)
    for k in range(5):
        x = np.random.default_rng(k).normal(size=3)
        if k == 3:  # from before: the step forgets it
            ours[unused].grad = theirs[unused].grad = mg.tensor(np.ones(3))
        same(again(x).data, eager(mg.tensor(x)).data)
        for a, b in zip(ours, theirs, strict=True):
            same(a.data, b.data)
    assert again.replays == 3
    np.testing.assert_array_equal(ours[unused].data, np.arange(1.0, 4.0) + unused)
    for name, value in mine.state_dict().items():
        same(value, other.state_dict()[name])


GRADIENTS: dict[str, Any] = {  # of v and w, both (3, 3), that are views, constants, or one for both
    "transposed": lambda v, w, x: mg.square(v.T @ x) + mg.square(x @ mg.swapaxes(w, 0, 1)),
    "reshaped": lambda v, w, x: mg.square(mg.reshape(v, (9, 1)) * x) * mg.reshape(w, (9, 1)),
    "added": lambda v, w, x: mg.square(v + w + x),
    "summed": lambda v, w, x: v + 2.0 * w,
    "flipped": lambda v, w, x: mg.square(mg.flip(v * x, 0)) * w[::-1, ::-1],
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_that_are_views_constants_or_shared_are_stepped_along(case):
    def made():
        v, w = (mg.tensor(np.random.default_rng(k).normal(size=(3, 3)), requires_grad=True) for k in range(2))
        optimizer = mg.optim.SGD([v, w], lr=0.01, momentum=0.9)

        def step(x):
            loss = mg.sum(GRADIENTS[case](v, w, x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return (v, w), step

    (ours, step), (theirs, eager) = made(), made()
    again = mg.replay(step)
    for k in range(6):
        x = np.random.default_rng(10 + k).normal(size=(1, 3) if case == "reshaped" else (3, 3))
        same(again(x).data, eager(mg.tensor(x)).data)
        for a, b in zip(ours, theirs, strict=True):
            same(a.data, b.data)
    assert again.replays == 4


def test_a_gradient_keeps_its_layout_by_which_others_sum_it():
    def made():
        w = mg.tensor(np.random.default_rng(0).normal(size=(37, 41)), requires_grad=True)
        optimizer = mg.optim.SGD([w], lr=0.01)

        def step(x):
            loss = mg.sum(mg.square(w.T @ x)) + mg.sum(mg.tanh(w.T @ (2.0 * x)))  # of w.T is F-ordered of w
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            grad: Any = w.grad
            return loss, mg.sum(grad), mg.sum(grad, axis=0)

        return w, step

    (ours, step), (theirs, eager) = made(), made()
    again = mg.replay(step)
    for k in range(8):
        x = np.random.default_rng(10 + k).normal(size=(37, 5))
        for found, expected in zip(again(x), eager(mg.tensor(x)), strict=True):
            same(found.data, expected.data)
        same(ours.data, theirs.data)
    assert again.replays == 6


def test_a_replayed_step_inside_another_is_part_of_it():
    w = mg.tensor(2.0, requires_grad=True)
    inner = mg.replay(lambda x: w * x)
    outer = mg.replay(lambda x: inner(x) + 1.0)
    for k in range(4):
        assert outer(np.array(float(k))).item() == 2.0 * k + 1.0
    assert (outer.replays, inner.replays) == (2, 0)


def test_methods_and_objects_as_arguments():
    class Trainer:
        def __init__(self, factor: float) -> None:
            self.w = mg.tensor([factor], requires_grad=True)

        @mg.replay
        def step(self, x: Any) -> Any:
            return self.w * x

    one, two = Trainer(2.0), Trainer(3.0)
    for k in range(4):
        x = np.array([float(k)])
        assert (one.step(x).item(), two.step(x).item()) == (2.0 * k, 3.0 * k)
    assert Trainer.step.replays == 4


def test_schedules_inside_a_step_move_and_overridden_steps_are_refused():
    def made(kind):
        w = mg.tensor([1.0], requires_grad=True)
        optimizer = kind([w], lr=0.1)
        schedule = mg.optim.StepLR(optimizer, 1, 0.5)

        def step(x):
            loss = (w * x).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            return loss

        return w, step

    (a, step), (b, other) = made(mg.optim.SGD), made(mg.optim.SGD)
    replayed = mg.replay(other)
    for _ in range(5):
        step(mg.tensor([1.0]))
        replayed(np.ones(1))
        same(a.data, b.data)

    class Warm(mg.optim.SGD):
        def step(self) -> None:
            self.groups[0]["lr"] *= 1.1
            super().step()

    with pytest.raises(NotReplayable, match=r"Warm has a step\(\) of its own"):
        thrice(mg.replay(made(Warm)[1]), np.ones(1))


def test_smaller_things():
    sign = mg.replay(lambda x, k: x * np.copysign(2.0, k))
    assert [sign(np.ones(1), k).item() for k in (0.0, -0.0, 0.0, -0.0, 0.0, -0.0)] == [2.0, -2.0] * 3
    rng = np.random.default_rng(0)

    @mg.primitive
    def noisy(x):
        return x + rng.normal(size=x.shape)

    noise = mg.replay(lambda x: noisy(x) - noisy(x))
    assert all(noise(np.ones(3)).data.all() for _ in range(4))
    inside = mg.replay(lambda x: mg.tensor(x, dtype="float32") * 2.0)
    assert [inside(np.array([k])).item() for k in (1.0, 2.0, 3.0, 4.0)] == [2.0, 4.0, 6.0, 8.0]
    h = mg.tensor([2.0], requires_grad=True)

    def retained(x):
        y = (h * x).retain_grad()
        h.grad = None
        (y * y).sum().backward()
        return h.grad

    again = mg.replay(retained)
    assert [again(np.array([k])).item() for k in (1.0, 2.0, 3.0, 4.0)] == [4.0, 16.0, 36.0, 64.0]


def test_the_program_prints_and_draws():
    _, _, step = training((6, 8, 5, 3), norm="batch")
    replayed = mg.replay(step)
    for k in range(3):
        replayed(*batch((6, 3), 9, k))
    text = str(replayed.program)
    assert "matmul(x, weight)" in text
    assert "in place" in text
    assert "Adam.step(" in text
    assert "gradients" in text
    assert f"{len(replayed.program)} instructions" in text
    names = [node.op for node in mg.graph(replayed.program.tensors()).nodes if node.op]
    assert names.count("matmul") == 8
    assert "Adam.step" in names
    assert "batch_norm_ backward" in names or "batch_norm backward" in names
    assert "digraph" in mg.draw(replayed.program.tensors()).dot
    before, after = replayed.stages["recorded"], replayed.stages["common subexpressions"]
    assert str(before).splitlines()[:3] == str(after).splitlines()[:3]
    assert "matmul(x, weight)" in str(before)
    assert "weight_2" in str(before), "the second layer's"
    assert (before.digest() == after.digest()) == (len(before) == len(after))
    assert mg.draw(replayed.program).dot == mg.draw(after).dot


def test_replay_is_a_decorator_too():
    @mg.replay(fuse=True)
    def step(x):
        """Twice x."""
        return x * 2.0

    assert isinstance(step, Replayed)
    assert step.__doc__ == "Twice x."
    assert step(np.array(2.0)).item() == 4.0


@pytest.mark.parametrize("first", ["softmax", "log_softmax", "batch norm", "cross entropy"])
def test_a_parameter_may_be_used_first_by_what_takes_its_largest_or_its_first_row(first):
    """They look at its values beside the graph, which is followed as any use of it."""
    use: Any = {
        "softmax": mg.softmax,
        "log_softmax": mg.log_softmax,
        "batch norm": mg.batch_norm_composed,
        "cross entropy": lambda w: mg.cross_entropy_composed(w, np.array([0, 2, 1, 1])),
    }[first]

    def made():
        w = mg.tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
        adam = mg.optim.Adam([w], lr=0.1)

        def step(x):
            loss = (use(w) * x).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            return loss

        return w, step

    (w, step), (other, eager) = made(), made()
    replayed = mg.replay(step)
    for k in range(6):
        x = np.random.default_rng(k).normal(size=(4, 3))
        same(replayed(x).data, eager(mg.tensor(x)).data)
        same(w.data, other.data)
    assert replayed.replays == 4


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.cross_entropy_composed])
def test_labels_in_a_tensor_around_the_step_are_followed(loss):
    labels = mg.tensor(np.array([0, 2, 1, 1]))
    replayed = mg.replay(lambda x: loss(x, labels))
    for k in range(6):
        x, labels.data = np.random.default_rng(k).normal(size=(4, 3)), np.arange(k, k + 4) % 3
        same(replayed(x).data, loss(x, labels.data))
    assert replayed.replays == 4
