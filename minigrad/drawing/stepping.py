"""`mg.page`: one offline HTML file that steps through forward and backward, for one graph or several side by side.

The SVG is drawn once in colours that stand for roles, and coloured by CSS variables: light, dark and print are one
picture. No request leaves the page (a strict Content-Security-Policy sees to it); names reach HTML only escaped.
"""

from __future__ import annotations

import html
import json
import math
import os
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from .._support.signatures import Values
from .cards import Style
from .collect import Drawable
from .data import CORNER, WHOLE, Graph, Node, Numbers
from .dot import Part, document
from .layout import ancestors
from .match import matches
from .picture import MOST, Picture, checked_detail, collected, write
from .renderer import render
from .theme import DARK, LIGHT, SENTINEL, Palette
from .views import view
from .words import clean, escaped, shape, size

ROLES = {colour: role for role, colour in SENTINEL.items()}


def page(
    graphs: Drawable | Picture | Mapping[str, Drawable | Picture],
    path: str | os.PathLike[str],
    *,
    gradient: Values = None,
    names: Any = None,
    title: str = "",
    depth: int | None = None,
    max_nodes: int = MOST,
    fold: bool | None = None,
) -> Path:
    """Write the interactive page of one graph or of several, and return its path.

    graphs: {"composed": y, "fused": z} (Tensors, sequences of them, Graphs or Drawings), or one of these alone. The
    page shows each of them and all side by side; a slider and the arrow keys step through forward, then backward; a
    click on a card shows its formula, rules, values, gradient and the contributions that sum to it. gradient,
    names, depth, max_nodes, fold: as in `mg.draw`. Needs a renderer (RendererNotFound says how to get one).
    """
    named = graphs if isinstance(graphs, Mapping) else {title or "graph": graphs}
    if not named:
        raise ValueError("page(graphs, path): there is no graph to show; pass {'name': tensor, ...}")
    data: dict[str, Graph] = {}
    for name, y in named.items():
        if isinstance(y, Picture):  # as it was drawn, with its own depth= and fold=
            drawn = y.graphs()
            data |= {str(name): drawn[label] for label in drawn} if len(drawn) == 1 else drawn
        else:
            whole = collected(y, gradient, names, max_nodes)
            data[str(name)] = view(whole, depth=depth, max_nodes=max_nodes, fold=fold, module=None)
    target = Path(path)
    return write(target, page_of(data, title=title).encode("utf-8", "replace"))


def page_of(graphs: Mapping[str, Graph], *, title: str = "") -> str:
    """The page as text."""
    labels = list(graphs)
    said = title or " and ".join(labels)
    figures = []
    for k, (label, graph) in enumerate(graphs.items()):
        caption = f"{graph.ops} op{'s' * (graph.ops != 1)} on the tape, {size(graph.saved_bytes)} saved for backward"
        figures.append(
            f'<figure data-g="{k}"><figcaption>{escaped(label)} <small>{escaped(caption)}</small></figcaption>'
            f"{_svg(graph, f'p{k}_', label)}</figure>"
        )
    data = {
        "graphs": [_graph(label, graph) for label, graph in graphs.items()],
        "matches": _matches(list(graphs.values())),
    }
    parts = {
        "TITLE": escaped(said),
        "LIGHT": _variables(LIGHT),
        "DARK": _variables(DARK),
        "ROLES": _role_rules(),
        "VIEWS": _buttons(labels),
        "LEGEND": _legend(list(graphs.values())),
        "FIGURES": "\n".join(figures),
        "DATA": _script_safe(json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)),
    }
    # one pass: what a user's name says is never looked at for further marks
    return re.sub(r"<!--@(\w+)-->|/\*@(\w+)\*/", lambda m: parts[m.group(1) or m.group(2)], _template())


class Frame:
    """A page inside a notebook cell: an iframe that holds all of it, so that nothing of it reaches the notebook."""

    def __init__(self, page: str, height: int) -> None:
        self.page, self.height = page, int(height)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        held = html.escape(self.page, quote=True)
        return f'<iframe srcdoc="{held}" style="width:100%;height:{self.height}px;border:0"></iframe>'


@cache
def _template() -> str:
    return resources.files(__package__).joinpath("stepping.html").read_text("utf-8")


def _script_safe(text: str) -> str:
    """JSON that cannot end the script element or open a comment in it."""
    marks = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return re.sub("[<>&\u2028\u2029]", lambda m: marks[m.group()], text)


