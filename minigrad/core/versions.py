"""Writing in place: the one way in which an array of the graph ever changes, and what notices it too late.

The memory is stamped with a number from the creation counter, so "written after that op was recorded" is a comparison,
and recording pays nothing for it. Memory and not the leaf: another tensor may look at it, and the one that was written
through (x.detach(), say) may be gone by the time of the walk.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from .nodes import Node, Primitive, describe, next_number
from .reads import read_by, storage


class Mark:
    """When some memory was last written, as a creation number (0: never), and as which leaf."""

    __slots__ = ("name", "number", "owner")

    def __init__(self, owner: weakref.ref[np.ndarray]) -> None:
        self.owner, self.number, self.name = owner, 0, ""


_last_write = 0
_writes: dict[int, Mark] = {}  # by id of the memory's owner, for as long as it lives


def write(leaf: Node, value: Any) -> None:
    """Copy `value` into the storage of a leaf, and stamp it."""
    leaf._array[...] = value
    stamp(leaf)


def stamp(*leaves: Node) -> None:
    """Note that the storage of these leaves was just written."""
    renew([marked(leaf) for leaf in leaves])


def renew(marks: Iterable[Mark]) -> None:
    """Note that what these marks stand for was just written: `stamp` for who keeps them."""
    global _last_write
    _last_write = number = next_number()
    for mark in marks:
        mark.number = number


def marked(leaf: Node) -> Mark:
    """The mark of the memory of a leaf, good for as long as its array is not replaced."""
    owner = storage(leaf._array)
    key = id(owner)
    mark = _writes.get(key)
    if mark is None or mark.owner() is not owner:
        mark = _writes[key] = Mark(weakref.ref(owner, lambda _: _writes.pop(key, None)))
    mark.name = getattr(leaf, "_name", "")
    return mark


def move(leaf: Node, home: np.ndarray) -> Mark:
    """Let the values of a leaf live in `home`, memory of its shape, from now on; when they were written is kept."""
    before = _writes.get(id(storage(leaf._array)))
    home[...] = leaf._array
    leaf._array = home
    mark = marked(leaf)
    mark.number = 0 if before is None else before.number
    return mark


def refuse_stale(order: list[Node], graph: bool) -> None:
    """Raise if a rule would read an array that was written after the op was recorded. `order`: newest first.

    One pass over the graph, however much was written: batch norm's running averages alone are four writes a layer.
    """
    oldest = order[-1].number
    if _last_write <= oldest:
        return
    late = {
        key: (mark.number, mark.name)
        for key, mark in _writes.copy().items()  # whole at once: the collector may take some away at any time
        if mark.number > oldest and mark.owner() is not None
    }
    if not late:
        return
    newest = max([number for number, _ in late.values()])
    for node in order:
        if node.number > newest:  # batch norm's averages are written right after it: most of a small net comes later
            continue
        op: Primitive = node.op  # type: ignore[assignment]
        arrays = [node._array, *(node.saved or ()), *[x._array for x in node.inputs if isinstance(x, Node)]]
        if late.keys().isdisjoint([id(a if a.base is None else storage(a)) for a in arrays]):
            continue
        for a in node.saved or ():
            number, name = late.get(id(storage(a)), _NEVER)
            if number > node.number:
                _stale(op, "what it saved", name)
        for k, x in enumerate((*node.inputs, node)):
            number, name = late.get(id(storage(x._array)), _NEVER) if isinstance(x, Node) else _NEVER
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
