"""A graph that was recorded as Tensors, as a Program: its ops run once more, and every value on the way is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.context import using
from ..core.nodes import Node
from ..core.tensor import Tensor
from .passes import opened
from .program import Array, Program, Value
from .recording import Recorder, backward_of


class Rerun(NamedTuple):
    """The program of a graph, in primitives alone, and where what the graph shows is found in it.

    leaves     {a leaf of the graph, or the id of an array that an op was given: the input that stands for it}
    values     {op of the graph: its value}
    saved      {(op, k): the k-th array that its `save` kept}
    gradients  {op or leaf: its gradient}
    sent       {(op, k): what it sends to its k-th input}
    """

    program: Program
    leaves: dict[Any, Value]
    values: dict[Node, Value]
    saved: dict[tuple[Node, int], Value]
    gradients: dict[Node, Value]
    sent: dict[tuple[Node, int], Value]


class _Told(Recorder):
    """A recorder that also keeps which value is whose gradient."""

    whoever = "the making of a live page"

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[tuple[str, Any], Value] = {}
        self.stands_for: dict[Node, Node] = {}  # {op that ran now: op of the graph}

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        super().pulled(node, g, gradients)
        old = self.stands_for.get(node)
        if old is not None:
            self.found["gradient", old] = self.value(g)
            self.found.update({("sent", (old, k)): self.value(d) for k, d in gradients})


def rerun(
    order: Sequence[Node],
    roots: Sequence[Node],
    cotangents: Mapping[Node, Array] | None = None,
    change: Callable[[Array], Array] = lambda array: array,
) -> Rerun:
    """The graph as a Program, with what it computes for its roots' `cotangents` ({root: array}) on the way back.

    order   its ops, each after those that it reads from
    change  gives the array to run with for each leaf and cotangent, such as a part of it

    Arrays of floats that ops were given are inputs, too; numbers, and arrays that choose, stay as they are. Whatever an
    op says to other arrays goes through; what runs Python on values is refused (NotRecordable).
    """
    told = _Told()
    made: dict[Any, Any] = {}

    def leaf(key: Any, array: Array, needs: bool, name: str | None) -> Any:
        if key not in made:
            copy = np.array(change(array))
            made[key] = Tensor._leaf(copy, needs)
            if name:
                made[key].named(name)
            told.found["leaf", key] = told.argument(copy, name)
        return made[key]

    def given(x: Any) -> Any:
        if isinstance(x, Node):
            return made[x] if x.op is not None else leaf(x, x._array, x._needs, x.name)
        floats = isinstance(x, np.ndarray) and x.ndim and x.dtype.kind == "f"
        return leaf(id(x), x, False, None) if floats else x

    with using(told, recording=True, frozen=True, cause=None, scope=None), np.errstate(all="ignore"):
        for node in order:
            op: Any = node.op
            made[node] = y = op.call(*map(given, node.given), **node.params)
            if not isinstance(y, Tensor):
                raise TypeError(f"{op.name} of constants")
            if node.name:
                y.named(node.name)
            told.stands_for[y] = node
            told.found["value", node] = told.value(y)
            told.found.update({("saved", (node, k)): told.value(a) for k, a in enumerate(y.saved or ())})
        ends = [made[root] for root in cotangents or {} if made[root]._needs]
        start = [change(g) for root, g in (cotangents or {}).items() if made[root]._needs]
        of, cotangent = backward_of(told, ends, start if len(ends) > 1 else start[0]) if ends else ({}, ())
    known = {value: key for (what, key), value in told.found.items() if what == "leaf"}
    told.found.update({("gradient", known[value]): slope for value, slope in of.items() if value in known})
    told.give_names({})
    program = Program(told.instructions, told.inputs, list(told.found.values()), {}, cotangent)
    program = opened(program, rules=True)
    parts: dict[str, dict[Any, Value]] = {what: {} for what in ("leaf", "value", "saved", "gradient", "sent")}
    for (what, key), value in zip(told.found, program.template, strict=True):
        parts[what][key] = value
    return Rerun(program, *parts.values())
