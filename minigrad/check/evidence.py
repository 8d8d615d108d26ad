"""What a diagnosis looks at: two Jacobians of one argument, the values that were there, and what they are made of.

Numbers alone: nothing here knows how a rule was written.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .numerical import FloatArray

CLOSE = 1e-4  # how well a pattern must fit, relative to the largest entry
SHARE = 0.02  # ... and to the error that it is to explain
Mask = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Evidence:
    """The Jacobian that a rule gives and the true one, of shape (*x.shape, *y.shape).

    x, y: names and values of the argument and the result; values: of all inputs by name; others: the true Jacobians
    of the other arguments; noise: what two entries may differ by; linear: whether the rule is linear in g.
    """

    argument: str
    analytic: FloatArray
    numeric: FloatArray
    x: FloatArray
    y: FloatArray
    values: Mapping[str, FloatArray] = field(default_factory=dict)
    others: Mapping[str, FloatArray] = field(default_factory=dict)
    noise: float = 0.0
    linear: bool = True  # in g

    @cached_property
    def size(self) -> float:
        """The largest true entry."""
        return float(np.max(np.abs(self.numeric), initial=0.0))

    @cached_property
    def near(self) -> float:
        """How far a pattern may be from the rule's Jacobian to explain it."""
        off = float(np.max(np.abs(self.analytic - self.numeric), initial=0.0))
        largest = max(self.size, float(np.max(np.abs(self.analytic), initial=0.0)))
        return min(SHARE * off, CLOSE * largest) + 2 * self.noise

    def fits(self, guess: FloatArray) -> bool:
        """Whether the rule's Jacobian is this one."""
        return guess.shape == self.analytic.shape and bool(
            np.max(np.abs(self.analytic - guess), initial=0.0) <= self.near
        )

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """(axis of x, axis of y) that run together: y is made element by element along them, or reduced to them."""
        swapped = self.y.ndim < self.x.ndim
        small, large = (self.y.shape, self.x.shape) if swapped else (self.x.shape, self.y.shape)
        ways = [
            axes
            for axes in itertools.combinations(range(len(large)), len(small))
            if all(small[k] == large[axis] for k, axis in enumerate(axes))
        ][::-1]  # NumPy's way, from the end, first
        found = [[(axis, k) if swapped else (k, axis) for k, axis in enumerate(axes)] for axes in ways]
        clean = [pairs for pairs in found if not any(self.reaches(self.numeric, pair) for pair in pairs)]
        return (clean or found or [[]])[0]

    def apart(self, pair: tuple[int, int]) -> Mask:
        """Entries whose element of x and element of y differ along two axes that run together."""
        axes = pair[0], self.x.ndim + pair[1]
        i, j = (np.arange(self.numeric.shape[axis]) for axis in axes)
        shape = [self.numeric.shape[axis] if axis in axes else 1 for axis in range(self.numeric.ndim)]
        return np.broadcast_to((i[:, None] != j[None, :]).reshape(shape), self.numeric.shape)

    def reaches(self, jacobian: FloatArray, pair: tuple[int, int]) -> bool:
        """Whether a Jacobian has entries there."""
        across = np.abs(jacobian[self.apart(pair)])
        return bool(
            np.max(across, initial=0.0) > 1e-3 * min(self.near / CLOSE, self.size or 1.0) * 1e-3 + 4 * self.noise
        )

    @cached_property
    def across(self) -> list[tuple[int, int]]:
        """The pairs along which the true Jacobian has entries from one place to another."""
        return [pair for pair in self.pairs if self.reaches(self.numeric, pair)]

    @cached_property
    def elementwise(self) -> bool:
        """Each element of y comes from one of x."""
        return self.x.shape == self.y.shape and not self.across

    @cached_property
    def counts(self) -> set[int]:
        """How many values a sum or mean may run over: along axes that are summed, stretched or reached across."""
        paired_x, paired_y = ([pair[side] for pair in self.pairs] for side in (0, 1))
        lengths = [n for k, n in enumerate(self.x.shape) if k not in paired_x]
        lengths += [n for k, n in enumerate(self.y.shape) if k not in paired_y]
        lengths += [self.x.shape[pair[0]] for pair in self.across]
        products = {math.prod(some) for r in range(1, len(lengths) + 1) for some in itertools.combinations(lengths, r)}
        return {n for n in products if n > 1}

    def quantities(self) -> Iterator[tuple[str, FloatArray]]:
        """What a factor or a term may be, by name: the inputs, the result, and simple things of them."""
        named = {**self.values, "out": self.y}
        for name, q in named.items():
            yield name, q
        for name, q in named.items():
            yield f"{name}**2", q * q
            if np.all(q > 0):
                yield f"sqrt({name})", np.sqrt(q)
        yield "1 - out", 1.0 - self.y
        yield "1 - out**2", 1.0 - self.y * self.y
        yield "out * (1 - out)", self.y * (1.0 - self.y)

    def centred(self) -> Iterator[tuple[str, Any, FloatArray, FloatArray]]:
        """(name, axis, q - mean, variance) of every input over each of its axes and over all, dimensions kept."""
        over = tuple(pair[0] for pair in self.across)
        for name, q in self.values.items():
            axes = (*range(q.ndim), None) if q.ndim > 1 else (0,) if q.ndim else ()
            for axis in (*axes, over) if q.shape == self.x.shape and len(over) > 1 else axes:
                yield name, axis, q - q.mean(axis=axis, keepdims=True), q.var(axis=axis, keepdims=True)


def evidence_of(case: Any, k: int) -> Evidence:
    """The evidence about argument k of a case whose Jacobians are known."""
    j = case.jacobians[k]
    first = case.order == 1
    values = dict(zip(case.names, case.arrays, strict=True)) if first else {}
    others = {other.argument: other.numeric for at, other in case.jacobians.items() if at != k and first}
    return Evidence(j.argument, j.analytic, j.numeric, case.arrays[k], case.y, values, others, j.allowed, j.linear)
