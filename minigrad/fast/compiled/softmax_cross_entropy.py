"""Softmax cross-entropy of each row of a matrix, compiled: for few numbers, where NumPy's calls cost the most."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import buffers
from .memory import compiled

Array = np.ndarray[Any, Any]

LARGEST = 1 << 12  # elements from which NumPy's exp, of many numbers at a time, is worth its calls


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _forward(x: Any, labels: Any, loss: Any, log_p: Any) -> bool:  # pragma: no cover - compiled
    n, classes = x.shape
    for i in range(n):
        if not 0 <= labels[i] < classes:
            return False
    zero = x.dtype.type(0.0)
    for i in range(n):
        row, out = x[i], log_p[i]
        top = row[0]
        for j in range(classes):
            top = row[j] if row[j] > top else top
        if not np.isfinite(top):
            top = zero
        total = 0.0
        for j in range(classes):
            out[j] = row[j] - top
            total += np.exp(out[j])
        shift = np.log(x.dtype.type(total))
        for j in range(classes):
            out[j] -= shift
        loss[i] = -out[labels[i]]
    return True


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def _backward(g: Any, labels: Any, log_p: Any, d_logits: Any) -> None:  # pragma: no cover - compiled
    n, classes = log_p.shape
    one = log_p.dtype.type(1.0)
    for i in range(n):
        row, out, slope = log_p[i], d_logits[i], g[i]
        for j in range(classes):
            out[j] = np.exp(row[j])
        out[labels[i]] -= one
        for j in range(classes):
            out[j] *= slope


class softmax_cross_entropy:
    """The kernels of one primitive, for C-ordered arrays of one dtype: `forward`, `backward`."""

    @staticmethod
    def fits(labels: Any, *arrays: Array) -> bool:
        """Whether labels are integers in order, one for each row, and there are few numbers."""
        matrix = arrays[0]
        return (
            matrix.size <= LARGEST
            and labels.__class__ is np.ndarray
            and labels.dtype == np.intp
            and labels.shape == matrix.shape[:1]
            and labels.flags.c_contiguous
        )

    @staticmethod
    def forward(x: Array, labels: Array, into: Any = None) -> Any:
        """The loss of each row, and (log_softmax(x),) for backward; None where a label is no class."""
        if into is None:
            into = np.empty(len(x), x.dtype), buffers.empty(x.shape, x.dtype)
        loss, log_p = into
        return (loss, (log_p,)) if _forward(x, labels, loss, log_p) else None

    @staticmethod
    def backward(g: Array, labels: Array, log_p: Array, into: Any = None) -> Array:
        """g * (softmax - 1 at the label)."""
        d_logits = buffers.empty(log_p.shape, log_p.dtype) if into is None else into
        _backward(g, labels, log_p, d_logits)
        return d_logits
