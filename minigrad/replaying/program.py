"""A recorded step: a Program that also writes `.grad`, and what differs between two recordings of one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.nodes import Node
from ..program import Program, Value, changed


@dataclass(eq=False, repr=False)
class StepProgram(Program):
    """The program of a step. Keys of `gradients` are leaves, whose `.grad` holds that value when the step ends.

    emptied    leaves whose `.grad` must be None before it starts
    replaced   composed results: what a fused primitive gave in their place
    """

    emptied: set[Node] = field(default_factory=set)
    replaced: dict[Value, Value] = field(default_factory=dict)


def difference(a: StepProgram, b: StepProgram, followed: bool = False) -> str:
    """What differs between two recordings of one step, in words; empty where they say the same.

    followed: arrays around the step, which a replay reads where they are, may hold something else, and so may views.
    """
    partner: dict[Value, Value] = {}
    if followed:
        mine, theirs = ({_place(v.source): v for v in program.values() if _is_followed(v)} for program in (a, b))
        partner = {mine[place]: v for place, v in theirs.items() if place in mine}
    if text := changed.difference(a, b, partner):
        return text
    if {v.source for v in a.gradients} != {v.source for v in b.gradients}:
        return "gradients were left with other tensors the second time"
    return changed.changed(a.template, b.template, partner) and "it returned something else"


def _is_followed(v: Value) -> bool:
    return v.kind == "constant" and isinstance(v.source, np.ndarray)


def _place(a: np.ndarray[Any, Any]) -> Any:
    """Where an array lies and how it is read: that of the first recording is there yet, so no other can be there."""
    return a.__array_interface__["data"][0], a.shape, a.strides, a.dtype
