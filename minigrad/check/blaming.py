"""blame: which op of a graph has a wrong rule. Each is checked on its own, at the values that it was recorded with."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._support.notebook import Shown, block
from .._support.notebook import table as html_table
from .._support.signatures import Values
from ..core.context import Observer, observing
from ..core.gradients import consumers_first, cotangent, walk
from ..core.nodes import Node, Primitive, raw
from ..core.tensor import Tensor
from .arguments import Function
from .gradient_check import Gradcheck, gradcheck
from .table import table

HEADER = ["step", "op", "result", "rule", "why"]


FULL = 4000  # entries of an op's Jacobian up to which each is compared


@dataclass(frozen=True)
class Verdict:
    """What was found of one node."""

    number: int  # creation number of the node, which names it in pictures
    op: str
    name: str
    state: str  # "right", "WRONG", "not judged"
    reason: str
    report: Gradcheck | None

    @property
    def ok(self) -> bool:
        """Not known to be wrong."""
        return self.state != "WRONG"


@dataclass(frozen=True)
class Blame(Shown):
    """What `blame` found. True if no op is guilty; prints one line an op. `mg.draw(y, marks=report.marks)` shows it."""

    verdicts: tuple[Verdict, ...]
    order: int

    def __bool__(self) -> bool:
        return all(v.ok for v in self.verdicts)

    @property
    def guilty(self) -> list[Verdict]:
        """The wrong ones, in the order in which they were recorded."""
        return [v for v in self.verdicts if not v.ok]

    @property
    def marks(self) -> dict[int, str]:
        """Creation number of each guilty node, and what to write beside it."""
        return {v.number: f"wrong rule: {v.reason}" for v in self.guilty}

    def __str__(self) -> str:
        parts = [self._head(), "", table(HEADER, self._rows(), text=(1, 2, 3, 4))]
        parts += [f"\n{v.report}" for v in self.guilty if v.report is not None]
        return "\n".join(parts)

    __repr__ = __str__

    def _html(self) -> str:
        wrong = [k for k, v in enumerate(self.verdicts) if not v.ok]
        shown = html_table(HEADER, self._rows(), text=(1, 2, 3, 4), wrong=wrong)
        reports = [v.report._html() for v in self.guilty if v.report is not None]
        return block(self._head(), [shown, *reports], ok=bool(self))

    def _head(self) -> str:
        if self:
            return f"blame: all {len(self.verdicts)} ops have right rules to order {self.order}"
        return "blame: " + ", ".join(f"{v.op} ({v.name})" for v in self.guilty) + " is wrong"

    def _rows(self) -> list[list[str]]:
        return [[str(k), v.op, v.name, v.state, v.reason] for k, v in enumerate(self.verdicts, 1)]


def blame(y: Tensor, gradient: Values = None, *, order: int = 1, seed: int = 0) -> Blame:
    """Check the rule of every op that `y` depends on against differences of that op alone.

    Each op is called again with copies of its recorded inputs, in float64, and gradchecked (order 1 or 2): so a
    wrong rule is found where it is, not where its effect shows. Inputs at a kink are "not judged". `gradient`, as
    for `y.backward()`, is optional: with it (or where y is a single number) the real backward pass is run as well,
    and a rule that raises there is guilty too.

    >>> import minigrad as mg
    >>> x = mg.tensor([0.5, 1.5], requires_grad=True)
    >>> bool(blame(mg.exp(mg.sin(x)).sum()))
    True
    """
    if order not in (1, 2):
        raise ValueError(f"blame: order={order!r} must be 1 or 2")
    if not isinstance(y, Tensor) or y.op is None:
        raise TypeError("blame(y): y must be a Tensor that was computed from tensors with requires_grad=True")
    raised = _raised_in(y, gradient)
    nodes = consumers_first(y)[::-1]
    return Blame(tuple(_judged(node, order, seed, raised.get(node.number)) for node in nodes), order)


def _raised_in(y: Tensor, gradient: Any) -> dict[int, str]:
    """The node whose rule raises in the real backward pass, and how."""
    if gradient is None and y.size != 1:
        return {}
    start = raw(cotangent(y, gradient))
    reached = _Reached()
    try:
        with observing(reached):
            walk(y, start)
    except Exception as error:
        guilty = next(node for node in consumers_first(y) if node not in reached.nodes)
        return {guilty.number: f"raises {type(error).__name__}: {error}"}
    return {}


class _Reached(Observer):
    """The nodes whose rules ran."""

    def __init__(self) -> None:
        self.nodes: set[Node] = set()

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        self.nodes.add(node)


def _judged(node: Node, order: int, seed: int, raised: str | None) -> Verdict:
    op: Primitive = node.op  # type: ignore[assignment]
    name = node.name or "-"
    if raised is not None:
        return Verdict(node.number, op.name, name, "WRONG", raised, None)
    wanted = [k for k, x in enumerate(node.inputs) if isinstance(x, Node) and x._needs]
    arrays = [_float64(node.given[k]) for k in wanted]
    if not node._array.size or not all(a.size for a in arrays):
        return Verdict(node.number, op.name, name, "not judged", "it is empty", None)
    if not all(np.isfinite(a).all() for a in arrays):
        return Verdict(node.number, op.name, name, "not judged", "an input holds NaN or infinity", None)
    try:
        small = node._array.size * sum(a.size for a in arrays) <= FULL
        report = gradcheck(_alone(node, wanted), arrays, order=order, mode="full" if small else "fast", seed=seed)
    except Exception as error:
        return Verdict(node.number, op.name, name, "WRONG", f"raises {type(error).__name__}: {error}", None)
    if report:
        return Verdict(node.number, op.name, name, "right", "; ".join(report.notes), report)
    if all(e.ok or e.kink for e in report.worst) and any(e.kink for e in report.worst):
        return Verdict(node.number, op.name, name, "not judged", "; ".join(report.problems), report)
    reason = "; ".join([*report.reasons, *report.problems]) or "its derivative is not that of its values"
    return Verdict(node.number, op.name, name, "WRONG", reason, report)


def _float64(x: Any) -> np.ndarray[Any, Any]:
    return np.array(raw(x), dtype=np.float64)


def _alone(node: Node, wanted: list[int]) -> Function:
    """The op as a function of those of its inputs that have a gradient; the others, and parameters, as recorded."""
    op: Primitive = node.op  # type: ignore[assignment]

    def alone(*leaves: Any) -> Any:
        inputs = [_constant(raw(x)) for x in node.given]
        for position, leaf in zip(wanted, leaves, strict=True):
            inputs[position] = leaf
        return op.call(*inputs, **node.params)

    alone.__name__ = op.name
    # gradcheck names the arguments by the function's parameters
    names = op.input_names * len(node.inputs) if op.variadic else op.input_names
    alone.__signature__ = _signature([f"{names[k]}_{k}" if op.variadic else names[k] for k in wanted])  # type: ignore[attr-defined]
    return alone


def _signature(names: list[str]) -> inspect.Signature:
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names])


def _constant(x: Any) -> Any:
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
