"""`minigrad bench`: what runs here and how fast, beside the same work in plain NumPy; as bars in the terminal."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .. import normalization
from ..core.gradients import grad
from ..core.tensor import Tensor
from ..fast import chosen
from .problems import Problem

Contestants: TypeAlias = dict[str, Callable[[], Any]]
WIDTH = 40  # characters of the longest bar
SLICE = 0.02  # seconds of one slice
SHAPES = ((7, 3), (32, 128), (256, 1024), (4096, 256))


def add_to(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "bench",
        help="how fast batch norm runs here, beside plain NumPy",
        description="Time batch norm, forward and backward, as one fused primitive, as a composed graph, and by hand "
        "in plain NumPy: medians of slices taken in turn. The comparison with PyTorch and JAX is "
        "`python -m benchmarks.peers` in a checkout.",
        epilog="example: minigrad bench --dtype float64",
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="(float32)")
    parser.add_argument("--slices", type=int, default=9, help="of each contestant (9)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the results against each other, measure, and draw; 0, or 1 if the results differ."""
    if args.slices < 1:
        raise Problem(f"--slices {args.slices}: expected a number >= 1")
    print(f"batch norm, forward and backward, {args.dtype}; kernels: {chosen()}; NumPy {np.__version__}")
    tolerance = 1e-4 if args.dtype == "float32" else 1e-10
    for shape in SHAPES:
        contestants = _contestants(shape, args.dtype)
        first, *others = [[np.asarray(a) for a in call()] for call in contestants.values()]
        for name, arrays in zip(list(contestants)[1:], others, strict=True):
            for a, b in zip(arrays, first, strict=True):
                if float(np.abs(a - b).max()) > tolerance * max(float(np.abs(b).max()), 1.0):
                    print(f"{name} differs from NumPy by hand at {shape}: no time is worth printing")
                    return 1
        print(f"\n{shape[0]} x {shape[1]}")
        print(_bars(_medians(contestants, args.slices)))
    return 0


def _contestants(shape: tuple[int, int], dtype: str) -> Contestants:
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    gamma, beta = (rng.normal(size=shape[1]).astype(dtype) for _ in range(2))
    leaves = [Tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    cotangent = Tensor(g)
    eps = x.dtype.type(1e-5)

    def by_hand() -> Any:
        centred = x - x.mean(axis=0)
        inv_std = 1 / np.sqrt((centred * centred).mean(axis=0) + eps)
        x_hat = centred * inv_std
        y = x_hat * gamma + beta
        d_beta, d_gamma = g.sum(axis=0), (g * x_hat).sum(axis=0)
        return y, gamma * inv_std * (g - (d_beta + x_hat * d_gamma) / len(x)), d_gamma, d_beta

    def by(normalize: Callable[..., Any]) -> Callable[[], Any]:
        def both() -> Any:
            y = normalize(*leaves)
            return [t.numpy() for t in (y, *grad(y, leaves, gradient=cotangent))]

        return both

    return {
        "NumPy by hand": by_hand,
        "fused": by(normalization.batch_norm),
        "composed": by(normalization.batch_norm_composed),
    }


def _medians(contestants: Contestants, slices: int) -> dict[str, float]:
    """Median seconds per call, slices taken in turn so that a slow spell of the machine hits all alike."""
    calls = {}
    for name, call in contestants.items():
        begin = time.perf_counter()
        call()
        calls[name] = max(1, round(SLICE / max(time.perf_counter() - begin, 1e-6)))
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(slices):
        for name, call in contestants.items():
            begin = time.perf_counter()
            for _ in range(calls[name]):
                call()
            seconds[name].append((time.perf_counter() - begin) / calls[name])
    return {name: statistics.median(values) for name, values in seconds.items()}


def _bars(seconds: dict[str, float]) -> str:
    longest = max(seconds.values())
    width = max(map(len, seconds))
    return "\n".join(
        f"  {name:{width}}  {'#' * max(1, round(WIDTH * value / longest)):{WIDTH}}  {value * 1e6:10.1f} us"
        for name, value in seconds.items()
    )
