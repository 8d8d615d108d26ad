"""From wrong numbers to the mistake that gives them. Knows nothing of how the learner wrote their functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .kinds import Answers, Case, Exercise

UNKNOWN = "no mistake that is known here gives these numbers; see where they differ below"
CLOSE = 1e-8  # of the largest element: both sides are float64, and the formulas are short


def same(a: Any, b: Any) -> bool:
    """Equal to rounding, and finite in the same places."""
    a, b = np.asarray(a), np.asarray(b)
    finite = np.isfinite(b)
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), finite):
        return False
    size = float(np.max(np.abs(b[finite]), initial=0.0))
    return bool(np.max(np.abs(a[finite] - b[finite]), initial=0.0) <= CLOSE * size)


def expected(exercise: Exercise, case: Case, wrong: frozenset[str] = frozenset()) -> Answers:
    """What the solution gives, or the solution with some mistakes made."""
    with np.errstate(all="ignore"):
        return exercise.variant(wrong, case.cotangent, *case.inputs, **case.params)


def wrong_steps(exercise: Exercise, given: Sequence[Answers], cases: Sequence[Case]) -> list[str]:
    """The steps that differ from the solution's anywhere, in their order."""
    right = [expected(exercise, case) for case in cases]
    return [s for s in exercise.steps if not all(same(a[s], b[s]) for a, b in zip(given, right, strict=True))]


def hints(
    exercise: Exercise, given: Sequence[Answers], double: Answers, diagnosed: Callable[[str], str | None]
) -> list[tuple[str, str]]:
    """(step, what is wrong with it) for each wrong step. `double` is the first case again, with twice the cotangent.

    `diagnosed`: the checker's diagnosis of a step, asked for where its numbers are those of no known mistake.
    """
    wrong = wrong_steps(exercise, given, exercise.cases)
    told = wrong[:1] if exercise.in_order else wrong
    flags = _explanations(exercise, given, wrong, told)
    found = []
    for step in told:
        if step in flags:
            text = "; and ".join(exercise.mistakes[flag] for flag in flags[step])
        else:
            text = _by_shape(exercise, given, double, step) or diagnosed(step) or UNKNOWN
        found.append((step, text))
    return found


def _explanations(
    exercise: Exercise, given: Sequence[Answers], wrong: Sequence[str], told: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """For each step the known mistakes, one or two of them together, that give exactly its numbers.

    Of several the one that explains most of the wrong steps: a wrong eps shows in more than one.
    """
    found: dict[str, tuple[str, ...]] = {}
    for together in (1, 2):
        fits: dict[tuple[str, ...], set[str]] = {}
        for flags in itertools.combinations(exercise.mistakes, together):
            made = [expected(exercise, case, frozenset(flags)) for case in exercise.cases]
            fits[flags] = {s for s in wrong if all(same(a[s], b[s]) for a, b in zip(given, made, strict=True))}
        for step in told:
            ranked = sorted((f for f in fits if step in fits[f]), key=lambda f: -len(fits[f]))  # stable: as listed
            if ranked and step not in found:
                found[step] = ranked[0]
    return found


def _by_shape(exercise: Exercise, given: Sequence[Answers], double: Answers, step: str) -> str | None:
    """No known mistake: what can be said of the numbers alone."""
    right = [expected(exercise, case)[step] for case in exercise.cases]
    theirs = [np.asarray(a[step]) for a in given]
    if not all(np.isfinite(a).all() for a in theirs):
        return "NaN or infinity comes out where the true gradient is finite"
    if not any(np.any(a) for a in theirs):
        return "it is zero everywhere"
    if same(double[step], theirs[0]):
        return "it does not depend on g: every path ends in the gradient that arrives, so g is a factor of all of it"
    if not same(double[step], 2.0 * theirs[0]):
        return "it is not linear in g: twice the gradient that arrives must give twice the result"
    factors = [float(np.sum(a * b) / np.sum(b * b)) for a, b in zip(theirs, right, strict=True)]
    explained = all(same(a, f * b) for a, f, b in zip(theirs, factors, right, strict=True))
    if explained and not np.allclose(factors, factors[0]):
        return "off by a factor that depends on the size of the data: " + ", ".join(f"{f:.6g}" for f in factors)
    return None
