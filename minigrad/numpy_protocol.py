"""The NumPy seam: `np.exp(t)`, `np.mean(t, axis=0)`, `array * t`, `np.concatenate([t, u])` find their primitive here.

Two tables, from NumPy's functions to minigrad's; `Tensor.__array_ufunc__` and `Tensor.__array_function__` look there.
Nothing in minigrad needs them: the rules call primitives by name, and a test runs every rule with the seam removed.
What has no entry is a TypeError that names the function and the way out, never an array of objects.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import ops
from .core.nodes import Node, raw, reading

Function = Callable[..., Any]


def _reduction(primitive: Function, default: int | None = None) -> Function:
    def reduce(a: Any, axis: Any = default, *, keepdims: bool = False) -> Any:
        return primitive(a, axis=axis, keepdims=keepdims)

    return reduce


# --------------------------------------------------------------------------------------------------------------
# Elementwise functions: NumPy's ufuncs, and what its operators call when an array stands on the left


def _of_masks(operation: Function) -> Function:
    """By Tensor's own operator, which takes nothing but masks."""
    return lambda x, y: operation(x, y) if isinstance(x, Node) else operation(y, x)


_SAME_NAME = """
    add matmul exp expm1 log log1p sqrt square sin cos tanh maximum minimum sign isnan
    equal not_equal less less_equal greater greater_equal logical_and logical_or logical_not
"""
UFUNCS: dict[Any, Function] = {getattr(np, name): getattr(ops, name) for name in _SAME_NAME.split()} | {
    np.subtract: ops.sub,
    np.multiply: ops.mul,
    np.divide: ops.div,
    np.power: ops.pow,
    np.negative: ops.neg,
    np.positive: lambda x: x,
    np.absolute: ops.abs,
    np.fabs: ops.abs,
    np.bitwise_and: _of_masks(operator.and_),
    np.bitwise_or: _of_masks(operator.or_),
    np.invert: operator.invert,
}
METHODS: dict[tuple[Any, str], Function] = {
    (np.add, "reduce"): _reduction(ops.sum, 0),
    (np.multiply, "reduce"): _reduction(ops.prod, 0),
    (np.maximum, "reduce"): _reduction(ops.max, 0),
    (np.minimum, "reduce"): _reduction(ops.min, 0),
    (np.add, "accumulate"): lambda array, axis=0: ops.cumsum(array, axis=axis),
}


