"""PlateauLR: the rates that PyTorch's ReduceLROnPlateau gives, written down and, where it is there, asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

LOSSES = [3.0, 2.0, 1.9999, 1.99985, 1.5, 1.6, 1.7, 1.4, 1.5, 1.5, 1.5, 1.5, 1.5, 1.3, 1.3, 1.3, 1.3, 0.5, 0.6]
RATES = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]


def rates(optimizer: Any, schedule: Any, groups: Any) -> list[float]:
    found = []
    for loss in LOSSES:
        schedule.step(loss)
        found.append(float(groups(optimizer)[0]["lr"]))
    return found


def sgd() -> optim.SGD:
    return optim.SGD(mg.tensor([1.0], requires_grad=True), lr=1.0)


def test_the_rate_falls_where_the_loss_no_longer_does():
    mine = sgd()
    schedule = optim.PlateauLR(mine, 0.5, patience=1, lr_min=0.1)
    assert rates(mine, schedule, lambda o: o.groups) == RATES


def test_pytorch_gives_the_same_rates():
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.tensor([1.0], requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, factor=0.5, patience=1, min_lr=0.1)
    np.testing.assert_allclose(rates(theirs, schedule, lambda o: o.param_groups), RATES, rtol=1e-12)


@pytest.mark.parametrize("cut", [3, 7, 11])
def test_its_state_goes_on(cut: int):
    whole = sgd()
    schedule = optim.PlateauLR(whole, 0.5, patience=1, lr_min=0.1)
    for loss in LOSSES[:cut]:
        schedule.step(loss)
    later = sgd()
    again = optim.PlateauLR(later, 0.5, patience=1, lr_min=0.1)
    again.load_state_dict(schedule.state_dict())
    for loss, rate in zip(LOSSES[cut:], RATES[cut:], strict=True):
        again.step(loss)
        assert later.groups[0]["lr"] == rate


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optim.PlateauLR(sgd(), 1.5), "factor=1.5"),
        (lambda: optim.PlateauLR(sgd(), patience=-1), "patience=-1"),
        (lambda: optim.PlateauLR(sgd()).step(), "needs the loss that it looks at, got None"),
        (lambda: optim.PlateauLR(sgd()).step(float("nan")), "got nan"),
    ],
)
def test_misuse_is_refused(make: Any, text: str):
    with pytest.raises(ValueError, match=text):
        make()


def test_a_rate_that_is_none_is_found_at_the_next_step():
    w = mg.tensor([1.0], requires_grad=True)
    adam = optim.Adam([w])
    (w * w).sum().backward()
    for rate in (float("nan"), -1.0, "0.1", None):
        adam.groups[0]["lr"] = rate
        with pytest.raises((TypeError, ValueError), match="lr="):
            adam.step()
    adam.groups[0]["lr"] = np.float64(0.5)
    adam.step()
    assert w.item() == pytest.approx(0.5)
