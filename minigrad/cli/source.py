"""`minigrad source`: a function and its backward as plain NumPy that runs without minigrad, or as PyTorch or JAX."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .. import normalization
from .._support.files import written_aside
from ..core.tensor import Tensor
from ..program.recording import record
from ..program.source import LIBRARIES
from .draw import parameter_names
from .loading import load_function
from .options import add_command, add_shared, file_to_write, generator, input_arrays
from .problems import Problem, running, say

KNOWN: dict[str, Callable[..., Any]] = {
    "batchnorm": normalization.batch_norm,
    "batchnorm-composed": normalization.batch_norm_composed,
    "layernorm": normalization.layer_norm,
    "layernorm-composed": normalization.layer_norm_composed,
}


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "source",
        run,
        "a function and its backward as plain source code",
        "minigrad source batchnorm",
        "Record a function and its backward, and print them as a NumPy module that runs without minigrad: "
        "forward(...) returns the result and a cache, backward(g, cache) the gradients. Or the forward as a function "
        "of PyTorch or JAX.",
    )
    parser.add_argument("function", metavar="FUNCTION", help=f"{', '.join(KNOWN)}, MODULE:FUNCTION or FILE.py:FUNCTION")
    parser.add_argument("--library", choices=LIBRARIES, default="numpy", help="what it is written in (%(default)s)")
    parser.add_argument("--out", metavar="FILE.py", help="write it to this file, and do not print it")
    add_shared(parser, "--shape", "--data", "--seed")


def run(args: argparse.Namespace) -> int:
    """Record, print or write."""
    path = file_to_write("--out", args.out, ("py",)) if args.out else None
    function, arrays = _given(args)
    with running(f"calling {args.function}"):
        function(*map(Tensor, arrays))  # what fails here is the function's own
        try:
            source = record(function, *arrays).source(args.library)
        except (TypeError, ValueError, IndexError) as error:
            raise Problem(f"{args.function}: {error}") from error
    if path is None:
        say(source, end="")
        return 0
    try:
        with written_aside(path) as file:
            file.write(source.encode())
    except OSError as error:
        raise Problem(f"{path}: cannot be written ({error.strerror or error})") from error
    say(f"wrote {path}")
    return 0


def _given(args: argparse.Namespace) -> tuple[Callable[..., Any], list[Any]]:
    rng = generator(args.seed)
    arrays = input_arrays(args, rng)
    if args.function in KNOWN:
        x = arrays[0] if arrays else rng.normal(size=(7, 3))
        if x.ndim != 2 or len(arrays) > 1:
            raise Problem(f"{args.function} takes one --shape N,M; got {[a.shape for a in arrays]}")
        return KNOWN[args.function], [x, rng.normal(size=x.shape[1]), rng.normal(size=x.shape[1])]
    function = load_function(args.function)
    required = parameter_names(function)
    if len(arrays) < len(required):
        raise Problem(f"{args.function} takes {', '.join(required)}: give --shape N,M for each")
    return function, arrays
