"""What several commands share: options in the same words, and the arrays, files and pictures that are behind them."""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import data
from .problems import Problem, tell

PICTURES = ("svg", "png", "pdf", "html", "dot", "gv", "json", "md")  # endings; the last four need no renderer
SHARED: dict[str, dict[str, Any]] = {  # options of more than one command
    "--shape": {"action": "append", "default": [], "metavar": "N,M", "help": "of a random input; once for each"},
    "--data": {"metavar": "FILE", "help": "the first input: a table (.csv, .txt, ...) or an array (.npy, .npz)"},
    "--columns": {"metavar": "A,B", "help": "of the table: these alone, by name or number"},
    "--separator": {"metavar": "C", "help": "of the table, where it is not recognised"},
    "--decimal": {"choices": (".", ","), "help": "what the table writes before decimals, where it is not recognised"},
    "--missing": {"choices": ("refuse", "drop"), "default": "refuse", "help": "drop: leave out incomplete rows"},
    "--order": {"type": int, "choices": (0, 1, 2), "default": 2, "help": "highest derivative compared (%(default)s)"},
    "--dtype": {"choices": ("float64", "float32"), "default": "float64", "help": "of all numbers (%(default)s)"},
    "--seed": {"type": int, "default": 0, "metavar": "N", "help": "of all that is random (%(default)s)"},
    "--json": {"action": "store_true", "help": "print what was found as JSON"},
}


TABLE = ("--columns", "--separator", "--decimal", "--missing")  # for whatever reads a table


def as_options(message: object, args: argparse.Namespace) -> str:
    """A message of the library in the words of the command line: `clip_norm=1` as `--clip-norm 1`."""
    text = str(message).replace("resume=False", "--no-resume")
    for name in vars(args):
        text = re.sub(rf"\b{name}=(?=[^=]|$)", f"--{name.replace('_', '-')} ", text)
    return text.replace("  ", " ").replace(" )", ")")


def add_command(
    commands: Any, name: str, run: Callable[..., int], short: str, example: str, long: str = ""
) -> argparse.ArgumentParser:
    """A command of `commands`; its --help ends with the example, on lines that can be copied."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=short,
        description=textwrap.fill(long or f"{short[0].upper()}{short[1:]}.", 78),
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_shared(parser: argparse.ArgumentParser, *names: str, **defaults: Any) -> None:
    """Options of SHARED, with defaults of the command's own."""
    for name in names:
        parser.add_argument(name, **SHARED[name])
    parser.set_defaults(**defaults)


def generator(seed: int) -> np.random.Generator:
    """The random numbers of `--seed`."""
    if seed < 0:
        raise Problem(f"--seed {seed}: expected a number >= 0")
    return np.random.default_rng(seed)


def input_arrays(args: argparse.Namespace, rng: np.random.Generator) -> list[Any]:
    """What `--data` holds first, then a random array for every `--shape`."""
    arrays: list[Any] = [read_numbers(args, args.data)] if args.data else []
    for text in args.shape:
        expected = "whole numbers with commas between, such as 7,3; lengths must not be negative"
        shape = numbers("--shape", text, int, expected, least=0)
        try:
            arrays.append(rng.normal(size=shape))
        except (MemoryError, ValueError) as error:
            raise Problem(f"--shape {text!r}: too large for the memory of this machine") from error
    return arrays


def read_table(args: argparse.Namespace, name: str, *, also: Sequence[str] = (), file: Any = None) -> data.Table:
    """The table of a file, as the options of TABLE say, and the columns `also`; how it was read goes to `file`."""
    columns = None if args.columns is None else [*args.columns.split(","), *also]
    try:
        table = data.table(name, columns=columns, separator=args.separator, decimal=args.decimal)
        table = table.complete() if args.missing == "drop" else table
    except ValueError as error:
        raise Problem(as_options(error, args)) from error
    if not getattr(args, "json", False):
        tell(textwrap.fill(str(table), 79, subsequent_indent="  ", break_long_words=False), file)
    return table


def read_numbers(args: argparse.Namespace, name: str) -> Any:
    """The numbers of a file: an array with the axes that it has, or a table of rows and columns."""
    try:
        if args.columns is None and Path(name.partition(":")[0]).suffix.lower() in (".npy", ".npz"):
            return data.array(name)
        return read_table(args, name).numbers()
    except ValueError as error:
        raise Problem(as_options(error, args)) from error


def numbers(option: str, text: str, kind: Any, expected: str, least: float = -sys.float_info.max) -> list[Any]:
    """The numbers of an option, written with commas between; a comma at the end is allowed, as in Python's (3,)."""
    try:
        values = [kind(part) for part in text.strip().removesuffix(",").split(",")] if text.strip() else []
    except ValueError:
        values = [float("nan")]
    if not all(least <= value < float("inf") for value in values):
        raise Problem(f"{option} {text!r}: expected {expected}")
    return values


def file_to_write(option: str, name: str, endings: tuple[str, ...]) -> Path:
    """Where an option wants a file; checked before anything runs that takes long or prints."""
    path = Path(name)
    if path.suffix.lower().removeprefix(".") not in endings:
        raise Problem(f"{option} {name or repr(name)}: the ending must be one of .{', .'.join(endings)}")
    if not path.absolute().parent.is_dir():
        raise Problem(f"{option} {name}: there is no folder {path.parent}")
    return path


def why_no_renderer(kind: str, *, asked: bool) -> str | None:
    """Why pictures of this kind cannot be drawn here, else None. A Problem where it, or a renderer, was asked for."""
    from ..drawing.renderer import RendererNotFound, programs  # only here: --help needs no graphviz package

    if kind in PICTURES[4:]:
        return None
    try:
        programs("svg" if kind == "html" else kind)
    except RendererNotFound as error:
        if asked or os.environ.get("MINIGRAD_DOT"):
            raise Problem(f"cannot draw {kind}: {error}") from error
        return str(error).splitlines()[0]
    return None


def save(picture: Any, path: Path) -> None:
    """Write a picture, or say in one line why not."""
    try:
        picture.save(path)
    except (RuntimeError, TimeoutError, ValueError) as error:  # the renderer failed, or the picture is too large
        raise Problem(f"{path}: {error}") from error
    except OSError as error:
        raise Problem(f"{path}: cannot be written ({error.strerror or error})") from error
