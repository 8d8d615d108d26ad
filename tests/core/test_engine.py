"""The engine: recording, the walk, what backward() deposits, grad(), orders above the first, rules that users write."""

import gc
import itertools
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.context import Observer, using
from minigrad.core.gradients import consumers_first, unbroadcast, walk
from minigrad.core.nodes import Node

from ..helpers import leaf


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# The walk -------------------------------------------------------------------------------------------------------


def test_diamond_adds_both_paths():
    x = leaf(3.0)
    a = x * 2.0
    y = a * (a + 1.0)  # 4x^2 + 2x
    assert mg.grad(y, x).item() == 8 * 3.0 + 2
    assert mg.grad(y, a).item() == 2 * 6.0 + 1


def test_each_op_is_visited_once_consumers_first():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2**60 paths
        y = y + y
    order = consumers_first(y)
    assert len(order) == 60
    assert all(a.number > b.number for a, b in itertools.pairwise(order))
    visits = []

    class Visits(Observer):
        def pulled(self, node, g, gradients):
            visits.append(node)

    with using(Visits()):
        grads = walk(y, np.ones(()))
    assert [id(node) for node in visits] == [id(node) for node in order]
    assert grads[x] == 2.0**60


@pytest.mark.parametrize("create_graph", [False, True])
def test_ladder_in_linear_work_for_both_walks(create_graph, monkeypatch):
    called = []
    rule_x, rule_y = mg.mul.op.rules
    assert rule_x is not None

    def counted(*args):
        called.append(1)
        return rule_x(*args)

    monkeypatch.setattr(mg.mul.op, "rules", (counted, rule_y))
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y * y
    assert mg.grad(y, x, create_graph=create_graph).item() == 2.0**60
    assert len(called) == 60


def test_a_long_chain_builds_walks_prints_and_frees(no_collector):
    x = leaf([1.0, 2.0])
    y, middle = x, weakref.ref(x)
    for k in range(100_000):
        y = y * 1.0 if k % 2 else y + 0.0
        if k == 50_000:
            middle = weakref.ref(y)
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.data, [1.0, 1.0])
    assert repr(y) == "tensor([1., 2.], op=mul)"
    assert middle() is not None
    del y
    assert middle() is None


def test_a_long_chain_with_a_graph_of_gradients_frees(no_collector):
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y * x
    d = mg.grad(y, x, create_graph=True)
    assert d.item() == 20_001
    held = weakref.ref(y)
    del y, d
    assert held() is None


def test_a_long_chain_of_skips_frees(no_collector):
    x = leaf(1.0)
    a = b = x
    for _ in range(50_000):
        a, b = mg.maximum(a, b), a
    held = weakref.ref(b)
    del a, b
    assert held() is None


@pytest.mark.parametrize("fail", [False, True])
def test_nothing_outlives_its_last_name(no_collector, fail):
    x, w = leaf(np.ones(100)), leaf(np.ones(100))
    middle = mg.exp(x * w)
    y = mg.batch_norm(mg.reshape(middle, (50, 2)), mg.sum(mg.reshape(w, (50, 2)), axis=0)).sum()
    held, array = weakref.ref(middle), weakref.ref(middle._array)
    if fail:
        with pytest.raises(ValueError):
            y.backward(np.ones(3))
    else:
        y.backward()
        middle.retain_grad()
        y.backward()
        mg.grad(y, (x, w), create_graph=True)
        y.backward(y)  # its own value as the cotangent
    del middle, y
    assert held() is None
    assert array() is None


def test_a_failed_op_keeps_nothing(no_collector):
    x = leaf(np.ones(3))
    y = x * 2.0
    held = weakref.ref(y)
    with pytest.raises(ValueError, match=r"add\(\(3,\) float64, \(2,\) float64\)"):
        mg.add(y, np.ones(2))
    del y
    assert held() is None


# What backward deposits -----------------------------------------------------------------------------------------


def test_a_second_backward_adds_exactly_once_more():
    x = leaf([1.0, 2.0, 3.0])
    middle = (x * x).retain_grad()
    y = mg.sum(middle * middle)
    y.backward()
    once, once_middle = x.grad.data.copy(), middle.grad.data.copy()
    np.testing.assert_array_equal(once, 4 * x.data**3)
    y.backward()
    np.testing.assert_array_equal(x.grad.data, 2 * once)
    np.testing.assert_array_equal(middle.grad.data, 2 * once_middle)


