"""Pictures of recorded graphs: plain data, DOT, SVG and PNG, the offline page, tables.

    Tensor -> collect.graph -> plain.Graph -> dot.document -> renderer.render -> picture.Drawing

The package is called drawing because `mg.draw` is a function. Only this package imports graphviz.
"""

from __future__ import annotations

from .collect import graph
from .data import Graph, Node
from .pair import Pair, draw_pair
from .picture import Drawing, draw
from .renderer import RendererNotFound
from .stepping import page

__all__ = ["Drawing", "Graph", "Node", "Pair", "RendererNotFound", "draw", "draw_pair", "graph", "page"]
