"""Making leaf tensors: from data, or filled with zeros, ones, a value, an identity matrix, a range."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._support.signatures import Data, DType, Shape
from .core.tensor import Tensor


def tensor(data: Data, *, dtype: DType | None = None, requires_grad: bool = False, name: str | None = None) -> Tensor:
    """A leaf tensor with a copy of `data` (a number, a nested list, an array, a Tensor).

    >>> tensor([[1, 2], [3, 4]], dtype=float, requires_grad=True).shape
    (2, 2)
    """
    return Tensor(data, dtype=dtype, requires_grad=requires_grad, name=name)


def zeros(shape: Shape, *, dtype: DType = float, requires_grad: bool = False, name: str | None = None) -> Tensor:
    """A leaf of zeros."""
    return Tensor(np.zeros(shape, dtype), requires_grad=requires_grad, name=name)


def ones(shape: Shape, *, dtype: DType = float, requires_grad: bool = False, name: str | None = None) -> Tensor:
    """A leaf of ones."""
    return Tensor(np.ones(shape, dtype), requires_grad=requires_grad, name=name)


def full(
    shape: Shape, value: float, *, dtype: DType | None = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """A leaf filled with `value`."""
    return Tensor(np.full(shape, value, dtype), requires_grad=requires_grad, name=name)


def eye(n: int, *, dtype: DType = float, requires_grad: bool = False, name: str | None = None) -> Tensor:
    """The n x n identity matrix."""
    return Tensor(np.eye(n, dtype=dtype), requires_grad=requires_grad, name=name)


def arange(
    start: float,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: DType | None = None,
    requires_grad: bool = False,
    name: str | None = None,
) -> Tensor:
    """Numbers from start (0 if one argument) up to but not including stop."""
    start, stop = (0, start) if stop is None else (start, stop)
    numbers: Any = np.arange
    return Tensor(numbers(start, stop, step, dtype), requires_grad=requires_grad, name=name)
