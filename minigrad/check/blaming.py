"""blame: which op of a graph has a wrong rule. Each is checked on its own, at the values that it was recorded with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._support.signatures import Values
from ..core.context import Observer, using
from ..core.gradients import consumers_first, cotangent, walk
from ..core.nodes import Node, raw
from ..core.tensor import Tensor
from .arguments import alone, stale
from .gradient_check import Gradcheck, gradcheck
from .table import Report, Table

FULL = 4000  # entries of an op's Jacobian up to which each is compared


@dataclass(frozen=True)
class Verdict:
    """What was found of one node."""

    number: int  # creation number of the node, which names it in pictures
    op: str
    name: str
    state: str  # "right", "WRONG", "not judged", "stale"
    reason: str
    report: Gradcheck | None

    @property
    def ok(self) -> bool:
        """Not known to be wrong."""
        return self.state != "WRONG"


@dataclass(frozen=True, repr=False)
class Blame(Report):
    """What `blame` found. True if no op is guilty; prints one line an op. `mg.draw(y, marks=report.marks)` shows it.

    stale: what was written after the graph was recorded, in words. Of such a graph nothing can be said as a whole.
    """

    verdicts: tuple[Verdict, ...]
    order: int
    stale: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.stale and not self.guilty

    @property
    def guilty(self) -> list[Verdict]:
        """The wrong ones, in the order in which they were recorded."""
        return [v for v in self.verdicts if not v.ok]

    @property
    def marks(self) -> dict[int, str]:
        """Creation number of each guilty node, and what to write beside it."""
        return {v.number: f"wrong rule: {v.reason}" for v in self.guilty}

    def _head(self) -> str:
        if self.guilty:
            return "blame: " + ", ".join(f"{v.op} ({v.name})" for v in self.guilty) + " is wrong"
        if self.stale:
            return "blame: the graph is stale, run the forward again before blaming"
        return f"blame: all {len(self.verdicts)} ops have right rules to order {self.order}"

    def _remarks(self) -> list[str]:
        stale = [f"stale: {what}" for what in self.stale]
        said = [f"{v.op} ({v.name}), {v.state}: {v.reason}" for v in self.verdicts if v.reason and v.state != "stale"]
        return stale + said

    def _tables(self) -> list[Table]:
        rows = [[str(k), v.op, v.name, v.state] for k, v in enumerate(self.verdicts, 1)]
        wrong = [k for k, v in enumerate(self.verdicts) if not v.ok]
        return [Table(["step", "op", "result", "rule"], rows, text=(1, 2, 3), wrong=wrong)]

    def _parts(self) -> list[Gradcheck]:
        return [v.report for v in self.guilty if v.report is not None]


def blame(y: Tensor, gradient: Values = None, *, order: int = 1, seed: int = 0) -> Blame:
    """Check the rule of every op that `y` depends on against differences of that op alone.

    Each op is called again with copies of its recorded inputs, in float64, and gradchecked (order 1 or 2): so a
    wrong rule is found where it is, not where its effect shows. Inputs at a kink are "not judged". `gradient`, as
    for `y.backward()`, is optional: with it (or where y is a single number) the real backward pass is run as well,
    and a rule that raises there is guilty too. Where a rule reads what was written since, as after an optimizer's
    step, the report says that the graph is stale: run the forward again, or blame before the step.

    >>> import minigrad as mg
    >>> x = mg.tensor([0.5, 1.5], requires_grad=True)
    >>> bool(blame(mg.exp(mg.sin(x)).sum()))
    True
    """
    if order not in (1, 2):
        raise ValueError(f"blame: order={order!r} must be 1 or 2")
    if not isinstance(y, Tensor) or y.op is None:
        raise TypeError("blame(y): y must be a Tensor that was computed from tensors with requires_grad=True")
    written = stale(y)
    raised = {} if written else _raised_in(y, gradient)
    nodes = enumerate(consumers_first(y)[::-1], 1)
    verdicts = [_judged(node, node.name or f"t{k}", order, seed, raised, written) for k, node in nodes]
    return Blame(tuple(verdicts), order, tuple(written.values()))


def _raised_in(y: Tensor, gradient: Any) -> dict[Node, str]:
    """The node whose rule raises in the real backward pass, and how."""
    if gradient is None and y.size != 1:
        return {}
    start, reached = raw(cotangent(y, gradient)), _Reached(y)
    try:
        with using(reached):
            walk(y, start)
    except Exception as error:
        return {next(node for node in consumers_first(y) if node in reached.waiting): _raises(error)}
    return {}


class _Reached(Observer):
    """The nodes that a gradient has come to and whose rules have not run yet."""

    def __init__(self, y: Node) -> None:
        self.waiting: set[Node | None] = {y}

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        self.waiting.remove(node)
        self.waiting.update(node.inputs[k] for k, _ in gradients)


def _judged(
    node: Node, name: str, order: int, seed: int, raised: Mapping[Node, str], written: Mapping[Node, str]
) -> Verdict:
    op: Any = node.op

    def verdict(state: str, reason: str, report: Gradcheck | None = None) -> Verdict:
        return Verdict(node.number, op.name, name, state, reason, report)

    if node in written:
        return verdict("stale", written[node])
    if node in raised:
        return verdict("WRONG", raised[node])
    wanted = [k for k, x in enumerate(node.inputs) if x is not None and x._needs]
    arrays = [np.array(node.arrays[k], dtype=np.float64) for k in wanted]
    if not node._array.size or not all(a.size for a in arrays):
        return verdict("not judged", "it is empty")
    if not all(np.isfinite(a).all() for a in arrays):
        return verdict("not judged", "an input holds NaN or infinity")
    mode = "full" if node._array.size * sum(a.size for a in arrays) <= FULL else "fast"
    try:
        report = gradcheck(alone(node, wanted), arrays, order=order, mode=mode, seed=seed)
    except Exception as error:
        return verdict("WRONG", _raises(error))
    if report:
        return verdict("right", "; ".join(report.notes), report)
    if not any(e.wrong for e in report.worst) and any(e.skipped for e in report.worst):
        return verdict("not judged", "; ".join(report.problems), report)
    reason = "; ".join([*report.reasons, *report.problems]) or "its derivative is not that of its values"
    return verdict("WRONG", reason, report)


def _raises(error: Exception) -> str:
    return f"raises {type(error).__name__}: {error}"
