"""What a command says: on stdout what it found, or on stderr one line of what keeps it from it (exit status 2)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from .._support.text import printable, visible


class Problem(Exception):
    """Wrong input or options. The message is one line that says what was given, what was expected, what to do."""

    def __str__(self) -> str:
        return visible(super().__str__(), 2000)


@contextlib.contextmanager
def running(what: str) -> Iterator[None]:
    """What somebody's own code raises in here becomes a Problem: `what` failed, with what. SystemExit, too."""
    try:
        yield
    except Problem:
        raise
    except (Exception, SystemExit) as error:
        said = visible(error, 2000) or "no message"
        raise Problem(f"{what} failed with {type(error).__name__}: {said}") from error


def say(text: object, end: str = "\n", file: Any = None) -> None:
    """Print; names of files and tensors in it do not run on a terminal."""
    print(printable(text), end=end, file=file)


def tell(text: object, file: Any = None) -> None:
    """Print on the way: where the reader (head, less) has gone away, the work goes on, and nobody is told the rest."""
    try:
        print(printable(text), file=file, flush=True)
    except BrokenPipeError:
        to_nowhere()


def to_nowhere() -> None:
    """Let what is still to be printed go nowhere, or the interpreter complains at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: object) -> None:
    """One line on stderr, if somebody reads it."""
    with contextlib.suppress(OSError):
        print(f"minigrad: {visible(text, 2000)}", file=sys.stderr)
