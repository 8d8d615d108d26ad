"""What cross-entropies call: the chosen kernel where it fits their arguments, else None (readable code runs)."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import kernel
from .fused import ordered
from .numpy_kernels.batch_norm import fits

Array = np.ndarray[Any, Any]


class SoftmaxCrossEntropy:
    """forward and backward of the primitive softmax_cross_entropy on bare arrays."""

    @staticmethod
    def forward(logits: Array, *, labels: Any, into: Any = None) -> Any:
        """(loss, saved), or None; `into`: (loss, log_p), to be filled and returned."""
        fast = kernel("softmax_cross_entropy")
        if fast is None or logits.__class__ is not np.ndarray or not (fits(logits) and fast.fits(labels, logits)):
            return None
        return fast.forward(logits, labels, into)

    @staticmethod
    def backward(g: Array, out: Array, saved: Any, logits: Array, *, labels: Any, into: Any = None) -> Any:
        """(d_logits,), or None; `into`: the same, to be filled and returned."""
        fast = kernel("softmax_cross_entropy")
        (log_p,) = saved
        g = ordered(g)
        if fast is None or not (fits(log_p, g) and fast.fits(labels, log_p)):
            return None
        return (fast.backward(g, labels, log_p, None if into is None else into[0]),)


class SigmoidCrossEntropy:
    """forward and backward of the primitive sigmoid_cross_entropy on bare arrays."""

    @staticmethod
    def forward(z: Array, t: Any, *, into: Any = None) -> Any:
        """(loss, saved), or None; `into`: (loss, slope), to be filled and returned."""
        fast = kernel("sigmoid_cross_entropy")
        if fast is None or not fast.fits(z, t):
            return None
        loss, slope = (np.empty_like(z), np.empty_like(z)) if into is None else into
        fast.forward(z, t, loss, slope)
        return loss, (slope,)

    @staticmethod
    def backward(g: Array, out: Array, saved: Any, z: Array, t: Any, *, into: Any = None) -> Any:
        """(dz, dt); `into`: the same, to be filled and returned, None where none is wanted."""
        (slope,) = saved
        dz, dt = into or (None, None)
        if into is None or dz is not None:
            dz = np.multiply(g, slope, dz)
        if into is None or dt is not None:
            dt = np.negative(np.multiply(g, z, dt), dt)
        return dz, dt
