"""Ways to make a replay stale, continued: what Python's own tools hold, and optimizers."""

from __future__ import annotations

import abc
import collections
import contextvars
import decimal
import enum
import functools
import os
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

from .ways import WAYS, Box, item, set_to, simple, way

# What holds things in Python ----------------------------------------------------------------------------------------


class Masked(np.ndarray[Any, Any]):
    """An array of the user's."""


def view_of(kind: Any) -> Any:
    array = np.full(4, 2.0).view(kind)
    return array


def objects() -> Any:
    held = np.empty(1, object)
    held[0] = [2.0]
    return held


def first(held: Any) -> float:
    return float(held[0])


def over(mapping: dict[str, float]) -> Any:
    return Box(d=mapping, p=types.MappingProxyType(mapping), v=mapping.values())


class Way:
    """A key."""


class Text(str):
    """A text with attributes."""

    f = 2.0


WAY: Any = Way()


def cached() -> Any:
    held: Any = Box(x=2.0)
    held.f = functools.cache(lambda: held.x)
    return held


def forget(held: Any) -> None:
    held.x = 3.0
    held.f.cache_clear()


simple("right", "a SimpleNamespace", lambda: types.SimpleNamespace(f=2.0), lambda h: h.f, set_to("f"))
simple("right", "a MappingProxyType", lambda: over({"k": 2.0}), lambda h: h.p["k"], lambda h: item("k")(h.d))
simple("right", "a view of a dict", lambda: over({"k": 2.0}), lambda h: sum(h.v), lambda h: item("k")(h.d))
simple("right", "an order", lambda: collections.OrderedDict(a=2.0, b=3.0), lambda h: next(iter(h.values())),
       lambda h: h.move_to_end("a"))  # fmt: skip
simple("right", "a __dict__ that was replaced", lambda: Box(f=2.0), lambda b: b.f, set_to("__dict__", {"f": 3.0}))
simple("right", "a __dict__ that was updated", lambda: Box(f=2.0), lambda b: b.f, lambda b: b.__dict__.update(f=3.0))
simple("right", "a small array of a class", lambda: view_of(Masked), first, lambda h: h.fill(3.0))
simple("right", "a masked array", lambda: view_of(np.ma.MaskedArray), first, lambda h: h.fill(3.0))
simple("right", "a list in an array", objects, lambda h: float(h[0][0]), lambda h: item(0)(h[0]))
simple("right", "a cache that was emptied", cached, lambda h: h.f(), forget)
simple("right", "a weak key", lambda: Box(d=weakref.WeakKeyDictionary({WAY: 2.0})), lambda b: b.d[WAY],
       lambda b: item(WAY)(b.d))  # fmt: skip
simple("right", "an event", threading.Event, lambda e: 3.0 if e.is_set() else 2.0, lambda e: e.set())
simple("right", "nan", lambda: Box(f=float("nan")), lambda b: 2.0 if b.f != b.f else 3.0, set_to("f", 1.0))
simple("right", "a zero's sign", lambda: Box(f=0.0), lambda b: b.f, set_to("f", -0.0))
simple("right", "1 and True", lambda: Box(f=1), lambda b: 3.0 if b.f is True else 2.0, set_to("f", True))
simple("right", "a scalar's dtype", lambda: Box(f=np.float32(0.1)), lambda b: b.f, set_to("f", np.float64(0.1)))
simple("proved", "a memoryview", lambda: memoryview(bytearray(b"\x02")), first, item(0, 3))
simple("proved", "an attribute of a text", lambda: Text("a"), lambda t: t.f, set_to("f"))
simple("proved", "a lock", threading.Lock, lambda h: 3.0 if h.locked() else 2.0, lambda h: h.acquire())
simple("proved", "the name of a tensor", lambda: mg.tensor([1.0]), lambda t: 3.0 if t.name else 2.0,
       lambda t: t.named("w"))  # fmt: skip


@way("right")
def keywords_of_a_partial(patch: Any) -> Any:
    held = functools.partial(lambda x, f: x * f, f=2.0)
    keywords: Any = held.keywords
    return (lambda x: held(x)), lambda: keywords.update(f=3.0)


