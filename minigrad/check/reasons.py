"""From wrong entries of a Jacobian to the kind of mistake that they look like, in words.

Works on numbers alone: it knows the entries that gradcheck compared and nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .jacobian import Element

CLOSE = 1e-4  # how well a pattern must fit, relative to the largest entry
Vector = npt.NDArray[np.float64]


def reasons(found: Sequence[Element]) -> list[str]:
    """One line per argument that is wrong, the likeliest mistake first named."""
    lines = []
    groups: dict[tuple[int, str], list[Element]] = {}
    for e in found:
        if e.index is not None and not e.skipped:
            groups.setdefault((e.order, e.argument), []).append(e)
    wrong_at = {key[0] for key, group in groups.items() if not all(e.ok for e in group)}
    for (order, argument), group in groups.items():
        if all(e.ok for e in group):
            continue
        where = argument if order == 1 else f"{argument} at order 2"
        entries = [e for e in group if e.output is not None]
        lines.append(f"{where}: {_reason(entries, group, groups, order)}")
    if wrong_at == {2}:
        lines.append(
            "right at order 1 and wrong at order 2: something that depends on an input enters the rule as a constant "
            "(computed once in the forward pass, or with NumPy); compute it in `save` or in the rule itself"
        )
    return lines


def _reason(
    entries: list[Element], group: list[Element], groups: dict[tuple[int, str], list[Element]], order: int
) -> str:
    if all(e.ok for e in entries):
        return "each row of the Jacobian is right, but not their combination: the rule is not linear in g"
    a, n = (np.array([getattr(e, side) for e in entries]) for side in ("analytic", "numeric"))
    size = float(np.max(np.abs(n), initial=0.0))
    bad = np.array([not e.ok for e in entries])
    if not np.isfinite(a).all():
        return "the rule gives NaN or infinity where the true derivative is finite"
    if not np.any(np.abs(a) > CLOSE * size):
        return "the rule gives zero: it lost this argument"
    ratio = float(a @ n / (n @ n)) if size else np.nan
    if np.isfinite(ratio) and _fits(a, ratio * n, a):
        return "the sign is wrong" if abs(ratio + 1) < CLOSE else f"off by a constant factor {ratio:.6g}"
    if not _depends_on_g(entries):
        return "the rule does not multiply by g"
    indices = sorted({e.index for e, wrong in zip(entries, bad, strict=True) if wrong and e.index is not None})
    everywhere = {e.index for e in entries}
    if len(indices) <= max(1, len(everywhere) // 4):
        return f"wrong only at {', '.join(str(list(k)) for k in indices[:4])}{' ...' if len(indices) > 4 else ''}"
    for (other_order, other), others in groups.items():
        theirs = np.array([e.numeric for e in others if e.output is not None])
        comparable = other_order == order == 1 and other != entries[0].argument and theirs.shape == a.shape
        if comparable and _fits(a, theirs, theirs):
            return f"this is the derivative by {other}: are the rules in the order of the arguments?"
    axis = _constant_along(entries, a - n)
    if axis is not None:
        return f"the error is the same along axis {axis}: a sum or mean over that axis left out, or once too often"
    if _fits(a[bad], _swapped(entries, n)[bad], n):
        return "rows and columns are exchanged: a transpose or an axis is wrong"
    return "no simple pattern: a missing or wrong term"


def _fits(x: Vector, y: Vector, scale: Vector) -> bool:
    return bool(np.max(np.abs(x - y), initial=0.0) <= CLOSE * np.max(np.abs(scale), initial=0.0))


def _matrix(entries: list[Element], values: Vector) -> tuple[Vector, tuple[int, ...], tuple[int, ...]]:
    """Values as (outputs, inputs) with the two shapes; empty shapes where kinks left holes."""
    shape_in, shape_out = (
        tuple(int(k) + 1 for k in np.max(np.array([getattr(e, side) for e in entries], dtype=int), axis=0))
        for side in ("index", "output")
    )
    if values.size != np.prod(shape_in, dtype=int) * np.prod(shape_out, dtype=int):
        return values, (), ()
    grid = np.zeros((*shape_in, *shape_out))
    for e, v in zip(entries, values, strict=True):
        grid[(*_tuple(e.index), *_tuple(e.output))] = v
    return grid, shape_in, shape_out


def _tuple(index: Any) -> tuple[int, ...]:
    return tuple(index or ())


def _depends_on_g(entries: list[Element]) -> bool:
    """Whether different outputs have different rows: a rule without g gives the same for every unit cotangent."""
    a, n = (np.array([getattr(e, side) for e in entries]) for side in ("analytic", "numeric"))
    grid, shape_in, shape_out = _matrix(entries, a)
    true, _, _ = _matrix(entries, n)
    if np.prod(shape_out, dtype=int) < 2:
        return True
    rows, true_rows = (g.reshape(int(np.prod(shape_in, dtype=int)), -1) for g in (grid, true))
    return not _fits(rows, rows[:, :1], rows) or _fits(true_rows, true_rows[:, :1], true_rows)


def _constant_along(entries: list[Element], difference: Vector) -> int | None:
    """An axis of the argument along which the error of the gradient does not change, while the argument has several."""
    grid, shape_in, _ = _matrix(entries, difference)
    for axis, n in enumerate(shape_in):
        if n > 1 and _fits(grid, np.take(grid, [0], axis=axis), grid):
            return axis
    return None


def _swapped(entries: list[Element], numeric: Vector) -> Vector:
    """The numbers with input and output exchanged, where both have the same size."""
    grid, shape_in, shape_out = _matrix(entries, numeric)
    n, m = (int(np.prod(s, dtype=int)) for s in (shape_in, shape_out))
    if not shape_in or n != m:
        return np.full_like(numeric, np.inf)
    flipped = grid.reshape(n, m).T.reshape(grid.shape)
    return np.array([flipped[(*_tuple(e.index), *_tuple(e.output))] for e in entries])