@pytest.mark.parametrize("create_graph", [False, True])
def test_two_losses_give_the_gradient_of_their_sum_in_any_order(create_graph):
    results = []
    for order in ((0, 1), (1, 0), None):
        x = leaf([1.0, 2.0])
        shared = mg.exp(x)
        losses = [mg.sum(shared * shared), mg.sum(shared * 3.0)]
        if order is None:
            (losses[0] + losses[1]).backward(create_graph=create_graph)
        else:
            for k in order:
                losses[k].backward(create_graph=create_graph)
        results.append(x.grad.data)
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-15)


@pytest.mark.parametrize("create_graph", [False, True])
def test_reuse_of_one_tensor(create_graph):
    cases = {
        "x*x": (lambda x: x * x, lambda x: 2 * x),
        "x+x": (lambda x: x + x, lambda x: 2 + 0 * x),
        "x-x": (lambda x: x - x, lambda x: 0 * x),
        "x/x": (lambda x: x / x, lambda x: 0 * x),
        "x**x": (lambda x: x**x, lambda x: x**x * (1 + np.log(x))),
        "max": (lambda x: mg.maximum(x, x), lambda x: 1 + 0 * x),
        "min": (lambda x: mg.minimum(x, x), lambda x: 1 + 0 * x),
        "where": (lambda x: mg.where(x > 1.0, x, x), lambda x: 1 + 0 * x),
        "concatenate": (lambda x: mg.sum(mg.reshape(mg.concatenate([x, x]), (2, 3)), axis=0), lambda x: 2 + 0 * x),
        "stack": (lambda x: mg.sum(mg.stack([x, x, x]), axis=0), lambda x: 3 + 0 * x),
        "einsum": (lambda x: mg.einsum("i,i->i", x, x), lambda x: 2 * x),
        "again": (lambda x: (x + x) * (x + x) + (x + x), lambda x: 8 * x + 2),
    }
    for name, (f, slope) in cases.items():
        x = leaf([0.5, 1.0, 2.0])
        d = mg.grad(f(x), x, gradient=np.ones(3), create_graph=create_graph)
        np.testing.assert_allclose(d.data, slope(x.data), rtol=1e-15, atol=1e-15, err_msg=name)
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    d = mg.grad(mg.sum(x @ x), x, create_graph=create_graph)
    np.testing.assert_allclose(d.data, np.ones((2, 2)) @ x.data.T + x.data.T @ np.ones((2, 2)))


def test_backward_on_a_leaf_and_on_part_of_a_graph():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1.0
    y = x * 3.0
    z = y * 5.0
    y.backward()
    assert x.grad.item() == 4.0
    z.backward()
    assert x.grad.item() == 19.0
    with pytest.warns(UserWarning, match=r"was computed by mul, so its \.grad stays None.*mg\.tensor.*retain_grad"):
        assert y.grad is None


def test_constants_and_integers_get_no_gradient():
    x, t, n = leaf([1.0, 2.0]), mg.tensor([3.0, 4.0]), mg.tensor([2, 3])
    mg.sum(x * t * n).backward()
    np.testing.assert_array_equal(x.grad.data, [6.0, 12.0])
    assert t.grad is None
    assert n.grad is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_leaf_frozen_after_the_forward_gets_nothing(create_graph):
    for f in (mg.exp, lambda x: x * x, mg.sum):
        x, w = leaf([1.0, 2.0]), leaf([1.0, 2.0])
        y = mg.sum(f(x)) + mg.sum(w)
        x.requires_grad = False
        y.backward(create_graph=create_graph)
        assert x.grad is None
        np.testing.assert_array_equal(w.grad.data, [1.0, 1.0])


def test_a_failed_backward_deposits_nothing():
    @mg.primitive
    def fragile(x):
        return x + 0.0

    def rule(g, out, x):
        raise FloatingPointError("on purpose")

    fragile.defvjp(rule)
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = mg.sum(fragile(x * 1.0) * w)  # w is reached before the rule that fails
    x.grad = mg.ones(2)
    with pytest.raises(FloatingPointError, match="on purpose") as caught:
        y.backward()
    assert caught.value.__notes__ == ["in the rule of fragile((2,) float64)"]
    np.testing.assert_array_equal(x.grad.data, [1.0, 1.0])
    assert w.grad is None
    fragile.defvjp(lambda g, out, x: g)
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [4.0, 5.0])


