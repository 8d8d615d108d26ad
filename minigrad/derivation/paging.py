"""A derivation as a page: an offline HTML file whose slider goes through the steps, the graphs before and after.

No request leaves the page (a strict Content-Security-Policy sees to it), and every word of it reaches the page as data,
never as HTML. `steps.html` is the rest of it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from ..drawing.stepping import script_safe
from ..drawing.svg import variables
from ..drawing.theme import DARK, LIGHT
from ..drawing.words import escaped, size
from .cost import Plan
from .layout import HIGH, layered
from .printing import bytes_kept, ending
from .search import Step
from .terms import REDUCTIONS, Term, split
from .text import END, MARK, Writer, identifiers

if TYPE_CHECKING:
    from .derivation import Derivation

LETTER = 7.3  # px of a letter of the mono font, as it is drawn
Marked = frozenset[tuple[Term | None, Term]]


def as_page(d: Derivation, title: str) -> str:
    """The page as text."""
    parts = {
        "TITLE": escaped(title),
        "LIGHT": variables(LIGHT),
        "DARK": variables(DARK),
        "DATA": script_safe(json.dumps(_data(d), ensure_ascii=False, separators=(",", ":"), allow_nan=False)),
    }
    template = resources.files(__package__).joinpath("steps.html").read_text("utf-8")
    return re.sub(r"<!--@(\w+)-->|/\*@(\w+)\*/", lambda m: parts[m.group(1) or m.group(2)], template)


def _data(d: Derivation) -> dict[str, Any]:
    graphs = [_Graph(step.roots) for step in d.steps]
    terms = list(dict.fromkeys(t for graph in graphs for t in graph.terms))  # in the order in which they come
    computed = [t for t in terms if t.op != "name"]
    taken = {t.name for t in terms if t.op == "name"} | set(d.labels)
    names = dict(zip(computed, identifiers([f"t{k}" for k in range(1, len(computed) + 1)], taken), strict=True))
    writer = d.writer()
    stands = {t: [k for k, graph in enumerate(graphs) if t in graph.terms] for t in terms}
    numbers = {t: k for k, t in enumerate(terms)}
    return {
        "forward": [[t.name, writer.definition(t)] for t in d.forward.values if t.name],
        "assumed": [f"{name} {form}" for name, form in d.assumed.items()],
        "nodes": [_node(d, t, writer, graphs, stands[t]) for t in terms],
        "steps": [_step(d, k, graphs, names, numbers) for k in range(len(d.steps))],
        "ending": ending(d).split("\n"),
    }


def is_constant(t: Term) -> bool:
    """Whether a term is a number or a length: written where it is used, and no box of its own."""
    return t.op in ("N", "number") or (t.op in ("product", "lin") and all(map(is_constant, t.args)))


class _Graph:
    """The terms of one step, inputs first; `boxes` are those that are drawn."""

    def __init__(self, roots: Iterable[Term]) -> None:
        self.roots = [r for r in roots if not is_constant(r)]
        order: dict[Term, None] = {}
        for root in self.roots:
            _visit(root, order)
        self.terms = order
        uses = Counter(a for t in order for a in t.args)
        self.boxes = [t for t in order if t in self.roots or not _folded(t, uses)]

    def inputs(self, t: Term) -> list[Term]:
        """The boxes that a box is computed from."""
        found: dict[Term, None] = {}
        for a in t.args:
            if not is_constant(a):
                found |= dict.fromkeys([a] if a in self.boxes else self.inputs(a))
        return list(found)


def _visit(root: Term, order: dict[Term, None]) -> None:
    stack = [(root, False)]
    while stack:
        t, done = stack.pop()
        if done:
            order[t] = None
        elif t not in order:
            stack.append((t, True))
            stack += [(a, False) for a in reversed(t.args) if not is_constant(a)]


def _folded(t: Term, uses: Mapping[Term, int]) -> bool:
    """Whether it stands inside what uses it: one value with a sign, a number or a length, that is used once."""
    alone = sum(not is_constant(a) for a in t.args) == 1
    return t.op != "name" and t.op not in REDUCTIONS and uses[t] == 1 and alone


def _node(d: Derivation, t: Term, writer: Writer, graphs: list[_Graph], stands: list[int]) -> dict[str, Any]:
    """What is told of a term: the formula, its axes, and in which steps it stands or something happens to it."""
    touched: dict[int, str] = {}
    for k in range(1, len(graphs)):
        before, after = graphs[k - 1].terms, graphs[k].terms
        changed = [u for u in (*before, *after) if (u in before) != (u in after)]
        if (t in before) != (t in after):
            touched[k] = "comes" if t in after else "goes"
        elif t in after and any(t in u.args for u in changed):
            touched[k] = "is used otherwise"
    axes = ", ".join(f"axis {k} ({d.forward.lengths[k]})" for k in sorted(t.axes))
    made = f"{t.name} = {writer.definition(t)}" if t.computed else ""
    return {
        "kind": "gradient"
        if t is d.forward.gradient
        else "forward"
        if t.computed
        else "input"
        if t.op == "name"
        else "",
        "whole": made or writer(t),
        "axes": f"depends on {axes}" if axes else "one number",
        "stands": stands,
        "touched": [[k, what] for k, what in touched.items()],
    }


def _step(
    d: Derivation, k: int, graphs: list[_Graph], names: Mapping[Term, str], numbers: Mapping[Term, int]
) -> dict[str, Any]:
    step, graph = d.steps[k], graphs[k]
    before = d.steps[k - 1].roots if k else step.roots
    left, right, writer = d.writer(), d.writer(), _named(d, graph, step, names)
    equations = []
    for label, old, new in zip(d.labels, before, step.roots, strict=True):
        if k == 0 or old is not new:
            gone, come = differing(old, new)
            left.marked, right.marked = frozenset(gone), frozenset(come)
            equations.append([label, _segments(left(old)) if k else [], _segments(right(new))])
    labels = {t: name for t, name in writer.names.items() if t in graph.roots}
    boxes = {t: [labels.get(t) or names.get(t) or t.name, writer(t) if t.op != "name" else ""] for t in graph.boxes}
    said = {t: [head, "" if body == head else body] for t, (head, body) in boxes.items()}
    widths = {t: max(map(len, said[t])) * LETTER + 18 for t in graph.boxes}
    edges = [(a, t) for t in graph.boxes for a in graph.inputs(t)]
    drawn = layered(widths, edges)
    return {
        "name": step.name,
        "why": step.why,
        "equations": equations,
        "boxes": [
            [numbers[t], *said[t], round(drawn.places[t][0]), round(drawn.places[t][1]), round(widths[t])]
            for t in graph.boxes
        ],
        "edges": [
            [numbers[a], numbers[t], [[round(x), round(y)] for x, y in way]]
            for (a, t), way in zip(edges, drawn.routes, strict=True)
        ],
        "size": [round(drawn.width), round(drawn.height), HIGH],
        "ops": step.cost.ops,
        "passes": step.cost.passes,
        "bytes": bytes_kept(d, step),
        "kept": [size(bytes_kept(d, step)), ", ".join(sorted(t.name for t in Plan(step.roots).saved()))],
        "error": max(step.digits, default=0.0) if math.isfinite(max(step.digits, default=0.0)) else None,
        "checked": _checked(step) if k else "as it was recorded",
    }


def _named(d: Derivation, graph: _Graph, step: Step, names: Mapping[Term, str]) -> Writer:
    """What writes a box: other boxes by name, and results by the name of the gradient that they are."""
    writer = d.writer()
    results = dict[Term, str]()
    for label, root in zip(d.labels, step.roots, strict=True):
        results[root] = f"{results[root]}, {label}" if root in results else label
    writer.names = {t: results.get(t) or names.get(t) or t.name for t in graph.boxes}
    return writer


def _checked(step: Step) -> str:
    floats = f"largest difference in float64: {step.difference:.0e}"
    if step.points:
        return f"checked exactly, at {step.points} points modulo 2^31 - 1; {floats}"
    return f"checked in float64 alone, as it holds for this function only; {floats}"


def _segments(text: str) -> list[list[Any]]:
    """[text, 1 where it is marked else 0] of each piece."""
    found, depth = [], 0
    for piece in re.split(f"([{MARK}{END}])", text):
        if piece in (MARK, END):
            depth += 1 if piece == MARK else -1
        elif piece:
            found.append([piece, int(depth > 0)])
    return found


def differing(a: Term, b: Term, inside: tuple[Term | None, Term | None] = (None, None)) -> tuple[set[Any], set[Any]]:
    """The smallest parts in which two formulas differ, as (what it is part of, the part): of a, and of b."""
    if a is b:
        return set(), set()
    left, right = _parts(a), _parts(b)
    same = a.op == b.op and (a.op == "lin" or (split(a)[0] == split(b)[0] if a.op == "product" else a.par == b.par))
    if not same or not left or not right:
        return {(inside[0], a)}, {(inside[1], b)}
    gone = [(t, k) for t, k in left if (t, k) not in right]
    come = [(t, k) for t, k in right if (t, k) not in left]
    less, more = set[Any](), set[Any]()
    for t, k in gone:  # what became what: the part that is most like it, where there is one
        alike = {u: len({*_parts(t)} & {*_parts(u)}) for u, e in come if e == k and u.op == t.op}
        twin = max(alike, key=alike.__getitem__, default=None)
        if twin is None or (len(gone) > 1 and not alike[twin]):
            less.add((a, t))
            continue
        come.remove((twin, k))
        inner = differing(t, twin, (a, b))
        less, more = less | inner[0], more | inner[1]
    return less, more | {(b, t) for t, _ in come}


def _parts(t: Term) -> list[tuple[Term, Any]]:
    """The arguments of a term, each with what goes with it: exponent, coefficient, or place. None of a name."""
    at = {"product": t.par[1], "lin": t.par}[t.op] if t.op in ("product", "lin") else range(len(t.args))
    return list(zip(t.args, at, strict=True)) if t.op != "name" else []
