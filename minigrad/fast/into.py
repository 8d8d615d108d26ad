"""Primitives that write their result into an array that is there already, for steps that run again and again.

`into(name, inputs, params, out)` gives a function of no arguments that computes a primitive of fixed arrays into
`out`, with the same bits as the primitive, or, of inputs (g, out, x), its rule ("mean backward"); None where there is
no such way. Scratch arrays are made once, here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .._support.shapes import count, with_ones
from . import chosen, select
from .numpy_kernels.outer import product
from .totals import total_into

Array = np.ndarray[Any, Any]
Run = Callable[[], Any]

# fmt: off
UFUNCS: dict[str, Any] = {
    "abs": np.abs, "add": np.add, "cos": np.cos, "div": np.divide, "equal": np.equal, "exp": np.exp,
    "expm1": np.expm1, "greater": np.greater, "greater_equal": np.greater_equal, "isnan": np.isnan, "less": np.less,
    "less_equal": np.less_equal, "log": np.log, "log1p": np.log1p, "logical_and": np.logical_and,
    "logical_not": np.logical_not, "logical_or": np.logical_or, "maximum": np.maximum, "minimum": np.minimum,
    "mul": np.multiply, "neg": np.negative, "not_equal": np.not_equal, "sign": np.sign, "sin": np.sin,
    "sqrt": np.sqrt, "square": np.square, "sub": np.subtract, "tanh": np.tanh,
}
# fmt: on


def into(name: str, inputs: tuple[Any, ...], params: dict[str, Any], out: Array) -> Run | None:
    """The primitive `name` of these inputs, written to `out` at each call; see the file's head."""
    if name in UFUNCS:
        return partial(UFUNCS[name], *inputs, out=out)
    make = _OTHERS.get(name)
    return None if make is None else make(*inputs, **params, out=out)


def elementwise(name: str) -> bool:
    """Whether element k of the result depends on elements k of the inputs alone, so that it may take their place."""
    return name in UFUNCS or name in ("relu", "where")


def _relu(x: Array, out: Array) -> Run:
    return partial(np.maximum, x, np.zeros_like(x), out=out)  # against a number it takes half as long again


def _matmul(x: Array, y: Array, out: Array) -> Run | None:
    return partial(product(x, y), x, y, out) if out.flags.c_contiguous else None


def _where(condition: Any, x: Any, y: Any, out: Array) -> Run | None:
    fits = select.fits(condition, x, y) and out.flags.c_contiguous
    return partial(select.masked, condition, x, out) if fits else None


def _sum(x: Array, axis: Any, keepdims: bool, out: Array, divide: bool = False) -> Run | None:
    """Sum or mean over `axis`; float16 and the readable code sum in wider numbers."""
    n = count(x.shape, axis)
    if x.dtype.char not in "fdg" or not n or chosen() == "reference":
        return None
    add = total_into(x, axis, out if keepdims else out.reshape(with_ones(x.shape, axis)))
    if add is None or not divide:
        return add
    return _both(add, partial(np.divide, out, np.array(n, out.dtype), out))


def _both(first: Run, then: Run) -> Run:
    def run() -> None:
        first()
        then()

    return run


def _sum_backward(g: Array, _: Array, x: Array, axis: Any, keepdims: bool, out: Array) -> Run:
    """Every element gets its result's g; `out` may be its elements once, where it repeats them."""
    return partial(np.copyto, out, g.reshape(with_ones(x.shape, axis)))


def _mean_backward(g: Array, _: Array, x: Array, axis: Any, keepdims: bool, out: Array) -> Run:
    """Every element gets its result's g over the count."""
    return partial(np.divide, g.reshape(with_ones(x.shape, axis)), np.array(count(x.shape, axis), g.dtype), out)


_OTHERS: dict[str, Callable[..., Run | None]] = {
    "matmul": _matmul,
    "mean": partial(_sum, divide=True),
    "mean backward": _mean_backward,
    "relu": _relu,
    "sum": _sum,
    "sum backward": _sum_backward,
    "where": _where,
}
