"""Pictures of recorded graphs: plain data, DOT, SVG and PNG, the offline page, tables.

    Tensors -> collect.py, naming.py -> data.py -> views.py, fold.py -> cards.py, dot.py -> renderer.py, svg.py
                        -> heat.py, rungs.py, arrange.py, gutters.py, sheet.py: the ladder, made of blocks.py
    live_data.py -> stepping.py, stepping.html and live/: the page, and what it computes with
    options.py says how; picture.py, pair.py, ladders.py, stepping.py are what comes out; entry.py is where calls
    come in

Each file imports only what stands before it in this chain; a test holds it. The package is called drawing because
`mg.draw` is a function. Only this package imports graphviz.
"""

from __future__ import annotations

from .collect import graph
from .data import Graph, Node
from .entry import draw, draw_pair, ladder, page
from .ladders import Ladder
from .pair import Pair
from .picture import Drawing
from .renderer import RendererNotFound

__all__ = [
    "Drawing",
    "Graph",
    "Ladder",
    "Node",
    "Pair",
    "RendererNotFound",
    "draw",
    "draw_pair",
    "graph",
    "ladder",
    "page",
]
