"""The cases in minigrad, as a user writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigrad as mg

from .cases import ADAM_EPS, BETAS, EPS, LR, NETS, OPS, Case, Results, chain_inputs, net_inputs, norm_inputs


def build(case: Case, how: str = "") -> Callable[[], Results] | None:
    """A function that does the case once; how: "replay", "compiled" (replayed as machine code), or as it stands."""
    make: Any = {"chain": _chain, "fused": _norm, "composed": _norm, "mlp": _net}[case.kind]
    run: Callable[[], Results] = make(case, how)
    return run


def _replayed(step: Any, how: str) -> Any:
    return step if not how else mg.replay(step, compile=how == "compiled")


def _chain(case: Case, how: str) -> Callable[[], Results]:
    *inputs, g = chain_inputs(case)
    leaves = [mg.tensor(array, requires_grad=True) for array in inputs]
    cotangent = mg.tensor(g)

    def chain() -> mg.Tensor:
        x, a, b = leaves
        for k in range(OPS):
            x = x + b if k % 2 else x * a
        for leaf in leaves:
            leaf.grad = None
        x.backward(cotangent)
        return x

    step = _replayed(chain, how)
    return lambda: {"y": step(), **dict(zip(("dx", "da", "db"), [leaf.grad for leaf in leaves], strict=True))}


def _norm(case: Case, how: str) -> Callable[[], Results]:
    *inputs, g = norm_inputs(case)
    leaves = [mg.tensor(array, requires_grad=True) for array in inputs]
    cotangent = mg.tensor(g)
    normalize = mg.batch_norm if case.kind == "fused" else mg.batch_norm_composed

    def both() -> mg.Tensor:
        for leaf in leaves:
            leaf.grad = None
        y = normalize(*leaves, eps=EPS)
        y.backward(cotangent)
        return y

    step = _replayed(both, how)
    return lambda: {"y": step(), **dict(zip(("dx", "d_gamma", "d_beta"), [leaf.grad for leaf in leaves], strict=True))}


def _net(case: Case, how: str) -> Callable[[], Results]:
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

    take = _replayed(step, how)
    x = batch if how else mg.tensor(batch)
    return lambda: {"loss": take(x, targets)}
