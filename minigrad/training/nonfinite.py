"""Which node made the first NaN or infinity of a training step, and on which line it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..anomalies import Lines, Watch
from ..core.context import using
from ..core.nodes import Node, Primitive
from ..core.tensor import Tensor
from ..nn import NonFinite


class NonFiniteStep(FloatingPointError):
    """A training step gave a loss or a gradient that is NaN or infinite. Nothing of that step was applied.

    step     number of the step, counted from 1
    node     the first result that is not finite, or whose rule gave a gradient that is not (None: not found again)
    line     (file, line) that computed it, or None
    history  the History up to the step before
    """

    def __init__(self, message: str, step: int, node: Any) -> None:
        super().__init__(message)
        self.step, self.node = step, node
        self.line: tuple[str, int] | None = node.line if isinstance(node, Tensor) else None
        self.history: Any = None


class _Placed(Watch):
    """Watches every result and every gradient; `node` is the one that was looked at last."""

    node: Node | None = None

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        self.node = node
        super().made(node, op, inputs, params)

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        self.node = node
        super().pulled(node, g, gradients)


def first_nonfinite(forward: Callable[[], Tensor]) -> tuple[Any, str]:
    """Run `forward` and its backward pass with source lines: the first node that is not finite, and why."""
    watch = _Placed()
    try:
        with using(Lines(), watch):
            forward().backward()
    except (FloatingPointError, NonFinite) as error:  # a layer refuses what overflows before an op shows it
        scope = "/".join(watch.node.scope) if watch.node is not None else ""
        return watch.node, (f"in {scope}, " if scope else "") + str(error)
    return None, "running the step again gave finite numbers only"
