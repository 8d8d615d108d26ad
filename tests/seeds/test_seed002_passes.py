"""Seed 002, the cs231n notebook: what its cells 3, 4, 5, 6, 14 and 15 print of forward and backward passes."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.check import numerical_grad, rel_error

FORMS = {
    "fused": mg.batch_norm,
    "composed": mg.batch_norm_composed,
    "staged": lambda *a, **k: mg.batch_norm_composed(*a, variance="staged", **k),
}
LAYER = {"fused": mg.layer_norm, "composed": mg.layer_norm_composed}
PRINTED = 5e-9  # eight decimals


def two_layers(rng, n, d1=50, d2=60, d3=3):
    x, w1, w2 = rng.randn(n, d1), rng.randn(d1, d2), rng.randn(d2, d3)
    return np.maximum(0, x.dot(w1)).dot(w2)


@pytest.mark.parametrize("f", FORMS.values(), ids=FORMS)
def test_cell_3_batch_norm_forward_in_training(f):
    a = two_layers(np.random.RandomState(220), 200)
    np.testing.assert_allclose(a.mean(0), [28.57337215, 27.08029233, 1.62528447], rtol=0, atol=PRINTED)
    np.testing.assert_allclose(a.std(0), [34.85744517, 25.9706331, 29.6313792], rtol=0, atol=PRINTED)
    y = f(a, np.ones(3), np.zeros(3))
    np.testing.assert_allclose(y.mean(0), np.zeros(3), rtol=0, atol=1e-14)
    np.testing.assert_allclose(y.std(0), [1.0, 0.99999999, 0.99999999], rtol=0, atol=PRINTED)
    y = f(a, np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0]))
    np.testing.assert_allclose(y.mean(0), [11.0, 12.0, 13.0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(y.std(0), [1.0, 1.99999999, 2.99999998], rtol=0, atol=PRINTED)


def test_cell_4_batch_norm_forward_at_test_time():
    """Running averages with momentum 0.9, both from 0, of the biased variance, as the notebook's code keeps them."""
    rng = np.random.RandomState(220)
    w1, w2 = rng.randn(50, 60), rng.randn(60, 3)
    running_mean, running_var = np.zeros(3), np.zeros(3)
    for _ in range(50):
        a = np.maximum(0, rng.randn(200, 50).dot(w1)).dot(w2)
        running_mean = 0.9 * running_mean + 0.1 * mg.mean(a, axis=0)
        running_var = 0.9 * running_var + 0.1 * mg.var(a, axis=0)
    a = np.maximum(0, rng.randn(200, 50).dot(w1)).dot(w2)
    for f in (mg.batch_norm_inference, mg.batch_norm_inference_composed):
        y = f(a, np.ones(3), np.zeros(3), running_mean, running_var)
        np.testing.assert_allclose(y.mean(0), [-0.00462469, 0.06873645, 0.09765526], rtol=0, atol=PRINTED)
        np.testing.assert_allclose(y.std(0), [0.96218861, 1.04444084, 0.9853543], rtol=0, atol=PRINTED)


def small_case():
    rng = np.random.RandomState(220)
    return 5 * rng.randn(4, 5) + 12, rng.randn(5), rng.randn(5), rng.randn(4, 5)


def errors(f, x, gamma, beta, dout, forward=None):
    """The notebook's rel_error of each gradient; `forward`, if given, is what the differences are taken of."""
    leaves = [mg.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    ours = mg.grad(f(*leaves), leaves, gradient=dout)
    f = forward or f
    numeric = (
        numerical_grad(lambda x: f(x, gamma, beta), x, dout),
        numerical_grad(lambda gamma: f(x, gamma, beta), gamma, dout),
        numerical_grad(lambda beta: f(x, gamma, beta), beta, dout),
    )
    return [rel_error(n, d) for n, d in zip(numeric, ours, strict=True)]


@pytest.mark.parametrize("f", FORMS.values(), ids=FORMS)
def test_cell_5_batch_norm_backward(f):
    """The notebook prints 5.03e-9, 2.27e-11 and 3.28e-12 and asks for 1e-13 to 1e-8."""
    x, gamma, beta, dout = small_case()
    dx, dgamma, dbeta = errors(f, x, gamma, beta, dout, forward=mg.batch_norm_composed)  # the notebook's one forward
    assert dx < 1e-8
    assert dgamma < 1e-10
    assert dbeta < 1e-11
    dx, dgamma, dbeta = errors(f, x, gamma, beta, dout)  # differences of its own forward pass round differently
    assert dx < 1e-7
    assert dgamma < 1e-9
    assert dbeta < 1e-10


@pytest.mark.parametrize("f", LAYER.values(), ids=LAYER)
def test_cell_15_layer_norm_backward(f):
    """The notebook prints 2.15e-9, 5.92e-12 and 3.28e-12."""
    dx, dgamma, dbeta = errors(f, *small_case())
    assert dx < 1e-8
    assert dgamma < 1e-10
    assert dbeta < 1e-11


@pytest.mark.parametrize("staged", ["composed", "staged"])
def test_cell_6_alternative_backward(staged):
    """(100, 500): the notebook prints differences 1.68e-12, 0.0 and 0.0 between its two backward passes."""
    rng = np.random.RandomState(220)
    x, gamma, beta, dout = 5 * rng.randn(100, 500) + 12, rng.randn(500), rng.randn(500), rng.randn(100, 500)

    def gradients(f):
        leaves = [mg.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
        return [d.numpy() for d in mg.grad(f(*leaves), leaves, gradient=dout)]

    for a, b in zip(gradients(FORMS[staged]), gradients(mg.batch_norm), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(a).max())
    dx, dx_fused = gradients(FORMS[staged])[0], gradients(mg.batch_norm)[0]
    assert rel_error(dx, dx_fused) < 1e-9  # elementwise, so what lies near 0 decides


@pytest.mark.parametrize("f", LAYER.values(), ids=LAYER)
def test_cell_14_layer_norm_forward(f):
    a = two_layers(np.random.RandomState(220), 4)
    before = [34.05612999, 30.32922803, 38.20844387, 77.27961435]
    np.testing.assert_allclose(a.mean(1), before, rtol=0, atol=PRINTED)
    np.testing.assert_allclose(a.std(1), [7.7622382, 32.9930656, 19.4537999, 38.93389575], rtol=0, atol=PRINTED)
    y = f(a, np.ones(3), np.zeros(3))
    np.testing.assert_allclose(y.mean(1), np.zeros(4), rtol=0, atol=1e-14)
    np.testing.assert_allclose(y.std(1), [0.99999992, 1.0, 0.99999999, 1.0], rtol=0, atol=PRINTED)
    y = f(a, np.full(3, 3.0), np.full(3, 5.0))
    np.testing.assert_allclose(y.mean(1), np.full(4, 5.0), rtol=0, atol=1e-13)
    np.testing.assert_allclose(y.std(1), [2.99999975, 2.99999999, 2.99999996, 2.99999999], rtol=0, atol=PRINTED)
