"""What stands around a step and may be replaced between calls: modules' attributes, variables, objects, globals.

A recording names tensors, arrays and numbers that it found there. Before each replay the identities of all of it are
compared with those at recording: what was replaced makes the step be recorded anew. Looked into are the functions that
the step can reach by name, with the functions inside them, the attributes of objects and of their classes, what Python
modules hold under names that occur in those functions, and containers, DEPTH steps deep; not the insides of minigrad
and NumPy.
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import is_
from typing import Any, TypeAlias

import numpy as np

from ..core.nodes import Node, describe
from ..program import Program

DEPTH = 4  # step -> object -> its attribute -> a dict in it
MOST = 200  # holders that are watched: the nearest ones, for a step can reach half of what is imported
LONGEST = 1000  # things in a container that is looked into
SMALL = 1 << 12  # bytes up to which arrays around a step are compared before each replay: they may be written to
_HOME = __name__.partition(".")[0]
_LEAVES = (str, bytes, int, float, complex, bool, type(None), np.generic, np.ndarray, np.dtype, Node)
_END = (object(),)  # so that what was added or taken away is seen as a difference

Holder: TypeAlias = Callable[[], Iterable[Any]]  # what something holds now


class Guards:
    """What a recorded step found around it; `broken` tells whether it is still there."""

    def __init__(self, program: Program, step: Any, modules: Iterable[Any], arguments: Iterable[Any]) -> None:
        self._tensors = [(v.source, v.source._array, v.source._needs) for v in program.tensors()]
        self._holders = [(what, held, list(held())) for what, held in _reachable(step, modules, arguments)]
        self._things = list(self._now())
        arrays = {id(x): x for x in self._things if x.__class__ is np.ndarray and x.nbytes <= SMALL}
        self._arrays = [(a, a.tobytes()) for a in arrays.values()]

    def _now(self) -> Iterator[Any]:
        return chain(chain.from_iterable([held() for _, held, _ in self._holders]), _END)

    def broken(self) -> str:
        """What is not as it was when the step was recorded, in words; empty if nothing is."""
        for tensor, array, needs in self._tensors:
            if tensor._array is not array or tensor._needs is not needs:
                return f"a tensor that it uses, {describe(tensor)},"
        try:
            same = all(map(is_, self._now(), self._things))
        except RuntimeError:  # a dict that grows meanwhile
            same = False
        if not same:
            for what, held, before in self._holders:
                if list(map(id, held())) != list(map(id, before)):
                    return what
        changed = (a for a, before in self._arrays if a.tobytes() != before)
        return next((f"an array of shape {a.shape} that it uses" for a in changed), "")


def _reachable(step: Any, modules: Iterable[Any], arguments: Iterable[Any]) -> Iterator[tuple[str, Holder]]:
    """(in words, what holds it) for everything that may be replaced between calls."""
    seen: dict[int, Any] = {}
    used: set[str] = set()  # names in the functions that were looked into
    queue: deque[tuple[str, Any, int]] = deque([("the step", step, 0)])
    queue += [("an argument", x, 1) for x in arguments]
    watched = 0
    for module in modules:
        name = type(module).__name__
        seen[id(module)] = module
        yield f"an attribute of {name}", _entries(vars(module))
        queue += [(f"{name}.{key}", value, 1) for key, value in vars(module).items()]
        queue += [(f"{name}.forward", type(module).forward, 0), (name, type(module), 0)]
    while queue and watched < MOST:
        what, x, depth = queue.popleft()
        if depth > DEPTH or id(x) in seen or isinstance(x, _LEAVES):
            continue
        seen[id(x)] = x
        for words, holder in _holders(what, x, used):
            yield words, holder
            watched += 1
            queue += [(words, value, depth + 1) for value in holder()]


def _holders(what: str, x: Any, used: set[str]) -> Iterator[tuple[str, Holder]]:
    """What holds the parts of one object, if they are anybody's business."""
    if isinstance(x, functools.partial):
        yield what, [x.func, *x.args, *x.keywords.values()].__iter__
    elif isinstance(x, (types.MethodType, staticmethod, classmethod, property)):
        yield what, [getattr(x, name, None) for name in ("__self__", "__func__", "fget")].__iter__
    elif isinstance(x, types.FunctionType) and not _ours(x.__module__):
        names = set(_names(x.__code__))
        used |= names
        for name, cell in zip(x.__code__.co_freevars, x.__closure__ or (), strict=True):
            yield f"the variable {name}", functools.partial(_content, cell)
        yield "a global variable", _variables(x.__globals__, names)
        yield f"a default of {x.__name__}", functools.partial(_code_and_defaults, x)
        yield f"an attribute of {x.__name__}", _entries(vars(x))
    elif isinstance(x, types.ModuleType) and not _ours(x.__name__):
        yield f"the module {x.__name__}", _variables(vars(x), used)
    elif isinstance(x, (list, tuple, dict, set, frozenset, deque)):
        if len(x) <= LONGEST:
            yield what, _entries(x) if isinstance(x, dict) else x.__iter__
    elif isinstance(x, type):
        for cls in x.__mro__:
            if not _ours(cls.__module__):
                yield f"a class attribute of {cls.__name__}", _entries(vars(cls))
    elif not _ours(type(x).__module__):
        if hasattr(x, "__dict__"):
            yield f"an attribute of {type(x).__name__}", _entries(vars(x))
        slots = [name for cls in type(x).__mro__ for name in _slots(cls)]
        if slots:
            yield f"an attribute of {type(x).__name__}", lambda: [getattr(x, name, None) for name in slots]
        yield f"the class of {type(x).__name__}", [type(x)].__iter__


def _ours(module: str | None) -> bool:
    """Whether a module belongs to minigrad or to what it stands on: nobody changes it between two calls."""
    return (module or "").partition(".")[0] in (_HOME, "numpy", "builtins")


def _names(code: types.CodeType) -> Iterator[str]:
    """Names of globals and attributes in a function, and in the functions and comprehensions inside it."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _names(part)


def _slots(cls: type) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if name not in ("__dict__", "__weakref__") and not name.startswith("__")]


def _entries(x: Any) -> Holder:
    return lambda: chain(x, x.values())


def _variables(space: dict[str, Any], names: Iterable[str]) -> Holder:
    """Those of the names that a Python module has."""
    there = sorted([name for name in names if name in space])
    return lambda: map(space.get, there)


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # a variable that has no value yet
        return ()


def _code_and_defaults(function: Any) -> list[Any]:
    given = function.__kwdefaults__ or {}
    return [function.__code__, *(function.__defaults__ or ()), *given, *given.values()]
