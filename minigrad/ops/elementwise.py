"""Elementwise primitives. Inputs broadcast as in NumPy; the walk sums gradients back down.

At kinks the minimum-norm choice (DESIGN, and docs/conventions.md): relu'(0) = abs'(0) = 0, ties of maximum and
minimum share evenly; the one exception is clip, which passes the gradient at its bounds. sqrt'(0) is inf. Where x is
NaN, relu, leaky_relu and clip have slope 1, abs has NaN, and maximum and minimum give the gradient to the NaN.
Constants in rules are Python floats: NumPy 2 turns float32 * np.float64 into float64.
"""

from __future__ import annotations

import math

import numpy as np

from .._support.signatures import Array, Arrays, Value
from ..core.nodes import primitive
from .logic import equal, greater, isnan, less, less_equal, logical_and, logical_or, not_equal, of_one, sign


@primitive(formula="x + y")
def add(x: Array, y: Array, /) -> Value:
    """x + y."""
    return np.add(x, y)


add.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: g)


@primitive(formula="x - y", local=("g", "-g"))
def sub(x: Array, y: Array, /) -> Value:
    """x - y."""
    return np.subtract(x, y)


sub.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: -g)


@primitive(formula="x * y", local=("g * y", "g * x"))
def mul(x: Array, y: Array, /) -> Value:
    """x * y, elementwise."""
    return np.multiply(x, y)


mul.defvjp(lambda g, out, x, y: g * y, lambda g, out, x, y: g * x)


@primitive(formula="x / y", local=("g / y", "-g * out / y"))
def div(x: Array, y: Array, /) -> Value:
    """x / y, elementwise."""
    return np.divide(x, y)


div.defvjp(lambda g, out, x, y: g / y, lambda g, out, x, y: -g * out / y)


@primitive(formula="-x")
def neg(x: Array, /) -> Value:
    """-x."""
    return np.negative(x)


neg.defvjp(lambda g, out, x: -g)


@primitive(formula="x**y", local=("g * y * x**(y - 1)", "g * out * log(x)"))
def pow(x: Array, y: Array, /) -> Value:
    """x**y. The slope in x of x**0 is 0 everywhere; the slope in y of 0**y is 0."""
    return x**y


def _pow_x(g: Value, out: Value, x: Value, y: Value) -> Value:
    if isinstance(y, (int, float)):
        return g * 0.0 if y == 0 else g * y if y == 1 else g * (y * x ** (y - 1))
    flat = logical_and(equal(x, 0), equal(y, 0))  # there, x ** (y - 1) is inf, and 0 * inf is NaN
    return g * y * x ** where(flat, 1.0, y - 1)


def _pow_y(g: Value, out: Value, x: Value, y: Value) -> Value:
    return g * out * log(where(equal(x, 0), 1.0, x))


pow.defvjp(_pow_x, _pow_y)


@primitive(formula="exp(x)")
def exp(x: Array, /) -> Value:
    """e**x."""
    return np.exp(x)


exp.defvjp(lambda g, out, x: g * out)


@primitive(formula="log(x)")
def log(x: Array, /) -> Value:
    """Natural logarithm."""
    return np.log(x)


log.defvjp(lambda g, out, x: g / x)


@primitive(formula="log(1 + x)")
def log1p(x: Array, /) -> Value:
    """log(1 + x), exact for small x."""
    return np.log1p(x)


log1p.defvjp(lambda g, out, x: g / (1.0 + x))


@primitive(formula="exp(x) - 1")
def expm1(x: Array, /) -> Value:
    """exp(x) - 1, exact for small x."""
    return np.expm1(x)


expm1.defvjp(lambda g, out, x: g * (out + 1.0))


@primitive(formula="sqrt(x)", local=("g / (2.0 * out)",))
def sqrt(x: Array, /) -> Value:
    """Square root. The slope at 0 is inf."""
    return np.sqrt(x)


sqrt.defvjp(lambda g, out, x: g / (2.0 * out))


@primitive(formula="x**2")
def square(x: Array, /) -> Value:
    """x * x."""
    return np.square(x)


square.defvjp(lambda g, out, x: 2.0 * x * g)


@primitive(formula="|x|")
def abs(x: Array, /) -> Value:
    """Absolute value; slope 0 at 0."""
    return np.abs(x)


abs.defvjp(lambda g, out, x: g * sign(x))


@primitive(formula="sin(x)")
def sin(x: Array, /) -> Value:
    """Sine; x in radians."""
    return np.sin(x)


@primitive(formula="cos(x)")
def cos(x: Array, /) -> Value:
    """Cosine; x in radians."""
    return np.cos(x)


sin.defvjp(lambda g, out, x: g * cos(x))
cos.defvjp(lambda g, out, x: -g * sin(x))


@primitive(formula="tanh(x)")
def tanh(x: Array, /) -> Value:
    """Hyperbolic tangent."""
    return np.tanh(x)


tanh.defvjp(lambda g, out, x: g * (1.0 - out * out))


