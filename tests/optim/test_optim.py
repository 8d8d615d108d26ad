"""Optimizers against PyTorch over 50 steps, groups, missing gradients, state, clipping, schedules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

SHAPES = [(5, 4), (4,), (), (4, 3), (3,)]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.05, "momentum": 0.6, "nesterov": True, "weight_decay": 0.2}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3}),
]


def parameters(dtype: Any = float) -> list[mg.Tensor]:
    rng = np.random.default_rng(0)
    return [mg.tensor(rng.normal(size=shape), dtype=dtype, requires_grad=True) for shape in SHAPES]


def give_gradients(params: list[mg.Tensor], t: int, skip: int | None = None) -> list[Any]:
    """A gradient that depends on the values and on the step; None for the parameter `skip` in every third step."""
    rng = np.random.default_rng(100 + t)
    given = []
    for k, w in enumerate(params):
        slope = (w.data + rng.normal(size=w.shape)).astype(w.dtype)
        w.grad = None if k == skip and t % 3 == 1 else mg.tensor(slope)
        given.append(w.grad)
    return given


@pytest.mark.parametrize(("name", "options"), CASES)
def test_fifty_steps_equal_pytorch(name: str, options: dict[str, Any]):
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.tensor(w.data.copy(), requires_grad=True) for w in ours]
    mine, other = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for t in range(50):
        for w, slope in zip(theirs, give_gradients(ours, t, skip=1), strict=True):
            w.grad = None if slope is None else torch.tensor(slope.data.copy())
        mine.step()
        other.step()
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-12, atol=1e-12)


# After gradients [3, 1e-8] and [0, 0], from [2, 0], with the numbers that PyTorch takes where none are given.
MEAN, ROOT = 0.9 * 0.1 / (1 - 0.9**2), np.sqrt(0.999 * 0.001 / (1 - 0.999**2))  # of 1 and 0
STEPS = [(1e-3 * (g / (g + 1e-8)), 1e-3 * (MEAN * g / (ROOT * g + 1e-8))) for g in (3.0, 1e-8)]
KEPT = 1 - 1e-3 * 1e-2  # by AdamW, of a weight in one step
WITHOUT_OPTIONS: list[tuple[str, list[float]]] = [
    ("SGD", [2 - 1e-3 * 3.0, -1e-3 * 1e-8]),
    ("RMSprop", [2 - 1e-2 * 3.0 / (0.1 * 3.0 + 1e-8), -1e-2 * 1e-8 / (0.1 * 1e-8 + 1e-8)]),
    ("Adam", [w - sum(steps) for w, steps in zip((2.0, 0.0), STEPS, strict=True)]),
    ("AdamW", [(w * KEPT - first) * KEPT - second for w, (first, second) in zip((2.0, 0.0), STEPS, strict=True)]),
]


@pytest.mark.parametrize(("name", "expected"), WITHOUT_OPTIONS)
def test_without_options_the_rates_are_pytorchs(name: str, expected: list[float]):
    w = mg.tensor([2.0, 0.0], requires_grad=True)
    optimizer = getattr(optim, name)([w])
    for slope in ([3.0, 1e-8], [0.0, 0.0]):
        w.grad = mg.tensor(slope)
        optimizer.step()
    np.testing.assert_allclose(w.data, expected, rtol=1e-12)


def test_what_a_group_says_stands_above_the_optimizers_options():
    one, other = (mg.tensor(1.0, requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([{"params": [one], "lr": 0.5, "weight_decay": 0.0}, {"params": other}], 0.1, weight_decay=1.0)
    one.grad = other.grad = mg.tensor(1.0)
    optimizer.step()
    assert (one.item(), other.item()) == (0.5, 0.8)


def test_groups_have_their_own_options_and_equal_pytorchs():
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.tensor(w.data.copy(), requires_grad=True) for w in ours]
    groups = [[0, 3], [1, 2, 4]]
    mine, other = (
        kind(
            [
                {"params": [ws[k] for k in groups[0]]},
                {"params": [ws[k] for k in groups[1]], "weight_decay": 0.0, "lr": 0.5},
            ],
            lr=0.01,
            weight_decay=0.2,
        )
        for kind, ws in ((optim.AdamW, ours), (torch.optim.AdamW, theirs))
    )
    for t in range(20):
        for w, slope in zip(theirs, give_gradients(ours, t), strict=True):
            w.grad = torch.tensor(slope.data.copy())
        mine.step()
        other.step()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_float32_stays_float32_and_mixed_dtypes_do_not_meet(name: str, options: dict[str, Any]):
    wide = parameters()
    mixed = [mg.tensor(w.data, dtype=np.float32 if k % 2 else float, requires_grad=True) for k, w in enumerate(wide)]
    for params in (wide, mixed):
        optimizer = getattr(optim, name)(params, **options)
        for t in range(5):
            for w, slope in zip(params, parameters(), strict=True):
                w.grad = mg.tensor(slope.data * np.cos(t), dtype=w.dtype)
            optimizer.step()
    for k, (a, b) in enumerate(zip(wide, mixed, strict=True)):
        assert b.dtype == (np.float32 if k % 2 else np.float64)
        np.testing.assert_allclose(b.data, a.data, rtol=2e-5 if k % 2 else 1e-12, atol=2e-6 if k % 2 else 1e-14)


def test_storage_is_written_and_never_replaced():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    before, seen = w._array, w.data
    loss = (w * w).sum()
    loss.backward()
    optim.SGD([w], lr=0.5).step()
    assert w._array is before
    np.testing.assert_array_equal(seen, [0.0, 0.0])
    with pytest.raises(RuntimeError, match="written after"):  # the old graph would use the new values
        loss.backward()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_is_taken_up_bit_for_bit(name: str, options: dict[str, Any]):
    ours = parameters()
    optimizer = getattr(optim, name)(ours, **options)
    for t in range(7):
        give_gradients(ours, t, skip=2)
        optimizer.step()
    saved, values = optimizer.state_dict(), [w.data.copy() for w in ours]
    before = {key: value.copy() for key, value in saved.items()}
    twins = [mg.tensor(value, requires_grad=True) for value in values]
    twin = getattr(optim, name)(twins, lr=99.0)
    with pytest.raises(ValueError, match="nothing was changed: extra is not known"):
        twin.load_state_dict({**saved, "extra": np.zeros(1)})
    with pytest.raises(ValueError, match=r"param\.0\.step is missing"):
        twin.load_state_dict({k: v for k, v in saved.items() if k != "param.0.step"})
    assert twin.groups[0]["lr"] == 99.0
    twin.load_state_dict(saved)
    for t in range(7, 14):
        give_gradients(ours, t)
        give_gradients(twins, t)
        optimizer.step()
        twin.step()
    for a, b in zip(ours, twins, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    for key, value in before.items():  # what was saved is not what the optimizers went on with
        np.testing.assert_array_equal(saved[key], value, err_msg=key)


@pytest.mark.parametrize(("name", "key"), [("SGD", "step"), ("Adam", "v"), ("Adam", "step"), ("RMSprop", "square")])
def test_a_state_that_no_training_comes_to_is_refused(name: str, key: str):
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = getattr(optim, name)([w])
    w.grad = mg.ones(2)
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=rf"nothing was changed: param\.0\.{key} is negative"):
        optimizer.load_state_dict({**before, f"param.0.{key}": -before[f"param.0.{key}"]})
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("scale", [0.001, 1.0, 1e200])
def test_clip_grad_norm_equals_pytorch(scale: float):
    torch = pytest.importorskip("torch")
    ours = parameters()
    slopes = [scale * w.data for w in ours]
    for w, slope in zip(ours, slopes, strict=True):
        w.grad = mg.tensor(slope)
    norm = optim.clip_grad_norm(ours, 0.5)
    if scale < 1e100:  # PyTorch's squares overflow
        theirs = [torch.tensor(w.data.copy(), requires_grad=True) for w in ours]
        for w, slope in zip(theirs, slopes, strict=True):
            w.grad = torch.tensor(slope)
        expected = torch.nn.utils.clip_grad_norm_(theirs, 0.5)
        np.testing.assert_allclose(norm, float(expected), rtol=1e-12)
        for a, b in zip(ours, theirs, strict=True):
            assert a.grad is not None
            np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-12)
    total = np.sqrt(sum(float((w.grad.data**2).sum()) for w in ours if w.grad is not None))
    np.testing.assert_allclose(total, min(norm, 0.5), rtol=1e-4)


def test_clipping_refuses_gradients_that_are_not_finite_and_changes_nothing():
    a, b = mg.tensor([1.0], requires_grad=True), mg.tensor([1.0], requires_grad=True, name="b")
    a.grad, b.grad = mg.tensor([100.0]), mg.tensor([np.nan])
    with pytest.raises(ValueError, match="gradient of b"):
        optim.clip_grad_norm([a, b], 1.0)
    assert a.grad.item() == 100.0
    assert optim.clip_grad_norm([mg.ones(1, requires_grad=True)], 1.0) == 0.0
    with pytest.raises(ValueError, match="positive"):
        optim.clip_grad_norm([a], 0.0)


def test_schedules_equal_pytorch():
    torch = pytest.importorskip("torch")
    schedulers: Any = torch.optim.lr_scheduler
    w = torch.zeros(1, requires_grad=True)
    pairs = [
        (lambda o: optim.StepLR(o, 3, 0.5), lambda o: schedulers.StepLR(o, 3, 0.5)),
        (lambda o: optim.CosineLR(o, 12, 0.01), lambda o: schedulers.CosineAnnealingLR(o, 12, 0.01)),
        (lambda o: optim.LambdaLR(o, lambda t: 0.9**t), lambda o: schedulers.LambdaLR(o, lambda t: 0.9**t)),
        (lambda o: optim.LambdaLR(o, lambda t: (t + 1) / 9), lambda o: schedulers.LambdaLR(o, lambda t: (t + 1) / 9)),
    ]
    for ours, theirs in pairs:
        mine, other = optim.SGD([mg.zeros(1, requires_grad=True)], lr=0.3), torch.optim.SGD([w], lr=0.3)
        schedule, expected = ours(mine), theirs(other)
        for _ in range(12):
            np.testing.assert_allclose(mine.groups[0]["lr"], other.param_groups[0]["lr"], rtol=1e-12)
            other.step()
            schedule.step()
            expected.step()
        schedule.step()  # beyond t_max the cosine stays where it is; PyTorch's goes up again
        schedule.step()
        if isinstance(schedule, optim.CosineLR):
            assert mine.groups[0]["lr"] == 0.01
        fresh = ours(optim.SGD([mg.zeros(1, requires_grad=True)], lr=7.0))
        fresh.load_state_dict(schedule.state_dict())
        assert fresh.optimizer.groups[0]["lr"] == mine.groups[0]["lr"]


def test_the_cosine_stays_where_it_ends_and_schedules_go_on_from_their_state():
    groups: Any = [{"params": [mg.zeros(1, requires_grad=True)], "lr": lr} for lr in (0.3, 0.7)]
    optimizer = optim.SGD(groups)
    cosine = optim.CosineLR(optimizer, 4, 0.01)
    for _ in range(4):
        cosine.step()
    for _ in range(5):
        assert [group["lr"] for group in optimizer.groups] == [0.01, 0.01]
        cosine.step()
    later = optim.SGD([{"params": group["params"], "lr": 7.0} for group in groups])
    for make in (
        lambda o: optim.StepLR(o, 2, 0.5),
        lambda o: optim.CosineLR(o, 9, 0.01),
        lambda o: optim.LambdaLR(o, abs),
    ):
        for group, lr in zip(optimizer.groups, (0.3, 0.7), strict=True):
            group["lr"] = lr
        schedule, again = make(optimizer), make(later)
        for _ in range(3):
            schedule.step()
        again.load_state_dict(schedule.state_dict())
        for _ in range(3):
            assert [group["lr"] for group in later.groups] == [group["lr"] for group in optimizer.groups]
            schedule.step()
            again.step()


def test_misuse_is_refused_by_name():
    w = mg.ones(2, requires_grad=True)
    cases: list[tuple[Any, str]] = [
        (lambda: optim.SGD([], lr=0.1), "no parameters"),
        (lambda: optim.SGD([w, w], lr=0.1), "given twice"),
        (lambda: optim.SGD([mg.ones(2)], lr=0.1), "no leaf that requires a gradient"),
        (lambda: optim.SGD([w * 2.0], lr=0.1), "no leaf"),
        (lambda: optim.SGD([np.ones(2)], lr=0.1), "parameters are Tensors, got ndarray"),  # type: ignore[list-item]
        (lambda: optim.SGD([w], lr=-0.1), "lr=-0.1"),
        (lambda: optim.SGD([w], lr=float("nan")), "lr=nan"),
        (lambda: optim.SGD([w], lr=0.1, nesterov=True), "momentum > 0"),
        (lambda: optim.Adam([w], betas=(0.9, 1.0)), "0 <= beta < 1"),
        (lambda: optim.RMSprop([w], alpha=1.0), "alpha=1.0"),
        (lambda: optim.Adam([{"params": [w], "momentum": 0.9}]), "unknown option 'momentum'"),
        (lambda: optim.Adam([{"lr": 0.1}]), "groups with 'params'"),
        (lambda: optim.Adam([{"params": [w]}, mg.ones(2, requires_grad=True)]), "groups with 'params', got tensor"),
        (lambda: optim.Adam([{"params": [w]}, "params"]), "groups with 'params', got 'params'"),  # type: ignore[list-item]
        (lambda: optim.StepLR(optim.SGD([w]), 0), "at least 1"),
        (lambda: optim.LambdaLR(optim.SGD([w]), []), "0 functions for 1 groups"),
    ]
    for make, text in cases:
        with pytest.raises((ValueError, TypeError), match=text):
            make()


def test_a_step_without_gradients_changes_nothing():
    w = mg.tensor([1.0], requires_grad=True)
    optimizer = optim.Adam([w], lr=0.1, weight_decay=0.5)
    before = optimizer.state_dict()
    optimizer.step()
    assert w.item() == 1.0
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_every_groups_gradients_are_forgotten():
    params = parameters()
    optimizer = optim.SGD([{"params": params[:2]}, {"params": params[2]}, {"params": params[3:]}])
    give_gradients(params, 0)
    assert all(w.grad is not None for w in params)
    optimizer.zero_grad()
    assert [w.grad for w in params] == [None] * len(params)


def test_betas_that_change_during_a_training_equal_pytorch():
    torch = pytest.importorskip("torch")
    w, theirs = mg.tensor([1.0, -2.0], requires_grad=True), torch.tensor([1.0, -2.0], dtype=float, requires_grad=True)
    mine, other = optim.Adam([w], lr=0.1), torch.optim.Adam([theirs], lr=0.1)
    for t in range(40):
        if t == 20:
            mine.groups[0]["betas"] = other.param_groups[0]["betas"] = (0.5, 0.99)
        w.grad, theirs.grad = mg.tensor([1.0, 0.1 * t]), torch.tensor([1.0, 0.1 * t], dtype=float)
        mine.step()
        other.step()
    np.testing.assert_allclose(w.data, theirs.detach().numpy(), rtol=1e-12)


def test_adam_in_half_precision_does_not_overflow_at_ordinary_gradients():
    w = mg.tensor(np.zeros(3, np.float16), requires_grad=True)
    adam = optim.Adam([w], lr=0.01)
    for _ in range(600):
        w.grad = mg.tensor(np.full(3, 10.0, np.float16))
        adam.step()
    assert (w.data < -5.0).all()
