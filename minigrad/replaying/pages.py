"""Memory straight from the system: large arrays that take none until they are written to, and can give it back."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
LARGE = 1 << 20  # bytes from which on a buffer of a program can be emptied
_LINE = 64  # bytes of a cache line: where smaller ones begin
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}  # not on Windows


def untouched(size: int) -> mmap.mmap:
    """Zeros; where they are only read, the system shows one page of zeros everywhere."""
    return mmap.mmap(-1, max(size, 1), **_PRIVATE)


def buffer(size: int) -> Array:
    """Uninitialised bytes."""
    if size < LARGE:
        raw = np.empty(size + _LINE, np.uint8)
        start = -raw.ctypes.data % _LINE
        return raw[start : start + size]
    memory = untouched(size)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # as NumPy asks for
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


def emptied(raw: Array) -> None:
    """Give the pages of a large buffer back to the system, where that can be done: it stays, and holds anything."""
    memory = getattr(raw.base, "obj", raw.base)  # NumPy looks at it through a memoryview
    if isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        memory.madvise(mmap.MADV_DONTNEED)
