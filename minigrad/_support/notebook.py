"""What reports look like in a notebook: HTML that escapes everything, never raises, and reads on white and on black.

Knows nothing of reports. Text and lines take the colour of the page (`currentColor`), so there is no theme to guess;
what is wrong is said in words, bold, with a bar beside it. All styles are inline: notebooks drop the others.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence

ROWS = 40  # of a table; the middle of a longer one is left out
POINTS = 300  # of a curve
WRONG = "#D9480F"  # 4.2 : 1 on white and 4.4 : 1 on #111, enough for a bar
GREY = "#7A7A7A"  # of what has a colour of its own: 4.3 : 1 on white and 4.4 : 1 on #111
_LINE = "1px solid color-mix(in srgb, currentColor 25%, transparent)"
_CELL = f"padding:2px 10px 2px 6px;border:0;border-bottom:{_LINE};background:transparent;color:inherit;"
_MONO = "font-family:ui-monospace,Menlo,DejaVu Sans Mono,Consolas,monospace;font-variant-numeric:tabular-nums;"


class Shown:
    """Something that notebooks show as HTML: write `_html`; the text of `str` stands in where that fails."""

    __slots__ = ()

    def _html(self) -> str:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """What a notebook shows. Never raises: a cell must show something, whatever went wrong."""
        try:
            return self._html()
        except Exception:
            try:
                return f"<pre>{escaped(str(self))}</pre>"
            except Exception:
                return f"<pre>{escaped(type(self).__name__)}</pre>"


def escaped(text: object) -> str:
    """Any text as text: nothing in it is HTML, and lone surrogates do not stop the file from being written."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"))


def block(title: str, parts: Iterable[str], *, ok: bool | None = None) -> str:
    """A report: its first line, and what stands below. ok=False puts a bar beside it."""
    bar = f"border-left:4px solid {WRONG};padding-left:10px;" if ok is False else ""
    head = f'<div style="font-weight:600;margin:2px 0 6px 0">{escaped(title)}</div>'
    inside = "".join([head, *parts])
    return f'<div class="minigrad" style="max-width:100%;overflow-x:auto;{bar}">{inside}</div>'


def lines(texts: Iterable[str]) -> str:
    """Plain lines of text."""
    return "".join(f'<div style="margin:2px 0">{escaped(text)}</div>' for text in texts)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[int] = (0,), wrong: Iterable[int] = ()
) -> str:
    """Rows under a header; columns in `text` to the left, numbers to the right; rows in `wrong` bold, with a bar."""
    marked = set(wrong)
    kept = list(range(len(rows)))
    left_out = 0
    if len(rows) > ROWS:
        ends = set(kept[: ROWS // 2]) | set(kept[-ROWS // 2 :])
        chosen = sorted(ends | set(sorted(marked)[:ROWS]))
        left_out, kept = len(rows) - len(chosen), chosen
    parts = [_row(header, text, "th", "font-weight:600;")]
    for before, k in zip([-1, *kept], kept, strict=False):
        if k != before + 1:
            parts.append(_row(["..."], [0], "td", ""))
        bar = f"border-left:4px solid {WRONG};font-weight:600;" if k in marked else "border-left:4px solid transparent;"
        parts.append(_row(rows[k], text, "td", "", bar))
    told = lines([f"{left_out} of {len(rows)} rows are not shown"]) if left_out else ""
    style = f"border-collapse:collapse;border:0;margin:4px 0 8px 0;font-size:12px;{_MONO}"
    return f'<table style="{style}">{"".join(parts)}</table>{told}'


def _row(cells: Sequence[str], text: Sequence[int], kind: str, style: str, first: str = "") -> str:
    made = []
    for k, cell in enumerate(cells):
        side = "left" if k in text else "right"
        extra = first if k == 0 else ""
        look = f"{_CELL}text-align:{side};white-space:pre-wrap;{style}{extra}"
        made.append(f'<{kind} style="{look}">{escaped(cell)}</{kind}>')
    return f'<tr style="background:transparent">{"".join(made)}</tr>'


def curves(series: Sequence[tuple[str, Sequence[float], Sequence[float]]], *, what: str) -> str:
    """Lines over a common axis, as an image: the first thin, the second thick, others dashed. (label, x, y) each."""
    points = [
        (label, [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)][:: max(1, len(ys) // POINTS)])
        for label, xs, ys in series
    ]
    points = [(label, p) for label, p in points if p]
    if not points:
        return ""
    flat = [p for _, each in points for p in each]
    left, right = min(x for x, _ in flat), max(x for x, _ in flat)
    low, high = min(y for _, y in flat), max(y for _, y in flat)
    width, height = 460, 150

    def place(x: float, y: float) -> str:
        across = (x - left) / (right - left) if right > left else 0.5
        up = (y - low) / (high - low) if high > low else 0.5
        return f"{60 + across * (width - 70):.1f},{height - 22 - up * (height - 34):.1f}"

    looks = ['stroke-width="0.8" opacity="0.55"', 'stroke-width="2"', 'stroke-width="2" stroke-dasharray="6 4"']
    drawn = "".join(
        f'<polyline fill="none" stroke="{GREY}" {looks[min(k, 2)]} points="{" ".join(place(*p) for p in each)}"/>'
        for k, (_, each) in enumerate(points)
    )
    words = [
        (56, 14, "end", f"{high:.3g}"),
        (56, height - 22, "end", f"{low:.3g}"),
        (60, height - 4, "start", f"{left:g}"),
        (width - 10, height - 4, "end", f"{what} {right:g}"),
    ]
    said = "".join(f'<text x="{x}" y="{y}" text-anchor="{side}">{escaped(t)}</text>' for x, y, side, t in words)
    names = ("thin", "thick", "dashed")
    legend = ", ".join(f"{label} ({names[min(k, 2)]})" for k, (label, _) in enumerate(points))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<g fill="{GREY}" font-size="11" font-family="sans-serif">{said}</g>{drawn}</svg>'
    )
    return image(svg, legend, width) + lines([legend])


def image(svg: str, words: str, width: int) -> str:
    """An SVG as an image of a page, `words` where it cannot be seen.

    In a data URI: a notebook that is not trusted keeps images and drops SVG elements, whose words would be left over.
    The page's colour does not reach into an image, so it takes colours that read on both.
    """
    data = base64.b64encode(svg.encode()).decode()
    source = f'src="data:image/svg+xml;base64,{data}"'
    return f'<img {source} alt="{escaped(words)}" width="{width}" style="max-width:100%"/>'
