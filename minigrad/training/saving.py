"""Matplotlib's figures: made without a display, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._support.extras import needs
from .._support.files import PathLike, written_aside


def new_figure(size: tuple[float, float]) -> Any:
    """An empty matplotlib figure that needs no display and leaves global state alone."""
    return needs("matplotlib.figure", "a plot").Figure(figsize=size, layout="constrained")


def save_figure(figure: Any, path: PathLike, title: str | None = None) -> None:
    """Axes tidied, then written whole or not at all, in the format that the name of the file says."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    if title:
        figure.suptitle(title)
    kind = Path(path).suffix.lstrip(".").lower()
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"a plot is written as .png, .svg or .pdf; got {path}")
    with written_aside(path) as file:
        figure.savefig(file, format=kind, dpi=120)
