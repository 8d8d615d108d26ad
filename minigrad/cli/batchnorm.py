"""`minigrad batchnorm`: batch norm composed and fused on your data, compared to second order and drawn."""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import chapter
from ..check import compare
from ..core.tensor import Tensor
from ..normalization import batch_norm, batch_norm_composed, batch_norm_inference, batch_norm_inference_composed
from .options import TABLE, add_command, add_shared, generator, numbers, read_numbers, save, why_no_renderer
from .problems import Problem, say

if TYPE_CHECKING:
    from ..check import Comparison

FORMATS = ("svg", "png", "dot", "pdf")
PAGE = "batchnorm.html"
PLACES = ("readme", "notebook", "slide", "column")
STATISTICS: dict[str, Any] = {"running_mean": np.mean, "running_var": np.var}  # of the page in eval mode: the batch's


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "batchnorm",
        run,
        "batch norm as a graph and as one fused op: compare them, draw them",
        "minigrad batchnorm data.csv --eps 1e-3 --gamma 1,2,0.5 --out pictures",
        "Run batch norm as a composed graph and as a fused primitive on a matrix; compare values, "
        "gradients, Hessian-vector products and cost; draw both. Exit status 0 only if all agree.",
    )
    data = "a table (.csv, .txt, ...) or matrix (.npy, FILE.npz:NAME), rows = batch; default: the chapter's 7 x 3"
    parser.add_argument("data", metavar="DATA", nargs="?", help=data)
    parser.add_argument("--out", metavar="DIR", default="minigrad-out", help="folder for the pictures (./minigrad-out)")
    parser.add_argument("--eps", type=float, help="added to the variance (1e-5; the chapter's matrix: 1e-6)")
    parser.add_argument("--gamma", metavar="G", help="scale: one number, or one per column with commas (random)")
    parser.add_argument("--beta", metavar="B", help="shift: likewise (random)")
    parser.add_argument("--format", choices=FORMATS, help="of the pictures (svg; dot where no renderer is found)")
    width = "px that the pictures are shown in, or readme, notebook, slide, column: letters are 11 px or more there"
    parser.add_argument("--width", metavar="W", type=_width, help=width)
    add_shared(parser, *TABLE, "--order", "--dtype", "--seed", "--json")


def run(args: argparse.Namespace) -> int:
    """Compare, print, draw; 0 if all agree, else 1."""
    x = chapter.z() if args.data is None else read_numbers(args, args.data)
    if x.ndim != 2:
        raise Problem(f"{args.data} has shape {x.shape}; expected two dimensions: rows = batch, columns = features")
    if len(x) < 2:
        raise Problem(f"{args.data} has one row; batch statistics need at least two")
    eps = args.eps if args.eps is not None else chapter.EPS if args.data is None else 1e-5
    if not 0 <= eps < float("inf"):
        raise Problem(f"--eps {eps}: expected a finite number >= 0")
    rng = generator(args.seed)
    columns = x.shape[1]
    gamma = _per_column("--gamma", args.gamma, columns, rng)
    beta = _per_column("--beta", args.beta, columns, rng)
    largest = np.finfo(args.dtype).max
    if any(np.abs(values).max() > largest for values in (x, gamma, beta)):
        raise Problem(f"numbers too large for --dtype {args.dtype}, which ends at {largest:.3g}")
    reason = why_no_renderer(args.format or "svg", asked=args.format is not None)
    out = _folder(args.out)
    inputs = [
        Tensor(values.astype(args.dtype), requires_grad=True, name=name)
        for name, values in (("x", x), ("gamma", gamma), ("beta", beta))
    ]
    source = args.data or "the textbook chapter's matrix"
    composed, fused = partial(batch_norm_composed, eps=eps), partial(batch_norm, eps=eps)
    staged = partial(composed, variance="staged")
    options: dict[str, Any] = {"order": args.order, "eps": eps, "seed": args.seed}
    with np.errstate(all="ignore"):  # numbers that overflow are told in the report and the pictures
        report = compare(composed, fused, inputs, labels=("composed", "fused"), **options)
        also = compare(staged, fused, inputs, labels=("staged", "fused"), **options)
    # printed once the files are written: a reader that goes away early loses none of them
    said = [f"batch norm of {source}:\n{len(x)} rows, {columns} columns, eps {eps:g}, {args.dtype}\n", str(report)]
    said.append(f"\nvariance as sub, square, mean: {str(also).splitlines()[0]}\n")
    if reason is not None:
        said.append(f"no renderer found, so the pictures are DOT text, and there is no page:\n{reason}")
    with np.errstate(all="ignore"):
        ys = {"composed": composed(*inputs).named("y"), "fused": fused(*inputs).named("y")}
        spelled_out = staged(*inputs).named("y")
        given = [
            Tensor(f(x, axis=0).astype(args.dtype), requires_grad=True, name=name) for name, f in STATISTICS.items()
        ]
        forms = {"composed": batch_norm_inference_composed, "fused": batch_norm_inference}
        evaluated = {name: f(*inputs, *given, eps=eps).named("y") for name, f in forms.items()}
        kind = "dot" if reason else args.format or "svg"
        files = _draw(ys, spelled_out, evaluated, report, out, kind, args.width, rng)
    said += [f"wrote {path}" for path in files]
    if out / PAGE in files:
        said.append(
            f"{PAGE} is for a browser: change a number, and it computes both again; or go through them step by step"
        )
    if args.json:
        about = {"data": source, "rows": len(x), "columns": columns, "eps": eps, "dtype": args.dtype}
        reports = {"agree": bool(report and also), "report": report.as_data(), "staged": also.as_data()}
        said = [json.dumps({**about, **reports, "files": [str(path) for path in files]}, indent=1)]
    say("\n".join(said))
    return 0 if report and also else 1


