"""How time and memory grow: with rows, width, depth, operations and the number of programs, beside PyTorch.

    python -m benchmarks.growth                          every series, minigrad's ways and PyTorch where it is installed
    python -m benchmarks.growth rows --most 8192         one series, up to this size

A process for each point: microseconds of a step (the median, after warming up), and the megabytes by which the
process's peak grew from before the first step. Networks are 2-128-1 with batch norm and Adam, float32, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

SERIES: dict[str, tuple[int, ...]] = {
    "rows": (128, 512, 2048, 8192, 32768, 131072),
    "width": (8, 32, 128, 512, 2048),
    "depth": (1, 5, 25, 100),
    "ops": (10, 100, 1000, 10000),
    "programs": (1, 16, 64, 128),
}
WAYS = {"minigrad": "numpy", "minigrad replay": "numpy", "minigrad compiled": "llvmlite", "torch": "torch"}


def sizes(series: str, n: int) -> tuple[tuple[int, ...], int]:
    """The layers and the rows of one point."""
    width, depth = (n if series == "width" else 128), (n if series == "depth" else 1)
    return (2, *[width] * depth, 1), n if series == "rows" else 300


def ours(series: str, n: int, how: str) -> Callable[[], Any]:
    """A step in minigrad."""
    import minigrad as mg

    def taken(step: Any) -> Any:
        return step if not how else mg.replay(step, compile=how == "compiled")

    if series == "ops":
        x = mg.tensor(np.ones(4, np.float32), requires_grad=True)

        def chain() -> Any:
            y = x
            for k in range(n):
                y = y + 1.0 if k % 2 else y * 0.5
            x.grad = None
            total = y.sum()
            total.backward()
            return total

        return taken(chain)  # type: ignore[no-any-return]
    layers, rows = sizes(series, n)
    net = mg.nn.MLP(layers, norm="batch", rng=0, dtype="float32")
    adam = mg.optim.Adam(net.parameters(), lr=1e-3)

    def step(x: Any, y: Any) -> Any:
        loss = mg.binary_cross_entropy_with_logits(net(x), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss

    run, data = taken(step), batches(series, n, rows)
    return lambda: [run(*batch) for batch in data]


def batches(series: str, n: int, rows: int) -> list[tuple[Any, Any]]:
    """One batch; for the number of programs one of each size."""
    rng = np.random.default_rng(0)
    counts = [rows - k for k in range(n)] if series == "programs" else [rows]
    return [(rng.normal(size=(m, 2)).astype("f"), (rng.random((m, 1)) > 0.5).astype("f")) for m in counts]


def theirs(series: str, n: int) -> Callable[[], Any]:
    """The same in PyTorch."""
    import torch

    torch.set_num_threads(1)
    if series == "ops":
        x = torch.ones(4, requires_grad=True)

        def chain() -> Any:
            y = x
            for k in range(n):
                y = y + 1.0 if k % 2 else y * 0.5
            x.grad = None
            y.sum().backward()

        return chain
    layers, rows = sizes(series, n)
    parts: list[Any] = []
    for a, b in pairwise(layers[:-1]):
        parts += [torch.nn.Linear(a, b, bias=False), torch.nn.BatchNorm1d(b), torch.nn.ReLU()]
    net = torch.nn.Sequential(*parts, torch.nn.Linear(layers[-2], layers[-1]))
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    data = [tuple(map(torch.tensor, batch)) for batch in batches(series, n, rows)]

    def step() -> Any:
        for x, y in data:
            adam.zero_grad()
            loss_of(net(x), y).backward()
            adam.step()

    return step


def point(series: str, n: int, way: str) -> tuple[float, float]:
    """Microseconds of a step, and megabytes."""
    run = theirs(series, n) if way == "torch" else ours(series, n, way.partition(" ")[2])
    before = _peak()
    end = time.perf_counter() + 1.0
    for k in range(300):
        run()
        if k >= 4 and time.perf_counter() > end:
            break
    times: list[float] = []
    end = time.perf_counter() + 1.0
    while time.perf_counter() < end or len(times) < 3:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    count = n if series == "programs" else 1
    return statistics.median(times) * 1e6 / count, _peak() - before


def _peak() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("series", nargs="*", help=f"of {', '.join(SERIES)} (all)")
    parser.add_argument("--most", type=int, default=1 << 30, help="leave out larger sizes")
    parser.add_argument("--point", nargs=3, metavar=("SERIES", "SIZE", "WAY"), help="this one alone, as JSON")
    args = parser.parse_args(argv)
    if args.point:
        series, n, way = args.point
        print(json.dumps(point(series, int(n), way)))
        return 0
    if unknown := set(args.series) - set(SERIES):
        parser.error(f"{min(unknown)!r} is no series; there are {', '.join(SERIES)}")
    ways = [way for way, module in WAYS.items() if find_spec(module) is not None]
    unset = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    print(f"{'microseconds of a step / MB':>28}" + "".join(f"{way:>22}" for way in ways))
    for series in args.series or SERIES:
        for n in (n for n in SERIES[series] if n <= args.most):
            cells = []
            for way in ways:
                command = [sys.executable, "-m", "benchmarks.growth", "--point", series, str(n), way]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                us, mb = json.loads(done.stdout) if done.returncode == 0 else (float("nan"), float("nan"))
                cells.append(f"{us:.0f} / {mb:.0f}")
            print(f"{series:>16} {n:>11}" + "".join(f"{cell:>22}" for cell in cells), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
