"""explain_zeros: why a gradient is zero or tiny. A fact about the graph, in words; often a mistake of the model.

Works on what one backward pass sends along each edge: a gradient that is zero was either never sent, or an op's
rule ended it, or several contributions cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._support.shapes import axes_of, count
from .._support.signatures import Values
from ..core.context import Observer, using
from ..core.gradients import consumers_first, cotangent, walk
from ..core.nodes import Node, raw
from ..core.tensor import Tensor
from .arguments import as_sequence, refuse_stale
from .table import Report, Table, short

ZERO = 1e-10  # relative to the largest gradient anywhere in the graph: rounding
TINY = 1e-4  # relative to the largest in the same column: what the eps of a batch norm leaves
FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Explained:
    """One tensor whose gradient is zero or tiny, wholly or in some columns."""

    name: str
    shape: tuple[int, ...]
    largest: float
    extent: str
    reason: str


@dataclass(frozen=True, repr=False)
class ZeroReport(Report):
    """What `explain_zeros` found. True if no gradient is zero or tiny; prints one line for each that is."""

    found: tuple[Explained, ...]
    looked_at: int

    marked = False  # a fact, and not always a mistake

    def __bool__(self) -> bool:
        return not self.found

    def _head(self) -> str:
        if self:
            return f"none of {self.looked_at} gradients is zero or tiny"
        return f"{len(self.found)} of {self.looked_at} gradients are zero or tiny"

    def _tables(self) -> list[Table]:
        rows = [[e.name, str(e.shape), short(e.largest), e.extent, e.reason] for e in self.found]
        return [Table(["tensor", "shape", "largest", "where", "why"], rows, text=(0, 1, 3, 4))] if rows else []


class _Flow(Observer):
    """What one backward pass sent along each edge."""

    def __init__(self, y: Tensor, start: FloatArray) -> None:
        self.arrived: dict[Node, FloatArray] = {}
        self.sent: dict[tuple[Node, int], FloatArray] = {}
        self.consumers: dict[Node, list[tuple[Node, int]]] = {}
        for node in consumers_first(y)[::-1]:
            for position, x in enumerate(node.inputs):
                if x is not None:
                    self.consumers.setdefault(x, []).append((node, position))
        with using(self):
            self.total = walk(y, start)
        self.scale = max((float(np.max(np.abs(g), initial=0.0)) for g in self.arrived.values()), default=0.0)

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        """What a rule was given, and what it sent."""
        self.arrived[node] = np.asarray(g)
        self.sent.update({(node, position): np.asarray(d) for position, d in gradients})

    def arriving(self, columns: int) -> FloatArray:
        """The largest gradient anywhere, column by column, among what has as many columns."""
        largest = np.zeros(columns)
        for g in self.arrived.values():
            if g.ndim and g.shape[-1] == columns and g.size:
                largest = np.maximum(largest, np.abs(g).reshape(-1, columns).max(axis=0))
        return largest


def explain_zeros(y: Tensor, xs: Sequence[Tensor] | None = None, gradient: Values = None) -> ZeroReport:
    """Say why gradients of `y` are zero (to rounding) or tiny: for the tensors `xs`, or all leaves of the graph.

    `gradient` is the cotangent, as for `y.backward()`. Looks at whole tensors and at columns (the last axis).

    >>> import numpy as np, minigrad as mg
    >>> x = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]])
    >>> b = mg.zeros(2, requires_grad=True, name="b")
    >>> loss = mg.square(mg.batch_norm(x + b) - np.eye(3, 2)).sum()
    >>> print(explain_zeros(loss).found[0].reason)
    a bias before batch_norm: the mean takes it away again (leave the bias out)
    """
    start = raw(cotangent(y, gradient))
    refuse_stale("explain_zeros", y)
    flow = _Flow(y, start)
    leaves = [x for x in flow.total if x.op is None] if xs is None else as_sequence(xs)
    leaves.sort(key=lambda x: x.number)
    found = [e for x in leaves if (e := _explained(flow, y, x)) is not None]
    return ZeroReport(tuple(found), len(leaves))


def _explained(flow: _Flow, y: Tensor, x: Node) -> Explained | None:
    name = x.name or f"{x._array.shape} leaf"
    d = flow.total.get(x)
    if d is None and x is not y:
        reached = x in flow.consumers
        reason = "every path to it ends in an op without gradient" if reached else "the result does not depend on it"
        return Explained(name, x._array.shape, 0.0, "everywhere", reason)
    if d is None or not d.size:
        return None
    size = np.abs(d).reshape(-1, d.shape[-1] if d.ndim else 1).max(axis=0)
    level = ZERO if (size <= ZERO * flow.scale).any() else TINY
    columns = size <= (ZERO * flow.scale if level == ZERO else TINY * flow.arriving(size.shape[0]))
    if not columns.any():
        return None
    word = "zero" if level == ZERO else "tiny"
    extent = word + (" everywhere" if columns.all() else f" in columns {_listed(columns)}")
    return Explained(name, x._array.shape, float(np.max(np.abs(d))), extent, _reason(flow, x, columns, level))


def _listed(columns: npt.NDArray[np.bool_]) -> str:
    numbers = np.flatnonzero(columns)
    return ", ".join(map(str, numbers[:6])) + (" ..." if len(numbers) > 6 else "")


def _reason(flow: _Flow, x: Node, columns: npt.NDArray[np.bool_], level: float) -> str:
    """Follow the zero from x towards y until an op is found that makes it."""
    limit = level * flow.scale
    seen, stack = set(), [x]
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        consumers = [(n, k) for n, k in flow.consumers.get(value, []) if n in flow.arrived]
        if any(not _small(flow.sent.get((n, k)), columns, limit) for n, k in consumers):
            ops = sorted({n.op.name for n, _ in consumers if n.op is not None})
            if {"mean", "sub"} <= set(ops):
                return "the mean that is subtracted takes it away again: adding a constant to every row changes nothing"
            return f"what comes back from {' and '.join(ops)} cancels"
        for node, position in consumers:
            g = flow.arrived[node]
            if not _small(g, columns, limit):
                return _ended(flow, node, position, g, columns)
            stack.append(node)
    return "the gradient that arrives from outside is zero"


def _small(d: FloatArray | None, columns: npt.NDArray[np.bool_], limit: float) -> bool:
    """Whether d is zero where we look: in the columns, where it has such columns."""
    return d is None or float(np.max(np.abs(_in(d, columns)), initial=0.0)) <= limit


def _in(d: FloatArray, columns: npt.NDArray[np.bool_]) -> FloatArray:
    return d[..., columns] if d.ndim and d.shape[-1] == len(columns) else d


def _ended(flow: _Flow, node: Node, position: int, g: FloatArray, columns: npt.NDArray[np.bool_]) -> str:
    """Why the rule of this op sends zero although something arrives."""
    op: Any = node.op
    if op.name in ("add", "sub") and node.arrays[position].shape != g.shape:
        # a broadcast summand whose gradient sums to zero over the rows: what becomes of the sum?
        names = {n.op.name for n, _ in flow.consumers.get(node, []) if n.op is not None}
        fused = next((name for name in ("batch_norm", "layer_norm") if name in names), None)
        if fused or {"mean", "sub"} <= names:
            return f"a bias before {fused or 'a normalization'}: the mean takes it away again (leave the bias out)"
        return "the gradients that arrive sum to zero over the rows that it was added to"
    if op.name in ("batch_norm", "layer_norm"):
        return _normalized(node, position, g, columns)
    if op.name in ("relu", "clip", "maximum", "minimum", "max", "min", "where"):
        where = f" in columns {_listed(columns)}" if columns.size > 1 and not columns.all() else ""
        text = "every input is negative: a dead relu" if op.name == "relu" else f"{op.name} never chooses it"
        return f"{text}{where}"
    if op.name in ("mul", "matmul", "div") and not np.any(node.arrays[1 - position]):
        return f"{op.name} with {getattr(node.inputs[1 - position], '_name', None) or 'a factor'} that is zero"
    return f"the derivative of {op.name} is zero here"


def _normalized(node: Node, position: int, g: FloatArray, columns: npt.NDArray[np.bool_]) -> str:
    op: Any = node.op
    axis = axes_of(node.params["axis"], g.ndim)
    x_hat = node.saved[0] if node.saved else np.zeros(())
    per = "row" if op.name == "batch_norm" else "feature"
    if count(g.shape, axis) == 1:
        return f"{op.name} over a single {per}: its result is beta whatever x is"
    if position == 1 and not np.any(_in(x_hat, columns)):
        return f"x is constant there, so x_hat is 0 (columns {_listed(columns)})"
    gamma = node.arrays[1]
    if gamma is not None and position == 0 and not np.any(_in(gamma, columns)):
        return "gamma is 0, so x does not reach the result"
    h = g if gamma is None else g * np.reshape(gamma, node.params["wide"])
    size = np.max(np.abs(h))
    centred = h - h.mean(axis=axis, keepdims=True)
    if np.max(np.abs(_in(centred, columns))) <= ZERO * size:
        return f"the same gradient arrives at every {per}, as of a sum, and {op.name} passes on only what differs"
    along = centred - x_hat * (centred * x_hat).mean(axis=axis, keepdims=True)
    if np.max(np.abs(_in(along, columns))) <= TINY * size:
        return f"the gradient is a multiple of x_hat, as of sum(x_hat**2): {op.name} leaves a share of order eps of it"
    return f"{op.name} takes away mean and scale, and nothing else is in the gradient that arrives"
