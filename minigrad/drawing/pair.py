"""Two graphs side by side: what is the same in both is linked, and what each costs stands below. Knows plain data."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from ..program.words import cut, number
from .cards import Style, cell, font, row, table
from .data import Graph
from .dot import Part, document
from .layout import homes, start
from .match import Match, matches
from .options import Options
from .picture import Picture
from .theme import MATCHES, MONO, SANS, Palette
from .views import view
from .words import attribute, clean, columns, size

Report: TypeAlias = "Iterable[Sequence[object]] | None"  # rows of (what, left, right)
LEFT, RIGHT = "a_", "b_"
ROWS = 6  # of one table; a higher one would stretch the rank that it stands in, and the other graph with it


class Pair(Picture):
    """Two drawn graphs: `.left`, `.right` the plain data, `.matches` what is the same in both, `.rows` the costs."""

    def __init__(self, graphs: Sequence[Graph], options: Options, labels: Sequence[str], report: Report) -> None:
        self.left, self.right = (view(graph, options) for graph in graphs)
        self.options, self.labels = options, tuple(cut(clean(label), 60) for label in labels)
        self.title = options.title or " and ".join(self.labels)
        self.matches = matches(self.left, self.right)
        self.rows = (
            _costs(graphs[0], graphs[1], self.matches) if report is None else [tuple(map(str, r)) for r in report]
        )

    @cached_property
    def _dot(self) -> str:
        c = self.options.colours
        worn: tuple[dict[str, tuple[str, str]], ...] = ({}, {})
        for k, match in enumerate(self.matches):
            worn[0][match.left] = (str(k + 1), f"match_{k % MATCHES}")
            if match.buffer is None:
                worn[1][match.right] = worn[0][match.left]
        cards = len(self.left) + len(self.right)
        parts = [
            Part(g, Style.of(self.options, cards, prefix=p, roots=g.roots, badges=badges), label)
            for g, p, badges, label in zip((self.left, self.right), (LEFT, RIGHT), worn, self.labels, strict=True)
        ]
        tables = self._tables(c) if self.options.tables else []
        extra = [f"table_{k} [label={label}];" for k, label in enumerate(tables)]
        ends = [f"{RIGHT}{self.right.roots[-1]}", *(f"table_{k}" for k in range(len(tables)))]
        if self.options.narrow == 3:
            ends[0] = f"{LEFT}{self.left.nodes[-1].id}"
        if self.options.narrow == 1:  # below both, beside each other
            above = [f"{p}{graph.nodes[-1].id}" for p, graph in ((LEFT, self.left), (RIGHT, self.right))]
            extra += [f"{a} -> {b} [style=invis weight=0];" for a in above for b in ends[1:3]]
            extra += [f"{a} -> {b} [style=invis weight=4];" for a, b in itertools.pairwise(ends[2:])]
        else:
            extra += [f"{a} -> {b} [style=invis weight=4];" for a, b in itertools.pairwise(ends)]
        first = f"{LEFT}{self.left.roots[-1]}"
        if self.options.narrow == 2:  # the second graph below the first
            tops = [n.id for n in self.right if not any(slot.node for slot in n.inputs)]
            extra += [f"{first} -> {RIGHT}{top} [style=invis];" for top in tops]
        else:
            free = [{name for name, scope in homes(g).items() if scope is None} for g in (self.left, self.right)]
            found = [m for m in self.matches if m.left in free[0] and m.right in free[1]]
            found = [m for m in found if not self.left[m.left].op and not self.right[m.right].op]
            found.sort(key=lambda m: m.left != start(self.left))  # what goes in stands at the top of both
            for m in found[:1]:  # on one rank, and an edge that keeps the left one left
                extra.append(f"{{rank=same; {LEFT}{m.left} -> {RIGHT}{m.right} [style=invis weight=0]}}")
        extra += [_link(match, k, c) for k, match in enumerate(self.matches) if not self.options.narrow]
        return document(parts, title=self.title, legend=self.options.legend, extra=extra)

    def _tables(self, c: Palette) -> list[str]:
        """What each costs, and what is the same in both; small tables, each about as high as a card."""
        costs = [_line([*(str(x) for x in r), "", ""][:3], c) for r in self.rows]
        heads = [["", *self.labels], ["the same tensor in both", "value differs by", "gradient differs by"]]
        gaps = [[m.value, m.gradient] if any(n.gradient for n in self.matches) else [m.value] for m in self.matches]
        heads[1] = heads[1][: 1 + max(map(len, gaps), default=2)]
        found = [
            _line([_matched(m), *(gap.brief if gap else "-" for gap in own)], c, badge=_worn(k, c))
            for k, (m, own) in enumerate(zip(self.matches, gaps, strict=True))
        ]
        return [
            f"<{table(''.join([_line(head, c, head=True), *rows[j : j + ROWS]]), padding=3)}>"
            for head, rows in zip(heads, (costs, found), strict=True)
            for j in range(0, len(rows), ROWS)
        ]

    def graphs(self) -> dict[str, Graph]:
        first, second = self.labels
        return {first: self.left, second if second != first else f"{second} (2)": self.right}

    def json(self) -> str:
        return f'{{"left": {self.left.to_json()},\n"right": {self.right.to_json()}}}\n'

    def __str__(self) -> str:
        lines = []
        for label, graph in zip(self.labels, (self.left, self.right), strict=True):
            lines += [label, str(graph), ""]
        lines += columns([("", *self.labels), *(r[:3] for r in self.rows)])
        return "\n".join([*lines, "", *map(str, self.matches)])


def _matched(match: Match) -> str:
    return cut(match.name, 24) + (" (saved)" if match.buffer is not None else "")


def _worn(k: int, c: Palette) -> tuple[str, str]:
    """The number of a match, and the colour that it has everywhere."""
    return str(k + 1), c[f"match_{k % MATCHES}"]


def _link(match: Match, k: int, c: Palette) -> str:
    """A dotted line between the two, which carries the difference as its tooltip and bends no rank."""
    said = attribute(str(match))
    port = f":s{match.buffer}:w" if match.buffer is not None else ""
    role = c[f"match_{k % MATCHES}"]
    return (
        f'{LEFT}{match.left} -> {RIGHT}{match.right}{port} [id="m-{k}" class="match" dir=none style=dotted '
        f'penwidth=1.2 color="{role}" constraint=false weight=0 tooltip="{said}" edgetooltip="{said}"];'
    )


def _costs(left: Graph, right: Graph, found: list[Match]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
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
            worst = max(gap.absolute for gap in gaps)
            rows.append((what, "", "0" if worst == 0 else number(worst, 2)))
    return rows


def _line(texts: list[str], c: Palette, *, head: bool = False, badge: tuple[str, str] | None = None) -> str:
    """A row of a table; badge: the number that the cards wear, and its colour."""
    line: dict[str, Any] = {"border": 1, "sides": "B", "color": c["cluster_line"]}
    cells = [cell(font(f" {badge[0]} ", c["bar_ink"], 9, bold=True), bgcolor=badge[1], width=16)] if badge else []
    for j, text in enumerate(texts):
        face = SANS if head or j == 0 else MONO
        said = font(text, c["ink" if head or j == 0 else "muted"], 10, bold=head, face=face) or " "
        span = 2 if j == 0 and not badge else None
        cells.append(cell(said, align="left" if j == 0 else "right", colspan=span, **line))
    return row(*cells)
