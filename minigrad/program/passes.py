"""Passes: functions from a Program to a Program that gives the same.

Three keep every bit: `without_dead_code`, `without_repeats`, `with_plain_powers`. `opened` writes fused primitives out
as the operations that they are made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.context import using
from ..core.gradients import fitted
from ..core.nodes import Primitive, registry
from .program import Instruction, Program, Value, values_in
from .program import without_dead_code as without_dead_code
from .recording import NotRecordable, Pull, Recorder


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
                    return "constant", id(x.source), x.array.shape, x.array.dtype.str, x.array.tobytes()
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


def with_plain_powers(program: Program) -> Program:
    """x**2 becomes square(x), and x**1 is x, as NumPy itself computes them: every bit is kept."""
    square, roots = registry["square"].op, layout_of(program)
    steps: list[Instruction] = []
    same: dict[Value, Value] = {}
    for i in program.instructions:
        power = i.inputs[1] if i.kind == "op" and i.name == "pow" and isinstance(i.inputs[0], Value) else None
        plain = type(power) in (int, float) and i.inputs[0].dtype == i.outputs[0].dtype
        if plain and power == 2:
            steps.append(replace(i, name="square", function=square.kernel, op=square, inputs=i.inputs[:1]))
        elif plain and power == 1 and roots.get(i.inputs[0], i.inputs[0]).kind == "made":  # and no view of a parameter
            same[i.outputs[0]] = i.inputs[0]
        else:
            steps.append(i)
    return program.substituted(steps, _resolved(same))


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


def opened(program: Program, rules: bool = False, recorder: Callable[[], Recorder] = Recorder) -> Program:
    """Fused primitives written out: their `save`, their function and their joint rule, operation by operation.

    With rules=True the rule of every primitive, where a kernel stands for it. What is not made of minigrad's functions
    stays as it is. `recorder` makes what listens to each.
    """
    steps: list[Instruction] = []
    same: dict[Value, Value] = {}
    for instruction in program.instructions:
        try:
            parts = _parts(instruction, same, rules, recorder())
        except (NotRecordable, TypeError):  # NumPy inside: nobody can look in
            parts = None
        if parts is None:
            steps.append(instruction)
        else:
            steps += parts
    return without_dead_code(program.substituted(steps, _resolved(same))).numbered()


def _resolved(same: dict[Value, Value]) -> dict[Value, Value]:
    """The same, where what a value is replaced by was not replaced itself."""
    found = {}
    for value in same:
        end = value
        while end in same:
            end = same[end]
        found[value] = end
    return found


def _parts(i: Instruction, same: dict[Value, Value], rules: bool, recorder: Recorder) -> list[Instruction] | None:
    op: Any = i.op
    if op is None or (op.save is None and not (rules and i.kind == "rule")):
        return None

    def node(x: Any) -> Any:
        return recorder.leaf_for(x) if isinstance(x, Value) else x

    given = [node(x) for x in i.inputs]
    params = {name: x.array if isinstance(x, Value) else x for name, x in i.params.items()}
    for x in i.params.values():
        if isinstance(x, Value):
            recorder.known_as(x)
    with using(recording=False, observers=(), frozen=True, cause=None), using(recorder), np.errstate(all="ignore"):
        if i.kind == "op":
            saved = op.save(*given, **params)
            results = [op.kernel(*given, saved=saved, **params), *saved]
        else:
            pull: Pull = i.function
            g, out, *rest = given
            saved, inputs = tuple(rest[: pull.saved]) or None, rest[pull.saved :]
            found = dict(Primitive.pull(op, g, out, saved, inputs, params, list(pull.wanted)))
            arrays = [getattr(x, "_array", x) for x in inputs]
            results = [fitted(found[k], arrays[k], op) for k in pull.wanted]
    recorder.give_names({})
    for old, new in zip(i.outputs, results, strict=False):  # what was saved counts only where a rule will read it
        value = recorder.value(new)
        same[old] = value
        if old.name and not value.name:
            value.name = old.name
    for part in recorder.instructions:
        part.backward, part.scope, part.line = i.backward, i.scope, i.line
    return recorder.instructions


ELEMENTWISE = frozenset(
    ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "where", "equal", "less", "greater", "less_equal")
)


def tidied(program: Program) -> Program:
    """Without steps that a reader does not need: repeats, and shapes that NumPy's broadcasting finds by itself."""
    program = without_dead_code(without_repeats(program))
    ends, readers = set(program.wanted()), readers_of(program)
    same: dict[Value, Value] = {}
    for i in program.instructions:
        if i.kind == "op" and i.name in ("reshape", "broadcast_to") and isinstance(i.inputs[0], Value):
            out, x = i.outputs[0], same.get(i.inputs[0], i.inputs[0])
            spread = i.name == "broadcast_to" or out.shape == (1,) * (len(out.shape) - len(x.shape)) + x.shape
            if spread and out not in ends and all(_same_without(r, out, x) for r in readers.get(out, [])):
                same[out] = x
    steps = [i for i in program.instructions if not any(v in same for v in i.outputs)]
    program = without_dead_code(program.substituted(steps, _resolved(same)))
    return _without_kept_axes(program).numbered()


