"""The exercises batch_norm and layer_norm: the whole backward pass in one formula, with what it saves."""

from __future__ import annotations

from functools import partial

import numpy as np

from .. import ops
from .kinds import Answers, Array, Case, Exercise, case
from .ladders import LADDERS

TEXT = """Forward, x of shape (N, D), gamma and beta of shape (D,), mean and variance {over}:

    x_hat = (x - mean(x)) / sqrt(var(x) + eps)            y = gamma * x_hat + beta

Write two functions. `save` returns what backward reuses (a tuple of your choice, such as x_hat and inv_std), `rule`
returns dL/dx, dL/dgamma and dL/dbeta for g = dL/dy. Use minigrad's functions (mg.mean, mg.sqrt, ...): at second
order both run again on Tensors. {hint}"""

EPS_MISTAKES = {
    "eps minus": "var - eps stands where var + eps belongs: eps is added, or small variances have no root",
    "no eps": "eps is missing under the root",
    "eps outside": "eps was added to the root; it stands under it: sqrt(var + eps)",
    "unbiased": "the variance was divided by one less than the count; the normalization uses the biased one",
}
MISTAKES = {
    "gamma": "gamma is missing: dL/dx_hat is gamma * g",
    "mean path": "the path through the mean is dropped: - mean(h), with h = dL/dx_hat",
    "var path": "the path through the variance is dropped: - x_hat * mean(h * x_hat), with h = dL/dx_hat",
    "1/N": "1/N is missing: sums stand where means belong",
    "sign": "the two means are added, and must be subtracted",
    "inv_std": "inv_std in front is missing",
    "x_hat": "the path through the variance lacks a factor x_hat: x_hat * mean(h * x_hat)",
    "x for x_hat": "x stands where x_hat belongs: gamma is multiplied with x_hat",
    "centred for x_hat": "x - mean stands where x_hat belongs: it is not divided by the standard deviation yet",
    "gamma in d_gamma": "d_gamma has a factor gamma too many: y is linear in gamma",
    "mean for sum": "a mean stands where the sum belongs: every row that shares it sends its part",
}


def statistics(wrong: frozenset[str], x: Array, eps: float, axis: int) -> tuple[Array, Array]:
    """x - mean and 1 / std over an axis, with the mistakes in `wrong` made."""
    var = x.var(axis=axis, keepdims=True, ddof=1 if "unbiased" in wrong else 0)
    if "eps outside" in wrong:
        inv_std = 1.0 / (np.sqrt(var) + eps)
    else:
        inv_std = 1.0 / np.sqrt(var - eps if "eps minus" in wrong else var if "no eps" in wrong else var + eps)
    return x - x.mean(axis=axis, keepdims=True), inv_std


def _variant(wrong: frozenset[str], g: Array, x: Array, gamma: Array, beta: Array, eps: float, axis: int) -> Answers:
    over = 1 - axis if "axis" in wrong else axis
    centred, inv_std = statistics(wrong, x, eps, over)
    x_hat = centred * inv_std
    afterwards = "gamma late" in wrong
    h = g if "gamma" in wrong or afterwards else g * gamma
    # means of the formula; where one was taken over the other axis, its statistics stay right
    means = 1 - axis if "axis of the means" in wrong else over
    part = np.sum if "1/N" in wrong else np.mean
    by_mean = 0.0 if "mean path" in wrong else part(h, axis=means, keepdims=True)
    factor = 1.0 if "x_hat" in wrong else x_hat
    by_var = 0.0 if "var path" in wrong else factor * part(h * x_hat, axis=means, keepdims=True)
    dx = h + by_mean + by_var if "sign" in wrong else h - by_mean - by_var
    if "nine prime" in wrong:  # with N the count of layer norm's means
        sums = g.sum(axis=0) + x_hat * (g * x_hat).sum(axis=0)
        dx = gamma * (g - sums / x.shape[axis])
    dx = dx if "inv_std" in wrong else inv_std * dx
    along = x if "x for x_hat" in wrong else centred if "centred for x_hat" in wrong else x_hat
    d_gamma = g * along * (gamma if "gamma in d_gamma" in wrong else 1.0)
    total = np.mean if "mean for sum" in wrong else np.sum
    return {
        "d_beta": total(g, axis=0),
        "d_gamma": total(d_gamma, axis=0),
        "dx": dx * gamma if afterwards else dx,
    }


def _cases(axis: int) -> tuple[Case, ...]:
    shapes = [(6, 4), (4,), (4,)], [(4, 3), (3,), (3,)]
    return tuple(case(20 + k, s, s[0], eps=eps) for k, (s, eps) in enumerate(zip(shapes, (0.1, 0.05), strict=True)))


