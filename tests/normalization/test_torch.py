"""Batch norm, layer norm and the inference form against PyTorch: values, gradients, Hessian-vector products."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

from ..helpers import leaf
from .test_normalization import ordinary

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def derivatives(f, inputs, cotangent, directions):
    xs = [torch.tensor(a, requires_grad=True) for a in inputs]
    y = f(*xs)
    first = torch.autograd.grad(y, xs, torch.tensor(cotangent), create_graph=True)
    total = sum((d * torch.tensor(v)).sum() for d, v in zip(first, directions, strict=True))
    second = torch.autograd.grad(total, xs, allow_unused=True)
    found = [y, *first, *(torch.zeros_like(x) if d is None else d for x, d in zip(xs, second, strict=True))]
    return [t.detach().numpy() for t in found]


def ours(f, inputs, cotangent, directions):
    xs = [leaf(a) for a in inputs]
    y = f(*xs)
    first = mg.grad(y, xs, gradient=cotangent, create_graph=True)
    total = sum(((d * v).sum() for d, v in zip(first, directions, strict=True)), start=mg.tensor(0.0))
    return [t.numpy() for t in [y, *first, *mg.grad(total, xs)]]


@pytest.mark.parametrize("zero_gamma", [False, True])
@pytest.mark.parametrize("kind", ["batch", "layer", "inference"])
@pytest.mark.parametrize("form", ["fused", "composed"])
def test_normalization_equals_pytorch(kind, form, zero_gamma):
    F = torch.nn.functional
    x, g, b = ordinary(11, 4)
    g = g * 0 if zero_gamma else g
    statistics = [b + 1, g * g + 0.5]
    cotangent = np.random.default_rng(5).normal(size=x.shape)
    directions = [np.random.default_rng(6).normal(size=a.shape) for a in (x, g, b)]
    theirs = {
        "batch": lambda x, g, b: F.batch_norm(x, None, None, g, b, True, 0.0, 1e-5),
        "layer": lambda x, g, b: F.layer_norm(x, (4,), g, b, 1e-5),
        "inference": lambda x, g, b: F.batch_norm(x, *map(torch.tensor, statistics), g, b, False, 0.0, 1e-5),
    }[kind]
    tail = "" if form == "fused" else "_composed"
    name = {"batch": "batch_norm", "layer": "layer_norm", "inference": "batch_norm_inference"}[kind] + tail
    function = getattr(mg, name)
    mine = (lambda x, g, b: function(x, g, b, *statistics)) if kind == "inference" else function
    expected = derivatives(theirs, (x, g, b), cotangent, directions)
    for got, want in zip(ours(mine, (x, g, b), cotangent, directions), expected, strict=True):
        size = max(np.abs(got).max(), np.abs(want).max(), 1e-300)
        np.testing.assert_allclose(got / size, want / size, rtol=0, atol=1e-12)
