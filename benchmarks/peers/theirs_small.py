"""The cases in HIPS autograd and MyGrad. Neither has an Adam, so the networks are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cases import EPS, OPS, Case, Results, chain_inputs, norm_inputs


def _chain(x: Any, a: Any, b: Any) -> Any:
    for k in range(OPS):
        x = x + b if k % 2 else x * a
    return x


def _inputs(case: Case) -> Any:
    return chain_inputs(case) if case.kind == "chain" else norm_inputs(case)


def _names(case: Case) -> tuple[str, ...]:
    return ("dx", "da", "db") if case.kind == "chain" else ("dx", "d_gamma", "d_beta")


def build_autograd(case: Case) -> Callable[[], Results] | None:
    """A function that does the case once in HIPS autograd."""
    if case.kind == "mlp":
        return None
    import autograd.numpy as its
    from autograd import make_vjp

    anp: Any = its

    def norm(x: Any, gamma: Any, beta: Any) -> Any:
        centred = x - anp.mean(x, axis=0)
        return centred / anp.sqrt(anp.mean(centred * centred, axis=0) + EPS) * gamma + beta

    *inputs, g = _inputs(case)
    forward = _chain if case.kind == "chain" else norm

    def run() -> Results:
        pull, y = make_vjp(lambda parts: forward(*parts))(tuple(inputs))
        return {"y": y, **dict(zip(_names(case), pull(g), strict=True))}

    return run


def build_mygrad(case: Case) -> Callable[[], Results] | None:
    """A function that does the case once in MyGrad, with its own fused batch norm where that is the case."""
    if case.kind == "mlp":
        return None
    import mygrad as its
    from mygrad.nnet.layers import batchnorm

    mygrad: Any = its

    def composed(x: Any, gamma: Any, beta: Any) -> Any:
        centred = x - mygrad.mean(x, axis=0)
        return centred / mygrad.sqrt(mygrad.mean(centred * centred, axis=0) + EPS) * gamma + beta

    def fused(x: Any, gamma: Any, beta: Any) -> Any:
        return batchnorm(x, gamma=gamma, beta=beta, eps=EPS)

    *inputs, g = _inputs(case)
    forward = {"chain": _chain, "fused": fused, "composed": composed}[case.kind]

    def run() -> Results:
        leaves = [mygrad.tensor(array) for array in inputs]
        y = forward(*leaves)
        y.backward(g)
        return {"y": y.data, **{name: leaf.grad for name, leaf in zip(_names(case), leaves, strict=True)}}

    return run
