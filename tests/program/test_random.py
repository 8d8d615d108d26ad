"""Random graphs recorded once and run on other inputs: the bits of the function itself, forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.program.program import Program
from minigrad.program.recording import NotRecordable

from ..core.test_random_graphs import KINKED, SMOOTH, expressions
from .test_program import assert_same

ALL = sorted(SMOOTH | KINKED)


def arrays(expression: Any, seed: int) -> list[Any]:
    """Inputs of an expression; every other seed has ties and zeros, where masks and shares decide."""
    rng = np.random.default_rng(seed)
    drawn = [rng.uniform(-1.5, 1.5, size=shape) for shape in expression.shapes]
    return [np.asarray(np.round(a) if seed % 2 else a) for a in drawn]


@given(expressions(ALL), st.integers(0, 999))
@settings(max_examples=300)
def test_a_program_is_the_function_on_other_inputs_bit_for_bit(expression, seed):
    def function(*xs: Any) -> Any:
        return expression(xs, 0)

    program = mg.record(function, *arrays(expression, seed))
    inputs = arrays(expression, seed + 1)
    xs = [mg.tensor(a, requires_grad=True) for a in inputs]
    y = function(*xs)
    y.backward(np.float64(0.7))
    run = program.run(*inputs, gradient=np.float64(0.7))
    # a kernel of batch norm's own gives other last bits than the rule, which is recorded op by op
    exact = mg.kernels()["batch_norm"] == "reference" or all(name != "batch norm" for name, _ in expression.steps)
    assert_same(np.asarray(run.value), y.data, exact)
    for value, x in zip(program.inputs, xs, strict=False):
        found = run.gradients.get(value.label)
        assert_same(np.zeros(x.shape) if found is None else found, x.grad.data, exact)  # type: ignore[union-attr]


@given(expressions(ALL))
@settings(max_examples=30)
def test_json_keeps_every_bit(expression):
    program = mg.record(lambda *xs: expression(xs, 0), *arrays(expression, 0))
    again = Program.from_json(program.to_json())
    assert again.digest() == program.digest()
    inputs = arrays(expression, 1)
    a, b = (p.run(*inputs) for p in (program, again))
    assert np.array_equal(a.value, b.value, equal_nan=True)
    for name, slope in a.gradients.items():
        assert np.array_equal(slope, b.gradients[name], equal_nan=True)


# What Python makes anew in each call ---------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
COUNTED = {"calls": 0}


def counted(x: Any) -> Any:
    COUNTED["calls"] += 1
    return x * COUNTED["calls"]


def branching(x: Any) -> Any:
    COUNTED["calls"] += 1
    return mg.exp(x) if COUNTED["calls"] % 2 else mg.sin(x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x * RNG.normal(size=2), r"mul \(line \d+ of .*test_random.py\) was given a constant that changed"),
        (lambda x: x + np.random.rand(), r"add \(line .*\) was given 0\.\d+, then 0\."),
        (counted, r"mul \(line .*\) was given \d+, then \d+"),
        (branching, r"(exp|sin) \(line .*\) came first, (exp|sin) \(line .*\) in its place"),
        (lambda x: x[int(RNG.permutation(2)[0]) :][:1] * 1.0, "getitem .* was given|never"),
    ],
)  # fmt: skip
def test_what_changes_from_call_to_call_is_refused_by_name(function, message):
    def until_it_differs() -> None:
        for _ in range(20):  # a coin may fall the same way twice
            mg.record(function, np.array([1.0, 2.0]))

    with pytest.raises(NotRecordable, match=f"two runs of the function on the same inputs differ: {message}"):
        until_it_differs()


def test_noise_that_minigrad_draws_is_an_instruction_and_recording_draws_once():
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    x = np.ones(64)
    program = mg.record(lambda x: mg.dropout(x, 0.5, rng), x)
    mg.dropout(x, 0.5, other)
    assert rng.bit_generator.state == other.bit_generator.state
    for _ in range(3):
        assert np.array_equal(program.run(x).value, mg.dropout(x, 0.5, other))
    mg.record(lambda x: mg.dropout(x, 0.5, 0), x)  # a generator of its own in each call


def test_derivatives_inside_are_part_of_the_function():
    def f(x: Any) -> Any:
        return mg.grad((x * x * x).sum(), x, create_graph=True) * mg.sin(x)

    program = mg.record(f, np.array([1.5, -2.5]))
    inputs, c = np.array([-0.5, 3.0]), np.array([1.0, 2.0])
    x = mg.tensor(inputs, requires_grad=True)
    y = f(x)
    y.backward(c)
    assert np.array_equal(program.run(inputs).value, y.data)
    names: dict[str, Any] = {}
    exec(program.source(), names)
    value, cache = names["forward"](inputs)
    np.testing.assert_allclose(value, y.data, rtol=1e-14)
    np.testing.assert_allclose(names["backward"](c, cache)[0], x.grad.data, rtol=1e-13)  # type: ignore[union-attr]
