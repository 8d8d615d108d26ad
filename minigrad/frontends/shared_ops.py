"""What the tables of both libraries are made of: how an op of theirs becomes ops of ours. Knows no library.

A table's entry is a function `(out, *inputs, **params) -> value`, `out` being the shape and dtype that the library
gives the result. Values are Tensors, or Python numbers for what is known to be one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..core.nodes import callback, raw
from ..core.tensor import Tensor

Entry = Callable[..., Any]


class Out(NamedTuple):
    """What a library says of a result."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class NotKnown(Exception):
    """An option of an op that is not known here: the message follows the op's name."""


# --------------------------------------------------------------------------------------------------------------
# Elementwise: inputs take the dtype of the result, as the libraries promote; what broadcasts may stay narrow


def cast(x: Any, dtype: Any) -> Any:
    """A Tensor, or a number, in another dtype."""
    if isinstance(x, Tensor):
        return x if x.dtype == dtype else ops.astype(x, dtype)
    return np.dtype(dtype).type(x).item()


def _value(y: Any, dtype: Any) -> Any:
    """Numbers of numbers are numbers."""
    return y if isinstance(y, Tensor) else cast(y, dtype)


def elementwise(function: Callable[..., Any]) -> Entry:
    """An entry of a function of Tensors and numbers that all have the dtype of the result."""

    def call(out: Out, *inputs: Any, **params: Any) -> Any:
        inputs = tuple([cast(x, out.dtype) if isinstance(x, Tensor) else x for x in inputs])
        return _value(function(*inputs, **params), out.dtype)

    call.takes = "narrow"  # type: ignore[attr-defined]
    return call


def flat(function: Callable[..., Any]) -> Entry:
    """An entry of a NumPy function whose result has no gradient."""

    def call(out: Out, *inputs: Any, **params: Any) -> Any:
        return beside(lambda *arrays: function(*arrays, **params).astype(out.dtype), *inputs)

    call.takes = "narrow"  # type: ignore[attr-defined]
    return call


def beside(function: Callable[..., Any], *inputs: Any) -> Tensor:
    """What a function of arrays gives, as a constant of the graph."""
    return Tensor(callback(lambda *arrays: np.asarray(function(*map(np.asarray, arrays))), *map(raw, inputs)))


def compared(function: Callable[..., Any]) -> Entry:
    """An entry of a comparison: both sides in the dtype that an array of one and the other would have together."""

    def call(out: Out, x: Any, y: Any) -> Any:
        return _value(function(*in_common(x, y)), out.dtype)

    call.takes = "narrow"  # type: ignore[attr-defined]
    return call


def in_common(x: Any, y: Any) -> tuple[Any, Any]:
    """Both in one dtype. Of one kind, an array decides and a single number follows, as in PyTorch."""
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)) or x.dtype == y.dtype:
        return x, y
    kinds = [{"b": 0, "u": 1, "i": 1, "f": 2}[t.dtype.kind] for t in (x, y)]
    if kinds[0] == kinds[1] and (x.ndim == 0) != (y.ndim == 0):
        dtype = x.dtype if x.ndim else y.dtype
    elif kinds[0] != kinds[1] and 2 in kinds:  # integers take the dtype of the floats
        dtype = x.dtype if kinds[0] == 2 else y.dtype
    else:
        dtype = np.result_type(x.dtype, y.dtype)
    return cast(x, dtype), cast(y, dtype)


