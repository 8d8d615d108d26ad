"""How a graph is to be drawn: one frozen object, checked once, where the user's call comes in. Knows no graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from .theme import THEMES, Palette

MOST = 1000  # nodes in one picture
FULL = 200  # cards with numbers
# Where pictures are published: px to the right, px down, and the least height of letters there.
ROOMS: dict[str, tuple[int, int | None, float]] = {
    "readme": (830, None, 11.0),
    "notebook": (860, None, 11.0),
    "slide": (1280, 720, 11.0),
    "column": (320, None, 8.0),  # 240 pt of print, 6 pt
}


class Look(TypedDict, total=False):
    """The same as keywords of a function: `**look: Unpack[Look]`."""

    backward: bool
    depth: int | None
    detail: int | None
    direction: str
    theme: str
    title: str
    max_nodes: int
    fold: bool | None
    module: str | None
    width: int | str | None
    color: Any
    legend: bool
    tables: bool


@dataclass(frozen=True)
class Options:
    """What `mg.draw` explains. ValueError names the option, what it was given, and what it takes.

    >>> Options(theme="pink")
    Traceback (most recent call last):
    ValueError: theme='pink' must be 'light', 'dark' or 'auto'
    """

    backward: bool = True
    depth: int | None = None
    detail: int | None = None
    direction: str = "TB"
    theme: str = "light"
    title: str = ""
    max_nodes: int = MOST
    fold: bool | None = None
    module: str | None = None
    width: int | str | None = None
    color: Any = None  # checked where it is read, by shading.py
    legend: bool = True
    tables: bool = True
    # How a picture is made narrow, not for users: 1, the leaves of an op stand one above the other; 2, so do the graphs
    # of a pair and the parts of several roots; 3, so do all ops, and a pair's graphs beside each other.
    narrow: int = 0

    def __post_init__(self) -> None:
        checks = {
            "backward": (_is(self.backward, True, False), "True or False"),
            "depth": (_whole(self.depth, 0, None), "None, or 0 (each outermost scope is one card) or more"),
            "detail": (_is(self.detail, None, 0, 1, 2), "0 (names), 1 (and shapes) or 2 (and numbers)"),
            "direction": (_is(self.direction, "TB", "LR"), "'TB' (top to bottom) or 'LR' (left to right)"),
            "theme": (_is(self.theme, *THEMES), "'light', 'dark' or 'auto'"),
            "title": (isinstance(self.title, str), "a text"),
            "max_nodes": (_whole(self.max_nodes, 1), "a number of cards, at least 1"),
            "fold": (_is(self.fold, None, True, False), "None (where there are more than 40 cards), True or False"),
            "module": (isinstance(self.module, str | None), "None or the name of a scope"),
            "legend": (_is(self.legend, True, False), "True or False"),
            "tables": (_is(self.tables, True, False), "True or False"),
            "width": (
                _is(self.width, None, *ROOMS) or _whole(self.width, 100),
                f"None, a number of px (100 or more) or {', '.join(map(repr, ROOMS))}",
            ),
        }
        for name, (fine, said) in checks.items():
            if not fine:
                raise ValueError(f"{name}={getattr(self, name)!r} must be {said}")

    @property
    def colours(self) -> Palette:
        """The palette of the theme."""
        return THEMES[self.theme]

    @property
    def room(self) -> tuple[int, int | None, float]:
        """Width, height and least size of letters that `width` asks for."""
        return ROOMS[self.width] if isinstance(self.width, str) else (int(self.width or 0), None, 11.0)

    def told(self, cards: int) -> int:
        """How much is told on each card: what was asked for, else numbers unless there are too many cards for them."""
        return self.detail if self.detail is not None else 2 if cards <= FULL else 1


def _is(value: Any, *choices: Any) -> bool:
    """One of these, and not just equal to one: True is not 1."""
    return any(type(value) is type(choice) and value == choice for choice in choices)


def _whole(value: Any, least: int, *others: Any) -> bool:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return _is(value, *others) or (whole and int(value) >= least)
