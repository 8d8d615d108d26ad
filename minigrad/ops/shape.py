"""Primitives that move, repeat or pick elements without computing on them."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._support.arrays import admitted
from .._support.signatures import Array, DType, Index, Same, Shape, Value, joining, unary
from ..core.gradients import unbroadcast
from ..core.nodes import primitive, raw
from .logic import of_one


@primitive(formula="reshape(x)")
def reshape(x: Array, /, shape: Shape) -> Value:
    """The same elements in another shape; one -1 is worked out."""
    return np.asarray(x).reshape(shape)


reshape.defvjp(lambda g, out, x, shape: reshape(g, x.shape))


@primitive(formula="transpose(x)", local=("g transposed back",))
def transpose(x: Array, /, axes: Sequence[int] | None = None) -> Value:
    """Axes in the order given (None: reversed)."""
    return np.transpose(x, axes)


def _transpose(g: Value, out: Value, x: Value, axes: tuple[int, ...] | None) -> Value:
    return transpose(g, None if axes is None else tuple(np.argsort(np.atleast_1d(axes) % x.ndim).tolist()))


transpose.defvjp(_transpose)


@primitive(formula="swapaxes(x)")
def swapaxes(x: Array, /, axis1: int, axis2: int) -> Value:
    """Two axes exchanged."""
    return np.swapaxes(x, axis1, axis2)


swapaxes.defvjp(lambda g, out, x, axis1, axis2: swapaxes(g, axis1, axis2))


@primitive(formula="expand_dims(x)")
def expand_dims(x: Array, /, axis: int | tuple[int, ...]) -> Value:
    """A new axis of length 1 at `axis` of the result."""
    return np.expand_dims(x, axis)


expand_dims.defvjp(lambda g, out, x, axis: reshape(g, x.shape))


@primitive(formula="squeeze(x)")
def squeeze(x: Array, /, axis: int | tuple[int, ...] | None = None) -> Value:
    """Axes of length 1 removed (None: all of them)."""
    return np.squeeze(x, axis)


squeeze.defvjp(lambda g, out, x, axis: reshape(g, x.shape))


@primitive(formula="broadcast_to(x)", local=("g, summed over the stretched axes",))
def broadcast_to(x: Array, /, shape: Shape) -> Value:
    """x stretched to `shape` by NumPy's rules."""
    return np.broadcast_to(x, shape)


broadcast_to.defvjp(lambda g, out, x, shape: unbroadcast(g, x.shape, "broadcast_to"))


@of_one(formula="astype(x)")
def astype(x: Array, /, dtype: DType) -> Value:
    """A copy in another dtype."""
    return np.array(x, dtype=dtype)


astype.defvjp(lambda g, out, x, dtype: astype(g, x.dtype))


@primitive(formula="concatenate(arrays)", local=("g, cut at the joints",))
def concatenate_(*arrays: Array, axis: int | None = 0) -> Value:
    """The primitive behind `concatenate`: the arrays one by one."""
    return np.concatenate(arrays, axis)


def _concatenate(g: Value, out: Value, saved: None, *arrays: Value, axis: int | None) -> tuple[Value, ...]:
    before: tuple[slice, ...] = () if axis is None else (slice(None),) * (axis % g.ndim)
    stops = itertools.accumulate(a.size if axis is None else a.shape[axis] for a in arrays)
    cuts = itertools.pairwise([0, *stops])
    return tuple([reshape(g[(*before, slice(i, k))], a.shape) for a, (i, k) in zip(arrays, cuts, strict=True)])


concatenate_.defvjp_joint(_concatenate)


@joining
def concatenate(arrays: Sequence[Value], axis: int | None = 0) -> Value:
    """Arrays joined along an existing axis (None: flattened first)."""
    return concatenate_(*_as_arrays("concatenate", arrays), axis=axis)


@primitive(formula="stack(arrays)", local=("g, one slice each",))
def stack_(*arrays: Array, axis: int = 0) -> Value:
    """The primitive behind `stack`: the arrays one by one."""
    return np.stack(arrays, axis)


