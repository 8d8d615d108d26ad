"""One picture for each step, forward and then backward, all of the same size: for slides.

The SVG is drawn once; in each step what is not there yet is pale, and the op that runs has a ring. Knows SVG text and
plain data.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from .data import Graph, Node
from .theme import Palette

PALE = 'opacity="0.15"'
_GROUP = re.compile(r'<g id="((?:n|f|b|r)-[^"]+)" class="(?:node|edge)[^"]*">\n.*?</g>\n', re.DOTALL)


def steps(graph: Graph) -> tuple[list[Node], list[Node]]:
    """The ops in the order of the forward pass, and in that of the backward pass."""
    ops = [node for node in graph.nodes if node.op]
    shown = any(node.gradient is not None for node in graph.nodes)
    back = [node for node in ops if node.backward] if shown else []
    return sorted(ops, key=lambda n: n.forward), sorted(back, key=lambda n: n.backward)


def frames_of(svg: str, graph: Graph, colours: Palette) -> Iterator[str]:
    """The pictures: first the leaves alone, then one for each op forward and each op backward."""
    svg = re.sub(r'<g id="a_[^"]*"><a [^>]*>\n(.*?)</a>\n</g>\n', r"\1", svg, flags=re.DOTALL)  # without tooltips
    svg = re.sub(r'\sid="[^"]*"', lambda found: html.unescape(found.group()), svg)
    forward, backward = steps(graph)
    for t in range(len(forward) + len(backward) + 1):
        done = {node.id for node in forward[:t]}
        sent = {node.id for node in backward[: max(0, t - len(forward))]}
        active = (forward + backward)[t - 1].id if t else ""
        whole = {
            node.id
            for node in graph.nodes
            if t >= len(forward) and all(u.id in sent or not u.backward for u in graph.users.get(node.id, ()))
        }
        yield _GROUP.sub(lambda found: _drawn(found, graph, done, sent, whole, active, colours), svg)  # noqa: B023


def _drawn(
    found: re.Match[str], graph: Graph, done: set[str], sent: set[str], whole: set[str], active: str, c: Palette
) -> str:
    """A card or an edge as it looks at one step."""
    text, (kind, _, rest) = found.group(), found.group(1).partition("-")
    if kind != "n":
        ends = rest.rpartition("-")[0].split("-") if kind in "fb" else rest.split("-")
        there = ends[-1] in (sent if kind == "b" else done)
        return text if there else text.replace("<g ", f"<g {PALE} ", 1)
    node = graph[rest]
    if node.id not in whole:
        text = re.sub(r"<text[^>]*>grad[^<]*</text>\n", "", text)
    if node.op and node.id not in done:
        return text.replace("<g ", f"<g {PALE} ", 1)
    return text if node.id != active else text[: text.rindex("</g>")] + _ring(text, c) + "</g>\n"


def _ring(card: str, c: Palette) -> str:
    """A thick line around a card."""
    points = re.findall(r"(-?[\d.]+),(-?[\d.]+)", " ".join(re.findall(r'(?:points|d)="([^"]*)"', card)))
    xs, ys = ([float(p[k]) for p in points] for k in (0, 1))
    size = f'width="{max(xs) - min(xs) + 8:.1f}" height="{max(ys) - min(ys) + 8:.1f}"'
    look = f'fill="none" stroke="{c["active"]}" stroke-width="4" rx="6"'
    return f'<rect x="{min(xs) - 4:.1f}" y="{min(ys) - 4:.1f}" {size} {look}/>\n'
