"""The cases in PyTorch: eager, composed batch norm, fused Adam, and torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from .cases import ADAM_EPS, BETAS, EPS, LR, NETS, OPS, Case, Results, chain_inputs, net_inputs, norm_inputs


def build(case: Case, variant: str) -> Callable[[], Results] | None:
    """A function that does the case once; None where the variant is nothing of its own."""
    if variant == "fused adam" and case.kind != "mlp":
        return None
    make = {"chain": _chain, "fused": _norm, "composed": _norm, "mlp": _net}[case.kind]
    return make(case, variant)


def _leaves(arrays: Any) -> list[Any]:
    return [torch.tensor(array).requires_grad_() for array in arrays]


def _maybe_compiled(function: Any, variant: str) -> Any:
    return torch.compile(function) if variant == "compile" else function


def _chain(case: Case, variant: str) -> Callable[[], Results]:
    *inputs, g = chain_inputs(case)
    leaves, cotangent = _leaves(inputs), torch.tensor(g)

    def forward(x: Any, a: Any, b: Any) -> Any:
        for k in range(OPS):
            x = x + b if k % 2 else x * a
        return x

    forward = _maybe_compiled(forward, variant)

    def run() -> Results:
        for leaf in leaves:
            leaf.grad = None
        y = forward(*leaves)
        y.backward(cotangent)
        return {"y": y, **{name: leaf.grad for name, leaf in zip(("dx", "da", "db"), leaves, strict=True)}}

    return run


def _composed(x: Any, gamma: Any, beta: Any) -> Any:
    mean = x.mean(0)
    var = x.var(0, correction=0)
    return (x - mean) / torch.sqrt(var + EPS) * gamma + beta


def _norm(case: Case, variant: str) -> Callable[[], Results]:
    *inputs, g = norm_inputs(case)
    leaves, cotangent = _leaves(inputs), torch.tensor(g)

    def fused(x: Any, gamma: Any, beta: Any) -> Any:
        return functional.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)

    forward = _maybe_compiled(fused if case.kind == "fused" else _composed, variant)

    def run() -> Results:
        for leaf in leaves:
            leaf.grad = None
        y = forward(*leaves)
        y.backward(cotangent)
        names = ("dx", "d_gamma", "d_beta")
        return {"y": y, **{name: leaf.grad for name, leaf in zip(names, leaves, strict=True)}}

    return run


def _net(case: Case, variant: str) -> Callable[[], Results]:
    sizes, _, norm = NETS[case.net]
    params, batch, labels = net_inputs(case)
    layers: list[torch.nn.Module] = []
    for k in range(len(sizes) - 1):
        hidden = k < len(sizes) - 2
        layers.append(torch.nn.Linear(sizes[k], sizes[k + 1], bias=not (norm and hidden)))
        if hidden:
            layers += [torch.nn.BatchNorm1d(sizes[k + 1])] if norm else []
            layers.append(torch.nn.ReLU())
    net: Any = torch.nn.Sequential(*layers).to(getattr(torch, case.dtype))
    with torch.no_grad():
        for tensor, array in zip(net.parameters(), params, strict=True):
            tensor.copy_(torch.tensor(array.T if array.ndim == 2 else array))
    adam = torch.optim.Adam(net.parameters(), lr=LR, betas=BETAS, eps=ADAM_EPS, fused=variant == "fused adam")
    x, targets = torch.tensor(batch), torch.tensor(labels)
    loss = functional.cross_entropy if sizes[-1] > 1 else functional.binary_cross_entropy_with_logits
    forward = _maybe_compiled(lambda: loss(net(x), targets), variant)

    def step() -> Results:
        value = forward()
        adam.zero_grad()
        value.backward()
        adam.step()
        return {"loss": value}

    return step
