"""BatchNorm1d: batch norm as a layer, with running statistics after four conventions.

|                                | torch              | keras              | cs231n             | paper               |
| ------------------------------ | ------------------ | ------------------ | ------------------ | ------------------- |
| update                         | (1-m)*old + m*batch| m*old + (1-m)*batch| m*old + (1-m)*batch| average over batches|
| m, eps                         | 0.1, 1e-5          | 0.99, 1e-3         | 0.9, 1e-5          | -, 1e-5             |
| running variance starts at     | 1                  | 1                  | 0                  | 1 (replaced at once)|
| it stores the batch's variance | unbiased           | biased             | biased             | unbiased            |

All normalize with the biased variance of the batch in training. Sources: PyTorch's BatchNorm1d, Keras'
BatchNormalization, the cs231n notebook (seed 002), Ioffe and Szegedy 2015, algorithm 2.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import ops
from .._support.arrays import plain
from .._support.signatures import Array, Data, Value
from .._support.text import visible
from ..core.context import current, no_grad, using
from ..core.nodes import Node, callback, kernel, raw, written
from ..core.tensor import Tensor
from ..creation import ones, zeros
from ..functional import floats
from ..normalization import batch_norm, batch_norm_composed, batch_norm_inference, batch_norm_inference_composed
from .module import Module, in_mode, put, special, without


def frozen_statistics() -> using:
    """Inside, modules change no state of their own: running statistics stay as they are.

    For whoever calls a function many times to look at it, as numerical gradients do.
    """
    return using(frozen=True)


@dataclass(frozen=True)
class Convention:
    """How a library keeps running statistics: one column of the table above."""

    momentum: float | None  # None: every batch counts the same
    eps: float
    momentum_keeps: bool  # is `momentum` the share of the old value (Keras, cs231n) or of the batch (PyTorch)?
    start_var: float
    unbiased: bool


CONVENTIONS = {
    "torch": Convention(momentum=0.1, eps=1e-5, momentum_keeps=False, start_var=1.0, unbiased=True),
    "keras": Convention(momentum=0.99, eps=1e-3, momentum_keeps=True, start_var=1.0, unbiased=False),
    "cs231n": Convention(momentum=0.9, eps=1e-5, momentum_keeps=True, start_var=0.0, unbiased=False),
    "paper": Convention(momentum=None, eps=1e-5, momentum_keeps=True, start_var=1.0, unbiased=True),
}


class NonFinite(ValueError):
    """A layer was given NaN or infinite values."""


class BatchNorm1d(Module):
    """gamma * (x - mean) / sqrt(var + eps) + beta per channel: of the batch in training, running ones in eval().

    x: (N, C) or (N, C, L), statistics over N (and L). `implementation`: "fused" (one node) or "composed" (a graph of
    primitives), same results. `momentum` and `eps` default to the convention's. `bias_correction=True` divides a
    running average in eval() by 1 - keep^updates, which removes what a short training leaves of its start value.
    scale=False is without gamma and center=False without beta, as in Keras; affine=False without either.
    Training with one value a channel, an empty or a non-finite batch raises ValueError, and nothing changes.

    A bias before batch norm is absorbed by the mean: its gradient is exactly zero. The layer warns about one that
    it sees, unless `allow_bias=True`.

    >>> import minigrad as mg
    >>> bn = BatchNorm1d(1, convention="keras")
    >>> y = bn(mg.tensor([[1.0], [3.0]]))
    >>> bn.running_mean
    tensor([0.02], name='running_mean')
    >>> bn
    BatchNorm1d(1, convention='keras', implementation='fused', momentum=0.99, eps=0.001)
    """

    def __init__(
        self,
        num_features: int,
        *,
        convention: str = "torch",
        implementation: str = "fused",
        momentum: float | None = None,
        eps: float | None = None,
        affine: bool = True,
        scale: bool = True,
        center: bool = True,
        bias_correction: bool = False,
        allow_bias: bool = False,
        dtype: npt.DTypeLike = float,
    ) -> None:
        if num_features < 1:
            raise ValueError(f"BatchNorm1d: num_features={num_features!r} must be at least 1")
        if convention not in CONVENTIONS:
            raise ValueError(f"BatchNorm1d: convention={convention!r} must be one of {', '.join(CONVENTIONS)}")
        if implementation not in ("fused", "composed"):
            raise ValueError(f"BatchNorm1d: implementation={implementation!r} must be 'fused' or 'composed'")
        rules = CONVENTIONS[convention]
        if rules.momentum is None and (momentum is not None or bias_correction):
            raise ValueError(
                "BatchNorm1d: the paper's convention averages over batches; it has no momentum and needs no correction"
            )
        momentum = rules.momentum if momentum is None else momentum
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm1d: momentum={momentum!r} must lie in 0 .. 1")
        eps = rules.eps if eps is None else eps
        if not 0 <= eps < np.inf:
            raise ValueError(f"BatchNorm1d: eps={eps!r} must be a finite number >= 0; it is added to the variance")
        self.num_features, self.convention, self.implementation = num_features, convention, implementation
        self.momentum, self.eps, self.bias_correction = momentum, eps, bias_correction
        self.gamma = ones(num_features, dtype=dtype, requires_grad=True, name="gamma") if affine and scale else None
        self.beta = zeros(num_features, dtype=dtype, requires_grad=True, name="beta") if affine and center else None
        self.running_mean = zeros(num_features, dtype=dtype, name="running_mean")
        self.running_var = Tensor(np.full(num_features, rules.start_var, dtype), name="running_var")
        self.updates = zeros((), dtype=np.int64, name="updates")
        self.start_share = ones((), name="start_share")  # how much of the start value the averages still hold
        self._looked_for_bias = allow_bias

    def forward(self, x: Data) -> Tensor:
        """Batch norm of x, (N, C) or (N, C, L); in training the running statistics move once."""
        given: Value = floats("BatchNorm1d", x)
        values: Array = raw(given)
        if values.ndim not in (2, 3) or values.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm1d({self.num_features}): x must be (N, {self.num_features}) or (N, {self.num_features}, L), "
                f"got shape {values.shape}"
            )
        axis = 0 if values.ndim == 2 else (0, 2)
        if not self.training:
            given_mean, given_var = self._inference_statistics()
            infer = batch_norm_inference if self.implementation == "fused" else batch_norm_inference_composed
            return infer(given, self.gamma, self.beta, given_mean, given_var, axis=axis, eps=self.eps)
        if not self._looked_for_bias:
            self._warn_of_bias(given)
        count = values.size // self.num_features
        if count < 2:
            raise ValueError(
                f"BatchNorm1d({self.num_features}): training needs at least two values a channel, got x of shape "
                f"{values.shape}; use a larger batch, or .eval() for single samples"
            )
        normalize = batch_norm if self.implementation == "fused" else batch_norm_composed
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are found below, by channel
            y = normalize(x, self.gamma, self.beta, axis=axis, eps=self.eps)
        saved = y.saved if isinstance(y, Node) and normalize is batch_norm else None
        moved = (self.running_mean, self.running_var, self.updates, self.start_share)
        callback(self._move, values, axis, count, current().frozen, *(saved[2:] if saved else ()), writes=moved)
        return y

    # statistics ---------------------------------------------------------------------------------------------

    def _move(self, values: Array, axis: int | tuple[int, ...], count: int, frozen: bool, *moments: Array) -> None:
        """Move the running statistics towards a batch of `count` values a channel; NonFinite before they move.

        moments: its mean, as it differs from the first row, and its variance, where the forward has saved them.
        """
        rules, n = CONVENTIONS[self.convention], int(self.updates._array) + 1
        (keep, take), scale = self._shares(n), count / (count - 1) if rules.unbiased else 1.0
        running = self.running_mean._array, self.running_var._array
        fast = kernel("running_statistics") if moments and not frozen and running[0].dtype == values.dtype else None
        if fast:
            first, (offset, var) = _first(values).reshape(-1), moments
            var = var.reshape(-1)
            finite = fast(*running, first, offset.reshape(-1), var, keep, take, scale)
        else:
            with np.errstate(invalid="ignore", over="ignore"):
                offset, var = moments or _moments(values, axis)
                mean, var = (_first(values) + offset).reshape(-1), var.reshape(-1)
                finite = np.isfinite(var).all() if frozen else _moved(*running, mean, var, keep, take, scale)
        if not finite:
            self._refuse(values, var)
        if not frozen:
            # as Python numbers: a tenth of the time
            self.updates._array[...], self.start_share._array[...] = n, keep * float(self.start_share._array)
            written(self.running_mean, self.running_var, self.updates, self.start_share)

    def _shares(self, n: int) -> tuple[float, float]:
        """(share of the old value, share of the batch) in update number n, counted from 1."""
        if self.momentum is None:
            return (n - 1) / n, 1 / n
        m = self.momentum
        return (m, 1 - m) if CONVENTIONS[self.convention].momentum_keeps else (1 - m, m)

    def _refuse(self, values: Array, var: Array) -> None:
        bad = np.flatnonzero(~np.isfinite(var))
        what = "values whose square overflows" if np.isfinite(values).all() else "NaN or infinite values"
        raise NonFinite(
            f"BatchNorm1d({self.num_features}): the batch of shape {values.shape} has {what} in "
            f"{bad.size} channel(s), first in channel {bad[0]}; running statistics are unchanged"
        )

    def _inference_statistics(self) -> tuple[Tensor, Tensor]:
        if not self.bias_correction:
            return self.running_mean, self.running_var
        mean, var = callback(self._corrected)
        return Tensor._leaf(mean).named("corrected_mean"), Tensor._leaf(var).named("corrected_var")

    def _corrected(self) -> tuple[Array, Array]:
        """The running averages without what they still hold of their start."""
        share = float(self.start_share._array)
        mean, var = self.running_mean._array, self.running_var._array
        if share in (0.0, 1.0):
            return mean.copy(), var.copy()
        start = CONVENTIONS[self.convention].start_var
        return mean / (1.0 - share), np.maximum(var - share * start, 0) / (1.0 - share)

    def reset_statistics(self) -> None:
        """Running statistics as at the start."""
        start_var = CONVENTIONS[self.convention].start_var
        put({self.running_mean: 0, self.running_var: start_var, self.updates: 0, self.start_share: 1})

    def _impossible(self, given: Mapping[str, Array], prefix: str) -> list[str]:
        names = {name: f"{prefix}{name}" for name in ("running_var", "updates", "start_share")}
        exchanged = "; are mean and variance exchanged?"
        return [
            f"{path} has negative values or NaN{exchanged if name == 'running_var' else ''}"
            for name, path in names.items()
            if not (given[path] >= 0).all()
        ]

    # weights as Keras lists them ----------------------------------------------------------------------------

    def get_weights(self) -> list[Array]:
        """Copies of [gamma, beta, running mean, running variance], in Keras' order."""
        return [tensor._array.copy() for tensor in self._weights()]

    def set_weights(self, weights: Iterable[Data]) -> None:
        """Set what `get_weights` gives: all of it, or nothing and a ValueError."""
        tensors = self._weights()
        given = [plain(array) for array in weights]
        shapes = [array.shape for array in given]
        if shapes != [tensor.shape for tensor in tensors]:
            names = ", ".join(str(tensor.name) for tensor in tensors)
            raise ValueError(f"set_weights: expected {names} of shape ({self.num_features},) each, got shapes {shapes}")
        if any(array.dtype.kind not in "fiu" for array in given):
            raise TypeError(f"set_weights: expected real numbers, got {[str(array.dtype) for array in given]}")
        if not all(np.isfinite(array).all() for array in given) or (given[-1] < 0).any():
            raise ValueError("set_weights: all values must be finite, and no variance negative")
        put({**dict(zip(tensors, given, strict=True)), self.start_share: 0})

    def _weights(self) -> list[Tensor]:
        affine = [tensor for tensor in (self.gamma, self.beta) if tensor is not None]
        return [*affine, self.running_mean, self.running_var]

    def _warn_of_bias(self, x: Any) -> None:
        self._looked_for_bias = True
        if isinstance(x, Node) and x.op is not None and x.op.name == "add":
            for bias in x.inputs:
                if isinstance(bias, Tensor) and bias.op is None and bias.requires_grad and bias.ndim == 1:
                    warnings.warn(
                        f"the bias {visible(bias.name or '')} of shape {bias.shape} feeds a batch norm, which "
                        "subtracts it again: its gradient is exactly zero. Use Linear(bias=False), or "
                        "BatchNorm1d(allow_bias=True)",
                        stacklevel=5,
                    )

    def _about(self) -> str:
        return (
            f"{self.num_features}, convention={self.convention!r}, implementation={self.implementation!r}, "
            f"momentum={self.momentum}, eps={self.eps}{', bias_correction=True' * self.bias_correction}"
            + without(self.gamma, self.beta)
            + special(self.running_mean)
        )


