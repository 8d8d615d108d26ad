"""What is exported: a function called on example inputs, or a graph that is there, as a Program of the forward.

A program knows which op made what. It cannot know what a function computed beside the graph (from `.data`, from a
shape), so the function is recorded again on other values, and with one row more: a constant that moves between the
first two depends on the inputs and is refused; what differs in the third needs the batch size and fixes it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._support.shapes import axes_of, count
from ..anomalies import Lines
from ..core.context import Observer, using
from ..core.nodes import Node, Primitive, describe, next_number
from ..core.tensor import Tensor
from ..program import Instruction, Program, Value
from ..program.as_graph import history, of_graph
from ..program.changed import changed
from ..program.passes import without_dead_code
from ..program.patterns import Pattern, patterns
from ..program.program import substitute

Rows = dict[Value, set[int]]  # of each value: the axes along which rows lie, if their number is open


class _Watch(Observer):
    """Keeps what made each result without a gradient (comparisons, masks), of which the engine keeps no history."""

    def __init__(self) -> None:
        self.flat: dict[Any, Any] = {}

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        if node.op is None and not params:
            self.flat[node] = op, inputs, {}


def record(function: Callable[..., Any], arrays: Sequence[Any]) -> Program:
    """The forward of `function` on Tensors of these arrays; modules keep their running statistics."""
    inputs = [Tensor(a, requires_grad=np.asarray(a).dtype.kind == "f") for a in arrays]
    watch, begin = _Watch(), next_number()
    with using(Lines(), watch, recording=True, frozen=True):
        result = function(*inputs)
    outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(f"export: the function must return a Tensor, or several; it returned {type(y).__name__}")
        if y.op is None and y not in watch.flat and y not in set(inputs):
            raise ValueError(
                f"export: the result {describe(y)} has no graph, so there is nothing to export; what is computed from "
                ".data or under no_grad is not recorded, and the inputs must be floating-point"
            )
    return in_operators(of_graph(outputs, inputs, lambda x: history(x) or watch.flat.get(x), begin))


OPERATORS = ("layer_norm", "log_softmax", "softmax", "linear")  # that ONNX has for what minigrad writes as a graph


def in_operators(program: Program) -> Program:
    """The program with what ONNX has one operator for as one instruction, and axes as numbers from 0."""
    steps = {i.out: replace(i, params=_settled(i)) for i in program.instructions}

    def as_onnx_has_it(pattern: Pattern) -> bool:
        narrow = pattern.params.get("narrow")  # gamma and beta in the shape of the reduced axes, no more
        return narrow is None or all(x is None or x.shape == narrow for x in pattern.inputs[1:])

    for found in patterns(program.with_instructions(list(steps.values())), OPERATORS, as_onnx_has_it):
        if not found.differs:
            steps[found.out] = replace(steps[found.out], name=found.kind, inputs=found.inputs, params=found.params)
    return without_dead_code(program.with_instructions(list(steps.values())))


def _settled(i: Instruction) -> dict[str, Any]:
    """The parameters of a recorded op with the axes counted out, for the shapes that it had."""
    params: dict[str, Any] = substitute(i.params, lambda v: v.array)
    first = getattr(i.inputs[0], "shape", ()) if i.inputs else ()
    if i.name in ("sum", "mean", "var", "std", "max", "min", "prod", "logsumexp"):
        params["axis"] = axes_of(params["axis"], len(first))
        if params.get("ddof"):
            params["count"] = count(first, params["axis"])
    elif i.name == "squeeze":
        named = params["axis"]
        ones = tuple([k for k, n in enumerate(first) if n == 1])
        params["axis"] = ones if named is None else axes_of(named, len(first))
    elif i.name == "expand_dims":
        params["axis"] = axes_of(params["axis"], i.out.ndim)
    elif i.name in SHAPED:
        params["shape"] = i.out.shape
    return params


SHAPED = ("reshape", "broadcast_to")


# --------------------------------------------------------------------------------------------------------------
# The same function on other inputs


def recorded(function: Callable[..., Any], arrays: list[Any], dynamic: bool | None) -> tuple[Program, Rows | None]:
    """The function's program, once it is known that it is the same for other values, and perhaps for other rows."""
    first, rng = record(function, arrays), np.random.default_rng(0)
    # other numbers: rows reversed and scaled by up to a tenth, signs kept
    others = [(a[::-1] if a.ndim else a) * rng.uniform(0.9, 1.1, a.shape).astype(a.dtype) for a in arrays]
    wrong = difference(first, record(function, others)) or _when_negated(function, arrays, first)
    if wrong:
        raise ValueError(
            f"export: {wrong}; use minigrad's functions of floating-point values (not .data, no whole numbers) and "
            "no dropout (training=False)"
        )
    rows, fixed = ({}, "") if dynamic is False else _for_any_rows(function, arrays, first)
    if dynamic and fixed:
        raise ValueError(f"export: the number of rows cannot be left open: {fixed}")
    return first, None if fixed or dynamic is False else rows


