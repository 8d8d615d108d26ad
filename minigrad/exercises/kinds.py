"""What an exercise is: a forward pass that is given, rules to write, and the mistakes that are known.

A learner's functions and the solution's are called in the same way, on arrays or on Tensors, and give a dict of named
gradients. A known mistake is a formula too, one of `wrong` or a flag of `variant`: what it would give is computed, so
a mistake is found by comparing numbers, never by reading the learner's text. What none of them gives is for the
checker's diagnosis, so an exercise without any known mistakes is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from .._support.shapes import stretched
from ..core.nodes import Node

Array: TypeAlias = Any
Functions: TypeAlias = Mapping[str, Callable[..., Any]]
Answers: TypeAlias = dict[str, Any]


class Unfit(Exception):
    """What the learner's functions returned cannot be judged: the wrong type, number or shape."""


@dataclass(frozen=True)
class Case:
    """A point to check at: inputs, parameters, and the gradient that arrives."""

    inputs: tuple[np.ndarray[Any, Any], ...]
    params: dict[str, Any]
    cotangent: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    text        what `start` writes, without its first and last lines
    kernel      the forward pass, in NumPy: `(*inputs, /, **params)`
    solution    the functions to write, by name, as a learner would write them
    cases       the points to check at, of two sizes: `case` makes one
    wrong       wrong answers, each by what to say of it: functions as in `solution`, those that are right left out
    variant     `(wrong, g, *inputs, **params) -> answers` with the mistakes in `wrong` made; none of them: the solution
    mistakes    the mistakes that `variant` makes, alone and in pairs, and what to say of each
    ladder      for each step three hints: a question, the idea, the line
    edges       special points, in words, where a solution must hold as well
    asks        the functions to write, each with the names of its parameters
    steps       the gradients asked for, in the order in which they are worked out
    gradients   which of them belongs to each input
    in_order    whether later steps follow from earlier ones, so that only the first wrong one is told
    shape_of    for a step that is no gradient of an input: the input that has its shape
    sums        whether a gradient that is too large is summed down to its input, as the engine does for every rule
    """

    name: str
    title: str
    text: str
    kernel: Callable[..., Any]
    solution: Functions
    cases: tuple[Case, ...]
    wrong: Mapping[str, Functions] = field(default_factory=dict)
    variant: Callable[..., Answers] | None = None
    mistakes: Mapping[str, str] = field(default_factory=dict)
    ladder: Mapping[str, Sequence[str]] = field(default_factory=dict)
    edges: tuple[tuple[str, Case], ...] = ()
    inputs: tuple[str, ...] = ("x",)
    asks: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"rule": ("g", "out", "x")})
    steps: tuple[str, ...] = ("dx",)
    gradients: tuple[str, ...] = ("dx",)
    in_order: bool = False
    shape_of: Mapping[str, str] = field(default_factory=dict)
    sums: bool = True

    def answers(self, functions: Functions, g: Array, out: Array, inputs: Sequence[Array], **params: Any) -> Answers:
        """What the functions give for one cotangent, by the names of the steps; Unfit where that is not so."""
        if "backward" in functions:
            named = functions["backward"](g, *inputs, *params.values())
            if not isinstance(named, dict) or set(named) != set(self.steps):
                said = f"a dict with {', '.join(map(str, named))}" if isinstance(named, dict) else type(named).__name__
                raise Unfit(f"backward must return a dict with {', '.join(self.steps)}; it returned {said}")
        else:
            saved = (functions["save"](*inputs, *params.values()),) if "save" in functions else ()
            given = functions["rule"](g, out, *saved, *inputs, *params.values())
            several = given if isinstance(given, tuple) else (given,)
            if len(several) != len(self.gradients):
                raise Unfit(f"rule must return {', '.join(self.gradients)}; it returned {len(several)} value(s)")
            named = dict(zip(self.gradients, several, strict=True))
        return {step: self._fit(step, named[step], inputs) for step in self.steps}

    def _fit(self, step: str, d: Any, inputs: Sequence[Array]) -> Any:
        """`d` summed down to the shape that it must have, as the engine does for every rule."""
        like = self.shape_of.get(step) or self.inputs[self.gradients.index(step)]
        shape = inputs[self.inputs.index(like)].shape
        if not hasattr(d, "shape") or not hasattr(d, "sum"):
            raise Unfit(f"{step} must be an array of the shape of {like}, {shape}; it is {type(d).__name__}")
        if isinstance(d, Node) and not any(isinstance(x, Node) for x in inputs):
            raise Unfit(f"{step} is a Tensor, but arrays were given: compute with what comes in, arrays or Tensors")
        if d.dtype.kind not in "fiub":
            raise Unfit(f"{step} must hold real numbers; it holds {d.dtype}")
        axes = stretched(d.shape, shape)
        if axes is None or (axes and not self.sums):
            raise Unfit(f"{step} has shape {d.shape}, but {like} has shape {shape}{_mended(d.shape, shape)}")
        return d.sum(axis=axes).reshape(shape) if axes else d


def _mended(theirs: tuple[int, ...], right: tuple[int, ...]) -> str:
    """What would make one shape of the other: what was broadcast is summed, what was summed is broadcast."""
    axes = stretched(theirs, right)
    if axes:
        over = axes[0] if len(axes) == 1 else tuple(axes)
        return f": what was broadcast is summed, here over axis {over}"
    if stretched(right, theirs):
        return ": what was summed is broadcast, so that each element of the sum receives its part"
    return ""


def case(seed: int, shapes: Sequence[tuple[int, ...]], out: tuple[int, ...], **params: Any) -> Case:
    """Random inputs of these shapes, the first with a mean that is not zero, and a cotangent of shape `out`."""
    rng = np.random.default_rng(seed)
    first, *others = (rng.normal(size=shape) for shape in shapes)
    return Case((2.0 * first + 0.5, *(a + 0.25 for a in others)), params, np.array(rng.normal(size=out)))
