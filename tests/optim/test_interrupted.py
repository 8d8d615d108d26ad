"""A training that is interrupted at any moment: weights and counts of steps agree, or the state says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

TRAINING = """
import signal, sys
from contextvars import copy_context
import numpy as np
import minigrad as mg
from time import perf_counter

moments, replayed = int(sys.argv[1]), sys.argv[2] == "replayed"
STEPS = 40
rng = np.random.default_rng(0)
x, y = rng.normal(size=(16, 6)), rng.integers(0, 3, 16)

class Interrupted(BaseException):
    pass

armed = False

def interrupt(*_):
    if armed:
        raise Interrupted

signal.signal(signal.SIGALRM, interrupt)

def parts():
    net = mg.nn.MLP((6, 20, 3), norm="batch", rng=0)
    params = list(net.parameters())
    optimizer = mg.optim.Adam([{"params": params[:2]}, {"params": params[2:], "weight_decay": 0.1}], lr=0.01)

    def step(x, y):
        loss = mg.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return params, optimizer, mg.replay(step) if replayed else step

def now(params, optimizer):
    return [w.data.tobytes() for w in params], {k: v.tobytes() for k, v in optimizer.state_dict().items()}

params, optimizer, step = parts()
known = [now(params, optimizer)]
for _ in range(STEPS):
    step(x, y)
    known.append(now(params, optimizer))
begin = perf_counter()
params, optimizer, step = parts()
for _ in range(STEPS):
    step(x, y)
whole = perf_counter() - begin

def attempt(step, delay):
    global armed, late
    armed = True
    try:
        signal.setitimer(signal.ITIMER_REAL, max(delay, 1e-5))
        for _ in range(STEPS):
            step(x, y)
        armed = False
        late += 1
    except Interrupted:
        armed = False

agree = said = late = 0
for delay in np.random.default_rng(int(sys.argv[3])).uniform(0.0, whole, moments):
    params, optimizer, step = parts()
    copy_context().run(attempt, step, delay)  # Python may be interrupted where a `with` block is left, too
    signal.setitimer(signal.ITIMER_REAL, 0)
    state = optimizer.state_dict()
    if "interrupted" in state:
        assert optimizer.interrupted
        said += 1
    else:
        count = int(state["param.0.step"])
        assert now(params, optimizer) == known[count], f"after {count} steps, interrupted after {delay} s"
        agree += 1
print(agree, said, late)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGALRM here")
@pytest.mark.parametrize("how", ["called", "replayed"])
def test_weights_and_counts_agree_after_an_interrupt_at_any_moment(how: str):
    """SIGALRM at 20 random moments; with MINIGRAD_LONG=1 at 500, which makes a thousand with the other half."""
    moments = 500 if os.environ.get("MINIGRAD_LONG") else 20
    command = [sys.executable, "-c", TRAINING, str(moments), how, "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    agree, said, _ = map(int, done.stdout.split())
    assert agree + said == moments


def test_a_step_that_stops_in_the_middle_is_said_and_its_state_is_refused(monkeypatch: Any):
    def made() -> tuple[list[mg.Tensor], optim.Optimizer]:
        params = [mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor(3.0, requires_grad=True)]
        for w in params:
            w.grad = mg.tensor(np.ones(w.shape))
        return params, optim.Adam([{"params": params[:1]}, {"params": params[1:]}], lr=0.1)

    _, optimizer = made()
    optimizer.step()
    good = optimizer.state_dict()
    assert "interrupted" not in good
    right = optim.Adam._update
    calls = []

    def interrupted(self: Any, *args: Any) -> None:
        calls.append(args)
        if len(calls) == 2:  # the second group
            raise KeyboardInterrupt
        right(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(optim.Adam, "_update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            optimizer.step()
    state = optimizer.state_dict()
    assert state["interrupted"]
    assert [state[f"param.{k}.step"] for k in (0, 1)] == [2, 1]
    _, other = made()
    before = other.state_dict()
    with pytest.raises(ValueError, match=r"taken after a step that was interrupted.*nothing was changed"):
        other.load_state_dict(state)
    assert other.state_dict().keys() == before.keys()
    optimizer.step()  # it goes on, and does not forget
    assert optimizer.interrupted
    optimizer.load_state_dict(good)  # weights are put back by whoever has them
    assert "interrupted" not in optimizer.state_dict()
