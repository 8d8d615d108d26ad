"""What may be done to a program before it runs; each pass is a function from a Program to a Program.

These two keep every bit: they only leave work out. The pass that changes rounding is in fusion.py, and what shares
memory with what is settled in binding.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .program import Instruction, Program, Value, values_in


def without_dead_code(program: Program) -> Program:
    """Leave out what nobody looks at: from the end backwards, pure instructions whose outputs are not used later."""
    used = set(program.kept())
    kept: list[Instruction] = []
    for instruction in reversed(program.instructions):
        if instruction.pure and not used.intersection(instruction.outputs):
            continue
        used.update(instruction.used())
        kept.append(instruction)
    return program.with_instructions(kept[::-1])


def without_repeats(program: Program) -> Program:
    """Common subexpressions: the same function of the same values is computed once.

    What reads a tensor from outside counts as another value after each write to that tensor.
    """
    first: dict[Any, tuple[Value, ...]] = {}
    same: dict[Value, Value] = {}
    roots = layout_of(program)
    writes: dict[Any, int] = {}
    kept: list[Instruction] = []
    for instruction in program.instructions:
        op = instruction.op
        if op is not None and not op.builtin:  # a user's function may draw random numbers, or count its calls
            kept.append(instruction)
            continue
        if not instruction.pure:
            for leaf in instruction.writes:
                writes[id(leaf._array)] = writes.get(id(leaf._array), 0) + 1
            kept.append(instruction)
            continue

        def key_of(x: Any) -> Any:
            if isinstance(x, Value):
                x = same.get(x, x)
                if x.kind == "constant":
                    return "constant", x.array.shape, x.array.dtype.str, x.array.tobytes()
                root = roots.get(x, x)
                return x, writes.get(id(root.source._array), 0) if root.kind == "tensor" else 0
            if isinstance(x, (tuple, list)):
                return type(x).__name__, *map(key_of, x)
            if isinstance(x, np.ndarray):
                return "array", x.shape, x.dtype.str, x.tobytes()
            return type(x).__name__, repr(x) if isinstance(x, (float, slice)) else x  # 0.0 == -0.0, and slices

        key = (instruction.kind, instruction.op, instruction.function, key_of(instruction.inputs))
        key += tuple([(name, key_of(value)) for name, value in instruction.params.items()])
        before = first.get(key)
        if before is None:
            first[key] = instruction.outputs
            kept.append(instruction)
        else:
            same.update(zip(instruction.outputs, before, strict=True))
    return program.substituted(kept, same)


def layout_of(program: Program) -> dict[Value, Value]:
    """For every value that is a view of another, the value whose memory it looks at."""
    roots: dict[Value, Value] = {}
    for instruction in program.instructions:
        if instruction.kind == "op" and instruction.op is not None and instruction.op.name in VIEWS:
            (out,) = instruction.outputs
            x = next(values_in(instruction.inputs), None)
            if x is not None and np.may_share_memory(out.array, x.array):
                roots[out] = roots.get(x, x)
    return roots


VIEWS = frozenset(("broadcast_to", "expand_dims", "flip", "getitem", "reshape", "squeeze", "swapaxes", "transpose"))
