"""What stands around a step and may be replaced between calls: modules' attributes, variables, objects, globals.

A recording names tensors, arrays and numbers that it found there. Before each replay the identities of all of it are
compared with those at recording: what was replaced makes the step be recorded anew. Looked into are the functions that
the step can reach by name, the attributes of objects, and lists and dicts, DEPTH steps deep; not the insides of
minigrad and NumPy.
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..record import Traced
from .recorder import Recorder

DEPTH = 4  # step -> object -> its attribute -> a dict in it
MOST = 200  # holders that are watched: the nearest ones, for a step can reach half of what is imported
_OWN = __name__.partition(".")[0]
_PLAIN = (str, bytes, int, float, complex, bool, type(None), np.generic, np.ndarray, np.dtype, type, Traced)


class Names(NamedTuple):
    """Some of the variables of a Python module."""

    space: dict[str, Any]
    names: list[str]


def surroundings(
    step: Any, recorder: Recorder, args: tuple[Any, ...], named: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """(in words, what holds it) for everything that may be replaced between calls."""
    seen: dict[int, Any] = {}
    queue: deque[tuple[str, Any, int]] = deque([("the step", step, 0)])
    queue += [("an argument", x, 1) for x in (*args, *named.values())]
    watched = 0
    for module in recorder.modules:
        name = type(module).__name__
        seen[id(module)] = module
        yield f"an attribute of {name}", vars(module)
        queue += [(f"{name}.{key}", value, 1) for key, value in vars(module).items()]
        queue.append((f"{name}.forward", type(module).forward, 0))
    while queue and watched < MOST:
        what, x, depth = queue.popleft()
        if depth > DEPTH or id(x) in seen or isinstance(x, _PLAIN):
            continue
        seen[id(x)] = x
        for words, holder in _holders(what, x):
            if items(holder):
                yield words, holder
                watched += 1
            queue += [(words, value, depth + 1) for value in items(holder)]


class Watch:
    """Holders, each with words for it, and what they held when the watch began."""

    def __init__(self, found: Iterable[tuple[str, Any]]) -> None:
        self._all = [(what, holder, ids(holder), items(holder)) for what, holder in found]
        # attributes, variables and lists are most of what there is: all of a kind are looked at in one go
        self._dicts, self._lists, self._cells = map(self._of, (dict, list, types.CellType))
        self._others = [entry for entry in self._all if entry[1].__class__ not in (dict, list, types.CellType)]
        self._before = self._identities()

    def _of(self, kind: type) -> list[Any]:
        return [holder for _, holder, _, _ in self._all if holder.__class__ is kind]

    def _identities(self) -> list[list[int]]:
        return [
            [len(holder) for holder in self._dicts],
            [id(x) for holder in self._dicts for x in holder.values()],
            [len(holder) for holder in self._lists],
            [id(x) for holder in self._lists for x in holder],
            [id(cell.cell_contents) for cell in self._cells],
        ]

    def changed(self) -> str:
        """What holds something else now, in words; empty where nothing does."""
        try:
            same = self._identities() == self._before
        except ValueError:  # a variable without a value
            same = False
        if same:
            for what, holder, before, _ in self._others:
                if ids(holder) != before:
                    return what
            return ""
        return next(what for what, holder, before, _ in self._all if ids(holder) != before)

    def held(self) -> Iterator[Any]:
        """Everything that was held."""
        for _, _, _, held in self._all:
            yield from held


def _holders(what: str, x: Any) -> Iterator[tuple[str, Any]]:
    """What holds the parts of one object, if they are anybody's business."""
    if isinstance(x, types.MethodType):
        yield f"{what}'s object", [x.__self__, x.__func__]
    elif isinstance(x, functools.partial):
        yield what, [x.func, *x.args, *x.keywords.values()]
    elif isinstance(x, types.FunctionType):
        if not _ours(x.__module__):
            for name, cell in zip(x.__code__.co_freevars, x.__closure__ or (), strict=True):
                yield f"the variable {name}", cell
            yield "a global variable", Names(x.__globals__, [n for n in x.__code__.co_names if n in x.__globals__])
            yield f"a default of {x.__name__}", list(x.__defaults__ or ())
    elif isinstance(x, types.ModuleType):
        if not _ours(x.__name__):  # settings in a file of their own: numbers and the like, not all that it imports
            yield (
                f"the module {x.__name__}",
                Names(vars(x), [n for n, v in vars(x).items() if n.isupper() or _number(v)]),
            )
    elif isinstance(x, (list, tuple, dict, set, frozenset)):
        if len(x) <= 1000:
            yield what, x
    elif not _ours(type(x).__module__):
        yield f"an attribute of {type(x).__name__}", vars(x) if hasattr(x, "__dict__") else []
        yield (
            f"a method of {type(x).__name__}",
            [f for f in vars(type(x)).values() if isinstance(f, types.FunctionType)],
        )


def _number(x: Any) -> bool:
    return isinstance(x, (bool, int, float))


def _ours(module: str | None) -> bool:
    """Whether a module belongs to minigrad or to what it stands on: nobody changes it between two calls."""
    return (module or "").partition(".")[0] in (_OWN, "numpy", "builtins")


def items(holder: Any) -> list[Any]:
    """What a holder holds; to be kept, so that no identity is given out again."""
    if isinstance(holder, Names):
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
