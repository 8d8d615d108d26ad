"""The calls that instructions become: functions of no arguments on arrays that stay where they are.

Where the primitive can write its result into an array, the call does; the others make new arrays, which are copied.
Each gives the bits of the primitive itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .._support.shapes import count, with_ones
from ..core.nodes import kernel
from .program import Array, Instruction

Run = Callable[[], Any]


def direct(instruction: Instruction, inputs: Any, params: dict[str, Any], outs: list[Array]) -> Run | None:
    """The call of an instruction that has one result and writes it where it belongs; None where it does not."""
    op, name, fast = instruction.op, instruction.name, kernel("into")
    if op is None or op.save is not None or not op.builtin or fast is None:
        return None
    if instruction.kind == "op":
        if name in ("mean", "sum"):
            return kernel("total_into") and _total(name, inputs[0], **params, out=outs[0])
        run: Run | None = fast.into(name, inputs, params, outs[0])
        return run
    return _spread(name, inputs[0], inputs[2].shape, params["axis"], outs[0]) if name in _SPREAD else None


_SPREAD = ("mean backward", "sum backward")


def _total(name: str, x: Array, axis: Any, keepdims: bool, out: Array) -> Run | None:
    """Sum or mean of floats over `axis`."""
    n = count(x.shape, axis)
    if x.dtype.kind != "f" or not n:
        return None
    add: Run | None = kernel("total_into")(x, axis, out if keepdims else out.reshape(with_ones(x.shape, axis)))
    if name == "sum" or add is None:
        return add
    divide = partial(np.divide, out, np.array(n, out.dtype), out)

    def run() -> None:
        add()
        divide()

    return run


def _spread(name: str, g: Array, shape: tuple[int, ...], axis: Any, out: Array) -> Run:
    """The rules of sum and mean: every element gets its result's g (over the count)."""
    wide = g.reshape(with_ones(shape, axis))
    if name == "sum backward":
        return partial(np.copyto, out, wide)
    return partial(np.divide, wide, np.array(count(shape, axis), g.dtype), out)


def elementwise(name: str) -> bool:
    """Whether a result may take the place of an input of the primitive `name`."""
    fast = kernel("into")
    return fast is not None and bool(fast.elementwise(name))


def kernel_of(op: Any) -> Any:
    """The kernel that stands for a fused primitive and for the rule that it has now; None where there is none."""
    stands = op is not None and op.builtin and getattr(op, "stands_for", None) == (op.rules, op.joint)
    return (kernel("fused") or {}).get(op.name) if stands else None


def fast(fused: Any, instruction: Instruction, inputs: Any, params: dict[str, Any], outs: tuple[Array, ...]) -> Run:
    """The call of a kernel for a primitive or for its rule; it gives None where it does not take these arrays."""
    if instruction.kind == "op":
        return partial(fused.forward, inputs, params, outs)
    pull = instruction.function
    g, out, *rest = inputs
    saved, given = tuple(rest[: pull.saved]), tuple(rest[pull.saved :])
    places = dict(zip(pull.wanted, outs, strict=True))
    wanted = tuple([places.get(k) for k in range(len(given))])
    return partial(fused.backward, g, out, saved, given, params, wanted)


def _fill(out: Array, result: Any) -> None:
    if out.shape != np.shape(result):  # what is repeated, once
        result = result[tuple([slice(0, 1) if n == 1 else slice(None) for n in out.shape])]
    out[...] = result


def copying(instruction: Instruction, inputs: Any, params: dict[str, Any], outs: list[Array]) -> Run:
    """Compute new arrays, and copy them where they belong."""
    function, op = instruction.function, instruction.op
    if instruction.kind == "op" and op is not None:

        def function(*inputs: Any, **params: Any) -> Any:
            value, saved = op.forward(inputs, params)
            return (value, *saved) if len(outs) > 1 else value

    def run() -> None:
        results = function(*inputs, **params)
        if results.__class__ is tuple:
            for out, result in zip(outs, results, strict=True):
                _fill(out, result)
        elif outs:
            _fill(outs[0], results)

    return run
