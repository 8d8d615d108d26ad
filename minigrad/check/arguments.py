"""How the checks take functions and inputs: copies as leaves, gradients of them, names for the reports."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .._support.arrays import plain
from ..core.context import Observer, using
from ..core.gradients import consumers_first, grad
from ..core.nodes import Node, late
from ..core.tensor import Tensor
from ..program.rules import kept_for_backward

Function: TypeAlias = Callable[..., Any]
SENSITIVITY = 16.0  # two right results may differ by so many times what one bit of the inputs changes


def as_sequence(inputs: Any) -> list[Any]:
    """One input or several, as a list."""
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def name_of(f: Function) -> str:
    """A function's name for a message."""
    return getattr(f, "__name__", type(f).__name__)


def names_of(f: Function, inputs: Sequence[Any]) -> list[str]:
    """What to call each input: its own name, else the parameter's, else its position."""
    try:
        known = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        known = {}.values()
    names = [p.name for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names += [f"input {k}" for k in range(len(names), len(inputs))]
    return [getattr(x, "_name", None) or name for x, name in zip(inputs, names, strict=False)]


def renamed(f: Function, name: str, parameters: Sequence[str]) -> Function:
    """The function with the name, and the names of its parameters, that reports are to use."""
    changed: Any = f
    changed.__name__ = name
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    changed.__signature__ = inspect.Signature([inspect.Parameter(parameter, kind) for parameter in parameters])
    return f


def array_of(x: Any) -> np.ndarray[Any, Any]:
    """The bare array of a Tensor, or of whatever NumPy can make one of."""
    return plain(x)


def leaves_of(inputs: Sequence[Any]) -> list[Any]:
    """Fresh leaves with copies of the inputs, floating-point ones requiring gradients; None stays None."""
    return [None if x is None else Tensor(x, requires_grad=array_of(x).dtype.kind == "f") for x in inputs]


def value_of(f: Function, leaves: Sequence[Any]) -> Tensor:
    """f(*leaves), which must be one Tensor of floating-point numbers."""
    with using(frozen=True):  # no running statistics move inside a check
        y = f(*leaves)
    if not isinstance(y, Tensor):
        raise TypeError(f"{name_of(f)} must return a Tensor, got {type(y).__name__}")
    if y.dtype.kind != "f":
        raise TypeError(f"{name_of(f)} returned {y.dtype}; only floating-point results have derivatives")
    return y


def gradients_of(y: Tensor, xs: Sequence[Tensor], gradient: Any = None, create_graph: bool = False) -> Sequence[Tensor]:
    """As `grad`, and zeros where y does not depend on anything that has a gradient."""
    if not y.requires_grad:
        return [Tensor(np.zeros_like(x._array)) for x in xs]
    found: Sequence[Tensor] = grad(y, xs, gradient=gradient, create_graph=create_graph)
    return found


HUGE = 1e150  # squares of larger numbers overflow


class _Infinities(Observer):
    """Whether an op made an infinity of finite numbers."""

    def __init__(self) -> None:
        self.found = False

    def made(self, node: Node, op: Any, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        self.found = self.found or bool(np.isinf(node._array).any())

    def __call__(self, *_: Any) -> None:  # NumPy calls it
        self.found = True


def overflowed(f: Function, inputs: Sequence[Any]) -> str:
    """What to say where numbers near the largest overflow inside f and nothing of them is left in its gradient."""
    leaves = leaves_of(inputs)
    huge = [x for x in leaves if x is not None and x.requires_grad and np.max(np.abs(x._array), initial=0.0) > HUGE]
    if not huge:
        return ""
    seen = _Infinities()
    with using(seen), np.errstate(over="call", call=seen):
        y = value_of(f, leaves)
    with np.errstate(all="ignore"):
        lost = not any(np.any(np.nan_to_num(d._array)) for d in gradients_of(y, huge, np.ones(y.shape)))
    return f"everything overflowed: inputs near {np.max(np.abs(huge[0]._array)):.0e}, whose squares are infinite" * (
        seen.found and lost
    )


def nudged(x: Any, rng: np.random.Generator) -> Any:
    """The input with two thirds of its numbers moved to a neighbour (not all: equal moves can cancel in a mean)."""
    if x is None or array_of(x).dtype.kind != "f":
        return x
    a = array_of(x)
    way = rng.integers(-1, 2, a.shape)
    return np.where(way == 0, a, np.nextafter(a, np.where(way < 0, -np.inf, np.inf).astype(a.dtype)))


# --------------------------------------------------------------------------------------------------------------
# Recorded graphs


def alone(node: Node, wanted: list[int], **changed: Any) -> Function:
    """The op as a function of those inputs; the others, and parameters, as recorded or as in `changed`."""
    op: Any = node.op

    def call(*leaves: Any) -> Any:
        floats = [isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in node.arrays]
        inputs = [a.astype(np.float64) if is_float else a for a, is_float in zip(node.arrays, floats, strict=True)]
        for position, leaf in zip(wanted, leaves, strict=True):
            inputs[position] = leaf
        return op.call(*inputs, **{**node.params, **changed})

    names = op.input_names * len(node.inputs) if op.variadic else op.input_names
    return renamed(call, op.name, [f"{names[k]}_{k}" if op.variadic else names[k] for k in wanted])


def stale(y: Node) -> dict[Node, str]:
    """The nodes of a graph whose rules read what was written after they were recorded, and what that is, in words.

    >>> import minigrad as mg
    >>> w = mg.ones(2, requires_grad=True, name="w")
    >>> y = mg.square(w)
    >>> w.data = [2.0, 3.0]
    >>> list(stale(y).values())
    ['w: (2,) float64 was written after square was recorded']
    """
    found = {}
    for node in consumers_first(y)[::-1]:
        written = late(node)
        read = {id(array) for array in kept_for_backward(node).values()} if written else set()
        what = []
        for said, name in (written[key] for key in written.keys() & read):
            what.append(said + (f" (as {name})" if name and not said.startswith(f"{name}:") else ""))
        if what:
            op: Any = node.op
            found[node] = f"{' and '.join(sorted(what))} was written after {op.name} was recorded"
    return found


def refuse_stale(who: str, y: Node) -> None:
    """RuntimeError for a graph that cannot be run backward any more: its gradient would be that of nothing.

    TypeError for what is no Tensor.
    """
    if not isinstance(y, Node):
        raise TypeError(f"{who}: expected a Tensor that was computed from others, got {type(y).__name__}")
    for what in stale(y).values():
        raise RuntimeError(f"{who}: the graph is stale: {what}; run the forward again first")
