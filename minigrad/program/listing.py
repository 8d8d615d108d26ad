"""A program as text: one line an instruction, in columns that fit a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .program import Instruction, Program, Value


def listing(program: Program, more: Callable[[Instruction], tuple[str, ...]] | None = None) -> str:
    """Inputs, then forward, backward and update, one line an instruction with the shape of its result and its scope.

    With `more` its cells stand in place of the scope, and instructions are numbered.
    """
    rows: list[tuple[str, ...] | str] = ["inputs"]
    rows += [(v.label, shape_of(v), str(v.dtype)) for v in (*program.inputs, *program.tensors())]
    part, kind = "", ""
    for k, i in enumerate(program.instructions):
        updating = i.kind == "update" or (part == "backward") or (part == "update" and kind != "update")
        before, kind = part, i.kind
        part = "backward" if i.backward else "update" if updating else "forward"
        if part != before:
            rows.append(part)
        cells = ("/".join(i.scope),) if more is None else more(i)
        rows.append(
            (
                statement(i) if more is None else f"{k:<3} {statement(i)}",
                ", ".join(map(shape_of, i.outputs[:1])),
                *cells,
            )
        )
    ends = [("returns", ", ".join(v.label for v in program.results), "")]
    ends += [(f"gradient of {v.label}", slope.label, "") for v, slope in program.gradients.items()]
    rows += ["results", *ends]
    return aligned(rows)


def aligned(rows: list[tuple[str, ...] | str], widest: int = 56) -> str:
    """Rows of cells in columns, indented; a row that is one text stands by itself."""
    cells = [row for row in rows if not isinstance(row, str)]
    columns = max(map(len, cells), default=0)
    widths = [min(max(len(row[c]) for row in cells if c < len(row)), widest) for c in range(columns)]
    lines = []
    for row in rows:
        if isinstance(row, str):
            lines.append(row)
        else:
            lines.append("  " + "  ".join(cut(cell, w).ljust(w) for cell, w in zip(row, widths, strict=False)).rstrip())
    return "\n".join(lines)


def statement(i: Instruction) -> str:
    """ "y = matmul(x, w)"."""
    outs = ", ".join(v.label for v in i.outputs)
    texts = [text(x) for x in i.inputs]
    texts += [f"{name}={text(x)}" for name, x in i.params.items() if i.op is None or not _default(i, name, x)]
    call = f"{i.name}({', '.join(texts)})"
    return f"{outs} = {call}" if outs else call


def _default(i: Instruction, name: str, x: Any) -> bool:
    default = i.op.defaults.get(name) if i.op is not None else None
    return type(default) is type(x) and (default is x or (isinstance(x, (int, float, bool, str)) and default == x))


def text(x: Any) -> str:
    """One argument."""
    if isinstance(x, Value):
        return x.label
    if isinstance(x, tuple):
        return "(" + ", ".join(map(text, x)) + ("," if len(x) == 1 else "") + ")"
    if isinstance(x, (float, str)):
        return f"{x:.6g}" if isinstance(x, float) else repr(cut(x, 16))
    if isinstance(x, np.ndarray):
        return f"array {x.shape}"
    return repr(x) if len(repr(x)) <= 24 else type(x).__name__


def shape_of(v: Value) -> str:
    """ "7x3", or "()" of a single number."""
    return "x".join(map(str, v.shape)) or "()"


def cut(words: str, width: int) -> str:
    """Text of at most `width` characters."""
    return words if len(words) <= width else words[: width - 3] + "..."
