"""The notebook's figures, drawn to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.training.saving import new_figure, save_figure

COLORS = ("C0", "C1", "C2", "C3")


def final_loss(result: Mapping[str, Any]) -> float:
    """The mean of the last hundred losses, as the notebook takes it; infinite where training diverged."""
    return float("inf") if "diverged" in result else float(np.mean(result["loss"][-100:]))


def deep(results: Mapping[str | None, Mapping[str, Any]], path: Path) -> None:
    """Loss of every step, train and validation accuracy of every epoch, with batch norm and without."""
    figure = new_figure((9, 9))
    loss, train, val = figure.subplots(3, 1)
    for color, (name, result) in zip(COLORS, results.items(), strict=False):
        label = "with batch norm" if name else "baseline"
        loss.plot(result["loss"], "o", markersize=2.5, color=color, label=label)
        train.plot(result["train_acc"], "-o", color=color, label=label)
        val.plot(result["val_acc"], "-o", color=color, label=label)
    loss.set(title="Training loss", xlabel="iteration", ylabel="loss")
    train.set(title="Training accuracy", xlabel="epoch", ylabel="accuracy")
    val.set(title="Validation accuracy", xlabel="epoch", ylabel="accuracy")
    for axes in (loss, train, val):
        axes.legend(frameon=False)
    _save(figure, path)


def scan(values: Sequence[float], lines: Mapping[str, Sequence[Mapping[str, Any]]], xlabel: str, path: Path) -> None:
    """Best validation accuracy, best training accuracy and final loss over one setting on a logarithmic axis."""
    figure = new_figure((9, 9))
    val, train, loss = figure.subplots(3, 1)
    limit = 3.5  # the notebook's window is 1.0 .. 3.5; what lies above is marked, not hidden
    for color, (label, results) in zip(COLORS, lines.items(), strict=False):
        val.semilogx(values, [max(r["val_acc"], default=np.nan) for r in results], "-o", color=color, label=label)
        train.semilogx(values, [max(r["train_acc"], default=np.nan) for r in results], "-o", color=color, label=label)
        final = np.array([final_loss(r) for r in results])
        loss.semilogx(values, np.minimum(final, limit), "-o", color=color, label=label)
        above = final > limit
        if above.any():
            loss.plot(
                np.array(values)[above], np.full(above.sum(), limit), "^", color=color, markersize=10, clip_on=False
            )
        for x, y in zip(np.array(values)[above], final[above], strict=True):
            text = f"{y:.3g}" if y < 1000 else f"{y:.0e}".replace("e+0", "e")
            shift = (0, 8) if label == "baseline" else (-16, -14)
            loss.annotate(text, (x, limit), shift, textcoords="offset points", ha="center", fontsize=8, color=color)
    val.set(title="Best validation accuracy", ylabel="accuracy")
    train.set(title="Best training accuracy", ylabel="accuracy")
    loss.set_title("Final training loss (mean of the last 100 steps)", pad=22)
    loss.set(ylabel="loss", xlabel=xlabel)
    loss.set_ylim(top=limit)
    for axes in (val, train, loss):
        axes.legend(frameon=False)
    _save(figure, path)


def batch_size(results: Mapping[str, Mapping[str, Any]], path: Path, equal_updates: bool) -> None:
    """Training and validation accuracy over time, one line a batch size; dashed without normalization."""
    figure = new_figure((10, 4.5))
    train, val = figure.subplots(1, 2, sharey=True)
    for color, (label, result) in zip(("0.45", *COLORS), results.items(), strict=False):
        style = "--^" if label.startswith("no") else "-o"
        unit = result["steps"] if equal_updates else 1
        for axes, kind in ((train, "train_acc"), (val, "val_acc")):
            axes.plot(unit * np.arange(len(result[kind])), result[kind], style, color=color, label=label, markersize=4)
    unit_name = "updates" if equal_updates else "epoch"
    train.set(title="Training accuracy", xlabel=unit_name, ylabel="accuracy")
    val.set(title="Validation accuracy", xlabel=unit_name)
    val.legend(frameon=False, loc="upper left")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    save_figure(figure, path)
    print(f"wrote {path}")
