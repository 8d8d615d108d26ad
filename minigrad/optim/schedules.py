"""Learning rates that change: call .step() once an epoch (or once an update, where the numbers are meant so)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .._support.arrays import misfits, named_arrays
from .._support.text import listed
from ..core.nodes import callback
from .optimizers import Array, Optimizer


class Schedule:
    """Base of all schedules: lr of group k = its start value * factor(t), t = how often step() was called."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._set(0, [group["lr"] for group in optimizer.groups])

    def rate(self, start: float, group: int) -> float:
        """The rate at time self.t of a group that started with `start`."""
        raise NotImplementedError

    def step(self, value: float | None = None) -> None:
        """One unit of time later. `value`, such as the validation loss, is for schedules that look at it."""
        callback(self._advance, value)

    def _advance(self, value: float | None) -> None:
        self._set(self.t + 1, self.start)

    def _set(self, t: int, start: list[float]) -> None:
        self.t, self.start = t, start
        for k, group in enumerate(self.optimizer.groups):
            group["lr"] = self.rate(start[k], k)

    def state_dict(self) -> dict[str, Array]:
        """The time and the start rates."""
        return {"t": np.array(self.t), "start": np.array(self.start)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        given = named_arrays(state, "load_state_dict")
        wrong = misfits(given, self.state_dict(), cast=True)
        if not wrong:
            counted = {name: array for name, array in given.items() if name != "best"}  # that is a loss: any number
            wrong = [f"{k} is not >= 0 and finite" for k, a in counted.items() if not (np.isfinite(a) & (a >= 0)).all()]
        if wrong:
            raise ValueError(f"this state does not fit {type(self).__name__}, nothing was changed: {listed(wrong)}")
        callback(self._take, given)

    def _take(self, given: Mapping[str, Array]) -> None:
        self._set(int(given["t"]), given["start"].tolist())


class StepLR(Schedule):
    """The rate times gamma every `step_size` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"StepLR: step_size={step_size!r} must be at least 1")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, start: float, group: int) -> float:
        """start * gamma^(t // step_size)."""
        return float(start * self.gamma ** (self.t // self.step_size))


class CosineLR(Schedule):
    """From the start rate to `lr_min` along half a cosine in `t_max` steps; stays there. As CosineAnnealingLR."""

    def __init__(self, optimizer: Optimizer, t_max: int, lr_min: float = 0.0) -> None:
        if t_max < 1:
            raise ValueError(f"CosineLR: t_max={t_max!r} must be at least 1")
        self.t_max, self.lr_min = t_max, lr_min
        super().__init__(optimizer)

    def rate(self, start: float, group: int) -> float:
        """lr_min + (start - lr_min) * (1 + cos(pi t / t_max)) / 2."""
        t = min(self.t, self.t_max)
        return self.lr_min + (start - self.lr_min) * (1 + math.cos(math.pi * t / self.t_max)) / 2


class LambdaLR(Schedule):
    """The start rate times factor(t); one function for all groups, or one a group."""

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float] | Sequence[Callable[[int], float]]) -> None:
        self.factors = [factor] * len(optimizer.groups) if callable(factor) else list(factor)
        if len(self.factors) != len(optimizer.groups):
            raise ValueError(f"LambdaLR: {len(self.factors)} functions for {len(optimizer.groups)} groups")
        super().__init__(optimizer)

    def rate(self, start: float, group: int) -> float:
        """start * factor(t)."""
        return start * self.factors[group](self.t)


class PlateauLR(Schedule):
    """The rate times `factor` after more than `patience` steps without a better value: `step(loss)`.

    As ReduceLROnPlateau. Better is less, by a share `threshold` of the best so far. `fit` gives it the validation
    loss, or else the training loss.

    >>> import minigrad as mg
    >>> sgd = mg.optim.SGD(mg.tensor([1.0], requires_grad=True), lr=1.0)
    >>> plateau = PlateauLR(sgd, factor=0.5, patience=1)
    >>> rates = []
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 2.0):
    ...     plateau.step(loss)
    ...     rates.append(sgd.groups[0]["lr"])
    >>> rates
    [1.0, 1.0, 1.0, 0.5, 0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        lr_min: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"PlateauLR: factor={factor!r} must lie between 0 and 1")
        if patience < 0:
            raise ValueError(f"PlateauLR: patience={patience!r} must be at least 0")
        self.factor, self.patience, self.threshold, self.lr_min = factor, patience, threshold, lr_min
        self.best, self.bad, self.cuts = math.inf, 0, 0
        super().__init__(optimizer)

    def rate(self, start: float, group: int) -> float:
        """max(start * factor^cuts, lr_min)."""
        return max(float(start * self.factor**self.cuts), self.lr_min)

    def _advance(self, value: float | None) -> None:
        if value is None or math.isnan(value):
            raise ValueError(f"PlateauLR: step(value) needs the loss that it looks at, got {value}")
        better = value < self.best * (1 - self.threshold) if math.isfinite(self.best) else value < self.best
        self.best, self.bad = (value, 0) if better else (self.best, self.bad + 1)
        if self.bad > self.patience:
            self.bad, self.cuts = 0, self.cuts + 1
        super()._advance(value)

    def state_dict(self) -> dict[str, Array]:
        """The time, the start rates, the best value, how long ago it was, how often the rate was cut."""
        return {**super().state_dict(), **{name: np.array(getattr(self, name)) for name in ("best", "bad", "cuts")}}

    def _take(self, given: Mapping[str, Array]) -> None:
        self.best, self.bad, self.cuts = float(given["best"]), int(given["bad"]), int(given["cuts"])
        super()._take(given)
