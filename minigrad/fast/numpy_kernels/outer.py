"""Which function of NumPy multiplies two matrices, and into which memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..pool import MAPPED, empty


def product(x: Any, y: Any) -> Any:
    """np.matmul; for a column times a row np.dot, which gives the same in a seventh of the time.

    np.matmul does not hand that shape to BLAS: it takes its sums of one term each in a loop of its own. Not where one
    of the two is a single number: BLAS leaves out what is multiplied by 0, and with it NaN and infinity.
    """
    if x.__class__ is not np.ndarray or x.ndim != 2 or not x.shape[1] == 1 < len(x):
        return np.matmul
    return np.dot if y.__class__ is np.ndarray and y.ndim == 2 and len(y) == 1 < y.shape[1] else np.matmul


def multiplied(x: Any, y: Any) -> Any:
    """x @ y; a large matrix in memory that was used before."""
    if x.__class__ is np.ndarray and y.__class__ is np.ndarray and x.ndim == 2 and y.ndim == 2:
        (n, inner), (also, d), dtype = x.shape, y.shape, x.dtype
        column_by_row = inner == 1 and also == 1 and n > 1 and d > 1  # as `product` says
        large = n * d * dtype.itemsize >= MAPPED and inner == also and dtype == y.dtype
        if large and dtype.char in "fd" and dtype.isnative:
            return (np.dot if column_by_row else np.matmul)(x, y, empty((n, d), dtype))
        if column_by_row:
            return np.dot(x, y)
    return np.matmul(x, y)


def rules(of_x: Any, of_y: Any) -> tuple[Any, Any]:
    """The rules of matmul, given the readable ones: without a call of theirs where both are matrices."""

    def rule_x(g: Any, out: Any, x: Any, y: Any) -> Any:
        return multiplied(g, y.T) if g.ndim == y.ndim == 2 else of_x(g, out, x, y)

    def rule_y(g: Any, out: Any, x: Any, y: Any) -> Any:
        return multiplied(x.T, g) if g.ndim == x.ndim == 2 else of_y(g, out, x, y)

    return rule_x, rule_y
