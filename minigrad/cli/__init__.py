"""The command `minigrad`: batch norm checked and drawn, implementations compared. Each subcommand is a module.

Exit status: 0 all is well, 1 something that was checked is wrong, 2 the input or the options are.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .. import __version__
from . import batchnorm, compare, completion, draw, exercise, train
from .problems import Problem

SUBCOMMANDS = (batchnorm, draw, compare, train, exercise, completion)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    whole = argparse.ArgumentParser(
        prog="minigrad",
        description="Reverse-mode autograd that people can read, see, check and use.",
        epilog="example: minigrad batchnorm --out pictures",
    )
    whole.add_argument("--version", action="version", version=f"minigrad {__version__}")
    parts = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in SUBCOMMANDS:
        module.add_to(parts)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    args = parser().parse_args(argv)
    try:
        return int(args.run(args))
    except Problem as problem:
        print(f"minigrad: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader (head, less) went away: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("minigrad: interrupted", file=sys.stderr)
        return 130
