"""DOT text from plain data, the same bytes every time. Statements, clusters, the legend; `graphviz` holds them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import graphviz

from .cards import Style, card, cell, font, kept_slots, row
from .data import Graph, Node, Scope, saved_bytes
from .layout import ancestors, entering, follows, homes, is_module, slots_in_order, spine
from .renderer import TOGETHER
from .theme import MATCHES, SANS, Palette
from .words import attribute, clean, cut, shape, size

DEEPEST = 12  # scopes nested deeper than this are drawn in the one around them


@dataclass(frozen=True)
class Part:
    """One graph of a picture: its data, how its cards look, and the frame around it (None: no frame)."""

    graph: Graph
    style: Style
    frame: str | None = None


def document(
    parts: list[Part], colours: Palette, *, title: str = "", legend: bool = True, extra: Iterable[str] = ()
) -> str:
    """The DOT text of a picture of one or several graphs."""
    across = parts[0].style.across
    head = {
        "id": f"g-{parts[0].style.prefix}minigrad",
        "bgcolor": colours["page"],
        "rankdir": "LR" if across else "TB",
        "fontname": SANS,
        "nodesep": "0.3",
        "ranksep": "0.4",
        "pad": "0.25",
        "splines": "true",
        "outputorder": "edgeslast",
    }
    notes = [note for part in parts for note in part.graph.notes]
    if legend:
        head |= {"labelloc": "t", "label": _legend(parts, colours, title, notes)}
    dot = graphviz.Digraph(
        "minigrad",
        graph_attr=head,
        node_attr={"shape": "plain", "fontname": "Courier", "fontsize": "10"},
        edge_attr={"fontname": "Courier", "fontsize": "9", "arrowsize": "0.65", "penwidth": "1.3"},
    )
    if not any(node.made_by for part in parts for node in part.graph.nodes):
        dot.body.append(TOGETHER.removeprefix("\n"))  # one set of ranks for all; a backward pass is better without
    for part in parts:
        if part.frame is None and len(parts) == 1:
            _emit(dot, part)
            continue
        # an invisible frame holds two graphs apart; peripheries is inherited, so clusters inside set it again
        p = part.style.prefix
        label = f"<{font(part.frame, colours['ink'], 14, bold=True, face=SANS)}>" if part.frame else '""'
        dot.body.append(
            f'\tsubgraph "cluster_{p}all" {{ id="k-{p}all"; peripheries=0; margin=4; labeljust=l; label={label}\n'
        )
        _emit(dot, part)
        dot.body.append("\t}\n")
    dot.body.extend(f"\t{line}\n" for line in extra)
    return str(dot.source)


def _emit(dot: graphviz.Digraph, part: Part) -> None:
    graph, style = part.graph, part.style
    if not style.hues:
        style = replace(style, hues=_hues(graph))
    path = spine(graph)
    home = homes(graph)
    inside: dict[int | None, list[Node]] = {}
    for node in graph.nodes:
        inside.setdefault(_shallow(graph, home[node.id]), []).append(node)
    orders = {node.id: slots_in_order(node, path) for node in graph.nodes}

    def statement(node: Node) -> None:
        more = {"group": f"{style.prefix}spine"} if node.id in path else {}
        if node.kind in ("input", "parameter", "constant"):
            c = style.colours
            width = {"input": "1.5", "parameter": "2.5", "constant": "1"}[node.kind]
            more |= {"shape": "box", "style": "rounded,filled", "margin": "0.1,0.06", "penwidth": width}
            more |= {"fillcolor": c[f"{node.kind}_fill"], "color": c[f"{node.kind}_line"]}
        dot.node(
            style.prefix + node.id,
            label=card(node, orders[node.id], style),
            id=f"n-{style.prefix}{node.id}",
            tooltip=_tooltip(node),
            **{"class": node.kind},
            **more,
        )

    for node in inside.get(None, ()):
        statement(node)
    _clusters(dot, graph, style, inside, statement)
    for node in graph.nodes:
        far = entering(graph, node, home)
        _edges(dot, node, orders[node.id], style, path, far)


def _clusters(dot, graph, style, inside, statement) -> None:  # type: ignore[no-untyped-def]
    """Nested clusters, written by an explicit stack: scopes may be nested deeper than Python may recurse."""
    used: dict[int, None] = {}
    for scope in inside:
        used.update(dict.fromkeys(reversed(ancestors(graph, scope))))
    children: dict[int | None, list[int]] = {}
    for scope in sorted(used):
        children.setdefault(graph.scopes[scope].parent, []).append(scope)
    within: dict[int, list[Node]] = {scope: [] for scope in used}
    for scope, nodes in inside.items():
        for around in ancestors(graph, scope):
            within[around] += [node for node in nodes if node.op]
    stack: list[tuple[int, int]] = [(scope, 0) for scope in reversed(children.get(None, ()))]
    closing: list[int] = []
    while stack:
        scope, depth = stack.pop()
        while len(closing) > depth:
            dot.body.append("\t" * (closing.pop() + 1) + "}\n")
        dot.body.append("\t" * (depth + 1) + _cluster_head(graph, scope, depth, within[scope], style) + "\n")
        closing.append(depth)
        for node in inside.get(scope, ()):
            statement(node)
        stack.extend((child, depth + 1) for child in reversed(children.get(scope, ())))
    while closing:
        dot.body.append("\t" * (closing.pop() + 1) + "}\n")


def _cluster_head(graph: Graph, scope: int, depth: int, nodes: list[Node], style: Style) -> str:
    c = style.colours
    entered = graph.scopes[scope]
    ops, kept = Graph(tuple(nodes), ()).ops, saved_bytes(nodes)
    outer = depth == 0 and is_module(entered)  # a module; a step inside one is set smaller
    said = font(entered_name(entered), c["cluster_ink"], 12 if outer else 10, bold=outer) or " "
    # the name left and the counts right, so that the edges on their way in pass between them
    cells = cell(said, align="left", width=190 if outer else 176)
    cells += cell(font(f"{ops} op{'s' * (ops != 1)}", c["muted"], 9), align="right")
    if kept and style.backward and style.detail >= 1:
        cells += cell(font(size(kept), c["saved_ink"], 9), bgcolor=c["saved_fill"], align="right")
    label = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="1">{row(cells)}</TABLE>'
    return (
        f'subgraph "cluster_{style.prefix}{scope}" {{ id="k-{style.prefix}{scope}"; label=<{label}>; '
        f'labeljust=l; style="rounded,filled"; peripheries=1; '
        f'fillcolor="{c["cluster_a" if depth % 2 == 0 else "cluster_b"]}"; color="{c["cluster_line"]}"; '
        f"penwidth={1.2 if depth == 0 else 0.8}; margin={12 if depth == 0 else 8};"
    )


def entered_name(scope: Scope) -> str:
    """The scope's name, with how many equal blocks it stands for."""
    return cut(scope.name, 40) + (f" x {scope.times}" if scope.times > 1 else "")


