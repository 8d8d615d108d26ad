"""How the checks take functions and inputs: copies as leaves, names for the reports."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..core.context import using
from ..core.nodes import Node, raw
from ..core.tensor import Tensor

Function: TypeAlias = Callable[..., Any]
SENSITIVITY = 16.0  # how many times what one bit of the inputs moves, two correct results may be apart


def as_sequence(inputs: Any) -> list[Any]:
    """One input or several, as a list."""
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def names_of(f: Function, inputs: Sequence[Any]) -> list[str]:
    """What to call each input: its own name, else the parameter's, else its position."""
    try:
        parameters = [
            p.name
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        parameters = []
    names = []
    for k, x in enumerate(inputs):
        fallback = parameters[k] if k < len(parameters) else f"input {k}"
        names.append(getattr(x, "_name", None) or fallback)
    return names


def leaves_of(inputs: Sequence[Any]) -> list[Any]:
    """Fresh leaves with copies of the inputs, floating-point ones requiring gradients; None stays None."""
    leaves: list[Any] = []
    for x in inputs:
        if x is None:
            leaves.append(None)
            continue
        leaf = Tensor(x)
        leaf.requires_grad = leaf.dtype.kind == "f"
        leaves.append(leaf)
    return leaves


def value_of(f: Function, leaves: Sequence[Any]) -> Tensor:
    """f(*leaves), which must be one Tensor of floating-point numbers."""
    with using(frozen=True):  # no running statistics move inside a check
        y = f(*leaves)
    if not isinstance(y, Tensor):
        raise TypeError(f"{name_of(f)} must return a Tensor, got {type(y).__name__}")
    if y.dtype.kind != "f":
        raise TypeError(f"{name_of(f)} returned {y.dtype}; only floating-point results have derivatives")
    return y


def name_of(f: Function) -> str:
    """A function's name for a message."""
    return getattr(f, "__name__", type(f).__name__)


def array_of(x: Any) -> np.ndarray[Any, Any]:
    """The bare array of a Tensor, or of whatever NumPy can make one of."""
    return np.asarray(raw(x)) if not isinstance(x, Node) else x._array


def nudged(x: Any, rng: np.random.Generator) -> Any:
    """The input with two thirds of its numbers moved to a neighbour (not all: equal moves can cancel in a mean)."""
    if x is None or array_of(x).dtype.kind != "f":
        return x
    a = array_of(x)
    way = rng.integers(-1, 2, a.shape)
    return np.where(way == 0, a, np.nextafter(a, np.where(way < 0, -np.inf, np.inf).astype(a.dtype)))
