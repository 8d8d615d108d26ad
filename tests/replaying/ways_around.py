"""Ways to make a replay stale, continued: variables, functions, modules, the world, networks."""

from __future__ import annotations

import builtins
import contextvars
import copy
import functools
import itertools
import math
import os
import random
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg

from .ways import WAYS, Box, item, set_to, way

NUMBER = 2.0
OTHER = types.ModuleType("other")
VAR: contextvars.ContextVar[float] = contextvars.ContextVar("VAR", default=2.0)


def helper(x: Any) -> Any:
    return x * 2.0


# Variables, functions, modules --------------------------------------------------------------------------------------


@way("right")
def a_variable(patch: Any) -> Any:
    factor = 2.0

    def change() -> None:
        nonlocal factor
        factor = 3.0

    return (lambda x: x * factor), change


@way("right")
def a_variable_of_a_function_inside(patch: Any) -> Any:
    factor = 2.0

    def change() -> None:
        nonlocal factor
        factor = 3.0

    def inner(x: Any) -> Any:
        return (lambda y: y * factor)(x)

    return (lambda x: inner(x)), change


@way("right")
def a_global(patch: Any) -> Any:
    return (lambda x: x * NUMBER), lambda: patch.setitem(globals(), "NUMBER", 3.0)


@way("right")
def a_global_by_its_name_as_text(patch: Any) -> Any:
    return (lambda x: x * globals()["NUMBER"]), lambda: patch.setitem(globals(), "NUMBER", 3.0)


@way("proved")
def a_global_by_a_name_that_is_made(patch: Any) -> Any:
    return (lambda x: x * globals()["".join(("NUM", "BER"))]), lambda: patch.setitem(globals(), "NUMBER", 3.0)


@way("right")
def a_global_function(patch: Any) -> Any:
    return (lambda x: helper(x)), lambda: patch.setitem(globals(), "helper", lambda x: x * 3.0)


@way("right")
def a_default(patch: Any) -> Any:
    def step(x: Any, factor: float = 2.0) -> Any:
        return x * factor

    return step, lambda: set_to("__defaults__", (3.0,))(step)


@way("right")
def a_keyword_default(patch: Any) -> Any:
    def step(x: Any, *, factor: float = 2.0) -> Any:
        return x * factor

    return step, lambda: set_to("__kwdefaults__", {"factor": 3.0})(step)


@way("right")
def the_code_of_a_function(patch: Any) -> Any:
    def inner(x: Any) -> Any:
        return x * 2.0

    return (lambda x: inner(x)), lambda: set_to("__code__", (lambda x: x * 3.0).__code__)(inner)


@way("right")
def an_attribute_of_a_function(patch: Any) -> Any:
    def inner(x: Any) -> Any:
        return x * vars(inner)["factor"]

    vars(inner)["factor"] = 2.0
    return (lambda x: inner(x)), lambda: item("factor")(vars(inner))


@way("right")
def an_argument_of_a_partial(patch: Any) -> Any:
    held = [2.0]
    return functools.partial(lambda h, x: x * h[0], held), lambda: item(0)(held)


@way("right")
def a_class_s_attribute(patch: Any) -> Any:
    return (lambda x: x * Box.shared), lambda: patch.setattr(Box, "shared", 3.0)


@way("right")
def a_base_class_s_attribute(patch: Any) -> Any:
    held = type("Under", (Box,), {})()
    return (lambda x: x * held.shared), lambda: patch.setattr(Box, "shared", 3.0)


@way("right")
def a_class_s_method(patch: Any) -> Any:
    held: Any = Box()
    return (lambda x: held.twice(x)), lambda: patch.setattr(Box, "twice", lambda self, x: x * 3.0)


@way("proved")
def a_metaclass_s_attribute(patch: Any) -> Any:
    meta = type("Meta", (type,), {"factor": 2.0})
    held: Any = meta("Held", (), {})
    return (lambda x: x * held.factor), lambda: set_to("factor")(meta)


@way("right")
def an_attribute_of_another_module(patch: Any) -> Any:
    patch.setattr(OTHER, "factor", 2.0, raising=False)
    return (lambda x: x * OTHER.factor), lambda: patch.setattr(OTHER, "factor", 3.0)


@way("right")
def a_module_imported_inside(patch: Any) -> Any:
    patch.setitem(sys.modules, "other_module", OTHER)
    patch.setattr(OTHER, "factor", 2.0, raising=False)

    def step(x: Any) -> Any:
        from other_module import factor  # type: ignore[import-not-found]

        return x * factor

    return step, lambda: patch.setattr(OTHER, "factor", 3.0)


@way("right")
def a_constant_of_a_standard_module(patch: Any) -> Any:
    return (lambda x: x * math.tau), lambda: patch.setattr(math, "tau", 3.0)


@way("right")
def a_function_of_minigrad_s(patch: Any) -> Any:
    return (lambda x: mg.square(x)), lambda: patch.setattr(mg, "square", lambda x: x * 3.0)


@way("right")
def a_global_that_comes_before_a_builtin(patch: Any) -> Any:
    return (
        lambda x: x * float(abs(-2.0)),
        lambda: patch.setitem(globals(), "abs", lambda x: 3.0),
    )


