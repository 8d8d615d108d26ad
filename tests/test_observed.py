"""What modules and optimizers change is told to observers: a recorded step does it in every replay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg

BEFORE: dict[str, Any] = {
    "reset_statistics": lambda net, _: net.reset_statistics(),
    "set_weights": lambda net, _: net.set_weights([[1.0] * 3, [0.0] * 3, [0.5] * 3, [2.0] * 3]),
    "load_state_dict": lambda net, states: net.load_state_dict(states[0]),
    "the optimizer's": lambda net, states: states[2].load_state_dict(states[1]),
    "the schedule's": lambda net, states: states[4].load_state_dict(states[3]),
}


@pytest.mark.parametrize("before", BEFORE)
def test_states_that_a_step_puts_back_are_put_back_in_every_replay(before):
    def trained(replayed: bool) -> dict[str, Any]:
        net = mg.nn.BatchNorm1d(3)
        optimizer = mg.optim.Adam(net.parameters(), lr=0.1)
        schedule = mg.optim.StepLR(optimizer, 1, gamma=0.5)
        states = net.state_dict(), optimizer.state_dict(), optimizer, schedule.state_dict(), schedule

        def step(x: Any) -> Any:
            BEFORE[before](net, states)
            loss = mg.square(net(x) - 1.0).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            return loss

        run = mg.replay(step) if replayed else step
        rng = np.random.default_rng(0)
        for _ in range(6):
            run(mg.tensor(rng.normal(size=(8, 3))))
        return {**net.state_dict(), **optimizer.state_dict()}

    plain, replayed = trained(False), trained(True)
    for name, array in plain.items():
        np.testing.assert_array_equal(replayed[name], array, err_msg=name)
