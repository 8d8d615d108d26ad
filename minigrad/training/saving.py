"""Matplotlib's figures: made without a display, written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from .._support.extras import needs
from .._support.files import PathLike, written_aside


def new_figure(size: tuple[float, float]) -> Any:
    """An empty matplotlib figure that needs no display and leaves global state alone."""
    return needs("matplotlib.figure", "a plot").Figure(figsize=size, layout="constrained")


class Plot:
    """A figure for a notebook, which shows it where the cell's last line is one; `.figure` is matplotlib's."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure

    def __repr__(self) -> str:
        axes = [f"{a.get_ylabel()} by {a.get_xlabel()}" for a in self.figure.axes]
        return f"a plot of {', '.join(axes)}; a notebook shows it, .figure is matplotlib's"

    def _repr_png_(self) -> bytes:
        """As PNG, with nothing of the machine in it."""
        file = io.BytesIO()
        self.figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
        return file.getvalue()


def save_figure(figure: Any, path: PathLike | None, title: str | None = None) -> Plot | None:
    """Axes tidied, then written whole or not at all, in the format that the name of the file says.

    Without a path nothing is written: the figure is returned, for a notebook to show.
    """
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    if title:
        figure.suptitle(title)
    if path is None:
        return Plot(figure)
    kind = Path(path).suffix.lstrip(".").lower()
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"a plot is written as .png, .svg or .pdf; got {path}")
    with written_aside(path) as file:
        figure.savefig(file, format=kind, dpi=120)
    return None
