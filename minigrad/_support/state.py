"""What a function could change: its closure, the globals that it names, its defaults, the object that it belongs to.

Two states of one function are compared as plain values, so that a draw, a count or a moving mean shows.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

DEPTH, LONGEST = 5, 1000  # how deep, and how long a list, is looked into
_THEIRS = ("numpy", "minigrad", "builtins")  # nobody changes these between two calls


def state_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Everything that the function could change, by name, as values that can be compared.

    >>> calls = []
    >>> before = state_of(calls_counter := lambda: calls.append(1))
    >>> calls_counter()
    >>> changed(before, state_of(calls_counter))
    'calls'
    """
    function = inspect.unwrap(function)
    found = {"its object": getattr(function, "__self__", None)}
    function = getattr(function, "__func__", function)
    if isinstance(function, types.FunctionType):
        names = set(_names(function.__code__))
        found |= {name: value for name, value in function.__globals__.items() if name in names}
        found |= _variables(function)
        found |= {f"an attribute of {function.__name__}": vars(function)}
    return {name: _value(value, DEPTH) for name, value in found.items()}


def changed(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The names of what is not as it was, in words; empty if all is."""
    return ", ".join(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _names(part)


def _variables(function: types.FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # it has no value yet
            found[name] = None
    return found | {f"a default of {function.__name__}": function.__defaults__}


def _value(x: Any, depth: int) -> Any:
    """x as nested tuples of plain values; what is not looked into stands for itself by its identity."""
    x = getattr(x, "_array", x)  # a Tensor's
    if x is None or isinstance(x, (bool, int, float, complex, str, bytes, np.generic)):
        return repr(x)
    if isinstance(x, np.ndarray):
        return x.shape, str(x.dtype), x.tobytes() if not x.dtype.hasobject else id(x)
    if isinstance(x, np.random.Generator):
        return repr(x.bit_generator.state)
    if isinstance(x, np.random.RandomState):
        return repr(x.get_state())
    if depth and isinstance(x, (list, tuple, set, frozenset)) and len(x) <= LONGEST:
        return type(x).__name__, *(_value(part, depth - 1) for part in x)
    if depth and isinstance(x, dict) and len(x) <= LONGEST:
        return "dict", *((repr(key), _value(part, depth - 1)) for key, part in x.items())
    theirs = (getattr(x if isinstance(x, types.FunctionType) else type(x), "__module__", "") or "").partition(".")[0]
    if depth and theirs not in _THEIRS:
        inside = _variables(x) if isinstance(x, types.FunctionType) else getattr(x, "__dict__", {})
        return id(x), _value(dict(inside), depth - 1)
    return id(x)
