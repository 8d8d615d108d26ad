"""`minigrad draw`: the graph that a function of yours builds, as a picture, a page or a table."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..anomalies import record_lines
from ..core.tensor import Tensor
from .loading import load_function
from .matrix import read_matrix
from .problems import Problem

ENDINGS = ("svg", "png", "pdf", "html", "dot", "gv", "json", "md")
NEED_NO_RENDERER = ("dot", "gv", "json", "md")


def add_to(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "draw",
        help="the graph that a function of yours builds",
        description="Call a function and draw the graph of what it returns: a tensor, several, or a dict of them. "
        "Local variables of the function name the tensors. The table is printed, the picture written.",
        epilog="example: minigrad draw minigrad:batch_norm_composed --shape 7,3 --shape 3 --shape 3 --out bn.html",
    )
    parser.add_argument("function", metavar="FUNCTION", help="FILE.py:FUNCTION or MODULE:FUNCTION")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="N,M", help="of a random input; repeat for more arguments"
    )
    parser.add_argument("--data", metavar="FILE", help="a matrix (.npy, .npz, .csv) as the first input")
    parser.add_argument("--out", metavar="FILE", help=f"what to write: .{' .'.join(ENDINGS)} (FUNCTION.svg)")
    parser.add_argument(
        "--gradient",
        choices=("none", "ones", "random"),
        help="what arrives at the result in the backward pass (ones for a single number, else none)",
    )
    parser.add_argument("--forward-only", action="store_true", help="without gradients and backward edges")
    parser.add_argument("--depth", type=int, help="how many levels of modules and scopes are drawn open (all)")
    parser.add_argument("--detail", type=int, choices=(0, 1, 2), help="0 names, 1 and shapes, 2 and numbers")
    parser.add_argument("--direction", choices=("TB", "LR"), default="TB", help="top to bottom or left to right (TB)")
    parser.add_argument("--theme", choices=("light", "dark"), default="light", help="(light)")
    parser.add_argument("--max-nodes", type=int, default=1000, metavar="N", help="largest picture (1000 cards)")
    parser.add_argument("--seed", type=int, default=0, help="for random inputs and gradients (0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Call, print, draw; 0 if all of it worked."""
    if args.seed < 0:
        raise Problem(f"--seed {args.seed}: expected a number >= 0")
    out = _target(args)
    rng = np.random.default_rng(args.seed)
    function = load_function(args.function)
    inputs = _inputs(args, function, rng)
    result, names = _called(function, inputs, args.function)
    labels, tensors = _tensors(result, args.function)
    names = {**{label: tensor for label, tensor in zip(labels, tensors, strict=True) if label}, **names}
    gradient = None if args.forward_only else _gradient(tensors, args.gradient, rng)
    from ..drawing import draw  # only here: --help needs no graphviz package

    options = {
        "names": names,
        "backward": not args.forward_only,
        "depth": args.depth,
        "detail": args.detail,
        "direction": args.direction,
        "theme": args.theme,
        "max_nodes": args.max_nodes,
        "title": args.function.rpartition(":")[2],
    }
    try:
        drawing = draw(tensors if len(tensors) > 1 else tensors[0], gradient=gradient, **options)
        drawing.save(out)  # before anything is printed: a reader that goes away early does not lose it
    except (ValueError, RuntimeError, TimeoutError) as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(f"{out}: cannot be written ({error.strerror or error})") from error
    print(drawing)
    print(f"wrote {out}")
    return 0


def _target(args: argparse.Namespace) -> Path:
    """Where to write; checked before the user's code runs. Without a renderer and without --out: DOT text."""
    from ..drawing.renderer import RendererNotFound, find

    out = Path(args.out or f"{args.function.rpartition(':')[2]}.svg")
    ending = out.suffix.lower().removeprefix(".")
    if ending not in ENDINGS:
        raise Problem(f"--out {out}: the ending must be one of .{', .'.join(ENDINGS)}")
    if not out.parent.is_dir():
        raise Problem(f"--out {out}: there is no folder {out.parent}")
    if ending not in NEED_NO_RENDERER:
        try:
            find("svg" if ending == "html" else ending)
        except RendererNotFound as error:
            if args.out or os.environ.get("MINIGRAD_DOT"):
                raise Problem(f"cannot draw {ending}: {error}") from error
            print(f"no renderer found, so the picture is DOT text: {str(error).splitlines()[0]}")
            return out.with_suffix(".dot")
    return out


def _inputs(args: argparse.Namespace, function: Callable[..., Any], rng: np.random.Generator) -> list[Tensor]:
    arrays: list[Any] = [read_matrix(args.data)] if args.data else []
    for text in args.shape:
        try:
            shape = tuple(int(part) for part in text.split(",") if part.strip())
        except ValueError:
            raise Problem(f"--shape {text!r}: expected whole numbers with commas between, such as 7,3") from None
        if any(n < 0 for n in shape):
            raise Problem(f"--shape {text!r}: lengths must not be negative")
        arrays.append(rng.normal(size=shape))
    required = _required(function)
    if len(arrays) < len(required):
        raise Problem(
            f"{args.function} takes {', '.join(required)}: give --shape N,M for each (or --data FILE for the first); "
            f"got {len(arrays)}"
        )
    names = [*_positional(function), *(f"input{k}" for k in range(len(arrays)))]
    return [Tensor(a, requires_grad=True, name=name) for a, name in zip(arrays, names, strict=False)]


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _positional(function: Callable[..., Any]) -> list[str]:
    return [p.name for p in _parameters(function)]


def _required(function: Callable[..., Any]) -> list[str]:
    return [p.name for p in _parameters(function) if p.default is p.empty]


def _called(function: Callable[..., Any], inputs: list[Tensor], name: str) -> tuple[Any, dict[str, Any]]:
    """What the function returns, and its local variables as they were when it did."""
    seen: dict[str, Any] = {}
    code = getattr(function, "__code__", None)

    def watch(frame: Any, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            seen.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        with record_lines():
            result = function(*inputs)
    except Exception as error:
        raise Problem(f"calling {name} failed with {type(error).__name__}: {error}") from error
    finally:
        sys.setprofile(before)
    return result, seen


def _tensors(result: Any, name: str) -> tuple[list[str], list[Tensor]]:
    if isinstance(result, dict):
        labels, found = [str(key) for key in result], list(result.values())
    elif isinstance(result, (list, tuple)):
        labels, found = [""] * len(result), list(result)
    else:
        labels, found = [""], [result]
    wrong = [x for x in found if not isinstance(x, Tensor)]
    if wrong or not found:
        what = type(wrong[0]).__name__ if wrong else f"an empty {type(result).__name__}"
        raise Problem(f"{name} must return a Tensor, several, or a dict of them; it returned {what}")
    if all(x.op is None for x in found):
        raise Problem(
            f"{name} returned a tensor without a graph: nothing that it was computed from requires a gradient; "
            "make its inputs with requires_grad=True"
        )
    return labels, found


def _gradient(tensors: list[Tensor], wanted: str | None, rng: np.random.Generator) -> Any:
    gradients: list[Any] = []
    for x in tensors:
        given = getattr(x, "_cotangent", None) is not None  # the function itself called backward()
        kind = wanted or ("none" if given or x.size != 1 else "ones")
        if kind == "none" or not x.requires_grad:
            gradients.append(None)
        else:
            gradients.append(np.ones(x.shape) if kind == "ones" else rng.normal(size=x.shape))
    if all(g is None for g in gradients):
        return None
    return gradients if len(tensors) > 1 else gradients[0]
