"""What stands around a step and may be replaced between calls: modules' attributes, variables, globals.

A recording names tensors and numbers that it found there. Before each replay the identities of all of it are compared
with those at recording: what was replaced makes the step be recorded anew.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from .recorder import Recorder


def surroundings(step: Any, recorder: Recorder) -> Iterator[tuple[str, Any]]:
    """(in words, what holds it) for everything that may be replaced between calls."""
    for module in recorder.modules:
        name = type(module).__name__
        yield f"an attribute of {name}", vars(module)
        for attribute, value in vars(module).items():
            if isinstance(value, (list, dict)):
                yield f"{name}.{attribute}", value
    for function in _functions(step):
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            yield f"the variable {name}", cell
        names = [name for name in function.__code__.co_names if name in function.__globals__]
        if names and not function.__module__.startswith(_HOME):
            yield "a global variable", _Globals(function.__globals__, names)


def _functions(step: Any) -> list[types.FunctionType]:
    """The step's function, and those that it can reach by name: around it, in its module, or held by its object."""
    found: dict[types.FunctionType, None] = {}
    stack = [step, *vars(getattr(step, "__self__", types.SimpleNamespace())).values()]
    while stack:
        function = stack.pop()
        function = getattr(function, "__func__", function)
        if not isinstance(function, types.FunctionType) or function in found:
            continue
        found[function] = None
        if not function.__module__.startswith(_HOME):
            stack += [value for cell in function.__closure__ or () for value in items(cell)]
            stack += [function.__globals__.get(name) for name in function.__code__.co_names]
    return list(found)


_HOME = __name__.partition(".")[0] + "."


class _Globals(NamedTuple):
    """Some of the variables of a module."""

    space: dict[str, Any]
    names: list[str]


def items(holder: Any) -> list[Any]:
    """What a holder holds; to be kept, so that no identity is given out again."""
    if isinstance(holder, _Globals):
        return [holder.space.get(name) for name in holder.names]
    if isinstance(holder, types.CellType):
        try:
            return [holder.cell_contents]
        except ValueError:  # a variable that has no value yet
            return []
    return list(holder.values() if isinstance(holder, dict) else holder)


def ids(holder: Any) -> list[int]:
    """The identities of what a holder holds."""
    if holder.__class__ is dict:
        return list(map(id, holder.values()))
    return list(map(id, items(holder)))
