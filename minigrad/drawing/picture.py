"""`mg.draw`: from a Tensor, or the plain data of one, to a picture that can be shown and saved."""

from __future__ import annotations

import importlib
import itertools
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import graphviz

from .._support.files import written_aside
from .._support.signatures import Values
from .cards import Style
from .collect import Drawable, count, graph
from .data import Graph
from .dot import Part, document
from .renderer import render
from .text import table
from .theme import MONO_STACK, SANS_STACK, palette
from .views import refusal, view

MOST = 1000  # nodes in one picture
FULL, SHAPES = 200, 1000  # up to how many cards show numbers, and shapes
PIXELS = 40_000_000
_shown = itertools.count(1)


class Picture:
    """DOT text and what can be made of it. `Drawing` is one graph, `Pair` two."""

    _title = ""

    @property
    def dot(self) -> str:
        """The DOT text: the same bytes for the same graph."""
        raise NotImplementedError

    @property
    def source(self) -> graphviz.Source:
        """The DOT text as an object of the `graphviz` package."""
        return graphviz.Source(self.dot)

    def svg(self, *, timeout: float = 60) -> str:
        """The picture as SVG text, with an opaque background and fonts that every reader has.

        RendererNotFound without Graphviz; its message says how to get one.
        """
        text = render(self.dot, "svg", timeout=timeout).decode("utf-8", "replace")
        return _dressed(text[text.index("<svg") :])

    def png(self, *, dpi: float = 110, timeout: float = 60) -> bytes:
        """The picture as PNG. ValueError if it would have more than 40 million pixels."""
        if not 10 <= dpi <= 1200:
            raise ValueError(f"dpi={dpi!r} must lie between 10 and 1200")
        width, height = self._points(timeout)
        pixels = (width * dpi / 72) * (height * dpi / 72)
        if pixels > PIXELS:
            fits = int(dpi * (PIXELS / pixels) ** 0.5)
            raise ValueError(
                f"at dpi={dpi:g} this picture has {pixels / 1e6:.0f} million pixels, more than {PIXELS // 1_000_000}: "
                f"use dpi={max(fits, 10)} or less, save an .svg, or draw less (depth=0, detail=0)"
            )
        return render(self.dot, "png", timeout=timeout, options=(f"-Gdpi={dpi:g}",))

    def pdf(self, *, timeout: float = 60) -> bytes:
        """The picture as PDF; needs a system Graphviz."""
        return render(self.dot, "pdf", timeout=timeout)

    def _points(self, timeout: float) -> tuple[float, float]:
        found = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', self.svg(timeout=timeout))
        return (float(found.group(1)), float(found.group(2))) if found else (0.0, 0.0)

    def graphs(self) -> dict[str, Graph]:
        """The plain data as drawn, by name."""
        raise NotImplementedError

    def html(self) -> str:
        """The interactive page of this picture, one offline file."""
        from .stepping import page_of

        return page_of(self.graphs(), title=self._title)

    def steps(self, height: int = 760) -> Any:
        """The interactive page inside a notebook cell, `height` pixels high."""
        from .stepping import Frame

        return Frame(self.html(), height)

    def markdown(self) -> str:
        """The text table, for a README or an issue."""
        title = f"# {self._title}\n\n" if self._title else ""
        return f"{title}```\n{self}\n```\n"

    def json(self) -> str:
        """The plain data as JSON."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str], *, dpi: float = 110) -> Path:
        """Write the picture; the ending of `path` says what: svg png pdf dot gv html json md. Returns the path.

        The file appears whole or not at all.
        """
        target = Path(path)
        kind = target.suffix.lower().removeprefix(".")
        makers: dict[str, Any] = {
            "svg": self.svg,
            "png": lambda: self.png(dpi=dpi),
            "pdf": self.pdf,
            "dot": lambda: self.dot,
            "gv": lambda: self.dot,
            "html": self.html,
            "json": self.json,
            "md": self.markdown,
        }
        if kind not in makers:
            raise ValueError(f"save({str(path)!r}): the ending must be one of {', '.join('.' + k for k in makers)}")
        made = makers[kind]()
        return write(target, made if isinstance(made, bytes) else made.encode("utf-8", "replace"))

    def show(self) -> None:
        """Show it: in a notebook as the cell's picture, elsewhere as the table in the terminal."""
        try:
            shell: Any = importlib.import_module("IPython.core.getipython")
            if shell.get_ipython() is not None:
                importlib.import_module("IPython.display").display(self)
                return
        except ImportError:
            pass
        print(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the SVG with ids of its own, or the table and the hint. Never raises."""
        bundle = {"text/plain": ""}
        try:
            bundle["text/plain"] = str(self)
            bundle["image/svg+xml"] = with_own_ids(self.svg(), f"mg{next(_shown)}-")
        except Exception as error:  # a notebook cell must show something, whatever went wrong
            bundle["text/plain"] = f"{bundle['text/plain']}\n\n{error}".strip()
        return bundle


class Drawing(Picture):
    """One drawn graph: `.graph` the plain data, `.dot`, `.svg()`, `.png()`, `.save(path)`, `str()` a table."""

    def __init__(
        self,
        data: Graph,
        *,
        backward: bool = True,
        depth: int | None = None,
        detail: int | None = None,
        direction: str = "TB",
        theme: str = "light",
        title: str = "",
        max_nodes: int = MOST,
        fold: bool | None = None,
        module: str | None = None,
        prefix: str = "",
    ) -> None:
        self.graph = view(data, depth=depth, max_nodes=max_nodes, fold=fold, module=module)
        self.style = Style(
            palette(theme),
            checked_detail(detail, len(self.graph)),
            backward,
            checked_direction(direction) == "LR",
            prefix,
            self.graph.roots,
        )
        self._title = title

    @cached_property
    def dot(self) -> str:
        return document([Part(self.graph, self.style)], self.style.colours, title=self._title)

    def graphs(self) -> dict[str, Graph]:
        return {self._title or "graph": self.graph}

    def json(self) -> str:
        return self.graph.to_json(indent=1)

    def __str__(self) -> str:
        return table(self.graph)


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

    y: a Tensor, a sequence of them, or a Graph. gradient: the cotangent to show gradients for; without it the one
    given to `y.backward()`, and without that they read `none`. backward=False hides gradients and backward edges.
    names: `locals()`, any dict of tensors, or a module. depth: how many levels of scopes and modules are drawn open
    (0: each outermost one is a single card). detail: 0 names, 1 and shapes, 2 and numbers. direction: "TB" or "LR".
    theme: "light" or "dark". fold: repeated blocks are drawn once with
    "x 11" (None: where there are more than 40 cards). module: draw only the scopes of that
    name. marks: what `mg.check.blame(y)` reported; the guilty op is marked. ValueError for graphs of more than
    max_nodes cards, naming the ways out.

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
    return Drawing(
        collected(y, gradient if backward else None, names, max_nodes, marks),
        backward=backward,
        depth=depth,
        detail=detail,
        direction=direction,
        theme=theme,
        title=title,
        max_nodes=max_nodes,
        fold=fold,
        module=module,
    )


# --------------------------------------------------------------------------------------------------------------
# What the options mean


def collected(y: Any, gradient: Any, names: Any, max_nodes: int, marks: Any = None) -> Graph:
    """The plain data of `y`; a graph so large that nothing could make it small enough is refused before any work."""
    if isinstance(y, Graph):
        return y
    ops = count(y)
    if ops > 20 * max_nodes + 10_000:
        raise ValueError(refusal(ops, max_nodes))
    return graph(y, gradient=gradient, names=names, marks=marks)


def checked_detail(detail: int | None, cards: int) -> int:
    """How much is told: what was asked for, else numbers unless there are too many cards for them."""
    if detail is None:
        return 2 if cards <= FULL else 1
    if detail not in (0, 1, 2):
        raise ValueError(f"detail={detail!r} must be 0 (names), 1 (and shapes) or 2 (and numbers)")
    return detail


def checked_direction(direction: str) -> str:
    """The direction, or a ValueError that names the two."""
    if direction not in ("TB", "LR"):
        raise ValueError(f"direction={direction!r} must be 'TB' (top to bottom) or 'LR' (left to right)")
    return direction


# --------------------------------------------------------------------------------------------------------------
# SVG and files


def _dressed(svg: str) -> str:
    """The SVG as readers should get it: real font stacks, never wider than the page, no native tooltips of ids."""
    svg = svg.replace('font-family="Courier,monospace"', f'font-family="{MONO_STACK}"')
    svg = svg.replace('font-family="Courier"', f'font-family="{MONO_STACK}"')
    svg = svg.replace('font-family="Helvetica,sans-Serif"', f'font-family="{SANS_STACK}"')
    svg = svg.replace('font-family="Helvetica"', f'font-family="{SANS_STACK}"')
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<title>.*?</title>\n?", "", svg, flags=re.DOTALL)
    svg = svg.replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)
    return svg if svg.endswith("\n") else svg + "\n"


def with_own_ids(svg: str, prefix: str) -> str:
    """The same SVG with every id prefixed, so that many pictures can stand on one page."""
    return re.sub(r'(\sid=")', rf"\g<1>{prefix}", svg)


def write(target: Path, content: bytes) -> Path:
    """Write aside, then rename: the file appears whole or not at all."""
    with written_aside(target) as file:
        file.write(content)
    return target