def ufunc(self: Any, function: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`Tensor.__array_ufunc__`: the primitive for one of NumPy's elementwise functions."""
    if method == "__call__":
        found, name = UFUNCS.get(function), _name(function)
    else:
        found, name = METHODS.get((function, method)), f"{_name(function)}.{method}"
    if function in QUESTIONS and method == "__call__" and not kwargs:
        _read(inputs, "the content")
        return function(*map(raw, inputs))
    if found is None:
        raise _unknown(name)
    if not kwargs and method == "__call__":
        return found(*inputs)
    return _called(found, name, inputs, kwargs)


# --------------------------------------------------------------------------------------------------------------
# Other functions, each with the arguments that make sense for Tensors under NumPy's names


def install(tensor: Any) -> None:
    """Have NumPy hand over: ndarray * tensor and np.exp(tensor) become primitives, what has none is a TypeError."""
    tensor.__array_ufunc__, tensor.__array_function__ = ufunc, function


def _spread(primitive: Function) -> Function:
    def reduce(a: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
        return primitive(a, axis=axis, ddof=ddof, keepdims=keepdims)

    return reduce


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    return ops.clip(a, low=min if a_min is None else a_min, high=max if a_max is None else a_max)


def _read(args: Any, what: str) -> None:
    for x in args:
        if isinstance(x, Node):
            reading(x, what)


def _like(function: Function) -> Function:
    def like(a: Any, *value: Any, dtype: Any = None) -> Any:
        _read(value, "the number")
        return type(a)._leaf(function(raw(a), *map(raw, value), dtype=dtype))

    return like


_REDUCTIONS = ("sum", "mean", "max", "min", "prod", "argmax", "argmin")
FUNCTIONS: dict[Any, Function] = {
    **{getattr(np, name): _reduction(getattr(ops, name)) for name in _REDUCTIONS},
    np.amax: _reduction(ops.max),
    np.amin: _reduction(ops.min),
    np.var: _spread(ops.var),
    np.std: _spread(ops.std),
    np.cumsum: lambda a, axis=None: ops.cumsum(a, axis=axis),
    np.clip: _clip,
    np.where: lambda condition, x, y: ops.where(condition, x, y),
    np.reshape: lambda a, shape: ops.reshape(a, shape=shape),
    np.ravel: lambda a: ops.reshape(a, shape=(-1,)),
    np.transpose: lambda a, axes=None: ops.transpose(a, axes=axes),
    np.swapaxes: lambda a, axis1, axis2: ops.swapaxes(a, axis1, axis2),
    np.expand_dims: lambda a, axis: ops.expand_dims(a, axis=axis),
    np.squeeze: lambda a, axis=None: ops.squeeze(a, axis=axis),
    np.broadcast_to: lambda array, shape: ops.broadcast_to(array, shape=shape),
    np.flip: lambda m, axis=None: ops.flip(m, axis=axis),
    np.roll: lambda a, shift, axis=None: ops.roll(a, shift=shift, axis=axis),
    np.concatenate: lambda arrays, axis=0: ops.concatenate(list(arrays), axis=axis),
    np.stack: lambda arrays, axis=0: ops.stack(list(arrays), axis=axis),
    np.split: lambda ary, indices_or_sections, axis=0: ops.split(ary, indices_or_sections, axis=axis),
    np.einsum: lambda subscripts, *operands, optimize=False: ops.einsum(subscripts, *operands),  # the order is NumPy's
    np.zeros_like: _like(np.zeros_like),
    np.ones_like: _like(np.ones_like),
    np.full_like: _like(np.full_like),
}
if hasattr(np, "astype"):  # from NumPy 2.1
    FUNCTIONS[np.astype] = lambda x, dtype: ops.astype(x, dtype)

# Questions about shape, dtype, memory and equality: the answer has no gradient, so the bare arrays give it.
QUESTIONS = {
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.array_equal, np.allclose,
    np.shares_memory, np.may_share_memory, np.isfinite, np.isinf,
}  # fmt: skip


def function(self: Any, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`Tensor.__array_function__`: the primitive for any other of NumPy's functions."""
    if function in (np.array_equal, np.allclose):
        _read(args, "the equality")
    if function in QUESTIONS:
        return function(*map(raw, args), **{name: raw(value) for name, value in kwargs.items()})
    found = FUNCTIONS.get(function)
    if found is None:
        raise _unknown(_name(function))
    return _called(found, _name(function), args, kwargs)


# --------------------------------------------------------------------------------------------------------------
# What is not supported, said

_MEANS_NOTHING = {"out": None, "dtype": None, "where": True, "initial": None, "order": "K", "subok": True}

INSTEAD = {
    "all": "x.numpy().all()",
    "any": "x.numpy().any()",
    "append": "mg.concatenate([x, y])",
    "argsort": "np.argsort(x.numpy())",
    "argwhere": "np.argwhere(x.numpy())",
    "average": "mg.mean(x), or mg.sum(w * x) / mg.sum(w)",
    "cosh": "(mg.exp(x) + mg.exp(-x)) / 2",
    "cross": "x[[1, 2, 0]] * y[[2, 0, 1]] - x[[2, 0, 1]] * y[[1, 2, 0]]",
    "cumprod": "mg.exp(mg.cumsum(mg.log(x))) where all are positive",
    "diag": "x * mg.eye(len(x)) of a vector, x[i, i] with i = np.arange(len(x)) of a matrix",
    "diff": "x[1:] - x[:-1]",
    "dot": "x @ y",
    "dstack": "mg.stack([x, y], axis=2)",
    "exp2": "mg.exp(x * math.log(2))",
    "float_power": "x**y",
    "floor_divide": "np.floor(x.numpy() / y), which has no gradient",
    "hstack": "mg.concatenate([x, y], axis=1)",
    "hypot": "mg.sqrt(x * x + y * y)",
    "inner": "mg.einsum('...i,...i', x, y)",
    "kron": "mg.einsum('ij,kl->ikjl', x, y) and a reshape",
    "linalg.det": "a primitive of your own, docs/fused-primitives.md",
    "linalg.inv": "a primitive of your own, docs/fused-primitives.md",
    "linalg.norm": "mg.sqrt(mg.sum(x * x))",
    "log10": "mg.log(x) / math.log(10)",
    "log2": "mg.log(x) / math.log(2)",
    "logaddexp": "mg.logsumexp(mg.stack([x, y]), axis=0)",
    "median": "x[np.argsort(x.numpy())[len(x) // 2]]",
    "moveaxis": "mg.transpose(x, axes=...)",
    "nan_to_num": "mg.where(mg.isnan(x), 0.0, x)",
    "nansum": "mg.sum(mg.where(mg.isnan(x), 0.0, x))",
    "nonzero": "np.nonzero(x.numpy())",
    "outer": "mg.einsum('i,j->ij', x, y)",
    "pad": "mg.concatenate([mg.zeros(2), x, mg.zeros(2)])",
    "ptp": "mg.max(x) - mg.min(x)",
    "reciprocal": "1.0 / x",
    "remainder": "x - y * np.floor(x.numpy() / y)",
    "repeat": "x[np.repeat(np.arange(len(x)), n)]",
    "sinh": "(mg.exp(x) - mg.exp(-x)) / 2",
    "sort": "x[np.argsort(x.numpy())]",
    "take": "x[indices]",
    "tan": "mg.sin(x) / mg.cos(x)",
    "tensordot": "mg.einsum",
    "tile": "mg.concatenate([x] * n)",
    "trace": "mg.sum(x * mg.eye(len(x)))",
    "tril": "x * np.tril(np.ones(x.shape))",
    "triu": "x * np.triu(np.ones(x.shape))",
    "unique": "np.unique(x.numpy())",
    "vdot": "mg.sum(x * y)",
    "vstack": "mg.stack([x, y]) of vectors, mg.concatenate([x, y]) of matrices",
    **{name: f"np.{name}(x.numpy()), which has no gradient" for name in ("ceil", "floor", "rint", "round", "trunc")},
    **{
        name: f"a primitive of your own with {slope}, docs/fused-primitives.md"
        for name, slope in {
            "arccos": "the slope -1 / sqrt(1 - x**2)",
            "arcsin": "the slope 1 / sqrt(1 - x**2)",
            "arctan": "the slope 1 / (1 + x**2)",
            "arctan2": "the slopes y / (x**2 + y**2) and -x / (x**2 + y**2)",
        }.items()
    },
}


def _name(function: Any) -> str:
    module = (getattr(function, "__module__", None) or "numpy").removeprefix("numpy").removeprefix(".")
    return f"{module}.{function.__name__}" if module and not module.startswith("_") else str(function.__name__)


def _unknown(name: str) -> TypeError:
    instead = f"write {INSTEAD[name]}" if name in INSTEAD else "no primitive does this"
    values = "" if "x.numpy()" in instead else "; t.numpy() has the values without a gradient"
    return TypeError(f"np.{name} does not know Tensors: {instead}{values}")


def _called(found: Function, name: str, args: Iterable[Any], kwargs: dict[str, Any]) -> Any:
    """The function with NumPy's arguments; a TypeError for those that Tensors have no use for."""
    kwargs = {k: v for k, v in kwargs.items() if not (k in _MEANS_NOTHING and v is _MEANS_NOTHING[k])}
    if "out" in kwargs:
        raise TypeError(
            f"np.{name} with out=, or an operator such as a += t, would write a Tensor's values into an array and "
            f"lose the gradient: leave out= away (a = a + t), or use t.numpy() for the values"
        )
    signature = _signature(found)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"np.{name} of Tensors takes {signature}, not this call ({error}); do the rest in further steps, or use "
            "t.numpy() for the values without a gradient"
        ) from None
    return found(*bound.args, **bound.kwargs)


@functools.cache
def _signature(found: Function) -> inspect.Signature:
    whole = inspect.signature(found)
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in whole.parameters.values()]
    return inspect.Signature(plain)
