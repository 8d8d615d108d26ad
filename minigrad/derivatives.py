"""Derivatives of functions, built from `grad`: the Jacobian, and Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._support.signatures import Data, Gradient
from .core import gradients
from .core.tensor import Tensor

grad: Gradient = gradients.grad  # as type checkers know it


def _leaf(x: Data) -> Tensor:
    """A fresh leaf with x's values, so that the caller's graph is neither read nor extended."""
    leaf = Tensor(x)
    leaf.requires_grad = True
    return leaf


def _value(who: str, f: Callable[[Tensor], Tensor], leaf: Tensor) -> Tensor:
    y = f(leaf)
    if not isinstance(y, Tensor):
        raise TypeError(f"{who}: f must return a Tensor computed from its argument, got {type(y).__name__}")
    return y


def jacobian(f: Callable[[Tensor], Tensor], x: Data) -> Tensor:
    """The matrix of all df_i/dx_j, of shape f(x).shape + x.shape; one backward pass per element of f(x).

    >>> jacobian(lambda x: x * x, [1.0, 2.0])
    tensor([[2., 0.], [0., 4.]])
    """
    leaf = _leaf(x)
    y = _value("jacobian", f, leaf)
    if not y.requires_grad:
        return Tensor(np.zeros(y.shape + leaf.shape, leaf.dtype))
    rows = np.empty((y.size, *leaf.shape), leaf.dtype)
    for k, unit in enumerate(np.eye(y.size, dtype=y.dtype)):
        rows[k] = grad(y, leaf, gradient=unit.reshape(y.shape))._array
    return Tensor(rows.reshape(y.shape + leaf.shape))


def hvp(f: Callable[[Tensor], Tensor], x: Data, v: Data) -> Tensor:
    """The Hessian of a scalar function f at x, times v: the gradient of <grad f, v>, without building the matrix.

    >>> hvp(lambda x: (x * x * x).sum(), [1.0, 2.0], [1.0, 1.0])
    tensor([ 6., 12.])
    """
    leaf = _leaf(x)
    y = _value("hvp", f, leaf)
    if y.size != 1:
        raise ValueError(f"hvp needs a function with one number as its value, got shape {y.shape}")
    if not y.requires_grad:
        return Tensor(np.zeros(leaf.shape, leaf.dtype))
    slope = grad(y, leaf, create_graph=True)
    if not slope.requires_grad:  # f is linear
        return Tensor(np.zeros(leaf.shape, leaf.dtype))
    direction = Tensor(v)
    if direction.shape != leaf.shape:
        raise ValueError(f"hvp: v has shape {direction.shape}, x has shape {leaf.shape}; they must be equal")
    return grad((slope * direction).sum(), leaf)
