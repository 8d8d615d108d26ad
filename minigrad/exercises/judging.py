"""Judging a learner's functions: numbers beside the solution's, the located checker, second order, a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import numpy as np

from ..check import Gradcheck, gradcheck
from ..check.arguments import renamed
from ..check.diagnosis import diagnose
from ..check.evidence import Evidence
from ..check.table import Report
from ..core.tensor import Tensor
from ..drawing import Pair, draw_pair
from ..extend import primitive
from .hints import answered, hints, same, wrong_steps
from .kinds import Answers, Array, Case, Exercise, Functions, Unfit
from .learner import local_names


@dataclass(frozen=True, repr=False)
class Judgement(Report):
    """What was found. True if all that was asked for is right."""

    exercise: Exercise
    order: int
    hints: tuple[tuple[str, str], ...]
    located: Gradcheck | None
    second: str = ""  # what is wrong at order 2 only

    def __bool__(self) -> bool:
        return not self.hints and not self.second

    def as_data(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "exercise": self.exercise.name,
            "right": bool(self),
            "order": self.order,
            "hints": [{"step": step, "hint": text} for step, text in self.hints],
            "at_second_order": self.second or None,
        }

    def _head(self) -> str:
        name = self.exercise.name
        if self:
            return f"{name}: right" + (" to second order" if self.order == 2 else "")
        return f"{name}: not right yet" if self.hints else f"{name}: right, but not differentiable once more"

    def _remarks(self) -> list[str]:
        said = [f"{step}: {text}" for step, text in self.hints]
        first = self.hints[0][0] if self.hints else ""
        if self.exercise.in_order and first in self.exercise.steps:
            before = ", ".join(self.exercise.steps[: self.exercise.steps.index(first)])
            right = f"{before}: right" if before else "nothing comes before it"
            said.append(f"({right}; what follows {first} waits for it)")
        return [f"  {text}" for text in said or [self.second] if text]

    def _parts(self) -> list[Report]:
        # without its reasons: the hints say it better
        return [replace(self.located, reasons=())] if self.located is not None and not self.located else []


def judge(exercise: Exercise, functions: Functions, *, order: int = 2) -> Judgement:
    """Hold the functions against the solution's numbers, then against differences of values, to `order` 1 or 2.

    Unfit where what they return cannot be judged; what they raise is raised.
    """
    with np.errstate(all="ignore"):
        given = [answered(exercise, functions, case) for case in exercise.cases]
        found = hints(exercise, given, lambda step, case: _diagnosed(exercise, functions, step, case))
        wrong_at = [c for c, a in zip(exercise.cases, given, strict=True) if wrong_steps(exercise, [a], [c])]
        if not found:
            found, wrong_at = _at_edges(exercise, functions)
        op = _primitive(exercise, functions)
        where = [*wrong_at, exercise.cases[0]][0]
        f = renamed(lambda *inputs: op(*inputs, **where.params), exercise.name, exercise.inputs)
        located = gradcheck(f, list(where.inputs))
        if not found and not located:  # right numbers here, and yet not a rule: it remembers, or draws at random
            found = [("the rule", "; ".join([*located.problems, *located.reasons]))]
        if found or order == 1:
            return Judgement(exercise, order, tuple(found), located)
        try:
            located = gradcheck(f, list(where.inputs), order=2)
        except Exception as error:  # whatever the learner's code does with Tensors
            second = (
                "on Tensors, as second order needs it, it fails: "
                f"{str(error).replace(op.op.name, exercise.name)} (a rule stays differentiable if it is written with "
                "operators and functions that take Tensors; --order 1 asks for less)"
            )
            return Judgement(exercise, order, (), None, second)
        second = "" if located else "; ".join(located.reasons) or "the second derivatives are wrong"
        return Judgement(exercise, order, (), located, second)


def beside(exercise: Exercise, functions: Functions) -> Pair:
    """The learner's backward pass and the solution's as two graphs side by side, with the names that each code uses."""
    graphs = []
    for each in (functions, exercise.solution):
        case = exercise.cases[0]
        leaves = [Tensor(x, requires_grad=True, name=n) for x, n in zip(case.inputs, exercise.inputs, strict=True)]
        g = Tensor(case.cotangent, requires_grad=True, name="g")
        out = Tensor(exercise.kernel(*case.inputs, **case.params), requires_grad=True, name="out")
        with local_names(each):
            answers = exercise.answers(each, g, out, leaves, **case.params)
        for step, d in answers.items():
            if not isinstance(d, Tensor) or d.op is None:
                raise Unfit(f"{step} was not computed with minigrad's functions, so there is no graph of it to draw")
            if d.name is None:
                d.named(step)
        graphs.append(list(answers.values()))
    return draw_pair(
        graphs[0], graphs[1], labels=("yours", "the solution"), backward=False, title=f"{exercise.name}, backwards"
    )


def _diagnosed(exercise: Exercise, functions: Functions, step: str, case: Case) -> str | None:
    """The checker's diagnosis of one step, as a linear map of g: theirs beside the solution's."""
    theirs, right = (_jacobians(exercise, each, case) for each in (functions, exercise.solution))
    values = dict(zip(exercise.inputs, case.inputs, strict=True))
    like = _like(exercise, step)
    others = {name: right[d] for name, d in zip(exercise.inputs, exercise.gradients, strict=True) if d != step}
    y = np.asarray(exercise.kernel(*case.inputs, **case.params))
    once, twice = (answered(exercise, functions, replace(case, cotangent=k * case.cotangent)) for k in (1.0, 2.0))
    linear = same(twice[step], 2.0 * once[step])
    return diagnose(Evidence(like, theirs[step], right[step], values[like], y, values, others, linear=linear))


def _like(exercise: Exercise, step: str) -> str:
    """The input that has the shape of a step."""
    return exercise.shape_of.get(step) or exercise.inputs[exercise.gradients.index(step)]


def _jacobians(exercise: Exercise, functions: Functions, case: Case) -> Answers:
    """Of every step, of shape (*its shape, *the shape of g): what comes of each element of g alone."""
    units = np.eye(case.cotangent.size).reshape(-1, *case.cotangent.shape)
    rows = [answered(exercise, functions, replace(case, cotangent=unit)) for unit in units]
    return {
        step: np.stack([row[step] for row in rows], axis=-1).reshape(rows[0][step].shape + case.cotangent.shape)
        for step in exercise.steps
    }


def _at_edges(exercise: Exercise, functions: Functions) -> tuple[list[tuple[str, str]], list[Case]]:
    """What is wrong at the special points only, and at which."""
    found, at = [], []
    for words, case in exercise.edges:
        given = answered(exercise, functions, case)
        wrong = wrong_steps(exercise, [given], [case])
        found += [(step, f"right elsewhere, but wrong {words}") for step in wrong]
        at += [case] if wrong else []
    return found, at


def _primitive(exercise: Exercise, functions: Functions) -> Any:
    """The forward pass as a primitive with the learner's rule."""
    kernel: Any = exercise.kernel
    twin: Any = FunctionType(kernel.__code__, kernel.__globals__, f"your_{exercise.name}", kernel.__defaults__)
    twin.__module__ = "exercise"  # a primitive of the learner's, not one of minigrad's
    op = primitive(reads=(*exercise.inputs, "out"))(twin)

    def joint(g: Array, out: Array, saved: Any, *inputs: Array, **params: Any) -> tuple[Array, ...]:
        answers = exercise.answers(functions, g, out, inputs, **params)
        return tuple(answers[name] for name in exercise.gradients)

    op.defvjp_joint(joint)
    return op


def listed(exercises: Sequence[Exercise]) -> str:
    """One line an exercise."""
    width = max(len(e.name) for e in exercises)
    return "\n".join(f"{e.name.ljust(width)}  {e.title}" for e in exercises)
