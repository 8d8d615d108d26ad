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
    function = product(x, y)
    if x.__class__ is np.ndarray is y.__class__ and x.ndim == y.ndim == 2 and x.dtype == y.dtype:
        n, d = len(x), y.shape[1]
        if n * d * x.itemsize >= pool.LARGE and x.dtype.char in "fd" and x.dtype.isnative and x.shape[1] == len(y):
            return function(x, y, pool.empty((n, d), x.dtype))
    return function(x, y)
