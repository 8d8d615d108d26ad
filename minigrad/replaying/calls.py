"""The calls that instructions become: functions of no arguments on arrays that stay where they are.

Where the primitive can write its result into an array, the call does; the others make new arrays, which are copied.
Each gives the bits of the primitive itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..core.gradients import stretched
from ..fast.into import into
from ..fast.sums import count, kept, number, total_into
from .program import Array, Instruction
from .recorder import Fit

Run = Callable[[], Any]


def direct(instruction: Instruction, inputs: Any, params: dict[str, Any], outs: list[Array]) -> Run | None:
    """The call of an instruction that has one result and writes it where it belongs; None where it does not."""
    op, name = instruction.op, instruction.name
    if isinstance(instruction.function, Fit):
        return _fitted(inputs[0], outs[0])
    if op is None or op.save is not None or not op.own:
        return None
    if instruction.kind == "op":
        if name in ("mean", "sum"):
            return _total(name, inputs[0], **params, out=outs[0])
        return into(name, inputs, params, outs[0])
    return _spread(name, inputs[0], inputs[2].shape, params["axis"], outs[0]) if name in _SPREAD else None


_SPREAD = ("mean backward", "sum backward")


def _total(name: str, x: Array, axis: Any, keepdims: bool, out: Array) -> Run | None:
    """Sum or mean of floats over `axis`."""
    n = count(x.shape, axis)
    if x.dtype.kind != "f" or not n:
        return None
    add = total_into(x, axis, out if keepdims else out.reshape(kept(x.shape, axis)))
    if name == "sum" or add is None:
        return add
    divide = partial(np.divide, out, number(n, out.dtype), out)

    def run() -> None:
        add()
        divide()

    return run


def _fitted(d: Array, out: Array) -> Run | None:
    """A gradient summed down to the shape of `out`."""
    axes = stretched(d.shape, out.shape)
    return total_into(d, axes, out.reshape(kept(d.shape, axes))) if axes and d.dtype == out.dtype else None


def _spread(name: str, g: Array, shape: tuple[int, ...], axis: Any, out: Array) -> Run:
    """The rules of sum and mean: every element gets its result's g (over the count)."""
    wide = g.reshape(kept(shape, axis))
    if name == "sum backward":
        return partial(np.copyto, out, wide)
    return partial(np.divide, wide, number(count(shape, axis), g.dtype), out)


def fast(instruction: Instruction, inputs: Any, params: dict[str, Any], outs: tuple[Array, ...]) -> Run:
    """The kernel that stands for a primitive or for its rule; it gives None where it does not take these arrays."""
    kernel = instruction.op.fast  # type: ignore[union-attr]
    if instruction.kind == "op":

        def run() -> Any:
            return kernel.forward(*inputs, into=outs, **params)

    else:
        pull = instruction.function
        g, out, *rest = inputs
        saved, given = tuple(rest[: pull.saved]), tuple(rest[pull.saved :])
        places = dict(zip(pull.given, outs, strict=True))
        wanted = tuple([places.get(k) for k in range(len(given))])

        def run() -> Any:
            return kernel.backward(g, out, saved, *given, into=wanted, **params)

    return run


def _fill(out: Array, result: Any) -> None:
    if out.shape != np.shape(result):  # what is repeated, once
        result = result[tuple([slice(0, 1) if n == 1 else slice(None) for n in out.shape])]
    out[...] = result


def copying(instruction: Instruction, inputs: Any, params: dict[str, Any], outs: list[Array]) -> Run:
    """Compute new arrays, and copy them where they belong."""
    function, op = instruction.function, instruction.op
    if instruction.kind == "op" and op is not None and op.save is not None:
        save, kernel = op.save, op.kernel

        def function(*inputs: Any, **params: Any) -> tuple[Any, ...]:
            saved = save(*inputs, **params)
            return kernel(*inputs, saved=saved, **params), *saved

    def run() -> None:
        results = function(*inputs, **params)
        if results.__class__ is tuple:
            for out, result in zip(outs, results, strict=True):
                _fill(out, result)
        elif outs:
            _fill(outs[0], results)

    return run
