"""Primitives that users write: what is accepted, what is refused and how, and what a rule is said to read."""

import functools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.nodes import raw
from minigrad.program.rules import kept_for_backward, reads

from .helpers import assert_right, leaf


def primitive(*rules, joint=None, **about):
    @mg.primitive(**about)
    def op(x, y, /):
        return np.multiply(x, y)

    if rules:
        op.defvjp(*rules)
    if joint:
        op.defvjp_joint(joint)
    return op


@pytest.mark.parametrize("create_graph", [False, True])
def test_without_a_rule_it_says_so(create_graph):
    @mg.primitive
    def one(x):
        return x * 2.0

    for y in (one(leaf(1.0)), primitive()(leaf(1.0), 2.0)):
        with pytest.raises(NotImplementedError, match=r"has no rule: give it one with \w+\.defvjp\(\.\.\.\)"):
            mg.grad(y, y.inputs[0], create_graph=create_graph)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_joint_rule_needs_no_save(create_graph):
    op = primitive(joint=lambda g, out, saved, x, y: (g * y, g * x))
    x, y = leaf([1.0, 2.0]), leaf(3.0)
    dx, dy = mg.grad(op(x, y), (x, y), gradient=np.ones(2), create_graph=create_graph)
    np.testing.assert_array_equal(dx.data, [3.0, 3.0])
    assert dy.item() == 3.0
    op.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: g)  # rules can be given anew
    assert mg.grad(op(x, y), y, gradient=np.ones(2)).item() == 2.0
    op.defvjp_joint(lambda g, out, saved, x, y: (g * 7.0, None))
    dx, dy = mg.grad(op(x, y), (x, y), gradient=np.ones(2), create_graph=create_graph)
    np.testing.assert_array_equal(dx.data, [7.0, 7.0])
    assert dy.item() == 0.0


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_argument_may_have_no_rule(create_graph):
    op = primitive(lambda g, out, x, y: g * y, None)
    x, y = leaf(2.0), leaf(3.0)
    dx, dy = mg.grad(op(x, y), (x, y), create_graph=create_graph)
    assert (dx.item(), dy.item()) == (3.0, 0.0)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("returned", [None, 2.0, [1.0, 2.0]])
def test_a_rule_that_returns_no_array_is_an_error_and_not_a_zero(returned, create_graph):
    @mg.primitive
    def with_parameter(x, /, scale=2.0):
        return x * scale

    with_parameter.defvjp(lambda g, out, x, scale: returned)
    op = primitive(lambda g, out, x, y: returned, lambda g, out, x, y: returned)
    for y in (with_parameter(leaf([1.0, 2.0])), op(leaf([1.0, 2.0]), 3.0)):
        with pytest.raises(TypeError, match=r"the rule of \w+ (returned|is not differentiable: it returned)"):
            mg.grad(y, y.inputs[0], gradient=np.ones(2), create_graph=create_graph)


@pytest.mark.parametrize("shape", [(3,), (2, 2), ()])
def test_a_gradient_of_the_wrong_shape_is_refused(shape):
    op = primitive(lambda g, out, x, y: np.ones(shape), None)
    x = leaf([1.0, 2.0])
    if shape == (2, 2):  # a rule may return what is still broadcast
        assert mg.grad(op(x, 2.0), x, gradient=np.ones(2)).shape == (2,)
        return
    with pytest.raises(
        ValueError, match=r"the rule of op returned a gradient of shape .* for an input of shape \(2,\)"
    ):
        mg.grad(op(x, 2.0), x, gradient=np.ones(2))


def test_the_wrong_number_of_rules_or_gradients():
    with pytest.raises(ValueError, match="op has 2 inputs, but 1 rules were given"):
        primitive(lambda g, out, x, y: g)
    for wrong in (lambda g, out, saved, x, y: (g,), lambda g, out, saved, x, y: g):
        y = primitive(joint=wrong)(leaf(1.0), 2.0)
        with pytest.raises(TypeError, match="the joint rule of op must return a tuple of 2 gradients"):
            y.backward()


