"""A recorded step as plain data: values, and instructions that make values from values, in order.

Knows NumPy and primitives. How a program comes about stands in recorder.py, how it is changed in passes.py, how it
runs in lowering.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._support.arrays import mapped
from ..core.nodes import Node, Primitive

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class Value:
    """One array of a program. Values are told apart by identity.

    kind     "input" (an argument of the step), "tensor" (one from outside, read where it is), "constant", or "made"
    array    what it held while it was recorded; later only its shape, dtype and layout count
    source   the tensor from outside; the place of an input among the arguments
    """

    number: int
    kind: str
    array: Array
    source: Any = None
    name: str | None = None

    def __repr__(self) -> str:
        return {"input": "in", "tensor": "w", "constant": "c", "made": "v"}[self.kind] + str(self.number)


@dataclass(eq=False)
class Instruction:
    """One step of a program.

    kind      "op": a primitive. "rule": the joint or data-dependent rule of one, as a whole. "callback": a function of
              arrays that is no primitive, such as a check or a random draw. "update": an optimizer's step
    function  of bare arrays, `(*inputs, **params)`; gives one array for each of `outputs` (or the array, if one).
              Of an update, the optimizer
    writes    tensors from outside that it changes
    """

    kind: str
    name: str
    function: Any
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    outputs: tuple[Value, ...]
    op: Primitive | None = None
    writes: tuple[Node, ...] = ()
    backward: bool = False
    scope: tuple[str, ...] = ()
    line: tuple[str, int] | None = None

    @property
    def pure(self) -> bool:
        """Whether it does nothing but give its outputs."""
        return self.kind in ("op", "rule")

    def used(self) -> list[Value]:
        """The values that it reads, those inside parameters too."""
        return values_in((self.inputs, self.params))


@dataclass(eq=False)
class Program:
    """Instructions in order, and what comes of them.

    template   what the step returns, a value in each place where it returned an array
    gradients  leaf: the value that its `.grad` holds when the step ends
    emptied    leaves whose `.grad` must be None before it starts
    replaced   composed results: what a fused primitive gave in their place
    """

    instructions: list[Instruction]
    inputs: list[Value]
    template: Any = None
    gradients: dict[Node, Value] = field(default_factory=dict)
    emptied: set[Node] = field(default_factory=set)
    replaced: dict[Value, Value] = field(default_factory=dict)

    def outputs(self) -> list[Value]:
        """Values that are looked at when the program has run."""
        return [*values_in(self.template), *self.gradients.values()]

    def tensors(self) -> list[Value]:
        """What it reads from outside, each once."""
        read = [v for i in self.instructions for v in i.used()]
        return list(dict.fromkeys(v for v in (*read, *self.outputs()) if v.kind == "tensor"))

    def rewritten(self, instructions: list[Instruction], same: dict[Value, Value] | None = None) -> Program:
        """The same with other instructions, and each value that `same` names replaced by the one it names."""

        def new(x: Any) -> Any:
            return substitute(x, lambda value: (same or {}).get(value, value))

        instructions = [replace(i, inputs=new(i.inputs), params=new(i.params)) for i in instructions]
        return replace(self, instructions=instructions, template=new(self.template), gradients=new(self.gradients))

    def __len__(self) -> int:
        return len(self.instructions)


def substitute(x: Any, by: Callable[[Value], Any]) -> Any:
    """x with `by(value)` for each value in its tuples, lists and dicts."""
    return mapped(lambda part: by(part) if isinstance(part, Value) else part, x)


def values_in(x: Any) -> list[Value]:
    """The values in tuples, lists and dicts of anything."""
    values: list[Value] = []
    substitute(x, values.append)
    return values


def difference(a: Program, b: Program) -> str:
    """What differs between two recordings of one step, in words; empty where they say the same."""
    partner: dict[Value, Value] = {}
    for x, y in zip(a.instructions, b.instructions, strict=False):
        where = f"{x.name}{_at(x)}"
        if (x.kind, x.name, x.op) != (y.kind, y.name, y.op):
            return f"{where} came first, {y.name}{_at(y)} in its place the second time"
        if x.function != y.function:
            return f"{where} was another function the second time"
        text = _unequal((x.inputs, x.params), (y.inputs, y.params), partner)
        if text:
            return f"{where} was given {text}"
        for v, w in zip(x.outputs, y.outputs, strict=True):
            if v.array.shape != w.array.shape or v.array.dtype != w.array.dtype:
                return f"{where} gave shape {v.array.shape} first and {w.array.shape} the second time"
            partner[v] = w
    if len(a) != len(b):
        return f"there were {len(a)} operations first and {len(b)} the second time"
    if set(a.gradients) != set(b.gradients):
        return "gradients were left with other tensors the second time"
    return _unequal(a.template, b.template, partner) and "it returned something else"


def _at(i: Instruction) -> str:
    return f" (line {i.line[1]} of {i.line[0]})" if i.line else ""


def _unequal(x: Any, y: Any, partner: dict[Value, Value]) -> str:
    if isinstance(x, Value) and isinstance(y, Value):
        if x.kind != y.kind:
            return "something of another origin the second time"
        if x.kind == "made":
            return "" if partner.get(x) is y else "the result of another operation the second time"
        if x.kind == "constant":
            return "" if _same_array(x.array, y.array) else f"a constant that changed: {_short(x)}, then {_short(y)}"
        same = x.source is y.source if x.kind == "tensor" else x.source == y.source
        return "" if same else "another tensor the second time"
    if isinstance(x, dict) and isinstance(y, dict) and x.keys() == y.keys():
        x, y = list(x.values()), [y[key] for key in x]
    if isinstance(x, (tuple, list)) and isinstance(y, (tuple, list)) and len(x) == len(y):
        return next((text for p, q in zip(x, y, strict=True) if (text := _unequal(p, q, partner))), "")
    if x is y:
        return ""
    if isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
        return "" if _same_array(x, y) else "a constant array that changed"
    if type(x) is type(y) and (x == y or (x != x and y != y)):
        return ""
    return f"{x!r}, then {y!r}"


def _same_array(a: Any, b: Any) -> bool:
    x, y = np.asarray(a), np.asarray(b)
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


def _short(v: Value) -> str:
    return repr(v.array.item()) if v.array.size == 1 else f"an array of shape {v.array.shape}"
