"""docs/coming-from.md: what people write from habit works, or is refused with what to write; that works, too."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, numpy_protocol
from minigrad.habits import ATTRIBUTES, OPERATORS

from .helpers import leaf

PAGE = (Path(__file__).parents[1] / "docs" / "coming-from.md").read_text(encoding="utf-8")
ROWS = [
    (habit, outcome.strip("`"))
    for habits, outcome in re.findall(r"^\| (.+) \| (.+) \|$", PAGE.split("## What the hand writes by itself")[1], re.M)
    for habit in re.findall(r"`([^`]+)`", habits)
]


def names():
    return {
        "mg": mg, "np": np, "math": math, "net": nn.Linear(2, 2, rng=0), "v": leaf([1.0, 2.5]), "i": np.arange(2),
        "x": leaf([[1.5, 2.0], [4.0, 3.0]]), "y": leaf([[2.0, 1.0], [3.0, 0.5]]), "n": 2, "w": 2.0,
    }  # fmt: skip


def test_the_table_is_there():
    assert len(ROWS) >= 60


@pytest.mark.parametrize(("habit", "outcome"), ROWS, ids=[habit for habit, _ in ROWS])
def test_a_habit_works_or_says_what_to_write(habit, outcome):
    before, held = names(), {}
    held.update(before)
    if outcome == "works":
        exec(habit, held)
        return
    said = (TypeError, ValueError, AttributeError, UserWarning)
    with pytest.raises(said) as caught:  # warnings are errors in all tests
        exec(habit, held)
    assert outcome in str(caught.value)
    np.testing.assert_array_equal(held["x"].data, names()["x"].data)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_what_is_advised_for_an_attribute_runs(name):
    x = names()["x"]
    assert not hasattr(x, name)
    assert name not in dir(x)
    exec(ATTRIBUTES[name], names())


NUMPY = "all any copy argsort diagonal dot nonzero ptp ravel repeat round sort take tolist trace conj"


@pytest.mark.parametrize("name", NUMPY.split())
def test_what_is_advised_does_what_numpy_does(name):
    held = names()
    if name == "sort":
        held["x"] = leaf([3.0, 1.0, 2.0])
    array, found = held["x"].numpy(), eval(ATTRIBUTES[name], held)
    arguments = {"dot": (held["y"].numpy(),), "repeat": (2, 0), "take": ([0, 1], 0)}.get(name, ())
    of_arrays = hasattr(array, name) and name != "sort"
    expected = getattr(array, name)(*arguments) if of_arrays else getattr(np, name)(array)
    np.testing.assert_array_equal(found.numpy() if isinstance(found, mg.Tensor) else found, expected)


ADVICE = {
    "append": "v, v", "cosh": "x", "cumprod": "v", "diag": "v", "diff": "v", "dot": "x, y", "dstack": "[x, y]",
    "exp2": "x", "float_power": "x, y", "hstack": "[x, y]", "hypot": "x, y", "inner": "x, x", "linalg.norm": "v",
    "log10": "x", "log2": "x", "logaddexp": "v, v", "median": "np.array([3.0, 1.0, 2.0])", "nan_to_num": "x",
    "nansum": "x", "outer": "v, v", "pad": "v, 2", "ptp": "x", "reciprocal": "x", "remainder": "x, y", "repeat": "v, 2",
    "sinh": "x", "sort": "v", "tan": "x", "tile": "v, 2", "trace": "x", "tril": "x", "triu": "x", "vdot": "v, v",
    "vstack": "[v, v]", "average": "x", "floor_divide": "x, y", "floor": "x", "round": "x", "all": "x", "unique": "x",
}  # fmt: skip


@pytest.mark.parametrize("name", ADVICE)
def test_what_is_advised_for_a_function_of_numpy_gives_its_numbers(name):
    held = names()
    arguments = eval(f"({ADVICE[name]},)", held)
    arguments = arguments[0] if isinstance(arguments[0], list) else arguments
    function: Any = np
    for part in name.split("."):
        function = getattr(function, part)
    arrays = [a.numpy() if isinstance(a, mg.Tensor) else a for a in arguments]
    expected = function(arrays) if name.endswith("stack") else function(*arrays)
    tensors = [mg.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
    held["x"], held["y"] = (tensors * 2)[0], (tensors * 2)[1]
    if name in ("inner", "vdot") or isinstance(held["y"], int):
        held["y"] = held["x"]
    code = re.split(r", which|, or | of a | of vectors| where all", numpy_protocol.INSTEAD[name])[0]
    if name in ("floor_divide", "remainder"):
        held["y"] = held["y"].numpy()
    found = eval(code, held)
    if name == "inner":
        expected = np.array([np.inner(row, row) for row in held["x"].numpy()])
    np.testing.assert_allclose(np.asarray(found.numpy() if isinstance(found, mg.Tensor) else found), expected)


def test_operators_without_a_gradient_say_so():
    x = leaf([1.0, 2.0])
    for calls in (lambda: x % 2.0, lambda: 2.0 % x, lambda: x // 2, lambda: divmod(x, 2.0), lambda: round(x)):
        with pytest.raises(TypeError, match=r"is not defined for Tensors: write "):
            calls()
    for calls in (lambda: math.floor(x), lambda: math.ceil(x), lambda: math.trunc(x), lambda: (x > 0) ^ (x > 1)):
        with pytest.raises(TypeError, match=r"is not defined for Tensors: write "):
            calls()
    assert set(OPERATORS) <= {name.strip("_") for name in vars(mg.Tensor)}


def test_the_second_round_of_a_hand_written_step_says_why_there_is_no_gradient():
    w = leaf([1.0, 2.0])
    (w * w).sum().backward()
    w = w - 0.1 * w.grad
    (w * w).sum().backward()
    with pytest.warns(UserWarning, match=r"was computed by sub, so its \.grad stays None"):
        assert w.grad is None
    kept = (w * 2.0).retain_grad()
    assert kept.grad is None  # asked for: no warning
