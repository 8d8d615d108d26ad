"""Smaller views of a graph, plain data to plain data: one module alone, scopes collapsed to single cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..program.formulas import SHAPE_ONLY
from ..program.words import cut
from .data import Graph, Node, Saved, Slot
from .fold import folded
from .layout import ancestors, start
from .options import Options
from .words import plural

CROWDED = 40  # cards; above it repeated blocks are folded unless fold=False


def refusal(nodes: int, most: int) -> str:
    """The error text for a graph that is too large to be looked at."""
    return (
        f"{nodes} ops are more than a picture can show (max_nodes={most}): collapse modules and scopes with depth=0, "
        "draw one part with module='name', draw an earlier result, or raise max_nodes="
    )


def view(graph: Graph, options: Options) -> Graph:
    """The graph as it will be drawn, or a ValueError that names the ways out where it stays too large."""
    if options.module is not None:
        graph = part(graph, options.module)
    graph = without_shapes(graph)
    seen = graph if options.depth is None else collapsed(graph, options.depth)
    if options.fold or (options.fold is None and len(seen) > CROWDED):
        seen = folded(seen)
    if len(seen) > options.max_nodes and options.depth is None:
        deepest = max((len(ancestors(graph, k)) for k in range(len(graph.scopes))), default=0)
        for level in reversed(range(min(deepest, 20))):
            seen = collapsed(graph, level)
            seen = seen if options.fold is False else folded(seen)
            if len(seen) <= options.max_nodes:
                break
    if len(seen) > options.max_nodes:
        raise ValueError(refusal(len(seen), options.max_nodes))
    return seen


def without_shapes(graph: Graph) -> Graph:
    """A recorded backward pass without the ops that only give something another shape: they keep its name."""
    gone = {
        n.id: n.inputs[0].node or ""
        for n in graph.nodes
        if n.made_by and n.op in SHAPE_ONLY and n.inputs[0].node and n.id not in graph.roots
    }
    for name in gone:
        while gone[name] in gone:
            gone[name] = gone[gone[name]]
    kept = tuple([node.renamed(gone) for node in graph.nodes if node.id not in gone])
    return replace(graph, nodes=kept) if gone else graph


def part(graph: Graph, name: str) -> Graph:
    """The ops recorded in scopes called `name`; what comes from outside is drawn as an input."""
    named = {k for k, scope in enumerate(graph.scopes) if scope.name == name}
    if not named:
        known = ", ".join(dict.fromkeys(scope.name for scope in graph.scopes)) or "none was recorded"
        raise ValueError(f"module={name!r}: there is no scope of that name; scopes: {cut(known, 300)}")
    inside = {n.id for n in graph.nodes if n.op and not named.isdisjoint(ancestors(graph, n.scope))}
    nodes = []
    roots = []
    for node in graph.nodes:
        users = {user.id for user in graph.users.get(node.id, ())}
        if node.id in inside:
            nodes.append(node)
            if node.id in graph.roots or not users or users - inside:
                roots.append(node.id)
        elif users & inside:
            about: dict[str, Any] = {"gradient": node.gradient, "needs": node.needs, "named": node.named}
            nodes.append(Node(node.id, "input", node.name, node.value, **about) if node.op else node)
    return Graph(tuple(nodes), tuple(roots), graph.scopes, graph.notes)


def collapsed(graph: Graph, depth: int) -> Graph:
    """Scopes deeper than `depth` as one card each, with what goes in, what comes out and what it keeps."""
    boxes: dict[str, int] = {}  # op: the scope that it disappears in
    members: dict[int, list[Node]] = {}
    for node in graph.nodes:
        around = ancestors(graph, node.scope) if node.op else []
        if len(around) > depth:
            boxes[node.id] = around[-1 - depth]
            members.setdefault(boxes[node.id], []).append(node)
    if not members:
        return graph
    first = start(graph)
    own: dict[int, list[Node]] = {}  # parameters that only one box uses disappear in it
    for node in graph.nodes:
        users = {boxes.get(user.id) for user in graph.users.get(node.id, ())}
        only = users.pop() if len(users) == 1 else None
        inner = node.kind in ("parameter", "buffer", "leaf") or (node.kind == "data" and not node.named)
        if only is not None and inner and node.id != first:
            own.setdefault(only, []).append(node)
    hidden = {node.id for nodes in own.values() for node in nodes}
    stands_for = {node.id: f"m{scope}" for scope, nodes in members.items() for node in nodes}
    nodes: list[Node] = []
    for node in graph.nodes:
        scope = boxes.get(node.id)
        if scope is None and node.id not in hidden:
            nodes.append(node.renamed(stands_for))
        elif scope is not None and members[scope][-1] is node:
            nodes.append(_module(graph, scope, members[scope], own.get(scope, []), stands_for))
    roots = tuple(dict.fromkeys(stands_for.get(root, root) for root in graph.roots))
    return Graph(tuple(nodes), roots, graph.scopes, graph.notes)


def _module(
    graph: Graph, scope: int, inside: Sequence[Node], own: Sequence[Node], stands_for: Mapping[str, str]
) -> Node:
    """The one card for all ops of a scope."""
    gone = {node.id for node in (*inside, *own)}
    slots: dict[str, Slot] = {}
    for node in inside:
        for slot in node.inputs:
            if slot.node is None or slot.node in gone:
                continue
            source = stands_for.get(slot.node, slot.node)
            sends = f"d_{slot.text}" if slot.local or (source in slots and slots[source].local) else ""
            slots[source] = Slot(slot.text, source, local=sends)
    seen_outside = [
        n for n in inside if n.id in graph.roots or any(user.id not in gone for user in graph.users.get(n.id, ()))
    ]
    result = (seen_outside or inside)[-1]
    saves: dict[int, Saved] = {saved.storage: saved for node in inside for saved in node.saves}
    learned = [node for node in own if node.needs]
    said = plural(len(inside), "op")
    if learned:
        said += f", {plural(len(learned), 'parameter')} ({sum(node.value.size for node in learned):,} numbers)"
    shown = replace(
        result,
        kept_by=tuple([k for k in result.kept_by if k not in gone]),
        contributions=tuple([c for c in result.contributions if c.consumer not in gone]),
    ).renamed(stands_for)
    return Node(
        id=f"m{scope}",
        kind="module",
        name=result.name,
        value=result.value,
        op=graph.scopes[scope].name,
        expression=said,
        short=said,
        inputs=tuple(slots.values()),
        gradient=result.gradient,
        contributions=shown.contributions,
        saves=tuple(saves.values()),
        kept_by=shown.kept_by,
        scope=graph.scopes[scope].parent,
        forward=inside[0].forward,
        backward=inside[-1].backward,
        needs=any(node.needs for node in inside),
        named=result.named,
        holds=tuple([node.id for node in inside]),
    )
