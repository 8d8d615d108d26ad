"""Which function of NumPy multiplies two matrices."""

from __future__ import annotations

from typing import Any

import numpy as np


def product(x: Any, y: Any) -> Any:
    """np.matmul; for a column times a row np.dot, which gives the same in a seventh of the time.

    np.matmul does not hand that shape to BLAS: it takes its sums of one term each in a loop of its own. Not where one
    of the two is a single number: BLAS leaves out what is multiplied by 0, and with it NaN and infinity.
    """
    if x.__class__ is not np.ndarray or x.ndim != 2 or not x.shape[1] == 1 < len(x):
        return np.matmul
    return np.dot if y.__class__ is np.ndarray and y.ndim == 2 and len(y) == 1 < y.shape[1] else np.matmul
