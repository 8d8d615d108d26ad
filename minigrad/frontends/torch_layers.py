"""PyTorch's normalizations, losses, attention and embeddings, which are kept whole where minigrad has them whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functional, losses, normalization, ops
from ..core.context import scope
from ..core.nodes import raw
from ..core.tensor import Tensor
from .shared_ops import Entry, NotKnown, Out, beside, cast, elementwise, in_range, take

# --------------------------------------------------------------------------------------------------------------
# Normalizations


def normalizations(batch_norm: str, layer_norm: str) -> dict[str, Entry]:
    """The entries for normalization over the batch and within one example, each "composed" or "fused"."""
    for what, form in {"batch_norm": batch_norm, "layer_norm": layer_norm}.items():
        if form not in ("composed", "fused"):
            raise ValueError(f"from_torch: {what}={form!r} must be 'composed' (a graph of primitives) or 'fused' (one)")
    train = {"composed": normalization.batch_norm_composed, "fused": normalization.batch_norm}[batch_norm]
    infer = {
        "composed": normalization.batch_norm_inference_composed,
        "fused": normalization.batch_norm_inference,
    }[batch_norm]
    within = {"composed": normalization.layer_norm_composed, "fused": normalization.layer_norm}[layer_norm]

    def over_batch(x: Any, w: Any, b: Any, mean: Any, var: Any, training: bool, eps: float) -> Any:
        axes = tuple(k for k in range(x.ndim) if k != 1)
        if training:
            return train(x, w, b, axis=axes, eps=eps)
        return infer(x, w, b, mean, var, axis=axes, eps=eps)

    def whole(out: Any, x: Any, w: Any, b: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float) -> Any:
        return over_batch(x, w, b, mean, var, training, eps), *_NOT_GIVEN

    def each(x: Any, axes: tuple[int, ...], w: Any, b: Any, eps: float) -> Any:
        """Normalized over `axes`, then scaled by channel, which is axis 1."""
        y = within(x, axis=axes, eps=eps)
        return y, *(v if v is None else ops.reshape(v, (-1,) + (1,) * (x.ndim - 2)) for v in (w, b))

    def group_norm(out: Out, x: Any, groups: int, w: Any, b: Any, eps: float, cudnn: bool = True) -> Any:
        apart = ops.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
        y = ops.reshape(within(apart, axis=tuple(range(2, apart.ndim)), eps=eps), x.shape)
        return _affine(y, w, b)

    def instance_norm(
        out: Out, x: Any, w: Any, b: Any, mean: Any, var: Any, own: bool, momentum: float, eps: float, cudnn: bool
    ) -> Any:
        if not own:
            return over_batch(x, w, b, mean, var, False, eps)
        return _affine(within(x, axis=tuple(range(2, x.ndim)), eps=eps), w, b)

    def normalized(out: Out, x: Any, shape: list[int], w: Any, b: Any, eps: float, cudnn: bool = True) -> Any:
        return within(x, w, b, axis=tuple(range(-len(shape), 0)), eps=eps)

    return {
        "_native_batch_norm_legit_functional": whole,
        "_native_batch_norm_legit_no_training": lambda out, x, w, b, mean, var, momentum, eps: whole(
            out, x, w, b, mean, var, False, momentum, eps
        ),
        "_native_batch_norm_legit.no_stats": lambda out, x, w, b, training, momentum, eps: whole(
            out, x, w, b, None, None, True, momentum, eps
        ),
        "batch_norm": lambda out, x, w, b, mean, var, training, momentum, eps, cudnn: over_batch(
            x, w, b, mean, var, training, eps
        ),
        "layer_norm": normalized,
        "group_norm": group_norm,
        "instance_norm": instance_norm,
        "rms_norm": _rms_norm,
    }


_NOT_GIVEN = (None,) * 4  # statistics that PyTorch gives beside the result: running ones stay as they are


def _affine(y: Any, w: Any, b: Any) -> Any:
    """w * y + b by channel, which is axis 1."""
    with scope("affine"):
        wide = (-1,) + (1,) * (y.ndim - 2)
        y = y if w is None else y * ops.reshape(w, wide)
        return y if b is None else y + ops.reshape(b, wide)


@scope("rms_norm")
def _rms_norm(out: Out, x: Any, shape: list[int], w: Any, eps: float | None) -> Any:
    """x / sqrt(mean(x^2) + eps) * w; eps is that of the dtype where none is given."""
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    y = x / ops.sqrt(ops.mean(ops.square(x), axis=tuple(range(-len(shape), 0)), keepdims=True) + eps)
    return y if w is None else y * w


# --------------------------------------------------------------------------------------------------------------
# Losses

REDUCTION = {0: "none", 1: "mean", 2: "sum"}


def _mean(total: Any, reduction: int) -> Any:
    return ops.mean(total) if reduction == 1 else ops.sum(total) if reduction == 2 else total


def _pairwise(loss: Any) -> Entry:
    """An entry of a loss of two arrays of one shape."""

    def call(out: Out, x: Any, y: Any, reduction: int = 1, **options: Any) -> Any:
        x, y = (ops.broadcast_to(cast(v, out.dtype), np.broadcast_shapes(x.shape, y.shape)) for v in (x, y))
        return loss(x, y, reduction=REDUCTION[reduction], **options)

    return call


def _smooth_l1(out: Out, x: Any, y: Any, reduction: int = 1, beta: float = 1.0) -> Any:
    if beta == 0:
        return _pairwise(losses.l1_loss)(out, x, y, reduction)
    loss = _pairwise(losses.huber_loss)(out, x, y, reduction, delta=beta)
    return loss if beta == 1 else loss / beta


@scope("binary_cross_entropy")
def _binary(out: Out, p: Any, t: Any, weight: Any = None, reduction: int = 1) -> Any:
    """-t log p - (1 - t) log(1 - p), each logarithm at least -100."""
    least = math.exp(-100.0)
    each = -(t * ops.log(ops.clip(p, least)) + (1.0 - t) * ops.log(ops.clip(1.0 - p, least)))
    return _mean(each if weight is None else each * weight, reduction)


def _binary_with_logits(
    out: Out, z: Any, t: Any, weight: Any = None, pos_weight: Any = None, reduction: int = 1
) -> Any:
    t = cast(t, out.dtype)
    if pos_weight is None:
        each = losses.sigmoid_cross_entropy(z, t)
    else:
        each = (1.0 - t) * ops.softplus(z) + pos_weight * t * ops.softplus(-z)
    return _mean(each if weight is None else each * weight, reduction)


def _classes_last(x: Any) -> Any:
    """Scores of shape (C,), (N, C) or (N, C, ...) with the classes as the last axis."""
    return x if x.ndim <= 2 else ops.transpose(x, (0, *range(2, x.ndim), 1))


def _nll(log_p: Any, labels: Any, weight: Any, reduction: int, ignored: int, shape: Any) -> tuple[Any, Any]:
    """(-weight * log_p at the labels, the sum of the weights that count); log_p: (..., classes)."""
    counts = ops.not_equal(labels, ignored)
    safe = in_range(ops.where(counts, labels, 0), log_p.shape[-1])
    index = beside(lambda a: a[..., None], safe)
    picked = ops.squeeze(ops.getitem(log_p, _rows(index)), -1)
    each = cast(counts, log_p.dtype) * (1.0 if weight is None else ops.getitem(weight.detach(), safe))
    loss = ops.where(counts, -picked * each, 0.0)
    return loss, each


def _rows(index: Any) -> tuple[Any, ...]:
    from .shared_ops import along

    return along(index, index.ndim - 1)


def _nll_loss(out: Out, log_p: Any, labels: Any, weight: Any = None, reduction: int = 1, ignored: int = -100) -> Any:
    loss, each = _nll(_classes_last(log_p), labels, weight, reduction, ignored, out.shape)
    return ops.sum(loss) / ops.sum(each) if reduction == 1 else _mean(loss, reduction)


def _cross_entropy(
    out: Out, z: Any, target: Any, weight: Any = None, reduction: int = 1, ignored: int = -100, smoothing: float = 0.0
) -> Any:
    """Of class numbers or of probabilities; one primitive where neither weights nor ignored labels are in the way."""
    scores = _classes_last(z)
    share = smoothing / scores.shape[-1]
    if target.dtype.kind == "f":
        with scope("cross_entropy"):
            t = _classes_last(target)
            t = t if smoothing == 0 else t * (1.0 - smoothing) + share
            t = t if weight is None else t * weight
            loss = -ops.sum(functional.log_softmax(scores) * t, axis=-1)
            return ops.sum(loss) / float(max(loss.size, 1)) if reduction == 1 else _mean(loss, reduction)
    if weight is None and smoothing == 0 and not (raw(target) == ignored).any():
        return losses.cross_entropy(scores, target, reduction=REDUCTION[reduction])
    with scope("cross_entropy"):
        log_p = functional.log_softmax(scores)
        loss, each = _nll(log_p, target, weight, reduction, ignored, out.shape)
        if smoothing:
            spread = -ops.sum(log_p if weight is None else log_p * weight, axis=-1)
            loss = loss * (1.0 - smoothing) + share * ops.where(ops.not_equal(target, ignored), spread, 0.0)
        return ops.sum(loss) / ops.sum(each) if reduction == 1 else _mean(loss, reduction)


# --------------------------------------------------------------------------------------------------------------
# Attention, embedding, pooling


@scope("attention")
def _attention(
    out: Out,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(q @ k.T * scale + mask) @ v; a row that may look at nothing gives 0."""
    if dropout_p > 0:
        raise NotKnown("draws random numbers for dropout; call module.eval() first")
    if enable_gqa:
        raise NotKnown("with enable_gqa=True")
    scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        mask = Tensor(np.tril(np.ones(scores.shape[-2:], bool)))
    if mask is None:
        return ops.matmul(functional.softmax(scores), v)
    if mask.dtype != bool:
        return ops.matmul(functional.softmax(scores + mask), v)
    blind = beside(lambda m: ~m.any(axis=-1, keepdims=True), mask)
    scores = ops.where(mask, scores, -math.inf)
    if not raw(blind).any():
        return ops.matmul(functional.softmax(scores), v)
    return ops.matmul(ops.where(blind, 0.0, functional.softmax(ops.where(blind, 0.0, scores))), v)


