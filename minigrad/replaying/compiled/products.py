"""Products of matrices by the BLAS that NumPy itself uses, found where NumPy is: no other library is needed."""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

from ...program import Instruction, Value
from ...program.program import Array
from . import elements

LETTER = {"f": "s", "d": "d"}


@functools.cache
def blas(char: str) -> tuple[int, str] | None:
    """The address of cblas's gemm for float32 or float64 and its type of integers; None where it is not found."""
    try:
        library = ctypes.CDLL(sys.modules["numpy._core._multiarray_umath"].__file__)  # and what it was linked with
    except (KeyError, OSError):
        return None
    name = f"cblas_{LETTER[char]}gemm"
    for symbol, integer in (
        (f"scipy_{name}64_", "i64"),
        (f"{name}64_", "i64"),
        (f"scipy_{name}", "i32"),
        (name, "i32"),
    ):
        found = getattr(library, symbol, None)
        if found is not None:
            return ctypes.cast(found, ctypes.c_void_p).value or 0, integer
    return None


def known(i: Instruction) -> bool:
    """Whether it is a product of two matrices that BLAS takes as they lie."""
    if i.kind != "op" or i.name != "matmul" or elements.few_terms(i):
        return False
    x, y = i.inputs
    if not (isinstance(x, Value) and isinstance(y, Value) and len(x.shape) == len(y.shape) == 2):
        return False
    one = x.dtype == y.dtype and x.dtype.char in LETTER and i.outputs[0].array.flags.c_contiguous
    return bool(one and blas(x.dtype.char)) and None not in (lies(array_of(x)), lies(array_of(y)))


def array_of(v: Value) -> Array:
    """An array laid out as the value will be."""
    return v.source._array if v.kind == "tensor" else v.array


def lies(a: Array) -> tuple[bool, int] | None:
    """Whether a matrix lies transposed, and how many elements its rows are apart; None if BLAS cannot take it."""
    (rows, columns), (down, along) = a.shape, [s // a.itemsize for s in a.strides]
    if (along == 1 or columns == 1) and (rows == 1 or down >= columns):
        return False, max(down if rows > 1 else columns, 1)
    if (down == 1 or rows == 1) and (columns == 1 or along >= rows):
        return True, max(along if columns > 1 else rows, 1)
    return None


def call(place: int, integer: str, t: str, x: Any, y: Any, out: Any) -> str:
    """The line of one product. x, y, out: (name, array)."""
    (m, k), n = x[1].shape, y[1].shape[1]
    (x_turned, x_rows), (y_turned, y_rows) = lies(x[1]) or (False, 0), lies(y[1]) or (False, 0)
    shapes = f"{m}, {n}, {k}, {x[0]}, {x_rows}, {y[0]}, {y_rows}, {out[0]}, {n}"
    return f"gemm_{t}_{integer}(T[{place}], {111 + x_turned}, {111 + y_turned}, {shapes})"
