"""Kernels in the place of fused primitives: each gives None where it does not fit, and the readable code runs.

forward(arrays, params, into=None)                   (value, saved); `into`: these arrays, to be filled
backward(g, out, saved, arrays, params, into=None)   a gradient for each input; `into`: these, None where not wanted
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import kernel
from .numpy_kernels.batch import fits

Array = np.ndarray[Any, Any]


def ordered(g: Array) -> Array:
    """g in C order. A gradient that comes from a sum is one number seen many times: it takes the same way as any."""
    return g if g.flags.c_contiguous else np.ascontiguousarray(g)


class BatchNorm:
    """Of the primitive batch_norm, over the rows of a matrix."""

    @staticmethod
    def forward(arrays: Any, params: Any, into: Any = None) -> Any:
        """y, and x_hat, inv_std, offset, var as `save` has them."""
        fast, (x, gamma, beta) = kernel("batch_norm"), arrays
        if fast is None or params["axis"] != (0,) or not fast.fits(x, gamma, beta):
            return None
        y, (x_hat, inv_std), (offset, var) = fast.forward(x, gamma, beta, params["eps"], into and into[:3])
        if into is None:
            return y, (x_hat, inv_std, offset[None], var[None])
        into[3][0], into[4][0] = offset, var
        return y, into[1:]

    @staticmethod
    def backward(g: Array, out: Array, saved: Any, arrays: Any, params: Any, into: Any = None) -> Any:
        """dx, d_gamma, d_beta."""
        fast, (_, gamma, beta), (x_hat, inv_std, *_) = kernel("batch_norm"), arrays, saved
        g = ordered(g)
        if fast is None or params["axis"] != (0,) or not fast.fits(g, gamma, x_hat, inv_std):
            return None
        dx, d_gamma, d_beta = fast.backward(g, gamma, x_hat, inv_std, into)
        return into or (dx, None if gamma is None else d_gamma, None if beta is None else d_beta)


class LayerNorm:
    """Of the primitive layer_norm, over the last axes of an array in C order."""

    @staticmethod
    def forward(arrays: Any, params: Any, into: Any = None) -> Any:
        """y, and x_hat, inv_std."""
        fast, (x, gamma, beta), axis = kernel("layer_norm"), arrays, params["axis"]
        d = _trailing(x, axis) if fast is not None else 0
        if not d or not fits(_rows(x, d), gamma, beta):
            return None
        matrices = into and (_rows(into[0], d), _rows(into[1], d), _rows(into[2], 1))
        y, (x_hat, inv_std) = fast.forward(_rows(x, d), _flat(gamma), _flat(beta), params["eps"], matrices)
        if into is not None:
            return into[0], tuple(into[1:])
        kept = x.shape[: x.ndim - len(axis)] + (1,) * len(axis)
        return y.reshape(x.shape), (x_hat.reshape(x.shape), inv_std.reshape(kept))

    @staticmethod
    def backward(g: Array, out: Array, saved: Any, arrays: Any, params: Any, into: Any = None) -> Any:
        """dx, d_gamma, d_beta."""
        fast, (_, gamma, beta), (x_hat, inv_std), axis = kernel("layer_norm"), arrays, saved, params["axis"]
        g = ordered(g)
        d = _trailing(g, axis) if fast is not None else 0
        if not d or not fits(_rows(g, d), gamma, x_hat, inv_std):
            return None
        matrices = into and (None if into[0] is None else _rows(into[0], d), _flat(into[1]), _flat(into[2]))
        dx, d_gamma, d_beta = fast.backward(_rows(g, d), _flat(gamma), _rows(x_hat, d), _rows(inv_std, 1), matrices)
        own = g.shape[g.ndim - len(axis) :]
        return into or (
            dx.reshape(g.shape),
            None if gamma is None else d_gamma.reshape(own),
            None if beta is None else d_beta.reshape(own),
        )


class SoftmaxCrossEntropy:
    """Of the primitive softmax_cross_entropy."""

    @staticmethod
    def forward(arrays: Any, params: Any, into: Any = None) -> Any:
        """The loss of each row, and log_p."""
        fast, (logits,), labels = kernel("softmax_cross_entropy"), arrays, params["labels"]
        if fast is None or logits.__class__ is not np.ndarray or not (fits(logits) and fast.fits(labels, logits)):
            return None
        return fast.forward(logits, labels, into)

    @staticmethod
    def backward(g: Array, out: Array, saved: Any, arrays: Any, params: Any, into: Any = None) -> Any:
        """d_logits."""
        fast, (log_p,), labels = kernel("softmax_cross_entropy"), saved, params["labels"]
        g = ordered(g)
        if fast is None or not (fits(log_p, g) and fast.fits(labels, log_p)):
            return None
        return (fast.backward(g, labels, log_p, into and into[0]),)


class SigmoidCrossEntropy:
    """Of the primitive sigmoid_cross_entropy."""

    @staticmethod
    def forward(arrays: Any, params: Any, into: Any = None) -> Any:
        """The loss of each element, and its slope."""
        fast, (z, t) = kernel("sigmoid_cross_entropy"), arrays
        if fast is None or not fast.fits(z, t):
            return None
        loss, slope = into or (np.empty_like(z), np.empty_like(z))
        fast.forward(z, t, loss, slope)
        return loss, (slope,)

    @staticmethod
    def backward(g: Array, out: Array, saved: Any, arrays: Any, params: Any, into: Any = None) -> Any:
        """dz, dt."""
        (slope,), (dz, dt) = saved, into or (None, None)
        if into is None or dz is not None:
            dz = np.multiply(g, slope, dz)
        if into is None or dt is not None:
            dt = np.negative(np.multiply(g, arrays[0], dt), dt)
        return dz, dt


KERNELS: dict[str, Any] = {
    "batch_norm": BatchNorm,
    "layer_norm": LayerNorm,
    "sigmoid_cross_entropy": SigmoidCrossEntropy,
    "softmax_cross_entropy": SoftmaxCrossEntropy,
}


def _trailing(x: Array, axis: tuple[int, ...]) -> int:
    """How many numbers make a row where `axis` are the last axes of a C-ordered array; 0 where they are not."""
    if not (x.size and x.flags.c_contiguous) or axis != tuple(range(x.ndim - len(axis), x.ndim)):
        return 0
    return math.prod(x.shape[x.ndim - len(axis) :])


def _rows(x: Array, d: int) -> Array:
    return x if x.ndim == 2 and x.shape[1] == d else x.reshape(-1, d)


def _flat(x: Any) -> Any:
    return x if x is None or x.ndim == 1 else x.reshape(-1)
