"""mg.from_torch against PyTorch itself: loss and every gradient, blame, pictures; and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch", reason="mg.from_torch reads models of torch, which is not installed")

from . import torch_models as models  # noqa: E402  # it imports torch


def slopes(f, loss):
    return dict(zip(f.leaves, mg.grad(loss, list(f.leaves.values())), strict=True))


def off(a, b):
    """max|a - b| / max(|a|, |b|) over the arrays."""
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return np.abs(a - b).max(initial=0) / scale if scale else 0.0


def assert_same(model, args, f):
    """Loss and gradients by name; what ought to be 0 is judged by the largest gradient."""
    ours = f()
    model.zero_grad()
    theirs = model(*args)
    theirs.backward()
    expected = {name: p.grad.numpy() for name, p in model.named_parameters()}
    assert off(ours.numpy(), theirs.detach().numpy()) < 1e-12
    found = slopes(f, ours)
    assert found
    assert found.keys() == expected.keys()
    largest = max(np.abs(d).max() for d in expected.values())
    for name, d in found.items():
        assert d.shape == expected[name].shape
        zero = max(np.abs(d.numpy()).max(), np.abs(expected[name]).max()) < 1e-14 * largest
        assert zero or off(d.numpy(), expected[name]) < 1e-12, name
    return ours


@pytest.mark.parametrize("form", ["composed", "fused"])
@pytest.mark.parametrize("name", models.MODELS)
def test_loss_and_gradients_are_pytorchs(name, form):
    model, args = models.made(name)
    if form == "fused" and not any("BatchNorm" in type(m).__name__ for m in model.modules()):
        pytest.skip("without batch norm both forms are one")
    f = mg.from_torch(model, *args, batch_norm=form)
    loss = assert_same(model, args, f)
    assert mg.check.blame(loss)
    drawing = mg.draw(loss)
    assert loss.op.name in drawing.dot
    assert all(leaf in drawing.dot for leaf in f.leaves)


@pytest.mark.parametrize("name", models.FUNCTIONS)
def test_ops_are_pytorchs(name):
    function, args = models.FUNCTIONS[name]
    model, args = models.Function(function), [torch.tensor(a) for a in args(np.random.default_rng(0))]
    inputs = [a.requires_grad_() if a.is_floating_point() else a for a in args]
    f = mg.from_torch(model, *inputs)
    loss = f()
    theirs = model(*inputs)
    assert off(loss.numpy(), theirs.detach().numpy()) < 1e-12
    expected = torch.autograd.grad(theirs, [a for a in inputs if a.requires_grad])
    for d, e in zip(slopes(f, loss).values(), expected, strict=True):
        assert off(d.numpy(), e.numpy()) < 1e-12
