"""The cases in JAX, forward, backward and update in one jitted function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax as its
import jax.numpy as jnp
import numpy as np

from .cases import ADAM_EPS, BETAS, EPS, LR, NETS, OPS, Case, Results, chain_inputs, net_inputs, norm_inputs

jax: Any = its  # its own annotations are not complete
jax.config.update("jax_enable_x64", True)


def build(case: Case) -> Callable[[], Results]:
    """A function that does the case once, compiled at its first call."""
    return {"chain": _chain, "fused": _norm, "composed": _norm, "mlp": _net}[case.kind](case)


def _pulled(forward: Any, inputs: Any, names: tuple[str, ...]) -> Callable[[], Results]:
    *arguments, g = [jnp.asarray(array) for array in inputs]

    def both(g: Any, *arguments: Any) -> Any:
        y, pull = jax.vjp(forward, *arguments)
        return y, *pull(g)

    jitted = jax.jit(both)

    def run() -> Results:
        found = jax.block_until_ready(jitted(g, *arguments))
        return dict(zip(names, found, strict=True))

    return run


def _chain(case: Case) -> Callable[[], Results]:
    def forward(x: Any, a: Any, b: Any) -> Any:
        for k in range(OPS):
            x = x + b if k % 2 else x * a
        return x

    return _pulled(forward, chain_inputs(case), ("y", "dx", "da", "db"))


def _batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - x.mean(0)
    return centred * jax.lax.rsqrt((centred * centred).mean(0) + EPS) * gamma + beta


def _norm(case: Case) -> Callable[[], Results]:
    return _pulled(_batch_norm, norm_inputs(case), ("y", "dx", "d_gamma", "d_beta"))


def _net(case: Case) -> Callable[[], Results]:
    _, _, norm = NETS[case.net]
    given, batch, targets = net_inputs(case)
    x, labels = jnp.asarray(batch), jnp.asarray(targets)
    per_layer = 3 if norm else 2

    def loss(params: Any) -> Any:
        a, seen = x, []
        for k in range(0, len(params) - 2, per_layer):
            z = a @ params[k]
            if norm:
                seen.append((z.mean(0), z.var(0, ddof=1)))
                z = _batch_norm(z, params[k + 1], params[k + 2])
            else:
                z = z + params[k + 1]
            a = jax.nn.relu(z)
        logits = a @ params[-2] + params[-1]
        if logits.shape[1] == 1:
            return (jnp.logaddexp(0, logits) - labels * logits).mean(), seen
        return -jax.nn.log_softmax(logits)[jnp.arange(len(x)), labels].mean(), seen

    def update(params: Any, m: Any, v: Any, running: Any, t: Any) -> Any:
        (value, seen), slopes = jax.value_and_grad(loss, has_aux=True)(params)
        m = [BETAS[0] * a + (1 - BETAS[0]) * d for a, d in zip(m, slopes, strict=True)]
        v = [BETAS[1] * a + (1 - BETAS[1]) * d * d for a, d in zip(v, slopes, strict=True)]
        first, second = 1 / (1 - BETAS[0] ** t), 1 / (1 - BETAS[1] ** t)
        moved = [LR * a * first / (jnp.sqrt(b * second) + ADAM_EPS) for a, b in zip(m, v, strict=True)]
        params = [(p - d).astype(p.dtype) for p, d in zip(params, moved, strict=True)]
        running = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, running, seen)
        return value, params, m, v, running

    params = [jnp.asarray(p) for p in given]
    hidden = list(params[:-2:per_layer]) if norm else []
    running = [(jnp.zeros(p.shape[1], p.dtype), jnp.ones(p.shape[1], p.dtype)) for p in hidden]
    state: Any = (params, [jnp.zeros_like(p) for p in params], [jnp.zeros_like(p) for p in params], running)
    taken, jitted = 0, jax.jit(update)

    def step() -> Results:
        nonlocal state, taken
        taken += 1
        value, *state = jax.block_until_ready(jitted(*state, np.asarray(taken, case.dtype)))
        return {"loss": np.asarray(value)}

    return step
