"""The step itself, taken now and then beside its replay; and many programs of one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.context import current, using
from minigrad.replaying import NotReplayable

from .steps import same

# What no guard can see ----------------------------------------------------------------------------------------------


class Sly:
    """Hides a number where nobody looks: behind C code."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(b"\x02"))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def test_the_step_itself_is_taken_now_and_then_and_a_stale_replay_is_found():
    sly = Sly()

    class Outside:
        """Counts the calls where no guard looks: in a bytearray."""

        calls = bytearray(b"\x00")

    def step(x):
        Outside.calls[0] += 1
        return x * float(sly.memory[0])

    replayed = mg.replay(step)
    for k in range(1, 16):
        assert replayed(np.ones(1)).item() == 2.0
        assert Outside.calls[0] == (2 if k < 4 else 3) if k > 1 else 1, "its side effects happen once"
    assert replayed.replays == 13
    sly.memory[0] = 3
    with pytest.raises(NotReplayable, match=r"call 16 of step .*mul|given|constant"):
        replayed(np.ones(1))
    with pytest.raises(NotReplayable, match="found in an earlier call"):
        replayed(np.ones(1))


def counting(change):
    """A primitive whose result depends on how often it ran, which nobody can see."""
    calls = bytearray(b"\x00")

    @mg.primitive
    def sly(x):
        calls[0] += 1
        return change(x, calls[0])

    sly.defvjp(lambda g, out, x: g)
    return sly


@pytest.mark.parametrize("change", [lambda x, n: x + n, lambda x, n: x * (1 + n * 1e-15)], ids=["more", "rounding"])
def test_a_replay_that_gives_another_result_than_the_step_is_refused(change):
    sly = counting(change)
    replayed = mg.replay(lambda x: sly(x))
    for _ in range(3):
        replayed(np.ones(3))
    with pytest.raises(NotReplayable, match=r"call 4 of .* gave something else: v1, the result of sly"):
        replayed(np.ones(3))


def test_a_replay_that_writes_something_else_than_the_step_is_refused():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    calls = bytearray(b"\x00")

    class Sly(mg.optim.SGD):
        def _update(self, value, gradient, state, step, group):
            calls[0] += 1
            value -= calls[0] * gradient

    optimizer = Sly([w])

    def step(x):
        optimizer.zero_grad()
        mg.sum(w * x).backward()
        optimizer.step()

    replayed = mg.replay(step)
    for _ in range(3):
        replayed(np.ones(2))
    with pytest.raises(NotReplayable, match=r"call 4 of .* gave something else"):
        replayed(np.ones(2))


def test_a_replay_that_fails_where_the_step_does_not_is_refused():
    def change(x, n):
        if n == 4:  # the replay that is followed by the step itself
            raise RuntimeError("out of paper")
        return x

    sly = counting(change)
    replayed = mg.replay(lambda x: sly(x))
    for _ in range(3):
        replayed(np.ones(3))
    with pytest.raises(NotReplayable, match="raises an error, where the step itself does not"):
        replayed(np.ones(3))


def test_a_proof_leaves_the_gradients_of_the_step_alone():
    w = mg.tensor([1.0, 2.0], requires_grad=True)

    def step(x):
        loss = mg.sum(mg.square(w * x))
        loss.backward()
        return loss

    replayed = mg.replay(step)
    for k in range(1, 9):
        x = np.full(2, float(k))
        replayed(x)
        assert w.grad is not None
        same(w.grad.data, 2 * w.data * x * x)
        w.grad = None  # by whoever calls the step
    assert replayed.replays == 6


def test_after_a_proof_the_results_of_the_step_stand():
    memory = memoryview(bytearray(b"\x01"))
    w, v = mg.tensor([1.0], requires_grad=True), mg.tensor([1.0], requires_grad=True)
    adam, eager = mg.optim.Adam([w], lr=0.5), mg.optim.Adam([v], lr=0.5)

    def made(w, adam):
        def step(x):
            loss = ((w - x * float(memory[0])) ** 2).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
            return loss

        return step

    replayed, step = mg.replay(made(w, adam)), made(v, eager)
    x = np.array([3.0])
    for _ in range(15):
        same(replayed(x).data, step(mg.tensor(x)).data)
    memory[0] = 4
    step(mg.tensor(x))
    with pytest.raises(NotReplayable):
        replayed(x)
    same(w.data, v.data)
    same(adam.state_dict()["param.0.m"], eager.state_dict()["param.0.m"])
    assert adam.state_dict()["param.0.step"] == 16


def test_training_with_proofs_is_training():
    """Dropout, batch norm, Adam, a schedule inside and clipping: 70 steps, among them three proofs."""

    def made():
        net = mg.nn.MLP((4, 8, 2), norm="batch", dropout=0.3, rng=0)
        adam = mg.optim.Adam(net.parameters(), lr=0.01)
        schedule = mg.optim.StepLR(adam, 5, 0.9)

        def step(x, y):
            loss = mg.cross_entropy(net(x), y)
            adam.zero_grad()
            loss.backward()
            mg.optim.clip_grad_norm(net.parameters(), 1.0)
            adam.step()
            schedule.step()
            return loss

        return net, adam, schedule, step

    (net, adam, schedule, step), (other, other_adam, other_schedule, other_step) = made(), made()
    replayed = mg.replay(other_step)
    rng = np.random.default_rng(1)
    for _ in range(70):
        x, y = rng.normal(size=(6, 4)), rng.integers(0, 2, 6)
        same(replayed(x, y).data, step(mg.tensor(x), y).data)
    assert replayed.replays == 68
    assert (schedule.t, adam.groups[0]["lr"]) == (other_schedule.t, other_adam.groups[0]["lr"])
    for (_, a), (_, b) in zip(net.named_tensors(), other.named_tensors(), strict=True):
        same(a.data, b.data)
    for name, value in adam.state_dict().items():
        same(value, other_adam.state_dict()[name])


