"""Layer norm, written twice like batch norm: the statistics of each row in place of each channel's. See batch.py."""

from __future__ import annotations

from typing import Any

from .._support.arrays import in_floats
from .._support.shapes import Axis, Ints
from .._support.signatures import Value, normalization
from ..core.gradients import unbroadcast
from ..core.nodes import fused_primitive
from ..ops import mean, reshape
from .batch import affine, affine_composed, like, normalized, prepared, statistics_composed


@normalization
@in_floats
def layer_norm_composed(
    x: Value,
    gamma: Value = None,
    beta: Value = None,
    *,
    axis: Axis = -1,
    eps: float = 1e-5,
    variance: str = "primitive",
) -> Value:
    """gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta with the statistics of each row, as a graph.

    gamma, beta: the shape of the axes reduced, or None. Otherwise as `batch_norm_composed`.

    >>> import numpy as np
    >>> layer_norm_composed(np.array([[1.0, 3.0]]), eps=0.0)
    array([[-1.,  1.]])
    """
    x, axes, wide = prepared("layer_norm_composed", x, {"gamma": gamma, "beta": beta}, axis, eps, False)
    trailing = axes == tuple(range(x.ndim - len(axes), x.ndim))
    x_hat = statistics_composed(x, axes, True, eps, variance)
    return affine_composed(x_hat, gamma, beta, None if trailing else wide)


def _save(x: Value, gamma: Value, beta: Value, *, axis: Ints, wide: Ints, eps: float) -> Any:
    return normalized(x, axis, eps)[:2]


@fused_primitive(
    save=_save,
    formula="gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta",
    local=("dx(g)", "sum(g*x_hat)", "sum(g)"),
)
def layer_norm_(x: Value, gamma: Value, beta: Value, /, *, saved: Any, axis: Ints, wide: Ints, eps: float) -> Value:
    """The primitive behind `layer_norm`: axis and shape of gamma worked out, gamma and beta positional."""
    return affine(saved[0], gamma, beta, wide)


def _layer_norm_rule(
    g: Value, out: Value, saved: Any, x: Value, gamma: Value, beta: Value, *, axis: Ints, wide: Ints, eps: float
) -> tuple[Value, Value, Value]:
    x_hat, inv_std = saved
    d_beta = None if beta is None else like(unbroadcast(g, wide), beta)  # (6)
    d_gamma = None if gamma is None else like(unbroadcast(g * x_hat, wide), gamma)  # (7)
    h = g if gamma is None else g * reshape(gamma, wide)  # (8)
    along = mean(h * x_hat, axis=axis, keepdims=True)
    dx = inv_std * (h - mean(h, axis=axis, keepdims=True) - x_hat * along)  # (9)
    return dx, d_gamma, d_beta


layer_norm_.defvjp_joint(_layer_norm_rule)


@normalization
@in_floats
def layer_norm(x: Value, gamma: Value = None, beta: Value = None, *, axis: Axis = -1, eps: float = 1e-5) -> Value:
    """gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta with the statistics of each row, as one primitive.

    `axis` is reduced; gamma, beta: the shape of the axes reduced, or None. With a single feature the result is
    beta whatever x is. Otherwise as `batch_norm`; the same in training and at test time.

    >>> import numpy as np
    >>> layer_norm(np.array([[1.0, 3.0]]), eps=0.0)
    array([[-1.,  1.]])
    """
    x, axes, wide = prepared("layer_norm", x, {"gamma": gamma, "beta": beta}, axis, eps, False)
    return layer_norm_(x, gamma, beta, axis=axes, wide=wide, eps=float(eps))
