"""gradcheck: the derivatives that a graph gives against those that differences of values give, located."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops
from ..backward import grad
from ..context import no_grad, switched
from ..tensor import Tensor
from .arguments import SENSITIVITY, Function, array_of, as_sequence, leaves_of, name_of, names_of, nudged, value_of
from .numerical import FloatArray, Slope, best_step, elements, slope
from .table import digits, short, table

FULL_LIMIT = 200_000  # entries of the Jacobian up to which the full mode is the default
SHOWN = 5  # elements in a report, unless more are wrong
NUDGES = 3  # how often the inputs are moved by one bit to see the rounding


@dataclass(frozen=True)
class Element:
    """One entry of a Jacobian, or one random projection of it."""

    order: int
    argument: str
    index: tuple[int, ...] | None  # None: a projection over all elements of the argument
    output: tuple[int, ...] | None  # None: a projection over all elements of the result
    analytic: float
    numeric: float
    allowed: float  # the largest |analytic - numeric| that counts as equal
    kink: bool = False

    @property
    def difference(self) -> float:
        """|analytic - numeric|; NaN counts as infinitely far, equal infinities as equal."""
        if self.analytic == self.numeric:
            return 0.0
        far = abs(self.analytic - self.numeric)
        return far if np.isfinite(far) else float("inf")

    @property
    def relative(self) -> float:
        """The difference by the larger of the two."""
        size = max(abs(self.analytic), abs(self.numeric))
        return self.difference / size if size and np.isfinite(size) else (0.0 if not self.difference else float("inf"))

    @property
    def ulps(self) -> float:
        """The difference in units of the last place of the larger of the two."""
        size = max(abs(self.analytic), abs(self.numeric))
        return self.difference / float(np.spacing(size)) if np.isfinite(size) else float("inf")

    @property
    def ok(self) -> bool:
        """Equal as far as the numerical derivative can tell."""
        return self.difference <= self.allowed

    @property
    def verdict(self) -> str:
        """What to say of it."""
        if self.kink:
            return "kink: not judged"
        if not self.ok:
            return "WRONG"
        return "true gradient is zero" if max(abs(self.analytic), abs(self.numeric)) <= self.allowed else "equal"


@dataclass(frozen=True)
class Gradcheck:
    """What `gradcheck` found. True if nothing is wrong; prints the worst elements."""

    name: str
    mode: str
    order: int
    checked: int
    worst: tuple[Element, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.problems and all(e.ok or e.kink for e in self.worst)

    def __str__(self) -> str:
        wrong = sum(not (e.ok or e.kink) for e in self.worst)
        state = "right" if self else "WRONG"
        head = f"gradcheck of {self.name}: {state} to order {self.order} ({self.checked} derivatives, {self.mode} mode)"
        lines = [head, *(f"problem: {p}" for p in self.problems), *(f"note: {n}" for n in self.notes)]
        if self.worst:
            header = ["argument", "order", "output", "analytic", "numeric", "abs", "rel", "ulps", "verdict"]
            rows = [
                [
                    e.argument + _place(e.index),
                    str(e.order),
                    "y" + _place(e.output),
                    digits(e.analytic),
                    digits(e.numeric),
                    short(e.difference),
                    short(e.relative),
                    short(e.ulps),
                    e.verdict,
                ]
                for e in self.worst[: max(SHOWN, min(wrong, 4 * SHOWN))]
            ]
            lines += ["", table(header, rows)]
        return "\n".join(lines)

    __repr__ = __str__


def _place(index: tuple[int, ...] | None) -> str:
    return " projected" if index is None else f"[{', '.join(map(str, index))}]" if index else ""


def gradcheck(
    f: Function,
    inputs: Any,
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
    An entry is equal where |analytic - numeric| <= rtol * |numeric| + atol * (largest entry of that argument) +
    what the difference may be off by + what moving the inputs by one bit changes: so a gradient that is truly zero
    is judged absolutely.

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
    rng = np.random.default_rng((seed, 0x6D696E69))
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
        size = sum(x.size for x in xs) * _output_size(h, xs)
        chosen = mode or ("full" if size <= FULL_LIMIT else "fast")
        used.add(chosen)
        part = _check(h, xs, labels, stage, chosen, rtol, atol, rng)
        if chosen == "fast" and not all(e.ok for e in part) and size <= 10 * FULL_LIMIT:
            part += _check(h, xs, labels, stage, "full", rtol, atol, rng)
        found += part
    kinks = sum(e.kink for e in found)
    notes = []
    if kinks:
        notes.append(f"{kinks} derivatives were not judged: f has a kink there (move the input away from it)")
        if kinks == len(found):
            problems.append("every derivative lies at a kink, so none was judged")
    ranked = sorted(found, key=lambda e: (e.kink, -(e.difference / e.allowed if e.allowed else e.difference)))
    wrong = sum(not (e.ok or e.kink) for e in ranked)
    return Gradcheck(
        name_of(f),
        " and ".join(sorted(used)),
        order,
        len(found),
        tuple(ranked[: max(SHOWN, wrong)]),
        tuple(problems),
        tuple(notes),
    )


def _accepted(x: Any, name: str) -> FloatArray:
    a = array_of(x)
    if a.dtype != np.float64:
        raise TypeError(
            f"gradcheck: {name} is {a.dtype}; differences of values need float64, so pass {name}.astype(float) "
            "(and close over integer arguments: lambda x: f(x, labels))"
        )
    if any(stride == 0 and n > 1 for stride, n in zip(a.strides, a.shape, strict=True)):
        raise TypeError(f"gradcheck: elements of {name} share memory (a broadcast view); pass {name}.copy()")
    if not np.isfinite(a).all():
        raise ValueError(f"gradcheck: {name} holds NaN or infinity; derivatives are checked at finite points")
    return a.copy()


def _output_size(f: Function, arrays: Sequence[FloatArray]) -> int:
    with no_grad():
        return value_of(f, leaves_of(arrays)).size


def _repeats(f: Function, arrays: Sequence[FloatArray], rng: np.random.Generator) -> list[str]:
    """Whether f and its backward give the same twice."""
    leaves = leaves_of(arrays)
    y, again = value_of(f, leaves), value_of(f, leaves)
    problems: list[str] = []
    if y.shape != again.shape or not np.array_equal(y._array, again._array, equal_nan=True):
        return ["f gives another result when called again (randomness, or state that it changes)"]
    if not y.requires_grad:
        return problems
    cotangent = rng.normal(size=y.shape)
    first, second = (grad(y, leaves, gradient=cotangent) for _ in range(2))
    if any(not np.array_equal(a._array, b._array, equal_nan=True) for a, b in zip(first, second, strict=True)):
        problems.append("backward gives another gradient when run again on the same graph")
    return problems


def _gradients_of(f: Function) -> Function:
    """(*inputs, cotangent) -> all gradients of f in one long vector, differentiable."""

    def gradients(*args: Any) -> Tensor:
        *leaves, cotangent = args
        fresh = [x if x.requires_grad else leaves_of([x])[0] for x in leaves]
        with_graph = grad(_recorded(f, fresh), fresh, gradient=cotangent, create_graph=True)
        return ops.concatenate([d.reshape(-1) for d in with_graph])

    return gradients


def _recorded(f: Function, leaves: Sequence[Tensor]) -> Tensor:
    """f(*leaves) with recording on, also inside the no_grad of a difference."""
    with switched(lambda context: context._replace(recording=True)):
        return value_of(f, leaves)


def _check(
    f: Function,
    arrays: Sequence[FloatArray],
    names: Sequence[str],
    order: int,
    mode: str,
    rtol: float,
    atol: float,
    rng: np.random.Generator,
) -> list[Element]:
    leaves = leaves_of(arrays)
    y = value_of(f, leaves)
    near = [leaves_of([nudged(x, rng) for x in arrays]) for _ in range(NUDGES)]
    y_near = [value_of(f, xs) for xs in near]
    # rounding in the values, as one bit of the inputs shows it
    blur = SENSITIVITY * np.max([np.abs(y._array - z._array) for z in y_near], axis=0)
    found = []
    for k, name in enumerate(names):
        direction = rng.normal(size=arrays[k].shape)

        def along(t: float, k: int = k, step: Any = direction) -> FloatArray:
            moved = [x.copy() for x in arrays]
            moved[k] += t * step
            with no_grad():
                return np.array(value_of(f, leaves_of(moved))._array)

        if not arrays[k].size or not y.size:
            continue
        h = best_step(along)
        if mode == "fast":
            weight = rng.normal(size=y.shape)
            got = slope(along, h, blur)
            numeric = float(np.sum(got.value * weight))
            error = float(np.sum(got.error * np.abs(weight)))
            analytic, *moved = (
                float(np.sum(grad(z, xs[k], gradient=weight)._array * direction)) if z.requires_grad else 0.0
                for z, xs in zip([y, *y_near], [leaves, *near], strict=True)
            )
            floor = SENSITIVITY * max(abs(analytic - other) for other in moved)
            allowed = (rtol + atol) * abs(numeric) + error + floor
            found.append(Element(order, name, None, None, analytic, numeric, allowed, bool(got.kink.any())))
            continue
        jacobian = _jacobian(y, leaves[k])
        moves = [np.abs(jacobian - _jacobian(z, xs[k])) for z, xs in zip(y_near, near, strict=True)]
        floor = SENSITIVITY * float(np.max(moves, initial=0.0))
        found += _entries(f, arrays, k, name, order, h, jacobian, blur, rtol, atol, floor)
    return found


def _jacobian(y: Tensor, leaf: Tensor) -> FloatArray:
    """All dy_i/dx_j as the graph gives them, of shape (y.size, *x.shape)."""
    rows = np.zeros((y.size, *leaf.shape))
    if y.requires_grad:
        for i in range(y.size):
            unit = np.zeros(y.size)
            unit[i] = 1.0
            rows[i] = grad(y, leaf, gradient=unit.reshape(y.shape))._array
    return rows


def _entries(
    f: Function,
    arrays: Sequence[FloatArray],
    k: int,
    name: str,
    order: int,
    h: float,
    jacobian: FloatArray,
    blur: FloatArray,
    rtol: float,
    atol: float,
    floor: float,
) -> list[Element]:
    slopes: list[tuple[tuple[int, ...], Slope]] = []
    for index, scale in elements(arrays[k]):

        def along(t: float, index: tuple[int, ...] = index, scale: float = scale) -> FloatArray:
            moved = [x.copy() for x in arrays]
            moved[k][index] += t * scale
            with no_grad():
                return np.array(value_of(f, leaves_of(moved))._array)

        got = slope(along, h, blur)
        slopes.append((index, Slope(got.value / scale, got.error / scale, got.kink)))
    largest = max((float(np.max(np.abs(s.value[np.isfinite(s.value)]), initial=0.0)) for _, s in slopes), default=0.0)
    found = []
    for index, got in slopes:
        for i, output in enumerate(np.ndindex(got.value.shape)):
            analytic, numeric = float(jacobian[(i, *index)]), float(got.value[output])
            allowed = rtol * abs(numeric) + atol * largest + float(got.error[output]) + floor
            kink = bool(got.kink[output])
            found.append(Element(order, name, index, output, analytic, numeric, allowed, kink))
    return found
