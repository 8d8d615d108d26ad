"""`minigrad derive`: from a composed graph's recorded backward to the formula, step by step, and the primitive."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._support.files import written_aside
from ..core.tensor import Tensor
from ..losses import cross_entropy_composed
from ..normalization import batch_norm_composed, layer_norm_composed
from .draw import parameter_names
from .loading import load_function
from .options import add_command, add_shared, generator, input_arrays
from .practise import practise
from .problems import Problem, running


def _batchnorm(x: Any, gamma: Any, beta: Any) -> Any:
    return batch_norm_composed(x, gamma, beta, variance="staged")


def _layernorm(x: Any, gamma: Any, beta: Any) -> Any:
    return layer_norm_composed(x, gamma, beta, variance="staged")


KNOWN: dict[str, tuple[Callable[..., Any], str]] = {  # and what --shape is for
    "batchnorm": (_batchnorm, "rows and columns"),
    "layernorm": (_layernorm, "rows and columns"),
    "cross_entropy": (cross_entropy_composed, "rows and classes"),
}


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "derive",
        run,
        "from a composed graph to the formula of its backward, by checked steps",
        "minigrad derive batchnorm --out derived",
        "Take the backward of a composed function by small named steps, each one checked, to the analytic formula; "
        "print the steps and the fused primitive that it makes. With --out also NAME.md, .tex and .py, and the page "
        "NAME.html, whose slider goes through the steps.",
    )
    known = ", ".join(KNOWN)
    parser.add_argument("function", metavar="FUNCTION", help=f"{known}, MODULE:FUNCTION or FILE.py:FUNCTION")
    assume = "a hypothesis: 't sums to 1', 't is 0 or 1', 't is positive'; once for each"
    parser.add_argument("--assume", action="append", default=[], metavar="TEXT", help=assume)
    parser.add_argument("--any-digits", action="store_true", help="take steps that lose digits in float32, too")
    parser.add_argument("--out", metavar="DIR", help="folder for .md, .tex, .py and .html; their files are replaced")
    practice = (
        "which rule comes next? Choose a part and a rule; the engine says whether it may be applied, and its cost"
    )
    parser.add_argument("--exercise", action="store_true", help=practice)
    add_shared(parser, "--shape", "--data", "--seed")


def run(args: argparse.Namespace) -> int:
    """Derive, check the primitive against the function, print, write."""
    name, function, arrays = _problem(args)
    from ..derivation import NotDerivable, derive  # only here: --help needs none of it
    from ..derivation.paging import as_page
    from ..derivation.printing import as_markdown, as_tex_document

    assume = _assumed(args.assume)
    with running(f"calling {args.function}"):
        function(*map(Tensor, arrays))  # what fails here is the function's own
        try:
            d = derive(function, arrays, assume=assume, keep_digits=not args.any_digits)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise Problem(str(error)) from error
    if args.exercise:
        return practise(d)
    try:
        source = d.source(name)
        d.primitive(name)
    except NotDerivable as error:
        source = f"# no primitive: {' '.join(str(error).split())}\n"
    except ValueError as error:
        raise Problem(str(error)) from error
    print(d)
    print(f"\n{source}", end="")
    if args.out:
        text = as_markdown(d, name) + f"\n```python\n{source}```\n"
        files = {"md": text, "tex": as_tex_document(d), "py": source, "html": as_page(d, name)}
        _write(Path(args.out), {f"{name}.{kind}": whole for kind, whole in files.items()})
    return 0


def _problem(args: argparse.Namespace) -> tuple[str, Callable[..., Any], list[Any]]:
    """(a name for files and the primitive, the function, its inputs)."""
    rng = generator(args.seed)
    arrays = input_arrays(args, rng)
    if args.function not in KNOWN:
        function = load_function(args.function)
        required = parameter_names(function)
        if len(arrays) < len(required):
            raise Problem(f"{args.function} takes {', '.join(required)}: give --shape N,M for each")
        from ..derivation.text import identifiers

        return identifiers([args.function.rpartition(":")[2]], ("save", "rule", "mg", "np"))[0], function, arrays
    function, about = KNOWN[args.function]
    x = arrays[0] if arrays else rng.normal(size=(7, 3))
    if x.ndim != 2 or len(arrays) > 1:
        raise Problem(f"{args.function} takes one --shape N,M: {about}; got {[a.shape for a in arrays]}")
    if args.function == "cross_entropy":
        return args.function, function, [x, rng.integers(0, x.shape[1], x.shape[0])]
    return args.function, function, [x, rng.normal(size=x.shape[1]), rng.normal(size=x.shape[1])]


def _assumed(texts: list[str]) -> dict[str, str]:
    assume = {}
    for text in texts:
        name, _, form = text.strip().partition(" ")
        if not form:
            raise Problem(f"--assume {text!r}: expected the name of an input and what is true of it: 't sums to 1'")
        assume[name] = form.strip()
    return assume


def _write(folder: Path, files: dict[str, str]) -> None:
    """All of the files, or none: each is written aside first, and all are renamed at the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            for name, text in files.items():
                stack.enter_context(written_aside(folder / name)).write(text.encode())
    except OSError as error:
        raise Problem(f"{folder}: cannot be written ({error.strerror or error})") from error
    for name in files:
        print(f"wrote {folder / name}")
