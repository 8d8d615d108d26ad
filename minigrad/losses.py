"""Losses: scalars to minimise. Both cross-entropies of scores stand here twice, fused and composed, as batch norm does.

`reduction` is "mean" over everything that has a loss of its own, "sum", or "none". Predictions and targets must
have one shape: broadcasting (N, 1) against (N,) would silently compare everything with everything.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._support.arrays import in_floats, plain
from ._support.shapes import Ints
from ._support.signatures import Array, Data, Value, several, unary
from .core.context import scope
from .core.nodes import Node, callback, fused_primitive, raw
from .functional import floats, log_softmax, named
from .ops import abs, clip, exp, getitem, log, mean, mul, reshape, sigmoid, softplus, square, sub, where
from .ops import sum as sum_


def _reduced(each: Value, reduction: str, shape: Ints | None = None) -> Value:
    """What all losses end in; `shape` is that of the labels, where those of rows were flattened."""
    if reduction == "mean":
        return mean(each)
    if reduction == "sum":
        return sum_(each)
    if reduction == "none":
        return each if shape is None else reshape(each, shape)
    raise ValueError(f"reduction={reduction!r} must be 'mean', 'sum' or 'none'")


# --------------------------------------------------------------------------------------------------------------
# Many classes: softmax cross-entropy, composed and fused


def _rows(who: str, scores: Value, labels: Data) -> tuple[Value, Array, Ints]:
    """Scores as floats (rows, classes), a label for each row as an integer, and the shape of the labels; checked."""
    scores, given = floats(who, scores), plain(labels)
    shape = scores.shape
    if not shape:
        raise ValueError(f"{who}: expected scores of shape (..., classes), got a single number")
    if given.shape == shape and shape[-1] > 1:
        raise ValueError(f"{who}: labels of shape {shape} look one-hot; pass class numbers, labels.argmax(axis=-1)")
    if given.dtype.kind not in "iu":
        hint = "; pass labels.astype(int)" if given.dtype.kind == "f" else ""
        raise TypeError(f"{who}: labels are class numbers and must be integers, got dtype {given.dtype}{hint}")
    if given.shape != shape[:-1]:
        raise ValueError(
            f"{who}: scores have shape {shape}, so labels must have shape {shape[:-1]}, got {given.shape}"
            + ("; flatten them with labels.ravel()" if given.size == np.prod(shape[:-1]) else "")
        )
    if not given.size:
        raise ValueError(f"{who}: no rows: scores have shape {shape}")
    flat = callback(_class_numbers, who, labels if isinstance(labels, Node) else given, shape[-1])
    return scores if len(shape) == 2 else reshape(scores, (-1, shape[-1])), flat, given.shape


def _class_numbers(who: str, labels: Data, classes: int) -> Array:
    labels = plain(labels)
    numbers = labels.astype(np.intp).ravel()
    if np.maximum.reduce(numbers.view(np.uintp), axis=None) >= classes:  # without a sign, a negative one is very large
        wrong = labels[(labels < 0) | (labels >= classes)].flat[0]
        hint = "; pass labels - 1" if labels.min() == 1 and labels.max() == classes else ""
        raise ValueError(f"{who}: label {wrong} is not one of the {classes} classes 0 to {classes - 1}{hint}")
    return numbers


@scope("nll_loss")
@unary
@in_floats
def nll_loss(log_probabilities: Value, labels: Data, *, reduction: str = "mean") -> Value:
    """Mean of -log_probabilities[label]: what is left of cross-entropy after log_softmax.

    log_probabilities: (..., classes); labels: integers of shape (...).
    """
    rows, flat, shape = _rows("nll_loss", log_probabilities, labels)
    return _reduced(-getitem(rows, (np.arange(len(flat)), flat)), reduction, shape)


@scope("cross_entropy_composed")
@unary
@in_floats
def cross_entropy_composed(logits: Value, labels: Data, *, reduction: str = "mean") -> Value:
    """The same as `cross_entropy`, as a graph of primitives: log_softmax, then the entries at the labels."""
    rows, flat, shape = _rows("cross_entropy_composed", logits, labels)
    return _reduced(-getitem(log_softmax(rows), (np.arange(len(flat)), flat)), reduction, shape)


def _save(logits: Value, *, labels: Any) -> tuple[Value]:
    return (named(log_softmax(logits), "log_p"),)


@fused_primitive(save=_save, formula="-log_softmax(logits)[labels]", local=("g * (softmax(logits) - one_hot(labels))",))
def softmax_cross_entropy(logits: Value, /, *, saved: Any, labels: Any) -> Value:
    """-log softmax(logits) at the label of each row, as one node. logits: (rows, classes), labels: (rows,).

        d(loss_i)/d(logits_ij) = softmax(logits)_ij - [j is the label of row i]

    for log(sum(exp(x))) has the slope softmax(x), and x at the label the slope 1. Never a ratio of small numbers:
    the composed form divides by the probability that the logarithm undoes.
    """
    return -saved[0][np.arange(len(labels)), labels]


def _softmax_cross_entropy_rule(g: Value, out: Value, saved: Any, logits: Value, *, labels: Any) -> tuple[Value]:
    (log_p,) = saved
    return (reshape(g, (-1, 1)) * (exp(log_p) - callback(_one_hot, labels, log_p.shape[1], log_p.dtype)),)


def _one_hot(labels: Array, classes: int, dtype: Any) -> Array:
    hit = np.zeros((len(labels), classes), dtype)
    hit[np.arange(len(labels)), labels] = 1.0
    return hit


softmax_cross_entropy.defvjp_joint(_softmax_cross_entropy_rule)


@unary
@in_floats
def cross_entropy(logits: Value, labels: Data, *, reduction: str = "mean") -> Value:
    """Mean of -log softmax(logits)[label]: softmax cross-entropy of unnormalized scores, fused into one node.

    logits: (..., classes), any real numbers; labels: integers of shape (...). In nats; ln(classes) for equal
    logits. ValueError for labels out of range or of the wrong shape.

    >>> float(cross_entropy(np.zeros((2, 10)), [3, 7]).round(6))
    2.302585
    """
    rows, flat, shape = _rows("cross_entropy", logits, labels)
    return _reduced(softmax_cross_entropy(rows, labels=flat), reduction, shape)


# --------------------------------------------------------------------------------------------------------------
# Two classes


def _slope(z: Value, t: Value) -> tuple[Value]:
    return (named((1.0 - t) * sigmoid(z) - t * sigmoid(-z), "slope"),)


@fused_primitive(
    save=_slope,
    formula="-t*log(sigmoid(z)) - (1 - t)*log(sigmoid(-z))",
    local=("g * ((1 - t)*sigmoid(z) - t*sigmoid(-z))", "-g*z"),
)
def sigmoid_cross_entropy(z: Value, t: Value, /, *, saved: Any) -> Value:
    """-t log s - (1 - t) log(1 - s) with s = sigmoid(z), each element for itself, as one node. z, t: one shape.

        log(1 + exp(z)) - t z = z ([z > 0] - t) + log(1 + exp(-|z|))
        d/dz = s - t = (1 - t) sigmoid(z) - t sigmoid(-z),    d/dt = -z

    Neither form subtracts numbers that are nearly equal where t is 0 or 1: digits survive far from zero. The kinks
    of the two terms at z = 0 cancel, and the rule knows of none.
    """
    return z * (np.greater(z, 0) - t) + np.log1p(np.exp(-np.abs(z)))


def _sigmoid_cross_entropy_rule(g: Value, out: Value, saved: Any, z: Value, t: Value) -> tuple[Value, Value]:
    (slope,) = saved
    return g * slope, -(g * z)


sigmoid_cross_entropy.defvjp_joint(_sigmoid_cross_entropy_rule)


@several
@in_floats
def binary_cross_entropy_with_logits(logits: Value, targets: Data, *, reduction: str = "mean") -> Value:
    """Mean of -t log s - (1 - t) log(1 - s) with s = sigmoid(logits), fused into one node.

    targets: probabilities 0 .. 1 of the shape of logits. Smooth and finite for every finite logit.

    >>> float(binary_cross_entropy_with_logits(np.zeros(4), np.array([0.0, 1.0, 1.0, 0.0])).round(6))
    0.693147
    """
    z, t = _with_targets("binary_cross_entropy_with_logits", logits, targets)
    return _reduced(sigmoid_cross_entropy(z, t), reduction)


@scope("binary_cross_entropy_with_logits_composed")
@several
@in_floats
def binary_cross_entropy_with_logits_composed(logits: Value, targets: Data, *, reduction: str = "mean") -> Value:
    """The same as `binary_cross_entropy_with_logits`, as a graph: t softplus(-z) + (1 - t) softplus(z).

    (The usual max(z, 0) - z t + log(1 + exp(-|z|)) has two kinks at z = 0 that cancel in the value but not in the
    slopes that a graph of primitives gives them.)
    """
    z, t = _with_targets("binary_cross_entropy_with_logits_composed", logits, targets)
    return _reduced(mul(t, softplus(-z)) + mul(sub(1.0, t), softplus(z)), reduction)


@scope("binary_cross_entropy")
@several
@in_floats
def binary_cross_entropy(probabilities: Value, targets: Data, *, eps: float = 1e-7, reduction: str = "mean") -> Value:
    """Mean of -t log p - (1 - t) log(1 - p), p limited to eps .. 1 - eps, as Keras has it.

    Where p is at its limit the gradient ends: prefer `binary_cross_entropy_with_logits`, which has no limit.

    >>> float(binary_cross_entropy(np.array([0.5]), np.array([1.0])).round(6))
    0.693147
    """
    p, t = _with_targets("binary_cross_entropy", probabilities, targets)
    callback(_in_range, "binary_cross_entropy", "probabilities", p)
    p = clip(p, low=eps, high=1.0 - eps)
    return _reduced(-(mul(t, log(p)) + mul(sub(1.0, t), log(sub(1.0, p)))), reduction)


def _with_targets(who: str, x: Value, targets: Value) -> tuple[Value, Value]:
    """Both as floats of one shape, the targets in 0 .. 1."""
    x, t = _pair(who, x, targets)
    callback(_in_range, who, "targets", t)
    return x, t


def _in_range(who: str, what: str, x: Value) -> None:
    values = raw(x)
    if np.minimum.reduce(values, axis=None) >= 0 and np.maximum.reduce(values, axis=None) <= 1:
        return
    if ((values < 0) | (values > 1)).any():  # NaN alone is no reason
        hint = "; of any scores: binary_cross_entropy_with_logits" if what == "probabilities" else ""
        hint = "; pass (targets + 1) / 2" if what == "targets" and set(np.unique(values)) == {-1.0, 1.0} else hint
        raise ValueError(f"{who}: {what} must lie in 0 .. 1, got values from {values.min()} to {values.max()}{hint}")


# --------------------------------------------------------------------------------------------------------------
# Distances


@scope("mse_loss")
@several
@in_floats
def mse_loss(prediction: Value, target: Data, *, reduction: str = "mean") -> Value:
    """Mean of (prediction - target)**2.

    >>> float(mse_loss(np.array([1.0, 3.0]), np.array([1.0, 1.0])))
    2.0
    """
    return _reduced(square(sub(*_pair("mse_loss", prediction, target))), reduction)


@scope("l1_loss")
@several
@in_floats
def l1_loss(prediction: Value, target: Data, *, reduction: str = "mean") -> Value:
    """Mean of |prediction - target|; slope 0 where they are equal."""
    return _reduced(abs(sub(*_pair("l1_loss", prediction, target))), reduction)


@scope("huber_loss")
@several
@in_floats
def huber_loss(prediction: Value, target: Data, *, delta: float = 1.0, reduction: str = "mean") -> Value:
    """Mean of d**2 / 2 where |d| <= delta, delta * (|d| - delta / 2) beyond, with d = prediction - target.

    >>> huber_loss(np.array([0.5, 3.0]), np.zeros(2), reduction="none")
    array([0.125, 2.5  ])
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta={delta!r} must be positive")
    d = sub(*_pair("huber_loss", prediction, target))
    size = abs(d)
    near = callback(np.less_equal, raw(size), delta)
    return _reduced(where(near, 0.5 * square(d), delta * (size - 0.5 * delta)), reduction)


def _pair(who: str, prediction: Value, target: Value) -> tuple[Value, Value]:
    """Both as floats of one shape."""
    target = target if isinstance(target, Node) else plain(target)
    a, b = floats(who, prediction), floats(who, target)
    shapes = raw(a).shape, raw(b).shape
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{who}: prediction has shape {shapes[0]} and target {shapes[1]}; they must be equal (reshape one of them: "
            "broadcasting would compare every prediction with every target)"
        )
    if not raw(a).size:
        raise ValueError(f"{who}: nothing to compare, both have shape {shapes[0]}")
    # integer targets take the prediction's dtype, so that float32 predictions keep float32 losses
    return a, b if raw(target).dtype.kind == "f" else b.astype(raw(a).dtype)