def _stack(g: Value, out: Value, *arrays: Value, position: int, axis: int) -> Value:
    return g[(slice(None),) * (axis % g.ndim) + (position,)]


stack_.defvjp(_stack)


@joining
def stack(arrays: Sequence[Value], axis: int = 0) -> Value:
    """Arrays of one shape joined along a new axis."""
    return stack_(*_as_arrays("stack", arrays), axis=axis)


def _as_arrays(name: str, arrays: Sequence[Value]) -> list[Value]:
    if not isinstance(arrays, (list, tuple)):
        raise TypeError(f"{name} takes a list or tuple of arrays, got {type(arrays).__name__}")
    return [a if hasattr(a, "shape") else np.asarray(a) for a in arrays]


def split(x: Same, parts: int | Sequence[int], axis: int = 0) -> list[Same]:
    """x cut along `axis` into `parts` equal pieces, or at the positions given, as np.split does."""
    length = x.shape[axis]
    parts = operator.index(parts) if isinstance(parts, np.integer) else parts
    if isinstance(parts, int) and (parts < 1 or length % parts):
        raise ValueError(f"split: an axis of length {length} cannot be cut into {parts} equal parts")
    cuts: Sequence[int] = [k * (length // parts) for k in range(1, parts)] if isinstance(parts, int) else parts
    before: tuple[Any, ...] = (slice(None),) * (axis % x.ndim)
    return [x[(*before, slice(a, b))] for a, b in zip([0, *cuts], [*cuts, length], strict=True)]


@primitive(formula="flip(x)")
def flip(x: Array, /, axis: int | tuple[int, ...] | None = None) -> Value:
    """Elements in reverse order along `axis` (None: all axes)."""
    return np.flip(x, axis)


flip.defvjp(lambda g, out, x, axis: flip(g, axis))


@primitive(formula="roll(x)", local=("g rolled back",))
def roll(x: Array, /, shift: int | tuple[int, ...], axis: int | tuple[int, ...] | None = None) -> Value:
    """Elements moved along `axis`, those that fall off coming back at the other end."""
    return np.roll(x, shift, axis)


roll.defvjp(
    lambda g, out, x, shift, axis: roll(g, tuple(-s for s in shift) if isinstance(shift, tuple) else -shift, axis)
)


@of_one(formula="x[index]", local=("zeros with g added at index",))
def getitem_(x: Array, /, index: Value) -> Value:
    """The primitive behind `getitem`: an index of plain arrays that nobody else holds."""
    return x[index]


@of_one(formula="zeros with x added at index", local=("g[index]",))
def put(x: Array, /, index: Value, shape: tuple[int, ...]) -> Value:
    """Zeros of `shape` with x added at `index`, repeats added up: the reverse of x[index]."""
    out = np.zeros(shape, np.asarray(x).dtype)
    if _picks_each_once(index):
        out[index] = x
    else:
        np.add.at(out, index, x)
    return out


getitem_.defvjp(lambda g, out, x, index: put(g, index=index, shape=x.shape))
put.defvjp(lambda g, out, x, index, shape: getitem_(g, index=index))


@unary
def getitem(x: Value, index: Index) -> Value:
    """x[index]: integers, slices, None, ..., index arrays (repeats allowed) and boolean masks."""
    return getitem_(x, index=_plain(index))


def _plain(index: Any) -> Any:
    """The index with Tensors and sequences turned into arrays."""
    if isinstance(index, tuple):
        return tuple([_plain(part) for part in index])
    index = raw(index)
    if not isinstance(index, str):  # which NumPy's own error is for
        admitted(index)
    if isinstance(index, (list, range)):
        index = np.array(index)
        return index.astype(int) if index.size == 0 else index
    return index


def _picks_each_once(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(part.dtype.kind == "b" if isinstance(part, np.ndarray) else isinstance(part, _SINGLE) for part in parts)


_SINGLE = (int, np.integer, np.bool_, slice, type(None), type(Ellipsis))  # what cannot name an element twice
