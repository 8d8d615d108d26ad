"""From wrong numbers to the mistake that gives them. Knows nothing of how the learner wrote their functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .kinds import Answers, Case, Exercise, Functions

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
    if exercise.variant is None:
        return answered(exercise, exercise.solution, case)
    with np.errstate(all="ignore"):
        return exercise.variant(wrong, case.cotangent, *case.inputs, **case.params)


def answered(exercise: Exercise, functions: Functions, case: Case) -> Answers:
    """What functions give at a case; they get arrays of their own, which cannot be written."""
    arrays = [x.copy() for x in case.inputs]
    g, out = np.array(case.cotangent), np.array(exercise.kernel(*case.inputs, **case.params))
    for a in (*arrays, g, out):
        a.flags.writeable = False
    with np.errstate(all="ignore"):
        answers = exercise.answers(functions, g, out, arrays, **case.params)
    return {step: np.asarray(d, dtype=float) for step, d in answers.items()}


def wrong_steps(exercise: Exercise, given: Sequence[Answers], cases: Sequence[Case]) -> list[str]:
    """The steps that differ from the solution's anywhere, in their order."""
    right = [expected(exercise, case) for case in cases]
    return [s for s in exercise.steps if not all(same(a[s], b[s]) for a, b in zip(given, right, strict=True))]


def hints(
    exercise: Exercise, given: Sequence[Answers], diagnosed: Callable[[str, Case], str | None]
) -> list[tuple[str, str]]:
    """(step, what is wrong with it) for each wrong step; where it is right for some cases only, it says so.

    `diagnosed`: the checker's diagnosis of a step at a case, where its numbers are those of no known mistake.
    """
    wrong = wrong_steps(exercise, given, exercise.cases)
    told = wrong[:1] if exercise.in_order else wrong
    known = _explanations(exercise, given, wrong, told)
    found = []
    for step in told:
        at = [c for c, a in zip(exercise.cases, given, strict=True) if step in wrong_steps(exercise, [a], [c])]
        text = known.get(step) or diagnosed(step, at[0]) or UNKNOWN
        if step not in known and len(at) < len(exercise.cases):
            text = f"right for some sizes and wrong for others (is a size written as a number?): {text}"
        found.append((step, text))
    return found


def _explanations(
    exercise: Exercise, given: Sequence[Answers], wrong: Sequence[str], told: Sequence[str]
) -> dict[str, str]:
    """For each step what is said of the known mistakes, one or two of them together, that give exactly its numbers.

    Of several the one that explains most of the wrong steps: a wrong eps shows in more than one.
    """
    found: dict[str, str] = {}
    for together in (1, 2):
        if all(step in found for step in told):
            break
        fits: dict[str, set[str]] = {}
        for flags in itertools.combinations(exercise.mistakes, together):
            words = "; and ".join(exercise.mistakes[flag] for flag in flags)
            made = [expected(exercise, case, frozenset(flags)) for case in exercise.cases]
            fits.setdefault(words, set()).update(_explained(given, made, wrong))
        for words, functions in exercise.wrong.items() if together == 1 else ():
            made = [answered(exercise, {**exercise.solution, **functions}, case) for case in exercise.cases]
            fits[words] = _explained(given, made, wrong)
        for step in told:
            ranked = sorted((words for words in fits if step in fits[words]), key=lambda words: -len(fits[words]))
            if ranked and step not in found:  # sorted keeps the order of equals: as listed
                found[step] = ranked[0]
    return found


def _explained(given: Sequence[Answers], made: Sequence[Answers], steps: Sequence[str]) -> set[str]:
    return {s for s in steps if all(same(a[s], b[s]) for a, b in zip(given, made, strict=True))}
