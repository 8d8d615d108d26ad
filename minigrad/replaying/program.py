"""A recorded step: a Program that also writes `.grad`, and what differs between two recordings of one step."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.nodes import Node
from ..program import Instruction, Program, Value
from ..program.unequal import unequal


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
    for x, y in zip(a.instructions, b.instructions, strict=False):
        where = f"{x.name}{_at(x)}"
        if (x.kind, x.name, x.op) != (y.kind, y.name, y.op):
            return f"{where} came first, {y.name}{_at(y)} in its place the second time"
        if x.function != y.function:
            return f"{where} was another function the second time"
        text = unequal((x.inputs, x.params), (y.inputs, y.params), partner)
        if text:
            return f"{where} was given {text}"
        for v, w in zip(x.outputs, y.outputs, strict=True):
            if v.array.shape != w.array.shape or v.array.dtype != w.array.dtype:
                return f"{where} gave shape {v.array.shape} first and {w.array.shape} the second time"
            partner[v] = w
    if len(a) != len(b):
        return f"there were {len(a)} operations first and {len(b)} the second time"
    if {v.source for v in a.gradients} != {v.source for v in b.gradients}:
        return "gradients were left with other tensors the second time"
    return unequal(a.template, b.template, partner) and "it returned something else"


def _at(i: Instruction) -> str:
    return f" (line {i.line[1]} of {i.line[0]})" if i.line else ""
