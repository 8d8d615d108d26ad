"""What fused normalization calls: the chosen kernel where it fits their arguments, else None (readable code runs)."""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

import numpy as np

from . import kernel
from .numpy_kernels.batch_norm import Moments, fits

Array = np.ndarray[Any, Any]


class _Latest(threading.local):
    """The matrix that was normalized last, if it still lives; (mean, variance) of x - first row."""

    entry: tuple[weakref.ref[Array], Any] | None = None


_latest = _Latest()


class BatchNorm:
    """forward and backward of the primitive batch_norm_ on bare arrays."""

    @staticmethod
    def moments(x: Array) -> Moments | None:
        """Statistics of the columns of a matrix, or None: those of the forward, if x is what it normalized last.

        To be asked right after that forward, once: x may change from here on.
        """
        entry, _latest.entry = _latest.entry, None
        if entry is not None and entry[0]() is x:
            return Moments(x[0], *entry[1])
        fast = kernel("batch_norm")
        moments: Moments | None = None if fast is None or not fast.fits(x) else fast.moments(x)
        return moments

    @staticmethod
    def forward(
        x: Array, gamma: Any, beta: Any, *, axis: tuple[int, ...], wide: Any, eps: float, into: Any = None
    ) -> Any:
        """(y, saved), or None; `into`: (y, x_hat, inv_std), to be filled and returned."""
        fast = kernel("batch_norm")
        if fast is None or axis != (0,) or not fast.fits(x, gamma, beta):
            return None
        y, saved, moments = fast.forward(x, gamma, beta, eps, into)
        _latest.entry = weakref.ref(x), moments  # without the first row, which would keep x alive
        return y, saved

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
        g = ordered(g)
        if fast is None or axis != (0,) or not fast.fits(g, gamma, *saved):
            return None
        dx, d_gamma, d_beta = fast.backward(g, gamma, *saved, into)
        if into is not None:
            return into
        return dx, None if gamma is None else d_gamma, None if beta is None else d_beta


class LayerNorm:
    """forward and backward of the primitive layer_norm_ on bare arrays."""

    @staticmethod
    def forward(
        x: Array, gamma: Any, beta: Any, *, axis: tuple[int, ...], wide: Any, eps: float, into: Any = None
    ) -> Any:
        """(y, saved), or None; `into`: (y, x_hat, inv_std), to be filled and returned."""
        fast = kernel("layer_norm")
        d = _trailing(x, axis) if fast is not None else 0
        if not d or not fits(_rows(x, d), gamma, beta):
            return None
        matrices = None if into is None else (_rows(into[0], d), _rows(into[1], d), _rows(into[2], 1))
        y, (x_hat, inv_std) = fast.forward(_rows(x, d), _flat(gamma), _flat(beta), eps, matrices)
        if into is not None:
            return into[0], tuple(into[1:])
        if y.shape == x.shape:
            return y, (x_hat, inv_std)
        kept = x.shape[: x.ndim - len(axis)] + (1,) * len(axis)
        return y.reshape(x.shape), (x_hat.reshape(x.shape), inv_std.reshape(kept))

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
        fast = kernel("layer_norm")
        g = ordered(g)
        d = _trailing(g, axis) if fast is not None else 0
        if not d or not fits(_rows(g, d), gamma, *saved):
            return None
        x_hat, inv_std = saved
        matrices = None
        if into is not None:
            matrices = None if into[0] is None else _rows(into[0], d), _flat(into[1]), _flat(into[2])
        arrays = fast.backward(_rows(g, d), _flat(gamma), _rows(x_hat, d), _rows(inv_std, 1), matrices)
        if into is not None:
            return into
        dx, d_gamma, d_beta = arrays
        own = g.shape[g.ndim - len(axis) :]
        return (
            dx.reshape(g.shape),
            None if gamma is None else d_gamma.reshape(own),
            None if beta is None else d_beta.reshape(own),
        )


def ordered(g: Array) -> Array:
    """g in C order. A gradient that comes from a sum is one number seen many times: it takes the same way as any."""
    return g if g.flags.c_contiguous else np.ascontiguousarray(g)


def _trailing(x: Array, axis: tuple[int, ...]) -> int:
    """How many numbers make a row where `axis` are the last axes of a C-ordered array; 0 where they are not."""
    if not (x.size and x.flags.c_contiguous) or axis != tuple(range(x.ndim - len(axis), x.ndim)):
        return 0
    return math.prod(x.shape[x.ndim - len(axis) :])


def _rows(x: Array, d: int) -> Array:
    return x if x.ndim == 2 and x.shape[1] == d else x.reshape(-1, d)


def _flat(x: Any) -> Any:
    return x if x is None or x.ndim == 1 else x.reshape(-1)
