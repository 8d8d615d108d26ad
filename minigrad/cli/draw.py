"""`minigrad draw`: the graph that a function of yours builds, as a picture, a page or a table."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..anomalies import record_lines
from ..core.tensor import Tensor
from .loading import load_function
from .options import (
    PICTURES,
    TABLE,
    add_command,
    add_shared,
    file_to_write,
    generator,
    input_arrays,
    save,
    why_no_renderer,
)
from .problems import Problem, running, say

LADDERS = ("svg", "json", "md")  # endings that a ladder has
DIAGRAM: dict[str, Any] = {"detail": None, "direction": "TB", "max_nodes": 1000}  # options that a ladder has not

MODEL_FILES = (".onnx", ".pt", ".pth", ".safetensors", ".h5", ".keras")


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "draw",
        run,
        "the graph that a function of yours builds",
        "minigrad draw minigrad:batch_norm_composed \\\n    --shape 7,3 --shape 3 --shape 3 --out bn.html",
        "Call a function and draw the graph of what it returns: a tensor, several, or a dict of them. "
        "Local variables of the function name the tensors. The table is printed, the picture written.",
    )
    parser.add_argument("function", metavar="FUNCTION", help="MODULE:FUNCTION or FILE.py:FUNCTION")
    parser.add_argument("--torch", action="store_true", help="FUNCTION makes a PyTorch module, which is drawn")
    parser.add_argument("--out", metavar="FILE", help=f"what to write: .{' .'.join(PICTURES)} (FUNCTION.svg)")
    gradient = "what arrives at the result in the backward pass (ones for a single number, else none)"
    parser.add_argument("--gradient", choices=("none", "ones", "random"), help=gradient)
    parser.add_argument("--forward-only", action="store_true", help="without gradients and backward edges")
    parser.add_argument("--depth", type=int, help="how many levels of modules and scopes are drawn open (all)")
    parser.add_argument("--detail", type=int, choices=(0, 1, 2), help="0 names, 1 and shapes, 2 and numbers")
    parser.add_argument("--direction", choices=("TB", "LR"), default="TB", help="top to bottom or left to right (TB)")
    parser.add_argument("--theme", choices=("light", "dark"), default="light", help="of the colours (light)")
    parser.add_argument("--ladder", action="store_true", help=f"values down, gradients up: .{' .'.join(LADDERS)}")
    parser.add_argument("--width", type=int, metavar="PX", help="of a ladder, 300 to 860 px (830)")
    parser.add_argument("--max-nodes", type=int, default=1000, metavar="N", help="largest picture (1000 cards)")
    add_shared(parser, "--shape", "--data", *TABLE, "--seed")


def run(args: argparse.Namespace) -> int:
    """Call, print, draw; 0 if all of it worked."""
    suffix = Path(args.function).suffix
    if suffix in MODEL_FILES:
        raise Problem(
            f"{args.function}: {suffix} files are not read; draw the code that makes the model: "
            "minigrad draw --torch FILE.py:FUNCTION --shape N,M for a function that returns a PyTorch module "
            "(it may load weights), or in Python mg.draw(mg.from_torch(module, x)()) and mg.from_jax for JAX"
        )
    rng = generator(args.seed)
    out = _target(args)
    function = load_function(args.function)
    inputs: Any
    if args.torch:
        function = _module(args, function, rng)
        inputs = function.inputs
    else:
        inputs = _inputs(args, function, rng)
    result, names = _called(function, inputs, args.function)
    found = _tensors(result, args.function)
    names = {**(found if isinstance(result, dict) else {}), **names}
    tensors = list(found.values())
    gradient = None if args.forward_only else _gradient(tensors, args.gradient, rng)
    from ..drawing import draw, ladder  # only here: --help needs no graphviz package

    options = {"width": args.width or 830} if args.ladder else {name: getattr(args, name) for name in DIAGRAM}
    try:
        drawing: Any = (ladder if args.ladder else draw)(
            tensors if len(tensors) > 1 else tensors[0],
            gradient=gradient,
            backward=not args.forward_only,
            names=names,
            title=args.function.rpartition(":")[2],
            depth=args.depth,
            theme=args.theme,
            **options,
        )
    except (ValueError, RuntimeError) as error:
        raise Problem(str(error)) from error
    save(drawing, out)  # before anything is printed: a reader that goes away early does not lose it
    say(drawing)
    say(f"wrote {out}")
    return 0


def _target(args: argparse.Namespace) -> Path:
    """Where to write; checked before the user's code runs. Without a renderer and without --out: DOT text."""
    name = args.function.rpartition(":")[2] or "graph"
    given = [name for name, usual in DIAGRAM.items() if getattr(args, name) != usual] if args.ladder else []
    if given or (args.width is not None and not args.ladder):
        option = f"--{given[0].replace('_', '-')}" if given else "--width"
        raise Problem(f"{option} is for {'graph diagrams, not for a' if given else 'a'} --ladder")
    if args.ladder:
        return file_to_write("--out", f"{name}.svg" if args.out is None else args.out, LADDERS)
    out = file_to_write("--out", f"{name}.svg" if args.out is None else args.out, PICTURES)
    reason = why_no_renderer(out.suffix.lower().removeprefix("."), asked=args.out is not None)
    if reason is None:
        return out
    say(f"no renderer found, so the picture is DOT text: {reason}")
    return out.with_suffix(".dot")


