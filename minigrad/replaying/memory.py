"""From a program to something that runs: every value gets its memory, every instruction its call.

Memory is planned once: a value lives from the instruction that makes it to the last one that reads it, or a view of
it; then its memory is given to the next one of the same size. An elementwise instruction whose input dies with it
writes in place. What runs afterwards is a list of calls on fixed arrays: no Tensor is built, and where the primitive
can write into an array, none is allocated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..core.nodes import Node
from .calls import Run, copying, direct, elementwise, fast, kernel_of
from .passes import layout_of
from .program import Array, Instruction, Program, Value, substitute, values_in

_LINE = 64  # bytes of a cache line: where buffers begin
LENT = 1 << 18  # bytes from which an argument is read where it is: to copy it would cost more than to bind calls anew


class Bound:
    """A program with memory. `run` runs it on what is in the arrays of `inputs`; `array_of` tells what came out."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.roots = layout_of(program)
        self.lives = _lives(program, self.roots)
        self._arrays: dict[Value, Array] = {}
        self._memory: dict[Value, int] = {}  # root that is alive: number of the buffer that it lives in
        self._homes: dict[Value, str] = {}  # where each value was put, for people
        self._buffers: list[Array] = []
        self._free: dict[int, list[int]] = {}
        self.in_place: dict[Instruction, Value] = {}
        self.allocates: set[Instruction] = set()
        self._small: dict[Value, Array] = {}
        self._slopes = self._flat_gradients()
        self._lent = {v for v in program.inputs if v.array.nbytes >= LENT and v.array.flags.c_contiguous}
        self._borrowed = [*self._lent, *(v for v, root in self.roots.items() if root in self._lent)]
        for value in program.inputs:
            self._arrays[value] = value.array if value in self._lent else np.empty_like(value.array)
        # each input with the memory that an argument is copied to; None where it is lent
        self._given = [(v, None if v in self._lent else self._arrays[v]) for v in program.inputs]
        bound = [(i, self._bind(k, i)) for k, i in enumerate(program.instructions)]
        self._calls = [(instruction, run) for instruction, run in bound if run is not None]
        # what warns forward is quiet backward, as in a walk: inf is the right slope of sqrt at 0
        self._parts: list[tuple[bool, list[Run]]] = []
        for instruction, run in self._calls:
            if not self._parts or self._parts[-1][0] != instruction.backward:
                self._parts.append((instruction.backward, []))
            self._parts[-1][1].append(run)

    def run(self) -> None:
        """All instructions in order."""
        for quiet, runs in self._parts:
            if quiet:
                with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                    for run in runs:
                        run()
            else:
                for run in runs:
                    run()

    def give(self, arrays: Iterable[Array]) -> None:
        """The arguments of the next run."""
        for (value, place), array in zip(self._given, arrays, strict=True):
            if place is None:  # another layout would be summed in another order
                self._arrays[value] = np.ascontiguousarray(array)
            else:
                place[...] = array

    def is_lent(self, value: Value) -> bool:
        """Whether a value is an argument's own memory, or a view of it."""
        return self.roots.get(value, value) in self._lent

    def take_back(self) -> None:
        """Forget arguments that were lent, and views of them."""
        for value in self._borrowed:
            self._arrays[value] = value.array

    def calls(self) -> list[tuple[Instruction, Run]]:
        """What `run` calls, in order."""
        return self._calls

    def array_of(self, value: Value) -> Array:
        """The memory of a value; of a tensor from outside, its own."""
        if value.kind == "tensor":
            tensor: Node = value.source
            return tensor._array
        return value.array if value.kind == "constant" else self._arrays[value]

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, without inputs and what is from outside."""
        return sum(buffer.nbytes for buffer in self._buffers)

    def place(self, value: Value) -> str:
        """Where a value lives, in words: "b3", "b3 (view)", or "gradients"."""
        root = self.roots.get(value, value)
        return self._homes.get(root, repr(root)) + (" (view)" if root is not value else "")

    # memory -------------------------------------------------------------------------------------------------

    def _flat_gradients(self) -> dict[Value, Array]:
        """Gradients that an optimizer reads are made where it wants them: end to end in one vector."""
        found: dict[Value, Array] = {}
        self._vectors: dict[Instruction, list[Array]] = {}
        for instruction in self.program.instructions:
            if instruction.kind != "update":
                continue
            layout = instruction.function.layout()
            given = dict(zip(instruction.writes, instruction.inputs, strict=True))
            if len(given) < sum(len(params) for params, _ in layout):
                continue  # some have no gradient: the optimizer looks at `.grad`
            self._vectors[instruction] = [np.zeros(cuts[-1], params[0].dtype) for params, cuts in layout]
            for leaf, here in self._places(instruction):
                value = given[leaf]
                free = value.kind == "made" and value not in self.roots and value not in found
                if free and value.array.strides == here.strides:
                    found[value] = here
        return found

    def _places(self, instruction: Instruction) -> Iterator[tuple[Node, Array]]:
        """(parameter, where its gradient is to be) for an optimizer's step."""
        layout = instruction.function.layout()
        for (params, cuts), vector in zip(layout, self._vectors[instruction], strict=True):
            for k, leaf in enumerate(params):
                yield leaf, vector[cuts[k] : cuts[k + 1]].reshape(leaf._array.shape)

    def _allot(self, value: Value, k: int) -> Array:
        """Memory for a value that instruction k makes."""
        if value in self._slopes:
            self._homes[value] = "gradients"
            return self._slopes[value]
        a = value.array
        size = max(a.nbytes, 1)
        if 0 in a.strides and a.size > 1:  # one number seen many times stays so: readers go by the layout, too
            return np.broadcast_to(self._compact(value), a.shape)
        free = self._free.get(size)
        if free:
            number = free.pop()
        else:
            number = len(self._buffers)
            self._buffers.append(_aligned(size))
        self._memory[value], self._homes[value] = number, f"b{number}"
        return _laid_out(self._buffers[number], a)

    def _compact(self, value: Value) -> Array:
        """The memory of a value that has strides of 0, without what they repeat."""
        if value not in self._small:
            a = value.array
            shape = [1 if stride == 0 else n for n, stride in zip(a.shape, a.strides, strict=True)]
            self._small[value] = np.empty(shape, a.dtype)
            self._homes[value] = "repeated"
        return self._small[value]

    def _bind(self, k: int, instruction: Instruction) -> Run | None:
        made = instruction.outputs
        inputs = substitute(instruction.inputs, self.array_of)
        params = substitute(instruction.params, self.array_of)
        late = any(self.roots.get(v, v) in self._lent for v in instruction.used())
        if made and made[0] in self.roots:  # a view of memory that is there: made now, once and for all
            self._arrays[made[0]] = instruction.function(*inputs, **params)
            return self._late(instruction, None) if late else None
        taken = self._taken_over(k, instruction)
        for value in made:
            if taken is not None:
                self._memory[value], self._homes[value] = self._memory.pop(taken), self._homes[taken]
                self._arrays[value] = self._arrays[taken]
                self.in_place[instruction] = taken
            else:
                self._arrays[value] = self._allot(value, k)
        self._release(k, instruction)
        outs = [self._small.get(value, self._arrays[value]) for value in made]
        return self._late(instruction, outs) if late else self._call(instruction, inputs, params, outs)

    def _late(self, instruction: Instruction, outs: list[Array] | None) -> Run:
        """The call of an instruction that reads an argument where it is: bound to it in each run."""

        def run() -> None:
            inputs = substitute(instruction.inputs, self.array_of)
            params = substitute(instruction.params, self.array_of)
            if outs is None:
                self._arrays[instruction.outputs[0]] = instruction.function(*inputs, **params)
            else:
                self._call(instruction, inputs, params, outs)()

        return run

    def _taken_over(self, k: int, instruction: Instruction) -> Value | None:
        """The input that dies here and whose memory the result may have, if there is one."""
        op = instruction.op
        if instruction.kind != "op" or op is None or not op.builtin or not elementwise(instruction.name):
            return None
        if instruction.outputs[0] in self._slopes:
            return None
        out = instruction.outputs[0].array
        read = list(values_in(instruction.inputs))
        for x in read:
            alone = all(other is x or self.roots.get(other, other) is not x for other in read)
            same = x.array.shape == out.shape and x.array.dtype == out.dtype and x.array.strides == out.strides
            if x in self._memory and self.lives[x][1] == k and alone and same:
                return x
        return None

    def _release(self, k: int, instruction: Instruction) -> None:
        """Give back the memory of what is read here for the last time, or by nobody."""
        for value in {self.roots.get(v, v) for v in (*instruction.used(), *instruction.outputs)}:
            if self.lives.get(value, (0, -1))[1] <= k and value in self._memory:
                number = self._memory[value]
                free = self._free.setdefault(self._buffers[number].nbytes, [])
                if number not in free:
                    free.append(number)

    # calls --------------------------------------------------------------------------------------------------

    def _call(self, instruction: Instruction, inputs: Any, params: dict[str, Any], outs: list[Array]) -> Run:
        if instruction.kind == "update":
            return self._update(instruction)
        op = instruction.op
        run = direct(instruction, inputs, params, outs)
        if run is not None:
            return run
        copy = copying(instruction, inputs, params, outs)
        fused = kernel_of(op)
        if fused is not None and len(outs) == len(instruction.outputs) > (instruction.kind == "op"):
            kernel = fast(fused, instruction, inputs, params, tuple(outs))

            def run_kernel() -> None:
                if kernel() is None:  # it does not take these, or none was chosen
                    self.allocates.add(instruction)
                    copy()

            return run_kernel
        self.allocates.add(instruction)
        return copy

    def _update(self, instruction: Instruction) -> Run:
        optimizer = instruction.function
        given = {leaf: self.array_of(value) for leaf, value in zip(instruction.writes, instruction.inputs, strict=True)}
        if instruction not in self._vectors:
            params = [leaf for params, _ in optimizer.layout() for leaf in params]
            slopes = [(leaf, leaf._leaf(given[leaf]) if leaf in given else None) for leaf in params]

            def step() -> None:
                for leaf, slope in slopes:
                    leaf._grad = slope
                optimizer.step()

            return step
        vectors = self._vectors[instruction]
        copies = [(here, given[leaf]) for leaf, here in self._places(instruction)]
        copies = [(here, slope) for here, slope in copies if not np.may_share_memory(here, slope)]

        def run() -> None:
            for here, slope in copies:
                np.copyto(here, slope)
            optimizer.apply(vectors)

        return run


def _lives(program: Program, roots: dict[Value, Value]) -> dict[Value, tuple[int, int]]:
    """(instruction that makes it, last one that reads it or a view of it) of every value that owns memory."""
    lives: dict[Value, tuple[int, int]] = {}
    end = len(program.instructions)
    for k, instruction in enumerate(program.instructions):
        for value in instruction.used():
            root = roots.get(value, value)
            if root in lives:
                lives[root] = (lives[root][0], k)
        for value in instruction.outputs:
            if value not in roots:
                lives[value] = (k, k)
    for value in program.kept():
        root = roots.get(value, value)
        if root in lives:
            lives[root] = (lives[root][0], end)
    return lives


def _aligned(size: int) -> Array:
    raw = np.empty(size + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + size]


def _laid_out(buffer: Array, like: Array) -> Array:
    """The buffer as an array of the shape, dtype and order of axes of another."""
    order = sorted(range(like.ndim), key=lambda k: (-like.strides[k], k))
    flat = np.ndarray([like.shape[k] for k in order], like.dtype, buffer)
    return flat.transpose(np.argsort(order)) if like.ndim else flat
