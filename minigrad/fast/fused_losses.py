"""What the losses that are one node call: as fused.py, which does it for normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import kernel

Array = np.ndarray[Any, Any]


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