def _per_column(option: str, text: str | None, columns: int, rng: np.random.Generator) -> Any:
    """The numbers given, one for all columns or one each; without any, random ones (which catch more than ones do)."""
    drawn = rng.normal(size=columns)  # drawn in any case, so that giving one option does not change the other
    if text is None:
        return drawn
    values = np.array(numbers(option, text, float, f"a finite number, or {columns} of them with commas between"))
    if values.size not in (1, columns):
        raise Problem(f"{option} has {values.size} numbers, but the data has {columns} columns; give 1 or {columns}")
    return np.broadcast_to(values, columns).copy()


def _width(text: str) -> int | str:
    """--width as `mg.draw` takes it; argparse tells what is wrong."""
    if text in PLACES:
        return text
    if text.isdecimal() and int(text) >= 100:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: a whole number of px, at least 100, or {', '.join(PLACES)}")


def _folder(name: str) -> Path:
    if not name:
        raise Problem("--out '': name a folder")
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise Problem(f"--out {name}: cannot write there ({error.strerror}); name another folder") from error
    return folder


def _draw(
    ys: dict[str, Tensor],
    staged: Tensor,
    evaluated: dict[str, Tensor],
    report: Comparison,
    out: Path,
    kind: str,
    width: int | str | None,
    rng: np.random.Generator,
) -> list[Path]:
    """Write the pictures, a ladder and, where there is a renderer, the page to step through; the files."""
    from ..drawing import draw, draw_pair, ladder, page  # only here: --help needs no graphviz package

    y = ys["composed"]
    gradient = rng.normal(size=y.shape).astype(y.dtype)
    title = "Batch norm, composed and fused"
    pictures: dict[str, Any] = {
        name: draw(y, gradient=gradient, title=f"Batch norm, {name}", width=width) for name, y in ys.items()
    }
    pictures["side-by-side"] = draw_pair(
        *ys.items(), gradient=gradient, report=report.cost_rows(), title=title, width=width
    )
    files = [out / f"{name}.{kind}" for name in pictures] + [out / "ladder.svg"]
    room = min(860, max(300, width)) if isinstance(width, int) else width or 830
    pictures["ladder"] = ladder(staged, gradient=gradient, title="Batch norm, down and back up", width=room)
    for path, picture in zip(files, pictures.values(), strict=True):
        save(picture, path)
    if kind != "dot":
        files.append(out / PAGE)
        page(ys | {"composed": staged}, out / PAGE, gradient=gradient, title=title, inference=evaluated)
    return files
