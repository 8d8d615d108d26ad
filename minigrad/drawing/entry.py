"""`mg.draw`, `mg.draw_pair`, `mg.page`: from Tensors and what the user asks for to pictures.

Options are made and checked here, once, and passed along; nothing below knows a keyword of these functions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._support.signatures import Values
from .collect import Drawable, count, graph
from .data import Graph
from .options import MOST, Options
from .pair import Pair, Report
from .picture import Drawing, Picture
from .stepping import page_of
from .svg import write
from .views import refusal, view


def draw(
    y: Drawable,
    *,
    gradient: Values = None,
    backward: bool = True,
    names: Any = None,
    depth: int | None = None,
    detail: int | None = None,
    direction: str = "TB",
    theme: str = "light",
    title: str = "",
    max_nodes: int = MOST,
    fold: bool | None = None,
    module: str | None = None,
    marks: Any = None,
) -> Drawing:
    """Draw the recorded graph of `y`: forward and backward on one picture, with values, gradients and local rules.

    y: a Tensor, a sequence of them, a Program, a Graph. gradient: the cotangent; without it the one
    given to `y.backward()`, and without that they read `none`. backward=False hides gradients and backward edges.
    names: `locals()`, any dict of tensors, or a module. depth: how many levels of scopes and modules are drawn open
    (0: each outermost one is a single card). detail: 0 names, 1 and shapes, 2 and numbers. direction: "TB" or "LR".
    theme: "light" or "dark". fold: repeated blocks are drawn once with "x 11" (None: where there are more than 40
    cards). module: draw only the scopes of that name. marks: what `mg.check.blame(y)` reported; the guilty op is
    marked. A graph whose leaves were written since, as by an optimizer's step, says so. ValueError for an option that
    is not one of these, and for graphs of more than max_nodes cards, naming the ways out.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> drawing = mg.draw((x * x).sum().named("y"), gradient=1.0)
    >>> print(drawing)
    id  op     result       shape  mean  |grad|  saves
    n0  input  x            (2,)    1.5    4.47      -
    n1  mul    t1 = x * x   (2,)    2.5    1.41   16 B
    n2  sum    y = sum(t1)  ()        5       1      -
    2 ops on the tape, 16 B saved for backward
    """
    backward = backward and not hasattr(y, "instructions")  # a program's backward is among its nodes
    options = Options(backward, depth, detail, direction, theme, title, max_nodes, fold, module)
    return Drawing(_collected(y, options, gradient, names, marks), options)


def draw_pair(
    a: Drawable | tuple[str, Drawable],
    b: Drawable | tuple[str, Drawable],
    *,
    labels: tuple[str, str] | None = None,
    report: Report = None,
    gradient: Values = None,
    backward: bool = True,
    names: Any = None,
    depth: int | None = None,
    detail: int | None = None,
    direction: str = "TB",
    theme: str = "light",
    title: str = "",
    max_nodes: int = MOST,
    fold: bool | None = None,
) -> Pair:
    """Draw two graphs side by side: tensors with the same name are linked, with the largest difference between them.

    a, b: Tensors (or Graphs), or pairs (label, tensor); labels=("composed", "fused") names them otherwise. report:
    rows of (what, left, right) for the table beside them, such as `mg.check.compare` makes; without it ops, edges,
    bytes and the largest differences are listed. gradient: the cotangent for both. The rest as in `mg.draw`.

    >>> import numpy as np, minigrad as mg
    >>> x = mg.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True, name="x")
    >>> pair = mg.draw_pair(("mul", (x * x).named("y")), ("square", mg.square(x).named("y")), gradient=np.ones((3, 2)))
    >>> for match in pair.matches: print(match)
    x: value equal; grad equal
    y: value equal; grad equal
    """
    options = Options(backward, depth, detail, direction, theme, title, max_nodes, fold)
    (label_a, a), (label_b, b) = _labelled(a), _labelled(b)
    given = labels or (label_a or "composed", label_b or "fused")
    if isinstance(given, str) or len(given) != 2:
        raise ValueError(f"labels={labels!r} must be two texts, one for each graph")
    return Pair([_collected(y, options, gradient, names) for y in (a, b)], options, given, report)


def page(
    graphs: Drawable | Picture | Mapping[str, Drawable | Picture],
    path: str | os.PathLike[str],
    *,
    gradient: Values = None,
    names: Any = None,
    title: str = "",
    depth: int | None = None,
    max_nodes: int = MOST,
    fold: bool | None = None,
) -> Path:
    """Write the interactive page of one graph or of several, and return its path.

    graphs: {"composed": y, "fused": z} (Tensors, sequences of them, Graphs or Drawings), or one of these alone. The
    page shows each of them and all side by side; a slider and the arrow keys step through forward, then backward; a
    click on a card shows its formula, rules, values, gradient and the contributions that sum to it. gradient,
    names, depth, max_nodes, fold: as in `mg.draw`. Needs a renderer (RendererNotFound says how to get one).
    """
    options = Options(title=title, depth=depth, max_nodes=max_nodes, fold=fold)
    named = graphs if isinstance(graphs, Mapping) else {title or "graph": graphs}
    if not named:
        raise ValueError("page(graphs, path): there is no graph to show; pass {'name': tensor, ...}")
    data: dict[str, Graph] = {}
    for name, y in named.items():
        if isinstance(y, Picture):  # as it was drawn, with its own depth= and fold=
            drawn = y.graphs()
            data |= drawn if len(drawn) > 1 else {str(name): one for one in drawn.values()}
        else:
            data[str(name)] = view(_collected(y, options, gradient, names), options)
    return write(Path(path), page_of(data, title=title))


def _collected(y: Drawable, options: Options, gradient: Values, names: Any, marks: Any = None) -> Graph:
    """The plain data of `y`; a graph so large that nothing could make it small enough is refused before any work."""
    if isinstance(y, Graph):
        return y
    ops = count(y)
    if ops > 20 * options.max_nodes + 10_000:
        raise ValueError(refusal(ops, options.max_nodes))
    return graph(y, gradient=gradient if options.backward else None, names=names, marks=marks)


def _labelled(x: Drawable | tuple[str, Drawable]) -> tuple[str, Drawable]:
    return x if isinstance(x, tuple) and len(x) == 2 and isinstance(x[0], str) else ("", x)
