"""Plain aligned tables, for reports on a terminal and in logs."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[int] = (0,)) -> str:
    """Rows under a header: the columns in `text` to the left, numbers to the right.

    >>> print(table(["", "f"], [["ops", "1"], ["bytes", "144"]]))
               f
    -----  -----
    ops        1
    bytes    144
    """
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(5, *(len(row[k]) for row in cells)) for k in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(w) if k in text else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)


def short(value: float) -> str:
    """A difference or a bound: two digits are enough.

    >>> short(0.0), short(3.14159e-13)
    ('0', '3.1e-13')
    """
    return "0" if value == 0 else f"{value:.1e}"


def digits(value: float) -> str:
    """A value to tell apart from its neighbours: nine significant digits."""
    return f"{value:.9g}"