def _embedding(
    out: Out, weight: Any, index: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    if scale_grad_by_freq:
        raise NotKnown("with scale_grad_by_freq=True")
    rows = take(weight, 0, in_range(index, weight.shape[0]))
    if padding_idx < 0:
        return rows
    padding = beside(lambda a: (a == padding_idx)[..., None], index)  # those rows have no gradient
    return ops.where(padding, rows.detach(), rows)


def _pool(axes: int) -> Entry:
    """The mean of blocks that lie side by side."""

    def call(
        out: Out, x: Any, size: list[int], stride: list[int], padding: Any = 0, ceil: bool = False, *rest: Any
    ) -> Any:
        size, stride, padding = (
            list(v) * (axes if len(v) == 1 else 1) if isinstance(v, (list, tuple)) else [v] * axes
            for v in (size, stride or size, padding)
        )
        if stride != size or any(padding):
            raise NotKnown("whose blocks overlap, leave gaps or are padded")
        return _blocks(x, size, out)

    return call


def _adaptive(axes: int) -> Entry:
    def call(out: Out, x: Any, wanted: list[int]) -> Any:
        size = [n // m for n, m in zip(x.shape[-axes:], wanted, strict=True)]
        if any(n % m for n, m in zip(x.shape[-axes:], wanted, strict=True)):
            raise NotKnown(f"of {x.shape[-axes:]} to {tuple(wanted)}, whose blocks overlap")
        return _blocks(x, size, out)

    return call


def _blocks(x: Any, size: list[int], out: Out) -> Any:
    before, counts = x.shape[: x.ndim - len(size)], out.shape[x.ndim - len(size) :]
    x = ops.getitem(x, (..., *(slice(n * k) for n, k in zip(counts, size, strict=True))))
    apart = ops.reshape(x, (*before, *(n for pair in zip(counts, size, strict=True) for n in pair)))
    return ops.mean(apart, axis=tuple(len(before) + 1 + 2 * k for k in range(len(size))))


LAYERS: dict[str, Entry] = {
    "mse_loss": _pairwise(losses.mse_loss),
    "l1_loss": _pairwise(losses.l1_loss),
    "smooth_l1_loss": _smooth_l1,
    "huber_loss": lambda out, x, y, reduction=1, delta=1.0: _pairwise(losses.huber_loss)(
        out, x, y, reduction, delta=delta
    ),
    "binary_cross_entropy": _binary,
    "binary_cross_entropy_with_logits": _binary_with_logits,
    "nll_loss_nd": _nll_loss,
    "cross_entropy_loss": _cross_entropy,
    "scaled_dot_product_attention": _attention,
    "embedding": _embedding,
    "avg_pool1d": _pool(1),
    "avg_pool2d": _pool(2),
    "_adaptive_avg_pool2d": _adaptive(2),
}
