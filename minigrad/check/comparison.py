"""Two implementations of one function held against each other: values, gradients, second order, cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._support.notebook import Shown, block, lines
from .._support.notebook import table as html_table
from .._support.signatures import Values
from ..core.context import using
from ..core.gradients import grad
from ..core.tensor import Tensor
from .arguments import SENSITIVITY, Function, array_of, as_sequence, leaves_of, name_of, names_of, nudged, value_of
from .costs import Cost, cost
from .table import short, table
from .trials import Draw, Shapes, Trial, cases

Array: TypeAlias = "np.ndarray[Any, Any]"
FLOAT64_EPS = float(np.finfo(np.float64).eps)
HEADER = ["quantity", "largest", "difference", "error", "bound", "agree"]
JUMP = 1e-6  # share of an array's size that one bit moves an element by only where the function has a kink
NUDGES = 4  # how often the inputs are moved by one bit to see how far results follow


@dataclass(frozen=True)
class Quantity:
    """One compared array: y, a gradient, or a Hessian-vector product."""

    name: str
    size: float  # largest absolute value in either
    difference: float  # largest |a - b|
    error: float  # difference / size; 0 where both are zero
    bound: float  # what `error` may be
    note: str = ""  # a remark; one that starts with "!" is a failure by itself

    @property
    def ok(self) -> bool:
        """Within the bound."""
        return not self.note.startswith("!") and self.error <= self.bound


@dataclass(frozen=True)
class Comparison(Shown):
    """What `compare` found. True if every quantity agrees; prints as two tables."""

    labels: tuple[str, str]
    quantities: tuple[Quantity, ...]
    costs: tuple[Cost, Cost]
    order: int
    trials: str = ""  # of random cases: how many, how many failed, and which case this is
    inputs: tuple[Any, ...] = ()  # of this case, to run it again

    def __bool__(self) -> bool:
        return all(q.ok for q in self.quantities)

    @property
    def worst(self) -> Quantity:
        """The quantity that comes nearest to its bound, or is furthest beyond it."""
        return max(self.quantities, key=lambda q: (not q.ok, q.error / q.bound if q.bound else q.error))

    def cost_rows(self) -> list[tuple[str, str, str]]:
        """(label, first, second) for the cost table, as text."""
        first, second = (c.rows() for c in self.costs)
        return [(label, a, b) for (label, a), (_, b) in zip(first, second, strict=True)]

    def __str__(self) -> str:
        summary = self._summary() + (f"\n{self.trials}" if self.trials else "")
        agreement = table(HEADER, self._rows())
        return f"{summary}\n\n{agreement}\n\n{table(['cost', *self.labels], self.cost_rows())}"

    __repr__ = __str__

    def _html(self) -> str:
        wrong = [k for k, q in enumerate(self.quantities) if not q.ok]
        agreement = html_table(HEADER, self._rows(), text=(0, 5), wrong=wrong)
        costs = html_table(["cost", *self.labels], self.cost_rows())
        return block(self._summary(), [lines([self.trials] if self.trials else []), agreement, costs], ok=bool(self))

    def _summary(self) -> str:
        verdict = (
            f"agree to order {self.order}"
            if self
            else f"differ: {', '.join(q.name for q in self.quantities if not q.ok)}"
        )
        return f"{self.labels[0]} and {self.labels[1]} {verdict}"

    def _rows(self) -> list[list[str]]:
        return [
            [q.name, short(q.size), short(q.difference), short(q.error), short(q.bound), _verdict(q)]
            for q in self.quantities
        ]


def _verdict(q: Quantity) -> str:
    if q.note.startswith("!"):
        return q.note[1:]
    return (q.note or "yes") if q.ok else "NO" + q.note.removeprefix("yes")


@using(frozen=True)  # looking changes nothing: running statistics stay
def compare(
    f: Function,
    g: Function,
    inputs: Values = None,
    *,
    order: int = 2,
    gradient: Values = None,
    labels: tuple[str, str] | None = None,
    tol: float | None = None,
    eps: float = 1e-5,
    seed: int = 0,
    trials: int = 0,
    shapes: Sequence[Shapes] | None = None,
    dtypes: Sequence[str] = ("float64",),
    draw: Draw | None = None,
) -> Comparison:
    """Hold two implementations against each other on the same inputs.

    order 0 compares values; 1 also the gradient of every floating-point input, for one random cotangent (or
    `gradient`); 2 also the gradients of sum_i <gradient_i, v_i> for random v_i: Hessian-vector products.

    error = max|a - b| / max(|a|, |b|) over the whole array; both zero is equal. It may be at most 1e-12 in float64
    for columns with |mean| / spread <= 1e3 (spread = sqrt(var + eps), as a normalization sees it) and at least 3
    rows, 1e-11 for 2 rows, and beyond that 4.5 eps_machine (1 + |mean| / spread); other dtypes in proportion to
    their eps_machine. Where moving every number that goes in to its neighbour moves the result further than that, 16
    times this movement is the bound: no implementation can be expected to agree more closely (such is a gradient
    that is truly zero, and rounding all that is left of it). `tol` replaces all of this.

    trials=100 compares on that many random cases instead: shapes from `shapes` (each a list with one shape per
    argument; without it those of `inputs`), `dtypes`, data ordinary, far from zero, partly constant or of small whole
    numbers, or what `draw(rng, shapes, dtype)` returns. The report is that of the smallest case that failed, or of
    the one that came nearest to its bound; `.inputs` are its inputs.

    >>> import numpy as np, minigrad as mg
    >>> x = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]])
    >>> bool(compare(mg.batch_norm, mg.batch_norm_composed, x))
    True
    """
    if order not in (0, 1, 2):
        raise ValueError(f"compare: order={order!r} must be 0, 1 or 2")
    labels = labels or (name_of(f), name_of(g))
    if trials:

        def compared(trial: Trial) -> Comparison:
            return compare(f, g, trial.inputs, order=order, labels=labels, tol=tol, eps=eps, seed=trial.seed)

        given_shapes = [[array_of(x).shape for x in as_sequence(inputs)]] if inputs is not None else []
        return _telling(compared, list(cases(trials, shapes or given_shapes, dtypes, seed, draw)))
    if inputs is None:
        raise ValueError("compare: give inputs=, or trials= with shapes=")
    given = as_sequence(inputs)
    names = names_of(f, given)
    bound = _bound(given, eps) if tol is None else tol
    runs = [_quantities(h, given, names, order, gradient, seed) for h in (f, g)]
    quantities = tuple(_held(a, b, bound, tol is not None) for a, b in zip(runs[0].items, runs[1].items, strict=True))
    for label, run in zip(labels, runs, strict=True):
        if not run.repeats:
            note = f"!{label} gives another result when called again"
            quantities = (replace(quantities[0], note=note), *quantities[1:])
    return Comparison(labels, quantities, (runs[0].cost, runs[1].cost), order)


def _telling(compared: Callable[[Trial], Comparison], trials: Sequence[Trial]) -> Comparison:
    """Of random cases the smallest that fails, or else the one nearest to its bound."""
    if not trials:
        raise ValueError("compare: trials= needs shapes=[[one shape per argument], ...], or inputs= to take them from")
    kept: tuple[tuple[bool, float], Comparison, Trial] | None = None
    failed = 0
    for trial in trials:
        report = compared(trial)
        failed += not report
        near = report.worst.error / max(report.worst.bound, 1e-300)
        rank = (bool(report), -near if report else float(trial.size))  # failures come first
        if kept is None or rank < kept[0]:
            kept = rank, report, trial
    assert kept is not None
    _, report, trial = kept
    which = "the smallest that differs" if failed else "the one nearest to its bound"
    words = f"{len(trials)} trials, {failed} differ; {which}: {trial}"
    return replace(report, trials=words, inputs=tuple(trial.inputs))


def _bound(inputs: Sequence[Any], eps: float) -> float:
    worst, unit = 0.0, FLOAT64_EPS
    for x in leaves_of(inputs):
        if x is None or x.dtype.kind != "f" or not x.size:
            continue
        a = x._array.astype(np.float64)
        unit = max(unit, float(np.finfo(x.dtype).eps))
        base = 1e-12
        if a.ndim >= 2:
            base = 1e-11 if len(a) == 2 else base
            spread = np.sqrt(a.var(axis=0) + eps)
            ratio = np.abs(a.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
            base = max(base, 4.5 * FLOAT64_EPS * (1 + float(np.max(ratio, initial=0.0))))
        worst = max(worst, base)
    return max(worst, 1e-12) * unit / FLOAT64_EPS


@dataclass(frozen=True)
class _Run:
    items: list[tuple[str, Array, Array]]  # name, values, how far the last bit of the inputs moves each
    cost: Cost
    repeats: bool = True  # the same values when called again


def _quantities(f: Function, inputs: Sequence[Any], names: Sequence[str], order: int, gradient: Any, seed: int) -> _Run:
    """Everything compared of one implementation, each with how far the last bit of the inputs moves it."""
    found, *moved = [_derivatives(f, inputs, names, order, gradient, seed, nudge) for nudge in range(NUDGES + 1)]
    with np.errstate(invalid="ignore"):
        items = [
            (name, value, np.max([np.abs(value - other.items[k][1]) for other in moved], axis=0))
            for k, (name, value, _) in enumerate(found.items)
        ]
    again = value_of(f, leaves_of(inputs))._array
    return _Run(items, found.cost, np.array_equal(items[0][1], again, equal_nan=True))


def _derivatives(
    f: Function, inputs: Sequence[Any], names: Sequence[str], order: int, gradient: Any, seed: int, nudge: int
) -> _Run:
    rng = np.random.default_rng((seed, 0x6D696E69))  # a stream of its own: an input drawn with `seed` must not return
    noise = np.random.default_rng((seed, nudge))

    def moved(x: Any) -> Any:
        return nudged(x, noise) if nudge else x

    leaves = leaves_of([moved(x) for x in inputs])
    y = value_of(f, leaves)
    still = np.zeros(())
    items = [("y", y._array, still)]
    wanted = [(name, x) for name, x in zip(names, leaves, strict=True) if x is not None and x.requires_grad]
    found = cost(y)
    if order == 0 or not wanted:
        return _Run(items, found)
    xs = [x for _, x in wanted]
    cotangent = rng.normal(size=y.shape) if gradient is None else array_of(gradient)
    start = Tensor(moved(cotangent.astype(y.dtype)), requires_grad=True)
    slopes = _gradients(y, xs, start, create_graph=order == 2)
    items += [(f"d{name}", d._array, still) for (name, _), d in zip(wanted, slopes, strict=True)]
    if order == 1:
        return _Run(items, found)
    products = [(d * moved(rng.normal(size=d.shape).astype(d.dtype))).sum() for d in slopes]
    seconds = _gradients(sum(products[1:], start=products[0]), [*xs, start])
    labels = [*(f"Hv {name}" for name, _ in wanted), "Jv"]
    items += [(label, d._array, still) for label, d in zip(labels, seconds, strict=True)]
    return _Run(items, found)


def _gradients(y: Tensor, xs: Sequence[Tensor], gradient: Any = None, create_graph: bool = False) -> tuple[Any, ...]:
    """As `grad`, and zeros where y does not depend on anything that has one."""
    if not y.requires_grad:
        return tuple([Tensor(np.zeros_like(x._array)) for x in xs])
    found: tuple[Any, ...] = grad(y, xs, gradient=gradient, create_graph=create_graph)
    return found


def _largest(a: Array) -> float:
    finite = a[np.isfinite(a)]
    return float(np.max(np.abs(finite), initial=0.0))


def _jumps(moved: Array, size: float) -> npt.NDArray[np.bool_]:
    """Elements that one bit of the inputs moves far while it leaves most others alone: they lie at a kink."""
    if not moved.size:
        return np.zeros(moved.shape, bool)
    jumps: npt.NDArray[np.bool_] = (moved > JUMP * size) & (moved > 1e4 * np.median(moved)) | ~np.isfinite(moved)
    return jumps


def _held(a: tuple[str, Array, Array], b: tuple[str, Array, Array], bound: float, strict: bool) -> Quantity:
    (name, x, moved_x), (_, y, moved_y) = a, b
    if x.shape != y.shape or x.dtype != y.dtype:
        return Quantity(name, np.nan, np.nan, np.inf, bound, f"!{x.shape} {x.dtype} / {y.shape} {y.dtype}")
    strange = ~np.isfinite(x) | ~np.isfinite(y)
    if not np.array_equal(x[strange], y[strange], equal_nan=True):
        return Quantity(name, np.nan, np.nan, np.inf, bound, "!NaN or infinity in one")
    moved = np.broadcast_to(np.maximum(moved_x, moved_y), x.shape)[~strange]
    x, y = x[~strange], y[~strange]
    jumps = _jumps(moved, max(_largest(x), _largest(y))) if not strict else np.zeros(x.shape, bool)
    x, y, moved = x[~jumps], y[~jumps], moved[~jumps]
    size = max(_largest(x), _largest(y))
    difference = _largest(x - y)
    floor = 0.0 if strict else SENSITIVITY * _largest(moved)
    if size:
        bound = max(bound, floor / size)
    notes = [f"{int(jumps.sum())} at a kink not judged"] if jumps.any() else []
    notes += ["NaN or inf in both"] if strange.any() else []
    notes += ["no more than rounding"] if 0 < size <= floor else []
    note = ", ".join(["yes", *notes]) if notes else ""
    return Quantity(name, size, difference, difference / size if size else 0.0, bound, note)
