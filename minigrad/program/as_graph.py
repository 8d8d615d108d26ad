"""A program as Tensors with a graph of its instructions: what `mg.graph` and `mg.draw` read."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import Context, Scope
from ..core.nodes import Node, Primitive, raw
from ..core.tensor import Tensor
from .program import Instruction, Program, Value, values_in


def as_graph(program: Program) -> list[Node]:
    """What comes of a program, and its updates, as Tensors whose history is its instructions."""
    made: dict[Value, Node] = {}
    updates: list[Node] = []
    scopes: dict[tuple[str, ...], Scope] = {}

    def tensor(x: Any) -> Any:
        if not isinstance(x, Value):
            return x
        if x not in made:
            made[x] = Tensor._leaf(x.array).named(x.label)
        return made[x]

    for i in program.instructions:
        # parameters and texts stay texts; what holds values becomes an input
        inputs = [tensor(x) for x in i.inputs] + [tensor(v) for v in values_in(i.params)]
        params = {name: x for name, x in i.params.items() if not any(values_in(x))}
        results = [value.array for value in i.outputs] or ([np.zeros(())] if i.kind == "update" else [])
        for k, array in enumerate(results):
            node = Tensor._leaf(array)
            node.op, node.context, node.params = _shown(i, k), _context(i, scopes), params
            node.inputs = tuple([x if isinstance(x, Node) else None for x in inputs])
            node.arrays = tuple(map(raw, inputs))
            if i.outputs:
                node._name, made[i.outputs[k]] = i.outputs[k].label, node
            else:
                updates.append(node)
    return list(dict.fromkeys([*[made[v] for v in program.wanted() if v in made], *updates]))


def _shown(i: Instruction, k: int) -> Primitive:
    """A primitive to draw: the one that ran, or one that has its name alone."""
    if i.kind == "op" and i.op is not None and k == 0 and not any(values_in(i.params)):
        return i.op
    name = i.name if k == 0 else f"{i.name}, result {k + 1}"

    def shown(*inputs: Any) -> Any:
        raise NotImplementedError(name)

    op = Primitive(shown, formula=f"{name}(inputs)")
    op.name = name
    return op


def _context(i: Instruction, scopes: dict[tuple[str, ...], Scope]) -> Context:
    """The scopes of an instruction, forward and backward apart; the same path is the same scope."""
    path = ("update",) if i.kind == "update" else ("backward", *i.scope) if i.backward else i.scope
    scope = None
    for depth, name in enumerate(path, 1):
        scope = scopes.setdefault(path[:depth], Scope(name, scope))
    return Context(scope=scope)