# --------------------------------------------------------------------------------------------------------------
# The picture


def _svg(graph: Graph, prefix: str, label: str) -> str:
    """The drawing with classes in place of colours: f-<role> for fill, s-<role> for stroke."""
    style = Style(SENTINEL, checked_detail(None, len(graph)), True, False, prefix, graph.roots)
    dot = document([Part(graph, style)], SENTINEL, legend=False)
    svg = render(dot, "svg").decode("utf-8", "replace")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?|<title>.*?</title>\n?|<a [^>]*>\n?|</a>\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<(?:polygon|path|text|ellipse|polyline)\b[^>]*>", _classed, svg)
    found = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', svg)
    width, height = found.groups() if found else ("600", "400")
    head = f'<svg data-w="{width}" data-h="{height}" role="group" aria-label="{escaped(label).replace(chr(34), "")}"'
    return re.sub(r'<svg\s+width="[^"]*"\s+height="[^"]*"', lambda m: head, svg, count=1)


def _classed(found: re.Match[str]) -> str:
    tag = found.group()
    classes = []
    for attribute, letter in (("fill", "f"), ("stroke", "s")):
        colour = re.search(rf' {attribute}="(#fe0b[0-9a-f]{{2}})"', tag)
        if colour:
            tag = tag.replace(colour.group(), "")
            classes.append(f"{letter}-{ROLES[colour.group(1)]}")
    tag = re.sub(r' font-family="[^"]*"', "", tag)
    if not classes:
        return tag
    end = "/>" if tag.endswith("/>") else ">"
    return f'{tag[: -len(end)]} class="{" ".join(classes)}"{end}'


def _variables(colours: Palette) -> str:
    return "".join(f"--{role}:{colour};" for role, colour in colours.items())


def _role_rules() -> str:
    return "".join(f".f-{role}{{fill:var(--{role})}}.s-{role}{{stroke:var(--{role})}}" for role in LIGHT)


def _buttons(labels: list[str]) -> str:
    if len(labels) == 1:
        return ""
    buttons = [f'<button data-show="{k}">{escaped(label)}</button>' for k, label in enumerate(labels)]
    buttons.append('<button data-show="both">side by side</button>')
    return f'<div class="grp" role="group" aria-label="Graph">{"".join(buttons)}</div>'


def _legend(graphs: list[Graph]) -> str:
    kinds = {node.kind for graph in graphs for node in graph.nodes}
    entries = []
    for kind, word in (("input", "input"), ("parameter", "parameter"), ("constant", "constant")):
        if kind in kinds:
            entries.append((f"background:var(--{kind}_fill);border-color:var(--{kind}_line);border-radius:4px", word))
    for kind, role, word in (("op", "", "op"), ("fused", "fused_", "fused op"), ("module", "module_", "module")):
        if kind in kinds:
            entries.append((f"background:var(--{role}bar);border-color:var(--{role}line)", word))
    if any(node.saves for graph in graphs for node in graph.nodes):
        entries.append(("background:var(--saved_fill);border-color:var(--saved_ink)", "saved for backward"))
    said = [f'<span><i style="{look}"></i>{word}</span>' for look, word in entries]
    said.append('<span><i class="ln" style="border-color:var(--forward)"></i>forward</span>')
    said.append(
        '<span><i class="ln" style="border-color:var(--gradient);border-style:dashed"></i>'
        "backward, g = gradient of the op's output</span>"
    )
    return "".join(said)


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
    wide = min(columns, CORNER[1]) if numbers.size > WHOLE else columns
    sample = numbers.sample
    shown = min(columns, CORNER[1])
    values = [[_short(v) for v in sample[r * wide : r * wide + shown]] for r in range(min(rows, CORNER[0])) if columns]
    plain: dict[str, Any] = {"v": values}
    if rows > CORNER[0]:
        plain["rows"] = rows - CORNER[0]
    if columns > CORNER[1]:
        plain["cols"] = columns - CORNER[1]
    if numbers.shape == ():
        plain["scalar"] = 1
    return plain


def _short(v: float) -> float | int | str:
    if not math.isfinite(v):
        return str(v)
    short = float(f"{v:.6g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short


def _matches(graphs: list[Graph]) -> list[list[Any]]:
    """[graph, node, graph, node, words] for what the first graph shares with each of the others."""
    found: list[list[Any]] = []
    for k, other in enumerate(graphs[1:], 1):
        found += [[0, m.left, k, m.right, clean(m)] for m in matches(graphs[0], other)]
    return found
