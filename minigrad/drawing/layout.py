"""What makes a picture readable before it is laid out: the spine, the slots, and where leaves are drawn.

Knows plain data alone; every layout, Graphviz's or our own, may ask.
"""

from __future__ import annotations

from .data import Graph, Node, Scope

NEAR = 2  # steps of the tape that an edge may span where all ops stand below each other
BUSY = 3  # ops that a leaf has edges to; one that more ops use is named at each of them
CROSSED = 600  # ranks that all edges together may cross; the time that a layout takes grows with their square


def spine(graph: Graph) -> dict[str, int]:
    """Ids on a longest path from a leaf to the last root, numbered along it: drawn as one straight column.

    Where two paths are equally long the first input wins, so that the data and not the parameter leads.
    """
    best: dict[str, tuple[int, str | None]] = {}
    for node in graph.nodes:
        longest: tuple[int, str | None] = (0, None)
        for slot in node.inputs:
            if slot.node in best:
                steps = best[slot.node][0] + 1
                if steps > longest[0]:
                    longest = (steps, slot.node)
        best[node.id] = longest
    path = []
    at: str | None = graph.roots[-1]
    while at is not None:
        path.append(at)
        at = best[at][1]
    return {name: k for k, name in enumerate(reversed(path))}


def follows(source: str | None, node: Node, path: dict[str, int]) -> bool:
    """Whether the edge source -> node is part of the spine."""
    return source in path and node.id in path and path[source] + 1 == path[node.id]


def slots_of(node: Node) -> list[int]:
    """Positions of the inputs that have a card of their own, in the order of the arguments."""
    return [k for k, slot in enumerate(node.inputs) if slot.node is not None]


def start(graph: Graph) -> str:
    """The leaf that the longest path starts from: what goes in, where the other leaves belong to the ops they feed."""
    return next(iter(spine(graph)))


def owners(graph: Graph) -> dict[str, str]:
    """For each node the root that it is drawn above: the last of those that are computed from it."""
    found: dict[str, str] = {}
    for root in dict.fromkeys(reversed(graph.roots)):
        waiting = [root]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = root
                waiting += [slot.node for slot in graph[name].inputs if slot.node is not None]
    return found


def chips(graph: Graph, narrow: int) -> set[tuple[str, int]]:
    """(id, position) of the inputs that are told by name in their slot, without an edge across the picture.

    Those that come from a leaf which many ops use, or from the forward pass into a recorded backward pass; where room
    is short, also those between the parts of several roots; where it is very short all but the nearest. Where edges
    cross very many ranks, as of skips in a deep network, the longest: they could not be followed by eye either.
    """
    owner = owners(graph) if narrow == 2 else {}
    order = {node.id: k for k, node in enumerate(node for node in graph.nodes if node.op)}
    users = {name: len({n.id for n in found}) for name, found in graph.users.items()}

    def named(node: Node, source: Node) -> bool:
        back = node.made_by and not source.made_by and (source.op or users[source.id] > 1)
        busy = not source.op and users[source.id] > BUSY
        if narrow == 3:  # one below the other
            return order[node.id] - order.get(source.id, -NEAR) > NEAR
        return bool(back) or busy or owner.get(source.id) != owner.get(node.id)

    inputs = ((node, k, slot.node) for node in graph.nodes for k, slot in enumerate(node.inputs))
    found = {(node.id, k) for node, k, source in inputs if source is not None and named(node, graph[source])}
    crossed = sorted((ranks, place) for place, ranks in _crossed(graph).items() if place not in found)
    total = sum(ranks for ranks, _ in crossed)
    while total > CROSSED:
        ranks, place = crossed.pop()
        total -= ranks
        found.add(place)
    return found


def _crossed(graph: Graph) -> dict[tuple[str, int], int]:
    """(id, position) of each input, and how many ranks its edge crosses; a leaf stands right above its first op."""
    rank: dict[str, int] = {}
    for node in graph.nodes:
        if node.op:
            rank[node.id] = 1 + max([rank.get(s.node, 0) for s in node.inputs if s.node is not None], default=0)
    for node in graph.nodes:
        if not node.op:
            rank[node.id] = min([rank[user.id] for user in graph.users.get(node.id, ())], default=1) - 1
    edges = ((node, k, slot.node) for node in graph.nodes for k, slot in enumerate(node.inputs))
    return {(node.id, k): rank[node.id] - rank[source] - 1 for node, k, source in edges if source is not None}


def homes(graph: Graph) -> dict[str, int | None]:
    """The scope that each leaf is drawn in: beside the ops that use it, in their module but not in a scope inside it.

    A module's scope carries a class name (BatchNorm1d), a step inside it a small one (statistics). What goes in stays
    outside: it comes from elsewhere.
    """
    first = start(graph)
    found: dict[str, int | None] = {}
    for node in graph.nodes:
        if node.op:
            found[node.id] = node.scope
            continue
        around = [ancestors(graph, user.scope) for user in graph.users.get(node.id, ())] or [[]]
        common = (scope for scope in around[0] if all(scope in others for others in around))
        at = None if node.kind == "input" or node.id == first else next(common, None)
        while at is not None and not is_module(graph.scopes[at]):
            at = graph.scopes[at].parent
        found[node.id] = at
    return found


def entering(graph: Graph, node: Node, home: dict[str, int | None]) -> set[str]:
    """Inputs of an op that come from outside the module in which its parameters are drawn.

    Their edges are made two ranks long: the parameters stand one rank above the op, and a card outside on that rank
    would push the whole module aside, so that a net becomes a staircase.
    """
    own = [home[s.node] for s in node.inputs if s.node is not None and not graph[s.node].op]
    modules = {scope for scope in own if scope is not None}
    if not modules or not node.op:
        return set()
    sources = [s.node for s in node.inputs if s.node is not None]
    return {name for name in sources if not modules <= set(ancestors(graph, home[name]))}


def is_module(scope: Scope) -> bool:
    """Whether the scope is a module's (a class name) or a folded block, and not a step inside one."""
    return scope.name[:1].isupper() or scope.times > 1


def ancestors(graph: Graph, scope: int | None) -> list[int]:
    """The scope and those around it, innermost first."""
    found = []
    while scope is not None:
        found.append(scope)
        scope = graph.scopes[scope].parent
    return found
