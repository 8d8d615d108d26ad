"""What a recorded computation costs: ops, bytes, and how often arrays of x's size are read or written."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from .._support.arrays import buffers
from .._support.shapes import storage
from ..core.context import using
from ..core.gradients import consumers_first, grad
from ..core.nodes import Node
from ..core.tensor import Tensor
from ..program.rules import kept_for_backward
from .arguments import refuse_stale


class Cost(NamedTuple):
    """ops: ops on the tape. kept: bytes that backward reads, each array once. alive: bytes of all values that the
    recorded graph holds, leaves apart. forward, backward: arrays at least as big as the largest input that the ops
    of each pass read or write; an op made of other ops, as fused ones are, is counted by those.
    """

    ops: int
    kept: int
    alive: int
    forward: int
    backward: int | None  # None where the rules cannot be run on Tensors, and so not be counted

    def rows(self) -> list[tuple[str, str]]:
        """(label, number) pairs, for tables and pictures."""
        labels = (
            "ops on the tape",
            "bytes kept for backward",
            "bytes alive with the graph",
            "x-sized arrays moved, forward",
            "x-sized arrays moved, backward",
        )
        return [(label, "-" if n is None else f"{n:,}") for label, n in zip(labels, self, strict=True)]


def cost(y: Tensor) -> Cost:
    """The cost of the graph recorded for `y`, counted and not timed.

    >>> import minigrad as mg
    >>> x = mg.ones((4, 3), requires_grad=True)
    >>> cost(mg.batch_norm(x)).ops, cost(mg.batch_norm_composed(x)).ops
    (1, 6)
    """
    refuse_stale("cost", y)
    nodes = consumers_first(y)
    leaves = list({x: None for node in nodes for x in node.inputs if x is not None and x.op is None})
    largest = max((x._array.size for x in leaves), default=0)
    given = _bytes(x._array for x in leaves)
    alive = _bytes(a for node in nodes for a in (node._array, *buffers(node.saved)))
    return Cost(
        ops=len(nodes),
        kept=sum(_bytes(a for node in nodes for a in kept_for_backward(node).values()).values()),
        alive=sum(size for memory, size in alive.items() if memory not in given),
        forward=sum(_moved(part, largest) for node in nodes for part in _expanded(node)),
        backward=_moved_backward(y, nodes, [x for x in leaves if x._needs], largest),
    )


def _bytes(arrays: Iterable[np.ndarray[Any, Any]]) -> dict[int, int]:
    """The size of each piece of memory that the arrays look at, by its identity."""
    return {id(memory): memory.nbytes for memory in map(storage, arrays)}


def _moved(node: Node, largest: int) -> int:
    return sum(a.size >= largest for a in (node._array, *node.arrays) if isinstance(a, np.ndarray))


def _expanded(node: Node) -> list[Node]:
    """The ops that an op's own code is made of, found by running that code on Tensors.

    Fused ops and reductions such as var are written in minigrad's own functions, so they can be; an op whose code is
    NumPy's stands for itself.
    """
    op: Any = node.op
    fresh = [a if x is None else x._leaf(a, needs=x._needs) for x, a in zip(node.inputs, node.arrays, strict=True)]
    with using(recording=True):
        try:
            saved = {} if op.save is None else {"saved": op.save(*fresh, **node.params)}
            out = op.kernel(*fresh, **saved, **node.params)
        except (TypeError, ValueError):  # NumPy does not take Tensors
            return [node]
    parts = consumers_first(out) if isinstance(out, Node) else []
    if len(parts) < 2:
        return [node]
    return [smaller for part in parts for smaller in (_expanded(part) if part.op is not op else [part])]


def _moved_backward(y: Tensor, nodes: list[Node], wanted: list[Node], largest: int) -> int | None:
    """Counted on the differentiable backward pass: of the ops that it records, those that depend on the cotangent
    (the others are `save` run again, which the plain walk does not do)."""
    if not wanted:
        return 0
    start = Tensor(np.ones_like(y._array), requires_grad=True)
    try:
        gradients = grad(y, wanted, gradient=start, create_graph=True)
    except TypeError:  # a rule that is not differentiable itself
        return None
    recorded = {node for d in gradients for node in consumers_first(d)}.difference(nodes)
    flowing: set[Any] = {start}
    for node in sorted(recorded, key=attrgetter("number")):
        if not flowing.isdisjoint(node.inputs):
            flowing.add(node)
    return sum(_moved(node, largest) for node in flowing - {start})