def _when_negated(function: Callable[..., Any], arrays: list[Any], first: Program) -> str:
    """As `difference`, with all signs changed, for masks such as x.data > 0; "" where it cannot take such numbers."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            second = record(function, [-a for a in arrays])
    except Exception:  # whatever the user's code says of such numbers
        return ""
    return difference(first, second) if all(np.isfinite(i.out.array).all() for i in second.instructions) else ""


def _for_any_rows(function: Callable[..., Any], arrays: list[Any], first: Program) -> tuple[Rows, str]:
    rows = {a.shape[0] if a.ndim else 0 for a in arrays}
    if len(rows) != 1 or 0 in rows:
        return {}, "the inputs have no common number of rows"
    try:
        second = record(function, [np.concatenate([a, a[:1]]) for a in arrays])
    except Exception as error:  # whatever the user's code says of one row more: then it is for this many
        return {}, f"with one row more it failed: {error}"
    different = difference(first, second)
    return ({}, different) if different else stretched(first, second)


def difference(a: Program, b: Program) -> str:
    """What keeps two recordings of one function from being the same program; empty if nothing does."""
    if [i.name for i in a.instructions] != [i.name for i in b.instructions] or len(a.template) != len(b.template):
        return "the function took another path through its code"
    partner: dict[Value, Value] = {}
    for s, t in zip(a.instructions, b.instructions, strict=True):
        for x, y in zip(s.inputs, t.inputs, strict=True):
            if changed(x, y, partner):
                return f"{s.name} used {_words(x)}, which was computed from the inputs outside the graph"
        p, q = ({k: v for k, v in i.params.items() if k != "shape" or i.name not in SHAPED} for i in (s, t))
        if changed(p, q, partner):
            return f"the parameters of {s.name} changed"
        partner[s.out] = t.out
    return ""


def _words(x: Any) -> str:
    return f"the constant {describe(x.array)}" if isinstance(x, Value) else f"the number {x!r}"


def stretched(a: Program, b: Program) -> tuple[Rows, str]:
    """The axes of each value that grow by the row that `b` has more, -1 in a's shapes; or what cannot be, in words."""
    open_axes: Rows = {x: {0} for x in a.inputs}
    rows = a.inputs[0].shape[0]
    for s, t in zip(a.instructions, b.instructions, strict=True):
        old, new = s.out.shape, t.out.shape
        if len(old) != len(new) or any(
            m not in (n, n + 1) or (m == n + 1 and n != rows) for n, m in zip(old, new, strict=True)
        ):
            return {}, f"the result of {s.name} has shape {old} for {rows} rows and {new} for {rows + 1}"
        grows = tuple([-1 if m != n else n for n, m in zip(old, new, strict=True)])
        open_axes[s.out] = {k for k, n in enumerate(grows) if n == -1}
        if s.name == "reshape":
            if grows.count(-1) > 1:
                return {}, "a reshape has the number of rows in it twice"
            s.params["shape"] = grows
        elif s.name == "broadcast_to":
            before, after = ((1,) * (len(old) - i.inputs[0].ndim) + i.inputs[0].shape for i in (s, t))
            if any(n == -1 and p == q for n, p, q in zip(grows, before, after, strict=True)):
                return {}, "broadcast_to stretches to the number of rows"
            s.params["shape"] = tuple([1 if n == -1 else n for n in grows])
    return open_axes, ""
