"""Whether two recordings of one function have the same in a place: values by their origin, constants by their bits."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

import numpy as np

from .program import Instruction, Program, Value


def difference(a: Program, b: Program, partner: dict[Value, Value] | None = None, calls: bool = True) -> str:
    """The first instruction in which two recordings differ, in words; empty where they say the same.

    partner: values of `b` that are known to stand for values of `a`. calls=False: what callbacks are given may differ.
    """
    partner = {} if partner is None else partner
    for x, y in zip_longest(a.instructions, b.instructions):
        first, then = (f"{i.name}{_at(i)}" if i else "nothing" for i in (x, y))
        if x is None or y is None or (x.kind, x.name, x.op) != (y.kind, y.name, y.op):
            return f"{first} came first, {then} in its place the second time"
        if calls or x.kind != "call":
            if x.function != y.function:
                return f"{first} was another function the second time"
            text = changed((x.inputs, x.params), (y.inputs, y.params), partner)
            if text:
                return f"{first} was given {text}"
        for v, w in zip(x.outputs, y.outputs, strict=True):
            if v.shape != w.shape or v.dtype != w.dtype:
                return f"{first} gave shape {v.shape} first and {w.shape} the second time"
            partner[v] = w
    return ""


def _at(i: Instruction) -> str:
    return f" (line {i.line[1]} of {i.line[0]})" if i.line else ""


def changed(x: Any, y: Any, partner: dict[Value, Value]) -> str:
    """What differs between what two recordings have in one place, in words; empty where they say the same.

    partner: the value of the second recording that each value of the first is.
    """
    if isinstance(x, Value) and isinstance(y, Value):
        if x.kind != y.kind:
            return "something of another origin the second time"
        if x.kind == "made":
            return "" if partner.get(x) is y else "the result of another operation the second time"
        if x.kind == "constant":
            return (
                ""
                if partner.get(x) is y or _same_array(x.array, y.array)
                else f"a constant that changed: {_short(x)}, then {_short(y)}"
            )
        same = x.source is y.source if x.kind == "tensor" else x.source == y.source
        return "" if same else "another tensor the second time"
    if isinstance(x, dict) and isinstance(y, dict) and x.keys() == y.keys():
        x, y = list(x.values()), [y[key] for key in x]
    if isinstance(x, (tuple, list)) and isinstance(y, (tuple, list)) and len(x) == len(y):
        return next((text for p, q in zip(x, y, strict=True) if (text := changed(p, q, partner))), "")
    if x is y:
        return ""
    if isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
        return "" if _same_array(x, y) else "a constant array that changed"
    if type(x) is type(y) and (x == y or (x != x and y != y)):
        return ""
    return f"{x!r}, then {y!r}"


def _same_array(a: Any, b: Any) -> bool:
    x, y = np.asarray(a), np.asarray(b)
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


def _short(v: Value) -> str:
    return repr(v.array.item()) if v.array.size == 1 else f"an array of shape {v.array.shape}"