def _without_kept_axes(program: Program) -> Program:
    """A sum with keepdims=True that is then reshaped to what it would be without: summed so at once, where all fits."""
    ends, readers = set(program.wanted()), readers_of(program)
    summed = {i.outputs[0]: i for i in program.instructions if i.params.get("keepdims") is True}
    same: dict[Value, Value] = {}
    for i in program.instructions:
        wide: Any = i.inputs[0] if i.kind == "op" and i.name == "reshape" else None
        if wide not in summed or wide in ends or wide in same:
            continue
        if summed[wide].params["axis"] in (0, (0,)) and i.outputs[0].shape == wide.shape[1:]:
            same |= _narrower(wide, i, readers, ends)

    def remade(i: Instruction) -> Instruction:
        if not i.outputs or i.outputs[0] not in same:
            return i
        params = {**i.params, "keepdims": False} if i.outputs[0] in summed else i.params
        return replace(i, params=params, outputs=(same[i.outputs[0]],))

    dropped = set(same.values())
    steps = [i for i in program.instructions if i.name != "reshape" or i.outputs[0] not in dropped]
    return program.substituted([remade(i) for i in steps], same)


def _narrower(
    wide: Value, reshape: Instruction, readers: dict[Value, list[Instruction]], ends: set[Value]
) -> dict[Value, Value]:
    """What can lose its first axis of length 1: `wide`, and what is made of it and numbers. Empty where one cannot."""
    found, todo = {wide: reshape.outputs[0]}, [wide]
    for v in todo:
        for reader in readers[v]:
            if reader is reshape or _same_without(reader, v, found[v]):
                continue
            out = reader.outputs[0]
            alone = all(x is v or not x.shape for x in reader.inputs if isinstance(x, Value))
            if reader.kind != "op" or reader.name not in ELEMENTWISE or not alone or out in ends:
                return {}
            found[out] = Value(out.number, "made", out.array[0], name=out.name)
            todo.append(out)
    return found


def readers_of(program: Program) -> dict[Value, list[Instruction]]:
    """The instructions that use each value."""
    readers: dict[Value, list[Instruction]] = {}
    for i in program.instructions:
        for v in i.used():
            readers.setdefault(v, []).append(i)
    return readers


def _same_without(reader: Instruction, out: Value, x: Value) -> bool:
    """Whether an elementwise operation gives the same shape when it is given x in place of `out`."""
    if reader.kind != "op" or reader.name not in ELEMENTWISE:
        return False
    shapes = [x.shape if v is out else v.shape for v in reader.inputs if isinstance(v, Value)]
    return np.broadcast_shapes(*shapes) == reader.outputs[0].shape
