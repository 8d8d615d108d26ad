"""The page as text: one offline HTML file that steps through forward and backward, for one graph or several.

The SVG is drawn once in colours that stand for roles, and coloured by CSS variables: light, dark and print are one
picture. No request leaves the page (a strict Content-Security-Policy sees to it); names reach HTML only escaped.
Knows plain data; `stepping.html` is the rest of the page.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from ..program.words import shape
from .cards import Style
from .data import CORNER, WHOLE, Graph, Node, Numbers
from .dot import Part, document
from .layout import ancestors
from .match import matches
from .options import Options
from .renderer import render
from .svg import ROLES, bare, by_role, points, variables, without_links
from .theme import BARS, DARK, LEAVES, LIGHT, SENTINEL
from .words import attribute, clean, escaped, size

MODULES = ("arrays", "kernels", "program", "heat", "model", "arcs", "changing", "controls", "telling", "ladder")


def page_of(graphs: Mapping[str, Graph], *, title: str = "", computed: Mapping[str, Any] | None = None) -> str:
    """The page as text. computed: what live_data.py gives, for a page that computes, or says why it does not."""
    labels = list(graphs)
    figures = []
    for k, (label, graph) in enumerate(graphs.items()):
        notes = "".join(f'<small class="note">{escaped(note)}</small>' for note in graph.notes)
        figures.append(
            f'<figure data-g="{k}"><figcaption>{escaped(label)} <small>{graph.cost}</small>{notes}</figcaption>'
            f"{_svg(graph, f'p{k}_', label)}</figure>"
        )
    first, *others = graphs.values()
    data = {
        "graphs": [_graph(label, graph) for label, graph in graphs.items()],
        # [graph, node, graph, node, words] for what the first graph shares with each of the others
        "matches": [
            [0, m.left, k, m.right, clean(m)] for k, other in enumerate(others, 1) for m in matches(first, other)
        ],
    }
    lives = bool(computed and "of" in computed)
    if computed:
        data |= {"live": computed} if lives else {"recording": computed["reason"]}
    parts = {
        "TITLE": escaped(title or " and ".join(labels)),
        "LIGHT": variables(LIGHT),
        "DARK": variables(DARK),
        "ROLES": ROLES,
        "VIEWS": _buttons(labels, lives),
        "LIVE": joined() if lives else "const liveLadder = null;",
        "LADDER": _read("live/ladder.css") if lives else "",
        "LEGEND": _legend(list(graphs.values())),
        "FIGURES": "\n".join(figures),
        "DATA": script_safe(json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)),
    }
    template = _read("stepping.html")
    # one pass: what a user's name says is never looked at for further marks
    return re.sub(r"<!--@(\w+)-->|/\*@(\w+)\*/", lambda m: parts[m.group(1) or m.group(2)], template)


def joined() -> str:
    """The modules of live/ as one script, whose scope is its own; comments and indents are left out."""
    left_out = re.compile(r"^import [^;]*;\n|^export |^ */\*(?:(?!\*/)[\s\S])*\*/\n|^ +", re.MULTILINE)
    texts = [left_out.sub("", _read(f"live/{name}.mjs")) for name in MODULES]
    return f"const liveLadder = (() => {{\n{''.join(texts)}return liveLadder;\n}})();"


def _read(file: str) -> str:
    return resources.files(__package__).joinpath(file).read_text("utf-8")


class Frame:
    """A page inside a notebook cell: an iframe that holds all of it, so that nothing of it reaches the notebook."""

    def __init__(self, page: str, height: int) -> None:
        self.page, self.height = page, int(height)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        held = html.escape(self.page, quote=True)
        return f'<iframe srcdoc="{held}" style="width:100%;height:{self.height}px;border:0"></iframe>'


def script_safe(text: str) -> str:
    """JSON that cannot end the script element or open a comment in it."""
    marks = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return re.sub("[<>&\u2028\u2029]", lambda m: marks[m.group()], text)


# --------------------------------------------------------------------------------------------------------------
# The picture


def _svg(graph: Graph, prefix: str, label: str) -> str:
    """The drawing with classes in place of colours: f-<role> for fill, s-<role> for stroke."""
    style = Style(SENTINEL, Options().told(len(graph)), prefix=prefix, roots=graph.roots)
    svg = without_links(bare(render(document([Part(graph, style)], legend=False), "svg")))
    svg = by_role(svg)
    width, height = points(svg)
    head = f'<svg data-w="{width:.2f}" data-h="{height:.2f}" role="group" aria-label="{attribute(label)}"'
    return re.sub(r'<svg\s+width="[^"]*"\s+height="[^"]*"', lambda m: head, svg, count=1)


def _buttons(labels: list[str], lives: bool) -> str:
    if len(labels) == 1 and not lives:
        return ""
    buttons = ['<button data-show="ladder">ladder</button>'] if lives else []
    buttons += [f'<button data-show="{k}">{escaped(label)}</button>' for k, label in enumerate(labels)]
    buttons += ['<button data-show="both">side by side</button>'] if len(labels) > 1 else []
    return f'<div class="grp" role="group" aria-label="View">{"".join(buttons)}</div>'


def _legend(graphs: list[Graph]) -> str:
    nodes = [node for graph in graphs for node in graph.nodes]
    kinds = {node.kind for node in nodes}
    swatches = [(word, f"{k}_fill", f"{k}_line", ";border-radius:4px") for k, word in LEAVES.items() if k in kinds]
    swatches += [(word, f"{role}bar", f"{role}line", "") for kind, (word, role) in BARS.items() if kind in kinds]
    swatches += [("saved for backward", "saved_fill", "saved_ink", "")] if any(node.saves for node in nodes) else []
    entries = [
        (w, "", f"background:var(--{fill});border-color:var(--{line}){more}") for w, fill, line, more in swatches
    ]
    entries.append(("forward", ' class="ln"', "border-color:var(--forward)"))
    backward = "backward, g = gradient of the op's output"
    entries.append((backward, ' class="ln"', "border-color:var(--gradient);border-style:dashed"))
    return "".join(f'<span><i{kind} style="{look}"></i>{word}</span>' for word, kind, look in entries)


# --------------------------------------------------------------------------------------------------------------
# The numbers


def _graph(label: str, graph: Graph) -> dict[str, Any]:
    forward = _ranks({n.id: n.forward for n in graph.nodes if n.op})
    shown = any(node.gradient is not None for node in graph.nodes)
    backward = _ranks({n.id: n.backward for n in graph.nodes if n.op and n.backward}) if shown else {}
    return {
        "label": clean(label),
        "roots": list(graph.roots),
        "notes": [clean(note) for note in graph.notes],
        "F": len(forward),
        "B": len(backward),
        "nodes": [_node(graph, node, forward, backward) for node in graph.nodes],
    }


def _ranks(order: dict[str, int]) -> dict[str, int]:
    return {name: k for k, name in enumerate(sorted(order, key=lambda n: order[n]), 1)}


def _node(graph: Graph, node: Node, forward: dict[str, int], backward: dict[str, int]) -> dict[str, Any]:
    # one for each input, empty where no gradient flows, so that a contribution finds its own
    rules = [f"{s.text}.grad += {s.local}" if s.local else "" for s in node.inputs if node.kind != "module"]
    plain = {
        "id": node.id,
        "name": clean(node.name),
        "kind": node.kind,
        "op": clean(node.op) + (f" x {node.times}" if node.times > 1 else ""),
        "expr": clean(node.expression),
        "formula": clean(node.formula) if node.formula and node.formula != node.expression else "",
        "inputs": [s.node for s in node.inputs],
        "rules": [clean(rule) for rule in rules] if any(rules) else [],
        "source": "\n".join(map(clean, node.rule.splitlines())),
        "where": " / ".join(clean(graph.scopes[s].name) for s in reversed(ancestors(graph, node.scope))),
        "line": f"{clean(node.line[0])}:{node.line[1]}" if node.line else "",
        "made_by": clean(node.made_by),
        "f": forward.get(node.id, 0),
        "b": backward.get(node.id, 0),
        "shape": shape(node.value.shape),
        "dtype": node.value.dtype,
        "bytes": size(node.value.nbytes),
        "value": _table(node.value),
        "grad": _table(node.gradient),
        "parts": [[c.consumer, c.position, _table(c.numbers)] for c in node.contributions],
        "keeps": [[clean(s.name), size(s.nbytes), _table(s.numbers)] for s in node.own_saves],
        "kept_by": list(node.kept_by),
    }
    # what says nothing is left out: half of the bytes of a large page
    return {key: value for key, value in plain.items() if value not in ("", [], None) or key in ("op", "f", "b")}


def _table(numbers: Numbers | None) -> dict[str, Any] | None:
    """The first rows and columns, and how many more there are."""
    if numbers is None:
        return None
    columns = numbers.shape[-1] if numbers.shape else 1
    rows = numbers.size // columns if columns else 0
    wide = min(columns, CORNER[1]) if numbers.size > WHOLE else columns  # of a row in the sample
    starts = [r * wide for r in range(min(rows, CORNER[0]))]
    plain: dict[str, Any] = {"v": [[_short(v) for v in numbers.sample[k : k + min(wide, CORNER[1])]] for k in starts]}
    more = {"rows": rows - CORNER[0], "cols": columns - CORNER[1], "scalar": int(numbers.shape == ())}
    return plain | {name: n for name, n in more.items() if n > 0}


def _short(v: float) -> float | int | str:
    if not math.isfinite(v):
        return str(v)
    short = float(f"{v:.6g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short