@way("right")
def keywords_of_a_partial_given_as_argument(patch: Any) -> Any:
    held: Any = functools.partial(lambda f: f, f=2.0)
    return (lambda x, h: x * h()), (lambda: held.keywords.update(f=3.0)), held


@way("right")
def a_default_that_is_written_to(patch: Any) -> Any:
    def step(x: Any, h: Any = [2.0]) -> Any:  # noqa: B006
        return x * h[0]

    held = [2.0]
    step.__defaults__ = (held,)
    return step, lambda: item(0)(held)


@way("right")
def the_bases_of_a_class(patch: Any) -> Any:
    before, after = (type("Base", (), {"f": f}) for f in (2.0, 3.0))
    held: Any = type("Held", (before,), {})
    return (lambda x: x * held().f), lambda: set_to("__bases__", (after,))(held)


@way("right")
def a_registration(patch: Any) -> Any:
    @functools.singledispatch
    def factor(x: Any) -> float:
        return 2.0

    return (lambda x: x * factor(WAY)), lambda: factor.register(Way, lambda x: 3.0)


@way("right")
def a_function_behind_decorators(patch: Any) -> Any:
    held: Any = Box(f=2.0)

    def decorated(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any) -> Any:
            return function(*args)

        return call

    inner = decorated(decorated(decorated(lambda x: x * held.f)))
    return (lambda x: inner(x)), lambda: set_to("f")(held)


@way("right")
def the_end_of_a_chain_of_functions(patch: Any) -> Any:
    held: Any = Box(f=2.0)
    functions: list[Callable[[], Any]] = [lambda: held.f]

    def further(function: Any) -> Any:
        return lambda: function()

    for _ in range(6):
        functions.append(further(functions[-1]))
    last = functions[-1]
    return (lambda x: x * last()), lambda: set_to("f")(held)


@way("right")
def a_list_in_a_context_variable(patch: Any) -> Any:
    held: contextvars.ContextVar[Any] = contextvars.ContextVar("held")
    held.set([2.0])
    return (lambda x: x * held.get()[0]), lambda: item(0)(held.get())


@way("right")
def a_replayed_step_inside(patch: Any) -> Any:
    held = [2.0]
    inner = mg.replay(lambda x: x * held[0])
    return (lambda x: inner(x) + 1.0), lambda: item(0)(held)


@way("right")
def a_slice_of_a_large_array(patch: Any) -> Any:
    held = np.full((1000, 2), 2.0)
    return (lambda x: x * held[:2]), lambda: held.fill(3.0)


@way("right")
def an_array_in_another_shape(patch: Any) -> Any:
    held = np.array([[2.0], [3.0]])

    def change() -> None:
        held.resize((1, 2), refcheck=False)

    return (lambda x: x * (held if held.shape[0] == 1 else held * 2.0)), change


@way("right")
def a_frozen_tensor_that_nothing_uses(patch: Any) -> Any:
    held = mg.tensor([2.0], requires_grad=True)
    return (lambda x: x * (2.0 if held.requires_grad else 3.0)), lambda: set_to("requires_grad", False)(held)


@way("right")
def a_gradient_that_is_read(patch: Any) -> Any:
    held = mg.tensor([2.0, 1.0], requires_grad=True)
    (held * held).sum().backward()
    return (lambda x: x * held.grad), lambda: (held * held).sum().backward()


