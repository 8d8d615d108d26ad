"""DOT text from plain data, the same bytes every time: statements, clusters, edges, the legend.

Knows one or several graphs with their styles; neither options nor what renders the text.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace

import graphviz

from ..program.words import cut, shape
from .cards import Style, card, cell, exactly, font, kept_slots, row, table
from .data import Graph, Node, saved_bytes
from .layout import ancestors, chips, entering, follows, homes, is_module, owners, slots_of, spine, start
from .renderer import TOGETHER
from .theme import BARS, LEAVES, MATCHES, SANS, SHADES, Palette
from .words import attribute, clean, plural, size

DEEPEST = 12  # scopes nested deeper than this are drawn in the one around them
NOTE = 76  # letters on a line of a note
LEGEND = 84  # letters on a line of the legend


@dataclass(frozen=True)
class Part:
    """One graph of a picture: its data, how its cards look, and the frame around it (None: no frame)."""

    graph: Graph
    style: Style
    frame: str | None = None


def document(parts: list[Part], *, title: str = "", legend: bool = True, extra: Iterable[str] = ()) -> str:
    """The DOT text of a picture of one or several graphs, all in the same colours and direction."""
    colours, across = parts[0].style.colours, parts[0].style.across
    head = {
        "id": f"g-{parts[0].style.prefix}minigrad",
        "bgcolor": colours["page"],
        "rankdir": "LR" if across else "TB",
        "fontname": SANS,
        "nodesep": "0.12" if parts[0].style.narrow else "0.22",
        "ranksep": "0.16" if parts[0].style.narrow == 3 else "0.36",
        "pad": "0.12",
        "splines": "true",
        "outputorder": "edgeslast",
    }
    notes = list(dict.fromkeys(note for part in parts for note in part.graph.notes))
    if legend:
        head |= {"labelloc": "t", "label": _legend(parts, colours, title, notes)}
    dot = graphviz.Digraph(
        "minigrad",
        graph_attr=head,
        node_attr={"shape": "plain", "fontname": "Courier", "fontsize": "10"},
        edge_attr={"fontname": "Courier", "fontsize": "9", "arrowsize": "0.65", "penwidth": "1.3"},
    )
    if parts[0].style.narrow or not any(node.made_by for part in parts for node in part.graph.nodes):
        dot.body.append(TOGETHER.removeprefix("\n"))  # one set of ranks for all; a backward pass is better without
    for part in parts:
        if part.frame is None and len(parts) == 1:
            _Writer(dot, part).write()
            continue
        if part.style.narrow == 1 and not any(
            node.made_by for node in part.graph.nodes
        ):  # no frame: the second graph may stand where the first leaves room
            p, said = part.style.prefix, font(part.frame or "", colours["ink"], 14, bold=True, face=SANS)
            dot.body.append(f"\t{p}title [label=<{said or ' '}>];\n")
            dot.body.append(f"\t{p}title -> {p}{start(part.graph)} [style=invis weight=9];\n")
            _Writer(dot, part).write()
            continue
        # an invisible frame holds two graphs apart; peripheries is inherited, so clusters inside set it again
        p = part.style.prefix
        label = f"<{font(part.frame, colours['ink'], 14, bold=True, face=SANS)}>" if part.frame else '""'
        dot.body.append(
            f'\tsubgraph "cluster_{p}all" {{ id="k-{p}all"; peripheries=0; margin=4; labeljust=l; label={label}\n'
        )
        _Writer(dot, part).write()
        dot.body.append("\t}\n")
    dot.body.extend(f"\t{line}\n" for line in extra)
    return str(dot.source)


class _Writer:
    """Writes one graph: its cards, in clusters for the scopes, then its edges."""

    def __init__(self, dot: graphviz.Digraph, part: Part) -> None:
        self.dot, self.graph = dot, part.graph
        hues = part.style.hues or _hues(part.graph)
        self.style = replace(part.style, hues=hues, chips=chips(part.graph, part.style.narrow))
        self.path, self.home = spine(part.graph), homes(part.graph)
        self.order = {node.id: slots_of(node) for node in part.graph.nodes}
        self.inside: dict[int | None, list[Node]] = {}  # scope: cards that stand directly in it
        self.within: dict[int, list[Node]] = {}  # scope: all ops in it
        for node in part.graph.nodes:
            around = ancestors(part.graph, self.home[node.id])[-DEEPEST:]
            self.inside.setdefault(around[0] if around else None, []).append(node)
            for scope in around:
                self.within.setdefault(scope, []).extend([node] if node.op else [])
        self.children: dict[int | None, list[int]] = {}
        for scope in sorted(self.within):
            self.children.setdefault(part.graph.scopes[scope].parent, []).append(scope)

    def write(self) -> None:
        self._cards(None)
        for node in self.graph.nodes:
            self._edges(node)
            self._places(node)
        if self.style.narrow:
            self._stack()

    def _cards(self, scope: int | None, depth: int = 0) -> None:
        """The cards of a scope, then the clusters in it; never deeper than DEEPEST."""
        cards = self.inside.get(scope, [])
        aside = [node for node in cards if not node.op and node.id not in self.path]  # last: dot puts them outermost
        for node in cards:
            if node not in aside:
                self._card(node)
        for child in self.children.get(scope, ()):
            self.dot.body.append("\t" * (depth + 1) + self._cluster_head(child, depth) + "\n")
            self._cards(child, depth + 1)
            self.dot.body.append("\t" * (depth + 1) + "}\n")
        for node in aside:
            self._card(node)

    def _card(self, node: Node) -> None:
        c, p = self.style.colours, self.style.prefix
        look = {"group": f"{p}spine"} if node.id in self.path else {}
        if node.kind in LEAVES:
            width = "2.5" if node.kind == "parameter" else "1.5" if node.needs else "1"
            look |= {"shape": "box", "style": "rounded,filled", "margin": "0.07,0.04", "penwidth": width}
            look |= {"fillcolor": c[f"{node.kind}_fill"], "color": c[f"{node.kind}_line"]}
        label = card(node, self.order[node.id], self.style)
        look |= {"class": node.kind, "tooltip": _tooltip(node)}
        self.dot.node(p + node.id, label=label, id=f"n-{p}{node.id}", **look)

    def _cluster_head(self, scope: int, depth: int) -> str:
        c, p = self.style.colours, self.style.prefix
        entered, nodes = self.graph.scopes[scope], self.within[scope]
        ops, kept = Graph(tuple(nodes), ()).ops, saved_bytes(nodes)
        outer = depth == 0 and is_module(entered)  # a module; a step inside one is set smaller
        name = cut(entered.name, 40) + (f" x {entered.times}" if entered.times > 1 else "")
        said = font(name, c["cluster_ink"], 12 if outer else 10, bold=outer) or " "
        cells = cell(said) + cell(font(plural(ops, "op"), c["muted"], 9))  # in the corner, out of the way of edges
        if kept and self.style.backward and self.style.detail >= 1:
            cells += cell(font(size(kept), c["saved_ink"], 9), bgcolor=c["saved_fill"])
        return (
            f'subgraph "cluster_{p}{scope}" {{ id="k-{p}{scope}"; label=<{table(row(cells), spacing=4)}>; '
            f'labeljust=l; style="rounded,filled"; peripheries=1; '
            f'fillcolor="{c["cluster_a" if depth % 2 == 0 else "cluster_b"]}"; color="{c["cluster_line"]}"; '
            f"penwidth={1.2 if depth == 0 else 0.8}; margin={12 if depth == 0 else 8};"
        )

    def _edges(self, node: Node) -> None:
        """The forward edges into a card and their dashed twins, which are declared forward, too: they bend no rank."""
        c, p, order = self.style.colours, self.style.prefix, self.order[node.id]
        own, shared = kept_slots(order)
        cell_of = {k: k for k in own} | dict.fromkeys(shared, shared[0] if shared else 0)
        out, into = ("e", "w") if self.style.across else ("s", "n")
        far = entering(self.graph, node, self.home)
        seen: set[tuple[str | None, int]] = set()
        for k in order:
            slot, at = node.inputs[k], cell_of[k]
            if (slot.node, at) in seen or (node.id, k) in self.style.chips:
                continue  # the same tensor again, in the slot that stands for the rest
            seen.add((slot.node, at))
            both = {"weight": "8" if follows(slot.node, node, self.path) else "1"}
            both |= {"minlen": "2"} if slot.node in far else {}
            if slot.again is not None:  # what a repeated block is fed from in all but the first
                look = {
                    "style": "dotted",
                    "penwidth": "2",
                    "color": c["forward"],
                    "constraint": "false",
                    "class": "again",
                }
                end, start = f"{p}{node.id}:i{at}:{into}", f"{p}{slot.again}:v:{out}"
                self.dot.edge(start, end, id=f"r-{p}{slot.again}-{p}{node.id}-{k}", **look)
            kinds = [("forward", "v", "i", {"color": c["forward"]})]
            if self.style.backward and slot.local:
                kinds.append(("backward", "g", "d", {"color": c["gradient"], "style": "dashed", "dir": "back"}))
            for kind, tail, head, look in kinds:
                self.dot.edge(
                    f"{p}{slot.node}:{tail}:{out}",
                    f"{p}{node.id}:{head}{at}:{into}",
                    **{"id": f"{kind[0]}-{p}{slot.node}-{p}{node.id}-{k}", "class": kind, **look, **both},
                )

    def _places(self, node: Node) -> None:
        """Where room is short: the leaves of an op below each other, or right of the op that they are used with."""
        p, alone = self.style.prefix, {name for name, users in self.graph.users.items() if len(users) == 1}
        sources = dict.fromkeys(slot.node for slot in node.inputs if slot.node is not None)
        for a, b in itertools.pairwise(sources if self.style.narrow else ()):
            if b not in alone or self.graph[b].op:
                continue
            if not self.graph[a].op:
                self.dot.edge(p + a, p + b, style="invis", weight="2")
            elif a in self.path:
                self.dot.body.append(f"\t{{rank=same; {p}{a} -> {p}{b} [style=invis weight=0]}}\n")

    def _stack(self) -> None:
        """What leads to the last root first, and what only leads to others below it; likewise forward and backward."""
        p = self.style.prefix
        if self.style.narrow == 3:
            leaves = [node.id for node in self.graph.nodes if not node.op]
            ops = [node.id for node in self.graph.nodes if node.op]
            pairs = [*zip(leaves, [*leaves[2:], *ops[:1], *ops[:1]], strict=False), *itertools.pairwise(ops)]
            for a, b in pairs:
                self.dot.edge(p + a, p + b, style="invis", weight="9")
            return
        owner = owners(self.graph) if self.style.narrow == 2 else {}
        parts: dict[object, list[Node]] = {}
        for node in self.graph.nodes:
            if node.op:
                parts.setdefault((owner.get(node.id), bool(node.made_by)), []).append(node)
        order = sorted(parts.values(), key=lambda nodes: (nodes[-1].id not in self.path, bool(nodes[0].made_by)))
        if any(nodes[0].made_by for nodes in order):
            order.sort(key=lambda nodes: bool(nodes[0].made_by))
        for above, below in itertools.pairwise(order):
            inside = {node.id for node in below}
            for top in below:
                if any(top.inputs[k].node in inside for k in slots_of(top) if (top.id, k) not in self.style.chips):
                    continue
                self.dot.edge(self.style.prefix + above[-1].id, self.style.prefix + top.id, style="invis")


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
    """A few rows under the title, of what the picture holds and nothing else."""
    nodes = [node for part in parts for node in part.graph.nodes]
    backward = any(part.style.backward for part in parts)
    kinds = {node.kind for node in nodes}
    swatches: list[tuple[int, str]] = []  # (letters, cell)

    def swatch(said: str, ink: str, fill: str | None = None, line: str | None = None) -> None:
        framed = {"bgcolor": c[fill], "border": 1, "color": c[line or fill]} if fill else {}
        swatches.append((len(said) + 4, cell(font(said, c[ink], 9), **framed)))

    def sample(said: str, role: str, look: str) -> None:
        line = cell("", border=2, sides="T", color=c[role], style=look, width=26, height=4)
        swatches.append((len(said) + 8, cell(exactly(table(row(line)), 26, 4)) + cell(font(said, c[role], 9))))

    for kind in (kind for kind in LEAVES if kind in kinds):
        swatch(LEAVES[kind], f"{kind}_ink", f"{kind}_fill", f"{kind}_line")
    for word, role in (BARS[kind] for kind in BARS if kind in kinds):
        swatch(word, "bar_ink", f"{role}bar")
    told = backward and any(part.style.detail >= 1 for part in parts)
    if told and any(node.kept_by or any(s.node is None for s in node.saves) for node in nodes):
        swatch("saved for backward", "saved_ink", "saved_fill")
    if any(node.inputs for node in nodes):
        sample("forward", "forward", "solid")
    if backward and any(slot.local for node in nodes for slot in node.inputs):
        sample("backward, g = gradient of the op's output", "gradient", "dashed")
    if any(slot.again for node in nodes for slot in node.inputs):
        sample("into the next of equal blocks", "forward", "dotted")
    if any(node.made_by for node in nodes):
        swatch("same bar colour: made by that op's rule", "muted")
    if any(part.style.badges for part in parts):
        swatch("same number: same tensor in both", "muted")
    shaded = sorted({node.shade for node in nodes if node.shade is not None})
    if shaded:
        blank = (cell(font(f" {k + 1} ", c[f"shade_ink_{k}"], 9), bgcolor=c[f"shade_{k}"]) for k in range(SHADES))
        low, high = (cut(words, 24) for _, words in (shaded[0], shaded[-1]))
        ends = [cell(font(text, c["muted"], 9)) for text in (f"{parts[0].style.shades}: {low}", high)]
        swatches.append((len(low + high + parts[0].style.shades) + 24, ends[0] + "".join(blank) + ends[1]))
    rows = []
    if title:
        rows.append(row(cell(font(cut(title, 120), c["ink"], 16, bold=True, face=SANS))))
    for line in (line for note in notes for line in textwrap.wrap(clean(note), NOTE)[:4]):
        rows.append(row(cell(font(line, c["gradient"], 10))))
    lines: list[list[tuple[int, str]]] = [[]]
    for letters, said in swatches:
        if lines[-1] and sum(n for n, _ in lines[-1]) + letters > LEGEND:
            lines.append([])
        lines[-1].append((letters, said))
    for group in lines if swatches else []:
        one = table(row("<TD> </TD>".join(said for _, said in group)), padding=4)
        room = 6 * sum(letters for letters, _ in group) + 8 * len(group)  # as wide as it is: nothing is stretched
        rows.append(row(cell(exactly(one, room, 24))))
    return f"<{table(''.join(rows) or row('<TD> </TD>'), spacing=2)}>"
