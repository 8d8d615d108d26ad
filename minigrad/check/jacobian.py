"""Analytic derivatives beside numerical ones, entry by entry or projected: what gradcheck judges.

How much two of them may differ is worked out here, from three sources of error: the step of the differences, the
rounding in the values, and the rounding in the analytic derivative itself; the last two are seen by moving every
input by one bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..backward import grad
from ..context import no_grad
from ..tensor import Tensor
from .arguments import SENSITIVITY, Function, leaves_of, nudged, value_of
from .numerical import FloatArray, Slope, best_step, elements, slope

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


class Case:
    """One function at one point: its arguments, values, analytic Jacobians, and how far rounding moves them."""

    def __init__(
        self, f: Function, arrays: Sequence[FloatArray], names: Sequence[str], order: int, rng: np.random.Generator
    ) -> None:
        self.f, self.arrays, self.names, self.order, self.rng = f, arrays, names, order, rng
        points = [arrays, *([nudged(x, rng) for x in arrays] for _ in range(NUDGES))]
        self.leaves = [leaves_of(point) for point in points]
        self.values = [value_of(f, leaves) for leaves in self.leaves]
        self.y = self.values[0]
        # rounding in the values, as one bit of the inputs shows it
        self.blur = SENSITIVITY * np.max([np.abs(self.y._array - z._array) for z in self.values[1:]], axis=0)
        self.cotangent = rng.normal(size=self.y.shape)

    @property
    def size(self) -> int:
        """Entries of all Jacobians together."""
        return self.y.size * sum(x.size for x in self.arrays)

    def evaluate(self, k: int, step: FloatArray) -> FloatArray:
        """The values of f with argument k moved by `step`."""
        moved = [x + step if j == k else x for j, x in enumerate(self.arrays)]
        with no_grad():
            return np.array(value_of(self.f, leaves_of(moved))._array)

    def pulled(self, cotangent: FloatArray) -> list[list[FloatArray]]:
        """The analytic gradients for one cotangent: at the point itself, and at each of those one bit away."""
        return [_gradients(y, leaves, cotangent) for y, leaves in zip(self.values, self.leaves, strict=True)]

    @cached_property
    def jacobians(self) -> list[tuple[FloatArray, float]]:
        """For each argument dy_i/dx_j, of shape (y.size, *x.shape), and how far rounding moves any entry of it."""
        found = [[np.zeros((self.y.size, *x.shape)) for x in self.arrays] for _ in self.values]
        for i, unit in enumerate(np.eye(self.y.size)):
            for point, rows in zip(found, self.pulled(unit.reshape(self.y.shape)), strict=True):
                for jacobian, row in zip(point, rows, strict=True):
                    jacobian[i] = row
        exact, *moved = found
        floors = [max(_largest(exact[k] - other[k]) for other in moved) for k in range(len(exact))]
        return [(jacobian, SENSITIVITY * floor) for jacobian, floor in zip(exact, floors, strict=True)]

    def step(self, k: int) -> float:
        """The step for differences in argument k, chosen along a random direction."""
        direction = self.rng.normal(size=self.arrays[k].shape)
        return best_step(lambda t: self.evaluate(k, t * direction))

    def usable(self) -> list[int]:
        """Arguments with anything to differentiate."""
        return [k for k, x in enumerate(self.arrays) if x.size and self.y.size]


def _gradients(y: Tensor, leaves: Sequence[Tensor], cotangent: FloatArray) -> list[FloatArray]:
    if not y.requires_grad:
        return [np.zeros(x.shape) for x in leaves]
    return [d._array for d in grad(y, leaves, gradient=cotangent)]


def _largest(a: FloatArray) -> float:
    finite = a[np.isfinite(a)]
    return float(np.max(np.abs(finite), initial=0.0))


def projected(case: Case, rtol: float, atol: float) -> list[Element]:
    """One random projection per argument: <cotangent, J direction>."""
    found = []
    exact, *moved = case.pulled(case.cotangent)
    for k in case.usable():
        direction = case.rng.normal(size=case.arrays[k].shape)

        def along(t: float, k: int = k, direction: FloatArray = direction) -> FloatArray:
            return case.evaluate(k, t * direction)

        got = slope(along, best_step(along), case.blur)
        analytic = float(np.sum(exact[k] * direction))
        numeric = float(np.sum(got.value * case.cotangent))
        error = float(np.sum(got.error * np.abs(case.cotangent)))
        floor = SENSITIVITY * max(abs(analytic - float(np.sum(other[k] * direction))) for other in moved)
        allowed = (rtol + atol) * abs(numeric) + error + floor
        kink = bool(got.kink.any())
        found.append(Element(case.order, case.names[k], None, None, analytic, numeric, allowed, kink))
    return found


def entries(case: Case, rtol: float, atol: float) -> list[Element]:
    """Every entry of every Jacobian, and the gradient for one random cotangent, which must be their combination."""
    found = []
    combined = case.pulled(case.cotangent)[0]
    for k in case.usable():
        h = case.step(k)
        jacobian, floor = case.jacobians[k]
        slopes = [(index, _along_one(case, k, index, scale, h)) for index, scale in elements(case.arrays[k])]
        largest = max(_largest(s.value) for _, s in slopes)
        label = (case.order, case.names[k])
        part, combinations = [], []
        for index, got in slopes:
            column = np.moveaxis(jacobian, 0, -1)[index].reshape(case.y.shape)
            allowed = rtol * np.abs(got.value) + atol * largest + got.error + floor
            part += [
                Element(*label, index, i, float(column[i]), float(got.value[i]), float(allowed[i]), bool(got.kink[i]))
                for i in np.ndindex(case.y.shape)
            ]
            weight = np.abs(case.cotangent)
            numeric, error = float(np.sum(got.value * case.cotangent)), float(np.sum(allowed * weight))
            analytic, kink = float(combined[k][index]), bool(got.kink.any())
            combinations.append(Element(*label, index, None, analytic, numeric, error, kink))
        found += part
        if all(e.ok or e.kink for e in part):  # else the combination is wrong for the same reason
            found += combinations
    return found


def _along_one(case: Case, k: int, index: tuple[int, ...], scale: float, h: float) -> Slope:
    """The numerical derivative of all outputs by one element."""

    def moved(t: float) -> FloatArray:
        step = np.zeros_like(case.arrays[k])
        step[index] = t * scale
        return case.evaluate(k, step)

    got = slope(moved, h, case.blur)
    return Slope(got.value / scale, got.error / scale, got.kink)
