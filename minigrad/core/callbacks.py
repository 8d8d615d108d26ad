"""What package code tells a recorder of a step that is to be replayed, beyond the primitives that it calls.

A check of the data, a random draw, a move of running statistics: functions of bare arrays that are no primitives. Run
through `noted` they run as they always do, and again in every replay. Knows nothing of how steps are recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .context import in_force
from .nodes import Node, describe


def noted(function: Callable[..., Any], *args: Any, writes: tuple[Node, ...] = ()) -> Any:
    """function(*args) of bare arrays, numbers and objects: an array, a tuple of them, or None; part of the step.

    `writes`: the tensors that it writes to. Where a step is being recorded, results are arrays that must not be
    looked at by Python, only given on.
    """
    recorder = in_force().recorder
    return function(*args) if recorder is None else recorder.noted(function, args, writes)


def refuse_reading(x: Node, how: str) -> None:
    """Raise if a step is being recorded: what Python learns from a value would be the same in every replay."""
    recorder = in_force().recorder
    if recorder is not None:
        recorder.refuse(f"{how} of {describe(x)} was read")
