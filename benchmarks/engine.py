"""What the engine costs on top of NumPy: a chain of 100 multiplications on 4 floats, and the import.

    python -m benchmarks.engine

Prints medians of interleaved slices and their ratios. The chain is x = x * a, both requiring gradients, forward and
backward, beside the same NumPy calls by hand; it is meant to cost at most 3.2 times those. `import minigrad` is
meant to take at most 1.3 times `import numpy`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

OPS = 100
CHAIN_GOAL, IMPORT_GOAL = 3.2, 1.3


def chain(shape: tuple[int, ...], dtype: str) -> dict[str, Callable[[], Any]]:
    """The two contestants, on the same numbers."""
    rng = np.random.default_rng(0)
    start, factor = (rng.uniform(0.9, 1.1, shape).astype(dtype) for _ in range(2))
    ones = np.ones(shape, dtype)
    x0, a0 = (mg.tensor(values, requires_grad=True) for values in (start, factor))

    def minigrad() -> Any:
        x = x0
        for _ in range(OPS):
            x = x * a0
        return [d.data for d in mg.grad(x, (x0, a0), gradient=ones)]

    def by_hand() -> Any:
        values, x = [], start
        for _ in range(OPS):
            values.append(x)
            x = x * factor
        g, d_factor = ones, None
        for value in reversed(values):
            d = g * value
            d_factor = d if d_factor is None else d_factor + d
            g = g * factor
        return [g, d_factor]

    return {"numpy by hand": by_hand, "minigrad": minigrad}


def interleaved(contestants: dict[str, Callable[[], Any]], slices: int, calls: int) -> dict[str, float]:
    """Median seconds per call of each, slices taken in turn so that a slow spell of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(slices):
        for name, run in contestants.items():
            begin = time.perf_counter()
            for _ in range(calls):
                run()
            seconds[name].append((time.perf_counter() - begin) / calls)
    return {name: statistics.median(values) for name, values in seconds.items()}


def imports(slices: int) -> dict[str, float]:
    """Median seconds that a fresh interpreter takes to import each, its own start taken off; bytecode is cached, as
    pip leaves it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def fresh(code: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, env=environment)

    fresh("import minigrad")()
    runs = {"nothing": fresh("pass"), "numpy": fresh("import numpy"), "minigrad": fresh("import minigrad")}
    found = interleaved(runs, slices, calls=1)
    return {name: found[name] - found["nothing"] for name in ("numpy", "minigrad")}


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 0 if both goals are met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=200, help="of the chain (200); a tenth as many for the import")
    args = parser.parse_args(argv)
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}\n")
    met = True
    for shape, dtype in (((4,), "float64"), ((4,), "float32"), ((32, 32), "float64"), ((32, 32), "float32")):
        contestants = chain(shape, dtype)
        for ours, theirs in zip(contestants["minigrad"](), contestants["numpy by hand"](), strict=True):
            np.testing.assert_array_equal(ours, theirs)  # no time is worth printing for a wrong result
        found = interleaved(contestants, args.slices, calls=10)
        hand, own = found["numpy by hand"], found["minigrad"]
        goal = f"  (goal {CHAIN_GOAL})" if shape == (4,) else ""
        print(
            f"chain of {OPS} on {shape!s:9} {dtype}: by hand {hand / OPS * 1e6:5.2f} us an op, "
            f"minigrad {own / OPS * 1e6:5.2f}, ratio {own / hand:.2f}{goal}"
        )
        met &= shape != (4,) or own / hand <= CHAIN_GOAL
    found = imports(max(args.slices // 10, 3))
    ratio = found["minigrad"] / found["numpy"]
    print(
        f"import: numpy {found['numpy'] * 1e3:.0f} ms, minigrad {found['minigrad'] * 1e3:.0f} ms, "
        f"ratio {ratio:.2f}  (goal {IMPORT_GOAL})"
    )
    return 0 if met and ratio <= IMPORT_GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
