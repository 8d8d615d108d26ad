"""What is exported: a function called on example inputs, and the ops that it recorded as plain steps.

A recording knows which op made what. It cannot know what a function computed beside the graph (from `.data`, from a
shape), so the function is recorded again on other values, and with one row more: a constant that moves between the
first two depends on the inputs and is refused; what differs in the third needs the batch size and fixes it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._support.shapes import axes_of, count
from ..anomalies import Lines
from ..core.context import Observer, using
from ..core.nodes import Node, Primitive, describe, raw
from ..core.tensor import Tensor
from ..nn import frozen_statistics
from ..program.patterns import Pattern, in_all


@dataclass
class Step:
    """One operation: a primitive's name or a pattern's, what it is given, and the value that it made."""

    op: str
    inputs: tuple[Any, ...]  # Node, or constants
    params: dict[str, Any]
    out: Any


@dataclass
class Recording:
    """A function's inputs, its steps in order, and its outputs."""

    inputs: list[Any]
    steps: list[Step]
    outputs: list[Any]
    dynamic: bool = False  # does the same program serve any number of rows?
    fixed_because: str = ""
    open_axes: dict[Any, set[int]] = field(default_factory=dict)  # of each value: the axes along which rows lie


class _Watch(Observer):
    """Keeps what made each result without a gradient (comparisons, masks), of which the engine keeps no history."""

    def __init__(self) -> None:
        self.flat: dict[Any, tuple[Primitive, tuple[Any, ...]]] = {}

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        if node.op is None and not params:
            self.flat[node] = op, inputs


def record(function: Callable[..., Any], arrays: Sequence[Any]) -> Recording:
    """The steps of `function` on Tensors of these arrays; modules keep their running statistics."""
    inputs = [Tensor(a, requires_grad=np.asarray(a).dtype.kind == "f") for a in arrays]
    watch = _Watch()
    with frozen_statistics(), using(Lines(), watch, recording=True):
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
    return Recording(inputs, steps_of(outputs, watch.flat), outputs)


def steps_of(outputs: Sequence[Any], flat: dict[Any, Any]) -> list[Step]:
    """The steps that the outputs need, oldest first, with the patterns recognized that ONNX has operators for."""

    def step(x: Any) -> Step | None:
        if x.op is not None:
            return Step(x.op.name, x.given, _settled(x), x)
        return Step(flat[x][0].name, flat[x][1], {}, x) if x in flat else None

    steps = {s.out: s for s in _reached(outputs, step)}
    made = {x: (s.op, s.inputs, s.params) for x, s in steps.items()}
    for pattern in in_all(reversed(steps), made.get, OPERATORS, _as_onnx_has_it):
        if not pattern.differs:
            steps[pattern.out] = Step(pattern.kind, pattern.inputs, pattern.params, pattern.out)
    return _reached(outputs, steps.get)


OPERATORS = ("layer_norm", "log_softmax", "softmax", "linear")  # that ONNX has for what minigrad writes as a graph


def _as_onnx_has_it(pattern: Pattern) -> bool:
    """Whether gamma and beta have the shape of the reduced axes, no more."""
    narrow = pattern.params.get("narrow")
    return narrow is None or all(x is None or x.shape == narrow for x in pattern.inputs[1:])


def _reached(outputs: Sequence[Any], step: Callable[[Any], Step | None]) -> list[Step]:
    found: dict[Any, Step] = {}
    stack = [x for x in outputs if isinstance(x, Node)]
    while stack:
        x = stack.pop()
        made = step(x) if x not in found else None
        if made is not None:
            found[x] = made
            stack.extend(y for y in made.inputs if isinstance(y, Node))
    return sorted(found.values(), key=lambda made: made.out.number)


def _settled(x: Any) -> dict[str, Any]:
    """The parameters of a recorded op with the axes counted out, for the shapes that it had."""
    name, params = x.op.name, dict(x.params)
    first = getattr(x.given[0], "shape", ()) if x.given else ()
    if name in ("sum", "mean", "var", "std", "max", "min", "prod", "logsumexp"):
        params["axis"] = axes_of(params["axis"], len(first))
        if params.get("ddof"):
            params["count"] = count(first, params["axis"])
    elif name == "squeeze":
        named = params["axis"]
        ones = tuple([k for k, n in enumerate(first) if n == 1])
        params["axis"] = ones if named is None else axes_of(named, len(first))
    elif name == "expand_dims":
        params["axis"] = axes_of(params["axis"], x.ndim)
    elif name in ("reshape", "broadcast_to"):
        params["shape"] = x.shape
    return params


# --------------------------------------------------------------------------------------------------------------
# The same function on other inputs


