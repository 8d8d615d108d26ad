"""The cases in plain NumPy, derivatives by hand and no graph: what a careful user would write, and the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .cases import (
    ADAM_EPS,
    BETAS,
    EPS,
    LR,
    NETS,
    OPS,
    STEPS,
    Array,
    Case,
    Results,
    as_array,
    chain_inputs,
    net_inputs,
    norm_inputs,
)


def build(case: Case, rounded_to: str = "") -> Callable[[], Results]:
    """A function that does the case once; `rounded_to` rounds the inputs to that dtype first."""
    given = Case(case.kind, rounded_to or case.dtype, case.shape, case.net)
    if case.kind == "mlp":
        return _net(case, given)
    if case.kind == "scalar":
        from .scalars import by_hand

        return by_hand(case, rounded_to)
    inputs = chain_inputs(given) if case.kind == "chain" else norm_inputs(given)
    arrays = [a.astype(case.dtype) for a in inputs]
    return lambda: (_chain if case.kind == "chain" else _norm)(*arrays)


def _chain(x: Array, a: Array, b: Array, g: Array) -> Results:
    values, y = [], x
    for k in range(OPS):
        values.append(y)
        y = y + b if k % 2 else y * a
    d_a, d_b = np.zeros_like(a), np.zeros_like(b)
    for k in reversed(range(OPS)):
        if k % 2:
            d_b = d_b + g
        else:
            d_a = d_a + g * values[k]
            g = g * a
    return {"y": y, "dx": g, "da": d_a, "db": d_b}


def _norm_forward(x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
    centred = x - x.mean(axis=0)
    inv_std = 1.0 / np.sqrt((centred * centred).mean(axis=0) + x.dtype.type(EPS))
    x_hat = centred * inv_std
    return x_hat * gamma + beta, x_hat, inv_std


def _norm_backward(g: Array, gamma: Array, x_hat: Array, inv_std: Array) -> tuple[Array, Array, Array]:
    d_beta, d_gamma = g.sum(axis=0), (g * x_hat).sum(axis=0)
    n = len(g)
    return gamma * inv_std * (g - d_beta / n - x_hat * (d_gamma / n)), d_gamma, d_beta


def _norm(x: Array, gamma: Array, beta: Array, g: Array) -> Results:
    y, x_hat, inv_std = _norm_forward(x, gamma, beta)
    dx, d_gamma, d_beta = _norm_backward(g, gamma, x_hat, inv_std)
    return {"y": y, "dx": dx, "d_gamma": d_gamma, "d_beta": d_beta}


def _net(case: Case, given: Case) -> Callable[[], Results]:
    _, _, norm = NETS[case.net]
    params, x, targets = net_inputs(given)
    params = [p.astype(case.dtype) for p in params]
    x = x.astype(case.dtype)
    adam = Adam(params)
    statistics = [(np.zeros_like(p), np.ones_like(p)) for p in params if p.ndim == 1]

    def step() -> Results:
        loss, slopes = _slopes(params, x, targets, norm, statistics)
        adam.step(slopes)
        return {"loss": np.asarray(loss)}

    return step


class Adam:
    """Adam over a list of arrays, in place: for those who have none."""

    def __init__(self, params: list[Array]) -> None:
        self.params, self.taken = params, 0
        self.m, self.v = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]

    def step(self, slopes: list[Array]) -> None:
        """One step along a gradient for each array."""
        self.taken += 1
        for p, m, v, d in zip(self.params, self.m, self.v, slopes, strict=True):
            m += (1 - BETAS[0]) * (d - m)
            v += (1 - BETAS[1]) * (d * d - v)
            root = np.sqrt(v) * (1 / np.sqrt(1 - BETAS[1] ** self.taken)) + ADAM_EPS
            p -= LR / (1 - BETAS[0] ** self.taken) * m / root


def _slopes(
    params: list[Array], x: Array, targets: Array, norm: bool, statistics: list[tuple[Array, Array]]
) -> tuple[float, list[Array]]:
    """Loss and the gradient of every parameter."""
    per_layer = 3 if norm else 2
    layers = [params[k : k + per_layer] for k in range(0, len(params) - 2, per_layer)]
    a, kept = x, []
    for k, layer in enumerate(layers):
        z = a @ layer[0]
        if norm:
            y, x_hat, inv_std = _norm_forward(z, layer[1], layer[2])
            for running, batch in zip(statistics[k], (z.mean(axis=0), z.var(axis=0, ddof=1)), strict=True):
                running += 0.1 * (batch - running)
            kept.append((a, x_hat, inv_std, y))
        else:
            y = z + layer[1]
            kept.append((a, y, y, y))
        a = np.maximum(y, 0)
    logits = a @ params[-2] + params[-1]
    n = len(x)
    if logits.shape[1] == 1:
        loss = float((np.logaddexp(0, logits) - targets * logits).mean())
        g = (1 / (1 + np.exp(-logits)) - targets.astype(logits.dtype)) / n
    else:
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = float(-log_p[np.arange(n), targets].mean())
        g = np.exp(log_p)
        g[np.arange(n), targets] -= 1
        g /= n
    slopes = [g.sum(axis=0), a.T @ g]
    g = g @ params[-2].T
    for layer, (before, x_hat, inv_std, y) in zip(reversed(layers), reversed(kept), strict=True):
        g = g * (y > 0)
        if norm:
            g, d_gamma, d_beta = _norm_backward(g, layer[1], x_hat, inv_std)
            slopes += [d_beta, d_gamma]
        else:
            slopes.append(g.sum(axis=0))
        slopes.append(before.T @ g)
        if before is not x:
            g = g @ layer[0].T
    return loss, slopes[::-1]


def losses(step: Callable[[], Results]) -> Iterator[Array]:
    """The first losses of a network's step: what its results are compared by."""
    for _ in range(STEPS):
        yield as_array(step()["loss"])
