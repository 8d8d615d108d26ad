"""From a program to something that runs: every value gets its memory, every instruction its call.

Memory is planned once: a value lives from the instruction that makes it to the last one that reads it, or a view of
it; then its memory is given to the next one of the same size. An elementwise instruction whose input dies with it
writes in place. What runs afterwards is a list of calls on fixed arrays: no Tensor is built, and where the primitive
can write into an array, none is allocated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from ..core.nodes import Node, kernel
from ..program import Instruction, Program, Value
from ..program.listing import listing, statement
from ..program.passes import layout_of
from ..program.program import Array, substitute, values_in
from .pages import buffer, emptied

Run = Callable[[], Any]  # of arrays that stay where they are
KEPT = 1 << 18  # bytes from which on a result is made in memory that the caller keeps, and not copied there
_SHAKEN = np.array([1, 0, 0, 1, 1, 0, 1] * 1024)  # which numbers are moved: of every column, and of one alone
_QUIET: dict[str, Any] = {"divide": "ignore", "over": "ignore", "invalid": "ignore"}


class Bound:
    """A program with memory. `run` runs it on what is in the arrays of `inputs`; `array_of` tells what came out.

    calls      (instruction, its call) in order; views are made once and have none
    in_place   instruction: the value whose memory its result takes over
    allocates  instructions that make new arrays, which are copied where they belong
    handed_over  large results: in new memory in every run, for the caller to keep
    nbytes     of all these, without inputs and what is from outside
    outdated   whether to make it anew of the same program, which would be another by now
    """

    outdated = False

    def __init__(self, program: Program) -> None:
        self.program = program
        self.roots = layout_of(program)
        self.lives = _lives(program, self.roots)
        self.in_place: dict[Instruction, Value] = {}
        self.allocates: set[Instruction] = set()
        self._inputs = [np.empty_like(value.array) for value in program.inputs]
        self._arrays = dict(zip(program.inputs, self._inputs, strict=True))
        self._arrays |= {value: value.source._array for value in program.tensors()}
        self._outs: dict[Value, Array] = {}  # where a value is written, if it is one number seen many times
        self._homes: dict[Value, str] = {}  # where each value was put, for people
        self._buffers: list[Array] = []
        self._alive: dict[Value, int] = {}  # the number of the buffer that it lives in
        self._free: dict[int, list[int]] = {}  # buffers by size
        self._gradients = {i: self._gradients_of(i) for i in self._update_instructions()}
        self.handed_over = self._kept_by_caller()
        self._homes |= dict.fromkeys(self.handed_over, "new")
        self._renew()
        lowered = [(i, self._lowered(k, i)) for k, i in enumerate(program.instructions)]
        self.nbytes = sum(buffer.nbytes for buffer in self._buffers) + sum(v.array.nbytes for v in self.handed_over)
        self.calls = [(i, run) for i, run in lowered if run is not None]
        left = [(leaf.source, value) for leaf, value in program.gradients.items()]
        self._left = [(leaf, self.array_of(value)) for leaf, value in left if value not in self.handed_over]
        self._given_away = [(leaf, value) for leaf, value in left if value in self.handed_over]
        # what warns forward is quiet backward, as in a walk: inf is the right slope of sqrt at 0
        parts = groupby(self.calls, lambda call: call[0].backward)
        self._parts = [(_QUIET if backward else {}, [run for _, run in part]) for backward, part in parts]

    def _update_instructions(self) -> list[Instruction]:
        return [i for i in self.program.instructions if i.kind == "update"]

    def _kept_by_caller(self) -> set[Value]:
        """Large results, but for views, what is looked at through one, and what lies in an optimizer's vectors."""
        updated = [v for i in self._update_instructions() for v in i.used()]
        elsewhere = {*self._arrays, *self.roots, *self.roots.values(), *updated}
        wanted = Counter(self.program.wanted())
        large = {v for v in wanted if v.kind == "made" and v.array.nbytes >= KEPT and v.array.flags.c_contiguous}
        return {v for v in large - elsewhere if wanted[v] == 1}

    def _renew(self) -> None:
        """New memory for what the last run handed over, which may be used again where nobody looks at it."""
        empty = kernel("empty") or np.empty
        for v in self.handed_over:
            self._arrays.pop(v, None)
            self._arrays[v] = empty(v.array.shape, v.array.dtype)

    def _begin(self, arguments: Iterable[Array]) -> None:
        if self.handed_over:
            self._renew()
        for place, array in zip(self._inputs, arguments, strict=True):
            place[...] = array

    def leave(self) -> None:
        """Put gradients where a step leaves them."""
        for leaf, array in self._left:  # looked at, it becomes a Tensor of its own
            leaf._grad = array
        for leaf, value in self._given_away:
            leaf._grad = leaf._leaf(self._arrays[value])

    def drop(self) -> None:
        """Let go of the gradients that were handed over: whoever wants one has it, and its memory may be used again."""
        for leaf, _ in self._given_away:
            leaf._grad = None

    def run(self, arguments: Iterable[Array]) -> None:
        """All instructions in order, on these inputs."""
        self._begin(arguments)
        for errors, runs in self._parts:
            with np.errstate(**errors) if errors else nullcontext():
                for run in runs:
                    run()

    def run_shaken(self, arguments: Iterable[Array], turn: int) -> None:
        """As `run`, but half of the numbers that are given, written to or made are moved by one eps, nearer to zero:
        how far the results then move tells what rounding does to them. Another `turn` moves others.
        """
        self._begin(arguments)
        which, written = np.roll(_SHAKEN, turn), {leaf for i in self.program.instructions for leaf in i.writes}
        with np.errstate(all="ignore"):
            for a in (*self._inputs, *(v.source._array for v in self.program.tensors() if v.source in written)):
                _shake(a, which)
            for i, run in self.calls:
                run()
                for value in i.outputs:
                    _shake(self._outs.get(value, self._arrays[value]), which * _roundings(i))

    def empty(self) -> None:
        """Give the memory of large buffers back until the next run, but for what the program returns and leaves."""
        wanted = set(self._alive.values())
        for k, raw in enumerate(self._buffers):
            if k not in wanted:
                emptied(raw)

    def array_of(self, value: Value) -> Array:
        """The memory of a value; of a tensor from outside, its own."""
        return _array_of(value, self._arrays)

    def shares(self, array: Array) -> bool:
        """Whether an array lies in the buffers of the program."""
        return any(np.may_share_memory(array, raw) for raw in self._buffers)

    def place(self, value: Value) -> str:
        """Where a value lives, in words: "b3", "b3 (view)", or "gradients"."""
        root = self.roots.get(value, value)
        return self._homes.get(root, root.label) + (" (view)" if root is not value else "")

    def __str__(self) -> str:
        """The program, with the memory of each result, and from when to when it lives."""
        made = sum(v.array.nbytes for i in self.program.instructions for v in i.outputs if v not in self.roots)
        ends = f"{len(self.program)} instructions; {self.nbytes:,} bytes of buffers for {made:,} bytes of results"
        return f"{listing(self.program, self._memory)}\n{ends}"

    def _memory(self, i: Instruction) -> tuple[str, ...]:
        spans = [self.lives[v] for v in i.outputs if v in self.lives]
        lives = dict.fromkeys(f"{a}-{'end' if b == len(self.program) else b}" for a, b in spans)
        note = "in place" if i in self.in_place else "allocates" if i in self.allocates and i.outputs else ""
        return ", ".join(dict.fromkeys(map(self.place, i.outputs))), ", ".join(lives), note

    def _lowered(self, k: int, instruction: Instruction) -> Run | None:
        """Give what instruction k makes its memory; the call that fills it."""
        made = instruction.outputs
        if made and made[0] in self.roots:  # a view of memory that is there: made now, once and for all
            inputs = substitute(instruction.inputs, self.array_of)
            self._arrays[made[0]] = instruction.function(*inputs, **substitute(instruction.params, self.array_of))
            return None
        taken = self._taken_over(k, instruction)
        if taken is not None:
            (out,) = made
            self.in_place[instruction] = taken
            self._arrays[out], self._homes[out] = self._arrays[taken], self._homes[taken]
            self._alive[out] = self._alive.pop(taken)
        for value in made:
            if value not in self._arrays:
                self._allot(value)
        for value in {self.roots.get(v, v) for v in (*instruction.used(), *made)}:
            if value in self._alive and self.lives[value][1] <= k:  # read for the last time, or by nobody
                number = self._alive.pop(value)
                self._free.setdefault(self._buffers[number].nbytes, []).append(number)
        return self._made(instruction)

    def _made(self, instruction: Instruction) -> Run | None:
        """The call of an instruction whose results have their memory."""
        if instruction.kind == "update":
            return self._update(instruction)
        arrays, outs, allocates = self._arrays, self._outs, self.allocates  # and not self, which holds the call
        here = partial(_array_of, arrays=arrays)

        def call() -> Run:
            inputs, params = (substitute(x, here) for x in (instruction.inputs, instruction.params))
            return _call(instruction, inputs, params, [outs.get(v, arrays[v]) for v in instruction.outputs], allocates)

        moves = not self.handed_over.isdisjoint((*instruction.outputs, *instruction.used()))
        return (lambda: call()()) if moves else call()

    def _allot(self, value: Value) -> None:
        """Memory for a value that is made, in the layout that it had."""
        a = value.array
        shape = list(a.shape)
        if a.size > 1:  # one number seen many times stays so: readers go by the layout, too
            shape = [1 if stride == 0 else n for n, stride in zip(a.shape, a.strides, strict=True)]
        size = max(math.prod(shape) * a.itemsize, 1)
        free = self._free.get(size)
        number = free.pop() if free else len(self._buffers)
        if number == len(self._buffers):
            self._buffers.append(buffer(size))
        self._alive[value], self._homes[value] = number, f"b{number}"
        order = sorted(range(a.ndim), key=lambda k: (-a.strides[k], k))
        flat = np.ndarray([shape[k] for k in order], a.dtype, self._buffers[number])
        once = self._outs[value] = flat.transpose(np.argsort(order).astype(int))
        self._arrays[value] = once if once.shape == a.shape else np.broadcast_to(once, a.shape)

    def _taken_over(self, k: int, instruction: Instruction) -> Value | None:
        """The input that dies here and whose memory the result may have, if there is one."""
        op, into = instruction.op, kernel("into")
        if instruction.kind != "op" or op is None or not op.builtin or not (into and into.elementwise(op.name)):
            return None
        (out,) = instruction.outputs
        read = [] if out in self._arrays else list(values_in(instruction.inputs))
        for x in read:
            alone = all(other is x or self.roots.get(other, other) is not x for other in read)
            same = x.array.shape == out.array.shape and x.array.dtype == out.array.dtype
            if x in self._alive and self.lives[x][1] == k and alone and same and x.array.strides == out.array.strides:
                return x
        return None

    def _gradients_of(self, update: Instruction) -> tuple[list[Array], list[tuple[Array, Value]]] | None:
        """Vectors of gradients end to end, as an optimizer wants them, and which ones are to be copied there.

        The others are made there. None if some parameters have no gradient: then the optimizer looks at `.grad`.
        """
        layout = update.function.layout()
        given = dict(zip(update.writes, update.inputs, strict=True))
        if len(given) < sum(len(params) for params, _ in layout):
            return None
        vectors, copies = [], []
        for params, cuts in layout:
            vectors.append(np.zeros(cuts[-1], params[0].dtype))
            for leaf, (start, stop) in zip(params, pairwise(cuts), strict=True):
                value, place = given[leaf], vectors[-1][start:stop].reshape(leaf._array.shape)
                free = value.kind == "made" and value not in self.roots and value not in self._arrays
                if free and value.array.strides == place.strides:
                    self._arrays[value], self._homes[value] = place, "gradients"
                else:
                    copies.append((place, value))
        return vectors, copies

    def _update(self, instruction: Instruction) -> Run:
        optimizer, gradients = instruction.function, self._gradients[instruction]
        if gradients is None:
            given = dict(zip(instruction.writes, map(self.array_of, instruction.inputs), strict=True))
            params = [leaf for params, _ in optimizer.layout() for leaf in params]

            def step() -> None:
                for leaf in params:
                    leaf._grad = given.get(leaf)
                optimizer.step()

            return step
        vectors, copies = gradients
        copied = [(place, self.array_of(value)) for place, value in copies]

        def run() -> None:
            for place, gradient in copied:
                np.copyto(place, gradient)
            optimizer.apply(vectors)

        return run


