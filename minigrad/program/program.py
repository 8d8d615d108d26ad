"""A recorded computation as plain data: values, and instructions that make values from values, in order.

Knows NumPy and primitives. How a program comes about stands in recording.py, how it runs in running.py, how it is
changed in passes.py, how it is printed in listing.py and source.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._support.arrays import mapped
from ..core.nodes import Node, Primitive
from .calls import CALLS

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class Value:
    """One array of a program. Values are told apart by identity.

    kind     "input" (an argument), "tensor" (one from outside, such as a parameter), "constant", or "made"
    array    what it held while it was recorded; when the program runs only its shape, dtype and layout count
    source   the tensor from outside; the place of an input among the inputs
    name     what the user called it, or None
    """

    number: int
    kind: str
    array: Array
    source: Any = None
    name: str | None = None

    def __repr__(self) -> str:
        return {"input": "in", "tensor": "w", "constant": "c", "made": "v"}[self.kind] + str(self.number)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        shape: tuple[int, ...] = self.array.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.array.shape)

    @property
    def label(self) -> str:
        """Its name, or a number where it has none; the value of a constant that is one number."""
        if self.kind == "constant" and self.array.size == 1 and not self.name:
            return f"{self.array.item():.6g}"
        return self.name or repr(self)


@dataclass(eq=False)
class Instruction:
    """One step of a program.

    kind      "op": a primitive. "rule": the rule of one, as a whole. "call": a function of arrays that is no primitive,
              such as a check or a random draw. "update": an optimizer's step
    function  of bare arrays, `(*inputs, **params)`; gives one array for each of `outputs` (or the array, if one).
              Of an update, the optimizer
    outputs   the result, and after it what the primitive's `save` keeps for its rule
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
    def out(self) -> Value:
        """The result."""
        return self.outputs[0]

    @property
    def pure(self) -> bool:
        """Whether it does nothing but give its outputs."""
        return self.kind in ("op", "rule") or (self.kind == "call" and bool(self.outputs) and self.function in CALLS)

    def used(self) -> Iterator[Value]:
        """The values that it reads, those inside parameters too."""
        yield from values_in((self.inputs, self.params))


