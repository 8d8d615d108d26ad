"""Which node made the first NaN or infinity of a training step, and on which line it stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backward import consumers_first, walk
from ..record import Traced, describe, raw


class NonFiniteStep(FloatingPointError):
    """A training step gave a loss or a gradient that is NaN or infinite. Nothing of that step was applied.

    step   number of the step, counted from 1
    node   the first tensor of its graph that is not finite (None if it is not in the graph)
    line   (file, line) that computed it, or None
    """

    def __init__(self, message: str, step: int, node: Any, line: tuple[str, int] | None) -> None:
        super().__init__(message)
        self.step, self.node, self.line = step, node, line
        self.history: Any = None


def first_nonfinite(y: Traced) -> tuple[Any, str]:
    """The oldest tensor in the graph of `y` that holds NaN or infinity, and what there is to say of it."""
    nodes = sorted({y, *consumers_first(y)}, key=lambda node: node.number)
    leaves = {x for node in nodes for x in node.inputs if isinstance(x, Traced) and x.op is None}
    for leaf in sorted(leaves, key=lambda node: node.number):
        if not np.isfinite(leaf._array).all():
            return leaf, f"{describe(leaf)} already held {_kinds(leaf._array)} before the step"
    for node in nodes:
        if np.isfinite(node._array).all():
            continue
        inputs = ", ".join(_seen(x) for x in node.inputs)
        where = " in " + "/".join(node.context.scope.path) if node.context.scope is not None else ""
        return node, f"{node.op.name if node.op else 'a leaf'}({inputs}){where} gave {_kinds(node._array)}"
    return None, "its graph holds finite numbers only"


def first_nonfinite_gradient(y: Traced) -> tuple[Any, str]:
    """The first op of the backward walk from `y` whose rule gave NaN or infinity."""
    found: list[tuple[Any, str]] = []

    def look(node: Traced, g: Any, steps: list[tuple[int, Any]]) -> None:
        for position, d in steps:
            if not found and np.isfinite(g).all() and not np.isfinite(d).all():
                x = node.inputs[position]
                name = node.op.name if node.op else "?"
                found.append((node, f"the rule of {name} gave {_kinds(d)} for its input {_seen(x)}"))

    walk(y, np.ones_like(y._array), observe=look)
    return found[0] if found else (None, "every rule gave finite numbers, their sum overflowed")


def _kinds(a: Any) -> str:
    nan, inf = int(np.isnan(a).sum()), int(np.isinf(a).sum())
    return (
        " and ".join(f"{n} {what}" for n, what in ((nan, "NaN"), (inf, "infinite")) if n) + f" of {np.size(a)} values"
    )


def _seen(x: Any) -> str:
    values = raw(x)
    if not isinstance(values, np.ndarray) or not values.size:
        return describe(x)
    with np.errstate(all="ignore"):
        return f"{describe(x)} in {np.nanmin(values):.3g} .. {np.nanmax(values):.3g}"