def _shake(a: Array, which: Array) -> None:
    """Move some numbers by one eps; in place, for large arrays would make larger ones."""
    if a.dtype.kind != "f":
        return
    factors = (1 - which * np.finfo(a.dtype).eps).astype(a.dtype)
    if a.flags.c_contiguous:
        whole, flat = a.size - a.size % which.size, a.reshape(-1)
        flat[:whole].reshape(-1, which.size)[...] *= factors
        flat[whole:] *= factors[: a.size - whole]
    else:
        a *= np.resize(factors, a.shape)


def _roundings(i: Instruction) -> float:
    """By how many eps an instruction may be off: a float64 sum of n terms, added up one by one, by about sqrt(n)."""
    plain = i.name in ("sum", "mean") and i.outputs[0].dtype.char == "d"
    return max(1.0, (next(i.used()).array.size / max(i.outputs[0].array.size, 1)) ** 0.5 / 4) if plain else 1.0


def _array_of(value: Value, arrays: dict[Value, Any]) -> Array:
    if value.kind == "constant":  # an array around the step is read where it is, as the step itself would
        return value.array if value.source is None else value.source
    array: Array = arrays[value]
    return array


class Listed:
    """The program that a step runs, for people: printed with its memory, drawn, timed call by call."""

    def __init__(self, bound: Bound) -> None:
        self.program, self._bound = bound.program, bound

    def __len__(self) -> int:
        return len(self.program)

    def __str__(self) -> str:
        return str(self._bound)

    __repr__ = __str__

    def calls(self) -> list[tuple[str, Run]]:
        """(in words, the call that it became) of every instruction but views, which are made once."""
        return [(statement(i), run) for i, run in self._bound.calls]

    def graph(self) -> list[Node]:
        """As Tensors with a graph of its instructions: what `mg.draw(step.program)` shows."""
        return self.program.graph()

    tensors = graph

    @property
    def instructions(self) -> list[Instruction]:
        """In the order in which they run."""
        return self.program.instructions