# grad() ---------------------------------------------------------------------------------------------------------


def test_grad_is_pure_and_gives_zeros_where_nothing_depends():
    x, w, other = leaf([1.0, 2.0]), leaf(3.0), leaf([[1.0]])
    y = mg.sum(x * w).retain_grad()
    dx, dw, d_other, dy = mg.grad(y, (x, w, other, y))
    np.testing.assert_array_equal(dx.data, [3.0, 3.0])
    assert (dw.item(), d_other.item(), dy.item()) == (3.0, 0.0, 1.0)
    assert all(t.grad is None for t in (x, w, other, y))
    assert isinstance(mg.grad(y, [x]), tuple)
    assert mg.grad(y, ()) == ()
    assert not dx.requires_grad


def test_grad_of_intermediates_is_total_through_each():
    x = leaf(2.0)
    a = x * x
    b = a * 3.0
    assert [d.item() for d in mg.grad(b * a, (b, a, x))] == [4.0, 24.0, 96.0]


CURVES: dict[str, Any] = {
    "exp": mg.exp,
    "sin": mg.sin,
    "x**5": lambda x: x**5,
    "1/x": lambda x: 1.0 / x,
    "gelu": mg.gelu,
}


@pytest.mark.parametrize("name", CURVES)
def test_orders_one_to_four(name):
    f, x = CURVES[name], leaf(0.7)
    d, h = f(x), 1e-3

    def derivative(value, order):
        point = leaf(value)
        y = f(point)
        for _ in range(order):
            y = mg.grad(y, point, create_graph=True)
        return y.item()

    for order in range(1, 5):
        d = mg.grad(d, x, create_graph=True)
        points = [derivative(0.7 + k * h, order - 1) for k in (-2, -1, 1, 2)]
        expected = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / (12 * h)
        np.testing.assert_allclose(d.item(), expected, rtol=1e-7)


@pytest.mark.parametrize("inside", [False, True])
def test_create_graph_records_also_inside_no_grad(inside):
    x = leaf([1.0, 2.0])
    y = mg.sum(x * x * x + mg.broadcast_to(x, (3, 2)))
    if inside:
        with mg.no_grad():
            d = mg.grad(y, x, create_graph=True)
    else:
        d = mg.grad(y, x, create_graph=True)
    np.testing.assert_allclose(mg.grad(mg.sum(d), x).data, 18 * x.data)


def test_backward_with_a_graph_accumulates_differentiably():
    x = leaf([1.0, 2.0])
    for _ in range(2):
        mg.sum(x * x * x).backward(create_graph=True)
    np.testing.assert_allclose(x.grad.data, 6 * x.data**2)
    np.testing.assert_allclose(mg.grad(mg.sum(x.grad), x).data, 12 * x.data)


def test_derivatives_through_the_cotangent():
    x, c = leaf([1.0, 2.0]), leaf([3.0, 5.0])
    d = mg.grad(x * x, x, gradient=c, create_graph=True)
    np.testing.assert_array_equal(mg.grad(mg.sum(d), c).data, 2 * x.data)
    y = x + 1.0
    with mg.no_grad():
        d = mg.grad(y, x, gradient=c, create_graph=True)  # a copy of c, with a graph
    np.testing.assert_array_equal(mg.grad(mg.sum(d * d), c).data, 2 * c.data)


def test_unbroadcast_sums_what_was_stretched_and_refuses_what_was_not():
    np.testing.assert_array_equal(unbroadcast(np.ones((2, 3, 4)), (3, 1)), np.full((3, 1), 8.0))
    for shape in ((2,), (3, 3), (4, 3, 1)):
        with pytest.raises(ValueError, match=r"the rule of it returned a gradient of shape \(3, 1\)"):
            unbroadcast(np.ones((3, 1)), shape, "it")


def test_the_engine_needs_no_tensor_class():
    class Plain(Node):
        __slots__ = ()

    x = Plain._leaf(np.array([1.0, 2.0]), needs=True)
    y = mg.mul(x, x)
    assert type(y) is Plain
    np.testing.assert_array_equal(walk(y, np.ones(2))[x], [2.0, 4.0])
