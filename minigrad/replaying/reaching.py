"""What a step can reach around itself, nearest first: holders of what may be replaced between calls."""

from __future__ import annotations

import contextvars
import dis
import functools
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np

from ..core.nodes import Node
from ..nn.module import Module
from ..optim.optimizers import Optimizer
from .progress import GENERATORS, makeup, options, progress

VALUES = (str, bytes, int, float, complex, bool, np.generic)
DEPTH = 4  # step -> object -> its attribute -> a dict in it
MOST = 200  # holders that are watched: the nearest ones, for a step can reach half of what is imported
LONGEST = 1000  # things in a container that is looked into
_HOME = __name__.partition(".")[0]
_LEAVES = (*VALUES, type(None), np.ndarray, np.dtype, Node)
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()))


@dataclass
class Holder:
    """Something that holds others: `now` gives them, `names` says what the k-th is.

    inner  compared before and after a recording only
    shut   what it gives is compared, and not looked into
    space  the dict, where it is one: that is looked at quicker
    told   whoever changes it is counted, in CHANGES
    owner  the optimizer that alone leads there: it changes that, and reads it again at each update
    """

    what: str
    now: Callable[[], Iterable[Any]]
    names: Callable[[], Iterable[Any]] | None = None
    inner: bool = False
    space: dict[Any, Any] | None = None
    shut: bool = False
    told: bool = False
    owner: Any = None

    def words(self) -> Iterator[str]:
        """What each is, in words; at the end what is not there."""
        if self.names is not None:
            yield from (self.what.format(name) for name in self.names())
        yield from repeat(self.what.format(""))


def reachable(
    step: Any, modules: Iterable[Any], arguments: Iterable[Any], generators: dict[int, Any], used: set[str]
) -> Iterator[Holder]:
    """Whatever holds something that may be replaced between calls, nearest first."""
    seen: dict[int, Any] = {}
    queue: deque[tuple[str, Any, int]] = deque([("the step", step, 0)])
    mine, read = getattr(step, "__self__", None), _texts(getattr(step, "__code__", None))
    if _ours(type(mine).__module__):  # the step of fit(): the loss is the user's
        queue += [(f"the step's {name}", x, 1) for name, x in getattr(mine, "__dict__", {}).items()]
    queue += [("an argument", x, 1) for x in arguments]
    kept: deque[tuple[str, Any, int, Any]] = deque()  # by optimizers: looked into last, to find what they alone have
    watched = 0
    for module in modules:
        name = type(module).__name__
        seen[id(module)] = module
        told = _tells(module)
        yield _entries(f"{name}.{{}}", vars(module), told)
        yield Holder(f"the class of {name}", functools.partial(_kind, module), shut=True, told=told)
        queue += [(f"{name}.{key}", value, 1) for key, value in vars(module).items()]
        queue += [(f"{name}.forward", type(module).forward, 0), (name, type(module), 0)]
    while (queue or kept) and watched < MOST:
        what, x, depth, owner = (*queue.popleft(), None) if queue else kept.popleft()
        if isinstance(x, GENERATORS):
            generators[id(x)] = x
        if depth > DEPTH or id(x) in seen or (isinstance(x, (*_LEAVES, *GENERATORS)) and not _of_objects(x)):
            continue
        seen[id(x)] = x
        if isinstance(x, Optimizer):
            owner = x
            if any(not read.isdisjoint(group) for group in x.groups):
                yield Holder(f"what the step reads of {what}.groups", functools.partial(options, x), shut=True)
        for holder in _holders(what, x, used):
            yield holder
            watched += 1
            if holder.space is not None:
                seen[id(holder.space)] = holder.space
            if holder.inner or holder.shut:
                continue
            holder.owner = owner
            for words, value in zip(holder.words(), holder.now(), strict=False):
                further = depth + (not _beside(x, value))
                if owner is not None:
                    kept.append((words, value, further, owner))
                else:
                    queue.append((words, value, further))


