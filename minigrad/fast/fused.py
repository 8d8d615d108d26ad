"""Kernels in the place of fused primitives: each gives None where it does not fit, and the readable code runs.

forward(arrays, params, into=None)                   (value, saved); `into`: these arrays, to be filled
backward(g, out, saved, arrays, params, into=None)   a gradient for each input; `into`: these, None where not wanted

A gradient may come from a sum, as one number seen many times: it is put in C order, so that it takes the same way as
any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._support.shapes import count, with_ones
from . import kernel, pool
from .numpy_kernels.batch import fits

Array = np.ndarray[Any, Any]


class BatchNorm:
    """Of the primitive batch_norm, over the rows of a matrix."""

    @staticmethod
    def forward(arrays: Any, params: Any, into: Any = None) -> Any:
        """y, and x_hat, inv_std, offset, var as `save` has them."""
        fast, (x, gamma, beta) = kernel("batch_norm"), arrays
        if fast is None or params["axis"] != (0,) or not fits(x, gamma, beta):
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
        g = g if g.flags.c_contiguous else np.ascontiguousarray(g)
        if fast is None or params["axis"] != (0,) or not fits(g, gamma, x_hat, inv_std):
            return None
        dx, d_gamma, d_beta = fast.backward(g, gamma, x_hat, inv_std, into)
        return into or (dx, None if gamma is None else d_gamma, None if beta is None else d_beta)


class LayerNorm:
    """Of the primitive layer_norm, over the last axes of an array in C order: the rows of a matrix."""

    @staticmethod
    def forward(arrays: Any, params: Any, into: Any = None) -> Any:
        """y, and x_hat, inv_std."""
        fast, (x, gamma, beta), axis = kernel("layer_norm"), arrays, params["axis"]
        if fast is None or not _trailing(x, axis) or not fits(_rows(x, axis), gamma, beta):
            return None
        room = pool.empty(x.shape, x.dtype), pool.empty(x.shape, x.dtype), np.empty(with_ones(x.shape, axis), x.dtype)
        y, x_hat, inv_std = into or room
        places = _rows(y, axis), _rows(x_hat, axis), inv_std.reshape(-1, 1)
        fast.forward(_rows(x, axis), _flat(gamma), _flat(beta), params["eps"], *places)
        return y, (x_hat, inv_std)

    @staticmethod
    def backward(g: Array, out: Array, saved: Any, arrays: Any, params: Any, into: Any = None) -> Any:
        """dx, d_gamma, d_beta."""
        fast, (_, gamma, beta), (x_hat, inv_std), axis = kernel("layer_norm"), arrays, saved, params["axis"]
        g = g if g.flags.c_contiguous else np.ascontiguousarray(g)
        if fast is None or not _trailing(g, axis) or not fits(_rows(g, axis), gamma, x_hat, inv_std):
            return None
        shapes = g.shape, *[g.shape[g.ndim - len(axis) :]] * 2
        places = [pool.empty(n, g.dtype) if a is None else a for a, n in zip(into or [None] * 3, shapes, strict=True)]
        dx, d_gamma, d_beta = places
        inputs = _rows(g, axis), _flat(gamma), _rows(x_hat, axis), inv_std.reshape(-1, 1)
        fast.backward(*inputs, _rows(dx, axis), _flat(d_gamma), _flat(d_beta))
        return into or (dx, None if gamma is None else d_gamma, None if beta is None else d_beta)


def _trailing(x: Array, axis: tuple[int, ...]) -> bool:
    """Whether `axis` are the last axes of an array in C order that is not empty."""
    return bool(x.size and x.flags.c_contiguous) and axis == tuple(range(x.ndim - len(axis), x.ndim))


def _rows(x: Array, axis: tuple[int, ...]) -> Array:
    return x.reshape(-1, count(x.shape, axis))


def _flat(x: Any) -> Any:
    return None if x is None else x.reshape(-1)


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
        g = g if g.flags.c_contiguous else np.ascontiguousarray(g)
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
        loss, slope = into or (pool.empty(z.shape, z.dtype), pool.empty(z.shape, z.dtype))
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
