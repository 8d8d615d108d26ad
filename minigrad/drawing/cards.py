"""One card: an op and the tensor that it makes, or a leaf, as an HTML-like label of Graphviz.

From top to bottom: each input's name, and below it what backward sends there; the op; the expression in the user's
names; shape and dtype; what it keeps for backward; value; gradient. Ports: i<k> and d<k> of each slot, v and g at the
bottom, s<k> of each buffer. Knows one node and the style; where it stands is dot.py's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..program.words import cut, number, shape
from .data import Node, Numbers, saved_bytes
from .options import Options
from .shading import title_of
from .theme import BARS, MONO, SHADES, Palette
from .words import escaped, size

FLOOR = 140  # points: a column of cards lines up
NAME, SLOTS = 24, 6
COLUMNS = 24  # bars of a sparkline
LINE = 26  # letters of an expression on one line
LINES = 3  # of an expression or a rule; a longer rule is told by its name and stands in the tooltip


@dataclass(frozen=True)
class Style:
    """How cards are drawn: colours, how much is told, direction, and which node wears which badge."""

    colours: Palette
    detail: int = 2
    backward: bool = True
    across: bool = False  # left to right
    narrow: int = 0  # see Options
    prefix: str = ""
    roots: tuple[str, ...] = ()
    badges: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # id -> (text, colour role)
    chips: Collection[tuple[str, int]] = ()  # (id, position) of inputs that are told by name alone
    shades: str = ""  # what the colours of the bars say
    hues: Mapping[str, str] = field(default_factory=dict)  # id -> colour role of its bar

    @classmethod
    def of(cls, options: Options, cards: int, **more: Any) -> Style:
        """The style of a picture with so many cards."""
        across = options.direction == "LR"
        look = {"shades": title_of(options.color), **more}
        return cls(options.colours, options.told(cards), options.backward, across, options.narrow, **look)


def font(text: str, colour: str, points: float, bold: bool = False, face: str = MONO) -> str:
    """Text in a label; nothing at all for an empty one, because an empty FONT is a syntax error."""
    said = escaped(text)
    if not said.strip():
        return ""
    said = f"<B>{said}</B>" if bold else said
    return f'<FONT FACE="{face}" COLOR="{colour}" POINT-SIZE="{points}">{said}</FONT>'


def cell(body: str, **attributes: object) -> str:
    """A table cell; attributes in small letters, None ones left out."""
    said = "".join(f' {k.upper()}="{v}"' for k, v in attributes.items() if v is not None)
    return f"<TD{said}>{body}</TD>"


def row(*cells: str) -> str:
    """Cells as a row of a table."""
    return f"<TR>{''.join(cells)}</TR>"


def table(rows: str, *, spacing: int = 0, padding: int = 0) -> str:
    """Rows as a table without lines."""
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="{padding}">{rows}</TABLE>'


def exactly(table: str, width: float, height: float) -> str:
    """A table that is not stretched to the cell that it stands in."""
    return table.replace("<TABLE", f'<TABLE FIXEDSIZE="TRUE" WIDTH="{width:.0f}" HEIGHT="{height:.0f}"', 1)


def card(node: Node, slots: list[int], style: Style) -> str:
    """The HTML-like label of one node; `slots` are the positions of its drawn inputs in the order of drawing."""
    return _op_card(node, slots, style) if node.kind in BARS else _leaf_card(node, style)


def kept_slots(slots: list[int]) -> tuple[list[int], list[int]]:
    """(slots with a cell of their own, slots that share the last one)."""
    return (slots, []) if len(slots) <= SLOTS else (slots[: SLOTS - 1], slots[SLOTS - 1 :])


def step_of(share: float) -> int:
    """Which of the five colours shows a share."""
    return min(SHADES - 1, int(share * SHADES))


def wrapped(text: str, wide: int) -> list[str]:
    """An expression on several lines, broken before operators and after commas and brackets, never in a name.

    >>> wrapped("2*(x - mean(x, axis=0))*g/N", 14)
    ['2*(x - mean(x,', 'axis=0))*g/N']
    """
    lines = [""]
    for piece in re.split(r"(?<=, )|(?= [-+*/@=]+ )|(?<=[^-+*/(, ])(?=[*/]+[\w(])|(?<=\w\()", text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > wide:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return [line.rstrip() for line in lines]


# --------------------------------------------------------------------------------------------------------------


def _lines(texts: Iterable[str], colour: str, points: float, bold: bool = False) -> str:
    """Lines of text, each at the left."""
    return "".join(f'{said}<BR ALIGN="LEFT"/>' for text in texts if (said := font(text, colour, points, bold)))


def _wide(body: str, width: int, **more: object) -> str:
    """A row of one cell."""
    return row(cell(body, **{"colspan": width, "align": "left", "balign": "left", **more}))


def _halves(left: str, right: str, width: int, fill: str | None = None, **more: object) -> str:
    """A row of two cells, the second one right-aligned, on a colour of its own where there is one."""
    half = width // 2
    last = more | ({"bgcolor": fill} if fill else {})
    return row(
        cell(left, **{"colspan": half, "align": "left", **more}),
        cell(right, **{"colspan": width - half, "align": "right", **last}),
    )


def _tagged(text: str, node: Node, style: Style) -> str:
    """The words at the right end of a card's top line, and the badge that links it to its match."""
    if node.id not in style.badges:
        return text
    said, role = style.badges[node.id]
    badge = cell(font(f" {said} ", style.colours["bar_ink"], 9, bold=True), bgcolor=style.colours[role])
    letters = len(re.sub(r"<[^>]*>", "", text)) + len(said) + 3
    return exactly(table(row(cell(text), cell(" "), badge) if text else row(badge)), 5.6 * letters, 14)


