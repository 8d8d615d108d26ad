"""`minigrad check`: is my hand-written backward pass right?"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

from .loading import load_function
from .options import add_command, add_shared, generator, input_arrays
from .problems import Problem, say


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "check",
        _run,
        "hold a hand-written backward pass against differences of its forward pass",
        "minigrad check layers.py:bn_forward layers.py:bn_backward \\\n"
        '  --shape 7,3 3 3 --with bn_param=\'{"mode": "train"}\'',
        "Check a pair of functions in plain NumPy, as courses have them: forward(*inputs, **options) -> (out, cache) "
        "and backward(dout, cache) -> gradients; or one class with both as methods. Says which gradient is wrong, "
        "where, and which mistake gives such numbers. Exit status: 0 right, 1 wrong, 2 it cannot be checked.",
    )
    parser.add_argument("forward", metavar="FILE:FORWARD", help="FILE.py:function or MODULE:function; or a class")
    parser.add_argument("backward", metavar="FILE:BACKWARD", nargs="?", help="left out for a class")
    parser.add_argument(
        "--shape", nargs="+", action="extend", default=[], metavar="N,M", help="of each random input, in their order"
    )
    parser.add_argument(
        "--with", dest="options", action="append", default=[], metavar="NAME=JSON", help="an option of forward"
    )
    parser.add_argument("--order", type=int, choices=(1, 2), default=1, help="highest derivative checked (1)")
    parser.add_argument("--no-move", action="store_true", help="look at the inputs only, at no second point near by")
    add_shared(parser, "--data", "--seed")


def _run(args: argparse.Namespace) -> int:
    from ..check import backward

    forward = load_function(args.forward)
    if args.backward and ":" not in args.backward:
        args.backward = f"{args.forward.rpartition(':')[0]}:{args.backward}"
    pair = None if args.backward is None else load_function(args.backward)
    options = dict(map(_option, args.options))
    inputs = input_arrays(args, generator(args.seed))
    if not inputs:
        raise Problem("give the shape of every input, such as --shape 7,3 3 3, or a matrix with --data")
    try:
        report = backward(
            forward, pair, inputs, options=options, order=args.order, move=not args.no_move, seed=args.seed
        )
    except (Exception, SystemExit) as error:
        raise _problem(args, error) from error
    say(report)
    return 0 if report else 1


def _option(text: str) -> tuple[str, Any]:
    """NAME=JSON; what is no JSON is text, and a list of numbers an array, also inside a dict."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise Problem(f'--with {text}: expected NAME=JSON, such as bn_param=\'{{"mode": "train"}}\'')
    try:
        return name, _arrays(json.loads(value))
    except ValueError:
        if value[:1] in '[{"':
            raise Problem(f"--with {name}: {value!r} is not JSON; keys and texts stand in double quotes") from None
        return name, copy.copy(value)


def _arrays(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _arrays(value) for key, value in x.items()}
    return np.array(x) if isinstance(x, list) else x


def _problem(args: argparse.Namespace, error: BaseException) -> Problem:
    """What the checker refused, or what the user's code raised: with the line where."""
    from ..exercises import failure

    file, last = Path(args.forward.rpartition(":")[0]), error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    raised_in = Path(last.tb_frame.f_code.co_filename) if last is not None else file
    if isinstance(error, (TypeError, ValueError)) and raised_in.is_relative_to(Path(__file__).parents[1]):
        return Problem(f"{file}: {error}")
    return Problem(str(failure(error, raised_in)).replace(str(raised_in), raised_in.name))