def test_an_optimizer_of_ones_own_that_keeps_something_is_replayed_and_proved():
    class Own(mg.optim.SGD):
        """Slower with every update; the number of updates is its own."""

        seen = 0

        def _update(self, value, gradient, state, step, group):
            self.seen += 1
            super()._update(value, gradient / self.seen, state, step, group)

    def made():
        w = mg.tensor([1.0, 2.0], requires_grad=True)
        own = Own([w], lr=0.1)

        def step(x):
            loss = ((w - x) ** 2).sum()
            own.zero_grad()
            loss.backward()
            own.step()
            return loss

        return own, step

    (own, step), (other, other_step) = made(), made()
    replayed = mg.replay(other_step)
    for k in range(20):
        x = np.full(2, float(k))
        same(replayed(x).data, step(mg.tensor(x)).data)
    assert (own.seen, other.seen, replayed.replays) == (20, 20, 18)


def test_a_step_that_fails_in_the_middle_goes_on_afterwards(monkeypatch):
    for bound in (1, 1 << 26):
        monkeypatch.setattr(mg.replaying.entry, "LARGE", bound)
        net = mg.nn.MLP((3, 4, 2), norm="batch", rng=0)
        other = mg.nn.MLP((3, 4, 2), norm="batch", rng=0)
        replayed = mg.replay(lambda x, y, net=net: mg.cross_entropy(net(x), y))
        x, y = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 0, 1, 1])
        for k in range(1, 24):
            if k in (1, 2, 4, 7, 16):
                for step, given in ((replayed, x), (lambda x, y, net=other: mg.cross_entropy(net(x), y), mg.tensor(x))):
                    with pytest.raises(ValueError, match="label 8 is not one of the 2 classes"):
                        step(given, y * 0 + 8)
            same(replayed(x, y).data, mg.cross_entropy(other(mg.tensor(x)), y).data)
        for (_, a), (_, b) in zip(net.named_tensors(), other.named_tensors(), strict=True):
            same(a.data, b.data)
        assert replayed.replays > 10


# Many shapes --------------------------------------------------------------------------------------------------------


def test_many_shapes_in_turn_are_kept_within_a_bound_of_memory(monkeypatch):
    w = mg.tensor(np.ones(4), requires_grad=True)
    replayed = mg.replay(lambda x: (x * w).sum())
    for _ in range(4):
        for n in range(1, 65):
            assert replayed(np.ones((n, 4))).item() == 4.0 * n
    assert (replayed.recordings, replayed.replays) == (128, 128)
    monkeypatch.setattr(mg.replaying.step, "MEMORY", 1000)
    for n in range(65, 75):
        replayed(np.ones((n, 4)))
        replayed(np.ones((n, 4)))
    assert sum(entry.nbytes for entry in replayed._used) <= max(1000, *[e.nbytes for e in replayed._used])
    assert len(replayed._used) < 5


def test_a_step_that_is_recorded_more_than_replayed_warns():
    replayed = mg.replay(lambda x: x * 2.0)

    def many():
        for n in range(1, 257):
            replayed(np.ones(n))

    with pytest.warns(UserWarning, match="was recorded 256 times and replayed 0 times"):
        many()


def test_shapes_that_do_not_fit_into_memory_together_warn(monkeypatch):
    monkeypatch.setattr(mg.replaying.step, "MEMORY", 1000)
    replayed = mg.replay(lambda x: x * 2.0)

    def in_turn():
        for k in range(120):
            replayed(np.ones((k % 4 + 1, 100)))
            replayed(np.ones((k % 4 + 1, 100)))

    with pytest.warns(UserWarning, match=r"was recorded \d+ times and replayed \d+ times: replay makes it slower"):
        in_turn()


# Ctrl-C -------------------------------------------------------------------------------------------------------------


def test_nobody_listens_after_an_interrupt_while_a_context_was_being_left(monkeypatch):
    w = mg.tensor([2.0], requires_grad=True)
    replayed = mg.replay(lambda x: (x * w).sum())

    def interrupted(self: Any, *error: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(using, "__exit__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replayed(np.ones(1))
    monkeypatch.undo()
    assert current().observers == ()
    assert w.data.item() == 2.0, "which a recording would refuse"
    assert [replayed(np.ones(1)).item() for _ in range(5)] == [2.0] * 5


def test_an_optimizer_tells_that_a_proof_was_interrupted_while_it_put_things_back(monkeypatch):
    net = mg.nn.MLP((3, 4, 1), dropout=0.5, rng=0)
    adam = mg.optim.Adam(net.parameters(), lr=0.1)

    @mg.replay
    def step(x):
        loss = mg.square(net(x)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss

    x = np.ones((5, 3))
    for _ in range(3):
        step(x)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("minigrad.replaying.state.put_state", interrupted)
    with pytest.raises(KeyboardInterrupt):
        step(x)
    assert adam.interrupted
