"""Repeated blocks drawn once: eleven equal layers become one with "x 11".

What counts as equal is strict: the same ops on the same shapes with the same constants, wired the same way, each
block fed by the one before it. Nothing is folded that would hide a skip connection.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from .data import Graph, Node, Scope
from .layout import ancestors

FEWEST = 3  # equal blocks in a row
LONGEST = 24  # items in a block that are looked for
LONG = 500  # items in a row; a shorter one is also looked at from its second block on, where the first is different
WORK = 100_000  # nodes looked at in all; what is not folded by then stays as it is

_NUMBER = re.compile(r"\d+")

Item = tuple[int | None, list[Node]]  # a scope and the ops in it, or None and one op on its own


def folded(graph: Graph) -> Graph:
    """The graph with each run of equal blocks drawn once."""
    if any(node.made_by for node in graph.nodes):
        return graph  # backward nodes refer to forward ones: nothing there repeats without its context
    waiting: list[int | None] = [None]
    budget = [WORK]
    while waiting:
        parent = waiting.pop(0)
        while budget[0] > 0:
            smaller = _fold_once(graph, parent, budget)
            if smaller is None:
                break
            graph = smaller
        seen = dict.fromkeys(s for node in graph.nodes for s in reversed(ancestors(graph, node.scope)))
        waiting += [scope for scope in seen if graph.scopes[scope].parent == parent]
    return graph


def _fold_once(graph: Graph, parent: int | None, budget: list[int]) -> Graph | None:
    items = _items(graph, parent)
    budget[0] -= len(graph)
    if len(items) < FEWEST:
        return None
    runs = _runs(_outlines(graph, items))
    for _, _, start, period, times in sorted(runs, reverse=True)[:50]:
        if budget[0] <= 0:
            break
        budget[0] -= len(graph)
        blocks = [items[-start - k * period : -start - (k + 1) * period] for k in range(times)]
        done = _Row(graph, blocks).merged(parent)
        if done is not None:
            return done
    return None


Run = tuple[int, bool, int, int, int]  # items covered, begins as the row does, -where, -period, times


def _runs(outline: list[tuple[object, ...]]) -> list[Run]:
    """Where blocks that look alike follow each other."""
    runs: list[Run] = []
    last = dict.fromkeys(range(1, LONGEST + 1), (0, 0))  # the run of each period that was found last
    for start in range(len(outline)):
        for period in range(1, min(LONGEST, (len(outline) - start) // FEWEST) + 1):
            begun, end = last[period]
            if begun + period <= start < end - period and end - begun > LONG:
                continue  # inside a long run, a whole block later: nothing new that would be worth the time
            block = outline[start : start + period]
            times = 1
            while outline[start + times * period : start + (times + 1) * period] == block:
                times += 1
            if times >= FEWEST:
                last[period] = (begun if begun <= start < end else start, start + times * period)
                runs.append((times * period, block[0][0] == outline[0][0], -start, -period, times))
    return runs


def _items(graph: Graph, parent: int | None) -> list[Item]:
    """The scopes and single ops that lie directly in `parent`, in the order of execution."""
    depth = len(ancestors(graph, parent))
    found: dict[object, Item] = {}
    for node in graph.nodes:
        around = ancestors(graph, node.scope)[::-1]
        if node.op and (parent is None or around[depth - 1 : depth] == [parent]):
            inner = around[depth] if len(around) > depth else None
            found.setdefault(node.id if inner is None else inner, (inner, []))[1].append(node)
    return list(found.values())


def _outlines(graph: Graph, items: list[Item]) -> list[tuple[object, ...]]:
    """What must be equal at first sight; the wiring is compared afterwards."""

    def about(node: Node) -> tuple[object, ...]:
        # a collapsed module's words tell its parameters; an op's kind is enough
        kind = node.short if node.kind == "module" else node.kind
        return node.op, kind, node.value.shape, node.value.dtype, node.times, len(node.inputs)

    return [
        (_NUMBER.sub("#", graph.scopes[scope].name) if scope is not None else None, *(about(node) for node in nodes))
        for scope, nodes in items
    ]


Wire = tuple[object, ...]


class _Row:
    """Blocks that look alike, one after the other."""

    def __init__(self, graph: Graph, blocks: list[list[Item]]) -> None:
        self.graph, self.blocks = graph, blocks
        self.nodes = [[node for _, nodes in block for node in nodes] for block in blocks]
        self.place = {node.id: (k, j) for k, nodes in enumerate(self.nodes) for j, node in enumerate(nodes)}

    def block_of(self, name: str) -> int | None:
        return self.place[name][0] if name in self.place else None

    def owner(self, name: str) -> int | None:
        """The one block that uses a leaf, or None: it is no leaf, or others use it too."""
        blocks = {self.block_of(user.id) for user in self.graph.users.get(name, ())}
        return blocks.pop() if len(blocks) == 1 and not self.graph[name].op else None

    def wires(self, k: int) -> list[Wire]:
        """Every input of every op of block k: from inside, from the block before, a leaf of its own, or elsewhere."""
        found: list[Wire] = []
        for node in self.nodes[k]:
            for slot in node.inputs:
                if slot.node is None:
                    found.append(("constant", slot.text))
                elif self.block_of(slot.node) == k:
                    found.append(("inside", self.place[slot.node][1]))
                elif k and self.block_of(slot.node) == k - 1:
                    found.append(("before", self.place[slot.node][1]))
                elif self.owner(slot.node) == k:
                    leaf = self.graph[slot.node]
                    found.append(("leaf", leaf.kind, leaf.value.shape))
                else:
                    found.append(("elsewhere", slot.node))
        return found

    def alike(self) -> bool:
        first, second = self.wires(0), self.wires(1)
        if any(self.wires(k) != second for k in range(2, len(self.blocks))):
            return False
        # the first block is fed from outside where the others are fed by the one before
        fed = all(a == b or (b[0] == "before" and a[0] != "inside") for a, b in zip(first, second, strict=True))
        return fed and not any(self._looked_into(name, k) for name, (k, _) in self.place.items())

    def _looked_into(self, name: str, k: int) -> bool:
        """Whether an op of block k is used elsewhere than in it and the next one; of the last block all may be."""
        users = self.graph.users.get(name, ())
        inner = name not in self.graph.roots and all(self.block_of(user.id) in (k, k + 1) for user in users)
        return k != len(self.blocks) - 1 and not inner

    def merged(self, parent: int | None) -> Graph | None:
        if not self.alike():
            return None
        graph, times = self.graph, len(self.blocks)
        slots = [slot for node in self.nodes[0] for slot in node.inputs]
        feeding = {slot.node for slot, wire in zip(slots, self.wires(1), strict=True) if wire[0] == "before"}
        scopes, home = self._scopes(parent)
        same = {name: self.nodes[0][j].id for name, (_, j) in self.place.items()}
        nodes = []
        for node in graph.nodes:
            block = self.block_of(node.id) if node.op else self.owner(node.id)
            if block:  # a later block, or a leaf of its own
                continue
            node = node.renamed(same)
            if block is None:
                nodes.append(node)
            elif node.op:
                nodes.append(self._repeated(node, home if node.scope == parent else node.scope))
            elif node.id in feeding:
                nodes.append(node)
            else:
                last = self._last_leaf(node)
                nodes.append(replace(node, times=node.times * times, name=span(node.name, last.name)))
        roots = tuple(dict.fromkeys([same.get(root, root) for root in graph.roots]))
        return Graph(tuple(nodes), roots, scopes, graph.notes)

    def _repeated(self, node: Node, scope: int | None) -> Node:
        """One op for all of its copies, with where it is fed from, what it keeps, and how large each was."""
        place = self.place[node.id][1]
        copies = [nodes[place] for nodes in self.nodes]
        slots = zip(node.inputs, *(copies[k].inputs for k in (1, -1)), strict=True)
        inputs = [
            replace(
                first,
                text=span(first.text, last.text),
                again=second.node if self.block_of(second.node or "") == 0 else first.again,
            )
            for first, second, last in slots
        ]
        return replace(
            node,
            name=span(node.name, copies[-1].name) if node.named else node.name,
            inputs=tuple(inputs),
            times=node.times * len(copies),
            scope=scope,
            saves=tuple([saved for copy in copies for saved in copy.saves]),
            repeats=tuple([r for copy in copies for r in copy.repeats or (_size(copy),)]),
        )

    def _last_leaf(self, leaf: Node) -> Node:
        """The leaf of the last block that stands where this one does in the first."""
        for first, last in zip(self.nodes[0], self.nodes[-1], strict=True):
            for a, b in zip(first.inputs, last.inputs, strict=True):
                if a.node == leaf.id and b.node is not None:
                    return self.graph[b.node]
        return leaf

    def _scopes(self, parent: int | None) -> tuple[tuple[Scope, ...], int | None]:
        """The scopes with "x times" on the block's own, or on a new one around its several items."""
        scopes = list(self.graph.scopes)
        times = len(self.blocks)
        own = [scope for scope, _ in self.blocks[0] if scope is not None]
        if len(self.blocks[0]) == 1:
            last = self.blocks[-1][0][0]
            for scope in own:
                name = span(scopes[scope].name, scopes[last].name if last is not None else "")
                scopes[scope] = replace(scopes[scope], name=name, times=scopes[scope].times * times)
            return tuple(scopes), parent
        scopes.append(Scope("block", parent, times))
        for scope in own:
            scopes[scope] = replace(scopes[scope], parent=len(scopes) - 1)
        return tuple(scopes), len(scopes) - 1


def _size(node: Node) -> tuple[float, float]:
    return node.value.rms, math.nan if node.gradient is None else node.gradient.rms


def span(first: str, last: str) -> str:
    """Two names as one: where they differ in one number, from this to that.

    >>> span("layers.3.weight", "layers.30.weight"), span("h0", "h19"), span("x", "t58"), span("w", "w")
    ('layers.3..30.weight', 'h0..19', 'x .. t58', 'w')
    """
    if first == last or not last:
        return first
    parts = [re.split(r"(\d+)", name) for name in (first, last)]
    apart = [k for k, (a, b) in enumerate(zip(*parts, strict=False)) if a != b]
    if len(parts[0]) == len(parts[1]) and len(apart) == 1 and apart[0] % 2:
        (k,) = apart
        return "".join([*parts[0][:k], f"{parts[0][k]}..{parts[1][k]}", *parts[0][k + 1 :]])
    return f"{first} .. {last}"
