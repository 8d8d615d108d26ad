"""gradcheck: the derivatives that a graph gives against those that differences of values give, located."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops
from .._support.signatures import Data
from ..core.context import using
from ..core.tensor import Tensor
from .arguments import Function, array_of, as_sequence, gradients_of, leaves_of, name_of, names_of, value_of
from .jacobian import Case, Element, entries, projected
from .numerical import FloatArray
from .reasons import reasons
from .table import Report, Table, digits, short

FULL_LIMIT = 200_000  # entries of the Jacobian up to which the full mode is the default
SHOWN = 5  # elements in a report, unless more are wrong


@dataclass(frozen=True, repr=False)
class Gradcheck(Report):
    """What `gradcheck` found. True if nothing is wrong; prints the worst elements."""

    name: str
    mode: str
    order: int
    checked: int
    worst: tuple[Element, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    reasons: tuple[str, ...] = ()  # what kind of mistake the wrong entries look like

    def __bool__(self) -> bool:
        return not self.problems and not any(e.wrong for e in self.worst)

    def _head(self) -> str:
        wrong = any(e.wrong for e in self.worst)
        state = "right" if self else "WRONG" if wrong else "not judged" if self.notes else "not right"
        return f"gradcheck of {self.name}: {state} to order {self.order} ({self.checked} derivatives, {self.mode} mode)"

    def _remarks(self) -> list[str]:
        said = {"problem": self.problems, "note": self.notes, "likely": self.reasons}
        return [f"{kind}: {text}" for kind, texts in said.items() for text in texts]

    def _tables(self) -> list[Table]:
        wrong = [k for k, e in enumerate(self.worst) if e.wrong]
        shown = self.worst[: max(SHOWN, min(len(wrong), 2 * SHOWN))]
        rows = [
            [
                e.argument + _place(e.index),
                str(e.order),
                "y" + _place(e.output),
                *map(digits, (e.analytic, e.numeric)),
                *map(short, (e.difference, e.relative, e.ulps)),
                e.verdict,
            ]
            for e in shown
        ]
        header = ["argument", "order", "output", "analytic", "numeric", "abs", "rel", "ulps", "verdict"]
        return [Table(header, rows, words=(2, 8), wrong=wrong)] if rows else []


def _place(index: tuple[int, ...] | None) -> str:
    return " projected" if index is None else f"[{', '.join(map(str, index))}]" if index else ""


@np.errstate(all="ignore")  # differences may leave the domain of f; what is not finite there is said
@using(frozen=True)  # looking changes nothing: running statistics stay
def gradcheck(
    f: Function,
    inputs: Data,
    *,
    order: int = 1,
    mode: str | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    seed: int = 0,
) -> Gradcheck:
    """Check the derivatives of f at `inputs` against differences of its values.

    f(*inputs) returns a Tensor; inputs are one array or Tensor of float64, or a list of them. order=2 also checks
    the derivatives of the gradients (for one random cotangent, which is checked as an argument too, as `cotangent`).

    mode "full" compares every entry of the Jacobian, "fast" one random projection per argument; None takes the full
    one where it has at most 200,000 entries. A projection that fails in fast mode is looked into in full.
    Steps are chosen by a sweep; the differences use five points, so that both kinks of f and rounding are known.
    An entry is equal where |analytic - numeric| <= rtol * |numeric| + atol * (largest derivative of that output) +
    what the difference may be off by + what moving the inputs by one bit changes, away from kinks: so a gradient
    that is truly zero is judged absolutely.

    f is first run at a point near by (a rule that remembers its first call shows), then twice at `inputs`.
    Inputs are copied and never changed. Raises TypeError for float32, integer or overlapping inputs. The report
    says so where f gives different values when called again, or where its backward does.

    >>> import numpy as np, minigrad as mg
    >>> bool(gradcheck(mg.tanh, np.array([0.3, -1.2])))
    True
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order={order!r} must be 1 or 2")
    if mode not in (None, "full", "fast"):
        raise ValueError(f"gradcheck: mode={mode!r} must be 'full', 'fast' or None")
    given = as_sequence(inputs)
    names = names_of(f, given)
    arrays = [_accepted(x, name) for x, name in zip(given, names, strict=True)]
    for k, x in enumerate(given):
        if any(np.shares_memory(array_of(x), array_of(other)) for other in given[:k]):
            raise TypeError(f"gradcheck: {names[k]} shares memory with another input; pass {names[k]}.copy()")
    rng = np.random.default_rng((seed, 0x6D696E69))
    _elsewhere(f, arrays, rng)
    problems = _repeats(f, arrays, rng)
    found: list[Element] = []
    used = set()
    stages = [(1, f, arrays, names)]
    if order == 2:
        y = value_of(f, leaves_of(arrays))
        if y.requires_grad:
            cotangent = rng.normal(size=y.shape)
            stages.append((2, _gradients_of(f), [*arrays, cotangent], [*names, "cotangent"]))
    for stage, h, xs, labels in stages:
        case = Case(h, xs, labels, stage, rng)
        chosen = mode or ("full" if case.size <= FULL_LIMIT else "fast")
        part = entries(case, rtol, atol) if chosen == "full" else projected(case, rtol, atol)
        used.add(chosen)
        if chosen == "fast" and not all(e.ok and not e.skipped for e in part) and case.size <= 10 * FULL_LIMIT:
            part = [e for e in part if not e.skipped] + entries(case, rtol, atol)  # what is it, and where?
            used.add("full")
        found += part
    likely = tuple(reasons(found))
    skipped = [e.skipped for e in found if e.skipped]
    notes = []
    if skipped:
        why = " and ".join(sorted(set(skipped)))
        share = f"{len(skipped)} of {len(found)}"
        notes.append(f"{share} derivatives were not judged ({why}): move the input away from there")
        if len(skipped) == len(found):
            problems.append(f"no derivative could be judged ({why})")
    found.sort(key=lambda e: (bool(e.skipped), -(e.difference / e.allowed if e.allowed else e.difference)))
    return Gradcheck(
        name_of(f),
        " and ".join(sorted(used)),
        order,
        len(found),
        tuple(found[: max(SHOWN, sum(e.wrong for e in found))]),
        tuple(problems),
        tuple(notes),
        likely,
    )


