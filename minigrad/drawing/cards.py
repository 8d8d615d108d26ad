"""One card: an op and the tensor that it makes, or a leaf, as an HTML-like label of Graphviz.

From top to bottom: what comes in and what backward sends there; the op; the expression in the user's names; shape
and dtype; what it keeps for backward; value and gradient. Ports: i<k> and d<k> of each slot, v and g below, s<k> of
each buffer. Knows one node and the style; where it stands is dot.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..program.words import cut, shape
from .data import Node, Numbers, saved_bytes
from .options import Options
from .theme import BARS, MONO, Palette
from .words import attribute, escaped, size

FLOOR = 244  # points: a column of cards lines up
NAME, EXPRESSION, LOCAL, SLOTS = 24, 40, 30, 6


@dataclass(frozen=True)
class Style:
    """How cards are drawn: colours, how much is told, direction, and which node wears which badge."""

    colours: Palette
    detail: int = 2
    backward: bool = True
    across: bool = False  # left to right
    prefix: str = ""
    roots: tuple[str, ...] = ()
    badges: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # id -> (text, colour role)
    hues: Mapping[str, str] = field(default_factory=dict)  # id -> colour role of its bar

    @classmethod
    def of(cls, options: Options, cards: int, **more: Any) -> Style:
        """The style of a picture with so many cards."""
        return cls(options.colours, options.told(cards), options.backward, options.direction == "LR", **more)


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


def card(node: Node, slots: list[int], style: Style) -> str:
    """The HTML-like label of one node; `slots` are the positions of its drawn inputs in the order of drawing."""
    return _op_card(node, slots, style) if node.kind in BARS else _leaf_card(node, style)


def kept_slots(slots: list[int]) -> tuple[list[int], list[int]]:
    """(slots with a cell of their own, slots that share the last one)."""
    return (slots, []) if len(slots) <= SLOTS else (slots[: SLOTS - 1], slots[SLOTS - 1 :])


# --------------------------------------------------------------------------------------------------------------


def _wide(body: str, width: int, **more: object) -> str:
    """A row of one cell."""
    return row(cell(body, colspan=width, align="left", **more))


def _halves(left: str, right: str, width: int, **more: object) -> str:
    """A row of two cells, the second one right-aligned; of `more`, what begins with right_ is for that one alone."""
    both = {k: v for k, v in more.items() if not k.startswith("right_")}
    last = both | {k.removeprefix("right_"): v for k, v in more.items() if k.startswith("right_")}
    half = width // 2
    return row(
        cell(left, **{"colspan": half, "align": "left", **both}),
        cell(right, **{"colspan": width - half, "align": "right", **last}),
    )


def _tagged(text: str, node: Node, style: Style) -> str:
    """The words at the right end of a card's top line, and the badge that links it to its match."""
    if node.id not in style.badges:
        return text
    said, role = style.badges[node.id]
    badge = cell(font(f" {said} ", style.colours["bar_ink"], 9, bold=True), bgcolor=style.colours[role])
    return table(row(cell(text), cell(" "), badge) if text else row(badge))


def _marked(node: Node, style: Style, width: int) -> list[str]:
    """The remark that is to be seen at once."""
    c = style.colours
    said = font(cut(node.mark, 60), c["bar_ink"], 10, bold=True)
    return [_wide(said, width, bgcolor=c["wrong"])] if said else []


def _op_card(node: Node, slots: list[int], style: Style) -> str:
    c, kind = style.colours, BARS[node.kind][1]
    own, shared = kept_slots(slots)
    width = 2 if style.across else 2 * max(1, len(own) + bool(shared))
    bar = c[style.hues.get(node.id, f"{kind}bar")]
    times = f" x {node.times}" if node.times > 1 else ""
    order = ""
    if node.forward and node.times == 1 and node.kind != "module":
        order = f"fwd {node.forward}" + (f"  bwd {node.backward}" if style.backward and node.backward else "")
    heading = font(cut(node.op, NAME) + times, c["bar_ink"], 12, bold=True)
    right = _tagged(font(order, c["bar_ink"], 9), node, style)
    rows = _slot_rows(node, own, shared, style, width)
    rows.append(_halves(heading, right, width, bgcolor=bar, border=1, color=bar))
    rows.append(_wide(font(_expression(node), c["ink"], 11, bold=True), width))
    if node.made_by:
        rows.append(_wide(font(cut(f"made by backward of {node.made_by}", 44), c["muted"], 9), width))
    rows += _marked(node, style, width) + _meta_rows(node, style, width)
    if style.detail >= 1 and style.backward:
        rows += _buffer_rows(node, style, width)
    rows.append(_number_row(node, style, width))
    root = node.id in style.roots
    line = c["ink"] if root and not kind else c[f"{kind}line"]
    border = 2 if root or kind else 1
    if node.mark:
        line, border = c["wrong"], 4
    return (
        f'<<TABLE BORDER="{border}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" COLOR="{line}" '
        f'BGCOLOR="{c[kind + "body"]}">{"".join(rows)}</TABLE>>'
    )


