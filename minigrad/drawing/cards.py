"""One card: an op and the tensor that it makes, or a leaf, as an HTML-like label of Graphviz.

From top to bottom: what comes in and what backward sends there; the op; the expression in the user's names; shape
and dtype; what it keeps for backward; value and gradient. Ports: i<k> and d<k> of each slot, v and g below.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .data import Node, saved_bytes
from .theme import MONO, Palette
from .words import attribute, brief, cut, escaped, shape, size

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
    badges: dict[str, tuple[str, str]] = field(default_factory=dict)  # id -> (text, colour role)
    hues: dict[str, str] = field(default_factory=dict)  # id -> colour role of its bar


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


def _beside(*cells: str) -> str:
    """Several cells as the content of one."""
    inner = "".join(cells)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"><TR>{inner}</TR></TABLE>'


def _tagged(text: str, node: Node, style: Style) -> str:
    """The words at the right end of a card's top line, and the badge that links it to its match."""
    if node.id not in style.badges:
        return text
    said, role = style.badges[node.id]
    badge = cell(font(f" {said} ", style.colours["bar_ink"], 9, bold=True), bgcolor=style.colours[role])
    return _beside(cell(text), cell(font(" ", style.colours["ink"], 9) or " "), badge) if text else _beside(badge)


def card(node: Node, slots: list[int], style: Style) -> str:
    """The HTML-like label of one node; `slots` are the positions of its drawn inputs in the order of drawing."""
    if node.kind in ("op", "fused", "module"):
        return _op_card(node, slots, style)
    return _leaf_card(node, style)


def kept_slots(slots: list[int]) -> tuple[list[int], list[int]]:
    """(slots with a cell of their own, slots that share the last one)."""
    return (slots, []) if len(slots) <= SLOTS else (slots[: SLOTS - 1], slots[SLOTS - 1 :])


# --------------------------------------------------------------------------------------------------------------


def _op_card(node: Node, slots: list[int], style: Style) -> str:
    c = style.colours
    kind = {"op": "", "fused": "fused_", "module": "module_"}[node.kind]
    own, shared = kept_slots(slots)
    width = 2 if style.across else 2 * max(1, len(own) + bool(shared))
    rows = _slot_rows(node, own, shared, style, width)
    bar = c[style.hues.get(node.id, f"{kind}bar")]
    times = f" x {node.times}" if node.times > 1 else ""
    order = ""
    if node.forward and node.times == 1 and node.kind != "module":
        order = f"fwd {node.forward}" + (f"  bwd {node.backward}" if style.backward and node.backward else "")
    right = _tagged(font(order, c["bar_ink"], 9), node, style)
    half = width // 2
    heading = font(cut(node.op, NAME) + times, c["bar_ink"], 12, bold=True)
    rows.append(
        row(
            cell(heading, colspan=half, align="left", bgcolor=bar, border=1, color=bar),
            cell(right, colspan=width - half, align="right", bgcolor=bar, border=1, color=bar),
        )
    )
    rows.append(row(cell(font(_expression(node), c["ink"], 11, bold=True), colspan=width, align="left")))
    if node.made_by:
        said = font(cut(f"made by backward of {node.made_by}", 44), c["muted"], 9)
        rows.append(row(cell(said, colspan=width, align="left")))
    if node.mark:
        said = font(cut(node.mark, 60), c["bar_ink"], 10, bold=True)
        rows.append(row(cell(said, colspan=width, align="left", bgcolor=c["wrong"])))
    rows += _meta_rows(node, style, width)
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
    floor = None if style.across else FLOOR // max(width, 2)
    cells: list[tuple[str, str]] = []
    named = [(k, node.inputs[k].text, node.inputs[k].local) for k in own]
    if shared:
        named.append((shared[0], f"and {len(shared)} more", node.inputs[shared[0]].local))
    for k, text, local in named:
        sent = cut(local, LOCAL) if style.backward and style.detail >= 1 else ""
        span = {"colspan": width} if style.across else {"width": floor}
        left = cell(font(cut(text, NAME), c["muted"], 9), port=f"i{k}", align="left", bgcolor=c["slot"], **span)
        align = "left" if style.across else "right"
        right = cell(font(sent, c["gradient"], 9), port=f"d{k}", align=align, bgcolor=c["slot"], **span)
        cells.append((left, right))
    if not cells:
        return []
    if style.across:
        return [row(part) for pair in reversed(cells) for part in pair]
    return [row(*(part for pair in cells for part in pair))]


