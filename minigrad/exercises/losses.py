"""The exercise cross_entropy: softmax and the logarithm of the right class, whose two rules become one short line."""

from __future__ import annotations

import numpy as np

from .. import functional, ops
from .kinds import Array, Case, Exercise, Functions, case
from .ladders import LADDERS


def _cross_entropy(x: Array, /, labels: Array) -> Array:
    shifted = x - x.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -logs[np.arange(len(x)), labels].mean()


def one_hot(labels: Array, classes: int) -> Array:
    """1 at the label of each row, 0 elsewhere."""
    return np.eye(classes)[labels]


def cross_entropy_rule(g: Array, out: Array, x: Array, labels: Array) -> Array:
    """-log softmax(x)[label] has the slope softmax(x) - one_hot(label); the loss is the mean over the rows."""
    p = functional.softmax(x, axis=1)
    target = np.eye(x.shape[1])[labels]
    return g / x.shape[0] * (p - target)


def _made(left: str) -> Functions:
    """A wrong answer: g / N times something else."""

    def rule(g: Array, out: Array, x: Array, labels: Array) -> Array:
        n, classes = x.shape
        p, y = functional.softmax(x, axis=1), one_hot(labels, classes)
        right = g / n * (p - y)
        other = {
            "p alone": lambda: g / n * p,
            "y alone": lambda: -g / n * y,
            "x": lambda: g / n * (x - y),
            "exp": lambda: g / n * (ops.exp(x) - y),
            "log": lambda: g / n * (ops.log(p) - y),
            "axis": lambda: g / n * (functional.softmax(x, axis=0) - y),
            "all": lambda: g / n * (ops.exp(x) / ops.sum(ops.exp(x)) - y),
            "by p": lambda: -g / n * y / p,
            "label only": lambda: g / n * (p - y) * y,
            "classes": lambda: right * n / classes,
            "elements": lambda: right / classes,
            "sigmoid": lambda: g / n * (ops.sigmoid(x) - y),
        }
        return other[left]()

    return {"rule": rule}


def _case(seed: int, labels: list[int], classes: int) -> Case:
    fixed = np.array(labels)
    fixed.flags.writeable = False
    return case(seed, [(len(labels), classes)], (), labels=fixed)


CROSS_ENTROPY = Exercise(
    name="cross_entropy",
    title="the rule of cross-entropy with integer labels",
    text="""Forward: p = softmax(x) along each row, out = the mean over the rows of -log(p[label]); x is (N, K), labels
are N integers, out is one number.

Given g = dL/dout, one number, return dL/dx. One line is enough: put softmax's rule into the logarithm's and see what
cancels.""",
    kernel=_cross_entropy,
    solution={"rule": cross_entropy_rule},
    wrong={
        "the one-hot labels are missing: the slope is p - one_hot": _made("p alone"),
        "softmax is missing: the slope is p - one_hot, for every x of a row is in its denominator": _made("y alone"),
        "the logits stand where softmax(x) belongs": _made("x"),
        "exp(x) stands where softmax(x) belongs: it is not divided by its sum yet": _made("exp"),
        "log_softmax stands where softmax belongs": _made("log"),
        "wrong axis: softmax runs along each row (axis 1), not over the rows": _made("axis"),
        "wrong axis: softmax runs along each row (axis 1), not over everything": _made("all"),
        "this is the slope by p; softmax's own rule from p to x is still to come": _made("by p"),
        "only the label's own logit: the others are in the denominator of softmax": _made("label only"),
        "divided by the number of classes instead of the number of rows": _made("classes"),
        "divided by the number of all logits: the mean is over the rows": _made("elements"),
        "sigmoid stands where softmax belongs": _made("sigmoid"),
    },
    ladder=LADDERS["cross_entropy"],
    asks={"rule": ("g", "out", "x", "labels")},
    cases=(_case(41, [2, 0, 3, 3, 1], 4), _case(42, [1, 0, 2], 5)),
)
