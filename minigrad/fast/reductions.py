"""Reductions and what stretches back: few calls for small arrays, few passes over large ones; the same digits.

Sums of narrow floats are taken in their own precision over few rows, and in float64 beyond (totals.py). That costs
speed where a plain sum would do, and is here for the digits alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._support.arrays import in_floats
from .._support.shapes import axes_of, count, stretched, with_ones
from .pool import LARGE, pooled, unwrapped
from .totals import SCRATCH, average, count_of, in_blocks, number, products, squares_about, total

Array = np.ndarray[Any, Any]

SMALL = 4096  # elements up to which it is quicker to fill an array than to have it stretched


def var_of(x: Any, axis: Any, keepdims: bool, ddof: int) -> Any:
    """Variance over `axis`: centred and squared in place, or block by block."""
    if x.__class__ is np.ndarray and x.nbytes < SCRATCH and x.dtype.char in "fd" and (n := count(x.shape, axis)) > ddof:
        centred = np.asarray(x - average(x, axis, True))
        return total(np.multiply(centred, centred, centred), axis, keepdims) / number(n - ddof, x.dtype)
    return _var_of(x, axis, keepdims, ddof)


@in_floats
def _var_of(x: Any, axis: Any, keepdims: bool, ddof: int) -> Any:
    if in_blocks(x) and axes_of(axis, 2) == (0,) and (n := len(x) - ddof) > 0:
        found = squares_about(x, average(x, 0)) / number(n, x.dtype)
        return found[None] if keepdims else found
    centred = _centred(x, axis)
    return average(np.multiply(centred, centred, centred), axis, keepdims, ddof)


def _centred(x: Array, axis: Any) -> Array:
    mean = average(x, axis, True)
    return np.asarray(x - mean if x.nbytes < LARGE else unwrapped(pooled(x) - mean))


def _widened(g: Any, shape: tuple[int, ...], axis: Any) -> Any:
    wide = with_ones(shape, axis)
    return g if g.shape == wide else g.reshape(wide)


def sum_backward(g: Any, out: Any, saved: Any, inputs: Any, params: Any) -> Any:
    """Every element gets the g of its result."""
    return (_spread(_widened(g, inputs[0].shape, params["axis"]), inputs[0].shape),)


def mean_backward(g: Any, out: Any, saved: Any, inputs: Any, params: Any) -> Any:
    """Every element gets the g of its result over the count."""
    shape, axis = inputs[0].shape, params["axis"]
    return (_spread(_widened(g / count_of(shape, axis, g.dtype), shape, axis), shape),)


def _spread(g: Any, shape: tuple[int, ...]) -> Any:
    if math.prod(shape) > SMALL:
        return np.broadcast_to(g, shape)
    out = np.empty(shape, g.dtype)
    out[...] = g
    return out


def reshape_rule(g: Any, out: Any, x: Any, shape: Any) -> Any:
    """The rule of reshape."""
    return g.reshape(x.shape)


def var_rule(g: Any, out: Any, x: Array, axis: Any, keepdims: bool, ddof: int) -> Any:
    """The rule of var, with one array the less."""
    n = count(x.shape, axis) - ddof
    slope = _widened(g, x.shape, axis) * number(2.0 / n if n > 0 else math.nan, g.dtype)
    centred = _centred(x, axis)
    return np.multiply(slope, centred, centred)


# Where an input was stretched over the rows of a matrix, its gradient is summed down as it is made.


def _summed(g: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """g * x, already summed down to `shape` where it is large."""
    arrays = isinstance(g, np.ndarray) and isinstance(x, np.ndarray)
    wide = arrays and g.ndim > len(shape) and in_blocks(g) and g.shape[1:] == shape
    return products(unwrapped(g), x) if wide and x.shape == g.shape and x.dtype == g.dtype else g * x


def sub_rule(g: Any, out: Any, x: Any, y: Any) -> Any:
    """The rule of sub for y: summed first, then turned round."""
    return -g if g.shape == y.shape else -_down(g, y)


def mul_rule(g: Any, out: Any, x: Any, y: Any) -> Any:
    """The rule of mul for y."""
    return g * x if g.nbytes < SCRATCH else _summed(g, x, y.shape)


def div_backward(g: Any, out: Any, saved: Any, inputs: Any, params: Any) -> Any:
    """The rules of div where y was stretched: summed first, then divided; None elsewhere."""
    y = inputs[1]
    if y.__class__ is not np.ndarray or y.shape == g.shape:
        return None
    if g.nbytes < LARGE:
        return g / y, -_down(g * out, y) / y
    g = pooled(g)
    return unwrapped(g / y), unwrapped(-_down(_summed(g, out, y.shape), y) / y)


def _down(g: Any, y: Any) -> Any:
    axes = stretched(g.shape, y.shape)
    found = total(unwrapped(g), axes) if axes else g
    return found if found.shape == y.shape else found.reshape(y.shape)
