"""Derivatives by differences of function values: slow, approximate, and independent of every rule."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._support.signatures import Array, Data, Values
from ..core.context import no_grad, using
from ..core.tensor import Tensor
from .arguments import Function, array_of

FloatArray = npt.NDArray[np.floating[Any]]


def rel_error(a: Data, b: Data) -> float:
    """max(|a - b| / max(1e-8, |a| + |b|)), the measure of the cs231n notebooks.

    Where both are nearly zero the floor of 1e-8 lets rounding look like a large error: look at |a - b| there.

    >>> rel_error([1.0, 2.0], [1.0, 2.0])
    0.0
    """
    x, y = (v.astype(float) if v.dtype.kind in "iub" else v for v in (array_of(a), array_of(b)))
    if x.shape != y.shape:
        raise ValueError(f"rel_error: shapes {x.shape} and {y.shape} differ")
    if not x.size:
        return 0.0
    return float(np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y))))


@using(frozen=True)  # looking changes nothing: running statistics stay
def numerical_grad(f: Function, x: Data, gradient: Values = None, h: float = 1e-5) -> Array:
    """d sum(gradient * f(x)) / dx by central differences: (f(x + h) - f(x - h)) / 2h, one element at a time.

    x: an array or a Tensor, of floating-point numbers; f is called with the same kind. The result has x's shape, as
    an array. `gradient` may be left out where f(x) is a single number. x is copied, never written to.

    >>> import numpy as np
    >>> numerical_grad(lambda x: (x * x).sum(), np.array([1.0, 3.0])).round(6)
    array([2., 6.])
    """
    start = array_of(x)
    if start.dtype.kind != "f":
        raise TypeError(f"numerical_grad needs floating-point x, got {start.dtype}: pass x.astype(float)")
    if not h > 0:
        raise ValueError(f"numerical_grad: h={h!r} must be > 0")
    wrap = Tensor if isinstance(x, Tensor) else np.array
    with no_grad():
        shape = np.shape(array_of(f(wrap(start))))
        if gradient is None and int(np.prod(shape)) != 1:
            raise ValueError(f"numerical_grad: f(x) has shape {shape}; pass gradient= of that shape")
        weight = np.ones(shape) if gradient is None else array_of(gradient)
        if weight.shape != shape:
            raise ValueError(f"numerical_grad: gradient has shape {weight.shape}, f(x) has shape {shape}")
        slopes = np.zeros_like(start)
        for index in np.ndindex(start.shape):
            values = []
            for step in (h, -h):
                moved = start.copy()
                moved[index] += step
                values.append(array_of(f(wrap(moved))))
            slopes[index] = np.sum((values[0] - values[1]) * weight) / (2 * h)
    return slopes


class Slope(NamedTuple):
    """The derivative of all outputs along one direction, from five points."""

    value: FloatArray  # f' by the five-point rule with step h/2, error of order h^4
    error: FloatArray  # how far `value` may be off: rounding, and what halving the step changed
    kink: npt.NDArray[np.bool_]  # a corner of f lies within 2h

    @property
    def sound(self) -> npt.NDArray[np.bool_]:
        """Where it tells a derivative."""
        return np.isfinite(self.value) & ~self.kink


def slope(evaluate: Function, h: float, blur: Any = 0.0) -> Slope:
    """f'(0) of t -> evaluate(t) from its values at -2h, -h, -h/2, 0, h/2, h, 2h.

    The corner test fits a parabola to five of the values: what is left over is of order h^3 for a smooth function
    and of order h where the slope jumps. `blur` is how uncertain the values are.
    """
    points = np.stack([evaluate(k * h) for k in (-2, -1, -0.5, 0, 0.5, 1, 2)])
    far_left, left, near_left, middle, near_right, right, far_right = points
    coarse = (far_left - 8 * left + 8 * right - far_right) / (12 * h)
    value = (left - 8 * near_left + 8 * near_right - right) / (6 * h)
    size = np.max(np.abs(points), axis=0)
    eps = float(np.finfo(points.dtype).eps)
    error = (8 * eps * size + blur) / h + np.abs(coarse - value)
    # the part of five equidistant values that no parabola can follow
    left_over = np.hypot(
        -far_left + 2 * left - 2 * right + far_right, far_left - 4 * left + 6 * middle - 4 * right + far_right
    )
    steepest = np.max(np.abs(np.diff(points[[0, 1, 3, 5, 6]], axis=0)), axis=0)
    return Slope(value, error, left_over > 0.02 * steepest + 64 * eps * size + 8 * blur)


STEPS = tuple(10.0**-k for k in (1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5))


def best_step(evaluate: Function) -> float:
    """The step of STEPS at which halving it changes the derivative of t -> evaluate(t) least.

    Too large a step sees the curve, too small a one the rounding; the sum of both errors has its minimum between.
    """
    best, least = STEPS[3], np.inf
    for h in STEPS:
        with np.errstate(all="ignore"):
            change = np.max(np.abs(slope(evaluate, h).value - slope(evaluate, h / 2).value), initial=0.0)
        if change < least:
            best, least = h / 2, float(change)
    return best
