"""Callbacks: functions that `fit` calls with the `Run` after every step and every epoch; `EarlyStopping` is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..nn import Module
from ..optim import Optimizer
from .history import History


@dataclass
class Run:
    """What a callback sees; it may set `stop` to end after this epoch.

    event    "step" (after every update) or "epoch" (after its evaluation, when its checkpoint is written)
    epoch    whole epochs so far;   step   updates so far;   loss   that of the last step
    monitor  the column of `history` that says which epoch is best, and whether `higher` is better
    """

    model: Module
    optimizer: Optimizer
    history: History
    epochs: int
    event: str = ""
    epoch: int = 0
    step: int = 0
    loss: float = np.nan
    stop: bool = False
    monitor: str = "loss"
    higher: bool = False


@dataclass
class EarlyStopping:
    """Ends a training after `patience` epochs without a better value: fit(..., callbacks=[EarlyStopping(5)]).

    monitor    a column of the history, such as "val_loss"; by default what `fit` calls the best epoch by: the first
               metric on `val`, else the loss on `val`, else the training loss
    min_delta  what a value must be better by
    higher     whether more is better; by default that of `fit`'s own, and less for other columns with loss, mse or mae

    It decides by the history alone, so a run that goes on from a checkpoint stops where it would have stopped.
    """

    patience: int = 5
    monitor: str | None = None
    min_delta: float = 0.0
    higher: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.patience, bool) or not isinstance(self.patience, int) or self.patience < 1:
            raise ValueError(f"EarlyStopping: patience={self.patience!r} must be an integer >= 1, a number of epochs")

    def __call__(self, run: Run) -> None:
        """Called by `fit`."""
        if run.event == "epoch":
            run.stop = run.stop or self.is_over(run)

    def is_over(self, run: Run) -> bool:
        """Whether the history has not become better for `patience` epochs."""
        monitor = self.monitor or run.monitor
        higher = self.higher
        if higher is None:
            higher = run.higher if monitor == run.monitor else not monitor.endswith(("loss", "mse", "mae"))
        best, since = -np.inf, 0
        for value in run.history[monitor]:
            better = value if higher else -value
            since = 0 if better > best + self.min_delta or best == -np.inf else since + 1
            best = max(best, better) if since == 0 else best
        return since >= self.patience
