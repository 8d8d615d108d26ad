"""What may be done to a program before it runs; each pass is a function from a Program to a Program.

These two keep every bit: they only leave work out. The pass that changes rounding is in fusion.py, and what shares
memory with what is settled in lowering.py.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from .program import Instruction, Program, Value, values_in


def without_dead_code(program: Program) -> Program:
    """Leave out what nobody looks at: from the end backwards, pure instructions whose outputs are not used later."""
    used = set(program.outputs())
    alive: list[Instruction] = []
    for instruction in reversed(program.instructions):
        if not instruction.pure or used.intersection(instruction.outputs):
            used.update(instruction.used())
            alive.append(instruction)
    return program.rewritten(alive[::-1])


def without_repeats(program: Program) -> Program:
    """Common subexpressions: the same function of the same values is computed once.

    What reads a tensor from outside counts as another value after each write to that tensor.
    """
    first: dict[Any, tuple[Value, ...]] = {}
    same: dict[Value, Value] = {}
    roots = views(program)
    writes: Counter[int] = Counter()
    remaining: list[Instruction] = []

    def key_of(x: Any) -> Any:
        if isinstance(x, Value):
            x = same.get(x, x)
            if x.kind == "constant":
                return "constant", key_of(x.array)
            root = roots.get(x, x)
            return x, writes[id(root.source._array)] if root.kind == "tensor" else 0
        if isinstance(x, (tuple, list)):
            return type(x).__name__, *map(key_of, x)
        if isinstance(x, np.ndarray):
            return "array", x.shape, x.dtype.str, x.tobytes()
        return type(x).__name__, repr(x) if isinstance(x, (float, slice)) else x  # 0.0 == -0.0, and slices

    for i in program.instructions:
        writes.update([id(leaf._array) for leaf in i.writes])
        if i.pure and i.op is not None and i.op.builtin:  # a user's may draw random numbers, or count its calls
            before = first.setdefault(key_of((i.kind, i.op, i.function, i.inputs, *i.params.items())), i.outputs)
            if before is not i.outputs:
                same.update(zip(i.outputs, before, strict=True))
                continue
        remaining.append(i)
    return program.rewritten(remaining, same)


VIEWS = frozenset(("broadcast_to", "expand_dims", "flip", "getitem", "reshape", "squeeze", "swapaxes", "transpose"))


def views(program: Program) -> dict[Value, Value]:
    """For every value that is a view of another, the value whose memory it looks at."""
    roots: dict[Value, Value] = {}
    for instruction in program.instructions:
        if instruction.kind == "op" and instruction.name in VIEWS:
            (out,) = instruction.outputs
            x = next(iter(values_in(instruction.inputs)), None)
            if x is not None and np.may_share_memory(out.array, x.array):
                roots[out] = roots.get(x, x)
    return roots
