"""The command `minigrad`: batch norm checked and drawn, implementations compared. Each command is a module.

Exit status: 0 all is well, 1 something that was checked is wrong, 2 the input or the options are.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from .._support.text import visible
from . import batchnorm, check, compare, derive, draw, exercise, predict, source, train
from .problems import Problem, complain, to_nowhere

COMMANDS = (batchnorm, draw, compare, check, derive, source, train, predict, exercise)


class OneLine(argparse.ArgumentParser):
    """Says in one line what is wrong with the options."""

    def error(self, message: str) -> NoReturn:
        lists = ("argument --gamma: expected one", "argument --beta: expected one")
        minus = " (numbers that start with a minus: --gamma=-1,2)" if message.startswith(lists) else ""
        self.exit(2, f"{self.prog}: {visible(message, 1000)}{minus}; see {self.prog} --help\n")


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
    # one that was closed: the next file would get its number, and then what is printed
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter gets its number
    args = parser().parse_args(train.with_replay(sys.argv[1:] if argv is None else argv))
    try:
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except Problem as problem:
        complain(problem)
        return 2
    except BrokenPipeError:  # the reader (head, less) went away: nobody is left to tell
        to_nowhere()
        return 141  # what a shell reports of a program that a closed pipe ended
    except (OSError, MemoryError) as error:
        to_nowhere()
        complain(error or type(error).__name__)
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
