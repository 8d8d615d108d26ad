"""A program as Tensors with a graph of its instructions, which `mg.graph` and `mg.draw` read; and the way back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import attrgetter
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


def history(x: Node) -> Any:
    """(op, inputs, parameters) of a node that is no leaf."""
    return None if x.op is None else (x.op, x.given, x.params)


def of_graph(
    ends: Sequence[Any], inputs: Sequence[Any] = (), made: Callable[[Any], Any] = history, since: float = math.inf
) -> Program:
    """The program that computes `ends`, Tensors, from `inputs` and from other leaves.

    made: (op, inputs, parameters) of a node, or None for a leaf; leaves younger than number `since` are constants.
    """
    steps: dict[Any, Any] = {}
    places = {x: k for k, x in enumerate(inputs)}
    stack = [x for x in ends if isinstance(x, Node)]
    while stack:
        x = stack.pop()
        step = made(x) if x not in steps and x not in places else None
        if step is not None:
            steps[x] = step
            stack += [y for y in step[1] if isinstance(y, Node)]
    values: dict[Any, Value] = {}

    def value(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return Value(0, "constant", x)
        if isinstance(x, Node) and x not in values:
            kind = "made" if x in steps else "input" if x in places else "tensor" if x.number < since else "constant"
            values[x] = Value(0, kind, x._array, places.get(x, x), x.name)
        return values[x] if isinstance(x, Node) else x

    first = [value(x) for x in inputs]
    instructions = [
        Instruction(
            "op", op.name, op.kernel, tuple(map(value, given)), params, (value(x),), op, (), False, x.scope, x.line
        )
        for x in sorted(steps, key=attrgetter("number"))
        for op, given, params in [steps[x]]
    ]
    return Program(instructions, first, tuple(map(value, ends))).numbered()
