"""A recorded step: a Program that also writes `.grad`, and what differs between two recordings of one step."""

from __future__ import annotations

from dataclasses import dataclass, field

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

    followed: arrays around the step, which a replay reads where they are, may hold something else.
    """
    partner: dict[Value, Value] = {}
    if followed:
        constants = {v.source is not None and id(v.source): v for v in a.values() if v.kind == "constant"}
        theirs = [v for v in b.values() if v.kind == "constant" and v.source is not None]
        partner = {constants[id(v.source)]: v for v in theirs if id(v.source) in constants}
    if text := changed.difference(a, b, partner):
        return text
    if {v.source for v in a.gradients} != {v.source for v in b.gradients}:
        return "gradients were left with other tensors the second time"
    return changed.changed(a.template, b.template, partner) and "it returned something else"
