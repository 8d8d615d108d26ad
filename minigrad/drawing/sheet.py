"""A ladder drawn: values down the left, gradients up the right, what backward keeps between them.

The picture is as wide as was asked for and its text is 11 px or more, so that it can be read where it is shown. Knows
plain data, pieces and colours.
"""

from __future__ import annotations

import re

from ..program.words import cut, shape
from . import gutters
from .arrange import Arranger, Row
from .blocks import LETTER, LINE, Block, beside, fitted, lines, number, text, wrapped
from .data import Graph
from .heat import in_blocks, tint
from .options import Options
from .rungs import Teller, rungs, title_of
from .theme import MONO_STACK, SANS_STACK, Palette
from .words import attribute, clean, escaped

MARGIN = 8  # px around all
OUTSIDE = ("input", "data")  # kinds of leaves
RULES = 4  # of fused ops, below the rows
NARROW = 500  # px of width, below which lanes are closer


class Sheet:
    """One ladder of `width` px."""

    def __init__(self, graph: Graph, options: Options, width: int) -> None:
        self.graph, self.width, self.title = graph, width, options.title
        self.c: Palette = options.colours
        self.backward = options.backward and any(node.gradient is not None for node in graph.nodes)
        self.rungs = rungs(graph)
        at = {rung.id: k for k, rung in enumerate(self.rungs)}
        values = [(s.node, at[s.node], at[n.id]) for n in graph.nodes for s in n.inputs if s.node in at and n.id in at]
        values += [(r.id, at[r.id], at[r.kept.id]) for r in self.rungs if r.kept is not None]
        sent = [(n.id, at[n.id], at[p.consumer]) for n in graph.nodes if n.id in at for p in n.contributions]
        lane, most = 5 if width < NARROW else 7, min(16, 5 + (width - 300) // 30)  # px apart, and how many
        self.down = gutters.Gutter(values, most, lane)
        self.up = gutters.Gutter(sent if self.backward else [], most, lane)
        self.x = MARGIN + self.down.width
        self.room = width - MARGIN - self.x - self.up.width
        self.teller = Teller(graph, self.c, self.backward)

    def svg(self, prefix: str) -> str:
        """The file; ids in it begin with the prefix."""
        plan = Arranger(self.rungs, self.teller, self.room).plan()
        self.end = self.x + max(plan.width, min(self.room, 300))  # of rows; the gutter of gradients stands there
        if not self.backward:  # one column: no wider than it has to be
            self.width = min(self.width, max(300, round(self.x + plan.width) + MARGIN))
            self.end = self.width - MARGIN
        said: list[str] = []
        y: float = MARGIN
        for block in self.top():
            said.append(block.draw(MARGIN, y))
            y += block.height + 4
        for x, words, role in plan.heads:
            said.append(text(fitted(words, self.width - self.x - x), self.c[role], bold=True).draw(self.x + x, y))
        y += LINE + 4
        tops: list[float] = []
        scope = ""
        for row, strip in zip(plan.rows, self.strips(), strict=True):
            if strip != scope:
                said.append(self.strip(strip, y) if strip else "")
                y += LINE + 4 if strip else 0
                scope = strip
            said.append(self.row(row, y, prefix))
            tops.append(y + row.above)
            y += row.height
        starts = [self.x + row.end + 4 for row in plan.rows]
        left = [top + row.left for top, row in zip(tops, plan.rows, strict=True)]
        right = [top + row.right for top, row in zip(tops, plan.rows, strict=True)]
        said.append(self.down.down(self.x, left, self.c["forward"], prefix))
        said.append(self.up.up(self.end, right, starts, self.c["gradient"], prefix))
        said.append(f'<path d="M{MARGIN} {number(y)}H{self.width - MARGIN}" stroke="{self.c["cluster_line"]}"/>\n')
        y += 4
        for block in self.bottom(plan.key):
            said.append(block.draw(MARGIN, y))
            y += block.height + 2
        return self.sheet("".join(said), round(y + MARGIN), prefix)

    def sheet(self, body: str, height: int, prefix: str) -> str:
        """The whole file: described for who cannot see it, on an opaque page."""
        name = self.title or f"Ladder of {', '.join(cut(self.graph[root].name, 40) for root in self.graph.roots[:4])}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{height}" '
            f'viewBox="0 0 {self.width} {height}" style="max-width:100%;height:auto" role="img" '
            f'aria-labelledby="{prefix}ladder-title" aria-describedby="{prefix}ladder-about" '
            f'font-family="{MONO_STACK}" font-size="{LETTER}">\n'
            f'<title id="{prefix}ladder-title">{escaped(cut(clean(name), 200))}</title>\n'
            f'<desc id="{prefix}ladder-about">{escaped(self.about())}</desc>\n'
            f'<rect width="{self.width}" height="{height}" fill="{self.c["page"]}"/>\n{body}</svg>\n'
        )

    def about(self) -> str:
        """The picture in words: one sentence a row."""
        said = ["Values from top to bottom" + (", gradients from bottom to top." if self.backward else ".")]
        for rung in self.rungs:
            node = rung.node
            made = f" = {cut(node.short, 80)}" if node.op else ""
            sentence = f"{cut(clean(node.name), 40)}{made}, shape {shape(node.shape)}: {node.value.brief}"
            if self.backward and node.gradient is not None:
                sentence += f"; gradient {node.gradient.brief}"
            said.append(sentence + ("; kept for backward." if node.kept_by else "."))
        return " ".join(said)

    # What stands above and below the rows

    def top(self) -> list[Block]:
        """The title, and what is to be known before all else, such as that the graph is stale."""
        width, c = self.width - 2 * MARGIN, self.c
        found = [lines(wrapped(cut(note, 400), width), c["gradient"], bold=True) for note in self.graph.notes]
        if self.title:
            title = fitted(self.title, width / 1.1, 16)
            found.insert(0, text(title, c["ink"], 16, bold=True, face=SANS_STACK))
        return found

    def bottom(self, key: list[str]) -> list[Block]:
        """What it costs, what colours and letters mean, and what was too long for its place."""
        c, width = self.c, self.width - 2 * MARGIN
        samples = [_sample(said, v, c) for said, v in (("-", -1.0), ("0", 0.0), ("+", 1.0))]
        shown = lines(
            wrapped(f"each value{' and each sum' if self.backward else ''} on a scale of its own", width - 3 * 22),
            c["muted"],
        )
        found = [lines(wrapped(self.graph.cost, width), c["ink"]), beside(*samples, shown, gap=4)]
        sent = [slot.local for node in self.graph.nodes for slot in node.inputs] if self.backward else []
        words = {word for local in sent for word in re.findall(r"\w+", local)}
        meant = {
            "g": "the gradient of the row that sends",
            "N": "how many numbers a mean is over",
            "sum0": "a sum over axis 0",
        }
        said = [f"{word}: {what}" for word, what in meant.items() if word in words]
        left_out = self.down.left_out + self.up.left_out
        said += (
            ["a small square: what is farthest from zero in its block"]
            if any(in_blocks(node.value) for node in self.graph.nodes)
            else []
        )
        said += [f"long edges left out: {left_out}; the names say where they lead"] if left_out else []
        found.append(lines(wrapped("; ".join(said), width), c["muted"]))
        for k, entry in enumerate(key, 1):
            found.append(lines(wrapped(f"[{k}] {cut(entry, 600)}", width), c["ink"]))
        rules = {f"backward of {node.op}:\n{node.rule}" for node in self.graph.nodes if node.kind == "fused" and sent}
        for rule in sorted(rules)[:RULES]:
            told = [part for line in rule.splitlines() for part in wrapped(cut(line, 600), width)]
            found.append(lines(told, c["gradient"]))
        return found

    # Rows

    def strips(self) -> list[str]:
        """For each row the title of the scopes that it stands in.

        A leaf stands where the op after it does; data that enters a scope, and leaves before the first op, before it.
        """
        found: list[str] = []
        after = ""
        for rung in reversed(self.rungs):
            if rung.node.op or rung.kept is not None:
                after = title_of(self.graph, rung.node.scope)
            found.append(after)
        found.reverse()
        first = next((k for k, rung in enumerate(self.rungs) if rung.node.op), 0)
        for k, rung in enumerate(self.rungs):
            enters = k == 0 or found[k - 1] != found[k]
            if not rung.node.op and enters and (rung.node.kind in OUTSIDE or (rung.node.kind == "leaf" and k < first)):
                found[k] = ""
        return found

    def strip(self, said: str, y: float) -> str:
        patch = f'x="{number(self.x)}" y="{number(y)}" width="{number(self.end - self.x)}" height="{LINE + 3}"'
        label = text(fitted(said, self.end - self.x - 8), self.c["cluster_ink"]).draw(self.x + 4, y + 1)
        return f'<rect {patch} fill="{self.c["cluster_b"]}"/>\n{label}'

    def row(self, row: Row, y: float, prefix: str) -> str:
        """A hairline, and what stands below it; the whole expression and its line are the row's title."""
        node = row.rung.node
        made = f" = {clean(cut(node.expression, 400))}" if node.op else ""
        where = f" at {node.line[0]}:{node.line[1]}" if node.line else ""
        about = escaped(f"{cut(clean(node.name), 200)} {shape(node.shape)}{made}{where}")
        line = f'<path d="M{number(self.x)} {number(y)}H{number(self.end)}" stroke="{self.c["cluster_line"]}"'
        return (
            f'<g id="{prefix}row-{attribute(node.id)}"><title>{about}</title>\n{line} stroke-width=".6"/>\n'
            f"{row.block.draw(self.x, y + row.above)}</g>\n"
        )


def _sample(said: str, v: float, c: Palette) -> Block:
    """A cell of the legend."""
    fill = tint(v, 1.0, c) or c["page"]

    def draw(x: float, y: float) -> str:
        patch = f'width="18" height="14" fill="{fill}" stroke="{c["cluster_line"]}" stroke-width=".6"'
        return f'<rect x="{number(x)}" y="{number(y)}" {patch}/>\n{text(said, c["ink"]).draw(x + 6, y)}'

    return Block(18, 14, draw)