def _shallow(graph: Graph, scope: int | None) -> int | None:
    """The scope, or the one around it that is still drawn."""
    around = ancestors(graph, scope)
    return scope if len(around) <= DEEPEST else around[len(around) - DEEPEST]


def _edges(
    dot: graphviz.Digraph, node: Node, order: list[int], style: Style, path: dict[str, int], far: set[str]
) -> None:
    """The forward edges into a card and their dashed twins; a twin is declared forward, so it cannot bend a rank."""
    own, shared = kept_slots(order)
    cell_of = {k: k for k in own} | dict.fromkeys(shared, shared[0] if shared else 0)
    out, into = ("e", "w") if style.across else ("s", "n")
    c, p = style.colours, style.prefix
    seen: set[tuple[str | None, int]] = set()
    for k in order:
        slot = node.inputs[k]
        if (slot.node, cell_of[k]) in seen:
            continue  # the same tensor again, in the slot that stands for the rest
        seen.add((slot.node, cell_of[k]))
        weight = "8" if follows(slot.node, node, path) else "1"
        ends = f"{p}{slot.node}-{p}{node.id}-{k}"
        room = {"minlen": "2"} if slot.node in far else {}
        dot.edge(
            f"{p}{slot.node}:v:{out}",
            f"{p}{node.id}:i{cell_of[k]}:{into}",
            id=f"f-{ends}",
            color=c["forward"],
            weight=weight,
            **{"class": "forward"},
            **room,
        )
        if style.backward and slot.local:
            dot.edge(
                f"{p}{slot.node}:g:{out}",
                f"{p}{node.id}:d{cell_of[k]}:{into}",
                id=f"b-{ends}",
                color=c["gradient"],
                style="dashed",
                dir="back",
                weight=weight,
                **{"class": "backward"},
                **room,
            )


