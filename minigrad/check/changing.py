"""What if: a value in the middle of a recorded graph is changed, and the rest computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._support.arrays import real
from .._support.signatures import Values
from ..core.gradients import consumers_first, cotangent, walk
from ..core.nodes import Node, describe, raw
from ..core.tensor import Tensor
from .arguments import array_of, refuse_stale
from .table import Report, Table, short

SHARES = (1.0, 0.1, 0.01)  # of the change that was asked for


@dataclass(frozen=True, repr=False)
class WhatIf(Report):
    """The real change of y, and what its gradient says it is, for the whole change and for parts of it.

    rows   (share of the change, real change of sum(gradient * y), gradient * change)
    value  y after the whole change
    """

    marked = False
    node: str
    result: str
    rows: tuple[tuple[float, float, float], ...]
    value: np.ndarray[Any, Any]

    def __bool__(self) -> bool:
        return bool(np.isfinite(self.value).all())

    def _head(self) -> str:
        _, real_change, told = self.rows[0]
        return f"{self.node} changed: {self.result} changes by {real_change:.6g}, its gradient says {told:.6g}"

    def _remarks(self) -> list[str]:
        small, last = self.rows[-1][1:], self.rows[0][1:]
        if np.allclose(*last, rtol=1e-6, atol=0.0):
            return ["the gradient tells it all: nothing bends on the way"]
        if not np.allclose(*small, rtol=0.2, atol=1e-12 + 1e-9 * abs(last[0])):
            return ["even a small part of the change is not what the gradient says: a kink, a jump or rounding"]
        return ["the smaller the change, the better the gradient tells it: what is left over is curvature"]

    def _tables(self) -> list[Table]:
        header = ["part of it", "real change", "gradient * change", "left over"]
        rows = [[f"{share:g}", f"{a:.6g}", f"{b:.6g}", short(a - b)] for share, a, b in self.rows]
        return [Table(header, rows, text=())]


def what_if(y: Tensor, node: Tensor | str, change: Values, *, index: Any = None, gradient: Values = None) -> WhatIf:
    """The real change of y when a value of its graph is changed, beside gradient * change.

    y         the result; if it is not a single number, sum(gradient * y) is looked at (gradient: ones)
    node      a tensor that y was computed from, or its name
    change    what is added to it: a number or an array; with `index` to that element (or part) alone

    What was computed beside the graph, such as one-hot labels, stays as it was. ValueError for a node that y does not
    depend on and for a change that does not fit; the graph itself stays as it is.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> print(what_if((x * x).sum().named("y"), "x", 0.5, index=0))
    x[0] changed: y changes by 1.25, its gradient says 1
    the smaller the change, the better the gradient tells it: what is left over is curvature
    <BLANKLINE>
    part of it  real change  gradient * change  left over
    ----------  -----------  -----------------  ---------
             1         1.25                  1    2.5e-01
           0.1       0.1025                0.1    2.5e-03
          0.01     0.010025               0.01    2.5e-05
    """
    refuse_stale("what_if", y)
    order = consumers_first(y)
    place = _found(y, node, order)
    delta = np.zeros(place._array.shape)
    added = array_of(change)
    if added.dtype.kind not in "fiub":
        raise TypeError(f"what_if: the change has dtype {added.dtype}; expected real numbers")
    try:
        delta[... if index is None else index] += added
    except (ValueError, IndexError) as error:
        raise ValueError(f"what_if: the change does not fit {describe(place)}: {error}") from None
    if not delta.any():
        raise ValueError("what_if: the change is 0 everywhere; nothing would happen")
    start = cotangent(y, np.ones(y.shape, y.dtype) if gradient is None else gradient)
    slope = walk(y, start, {place}, retain=[place]).get(place)
    told = float(np.vdot(raw(slope), delta)) if slope is not None else 0.0
    weights = start._array.astype(float)
    rows, value = [], y._array
    for share in SHARES:
        after = _again(y, order, place, (place._array + share * delta).astype(place._array.dtype))
        value = after if share == 1.0 else value
        rows.append((share, float(np.vdot(weights, after.astype(float) - y._array)), share * told))
    label = place.name or (f"the result of {place.op.name}" if place.op is not None else "the leaf")
    where = "" if index is None else f"[{', '.join(map(str, index if isinstance(index, tuple) else (index,)))}]"
    return WhatIf(label + where, y.name or "y", tuple(rows), value)


def _found(y: Tensor, node: Any, order: Sequence[Node]) -> Node:
    leaves = dict.fromkeys(x for n in order for x in n.inputs if x is not None)
    known = [*dict.fromkeys([*order, *leaves])]
    if isinstance(node, Node):
        if not any(x is node for x in known):
            raise ValueError(f"what_if: y was not computed from {describe(node)}")
        return node
    named = [x for x in known if x.name == node]
    if len(named) != 1:
        names = ", ".join(sorted({x.name for x in known if x.name}))
        many = f"{len(named)} values are" if named else "no value is"
        raise ValueError(f"what_if: {many} called {node!r} in this graph; there are {names or 'none with a name'}")
    return named[0]


def _again(y: Node, order: Sequence[Node], place: Node, value: Any) -> Any:
    """The array of y with another one at `place`: all that depends on it is computed again, from bare arrays."""
    held = {place: value}
    with np.errstate(all="ignore"):
        for node in reversed(order):
            op: Any = node.op
            if node is not place and any(x in held for x in node.inputs if x is not None):
                arrays = [a if x is None else held.get(x, a) for x, a in zip(node.inputs, node.arrays, strict=True)]
                held[node] = real(op.forward(tuple(arrays), node.params)[0], op.name)
    return held.get(y, y._array)
