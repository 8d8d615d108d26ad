"""The ladder as an object: what it shows, in at most sixty ops, and what can be made of it.

Knows plain data and options; nothing of Tensors. The layout is sheet.py's; no renderer is needed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .data import Graph
from .fold import folded
from .layout import ancestors
from .options import ROOMS, Options
from .sheet import Sheet
from .svg import adaptive, write
from .views import collapsed, part

MOST = 60  # ops
WIDTHS = (300, 860)  # px
_shown = itertools.count(1)


class Ladder:
    """One drawn ladder: `.graph` the plain data, `.svg()`, `.save(path)`, `str()` a table."""

    def __init__(self, data: Graph, options: Options, *, width: int | str = 830, most: int = MOST) -> None:
        width = min(WIDTHS[1], ROOMS[width][0]) if isinstance(width, str) and width in ROOMS else width
        if isinstance(width, (bool, str)) or not isinstance(width, int) or not WIDTHS[0] <= width <= WIDTHS[1]:
            places = ", ".join(map(repr, ROOMS))
            raise ValueError(
                f"width={width!r} must be a whole number of px from {WIDTHS[0]} to {WIDTHS[1]}, or {places}"
            )
        self.graph = shortened(data, options, most)
        self.options, self.width = options, width

    def svg(self) -> str:
        """The picture as SVG text, with an opaque background and fonts that every reader has."""
        return self._drawn(self.options.theme, "")

    def _drawn(self, theme: str, prefix: str) -> str:
        svg = Sheet(self.graph, replace(self.options, theme=theme), self.width).svg(prefix)
        return adaptive(svg) if theme == "auto" else svg

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it; the ending of `path` says what: svg, json (the plain data) or md (the table). Returns the path."""
        target = Path(path)
        makers: dict[str, Callable[[], str]] = {
            ".svg": self.svg,
            ".json": lambda: self.graph.to_json(indent=1),
            ".md": lambda: f"```\n{self}\n```\n",
        }
        if target.suffix.lower() not in makers:
            more = "; mg.draw(y) writes other formats, as a graph diagram"
            raise ValueError(f"save({str(path)!r}): a ladder is written as {', '.join(makers)}{more}")
        return write(target, makers[target.suffix.lower()]())

    def __str__(self) -> str:
        return str(self.graph)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the SVG with ids of its own, and the table for where there are no pictures."""
        bundle = {"text/plain": ""}
        try:
            bundle["text/plain"] = str(self)
            bundle["image/svg+xml"] = self._drawn(
                "dark" if self.options.theme == "dark" else "auto", f"mgl{next(_shown)}-"
            )
        except Exception as error:  # a notebook cell must show something, whatever went wrong
            bundle["text/plain"] = f"{bundle['text/plain']}\n\n{error}".strip()
        return bundle


def shortened(graph: Graph, options: Options, most: int) -> Graph:
    """The graph in at most so many ops: as asked for, else folded, else with its scopes collapsed; or a ValueError."""

    def ops(seen: Graph) -> int:
        return sum(bool(node.op) for node in seen.nodes)

    if options.module is not None:
        graph = part(graph, options.module)
    if options.depth is not None:
        graph = collapsed(graph, options.depth)
    seen = folded(graph) if options.fold or (options.fold is None and ops(graph) > most) else graph
    deepest = max((len(ancestors(graph, k)) for k in range(len(graph.scopes))), default=0)
    if options.depth is None:
        for level in reversed(range(min(deepest, 20))):
            if ops(seen) <= most:
                break
            seen = collapsed(graph, level)
            seen = seen if options.fold is False else folded(seen)
    if ops(seen) > most:
        raise ValueError(
            f"{ops(seen)} ops are more than a ladder can show (max_ops={most}): collapse modules and scopes with "
            "depth=0, draw one part with module='name', draw an earlier result, raise max_ops=, or use mg.draw"
        )
    return seen
