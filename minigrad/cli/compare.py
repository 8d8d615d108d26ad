"""`minigrad compare`: two functions of yours held against each other."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from ..check import compare
from ..core.tensor import Tensor
from .loading import load_function
from .matrix import read_matrix
from .problems import Problem


def add_to(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "compare",
        help="two implementations of one function: values, gradients, second order, cost",
        description="Call two functions with the same random inputs (one per --shape) or with a matrix, and compare "
        "values, gradients, Hessian-vector products and cost. Exit status 0 only if they agree.",
        epilog="example: minigrad compare minigrad:layer_norm_composed minigrad:layer_norm --shape 7,3 --shape 3",
    )
    parser.add_argument("f", metavar="F", help="MODULE:FUNCTION or FILE.py:FUNCTION")
    parser.add_argument("g", metavar="G", help="the other one")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="N,M", help="of a random input; repeat for more"
    )
    parser.add_argument("--data", metavar="FILE", help="a matrix (.npy, .npz, .csv) as the first input")
    parser.add_argument("--order", type=int, choices=(0, 1, 2), default=2, help="highest derivative compared (2)")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="(float64)")
    parser.add_argument("--seed", type=int, default=0, help="for the random inputs and cotangents (0)")
    parser.add_argument("--tol", type=float, help="largest error allowed (depends on the data; see the docs)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare and print; 0 if they agree, else 1."""
    if args.seed < 0:
        raise Problem(f"--seed {args.seed}: expected a number >= 0")
    rng = np.random.default_rng(args.seed)
    arrays = [read_matrix(args.data)] if args.data else []
    try:
        arrays += [rng.normal(size=_shape(text)) for text in args.shape]
    except (MemoryError, ValueError) as error:
        raise Problem(f"--shape {' '.join(args.shape)}: too large for the memory of this machine") from error
    if args.tol is not None and not args.tol >= 0:
        raise Problem(f"--tol {args.tol}: expected a number >= 0")
    if not arrays:
        raise Problem("no inputs: give --shape N,M once for each argument of the functions, or --data FILE")
    inputs = [Tensor(a.astype(args.dtype)) for a in arrays]
    f, g = load_function(args.f), load_function(args.g)
    try:
        report = compare(f, g, inputs, order=args.order, labels=(args.f, args.g), tol=args.tol, seed=args.seed)
    except (Exception, SystemExit) as error:
        raise Problem(f"running them failed with {type(error).__name__}: {error}") from error
    print(json.dumps(report.as_data(), indent=1) if args.json else report)
    return 0 if report else 1


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise Problem(f"--shape {text!r}: expected whole numbers with commas between, such as 7,3") from None
    if any(n < 0 for n in shape):
        raise Problem(f"--shape {text!r}: lengths must not be negative")
    return shape
