"""The cases in HIPS autograd and MyGrad. Neither has an Adam: theirs is the one written by hand, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .by_hand import Adam
from .cases import EPS, NETS, OPS, Case, Results, chain_inputs, net_inputs, norm_inputs


def _chain(x: Any, a: Any, b: Any) -> Any:
    for k in range(OPS):
        x = x + b if k % 2 else x * a
    return x


def _inputs(case: Case) -> Any:
    return chain_inputs(case) if case.kind == "chain" else norm_inputs(case)


def _names(case: Case) -> tuple[str, ...]:
    return ("dx", "da", "db") if case.kind == "chain" else ("dx", "d_gamma", "d_beta")


def _network(params: Any, x: Any, normed: bool, norm: Any, relu: Any) -> Any:
    """The logits of a network: parameters layer by layer, as `net_inputs` has them."""
    per_layer = 3 if normed else 2
    for k in range(0, len(params) - 2, per_layer):
        z = x @ params[k]
        x = relu(norm(z, *params[k + 1 : k + 3]) if normed else z + params[k + 1])
    return x @ params[-2] + params[-1]


def build_autograd(case: Case) -> Callable[[], Results] | None:
    """A function that does the case once in HIPS autograd."""
    import autograd.numpy as its
    from autograd import make_vjp, value_and_grad

    anp: Any = its

    def norm(x: Any, gamma: Any, beta: Any) -> Any:
        centred = x - anp.mean(x, axis=0)
        return centred / anp.sqrt(anp.mean(centred * centred, axis=0) + EPS) * gamma + beta

    if case.kind == "mlp":
        _, _, normed = NETS[case.net]
        params, x, targets = net_inputs(case)

        def loss(params: Any) -> Any:
            logits = _network(params, x, normed, norm, lambda z: anp.maximum(z, 0.0))
            if logits.shape[1] == 1:
                return anp.mean(anp.logaddexp(0.0, logits) - targets * logits)
            shifted = logits - anp.max(logits, axis=1, keepdims=True)
            log_p = shifted - anp.log(anp.sum(anp.exp(shifted), axis=1, keepdims=True))
            return -anp.mean(log_p[np.arange(len(x)), targets])

        slopes_of, adam = value_and_grad(loss), Adam(params)

        def step() -> Results:
            value, slopes = slopes_of(params)
            adam.step(slopes)
            return {"loss": value}

        return step
    *inputs, g = _inputs(case)
    forward = _chain if case.kind == "chain" else norm

    def run() -> Results:
        pull, y = make_vjp(lambda parts: forward(*parts))(tuple(inputs))
        return {"y": y, **dict(zip(_names(case), pull(g), strict=True))}

    return run


def build_mygrad(case: Case) -> Callable[[], Results] | None:
    """A function that does the case once in MyGrad, with its own fused batch norm where that is the case."""
    import mygrad as its
    from mygrad.nnet.layers import batchnorm
    from mygrad.nnet.losses import softmax_crossentropy

    mygrad: Any = its

    def composed(x: Any, gamma: Any, beta: Any) -> Any:
        centred = x - mygrad.mean(x, axis=0)
        return centred / mygrad.sqrt(mygrad.mean(centred * centred, axis=0) + EPS) * gamma + beta

    def fused(x: Any, gamma: Any, beta: Any) -> Any:
        return batchnorm(x, gamma=gamma, beta=beta, eps=EPS)

    if case.kind == "mlp":
        _, _, normed = NETS[case.net]
        params, x, targets = net_inputs(case)
        adam = Adam(params)

        def step() -> Results:
            leaves = [mygrad.tensor(p, copy=False) for p in params]
            logits = _network(leaves, x, normed, fused, lambda z: mygrad.maximum(z, 0.0))
            if logits.shape[1] == 1:
                loss = mygrad.mean(mygrad.logaddexp(0.0, logits) - targets * logits)
            else:
                loss = softmax_crossentropy(logits, targets)
            loss.backward()
            slopes = [leaf.grad for leaf in leaves]
            value = loss.item()
            del leaves, logits, loss  # so that MyGrad gives the parameters back
            adam.step(slopes)
            return {"loss": value}

        return step
    *inputs, g = _inputs(case)
    forward = {"chain": _chain, "fused": fused, "composed": composed}[case.kind]

    def run() -> Results:
        leaves = [mygrad.tensor(array) for array in inputs]
        y = forward(*leaves)
        y.backward(g)
        return {"y": y.data, **{name: leaf.grad for name, leaf in zip(_names(case), leaves, strict=True)}}

    return run
