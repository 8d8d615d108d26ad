"""One row per primitive and way of calling it: inputs, parameters, and the NumPy function that it must equal.

`test_primitives` holds the names here equal to the registry, so that no primitive goes without a test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """`inputs` are shapes, filled with distinct numbers between low and high that avoid 0, or arrays taken as given."""

    op: str
    reference: Callable[..., Any]
    inputs: tuple[Any, ...]
    params: dict[str, Any] = field(default_factory=dict)
    low: float = -2.0
    high: float = 2.0
    flat: bool = False  # no gradient

    def __str__(self) -> str:
        shapes = [x if isinstance(x, tuple) else "-" if x is None else x.dtype for x in self.inputs]
        return "-".join(map(str, [self.op, *shapes, *self.params.values()])).replace(" ", "")

    def arrays(self, rng: np.random.Generator) -> list[Any]:
        """Numbers at least (high - low)/(size + 1) apart, over all inputs: far from ties, kinks and poles."""
        size = sum(math.prod(x) for x in self.inputs if isinstance(x, tuple))
        steps = np.arange(1, size + 1) / (size + 1)
        numbers = rng.permutation(self.low + (self.high - self.low) * (steps - 0.3 / (size + 1)))
        made: list[Any] = []
        for x in self.inputs:
            if isinstance(x, tuple):
                made.append(numbers[: math.prod(x)].reshape(x))
                numbers = numbers[math.prod(x) :]
            else:
                made.append(None if x is None else x.copy())
        return made


ROWS: list[Row] = []


def _named(functions: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(functions.items())


def row(op: str, reference: Callable[..., Any], *inputs: Any, low: float = -2.0, high: float = 2.0, **params: Any):
    ROWS.append(Row(op, reference, inputs, params, low, high))


def flat(op: str, reference: Callable[..., Any], *inputs: Any, **params: Any):
    ROWS.append(Row(op, reference, inputs, params, flat=True))


def elementwise(op: str, reference: Callable[..., Any], low: float = -2.0, high: float = 2.0, **params: Any):
    for shape in ((2, 3), ()):
        ROWS.append(Row(op, reference, (shape,), params, low, high))


def binary(op: str, reference: Callable[..., Any], low: float = -2.0, high: float = 2.0):
    for pair in (((2, 3), (2, 3)), ((), ()), ((2, 1), (3,))):
        ROWS.append(Row(op, reference, pair, {}, low, high))


# Elementwise ----------------------------------------------------------------------------------------------------

_erf = np.vectorize(math.erf, otypes=[float])
binary("add", np.add)
binary("sub", np.subtract)
binary("mul", np.multiply)
binary("div", np.divide, low=0.5, high=2.0)
binary("pow", np.power, low=0.5, high=2.0)
binary("maximum", np.maximum)
binary("minimum", np.minimum)
row("pow", np.power, (2, 3), np.array([[0.0, 1.0, 2.0], [3.0, -1.0, 0.5]]), low=0.5)
row("pow", np.power, (2, 3), np.array([0, 1, 2]))
elementwise("neg", np.negative)
elementwise("exp", np.exp)
elementwise("log", np.log, low=0.3)
elementwise("log1p", np.log1p, low=-0.7)
elementwise("expm1", np.expm1)
elementwise("sqrt", np.sqrt, low=0.3)
elementwise("square", np.square)
elementwise("abs", np.abs)
elementwise("sin", np.sin)
elementwise("cos", np.cos)
elementwise("tanh", np.tanh)
elementwise("sigmoid", lambda x: 1 / (1 + np.exp(-x)))
elementwise("softplus", lambda x: np.log(1 + np.exp(x)))
elementwise("relu", lambda x: x * (x > 0))
elementwise("leaky_relu", lambda x, slope=0.01: np.where(x > 0, x, slope * x))
elementwise("leaky_relu", lambda x, slope: np.where(x > 0, x, slope * x), slope=0.3)
elementwise("erf", _erf)
elementwise("gelu", lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2))))
elementwise("silu", lambda x: x / (1 + np.exp(-x)))
for limits in ({"low": -1.0, "high": 0.5}, {"low": -1.0}, {"high": 0.5}, {"low": np.array([[-1.0], [0.3]])}):
    for shape in ((2, 3), ()):
        ROWS.append(Row("clip", lambda x, low=-9.0, high=9.0: np.minimum(np.maximum(x, low), high), (shape,), limits))
_condition = np.array([[True, False, True], [False, False, True]])
row("where", np.where, _condition, (2, 3), (2, 3))
row("where", np.where, _condition, (3,), ())
row("where", np.where, np.array(True), (), ())

# Reductions -----------------------------------------------------------------------------------------------------


def _logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


_AXES: tuple[Any, ...] = (None, 0, -1, (0, 2), (-1, 0), ())
for _op, _f in _named({
    "sum": np.sum, "mean": np.mean, "var": np.var, "std": np.std, "max": np.max, "min": np.min,
    "prod": np.prod, "logsumexp": _logsumexp,
}):  # fmt: skip
    for _axis in _AXES if _op != "std" else _AXES[:-1]:  # over no axis a standard deviation is 0: a kink
        row(_op, _f, (3, 2, 2), axis=_axis)
    row(_op, _f, (3, 2), axis=1, keepdims=True)
    row(_op, _f, (3, 2), keepdims=True)
    if _op != "std":
        row(_op, _f, ())
for _op, _f in _named({"var": np.var, "std": np.std}):
    row(_op, _f, (4, 3), axis=0, ddof=1)
    row(_op, _f, (4, 3), ddof=1)
row("prod", np.prod, np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0], [1.5, -1.0, 2.0]]), axis=1)
row("prod", np.prod, np.array([[[1.0, 0.0], [2.0, 3.0]], [[0.0, 0.5], [1.5, -1.0]]]), axis=(2, 0))
row("prod", np.prod, np.array([[[1.0, 0.0, 2.0]], [[2.0, 3.0, 0.0]]]), axis=0)
row("prod", np.prod, np.array([[[1.0, 0.0, 2.0]], [[2.0, 3.0, 0.0]]]), axis=2, keepdims=True)
row("cumsum", np.cumsum, (3, 2))
for _axis in (0, 1, -1):
    row("cumsum", np.cumsum, (3, 2), axis=_axis)
row("cumsum", np.cumsum, ())

# Shape ----------------------------------------------------------------------------------------------------------

row("reshape", lambda x, shape: np.reshape(x, shape), (2, 3), shape=(3, 2))
row("reshape", lambda x, shape: np.reshape(x, shape), (2, 3), shape=-1)
row("reshape", lambda x, shape: np.reshape(x, shape), (), shape=(1, 1))
row("transpose", np.transpose, (2, 3))
row("transpose", np.transpose, (2, 3, 4), axes=(1, 2, 0))
row("transpose", np.transpose, (2, 3, 4), axes=(-1, 0, -2))
row("transpose", np.transpose, ())
row("swapaxes", lambda x, axis1, axis2: np.swapaxes(x, axis1, axis2), (2, 3, 4), axis1=0, axis2=-1)
row("expand_dims", np.expand_dims, (2, 3), axis=1)
row("expand_dims", np.expand_dims, (2, 3), axis=(0, -1))
row("squeeze", np.squeeze, (1, 3, 1))
row("squeeze", np.squeeze, (1, 3, 1), axis=-1)
row("broadcast_to", np.broadcast_to, (3, 1), shape=(2, 3, 4))
row("broadcast_to", np.broadcast_to, (), shape=(2, 3))
row("astype", lambda x, dtype: x.astype(dtype), (2, 3), dtype=np.dtype(np.float64))
row("astype", lambda x, dtype: x.astype(dtype), (), dtype=np.dtype(np.float64))
row("flip", np.flip, (2, 3))
row("flip", np.flip, (2, 3), axis=1)
row("flip", np.flip, (2, 3, 4), axis=(0, -1))
row("roll", np.roll, (2, 3), shift=2)
row("roll", np.roll, (2, 3), shift=-1, axis=1)
row("roll", np.roll, (2, 3), shift=(1, -2), axis=(0, 1))
row("concatenate", lambda *xs, axis=0: np.concatenate(xs, axis), (2, 3), (1, 3))
row("concatenate", lambda *xs, axis: np.concatenate(xs, axis), (2, 1), (2, 3), (2, 2), axis=-1)
row("concatenate", lambda *xs, axis: np.concatenate(xs, axis), (2, 1), (3,), axis=None)
row("stack", lambda *xs, axis=0: np.stack(xs, axis), (2, 3), (2, 3))
row("stack", lambda *xs, axis: np.stack(xs, axis), (2, 3), (2, 3), (2, 3), axis=-1)
row("stack", lambda *xs, axis=0: np.stack(xs, axis), (), ())
_repeats = np.array([[0, 0], [2, -1]])
for _index in (1, -1, slice(None, None, -1), (slice(None), 1), (None, ..., 0), _repeats, (_repeats, 1), _condition.T):
    row("getitem", lambda x, index: x[index], (3, 2), index=_index)
row("getitem", lambda x, index: x[index], (), index=())


def _put(x, index, shape):
    out = np.zeros(shape)
    np.add.at(out, index, x)
    return out


row("put", _put, (2,), index=(slice(None), 1), shape=(2, 3))
row("put", _put, (2, 2), index=np.array([[0, 0], [2, 0]]), shape=(3,))
row("put", _put, (), index=1, shape=(3,))

# Linear algebra -------------------------------------------------------------------------------------------------

for _pair in (
    ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 2, 3), (3, 4)), ((2, 3), (2, 3, 2)),
    ((3,), (2, 3, 2)), ((2, 2, 3), (3,)), ((2, 1, 2, 3), (3, 3, 2)),
):  # fmt: skip
    row("matmul", np.matmul, *_pair)
for _subscripts, *_shapes in (
    ("ij,jk->ik", (2, 3), (3, 2)), ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("i,j->ij", (2,), (3,)),
    ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)), ("i,i->", (3,), (3,)), ("ij,j,jk->ik", (2, 3), (3,), (3, 2)),
    ("ij,k->i", (2, 3), (2,)), ("ij,ij->", (1, 3), (2, 3)), ("ijk,jl->kil", (2, 3, 2), (3, 2)),
):  # fmt: skip
    row("einsum", lambda *xs, subscripts: np.einsum(subscripts, *xs), *_shapes, subscripts=_subscripts)

# Without a gradient ---------------------------------------------------------------------------------------------

for _op, _f in _named({
    "equal": np.equal, "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal,
    "greater": np.greater, "greater_equal": np.greater_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or,
}):  # fmt: skip
    flat(_op, _f, (2, 3), (2, 3))
    flat(_op, _f, np.array([1.0, 2.0, 0.0]), np.array([1.0, 0.0, 3.0]))
flat("logical_not", np.logical_not, np.array([0.0, 1.0]))
flat("isnan", np.isnan, np.array([0.0, math.nan, math.inf]))
flat("sign", np.sign, np.array([-3.0, 0.0, 2.0, math.nan]))
for _op, _f in _named({"argmax": np.argmax, "argmin": np.argmin}):
    flat(_op, _f, (2, 3))
    flat(_op, _f, (2, 3), axis=-1, keepdims=True)
    flat(_op, _f, np.array([1.0, 2.0, 2.0, 1.0]))

# Normalization --------------------------------------------------------------------------------------------------


def _batch_norm(x, gamma, beta, axis, wide, eps):
    y = (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + eps)
    y = y if gamma is None else y * gamma.reshape(wide)
    return y if beta is None else y + beta.reshape(wide)


def _inference(x, gamma, beta, mean, var, wide, eps):
    y = (x - mean.reshape(wide)) / np.sqrt(var.reshape(wide) + eps)
    y = y if gamma is None else y * gamma.reshape(wide)
    return y if beta is None else y + beta.reshape(wide)


for _op, _wide, _axes in (("batch_norm", (1, 3), (0,)), ("layer_norm", (1, 3), (1,))):
    row(_op, _batch_norm, (4, 3), (3,), (3,), axis=_axes, wide=_wide, eps=0.1)
    row(_op, _batch_norm, (4, 3), np.array([0.0, 1.0, -2.0]), None, axis=_axes, wide=_wide, eps=0.1)
    row(_op, _batch_norm, (4, 3), None, None, axis=_axes, wide=_wide, eps=0.0)
row("batch_norm", _batch_norm, (2, 3, 2), (3,), (3,), axis=(0, 2), wide=(1, 3, 1), eps=0.1)
row("layer_norm", _batch_norm, (2, 3, 2), (3, 2), (3, 2), axis=(1, 2), wide=(1, 3, 2), eps=0.1)
row(
    "softmax_cross_entropy",
    lambda logits, labels: _logsumexp(logits, 1) - logits[np.arange(len(labels)), labels],
    (3, 4),
    labels=np.array([0, 3, 3]),
)
row("sigmoid_cross_entropy", lambda z, t: t * np.log1p(np.exp(-z)) + (1 - t) * np.log1p(np.exp(z)), (2, 3), (2, 3))
_inputs = ((4, 3), (3,), (3,), (3,), (3,))
row("batch_norm_inference", _inference, *_inputs, wide=(1, 3), eps=0.1, low=0.2)
row("batch_norm_inference", _inference, (2, 3), None, None, (3,), (3,), wide=(1, 3), eps=0.1, low=0.2)
