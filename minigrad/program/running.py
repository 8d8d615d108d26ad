"""Running a program on bare arrays: on other inputs, in another precision, or with a value changed."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from .._support.arrays import plain, real
from ..core.nodes import describe, raw
from .program import Array, Instruction, Program, Value, substitute


class Run(NamedTuple):
    """What a program gave: the value of the function, and its gradients by name of the input or tensor."""

    value: Any
    gradients: dict[str, Array]


def run(program: Program, args: Any, named: Mapping[str, Any], *, gradient: Any, dtype: Any, change: Any) -> Run:
    """What the recorded function gives on other inputs, and its gradients.

    args      in the order of the recording; shapes and kinds of numbers must be those of the recording
    gradient  dL/df; where f is a single number (or each of its results is) it may be left out and is 1. Left out where
              f is an array, the forward alone is run, and there are no gradients
    dtype     another precision: floating-point inputs, tensors and constants are converted, and everything is computed
              in it; or a function that rounds an array, for a precision that NumPy does not have
    change    {name of a value: an array, or a function of the value that it has}: what follows uses that instead

    >>> import minigrad as mg
    >>> program = mg.record(lambda x: (x * x).sum(), np.array([1.0, 2.0]))
    >>> program.run(np.array([3.0, 4.0]))
    Run(value=array(25.), gradients={'x': array([6., 8.])})
    """
    if gradient is None and any(v.array.size != 1 for v in program.cotangents):
        program = program.forward()
    start = inputs_of(program, args, named, gradient)
    held = evaluate(program, start, dtype=dtype, change=change)
    return Run(
        substitute(program.template, held.__getitem__),
        {value.label: held[slope] for value, slope in program.gradients.items()},
    )


def inputs_of(program: Program, args: Any, named: Mapping[str, Any], gradient: Any) -> dict[Value, Array]:
    """Each input of a program with the array for it, checked."""
    wanted = [value for value in program.inputs if value not in program.cotangents]
    names = [value.name for value in wanted]
    given = list(map(raw, args))
    late = wanted[len(given) :]
    missing = [v.name for v in late if v.name not in named]
    if len(given) > len(wanted) or missing or len(named) != len(late):
        raise TypeError(
            f"this program takes {len(wanted)} inputs ({', '.join(map(str, names))}), got {len(args)}"
            + (f" and {', '.join(named)}" if named else "")
        )
    given += [raw(named[str(v.name)]) for v in late]
    held = {v: _fitting(v, x) for v, x in zip(wanted, given, strict=True)}
    return held | {v: _fitting(v, x) for v, x in zip(program.cotangents, _cotangents(program, gradient), strict=True)}


def _cotangents(program: Program, gradient: Any) -> list[Any]:
    ends = program.cotangents
    if gradient is None:
        return [np.ones(v.shape, v.dtype) for v in ends]
    parts = (
        list(gradient) if isinstance(gradient, tuple) or (isinstance(gradient, list) and len(ends) > 1) else [gradient]
    )
    if len(parts) != len(ends):
        raise ValueError(f"gradient= has {len(parts)} parts, but this program has {len(ends)} results with a gradient")
    return [plain(part) for part in parts]


def _fitting(v: Value, x: Any) -> Array:
    array = plain(x)
    if array.shape != v.shape or not np.can_cast(array.dtype, v.dtype, "same_kind"):
        raise ValueError(
            f"input {v.name} is {describe(array)}, but the program was recorded with {describe(v.array)}; record again "
            "for another shape or kind of numbers"
        )
    return array.astype(v.dtype)


def evaluate(
    program: Program, inputs: Mapping[Value, Array], *, dtype: Any = None, change: Mapping[Any, Any] | None = None
) -> dict[Value, Array]:
    """Every value of a program on these inputs. Tensors from outside are read as they are now."""
    changes = {(program[name] if isinstance(name, str) else name): x for name, x in (change or {}).items()}
    held: dict[Value, Array] = {}

    def convert(array: Array) -> Array:
        if dtype is None or array.dtype.kind != "f":
            return array
        found: Array = dtype(array) if isinstance(dtype, FunctionType) else array.astype(dtype)
        return found

    def put(value: Value, array: Array) -> None:
        if value in changes:
            new = changes[value]
            array = np.broadcast_to(np.asarray(new(array) if callable(new) else plain(new), array.dtype), array.shape)
        held[value] = array

    def get(value: Value) -> Array:
        if value not in held:
            put(value, convert(value.source._array if value.kind == "tensor" else value.array))
        return held[value]

    for value, array in inputs.items():
        put(value, convert(array))
    with np.errstate(all="ignore"):
        for instruction in program.instructions:
            given, params = substitute(instruction.inputs, get), substitute(instruction.params, get)
            for value, array in zip(instruction.outputs, compute(instruction, given, params), strict=True):
                put(value, convert(array))
    for value in program.wanted():
        get(value)
    return held


def compute(instruction: Instruction, inputs: Any, params: dict[str, Any]) -> tuple[Array, ...]:
    """What one instruction gives for bare arrays: the result, and what is saved."""
    if instruction.kind == "op":
        op: Any = instruction.op
        value, saved = op.forward(inputs, params)
        return real(value, op.name), *(saved or ())
    results = instruction.function(*inputs, **params)
    return (
        tuple(map(np.asarray, results))
        if isinstance(results, tuple)
        else ()
        if results is None
        else (np.asarray(results),)
    )
