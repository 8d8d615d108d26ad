"""A program for people: as text, and as Tensors that are drawn like any graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import Context, Scope
from ..core.nodes import Node, Primitive, next_number, raw
from ..core.tensor import Tensor
from .memory import Bound
from .program import Instruction, Program, Value, values_in


def listing(program: Program, bound: Bound | None) -> str:
    """One line an instruction: number, what it computes, shape, where that lies, and from when to when it lives."""
    rows = [("", "instruction", "shape", "memory", "lives", "")]
    for k, i in enumerate(program.instructions):
        shapes = ", ".join(_shape(v) for v in i.outputs)
        places = lives = notes = ""
        if bound is not None:
            places = ", ".join(bound.place(v) for v in i.outputs)
            spans = [bound.lives[v] for v in i.outputs if v in bound.lives]
            end = len(program.instructions)
            lives = ", ".join(f"{a}-{'end' if b == end else b}" for a, b in spans)
            said = ["in place"] if i in bound.in_place else []
            said += ["allocates"] if i in bound.allocates and i.outputs else []
            notes = ", ".join(said)
        rows.append((str(k), line_of(i), shapes, places, lives, notes))
    widths = [min(max(len(row[c]) for row in rows), 64 if c == 1 else 40) for c in range(6)]
    lines = ["  ".join(_cut(cell, w).ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    names = [f"{v!r} {v.name} {_shape(v)}" for v in (*program.inputs, *program.tensors()) if v.name]
    if names:
        lines.append("from outside: " + ", ".join(names))
    if bound is not None:
        made = sum(v.array.nbytes for i in program.instructions for v in i.outputs if v not in bound.roots)
        lines.append(f"{len(program)} instructions; {bound.nbytes:,} bytes of buffers for {made:,} bytes of results")
    return "\n".join(lines)


def line_of(i: Instruction) -> str:
    """ "v3 = matmul(in0, w2)"."""
    outs = ", ".join(map(repr, i.outputs))
    texts = [_text(x) for x in i.inputs] + [f"{name}={_text(x)}" for name, x in i.params.items()]
    call = f"{i.name}({', '.join(texts)})"
    return f"{outs} = {call}" if outs else call


def _text(x: Any) -> str:
    if isinstance(x, Value) and x.kind == "constant" and x.array.size == 1:
        return f"{x.array.item():.4g}"
    if isinstance(x, tuple):
        return "(" + ", ".join(map(_text, x)) + ("," if len(x) == 1 else "") + ")"
    if isinstance(x, (float, str)):
        return f"{x:.4g}" if isinstance(x, float) else repr(_cut(x, 16))
    return repr(x) if len(repr(x)) <= 24 else type(x).__name__


def _shape(v: Value) -> str:
    return "x".join(map(str, v.array.shape)) or "()"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def tensors_of(program: Program) -> list[Node]:
    """What the program keeps, as Tensors whose graph is the program: a node for every result of an instruction."""
    made: dict[Value, Node] = {}
    scopes: dict[tuple[bool, tuple[str, ...]], Scope | None] = {}

    def tensor(x: Any) -> Any:
        if not isinstance(x, Value):
            return x
        if x not in made:
            leaf = made[x] = Tensor._leaf(x.array)
            leaf._name = x.name if x.name and x.kind == "tensor" else repr(x)
        return made[x]

    for i in program.instructions:
        # parameters and texts stay texts; what holds values becomes an input
        inputs = tuple([tensor(x) for x in i.inputs]) + tuple([tensor(v) for v in values_in(i.params)])
        params = {name: x for name, x in i.params.items() if not any(True for _ in values_in(x))}
        for k, value in enumerate(i.outputs):
            node = Tensor._leaf(value.array)
            _history(node, inputs, params)
            node.op = _shown(i, k)
            node.number, node._name = next_number(), repr(value)  # as in the listing
            node.context = _context(i, scopes)
            made[value] = node
        if not i.outputs and i.kind == "update":
            node = Tensor._leaf(np.zeros(()))
            _history(node, inputs, {})
            node.op, node.number, node.context = _shown(i, 0), next_number(), _context(i, scopes)
            made[Value(-1, "made", node._array)] = node
    last = [node for value, node in made.items() if value.number == -1]
    kept = [made[v] for v in program.kept() if v in made]
    return list(dict.fromkeys([*kept, *last]))


def _history(node: Node, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
    node.inputs = tuple([x if isinstance(x, Node) else None for x in inputs])
    node.arrays, node.params = tuple(map(raw, inputs)), params


def _shown(i: Instruction, k: int) -> Primitive:
    """A primitive to draw: the one that ran, or one that has its name alone."""
    if i.kind == "op" and i.op is not None and k == 0 and not any(True for _ in values_in(i.params)):
        return i.op
    name = i.name if k == 0 else f"{i.name}, result {k + 1}"

    def shown(*inputs: Any) -> Any:
        raise NotImplementedError(name)

    op = Primitive(shown, formula=f"{name}(inputs)")
    op.name = name
    return op


def _context(i: Instruction, scopes: dict[tuple[bool, tuple[str, ...]], Scope | None]) -> Context:
    """The scopes of an instruction, forward and backward apart; the same path is the same scope."""
    path = (("backward", *i.scope) if i.backward else i.scope) if i.kind != "update" else ("update",)
    for depth in range(1, len(path) + 1):
        key = (i.backward, path[:depth])
        if key not in scopes:
            scopes[key] = Scope(path[depth - 1], scopes.get((i.backward, path[: depth - 1])))
    return Context(scope=scopes.get((i.backward, path)))
