"""Reports as plain data, ready for JSON: for programs that run the checks."""

from __future__ import annotations

import math
from typing import Any

from .comparison import Comparison


def plain(report: Comparison) -> dict[str, Any]:
    """Everything in the tables of a comparison; a number that is not finite becomes None, which JSON knows.

    >>> import numpy as np, minigrad as mg
    >>> report = mg.check.compare(mg.square, lambda x: x * x, np.array([1.0, 2.0]), order=1)
    >>> plain(report)["agree"], [q["name"] for q in plain(report)["quantities"]]
    (True, ['y', 'dx'])
    """
    quantities = [
        {
            "name": q.name,
            "largest": _number(q.size),
            "difference": _number(q.difference),
            "error": _number(q.error),
            "bound": _number(q.bound),
            "agree": bool(q.ok),
            "note": q.note.lstrip("!"),
        }
        for q in report.quantities
    ]
    costs = [cost._asdict() for cost in report.costs]
    about = {"labels": list(report.labels), "order": report.order, "agree": bool(report), "trials": report.trials}
    return {**about, "quantities": quantities, "costs": costs}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
