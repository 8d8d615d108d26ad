"""Analytic derivatives beside numerical ones, entry by entry or projected: what gradcheck judges.

How much two of them may differ is worked out here, from three sources of error: the step of the differences, the
rounding in the values, and the rounding in the analytic derivative itself; the last two are seen by moving every
input by one bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..core.context import no_grad
from .arguments import SENSITIVITY, Function, gradients_of, leaves_of, nudged, value_of
from .numerical import FloatArray, Slope, best_step, slope

TRIES = 3  # elements that get a step of their own before a rule is taken for wrong
NUDGES = 3  # how often the inputs are moved by one bit to see the rounding
Pull = Callable[[FloatArray], list[FloatArray]]


class Subject(NamedTuple):
    """What is checked, on bare arrays: its values, and its values with their pull (cotangent -> all gradients)."""

    value: Callable[[Sequence[Any]], FloatArray]
    at: Callable[[Sequence[Any]], tuple[FloatArray, Pull]]


def of_tensors(f: Function) -> Subject:
    """A function of Tensors."""

    def value(arrays: Sequence[Any]) -> FloatArray:
        with no_grad():
            return np.array(value_of(f, leaves_of(arrays))._array)

    def at(arrays: Sequence[Any]) -> tuple[FloatArray, Pull]:
        leaves = leaves_of(arrays)
        y = value_of(f, leaves)
        return y._array, lambda cotangent: [d._array for d in gradients_of(y, leaves, cotangent)]

    return Subject(value, at)


def gradients_in_one(subject: Subject) -> Callable[[Sequence[Any]], FloatArray]:
    """(*inputs, cotangent) -> all gradients of a subject in one long vector, as its rules give them on arrays."""

    def value(arrays: Sequence[Any]) -> FloatArray:
        *inputs, cotangent = arrays
        _, pull = subject.at(inputs)
        return np.concatenate([np.ravel(d) for d in pull(cotangent)])

    return value


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
    skipped: str = ""  # why it was not judged: differences of values do not tell a derivative here

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
    def ok(self) -> bool:
        """Equal as far as the numerical derivative can tell."""
        return self.difference <= self.allowed

    @property
    def zero(self) -> bool:
        """Both are zero, as far as the numerical derivative can tell."""
        return self.ok and not self.skipped and max(abs(self.analytic), abs(self.numeric)) <= self.allowed

    @property
    def wrong(self) -> bool:
        """Judged, and not equal."""
        return not self.ok and not self.skipped

    @property
    def verdict(self) -> str:
        """What to say of it."""
        if self.skipped:
            return f"not judged: {self.skipped}"
        return "WRONG" if not self.ok else "true zero" if self.zero else "equal"


class Jacobian(NamedTuple):
    """All entries for one argument, of shape (*argument.shape, *result.shape); what was not judged is 0 in both."""

    argument: str
    analytic: FloatArray
    numeric: FloatArray
    wrong: np.ndarray[Any, Any]
    allowed: float  # the largest of what two entries may differ by
    linear: bool  # whether the gradient for a cotangent is the combination of the rows


class Case:
    """One subject at one point: its arguments, values, analytic Jacobians, and how far rounding moves them.

    `steps` are known good steps of the differences, by argument: those of a point near by.
    """

    def __init__(
        self,
        subject: Subject,
        arrays: Sequence[FloatArray],
        names: Sequence[str],
        order: int,
        rng: np.random.Generator,
        steps: dict[int, float] | None = None,
    ) -> None:
        self.subject, self.arrays, self.names, self.order, self.rng = subject, arrays, names, order, rng
        self.steps: dict[int, float] = {} if steps is None else steps
        points = [arrays, *([nudged(x, rng) for x in arrays] for _ in range(NUDGES))]
        runs = [subject.at(point) for point in points]
        self.y, self.pulls = runs[0][0], [pull for _, pull in runs]
        # rounding in the values, as one bit of the inputs shows it
        self.blur = SENSITIVITY * np.max([np.abs(self.y - z) for z, _ in runs[1:]], axis=0)
        self.cotangent = rng.normal(size=self.y.shape)
        self.jacobians: dict[int, Jacobian] = {}

    @property
    def size(self) -> int:
        """Entries of all Jacobians together."""
        return self.y.size * sum(x.size for x in self.arrays)

    def along(self, k: int, way: FloatArray) -> Callable[[float], FloatArray]:
        """t -> the values of the subject with argument k moved by t * way; NaN where it refuses to go."""

        def values(t: float) -> FloatArray:
            try:
                return self.subject.value([x + t * way if j == k else x for j, x in enumerate(self.arrays)])
            except (ArithmeticError, ValueError):  # outside its domain
                return np.full(self.y.shape, np.nan)

        return values

    def gradients(self, cotangent: FloatArray) -> list[list[FloatArray]]:
        """The analytic gradients for one cotangent: at the point itself, and at each of those one bit away."""
        return [pull(cotangent) for pull in self.pulls]

    @cached_property
    def rows(self) -> list[list[list[FloatArray]]]:
        """The analytic gradients of each output, at each point: by output, point, argument."""
        return [self.gradients(unit.reshape(self.y.shape)) for unit in np.eye(self.y.size)]

    def analytic(self, k: int) -> tuple[FloatArray, FloatArray]:
        """dy_i/dx_j of argument k, of shape (*x.shape, *y.shape), and how far one bit of the inputs moves each."""
        shape = self.arrays[k].shape + self.y.shape
        points = [np.stack([row[p][k] for row in self.rows], axis=-1).reshape(shape) for p in range(len(self.pulls))]
        moves = np.max([np.abs(points[0] - other) for other in points[1:]], axis=0)
        return points[0], np.where(np.isfinite(moves), moves, 0.0)  # a NaN is wrong, and allows nothing

    def usable(self) -> list[int]:
        """Arguments with anything to differentiate."""
        return [k for k, x in enumerate(self.arrays) if x.size and self.y.size]


def projected(case: Case, rtol: float, atol: float) -> list[Element]:
    """One random projection per argument: <cotangent, J direction>.

    Looked at along a direction as long as one, and where that does not fit, along one in proportion to the argument.
    """
    found = []
    exact, *moved = case.gradients(case.cotangent)
    for k in case.usable():
        tried: list[Element] = []
        direction = case.rng.normal(size=case.arrays[k].shape)
        for way, known in ((direction, True), (direction, False), (direction * np.abs(case.arrays[k]), False)):
            if known and k not in case.steps:
                continue
            along = case.along(k, way)
            got = slope(along, case.steps[k] if known else best_step(along), case.blur)
            analytic = float(np.sum(exact[k] * way))
            numeric = float(np.sum(got.value * case.cotangent))
            error = float(np.sum(got.error * np.abs(case.cotangent)))
            floor = SENSITIVITY * max(abs(analytic - float(np.sum(other[k] * way))) for other in moved)
            allowed = (rtol + atol) * abs(numeric) + error + floor
            skipped = _skipped(got.value, got.kink)
            tried.append(Element(case.order, case.names[k], None, None, analytic, numeric, allowed, skipped))
            if tried[-1].ok and not skipped:
                break
        # a right rule passes along some direction; a wrong one along none
        found.append(min(tried, key=lambda e: (bool(e.skipped), not e.ok)))
    return found


def entries(case: Case, rtol: float, atol: float) -> list[Element]:
    """Every entry of every Jacobian, and the gradient for one random cotangent, which must be their combination."""
    combined = case.gradients(case.cotangent)[0]
    return [e for k in case.usable() for e in _of_argument(case, k, combined[k], rtol, atol)]


def _of_argument(case: Case, k: int, combined: FloatArray, rtol: float, atol: float) -> list[Element]:
    label, x = (case.order, case.names[k]), case.arrays[k]
    jacobian, moves = case.analytic(k)
    h = case.steps[k] = best_step(case.along(k, case.rng.normal(size=x.shape)))
    slopes = {index: _along_one(case, k, index, max(1.0, abs(float(x[index]))), h) for index in np.ndindex(x.shape)}
    hopeless = 0  # how often a step of its own did not help: then the rule is wrong, and not the step
    for index, got in slopes.items():  # where the step for all does not fit one: a step of its own
        away = np.abs(jacobian[index] - got.value)
        off = away > rtol * np.abs(got.value) + got.error
        clear = hopeless >= TRIES and got.sound.all() and not (off & (away < 1e-3 * np.abs(got.value))).any()
        if (off | ~got.sound).any() and not clear:
            slopes[index] = own = _with_own_step(case, k, index)
            hopeless += bool((np.abs(jacobian[index] - own.value) > rtol * np.abs(own.value) + own.error).any())
    # for each output: its largest derivative, and how far one bit moves its derivatives, away from kinks
    rows = [(np.abs(got.value) * got.sound, np.where(got.sound, moves[i], 0.0)) for i, got in slopes.items()]
    largest, moved = (np.max([row[side] for row in rows], axis=0) for side in (0, 1))
    floor = atol * np.nan_to_num(largest) + SENSITIVITY * moved
    # what is below the rounding of a gradient cannot be seen in differences of it
    tiny = SENSITIVITY * float(np.finfo(float).eps * np.max(np.abs(case.arrays[-1]))) if case.order == 2 else 0.0
    part, combinations = [], []
    for index, got in slopes.items():
        allowed = rtol * np.abs(got.value) + got.error + floor
        for i in np.ndindex(case.y.shape):
            numbers = (float(jacobian[index][i]), float(got.value[i]), float(allowed[i]))
            lost = "below rounding" if numbers[1] == 0 and 0 < abs(numbers[0]) <= tiny else ""
            part.append(Element(*label, index, i, *numbers, lost or _skipped(got.value[i], got.kink[i])))
        numeric = float(np.sum(got.value * case.cotangent))
        error = float(np.sum((allowed + tiny) * np.abs(case.cotangent)))
        skipped = _skipped(got.value, got.kink)
        combinations.append(Element(*label, index, None, float(combined[index]), numeric, error, skipped))
    shape = jacobian.shape
    judged = np.array([not e.skipped for e in part]).reshape(shape)
    numeric_all = np.where(judged, np.array([e.numeric for e in part]).reshape(shape), 0.0)
    wrong = np.array([e.wrong for e in part]).reshape(shape)
    most = max((e.allowed for e in part if not e.skipped), default=0.0)
    linear = all(abs(e.analytic - float(np.sum(jacobian[e.index] * case.cotangent))) <= e.allowed for e in combinations)
    case.jacobians[k] = Jacobian(label[1], np.where(judged, jacobian, 0.0), numeric_all, wrong, most, linear)
    # a combination of wrong entries is wrong for the same reason
    return part if wrong.any() else part + combinations


def _skipped(value: Any, kink: Any) -> str:
    if not np.isfinite(value).all():
        return "f is not finite near by"
    return "kink" if np.any(kink) else ""


def _along_one(case: Case, k: int, index: tuple[int, ...], scale: float, h: float | None = None) -> Slope:
    """The numerical derivative of all outputs by one element, moved by steps of h * scale; None: the best steps."""
    way = np.zeros_like(case.arrays[k])
    way[index] = scale
    along = case.along(k, way)
    got = slope(along, best_step(along) if h is None else h, case.blur)
    return Slope(got.value / scale, got.error / scale, got.kink)


def _with_own_step(case: Case, k: int, index: tuple[int, ...]) -> Slope:
    """The same with the best step that this element alone can have, in proportion to it or not."""
    size = abs(float(case.arrays[k][index]))
    with np.errstate(all="ignore"):
        tried = [_along_one(case, k, index, scale) for scale in {1.0, 1e-3, size or 1.0, 1e-3 * size or 1.0}]
    return min(tried, key=lambda s: (int((~s.sound).sum()), float(np.nan_to_num(s.error).sum())))