def _tells(module: Any) -> bool:
    """Whether whoever sets an attribute of a module is counted."""
    return isinstance(module, Module) and type(module).__setattr__ is Module.__setattr__


def _of_objects(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "O"


def _beside(x: Any, value: Any) -> bool:
    """Whether both are functions of one file: what one calls there is no step further away."""
    return (
        isinstance(x, types.FunctionType)
        and isinstance(value, types.FunctionType)
        and (x.__globals__ is value.__globals__)
    )


def _holders(what: str, x: Any, used: set[str]) -> Iterator[Holder]:
    """What holds the parts of one object, if they are anybody's business."""
    if isinstance(x, functools.partial):
        yield Holder(what, lambda: [x.func, *x.args, *x.keywords.values()])
    elif isinstance(x, (types.MethodType, staticmethod, classmethod, property)):
        yield Holder(what, [getattr(x, name, None) for name in ("__self__", "__func__", "fget")].__iter__)
    elif isinstance(x, types.FunctionType) and not _ours(x.__module__):
        names, attributes, modules = _names(x.__code__)
        used |= attributes
        for name, cell in zip(x.__code__.co_freevars, x.__closure__ or (), strict=True):
            yield Holder(f"the variable {name}", functools.partial(_content, cell))
        yield _variables("the global variable {}", x.__globals__, sorted(names))
        if modules:
            yield _variables("the module {}", sys.modules, sorted(modules))
        yield Holder(f"a default of {x.__name__}", functools.partial(_code_and_defaults, x))
        yield _entries(f"{x.__name__}.{{}}", vars(x))
    elif isinstance(x, types.ModuleType):
        yield _variables(f"{x.__name__}.{{}}", vars(x), sorted(used & vars(x).keys()))
    elif isinstance(x, (list, tuple, dict, set, frozenset, deque)):
        if len(x) > LONGEST:
            yield Holder(f"the length of {what}", lambda: (len(x),))
        else:
            yield _entries(f"{what}[{{!r}}]", x) if isinstance(x, dict) else Holder(what, x.__iter__)
    elif isinstance(x, types.MappingProxyType) and len(x) <= LONGEST:
        yield Holder(what, lambda: chain(x, x.values()))
    elif type(x) in _VIEWS and len(x) <= LONGEST:
        yield Holder(what, x.__iter__)
    elif isinstance(x, np.ndarray) and x.size <= LONGEST:  # of objects
        yield Holder(what, lambda: x.flat)
    elif isinstance(x, weakref.ReferenceType):
        yield from _behind(what, x)
    elif isinstance(x, contextvars.ContextVar):
        yield Holder(f"the context variable {x.name}", lambda: (x.get(None),))
    elif isinstance(x, type):
        if not _ours(x.__module__):
            yield Holder(f"the bases of {x.__name__}", lambda: x.__mro__)
        for cls in x.__mro__:
            if not _ours(cls.__module__):
                yield _entries(f"{cls.__name__}.{{}}", vars(cls))
    elif isinstance(x, Optimizer):
        yield Holder(f"{what}.groups", functools.partial(options, x), inner=True, owner=x)
        yield Holder(f"the methods or groups of {what}", functools.partial(makeup, x), shut=True)
    elif callable(x) and _ours(getattr(x, "__module__", None)) and (theirs := _theirs(x)):
        yield Holder(f"a function in {what}", theirs.__iter__)
    elif hasattr(x, "__next__"):
        yield Holder(f"the iterator {what}", functools.partial(progress, x), inner=True)
    if not isinstance(x, (type, np.ndarray)) and (
        isinstance(x, types.SimpleNamespace) or not _ours(type(x).__module__)
    ):
        name = type(x).__name__
        if hasattr(x, "__dict__"):
            yield _entries(f"{name}.{{}}", vars(x))
        slots = [slot for cls in type(x).__mro__ for slot in _slots(cls)]
        if slots:
            yield Holder(f"{name}.{{}}", lambda: [getattr(x, slot, None) for slot in slots], lambda: slots)
        yield Holder(f"the class of {name}", lambda: (type(x), getattr(x, "__dict__", None)))


def _theirs(x: Any) -> list[Any]:
    """The user's functions in one of minigrad's: a loss with weights, a replayed step in another."""
    cells = [y for cell in getattr(x, "__closure__", None) or () for y in _content(cell)]
    inside = [*cells, *getattr(x, "__dict__", {}).values()]
    return [y for y in inside if callable(y) and not _ours(getattr(y, "__module__", _HOME))]


def _behind(what: str, x: Any) -> Iterator[Holder]:
    """What a weak reference leads to; an object of which it is not to become the last one that keeps it."""
    there = x()
    if not hasattr(there, "__dict__") or isinstance(there, (type, types.FunctionType, types.ModuleType)):
        yield Holder(what, lambda: (x(),))
    else:
        yield Holder(what, lambda: (x() is None,))
        yield Holder(f"the class of {type(there).__name__}", lambda: (type(x()),))
        if not _ours(type(there).__module__):
            yield _entries(f"{type(there).__name__}.{{}}", vars(there))


def _ours(module: str | None) -> bool:
    """Whether a module belongs to minigrad or to what it stands on: nobody changes it between two calls."""
    return (module or "").partition(".")[0] in (_HOME, "numpy", "builtins", "_weakref", "_contextvars", "types")


def _names(code: types.CodeType) -> tuple[set[str], set[str], set[str]]:
    """(globals, attributes, modules that it imports) that a function names, with the functions inside it.

    Texts count too where it looks names up by itself, with getattr or globals().
    """
    space: set[str] = set()
    attributes: set[str] = set()
    modules: set[str] = set()
    texts: set[str] = set()
    for instruction in dis.get_instructions(code):
        name, what = instruction.opname, instruction.argval
        if isinstance(what, str):
            if name in ("LOAD_GLOBAL", "STORE_GLOBAL", "LOAD_NAME"):
                space.add(what)
            elif "CONST" in name:
                texts.add(what)
            elif name == "IMPORT_NAME":
                modules.add(what)
            elif "ATTR" in name or "METHOD" in name or name == "IMPORT_FROM":
                attributes.add(what)
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            inside = _names(part)
            space, attributes, modules = space | inside[0], attributes | inside[1], modules | inside[2]
    if space & {"globals", "vars", "eval"}:
        space |= texts
    if space & {"getattr", "vars", "attrgetter"} or "attrgetter" in attributes:
        attributes |= texts
    return space, attributes, modules


def _texts(code: Any) -> set[str]:
    """The texts in a function's own code, such as the "lr" of a rate that it reads."""
    parts: list[Any] = [code]
    for part in parts:
        parts += part.co_consts if isinstance(part, types.CodeType) else part if isinstance(part, tuple) else ()
    return {part for part in parts if isinstance(part, str)}


def _slots(cls: type) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    hidden = f"_{cls.__name__.lstrip('_')}"
    mangled = [f"{hidden}{name}" if name.startswith("__") and not name.endswith("__") else name for name in names]
    return [name for name in mangled if name not in ("__dict__", "__weakref__")]


def _entries(what: str, x: Any, told: bool = False) -> Holder:
    return Holder(what, lambda: chain(x, x.values()), lambda: [*x, *x], space=x, told=told)


def _kind(x: Any) -> tuple[Any, ...]:
    return (type(x),)


def _variables(what: str, space: dict[str, Any], names: list[str]) -> Holder:
    """Some names of a Python module, also those that it does not have yet."""
    return Holder(what, lambda: map(space.get, names), lambda: names)


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # a variable that has no value yet
        return ()


def _code_and_defaults(function: Any) -> list[Any]:
    given = function.__kwdefaults__ or {}
    return [function.__code__, *(function.__defaults__ or ()), *given, *given.values()]