def _op_card(node: Node, slots: list[int], style: Style) -> str:
    c, kind = style.colours, BARS[node.kind][1]
    own, shared = kept_slots(slots)
    width = 2 if style.across else 2 * max(1, len(own) + bool(shared))
    bar, ink = c[style.hues.get(node.id, f"{kind}bar")], c["bar_ink"]
    if node.shade is not None:
        step = step_of(node.shade[0])
        bar, ink = c[f"shade_{step}"], c[f"shade_ink_{step}"]
    times = f" x {node.times}" if node.times > 1 else ""
    order, sends = "", style.backward and any(slot.local for slot in node.inputs)
    if node.forward and node.times == 1 and node.kind != "module":
        order = f"fwd {node.forward}" + (f"  bwd {node.backward}" if sends and node.backward else "")
    heading = table(
        row(
            cell(font(cut(node.op, NAME) + times, ink, 12, bold=True), align="left", width=FLOOR // 3),
            cell(_tagged(font(order, ink, 9), node, style), align="right"),
        ),
        padding=1,
    )
    rows = _slot_rows(node, own, shared, style, width)
    rows.append(row(cell(heading, colspan=width, bgcolor=bar, border=1, color=bar, width=FLOOR)))
    rows.append(_wide(_lines(_expression(node), c["ink"], 11, bold=True), width))
    if node.shade is not None:
        rows.append(_wide(font(cut(node.shade[1], 40), c["ink"], 9, bold=True), width))
    if node.made_by and style.detail >= 1:
        rows.append(_wide(_lines(wrapped(f"made by backward of {node.made_by}", 32)[:LINES], c["muted"], 9), width))
    rows += _rest(node, style, width)
    root = node.id in style.roots
    line = c["ink"] if root and not kind else c[f"{kind}line"]
    border = 2 if root or kind else 1
    if node.mark:
        line, border = c["wrong"], 4
    return (
        f'<<TABLE BORDER="{border}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2" COLOR="{line}" '
        f'BGCOLOR="{c[kind + "body"]}">{"".join(rows)}</TABLE>>'
    )


def _leaf_card(node: Node, style: Style) -> str:
    ink = style.colours[f"{node.kind}_ink"]
    name = font(cut(node.name, NAME), ink, 14, bold=True) or " "
    word = _tagged(font(f" {node.kind}", ink, 9), node, style)
    rows = [row(cell(name, align="left", width=48), cell(word, align="right")), *_rest(node, style, 2)]
    return f"<{table(''.join(rows), spacing=0, padding=1)}>"


def _slot_rows(node: Node, own: list[int], shared: list[int], style: Style, width: int) -> list[str]:
    """The names of the inputs, and below each of them what it gets in the backward pass; a line between two inputs."""
    c = style.colours
    look: dict[str, Any] = {"align": "left", "balign": "left", "bgcolor": c["slot"]}
    names = [(k, cut(node.inputs[k].text, NAME)) for k in own] + [(k, f"and {len(shared)} more") for k in shared[:1]]
    told = style.backward and style.detail >= 1
    wide = {1: 30, 2: 20, 3: 16}.get(len(names), 13)
    top, below = [], []
    for place, (k, name) in enumerate(names):
        chip = (node.id, k) in style.chips
        text = _lines([f"[{name}]" if chip else name], c["ink" if chip else "muted"], 9, bold=chip)
        sent = _lines(_sent(node, k, wide), c["gradient"], 9) if told and node.inputs[k].local else ""
        if style.across:
            top += [row(cell(text, port=f"i{k}", colspan=width, **look))]
            top += [row(cell(sent, port=f"d{k}", colspan=width, **look))] if sent else []
            continue
        line = {"border": 1, "sides": "L", "color": c["line"]} if place else {}
        top.append(cell(text, port=f"i{k}", **look, **line) + cell("", port=f"d{k}", width=16, bgcolor=c["slot"]))
        below.append(cell(sent, colspan=2, **look, **line))
    if style.across:
        return top
    sends = told and any(node.inputs[k].local for k, _ in names)
    return ([row(*top)] if top else []) + ([row(*below)] if sends else [])


def _sent(node: Node, k: int, wide: int) -> list[str]:
    """What backward sends to input k: never cut in the middle, but told by name where it takes too many lines."""
    lines = wrapped(node.inputs[k].local, wide)
    return lines if len(lines) <= LINES and max(map(len, lines)) <= 2 * wide else [f"d_{node.inputs[k].role or k}(g)"]


def _expression(node: Node) -> list[str]:
    if node.kind == "module":
        return wrapped(node.short, LINE)
    name = cut(node.name, NAME)
    if name.replace(" ", "") == node.short.replace(" ", ""):
        return [name]  # named after what it is
    lines = wrapped(f"{name} = {node.short}", LINE)
    return lines if len(lines) <= LINES and max(map(len, lines)) <= 2 * LINE else [f"{name} = {node.op}(...)"]


def _rest(node: Node, style: Style, width: int) -> list[str]:
    """What both kinds of cards have below: a remark, shape and dtype, buffers, value, gradient, the ports of edges."""
    c = style.colours
    rows = []
    if said := font(cut(node.mark, 60), c["bar_ink"], 10, bold=True):
        rows.append(_wide(said, width, bgcolor=c["wrong"]))
    if style.detail >= 1:
        text = font(f"{shape(node.value.shape)} {node.value.dtype}", c["muted"], 9)
        word, ink, fill = ("output", c["ink"], None) if node.id in style.roots and node.op else ("", c["ink"], None)
        if node.kept_by and style.backward:
            word, ink, fill = "saved", c["saved_ink"], c["saved_fill"]
        rows.append(_halves(text, font(word, ink, 9, bold=True), width, fill=fill))
        rows += _buffer_rows(node, style, width) if style.backward else []
    told = style.detail >= 2 and node.times == 1  # one of many equal blocks has no numbers of its own
    look = {"port": "v", "align": "right"} if style.across else {}
    rows += [_wide(_numbers("", node.value, c["value"]), width, **look)] if told or style.across else []
    fill = c["gradient_fill"] if style.backward and node.needs and told else None
    gradient = _numbers("grad ", node.gradient, c["gradient_value"]) if fill else ""
    look = {"port": "g", "align": "right"} if style.across else {}
    rows += [_wide(gradient, width, bgcolor=fill, **look)] if fill or style.across else []
    if style.detail >= 2 and node.repeats:
        drawn = [
            ("value", c["value"], [v for v, _ in node.repeats]),
            ("grad", c["gradient"], [g for _, g in node.repeats]),
        ]
        rows += [
            _wide(_sparkline(*line, c), width)
            for line in drawn[: 1 + style.backward]
            if not all(map(math.isnan, line[2]))
        ]
    if not style.across:  # edges start below all text
        half = width // 2
        ports = [cell("", port="v", colspan=half), cell("", port="g", colspan=width - half, bgcolor=fill)]
        rows.append(row(*ports).replace("<TD", '<TD HEIGHT="2" CELLPADDING="0"'))
    return rows


def _sparkline(what: str, colour: str, sizes: list[float], c: Palette) -> str:
    """The first and the last size of equal blocks, and a bar for each (at most COLUMNS), by powers."""
    fine = [math.log(v) for v in sizes if v > 0 and math.isfinite(v)]
    low, high = min(fine, default=0.0), max(fine, default=0.0)
    low = min(low, high - 1.0)  # what hardly changes looks so
    some = [sizes[round(k)] for k in np.linspace(0, len(sizes) - 1, min(len(sizes), COLUMNS))]
    bars = ""
    for v in some:
        known = v > 0 and math.isfinite(v)
        height = 2 + round(12 * (math.log(v) - low) / (high - low)) if known else 2
        rest = row(cell("", width=4, height=14 - height, fixedsize="true", cellpadding=0)) if height < 14 else ""
        bar = row(cell("", bgcolor=colour if known else c["muted"], width=4, height=height, cellpadding=0))
        bars += cell(exactly(table(rest + bar), 4, 14), cellpadding=0)
    ends = f"|{what}| {number(sizes[0], 2)} .. {number(sizes[-1], 2)}"
    return table(
        row(cell(font(ends, colour, 9), align="left"))
        + row(cell(exactly(table(row(bars), spacing=1), 5 * len(some) + 1, 16), align="left"))
    )


def _buffer_rows(node: Node, style: Style, width: int) -> list[str]:
    """What a fused op keeps of its own, which no other card shows."""
    ink, fill = style.colours["saved_ink"], style.colours["saved_fill"]
    if node.kind == "module":
        said = font(f"saved for backward {size(saved_bytes([node]))}", ink, 9, bold=True)
        return [_wide(said, width, bgcolor=fill)] if node.saves else []
    rows = []
    for k, saved in enumerate(node.buffers):
        how_much = shape(saved.numbers.shape) if saved.numbers is not None else size(saved.nbytes)
        said = font(f"saved {cut(saved.name, NAME)} {how_much}", ink, 9, bold=True)
        rows.append(_wide(said, width, bgcolor=fill, port=f"s{k}"))
    return rows


def _numbers(before: str, numbers: Numbers | None, colour: str) -> str:
    """An array in one short piece, bold where it is not finite; none where there is none."""
    if numbers is None:
        return font(f"{before}none", colour, 9)
    return font(before + numbers.brief, colour, 9, bold=bool(numbers.range.bad))
