"""A program with memory, as Bound, most of which runs as compiled functions."""

from __future__ import annotations

import bisect
import ctypes
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...program import Instruction, Value
from ...program.passes import opened, without_dead_code, without_repeats
from ...program.program import Array, substitute
from ..lowering import Bound, Run
from ..recorder import StepRecorder
from . import machine
from .grouping import Function, Grouping
from .writing import Source, address

NUMBERS = 8  # rates and the like that an update of one vector reads, at most
IN_PLACE = 1 << 16  # bytes of an argument from which on it is read where it is, and not copied


class CompiledBound(Bound):
    """Functions in the place of what can be compiled; the other instructions run as they do in Bound.

    written_out  the program in primitives alone
    sources      {function: its Source}, in order
    """

    def __init__(self, program: Any) -> None:
        self.written_out = without_dead_code(without_repeats(opened(program, rules=True, recorder=StepRecorder)))
        self.groups = Grouping(self.written_out.numbered())
        self.sources: dict[Function, Source] = {}
        self._starts: dict[Value, int] = {}  # where arrays lie that are elsewhere in every run
        self._given: list[tuple[Array, Array]] = []  # arguments that this run reads in place, and where Python would
        super().__init__(self.groups.program)
        self._starts = {v: address(self._arrays[v]) for v in (*self._read_in_place(), *self.handed_over)}
        own = [self._arrays[v] for v in self._starts]
        others = [a for source in self.sources.values() for a in source.arrays if not any(a is mine for mine in own)]
        others += [leaf._array for i in self.program.instructions for leaf in i.writes]  # also those of Python's calls
        self._spans = merged([*self._buffers, *(a for a in others if a is not None)])
        for source in self.sources.values():
            self.aim(source)

    def _update_instructions(self) -> list[Instruction]:
        inside = [i for x in self.program.instructions if x.kind == "function" for i in x.function.instructions]
        return [i for i in (*self.program.instructions, *inside) if i.kind == "update"]

    def _made(self, instruction: Instruction) -> Run | None:
        if instruction.kind != "function":
            return super()._made(instruction)
        function: Function = instruction.function
        for view in function.views:
            inputs, params = (substitute(x, self.array_of) for x in (view.inputs, view.params))
            self._arrays[view.outputs[0]] = view.function(*inputs, **params)
        return Call(self, function).run

    def _read_in_place(self) -> list[Value]:
        """The large arguments that compiled functions alone read, and of which the step returns no part."""
        found, wanted = [], self.program.wanted()
        for v, place in zip(self.program.inputs, self._inputs, strict=True):
            seen = {v, *(u for u, root in self.roots.items() if root is v)}
            others = (i for i in self.program.instructions if i.kind != "function" and not seen.intersection(i.outputs))
            if place.nbytes >= IN_PLACE and place.flags.c_contiguous and seen.isdisjoint(wanted):
                found += [v] * all(seen.isdisjoint(i.used()) for i in others)
        return found

    def aim(self, source: Source) -> None:
        """Have a source read and write where arrays are now that are elsewhere in every run."""
        source.moving = []
        for u, k in source.values.items():
            root = self.roots.get(u, u)
            if root in self._starts:
                source.moving.append((k, root, source.table[k] - address(self._arrays[root])))
        self._aim(source)

    def _aim(self, source: Source) -> None:
        for k, v, offset in source.moving:
            source.addresses[k] = self._starts[v] + offset

    def run(self, arguments: Iterable[Array]) -> None:
        """As Bound; large arguments are read where they are."""
        try:
            self._begin(arguments)
            for _, runs in self._parts:
                for run in runs:
                    run()
        finally:
            self._given.clear()

    def _begin(self, arguments: Iterable[Array]) -> None:
        for v, place, array in zip(self.program.inputs, self._inputs, arguments, strict=True):
            if v in self._starts and array.flags.c_contiguous and not self._overlaps(array):
                self._given.append((place, array))
                self._starts[v] = address(array)
                continue
            place[...] = array
            if v in self._starts:
                self._starts[v] = address(place)
        if self.handed_over:
            self._renew()
            self._starts.update({v: address(self._arrays[v]) for v in self.handed_over})
        for source in self.sources.values():
            self._aim(source)

    def _overlaps(self, array: Array) -> bool:
        """Whether an argument lies in memory of the program, or of what it writes to."""
        start = address(array)
        k = bisect.bisect_left(self._spans, (start + array.nbytes,)) - 1
        return k >= 0 and self._spans[k][1] > start

    def copy_in(self) -> None:
        """Large arguments to where Python reads them."""
        for place, array in self._given:
            place[...] = array

    def source(self) -> str:
        """The generated functions, to be read."""
        return "\n\n".join(source.text for source in self.sources.values())


