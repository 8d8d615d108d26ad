"""An exercise that a teacher adds in one file: read it, and hold the exercise itself against what exercises promise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .hints import answered, hints
from .judging import judge
from .kinds import Exercise, Unfit
from .learner import Failed, failure, read

HINTS = 3


@dataclass(frozen=True)
class Verified:
    """What was found about an exercise itself: what is wrong with it, and what was looked at. True if nothing is."""

    exercise: Exercise
    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        e = self.exercise
        if self.problems:
            return "\n".join([f"{e.name}: this exercise is not right yet", *(f"  {text}" for text in self.problems)])
        known, steps = len(e.wrong) + len(e.mistakes), ", ".join(e.ladder) or "no step"
        told = "a known mistake, told by its" if known == 1 else f"{known} known mistakes, each told by its"
        return f"{e.name}: the solution is right to second order; {told} own words; hints for {steps}"


def load(path: Path) -> dict[str, Exercise]:
    """The exercises that a teacher's file defines, by name; Failed where the file cannot be run or has none."""
    found = {e.name: e for e in read(path).values() if isinstance(e, Exercise)}
    if not found:
        raise Failed(path, None, "defines no exercise: expected NAME = Exercise(...), from minigrad.exercises")
    return found


def verify(exercise: Exercise, path: Path) -> Verified:
    """Is the solution right to second order, does each known mistake get its own words, has each ladder its hints?

    Failed where a function of the file cannot be run.
    """
    try:
        return Verified(exercise, tuple(_problems(exercise)))
    except Unfit as unfit:
        raise Failed(path, None, f"{exercise.name}: {unfit}") from None
    except (Exception, SystemExit) as error:
        raise failure(error, path) from error


def _problems(exercise: Exercise) -> list[str]:
    missing = [name for name in exercise.asks if name not in exercise.solution]
    if missing:
        return [f"the solution has no function {missing[0]}"]
    judged = judge(exercise, exercise.solution)
    found = [] if judged else ["the solution is wrong:", *str(judged).splitlines()]
    found += [f"the ladder names {step}, which is no step" for step in exercise.ladder if step not in exercise.steps]
    for step, rungs in exercise.ladder.items():
        found += [f"the ladder of {step} has {len(rungs)} hints, expected {HINTS}"] if len(rungs) != HINTS else []
    for words, functions in exercise.wrong.items():
        mine = [answered(exercise, {**exercise.solution, **functions}, case) for case in exercise.cases]
        said = {text for _, text in hints(exercise, mine, lambda step, case: None)}
        if not said:
            found.append(f"this wrong answer gives the right numbers: {words}")
        elif words not in said:
            found.append(f"this wrong answer is taken for another ({'; '.join(sorted(said))}): {words}")
    return found