def _slot_rows(node: Node, own: list[int], shared: list[int], style: Style, width: int) -> list[str]:
    c = style.colours
    span = {"colspan": width} if style.across else {"width": FLOOR // max(width, 2)}
    named = [(k, node.inputs[k].text) for k in own] + [(k, f"and {len(shared)} more") for k in shared[:1]]
    pairs = []
    for k, text in named:
        sent = cut(node.inputs[k].local, LOCAL) if style.backward and style.detail >= 1 else ""
        left = cell(font(cut(text, NAME), c["muted"], 9), port=f"i{k}", align="left", bgcolor=c["slot"], **span)
        align = "left" if style.across else "right"
        pairs.append((left, cell(font(sent, c["gradient"], 9), port=f"d{k}", align=align, bgcolor=c["slot"], **span)))
    if style.across:
        return [row(part) for pair in reversed(pairs) for part in pair]
    return [row(*(part for pair in pairs for part in pair))] if pairs else []


def _expression(node: Node) -> str:
    if node.kind == "module":
        return node.short
    name = cut(node.name, NAME)
    if name.replace(" ", "") == node.short.replace(" ", ""):
        return name  # named after what it is
    text = f"{name} = {node.short}"
    return text if len(text) <= EXPRESSION + 8 else f"{name} = {node.op}(...)"


def _meta_rows(node: Node, style: Style, width: int) -> list[str]:
    if style.detail < 1:
        return []
    c = style.colours
    text = font(f"{shape(node.value.shape)} {node.value.dtype}", c["muted"], 9)
    saved = node.kept_by and style.backward
    if not saved and not (node.id in style.roots and node.op):
        return [_wide(text, width)]
    word, ink, fill = ("saved", c["saved_ink"], c["saved_fill"]) if saved else ("output", c["ink"], None)
    return [_halves(text, font(word, ink, 9, bold=True), width, right_bgcolor=fill)]


def _buffer_rows(node: Node, style: Style, width: int) -> list[str]:
    """What a fused op keeps of its own, which no other card shows."""
    ink, fill = style.colours["saved_ink"], style.colours["saved_fill"]
    if node.kind == "module":
        said = font(f"saved for backward {size(saved_bytes([node]))}", ink, 9, bold=True)
        return [_wide(said, width, bgcolor=fill)] if node.saves else []
    rows = []
    for k, saved in enumerate(node.buffers):
        left = font(f"saved {cut(saved.name, NAME)}", ink, 9, bold=True)
        how_much = shape(saved.numbers.shape) if saved.numbers is not None else size(saved.nbytes)
        right = font(how_much, ink, 9)
        rows.append(_halves(left, right, width, port=f"s{k}", right_port=None, bgcolor=fill))
    return rows


def _number_row(node: Node, style: Style, width: int) -> str:
    """Value left, gradient right (left to right: one above the other); the cells that edges start from."""
    c = style.colours
    told = style.detail >= 2 and node.times == 1  # one of many equal blocks has no numbers of its own
    with_gradient = told and style.backward and node.needs
    value = _numbers("", node.value, c["value"]) if told else ""
    gradient = _numbers("grad ", node.gradient, c["gradient_value"]) if with_gradient else ""
    fill = c["gradient_fill"] if with_gradient else None
    label = attribute(cut(node.name, 200))
    v = {"port": "v", "title": f"value of {label}"}
    g = {"port": "g", "title": f"gradient of {label}", "bgcolor": fill}
    if style.across:
        look = {"colspan": width, "align": "right"}
        return row(cell(value, **look, **v)) + row(cell(gradient, **look, **g))
    return _halves(value, gradient, width, **v, **{f"right_{k}": x for k, x in g.items()})


def _numbers(before: str, numbers: Numbers | None, colour: str) -> str:
    """An array in one short piece, bold where it is not finite; none where there is none."""
    if numbers is None:
        return font(f"{before}none", colour, 9)
    return font(before + numbers.brief, colour, 9, bold=bool(numbers.range.bad))


def _leaf_card(node: Node, style: Style) -> str:
    ink = style.colours[f"{node.kind}_ink"]
    name = font(cut(node.name, NAME), ink, 14, bold=True) or " "
    word = _tagged(font(node.kind, ink, 9), node, style)
    floor = None if style.across else 104
    rows = [row(cell(name, align="left", width=floor), cell(word, align="right"))]
    rows += _marked(node, style, 2) + _meta_rows(node, style, 2)
    rows.append(_number_row(node, style, 2))
    return f"<{table(''.join(rows), spacing=1, padding=2)}>"
