"""`minigrad batchnorm`: batch norm composed and fused on your data, compared to second order and drawn."""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import chapter
from ..check import compare
from ..core.tensor import Tensor
from ..normalization import batch_norm, batch_norm_composed
from .matrix import Matrix, read_matrix
from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..check import Comparison

FORMATS = ("svg", "png", "dot", "pdf")
WITHOUT_RENDERER = "dot"


def add_to(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "batchnorm",
        help="batch norm as a graph and as one fused op: compare them, draw them",
        description="Run batch norm as a composed graph and as a fused primitive on a matrix; compare values, "
        "gradients, Hessian-vector products and cost; draw both. Exit status 0 only if all agree.",
        epilog="example: minigrad batchnorm data.csv --eps 1e-3 --gamma 1,2,0.5 --out pictures --format png",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="a matrix as .npy, .npz (FILE.npz:NAME picks one array) or .csv, rows = batch, columns = features; "
        "default: the 7 x 3 matrix of the textbook chapter",
    )
    parser.add_argument("--out", metavar="DIR", default="minigrad-out", help="folder for the pictures (./minigrad-out)")
    parser.add_argument("--eps", type=float, help="added to the variance (1e-5; the chapter's matrix: 1e-6)")
    parser.add_argument("--gamma", metavar="G", help="scale: one number, or one per column with commas (random)")
    parser.add_argument("--beta", metavar="B", help="shift: likewise (random)")
    parser.add_argument("--seed", type=int, default=0, help="for gamma, beta and the gradients that arrive (0)")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="(float64)")
    parser.add_argument("--order", type=int, choices=(0, 1, 2), default=2, help="highest derivative compared (2)")
    parser.add_argument("--format", choices=FORMATS, help="of the pictures (svg; dot where no renderer is found)")
    parser.add_argument("--json", action="store_true", help="print the report and the files written as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, print, draw; 0 if all agree, else 1."""
    x = chapter.z() if args.data is None else read_matrix(args.data)
    eps = _eps(args.eps, default=chapter.EPS if args.data is None else 1e-5)
    rng = _generator(args.seed)
    columns = x.shape[1]
    gamma = _per_column("--gamma", args.gamma, columns, rng)
    beta = _per_column("--beta", args.beta, columns, rng)
    out = _folder(args.out)
    largest = np.finfo(args.dtype).max
    if any(np.abs(values).max() > largest for values in (x, gamma, beta)):
        raise Problem(f"numbers too large for --dtype {args.dtype}, which ends at {largest:.3g}")
    inputs = [
        Tensor(values.astype(args.dtype), requires_grad=True, name=name)
        for name, values in (("x", x), ("gamma", gamma), ("beta", beta))
    ]
    source = args.data or "the textbook chapter's matrix"
    said: list[str] = []  # printed once the files are written: a reader that goes away early loses none of them
    said.append(f"batch norm of {source}: {len(x)} rows, {columns} columns, eps {eps:g}, {args.dtype}\n")
    composed = partial(batch_norm_composed, eps=eps)
    fused = partial(batch_norm, eps=eps)
    with np.errstate(all="ignore"):  # numbers that overflow are told in the report and the pictures
        report, also = _compared(composed, fused, inputs, args, eps)
    said.append(str(report))
    said.append(f"\nwith the variance spelled out (sub, square, mean): {str(also).splitlines()[0]}\n")
    with np.errstate(all="ignore"):
        files = _draw(composed, fused, inputs, report, out, args.format, rng, said)
    if args.json:
        about = {"data": source, "rows": len(x), "columns": columns, "eps": eps, "dtype": args.dtype}
        reports = {"agree": bool(report and also), "report": report.as_data(), "staged": also.as_data()}
        said = [json.dumps({**about, **reports, "files": [str(path) for path in files]}, indent=1)]
    print("\n".join(said))
    return 0 if report and also else 1


def _compared(
    composed: Callable[..., Any], fused: Callable[..., Any], inputs: list[Tensor], args: argparse.Namespace, eps: float
) -> tuple[Comparison, Comparison]:
    """Fused against composed, and against composed with the variance spelled out."""
    staged = partial(batch_norm_composed, eps=eps, variance="staged")
    options: dict[str, Any] = {"order": args.order, "eps": eps, "seed": args.seed}
    return (
        compare(composed, fused, inputs, labels=("composed", "fused"), **options),
        compare(staged, fused, inputs, labels=("staged", "fused"), **options),
    )


def _eps(given: float | None, default: float) -> float:
    eps = default if given is None else given
    if not 0 <= eps < float("inf"):
        raise Problem(f"--eps {eps}: expected a finite number >= 0")
    return eps


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise Problem(f"--seed {seed}: expected a number >= 0")
    return np.random.default_rng(seed)


def _per_column(option: str, text: str | None, columns: int, rng: np.random.Generator) -> Matrix:
    """The numbers given, one for all columns or one each; without any, random ones (which catch more than ones do)."""
    drawn = rng.normal(size=columns)  # drawn in any case, so that giving one option does not change the other
    if text is None:
        return drawn
    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise Problem(f"{option} {text!r}: expected a number, or {columns} numbers with commas between") from None
    if not np.isfinite(values).all():
        raise Problem(f"{option} {text!r}: numbers must be finite")
    if values.size not in (1, columns):
        raise Problem(f"{option} has {values.size} numbers, but the data has {columns} columns; give 1 or {columns}")
    return np.broadcast_to(values, columns).copy()


def _folder(name: str) -> Path:
    if not name:
        raise Problem("--out '': name a folder")
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".minigrad-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Problem(f"--out {name}: cannot write there ({error.strerror}); name another folder") from error
    return folder


def _draw(
    composed: Callable[..., Any],
    fused: Callable[..., Any],
    inputs: list[Tensor],
    report: Comparison,
    out: Path,
    wanted: str | None,
    rng: np.random.Generator,
    said: list[str],
) -> list[Path]:
    """Write the pictures and say so; the files."""
    from ..drawing import draw, draw_pair, page  # only here: printing the tables needs no graphviz package
    from ..drawing.renderer import RendererNotFound, find

    kind = wanted or "svg"
    try:
        find(kind) if kind != WITHOUT_RENDERER else None
    except RendererNotFound as error:
        if wanted or os.environ.get("MINIGRAD_DOT"):  # asked for by name: never something else instead
            raise Problem(f"cannot draw {kind}: {error}") from error
        said.append(f"no renderer found, so the pictures are DOT text: {str(error).splitlines()[0]}")
        said.append("(pip install 'minigrad[viz]' brings one; the page to step through needs it too)\n")
        kind = WITHOUT_RENDERER
    ys = [f(*inputs).named("y") for f in (composed, fused)]
    gradient = rng.normal(size=ys[0].shape).astype(ys[0].dtype)
    title = "Batch norm, composed and fused"
    pictures = {
        "composed": draw(ys[0], gradient=gradient, title="Batch norm, composed"),
        "fused": draw(ys[1], gradient=gradient, title="Batch norm, fused"),
        "side-by-side": draw_pair(
            ("composed", ys[0]), ("fused", ys[1]), gradient=gradient, report=report.cost_rows(), title=title
        ),
    }
    files = []
    for name, picture in pictures.items():
        path = out / f"{name}.{kind}"
        try:
            picture.save(path)
        except (RuntimeError, TimeoutError) as error:  # the renderer failed
            raise Problem(f"{path}: {error}") from error
        except OSError as error:
            raise Problem(f"{path}: cannot be written ({error.strerror or error})") from error
        files.append(path)
        said.append(f"wrote {path}")
    if kind != WITHOUT_RENDERER:
        path = out / "batchnorm.html"
        page(dict(zip(("composed", "fused"), ys, strict=True)), path, gradient=gradient, title=title)
        files.append(path)
        said.append(f"wrote {path}: the same to step through; open it in a browser")
    return files