def _tooltip(node: Node) -> str:
    where = f" at {node.line[0]}:{node.line[1]}" if node.line else ""
    text = f"{cut(clean(node.name), 200)} {shape(node.value.shape)}"
    if node.op:
        text += f" = {cut(clean(node.expression), 300)}{where}"
    return attribute(text)


def _hues(graph: Graph) -> dict[str, str]:
    """A colour for each forward op whose rule made nodes of this graph, worn by both."""
    makers = dict.fromkeys(node.cause or node.made_by for node in graph.nodes if node.made_by)
    hue = {maker: f"match_{k % MATCHES}" for k, maker in enumerate(makers)}
    return hue | {node.id: hue[node.cause or node.made_by] for node in graph.nodes if node.made_by}


def _legend(parts: list[Part], c: Palette, title: str, notes: list[str]) -> str:
    """One row under the title, of what the picture holds and nothing else."""
    nodes = [node for part in parts for node in part.graph.nodes]
    backward = any(part.style.backward for part in parts)
    kinds = dict.fromkeys(node.kind for node in nodes)
    swatches = []
    for kind in ("input", "parameter", "constant"):
        if kind in kinds:
            said = font(kind, c[f"{kind}_ink"], 9, bold=kind == "parameter")
            swatches.append(cell(said, bgcolor=c[f"{kind}_fill"], border=1, color=c[f"{kind}_line"]))
    for kind, word, role in (
        ("op", "op", "bar"),
        ("fused", "fused op", "fused_bar"),
        ("module", "module", "module_bar"),
    ):
        if kind in kinds:
            swatches.append(cell(font(word, c["bar_ink"], 9), bgcolor=c[role], border=1, color=c[role]))
    told = any(part.style.detail >= 1 for part in parts)
    if told and backward and any(node.kept_by or any(s.node is None for s in node.saves) for node in nodes):
        said = font("saved for backward", c["saved_ink"], 9)
        swatches.append(cell(said, bgcolor=c["saved_fill"], border=1, color=c["saved_fill"]))
    if any(node.inputs for node in nodes):
        swatches.append(cell(font("-> forward", c["forward"], 9, bold=True)))
    if backward and any(slot.local for node in nodes for slot in node.inputs):
        swatches.append(cell(font("<- - backward; g = gradient of the op's output", c["gradient"], 9, bold=True)))
    if any(node.made_by for node in nodes):
        swatches.append(cell(font("same bar colour: made by that op's rule", c["muted"], 9, bold=True)))
    if any(part.style.badges for part in parts):
        swatches.append(cell(font("same number: same tensor in both", c["muted"], 9, bold=True)))
    span = max(1, 2 * len(swatches) - 1)
    rows = []
    if title:
        rows.append(row(cell(font(cut(title, 120), c["ink"], 16, bold=True, face=SANS), colspan=span)))
    rows += [row(cell(font(cut(note, 160), c["gradient"], 10), colspan=span)) for note in notes]
    rows.append(row("<TD> </TD>".join(swatches) or "<TD> </TD>"))
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="4">{"".join(rows)}</TABLE>>'
