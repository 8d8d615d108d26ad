"""What a command says: on stdout what it found, or on stderr one line of what keeps it from it (exit status 2)."""

from __future__ import annotations

import contextlib
import sys

from .._support.text import printable, visible


class Problem(Exception):
    """Wrong input or options. The message is one line that says what was given, what was expected, what to do."""

    def __str__(self) -> str:
        return visible(super().__str__(), 2000)


def say(text: object) -> None:
    """Print; names of files and tensors in it do not run on a terminal."""
    print(printable(text))


def complain(text: object) -> None:
    """One line on stderr, if there is one and somebody reads it."""
    if sys.stderr is not None:  # to print, None means stdout
        with contextlib.suppress(OSError):
            print(f"minigrad: {visible(text, 2000)}", file=sys.stderr)
