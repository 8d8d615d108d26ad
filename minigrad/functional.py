"""Composites: functions made of primitives, with no rule of their own. Knows ops and Tensors; no modules.

All are transparent: arrays in, array out; any Tensor in, Tensor out.
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from ._support.arrays import in_floats, plain
from ._support.randomness import Source, generator
from ._support.signatures import Array, ArrayLike, Data, Value, Values, unary
from .core.context import scope
from .core.nodes import Node, callback, raw
from .core.tensor import Tensor
from .ops import add, exp, log, matmul, mul, sub
from .ops import sum as sum_


@scope("log_softmax")
@unary
@in_floats
def log_softmax(x: Value, axis: int = -1) -> Value:
    """log(exp(x) / sum(exp(x))) along `axis`, as a graph.

    The largest element is subtracted first: nothing overflows, and digits survive far from zero. It enters as a
    constant, for the result does not change when x is shifted. A row of -inf has no softmax: NaN.

    >>> log_softmax(np.array([1000.0, 1000.0])).round(4)
    array([-0.6931, -0.6931])
    """
    x = floats("log_softmax", x)
    largest = callback(_largest, x, axis) if isinstance(x, Node) else _largest(x, axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        shifted = sub(x, largest)
        return sub(shifted, log(sum_(exp(shifted), axis=axis, keepdims=True)))


def _largest(x: Value, axis: int) -> Array:
    values = raw(x)
    top: Array = np.maximum.reduce(values, axis=axis, keepdims=True, initial=-np.inf)
    finite = np.isfinite(top)
    return top if finite.all() else np.where(finite, top, values.dtype.type(0))


@scope("softmax")
@unary
@in_floats
def softmax(x: Value, axis: int = -1) -> Value:
    """exp(x) / sum(exp(x)) along `axis`, as a graph; sums to 1, also for logits that would overflow.

    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    return exp(log_softmax(x, axis))


@overload
def linear(x: Node, weight: Data, bias: Values = None) -> Tensor: ...
@overload
def linear(x: ArrayLike, weight: Node, bias: Values = None) -> Tensor: ...
@overload
def linear(x: ArrayLike, weight: ArrayLike, bias: Node) -> Tensor: ...
@overload
def linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array: ...
def linear(x: Data, weight: Data, bias: Values = None) -> Tensor | Array:
    """x @ weight + bias. x: (..., inputs), weight: (inputs, outputs), bias: (outputs,) or None.

    `weight` is laid out as in the formula, as Keras and cs231n have it; PyTorch keeps its transpose.

    >>> linear(np.ones((1, 2)), np.ones((2, 3)), np.arange(3.0))
    array([[2., 3., 4.]])
    """
    given = x._array.shape if isinstance(x, Node) else np.shape(x)
    wanted = weight._array.shape if isinstance(weight, Node) else np.shape(weight)
    if len(wanted) != 2 or not given or given[-1] != wanted[0]:
        raise ValueError(
            f"linear: x has shape {given} and weight {wanted}; the last axis of x must be as long as the "
            "first of weight, which is (inputs, outputs)"
        )
    z = matmul(x, weight)
    if bias is None:
        return z
    given = bias._array.shape if isinstance(bias, Node) else np.shape(bias)
    if given != wanted[1:]:
        raise ValueError(f"linear: bias has shape {given}, expected {wanted[1:]}")
    return add(z, bias)


@unary
def dropout(x: Value, p: float, rng: Source) -> Value:
    """x with each element set to 0 with probability p, the others divided by 1 - p so that the mean stays.

    For training; at test time dropout is no operation. 0 <= p < 1. Srivastava et al. 2014.

    >>> float(dropout(np.ones(1000), 0.5, rng=0).max())
    2.0
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p={p!r} is the share that is dropped and must be 0 <= p < 1")
    x = floats("dropout", x)
    source = generator(rng, "dropout")
    if p == 0:
        return x
    return mul(x, callback(_kept, source, x.shape, p, raw(x).dtype))


def _kept(source: Any, shape: tuple[int, ...], p: float, dtype: Any) -> Array:
    """A mask of 0 and 1 / (1 - p)."""
    kept: Array = source.random(shape) >= p
    return kept.astype(dtype) * (1.0 / (1.0 - p))


def named(x: Value, name: str) -> Value:
    """`x.named(name)` where x is a Tensor; bare arrays have no names."""
    if isinstance(x, Node):
        x._name = name
    return x


def floats(who: str, x: Value) -> Value:
    """x as a Tensor or an array of floating-point numbers; integers are converted, anything else refused."""
    array = x._array if isinstance(x, Node) else (x := plain(x))
    kind = array.dtype.kind
    if kind not in "fiub":
        raise TypeError(f"{who}: expected real numbers, got dtype {array.dtype}")
    return x if kind == "f" else x.astype(float)
