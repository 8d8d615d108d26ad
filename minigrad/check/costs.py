"""What a recorded computation costs: ops, bytes, and how often arrays of x's size are read or written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .._support.shapes import storage
from ..core.context import using
from ..core.gradients import consumers_first, grad
from ..core.nodes import Node, Primitive
from ..core.tensor import Tensor
from ..program.rules import kept_for_backward


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
    nodes = consumers_first(y)
    inputs = [x for node in nodes for x in node.inputs if isinstance(x, Node) and x.op is None]
    largest = max((x._array.size for x in inputs), default=0)
    kept = [array for node in nodes for array in kept_for_backward(node).values()]
    alive = [node._array for node in nodes] + [array for node in nodes for array in node.saved or ()]
    own = {id(storage(x._array)) for x in inputs}
    return Cost(
        ops=len(nodes),
        kept=_bytes(kept),
        alive=_bytes(a for a in alive if id(storage(a)) not in own),
        forward=sum(_moved(part, largest) for node in nodes for part in _expanded(node)),
        backward=_moved_backward(y, nodes, inputs, largest),
    )


def _bytes(arrays: Iterable[np.ndarray[Any, Any]]) -> int:
    found = {id(storage(a)): storage(a) for a in arrays}
    return sum(a.nbytes for a in found.values())


def _moved(node: Node, largest: int) -> int:
    values = [node._array, *(getattr(x, "_array", x) for x in node.given)]
    return sum(np.size(a) >= largest for a in values if isinstance(a, np.ndarray))


def _expanded(node: Node) -> list[Node]:
    """The ops that an op's own code is made of, found by running that code on Tensors.

    Fused ops and reductions such as var are written in minigrad's own functions, so they can be; an op whose code is
    NumPy's stands for itself.
    """
    op: Primitive = node.op  # type: ignore[assignment]
    fresh = [_leaf_of(x) for x in node.given]
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


def _leaf_of(x: Any) -> Any:
    return type(x)._leaf(x._array, needs=x._needs) if isinstance(x, Node) else x


def _moved_backward(y: Tensor, nodes: list[Node], inputs: list[Node], largest: int) -> int | None:
    """Counted on the differentiable backward pass: of the ops that it records, those that depend on the cotangent
    (the others are `save` run again, which the plain walk does not do)."""
    wanted = list({x.number: x for x in inputs if x._needs}.values())
    if not wanted:
        return 0
    start = Tensor(np.ones_like(y._array), requires_grad=True)
    try:
        gradients = grad(y, wanted, gradient=start, create_graph=True)
    except TypeError:  # a rule that is not differentiable itself
        return None
    known = {node.number for node in nodes}
    recorded = {node.number: node for d in gradients for node in consumers_first(d) if node.number not in known}
    flowing = {start.number}
    total = 0
    for number in sorted(recorded):
        node = recorded[number]
        if any(isinstance(x, Node) and x.number in flowing for x in node.inputs):
            flowing.add(number)
            total += _moved(node, largest)
    return total
