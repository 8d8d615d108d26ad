"""The exercise rms_norm: layer norm without the mean, whose rule has one projection less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import ops
from .fused import LAYER_NORM, MISTAKES
from .kinds import Answers, Array
from .ladders import LADDERS


def _rms_norm(x: Array, gamma: Array, /, eps: float) -> Array:
    return gamma * x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + eps)


def rms_norm_save(x: Array, gamma: Array, eps: float) -> tuple[Array, Array]:
    """x_hat and 1 / rms of each row."""
    inv_rms = 1.0 / ops.sqrt(ops.mean(ops.square(x), axis=1, keepdims=True) + eps)
    return x * inv_rms, inv_rms


def rms_norm_rule(
    g: Array, out: Array, saved: tuple[Array, Array], x: Array, gamma: Array, eps: float
) -> tuple[Array, Array]:
    """h without its part along x_hat; nothing was centred, so no mean of h is taken away."""
    x_hat, inv_rms = saved
    h = g * gamma
    along = ops.mean(h * x_hat, axis=1, keepdims=True)
    dx = inv_rms * (h - x_hat * along)
    d_gamma = ops.sum(g * x_hat, axis=0)
    return dx, d_gamma


def _variant(wrong: frozenset[str], g: Array, x: Array, gamma: Array, eps: float) -> Answers:
    axis = 0 if "axis" in wrong else 1
    centred = x - x.mean(axis=1, keepdims=True) if "centred" in wrong else x
    square = x.var(axis=1, keepdims=True) if "var" in wrong else (centred**2).mean(axis=axis, keepdims=True)
    if "eps outside" in wrong:
        inv_rms = 1.0 / (np.sqrt(square) + eps)
    else:
        inv_rms = 1.0 / np.sqrt(square - eps if "eps minus" in wrong else square if "no eps" in wrong else square + eps)
    x_hat = centred * inv_rms
    late = "gamma late" in wrong
    h = g if "gamma" in wrong or late else g * gamma
    part = np.sum if "1/N" in wrong else np.mean
    means = 0 if "axis" in wrong or "axis of the mean" in wrong else 1
    factor = 1.0 if "x_hat" in wrong else x_hat
    along = 0.0 if "projection" in wrong else factor * part(h * x_hat, axis=means, keepdims=True)
    dx = h + along if "sign" in wrong else h - along
    dx = dx - h.mean(axis=1, keepdims=True) if "mean of h" in wrong else dx
    dx = (dx if "inv_rms" in wrong else inv_rms * dx) * (gamma if late else 1.0)
    d_gamma = g * (x if "x for x_hat" in wrong else x_hat) * (gamma if "gamma in d_gamma" in wrong else 1.0)
    return {"d_gamma": (np.mean if "mean for sum" in wrong else np.sum)(d_gamma, axis=0), "dx": dx}


RMS_NORM = replace(
    LAYER_NORM,
    name="rms_norm",
    title="RMS norm in one formula",
    text="""Forward, x of shape (N, D), gamma of shape (D,), the mean of squares over the features of each row:

    x_hat = x / sqrt(mean(x**2) + eps)            y = gamma * x_hat

Write two functions. `save` returns what backward reuses (a tuple of your choice, such as x_hat and inv_rms), `rule`
returns dL/dx and dL/dgamma for g = dL/dy. Use minigrad's functions (mg.mean, mg.sqrt, ...): at second order both run
again on Tensors. What is left of layer norm's rule when no mean is subtracted?""",
    kernel=_rms_norm,
    solution={"save": rms_norm_save, "rule": rms_norm_rule},
    variant=_variant,
    mistakes={
        "eps minus": "mean(x**2) - eps stands where mean(x**2) + eps belongs",
        "no eps": "eps is missing under the root",
        "eps outside": "eps was added to the root; it stands under it: sqrt(mean(x**2) + eps)",
        "centred": "the mean is subtracted, which is layer norm: RMS norm divides x as it is",
        "var": "the variance stands where mean(x**2) belongs: RMS norm subtracts no mean",
        "mean of h": "mean(h) is subtracted, as in layer norm: no mean was taken away in forward, so none is here",
        "gamma": MISTAKES["gamma"],
        "projection": "the path through the mean of squares is dropped: - x_hat * mean(h * x_hat), with h = gamma * g",
        "1/N": "1/N is missing: a sum stands where a mean belongs",
        "sign": "the projection is added, and must be subtracted: - x_hat * mean(h * x_hat)",
        "inv_rms": "inv_rms in front is missing",
        "x_hat": "the path through the mean of squares lacks a factor x_hat: x_hat * mean(h * x_hat)",
        "x for x_hat": MISTAKES["x for x_hat"],
        "gamma in d_gamma": MISTAKES["gamma in d_gamma"],
        "mean for sum": MISTAKES["mean for sum"],
        "gamma late": "gamma was multiplied after the mean: it differs along the features, so it belongs into h = "
        "gamma * g before the mean is taken",
        "axis": "wrong axis: the mean of squares is over the features of each row (axis 1), not over the rows",
        "axis of the mean": "wrong axis: the mean of h * x_hat runs over the features of each row (axis 1)",
    },
    ladder=LADDERS["rms_norm"],
    inputs=("x", "gamma"),
    asks={"save": ("x", "gamma", "eps"), "rule": ("g", "out", "saved", "x", "gamma", "eps")},
    steps=("d_gamma", "dx"),
    gradients=("dx", "d_gamma"),
    cases=tuple(replace(c, inputs=c.inputs[:2]) for c in LAYER_NORM.cases),
    edges=tuple((words, replace(c, inputs=c.inputs[:2])) for words, c in LAYER_NORM.edges),
)
