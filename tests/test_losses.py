"""Losses: fused against composed to second order, against PyTorch where installed, at their limits, misused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.losses import binary_cross_entropy_with_logits_composed

RNG = np.random.default_rng(1)
PAIRS = ["mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 5)])
def test_cross_entropy_fused_equals_composed_to_second_order(shape: tuple[int, ...], reduction: str):
    x = mg.tensor(RNG.normal(size=shape) * 3, requires_grad=True)
    labels = RNG.integers(0, shape[-1], shape[:-1])
    v = RNG.normal(size=shape)
    results = []
    for loss in (mg.cross_entropy, mg.cross_entropy_composed):
        y = loss(x, labels, reduction=reduction)
        g = RNG.spawn(1)[0].normal(size=y.shape) * 0 + 1.0 + np.arange(y.size).reshape(y.shape)
        first = mg.grad(y, x, gradient=g, create_graph=True)
        second = mg.grad(first, x, gradient=v)
        results.append((y.data, first.data, second.data))
    for fused, composed in zip(*results, strict=True):
        np.testing.assert_allclose(fused, composed, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_binary_cross_entropy_fused_equals_composed_to_second_order(reduction: str):
    values = RNG.normal(size=(4, 3)) * 4
    values[0] = 0.0, 35.0, -35.0  # where the fused value has a kink that cancels, and where digits are lost
    z, t = mg.tensor(values, requires_grad=True), mg.tensor(RNG.uniform(size=(4, 3)), requires_grad=True)
    t.data = np.where(RNG.uniform(size=(4, 3)) < 0.5, np.round(t.data), t.data)
    v = RNG.normal(size=(4, 3))
    results = []
    for loss in (mg.binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_composed):
        y = loss(z, t, reduction=reduction)
        g = 1.0 + np.arange(y.size).reshape(y.shape)
        first = mg.grad(y, (z, t), gradient=g, create_graph=True)
        second = [*mg.grad(first[0], (z, t), gradient=v), mg.grad(first[1], z, gradient=v)]
        results.append([part.data for part in (y, *first, *second)])
    for fused, composed in zip(*results, strict=True):
        np.testing.assert_allclose(fused, composed, rtol=1e-12, atol=1e-15)


def test_binary_cross_entropy_with_logits_is_one_node_and_its_mean():
    z = mg.tensor([[1.0], [-2.0]], requires_grad=True)
    loss = mg.binary_cross_entropy_with_logits(z, np.array([[1], [0]]))
    assert [node.op for node in mg.graph(loss).nodes if node.op] == ["sigmoid_cross_entropy", "mean"]
    narrow = mg.binary_cross_entropy_with_logits(mg.tensor([1.0], dtype=np.float32, requires_grad=True), [1])
    assert narrow.dtype == np.float32


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", [*PAIRS, "cross_entropy", "nll_loss"])
def test_losses_equal_pytorch(name: str, reduction: str):
    torch = pytest.importorskip("torch")
    functional: Any = torch.nn.functional
    x = RNG.normal(size=(6, 4)) * 2
    target: Any = RNG.normal(size=(6, 4))
    if name.startswith("binary"):
        target = RNG.uniform(size=(6, 4))
        x = x if name.endswith("logits") else RNG.uniform(0.01, 0.99, (6, 4))
    if name in ("cross_entropy", "nll_loss"):
        target = RNG.integers(0, 4, 6)
    ours, theirs = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = getattr(mg, name)(ours, target, reduction=reduction)
    z = getattr(functional, name)(theirs, torch.tensor(target), reduction=reduction)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-14)
    (dz,) = torch.autograd.grad(z.sum(), theirs)
    np.testing.assert_allclose(mg.grad(y.sum(), ours).data, dz.numpy(), rtol=1e-12, atol=1e-14)


def test_cross_entropy_keeps_float32_and_takes_bare_arrays():
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    assert mg.cross_entropy(x, [0, 1, 2]).dtype == np.float32
    leaf = mg.tensor(x, requires_grad=True)
    loss = mg.cross_entropy(leaf, mg.tensor([0, 1, 2]))
    assert loss.dtype == mg.grad(loss, leaf).dtype == np.float32
    assert mg.mse_loss(x, np.zeros((3, 4), int)).dtype == np.float32


def test_cross_entropy_at_its_limits():
    np.testing.assert_allclose(mg.cross_entropy(np.array([[1000.0, 0.0]]), [1]), 1000.0)
    assert mg.cross_entropy(np.array([[1000.0, 0.0]]), [0]) == 0.0
    x = mg.tensor([[-np.inf, 0.0, 0.0]], requires_grad=True)  # a class that is ruled out
    loss = mg.cross_entropy(x, [1])
    np.testing.assert_allclose(loss.item(), np.log(2))
    np.testing.assert_allclose(mg.grad(loss, x).data, [[0.0, -0.5, 0.5]])


def test_binary_cross_entropy_with_logits_is_smooth_at_zero_and_finite_far_out():
    z = mg.tensor([0.0, 800.0, -800.0, 40.0], requires_grad=True)
    t = np.array([1.0, 0.0, 1.0, 1.0])
    loss = mg.binary_cross_entropy_with_logits(z, t, reduction="none")
    np.testing.assert_allclose(loss.data, [np.log(2), 800.0, 800.0, np.exp(-40.0)])
    np.testing.assert_allclose(mg.grad(loss.sum(), z).data, [-0.5, 1.0, -1.0, -np.exp(-40.0)], rtol=1e-12)


def test_binary_cross_entropy_is_finite_at_certainty():
    loss = mg.binary_cross_entropy(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(loss, 1e-7, rtol=1e-6)
    assert np.isfinite(mg.binary_cross_entropy(np.array([0.0, 1.0], np.float32), np.array([1.0, 0.0])))


@pytest.mark.parametrize("name", PAIRS)
def test_one_column_is_not_compared_with_a_row(name: str):
    with pytest.raises(ValueError, match=r"prediction has shape \(3, 1\) and target \(3,\)"):
        getattr(mg, name)(np.full((3, 1), 0.5), np.zeros(3))
    with pytest.raises(ValueError, match="nothing to compare"):
        getattr(mg, name)(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="reduction='average'"):
        getattr(mg, name)(np.full(3, 0.5), np.zeros(3), reduction="average")


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.cross_entropy_composed, mg.nll_loss])
def test_bad_labels_are_refused_by_name(loss: Any):
    x = np.zeros((3, 4))
    with pytest.raises(ValueError, match="label 4 is not one of the 4 classes 0 to 3"):
        loss(x, [0, 4, 1])
    with pytest.raises(ValueError, match="label -1"):
        loss(x, [0, -1, 1])
    with pytest.raises(ValueError, match=r"must have shape \(3,\), got \(3, 1\); flatten them"):
        loss(x, [[0], [1], [2]])
    with pytest.raises(TypeError, match="must be integers"):
        loss(x, [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="no rows"):
        loss(np.zeros((0, 4)), np.zeros(0, int))


def test_probabilities_out_of_range_are_refused():
    with pytest.raises(ValueError, match="targets must lie in"):
        mg.binary_cross_entropy_with_logits(np.zeros(2), np.array([0.0, 2.0]))
    with pytest.raises(ValueError, match="probabilities must lie in"):
        mg.binary_cross_entropy(np.array([0.5, 1.5]), np.zeros(2))
    with pytest.raises(ValueError, match="targets must lie in"):
        mg.binary_cross_entropy(np.full(2, 0.5), np.array([-0.1, 1.0]))
    with pytest.raises(ValueError, match="delta=0"):
        mg.huber_loss(np.zeros(2), np.zeros(2), delta=0)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("delta", [0.25, 1.0, 1.7, 50.0])
def test_huber_is_a_parabola_up_to_delta_and_a_line_of_that_slope_beyond(delta: float, reduction: str):
    d = np.array([[-3.0, -1.71, -1.69, -0.26], [-0.24, 0.0, 0.1, 0.24], [0.26, 0.99, 1.01, 60.0]])
    target = RNG.normal(size=d.shape)
    expected = np.where(np.abs(d) <= delta, 0.5 * d**2, delta * np.abs(d) - 0.5 * delta**2)
    expected = expected if reduction == "none" else getattr(np, reduction)(expected)
    x = mg.tensor(target + d, requires_grad=True)
    y = mg.huber_loss(x, target, delta=delta, reduction=reduction)
    np.testing.assert_allclose(y.data, expected, rtol=1e-13, atol=1e-15)
    slope = np.clip(d, -delta, delta) / (d.size if reduction == "mean" else 1)
    np.testing.assert_allclose(mg.grad(y.sum(), x).data, slope, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("eps", [1e-7, 1e-3, 0.2])
def test_binary_cross_entropy_limits_probabilities_to_eps(eps: float):
    p, t = np.array([0.0, 1.0, 0.1, 0.9, 0.5]), np.array([1.0, 0.0, 0.3, 1.0, 0.5])
    limited = np.clip(p, eps, 1 - eps)
    expected = -t * np.log(limited) - (1 - t) * np.log(1 - limited)
    np.testing.assert_allclose(mg.binary_cross_entropy(p, t, eps=eps, reduction="none"), expected, rtol=1e-13)


def spread(x: mg.Tensor) -> mg.Tensor:
    """The same numbers at every second place of an array: a layout that no kernel takes."""
    wide = mg.stack([x, x * 0.0 + 7.0], axis=-1)
    return mg.reshape(wide, (*x.shape[:-1], 2 * x.shape[-1]))[..., ::2]


def test_the_readable_losses_keep_their_digits_where_no_kernel_fits():
    z, t = mg.tensor([0.0, 800.0, -800.0, 40.0], requires_grad=True), np.array([1.0, 0.0, 1.0, 1.0])
    assert not spread(z)._array.flags.c_contiguous
    loss = mg.binary_cross_entropy_with_logits(spread(z), t, reduction="none")
    np.testing.assert_allclose(loss.data, [np.log(2), 800.0, 800.0, np.exp(-40.0)], rtol=1e-13)
    for create_graph in (False, True):
        slope = mg.grad(loss.sum(), z, create_graph=create_graph).data
        np.testing.assert_allclose(slope, [-0.5, 1.0, -1.0, -np.exp(-40.0)], rtol=1e-12)
    x, labels = mg.tensor(RNG.normal(size=(5, 4)), requires_grad=True), np.array([0, 3, 1, 2, 3])
    loss = mg.cross_entropy(spread(x), labels, reduction="none")
    p = np.exp(x.data) / np.exp(x.data).sum(1, keepdims=True)
    np.testing.assert_allclose(loss.data, -np.log(p[np.arange(5), labels]), rtol=1e-12)
    np.testing.assert_allclose(mg.grad(loss.sum(), x).data, p - np.eye(4)[labels], rtol=0, atol=1e-14)


@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.cross_entropy_composed, mg.nll_loss])
def test_losses_of_rows_have_the_shape_of_the_labels_and_stand_beside_them(loss: Any):
    x, labels = RNG.normal(size=(2, 3, 5)), RNG.integers(0, 5, (2, 3))
    found = loss(x, labels, reduction="none")
    assert found.shape == (2, 3)
    for k in np.ndindex(2, 3):
        np.testing.assert_allclose(found[k], loss(x[k][None], labels[k][None]), rtol=1e-12)
