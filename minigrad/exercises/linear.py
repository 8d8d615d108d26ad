"""The exercises mean, broadcasting and matmul: rules that are linear in each input, and what shapes ask of them."""

from __future__ import annotations

import numpy as np

from .. import ops
from .kinds import Array, Exercise, case
from .ladders import LADDERS


def _mean(x: Array, /) -> Array:
    return np.mean(x, axis=0)


def mean_rule(g: Array, out: Array, x: Array) -> Array:
    """Each element of x is 1/N of the mean of its column, so it receives 1/N of what arrives there."""
    return ops.broadcast_to(g / x.shape[0], x.shape)


MEAN = Exercise(
    name="mean",
    title="the rule of the mean over the rows",
    text="""Forward: out = the sum of x over the rows, divided by N; x is (N, D), out is (D,).

Given g = dL/dout, of shape (D,), return dL/dx, of shape (N, D). Every row of x goes into out in the same way.""",
    kernel=_mean,
    solution={"rule": mean_rule},
    wrong={
        "wrong axis: divided by the number of columns instead of the number of rows": {
            "rule": lambda g, out, x: ops.broadcast_to(g / x.shape[1], x.shape)
        },
        "divided by the number of all elements: each mean is over one column, of N elements": {
            "rule": lambda g, out, x: ops.broadcast_to(g / x.size, x.shape)
        },
        "g is averaged over the columns: each column has its own mean, and its own g": {
            "rule": lambda g, out, x: ops.broadcast_to(ops.mean(g) / x.shape[0], x.shape)
        },
        "g is summed over the columns: each column has its own mean, and its own g": {
            "rule": lambda g, out, x: ops.broadcast_to(ops.sum(g) / x.shape[0], x.shape)
        },
    },
    ladder=LADDERS["mean"],
    cases=(case(31, [(5, 3)], (3,)), case(32, [(4, 2)], (2,))),
    sums=False,
)


def _product(x: Array, w: Array, /) -> Array:
    return x * w


def broadcasting_rule(g: Array, out: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """w stands in every row, so what each row sends back to it is added."""
    dx = g * w
    dw = ops.sum(g * x, axis=0)
    return dx, dw


BROADCASTING = Exercise(
    name="broadcasting",
    title="the rule of a product that is broadcast",
    text="""Forward: out = x * w; x is (N, D), and w is (D,): NumPy puts it into every row.

Given g = dL/dout, of shape (N, D), return dL/dx and dL/dw, each of the shape of its input.""",
    kernel=_product,
    solution={"rule": broadcasting_rule},
    wrong={
        "the sum of a product is not the product of the sums: multiply g and x row by row, then add the rows": {
            "rule": lambda g, out, x, w: (g * w, ops.sum(g, axis=0) * ops.sum(x, axis=0))
        },
        "x is averaged before it meets g: multiply g and x row by row, then add the rows": {
            "rule": lambda g, out, x, w: (g * w, ops.sum(g, axis=0) * ops.mean(x, axis=0))
        },
        "out stands where x belongs: the slope of x * w by w is x": {
            "rule": lambda g, out, x, w: (g * w, ops.sum(g * out, axis=0))
        },
        "out stands where w belongs: the slope of x * w by x is w": {
            "rule": lambda g, out, x, w: (g * out, ops.sum(g * x, axis=0))
        },
    },
    ladder=LADDERS["broadcasting"],
    inputs=("x", "w"),
    asks={"rule": ("g", "out", "x", "w")},
    steps=("dx", "dw"),
    gradients=("dx", "dw"),
    cases=(case(33, [(5, 3), (3,)], (5, 3)), case(34, [(4, 2), (2,)], (4, 2))),
    sums=False,
)


def _matmul(x: Array, w: Array, /) -> Array:
    return x @ w


def matmul_rule(g: Array, out: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """out_nm = sum_k x_nk w_km: the index that is not asked for is summed."""
    dx = ops.matmul(g, w.T)
    dw = ops.matmul(x.T, g)
    return dx, dw


MATMUL = Exercise(
    name="matmul",
    title="the rule of a matrix product",
    text="""Forward: out = x @ w; x is (N, D), w is (D, D), out is (N, D): out_nm = the sum over k of x_nk w_km.

Given g = dL/dout, of shape (N, D), return dL/dx and dL/dw. w is square here, so that the shapes do not tell you which
of w and w.T belongs there: the sum does.""",
    kernel=_matmul,
    solution={"rule": matmul_rule},
    wrong={
        "this is the transpose: dw_km sums x_nk g_nm over the rows n, which is x.T @ g": {
            "rule": lambda g, out, x, w: (ops.matmul(g, w.T), ops.matmul(g.T, x))
        },
        "out stands where x belongs: the slope of x @ w by w is made of x": {
            "rule": lambda g, out, x, w: (ops.matmul(g, w.T), ops.matmul(out.T, g))
        },
        "element by element: each x_nk acts on a whole row of out, so dx is a product of matrices too": {
            "rule": lambda g, out, x, w: (g * ops.sum(w, axis=1), ops.matmul(x.T, g))
        },
    },
    ladder=LADDERS["matmul"],
    inputs=("x", "w"),
    asks={"rule": ("g", "out", "x", "w")},
    steps=("dx", "dw"),
    gradients=("dx", "dw"),
    cases=(case(35, [(5, 3), (3, 3)], (5, 3)), case(36, [(3, 4), (4, 4)], (3, 4))),
)