NOT_DIFFERENTIABLE = {
    "np": lambda g, out, x, y: g * np.tan(x),  # has no primitive
    "data": lambda g, out, x, y: g * np.asarray(getattr(y, "_array", y)) * x.data,
    "numpy": lambda g, out, x, y: g * (x.numpy() if isinstance(x, mg.Tensor) else x),
    "detached": lambda g, out, x, y: mg.mul(g.detach() if isinstance(g, mg.Tensor) else g, y),
    "array": lambda g, out, x, y: raw(g) * raw(x),
}


@pytest.mark.parametrize("name", NOT_DIFFERENTIABLE)
def test_a_rule_that_is_not_differentiable_raises_at_order_two(name):
    op = primitive(NOT_DIFFERENTIABLE[name], None)
    x, c = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    y = op(x, np.array([1.0, 2.0]))
    assert mg.grad(y, x, gradient=c).shape == (2,)
    with pytest.raises(TypeError, match=r"rule of op|np\.tan does not know Tensors: write mg\.sin") as caught:
        mg.grad(y, x, gradient=c, create_graph=True)
    assert "in the rule of op((2,) float64, (2,) float64)" in caught.value.__notes__


def test_a_rule_written_with_numpy_functions_is_differentiable(rng):
    """They find their primitives through the seam, interop.py."""

    @mg.primitive
    def sine(x, /):
        return np.sin(x)

    sine.defvjp(lambda g, out, x: np.multiply(g, np.cos(x)))
    assert_right(sine, [rng.normal(size=(2, 3))], rng)


def test_saving_is_repeated_on_tensors_so_that_second_derivatives_are_right(rng):
    def save(x, /, *, power):
        return (mg.exp(x * power),)

    @mg.primitive(save=save, formula="exp(power*x)**2")
    def squared_exponential(x, /, *, saved, power):
        return saved[0] * saved[0]

    squared_exponential.defvjp_joint(lambda g, out, saved, x, *, power: (g * 2.0 * power * saved[0] * saved[0],))
    assert_right(lambda x: squared_exponential(x, power=0.5), [rng.normal(size=(2, 2))], rng)
    y = squared_exponential(leaf([1.0, 2.0]), power=0.5)
    assert list(kept_for_backward(y)) == ["saved 0"]


def test_parameters_are_bound_checked_and_copied():
    index = np.array([0, 1])
    x = leaf([1.0, 2.0, 3.0])
    y = x[index]
    index[:] = 2
    np.testing.assert_array_equal(mg.grad(y, x, gradient=np.ones(2)).data, [1.0, 1.0, 0.0])
    high = np.array([1.5, 1.5, 1.5])
    y = mg.clip(x, high=high)
    high[:] = 9.0
    np.testing.assert_array_equal(mg.grad(y, x, gradient=np.ones(3)).data, [1.0, 0.0, 0.0])
    untyped: Any = mg  # a type checker would refuse these calls, too
    for call, message in (
        (lambda: untyped.sum(x, axes=0), "sum has no parameter 'axes'; it takes axis, keepdims"),
        (lambda: untyped.sum(x, 0, False, 1), "sum takes x and axis, keepdims"),
        (lambda: untyped.sum(x, 0, axis=0), "sum takes x and axis, keepdims"),
        (lambda: untyped.reshape(x), "reshape needs shape="),
        (lambda: mg.clip(x, x), "clip: low= is a constant and has no gradient; pass a number or an array"),
        (lambda: untyped.where(x > 1.0, x), r"where needs 3 inputs \(condition, x, y\), got 2"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_a_kernels_complaint_says_what_was_passed():
    x = leaf(np.ones((2, 3)))
    x.named("weights")
    for call, kind, message in (
        (lambda: x @ np.ones((2, 3)), ValueError, r"matmul\(weights: \(2, 3\) float64, \(2, 3\) float64\): "),
        (lambda: mg.reshape(x, shape=(4,)), ValueError, r"reshape\(weights: \(2, 3\) float64, shape=\(4,\)\): "),
        (lambda: x[5], IndexError, r"getitem\(weights: \(2, 3\) float64, index=5\): index 5 is out of bounds"),
        (lambda: x + "a", TypeError, r"add\(weights: \(2, 3\) float64, 'a'\): "),
        (lambda: mg.sum(x, axis=2), ValueError, r"sum\(weights: \(2, 3\) float64, axis=2, keepdims=False\): "),
        (
            lambda: mg.max(mg.zeros((0, 2))),
            ValueError,
            r"max\(\(0, 2\) float64, axis=None, keepdims=False\): zero-size",
        ),
    ):
        with pytest.raises(kind, match=message):
            call()


# What a rule reads ----------------------------------------------------------------------------------------------


class Method:
    def rule(self, g, out, x, y):
        return g * y

    def __call__(self, g, out, x, y):
        return g * y


def everything(*args):
    g, _, _, y = args
    return g * y


def stored_then_loaded(g, out, x, y):
    scale = g * 2.0
    return x * scale


def closed_over(g, out, x, y):
    return next(g * x for _ in range(1))


def shapes_only(g, out, x, y):
    rows = x.shape
    return mg.broadcast_to(mg.reshape(g, rows), (*rows,)) * float(out.ndim) + 0.0 * y.size


@functools.wraps(closed_over)
def wrapped(*args, **kwargs):
    return closed_over(*args, **kwargs)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Method().rule, {"y"}),
        (Method(), {"y"}),
        (everything, {"y"}),
        (wrapped, {"x"}),
        (functools.partial(closed_over), {"x"}),
        (lambda g, out, x, y: g * y.data, {"out", "x", "y"}),  # looks at values: nobody can follow what it does
        (stored_then_loaded, {"x"}),
        (closed_over, {"x"}),
        (shapes_only, set()),
        (lambda g, out, x, y: g * out, {"out"}),
        (lambda g, out, x, y, scale=2.0: g * y * scale, {"y"}),
    ],
)
def test_reads_of_a_rule(rule, expected):
    assert reads(primitive(rule, rule)(leaf([1.0, 2.0]), leaf([3.0, 4.0])), 0) == expected


