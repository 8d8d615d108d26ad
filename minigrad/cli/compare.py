"""`minigrad compare`: two functions of yours held against each other."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..check import compare
from ..core.tensor import Tensor
from .loading import load_function
from .options import TABLE, add_command, add_shared, generator, input_arrays
from .problems import Problem, running, say


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "compare",
        run,
        "two implementations of one function: values, gradients, second order, cost",
        "minigrad compare minigrad:layer_norm_composed minigrad:layer_norm \\\n    --shape 7,3 --shape 3",
        "Call two functions with the same random inputs (one per --shape) or with a matrix, and compare "
        "values, gradients, Hessian-vector products and cost. Exit status 0 only if they agree.",
    )
    parser.add_argument("f", metavar="F", help="MODULE:FUNCTION or FILE.py:FUNCTION")
    parser.add_argument("g", metavar="G", help="the other one")
    parser.add_argument("--tol", type=float, help="largest error allowed (depends on the data; see the docs)")
    add_shared(parser, "--shape", "--data", *TABLE, "--order", "--dtype", "--seed", "--json")


def run(args: argparse.Namespace) -> int:
    """Compare and print; 0 if they agree, else 1."""
    arrays = input_arrays(args, generator(args.seed))
    if args.tol is not None and not args.tol >= 0:
        raise Problem(f"--tol {args.tol}: expected a number >= 0")
    if not arrays:
        raise Problem("no inputs: give --shape N,M once for each argument of the functions, or --data FILE")
    inputs = [Tensor(a.astype(args.dtype)) for a in arrays]
    f, g = load_function(args.f), load_function(args.g)
    labels = (args.f, args.g) if args.json else _labels(args.f, args.g)
    with running("running them"):
        report = compare(f, g, inputs, order=args.order, labels=labels, tol=args.tol, seed=args.seed)
    say(json.dumps(report.as_data(), indent=1) if args.json else report)
    return 0 if report else 1


def _labels(f: str, g: str) -> tuple[str, str]:
    """The shortest names that tell two functions apart, for tables that fit a terminal."""
    for short in (lambda name: name.rpartition(":")[2], lambda name: Path(name).name):
        if short(f) != short(g):
            return short(f), short(g)
    return f, g
