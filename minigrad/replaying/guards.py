"""What stands around a step and may be replaced between calls: modules' attributes, variables, objects, globals.

A recording names tensors, arrays and numbers that it found there. Before each replay all of it is compared with what it
was at recording: what was replaced makes the step be recorded anew. Looked into are the functions that the step can
reach by name, with the functions inside them, the attributes of objects and of their classes, what Python modules hold
under names that those functions use, and containers, DEPTH steps deep; not the insides of minigrad and NumPy.

The same is compared before and after a recording, and besides iterators, generators of random numbers and an
optimizer's options: what the step itself changes in Python is not done again by a replay.
"""

from __future__ import annotations

import contextvars
import dis
import functools
import pickle
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from operator import is_
from typing import Any

import numpy as np

from ..core.nodes import Node, describe
from ..nn.module import CHANGES, Module
from ..optim.optimizers import Optimizer, Update
from ..optim.schedules import Schedule
from ..program import Program
from .progress import GENERATORS, bits_of, makeup, options, progress, put_state, state_of

DEPTH = 4  # step -> object -> its attribute -> a dict in it
MOST = 200  # holders that are watched: the nearest ones, for a step can reach half of what is imported
LONGEST = 1000  # things in a container that is looked into
SMALL = 1 << 12  # bytes up to which arrays around a step are compared before each replay: they may be written to
_HOME = __name__.partition(".")[0]
_VALUES = (str, bytes, int, float, complex, bool, np.generic)
_LEAVES = (*_VALUES, type(None), np.ndarray, np.dtype, Node)
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_END = object()  # so that what was added or taken away is seen as a difference


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


class Surroundings:
    """Everything that a step can reach around it, as it is when this is made."""

    def __init__(self, step: Any, modules: Iterable[Any], arguments: Iterable[Any]) -> None:
        self.generators: dict[int, Any] = {id(x): x for x in (np.random.mtrand._rand, random._inst)}
        self.names: set[str] = set()  # of attributes in the functions that were looked into
        self.holders = list(_reachable(step, modules, arguments, self.generators, self.names))
        self.before = [list(holder.now()) for holder in self.holders]
        self._states: dict[int, Any] = {}
        self.look_at_generators()

    def changed(self, inside: bool = False) -> str:
        """The first thing that is not as it was, in words; empty if there is none."""
        for holder, before in zip(self.holders, self.before, strict=True):
            if inside or not holder.inner:
                try:
                    now = list(holder.now())
                except RuntimeError:  # a dict that grows meanwhile
                    now = [*before, None]
                for what, a, b in zip(holder.words(), [*before, _END], [*now, _END], strict=False):
                    if not _alike(a, b):
                        return what
        return ""

    def look_at_generators(self) -> None:
        """Take the states of all generators of random numbers as they are."""
        self._states = {key: pickle.dumps(state_of(x)) for key, x in self.generators.items()}

    def settle(self, callback: Any) -> None:
        """What a callback changed will be changed again: draws, rates of a schedule, what an optimizer keeps."""
        self.look_at_generators()
        schedule = isinstance(getattr(callback, "__self__", None), Schedule)
        optimizer = callback.optimizer if isinstance(callback, Update) else None
        optimizer = callback.__self__.optimizer if schedule else optimizer
        for k, holder in enumerate(self.holders):
            own = optimizer is not None and holder.owner is optimizer and not holder.inner
            if own or (schedule and holder.inner):
                self.before[k] = list(holder.now())

    def moved(self, callback: Any = None, arguments: tuple[Any, ...] = ()) -> str:
        """A generator that somebody else has moved than the callback that just ran, in words."""
        for key, x in self.generators.items():
            now, draws = state_of(x), any(bits_of(a) is bits_of(x) for a in arguments if isinstance(a, GENERATORS))
            if draws:  # from where it was, the same draw must bring it to where it is
                put_state(x, pickle.loads(self._states[key]))
                callback(*arguments)
                again = state_of(x)
                put_state(x, now)
                if pickle.dumps(again) != pickle.dumps(now):
                    return f"the state of a random generator ({type(x).__name__})"
            elif pickle.dumps(now) != self._states[key]:
                return f"the state of a random generator ({type(x).__name__})"
        return ""