def recorded(function: Callable[..., Any], arrays: list[Any], dynamic: bool | None) -> Recording:
    """The function's steps, once it is known that they are the same for other values, and perhaps for other rows."""
    first, rng = record(function, arrays), np.random.default_rng(0)
    # other numbers: rows reversed and scaled by up to a tenth, signs kept
    others = [(a[::-1] if a.ndim else a) * rng.uniform(0.9, 1.1, a.shape).astype(a.dtype) for a in arrays]
    wrong = difference(first, record(function, others)) or _when_negated(function, arrays, first)
    if wrong:
        raise ValueError(
            f"export: {wrong}; use minigrad's functions of floating-point values (not .data, no whole numbers) and "
            "no dropout (training=False)"
        )
    if dynamic is not False:
        first.fixed_because = _for_any_rows(function, arrays, first)
        first.dynamic = not first.fixed_because
    if dynamic and not first.dynamic:
        raise ValueError(f"export: the number of rows cannot be left open: {first.fixed_because}")
    return first


def _when_negated(function: Callable[..., Any], arrays: list[Any], first: Recording) -> str:
    """As `difference`, with all signs changed, for masks such as x.data > 0; "" where it cannot take such numbers."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            second = record(function, [-a for a in arrays])
    except Exception:  # whatever the user's code says of such numbers
        return ""
    return difference(first, second) if all(np.isfinite(s.out._array).all() for s in second.steps) else ""


def _for_any_rows(function: Callable[..., Any], arrays: list[Any], first: Recording) -> str:
    rows = {a.shape[0] if a.ndim else 0 for a in arrays}
    if len(rows) != 1 or 0 in rows:
        return "the inputs have no common number of rows"
    try:
        second = record(function, [np.concatenate([a, a[:1]]) for a in arrays])
    except Exception as error:  # whatever the user's code says of one row more: then it is for this many
        return f"with one row more it failed: {error}"
    return difference(first, second) or stretched(first, second)


def difference(a: Recording, b: Recording) -> str:
    """What keeps two recordings of one function from being the same program; empty if nothing does."""
    if [step.op for step in a.steps] != [step.op for step in b.steps] or len(a.outputs) != len(b.outputs):
        return "the function took another path through its code"
    places = [{x: k for k, x in enumerate([*r.inputs, *(step.out for step in r.steps)])} for r in (a, b)]
    for s, t in zip(a.steps, b.steps, strict=True):
        for x, y in zip(s.inputs, t.inputs, strict=True):
            known = [place.get(z) if isinstance(z, Node) else None for z, place in zip((x, y), places, strict=True)]
            if known[0] != known[1] or (known[0] is None and not same(x, y)):
                return f"{s.op} used {_words(x)}, which was computed from the inputs outside the graph"
        if s.params.keys() != t.params.keys() or not all(
            same(s.params[k], t.params[k]) for k in s.params if k != "shape" or s.op not in ("reshape", "broadcast_to")
        ):
            return f"the parameters of {s.op} changed"
    return ""


def same(x: Any, y: Any) -> bool:
    """Are two constants equal, whatever they are made of?"""
    if isinstance(x, (tuple, list)) and isinstance(y, (tuple, list)):
        return len(x) == len(y) and all(map(same, x, y))
    x, y = raw(x), raw(y)
    if any(isinstance(z, (np.ndarray, np.generic, float)) for z in (x, y)):
        a, b = np.asarray(x), np.asarray(y)
        return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(x is y or x == y)


def _words(x: Any) -> str:
    return f"the constant {describe(x)}" if isinstance(x, (Node, np.ndarray)) else f"the number {x!r}"


def stretched(a: Recording, b: Recording) -> str:
    """Mark shapes that grow by the row that `b` has more with -1, in a's parameters; what cannot be is said."""
    rows = a.inputs[0].shape[0]
    for s, t in zip(a.steps, b.steps, strict=True):
        old, new = s.out.shape, t.out.shape
        if len(old) != len(new) or any(
            m not in (n, n + 1) or (m == n + 1 and n != rows) for n, m in zip(old, new, strict=True)
        ):
            return f"the result of {s.op} has shape {old} for {rows} rows and {new} for {rows + 1}"
        grows = tuple([-1 if m != n else n for n, m in zip(old, new, strict=True)])
        a.open_axes[s.out] = {k for k, n in enumerate(grows) if n == -1}
        if s.op == "reshape":
            if grows.count(-1) > 1:
                return "a reshape has the number of rows in it twice"
            s.params["shape"] = grows
        elif s.op == "broadcast_to":
            before = (1,) * (len(old) - s.inputs[0].ndim) + tuple(s.inputs[0].shape)
            after = (1,) * (len(old) - t.inputs[0].ndim) + tuple(t.inputs[0].shape)
            if any(n == -1 and p == q for n, p, q in zip(grows, before, after, strict=True)):
                return "broadcast_to stretches to the number of rows"
            s.params["shape"] = tuple([1 if n == -1 else n for n in grows])
    return ""
