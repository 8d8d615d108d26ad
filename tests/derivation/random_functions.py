"""Random composed functions, derived, emitted, and held against themselves to second order.

    python -m tests.derivation.random_functions --count 2000 [--seed 0]

Each has 4 to 12 ops over x (rows, columns), a row vector, a column vector and another matrix, with reductions over
either axis or both. Allowed ends: derived and emitted with equal values, gradients and Hessian-vector products; stopped
with a sentence. Anything that differs is printed with its seed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.derivation import NotDerivable, StepRefused, derive

UNARY = ("exp", "log", "sqrt", "square", "tanh", "sigmoid", "softplus", "neg", "relu", "reciprocal", "log1p", "silu")
BINARY = ("add", "sub", "mul", "div", "mul", "div", "maximum")
REDUCTIONS = ("sum", "mean", "sum", "mean", "var", "max")
CENTRED = ("centre", "normalize", "share")


def plan(seed, most=12):
    """A list of (op, places of its inputs, axis): a function as data."""
    rng = np.random.default_rng(seed)
    steps, count = [], 4
    for k in range(int(rng.integers(4, most + 1))):
        kind = rng.choice(["unary", "binary", "reduction", "centred"], p=[0.3, 0.35, 0.2, 0.15])
        pick = [int(i) for i in rng.integers(0, count, 2)]
        pick[0] = count - 1 if k and rng.random() < 0.6 else pick[0]
        names = {"unary": UNARY, "binary": BINARY, "reduction": REDUCTIONS, "centred": CENTRED}[kind]
        steps.append((str(rng.choice(names)), pick, [0, 1, (0, 1)][int(rng.integers(0, 3))]))
        count += 1
    return steps


def function(seed, most=12):
    """The function of a seed; its domain is the positive numbers, which it does not leave where it must not."""
    steps = plan(seed, most)

    def f(x, w, row, column):
        values = [x, w, row, column]
        for name, (i, j), axis in steps:
            a, b = values[i], values[j]
            if name in ("log", "sqrt", "reciprocal", "log1p"):
                a = mg.square(a) + 0.5
            if name == "exp":
                a = mg.tanh(a)
            if name == "div":
                b = mg.square(b) + 0.5
            if name == "reciprocal":
                out = 1.0 / a
            elif name in REDUCTIONS:
                out = getattr(mg, name)(a + 0.0 * x, axis=axis, keepdims=True)
            elif name in CENTRED:
                a = a + x if name == "centre" else mg.square(a + x) + 0.5
                total = (mg.mean if name == "centre" else mg.sum)(a, axis=axis, keepdims=True)
                out = a - total if name == "centre" else a / (mg.sqrt(total) if name == "normalize" else total)
            else:
                out = getattr(mg, name)(a, b) if name in BINARY else getattr(mg, name)(a)
            values.append(out)
        return values[-1] + 0.0 * sum(values[:4])  # every axis is one of x

    return f


def inputs(seed):
    rng = np.random.default_rng(seed)
    shapes = (5, 4), (5, 4), (1, 4), (5, 1)
    return [rng.uniform(0.3, 1.7, shape) for shape in shapes]


def outcome(seed, most=12):
    """("equal" | "stopped" | "no primitive" | "different", what there is to say)."""
    f, arrays = function(seed, most), inputs(seed)
    try:
        d = derive(f, arrays)
    except NotDerivable as error:
        return "not read", str(error)
    except StepRefused as error:
        return "stopped", str(error)
    try:
        source = d.source()
    except NotDerivable as error:
        return "no primitive", str(error)
    space: dict[str, Any] = {}
    exec(compile(source, "<derived>", "exec"), space)
    last, first = d.steps[-1].cost.weight, d.steps[0].cost.weight
    for (name, x), (_, y) in zip(to_second_order(f, arrays), to_second_order(space["fused"], arrays), strict=True):
        scale = max(1e-3, np.abs(x).max(), np.abs(y).max())  # round-off of what is 0 is judged absolutely
        if not np.abs(x - y).max() <= 1e-9 * scale:
            return "different", f"{name}: {np.abs(x - y).max():.1e} of {scale:.1e}\n{source}"
    return "equal", "dearer" * (last > first + 1)


def to_second_order(f, arrays):
    """The value, the gradients of a random projection, and theirs: (name, array) of each."""
    rng = np.random.default_rng(1)
    leaves = [mg.tensor(a, requires_grad=True) for a in arrays]
    y = f(*leaves)
    yield "value", y.numpy()
    slopes: Any = mg.grad(y, leaves, rng.normal(size=y.shape), create_graph=True)
    slopes = [mg.zeros(a.shape) if s is None else s for s, a in zip(slopes, arrays, strict=True)]
    yield from ((f"gradient {k}", s.numpy()) for k, s in enumerate(slopes))
    end: Any = sum(mg.sum(s * rng.normal(size=s.shape)) for s in slopes) + 0.0 * sum(mg.sum(x) for x in leaves)
    for k, s in enumerate(mg.grad(end, leaves)):
        yield f"second {k}", s.numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found: Counter[str] = Counter()
    dearer, slowest = 0, (0.0, 0)
    for seed in range(args.seed, args.seed + args.count):
        start = time.perf_counter()
        try:
            what, said = outcome(seed)
        except Exception as error:
            what, said = "error", f"{type(error).__name__}: {error}"
        slowest = max(slowest, (time.perf_counter() - start, seed))
        found[what] += 1
        dearer += said == "dearer"
        if what not in ("equal",):
            print(f"seed {seed}: {what}: {said[:1500]}", flush=True)
    print(dict(found), f"{dearer} dearer than recorded; slowest {slowest[0]:.1f} s, seed {slowest[1]}")
    return 1 if found["different"] or found["error"] else 0


if __name__ == "__main__":
    sys.exit(main())