def _zero_gamma(axis: int) -> Case:
    made = _cases(axis)[0]
    x, gamma, beta = made.inputs
    return Case((x, gamma * (np.arange(4) != 1), beta), made.params, made.cotangent)


_exercise = partial(
    Exercise,
    inputs=("x", "gamma", "beta"),
    asks={"save": ("x", "gamma", "beta", "eps"), "rule": ("g", "out", "saved", "x", "gamma", "beta", "eps")},
    steps=("d_beta", "d_gamma", "dx"),
    gradients=("dx", "d_gamma", "d_beta"),
)
ZERO_GAMMA = "where a gamma is 0 (is something divided by gamma, such as (out - beta) / gamma?)"


def _batch_norm(x: Array, gamma: Array, beta: Array, /, eps: float) -> Array:
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta


def batch_norm_save(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array]:
    """x_hat and 1 / std."""
    centred = x - ops.mean(x, axis=0)
    inv_std = 1.0 / ops.sqrt(ops.mean(ops.square(centred), axis=0) + eps)
    return centred * inv_std, inv_std


def batch_norm_rule(
    g: Array, out: Array, saved: tuple[Array, Array], x: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array, Array]:
    """gamma is the same for all rows, so the two means are those of d_beta and d_gamma."""
    x_hat, inv_std = saved
    d_beta = ops.sum(g, axis=0)
    d_gamma = ops.sum(g * x_hat, axis=0)
    n = x.shape[0]
    dx = gamma * inv_std * (g - d_beta / n - x_hat * (d_gamma / n))
    return dx, d_gamma, d_beta


BATCH_NORM = _exercise(
    name="batch_norm",
    title="batch norm in one formula",
    text=TEXT.format(over="over the rows", hint="d_beta and d_gamma come first: dx can be written with them."),
    kernel=_batch_norm,
    solution={"save": batch_norm_save, "rule": batch_norm_rule},
    variant=partial(_variant, axis=0),
    mistakes={
        **EPS_MISTAKES,
        **MISTAKES,
        "axis": "wrong axis: mean and variance are taken over the rows (axis 0); over the features it is layer norm",
        "axis of the means": "wrong axis: the two means of the formula run over the rows (axis 0)",
    },
    ladder=LADDERS["batch_norm"],
    cases=_cases(0),
    edges=((ZERO_GAMMA, _zero_gamma(0)),),
)


def _layer_norm(x: Array, gamma: Array, beta: Array, /, eps: float) -> Array:
    mean, var = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def layer_norm_save(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array]:
    """x_hat and 1 / std of each row."""
    centred = x - ops.mean(x, axis=1, keepdims=True)
    inv_std = 1.0 / ops.sqrt(ops.mean(ops.square(centred), axis=1, keepdims=True) + eps)
    return centred * inv_std, inv_std


def layer_norm_rule(
    g: Array, out: Array, saved: tuple[Array, Array], x: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array, Array]:
    """gamma differs along the axis of the means, so it goes into h before they are taken."""
    x_hat, inv_std = saved
    h = g * gamma
    along = ops.mean(h * x_hat, axis=1, keepdims=True)
    dx = inv_std * (h - ops.mean(h, axis=1, keepdims=True) - x_hat * along)
    return dx, ops.sum(g * x_hat, axis=0), ops.sum(g, axis=0)


LAYER_NORM = _exercise(
    name="layer_norm",
    title="layer norm in one formula",
    text=TEXT.format(over="over the features of each row", hint="gamma now differs along the axis of the means."),
    kernel=_layer_norm,
    solution={"save": layer_norm_save, "rule": layer_norm_rule},
    variant=partial(_variant, axis=1),
    mistakes={
        **EPS_MISTAKES,
        **MISTAKES,
        "gamma late": "gamma was multiplied after the means: it differs along the features, so it belongs into h = "
        "gamma * g before they are taken (batch norm may pull it out, layer norm may not)",
        "axis": "wrong axis: mean and variance are taken over the features of each row; over the rows it is batch norm",
        "axis of the means": "wrong axis: the two means of the formula run over the features of each row (axis 1); "
        "d_beta and d_gamma are sums over the rows, so batch norm's formula (9') is not layer norm's",
        "nine prime": "this is batch norm's formula (9'), with d_beta and d_gamma in it: these are sums over the rows, "
        "and layer norm's means run over the features of each row, with gamma inside",
    },
    ladder=LADDERS["layer_norm"],
    cases=_cases(1),
    edges=((ZERO_GAMMA, _zero_gamma(1)),),
)
