"""Smaller views of a graph, plain data to plain data: one module alone, scopes collapsed to single cards."""

from __future__ import annotations

from dataclasses import replace

from .data import Graph, Node, Numbers, Saved, Slot
from .fold import folded
from .layout import ancestors
from .words import cut

CROWDED = 40  # cards; above it repeated blocks are folded unless fold=False


def refusal(nodes: int, most: int) -> str:
    """The error text for a graph that is too large to be looked at."""
    return (
        f"{nodes} ops are more than a picture can show (max_nodes={most}): collapse modules and scopes with depth=0, "
        "draw one part with module='name', draw an earlier result, or raise max_nodes="
    )


def view(graph: Graph, *, depth: int | None, max_nodes: int, fold: bool | None, module: str | None) -> Graph:
    """The graph as it will be drawn, or a ValueError that names the ways out where it stays too large."""
    if depth is not None and depth < 0:
        raise ValueError(f"depth={depth!r} must be 0 (each outermost scope is one card) or more")
    if max_nodes < 1:
        raise ValueError(f"max_nodes={max_nodes!r} must be at least 1")
    if module is not None:
        graph = part(graph, module)
    seen = graph if depth is None else collapsed(graph, depth)
    if fold or (fold is None and len(seen) > CROWDED):
        seen = folded(seen)
    if len(seen) <= max_nodes:
        return seen
    if depth is None:
        deepest = max((len(ancestors(graph, k)) for k in range(len(graph.scopes))), default=0)
        for level in reversed(range(min(deepest, 20))):
            seen = collapsed(graph, level)
            seen = seen if fold is False else folded(seen)
            if len(seen) <= max_nodes:
                return seen
    raise ValueError(refusal(len(seen), max_nodes))


def part(graph: Graph, name: str) -> Graph:
    """The ops recorded in scopes called `name`; what comes from outside is drawn as an input."""
    named = {k for k, scope in enumerate(graph.scopes) if scope.name == name}
    if not named:
        known = ", ".join(dict.fromkeys(scope.name for scope in graph.scopes)) or "none was recorded"
        raise ValueError(f"module={name!r}: there is no scope of that name; scopes: {cut(known, 300)}")
    inside = {n.id for n in graph.nodes if n.op and any(s in named for s in ancestors(graph, n.scope))}
    needed = {s.node for n in graph.nodes if n.id in inside for s in n.inputs if s.node is not None}
    used_outside = {s.node for n in graph.nodes if n.id not in inside for s in n.inputs} | set(graph.roots)
    used_inside = {s.node for n in graph.nodes if n.id in inside for s in n.inputs}
    nodes = []
    for node in graph.nodes:
        if node.id in inside:
            nodes.append(node)
        elif node.id in needed:
            nodes.append(node if not node.op else _as_input(node))
    roots = [n.id for n in nodes if n.op and (n.id in used_outside or n.id not in used_inside)]
    return Graph(tuple(nodes), tuple(roots), graph.scopes, graph.notes)


def _as_input(node: Node) -> Node:
    return Node(node.id, "input", node.name, node.value, gradient=node.gradient, needs=node.needs, named=node.named)


def collapsed(graph: Graph, depth: int) -> Graph:
    """Scopes deeper than `depth` as one card each, with what goes in, what comes out and what it keeps."""
    level = [len(ancestors(graph, k)) for k in range(len(graph.scopes))]  # 1 for an outermost scope

    def box(node: Node) -> int | None:
        """The scope that this op disappears in."""
        for scope in ancestors(graph, node.scope) if node.op else ():
            if level[scope] == depth + 1:
                return scope
        return None

    boxes = {node.id: box(node) for node in graph.nodes}
    members: dict[int, list[Node]] = {}
    for node in graph.nodes:
        scope = boxes[node.id]
        if scope is not None:
            members.setdefault(scope, []).append(node)
    if not members:
        return graph
    users: dict[str, set[int | None]] = {}
    for node in graph.nodes:
        for slot in node.inputs:
            if slot.node is not None:
                users.setdefault(slot.node, set()).add(boxes[node.id])
    own: dict[int, list[Node]] = {}  # parameters that only one box uses disappear in it
    for node in graph.nodes:
        if node.kind in ("parameter", "constant") and len(users.get(node.id, ())) == 1:
            (scope,) = users[node.id]
            if scope is not None:
                own.setdefault(scope, []).append(node)
    hidden = {node.id: scope for scope, nodes in own.items() for node in nodes}
    stands_for = {node.id: f"m{scope}" for scope, nodes in members.items() for node in nodes}
    nodes: list[Node] = []
    for node in graph.nodes:
        scope = boxes[node.id]
        if node.id in hidden or (scope is not None and members[scope][-1] is not node):
            continue
        if scope is not None:
            nodes.append(_module(graph, scope, members[scope], own.get(scope, []), stands_for, users))
            continue
        inputs = tuple(replace(s, node=stands_for.get(s.node, s.node)) if s.node else s for s in node.inputs)
        kept = tuple(dict.fromkeys(stands_for.get(k, k) for k in node.kept_by))
        parts = tuple(replace(c, consumer=stands_for.get(c.consumer, c.consumer)) for c in node.contributions)
        nodes.append(
            replace(
                node,
                inputs=inputs,
                kept_by=kept,
                contributions=parts,
                cause=stands_for.get(node.cause or "", node.cause),
            )
        )
    roots = tuple(dict.fromkeys(stands_for.get(root, root) for root in graph.roots))
    return Graph(tuple(nodes), roots, graph.scopes, graph.notes)


def _module(
    graph: Graph,
    scope: int,
    inside: list[Node],
    own: list[Node],
    stands_for: dict[str, str],
    users: dict[str, set[int | None]],
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
    results = [n for n in inside if n.id in graph.roots or users.get(n.id, set()) - {scope}]
    result = (results or inside)[-1]
    saves: dict[int, Saved] = {saved.storage: saved for node in inside for saved in node.saves}
    learned = [node for node in own if node.kind == "parameter"]
    said = f"{len(inside)} op{'s' * (len(inside) != 1)}"
    if learned:
        numbers = sum(node.value.size for node in learned)
        said += f", {len(learned)} parameter{'s' * (len(learned) != 1)} ({numbers:,} numbers)"
    outside = tuple(dict.fromkeys(stands_for.get(k, k) for k in result.kept_by if k not in gone))
    value: Numbers = result.value
    return Node(
        id=f"m{scope}",
        kind="module",
        name=result.name,
        value=value,
        op=graph.scopes[scope].name,
        expression=said,
        short=said,
        inputs=tuple(slots.values()),
        gradient=result.gradient,
        contributions=tuple(
            replace(c, consumer=stands_for.get(c.consumer, c.consumer))
            for c in result.contributions
            if c.consumer not in gone
        ),
        saves=tuple(saves.values()),
        kept_by=outside,
        scope=graph.scopes[scope].parent,
        forward=inside[0].forward,
        backward=inside[-1].backward,
        needs=any(node.needs for node in inside),
        named=result.named,
        cause=None,
        holds=tuple(node.id for node in inside),
    )
