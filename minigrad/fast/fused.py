"""What the fused primitives call: the chosen kernel where it fits their arguments, else None (readable code runs)."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from . import kernel
from .batch_norm import Moments

Array = np.ndarray[Any, Any]


class _Known(threading.local):
    """Moments of a matrix that were just taken, for the forward that follows: (matrix, moments)."""

    entry: tuple[Array, Moments] | None = None


_known = _Known()


class BatchNorm:
    """forward and backward of the primitive batch_norm_ on bare arrays."""

    @staticmethod
    def moments(x: Array) -> Moments | None:
        """Statistics of the columns, remembered until `forgotten` for the forward of the very same array."""
        fast = kernel("batch_norm")
        if fast is None or not fast.fits(x):
            return None
        moments: Moments = fast.moments(x)
        _known.entry = x, moments
        return moments

    @staticmethod
    def forgotten() -> None:
        """The array of `moments` may change from here on."""
        _known.entry = None

    @staticmethod
    def forward(
        x: Array, gamma: Any, beta: Any, *, axis: tuple[int, ...], wide: Any, eps: float, into: Any = None
    ) -> Any:
        """(y, saved), or None; `into`: (y, x_hat, inv_std), to be filled and returned."""
        fast = kernel("batch_norm")
        if fast is None or axis != (0,) or not fast.fits(x, gamma, beta):
            return None
        entry = _known.entry
        moments = entry[1] if entry is not None and entry[0] is x else None
        return fast.forward(x, gamma, beta, eps, moments, into)

    @staticmethod
    def backward(
        g: Array,
        out: Array,
        saved: Any,
        x: Array,
        gamma: Any,
        beta: Any,
        *,
        axis: Any,
        wide: Any,
        eps: float,
        into: Any = None,
    ) -> Any:
        """(dx, d_gamma, d_beta), or None; `into`: these three, to be filled and returned, None where none is wanted."""
        fast = kernel("batch_norm")
        if fast is None or axis != (0,) or not fast.fits(g, gamma, *saved):
            return None
        dx, d_gamma, d_beta = fast.backward(g, gamma, *saved, into)
        if into is not None:
            return into
        return dx, None if gamma is None else d_gamma, None if beta is None else d_beta
