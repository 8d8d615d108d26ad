"""Holding both sides of a step against each other: exactly modulo 2**31 - 1, in float64, and in float32 for digits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..program.modular import P, power
from .reading import Forward
from .rules import is_bit, positive
from .terms import ONE, Term, make, total
from .values import Array, Exact, Floats, Point, relative

CLOSE = 1e-12  # the largest difference in float64, of the largest number around, where a step is right


class Checker:
    """Points at which the terms of one derivation are evaluated.

    Two random ones in float64, of small lengths, as the hypotheses have them; one of the field; and the inputs that
    were given, in float64 and in float32.
    """

    def __init__(self, forward: Forward, seed: int = 0) -> None:
        self.forward = forward
        rng = np.random.default_rng(seed)
        self.trials = [Point(Floats(), forward.small, self._trial(rng, k)) for k in range(3)]
        self.field = Exact(seed)
        self.exact = Point(self.field, forward.small, self._field_inputs(rng))
        given = {t: forward.whole(a, t, forward.lengths) for t, a in forward.given.items()}
        g = forward.gradient
        given[g] = forward.whole(np.asarray(rng.normal(size=forward.given[g].shape)), g, forward.lengths)
        self.given = given

    def _shape(self, t: Term) -> tuple[int, ...]:
        return tuple([n if k in t.axes else 1 for k, n in enumerate(self.forward.small)])

    def _names(self) -> list[Term]:
        return [*self.forward.inputs, self.forward.gradient]

    def _sums_to_one(self, t: Term) -> tuple[int, ...] | None:
        """The axes over which the sum of an input is 1, by hypothesis."""
        return next(
            (f.par for f, v in self.forward.facts.items() if v is ONE and f.op == "sum" and f.args == (t,)), None
        )

    def _held(self, t: Term) -> Array | None:
        """Labels and masks, which stay what they are."""
        a = self.forward.small_labels[t]
        return None if a.dtype.kind == "f" else self.forward.whole(a, t, self.forward.small)

    def _trial(self, rng: np.random.Generator, k: int) -> dict[Term, Array]:
        found = {}
        for t in self._names():
            axes, held = self._sums_to_one(t), self._held(t)
            a = rng.normal(size=self._shape(t)) + 0.5 * k
            a = np.abs(a) + 0.1 if k == 1 or axes or positive(t, self.forward) else a
            a = a / a.sum(axis=axes, keepdims=True) if axes else a
            a = (a > 0.5).astype(float) if is_bit(t, self.forward) else a
            found[t] = a if held is None else held
        return found

    def _field_inputs(self, rng: np.random.Generator) -> dict[Term, Array]:
        found = {}
        for t in self._names():
            axes, held = self._sums_to_one(t), self._held(t)
            a = rng.integers(0, 2 if is_bit(t, self.forward) else P, self._shape(t))
            a = a * power(a.sum(axis=axes, keepdims=True) % P, -1) % P if axes else a
            found[t] = a if held is None else held.astype(np.int64)
        return found

    def exactly(self, pairs: Iterable[tuple[Term, Term]]) -> int:
        """At how many points both sides are the same in the field; 0 where they differ at one."""
        points = 0
        for a, b in pairs:
            x, y = np.broadcast_arrays(self.exact.at(a), self.exact.at(b))
            if not (x == y).all():
                return 0
            points += x.size
        return points

    def difference(self, pairs: Iterable[tuple[Term, Term]]) -> float:
        """The largest difference in float64, of the largest number around."""
        worst = 0.0
        for a, b in pairs:
            for at in self.trials:
                parts = [float(np.nanmax(np.abs(v), initial=0)) for x in a.args if (v := at.at(x)).dtype.kind == "f"]
                finite = [v for v in parts if np.isfinite(v)]
                worst = max(worst, relative(at.at(a), at.at(b), max(finite, default=0.0)))
        return worst

    def digits(self, roots: Iterable[Term], recorded: Iterable[Term]) -> tuple[float, ...]:
        """The largest relative error of an element of each formula, computed in float32 at the given inputs."""
        right = Point(Floats(), self.forward.lengths, self.given)
        narrow: dict[Term, Array] = {t: _narrow(a) for t, a in self.given.items()}
        near, worst = Point(Floats(np.float32), self.forward.lengths, narrow), list[float]()
        with np.errstate(all="ignore"):
            for a, first in zip(roots, recorded, strict=True):
                exact, got = np.broadcast_arrays(right.at(first), near.at(a))
                there = np.isfinite(exact) & (np.abs(exact) > 1e-30)
                error = np.abs(got - exact)[there] / np.abs(exact[there])
                worst.append(float(np.nan_to_num(error, nan=np.inf).max(initial=0)))
        return tuple(worst)


def _narrow(a: Any) -> Array:
    narrow: Array = a.astype(np.float32) if a.dtype.kind == "f" else a
    return narrow


def assumptions(forward: Forward, assume: dict[str, str]) -> dict[Term, Term]:
    """What the user assumes as facts: {term: what it is equal to}. A table of forms; nothing is evaluated."""
    names = {t.name: t for t in forward.inputs}
    facts: dict[Term, Term] = {}
    for name, text in assume.items():
        if name not in names:
            raise ValueError(f"assume: there is no input {name!r}; there are {', '.join(names)}")
        for form in text.split(" and "):
            facts |= _form(forward, names[name], form.strip())
    return facts


def _form(forward: Forward, t: Term, form: str) -> dict[Term, Term]:

    last = next((k for k in reversed(forward.layout[t]) if k is not None), None)
    if form == "sums to 1" and last is not None:
        return {total(t, (last,)): ONE}
    if form in ("is 0 or 1", "is positive"):
        return {make("bit" if form == "is 0 or 1" else "positive", (t,)): ONE}
    raise ValueError(
        f"assume: {form!r} is not known of {t.name}; expected 'sums to 1' (over its last axis), 'is 0 or 1' or "
        "'is positive', several joined by ' and '"
    )