def _inputs(args: argparse.Namespace, function: Callable[..., Any], rng: np.random.Generator) -> list[Tensor]:
    """Tensors for the function's arguments, named as its parameters are."""
    arrays = input_arrays(args, rng)
    positional, required = _positional(function), parameter_names(function)
    if len(arrays) < len(required):
        takes = f"{args.function} takes {', '.join(required)}"
        raise Problem(f"{takes}: give --shape N,M for each, or --data FILE for the first; got {len(arrays)}")
    names = [*(p.name for p in positional), *(f"input{k}" for k in range(len(arrays)))]
    return [Tensor(a, requires_grad=True, name=name) for a, name in zip(arrays, names, strict=False)]


def _module(args: argparse.Namespace, factory: Callable[..., Any], rng: np.random.Generator) -> Any:
    """The PyTorch module that a function makes, as a function of Tensors; floating inputs in its dtype."""
    from ..frontends import from_torch

    arrays = input_arrays(args, rng)
    if not arrays:
        raise Problem(f"{args.function}: give --shape N,M for each input of the module, or --data FILE for the first")
    try:
        module = factory if hasattr(factory, "state_dict") and not isinstance(factory, type) else factory()
        held = [p for p in getattr(module, "parameters", tuple)() if p.is_floating_point()]
        dtype = str(held[0].dtype).rpartition(".")[2] if held else "float64"
        return from_torch(module, *(a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays))
    except Exception as error:
        raise Problem(f"{args.function} as a PyTorch module: {type(error).__name__}: {error}") from error


def _positional(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    return [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def parameter_names(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a function must be given by place."""
    return [p.name for p in _positional(function) if p.default is p.empty]


def _called(function: Callable[..., Any], inputs: list[Tensor], name: str) -> tuple[Any, dict[str, Any]]:
    """What the function returns, and its local variables as they were when it did."""
    seen: dict[str, Any] = {}
    code = getattr(inspect.unwrap(function), "__code__", None)  # a decorator's own variables name nothing

    def watch(frame: Any, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            seen.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        with running(f"calling {name}"), record_lines():
            result = function(*inputs)
    finally:
        sys.setprofile(before)
    return result, seen


def _tensors(result: Any, name: str) -> dict[str, Tensor]:
    """The tensors that were returned, by name or by number."""
    several = (
        result if isinstance(result, dict) else enumerate(result if isinstance(result, (list, tuple)) else [result])
    )
    found = {str(key): value for key, value in dict(several).items()}
    wrong = [x for x in found.values() if not isinstance(x, Tensor)]
    if wrong or not found:
        what = type(wrong[0]).__name__ if wrong else f"an empty {type(result).__name__}"
        raise Problem(f"{name} must return a Tensor, several, or a dict of them; it returned {what}")
    if all(x.op is None for x in found.values()):
        raise Problem(f"{name} returned a tensor without a graph: none of its inputs has requires_grad=True")
    return found


def _gradient(tensors: list[Tensor], wanted: str | None, rng: np.random.Generator) -> Any:
    """What arrives at each tensor in the backward pass; nothing where the function itself called backward()."""

    def gradient(x: Tensor) -> Any:
        kind = wanted or ("ones" if x.size == 1 and getattr(x, "_cotangent", None) is None else "none")
        if kind == "none" or not x.requires_grad:
            return None
        return np.ones(x.shape) if kind == "ones" else rng.normal(size=x.shape)

    gradients = [gradient(x) for x in tensors]
    if all(g is None for g in gradients):
        return None
    return gradients if len(tensors) > 1 else gradients[0]
