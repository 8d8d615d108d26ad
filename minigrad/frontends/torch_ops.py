"""PyTorch's ATen ops as minigrad's: `ELEMENTWISE` gets an op's inputs, `OTHERS` what PyTorch says of the result first.

Keyed by the op's name, with its overload where overloads differ; arguments as in PyTorch's schema, defaults filled in
(https://docs.pytorch.org/docs/stable/user_guide/torch_compiler/torch.compiler_ir.html). PyTorch opens all other ops
into these; and one that is here where its entry raises NotKnown.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functional, losses, normalization, ops
from ..core.context import scope
from ..core.nodes import raw
from .imported import COMMON, NotKnown, Out, between, detached, masks, pick, tiled, unless, widened


def _same(x: Any, *how: Any, **options: Any) -> Any:
    return x


def _scaled(y: Any, alpha: Any) -> Any:
    return y if alpha == 1 else ops.mul(y, alpha)


def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "none":
        return ops.gelu(x)
    return 0.5 * x * (1.0 + ops.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))))


def _elu(x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    below = ops.expm1(ops.where(x > 0, 0.0, x) * input_scale) * (alpha * scale)
    return ops.where(x > 0, _scaled(x, scale), below)


_SAME_NAMES = "sigmoid silu leaky_relu maximum minimum where isnan logical_and logical_or logical_not"
ELEMENTWISE: dict[str, Any] = COMMON | {
    **{name: getattr(ops, name) for name in _SAME_NAMES.split()},
    "add": lambda x, y, alpha=1: ops.add(x, _scaled(y, alpha)),
    "sub": lambda x, y, alpha=1: ops.sub(x, _scaled(y, alpha)),
    "rsub": lambda x, y, alpha=1: ops.sub(y, _scaled(x, alpha)),
    **dict.fromkeys(["div.Tensor", "div.Scalar"], ops.div),  # not with rounding
    "reciprocal": lambda x: ops.div(1.0, x),
    "gelu": _gelu,
    "elu": _elu,
    "hardtanh": between,  # slope 0 at the bounds, where clamp has 1
    "clamp": lambda x, low, high: ops.clip(x, low, high),
    "detach": detached,
    "bitwise_and": masks(ops.logical_and),
    "bitwise_or": masks(ops.logical_or),
    "bitwise_not": masks(ops.logical_not),
    **dict.fromkeys(["expand", "clone", "contiguous", "_to_copy", "alias", "lift_fresh_copy"], _same),
}

# --------------------------------------------------------------------------------------------------------------
# Reductions, shapes, picking


def _axis(dim: Any) -> Any:
    return None if dim is None or dim == [] else tuple(dim) if isinstance(dim, list) else dim


def _reduced(function: Any) -> Any:
    def call(out: Out, x: Any, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:
        return function(x, axis=_axis(dim), keepdims=keepdim)

    return call


def _extreme(position: Any) -> Any:
    """(values, indices): the gradient goes to the one element whose index is given."""

    def call(out: None, x: Any, dim: int, keepdim: bool = False) -> Any:
        index = position(x, axis=dim, keepdims=True)
        best = ops.getitem(x, _along(index, dim))
        return (best, index) if keepdim else (ops.squeeze(best, dim), ops.squeeze(index, dim))

    return call


def _norm(out: Out, x: Any, order: float = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """The square root of the sum of squares; slope 0 where it is 0."""
    unless(order != 2, f"of order {order}")
    total = ops.sum(ops.square(x), axis=_axis(dim), keepdims=keepdim)
    zero = ops.equal(total, 0)
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, total)))


def _along(index: Any, dim: int) -> tuple[Any, ...]:
    """The index of numpy.take_along_axis."""
    grids = np.meshgrid(*(np.arange(n) for n in index.shape), indexing="ij", sparse=True)
    return tuple(index if k == dim % index.ndim else grid for k, grid in enumerate(grids))


def _pad(out: Out, x: Any, pad: list[int], value: float = 0.0) -> Any:
    unless(value != 0, f"with value={value}")
    return widened(out, x, [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1])


def _embedding(out: Out, weight: Any, index: Any, padding: int, by_frequency: bool, sparse: bool) -> Any:
    unless(by_frequency, "with scale_grad_by_freq=True")
    rows = ops.getitem(weight, (index,))
    if padding < 0:
        return rows
    return ops.where(ops.expand_dims(ops.equal(index, padding), -1), raw(rows), rows)  # no gradient for padding


def _pool(out: Out, x: Any, size: Any = None, stride: Any = None, padding: Any = 0, *options: Any) -> Any:
    """The mean of blocks that lie side by side."""
    sizes = [n // m for n, m in zip(x.shape[-2:], out.shape[-2:], strict=True)]
    told = [size, stride or size, [0, 0]] if size else [sizes, sizes, [0, 0]]
    wrong = [sizes, sizes, padding or [0, 0]] != told or [
        n * m for n, m in zip(sizes, out.shape[-2:], strict=True)
    ] != [*x.shape[-2:]]
    unless(wrong, "whose blocks do not lie side by side")
    return ops.mean(ops.reshape(x, (*x.shape[:-2], out.shape[-2], sizes[0], out.shape[-1], sizes[1])), axis=(-3, -1))


def _full(out: Out, *given: Any, **options: Any) -> Any:
    return np.full((), raw(given[-1]), out.dtype)


OTHERS: dict[str, Any] = {
    **dict.fromkeys(["mm", "bmm", "mv", "dot", "matmul"], lambda out, x, y: ops.matmul(x, y)),
    "addmm": lambda out, b, x, y, beta=1, alpha=1: _scaled(ops.matmul(x, y), alpha) + _scaled(b, beta),
    "linear": lambda out, x, w, b=None: functional.linear(x, ops.transpose(w), b),
    "einsum": lambda out, equation, operands, **options: ops.einsum(equation, *operands),
    "sum": _reduced(ops.sum),
    "mean": _reduced(ops.mean),
    "prod.default": _reduced(ops.prod),
    "amax": _reduced(ops.max),
    "amin": _reduced(ops.min),
    "max.default": _reduced(ops.max),
    "min.default": _reduced(ops.min),
    "max.dim": _extreme(ops.argmax),
    "min.dim": _extreme(ops.argmin),
    "any": _reduced(ops.max),
    "argmax": _reduced(ops.argmax),
    "argmin": _reduced(ops.argmin),
    "var.correction": lambda out, x, *how, **options: OTHERS["var_mean.correction"](out, x, *how, **options)[0],
    "var_mean.correction": lambda out, x, dim=None, correction=None, keepdim=False: (
        ops.var(x, axis=_axis(dim), keepdims=keepdim, ddof=1 if correction is None else int(correction)),
        ops.mean(x, axis=_axis(dim), keepdims=keepdim),
    ),
    "logsumexp": _reduced(ops.logsumexp),
    "linalg_vector_norm": _norm,
    "cumsum": lambda out, x, dim, **options: ops.cumsum(x, axis=dim),
    **dict.fromkeys(("softmax", "_softmax"), lambda out, x, dim, *how: functional.softmax(x, axis=dim)),
    **dict.fromkeys(("log_softmax", "_log_softmax"), lambda out, x, dim, *how: functional.log_softmax(x, axis=dim)),
    **dict.fromkeys(
        ["view", "_unsafe_view", "unsqueeze", "squeeze", "flatten"], lambda out, x, *how: ops.reshape(x, out.shape)
    ),
    "permute": lambda out, x, dims: ops.transpose(x, tuple(dims)),
    "slice": lambda out, x, dim, start, end, step: x if out.shape == x.shape else pick(x, dim, slice(start, end, step)),
    "select": lambda out, x, dim, index: pick(x, dim, index),
    "index_select": lambda out, x, dim, index: pick(x, dim, index),
    "index": lambda out, x, indices: ops.getitem(x, tuple(slice(None) if i is None else i for i in indices)),
    "gather": lambda out, x, dim, index, **options: ops.getitem(x, _along(index, dim)),
    "embedding": _embedding,
    "split_with_sizes": lambda out, x, sizes, dim: tuple(ops.split(x, np.cumsum(sizes)[:-1].tolist(), axis=dim)),
    "cat": lambda out, tensors, dim: ops.concatenate(tensors, axis=dim),
    "flip": lambda out, x, dims: ops.flip(x, tuple(dims)),
    "repeat": lambda out, x, times: tiled(ops.reshape(x, (1,) * (len(times) - x.ndim) + x.shape), times),
    "constant_pad_nd": _pad,
    **dict.fromkeys(["avg_pool2d", "_adaptive_avg_pool2d"], _pool),
    **dict.fromkeys(["full", "full_like", "scalar_tensor", "fill"], _full),
    "arange.start_step": lambda out, start, end, step, **options: start + step * np.arange(out.shape[0]),
}

# --------------------------------------------------------------------------------------------------------------
# Layers that stay whole


def _cross_entropy(out: Out, z: Any, labels: Any, weight: Any, reduction: int, ignored: int, smoothing: float) -> Any:
    unless(weight is not None or smoothing != 0 or z.ndim > 2 or raw(labels).dtype.kind == "f", "of this kind")
    unless(bool((raw(labels) == ignored).any()), "with ignored labels")
    return losses.cross_entropy(z, labels, reduction=("none", "mean", "sum")[reduction])


@scope("attention")
def _attention(
    out: Out,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    dropout: float,
    causal: bool,
    *,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(q @ k.T * scale + mask) @ v."""
    unless(mask is not None or dropout > 0 or enable_gqa, "with a mask, dropout or enable_gqa")
    scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        scores = ops.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -math.inf)
    return ops.matmul(functional.softmax(scores), v)