def _first(values: Array) -> Array:
    """The first value of each channel."""
    return values[(slice(0, 1), slice(None), slice(0, 1))[: values.ndim]]


def _moved(mean: Array, var: Array, new_mean: Array, new_var: Array, keep: float, take: float, scale: float) -> bool:
    """Running statistics keep * old + take * (mean, scale * var), in place; False, and no change, if var is not finite.

    A NaN or infinity anywhere in a channel is in its variance. fast/ has kernels of this.
    """
    moved = (keep * var + (take * scale) * new_var).astype(var.dtype)
    if not np.isfinite(moved).all():
        return False
    mean[...] = keep * mean + take * new_mean
    var[...] = moved
    return True


def _moments(values: Array, axis: int | tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and biased variance of each channel of values - first, as the fused form has them."""
    values = values.astype(np.float32) if values.dtype.char == "e" else values  # whose squares would overflow
    shifted = values - _first(values)  # exact for constants, more digits far from zero
    offset = ops.mean(shifted, axis=axis, keepdims=True)
    return offset, ops.mean(np.square(shifted - offset), axis=axis, keepdims=True)


def average_statistics(model: Module, batches: Iterable[Data]) -> None:
    """Set the running statistics of every BatchNorm1d in `model` to averages over `batches`, weights unchanged.

    Algorithm 2 of Ioffe and Szegedy 2015, for after a training; also the cure for running averages that lag
    behind. Means are averaged as they are, variances as the layer's convention stores them. All or nothing: if a
    batch fails, the statistics are as before.
    """
    layers = [module for _, module in model.named_modules() if isinstance(module, BatchNorm1d)]
    before = [(layer, layer.momentum, layer.state_dict()) for layer in layers]
    seen = 0
    try:
        for layer in layers:
            layer.reset_statistics()
            layer.momentum = None
        with no_grad(), in_mode(model, True):
            for seen, batch in enumerate(batches, 1):  # noqa: B007
                model(batch)
        if not seen:
            raise ValueError("average_statistics: there were no batches")
    except BaseException:
        for layer, _, state in before:
            layer.load_state_dict(state)
        raise
    finally:
        for layer, momentum, _ in before:
            layer.momentum = momentum
