"""Reductions. `axis` is None (all), an int or a tuple, negative ones count from the end; keepdims as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.calling import primitive
from ..core.nodes import Array, Node, raw
from ..fast.reuse import plain, reusing
from ..fast.sums import Axis as Axis
from ..fast.sums import average, in_blocks, kept, number, squares_about, total
from ..fast.sums import axes_of as axes_of
from ..fast.sums import count as count
from .elementwise import exp, sqrt, square, where
from .logic import equal, isnan, logical_and, logical_or
from .shape import broadcast_to, expand_dims, flip, reshape, transpose

# NumPy's stubs do not know that `axis` may be a tuple
_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce
_maximum: Any = np.maximum.reduce
_minimum: Any = np.minimum.reduce

_SMALL = 4096  # elements up to which it is quicker to fill an array than to have it stretched


def widened(g: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """The g of a reduction over `axis` of an array of `shape`, with the axes put back as ones."""
    wide = kept(shape, axis)
    return g if g.shape == wide else reshape(g, wide) if isinstance(g, Node) else g.reshape(wide)


def spread(g: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """The reverse of a sum over `axis`: every element of an array of `shape` gets the g of its result."""
    g = widened(g, shape, axis)
    if type(g) is np.ndarray and math.prod(shape) <= _SMALL:
        out = np.empty(shape, g.dtype)
        out[...] = g
        return out
    return broadcast_to(g, shape)


@primitive(formula="sum of x over axis", local=("g",))
def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over `axis`."""
    return total(np.asarray(x), axis, keepdims)


sum.defvjp(lambda g, out, x, axis, keepdims: spread(g, x.shape, axis))


@primitive(formula="sum of x over axis / N", local=("g/N",))
def mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over `axis`; of nothing it is NaN."""
    return average(np.asarray(x), axis, keepdims)


mean.defvjp(lambda g, out, x, axis, keepdims: spread(g / _count_of(g, x.shape, axis), x.shape, axis))


def _count_of(g: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """The count as an array for a bare g, which divides faster than a number."""
    n = count(shape, axis)
    return number(n, g.dtype) if type(g) is np.ndarray else n


def _centred(x: Array, axis: Axis) -> Array:
    if isinstance(x, Node):
        return x - mean(x, axis=axis, keepdims=True)
    return plain(reusing(x) - average(x, axis, True))


@primitive(formula="sum of (x - mean(x))**2 over axis / (N - ddof)", local=("2*g*(x - mean(x))/(N - ddof)",))
def var(x: Array, /, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Array:
    """Variance over `axis`, in two passes (never E[x^2] - E[x]^2). NaN where N <= ddof."""
    if not isinstance(x, Node):
        x = np.asarray(x)
        if in_blocks(x) and axes_of(axis, 2) == (0,) and (n := len(x) - ddof) > 0:
            found = squares_about(x, average(x, 0)) / number(n, x.dtype)
            return found[None] if keepdims else found
        centred = np.asarray(_centred(x, axis))
        return average(np.multiply(centred, centred, centred), axis, keepdims, ddof)
    n = count(raw(x).shape, axis) - ddof  # the same in minigrad's own functions: what it is made of can be looked at
    squares = sum(square(_centred(x, axis)), axis=axis, keepdims=keepdims)
    return squares / (n if n > 0 else math.nan)


def _var(g: Array, out: Array, x: Array, axis: Axis, keepdims: bool, ddof: int) -> Array:
    n = count(x.shape, axis) - ddof
    factor = 2.0 / n if n > 0 else math.nan
    slope = widened(g, x.shape, axis) * (number(factor, g.dtype) if type(g) is np.ndarray else factor)
    centred = _centred(x, axis)
    return np.multiply(slope, centred, centred) if type(centred) is np.ndarray else slope * centred


var.defvjp(_var)


@primitive(formula="sqrt(var(x))", local=("g*(x - mean(x))/((N - ddof)*out)",))
def std(x: Array, /, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Array:
    """Standard deviation over `axis`. Where it is 0 (a constant) so is its slope."""
    # centred twice: 0.1 + 0.1 + 0.1 is not 3 * 0.1, and a constant must give 0, where the slope is 0, not 1e-17
    return sqrt(var(_centred(x, axis), axis=axis, keepdims=keepdims, ddof=ddof))


def _std(g: Array, out: Array, x: Array, axis: Axis, keepdims: bool, ddof: int) -> Array:
    n = count(x.shape, axis) - ddof
    flat = equal(out, 0)
    slope = where(flat, 0.0, g / where(flat, 1.0, out)) * (1.0 / n if n > 0 else math.nan)
    return widened(slope, x.shape, axis) * _centred(x, axis)


std.defvjp(_std)


@primitive(formula="largest x over axis", local=("g where x == out (ties share)",))
def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element over `axis`; ties share the gradient evenly, NaN propagates and takes it."""
    return _maximum(x, axis=axes_of(axis, np.ndim(x)), keepdims=keepdims)


