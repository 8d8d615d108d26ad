"""A network of single numbers, as in micrograd's demo: 2-16-16-1, each weight a value of its own, one example.

The same Python for everybody: sums of products, relu, a margin of 1; forward and backward, no update.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from .cases import Array, Case, Results

SIZES = (2, 16, 16, 1)


def inputs(dtype: str) -> tuple[list[Array], Array, float]:
    """Parameters (weights of (outputs, inputs), then biases; layer by layer), one example, and its label of -1 or 1,
    which is the wrong one, so that there is a gradient.
    """
    rng = np.random.default_rng(0)
    params: list[Array] = []
    for a, b in pairwise(SIZES):
        params += [rng.uniform(-1, 1, (b, a)).astype(np.float32), rng.uniform(0, 0.5, b).astype(np.float32)]
    x = rng.uniform(-1, 1, SIZES[0]).astype(np.float32)
    score = _forward(params, x)[-1][1][0]
    return [p.astype(dtype) for p in params], x.astype(dtype), -1.0 if score > 0 else 1.0


def _forward(params: list[Array], x: Array) -> list[tuple[Array, Array]]:
    """(what goes in, what comes out) of each layer."""
    layers = []
    for k in range(0, len(params), 2):
        out = params[k] @ x + params[k + 1]
        layers.append((x, out))
        x = np.maximum(out, 0)
    return layers


def by_hand(case: Case, rounded_to: str = "") -> Callable[[], Results]:
    """With matrices."""
    given, x, y = inputs(rounded_to or case.dtype)
    params, x = [p.astype(case.dtype) for p in given], x.astype(case.dtype)

    def run() -> Results:
        layers = _forward(params, x)
        loss = np.maximum(1.0 - y * layers[-1][1][0], 0)
        g, slopes = np.array([-y], case.dtype), list[Array]()
        for k in reversed(range(len(layers))):
            before, out = layers[k]
            g = g if k == len(layers) - 1 else g * (out > 0)
            slopes = [np.outer(g, before), g, *slopes]
            g = params[2 * k].T @ g
        return _named(loss, [d for slope in slopes for d in slope.ravel()])

    return run


def _loss(values: list[Any], x: Any, y: float, relu: Any) -> Any:
    """Of numbers one by one, in the order of `inputs`."""
    rest = iter(values)
    for k, (a, b) in enumerate(pairwise(SIZES)):
        weights = [[next(rest) for _ in range(a)] for _ in range(b)]
        sums = []
        for row in weights:
            total = next(rest)
            for w, value in zip(row, x, strict=True):
                total = total + w * value
            sums.append(relu(total) if k < len(SIZES) - 2 else total)
        x = sums
    return relu(x[0] * -y + 1.0)


def _named(loss: Any, slopes: list[Any]) -> Results:
    return {"loss": loss, **{f"d{k}": d for k, d in enumerate(slopes)}}


def build(peer: str, case: Case) -> Callable[[], Results] | None:
    """A function that does it once; None for those who have none."""
    params, example, y = inputs(case.dtype)
    numbers = [number for p in params for number in p.ravel()]
    x = [float(number) for number in example]
    if peer.startswith("minigrad"):
        return _ours(peer, numbers, x, y)
    if peer == "jax":
        import jax
        import jax.numpy as jnp

        both = jax.jit(jax.value_and_grad(lambda values: _loss(values, x, y, jax.nn.relu)))
        given = [jnp.asarray(number) for number in numbers]
        return lambda: _named(*jax.block_until_ready(both(given)))
    if peer == "autograd":
        import autograd.numpy as anp
        from autograd import value_and_grad

        slopes_of = value_and_grad(lambda values: _loss(values, x, y, lambda v: anp.maximum(v, 0.0)))
        return lambda: _named(*slopes_of(numbers))
    if peer == "micrograd":
        from micrograd.engine import Value

        return _deposited([Value(float(number)) for number in numbers], x, y, Value.relu, lambda v: v.data, 0)
    if peer == "mygrad":
        import mygrad

        leaves = [mygrad.tensor(number) for number in numbers]
        return _deposited(leaves, x, y, lambda v: mygrad.maximum(v, 0.0), lambda v: v.data)
    if peer in ("torch", "torch malloc"):
        import torch

        leaves = [torch.tensor(number).requires_grad_() for number in numbers]
        return _deposited(leaves, x, y, torch.relu, lambda v: v, None)
    return None


def _deposited(leaves: list[Any], x: Any, y: float, relu: Any, value: Any, empty: Any = ...) -> Callable[[], Results]:
    """With gradients that backward() leaves in `.grad`, which was `empty` before, where anybody adds to it."""

    def run() -> Results:
        for leaf in leaves if empty is not ... else ():
            leaf.grad = empty
        loss = _loss(leaves, x, y, relu)
        loss.backward()
        return _named(value(loss), [leaf.grad for leaf in leaves])

    return run


def _ours(peer: str, numbers: list[Any], x: Any, y: float) -> Callable[[], Results] | None:
    import minigrad as mg

    leaves = [mg.tensor(number, requires_grad=True) for number in numbers]

    def step() -> Any:
        for leaf in leaves:
            leaf.grad = None
        loss = _loss(leaves, x, y, mg.relu)
        loss.backward()
        return loss

    take = mg.replay(step, compile=peer.endswith("compiled")) if peer.endswith(("replay", "compiled")) else step
    return lambda: _named(take(), [leaf.grad for leaf in leaves])
