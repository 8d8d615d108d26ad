"""PyTorch's core ATen ops (https://docs.pytorch.org/docs/stable/torch.compiler_ir.html), op by op, as ops of ours.

`TABLE` is keyed by the op's name without its overload, or with it where overloads differ; arguments come in the order
of PyTorch's schema with its defaults filled in. Normalizations, losses and attention are in torch_layers.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from .. import functional
from ..core.nodes import raw
from ..core.tensor import Tensor
from .shared_ops import (
    LN2,
    Entry,
    NotKnown,
    Out,
    along,
    beside,
    between,
    bits,
    cast,
    compared,
    cosh,
    either,
    elementwise,
    flat,
    in_range,
    padded,
    remainder,
    sinh,
    take,
    tan,
    written,
)

# --------------------------------------------------------------------------------------------------------------
# Elementwise


def _times(y: Any, alpha: Any) -> Any:
    return y if alpha == 1 else ops.mul(y, alpha)


def _div(out: Out, x: Any, y: Any, rounding_mode: str | None = None) -> Any:
    if rounding_mode is None:
        return elementwise(ops.div)(out, x, y)
    return flat(np.floor_divide if rounding_mode == "floor" else _truncated)(out, x, y)


def _truncated(x: Any, y: Any) -> Any:
    return np.trunc(x / y) if np.result_type(x, y).kind == "f" else np.floor_divide(abs(x), abs(y)) * np.sign(x * y)


def _gelu(x: Any, approximate: str) -> Any:
    if approximate == "none":
        return ops.gelu(x)
    return 0.5 * x * (1.0 + ops.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))))


def _elu(x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    below = ops.expm1(ops.where(x > 0, 0.0, x) * input_scale) * (alpha * scale)
    return ops.where(x > 0, _times(x, scale), below)


def _softplus(x: Any, beta: float, threshold: float) -> Any:
    soft = ops.softplus(_times(x, beta))
    return ops.where(_times(x, beta) > threshold, x, soft if beta == 1 else soft / beta)


def _clamp(x: Any, low: Any, high: Any) -> Any:
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        return ops.clip(x, low, high)
    x = x if low is None else ops.where(x < low, low, x)
    return x if high is None else ops.where(x > high, high, x)


def _dropout(out: Out, x: Any, p: float, train: bool) -> Any:
    if train and p > 0:
        raise NotKnown("draws random numbers in training; call module.eval() first")
    return x


def _unary(function: Any, *names: str) -> dict[str, Entry]:
    return dict.fromkeys(names, elementwise(function))


ELEMENTWISE: dict[str, Entry] = {
    **{
        name: elementwise(getattr(ops, name))
        for name in "abs neg exp log log1p expm1 sqrt sin cos tanh sigmoid relu erf square maximum minimum mul "
        "logsumexp silu".split()
        if name != "logsumexp"
    },
    "add": elementwise(lambda x, y, alpha=1: ops.add(x, _times(y, alpha))),
    "sub": elementwise(lambda x, y, alpha=1: ops.sub(x, _times(y, alpha))),
    "rsub": elementwise(lambda x, y, alpha=1: ops.sub(y, _times(x, alpha))),
    "div": _div,
    "floor_divide": flat(np.floor_divide),
    "remainder": elementwise(remainder(np.remainder)),
    "fmod": elementwise(remainder(np.fmod)),
    "pow": elementwise(ops.pow),
    "reciprocal": elementwise(lambda x: 1.0 / x),
    "rsqrt": elementwise(lambda x: 1.0 / ops.sqrt(x)),
    "log2": elementwise(lambda x: ops.log(x) * (1.0 / LN2)),
    "log10": elementwise(lambda x: ops.log(x) * (1.0 / math.log(10.0))),
    "exp2": elementwise(lambda x: ops.exp(x * LN2)),
    "erfc": elementwise(lambda x: 1.0 - ops.erf(x)),
    "tan": elementwise(tan),
    "sinh": elementwise(sinh),
    "cosh": elementwise(cosh),
    "addcmul": elementwise(lambda x, a, b, value=1: x + _times(a * b, value)),
    "addcdiv": elementwise(lambda x, a, b, value=1: x + _times(a / b, value)),
    "lerp": elementwise(lambda x, y, weight: x + weight * (y - x)),
    "xlogy": elementwise(lambda x, y: ops.where(ops.equal(x, 0), 0.0, x * ops.log(ops.where(ops.equal(x, 0), 1.0, y)))),
    "gelu": elementwise(_gelu),
    "elu": elementwise(_elu),
    "softplus": elementwise(_softplus),
    "log_sigmoid": elementwise(lambda x: -ops.softplus(-x)),
    "mish": elementwise(lambda x: x * ops.tanh(ops.softplus(x))),
    "leaky_relu": elementwise(ops.leaky_relu),
    "_prelu_kernel": elementwise(lambda x, w: ops.where(x > 0, x, w * x)),
    "threshold": elementwise(lambda x, threshold, value: ops.where(x > threshold, x, value)),
    "relu6": elementwise(lambda x: between(x, 0.0, 6.0)),
    "hardtanh": elementwise(between),
    "hardsigmoid": elementwise(lambda x: between(x + 3.0, 0.0, 6.0) / 6.0),
    "clamp": elementwise(_clamp),
    "clamp_min": elementwise(lambda x, low: _clamp(x, low, None)),
    "clamp_max": elementwise(lambda x, high: _clamp(x, None, high)),
    "dropout": _dropout,
    "sign": flat(np.sign),
    "floor": flat(np.floor),
    "ceil": flat(np.ceil),
    "trunc": flat(np.trunc),
    "round": flat(np.round),
    "isnan": flat(np.isnan),
    "isinf": flat(np.isinf),
    "isfinite": flat(np.isfinite),
    "eq": compared(ops.equal),
    "ne": compared(ops.not_equal),
    "lt": compared(ops.less),
    "le": compared(ops.less_equal),
    "gt": compared(ops.greater),
    "ge": compared(ops.greater_equal),
    "logical_and": lambda out, x, y: ops.logical_and(x, y),
    "logical_or": lambda out, x, y: ops.logical_or(x, y),
    "logical_not": lambda out, x: ops.logical_not(x),
    "logical_xor": flat(np.logical_xor),
    "bitwise_and": bits(ops.logical_and, np.bitwise_and),
    "bitwise_or": bits(ops.logical_or, np.bitwise_or),
    "bitwise_not": bits(ops.logical_not, np.bitwise_not),
    "bitwise_xor": bits(ops.not_equal, np.bitwise_xor),
    "where": either,
    "masked_fill": lambda out, x, mask, value: either(out, mask, value, x),
}

# --------------------------------------------------------------------------------------------------------------
# Products


def _scaled(out: Out, b: Any, product: Any, beta: float, alpha: float) -> Any:
    """beta * b + alpha * product; b is not read where beta is 0."""
    product = _times(product, alpha)
    return product if beta == 0 else ops.add(product, _times(b, beta))


def _addmm(out: Out, b: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Any:
    return _scaled(out, b, ops.matmul(x, y), beta, alpha)


def _linear(out: Out, x: Any, weight: Any, bias: Any) -> Any:
    return functional.linear(x, ops.transpose(weight), bias)


def _matmul(out: Out, x: Any, y: Any) -> Any:
    return ops.matmul(x, y)


PRODUCTS: dict[str, Entry] = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "matmul", "vdot"), _matmul),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _addmm),
    "linear": _linear,
    "einsum": lambda out, equation, operands, path: ops.einsum(equation, *operands),
}

# --------------------------------------------------------------------------------------------------------------
# Reductions


def _axes(dim: Any) -> Any:
    """None and [] are all axes."""
    return None if dim is None or dim == [] else tuple(dim) if isinstance(dim, list) else dim


def _reduced(function: Any) -> Entry:
    """Of sum and its like: `(x, dim, keepdim, dtype)`, added up in the dtype of the result."""

    def call(out: Out, x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        return function(cast(x, out.dtype), axis=_axes(dim), keepdims=keepdim)

    return call


def _spread(function: Any) -> Any:
    def call(out: Out, x: Any, dim: Any = None, correction: float | None = None, keepdim: bool = False) -> Any:
        ddof = 1 if correction is None else correction
        if ddof != int(ddof):
            raise NotKnown(f"with correction={correction}, which is no whole number")
        return function(x, axis=_axes(dim), keepdims=keepdim, ddof=int(ddof))

    return call


def _with_mean(function: Any) -> Entry:
    def call(out: None, x: Any, dim: Any = None, correction: float | None = None, keepdim: bool = False) -> Any:
        return (
            _spread(function)(out, x, dim, correction=correction, keepdim=keepdim),
            ops.mean(x, axis=_axes(dim), keepdims=keepdim),
        )

    return call


def _extreme(position: Any) -> Entry:
    """(values, indices): the gradient goes to the one element whose index is given."""

    def call(out: None, x: Any, dim: int, keepdim: bool = False) -> Any:
        if not x.ndim:
            return x, Tensor(0)
        index = position(x, axis=dim, keepdims=True)
        best = ops.getitem(x, along(index, dim % x.ndim))
        return (best, index) if keepdim else (ops.squeeze(best, dim), ops.squeeze(index, dim))

    return call


def _norm(out: Out, x: Any, order: float = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """(sum |x|^p)^(1/p); slope 0 where it is 0."""
    x, how = cast(x, out.dtype), {"axis": _axes(dim), "keepdims": keepdim}
    if order == 1:
        return ops.sum(ops.abs(x), **how)
    if order == math.inf:
        return ops.max(ops.abs(x), **how)
    if order == -math.inf:
        return ops.min(ops.abs(x), **how)
    if order == 2:
        total = ops.sum(ops.square(x), **how)
        empty = ops.equal(total, 0)
        return ops.where(empty, 0.0, ops.sqrt(ops.where(empty, 1.0, total)))
    if order <= 1:
        raise NotKnown(f"of order {order}; those above 1 are known, and 1 and -inf")
    zero = ops.equal(x, 0)
    total = ops.sum(ops.where(zero, 0.0, ops.abs(ops.where(zero, 1.0, x)) ** order), **how)
    empty = ops.equal(total, 0)
    return ops.where(empty, 0.0, ops.where(empty, 1.0, total) ** (1.0 / order))


def _truth(function: Any) -> Entry:
    def call(out: Out, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return beside(lambda a: function(a.astype(bool), axis=_axes(dim), keepdims=keepdim), x)

    return call


def _position(function: Any) -> Entry:
    return lambda out, x, dim=None, keepdim=False: function(x, axis=dim, keepdims=keepdim and dim is not None)


REDUCTIONS: dict[str, Entry] = {
    "sum.default": lambda out, x, dtype=None: ops.sum(cast(x, out.dtype)),
    "mean.default": lambda out, x, dtype=None: ops.mean(cast(x, out.dtype)),
    "prod.default": lambda out, x, dtype=None: ops.prod(cast(x, out.dtype)),
    "sum": _reduced(ops.sum),
    "mean": _reduced(ops.mean),
    "prod": _reduced(ops.prod),
    "amax": _reduced(ops.max),
    "amin": _reduced(ops.min),
    "max.default": lambda out, x: ops.max(x),
    "min.default": lambda out, x: ops.min(x),
    "max.dim": _extreme(ops.argmax),
    "min.dim": _extreme(ops.argmin),
    "var.correction": _spread(ops.var),
    "std.correction": _spread(ops.std),
    "var_mean.correction": _with_mean(ops.var),
    "std_mean.correction": _with_mean(ops.std),
    "logsumexp": _reduced(ops.logsumexp),
    "linalg_vector_norm": _norm,
    "argmax": _position(ops.argmax),
    "argmin": _position(ops.argmin),
    "all": _truth(np.all),
    "any": _truth(np.any),
    "cumsum": lambda out, x, dim, dtype=None: ops.cumsum(cast(x, out.dtype), axis=dim if x.ndim else None),
    "softmax": lambda out, x, dim, dtype=None: functional.softmax(cast(x, out.dtype), axis=dim),
    "log_softmax": lambda out, x, dim, dtype=None: functional.log_softmax(cast(x, out.dtype), axis=dim),
    "_softmax": lambda out, x, dim, half_to_float: functional.softmax(cast(x, out.dtype), axis=dim),
    "_log_softmax": lambda out, x, dim, half_to_float: functional.log_softmax(cast(x, out.dtype), axis=dim),
}

# --------------------------------------------------------------------------------------------------------------
# Shapes and picking


def _as(out: Out, x: Any, *shape: Any, **options: Any) -> Any:
    """x in the dtype and shape of the result: views, copies, conversions."""
    x = cast(x, out.dtype)
    return x if x.shape == out.shape else ops.reshape(x, out.shape)


def _expand(out: Out, x: Any, *shape: Any, **options: Any) -> Any:
    return cast(x, out.dtype)


_expand.takes = "narrow"  # type: ignore[attr-defined]


def _repeat(out: Out, x: Any, times: list[int]) -> Any:
    lengths = (1,) * (len(times) - x.ndim) + x.shape
    apart = ops.reshape(x, tuple(n for pair in zip((1,) * len(times), lengths, strict=True) for n in pair))
    stretched = tuple(n for pair in zip(times, lengths, strict=True) for n in pair)
    return ops.reshape(ops.broadcast_to(apart, stretched), out.shape)


def _permute(out: Out, x: Any, dims: list[int]) -> Any:
    return x if list(range(x.ndim)) == [k % x.ndim for k in dims] else ops.transpose(x, tuple(dims))


def _slice(out: Out, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x if out.shape == x.shape else take(x, dim % x.ndim, slice(start, end, step))


def _split(out: None, x: Any, sizes: list[int], dim: int = 0) -> tuple[Any, ...]:
    return tuple(ops.split(x, np.cumsum(sizes)[:-1].tolist(), axis=dim))


def _triangle(keep: Any) -> Entry:
    return lambda out, x, diagonal=0: ops.where(Tensor(keep(np.ones(x.shape[-2:], bool), diagonal)), x, 0)


def _diagonal(out: Out, x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    rest = [k for k in range(x.ndim) if k not in (dim1 % x.ndim, dim2 % x.ndim)]
    steps = np.arange(out.shape[-1])
    moved = ops.transpose(x, (*rest, dim1 % x.ndim, dim2 % x.ndim))
    return ops.getitem(moved, (..., steps + max(-offset, 0), steps + max(offset, 0)))


def _pad(out: Out, x: Any, pad: list[int], value: float = 0.0) -> Any:
    pairs = list(zip(pad[::2], pad[1::2], strict=True))  # the last axis first
    return padded(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1], value)


def _index(indices: list[Any], x: Any) -> tuple[Any, ...]:
    if any(raw(i).dtype == bool for i in indices if i is not None):
        raise NotKnown("by a mask, whose number of elements is not known before; use torch.where")
    return tuple(slice(None) if i is None else i for i in indices)


def _gather(out: Out, x: Any, dim: int, index: Any, sparse_grad: bool = False) -> Any:
    return ops.getitem(x, _within(x, dim, index))


def _within(x: Any, dim: int, index: Any) -> tuple[Any, ...]:
    return along(in_range(index, x.shape[dim]), dim)


def _scatter(out: Out, x: Any, dim: int, index: Any, source: Any, *, add: bool = False) -> Any:
    if isinstance(source, Tensor) and source.ndim:
        source = ops.getitem(source, tuple(slice(n) for n in index.shape))
    return written(x, _within(x, dim, index), source if isinstance(source, Tensor) else Tensor(source, dtype=x.dtype), add)


def _slot(x: Any, dim: int, what: Any) -> tuple[Any, ...]:
    return (slice(None),) * (dim % x.ndim) + (what,)


def _full(out: Out, value: Any) -> Any:
    return ops.broadcast_to(cast(value, out.dtype), out.shape) if isinstance(value, Tensor) else Tensor(
        np.full(out.shape, value, out.dtype)
    )


def _arange(out: Out, start: float, end: float, step: float = 1, **options: Any) -> Any:
    return Tensor(np.asarray(start + step * np.arange(out.shape[0])), dtype=out.dtype)


SHAPES: dict[str, Entry] = {
    **dict.fromkeys(
        (
            "view reshape _unsafe_view unsqueeze squeeze flatten clone alias contiguous _to_copy lift_fresh_copy "
            "_reshape_alias view_copy to"
        ).split(),
        _as,
    ),
    "detach": lambda out, x: x.detach(),
    "expand": _expand,
    "repeat": _repeat,
    "permute": _permute,
    "transpose": lambda out, x, dim0, dim1: ops.swapaxes(x, dim0, dim1) if x.ndim else x,
    "t": lambda out, x: ops.transpose(x),
    "slice": _slice,
    "select": lambda out, x, dim, index: take(x, dim % x.ndim, index),
    "split_with_sizes": _split,
    "unbind": lambda out, x, dim=0: tuple(take(x, dim % x.ndim, k) for k in range(x.shape[dim])),
    "cat": lambda out, tensors, dim=0: ops.concatenate([cast(x, out.dtype) for x in tensors], axis=dim),
    "stack": lambda out, tensors, dim=0: ops.stack([cast(x, out.dtype) for x in tensors], axis=dim),
    "flip": lambda out, x, dims: ops.flip(x, tuple(dims)),
    "roll": lambda out, x, shifts, dims: ops.roll(x, tuple(shifts), tuple(dims)) if dims else ops.roll(x, shifts[0]),
    "constant_pad_nd": _pad,
    "tril": _triangle(np.tril),
    "triu": _triangle(np.triu),
    "diagonal": _diagonal,
    "index": lambda out, x, indices: ops.getitem(x, _index(indices, x)),
    "index_select": lambda out, x, dim, index: take(x, dim % x.ndim, in_range(index, x.shape[dim])),
    "gather": _gather,
    "index_put": lambda out, x, indices, values, accumulate=False: written(x, _index(indices, x), values, accumulate),
    "scatter.src": _scatter,
    "scatter.value": _scatter,
    "scatter_add": lambda out, x, dim, index, source: _scatter(out, x, dim, index, source, add=True),
    "slice_scatter": lambda out, x, source, dim=0, start=None, end=None, step=1: written(
        x, _slot(x, dim, slice(start, end, step)), source
    ),
    "select_scatter": lambda out, x, source, dim, index: written(x, _slot(x, dim, index), source),
    "copy": lambda out, x, source, non_blocking=False: _full(out, source),
    "fill": lambda out, x, value: _full(out, value),
    "full": lambda out, size, value, **options: _full(out, value),
    "full_like": lambda out, x, value, **options: _full(out, value),
    "scalar_tensor": lambda out, value, **options: _full(out, value),
    **dict.fromkeys("zeros zeros_like empty empty_like".split(), lambda out, *given, **options: _full(out, 0)),
    **dict.fromkeys("ones ones_like".split(), lambda out, *given, **options: _full(out, 1)),
    "arange.start_step": _arange,
}

TABLE: dict[str, Entry] = ELEMENTWISE | PRODUCTS | REDUCTIONS | SHAPES
