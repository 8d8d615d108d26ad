"""From wrong entries of a Jacobian to the kind of mistake that they look like, in words.

Works on numbers alone: it knows the entries that gradcheck compared and nothing of how they came about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .jacobian import Element

CLOSE = 1e-4  # how well a pattern must fit, relative to the largest entry
Vector = npt.NDArray[np.float64]


def reasons(found: Sequence[Element]) -> list[str]:
    """One line per argument that is wrong, the likeliest mistake first named."""
    groups: dict[tuple[int, str], list[Element]] = {}
    for e in found:
        if e.index is not None and not e.skipped:
            groups.setdefault((e.order, e.argument), []).append(e)
    numeric = {key: np.array([e.numeric for e in group if e.output is not None]) for key, group in groups.items()}
    wrong = [key for key, group in groups.items() if any(e.wrong for e in group)]
    lines = []
    for order, argument in wrong:
        others = {name: n for (at, name), n in numeric.items() if at == order == 1 and name != argument}
        where = argument if order == 1 else f"{argument} at order 2"
        lines.append(f"{where}: {_reason([e for e in groups[order, argument] if e.output is not None], others)}")
    if {order for order, _ in wrong} == {2}:
        lines.append(
            "right at order 1 and wrong at order 2: something that depends on an input enters the rule as a constant "
            "(computed once in the forward pass, or with NumPy); compute it in `save` or in the rule itself"
        )
    return lines


def _reason(entries: list[Element], others: Mapping[str, Vector]) -> str:
    """What is wrong with the entries of one argument; `others`: the true derivatives by the other arguments."""
    if all(e.ok for e in entries):
        return "each row of the Jacobian is right, but not their combination: the rule is not linear in g"
    a, n = np.array([e.analytic for e in entries]), np.array([e.numeric for e in entries])
    size = float(np.max(np.abs(n), initial=0.0))
    if not np.isfinite(a).all():
        return "the rule gives NaN or infinity where the true derivative is finite"
    if not np.any(np.abs(a) > CLOSE * size):
        return "the rule gives zero: it lost this argument"
    ratio = float(a @ n / (n @ n)) if size else np.nan
    if np.isfinite(ratio) and _fits(a, ratio * n, a):
        return "the sign is wrong" if abs(ratio + 1) < CLOSE else f"off by a constant factor {ratio:.6g}"
    # both as (elements of the argument, elements of the result); entries stand in that order
    first, last = entries[0], entries[-1]
    shape = [k + 1 for k in last.index or ()]
    inputs, outputs = math.prod(shape), math.prod([k + 1 for k in last.output or ()])
    whole = len(entries) == inputs * outputs and not any((*(first.index or ()), *(first.output or ())))
    analytic, numeric = (x.reshape(inputs, outputs) if whole else x.reshape(-1, 1) for x in (a, n))
    if whole and outputs > 1 and _same_along(analytic, 1) and not _same_along(numeric, 1):
        return "the rule does not multiply by g"
    bad = np.array([e.wrong for e in entries])
    places = sorted({e.index for e in entries if e.wrong and e.index is not None})
    if len(places) <= max(1, len({e.index for e in entries}) // 4):
        return f"wrong only at {', '.join(str(list(k)) for k in places[:4])}{' ...' if len(places) > 4 else ''}"
    for other, theirs in others.items():
        if theirs.shape == a.shape and _fits(a, theirs, theirs):
            return f"this is the derivative by {other}: are the rules in the order of the arguments?"
    error = (a - n).reshape(*shape, outputs) if whole else np.zeros(())
    for axis in range(error.ndim - 1):
        if error.shape[axis] > 1 and _same_along(error, axis):
            return f"the error is the same along axis {axis}: a sum or mean over that axis left out, or once too often"
    if whole and inputs == outputs and _fits(a[bad], numeric.T.ravel()[bad], n):
        return "rows and columns are exchanged: a transpose or an axis is wrong"
    return "no simple pattern: a missing or wrong term"


def _fits(x: Vector, y: Vector, scale: Vector) -> bool:
    return bool(np.max(np.abs(x - y), initial=0.0) <= CLOSE * np.max(np.abs(scale), initial=0.0))


def _same_along(x: Vector, axis: int) -> bool:
    return _fits(x, np.take(x, [0], axis=axis), x)
