"""Composites against NumPy, PyTorch where installed, and their own limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad._support.randomness import generator, restore, state_of

RNG = np.random.default_rng(0)


def test_log_softmax_against_torch_forward_and_backward():
    torch = pytest.importorskip("torch")
    x, g = RNG.normal(size=(5, 7)) * 10, RNG.normal(size=(5, 7))
    ours, theirs = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    for axis in (-1, 0):
        for mine, other in ((mg.log_softmax, torch.log_softmax), (mg.softmax, torch.softmax)):
            y, z = mine(ours, axis=axis), other(theirs, axis)
            np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-15)
            (dz,) = torch.autograd.grad(z, theirs, torch.tensor(g))
            np.testing.assert_allclose(mg.grad(y, ours, gradient=g).data, dz.numpy(), rtol=1e-11, atol=1e-13)


def test_softmax_does_not_overflow_and_keeps_digits_far_from_zero():
    np.testing.assert_allclose(mg.softmax(np.array([1000.0, 1000.0, -1000.0])), [0.5, 0.5, 0.0])
    x = RNG.normal(size=(3, 4))
    np.testing.assert_allclose(mg.log_softmax(x + 2.0**30), mg.log_softmax((x + 2.0**30) - 2.0**30), rtol=1e-14)
    np.testing.assert_array_equal(mg.softmax(np.array([-np.inf, 0.0])), [0.0, 1.0])
    assert np.isnan(mg.softmax(np.array([-np.inf, -np.inf]))).all()  # no warning either: they are errors here


def test_softmax_second_order_matches_its_closed_form():
    x = mg.tensor(RNG.normal(size=4), requires_grad=True)
    v, w = RNG.normal(size=4), RNG.normal(size=4)
    p = mg.softmax(x.data)
    dot = float(p @ v)
    (first,) = mg.grad(mg.softmax(x), [x], gradient=v, create_graph=True)
    np.testing.assert_allclose(first.data, p * (v - dot), rtol=1e-12)
    second = mg.grad(first, x, gradient=w)
    expected = w * p * (v - dot) - p * np.dot(w * p, v - dot) - np.dot(w, p) * (p * (v - dot))
    np.testing.assert_allclose(second.data, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("function", [mg.softmax, mg.log_softmax])
def test_softmax_keeps_float32(function: Any):
    x = mg.tensor(np.array([[1, 2], [3, 4]], np.float32), requires_grad=True)
    y = function(x)
    assert y.dtype == np.float32
    assert mg.grad(y, x, gradient=np.eye(2, dtype=np.float32)).dtype == np.float32
    assert function(np.array([1, 2])).dtype == np.float64  # integers become floats


def test_linear_is_x_at_weight_plus_bias_and_refuses_what_does_not_fit():
    x, w, b = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(4, 5)), RNG.normal(size=5)
    np.testing.assert_allclose(mg.linear(x, w, b), x @ w + b)
    with pytest.raises(ValueError, match=r"x has shape \(2, 3, 4\) and weight \(5, 4\)"):
        mg.linear(x, w.T)
    with pytest.raises(ValueError, match=r"bias has shape \(4,\), expected \(5,\)"):
        mg.linear(x, w, b[:4])


def test_dropout_keeps_the_mean_and_sends_the_gradient_where_the_values_went():
    x = mg.tensor(np.ones((200, 50), np.float32), requires_grad=True)
    y = mg.dropout(x, 0.25, rng=3)
    assert y.dtype == np.float32
    np.testing.assert_allclose(np.unique(y.data), [0.0, 1 / 0.75], rtol=1e-6)
    np.testing.assert_allclose(y.data.mean(), 1.0, atol=0.02)
    np.testing.assert_array_equal(mg.grad(y.sum(), x).data, y.data)
    np.testing.assert_array_equal(mg.dropout(x, 0.25, rng=3).data, y.data)  # same seed, same bytes
    np.testing.assert_array_equal(mg.dropout(np.ones(3), 0.0, rng=3), np.ones(3))
    with pytest.raises(ValueError, match="p=1"):
        mg.dropout(x, 1, rng=3)
    nothing: Any = None
    with pytest.raises(TypeError, match="needs to know from where"):
        mg.dropout(x, 0.5, rng=nothing)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_generators_are_put_back_to_the_same_stream(make: Any):
    rng = make(5)
    rng.standard_normal(3)  # an odd number: the legacy generator keeps the second normal of a pair
    state = state_of(rng)
    first = rng.standard_normal(5)
    restore(rng, state)
    np.testing.assert_array_equal(rng.standard_normal(5), first)
    assert generator(rng, "test") is rng


def test_generators_of_other_kinds_are_told_apart():
    legacy, modern = np.random.RandomState(0), np.random.default_rng(0)
    with pytest.raises(ValueError, match="does not fit"):
        restore(modern, state_of(legacy))
    with pytest.raises(ValueError, match="does not fit"):
        restore(legacy, state_of(modern))
    with pytest.raises(ValueError, match=">= 0"):
        generator(-1, "test")


@pytest.mark.parametrize("axis", [0, 1, 2, -2])
def test_softmax_sums_to_one_along_its_axis(axis: int):
    x = np.random.default_rng(0).normal(size=(2, 3, 4)) * 5
    expected = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(mg.softmax(x, axis), expected, rtol=1e-12)
    np.testing.assert_allclose(mg.log_softmax(x, axis), np.log(expected), rtol=1e-12, atol=1e-13)
