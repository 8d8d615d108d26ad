"""Two implementations of one function held against each other: values, gradients, second order, cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._support.signatures import Values
from ..core.context import using
from ..core.tensor import Tensor
from ..extend import Extension
from .arguments import (
    SENSITIVITY,
    Function,
    array_of,
    as_sequence,
    gradients_of,
    leaves_of,
    name_of,
    names_of,
    nudged,
    overflowed,
    value_of,
)
from .costs import Cost, cost
from .diagnosis import diagnose
from .evidence import Evidence
from .exact import formulas
from .examining import CONSTANT
from .gradient_check import gradcheck
from .jacobian import of_tensors
from .table import Report, Table, short

Shapes: TypeAlias = Sequence[tuple[int, ...]]
Draw: TypeAlias = Callable[[np.random.Generator, Shapes, str], Sequence[Any]]
Array: TypeAlias = "np.ndarray[Any, Any]"
FLOAT64_EPS = float(np.finfo(np.float64).eps)
OVERFLOWED = "!overflowed"
MANY = 40_000  # entries of the Jacobians up to which a difference is diagnosed
JUMP = 1e-6  # an element lies at a kink where one bit of the inputs moves it by more than this share of the largest
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

    @property
    def verdict(self) -> str:
        """What to say of it."""
        if self.note.startswith("!"):
            return self.note[1:]
        return (self.note or "yes") if self.ok else "NO" + self.note.removeprefix("yes")

    def as_data(self) -> dict[str, Any]:
        """Ready for JSON."""
        sizes = {"largest": self.size, "difference": self.difference, "error": self.error, "bound": self.bound}
        numbers = {name: float(value) if np.isfinite(value) else None for name, value in sizes.items()}
        return {"name": self.name, **numbers, "agree": bool(self.ok), "note": self.note.lstrip("!")}


@dataclass(frozen=True, repr=False)
class Comparison(Report):
    """What `compare` found. True if every quantity agrees; prints as two tables."""

    labels: tuple[str, str]
    quantities: tuple[Quantity, ...]
    costs: tuple[Cost, Cost]
    order: int
    trials: str = ""  # of random cases: how many, how many failed, and which case this is
    inputs: tuple[Any, ...] = ()  # of this case, to run it again
    reasons: tuple[str, ...] = ()  # what kind of mistake the second's gradients look like, beside the first's
    subject: tuple[Any, Any, Any] | None = field(
        default=None, compare=False
    )  # the two functions, and what they were given

    def __bool__(self) -> bool:
        return all(q.ok for q in self.quantities)

    @property
    def worst(self) -> Quantity:
        """The quantity that comes nearest to its bound, or is furthest beyond it."""
        return max(self.quantities, key=lambda q: (not q.ok, q.error / q.bound if q.bound else q.error))

    @cached_property
    def formula(self) -> str:
        """What exact arithmetic says of the two as formulas; empty where it cannot be asked."""
        return formulas(*self.subject, self.order, bool(self)) if self.subject else ""

    def cost_rows(self) -> list[tuple[str, str, str]]:
        """(label, first, second) for the cost table, as text."""
        first, second = (c.rows() for c in self.costs)
        return [(label, a, b) for (label, a), (_, b) in zip(first, second, strict=True)]

    def as_data(self) -> dict[str, Any]:
        """Everything in the tables, ready for JSON; a number that is not finite becomes None, which JSON knows.

        >>> import numpy as np, minigrad as mg
        >>> data = compare(mg.square, lambda x: x * x, np.array([1.0, 2.0]), order=1).as_data()
        >>> data["agree"], [q["name"] for q in data["quantities"]]
        (True, ['y', 'dx'])
        """
        about = {"labels": list(self.labels), "order": self.order, "agree": bool(self), "trials": self.trials}
        about["formula"] = self.formula
        quantities = [q.as_data() for q in self.quantities]
        return {**about, "quantities": quantities, "costs": [cost._asdict() for cost in self.costs]}

    def _head(self) -> str:
        if self.reasons and self.quantities[0].note == OVERFLOWED:
            return f"{self.labels[0]} and {self.labels[1]}: everything overflowed"
        differ = ", ".join(q.name for q in self.quantities if not q.ok)
        verdict = f"differ: {differ}" if differ else f"agree to order {self.order}"
        return f"{self.labels[0]} and {self.labels[1]} {verdict}"

    def _remarks(self) -> list[str]:
        return [*filter(None, (self.trials, self.formula)), *(f"likely: {reason}" for reason in self.reasons)]

    def _tables(self) -> list[Table]:
        header = ["quantity", "largest", "difference", "error", "bound", "agree"]
        rows = [[q.name, *map(short, (q.size, q.difference, q.error, q.bound)), q.verdict] for q in self.quantities]
        wrong = [k for k, q in enumerate(self.quantities) if not q.ok]
        return [Table(header, rows, words=(5,), wrong=wrong), Table(["cost", *self.labels], self.cost_rows())]


@np.errstate(all="ignore")  # what is not finite is said
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

    `.formula`, printed too, says whether the two are one formula, exactly: their programs are evaluated in the
    integers modulo 2**31 - 1, where nothing is rounded. Where they hold sqrt, exp and the like, only that they are.

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
        sets = shapes or ([[array_of(x).shape for x in as_sequence(inputs)]] if inputs is not None else [])
        reports = []
        for trial in _trials(trials, sets, dtypes, seed, draw):
            report = compare(f, g, trial.inputs, order=order, labels=labels, tol=tol, eps=eps, seed=trial.seed)
            reports.append((report, trial))
        failed = [(report, trial) for report, trial in reports if not report]
        if failed:
            report, trial = min(failed, key=lambda pair: pair[1].size)
        else:
            report, trial = max(reports, key=lambda pair: pair[0].worst.error / max(pair[0].worst.bound, 1e-300))
        which = "the smallest that differs" if failed else "the one nearest to its bound"
        words = f"{trials} trials, {len(failed)} differ; {which}: {trial}"
        return replace(report, trials=words, inputs=tuple(trial.inputs))
    if inputs is None:
        raise ValueError("compare: give inputs=, or trials= with shapes=")
    given = as_sequence(inputs)
    names = names_of(f, given)
    bound = _bound(given, eps) if tol is None else tol
    runs = [_run(h, given, order, gradient, seed) for h in (f, g)]
    sloped = [name for name, x in zip(names, given, strict=True) if x is not None and array_of(x).dtype.kind == "f"]
    said = ["y", *(f"d{name}" for name in sloped), *(f"Hv {name}" for name in sloped), "Jv"]
    rows = zip(said, runs[0].values, runs[1].values, runs[0].moves, runs[1].moves, strict=False)
    quantities = [_held(*row, bound, tol is not None) for row in rows]
    for label, run in zip(labels, runs, strict=True):
        if not run.repeats:
            quantities[0] = replace(quantities[0], note=f"!{label} gives another result when called again")
    overflow = next(filter(None, (overflowed(h, given) for h in (f, g))), "")
    if overflow:
        quantities[0] = replace(quantities[0], note=OVERFLOWED)
    subject = (f, g, [None if x is None else np.array(array_of(x)) for x in given])
    report = Comparison(labels, tuple(quantities), (runs[0].cost, runs[1].cost), order, subject=subject)
    reasons = (overflow,) if overflow else () if report else _likely(f, g, given, report)
    return replace(report, reasons=reasons)


def _likely(f: Function, g: Function, given: Sequence[Any], report: Comparison) -> tuple[str, ...]:
    """What g's gradients look like beside f's, where the values agree and the Jacobians are small."""
    wrong = {q.name for q in report.quantities if not q.ok}
    arrays: list[Any] = [None if x is None else array_of(x) for x in given]
    sloped = [k for k, x in enumerate(arrays) if x is not None and x.dtype.kind == "f"]
    (y, pull_f), (_, pull_g) = (of_tensors(h).at(arrays) for h in (f, g))
    entries = y.size * sum([int(arrays[k].size) for k in sloped])
    if "y" in wrong or not 0 < entries <= MANY:
        return ()
    units = np.eye(y.size).reshape(-1, *y.shape)
    rows = [[pull(unit.astype(y.dtype)) for unit in units] for pull in (pull_f, pull_g)]
    names, found = names_of(f, given), []
    values = {names[k]: arrays[k] for k in sloped}
    for at, k in enumerate(sloped):
        if f"d{names[k]}" not in wrong:
            continue
        shape = arrays[k].shape + y.shape
        numeric, analytic = (np.stack([row[at] for row in side], axis=-1).reshape(shape) for side in rows)
        said = diagnose(Evidence(names[k], analytic, numeric, arrays[k], y, values))
        found.append(f"d{names[k]} of {report.labels[1]} beside {report.labels[0]}: {said or 'no simple pattern'}")
    if not found and wrong and all(name.startswith(("Hv", "Jv")) for name in wrong):
        found.append(CONSTANT)
    return tuple(found)


@dataclass(frozen=True)
class _Trial:
    """One random case: the inputs, and the words to find it again."""

    inputs: list[Any]
    seed: int
    kind: str

    @property
    def size(self) -> int:
        return sum(array_of(x).size for x in self.inputs if x is not None)

    def __str__(self) -> str:
        shapes = ", ".join(str(array_of(x).shape) for x in self.inputs)
        dtypes = " and ".join(sorted({str(array_of(x).dtype) for x in self.inputs}))
        return f"shapes {shapes}, {dtypes}, {self.kind} data, seed {self.seed}"


def _trials(count: int, sets: Sequence[Shapes], dtypes: Sequence[str], seed: int, draw: Draw | None) -> list[_Trial]:
    """`count` random cases; the first go through all combinations of shapes and dtypes in turn."""
    combinations = [(shapes, dtype) for shapes in sets for dtype in dtypes]
    if not combinations:
        raise ValueError("compare: trials= needs shapes=[[one shape per argument], ...], or inputs= to take them from")
    found = []
    for k in range(count):
        rng = np.random.default_rng((seed, k))
        shapes, dtype = combinations[k % len(combinations)]
        if draw is not None:
            found.append(_Trial(list(draw(rng, shapes, dtype)), k, "drawn"))
        else:
            kind = ("ordinary", "far from zero", "partly constant", "small whole")[int(rng.integers(4))]
            found.append(_Trial([_data(rng, shape, kind).astype(dtype) for shape in shapes], k, kind))
    return found


def _data(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    x = rng.normal(size=shape)
    if kind == "far from zero":
        x += 10.0 ** rng.uniform(0, 3) * rng.choice([-1, 1])
    if kind == "partly constant" and x.size and x.ndim:
        x[..., 0] = rng.normal()
    return np.round(3 * x) if kind == "small whole" else x


def _bound(inputs: Sequence[Any], eps: float) -> float:
    """How far apart two right implementations may be on these inputs: see `compare`."""
    worst, unit = 1e-12, FLOAT64_EPS
    for x in (array_of(x) for x in inputs if x is not None):
        if x.dtype.kind != "f" or not x.size:
            continue
        unit = max(unit, float(np.finfo(x.dtype).eps))
        if x.ndim >= 2:
            a = x.astype(np.float64)
            spread = np.sqrt(a.var(axis=0) + eps)
            ratio = np.abs(a.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
            far = 4.5 * FLOAT64_EPS * (1 + float(np.max(ratio, initial=0.0)))
            worst = max(worst, far, 1e-11 if len(a) == 2 else 0.0)
    return worst * unit / FLOAT64_EPS


@dataclass(frozen=True)
class _Run:
    """What one implementation gave."""

    values: list[Array]  # y, its gradients, their products
    moves: list[Array]  # how far the last bit of the inputs moves each
    cost: Cost
    repeats: bool  # the same values when called again


def _run(f: Function, inputs: Sequence[Any], order: int, gradient: Any, seed: int) -> _Run:
    values, *others = [_derivatives(f, inputs, order, gradient, seed, nudge) for nudge in range(NUDGES + 1)]
    with np.errstate(invalid="ignore"):
        moves = [np.max([np.abs(value - other[k]) for other in others], axis=0) for k, value in enumerate(values)]
    again = value_of(f, leaves_of(inputs))
    return _Run(values, moves, cost(again), np.array_equal(values[0], again._array, equal_nan=True))


def _derivatives(f: Function, inputs: Sequence[Any], order: int, gradient: Any, seed: int, nudge: int) -> list[Array]:
    """The values, gradients and Hessian-vector products; with a nudge, of inputs that are moved by one bit."""
    rng = np.random.default_rng((seed, 0x6D696E69))  # a stream of its own: an input drawn with `seed` must not return
    noise = np.random.default_rng((seed, nudge))

    def moved(x: Any) -> Any:
        return nudged(x, noise) if nudge else x

    leaves = leaves_of([moved(x) for x in inputs])
    y = value_of(f, leaves)
    xs = [x for x in leaves if x is not None and x.requires_grad]
    found = [y]
    if order and xs:
        cotangent = rng.normal(size=y.shape) if gradient is None else array_of(gradient)
        start = Tensor(moved(cotangent.astype(y.dtype)), requires_grad=True)
        slopes = gradients_of(y, xs, start, create_graph=order == 2)
        found += slopes
        if order == 2:
            products = [(d * moved(rng.normal(size=d.shape).astype(d.dtype))).sum() for d in slopes]
            found += gradients_of(sum(products[1:], start=products[0]), [*xs, start])
    return [x._array for x in found]


def _largest(a: Array) -> float:
    finite = a[np.isfinite(a)]
    return float(np.max(np.abs(finite), initial=0.0))


def _jumps(moved: Array, size: float) -> npt.NDArray[np.bool_]:
    """Elements that one bit of the inputs moves far while it leaves most others alone: they lie at a kink."""
    if not moved.size:
        return np.zeros(moved.shape, bool)
    jumps: npt.NDArray[np.bool_] = (moved > JUMP * size) & (moved > 1e4 * np.median(moved)) | ~np.isfinite(moved)
    return jumps


def _held(name: str, x: Array, y: Array, x_moves: Array, y_moves: Array, bound: float, strict: bool) -> Quantity:
    """Two arrays, and how far one bit of the inputs moves each, as one row of the report."""
    if x.shape != y.shape or x.dtype != y.dtype:
        return Quantity(name, np.nan, np.nan, np.inf, bound, f"!{x.shape} {x.dtype} / {y.shape} {y.dtype}")
    strange = ~np.isfinite(x) | ~np.isfinite(y)
    if not np.array_equal(x[strange], y[strange], equal_nan=True):
        return Quantity(name, np.nan, np.nan, np.inf, bound, "!NaN or infinity in one")
    x, y, moved = x[~strange], y[~strange], np.maximum(x_moves, y_moves)[~strange]
    jumps = _jumps(moved, max(_largest(x), _largest(y))) if not strict else np.zeros(x.shape, bool)
    x, y, moved = x[~jumps], y[~jumps], moved[~jumps]
    size, difference = max(_largest(x), _largest(y)), _largest(x - y)
    floor = 0.0 if strict else SENSITIVITY * _largest(moved)
    notes = [f"{int(jumps.sum())} at a kink not judged"] if jumps.any() else []
    notes += ["NaN or inf in both"] if strange.any() else []
    notes += ["no more than rounding"] if 0 < size <= floor else []
    note = ", ".join(["yes", *notes]) if notes else ""
    error, bound = (difference / size, max(bound, floor / size)) if size else (0.0, bound)
    return Quantity(name, size, difference, error, bound, note)


def check_registration(op: Extension) -> None:
    """What `primitive(..., check_against=composed, example=inputs)` asks for when the rules are given; or ValueError.

    First against numerical derivatives, which locate the mistake and name its kind; then the two against each other,
    values, gradients and Hessian-vector products.
    """
    composed = op.check_against
    if composed is None:
        return
    inputs = as_sequence(op.example)
    located = gradcheck(op.call, inputs, order=2)
    if not located:
        raise ValueError(f"{op.name} has a wrong rule, and was not registered\n{located}")
    labels = (op.name, getattr(composed, "__name__", "the other"))
    compared = compare(op.call, composed, inputs, order=2, labels=labels)
    if not compared:
        raise ValueError(f"{op.name} is not what it is checked against, and was not registered\n{compared}")
