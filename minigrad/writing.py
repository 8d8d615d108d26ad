"""Writing in place: the one way in which an array of the graph ever changes, and what notices it too late.

The memory is stamped with a number from the creation counter, so "written after that op was recorded" is a comparison,
and recording pays nothing for it. Memory and not the leaf: another tensor may look at it, and the one that was written
through (x.detach(), say) may be gone by the time of the walk.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from .reads import read_by, storage
from .record import Primitive, Traced, describe, next_number

_last_write = 0
_writes: dict[int, tuple[weakref.ref[np.ndarray], int, str]] = {}  # by id of the memory's owner: it, when, what


def write(leaf: Traced, value: Any) -> None:
    """Copy `value` into the storage of a leaf, and stamp it."""
    leaf._array[...] = value
    stamp(leaf)


def stamp(leaf: Traced) -> None:
    """Note that the storage of a leaf was just written."""
    global _last_write
    owner = storage(leaf._array)
    key, _last_write = id(owner), next_number()
    before = _writes.get(key)
    if before is not None and before[0]() is owner:
        gone = before[0]
    else:
        gone = weakref.ref(owner, lambda _: _writes.pop(key, None))
    _writes[key] = (gone, _last_write, getattr(leaf, "_name", ""))


def refuse_stale(order: list[Traced], graph: bool) -> None:
    """Raise if a rule would read an array that was written after the op was recorded. `order`: newest first.

    One pass over the graph, however much was written: batch norm's running averages alone are four writes a layer.
    """
    oldest = order[-1].number
    if _last_write <= oldest:
        return
    late = {
        key: (number, name)
        for key, (owner, number, name) in list(_writes.items())
        if number > oldest and owner() is not None
    }
    if not late:
        return
    for node in order:
        op: Primitive = node.op  # type: ignore[assignment]
        for a in node.saved or ():
            number, name = late.get(id(storage(a)), _NEVER)
            if number > node.number:
                _stale(op, "what it saved", name)
        for k, x in enumerate((*node.inputs, node)):
            number, name = late.get(id(storage(x._array)), _NEVER) if isinstance(x, Traced) else _NEVER
            if number > node.number:
                role = "out" if x is node else op.input_names[0 if op.variadic else k]
                if role in read_by(node) or (graph and op.save is not None):
                    _stale(op, describe(x), name)


_NEVER = (0, "")


def _stale(op: Primitive, what: str, name: str) -> None:
    raise RuntimeError(
        f"{op.name} needs {what} for its gradient, but that memory was written{f' (as {name})' if name else ''} "
        f"after {op.name} was recorded; run the forward again, or write after backward()"
    )
