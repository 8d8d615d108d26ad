"""Optimizers with each of their options, schedules, gradient clipping: trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import minigrad as mg

from .case import Array, Case, drawn

SHAPES: list[tuple[int, ...]] = [(3, 2), (2,), ()]
LOOKED_AT = (0, 1, 2, 6, 13)  # steps after which the parameters are written down
Options = dict[str, Any]

# (optimizer, options, options of the second group, {step: options of the first group from then on})
OPTIMIZERS: list[tuple[str, Options, Options, dict[int, Options]]] = [
    ("SGD", {"lr": 0.05}, {}, {}),
    ("SGD", {"lr": 0.05, "weight_decay": 0.3}, {"lr": 0.2, "weight_decay": 0.0}, {}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}, {"momentum": 0.5}, {7: {"lr": 0.01}}),
    ("SGD", {"lr": 0.05, "momentum": 0.4, "weight_decay": 0.2}, {}, {3: {"momentum": 0.8}}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}, {"nesterov": False}, {}),
    ("SGD", {"lr": 0.05, "momentum": 0.6, "nesterov": True, "weight_decay": 0.25}, {"weight_decay": 0.0}, {}),
    ("RMSprop", {"lr": 0.01}, {"lr": 0.1}, {}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.6}, {"alpha": 0.95}, {5: {"alpha": 0.8}}),
    ("RMSprop", {"lr": 0.01, "eps": 0.3}, {"eps": 1e-4}, {}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.7}, {"momentum": 0.0}, {6: {"lr": 0.05}}),
    ("RMSprop", {"lr": 0.01, "weight_decay": 0.4}, {}, {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-2, "momentum": 0.5, "weight_decay": 0.1}, {"lr": 0.3}, {}),
    ("Adam", {}, {"lr": 0.1}, {}),
    ("Adam", {"lr": 0.05, "betas": (0.5, 0.9)}, {"betas": (0.95, 0.6)}, {4: {"betas": (0.7, 0.99)}}),
    ("Adam", {"lr": 0.05, "eps": 0.2}, {"eps": 1e-3}, {8: {"eps": 1e-6}}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.4}, {"weight_decay": 0.0}, {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-2, "weight_decay": 0.1}, {}, {5: {"weight_decay": 0.0}}),
    ("AdamW", {}, {"lr": 0.1}, {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.5}, {"lr": 0.4, "weight_decay": 0.1}, {6: {"lr": 0.2}}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.0}, {"weight_decay": 2.0}, {}),
    ("AdamW", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 0.1, "weight_decay": 0.2}, {}, {}),
]  # fmt: skip


def gradients(values: list[Array], t: int) -> list[Array | None]:
    """Gradients that depend on the values and on the step; the second parameter has none in some steps."""
    return [None if k == 1 and t % 4 == 2 else v + drawn(100 * t + k, *v.shape) for k, v in enumerate(values)]


def trajectory(
    values: Callable[[], list[Array]],
    give: Callable[[list[Array | None]], Any],
    optimizer: Any,
    first_group: Options,
    changes: dict[int, Options],
) -> list[Array]:
    """The parameters after the steps that are looked at."""
    found: list[Array] = []
    for t in range(LOOKED_AT[-1] + 1):
        first_group.update(changes.get(t, {}))
        give(gradients(values(), t))
        optimizer.step()
        if t in LOOKED_AT:
            found += [v.copy() for v in values()]
    return found


def start() -> list[Array]:
    return [drawn(7 + k, *shape) for k, shape in enumerate(SHAPES)]


def ours(name: str, options: Options, second: Options, changes: dict[int, Options]) -> list[Array]:
    params = [mg.tensor(v, requires_grad=True) for v in start()]
    optimizer: Any = getattr(mg.optim, name)([{"params": params[:1]}, {"params": params[1:], **second}], **options)

    def give(slopes: list[Array | None]) -> None:
        for w, slope in zip(params, slopes, strict=True):
            w.grad = None if slope is None else mg.tensor(slope)

    return trajectory(lambda: [w.data for w in params], give, optimizer, optimizer.groups[0], changes)


def theirs(name: str, options: Options, second: Options, changes: dict[int, Options], torch: Any) -> list[Array]:
    params = [torch.tensor(v, requires_grad=True) for v in start()]
    optimizer = getattr(torch.optim, name)([{"params": params[:1]}, {"params": params[1:], **second}], **options)

    def give(slopes: list[Array | None]) -> None:
        for w, slope in zip(params, slopes, strict=True):
            w.grad = None if slope is None else torch.tensor(slope)

    return trajectory(lambda: [w.detach().numpy() for w in params], give, optimizer, optimizer.param_groups[0], changes)


# Schedules: (name, ours, PyTorch's, steps), of two groups with rates of their own -------------------------------

LOSSES = [3.0, 2.0, 1.9999, 1.99985, 1.5, 1.6, 1.7, 1.4, 1.5, 1.5, 1.5, 1.5, 1.5, 1.3, 1.3, 1.3, 1.3, 0.5, 0.6]
SCHEDULES: list[tuple[str, Callable[[Any], Any], Callable[[Any, Any], Any], int]] = [
    ("StepLR 3, 0.5", lambda o: mg.optim.StepLR(o, 3, 0.5), lambda s, o: s.StepLR(o, 3, 0.5), 14),
    ("StepLR 1, 0.9", lambda o: mg.optim.StepLR(o, 1, 0.9), lambda s, o: s.StepLR(o, 1, 0.9), 14),
    ("StepLR 4", lambda o: mg.optim.StepLR(o, 4), lambda s, o: s.StepLR(o, 4), 14),
    # to t_max only: from there on PyTorch's goes up again and minigrad's stays
    ("CosineLR 12, 0.01", lambda o: mg.optim.CosineLR(o, 12, 0.01), lambda s, o: s.CosineAnnealingLR(o, 12, 0.01), 12),
    ("CosineLR 5", lambda o: mg.optim.CosineLR(o, 5), lambda s, o: s.CosineAnnealingLR(o, 5), 5),
    ("LambdaLR", lambda o: mg.optim.LambdaLR(o, factor), lambda s, o: s.LambdaLR(o, factor), 14),
    ("LambdaLR, two", lambda o: mg.optim.LambdaLR(o, [factor, half]), lambda s, o: s.LambdaLR(o, [factor, half]), 14),
]
PLATEAUS: list[tuple[float, int, float, float]] = [  # factor, patience, threshold, the least rate
    (0.5, 1, 1e-4, 0.1), (0.1, 2, 1e-4, 0.0), (0.7, 0, 0.1, 0.0), (0.5, 3, 0.3, 0.2)
]  # fmt: skip


def factor(t: int) -> float:
    return (t + 1) / 9


def half(t: int) -> float:
    return float(0.5**t)


def our_rates(make: Callable[[Any], Any], steps: int, losses: list[float] | None) -> list[Any]:
    groups: Any = [{"params": [mg.zeros(1, requires_grad=True)], "lr": lr} for lr in (0.3, 0.7)]
    optimizer = mg.optim.SGD(groups)
    schedule = make(optimizer)
    found = [[group["lr"] for group in optimizer.groups]]
    for t in range(steps):
        schedule.step(*([losses[t]] if losses else []))
        found.append([group["lr"] for group in optimizer.groups])
    return found


def their_rates(make: Any, steps: int, losses: list[float] | None, torch: Any) -> list[Any]:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in (0.3, 0.7)]
    optimizer = torch.optim.SGD(groups)
    schedule = make(torch.optim.lr_scheduler, optimizer)
    found = [[group["lr"] for group in optimizer.param_groups]]
    for t in range(steps):
        optimizer.step()
        schedule.step(*([losses[t]] if losses else []))
        found.append([group["lr"] for group in optimizer.param_groups])
    return found


def our_plateau(options: dict[str, Any], least: float, optimizer: Any) -> Any:
    return mg.optim.PlateauLR(optimizer, lr_min=least, **options)


def their_plateau(options: dict[str, Any], least: float, schedulers: Any, optimizer: Any) -> Any:
    return schedulers.ReduceLROnPlateau(optimizer, min_lr=least, **options)


def cases() -> Iterator[Case]:
    """All of this file."""
    for setting in OPTIMIZERS:
        name, options, second, changes = setting
        words = f"{name} {options} then {second} changes {changes}"
        yield Case(words, partial(ours, *setting), partial(theirs, *setting))
    for name, make, other, steps in SCHEDULES:
        yield Case(name, partial(our_rates, make, steps, None), partial(their_rates, other, steps, None))
    for plateau in PLATEAUS:
        given, least = dict(zip(("factor", "patience", "threshold"), plateau, strict=False)), plateau[-1]
        mine, its = partial(our_plateau, given, least), partial(their_plateau, given, least)
        looks = len(LOSSES), LOSSES
        yield Case(f"PlateauLR {plateau}", partial(our_rates, mine, *looks), partial(their_rates, its, *looks))
    for largest in (0.5, 3.0, 100.0):
        yield Case(f"clip_grad_norm {largest}", partial(clipped, largest), partial(their_clipped, largest))


def clipped(largest: float) -> list[Any]:
    params = [mg.tensor(v, requires_grad=True) for v in start()]
    for w in params:
        w.grad = mg.tensor(3.0 * w.data)
    norm = mg.optim.clip_grad_norm(params, largest)
    return [norm, *(w.grad.data for w in params if w.grad is not None)]


def their_clipped(largest: float, torch: Any) -> list[Any]:
    params = [torch.tensor(v, requires_grad=True) for v in start()]
    for w in params:
        w.grad = 3.0 * w.detach()
    norm = torch.nn.utils.clip_grad_norm_(params, largest)
    return [float(norm), *(w.grad.numpy() for w in params)]