class Guards:
    """What a recorded step found around it; `broken` tells whether it is still there."""

    def __init__(self, program: Program, step: Any, modules: Iterable[Any], arguments: Iterable[Any]) -> None:
        self.around = Surroundings(step, modules, arguments)
        optimizers = [i.function for i in program.instructions if i.kind == "update"]  # each update reads its own
        watched = [holder for holder in self.around.holders if not holder.inner]
        holders = [holder for holder in watched if not any(holder.owner is x for x in optimizers)]
        of_modules = [holder for holder in holders if holder.told]
        self._parts = [of_modules, [holder for holder in holders if not holder.told]]
        self._things = [_things(part) for part in self._parts]
        self._seen = CHANGES.number  # what modules hold was as it is when so much had been set
        arrays = {id(x): x for x in chain(*self._things) if isinstance(x, np.ndarray) and x.nbytes <= SMALL}
        self._arrays = [(a, a.shape, a.tobytes()) for a in arrays.values()]
        used = {v.source: None for v in program.tensors()}
        near = dict.fromkeys(x for x in chain(*self._things) if isinstance(x, Node))
        asked = near if "requires_grad" in self.around.names else {}
        self._tensors = [(x, x._array, x._needs) for x in {**used, **asked}]
        self._gradients = [(x, grad) for x in near if (grad := getattr(x, "_grad", None)) in used]

    def broken(self) -> str:
        """What is not as it was when the step was recorded, in words; empty if nothing is."""
        for tensor, array, needs in self._tensors:
            if tensor._array is not array or tensor._needs is not needs:
                return f"a tensor that it uses, {describe(tensor)},"
        for tensor, grad in self._gradients:
            if tensor._grad is not grad:
                return f"the gradient of {describe(tensor)}"
        seen = CHANGES.number
        for k in (0, 1) if seen != self._seen else (1,):
            try:
                now = _things(self._parts[k])
            except RuntimeError:  # a dict that grows meanwhile
                now = []
            if len(now) != len(self._things[k]) or not all(map(is_, now, self._things[k])):
                what = self.around.changed()
                if what:
                    return what
                self._things[k] = now  # other objects of the same value
        self._seen = seen
        if not self._arrays:
            return ""
        changed = (a for a, shape, before in self._arrays if a.shape != shape or a.tobytes() != before)
        return next((f"an array of shape {a.shape} that it uses" for a in changed), "")


def _tells(module: Any) -> bool:
    """Whether whoever sets an attribute of a module is counted."""
    return isinstance(module, Module) and type(module).__setattr__ is Module.__setattr__


def _things(holders: list[Holder]) -> list[Any]:
    """All that they hold."""
    things: list[Any] = []
    for holder in holders:
        space = holder.space
        if space is None:
            things += holder.now()
        else:
            things += space
            things += space.values()
    return things


def _alike(a: Any, b: Any) -> bool:
    """The same thing, or the same number or text: 0.0 is not -0.0, and 1 is not True."""
    return a is b or (type(a) is type(b) and isinstance(a, _VALUES) and repr(a) == repr(b))


# --------------------------------------------------------------------------------------------------------------
# What can be reached


def _reachable(
    step: Any, modules: Iterable[Any], arguments: Iterable[Any], generators: dict[int, Any], used: set[str]
) -> Iterator[Holder]:
    """Whatever holds something that may be replaced between calls, nearest first."""
    seen: dict[int, Any] = {}
    queue: deque[tuple[str, Any, int]] = deque([("the step", step, 0)])
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
        owner = x if isinstance(x, Optimizer) else owner
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