def merged(arrays: Iterable[Array]) -> list[tuple[int, int]]:
    """The stretches of memory that these arrays take, in order."""
    spans: list[tuple[int, int]] = []
    for start, stop in sorted(np.lib.array_utils.byte_bounds(a) for a in arrays if a.size):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(stop, spans[-1][1])
        else:
            spans.append((start, stop))
    return spans


class Call:
    """The call of one compiled function."""

    def __init__(self, bound: CompiledBound, function: Function) -> None:
        self._bound, self.function = weakref.ref(bound), function  # whose memory goes with it, at once
        self._optimizers = [i.function for i in function.instructions if i.kind == "update"]
        self._flats = [flat for optimizer in self._optimizers for _, flat in optimizer._flat]
        self._numbers = (ctypes.c_double * max(NUMBERS * len(self._flats), 1))()
        self._write()

    def _write(self) -> None:
        bound: Any = self._bound()
        self.source = bound.sources[self.function] = Source(
            self.function, bound.groups, bound.array_of, bound._gradients, self._numbers
        )
        bound.aim(self.source)
        self._code = machine.function(self.source.text)
        places = ctypes.addressof(self.source.addresses), ctypes.addressof(self._numbers)
        self._places = [ctypes.c_void_p(place) for place in places]

    def run(self) -> None:
        """One call; where a check finds something wrong, everything again in Python, which says what."""
        for flat in self._flats:
            if flat.steps.count(flat.steps[0]) != len(flat.steps):
                bound: Any = self._bound()
                bound.outdated = True  # where parameters count their steps differently, the update is not compiled
                return self._again()
        for fits in self.source.before:
            if not fits():  # an option came or went, and with it lines
                self._write()
                for again in self.source.before:
                    again()
                break
        before = [optimizer.interrupted for optimizer in self._optimizers]
        for optimizer in self._optimizers:  # until the counts of their steps are written, too
            optimizer.interrupted = True
        wrong = self._code(*self._places)
        if not wrong:
            for after in self.source.after:
                after()
        for optimizer, was in zip(self._optimizers, before, strict=True):
            optimizer.interrupted = was
        if wrong:
            self._again()

    def _again(self) -> None:
        arrays: dict[Value, Any] = {}
        bound: Any = self._bound()
        bound.copy_in()
        groups: Grouping = bound.groups

        def array_of(v: Value) -> Any:
            if v not in arrays and v in groups.makers and v not in groups.stored:
                make(groups.makers[v])  # an element of an earlier function, which is made again where it is read
            return arrays[v] if v in arrays else bound.array_of(v)

        def make(i: Instruction) -> None:
            inputs, params = substitute(i.inputs, array_of), substitute(i.params, array_of)
            made = i.op.forward(inputs, params)[0] if i.kind == "op" and i.op else i.function(*inputs, **params)
            results = made if isinstance(made, tuple) else (made,)
            arrays.update({v: np.asarray(a) for v, a in zip(i.outputs, results, strict=False)})

        for i in self.function.instructions:
            if i.kind == "update":
                self._take_step(i, substitute(i.inputs, array_of))
            else:
                make(i)
        for v in self.function.stored:
            bound.array_of(v)[...] = arrays[v]

    def _take_step(self, i: Instruction, gradients: tuple[Array, ...]) -> None:
        given = dict(zip(i.writes, gradients, strict=True))
        layout = i.function.layout()
        i.function.apply([np.concatenate([given[leaf].ravel() for leaf in leaves]) for leaves, _ in layout])