@way("right")
def another_class_of_a_network(patch: Any) -> Any:
    class Twice(mg.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2.0

    class Thrice(Twice):
        def forward(self, x: Any) -> Any:
            return x * 3.0

    held = Twice()
    return (lambda x: held(x)), lambda: set_to("__class__", Thrice)(held)


# What Python does not show ------------------------------------------------------------------------------------------


@way("proved")
def errors_of_numpy(patch: Any) -> Any:
    np.seterr(divide="warn")
    return (lambda x: x * (2.0 if np.geterr()["divide"] == "warn" else 3.0)), lambda: np.seterr(divide="ignore")


@way("proved")
def a_decimal_context(patch: Any) -> Any:
    decimal.setcontext(decimal.Context(prec=2))
    return (lambda x: x * float(decimal.getcontext().prec)), lambda: decimal.setcontext(decimal.Context(prec=3))


@way("proved")
def the_working_directory(patch: Any) -> Any:
    here = os.getcwd()
    return (lambda x: x * (2.0 if os.getcwd() == here else 3.0)), lambda: patch.chdir("/")


@way("proved")
def a_virtual_subclass(patch: Any) -> Any:
    kind = abc.ABCMeta("Kind", (), {})
    return (lambda x: x * (3.0 if isinstance(WAY, kind) else 2.0)), lambda: kind.register(Way)


@way("proved")
def a_generator_that_comes_back_to_its_place(patch: Any) -> Any:
    def factors() -> Any:
        factor = 2.0
        while True:
            factor = (yield factor) or factor

    held = factors()
    next(held)
    return (lambda x: x * held.send(None)), lambda: held.send(3.0)


@way("proved")
def a_method_of_a_tensor(patch: Any) -> Any:
    return (lambda x: x.tanh()), lambda: patch.setattr(mg.Tensor, "tanh", lambda x: x * 3.0)


@way("right")
def the_value_of_an_enumeration(patch: Any) -> Any:
    class Held(enum.Enum):
        A = 2.0

    return (lambda x: x * Held.A.value), lambda: set_to("_value_", 3.0)(Held.A)


# Optimizers ---------------------------------------------------------------------------------------------------------


class Plain(mg.optim.Optimizer):
    """Descent with what optimizers of users keep: numbers, lists, arrays, in the optimizer itself."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})
        self.scale, self.seen, self.counts, self.mean = 1.0, [0], {"updates": 0}, np.zeros(1)

    def _update(self, value: Any, gradient: Any, state: Any, step: int, group: Any) -> None:
        self.seen.append(step)
        self.counts["updates"] += 1
        self.mean += gradient.mean()
        value -= group["lr"] * self.scale * (gradient + self.mean / self.counts["updates"]) / len(self.seen)


def optimizer(change: Callable[[Any], Any], kind: Any = mg.optim.SGD, **options: Any) -> Callable[[Any], Any]:
    """A training step with two groups, and a change of its optimizer."""

    def make(patch: Any) -> Any:
        net = mg.nn.MLP((2, 4, 1), rng=0)
        weights = list(net.parameters())
        held = kind([{"params": weights[:2]}, {"params": weights[2:]}], lr=0.1, **options)

        def step(x: Any) -> Any:
            loss = mg.square(net(x)).mean()
            held.zero_grad()
            loss.backward()
            held.step()
            return loss

        return step, lambda: change(held)

    return make


def opposite(value: Any, gradient: Any, *_: Any) -> None:
    value += 0.1 * gradient


@way("right")
def a_rate_that_the_step_reads(patch: Any) -> Any:
    weight = mg.tensor([2.0, 1.0], requires_grad=True)
    held = mg.optim.SGD([weight], lr=0.1)
    schedule = mg.optim.StepLR(held, 1, 0.5)

    def step(x: Any) -> Any:
        loss = mg.square(x * weight).mean()
        held.zero_grad()
        loss.backward()
        held.step()
        return loss * held.groups[0]["lr"]

    return step, schedule.step


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "the rate of one group": optimizer(lambda o: o.groups[1].update(lr=0.5)),
    "groups in another order": optimizer(lambda o: (o.groups[0].update(lr=0.5), o.groups.reverse())),
    "groups that were replaced": optimizer(lambda o: set_to("groups", [dict(g, lr=0.5) for g in o.groups])(o)),
    "momentum that comes": optimizer(lambda o: o.groups[0].update(momentum=0.9)),
    "another class of optimizer": optimizer(set_to("__class__", mg.optim.AdamW), mg.optim.Adam, weight_decay=0.1),
    "an update of its own": optimizer(lambda o: set_to("_update", opposite)(o)),
    "a step of its own": optimizer(lambda o: set_to("step", lambda: None)(o)),
    "one's own optimizer": optimizer(lambda o: None, Plain),
    "the rate of one's own optimizer": optimizer(lambda o: o.groups[0].update(lr=0.3), Plain),
    "a number of one's own optimizer": optimizer(set_to("scale", 2.0), Plain),
}
for _name, _make in OPTIMIZERS.items():
    WAYS[_name] = "right", _make
