"""Reductions. `axis` is None (all), an int or a tuple, negative ones count from the end; keepdims as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._support.arrays import finite, in_floats
from .._support.shapes import Axis, axes_of, count, with_ones
from .._support.signatures import Array, Value
from ..core.nodes import primitive, raw
from .elementwise import exp, sqrt, square, where
from .logic import equal, isnan, logical_and, logical_or
from .shape import astype, broadcast_to, concatenate, flip, reshape, stack, transpose

# NumPy's stubs do not know that `axis` may be a tuple
_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce
_maximum: Any = np.maximum.reduce
_minimum: Any = np.minimum.reduce
_hypot: Any = np.hypot.reduce

WIDER = {"e": np.float32, "f": np.float64}  # NumPy adds rows one after the other: narrow floats would lose digits


def _total(x: Value, axis: Axis, keepdims: bool) -> Value:
    return _add(x, axis=axis, dtype=WIDER.get(x.dtype.char), keepdims=keepdims)


def _narrowed(total: Value, x: Value) -> Value:
    return total.astype(x.dtype) if x.dtype.char in WIDER else total


def widened(g: Value, shape: tuple[int, ...], axis: Axis) -> Value:
    """The g of a reduction over `axis` of an array of `shape`, with the axes put back as ones."""
    wide = with_ones(shape, axis)
    return g if g.shape == wide else reshape(g, wide)


@primitive(formula="sum of x over axis", local=("g",))
def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """Sum over `axis`; float16 is added up in float32, float32 in float64."""
    x = np.asarray(x)
    return _narrowed(_total(x, axis, keepdims), x)


sum.defvjp(lambda g, out, x, axis, keepdims: broadcast_to(widened(g, x.shape, axis), x.shape))


@primitive(formula="sum of x over axis / N", local=("g/N",))
@in_floats
def mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """Mean over `axis`; of nothing it is NaN. Where the sum would overflow, the parts are divided first."""
    n = count(x.shape, axis) or math.nan
    with np.errstate(over="ignore"):
        found = _total(x, axis, keepdims) / n
        lost = x.size and not finite(raw(found))
        return _narrowed(_total(x / n, axis, keepdims) if lost else found, x)


mean.defvjp(lambda g, out, x, axis, keepdims: broadcast_to(widened(g, x.shape, axis) / count(x.shape, axis), x.shape))


def _centred(x: Value, axis: Axis) -> Value:
    return x - mean(x, axis=axis, keepdims=True)


def _freedom(x: Value, axis: Axis, ddof: int) -> float:
    """What a sum of squares is divided by; NaN where there is nothing to divide it by."""
    n = count(x.shape, axis) - ddof
    return n if n > 0 else math.nan


@primitive(formula="sum of (x - mean(x))**2 over axis / (N - ddof)", local=("2*g*(x - mean(x))/(N - ddof)",))
@in_floats
def var(x: Array, /, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Value:
    """Variance over `axis`, in two passes (never E[x^2] - E[x]^2). NaN where N <= ddof."""
    return sum(square(_centred(x, axis)), axis=axis, keepdims=keepdims) / _freedom(x, axis, ddof)


def _var(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool, ddof: int) -> Value:
    return widened(g, x.shape, axis) * (2.0 / _freedom(x, axis, ddof)) * _centred(x, axis)


var.defvjp(_var)


@primitive(formula="sqrt(var(x))", local=("g*(x - mean(x))/((N - ddof)*out)",))
@in_floats
def std(x: Array, /, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Value:
    """Standard deviation over `axis`. Where it is 0 (a constant) so is its slope."""
    # centred twice: 0.1 + 0.1 + 0.1 is not 3 * 0.1, and a constant must give 0, where the slope is 0, not 1e-17
    centred = _centred(x, axis)
    with np.errstate(over="ignore"):
        found = sqrt(var(centred, axis=axis, keepdims=keepdims, ddof=ddof))
    if finite(raw(found)):
        return found
    length = _hypot(raw(centred), axis=axis, keepdims=keepdims)  # its squares do not overflow
    return where(np.isinf(raw(found)), length / math.sqrt(_freedom(x, axis, ddof)), found)


def _std(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool, ddof: int) -> Value:
    flat = equal(out, 0)
    slope = where(flat, 0.0, g / where(flat, 1.0, out)) * (1.0 / _freedom(x, axis, ddof))
    return widened(slope, x.shape, axis) * _centred(x, axis)


std.defvjp(_std)


@primitive(formula="largest x over axis", local=("g where x == out (ties share)",))
def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """Largest element over `axis`; ties share the gradient evenly, NaN propagates and takes it."""
    return _maximum(x, axis=axes_of(axis, np.ndim(x)), keepdims=keepdims)


@primitive(formula="smallest x over axis", local=("g where x == out (ties share)",))
def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """Smallest element over `axis`; ties share the gradient evenly, NaN propagates and takes it."""
    return _minimum(x, axis=axes_of(axis, np.ndim(x)), keepdims=keepdims)


def _extreme(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    best = widened(out, x.shape, axis)
    chosen = logical_or(equal(x, best), logical_and(isnan(x), isnan(best)))
    ones = astype(chosen, np.result_type(x.dtype, np.float32))  # float16 counts no further than 65,504
    share = ones / sum(ones, axis=axis, keepdims=True)  # where it is 0, inf * 0 would be NaN
    return where(chosen, widened(g, x.shape, axis) * share, 0.0)


max.defvjp(_extreme)
min.defvjp(_extreme)


@primitive(formula="product of x over axis", local=("g * product of the other x",))
def prod(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """Product over `axis`; right also where elements are 0."""
    return _multiply(x, axis=axes_of(axis, np.ndim(x)), keepdims=keepdims)


def _prod(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    axes = axes_of(axis, x.ndim)
    order = (*(k for k in range(x.ndim) if k not in axes), *axes)  # those reduced to the end, as one
    moved = transpose(x, order)
    flat = reshape(moved, (*moved.shape[: x.ndim - len(axes)], math.prod(moved.shape[x.ndim - len(axes) :])))
    slopes = transpose(reshape(_others(flat), moved.shape), tuple(np.argsort(order).tolist()))
    return widened(g, x.shape, axis) * slopes


def _others(x: Value) -> Value:
    """For each element along the last axis the product of the others; no division, so zeros are like any number.

    Neighbours a, b are multiplied; what is left of a pair's others is multiplied by b for a, and by a for b.
    """
    n = x.shape[-1]
    if n < 2:
        return np.ones(x.shape, x.dtype)
    if n % 2:
        x = concatenate([x, np.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
    a, b = x[..., 0::2], x[..., 1::2]
    rest = _others(a * b)
    return reshape(stack([rest * b, rest * a], axis=-1), x.shape)[..., :n]


prod.defvjp(_prod)


@primitive(formula="log(sum of exp(x) over axis)", local=("g * exp(x - out)",))
@in_floats
def logsumexp(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Value:
    """log(sum(exp(x))) over `axis`, shifted by the largest element so that nothing overflows."""
    top = _maximum(x, axis=axes_of(axis, x.ndim), keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    with np.errstate(divide="ignore", over="ignore"):  # log(0) = -inf is right for a row of -inf, inf beside +inf
        out = np.log(_add(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return out if keepdims else np.squeeze(out, axes_of(axis, x.ndim))


def _logsumexp(g: Value, out: Value, x: Value, axis: Axis, keepdims: bool) -> Value:
    out = widened(where(equal(out, -math.inf), 0.0, out), x.shape, axis)  # a row of -inf gets 0, not exp(-inf + inf)
    return widened(g, x.shape, axis) * exp(x - out)


logsumexp.defvjp(_logsumexp)


@primitive(formula="running sum of x along axis", local=("running sum of g from the end",))
def cumsum(x: Array, /, axis: int | None = None) -> Value:
    """Running sum along `axis` (None: of the flattened array)."""
    return np.cumsum(x, axis=axis)


def _cumsum(g: Value, out: Value, x: Value, axis: int | None) -> Value:
    along = 0 if axis is None else axis
    return reshape(flip(cumsum(flip(g, axis=along), axis=along), axis=along), x.shape)


cumsum.defvjp(_cumsum)
