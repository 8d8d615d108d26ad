"""Ways to make a replay stale: a step, and what is changed around it after five calls.

Each gives (step, change) with a state of its own; `patch` is pytest's monkeypatch. How each ends stands in WAYS:

right     every call gives what the step gives
refused   NotReplayable, before any result was wrong
proved    results may be wrong until the next proof, which refuses the step (docs/replay.md lists these)
"""

from __future__ import annotations

import array
import collections
import dataclasses
import enum
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

WAYS: dict[str, tuple[str, Callable[[Any], Any]]] = {}


def way(how: str) -> Callable[[Any], Any]:
    """Enter a function into the table."""

    def entered(make: Any) -> Any:
        WAYS[make.__name__.replace("_", " ").strip()] = how, make
        return make

    return entered


class Box:
    """Something with attributes."""

    shared = 2.0

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)

    def twice(self, x: Any) -> Any:
        return x * 2.0


def simple(how: str, name: str, state: Callable[[], Any], read: Callable[[Any], float], write: Any) -> None:
    """A way whose step multiplies by what it reads from a state."""

    def make(patch: Any) -> Any:
        held = state()
        return (lambda x: x * read(held)), (lambda: write(held))

    WAYS[name] = how, make


def set_to(name: str, value: Any = 3.0) -> Callable[[Any], None]:
    return lambda held: setattr(held, name, value)


def item(key: Any, value: Any = 3.0) -> Callable[[Any], None]:
    return lambda held: held.__setitem__(key, value)


# Objects and classes ------------------------------------------------------------------------------------------------


class Slots:
    """Attributes in slots, one of them mangled."""

    __slots__ = ("__hidden", "factor")

    def __init__(self) -> None:
        self.factor = self.__hidden = 2.0

    def hidden(self) -> float:
        return self.__hidden

    def hide(self, x: float) -> None:
        self.__hidden = x


class Computed:
    """A property over a private attribute."""

    def __init__(self) -> None:
        self._x = 1.0

    @property
    def factor(self) -> float:
        return self._x + 1.0


class Described:
    """A descriptor that keeps values by itself."""

    def __init__(self) -> None:
        self.kept: dict[int, float] = {}

    def __get__(self, held: Any, owner: Any = None) -> float:
        return self.kept.get(id(held), 2.0)

    def __set__(self, held: Any, value: float) -> None:
        self.kept[id(held)] = value


class Dynamic:
    """__getattr__ that reads bytes nobody can compare."""

    def __init__(self) -> None:
        self.memory = bytearray(b"\x02")

    def __getattr__(self, name: str) -> float:
        if name == "factor":
            return float(self.memory[0])
        raise AttributeError(name)


@dataclasses.dataclass
class Data:
    """A dataclass."""

    factor: float = 2.0


class Choice(enum.Enum):
    """An enumeration."""

    TWO = 2.0
    THREE = 3.0


Pair = collections.namedtuple("Pair", "factor")


def deep(levels: int) -> Any:
    inner: Any = Box(factor=2.0)
    for _ in range(levels):
        inner = Box(inner=inner)
    return inner


def bottom(held: Any) -> Any:
    while hasattr(held, "inner"):
        held = held.inner
    return held


def fresh_class() -> Any:
    described = type("Held", (), {"factor": Described()})
    return described()


def local() -> threading.local:
    held = threading.local()
    held.factor = 2.0
    return held


simple("right", "an attribute", lambda: Box(factor=2.0), lambda b: b.factor, set_to("factor"))
simple("right", "an attribute that comes", Box, lambda b: getattr(b, "factor", 2.0), set_to("factor"))
simple("right", "an instance's over its class's", Box, lambda b: b.shared, set_to("shared"))
simple("right", "a slot", Slots, lambda s: s.factor, set_to("factor"))
simple("right", "a mangled slot", Slots, lambda s: s.hidden(), lambda s: s.hide(3.0))
simple("right", "a property", Computed, lambda c: c.factor, set_to("_x", 2.0))
simple("right", "a descriptor's dict", fresh_class, lambda h: h.factor, set_to("factor"))
simple("proved", "a computed attribute", Dynamic, lambda d: d.factor, lambda d: d.memory.__setitem__(0, 3))
simple("right", "a dataclass", Data, lambda d: d.factor, set_to("factor"))
simple("right", "an enumeration", lambda: Box(c=Choice.TWO), lambda b: b.c.value, set_to("c", Choice.THREE))
simple("right", "a namedtuple", lambda: Box(p=Pair(2.0)), lambda b: b.p.factor, set_to("p", Pair(3.0)))
simple("right", "three deep", lambda: deep(2), lambda b: bottom(b).factor, lambda b: set_to("factor")(bottom(b)))
simple("proved", "seven deep", lambda: deep(7), lambda b: bottom(b).factor, lambda b: set_to("factor")(bottom(b)))
simple("right", "threading.local", local, lambda h: h.factor, set_to("factor"))
simple(
    "right", "another class", lambda: Box(x=2.0), lambda b: 2.0 if type(b) is Box else 3.0,
    lambda b: set_to("__class__", type("Other", (Box,), {}))(b),
)  # fmt: skip
simple(
    "right", "a method", lambda: Box(), lambda b: float(b.twice(1.0)), set_to("twice", lambda x: x * 3.0)
)  # fmt: skip

