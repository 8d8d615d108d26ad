"""`mg.draw_pair`: two graphs side by side, what is the same in both linked, and what each costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from .._support.signatures import Values
from .cards import Style, cell, font, row
from .collect import Drawable
from .data import Graph
from .dot import Part, document
from .match import Match, matches
from .picture import MOST, Picture, checked_detail, checked_direction, collected
from .text import table
from .theme import MATCHES, SANS, Palette, palette
from .views import view
from .words import attribute, clean, cut, number, size

LEFT, RIGHT = "a_", "b_"


class Pair(Picture):
    """Two drawn graphs: `.left`, `.right` the plain data, `.matches` what is the same in both, `.rows` the costs."""

    def __init__(
        self,
        left: Graph,
        right: Graph,
        *,
        labels: tuple[str, str] = ("composed", "fused"),
        report: Iterable[Sequence[object]] | None = None,
        backward: bool = True,
        depth: int | None = None,
        detail: int | None = None,
        direction: str = "TB",
        theme: str = "light",
        title: str = "",
        max_nodes: int = MOST,
        fold: bool | None = None,
    ) -> None:
        self.left = view(left, depth=depth, max_nodes=max_nodes, fold=fold, module=None)
        self.right = view(right, depth=depth, max_nodes=max_nodes, fold=fold, module=None)
        self.labels = (cut(clean(labels[0]), 60), cut(clean(labels[1]), 60))
        labels = self.labels
        self.matches = matches(self.left, self.right)
        self.rows = _costs(left, right, self.matches) if report is None else [tuple(map(str, r)) for r in report]
        across = checked_direction(direction) == "LR"
        told = checked_detail(detail, len(self.left) + len(self.right))
        self.style = Style(palette(theme), told, backward, across)
        self._title = title or f"{labels[0]} and {labels[1]}"

    @cached_property
    def dot(self) -> str:
        c = self.style.colours
        badges: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for k, match in enumerate(self.matches):
            worn = (str(k + 1), f"match_{k % MATCHES}")
            badges[0][match.left] = worn
            if match.buffer is None:
                badges[1][match.right] = worn
        parts = [
            Part(graph, replace(self.style, prefix=p, roots=graph.roots, badges=worn), label)
            for graph, p, worn, label in zip((self.left, self.right), (LEFT, RIGHT), badges, self.labels, strict=True)
        ]
        tables = self._tables(c)
        extra = [f"table_{k} [label={label}];" for k, label in enumerate(tables)]
        ends = [f"{RIGHT}{self.right.roots[-1]}", *(f"table_{k}" for k in range(len(tables)))]
        extra += [f"{a} -> {b} [style=invis weight=4];" for a, b in itertools.pairwise(ends)]
        tops = [m for m in self.matches if not self.left[m.left].op and not self.right[m.right].op]
        tops.sort(key=lambda m: self.left[m.left].kind != "input")  # the data stands at the top of both
        for m in tops[:1]:  # on one rank, and an edge that keeps the left one left
            extra.append(f"{{rank=same; {LEFT}{m.left} -> {RIGHT}{m.right} [style=invis weight=0]}}")
        extra += [_link(match, k, c) for k, match in enumerate(self.matches)]
        return document(parts, c, title=self._title, extra=extra)

    def _tables(self, c: Palette) -> list[str]:
        """What each costs, and what is the same in both; small tables, each about as high as a card.

        A high one would stretch the rank that it stands in, and the other graph with it.
        """
        costs = [_line([*(str(x) for x in r), "", ""][:3], c) for r in self.rows]
        found = [
            _line([_matched(k, m), str(m.value or "-"), str(m.gradient or "-")], c, badge=c[f"match_{k % MATCHES}"])
            for k, m in enumerate(self.matches)
        ]
        heads = (["", *self.labels], ["the same tensor in both", "value differs by", "gradient differs by"])
        return [
            '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3">'
            + "".join([_line(head, c, head=True), *part])
            + "</TABLE>>"
            for head, rows in zip(heads, (costs, found), strict=True)
            for part in (rows[j : j + 6] for j in range(0, len(rows), 6))
        ]

    def graphs(self) -> dict[str, Graph]:
        first, second = self.labels
        return {first: self.left, second if second != first else f"{second} (2)": self.right}

    def json(self) -> str:
        parts = (f'"{name}": {graph.to_json()}' for name, graph in (("left", self.left), ("right", self.right)))
        return "{" + ",\n".join(parts) + "}\n"

    def __str__(self) -> str:
        lines = []
        for label, graph in zip(self.labels, (self.left, self.right), strict=True):
            lines += [label, table(graph), ""]
        widths = [max(len(str(r[k])) for r in [("", *self.labels), *self.rows]) for k in range(3)]
        for r in [("", *self.labels), *self.rows]:
            cells = [str(x) for x in r[:3]]
            lines.append(
                f"{cells[0].ljust(widths[0])}  {cells[1].rjust(widths[1])}  {cells[2].rjust(widths[2])}".rstrip()
            )
        return "\n".join([*lines, "", *map(str, self.matches)])


def draw_pair(
    a: Drawable | tuple[str, Drawable],
    b: Drawable | tuple[str, Drawable],
    *,
    labels: tuple[str, str] | None = None,
    report: Iterable[Sequence[object]] | None = None,
    gradient: Values = None,
    backward: bool = True,
    names: Any = None,
    depth: int | None = None,
    detail: int | None = None,
    direction: str = "TB",
    theme: str = "light",
    title: str = "",
    max_nodes: int = MOST,
    fold: bool | None = None,
) -> Pair:
    """Draw two graphs side by side: tensors with the same name are linked, with the largest difference between them.

    a, b: Tensors (or Graphs), or pairs (label, tensor); labels=("composed", "fused") names them otherwise. report:
    rows of (what, left, right) for the table beside them, such as `mg.check.compare` makes; without it ops, edges,
    bytes and the largest differences are listed. gradient: the cotangent for both. The rest as in `mg.draw`.

    >>> import numpy as np, minigrad as mg
    >>> x = mg.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True, name="x")
    >>> pair = mg.draw_pair(("mul", (x * x).named("y")), ("square", mg.square(x).named("y")), gradient=np.ones((3, 2)))
    >>> for match in pair.matches: print(match)
    x: value equal; grad equal
    y: value equal; grad equal
    """
    (label_a, a), (label_b, b) = _labelled(a), _labelled(b)
    given = labels or (label_a or "composed", label_b or "fused")
    if len(given) != 2:
        raise ValueError(f"labels= must be two texts, got {labels!r}")
    g = gradient if backward else None
    return Pair(
        collected(a, g, names, max_nodes),
        collected(b, g, names, max_nodes),
        labels=(str(given[0]), str(given[1])),
        report=report,
        backward=backward,
        depth=depth,
        detail=detail,
        direction=direction,
        theme=theme,
        title=title,
        max_nodes=max_nodes,
        fold=fold,
    )


def _labelled(x: Any) -> tuple[str, Any]:
    if isinstance(x, tuple) and len(x) == 2 and isinstance(x[0], str):
        return x
    return "", x


def _matched(k: int, match: Match) -> str:
    return f"{k + 1}  {cut(match.name, 24)}" + (" (saved)" if match.buffer is not None else "")


def _link(match: Match, k: int, c: Palette) -> str:
    """A dotted line between the two, which carries the difference as its tooltip and bends no rank."""
    said = attribute(str(match))
    port = f":s{match.buffer}:w" if match.buffer is not None else ""
    role = c[f"match_{k % MATCHES}"]
    return (
        f'{LEFT}{match.left} -> {RIGHT}{match.right}{port} [id="m-{k}" class="match" dir=none style=dotted '
        f'penwidth=1.2 color="{role}" constraint=false weight=0 tooltip="{said}" edgetooltip="{said}"];'
    )


def _costs(left: Graph, right: Graph, found: list[Match]) -> list[tuple[str, str, str]]:
    rows = [
        ("ops on the tape", str(left.ops), str(right.ops)),
        ("edges", str(len(left.edges)), str(len(right.edges))),
        ("saved for backward", size(left.saved_bytes), size(right.saved_bytes)),
        ("intermediate results", size(left.intermediate_bytes), size(right.intermediate_bytes)),
    ]
    for what, gaps in (
        ("largest value difference", [m.value for m in found if m.value]),
        ("largest gradient difference", [m.gradient for m in found if m.gradient]),
    ):
        if gaps:
            worst = max(gaps, key=lambda d: d.absolute)
            rows.append((what, "", "0" if worst.absolute == 0 else number(worst.absolute, 2)))
    return rows


def _line(texts: list[str], c: Palette, *, head: bool = False, badge: str | None = None) -> str:
    cells = []
    for j, text in enumerate(texts):
        face = SANS if head or (j == 0 and badge is None) else "Courier"
        ink = badge if badge and j == 0 else c["ink"] if j == 0 or head else c["muted"]
        said = font(text, ink, 10, bold=head or (badge is not None and j == 0), face=face) or " "
        cells.append(cell(said, align="left" if j == 0 else "right", border=1, sides="B", color=c["cluster_line"]))
    return row(*cells)