@dataclass(eq=False)
class Program:
    """Instructions in order; what they start from, and what is wanted of them.

    results    the values that the function returns, in `template` in the place where it returned them
    gradients  {value or tensor: the value that holds its gradient at the end}
    cotangents the inputs, last among all, that stand for the gradients of the results; none where there is no backward
    """

    instructions: list[Instruction]
    inputs: list[Value]
    template: Any = None
    gradients: dict[Any, Value] = field(default_factory=dict)
    cotangents: tuple[Value, ...] = ()

    def __len__(self) -> int:
        return len(self.instructions)

    def __str__(self) -> str:
        from .listing import listing

        return listing(self)

    __repr__ = __str__

    @property
    def results(self) -> list[Value]:
        """What the function returns, each once."""
        return list(dict.fromkeys(values_in(self.template)))

    def wanted(self) -> list[Value]:
        """Values that are looked at when the program has run."""
        return [*values_in(self.template), *self.gradients.values()]

    def values(self) -> list[Value]:
        """Every value, in the order in which they are first there."""
        found = dict.fromkeys(self.inputs)
        for i in self.instructions:
            found |= dict.fromkeys([*i.used(), *i.outputs])
        return list(found | dict.fromkeys(self.wanted()))

    def tensors(self) -> list[Value]:
        """What it reads from outside, each once."""
        return [value for value in self.values() if value.kind == "tensor"]

    def __getitem__(self, name: str) -> Value:
        """A value by its name, or by what the listing calls it; the last one of that name."""
        for value in reversed(self.values()):
            if name in (value.name, repr(value)):
                return value
        names = ", ".join(dict.fromkeys(v.label for v in self.values() if v.kind != "constant"))
        raise KeyError(f"no value of this program is called {name!r}; there are {names}")

    def with_instructions(self, instructions: list[Instruction]) -> Program:
        """The same program with other instructions."""
        return replace(self, instructions=instructions)

    def substituted(self, instructions: list[Instruction], same: dict[Value, Value]) -> Program:
        """The same with other instructions, and each value that `same` names replaced by the one it names."""
        changed = [
            replace(i, inputs=substitute(i.inputs, same), params=substitute(i.params, same)) for i in instructions
        ]
        gradients = {leaf: same.get(value, value) for leaf, value in self.gradients.items()}
        return replace(self, instructions=changed, template=substitute(self.template, same), gradients=gradients)

    def numbered(self) -> Program:
        """The same program; its values are numbered in the order in which they come."""
        for number, value in enumerate(self.values()):
            value.number = number
        return self

    def forward(self) -> Program:
        """The forward part alone."""
        steps = [i for i in self.instructions if not i.backward]
        inputs = [v for v in self.inputs if v not in self.cotangents]
        return without_dead_code(replace(self, instructions=steps, inputs=inputs, gradients={}, cotangents=()))

    def graph(self) -> list[Node]:
        """As Tensors with a graph of its instructions: what `mg.graph(program)` and `mg.draw(program)` show."""
        from .as_graph import as_graph

        return as_graph(self)

    def run(self, *args: Any, gradient: Any = None, dtype: Any = None, change: Any = None, **named: Any) -> Any:
        """The function on other inputs: see `minigrad.program.running.run`."""
        from .running import run

        return run(self, args, named, gradient=gradient, dtype=dtype, change=change)

    def source(self, library: str = "numpy", name: str = "forward") -> str:
        """The program as a module that runs without minigrad: see `minigrad.program.source`."""
        from .source import source_of

        return source_of(self, library, name)

    def patterns(self) -> list[Any]:
        """Normalizations, softmax, linear layers: what is recognised in it, see `minigrad.program.patterns`."""
        from .patterns import patterns

        return patterns(self)

    def to_json(self, indent: int | None = None) -> str:
        """The program as JSON, with the values of its tensors and constants."""
        from .as_json import to_json

        return to_json(self, indent)

    @staticmethod
    def from_json(text: str) -> Program:
        """The program that `to_json` wrote; ValueError, naming the place, for what it cannot have written."""
        from .as_json import from_json

        return from_json(text)

    def digest(self) -> str:
        """A hash of the structure: ops, parameters, shapes, dtypes, constants and what is connected with what.

        Names, source lines, scopes and the values of inputs and tensors do not count. Two programs with one digest do
        the same to any inputs.
        """
        numbers = {value: k for k, value in enumerate(self.values())}
        text = [
            (numbers[v], v.kind, v.shape, v.dtype.str, v.array.tobytes() if v.kind == "constant" else b"")
            for v in numbers
        ]
        steps = [
            (i.kind, i.name, i.backward, _plain((i.inputs, i.params, i.outputs), numbers)) for i in self.instructions
        ]
        ends = _plain((self.template, list(self.gradients.values()), self.cotangents), numbers)
        return hashlib.sha256(repr((text, steps, ends)).encode()).hexdigest()[:16]


def without_dead_code(program: Program) -> Program:
    """Leave out what nobody looks at: from the end backwards, pure instructions whose outputs are not used later."""
    used = set(program.wanted())
    kept: list[Instruction] = []
    for instruction in reversed(program.instructions):
        if instruction.pure and not used.intersection(instruction.outputs):
            continue
        used.update(instruction.used())
        kept.append(instruction)
    return program.with_instructions(kept[::-1])


def _plain(x: Any, numbers: dict[Value, int]) -> Any:
    """Nested tuples in which each value is its number: what the digest is taken of."""
    if isinstance(x, Value):
        return "value", numbers[x]
    if isinstance(x, (tuple, list)):
        return type(x).__name__, *[_plain(part, numbers) for part in x]
    if isinstance(x, dict):
        return "dict", *[(key, _plain(part, numbers)) for key, part in x.items()]
    if isinstance(x, np.ndarray):
        return "array", x.shape, x.dtype.str, x.tobytes()
    return type(x).__name__, repr(x)


def values_in(x: Any) -> Iterator[Value]:
    """The values in tuples, lists and dicts of anything."""
    if isinstance(x, Value):
        yield x
    elif isinstance(x, (tuple, list)):
        for part in x:
            yield from values_in(part)
    elif isinstance(x, dict):
        for part in x.values():
            yield from values_in(part)


def substitute(x: Any, by: Any) -> Any:
    """x with each Value in it replaced: by `by(value)`, or by what the dict `by` has for it."""
    find = (lambda v: by.get(v, v)) if isinstance(by, dict) else by
    return mapped(lambda v: find(v) if isinstance(v, Value) else v, x)