def _call(
    instruction: Instruction, inputs: Any, params: dict[str, Any], outs: list[Array], allocates: set[Instruction]
) -> Run:
    """The call of an instruction, from `inputs` to `outs`; where it makes new arrays, it is put into `allocates`."""
    op, is_op = instruction.op, instruction.kind == "op"
    copy = _copying(instruction, inputs, params, outs)
    if op is not None and op.builtin and instruction.pure:
        replaced = getattr(op, "stands_for", None) != (op.rules, op.joint)  # its kernel stands for other rules
        if len(outs) == 1 and (is_op or not replaced) and kernel("into"):
            run: Run | None = kernel("into").into(instruction.name, inputs, params, outs[0])
            if run is not None:
                return run
        fused = None if replaced or (is_op and len(outs) == 1) else (kernel("fused") or {}).get(op.name)
        if fused is not None:
            fast = _fused(fused, instruction, inputs, params, tuple(outs))

            def run_fused() -> None:
                if fast() is None:  # it does not take these, or none was chosen
                    allocates.add(instruction)
                    copy()

            return run_fused
    allocates.add(instruction)
    return copy


def _fused(fused: Any, instruction: Instruction, inputs: Any, params: dict[str, Any], outs: tuple[Array, ...]) -> Run:
    """The call of a kernel for a primitive or for its rule; it gives None where it does not take these arrays."""
    if instruction.kind == "op":
        return partial(fused.forward, inputs, params, outs)
    rule = instruction.function
    g, out, *rest = inputs
    saved, given = tuple(rest[: rule.saved]), tuple(rest[rule.saved :])
    places = dict(zip(rule.wanted, outs, strict=True))
    wanted = tuple([places.get(k) for k in range(len(given))])
    return partial(fused.backward, g, out, saved, given, params, wanted)