def either(out: Out, condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds, else y."""
    x, y = (cast(v, out.dtype) for v in (x, y))
    if not isinstance(condition, Tensor):
        return x if condition else y
    return ops.where(cast(condition, bool), x, y)


either.takes = "narrow"  # type: ignore[attr-defined]


def bits(logical: Callable[..., Any], bitwise: Callable[..., Any]) -> Entry:
    """and, or, not, xor: of masks, or of the bits of integers."""

    def call(out: Out, *inputs: Any) -> Any:
        if out.dtype == bool:
            return _value(logical(*[cast(x, bool) for x in inputs]), bool)
        return flat(bitwise)(out, *inputs)

    call.takes = "narrow"  # type: ignore[attr-defined]
    return call


def between(x: Any, low: Any, high: Any) -> Any:
    """x limited to low .. high with slope 0 at the bounds themselves, as hardtanh and JAX's clamp have it."""
    inside = ops.logical_and(ops.greater(x, low), ops.less(x, high))
    return ops.where(inside, x, ops.where(ops.greater_equal(x, high), high, low))


def tan(x: Any) -> Any:
    """sin / cos."""
    return ops.div(ops.sin(x), ops.cos(x))


def sinh(x: Any) -> Any:
    """(exp(x) - exp(-x)) / 2, without losing small x."""
    return 0.5 * (ops.expm1(x) - ops.expm1(-x))


def cosh(x: Any) -> Any:
    """(exp(x) + exp(-x)) / 2."""
    return 0.5 * (ops.exp(x) + ops.exp(-x))


def remainder(rest: Callable[..., Any]) -> Callable[..., Any]:
    """np.fmod or np.remainder with its slopes: 1 in x, minus the whole quotient in y."""

    def call(x: Any, y: Any) -> Any:
        if raw(x).dtype.kind != "f":
            return beside(rest, x, y)
        return x - beside(lambda a, b: np.rint((a - rest(a, b)) / b).astype(a.dtype), x, y) * y

    return call


LN2 = math.log(2.0)

# --------------------------------------------------------------------------------------------------------------
# Picking and writing


def take(x: Any, axis: int, index: Any) -> Any:
    """x at `index` along one axis; the index's axes stand where that axis was."""
    return ops.getitem(x, (slice(None),) * axis + (index,))


def along(index: Any, axis: int) -> tuple[Any, ...]:
    """The index of take_along_axis: at each place of `index`, that row of `axis` and the place itself elsewhere."""
    grids = np.meshgrid(*(np.arange(n) for n in index.shape), indexing="ij", sparse=True) if index.ndim else []
    return tuple(index if k == axis % index.ndim else grid for k, grid in enumerate(grids))


def in_range(index: Any, length: int) -> Any:
    """The index, or an IndexError: negative numbers count from the end here, and are refused in PyTorch."""
    callback(_in_range, raw(index), length)
    return index


def _in_range(index: Any, length: int) -> None:
    if index.size and (index.min() < 0 or index.max() >= length):
        wrong = index[(index < 0) | (index >= length)].flat[0]
        raise IndexError(f"index {wrong} is not one of the {length} from 0 to {length - 1}")


def written(x: Any, index: Any, values: Any, add: bool = False) -> Any:
    """A copy of x with `values` in the place of x[index], or added to it."""
    index = tuple(map(raw, index))
    values = ops.broadcast_to(cast(values, x.dtype), np.broadcast_to(0, x.shape)[index].shape)
    spread = ops.put(values, index=index, shape=x.shape)
    if add:
        return x + spread
    times = callback(_times, x.shape, *index)
    if times.size and times.max() > 1:
        raise NotKnown("writes to one place more than once, and which value stays is not defined")
    return ops.where(times > 0, spread, x)


def _times(shape: tuple[int, ...], *index: Any) -> Any:
    """How often each element is named by an index."""
    times = np.zeros(shape, int)
    np.add.at(times, index, 1)
    return times


def padded(x: Any, widths: list[tuple[int, int]], value: Any) -> Any:
    """x with `value` around it; negative widths cut off."""
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, x.shape, strict=True))
    x = x if all(s == slice(0, n) for s, n in zip(cut, x.shape, strict=True)) else ops.getitem(x, cut)
    shape = tuple(n + max(a, 0) + max(b, 0) for (a, b), n in zip(widths, x.shape, strict=True))
    if shape == x.shape:
        return x
    inner = tuple(slice(max(a, 0), max(a, 0) + n) for (a, _), n in zip(widths, x.shape, strict=True))
    spread = ops.put(x, index=inner, shape=shape)
    if not isinstance(value, Tensor) and value == 0:
        return spread
    return ops.where(_times(shape, *inner) > 0, spread, value)
