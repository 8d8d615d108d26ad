"""History: the loss of every step and the metrics of every epoch, to plot and to write as a table."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from .._support.files import PathLike, written_aside
from .._support.notebook import Shown, block, curves, lines, table
from .._support.signatures import Array
from .saving import Plot, new_figure, save_figure


@dataclass(repr=False)
class History(Shown):
    """What a training gave.

    loss     the training loss of every step
    epochs   one row an epoch: epoch, step, loss (the mean over its steps), metrics of the training data in eval mode,
             and the same of the validation data with the prefix val_
    best     the row that was best on the validation data, and `best_state` the model's state at its end
    seconds  wall time of every epoch that ran in this process; kept apart, for it is not reproducible
    """

    loss: list[float] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] | None = None
    best_state: dict[str, Array] | None = None
    seconds: list[float] = field(default_factory=list)

    def __getitem__(self, name: str) -> list[float]:
        """One column of `epochs`, such as history["val_accuracy"]."""
        if self.epochs and name not in self._columns():
            raise KeyError(f"{name!r}; there are {', '.join(self._columns())}")
        return [row[name] for row in self.epochs]

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={value:.6g}" for name, value in self.epochs[-1].items()) if self.epochs else ""
        return f"History({len(self.loss)} steps, {len(self.epochs)} epochs{'; last: ' + last if last else ''})"

    def _html(self) -> str:
        steps = [float(k) for k in range(1, len(self.loss) + 1)]
        series = [("loss of each step", steps, self.loss)]
        title = f"history: {len(self.loss)} steps, {len(self.epochs)} epochs"
        if not self.epochs:
            return block(title, [curves(series, what="step")])
        series.append(("training, epoch mean", self["step"], self["loss"]))
        if "val_loss" in self._columns():
            series.append(("validation", self["step"], self["val_loss"]))
        rows = [[f"{row[name]:.6g}" for name in self._columns()] for row in self.epochs]
        best = [f"best on the validation data: epoch {self.best['epoch']:g}"] if self.best else []
        return block(title, [curves(series, what="step"), table(self._columns(), rows, text=()), lines(best)])

    def to_csv(self, path: PathLike, *, steps: bool = False) -> None:
        """Write one line an epoch, or with steps=True one line a step, as comma-separated values."""
        rows: list[dict[str, float]]
        rows = [{"step": k, "loss": value} for k, value in enumerate(self.loss, 1)] if steps else self.epochs
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]) if rows else ["step", "loss"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with written_aside(path) as file:
            file.write(text.getvalue().encode())

    @overload
    def plot(self, path: PathLike, *, title: str | None = None) -> None: ...
    @overload
    def plot(self, path: None = None, *, title: str | None = None) -> Plot: ...
    def plot(self, path: PathLike | None = None, *, title: str | None = None) -> Plot | None:
        """Draw the losses, and metrics if there are any, to a PNG, SVG or PDF file; in a notebook without a path."""
        fixed = ("epoch", "step", "loss")
        metrics = [name for name in self._columns() if name not in fixed and not name.startswith("val_")]
        figure = new_figure((10, 4) if metrics else (5.5, 4))
        losses, *others = figure.subplots(1, 2 if metrics else 1, squeeze=False)[0]
        losses.plot(np.arange(1, len(self.loss) + 1), self.loss, color="0.75", linewidth=0.8, label="loss of each step")
        if self.epochs:
            losses.plot(self["step"], self["loss"], color="C0", label="training, epoch mean")
        if "val_loss" in self._columns():
            losses.plot(self["step"], self["val_loss"], color="C3", label="validation")
        losses.set(xlabel="step", ylabel="loss")
        losses.legend(frameon=False)
        for axes in others:
            for name in metrics:
                (line,) = axes.plot(self["epoch"], self[name], label=f"{name}, training")
                if (val := f"val_{name}") in self._columns():
                    axes.plot(self["epoch"], self[val], "--", color=line.get_color(), label=f"{name}, validation")
            axes.set(xlabel="epoch", ylabel=" and ".join(metrics))
            axes.legend(frameon=False)
        return save_figure(figure, path, title)

    def _columns(self) -> list[str]:
        return list(self.epochs[0]) if self.epochs else []

    # as arrays, for checkpoints -----------------------------------------------------------------------------

    def to_arrays(self) -> dict[str, Array]:
        """Everything but wall times, as arrays by name."""
        found = {"loss": np.array(self.loss, float)}
        found.update({f"epochs.{name}": np.array(self[name], float) for name in self._columns()})
        if self.best is not None:
            found["best"] = np.array(self.best["epoch"], float)
            found.update({f"best_state.{name}": array for name, array in (self.best_state or {}).items()})
        return found

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> History:
        """What `to_arrays` gave."""
        columns = {name.removeprefix("epochs."): a.tolist() for name, a in arrays.items() if name.startswith("epochs.")}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        for row in rows:
            row.update({name: int(row[name]) for name in ("epoch", "step")})
        history = cls(loss=[float(x) for x in arrays["loss"]], epochs=rows)
        if "best" in arrays:
            history.best = next(row for row in rows if row["epoch"] == int(arrays["best"]))
            prefix = "best_state."
            history.best_state = {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
        return history
