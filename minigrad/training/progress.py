"""How a long run shows itself: a rich progress bar on a terminal, plain lines elsewhere or without rich."""

from __future__ import annotations

import contextlib
import sys
from typing import Any


class Progress:
    """Call `advance` after each unit of work. Silent if not `shown`."""

    def __init__(self, total: int, what: str, *, shown: bool, done: int = 0, lines: int = 20) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._shown = shown
        self._every = max(-(-total // max(lines, 1)), 1)  # how many units a plain line stands for
        self._total, self._done, self._what = total, done, what
        if shown and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from rich.console import Console
                from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
                from rich.progress import Progress as Bar
                from rich.table import Column

                self._bar = Bar(
                    TextColumn("{task.description}"),
                    BarColumn(bar_width=16),
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

    def advance(self, text: str) -> None:
        """One unit is done; `text` tells how things stand."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1, text=text)
        elif self._shown and (self._done % self._every == 0 or self._done == self._total):
            print(f"{self._what} {self._done}/{self._total}  {text}", file=sys.stderr, flush=True)
