"""The exercise batch_norm_staged: the backward pass of batch norm and an activation, one step after the other."""

from __future__ import annotations

import numpy as np

from .. import ops
from .fused import EPS_MISTAKES, statistics
from .kinds import Answers, Array, Exercise, case
from .ladders import LADDERS

STEPS = ("dq", "d_beta", "d_gamma", "dz_hat", "d_var", "d_mu", "dz")


def _layer(z: Array, gamma: Array, beta: Array, /, eps: float) -> Array:
    z_hat = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + eps)
    return np.tanh(gamma * z_hat + beta)


def batch_norm_staged_backward(g: Array, z: Array, gamma: Array, beta: Array, eps: float) -> Answers:
    """From the end to the beginning; each line uses those above it."""
    n = z.shape[0]
    centred = z - ops.mean(z, axis=0)
    inv_std = 1.0 / ops.sqrt(ops.mean(ops.square(centred), axis=0) + eps)
    z_hat = centred * inv_std
    q = gamma * z_hat + beta

    dq = g * (1.0 - ops.square(ops.tanh(q)))
    d_beta = ops.sum(dq, axis=0)
    d_gamma = ops.sum(dq * z_hat, axis=0)
    dz_hat = dq * gamma
    d_var = -0.5 * ops.sum(dz_hat * centred, axis=0) * inv_std**3
    d_mu = -ops.sum(dz_hat, axis=0) * inv_std
    dz = dz_hat * inv_std + d_var * (2.0 / n) * centred + d_mu / n
    return {
        "dq": dq,
        "d_beta": d_beta,
        "d_gamma": d_gamma,
        "dz_hat": dz_hat,
        "d_var": d_var,
        "d_mu": d_mu,
        "dz": dz,
    }


def _variant(wrong: frozenset[str], g: Array, z: Array, gamma: Array, beta: Array, eps: float) -> Answers:
    n = len(z)
    centred, (inv_std,) = statistics(wrong, z, eps, axis=0)
    z_hat = centred * inv_std
    q = gamma * z_hat + beta
    inner = z if "f'(z)" in wrong else z_hat if "f'(z_hat)" in wrong else q
    dq = g if "no f'" in wrong else g * (1.0 - (inner if "no tanh" in wrong else np.tanh(inner)) ** 2)
    d_gamma = (dq * (z if "z for z_hat" in wrong else centred if "centred for z_hat" in wrong else z_hat)).sum(axis=0)
    dz_hat = dq if "gamma" in wrong else dq * gamma
    power = 2 if "power" in wrong else 1 if "power 1" in wrong else 3
    half = 1.0 if "half" in wrong else 0.5
    sign = 1.0 if "sign of d_var" in wrong else -1.0
    d_var = sign * half * (dz_hat * (z if "d_var of z" in wrong else centred)).sum(axis=0) * inv_std**power
    d_mu = dz_hat.sum(axis=0) * (1.0 if "sign of d_mu" in wrong else -1.0)
    d_mu = d_mu if "inv_std in d_mu" in wrong else d_mu * inv_std
    direct = dz_hat if "inv_std in dz" in wrong else dz_hat * inv_std
    by_var = (
        d_var
        * (1.0 if "2 and 1/N" in wrong else 2.0 if "2/N" in wrong else 1.0 / n if "two" in wrong else 2.0 / n)
        * centred
    )
    by_mu = d_mu if "1/N" in wrong else d_mu / n
    dz = direct + (0.0 if "var path" in wrong else by_var) + (0.0 if "mean path" in wrong else by_mu)
    d_beta = dq.mean(axis=0) if "mean for sum" in wrong else dq.sum(axis=0)
    return dict(zip(STEPS, (dq, d_beta, d_gamma, dz_hat, d_var, d_mu, dz), strict=True))


BATCH_NORM_STAGED = Exercise(
    name="batch_norm_staged",
    title="batch norm and an activation, backwards step by step",
    text="""Forward, z of shape (N, D), gamma and beta of shape (D,), everything per column:

    mu    = mean(z)                     var = mean((z - mu)**2)
    z_hat = (z - mu) / sqrt(var + eps)
    q     = gamma * z_hat + beta
    a     = tanh(q)

Given g = dL/da, return the gradients of q, beta, gamma, z_hat, var, mu and z, in a dict with the names below. Compute
what you need of the forward pass again. d_mu is what arrives at mu from z_hat (var sends it nothing: why?).""",
    kernel=_layer,
    inputs=("z", "gamma", "beta"),
    asks={"backward": ("g", "z", "gamma", "beta", "eps")},
    steps=STEPS,
    gradients=("dz", "d_gamma", "d_beta"),
    solution={"backward": batch_norm_staged_backward},
    variant=_variant,
    mistakes={
        "f'(z)": "f'(z) stands where f'(q) belongs: tanh was applied to q, so its slope is taken at q",
        "f'(z_hat)": "f'(z_hat) stands where f'(q) belongs: gamma and beta come before tanh",
        "no f'": "the slope of tanh is missing: g arrives at a, and dq = g * (1 - tanh(q)**2)",
        "no tanh": "the slope of tanh is 1 - tanh(q)**2, not 1 - q**2",
        **EPS_MISTAKES,
        "unbiased": "the variance was divided by N - 1; batch norm normalizes with the biased one",
        "mean for sum": "a mean stands where the sum belongs: beta is added to every row, so every row sends its share",
        "z for z_hat": "z stands where z_hat belongs: gamma is multiplied with z_hat",
        "centred for z_hat": "z - mu stands where z_hat belongs: it is not divided by the standard deviation yet",
        "gamma": "gamma is missing: q = gamma * z_hat + beta, so dz_hat = dq * gamma",
        "half": "the 1/2 of the root is missing: (var + eps)**(-1/2) has the slope -1/2 (var + eps)**(-3/2)",
        "power": "the power is wrong: (var + eps)**(-3/2) is inv_std**3",
        "power 1": "the power is wrong: (var + eps)**(-3/2) is inv_std**3",
        "sign of d_var": "the minus is missing: a larger variance makes z_hat smaller",
        "d_var of z": "z stands where z - mu belongs: z_hat = (z - mu) * inv_std",
        "sign of d_mu": "the minus is missing: mu is subtracted",
        "inv_std in d_mu": "inv_std is missing: z_hat = (z - mu) * inv_std, also for its slope in mu",
        "inv_std in dz": "inv_std is missing in the direct path from z_hat",
        "mean path": "the path through the mean is dropped: + d_mu / N",
        "var path": "the path through the variance is dropped: + d_var * 2/N * (z - mu)",
        "1/N": "1/N is missing in the path through the mean: mu = sum(z) / N",
        "2/N": "1/N is missing in the path through the variance: var is a mean over N rows",
        "2 and 1/N": "2/N is missing in the path through the variance: the slope of var is 2/N * (z - mu)",
        "two": "the 2 is missing in the path through the variance: the slope of (z - mu)**2",
    },
    ladder=LADDERS["batch_norm_staged"],
    cases=(
        case(11, [(5, 3), (3,), (3,)], (5, 3), eps=0.1),
        case(12, [(4, 2), (2,), (2,)], (4, 2), eps=0.05),
    ),
    in_order=True,
    shape_of={"dq": "z", "dz_hat": "z", "d_var": "gamma", "d_mu": "gamma"},
)
