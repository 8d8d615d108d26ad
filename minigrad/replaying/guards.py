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
from collections.abc import Iterable, Iterator
from itertools import chain
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from ..core.nodes import Node
from .recorder import Recorder

DEPTH = 4  # step -> object -> its attribute -> a dict in it
MOST = 200  # holders that are watched: the nearest ones, for a step can reach half of what is imported
LONGEST = 1000  # things in a container that is looked into
_OWN = __name__.partition(".")[0]
_PLAIN = (str, bytes, int, float, complex, bool, type(None), np.generic, np.ndarray, np.dtype, Node)
_CONTAINERS = (list, tuple, dict, set, frozenset, deque)


class Names(NamedTuple):
    """Some of the variables of a Python module."""

    space: dict[str, Any]
    names: list[str]


class Slots(NamedTuple):
    """The attributes of an object whose class has __slots__."""

    owner: Any
    names: list[str]


class Parts(NamedTuple):
    """What of a function can be replaced: its code and its defaults."""

    function: types.FunctionType


def surroundings(
    step: Any, recorder: Recorder, args: tuple[Any, ...], named: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """(in words, what holds it) for everything that may be replaced between calls."""
    seen: dict[int, Any] = {}
    used: set[str] = set()  # names in the functions that were looked into
    queue: deque[tuple[str, Any, int]] = deque([("the step", step, 0)])
    queue += [("an argument", x, 1) for x in (*args, *named.values())]
    watched = 0
    for module in recorder.modules:
        name = type(module).__name__
        seen[id(module)] = module
        yield f"an attribute of {name}", vars(module)
        queue += [(f"{name}.{key}", value, 1) for key, value in vars(module).items()]
        queue += [(f"{name}.forward", type(module).forward, 0), (name, type(module), 0)]
    while queue and watched < MOST:
        what, x, depth = queue.popleft()
        if depth > DEPTH or id(x) in seen or isinstance(x, _PLAIN):
            continue
        seen[id(x)] = x
        for words, holder in _holders(what, x, used):
            yield words, holder
            watched += 1
            queue += [(words, value, depth + 1) for value in items(holder)]


class Watch:
    """Holders, each with words for it, and what they held when the watch began."""

    def __init__(self, found: Iterable[tuple[str, Any]]) -> None:
        self._all = [(what, holder, ids(holder), items(holder)) for what, holder in found]
        # attributes, variables and lists are most of what there is: all of a kind are looked at in one go
        self._dicts, self._lists, self._cells = map(self._of, (dict, list, types.CellType))
        at_once = set(map(id, (*self._dicts, *self._lists, *self._cells)))
        self._others = [entry for entry in self._all if id(entry[1]) not in at_once]
        self._sizes = list(map(len, (*self._dicts, *self._lists)))
        self._keys = list(chain.from_iterable(self._dicts))
        self._things = list(self._now())

    def _of(self, kind: type) -> list[Any]:
        # a variable without a value is none of them
        return [x for _, x, _, held in self._all if x.__class__ is kind and (held or kind is not types.CellType)]

    def _now(self) -> Iterator[Any]:
        values = chain.from_iterable(map(dict.values, self._dicts))
        return chain(values, chain.from_iterable(self._lists), [cell.cell_contents for cell in self._cells])

    def changed(self) -> str:
        """What holds something else now, in words; empty where nothing does."""
        try:
            same = (
                list(map(len, (*self._dicts, *self._lists))) == self._sizes
                and list(chain.from_iterable(self._dicts)) == self._keys
                and all(map(is_, self._now(), self._things))
            )
        except (ValueError, RuntimeError):  # a variable without a value; a dict that grows meanwhile
            same = False
        if same:
            return next((what for what, holder, before, _ in self._others if ids(holder) != before), "")
        return next((what for what, holder, before, _ in self._all if ids(holder) != before), "")

    def held(self) -> Iterator[Any]:
        """Everything that was held."""
        for _, _, _, held in self._all:
            yield from held


def _holders(what: str, x: Any, used: set[str]) -> Iterator[tuple[str, Any]]:
    """What holds the parts of one object, if they are anybody's business."""
    if isinstance(x, types.MethodType):
        yield f"{what}'s object", [x.__self__, x.__func__]
    elif isinstance(x, functools.partial):
        yield what, [x.func, *x.args, *x.keywords.values()]
    elif isinstance(x, (staticmethod, classmethod)):
        yield what, [x.__func__]
    elif isinstance(x, property):
        yield what, [x.fget]
    elif isinstance(x, types.FunctionType):
        if not _ours(x.__module__):
            names = set(_names(x.__code__))
            used |= names
            for name, cell in zip(x.__code__.co_freevars, x.__closure__ or (), strict=True):
                yield f"the variable {name}", cell
            yield "a global variable", Names(x.__globals__, [n for n in sorted(names) if n in x.__globals__])
            yield f"a default of {x.__name__}", Parts(x)
            yield f"an attribute of {x.__name__}", vars(x)
    elif isinstance(x, types.ModuleType):
        if not _ours(x.__name__):
            yield f"the module {x.__name__}", Names(vars(x), [n for n in vars(x) if n in used])
    elif isinstance(x, _CONTAINERS):
        if len(x) <= LONGEST:
            yield what, x
    elif isinstance(x, type):
        for cls in x.__mro__:
            if not _ours(cls.__module__):
                yield f"a class attribute of {cls.__name__}", vars(cls)
    elif not _ours(type(x).__module__):
        if hasattr(x, "__dict__"):
            yield f"an attribute of {type(x).__name__}", vars(x)
        slots = [name for cls in type(x).__mro__ for name in _slots(cls)]
        if slots:
            yield f"an attribute of {type(x).__name__}", Slots(x, slots)
        yield f"the class of {type(x).__name__}", [type(x)]


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


def _ours(module: str | None) -> bool:
    """Whether a module belongs to minigrad or to what it stands on: nobody changes it between two calls."""
    return (module or "").partition(".")[0] in (_OWN, "numpy", "builtins")


def items(holder: Any) -> list[Any]:
    """What a holder holds; to be kept, so that no identity is given out again."""
    if isinstance(holder, Names):
        return [holder.space.get(name) for name in holder.names]
    if isinstance(holder, Slots):
        return [getattr(holder.owner, name, None) for name in holder.names]
    if isinstance(holder, Parts):
        function: Any = holder.function
        given = function.__kwdefaults__ or {}
        return [function.__code__, *(function.__defaults__ or ()), *given, *given.values()]
    if isinstance(holder, types.CellType):
        try:
            return [holder.cell_contents]
        except ValueError:  # a variable that has no value yet
            return []
    if isinstance(holder, (dict, types.MappingProxyType)):
        return [*holder, *holder.values()]
    return list(holder)


def ids(holder: Any) -> list[int]:
    """The identities of what a holder holds."""
    return list(map(id, items(holder)))
