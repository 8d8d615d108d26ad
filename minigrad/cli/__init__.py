"""The command `minigrad`: batch norm checked and drawn, implementations compared. Each command is a module.

Exit status: 0 all is well, 1 something that was checked is wrong, 2 the input or the options are.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from . import batchnorm, compare, derive, draw, exercise, train
from .problems import Problem

COMMANDS = (batchnorm, draw, compare, derive, train, exercise)


class OneLine(argparse.ArgumentParser):
    """Says in one line what is wrong with the options."""

    def error(self, message: str) -> NoReturn:
        lists = ("argument --gamma: expected one", "argument --beta: expected one")
        minus = " (numbers that start with a minus: --gamma=-1,2)" if message.startswith(lists) else ""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}{minus}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    whole = OneLine(
        prog="minigrad",
        description="Reverse-mode autograd that people can read, see, check and use.",
        epilog="example: minigrad batchnorm --out pictures",
    )
    whole.add_argument("--version", action="version", version=f"minigrad {__version__}")
    parts = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add_to(parts)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter gets its number
    args = parser().parse_args(argv)
    try:
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except Problem as problem:
        print(f"minigrad: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader (head, less) went away: nobody is left to tell
        _to_nowhere()
        return 141  # what a shell reports of a program that a closed pipe ended
    except (OSError, MemoryError) as error:
        _to_nowhere()
        print(f"minigrad: {Problem(error or type(error).__name__)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minigrad: interrupted", file=sys.stderr)
        return 130


def _to_nowhere() -> None:
    """Let what is still to be printed go nowhere, or the interpreter complains at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
