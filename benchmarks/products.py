"""Matrix products of the benchmark's networks: NumPy's BLAS beside PyTorch's, one thread.

    python -m benchmarks.products

A training step of a wide network is matrix products for a third and more, and neither library writes its own: which
is faster depends on the processor. The two are timed in turn, so that a slow spell hits both alike; medians in
microseconds, and PyTorch's time as a share of NumPy's: below 1, minigrad pays the difference.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PRODUCTS = (  # rows, terms, columns, which operand is a transposed view
    (64, 784, 256, ""),
    (784, 64, 256, "left"),
    (64, 256, 128, ""),
    (256, 64, 128, "left"),
    (64, 128, 256, "right"),
    (50, 3072, 100, ""),
    (3072, 50, 100, "left"),
    (50, 100, 100, ""),
)


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.products", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error(f"--repeats {args.repeats} must be at least 1")
    for name in THREADS:  # before the libraries are imported, which look once
        os.environ[name] = "1"
    import numpy as np

    try:
        import torch
    except ImportError:
        parser.error('PyTorch is not installed: python -m pip install -e ".[bench]"')
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    print(f"NumPy {np.__version__}, PyTorch {torch.__version__}, float32, OPENBLAS_CORETYPE", end=" ")
    print(os.environ.get("OPENBLAS_CORETYPE", "unset"))
    print(f"{'rows x terms x columns':34}{'NumPy':>10}{'PyTorch':>10}{'share':>8}")
    for n, k, m, view in PRODUCTS:
        x: Any = (
            rng.standard_normal((k, n), np.float32).T if view == "left" else rng.standard_normal((n, k), np.float32)
        )
        y: Any = (
            rng.standard_normal((m, k), np.float32).T if view == "right" else rng.standard_normal((k, m), np.float32)
        )
        out, tx, ty, tout = np.empty((n, m), np.float32), torch.from_numpy(x), torch.from_numpy(y), torch.empty(n, m)

        def ours(x: Any = x, y: Any = y, out: Any = out) -> Any:
            return np.matmul(x, y, out)

        def theirs(x: Any = tx, y: Any = ty, out: Any = tout) -> Any:
            return torch.mm(x, y, out=out)

        one, other = in_turn((ours, theirs), args.repeats)
        name = f"{n} x {k} x {m}" + (f", {view} transposed" if view else "")
        print(f"{name:34}{one * 1e6:10.1f}{other * 1e6:10.1f}{other / one:8.2f}", flush=True)
    return 0


def in_turn(functions: tuple[Callable[[], Any], ...], repeats: int) -> list[float]:
    """Median seconds of each, after one call to warm it up."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for k, function in enumerate(functions):
            function()
            begin = time.perf_counter()
            function()
            times[k].append(time.perf_counter() - begin)
    return [statistics.median(t) for t in times]


if __name__ == "__main__":
    raise SystemExit(main())