@primitive(formula="1 / (1 + exp(-x))")
def sigmoid(x: Array, /) -> Value:
    """Logistic function, written so that no exponential overflows and small results keep their digits."""
    e = np.exp(-1.0 * np.abs(x))  # not -abs(x): unsigned integers would wrap
    return np.where(np.greater_equal(x, 0), 1, e) / (1 + e)


sigmoid.defvjp(lambda g, out, x: g * out * (1.0 - out))


@primitive(formula="log(1 + exp(x))")
def softplus(x: Array, /) -> Value:
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-1.0 * np.abs(x)))


softplus.defvjp(lambda g, out, x: g * sigmoid(x))


@primitive(formula="x if condition else y")
def where(condition: Array, x: Array, y: Array, /) -> Value:
    """x where condition holds, y elsewhere. The branch not taken gets 0, but 0 * inf inside it is still NaN:
    make the unused branch safe first, as in where(x > 0, log(where(x > 0, x, 1.0)), 0.0)."""
    return np.where(condition, x, y)


where.defvjp(
    None,
    lambda g, out, condition, x, y: where(condition, g, 0.0),
    lambda g, out, condition, x, y: where(condition, 0.0, g),
)


@primitive(formula="max(x, 0)")
def relu(x: Array, /) -> Value:
    """max(x, 0); slope 0 at 0."""
    return np.maximum(x, 0)


relu.defvjp(lambda g, out, x: where(not_equal(out, 0), g, 0.0))  # not g * (out > 0), for inf * 0 is NaN


@primitive(formula="x if x > 0 else slope*x")
def leaky_relu(x: Array, /, slope: float = 0.01) -> Value:
    """x where x > 0, slope * x elsewhere (also the slope at 0)."""
    return np.where(np.greater(x, 0), x, np.multiply(x, slope))


leaky_relu.defvjp(lambda g, out, x, slope: where(less_equal(x, 0), g * slope, g))


_erf = np.frompyfunc(math.erf, 1, 1)  # NumPy has no erf; the C library's, one element at a time


@primitive(formula="erf(x)")
def erf(x: Array, /) -> Value:
    """Error function 2/sqrt(pi) * integral of exp(-t**2) from 0 to x."""
    x = np.asarray(x)
    return np.asarray(_erf(x)).astype(x.dtype if x.dtype.kind == "f" else float)


erf.defvjp(lambda g, out, x: g * (2.0 / math.sqrt(math.pi)) * exp(-x * x))


@primitive(formula="x * Phi(x)", local=("g * (Phi(x) + x*phi(x))",))
def gelu(x: Array, /) -> Value:
    """x * Phi(x), Phi the standard normal distribution function (exact, not the tanh fit). Hendrycks, Gimpel 2016."""
    return x * _normal_cdf(x)


def _normal_cdf(x: Value) -> Value:
    return 0.5 * (1.0 + erf(x * math.sqrt(0.5)))


gelu.defvjp(lambda g, out, x: g * (_normal_cdf(x) + x * exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))))


@primitive(formula="x * sigmoid(x)", local=("g * (s + out*(1 - s)), s = sigmoid(x)",))
def silu(x: Array, /) -> Value:
    """x * sigmoid(x), also called swish."""
    return x * sigmoid(x)


def _silu(g: Value, out: Value, x: Value) -> Value:
    s = sigmoid(x)
    return g * (s + out * (1.0 - s))


silu.defvjp(_silu)


@primitive(formula="max(x, y)", local=("g where x > y (ties: half)", "g where y > x (ties: half)"))
def maximum(x: Array, y: Array, /) -> Value:
    """The larger of x and y; ties share the gradient evenly, NaN propagates and takes the gradient."""
    return np.maximum(x, y)


maximum.defvjp(lambda g, out, x, y: _share(g, x, y, greater), lambda g, out, x, y: _share(g, y, x, greater))


@primitive(formula="min(x, y)", local=("g where x < y (ties: half)", "g where y < x (ties: half)"))
def minimum(x: Array, y: Array, /) -> Value:
    """The smaller of x and y; ties share the gradient evenly, NaN propagates and takes the gradient."""
    return np.minimum(x, y)


minimum.defvjp(lambda g, out, x, y: _share(g, x, y, less), lambda g, out, x, y: _share(g, y, x, less))


def _share(g: Value, x: Value, y: Value, beats: Value) -> Value:
    """x's part of g: all where it was chosen over y, half at ties, else 0. What is chosen has no gradient."""
    tie = logical_or(equal(x, y), logical_and(isnan(x), isnan(y)))
    return where(tie, 0.5 * g, where(logical_or(beats(x, y), isnan(x)), g, 0.0))


@of_one(formula="min(max(x, low), high)", local=("g where low <= x <= high",))
def clip(x: Array, /, low: Arrays = None, high: Arrays = None) -> Value:
    """x limited to low .. high (constants; None: no limit). The gradient passes at the bounds, as in PyTorch."""
    return np.array(x) if low is None and high is None else np.clip(x, low, high)  # NumPy 2.0 wants one of them


def _clip(g: Value, out: Value, x: Value, low: Value, high: Value) -> Value:
    if low is not None:
        g = where(less(x, low), 0.0, g)
    return g if high is None else where(greater(x, high), 0.0, g)


clip.defvjp(_clip)
