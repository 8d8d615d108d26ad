"""How compiled code is made, and how it writes large results: past the cache.

A store to memory that is not in the cache reads its line first. A result of many megabytes will be out of the cache
before anyone looks at it, so that reading is for nothing: such results are made strip by strip in a small scratch and
poured out with stores that skip the cache, two thirds of the traffic of a loop that reads one array and writes two.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

ir: Any = cgutils.ir  # type: ignore[attr-defined,unused-ignore]
compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")

POURED = 1 << 24  # bytes of a result from which it is poured
LINE = 64  # bytes


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def _pour_line(context: Any, target: Any, source: Any, k: Any) -> Any:
    """One line, from source[k:] to target[k:], past the cache; both aligned to lines."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        element = context.get_value_type(signature.args[0].dtype)
        line = ir.VectorType(element, LINE * 8 // signature.args[0].dtype.bitwidth).as_pointer()
        places = []
        for kind, value in zip(signature.args[:2], arguments[:2], strict=True):
            array = context.make_array(kind)(context, builder, value)
            places.append(builder.bitcast(builder.gep(array.data, [arguments[2]]), line))
        store = builder.store(builder.load(places[1], align=LINE), places[0], align=LINE)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(target, source, k), generate


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def pours(a: np.ndarray[Any, Any]) -> bool:  # pragma: no cover - compiled
    """Whether a result is poured: large, and beginning with a line."""
    return a.nbytes >= POURED and a.ctypes.data % LINE == 0


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def aligned(size: int, like: Any) -> Any:  # pragma: no cover - compiled
    """A scratch vector of the dtype of `like` that begins with a line."""
    raw = np.empty(size + LINE // like.itemsize, like.dtype)
    start = -(raw.ctypes.data // like.itemsize) % (LINE // like.itemsize)
    return raw[start : start + size]


@compiled  # type: ignore[untyped-decorator,unused-ignore]
def pour(target: Any, source: Any) -> None:  # pragma: no cover - compiled
    """target[:] = source for vectors that begin with a line."""
    step = LINE // target.itemsize
    whole = target.size // step * step
    for k in range(0, whole, step):
        _pour_line(target, source, k)  # type: ignore[call-arg,unused-ignore]
    for k in range(whole, target.size):
        target[k] = source[k]