@way("proved")
def a_builtin(patch: Any) -> Any:
    return (lambda x: x * float(round(2.2))), lambda: patch.setattr(builtins, "round", lambda x: 3.0)


@way("right")
def a_context_variable(patch: Any) -> Any:
    VAR.set(2.0)
    return (lambda x: x * VAR.get()), lambda: VAR.set(3.0)


# The world ----------------------------------------------------------------------------------------------------------


@way("right")
def the_environment(patch: Any) -> Any:
    name = "MINIGRAD_TEST_FACTOR"
    patch.setenv(name, "2")
    return (lambda x: x * float(os.environ[name])), lambda: patch.setenv(name, "3")


@way("proved")
def a_file(patch: Any) -> Any:
    name = "factor.txt"
    Path(name).write_text("2.0")
    return (lambda x: x * float(Path(name).read_text())), lambda: Path(name).write_text("3.0")


@way("refused")
def the_clock(patch: Any) -> Any:
    return (lambda x: x * time.perf_counter()), lambda: None


@way("refused")
def a_random_number(patch: Any) -> Any:
    return (lambda x: x * random.random()), lambda: None


@way("refused")
def numpy_s_random_number(patch: Any) -> Any:
    return (lambda x: x * np.random.rand()), lambda: None


@way("refused")
def a_branch_on_a_generator(patch: Any) -> Any:
    rng = np.random.default_rng(0)
    return (lambda x: x * 2.0 if rng.random() < 2 else x), lambda: None


@way("refused")
def an_iterator(patch: Any) -> Any:
    turns = itertools.cycle([2.0, 2.0, 3.0])
    return (lambda x: x * next(turns)), lambda: None


@way("refused")
def a_generator(patch: Any) -> Any:
    turns = (2.0 for _ in range(100))
    return (lambda x: x * next(turns)), lambda: None


@way("refused")
def a_counter(patch: Any) -> Any:
    held: Any = Box(count=0)

    def step(x: Any) -> Any:
        held.count += 1
        return x * 2.0

    return step, lambda: None


@way("refused")
def a_number_that_python_looks_at(patch: Any) -> Any:
    return (lambda x: x * 2.0 if mg.sum(x).item() < 10 else x), lambda: None


@way("refused")
def a_copy_of_a_tensor(patch: Any) -> Any:
    held = mg.tensor([2.0])
    return (lambda x: x * copy.copy(held)), lambda: set_to("data", [3.0])(held)


# Networks, optimizers, tensors --------------------------------------------------------------------------------------


@way("right")
def values_of_a_tensor(patch: Any) -> Any:
    held = mg.tensor([2.0])
    return (lambda x: x * held), lambda: set_to("data", [3.0])(held)


@way("right")
def a_tensor_that_was_replaced(patch: Any) -> Any:
    held: Any = Box(t=mg.tensor([2.0]))
    return (lambda x: x * held.t), lambda: set_to("t", mg.tensor([3.0]))(held)


def network(change: Callable[[Any, Any], Any], **options: Any) -> Callable[[Any], Any]:
    """A training step of a network, and a change of it or of its optimizer."""

    def make(patch: Any) -> Any:
        net = mg.nn.MLP((2, 4, 1), rng=0, **options)
        sgd = mg.optim.SGD(net.parameters(), lr=0.1)
        held: Any = Box(sgd=sgd)

        def step(x: Any) -> Any:
            loss = mg.square(net(x)).mean()
            held.sgd.zero_grad()
            loss.backward()
            held.sgd.step()
            return loss

        return step, lambda: change(net, held)

    return make


def other_weights(net: Any) -> dict[str, Any]:
    return {name: np.asarray(value) * 0.5 for name, value in net.state_dict().items()}


def all_of(net: Any, kind: str) -> Any:
    return next(m for _, m in net.named_modules() if type(m).__name__ == kind)


NETWORKS: dict[str, tuple[dict[str, Any], Callable[[Any, Any], Any]]] = {
    "eval()": ({"norm": "batch"}, lambda net, held: net.eval()),
    "one layer's eval()": ({"norm": "batch"}, lambda net, held: all_of(net, "BatchNorm1d").eval()),
    "a momentum of batch norm": (
        {"norm": "batch"},
        lambda net, held: set_to("momentum", 0.5)(all_of(net, "BatchNorm1d")),
    ),
    "a rate": ({}, lambda net, held: item("lr", 0.5)(held.sgd.groups[0])),
    "a decay that comes": ({}, lambda net, held: item("weight_decay", 0.5)(held.sgd.groups[0])),
    "another optimizer": ({}, lambda net, held: set_to("sgd", mg.optim.SGD(net.parameters(), lr=0.5))(held)),
    "loaded weights": ({}, lambda net, held: net.load_state_dict(other_weights(net))),
    "a frozen weight": ({}, lambda net, held: set_to("requires_grad", False)(next(iter(net.parameters())))),
    "a share of dropout": ({"dropout": 0.5}, lambda net, held: set_to("p", 0.1)(all_of(net, "Dropout"))),
}
for _name, (_options, _change) in NETWORKS.items():
    WAYS[_name] = "right", network(_change, **_options)
