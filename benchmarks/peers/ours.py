"""The cases in minigrad, as a user writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigrad as mg

from .cases import ADAM_EPS, BETAS, EPS, LR, NETS, OPS, Case, Results, chain_inputs, net_inputs, norm_inputs


def build(case: Case, replayed: bool = False) -> Callable[[], Results] | None:
    """A function that does the case once; None where there is nothing to replay: a step is what is replayed."""
    if replayed:
        return _net(case, replayed) if case.kind == "mlp" else None
    return _net(case) if case.kind == "mlp" else {"chain": _chain, "fused": _norm, "composed": _norm}[case.kind](case)


def _chain(case: Case) -> Callable[[], Results]:
    *inputs, g = chain_inputs(case)
    x, a, b = leaves = [mg.tensor(array, requires_grad=True) for array in inputs]
    cotangent = mg.tensor(g)

    def run() -> Results:
        y = x
        for k in range(OPS):
            y = y + b if k % 2 else y * a
        for leaf in leaves:
            leaf.grad = None
        y.backward(cotangent)
        return {"y": y.data, **{name: leaf.grad.data for name, leaf in zip(("dx", "da", "db"), leaves, strict=True)}}  # type: ignore[union-attr]

    return run


def _norm(case: Case) -> Callable[[], Results]:
    *inputs, g = norm_inputs(case)
    leaves = [mg.tensor(array, requires_grad=True) for array in inputs]
    cotangent = mg.tensor(g)
    normalize = mg.batch_norm if case.kind == "fused" else mg.batch_norm_composed

    def run() -> Results:
        for leaf in leaves:
            leaf.grad = None
        y = normalize(*leaves, eps=EPS)
        y.backward(cotangent)
        names = ("dx", "d_gamma", "d_beta")
        return {"y": y.data, **{name: leaf.grad.data for name, leaf in zip(names, leaves, strict=True)}}  # type: ignore[union-attr]

    return run


def _net(case: Case, replayed: bool = False) -> Callable[[], Results]:
    sizes, _, norm = NETS[case.net]
    params, batch, targets = net_inputs(case)
    net = mg.nn.MLP(sizes, norm="batch" if norm else "none", rng=0, dtype=case.dtype)
    for tensor, array in zip(net.parameters(), params, strict=True):
        tensor.data = array
    adam = mg.optim.Adam(net.parameters(), lr=LR, betas=BETAS, eps=ADAM_EPS)
    loss = mg.cross_entropy if sizes[-1] > 1 else mg.binary_cross_entropy_with_logits

    def step(x: Any, y: Any) -> mg.Tensor:
        value: mg.Tensor = loss(net(x), y)
        adam.zero_grad()
        value.backward()
        adam.step()
        return value

    if replayed:
        again = mg.replay(step)
        return lambda: {"loss": again(batch, targets).data}
    x = mg.tensor(batch)
    return lambda: {"loss": step(x, targets).data}
