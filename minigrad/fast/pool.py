"""Memory that is used again: large arrays cost more to get from the system than to fill.

A fresh 4 KiB page costs about 2 us, fourteen times what writing it does, and the C library gives large arrays back to
the system when they die. So the arrays that kernels return are views of raw buffers kept here, and a buffer that
nobody looks at any more (its reference count says so) is handed out again. Each thread has its own.
"""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.context import current
from ..core.nodes import NO_PARAMS, next_number

Array = np.ndarray[Any, Any]

_ndarray, _new = np.ndarray, object.__new__

SMALLEST = 1 << 16  # bytes below which malloc keeps what it has
MAPPED = 1 << 17  # bytes from which malloc asks the system for memory, as long as it has seen none so large die
FIRST = 16  # buffers of a size that are looked at each time; a deep network has hundreds, all of them in use
LARGEST = 1 << 30  # bytes that a thread keeps at most
_LINE = 64  # bytes of a cache line: where views begin


class _Pool(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[int, list[Array]] = {}  # by size in bytes
        self.found: dict[int, int] = {}  # by size: the buffer that was handed out last, beyond the first few
        self.starts: dict[int, int] = {}  # by identity: where the first line of a buffer begins
        self.held = 0


_pool = _Pool()
_count: Any = getattr(sys, "getrefcount", None)


def _holders(items: Any, key: Any) -> int:
    return int(_count(items[key]))


_ALONE = _holders([object()], 0) if _count is not None else 0  # the count of what one container alone holds


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised C-ordered array, as np.empty; a large one in memory that was used before."""
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST or _count is None:
        return np.empty(shape, dtype)
    kept = _pool.buffers.get(size)
    if kept is None:
        kept = _pool.buffers[size] = []
    for k in range(len(kept)) if len(kept) <= FIRST else _turns(size, len(kept)):
        if _count(kept[k]) == _ALONE:  # `_holders`, written out
            if k >= FIRST:
                _pool.found[size] = k
            return np.ndarray(shape, dtype, kept[k], _pool.starts[id(kept[k])])
    buffer = np.empty(size + _LINE, np.uint8)
    start = -buffer.ctypes.data % _LINE
    if _pool.held + size > LARGEST:
        _drop_unused()
    if _pool.held + size <= LARGEST:
        kept.append(buffer)
        _pool.starts[id(buffer)] = start
        _pool.held += size
    return np.ndarray(shape, dtype, buffer, start)


def _turns(size: int, n: int) -> Iterator[int]:
    """Where to look among n buffers: at the first few, which are in the cache; then on from the one found last."""
    last = min(_pool.found.get(size, FIRST), n)
    return itertools.chain(range(FIRST), range(last, n), range(FIRST, last))


def _drop_unused() -> None:
    for kept in _pool.buffers.values():
        kept[:] = [kept[k] for k in range(len(kept)) if _holders(kept, k) > _ALONE]
    alive = {id(buffer) for kept in _pool.buffers.values() for buffer in kept}
    _pool.starts = {key: start for key, start in _pool.starts.items() if key in alive}
    _pool.held = sum(size * len(kept) for size, kept in _pool.buffers.items())


def release() -> None:
    """Give back to the system what this thread keeps and nobody uses."""
    _drop_unused()


def unaliased(found: dict[Any, Any], xs: Any) -> list[Any]:
    """As `core.gradients.unaliased`, copying only arrays that somebody else sees; takes what it gives from `found`."""
    results: list[Any] = []
    context = current()
    for x in xs:
        d = found.pop(x, None)
        if d is None:
            before = dict(zip(xs, results, strict=False))  # the same tensor may be asked for twice
            d = np.array(before[x]._array) if x in before else np.zeros(x._array.shape, x._array.dtype)
        elif d.__class__ is not _ndarray or _seen(d) > _MINE or not (d.base is None or _unshared(d)):
            d = np.array(d)
        node = _new(x.__class__)  # `_leaf`, written out: a call less
        node._array, node._needs, node.number, node.context = d, False, next_number(), context
        node.op, node.inputs, node.arrays, node.params, node.saved = None, (), (), NO_PARAMS, None
        results.append(node)
    return results


def _taken(found: dict[Any, Any]) -> int:
    """How many hold an array that `unaliased` alone can see."""
    d = found.pop(None, None)
    return int(_seen(d))


_seen: Any = _count or (lambda d: 1)  # where nothing is counted, all is copied
_MINE = _taken({None: np.empty(0)}) if _count is not None else 0


def _unshared(d: Array) -> bool:
    """Whether nobody can see the memory of an array, other than through it."""
    base = d.base
    if base is None:
        return bool(d.flags.owndata)
    if not isinstance(base, np.ndarray) or base.base is not None or not base.flags.owndata:
        return False
    # its view and `base` here look at the buffer; the pool may, too
    known = any(other is base for other in _pool.buffers.get(base.nbytes - _LINE, ()))
    return _holders((base,), 0) <= _ALONE + 2 + known


# --------------------------------------------------------------------------------------------------------------
# Arithmetic whose results lie in memory that was used before. Kernels and rules are written with operators, which ask
# the system for fresh memory; given a `Pooled` array they take it from the pool, and so do the temporaries between.

LARGE = 1 << 18  # bytes from which the detour through Python is worth its few microseconds
ARITHMETIC = frozenset(  # primitives whose kernels and rules are such operators
    ("add", "sub", "mul", "div", "neg", "exp", "log", "log1p", "expm1", "sqrt", "square", "relu")
)

_SAME_DTYPE = {
    np.add, np.subtract, np.multiply, np.divide, np.negative, np.square, np.sqrt, np.exp, np.log, np.tanh, np.maximum,
    np.minimum, np.absolute, np.sign, np.sin, np.cos, np.expm1, np.log1p,
}  # fmt: skip


class Pooled(np.ndarray[Any, Any]):
    """A view of an array of floats; what NumPy's elementwise functions make of it is one, too."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [unwrapped(x) for x in inputs]
        if method == "__call__" and not options and ufunc in _SAME_DTYPE:
            room = _room(self, arrays)
            if room is not None:
                return ufunc(*arrays, out=room).view(Pooled)
        if "out" in options:
            options["out"] = tuple([unwrapped(x) for x in options["out"]])
        return getattr(ufunc, method)(*arrays, **options)


def unwrapped(x: Any) -> Any:
    """The array itself, of which a Pooled is a view; anything else as it is."""
    return x.view(np.ndarray) if type(x) is Pooled else x


def pooled(x: Any) -> Any:
    """A large array of floats as a Pooled; anything else as it is."""
    large = type(x) is np.ndarray and x.nbytes >= LARGE and x.dtype.kind == "f"
    return x.view(Pooled) if large else x


def _room(self: Any, arrays: list[Any]) -> Any:
    """Memory for the result, where it has the shape and dtype of `self`; else None."""
    for x in arrays:
        if type(x) is np.ndarray:
            if x.dtype != self.dtype or (x.shape != self.shape and x.shape != self.shape[self.ndim - x.ndim :]):
                return None
        elif type(x) is not float and type(x) is not int:
            return None
    return empty(self.shape, self.dtype)