# Containers ---------------------------------------------------------------------------------------------------------

simple("right", "a list", lambda: [2.0], lambda h: h[0], item(0))
simple("right", "a list that grows between calls", lambda: [1.0, 1.0], sum, lambda h: h.append(1.0))
simple("right", "a dict", lambda: {"k": 2.0}, lambda h: h["k"], item("k"))
simple("right", "a set", lambda: {2.0}, sum, lambda h: h.add(1.0))
simple("right", "a deque", lambda: collections.deque([2.0]), lambda h: h[0], item(0))
simple("right", "a list in a dict", lambda: {"k": [2.0]}, lambda h: h["k"][0], lambda h: item(0)(h["k"]))
simple("right", "a UserDict", lambda: collections.UserDict(k=2.0), lambda h: h["k"], item("k"))
simple("right", "a ChainMap", lambda: collections.ChainMap({"k": 2.0}), lambda h: h["k"], item("k"))
simple("right", "a defaultdict", lambda: collections.defaultdict(lambda: 2.0, k=2.0), lambda h: h["k"], item("k"))
simple("proved", "a list of 2,000", lambda: [2.0] * 2000, lambda h: h[1500], item(1500))
simple("right", "a list of 2,000 that grows", lambda: [0.001] * 2000, lambda h: len(h) / 1000, lambda h: h.append(0.0))
simple("proved", "a bytearray", lambda: bytearray(b"\x02"), lambda h: float(h[0]), item(0, 3))
simple("proved", "an array.array", lambda: array.array("d", [2.0]), lambda h: h[0], item(0))
simple("right", "a small array", lambda: np.full(4, 2.0), lambda h: float(h[0]), item(0))
simple("proved", "a large array", lambda: np.full(4000, 2.0), lambda h: float(h[0]), item(0))
simple("right", "a weak reference", lambda: Box(o=(o := Box(f=2.0)), r=weakref.ref(o)), lambda b: b.r().f,
       lambda b: set_to("f")(b.o))  # fmt: skip


@way("right")
def a_weak_reference_that_dies(patch: Any) -> Any:
    held = [Box()]
    ref = weakref.ref(held[0])
    return (lambda x: x * (3.0 if ref() is None else 2.0)), held.clear


@way("right")
def an_array_that_an_operation_reads(patch: Any) -> Any:
    held = np.full((1000, 2, 2), 2.0)
    return (lambda x: mg.sum(x * held)), lambda: held.fill(3.0)


@way("right")
def a_view_s_base(patch: Any) -> Any:
    base = np.full((2, 2), 2.0)
    view = base[0]
    return (lambda x: mg.sum(x * view)), lambda: base.fill(3.0)


# Arguments, threads -------------------------------------------------------------------------------------------------


@way("right")
def an_object_given_as_argument(patch: Any) -> Any:
    held: Any = Box(factor=2.0)
    return (lambda x, held: x * held.factor), (lambda: set_to("factor")(held)), held


@way("right")
def a_list_in_an_object_given_as_argument(patch: Any) -> Any:
    held: Any = Box(factors=[2.0])
    return (lambda x, held: x * held.factors[0]), (lambda: item(0)(held.factors)), held


@way("right")
def a_function_given_as_argument(patch: Any) -> Any:
    held: Any = Box(factor=2.0)
    return (lambda x, f: f(x)), (lambda: set_to("factor")(held)), lambda x: x * held.factor


@way("refused")
def a_tensor_with_a_gradient_given_as_argument(patch: Any) -> Any:
    w = mg.tensor([2.0], requires_grad=True)
    return (lambda x, w: x * w), (lambda: None), w


@way("refused")
def a_list_given_as_argument(patch: Any) -> Any:
    held = [2.0]
    return (lambda x, h: x * h[0]), (lambda: item(0)(held)), held


@way("right")
def another_dtype(patch: Any) -> Any:
    return (lambda x: x * 0.1), lambda: np.array([[2.0, 1.0]], "f")


@way("right")
def another_shape(patch: Any) -> Any:
    return (lambda x: x * x.shape[0]), lambda: np.ones((3, 2))


@way("right")
def another_layout(patch: Any) -> Any:
    return (lambda x: x.reshape(-1) * 2.0), lambda: np.arange(4.0).reshape(2, 2).T


@way("right")
def integers(patch: Any) -> Any:
    return (lambda x: x / 2), lambda: np.array([[3, 2]])


@way("right")
def an_attribute_that_another_thread_sets(patch: Any) -> Any:
    held: Any = Box(factor=2.0)

    def change() -> None:
        thread = threading.Thread(target=lambda: set_to("factor")(held))
        thread.start()
        thread.join()

    return (lambda x: x * held.factor), change


@way("right")
def no_grad_around(patch: Any) -> Any:
    held: Any = Box(on=False)
    w = mg.tensor([2.0], requires_grad=True)

    def step(x: Any) -> Any:
        with mg.no_grad():
            return x * w if not held.on else x * (w * 2.0)

    return step, lambda: set_to("on", True)(held)
