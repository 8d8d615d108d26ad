"""Functions without a gradient: comparisons, signs, positions. Their results carry no graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._support.signatures import Array, OfOne, Value
from ..core.nodes import primitive

of_one: Callable[..., OfOne] = primitive
flat = primitive(differentiable=False)


@flat
def equal(x: Array, y: Array, /) -> Value:
    """x == y, elementwise."""
    return np.equal(x, y)


@flat
def not_equal(x: Array, y: Array, /) -> Value:
    """x != y, elementwise."""
    return np.not_equal(x, y)


@flat
def less(x: Array, y: Array, /) -> Value:
    """x < y, elementwise."""
    return np.less(x, y)


@flat
def less_equal(x: Array, y: Array, /) -> Value:
    """x <= y, elementwise."""
    return np.less_equal(x, y)


@flat
def greater(x: Array, y: Array, /) -> Value:
    """x > y, elementwise."""
    return np.greater(x, y)


@flat
def greater_equal(x: Array, y: Array, /) -> Value:
    """x >= y, elementwise."""
    return np.greater_equal(x, y)


@flat
def logical_and(x: Array, y: Array, /) -> Value:
    """x and y, elementwise."""
    return np.logical_and(x, y)


@flat
def logical_or(x: Array, y: Array, /) -> Value:
    """x or y, elementwise."""
    return np.logical_or(x, y)


@flat
def logical_not(x: Array, /) -> Value:
    """not x, elementwise."""
    return np.logical_not(x)


@flat
def isnan(x: Array, /) -> Value:
    """True where x is NaN."""
    return np.isnan(x)


@flat
def sign(x: Array, /) -> Value:
    """-1, 0 or 1: the slope of abs, with the minimum-norm choice 0 at the kink."""
    return np.sign(x)


@flat
def argmax(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Value:
    """Position of the (first) largest element along `axis`."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@flat
def argmin(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Value:
    """Position of the (first) smallest element along `axis`."""
    return np.argmin(x, axis=axis, keepdims=keepdims)
