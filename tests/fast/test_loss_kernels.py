"""The kernel of sigmoid cross-entropy is held to the readable code, and to the values that it must give."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses, ops
from minigrad.fast import fused
from minigrad.fast.numpy_kernels import losses as numpy_kernel

KERNELS: dict[str, Any] = {"numpy": numpy_kernel.sigmoid_cross_entropy}
if find_spec("numba") is not None:
    from minigrad.fast import compiled

    KERNELS["numba"] = compiled.sigmoid_cross_entropy

TOLERANCE = {"float64": 1e-15, "float32": 3 * float(np.finfo(np.float32).eps)}  # of each element, not of the largest


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("targets", ["zero or one", "between"])
def test_the_kernel_equals_the_readable_code_to_a_few_units_of_each_element(name, dtype, targets):
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=500) * 4, [0.0, -0.0, 80.0, -80.0, 1e-30, -1e-30, 700.0, -700.0]]).astype(dtype)
    t = (rng.random(z.shape) if targets == "between" else rng.random(z.shape) > 0.5).astype(dtype)
    loss, slope = np.empty_like(z), np.empty_like(z)
    assert KERNELS[name].fits(z, t)
    KERNELS[name].forward(z, t, loss, slope)
    saved = losses._slope(z, t)
    np.testing.assert_allclose(loss, z * ((z > 0) - t) + np.log1p(np.exp(-abs(z))), rtol=TOLERANCE[dtype], atol=0)
    # between 0 and 1 the two terms of the slope may cancel; at the ends nothing does
    largest = np.maximum((1 - t) * ops.sigmoid(z), t * ops.sigmoid(-z))
    assert (abs(slope - saved[0]) <= TOLERANCE[dtype] * largest + np.finfo(dtype).tiny).all()


@pytest.mark.parametrize("name", KERNELS)
def test_both_kernels_give_the_same_bits(name):
    rng = np.random.default_rng(1)
    for dtype in TOLERANCE:
        z, t = (rng.normal(size=(40, 3)) * 3).astype(dtype), rng.random((40, 3)).astype(dtype)
        found = []
        for kernel in (KERNELS["numpy"], KERNELS[name]):
            loss, slope = np.empty_like(z), np.empty_like(z)
            kernel.forward(z, t, loss, slope)
            found.append((loss.tobytes(), slope.tobytes()))
        assert found[0] == found[1]


@pytest.mark.parametrize("name", KERNELS)
def test_what_the_kernel_does_not_take(name):
    z = np.ones((4, 3))
    fits = KERNELS[name].fits
    assert fits(z, z)
    assert not fits(z, 1.0)
    assert not fits(z, z[0])
    assert not fits(z, z.astype(np.float32))
    assert not fits(z.T, z.T)
    assert not fits(np.array(1.0), np.array(1.0))
    assert not fits(np.ones(0), np.ones(0))


def test_slopes_of_scores_and_targets_are_given_where_they_are_wanted():
    rng = np.random.default_rng(2)
    z, t, g = (rng.normal(size=6) for _ in range(3))
    t = abs(t) % 1
    done = fused.SigmoidCrossEntropy.forward((z, t), {})
    if done is None:
        pytest.skip("no kernel")
    loss, saved = done
    exact = losses._sigmoid_cross_entropy_rule(g, loss, saved, z, t)
    dz, dt = fused.SigmoidCrossEntropy.backward(g, loss, saved, (z, t), {})
    np.testing.assert_array_equal(dz, exact[0])
    np.testing.assert_array_equal(dt, exact[1])
    into = (None, np.empty(6))
    assert fused.SigmoidCrossEntropy.backward(g, loss, saved, (z, t), {}, into) == into
    np.testing.assert_array_equal(into[1], exact[1])


def test_far_from_zero_the_slope_keeps_its_digits():
    z = mg.tensor([40.0, -40.0], requires_grad=True)
    loss = mg.binary_cross_entropy_with_logits(z, np.array([1.0, 0.0]), reduction="sum")
    np.testing.assert_allclose(mg.grad(loss, z).data, [-np.exp(-40.0), np.exp(-40.0)], rtol=1e-15)
