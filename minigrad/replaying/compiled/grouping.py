"""Which instructions become one function, and which of them one loop.

A function is a list of steps: loops over one shape, products of matrices, updates. An instruction joins the first loop
of its shape in which everything that it reads is there; a sum can be read only after its loop. What is not known ends a
function. A value that is cheap and read again in a later loop is computed again there, and never stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ..._support.shapes import axes_of
from ...program import Instruction, Program, Value
from ...program.passes import layout_of
from ...program.program import Array
from . import elements, updates

CHEAP = 4  # what is computed again may cost so many sums an element,
READ = 2  # and read so many arrays of its size
LONGEST = 100  # instructions of one loop
SUMS = ("sum", "mean")


@dataclass(eq=False)
class Loop:
    """Elements and sums over one shape."""

    shape: tuple[int, ...]
    nodes: list[Instruction] = field(default_factory=list)


@dataclass(eq=False)
class Function:
    """What is compiled as one.

    steps         loops and single instructions in the order in which they run
    instructions  the same instructions, and views, as they stood in the program
    views         those that look at what is made here
    stored        values made here that get memory, in order
    """

    steps: list[Loop | Instruction] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    views: list[Instruction] = field(default_factory=list)
    stored: list[Value] = field(default_factory=list)
    floor: int = 0  # the first step that an instruction may join
    written: bool = False  # whether something outside was written: a check may not come after that
    late: list[Instruction] = field(default_factory=list)  # statistics that move when all checks have passed

    def close(self) -> None:
        """What waited runs now."""
        self.steps += self.late
        self.written |= bool(self.late)
        self.late = []
        self.floor = len(self.steps)


class Grouping:
    """A program cut into functions: `program` has one instruction of the kind "function" for each."""

    def __init__(self, program: Program) -> None:
        self.roots = layout_of(program)
        self.makers: dict[Value, Instruction] = {}  # of elements
        self._where: dict[Value, tuple[Function, int, bool]] = {}  # function, step, whether it is an element of it
        self._epochs: dict[Value, int] = {}  # how much outside had been written when it was made
        self._epoch = 0
        self._first_rows: dict[Value, Value] = {}
        self._users: dict[Value, list[tuple[Function | None, int, int]]] = {}  # function, step, epoch; step -1: memory
        self._order: list[Function | Instruction] = []
        self._open: Function | None = None
        for i in program.instructions:
            self._place(i)
        self._end()
        self.stored: set[Value] = set()
        self._store(program)
        self.program = replace(program, instructions=[self._as_instruction(x) for x in self._order])

    # placing ------------------------------------------------------------------------------------------------

    def _place(self, i: Instruction) -> None:
        if i.outputs and i.outputs[0] in self.roots:
            root = self.roots[i.outputs[0]]
            f = self._where[root][0] if root in self._where else None
            self._use(root, None, -1)
            if f is None or f is not self._open:
                self._order.append(i)
            else:
                f.views.append(i)
                f.instructions.append(i)
            return
        if i.name == "first_row" and i.kind == "call":
            self._first_rows[i.inputs[0]] = i.outputs[0]
        if not _known(i) or (updates.moves(i) and i.inputs[0] not in self._first_rows):
            self._end()
            self._order.append(i)
            for v in i.used():
                self._use(v, None, -1)
            self._epoch += bool(i.writes)
            return
        if updates.checks(i) and self._open is not None and self._open.written:
            self._end()
        f = self._open = self._open or Function()
        f.instructions.append(i)
        if i.kind == "update":
            f.close()
            self._add(f, i)
            f.written, f.floor = True, len(f.steps)
            self._epoch += 1
        elif updates.moves(i):
            check, move = updates.parts(i, self._first_rows[i.inputs[0]])
            self._join(f, check, check.inputs[0].shape)
            f.late.append(move)
            for v in move.used():
                self._use(v, f, -1)
        elif updates.looks(i):
            for v in i.used():
                self._join(f, updates.check_of(i, v), v.shape)
        elif (shape := shape_of(i)) is None:
            self._add(f, i)
        else:
            self._join(f, i, shape)

    def _end(self) -> None:
        if self._open is not None:
            self._open.close()
            self._order.append(self._open)
            self._order += self._open.views
        self._open = None

    def _add(self, f: Function, i: Instruction) -> None:
        """A step of its own."""
        f.steps.append(i)
        for v in i.used():
            self._use(v, f, -1)
        for v in i.outputs:
            self._where[v] = f, len(f.steps) - 1, False
            self._epochs[v] = self._epoch
            self._use(v, f, -1)  # it writes to memory

    def _join(self, f: Function, i: Instruction, shape: tuple[int, ...]) -> None:
        first = f.floor
        for v in i.used():
            where = self._where.get(self.roots.get(v, v))
            if where is not None and where[0] is f:
                along = where[2] and v not in self.roots and v.shape == shape and not gathers(i)
                first = max(first, where[1] + (not along))
        at = next((k for k in range(first, len(f.steps)) if _has_room(f.steps[k], shape)), len(f.steps))
        if at == len(f.steps):
            f.steps.append(Loop(shape))
        loop: Any = f.steps[at]
        loop.nodes.append(i)
        element = is_element(i)
        for v in i.used():
            self._use(v, f, -1 if gathers(i) and i.name != "first_row" else at)
        for v in i.outputs:
            self._where[v], self._epochs[v] = (f, at, element), self._epoch
            self.makers[v] = i
            if not element:
                self._use(v, f, -1)

    def _use(self, v: Value, f: Function | None, step: int) -> None:
        self._users.setdefault(self.roots.get(v, v), []).append((f, step, self._epoch))

    # storing ------------------------------------------------------------------------------------------------

    def _store(self, program: Program) -> None:
        for v in program.wanted():
            self._use(v, None, -1)
        for f in self._functions():
            for i in f.instructions:
                for v in i.outputs:
                    if v not in self.roots and v in self._where and self._is_stored(v, f):
                        self.stored.add(v)
                        f.stored.append(v)

    def _is_stored(self, v: Value, f: Function) -> bool:
        users = self._users.get(v, [])
        own, at, element = self._where[v]
        if not element or any(step < 0 for _, step, _ in users):
            return bool(users) or not element
        others = [(g, step, epoch) for g, step, epoch in users if (g, step) != (own, at)]
        again = all(
            g is not None and self._reads_along(g.steps[step], v) and epoch == self._epochs[v]
            for g, step, epoch in others
        )
        return bool(others) and not (again and self._is_cheap(v))

    def _reads_along(self, step: Any, v: Value) -> bool:
        return bool(step.shape == v.shape or all(i.name == "first_row" for i in step.nodes if v in set(i.used())))

    def _is_cheap(self, v: Value) -> bool:
        size = v.array.size
        return self._price(v) <= CHEAP and sum(x.array.size == size for x in self.leaves(v, set())) <= READ

    def _price(self, v: Value, most: int = CHEAP) -> int:
        """What it costs to compute an element again; beyond `most` nobody counts: there may be very many ways to it."""
        i = self.makers[v]
        price = elements.price(i)
        for x in self._computed(i) if price <= most else ():
            price += self._price(x, most - price)
            if price > most:
                break
        return price

    def _computed(self, i: Instruction) -> list[Value]:
        """Inputs that are computed again where i is."""
        return [x for x in i.used() if x in self.makers and x not in self.stored and self._where[x][2]]

    def leaves(self, v: Value, seen: set[Value]) -> Iterator[Value]:
        """What is read from memory to compute an element that is not stored itself, but for what was `seen`."""
        i = self.makers[v]
        again = self._computed(i)
        for x in i.used():
            if x not in seen:
                seen.add(x)
                yield from self.leaves(x, seen) if x in again else (x,)

    # the result ---------------------------------------------------------------------------------------------

    def _functions(self) -> list[Function]:
        return [x for x in self._order if isinstance(x, Function)]

    def _as_instruction(self, x: Function | Instruction) -> Instruction:
        if isinstance(x, Instruction):
            return x
        read: dict[Value, None] = {}
        seen: set[Value] = set()
        for step in x.steps:
            nodes = step.nodes if isinstance(step, Loop) else [step]
            for i in nodes:
                loop = isinstance(step, Loop)
                for v in i.used():
                    computed = loop and v in self.makers and v not in self.stored and self._where[v][2]
                    read |= dict.fromkeys(self.leaves(v, seen) if computed else [v])
        inside = {v for i in x.views for v in i.outputs} | set(x.stored)
        inputs = tuple([v for v in read if v not in inside and self.roots.get(v, v) not in inside])
        writes = tuple([leaf for i in x.instructions for leaf in i.writes])
        return Instruction("function", "compiled", x, inputs, {}, tuple(x.stored), writes=writes)


def _has_room(step: Loop | Instruction, shape: tuple[int, ...]) -> bool:
    return isinstance(step, Loop) and step.shape == shape and len(step.nodes) < LONGEST


def _known(i: Instruction) -> bool:
    arrays: list[Array] = [v.array for v in (*i.used(), *i.outputs)]
    if not all(elements.known_dtype(a) and a.size for a in arrays):
        return False
    return updates.known(i) or shape_of(i) is not None


def shape_of(i: Instruction) -> tuple[int, ...] | None:
    """The shape of the loop that an instruction belongs to; None if it is a step of its own."""
    if i.kind == "op" and i.name in SUMS and i.inputs[0].__class__ is Value:
        return i.inputs[0].shape if i.outputs[0].dtype == i.inputs[0].dtype and _summed(i) else None
    if i.kind == "call" and i.name == "largest":
        return i.inputs[0].shape if _summed(i) else None
    if updates.special(i):
        return updates.shape_of(i)
    return i.outputs[0].shape if elements.known(i) else None


def _summed(i: Instruction) -> bool:
    x, out = i.inputs[0], i.outputs[0]
    return bool(x.dtype.kind == "f" and x.dtype.char in "fd" and out.array.flags.c_contiguous)


def reduced_axes(i: Instruction) -> tuple[int, ...]:
    """Over which axes of its input an instruction sums."""
    axis = i.params["axis"] if i.kind == "op" else i.inputs[1]
    return axes_of(axis, len(i.inputs[0].shape))


def is_element(i: Instruction) -> bool:
    """Whether it gives an element of its loop, and not a sum over it."""
    return not (i.name in SUMS or i.name in ("largest", "class_numbers") or updates.only_checks(i))


def gathers(i: Instruction) -> bool:
    """Whether it reads elements of its inputs at other places than its own."""
    return i.name in ("matmul", "getitem", "first_row", "reshape")
