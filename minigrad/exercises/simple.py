"""The exercises sqrt, var and softmax: one input, one rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional, ops
from .kinds import Answers, Array, Case, Exercise, case
from .ladders import LADDERS


def _sqrt(x: Array, /) -> Array:
    return np.sqrt(x)


def sqrt_rule(g: Array, out: Array, x: Array) -> Array:
    """out^2 = x, so 2 out d_out = dx."""
    return g / (2.0 * out)


def _sqrt_variant(wrong: frozenset[str], g: Array, x: Array) -> Answers:
    below = x if "root" in wrong else np.sqrt(x)
    factor = 1.0 if "half" in wrong else 2.0
    if "square" in wrong:
        return {"dx": g * factor * x}
    if "power" in wrong:
        return {"dx": g * 0.5 * np.sqrt(x)}
    return {"dx": g * (factor * below if "upside down" in wrong else 1.0 / (factor * below))}


def _positive(seed: int, shape: tuple[int, ...]) -> Case:
    made = case(seed, [shape], shape)
    return Case((np.abs(made.inputs[0]) + 0.3,), {}, made.cotangent)


SQRT = Exercise(
    name="sqrt",
    title="the rule of the square root",
    text="""Forward: out = sqrt(x), element by element.

Given g = dL/dout, return dL/dx. You may use x, and out, which is there already.""",
    kernel=_sqrt,
    solution={"rule": sqrt_rule},
    variant=_sqrt_variant,
    mistakes={
        "half": "the 1/2 is missing: the slope of sqrt is 1 / (2 sqrt(x))",
        "root": "x stands where its root belongs: the slope is 1 / (2 out), and out is sqrt(x)",
        "upside down": "upside down: this is dx/dout; the slope of out by x is one over it",
        "square": "this is the rule of x**2, not of its inverse",
        "power": "the power is wrong: the slope of x**0.5 is 0.5 * x**-0.5, one power less",
    },
    ladder=LADDERS["sqrt"],
    cases=(_positive(1, (4,)), _positive(2, (2, 3))),
)


def _var(x: Array, /) -> Array:
    return np.var(x, axis=0)


def var_rule(g: Array, out: Array, x: Array) -> Array:
    """2/N (x - mean): the path through the mean drops out, because sum(x - mean) = 0."""
    return g * (2.0 / x.shape[0]) * (x - ops.mean(x, axis=0))


def _var_variant(wrong: frozenset[str], g: Array, x: Array) -> Answers:
    n, d = x.shape
    over = 1.0 if "1/N" in wrong else d if "count" in wrong else n - 1 if "unbiased" in wrong else n
    mean = x.mean(axis=1, keepdims=True) if "axis" in wrong else x.mean() if "all" in wrong else x.mean(axis=0)
    centred = x if "mean" in wrong else x - mean
    return {"dx": g * ((1.0 if "two" in wrong else 2.0) / over) * centred}


VAR = Exercise(
    name="var",
    title="the rule of the variance",
    text="""Forward: out = mean of (x - mu)**2 over the rows, and mu = mean of x likewise; x is (N, D), out is (D,).

Given g = dL/dout, of shape (D,), return dL/dx. x acts on out directly and through mu: what becomes of the second
path?""",
    kernel=_var,
    solution={"rule": var_rule},
    variant=_var_variant,
    mistakes={
        "1/N": "1/N is missing: the variance is a mean over N rows",
        "two": "the 2 is missing: the slope of (x - mu)**2 is 2 (x - mu)",
        "mean": "the mean is not subtracted: the slope is that of (x - mu)**2, not of x**2",
        "axis": "wrong axis: the mean was taken over the columns, but the variance is over the rows (axis 0)",
        "all": "wrong axis: the mean was taken over everything; each column has its own",
        "count": "wrong axis: divided by the number of columns instead of the number of rows",
        "unbiased": "divided by N - 1: this variance is the biased one, a plain mean over N",
    },
    ladder=LADDERS["var"],
    cases=(case(3, [(5, 3)], (3,)), case(4, [(4, 2)], (2,))),
)


def _softmax(x: Array, /) -> Array:
    return functional.softmax(x, axis=-1)


def softmax_rule(g: Array, out: Array, x: Array) -> Array:
    """d out_i / d x_j = out_i (delta_ij - out_j): the direct part, less what all of the row share."""
    shared = ops.sum(g * out, axis=-1, keepdims=True)
    return out * (g - shared)


def _softmax_variant(wrong: frozenset[str], g: Array, x: Array) -> Answers:
    out: Any = _softmax(x)
    left = x if "x for out" in wrong else out
    weighted = g if "unweighted" in wrong else g * left
    axis = 0 if "axis" in wrong else None if "all" in wrong else -1
    shared = weighted.mean(axis=axis, keepdims=True) if "mean" in wrong else weighted.sum(axis=axis, keepdims=True)
    if "diagonal" in wrong:
        return {"dx": g * left * (1.0 - left)}
    if "log" in wrong:
        return {"dx": g - out * g.sum(axis=-1, keepdims=True)}
    inner = g if "shared" in wrong else g + shared if "sign" in wrong else g - shared
    return {"dx": inner if "factor" in wrong else left * inner}


SOFTMAX = Exercise(
    name="softmax",
    title="the rule of softmax",
    text="""Forward: out = exp(x) / sum(exp(x)) along the last axis; x and out are (N, K).

Given g = dL/dout, return dL/dx. Every x of a row acts on every out of that row. You may use out, which is there
already, and will not need x.""",
    kernel=_softmax,
    solution={"rule": softmax_rule},
    variant=_softmax_variant,
    mistakes={
        "diagonal": "only the diagonal, out (1 - out), which is sigmoid's rule: x_j also acts on the other out_i",
        "shared": "the sum is missing: the denominator depends on every x of the row",
        "unweighted": "the sum must be of g * out, not of g: each out_i carries its own share",
        "axis": "wrong axis: the sum runs over the last axis (a row sums to one), not over the rows",
        "all": "wrong axis: the sum runs over the last axis only, not over everything",
        "mean": "a mean stands where the sum belongs: nothing is divided by K",
        "sign": "the sum is added, and must be subtracted",
        "factor": "the factor out in front is missing",
        "log": "this is the rule of log_softmax",
        "x for out": "x stands where out belongs: the slope of softmax is written with its result",
    },
    ladder=LADDERS["softmax"],
    cases=(case(5, [(2, 4)], (2, 4)), case(6, [(3, 5)], (3, 5))),
)
