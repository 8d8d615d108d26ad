"""Optimizers of the user's in a replayed step: a proof puts back what they keep, in place."""

from __future__ import annotations

import collections
import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg

from .steps import same


class Kept(mg.optim.Optimizer):
    """Keeps the network, a lock, a generator, weights of long ago, and what it counts."""

    def __init__(self, net: Any, rng: Any) -> None:
        super().__init__(net.parameters(), {"lr": 0.01})
        self.net, self.rng, self.lock = net, rng, threading.Lock()
        self.slow = [mg.tensor(w.data) for w in net.parameters()]
        self.norms: Any = collections.deque(maxlen=3)
        self.counts, self.seen, self.mean = {"updates": 0}, {0}, np.zeros(1)
        self.schedule = mg.optim.LambdaLR(self, lambda t: 0.9**t)

    def _update(self, value: Any, gradient: Any, state: Any, step: int, group: Any) -> None:
        with self.lock:
            self.counts["updates"] += 1
        self.norms.append(float(gradient @ gradient))
        self.seen.add(step)
        self.mean += np.abs(gradient).mean()
        for w in self.slow:
            w.data = w.data * 0.5
        moved = sum(self.norms) + float(self.mean[0]) + len(self.seen) + float(self.slow[0].data.sum())
        value -= group["lr"] * moved / self.counts["updates"] * gradient


def run(calls: int, replayed: bool) -> tuple[Kept, list[Any], Any]:
    net = mg.nn.MLP((3, 4, 1), rng=0)
    optimizer = Kept(net, np.random.default_rng(1))

    def step(x: Any) -> Any:
        loss = mg.square(net(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.schedule.step()
        return loss

    call: Any = mg.replay(step) if replayed else lambda x: step(mg.tensor(x))
    kept = [optimizer.net, optimizer.rng, optimizer.lock, optimizer.counts, optimizer.slow[0], optimizer.mean]
    x = np.random.default_rng(0).normal(size=(5, 3))
    losses = [call(x).item() for _ in range(calls)]
    assert optimizer.net is net
    now = [optimizer.net, optimizer.rng, optimizer.lock, optimizer.counts, optimizer.slow[0], optimizer.mean]
    assert all(a is b for a, b in zip(kept, now, strict=True)), "a proof must not put copies in their place"
    if replayed:
        assert (call.recordings, call.replays) == (2, calls - 2)
    return optimizer, losses, net


def test_a_proof_puts_back_what_an_optimizer_keeps_and_leaves_it_the_same_things() -> None:
    ours, losses, net = run(20, replayed=True)
    theirs, expected, other = run(20, replayed=False)
    assert losses == expected
    assert (ours.counts, ours.norms, ours.seen) == (theirs.counts, theirs.norms, theirs.seen)
    assert ours.counts == {"updates": 20}
    for a, b in zip([*net.parameters(), *ours.slow], [*other.parameters(), *theirs.slow], strict=True):
        same(a.data, b.data)


def test_a_rate_that_is_set_between_the_calls_is_no_reason_to_record_anew() -> None:
    class Descent(mg.optim.Optimizer):
        def _update(self, value: Any, gradient: Any, state: Any, step: int, group: Any) -> None:
            value -= group["lr"] * gradient

    w = mg.tensor([3.0], requires_grad=True)
    optimizer = Descent([w], {"lr": 0.1})

    def step() -> Any:
        loss = (w * w).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    replayed, expected = mg.replay(step), 3.0
    for k in range(40):
        assert replayed().item() == pytest.approx(expected**2)
        expected -= optimizer.groups[0]["lr"] * 2 * expected
        optimizer.groups[0]["lr"] = 0.1 / (k + 2)
    assert (replayed.recordings, replayed.replays) == (2, 38)
