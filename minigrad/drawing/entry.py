"""`mg.draw`, `mg.ladder`, `mg.draw_pair`, `mg.page`: from Tensors and what the user asks for to pictures.

Options are made and checked here, once, and passed along; nothing below knows a keyword of these functions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from .._support.signatures import Values
from .collect import Drawable, count, graph
from .data import Graph
from .ladders import MOST as MOST_OPS
from .ladders import Ladder
from .live_data import live
from .options import MOST, Look, Options
from .pair import Pair, Report
from .picture import Drawing, P, Picture, fitted
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
    width: int | str | None = None,
    color: Any = None,
    legend: bool = True,
    tables: bool = True,
    marks: Any = None,
) -> Drawing:
    """Draw the recorded graph of `y`: forward and backward on one picture, with values, gradients and local rules.

    y: a Tensor, a sequence of them, a Program, a Graph. gradient: the cotangent; without it the one
    given to `y.backward()`, and without that they read `none`. backward=False hides gradients and backward edges.
    names: `locals()`, any dict of tensors and arrays, or a module. depth: how many levels of scopes and modules are
    drawn open (0: each outermost one is a single card). detail: 0 names, 1 and shapes, 2 and numbers. direction: "TB"
    or "LR". theme: "light", "dark", or "auto" (an SVG that is dark where the notebook or the system is, as cells show
    it). fold: repeated blocks are drawn once with "x 11" (None: where there are more than 40 cards). module: draw
    only the scopes of that name. width: the px it is shown in, or "readme", "notebook", "slide", "column" (of print):
    numbers, rules, repeats and the inside of modules are left out until letters are 11 px high there (6 pt in print);
    needs a renderer. color: what the bars of ops say: "bytes", "time" (measured now), "gradient" (its norm, by
    powers), a mapping {tensor: share from 0 to 1, or (share, words)}, or a report that has one as `.colors` and the
    words for the legend as `.color_title`. legend=False leaves the legend away, and for a pair tables=False the
    tables. marks: what `mg.check.blame(y)` reported; the guilty op is marked. A graph
    whose leaves were written since, as by an optimizer's step, says so. ValueError for an option that is not one of
    these, and for graphs of more than max_nodes cards, naming the ways out.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> drawing = mg.draw((x * x).sum().named("y"), gradient=1.0)
    >>> print(drawing)
    id  op    result       shape  mean  |grad|  saves
    n0  leaf  x            (2,)    1.5    4.47      -
    n1  mul   t1 = x * x   (2,)    2.5    1.41   16 B
    n2  sum   y = sum(t1)  ()        5       1      -
    2 ops on the tape, 16 B saved for backward
    """
    if hasattr(y, "instructions"):  # a program's backward is among its nodes
        backward = False
    options = Options(
        backward, depth, detail, direction, theme, title, max_nodes, fold, module, width, color, legend, tables
    )
    data = _collected(y, options, gradient, names, marks)
    drawing = fitted(lambda chosen: Drawing(data, chosen), options)
    return _computing(drawing, {title or "graph": y}, [data], gradient)


def draw_pair(
    a: Drawable | tuple[str, Drawable],
    b: Drawable | tuple[str, Drawable],
    *,
    labels: tuple[str, str] | None = None,
    report: Report = None,
    gradient: Values = None,
    names: Any = None,
    **look: Unpack[Look],
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
    options = Options(**look)
    (label_a, a), (label_b, b) = _labelled(a), _labelled(b)
    given = labels or (label_a or "composed", label_b or "fused")
    if isinstance(given, str) or len(given) != 2:
        raise ValueError(f"labels={labels!r} must be two texts, one for each graph")
    data = [_collected(y, options, gradient, names) for y in (a, b)]
    rows = report if report is None else list(report)
    pair = fitted(lambda chosen: Pair(data, chosen, given, rows), options)
    return _computing(pair, dict(zip(given, (a, b), strict=True)), data, gradient)


def ladder(
    y: Drawable,
    *,
    gradient: Values = None,
    backward: bool = True,
    names: Any = None,
    width: int | str = 830,
    theme: str = "light",
    title: str = "",
    depth: int | None = None,
    fold: bool | None = None,
    module: str | None = None,
    marks: Any = None,
    max_ops: int = MOST_OPS,
) -> Ladder:
    """Draw the recorded graph of `y` as a ladder: values down the left column, gradients up the right one.

    One row an op, in the order of execution, each tensor as a heat map with its numbers (up to 8 x 6; larger ones as
    a thumbnail with their range). Between value and gradient stands what backward keeps. A gradient is told as the
    sum that it is: what each consumer sends, by which rule, on one colour scale; zero is the colour of the page. NaN
    and infinity are marked. Without gradients, or with backward=False, there is one column.

    width: of the picture in px, 300 to 860, or "readme", "notebook", "slide", "column" (of print, where it is shown
    smaller); its letters are 11 px or more at every width. No renderer is needed. More than max_ops ops are folded or
    collapsed, or refused with what to do (ValueError). The rest as in `mg.draw`.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> rungs = mg.ladder((x * x).sum().named("y"), gradient=1.0, width=560)
    >>> rungs.svg().startswith("<svg"), rungs.graph["x"].gradient
    (True, Numbers((2,), float64, 2 .. 4))
    """
    if isinstance(max_ops, bool) or not isinstance(max_ops, int) or max_ops < 1:
        raise ValueError(f"max_ops={max_ops!r} must be a number of ops, at least 1")
    options = Options(backward, depth, theme=theme, title=title, fold=fold, module=module)
    return Ladder(_collected(y, options, gradient, names, marks), options, width=width, most=max_ops)


def page(
    graphs: Drawable | Picture | Mapping[str, Drawable | Picture],
    path: str | os.PathLike[str],
    *,
    gradient: Values = None,
    names: Any = None,
    inference: Drawable | Mapping[str, Drawable] | None = None,
    **look: Unpack[Look],
) -> Path:
    """Write the interactive page of one graph or of several, and return its path.

    graphs: {"composed": y, "fused": z} (Tensors, sequences of them, Graphs or Drawings), or one of these alone. The
    page shows each of them and all side by side; a slider and the arrow keys step through forward, then backward; a
    click on a card shows its formula, rules, values, gradient and the contributions that sum to it. gradient,
    names, depth, max_nodes, fold, module: as in `mg.draw`. Needs a renderer (RendererNotFound says how to get one).

    Its first view is the ladder, and it computes: numbers of leaves, of `gradient` and eps can be changed there, and
    the browser runs the recorded forward and backward again. inference: the same in eval mode (by name, where graphs
    has names), for a switch; leaves with one name are one. What the page cannot compute (an op of the user's own, more
    than 60 ops) it says, and is a recording; Drawings beside Tensors are one, too.
    """
    options = Options(**look)
    title = options.title
    named = graphs if isinstance(graphs, Mapping) else {title or "graph": graphs}
    if not named:
        raise ValueError("page(graphs, path): there is no graph to show; pass {'name': tensor, ...}")
    other = inference if isinstance(inference, Mapping) else {} if inference is None else {next(iter(named)): inference}
    if not other.keys() <= named.keys():
        raise ValueError(f"inference= has {', '.join(map(repr, other))}, the graphs are {', '.join(map(repr, named))}")
    data: dict[str, Graph] = {}
    whole: dict[str, Graph] = {}
    for name, y in named.items():
        if isinstance(y, Picture):  # as it was drawn, with its own depth= and fold=
            drawn = y.graphs()
            data |= drawn if len(drawn) > 1 else {str(name): one for one in drawn.values()}
        else:
            whole[str(name)] = _collected(y, options, gradient, names)
            data[str(name)] = view(whole[str(name)], options)
    tensors: Any = {str(name): y for name, y in named.items()}
    evaluated = {str(name): (y, _collected(y, options, gradient, names)) for name, y in other.items()}
    computed = live(tensors, whole, evaluated, gradient) if whole.keys() == tensors.keys() else {}
    return write(Path(path), page_of(data, title=title, computed=computed))


def _computing(picture: P, ys: dict[str, Any], data: Sequence[Graph], gradient: Values) -> P:
    """The picture, whose page computes where it shows all of the tensors that it was made of."""
    if len(ys) == len(data) and picture.options.module is None and not any(isinstance(y, Graph) for y in ys.values()):
        picture.computed = partial(live, ys, dict(zip(ys, data, strict=True)), {}, gradient)
    return picture


def _collected(y: Drawable, options: Options, gradient: Values, names: Any, marks: Any = None) -> Graph:
    """The plain data of `y`; a graph so large that nothing could make it small enough is refused before any work."""
    if isinstance(y, Graph):
        return y
    ops = count(y)
    if ops > 20 * options.max_nodes + 10_000:
        raise ValueError(refusal(ops, options.max_nodes))
    return graph(y, gradient=gradient if options.backward else None, names=names, marks=marks, color=options.color)


def _labelled(x: Drawable | tuple[str, Drawable]) -> tuple[str, Drawable]:
    return x if isinstance(x, tuple) and len(x) == 2 and isinstance(x[0], str) else ("", x)
