"""Where the boxes of a small graph stand: in layers from top to bottom, with edges that bend around what is between.

Layers by longest paths, their order by barycenters (Sugiyama, Tagawa and Toda 1981), places by least squares. Knows
boxes and edges; nothing of terms.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, TypeAlias

Place: TypeAlias = tuple[float, float]

ROW, HIGH, GAP = 78.0, 40.0, 16.0  # px from layer to layer; height of a box; between two boxes
BEND = 10.0  # px that an edge takes where it passes a layer


@dataclass(frozen=True)
class Layout:
    """The middle of each box, the points of each edge, and the size of the whole, in px."""

    places: dict[Any, Place]
    routes: list[list[Place]]
    width: float
    height: float


def layered(widths: Mapping[Any, float], edges: Sequence[tuple[Any, Any]]) -> Layout:
    """Places for boxes of these widths, given in an order in which every edge goes from an earlier to a later one."""
    rank = _ranks(list(widths), edges)
    layers: list[list[Hashable]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for v in widths:
        layers[rank[v]].append(v)
    wide, ways, links = dict(widths), [], list[tuple[Any, Any]]()
    for k, (a, b) in enumerate(edges):
        bends = [("bend", k, r) for r in range(rank[a] + 1, rank[b])]
        for bend in bends:
            layers[bend[2]].append(bend)
            wide[bend] = BEND
        ways.append([a, *bends, b])
        links += pairwise(ways[-1])
    layers = _ordered(layers, links)
    x = _placed(layers, links, wide)
    left = min([x[v] - wide[v] / 2 for v in x], default=0)
    right = max([x[v] + wide[v] / 2 for v in x], default=0)
    places = {v: (x[v] - left + GAP, rank[v] * ROW + HIGH / 2 + GAP) for v in widths}
    routes = [_route(way, x, places, left) for way in ways]
    _spread(routes, ways, wide)
    return Layout(places, routes, right - left + 2 * GAP, (len(layers) - 1) * ROW + HIGH + 2 * GAP)


def _ranks(nodes: list[Any], edges: Sequence[tuple[Any, Any]]) -> dict[Any, int]:
    """The layer of each; what nothing leads to stands right above the first that needs it."""
    rank = dict.fromkeys(nodes, 0)
    into: dict[Any, list[Any]] = {v: [] for v in nodes}
    out: dict[Any, list[Any]] = {v: [] for v in nodes}
    for a, b in edges:
        into[b].append(a)
        out[a].append(b)
    for v in nodes:
        rank[v] = max([rank[a] + 1 for a in into[v]], default=0)
    for v in nodes:
        if out[v] and not into[v]:
            rank[v] = min(rank[b] for b in out[v]) - 1
    return rank


def _ordered(layers: list[list[Any]], links: Sequence[tuple[Any, Any]]) -> list[list[Any]]:
    """The layers in the order, of those tried, in which the fewest edges cross."""
    above: dict[Any, list[Any]] = {}
    below: dict[Any, list[Any]] = {}
    for a, b in links:
        above.setdefault(b, []).append(a)
        below.setdefault(a, []).append(b)
    best, fewest = layers, _crossings(layers, links)
    for sweep in range(12):
        near, order = (above, range(len(layers))) if sweep % 2 == 0 else (below, reversed(range(len(layers))))
        layers = list(layers)
        at = {v: k for layer in layers for k, v in enumerate(layer)}
        for r in order:
            mean = {v: sum(at[u] for u in near[v]) / len(near[v]) if v in near else at[v] for v in layers[r]}
            layers[r] = sorted(layers[r], key=mean.__getitem__)
            at |= {v: k for k, v in enumerate(layers[r])}
        crossed = _crossings(layers, links)
        if crossed < fewest:
            best, fewest = layers, crossed
    return best


def _crossings(layers: list[list[Any]], links: Sequence[tuple[Any, Any]]) -> int:
    at = {v: (r, k) for r, layer in enumerate(layers) for k, v in enumerate(layer)}
    total, by_layer = 0, dict[int, list[tuple[int, int]]]()
    for a, b in links:
        by_layer.setdefault(at[a][0], []).append((at[a][1], at[b][1]))
    for pairs in by_layer.values():
        total += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(pairs, 2))
    return total


def _placed(layers: list[list[Any]], links: Sequence[tuple[Any, Any]], wide: Mapping[Any, float]) -> dict[Any, float]:
    """x of the middle of each, near those that it is linked to; the order in a layer stays."""
    x = {}
    for layer in layers:
        start = 0.0
        for v in layer:
            x[v] = start + wide[v] / 2
            start += wide[v] + GAP
    near: dict[Any, list[Any]] = {v: [] for v in x}
    for a, b in links:
        near[a].append(b)
        near[b].append(a)
    for sweep in range(24):
        for layer in filter(None, layers if sweep % 2 == 0 else reversed(layers)):
            wanted = [sum(x[u] for u in near[v]) / len(near[v]) if near[v] else x[v] for v in layer]
            x |= dict(zip(layer, _apart(wanted, [wide[v] for v in layer]), strict=True))
    return x


def _apart(wanted: Sequence[float], wide: Sequence[float]) -> list[float]:
    """Places nearest to the wanted ones, in their order and GAP apart: isotonic regression by pooling."""
    steps = [0.0]
    for a, b in pairwise(wide):
        steps.append(steps[-1] + (a + b) / 2 + GAP)
    pools: list[tuple[float, int]] = []  # (sum, count) of places less their steps
    for place, step in zip(wanted, steps, strict=True):
        pools.append((place - step, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [(a + b, m + n)]
    level = [total / n for total, n in pools for _ in range(n)]
    return [a + b for a, b in zip(level, steps, strict=True)]


def _route(way: Sequence[Any], x: Mapping[Any, float], places: Mapping[Any, Place], left: float) -> list[Place]:
    (x0, y0), (x1, y1) = places[way[0]], places[way[-1]]
    bends = [(x[v] - left + GAP, v[2] * ROW + HIGH / 2 + GAP) for v in way[1:-1]]
    return [(x0, y0 + HIGH / 2), *bends, (x1, y1 - HIGH / 2)]


def _spread(routes: list[list[Place]], ways: Sequence[Sequence[Any]], wide: Mapping[Any, float]) -> None:
    """Edges that arrive at one box arrive beside one another, in the order in which they come."""
    arriving: dict[Any, list[int]] = {}
    for k, way in enumerate(ways):
        arriving.setdefault(way[-1], []).append(k)
    for box, found in arriving.items():
        found.sort(key=lambda k: routes[k][-2])
        for place, k in enumerate(found):
            x, y = routes[k][-1]
            routes[k][-1] = x + ((place + 1) / (len(found) + 1) - 0.5) * 0.7 * wide[box], y
