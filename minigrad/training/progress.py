"""How a long run shows itself: a rich progress bar on a terminal, plain lines elsewhere or without rich."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

WIDTH = 79  # of a plain line, which a terminal of 80 columns does not break
_BESIDE = 32  # columns of a bar that are not its text


def _stream() -> Any:
    """Standard error; in a notebook standard output, for the other is shown there as an error. None: there is none."""
    stream = sys.stderr
    return sys.stdout if type(stream).__module__.startswith("ipykernel") else stream


def fitted(parts: Sequence[str], width: int, between: str = "  ") -> str:
    """As many of the parts as fit, the first and the last ones before those in between."""
    kept = list(parts)
    while len(between.join(kept)) > width and len(kept) > 2:
        kept.pop(1)
    text = between.join(kept)
    return text if len(text) <= width else f"{text[: max(width - 3, 0)]}..."


class Progress:
    """Call `advance` after each unit of work. Silent if not `shown`, and where there is nobody to tell."""

    def __init__(self, total: int, what: str, *, shown: bool, done: int = 0, lines: int = 20) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._shown = shown and _stream() is not None
        self._every = max(-(-total // max(lines, 1)), 1)  # how many units a plain line stands for
        self._total, self._done, self._what = total, done, what
        if self._shown and _stream().isatty():
            with contextlib.suppress(ImportError):
                from rich.console import Console
                from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
                from rich.progress import Progress as Bar
                from rich.table import Column

                self._bar = Bar(
                    TextColumn("{task.description}"),
                    BarColumn(bar_width=8),
                    MofNCompleteColumn(),
                    TimeRemainingColumn(compact=True),
                    TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
                    console=Console(stderr=True),
                )
                self._task = self._bar.add_task(what, total=total, completed=done, text="")

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif self._shown:
            try:
                print(text, file=_stream(), flush=True)
            except (OSError, ValueError):  # the reader went away: the work goes on
                self._shown = False

    def advance(self, parts: Sequence[str], between: str = "  ") -> None:
        """One unit is done; `parts` tell how things stand."""
        self._done += 1
        if self._bar is not None:
            text = fitted(parts, self._bar.console.width - _BESIDE, between)
            self._bar.update(self._task, advance=1, text=text)
        elif self._done % self._every == 0 or self._done == self._total:
            start = f"{self._what} {self._done}/{self._total}  "
            self.say(start + fitted(parts, WIDTH - len(start), between))
