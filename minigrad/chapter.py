"""The example of the textbook chapter "2.11. Batch Normalization": seven rows, three features, eps = 1e-6.

The chapter draws z by `np.random.seed(42); np.random.randint(0, 10, (7, 3))`; the digits stand here, so that the
command line has data to show without drawing any.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EPS = 1e-6


def z() -> npt.NDArray[np.float64]:
    """The chapter's z, as floating-point numbers, in an array of your own.

    >>> z().shape
    (7, 3)
    """
    rows = [[6, 3, 7], [4, 6, 9], [2, 6, 7], [4, 3, 7], [7, 2, 5], [4, 1, 7], [5, 1, 4]]
    return np.array(rows, dtype=float)


def dq() -> npt.NDArray[np.float64]:
    """The gradient that the chapter lets arrive at q: `np.random.seed(24); np.random.randn(7, 3)`."""
    return np.random.RandomState(24).randn(7, 3)
