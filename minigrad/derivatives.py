"""Derivatives of functions, built from `grad`: value and gradient, Jacobian and Hessian, and products with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def _value(who: str, f: Callable[..., Tensor], *leaves: Tensor) -> Tensor:
    y = f(*leaves)
    if not isinstance(y, Tensor):
        raise TypeError(f"{who}: f must return a Tensor computed from its argument, got {type(y).__name__}")
    return y


def value_and_grad(f: Callable[..., Tensor], *xs: Data) -> tuple[Tensor, Any]:
    """(f(*xs), its gradient) of a function whose value is one number: a Tensor for one x, a tuple of them for several.

    >>> value_and_grad(lambda x, w: (x * w).sum(), [1.0, 2.0], [3.0, 4.0])
    (tensor(11.), (tensor([3., 4.]), tensor([1., 2.])))
    """
    if not xs:
        raise TypeError("value_and_grad(f, x, ...): pass the values at which f is taken, one or more")
    leaves = [_leaf(x) for x in xs]
    y = _value("value_and_grad", f, *leaves)
    if y.size != 1:
        raise ValueError(f"value_and_grad needs a function with one number as its value, got shape {y.shape}")
    slopes = grad(y, leaves) if y.requires_grad else tuple([Tensor(np.zeros(x.shape, x.dtype)) for x in leaves])
    return y.detach(), slopes[0] if len(leaves) == 1 else slopes


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
    direction = Tensor(v)
    if direction.shape != leaf.shape:
        raise ValueError(f"hvp: v has shape {direction.shape}, x has shape {leaf.shape}; they must be equal")
    return grad((slope * direction).sum(), leaf)


def hessian(f: Callable[[Tensor], Tensor], x: Data) -> Tensor:
    """The matrix of all d2f/dx_i dx_j of a scalar function at x, of shape x.shape + x.shape: one walk per element of x.

    >>> hessian(lambda x: (x * x * x).sum(), [1.0, 2.0])
    tensor([[ 6., 0.], [ 0., 12.]])
    """
    leaf = _leaf(x)
    y = _value("hessian", f, leaf)
    if y.size != 1:
        raise ValueError(f"hessian needs a function with one number as its value, got shape {y.shape}")
    zeros = Tensor(np.zeros(leaf.shape + leaf.shape, leaf.dtype))
    if not y.requires_grad:
        return zeros
    slope = grad(y, leaf, create_graph=True)
    rows = [grad(slope, leaf, gradient=unit.reshape(leaf.shape)) for unit in np.eye(leaf.size, dtype=leaf.dtype)]
    return Tensor(np.array([row._array for row in rows]).reshape(zeros.shape))


def jvp(f: Callable[[Tensor], Tensor], x: Data, v: Data) -> tuple[Tensor, Tensor]:
    """(f(x), Jacobian of f at x times v): how f(x) changes as x moves along v. Two walks, whatever the sizes.

    A gradient is linear in what it starts with, u: it is J^T u. The gradient of <J^T u, v> by u is J v.

    >>> jvp(lambda x: x * x, [1.0, 2.0], [1.0, 10.0])
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    leaf = _leaf(x)
    direction = Tensor(v)
    if direction.shape != leaf.shape:
        raise ValueError(f"jvp: v has shape {direction.shape}, x has shape {leaf.shape}; they must be equal")
    y = _value("jvp", f, leaf)
    if not y.requires_grad:
        return y, Tensor(np.zeros(y.shape, y.dtype))
    u = _leaf(np.zeros(y.shape, y.dtype))
    slope = grad(y, leaf, gradient=u, create_graph=True)
    return y.detach(), grad((slope * direction).sum(), u)
