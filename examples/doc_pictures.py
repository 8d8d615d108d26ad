"""The pictures of the pages in docs/, light and dark, drawn from the programs that the pages show.

    python -m examples.doc_pictures --out docs/pictures            all of them
    python -m examples.doc_pictures batch-norm-staged --out .      one

side-by-side         README.md: batch norm composed and fused, and what differs
backward             docs/pictures.md: the backward pass as a graph, recorded and written by hand
training, inference  docs/pictures.md: the two stages of a layer with running averages (seed 001)
deep                 docs/pictures.md: repeated layers drawn once, with and without batch norm
first-graph          docs/first-graph.md: one neuron, a loss, and what comes back
batch-norm-staged    docs/batch-norm.md: every step of the derivation as a node
batch-norm-fused     docs/batch-norm.md: the same as one op
dx-own, -variance, -mean   docs/batch-norm.md: the three roads on which x gets its gradient
ladder               docs/pictures.md and the README: batch norm, values down and gradients up
blamed               docs/fused-primitives.md: a wrong rule, found and marked in its graph
replayed-step        docs/replay.md: a training step as the program that replays it
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import chapter
from minigrad.drawing import RendererNotFound

from .diagrams import DIAGRAMS


def first_graph(**options: Any) -> Any:
    """tanh(w x + b) against three targets."""
    x = mg.tensor([0.5, -1.0, 2.0], name="x")
    target = mg.tensor([1.0, 0.0, 1.0], name="target")
    w = mg.tensor(0.5, requires_grad=True, name="w")
    b = mg.tensor(0.1, requires_grad=True, name="b")
    y = mg.tanh((w * x + b).named("z")).named("y")
    loss = mg.mean(mg.square((y - target).named("error"))).named("loss")
    loss.backward()
    return mg.draw(loss, **options)


def _affine() -> tuple[Any, Any, Any]:
    x = mg.tensor(chapter.z(), requires_grad=True, name="x")
    gamma = mg.tensor([2.0, -0.5, 1.5], requires_grad=True, name="gamma")
    return x, gamma, mg.tensor([0.1, 0.2, -0.3], requires_grad=True, name="beta")


def batch_norm_staged(**options: Any) -> Any:
    """The variance spelled out, as the derivation has it."""
    y = mg.batch_norm_composed(*_affine(), variance="staged")
    return mg.draw(y, gradient=chapter.dq(), **options)


def batch_norm_fused(**options: Any) -> Any:
    """One node, with what it keeps."""
    return mg.draw(mg.batch_norm(*_affine()).named("y"), gradient=chapter.dq(), **options)


def ladder(**options: Any) -> Any:
    """Four rows of the chapter's matrix, so that it fits a screen."""
    x = mg.tensor(chapter.z()[:4], requires_grad=True, name="x")
    y = mg.batch_norm_composed(x, *_affine()[1:], variance="staged")
    return mg.ladder(y, gradient=chapter.dq()[:4], title="Batch norm, down and back up", **options)


@mg.primitive(formula="x**3")
def cube(x: Any) -> Any:
    """A primitive whose rule has the wrong factor; for the page about finding such."""
    return x * x * x


cube.defvjp(lambda g, out, x: g * 2.0 * x * x)


def blamed(**options: Any) -> Any:
    """A small net with the wrong rule in its middle."""
    x = mg.tensor([[0.5, -1.0], [2.0, 0.3]], name="x")
    w = mg.tensor([[1.0, -0.5], [0.2, 0.8]], requires_grad=True, name="w")
    hidden = cube((x @ w).named("z")).named("hidden")
    loss = mg.mean(mg.square(hidden)).named("loss")
    loss.backward()
    return mg.draw(loss, marks=mg.check.blame(loss), **options)


def two_variances(x: Any) -> tuple[Any, Any]:
    """The variance of the columns of x in two passes over x, and as E[x^2] - E[x]^2 in one."""
    mu = mg.mean(x, axis=0).named("mu")
    with mg.scope("two passes"):
        centred = (x - mu).named("x - mu")
        variance = mg.mean(mg.square(centred).named("squares"), axis=0).named("var")
    with mg.scope("one pass"):
        mean_of_squares = mg.mean(mg.square(x).named("x^2"), axis=0).named("E[x^2]")
        return variance, (mean_of_squares - mg.square(mu).named("mu^2")).named("var in one pass")


def precision(**options: Any) -> Any:
    """What is left of seven digits where the mean is 12 and the deviation 0.01."""
    x = 12.0 + 0.01 * np.random.default_rng(0).normal(size=(50, 3))
    report = mg.check.precision(two_variances, x, ["float32"])
    return mg.draw(report.result, color=report, backward=False, **options)


def replayed_step(**options: Any) -> Any:
    """One layer, its loss, its gradient and its update, in the order in which they run."""
    w = mg.tensor([[1.0, -0.5], [0.2, 0.8]], requires_grad=True, name="w")
    sgd = mg.optim.SGD([w], lr=0.1)

    @mg.replay
    def step(x: Any, y: Any) -> Any:
        loss = mg.mse_loss(mg.tanh(x @ w), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return loss

    for _ in range(2):
        step(np.array([[0.5, -1.0], [2.0, 0.3]]), np.eye(2))
    return mg.draw(step.program, **options)


def side_by_side(**options: Any) -> Any:
    """Eight ops and one, on the same numbers."""
    pair = [(f.__name__, f(*_affine()).named("y")) for f in (mg.batch_norm_composed, mg.batch_norm)]
    labels, title = ("composed", "fused"), "Batch norm, composed and fused"
    return mg.draw_pair(*pair, labels=labels, gradient=chapter.dq(), **{"title": title, **options})


PICTURES: dict[str, Callable[..., Any]] = {
    "side-by-side": side_by_side,
    "backward": DIAGRAMS["backward"],
    "training": DIAGRAMS["training"],
    "inference": DIAGRAMS["inference"],
    "deep": DIAGRAMS["deep"],
    "first-graph": first_graph,
    "batch-norm-staged": batch_norm_staged,
    "batch-norm-fused": batch_norm_fused,
    "dx-own": DIAGRAMS["dx-own"],
    "dx-variance": DIAGRAMS["dx-variance"],
    "dx-mean": DIAGRAMS["dx-mean"],
    "ladder": ladder,
    "blamed": blamed,
    "replayed-step": replayed_step,
    "precision": precision,
}
THEMES = {"light": "", "dark": "-dark"}


def main(argv: Sequence[str] | None = None) -> int:
    """Draw those named, or all."""
    parser = argparse.ArgumentParser(prog="python -m examples.doc_pictures", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)} (all)")
    parser.add_argument("--out", default="doc-pictures", metavar="FOLDER", help="where to (doc-pictures)")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in PICTURES]
    if unknown:
        parser.error(f"there is no picture {unknown[0]!r}; there are {', '.join(PICTURES)}")
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for name in args.names or PICTURES:
        for theme, ending in THEMES.items():
            try:
                print(f"wrote {PICTURES[name](theme=theme, width='readme').save(out / f'{name}{ending}.svg')}")
            except RendererNotFound as error:
                parser.error(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
