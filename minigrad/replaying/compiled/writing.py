"""A function as source: plain loops over arrays that are seen through a table of addresses.

    def step(T, R):         T: addresses of arrays;  R: numbers of this call, such as rates
        x = f32_at(T[0])    # 300x2
        ...
        return 0            1: a check has failed, and nothing outside was written

Names are made here: a value's kind and number. What the user called it stands in a comment.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from ...program import Instruction, Value
from ...program.program import Array
from . import elements, products, updates
from .grouping import Function, Grouping, Loop
from .loops import Writer


def address(array: Array) -> int:
    """Where the first number of an array lies."""
    place: int = array.__array_interface__["data"][0]
    return place


class Source:
    """The text of a function for arrays that are there, and the table that it reads them through.

    text     the source
    table    addresses, in order; `addresses` is where the function reads them
    arrays   the arrays behind them, which must live as long
    before, after   what Python does around a call
    moving   (place in the table, value, bytes from its start) of arrays that are elsewhere in every run
    """

    def __init__(
        self, function: Function, groups: Grouping, array_of: Callable[[Value], Array], vectors: Any, numbers: Any
    ) -> None:
        self.groups, self.array_of, self.vectors, self.numbers = groups, array_of, vectors, numbers
        self.function = function
        self.table: list[int] = []
        self._named: list[tuple[str, int, str]] = []  # (name, place in the table, comment)
        self.arrays: list[Any] = []
        self.names: dict[Any, str] = {}
        self.values: dict[Value, int] = {}  # their places in the table
        self.before: list[Callable[[], bool]] = []
        self.after: list[Callable[[], None]] = []
        self.moving: list[tuple[int, Value, int]] = []
        self._numbers = self._fresh = 0
        body: list[str] = []
        for step in function.steps:
            body += Writer(self, step).lines() if isinstance(step, Loop) else self._alone(step)
        lines = [*self._head(), *body, "return 0"]
        self.addresses = (ctypes.c_int64 * max(len(self.table), 1))(*self.table)
        self.text = "def step(T, R):\n" + "\n".join(f"    {line}" for line in lines) + "\n"
        del self.array_of  # of the program that holds this

    # names --------------------------------------------------------------------------------------------------

    def name(self, x: Any) -> str:
        """What the array of a value, or an array itself, is called in the source."""
        key = x if isinstance(x, Value) else id(x)
        if key not in self.names:
            array = self.array_of(x) if isinstance(x, Value) else x
            name = repr(x) if isinstance(x, Value) else f"a{len(self.table)}"
            if isinstance(x, Value):
                self.values[x] = len(self.table)
            self._enter(name, array, x.name if isinstance(x, Value) else None)
            self.names[key] = name
        return self.names[key]

    def _enter(self, name: str, array: Array, called: str | None) -> None:
        shape = "x".join(map(str, array.shape)) or "()"
        comment = f"{shape} {called!a}" if called else shape
        self._named.append((name, len(self.table), comment))
        self.table.append(address(array))
        self.arrays.append(array)

    def _head(self) -> list[str]:
        """A line for each array. The last number: arrays of one number may overlap, others do not."""
        spans = sorted((*np.lib.array_utils.byte_bounds(self.arrays[k]), k) for _, k, _ in self._named)
        memory, end, number = {}, 0, -1
        for start, stop, k in spans:
            number += start >= end
            memory[k], end = number, max(end, stop)
        numbers = {n: k for k, n in enumerate(dict.fromkeys(memory[k] for _, k, _ in self._named))}
        return [
            f"{name} = {elements.of(self.arrays[k].dtype)}_at(T[{k}], {numbers[memory[k]]})  # {comment}"
            for name, k, comment in self._named
        ]

    def scratch(self, size: int, dtype: Any) -> str:
        """The name of a new vector for this function alone."""
        return self.name(np.empty(size, dtype))

    def fresh(self, letter: str) -> str:
        """A name that the source does not have yet."""
        self._fresh += 1
        return f"{letter}_{self._fresh}"

    def room(self, count: int) -> int:
        """The place of `count` more numbers of the call."""
        at, self._numbers = self._numbers, self._numbers + count
        return at

    # steps --------------------------------------------------------------------------------------------------

    def _alone(self, i: Instruction) -> list[str]:
        about = [f"# {i.name}"]
        if i.kind == "update":
            vectors, copies = self.vectors[i]
            for place, value in copies:
                about += self._copied(place, value)
            lines, before, after = updates.step_of(i.function, vectors, self.name, self.room, self.numbers)
            self.before += before
            self.after.append(after)
            return [*about, *lines]
        if i.kind == "move":
            lines, after = updates.move(i, self.name)
            self.after.append(after)
            return [*about, *lines]
        if updates.clips(i):
            return [*about, *updates.clipped(i, self.name)]
        x, y = i.inputs
        address, integer = products.blas(x.dtype.char) or (0, "")
        self.table.append(address)
        self.arrays.append(None)
        place, given = len(self.table) - 1, [self._matrix(v) for v in (x, y, i.outputs[0])]
        return [products.call(place, integer, elements.of(x.dtype), *given)]

    def _matrix(self, v: Value) -> tuple[str, Array]:
        self.name(v)
        return f"T[{self.values[v]}]", self.array_of(v)

    def _copied(self, place: Array, value: Value) -> list[str]:
        """A gradient put where the optimizer wants it."""
        source = self.array_of(value)
        if not source.flags.c_contiguous:
            source_name, steps = self.name(value), [s // source.itemsize for s in source.strides]
            axes = range(source.ndim)
            lines = [f"{'    ' * k}for i{k} in range({source.shape[k]}):" for k in axes]
            along = " + ".join(f"i{k} * {steps[k]}" for k in axes)
            into = " + ".join(f"i{k} * {place.strides[k] // place.itemsize}" for k in axes)
            return [*lines, f"{'    ' * source.ndim}{self.name(place)}[{into}] = {source_name}[{along}]"]
        return [f"for k in range({place.size}):", f"    {self.name(place)}[k] = {self.name(value)}[k]"]
