"""Mistakes on purpose: are they caught?

    python -m tests.mutation [--verbose]
    python -m tests.mutation --kind optimizers layers losses replay kernels compiled field

The second plants mistakes in the source of these rooms, kept in tests/mutants/, and runs the tests of the room in a
copy of the repository; "field" are mistakes that once passed the whole suite. The first is below.

Plants wrong rules in the primitives, one at a time, and asks twice: does the suite's own row check
(tests/helpers.assert_right on the rows of tests/table.py) fail, and does minigrad's checker (mg.check.gradcheck to
order 2) say so? Kinds: factor, sign, missing term, swapped argument, wrong axis, stale cache, wrong only at one
coordinate, right only at order 1. Every primitive with a gradient is touched. Prints caught/planted for each kind and
how many are named rightly; exits with 0 only if all are caught, by both.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core.nodes import Primitive, raw

from .helpers import assert_right, registry
from .mutants import planting
from .table import ROWS, Row

SLOPED = [row for row in ROWS if not row.flat]
OPS = sorted({row.op for row in SLOPED})


@dataclass(frozen=True)
class Plant:
    """One wrong rule: what kind, in which op, and how to make its rules from the right ones."""

    kind: str
    op: str
    argument: int
    change: Callable[[Any], Any]  # (rule of that argument, or the joint rule) -> wrong rule

    def __str__(self) -> str:
        return f"{self.kind} in {self.op}, argument {self.argument}"


@contextlib.contextmanager
def planted(plant: Plant) -> Iterator[None]:
    """The op with the wrong rule for as long as the block runs."""
    op: Primitive = registry[plant.op].op
    rules, joint = op.rules, op.joint
    try:  # kernels stand back where other rules are put in
        if joint is not None:
            op.joint = plant.change(joint)
        else:
            k = 0 if op.variadic else plant.argument
            op.rules = tuple(plant.change(rule) if j == k else rule for j, rule in enumerate(rules))
        yield
    finally:
        op.rules, op.joint = rules, joint


# Ways to be wrong -----------------------------------------------------------------------------------------------


def on_result(argument: int, joint: bool, wrong: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change that is made to the gradient of one argument."""

    def change(rule: Any) -> Any:
        def altered(*args: Any, **params: Any) -> Any:
            d = rule(*args, **params)
            if not joint:
                return wrong(d)
            return tuple(wrong(x) if k == argument and x is not None else x for k, x in enumerate(d))

        return altered

    return change


