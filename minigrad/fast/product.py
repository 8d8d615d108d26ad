"""Which function of NumPy multiplies two matrices."""

from __future__ import annotations

from typing import Any

import numpy as np


def product(x: Any, y: Any) -> Any:
    """np.matmul; for a column times a row np.dot, which gives the same in a seventh of the time.

    np.matmul does not hand that shape to BLAS: it takes its sums of one term each in a loop of its own.
    """
    if x.__class__ is np.ndarray and x.shape[-1:] == (1,) and x.ndim == 2:
        return np.dot if y.__class__ is np.ndarray and y.ndim == 2 and len(y) == 1 else np.matmul
    return np.matmul