def _random(out: Any, *given: Any, **options: Any) -> Any:
    raise NotKnown("draws random numbers, which only minigrad's functions with an rng do; for dropout: module.eval()")


def _layer_norm(out: Out, x: Any, shape: list[int], w: Any, b: Any, eps: float, *rest: Any) -> Any:
    return normalization.layer_norm_composed(x, w, b, axis=tuple(range(-len(shape), 0)), eps=eps)


def _group_norm(out: Out, x: Any, groups: int, w: Any, b: Any, eps: float, *rest: Any) -> Any:
    apart = ops.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    y = ops.reshape(normalization.layer_norm_composed(apart, axis=tuple(range(2, apart.ndim)), eps=eps), x.shape)
    wide = (-1,) + (1,) * (x.ndim - 2)
    y = y if w is None else y * ops.reshape(w, wide)
    return y if b is None else y + ops.reshape(b, wide)


def _instance_norm(
    out: Out, x: Any, w: Any, b: Any, mean: Any, var: Any, own: bool, m: float, eps: float, *rest: Any
) -> Any:
    unless(not own, "with running statistics")
    return _group_norm(out, x, x.shape[1], w, b, eps)


def layers(batch_norm: str) -> dict[str, Any]:
    """The entries of layers that stay whole, batch norm "composed" or "fused"."""
    if batch_norm not in ("composed", "fused"):
        raise ValueError(f"from_torch: batch_norm={batch_norm!r} must be 'composed' (primitives) or 'fused' (one)")
    composed = batch_norm == "composed"
    train = normalization.batch_norm_composed if composed else normalization.batch_norm
    infer = normalization.batch_norm_inference_composed if composed else normalization.batch_norm_inference

    def batch(
        x: Any, w: Any, b: Any, mean: Any, var: Any, training: bool, momentum: Any, eps: float, *rest: Any
    ) -> Any:
        axes = tuple(k for k in range(x.ndim) if k != 1)
        return train(x, w, b, axis=axes, eps=eps) if training else infer(x, w, b, mean, var, axis=axes, eps=eps)

    return {
        "batch_norm": lambda out, *given: batch(*given),
        # (result, statistics that nothing here reads)
        "_native_batch_norm_legit_functional": lambda out, *given: (batch(*given),),
        "_native_batch_norm_legit.no_stats": lambda out, x, w, b, *given: (batch(x, w, b, None, None, *given),),
        "_native_batch_norm_legit_no_training": lambda out, x, w, b, mean, var, *given: (
            batch(x, w, b, mean, var, False, *given),
        ),
        "layer_norm": _layer_norm,
        "group_norm": _group_norm,
        "instance_norm": _instance_norm,
        "cross_entropy_loss": _cross_entropy,
        "scaled_dot_product_attention": _attention,
        **dict.fromkeys(["native_dropout", "bernoulli", "rand", "rand_like", "randn", "randn_like"], _random),
    }
