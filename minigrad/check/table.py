"""Reports: a first line, remarks and tables, as aligned text on a terminal and as HTML in a notebook."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from .._support.notebook import Shown, block, lines
from .._support.notebook import table as html_table
from .._support.text import printable


class Table(NamedTuple):
    """Rows under a header. `text`: the columns that stand to the left; `words`: those that do so in HTML only."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: Sequence[int] = (0,)
    words: Sequence[int] = ()
    wrong: Sequence[int] = ()  # the rows to mark


class Report(Shown):
    """What a check found, true where all is well. A report says what its head is, and what stands below."""

    marked = True  # whether what is not well has a bar beside it

    def _head(self) -> str:
        raise NotImplementedError

    def _remarks(self) -> list[str]:
        return []

    def _tables(self) -> list[Table]:
        return []

    def _parts(self) -> Sequence[Report]:
        return ()

    def __str__(self) -> str:
        tables = [table(t.header, t.rows, text=t.text) for t in self._tables() if t.rows]
        said = [wrapped(line) for line in self._remarks()]
        below = [f"\n{part}" for part in [*tables, *self._parts()]]
        return printable("\n".join([self._head(), *said, *below]))

    def __repr__(self) -> str:
        return str(self)

    def _html(self) -> str:
        tables = [html_table(t.header, t.rows, text=[*t.text, *t.words], wrong=t.wrong) for t in self._tables()]
        parts = [lines(self._remarks()), *tables, *(part._html() for part in self._parts())]
        return block(self._head(), parts, ok=bool(self) or not self.marked)


def wrapped(line: str, width: int = 80) -> str:
    """A long line over several of 80 columns, broken between clauses where that is possible.

    >>> print(wrapped("likely: x: the sign is wrong, and more", 30))
    likely: x: the sign is wrong,
      and more
    """
    if len(line) <= width:
        return line
    rows = [""]
    for clause in re.split(r"(?<=[:;,]) | (?=\()", line):
        if len(rows[-1]) + 1 + len(clause) <= width:
            rows[-1] += (" " if rows[-1].strip() else "") + clause
        else:
            rows += textwrap.wrap(clause, width, initial_indent="  ", subsequent_indent="  ") or [""]
    return "\n".join(row for row in rows if row)


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
