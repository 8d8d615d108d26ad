"""Running statistics of batch norm, moved in few NumPy calls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .batch_norm import constant

Array = np.ndarray[Any, Any]


def running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, keep: float, take: float, scale: float
) -> bool:
    """running = keep * running + take * (mean, scale * var), in place; nothing, and False, if var is not finite."""
    if not math.isfinite(np.maximum.reduce(var)):  # no variance is negative, and NaN is the largest
        return False
    dtype = running_mean.dtype
    kept = constant(keep, dtype)
    moved = mean * constant(take, dtype)
    running_mean *= kept
    running_mean += moved
    running_var *= kept
    running_var += var * constant(take * scale, dtype)
    return True