def _accepted(x: Any, name: str) -> FloatArray:
    a = array_of(x)
    if a.dtype != np.float64:
        raise TypeError(
            f"gradcheck: {name} is {a.dtype}; differences of values need float64, so pass {name}.astype(float) "
            "(and close over integer arguments: lambda x: f(x, labels))"
        )
    if a.size and any(stride == 0 and n > 1 for stride, n in zip(a.strides, a.shape, strict=True)):
        raise TypeError(f"gradcheck: elements of {name} share memory (a broadcast view); pass {name}.copy()")
    if not np.isfinite(a).all():
        raise ValueError(f"gradcheck: {name} holds NaN or infinity; derivatives are checked at finite points")
    return a.copy()


def _elsewhere(f: Function, arrays: Sequence[FloatArray], rng: np.random.Generator) -> None:
    """Run f and its backward near by first, so that a rule that remembers its first call gives itself away."""
    moved = leaves_of([x * (1 + 0.01 * rng.uniform(-1, 1, x.shape)) for x in arrays])
    with contextlib.suppress(ArithmeticError, ValueError), np.errstate(all="ignore"):  # perhaps f is not defined there
        y = value_of(f, moved)
        gradients_of(y, moved, rng.normal(size=y.shape))


def _repeats(f: Function, arrays: Sequence[FloatArray], rng: np.random.Generator) -> list[str]:
    """What f or its backward gives another time when it is run again, in words."""
    leaves = leaves_of(arrays)
    y, again = value_of(f, leaves), value_of(f, leaves)
    if not _equal(y, again):
        return ["f gives another result when called again (randomness, or state that it changes)"]
    cotangent = rng.normal(size=y.shape)
    first, second = (gradients_of(y, leaves, cotangent) for _ in range(2))
    if not all(map(_equal, first, second)):
        return ["backward gives another gradient when run again on the same graph"]
    return []


def _equal(a: Tensor, b: Tensor) -> bool:
    return np.array_equal(a._array, b._array, equal_nan=True)


def _gradients_of(f: Function) -> Function:
    """(*inputs, cotangent) -> all gradients of f in one long vector, differentiable."""

    def gradients(*args: Any) -> Tensor:
        *leaves, cotangent = args
        fresh = [x if x.requires_grad else leaves_of([x])[0] for x in leaves]
        with using(recording=True):  # also inside the no_grad of a difference
            y = value_of(f, fresh)
        with_graph = gradients_of(y, fresh, cotangent, create_graph=True)
        return ops.concatenate([d.reshape(-1) for d in with_graph])

    return gradients
