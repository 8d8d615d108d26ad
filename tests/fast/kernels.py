"""The kernels that this environment has, and how they are compared with the readable code."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from minigrad.fast.numpy_kernels import batch as numpy_batch
from minigrad.fast.numpy_kernels import updates as numpy_updates

IMPLEMENTATIONS: dict[str, Any] = {"numpy": (numpy_batch.batch_norm, numpy_updates.adam)}
if find_spec("numba") is not None:
    from minigrad.fast import compiled

    IMPLEMENTATIONS["numba"] = (compiled.batch_norm, compiled.adam)
SHAPES = [(1, 1), (1, 3), (2, 1), (7, 3), (9, 5), (32, 128), (100, 500), (1031, 67), (5000, 64), (30_000, 3)]
TOLERANCE = {"float64": 1e-13, "float32": 8 * float(np.finfo(np.float32).eps)}


def same(a, b, dtype):
    assert a.shape == b.shape
    assert a.dtype == b.dtype == dtype
    scale = float(np.abs(b).max())
    assert float(np.abs(a.astype(float) - b).max()) <= TOLERANCE[dtype] * scale


def filled_with_nan(arrays):
    return tuple(None if a is None else np.full_like(a, np.nan) for a in arrays)


def bytes_of(arrays):
    return [None if a is None else (a.shape, a.tobytes()) for a in arrays]