@primitive(formula="smallest x over axis", local=("g where x == out (ties share)",))
def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element over `axis`; ties share the gradient evenly, NaN propagates and takes it."""
    return _minimum(x, axis=axes_of(axis, np.ndim(x)), keepdims=keepdims)


def _extreme(g: Array, out: Array, x: Array, axis: Axis, keepdims: bool) -> Array:
    a, best = raw(x), np.reshape(raw(out), kept(x.shape, axis))
    chosen = logical_or(equal(a, best), logical_and(isnan(a), isnan(best)))
    share = chosen / _add(chosen, axis=axes_of(axis, a.ndim), keepdims=True, dtype=a.dtype)
    # the share is a constant: it has no gradient; and where it is 0, inf * 0 would be NaN
    return where(chosen, reshape(g, best.shape) * share.astype(a.dtype), 0.0)


max.defvjp(_extreme)
min.defvjp(_extreme)


@primitive(formula="product of x over axis", local=("g * product of the other x",))
def prod(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Product over `axis`; right also where elements are 0."""
    return _multiply(x, axis=axes_of(axis, np.ndim(x)), keepdims=keepdims)


def _prod(g: Array, out: Array, x: Array, axis: Axis, keepdims: bool) -> Array:
    if not equal(raw(x), 0).any():
        return reshape(g * out, kept(x.shape, axis)) / x
    # Dividing by 0 will not do: multiply the others. Reduced axes to the end as one of length n, then for each of
    # the n elements a row with 1 in its place; n*n work, for slices that hold a zero.
    axes = axes_of(axis, x.ndim)
    order = (*(k for k in range(x.ndim) if k not in axes), *axes)
    moved = transpose(x, order)
    flat = reshape(moved, (*moved.shape[: x.ndim - len(axes)], -1))
    others = where(np.eye(flat.shape[-1], dtype=bool), 1.0, expand_dims(flat, -2))
    slopes = transpose(reshape(prod(others, axis=-1), moved.shape), tuple(np.argsort(order).tolist()))
    return reshape(g, kept(x.shape, axis)) * slopes


prod.defvjp(_prod)


@primitive(formula="log(sum of exp(x) over axis)", local=("g * exp(x - out)",))
def logsumexp(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis`, shifted by the largest element so that nothing overflows."""
    x = np.asarray(x)
    x = x if x.dtype.kind == "f" else x.astype(float)
    top = _maximum(x, axis=axes_of(axis, x.ndim), keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    with np.errstate(divide="ignore", over="ignore"):  # log(0) = -inf is right for a row of -inf, inf beside +inf
        out = np.log(_add(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return out if keepdims else np.squeeze(out, axes_of(axis, x.ndim))


def _logsumexp(g: Array, out: Array, x: Array, axis: Axis, keepdims: bool) -> Array:
    wide = kept(x.shape, axis)
    out = reshape(where(equal(out, -math.inf), 0.0, out), wide)  # a row of -inf gets 0, not exp(-inf + inf)
    return reshape(g, wide) * exp(x - out)


logsumexp.defvjp(_logsumexp)


@primitive(formula="running sum of x along axis", local=("running sum of g from the end",))
def cumsum(x: Array, /, axis: int | None = None) -> Array:
    """Running sum along `axis` (None: of the flattened array)."""
    return np.cumsum(x, axis=axis)


def _cumsum(g: Array, out: Array, x: Array, axis: int | None) -> Array:
    along = 0 if axis is None else axis
    return reshape(flip(cumsum(flip(g, axis=along), axis=along), axis=along), x.shape)


cumsum.defvjp(_cumsum)
