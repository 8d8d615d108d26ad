"""What an exercise is: a forward pass that is given, rules to write, and the mistakes that are known.

A learner's functions and the solution's are called in the same way, on arrays or on Tensors, and give a dict of named
gradients. A known mistake is a formula too: `variant` computes what it would give, so a hint is found by comparing
numbers, never by reading the learner's text.
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
    """A point to check at: inputs, parameters, and N, how many values a mean is taken over."""

    inputs: tuple[np.ndarray[Any, Any], ...]
    params: dict[str, Any]
    count: int
    cotangent: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    text        what `start` writes, without its first and last lines
    kernel      the forward pass, in NumPy: `(*inputs, /, **params)`
    variant     `(wrong, g, *inputs, **params) -> answers` with the mistakes in `wrong` made; none of them: the solution
    mistakes    each known mistake and what to say of it
    edges       special points, in words, where a solution must hold as well
    asks        the functions to write, each with the names of its parameters
    steps       the gradients asked for, in the order in which they are worked out
    gradients   which of them belongs to each input
    in_order    whether later steps follow from earlier ones, so that only the first wrong one is told
    shape_of    for a step that is no gradient of an input: the input that has its shape
    """

    name: str
    title: str
    text: str
    kernel: Callable[..., Any]
    solution: Functions
    variant: Callable[..., Answers]
    mistakes: Mapping[str, str]
    cases: tuple[Case, ...]
    edges: tuple[tuple[str, Case], ...] = ()
    inputs: tuple[str, ...] = ("x",)
    asks: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"rule": ("g", "out", "x")})
    steps: tuple[str, ...] = ("dx",)
    gradients: tuple[str, ...] = ("dx",)
    in_order: bool = False
    shape_of: Mapping[str, str] = field(default_factory=dict)

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
        if axes is None:
            raise Unfit(f"{step} has shape {d.shape}, but {like} has shape {shape}")
        return d.sum(axis=axes).reshape(shape) if axes else d


def case(seed: int, shapes: Sequence[tuple[int, ...]], out: tuple[int, ...], count: int, **params: Any) -> Case:
    """Random inputs of these shapes, the first with a mean that is not zero, and a cotangent of shape `out`."""
    rng = np.random.default_rng(seed)
    first, *others = (rng.normal(size=shape) for shape in shapes)
    return Case((2.0 * first + 0.5, *(a + 0.25 for a in others)), params, count, rng.normal(size=out))
