"""A program for people: as text, and as Tensors that are drawn like any graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.context import Context, Scope
from ..core.nodes import Node, Primitive, raw
from ..core.tensor import Tensor
from .lowering import Bound
from .program import Instruction, Program, Value, values_in


class Listed:
    """A program for people, with its memory where it has some."""

    def __init__(self, program: Program, bound: Bound | None = None) -> None:
        self.program, self.bound = program, bound

    def __len__(self) -> int:
        return len(self.program)

    def calls(self) -> list[tuple[str, Callable[[], Any]]]:
        """(in words, the call that it became) of every instruction but views, which are made once."""
        return [] if self.bound is None else [(line_of(i), run) for i, run in self.bound.calls]

    def tensors(self) -> list[Node]:
        """What comes of the program, as Tensors with a graph of its instructions: for mg.graph and mg.draw."""
        made: dict[Value, Node] = {}
        updates: list[Node] = []
        scopes: dict[tuple[bool, tuple[str, ...]], Scope] = {}

        def tensor(x: Any) -> Any:
            if not isinstance(x, Value):
                return x
            if x not in made:
                leaf = made[x] = Tensor._leaf(x.array)
                leaf._name = x.name if x.name and x.kind == "tensor" else repr(x)
            return made[x]

        for i in self.program.instructions:
            # parameters and texts stay texts; what holds values becomes an input
            inputs = [tensor(x) for x in i.inputs] + [tensor(v) for v in values_in(i.params)]
            params = {name: x for name, x in i.params.items() if not values_in(x)}
            results = [value.array for value in i.outputs] or ([np.zeros(())] if i.kind == "update" else [])
            for k, array in enumerate(results):
                node = Tensor._leaf(array)
                node.op, node.context, node.params = _shown(i, k), _context(i, scopes), params
                node.inputs = tuple([x if isinstance(x, Node) else None for x in inputs])
                node.arrays = tuple(map(raw, inputs))
                if i.outputs:
                    node._name, made[i.outputs[k]] = repr(i.outputs[k]), node  # as in the listing
                else:
                    updates.append(node)
        return list(dict.fromkeys([*[made[v] for v in self.program.outputs() if v in made], *updates]))

    def __str__(self) -> str:
        """One line an instruction: number, what it computes, shape, where that lies, and from when to when it lives."""
        program, bound = self.program, self.bound
        rows = [("", "instruction", "shape", "memory", "lives", "")]
        for k, i in enumerate(program.instructions):
            rows.append((str(k), line_of(i), ", ".join(map(_shape, i.outputs)), *_memory(i, bound)))
        widths = [min(max(len(row[c]) for row in rows), 64 if c == 1 else 40) for c in range(6)]
        cells = [[_cut(cell, w).ljust(w) for cell, w in zip(row, widths, strict=True)] for row in rows]
        lines = ["  ".join(row).rstrip() for row in cells]
        names = [f"{v!r} {v.name} {_shape(v)}" for v in (*program.inputs, *program.tensors()) if v.name]
        if names:
            lines.append("from outside: " + ", ".join(names))
        if bound is not None:
            made = sum(v.array.nbytes for i in program.instructions for v in i.outputs if v not in bound.roots)
            text = f"{len(program)} instructions; {bound.nbytes:,} bytes of buffers for {made:,} bytes of results"
            lines.append(text)
        return "\n".join(lines)

    __repr__ = __str__


def _memory(i: Instruction, bound: Bound | None) -> tuple[str, str, str]:
    """Where results lie, from when to when they live, and what else is to be said."""
    if bound is None:
        return "", "", ""
    spans = [bound.lives[v] for v in i.outputs if v in bound.lives]
    lives = [f"{a}-{'end' if b == len(bound.program) else b}" for a, b in spans]
    notes = ["in place"] if i in bound.in_place else ["allocates"] if i in bound.allocates and i.outputs else []
    return ", ".join(map(bound.place, i.outputs)), ", ".join(lives), ", ".join(notes)


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


def _shown(i: Instruction, k: int) -> Primitive:
    """A primitive to draw: the one that ran, or one that has its name alone."""
    if i.kind == "op" and i.op is not None and k == 0 and not values_in(i.params):
        return i.op
    name = i.name if k == 0 else f"{i.name}, result {k + 1}"

    def shown(*inputs: Any) -> Any:
        raise NotImplementedError(name)

    op = Primitive(shown, formula=f"{name}(inputs)")
    op.name = name
    return op


def _context(i: Instruction, scopes: dict[tuple[bool, tuple[str, ...]], Scope]) -> Context:
    """The scopes of an instruction, forward and backward apart; the same path is the same scope."""
    path = (("backward", *i.scope) if i.backward else i.scope) if i.kind != "update" else ("update",)
    scope = None
    for depth, name in enumerate(path, 1):
        scope = scopes.setdefault((i.backward, path[:depth]), Scope(name, scope))
    return Context(scope=scope)