def _expression(node: Node) -> str:
    if node.kind == "module":
        return node.short
    name = cut(node.name, NAME)
    if name.replace(" ", "") == node.short.replace(" ", ""):
        return name  # named after what it is
    text = f"{name} = {node.short}"
    if len(text) > EXPRESSION + 8:
        text = f"{name} = {node.op}(...)"
    return text


def _meta_rows(node: Node, style: Style, width: int) -> list[str]:
    if style.detail < 1:
        return []
    c = style.colours
    text = font(f"{shape(node.value.shape)} {node.value.dtype}", c["muted"], 9)
    if node.kept_by and style.backward:
        tag, fill = font("saved", c["saved_ink"], 9, bold=True), c["saved_fill"]
    elif node.id in style.roots and node.op:
        tag, fill = font("output", c["ink"], 9, bold=True), None
    else:
        return [row(cell(text, colspan=width, align="left"))]
    half = width // 2
    return [row(cell(text, colspan=half, align="left"), cell(tag, colspan=width - half, align="right", bgcolor=fill))]


def _buffer_rows(node: Node, style: Style, width: int) -> list[str]:
    """What a fused op keeps of its own, which no other card shows."""
    c = style.colours
    rows = []
    half = width // 2
    if node.kind == "module":
        if not node.saves:
            return []
        said = font(f"saved for backward {size(saved_bytes([node]))}", c["saved_ink"], 9, bold=True)
        return [row(cell(said, colspan=width, align="left", bgcolor=c["saved_fill"]))]
    for k, saved in enumerate(s for s in node.own_saves if s.node is None):
        said = shape(saved.numbers.shape) if saved.numbers is not None else size(saved.nbytes)
        left = font(f"saved {cut(saved.name, NAME)}", c["saved_ink"], 9, bold=True)
        rows.append(
            row(
                cell(left, port=f"s{k}", colspan=half, align="left", bgcolor=c["saved_fill"]),
                cell(font(said, c["saved_ink"], 9), colspan=width - half, align="right", bgcolor=c["saved_fill"]),
            )
        )
    return rows


def _number_row(node: Node, style: Style, width: int) -> str:
    """Value left, gradient right (left to right: one above the other); the cells that edges start from."""
    c = style.colours
    told = style.detail >= 2 and node.times == 1  # one of many equal blocks has no numbers of its own
    value = font(brief(node.value), c["value"], 9, bold=bool(told and node.value.range.bad)) if told else ""
    with_gradient = told and style.backward and node.needs
    bad = bool(with_gradient and node.gradient is not None and node.gradient.range.bad)
    gradient = font("grad " + brief(node.gradient), c["gradient_value"], 9, bold=bad) if with_gradient else ""
    fill = c["gradient_fill"] if with_gradient else None
    label = attribute(cut(node.name, 200))
    value_title, gradient_title = f"value of {label}", f"gradient of {label}"
    if style.across:
        return row(cell(value, port="v", title=value_title, colspan=width, align="right")) + row(
            cell(gradient, port="g", title=gradient_title, colspan=width, align="right", bgcolor=fill)
        )
    half = width // 2
    return row(
        cell(value, port="v", title=value_title, colspan=half, align="left"),
        cell(gradient, port="g", title=gradient_title, colspan=width - half, align="right", bgcolor=fill),
    )


def _leaf_card(node: Node, style: Style) -> str:
    c = style.colours
    ink = c[f"{node.kind}_ink"]
    word = _tagged(font(node.kind, ink, 9), node, style)
    floor = None if style.across else 104
    rows = [
        row(
            cell(font(cut(node.name, NAME), ink, 14, bold=True) or " ", align="left", width=floor),
            cell(word, align="right"),
        )
    ]
    rows += _meta_rows(node, style, 2)
    rows.append(_number_row(node, style, 2))
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1" CELLPADDING="2">{"".join(rows)}</TABLE>>'
