"""Fused batch norm against the machine: what each pass moves, in GB/s, beside a plain copy.

    python -m benchmarks.passes 65536 128                   float32, the kernels that are chosen
    MINIGRAD_KERNELS=numpy python -m benchmarks.passes 7 3 --calls     where the time of a small one goes

For a large matrix: seconds of forward and backward on buffers that are there, the arrays that they must read and write,
and how fast a copy of as many bytes is. For a small one, --calls: Python's profile of forward, backward and looking
at the results, as the other benchmarks do it.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import pstats
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.fast.fused import BatchNorm

from .drawing import median
from .peers import ours
from .peers.cases import EPS, Case, norm_inputs


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.passes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=int)
    parser.add_argument("columns", type=int)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--calls", action="store_true", help="profile the calls around the kernels instead")
    parser.add_argument("--repeats", type=int, default=25)
    args = parser.parse_args(argv)
    if min(args.rows, args.columns, args.repeats) < 1:
        parser.error("rows, columns and --repeats must be at least 1")
    if not args.calls and mg.kernels()["batch_norm"] == "reference":
        parser.error("MINIGRAD_KERNELS=reference has no kernels whose passes could be timed; --calls profiles it")
    case = Case("fused", args.dtype, (args.rows, args.columns))
    print(f"{case.name}, kernels: {mg.kernels()['batch_norm']}")
    if args.calls:
        run = ours.build(case)
        assert run is not None
        for _ in range(100):
            run()
        profile = cProfile.Profile()
        profile.enable()
        for _ in range(5000):
            run()
        profile.disable()
        text = io.StringIO()
        pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(16)
        print("\n".join(line for line in text.getvalue().splitlines() if line.strip()))
        return 0
    x, gamma, beta, g = norm_inputs(case)
    options: dict[str, Any] = {"axis": (0,), "wide": (1, args.columns), "eps": EPS}
    y, saved = BatchNorm.forward((x, gamma, beta), options)
    out = (y, *saved)
    slopes = BatchNorm.backward(g, y, saved, (x, gamma, beta), options)
    # forward reads x twice and writes y and x_hat; backward reads g and x_hat twice and writes dx
    for name, arrays, run_pass in (
        ("forward", 4, lambda: BatchNorm.forward((x, gamma, beta), options, out)),
        ("backward", 5, lambda: BatchNorm.backward(g, y, saved, (x, gamma, beta), options, slopes)),
        ("copy", 2, lambda: np.copyto(y, x)),
    ):
        seconds = median(run_pass, args.repeats)
        moved = arrays * x.nbytes
        print(
            f"{name:9} {seconds * 1e6:10.1f} us  {arrays} arrays, {moved / 1e6:8.1f} MB"
            f"  {moved / seconds / 1e9:6.1f} GB/s"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
