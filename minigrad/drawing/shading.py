"""`color=`: a number in 0 .. 1 and a few words for each op, from a measure or from somebody's report.

Knows recorded Nodes; what the numbers look like is theme.py's and cards.py's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.nodes import Node
from ..program.words import number
from .words import clean, size

MEASURES = {"bytes": "bytes of the result", "time": "time of the forward op", "gradient": "norm of the gradient"}
Shade = tuple[float, str]  # how much, from 0 to 1, and the words on the card


def title_of(color: Any) -> str:
    """What the colours say, for the legend."""
    return MEASURES.get(color, "") if isinstance(color, str) else clean(getattr(color, "color_title", "color"))


def shades(color: Any, order: Sequence[Node], gradients: Mapping[Any, Any]) -> dict[Any, Shade]:
    """{node: (share, words)}. `color`: the name of a measure, a mapping, or a report with such a mapping as `.colors`.

    The mapping has Tensors, or their numbers, as keys, and as values a share from 0 to 1, or (share, words). What it
    does not mention stays as it is.
    """
    if color is None:
        return {}
    if isinstance(color, str) and color in MEASURES:
        return _measured(color, order, gradients)
    given = getattr(color, "colors", color)
    if not isinstance(given, Mapping):
        raise TypeError(
            f"color= takes {', '.join(map(repr, MEASURES))}, a mapping "
            "{tensor: share from 0 to 1, or (share, words)}, "
            f"or a report that has one as .colors; got {color!r:.60}"
        )
    found = {}
    for key, value in given.items():
        share, words = value if isinstance(value, tuple) else (value, number(float(value)))
        if not 0 <= share <= 1:
            raise ValueError(f"color=: the share of {key!r:.60} is {share!r}, and must lie between 0 and 1")
        found[key.number if isinstance(key, Node) else key] = (float(share), clean(words))
    return {node: found[node.number] for node in order if node.number in found}


def _measured(what: str, order: Sequence[Node], gradients: Mapping[Any, Any]) -> dict[Any, Shade]:
    if what == "gradient":  # on a logarithmic scale, for what vanishes vanishes by powers
        norms = {x: float(np.sqrt(np.square(np.asarray(g, float)).sum())) for x, g in gradients.items() if x.op}
        logs = {x: math.log(norm) for x, norm in norms.items() if norm > 0 and math.isfinite(norm)}
        low, high = min(logs.values(), default=0.0), max(logs.values(), default=0.0)
        share = {x: (logs[x] - low) / (high - low) if high > low else 1.0 for x in logs}
        return {x: (share.get(x, 0.0 if norm == 0 else 1.0), f"|grad| {number(norm)}") for x, norm in norms.items()}
    values = {node: float(node._array.nbytes) if what == "bytes" else _seconds(node) for node in order}
    most = max(values.values(), default=0.0) or 1.0
    return {x: (v / most, size(int(v)) if what == "bytes" else f"{number(v * 1e6)} us") for x, v in values.items()}


def _seconds(node: Node) -> float:
    """The best of three runs of an op's forward function on what it was given."""
    op: Any = node.op
    taken = []
    with np.errstate(all="ignore"):
        for _ in range(3):
            start = time.perf_counter()
            op.forward(node.arrays, node.params)
            taken.append(time.perf_counter() - start)
    return min(taken)