def test_reads_can_be_declared():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    assert reads(primitive(everything, everything, reads=("x",))(x, y)) == {"x"}
    assert reads(primitive(joint=lambda *args: None, reads=("y",))(x, y)) == {"y"}


def test_only_what_the_rules_that_will_run_read_is_kept():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    assert list(kept_for_backward(x * y)) == ["x", "y"]
    assert list(kept_for_backward(x * 2.0)) == []
    assert list(kept_for_backward(x * y.detach())) == ["y"]
    assert list(kept_for_backward(mg.exp(x))) == ["out"]
    assert list(kept_for_backward(x)) == []
    assert list(kept_for_backward(mg.einsum("i,i->", x, y))) == ["operands 0", "operands 1"]


def test_kernels_and_rules_of_users_cannot_write_to_the_graph():
    @mg.primitive
    def doubled(x):
        return np.multiply(x, 2, out=x)

    own = np.array([1.0, 2.0])
    for x in (own, mg.tensor(own, requires_grad=True)):
        with pytest.raises(ValueError, match="read-only"):
            doubled(x)
    np.testing.assert_array_equal(own, [1.0, 2.0])

    @mg.primitive
    def twice(x):
        return x * 2

    def rule(g, out, x):
        g *= 2
        return g

    twice.defvjp(rule)
    a, c = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor([1.0, 1.0])
    with pytest.raises(ValueError, match="read-only"):
        twice(a).backward(c)
    np.testing.assert_array_equal(c.data, [1.0, 1.0])


@pytest.mark.parametrize("result", [None, "text", (1.0, 2.0), 1j])
def test_kernels_return_real_numbers(result):
    odd = mg.primitive(lambda x: result)
    with pytest.raises(TypeError, match="expected an array of real numbers"):
        odd(mg.tensor([1.0, 2.0]))


def test_complex_gradients_are_refused():
    op = mg.primitive(lambda x: x * 2.0)
    op.defvjp(lambda g, out, x: g * 2j)
    x = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match="complex128, expected real numbers"):
        op(x).backward()


@pytest.mark.parametrize("cut", [lambda x: x.detach(), lambda x: mg.no_grad()(mg.exp)(x)])
def test_a_rule_that_cuts_its_graph_raises_at_order_two(cut):
    op = mg.primitive(lambda x: np.exp(x))
    op.defvjp(lambda g, out, x: g * (mg.exp(cut(x)) if isinstance(x, mg.Tensor) else np.exp(x)))
    x = mg.tensor([1.0], requires_grad=True)
    assert mg.grad(op(x), x).item() == pytest.approx(np.e)
    with pytest.raises(TypeError, match="to be differentiated itself"):
        mg.grad(op(x), x, create_graph=True)
