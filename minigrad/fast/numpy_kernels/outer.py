"""Which function of NumPy multiplies two matrices, and into which memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import pool


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
    if x.__class__ is not np.ndarray or y.__class__ is not np.ndarray or x.ndim != 2 or y.ndim != 2:
        return np.matmul(x, y)
    (n, inner), (also, d) = x.shape, y.shape
    function: Any = np.dot if inner == also == 1 < n and d > 1 else np.matmul  # as `product` chooses
    dtype = x.dtype
    if n * d * dtype.itemsize >= pool.LARGE and dtype == y.dtype and dtype.char in "fd" and dtype.isnative:
        return function(x, y, pool.empty((n, d), dtype)) if inner == also else function(x, y)
    return function(x, y)


def rules(of_x: Any, of_y: Any) -> tuple[Any, Any]:
    """The rules of matmul, given the readable ones: without a call of theirs where both are matrices."""

    def rule_x(g: Any, out: Any, x: Any, y: Any) -> Any:
        return multiplied(g, y.T) if g.ndim == y.ndim == 2 else of_x(g, out, x, y)

    def rule_y(g: Any, out: Any, x: Any, y: Any) -> Any:
        return multiplied(x.T, g) if g.ndim == x.ndim == 2 else of_y(g, out, x, y)

    return rule_x, rule_y
