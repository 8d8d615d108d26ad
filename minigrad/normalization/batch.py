"""Batch norm and layer norm, each written twice: as a composed graph, and as one fused primitive.

The composed form shows every intermediate; the fused form is one node with an analytic backward. `check.compare`
holds them equal to second order. This file knows tensors and primitives; it knows no modules and no running
averages.

The derivation, once. N values per channel (N = product of the reduced axes), sums and means over them:

    (1)  mu      = mean(x)
    (2)  var     = mean((x - mu)^2)                    biased: divided by N
    (3)  inv_std = 1 / sqrt(var + eps)
    (4)  x_hat   = (x - mu) * inv_std
    (5)  y       = gamma * x_hat + beta

Let g = dL/dy. From (5), gamma and beta being shared by the N values,

    (6)  dL/dbeta  = sum(g)
    (7)  dL/dgamma = sum(g * x_hat)
    (8)  h = dL/dx_hat = gamma * g

x_i acts on x_hat_j directly, through mu and through var. From (1)-(4), with d(mu)/dx_i = 1/N, and
d(var)/dx_i = 2 (x_i - mu) / N (the path from var through mu drops out, because sum(x - mu) = 0),

         d(inv_std)/dx_i = -inv_std^3 (x_i - mu) / N = -inv_std^2 x_hat_i / N
         d(x_hat_j)/dx_i = inv_std (delta_ij - 1/N - x_hat_i x_hat_j / N)

    (9)  dL/dx = inv_std * (h - mean(h) - x_hat * mean(h * x_hat))

which is exact for every eps >= 0. Where gamma is constant over the reduced axes (batch norm), the two means are
gamma times (6) and (7) over N, and no further sum is needed:

    (9') dL/dx = gamma * inv_std * (g - dL/dbeta / N - x_hat * (dL/dgamma / N))

which divides the two sums by N, and no whole array.

Nothing is ever divided by gamma, so gamma = 0 is an ordinary value. Sources: Ioffe and Szegedy 2015
(arXiv:1502.03167), Ba, Kiros and Hinton 2016 (arXiv:1607.06450).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._support.arrays import in_floats
from .._support.shapes import Axis, Ints, axes_of, count
from .._support.signatures import Value, inference, normalization
from ..core.context import scope
from ..core.gradients import unbroadcast
from ..core.nodes import Node, callback, fused_primitive, raw
from ..functional import floats, named
from ..ops import add, div, mean, mul, reshape, sqrt, square, sub, var
from ..ops import sum as sum_

# --------------------------------------------------------------------------------------------------------------
# What is normalized over which axes


def prepared(
    who: str, x: Value, affine: dict[str, Value], axis: Axis, eps: float, shared_over_reduced: bool
) -> tuple[Value, Ints, Ints]:
    """x as floats, the reduced axes, and the shape in which per-channel values broadcast against x; all checked."""
    x = floats(who, x)
    if not 0 <= eps < np.inf:
        raise ValueError(f"{who}: eps={eps!r} must be a finite number >= 0; it is added to the variance")
    axes, wide, expected = _axes_and_shapes(who, x.shape, axis, shared_over_reduced)
    for name, value in affine.items():
        if value is not None:
            shape = value._array.shape if isinstance(value, Node) else np.shape(value)
            if shape != expected:
                raise ValueError(
                    f"{who}: {name} has shape {shape}, expected {expected} "
                    f"(x has shape {x.shape}, axis={axis!r} is reduced)"
                )
    return x, axes, wide


@functools.lru_cache(maxsize=512)
def _axes_and_shapes(who: str, shape: tuple[int, ...], axis: Axis, shared_over_reduced: bool) -> Any:
    """The reduced axes of an array of `shape`, and the shape of per-channel values: against it, and of their own."""
    if not shape:
        raise ValueError(f"{who}: x needs at least one axis, got a single number")
    axes = axes_of(axis, len(shape))
    own = [k for k in range(len(shape)) if (k in axes) != shared_over_reduced]
    return axes, tuple([n if k in own else 1 for k, n in enumerate(shape)]), tuple([shape[k] for k in own])


def _leading(axes: Ints, wide: Ints) -> bool:
    """Whether per-channel values broadcast against x as they are, so that the graph needs no reshape."""
    return axes == tuple(range(len(axes))) or all(n == 1 for n in wide)


# --------------------------------------------------------------------------------------------------------------
# Composed: a graph of primitives


def statistics_composed(x: Value, axis: Ints, keepdims: bool, eps: float, variance: str) -> Value:
    """Steps (1) to (4) as a graph; x_hat."""
    if variance not in ("primitive", "staged"):
        raise ValueError(f"variance={variance!r} must be 'primitive' (one node) or 'staged' (sub, square, mean)")
    with scope("statistics"):
        mu = named(mean(x, axis=axis, keepdims=keepdims), "mu")
        if variance == "staged":
            centred = named(sub(x, mu), "centred")
            squared = named(square(centred), "squared")
            v = named(mean(squared, axis=axis, keepdims=keepdims), "var")
        else:
            v = named(var(x, axis=axis, keepdims=keepdims), "var")
    with scope("normalize"):
        if variance == "primitive":
            centred = named(sub(x, mu), "centred")
        std = named(sqrt(named(add(v, eps), "var_eps")), "std")
        return named(div(centred, std), "x_hat")


def affine_composed(x_hat: Value, gamma: Value, beta: Value, wide: Ints | None) -> Value:
    """Step (5) as a graph."""
    with scope("affine"):
        y = x_hat
        if gamma is not None:
            y = named(mul(y, gamma if wide is None else reshape(gamma, wide)), "scaled")
        if beta is not None:
            y = add(y, beta if wide is None else reshape(beta, wide))
        return named(y, "y") if y is not x_hat else y


@normalization
@in_floats
def batch_norm_composed(
    x: Value, gamma: Value = None, beta: Value = None, *, axis: Axis = 0, eps: float = 1e-5, variance: str = "primitive"
) -> Value:
    """gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta with batch statistics, as a graph of named primitives.

    x: any shape; `axis` is reduced; gamma, beta: the shape of the axes kept, or None. variance="primitive" has the
    variance as one node, "staged" spells it out as sub, square, mean (the figure X -> mu -> v -> sigma -> Y of the
    cs231n notebook). Same results as `batch_norm`. ValueError for a wrong shape or eps < 0.

    >>> import numpy as np
    >>> batch_norm_composed(np.array([[1.0], [3.0]]), eps=0.0)
    array([[-1.], [ 1.]])
    """
    x, axes, wide = prepared("batch_norm_composed", x, {"gamma": gamma, "beta": beta}, axis, eps, True)
    plain = _leading(axes, wide)
    x_hat = statistics_composed(x, axes, not plain, eps, variance)
    return affine_composed(x_hat, gamma, beta, None if plain else wide)


@inference
@in_floats
def batch_norm_inference_composed(
    x: Value, gamma: Value, beta: Value, mean: Value, var: Value, *, axis: Axis = 0, eps: float = 1e-5
) -> Value:
    """gamma * (x - mean) / sqrt(var + eps) + beta with given statistics, as a graph of named primitives."""
    given = {"gamma": gamma, "beta": beta, "mean": mean, "var": var}
    x, axes, wide = prepared("batch_norm_inference_composed", x, given, axis, eps, True)
    if not _leading(axes, wide):
        mean, var = reshape(mean, wide), reshape(var, wide)
    with scope("normalize"):
        std = named(sqrt(named(add(var, eps), "var_eps")), "std")
        x_hat = named(div(named(sub(x, mean), "centred"), std), "x_hat")
    return affine_composed(x_hat, gamma, beta, None if _leading(axes, wide) else wide)


# --------------------------------------------------------------------------------------------------------------
# Fused: one node, the rule by hand


def normalized(x: Value, axis: Ints, eps: float) -> tuple[Value, Value, Value, Value]:
    """Steps (1) to (4): x_hat and inv_std, what backward needs; and for running averages the mean, as it
    differs from the first row, and the variance.

    The statistics are taken on x - x[first row], which keeps seven digits more on data far from zero and is exact
    for constants. The first row enters as a constant: x_hat does not change when x is shifted, so no derivative does.
    """
    first = callback(first_row, x, axis) if isinstance(x, Node) else first_row(x, axis)
    shifted = x - first if first.size else x
    offset = mean(shifted, axis=axis, keepdims=True)
    centred = named(shifted - offset, "centred")  # (1)
    squared = sum_(square(centred), axis=axis, keepdims=True)
    v = named(squared / float(max(count(x.shape, axis), 1)), "var")  # (2); 0 of nothing
    inv_std = named(1.0 / sqrt(v + eps), "inv_std")  # (3)
    return named(centred * inv_std, "x_hat"), inv_std, offset, v  # (4)


def first_row(x: Value, axis: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """x at the first place along each axis in `axis`, which stay as axes of length 1."""
    rows: np.ndarray[Any, Any] = raw(x)[tuple([slice(0, 1) if k in axis else slice(None) for k in range(x.ndim)])]
    return rows


def affine(x_hat: Value, gamma: Value, beta: Value, wide: Ints) -> Value:
    """Step (5)."""
    y = x_hat if gamma is None else x_hat * reshape(gamma, wide)
    return y if beta is None else y + reshape(beta, wide)


def _save(x: Value, gamma: Value, beta: Value, *, axis: Ints, wide: Ints, eps: float) -> Any:
    return normalized(x, axis, eps)


@fused_primitive(
    save=_save,
    formula="gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta",
    local=("dx(g)", "sum(g*x_hat)", "sum(g)"),
)
def batch_norm_(x: Value, gamma: Value, beta: Value, /, *, saved: Any, axis: Ints, wide: Ints, eps: float) -> Value:
    """The primitive behind `batch_norm`: axis and shape of gamma worked out, gamma and beta positional."""
    return affine(saved[0], gamma, beta, wide)


def _batch_norm_rule(
    g: Value, out: Value, saved: Any, x: Value, gamma: Value, beta: Value, *, axis: Ints, wide: Ints, eps: float
) -> tuple[Value, Value, Value]:
    x_hat, inv_std, *_ = saved
    n = float(max(count(x.shape, axis), 1))
    d_beta = named(sum_(g, axis=axis, keepdims=True), "d_beta")  # (6)
    d_gamma = named(sum_(g * x_hat, axis=axis, keepdims=True), "d_gamma")  # (7)
    scale = inv_std if gamma is None else named(reshape(gamma, wide) * inv_std, "scale")  # (8)
    dx = scale * (g - d_beta / n - x_hat * (d_gamma / n))  # (9')
    return dx, like(d_gamma, gamma), like(d_beta, beta)


def like(d: Value, x: Value) -> Value:
    """A gradient in the shape of its input; None where there is no such input."""
    return None if x is None else reshape(d, x.shape)


batch_norm_.defvjp_joint(_batch_norm_rule)


@normalization
@in_floats
def batch_norm(x: Value, gamma: Value = None, beta: Value = None, *, axis: Axis = 0, eps: float = 1e-5) -> Value:
    """gamma * (x - mean(x)) / sqrt(var(x) + eps) + beta with batch statistics, as one primitive.

    x: any shape; `axis` is reduced (mean and biased variance over it); gamma, beta: the shape of the axes kept, or
    None. eps >= 0 is added to the variance. One row gives y = beta and dx = d_gamma = 0; a constant column gives
    exactly beta. Keeps x_hat and inv_std for backward. ValueError for a wrong shape or eps < 0.

    >>> import numpy as np
    >>> batch_norm(np.array([[1.0], [3.0]]), eps=0.0)
    array([[-1.], [ 1.]])
    """
    x, axes, wide = prepared("batch_norm", x, {"gamma": gamma, "beta": beta}, axis, eps, True)
    return batch_norm_(x, gamma, beta, axis=axes, wide=wide, eps=float(eps))


def _inference_save(
    x: Value, gamma: Value, beta: Value, mean: Value, var: Value, *, wide: Ints, eps: float
) -> tuple[Value, ...]:
    return (named(1.0 / sqrt(reshape(var, wide) + eps), "inv_std"),)


@fused_primitive(
    save=_inference_save,
    formula="gamma * (x - mean) / sqrt(var + eps) + beta",
    local=("g*gamma*inv_std", "sum(g*x_hat)", "sum(g)", "-sum(g)*gamma*inv_std", "-sum(g*x_hat)*gamma*inv_std**2/2"),
)
def batch_norm_inference_(
    x: Value, gamma: Value, beta: Value, mean: Value, var: Value, /, *, saved: Any, wide: Ints, eps: float
) -> Value:
    """The primitive behind `batch_norm_inference`: the broadcast shape worked out, everything else positional."""
    return affine((x - reshape(mean, wide)) * saved[0], gamma, beta, wide)


def _batch_norm_inference_rule(
    g: Value,
    out: Value,
    saved: Any,
    x: Value,
    gamma: Value,
    beta: Value,
    mean: Value,
    var: Value,
    *,
    wide: Ints,
    eps: float,
) -> tuple[Value, ...]:
    (inv_std,) = saved
    x_hat = (x - reshape(mean, wide)) * inv_std
    d_beta = unbroadcast(g, wide)  # (6)
    d_gamma = unbroadcast(g * x_hat, wide)  # (7)
    scale = inv_std if gamma is None else reshape(gamma, wide) * inv_std
    # mean and var are given: x acts on y only directly, and each of them is an input like any other
    d_mean, d_var = -scale * d_beta, -0.5 * scale * inv_std * d_gamma
    return scale * g, like(d_gamma, gamma), like(d_beta, beta), like(d_mean, mean), like(d_var, var)


batch_norm_inference_.defvjp_joint(_batch_norm_inference_rule)


@inference
@in_floats
def batch_norm_inference(
    x: Value, gamma: Value, beta: Value, mean: Value, var: Value, *, axis: Axis = 0, eps: float = 1e-5
) -> Value:
    """gamma * (x - mean) / sqrt(var + eps) + beta with given statistics, as one primitive with its own backward.

    gamma, beta (or None), mean, var: the shape of the axes kept. Each row is normalized by itself: one is enough.

    >>> import numpy as np
    >>> batch_norm_inference(np.array([[3.0]]), None, None, np.array([1.0]), np.array([4.0]), eps=0.0)
    array([[1.]])
    """
    given = {"gamma": gamma, "beta": beta, "mean": mean, "var": var}
    x, _, wide = prepared("batch_norm_inference", x, given, axis, eps, True)
    return batch_norm_inference_(x, gamma, beta, mean, var, wide=wide, eps=float(eps))
