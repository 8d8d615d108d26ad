"""How any text is made safe for DOT, SVG and HTML, and how bytes are counted out. Knows nothing of graphs."""

from __future__ import annotations

import html
from collections.abc import Sequence


def size(nbytes: int) -> str:
    """Bytes, and from 10,000 on KB or MB of 1024.

    >>> size(240), size(20480), size(3 << 20)
    ('240 B', '20 KB', '3.0 MB')
    """
    if nbytes < 10_000:
        return f"{nbytes} B"
    return f"{nbytes / 1024:.0f} KB" if nbytes < 1 << 20 else f"{nbytes / (1 << 20):.1f} MB"


def plural(n: int, what: str) -> str:
    """1 op, 2 ops."""
    return f"{n} {what}{'s' * (n != 1)}"


def columns(rows: Sequence[Sequence[str]], *, text: int = 1) -> list[str]:
    """Rows as lines of aligned columns, the first `text` of them to the left; a row of one cell runs as it is.

    >>> columns([("a", "1"), ("bc", "10"), ("...",)])
    ['a    1', 'bc  10', '...']
    """
    widths = [max(map(len, column)) for column in zip(*(row for row in rows if len(row) > 1), strict=True)]
    lines = []
    for row in rows:
        cells = [c.ljust(w) if k < text else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=False))]
        lines.append("  ".join(cells).rstrip() if len(row) > 1 else row[0])
    return lines


def clean(text: object) -> str:
    """Printable text on one line: control characters, lone surrogates and line ends become visible marks.

    >>> clean("a\\nb\\x00c")
    'a b?c'
    """
    said = str(text)
    if said.isascii() and said.isprintable():
        return said
    return "".join(" " if c in "\n\r\t" else c if c.isprintable() else "?" for c in said)


def escaped(text: object) -> str:
    """For the text of an HTML-like label, of SVG and of HTML."""
    return html.escape(clean(text), quote=False)


def attribute(text: object) -> str:
    """For a quoted attribute of DOT or HTML: quotes and backslashes as entities too, so that nothing can end it."""
    return html.escape(clean(text), quote=True).replace("\\", "&#92;")