def _copying(instruction: Instruction, inputs: Any, params: dict[str, Any], outs: list[Array]) -> Run:
    """Compute new arrays, and copy them where they belong."""
    function, op = instruction.function, instruction.op
    if not outs:
        return partial(function, *inputs, **params)

    def run() -> None:
        if instruction.kind == "op" and op is not None:
            value, saved = op.forward(inputs, params)
            results = (value, *(saved or ())) if len(outs) > 1 else (value,)
        else:
            results = function(*inputs, **params)
            results = results if isinstance(results, tuple) else (results,)
        for out, result in zip(outs, results, strict=bool(outs)):
            if out.shape != np.shape(result):  # one number seen many times, once
                result = result[tuple([slice(0, 1) if n == 1 else slice(None) for n in out.shape])]
            out[...] = result

    return run


def _lives(program: Program, roots: dict[Value, Value]) -> dict[Value, tuple[int, int]]:
    """(instruction that makes it, last one that reads it or a view of it) of every value that owns memory."""
    made = {v: k for k, i in enumerate(program.instructions) for v in i.outputs if v not in roots}
    last = dict(made)
    for k, instruction in enumerate(program.instructions):
        last.update({roots.get(v, v): k for v in instruction.used()})
    last.update({roots.get(v, v): len(program) for v in program.wanted()})
    return {v: (k, last[v]) for v, k in made.items()}