def one_coordinate(d: Any) -> Any:
    bump = np.ones(d.shape)
    bump.reshape(-1)[bump.size // 2] = 1.01
    return d * bump


def stale(rule: Any) -> Any:
    """Everything but g from the first call with these shapes, as a cache that nobody empties would have it."""
    first: dict[Any, Any] = {}

    def altered(g: Any, *args: Any, **params: Any) -> Any:
        bare = tuple(tuple(map(raw, a)) if isinstance(a, tuple) else raw(a) for a in args)
        key = (tuple(np.shape(a) for a in bare if not isinstance(a, tuple)), str(params))
        return rule(g, *first.setdefault(key, bare), **params)

    return altered


def frozen(rule: Any) -> Any:
    """Inputs and saved arrays enter as constants: right at order 1."""

    def altered(g: Any, *args: Any, **params: Any) -> Any:
        bare = tuple(tuple(map(raw, a)) if isinstance(a, tuple) else raw(a) for a in args)
        return rule(g, *bare, **params)

    return altered


def another_axis(rule: Any) -> Any:
    def altered(g: Any, out: Any, x: Any, *rest: Any, **params: Any) -> Any:
        name = "axis" if "axis" in params else "axis1"
        if isinstance(params[name], int) and x.ndim > 1:
            params[name] = (params[name] + 1) % x.ndim
        return rule(g, out, x, *rest, **params)

    return altered


def instead(wrong: Any) -> Callable[[Any], Any]:
    return lambda rule: wrong


def exchanged(i: int, j: int) -> Callable[[Any], Any]:
    """A joint rule with two of its results in each other's place."""

    def change(rule: Any) -> Any:
        def altered(*args: Any, **params: Any) -> Any:
            d = list(rule(*args, **params))
            d[i], d[j] = d[j], d[i]
            return tuple(d)

        return altered

    return change


def without_means(g: Any, out: Any, saved: Any, x: Any, gamma: Any, beta: Any, *, wide: Any, **_: Any) -> Any:
    """dx of a normalization that forgot that mean and variance depend on x."""
    x_hat, inv_std = saved
    h = g if gamma is None else g * mg.reshape(gamma, wide)
    shared = tuple(k for k, n in enumerate(wide) if n == 1 and x.shape[k] != 1)
    others = [None if p is None else mg.sum(d, axis=shared) for p, d in ((gamma, g * x_hat), (beta, g))]
    return (h * inv_std, *others)


MISSING = {
    "sigmoid": lambda g, out, x: g * out,
    "tanh": lambda g, out, x: g * 1.0,
    "expm1": lambda g, out, x: g * out,
    "log1p": lambda g, out, x: g / x,
    "gelu": lambda g, out, x: g * 0.5 * (1.0 + mg.erf(x * 0.5**0.5)),
    "silu": lambda g, out, x: g * mg.sigmoid(x),
    "pow": lambda g, out, x, y: g * x ** (y - 1),
    "logsumexp": lambda g, out, x, axis, keepdims: (
        mg.broadcast_to(mg.ops.reductions.widened(g, x.shape, axis), x.shape) * mg.exp(x)
    ),
    "var": lambda g, out, x, axis, keepdims, ddof: (
        mg.broadcast_to(mg.ops.reductions.widened(g, x.shape, axis), x.shape) * (2.0 / x.size) * x
    ),
    "batch_norm": without_means,
    "layer_norm": without_means,
}
CURVED = ("exp", "log", "sqrt", "square", "sin", "cos", "tanh", "sigmoid", "mul", "div", "pow", "matmul", "prod",
          "logsumexp", "var", "std", "batch_norm", "layer_norm")  # fmt: skip
AXES = ("sum", "mean", "var", "std", "max", "min", "prod", "logsumexp", "cumsum", "flip", "swapaxes")


def swapped() -> Iterator[Plant]:
    """Each binary op with the rule of one argument in the place of the other's."""
    for name in ("sub", "div", "pow", "maximum", "minimum", "where", "matmul"):
        rules = registry[name].op.rules
        for k in (len(rules) - 2, len(rules) - 1):
            other = rules[2 * len(rules) - 3 - k]
            yield Plant("swapped argument", name, k, instead(other))
    yield Plant("swapped argument", "batch_norm", 1, exchanged(1, 2))
    yield Plant("swapped argument", "layer_norm", 1, exchanged(1, 2))
    yield Plant("swapped argument", "batch_norm_inference", 3, exchanged(3, 4))


def plants() -> list[Plant]:
    """All of them."""
    made = []
    for name in OPS:
        op: Primitive = registry[name].op
        row = next(r for r in SLOPED if r.op == name)
        floating = [k for k, x in enumerate(row.inputs) if isinstance(x, tuple)]
        for turn, (kind, wrong) in enumerate(
            (("factor", lambda d: d * 1.001), ("sign", lambda d: -d), ("one coordinate", one_coordinate))
        ):
            k = floating[turn % len(floating)]
            made.append(Plant(kind, name, k, on_result(k, op.joint is not None, wrong)))
    made += [Plant("missing term", name, 0, instead(wrong)) for name, wrong in MISSING.items()]
    made += [Plant("stale cache", name, 0, stale) for name in CURVED]
    made += [Plant("right only at order 1", name, 0, frozen) for name in CURVED]
    made += [Plant("wrong axis", name, 0, another_axis) for name in AXES]
    return made + list(swapped())


# Are they caught? -----------------------------------------------------------------------------------------------


def suite_catches(row: Row) -> bool:
    """Whether the check that the tests make of this row fails."""
    rng = np.random.default_rng(0)
    try:
        assert_right(lambda *xs: registry[row.op](*xs, **row.params), row.arrays(rng), rng)
    except Exception:
        return True
    return False


# What names each kind, in words of the diagnosis.
NAMES = {
    "factor": ("constant factor 1.001",),
    "sign": ("sign is wrong",),
    "one coordinate": ("wrong only at", "constant factor 1.01"),
    "missing term": ("missing", "left out", "term", "constants", "stands where", "factor"),
    "stale cache": ("remembers",),
    "right only at order 1": ("as a constant",),
    "wrong axis": ("axis", "exchanged", "factor", "stands where"),
    "swapped argument": (
        "derivative by", "sign is wrong", "exchanged", "stands where", "transpose", "factor", "missing", "term"
    ),
}  # fmt: skip


def checker_says(row: Row) -> str | None:
    """What gradcheck, to order 2, says that is wrong; None if it says nothing."""
    arrays = row.arrays(np.random.default_rng(0))
    wanted = [k for k, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]

    def f(*xs: Any) -> Any:
        inputs = list(arrays)
        for k, x in zip(wanted, xs, strict=True):
            inputs[k] = x
        return registry[row.op](*inputs, **row.params)

    try:
        report = mg.check.gradcheck(f, [arrays[k] for k in wanted], order=2, mode="full")
    except Exception as error:
        return f"raises {type(error).__name__}"
    return None if report else " / ".join([*report.reasons, *report.problems]) or "wrong"


def caught(plant: Plant) -> tuple[bool, bool, bool]:
    """(by the suite, by the checker, named rightly by it), on the rows of the table for that op."""
    rows = [row for row in SLOPED if row.op == plant.op]
    with planted(plant):
        suite = any(map(suite_catches, rows))
    with planted(plant):  # anew, so that neither sees what the other left in a cache
        said = [words for row in rows if (words := checker_says(row)) is not None]
    return suite, bool(said), any(name in words for words in said for name in NAMES[plant.kind])


KINDS = ("optimizers", "layers", "losses", "replay", "kernels", "compiled", "field")


def in_source(kind: str, verbose: bool, jobs: int) -> int:
    """The mistakes of one room, planted in its source; 0 if all that can be were caught."""
    plants: list[planting.Plant] = importlib.import_module(f"tests.mutants.{kind}").PLANTS
    kernels = "numba" if kind == "compiled" else os.environ.get("MINIGRAD_KERNELS", "numpy")
    found, begin = [], time.monotonic()
    for outcome in planting.outcomes(plants, kernels, jobs):
        found.append(outcome)
        if verbose or not outcome.fine:
            said = "" if outcome.fine else "NOT CAUGHT: " if outcome.word == "alive" else "UNEXPECTED: "
            how = outcome.plant.equal or outcome.by
            print(f"{said}{outcome.plant.why} ({outcome.plant.file}): {outcome.word} {how}", flush=True)
    equal, seconds = sum(bool(o.plant.equal) for o in found), time.monotonic() - begin
    caught = sum(o.word == "caught" for o in found)
    fine = all(o.fine for o in found)
    print(f"{kind:12} caught {caught}/{len(found) - equal}, without effect {equal}, {seconds:.0f} s", flush=True)
    return 0 if fine else 1


def main(argv: list[str] | None = None) -> int:
    """Plant all, print caught/planted; 0 if all were caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("--verbose", action="store_true", help="one line for each")
    parser.add_argument("--kind", nargs="+", choices=KINDS, help="mistakes in the source of these rooms instead")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="so many at a time (with --kind)")
    args = parser.parse_args(argv)
    if args.kind:
        return max(in_source(kind, args.verbose, args.jobs) for kind in args.kind)
    warnings.simplefilter("ignore")  # a wrong rule may divide by zero
    planted_of, by_suite, by_checker, named_of = (Counter[str]() for _ in range(4))
    for plant in plants():
        suite, checker, named = caught(plant)
        planted_of[plant.kind] += 1
        by_suite[plant.kind] += suite
        by_checker[plant.kind] += checker
        named_of[plant.kind] += named
        if args.verbose or not (suite and checker and named):
            print(f"{plant}: suite {'caught' if suite else 'MISSED'}, checker {'caught' if checker else 'MISSED'}, "
                  f"{'named' if named else 'not named'}")  # fmt: skip
    for kind, count in planted_of.items():
        print(f"{kind:22} suite {by_suite[kind]}/{count}, checker {by_checker[kind]}/{count}, named {named_of[kind]}")
    total = planted_of.total()
    print(f"caught/planted: suite {by_suite.total()}/{total}, checker {by_checker.total()}/{total}, ops {len(OPS)}")
    print(f"named rightly: {named_of.total()}/{total}")
    return 0 if by_suite.total() == by_checker.total() == total else 1


if __name__ == "__main__":
    sys.exit(main())
