"""What pictures cost, against the bounds that they are meant to keep.

    python -m benchmarks.drawing

Prints the median time (or the size) of each and its bound; exits with 0 if all are kept. Rendering is done by the
program that `mg.draw` would take (MINIGRAD_DOT chooses another); without one, only the DOT text is measured.
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.drawing.renderer import RendererNotFound, programs


def batch_norms() -> tuple[Any, Any, Any]:
    """Composed and fused batch norm of a 4 x 3 matrix, and the gradient that arrives."""
    rng = np.random.default_rng(7)
    x = mg.tensor(rng.normal(1, 2, (4, 3)), requires_grad=True, name="x")
    gamma = mg.tensor(rng.normal(size=3), requires_grad=True, name="gamma")
    beta = mg.tensor(rng.normal(size=3), requires_grad=True, name="beta")
    composed = mg.batch_norm_composed(x, gamma, beta, variance="staged").named("y")
    return composed, mg.batch_norm(x, gamma, beta).named("y"), rng.normal(size=(4, 3))


def net(cards: int, folds: bool = False) -> tuple[Any, Any]:
    """A graph of about so many cards that does not fold (every layer has a constant of its own), and a gradient."""
    rng = np.random.default_rng(0)
    h = mg.tensor(rng.normal(size=(20, 20)), requires_grad=True, name="x")
    for k in range(cards // 4):
        with mg.scope("Layer"):
            w = mg.tensor(rng.normal(size=(20, 20)) / 5, requires_grad=True, name=f"w{k}")
            h = mg.tanh(h @ w) * (1.0 if folds else 1.0 + 0.001 * k)
    return h, np.ones((20, 20))


def version(program: str) -> tuple[int, ...] | None:
    """The Graphviz version that a program says it is, or None."""
    try:
        said = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(\d+(?:\.\d+)+)", said.stdout + said.stderr)
    return tuple(map(int, found.group(1).split("."))) if found else None


def median(run: Callable[[], Any], times: int) -> float:
    """Median seconds of a call."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 0 if every bound is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawing", description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=7, help="how often each is run (7)")
    args = parser.parse_args(argv)
    try:
        renderer = programs()[0]
        said = ".".join(map(str, version(renderer) or ()))
    except RendererNotFound as error:
        renderer, said = "", str(error).splitlines()[0]
    name = Path(renderer).name or "no renderer:"
    print(f"Python {platform.python_version()}, {platform.machine()}, {name} {said}\n")
    kept = True

    def line(what: str, seconds: float, bound: float) -> None:
        nonlocal kept
        kept &= seconds <= bound
        print(
            f"{what:48} {seconds * 1e3:9.1f} ms   bound {bound * 1e3:6.0f} ms   {'' if seconds <= bound else 'MISSED'}"
        )

    def weight(what: str, size: int, bound: int) -> None:
        nonlocal kept
        kept &= size <= bound
        print(f"{what:48} {size / 1e3:9.1f} KB   bound {bound / 1e3:6.0f} KB   {'' if size <= bound else 'MISSED'}")

    y, z, dy = batch_norms()
    data = mg.graph(y, gradient=dy)
    mg.draw(data).dot  # noqa: B018 (the first is slower)
    line("composed batch norm, plain data", median(lambda: mg.graph(y, gradient=dy), 3 * args.times), 0.010)
    line("composed batch norm, DOT", median(lambda: mg.draw(data).dot, 3 * args.times), 0.010)
    large, ones = net(5000)
    line("about 5,000 nodes, plain data", median(lambda: mg.graph(large, gradient=ones), 3), 3.0)
    many = mg.graph(large, gradient=ones)
    line(f"{len(many):,} nodes, DOT", median(lambda: many.to_dot(max_nodes=10_000, fold=False), 3), 1.0)
    alike, _ = net(5000, folds=True)
    line("about 5,000 nodes, folded, DOT", median(lambda: mg.draw(alike).dot, 3), 5.0)
    if renderer:
        line("composed batch norm, SVG", median(lambda: mg.draw(data).svg(), args.times), 0.150)
        for cards, bound in ((50, 0.5), (500, 3.0)):
            h, ones = net(cards)
            drawing = mg.draw(h, gradient=ones, fold=False)
            line(f"{len(drawing.graph)} cards, SVG", median(drawing.svg, 3), bound)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "page.html"
            mg.page({"composed": y, "fused": z}, file, gradient=dy)
            weight("page of both batch norms", file.stat().st_size, 150_000)
            h, ones = net(500)
            mg.page(h, file, gradient=ones, fold=False)
            weight("page of 500 nodes", file.stat().st_size, 4_000_000)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
