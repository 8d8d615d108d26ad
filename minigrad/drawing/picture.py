"""A drawn graph, and what can be made of it: DOT, SVG, PNG, PDF, the page, JSON, a table, a file, a notebook's cell.

Knows plain data and options; nothing of Tensors.
"""

from __future__ import annotations

import base64
import copy
import importlib
import itertools
import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import graphviz

from ..program.words import cut
from .cards import Style
from .data import Graph
from .dot import Part, document
from .explorer import explorer_json
from .frames import frames_of
from .options import Options
from .renderer import RendererNotFound, render
from .stepping import Frame, page_of
from .svg import adaptive, dressed, in_light, points, smallest_text, with_own_ids, write
from .views import view

PIXELS = 40_000_000
_shown = itertools.count(1)


class Picture:
    """DOT text and what can be made of it. `Drawing` is one graph, `Pair` two."""

    title = ""
    options: Options
    computed: Callable[[], dict[str, Any]] = dict  # what its page computes with; nothing where plain data was drawn

    @property
    def dot(self) -> str:
        """The DOT text: the same bytes for the same graph."""
        return in_light(self._dot)

    @property
    def _dot(self) -> str:
        """The same, with theme="auto" in colours that stand for roles."""
        raise NotImplementedError

    def themed(self, theme: str) -> Self:
        """The same picture in other colours: "light", "dark", or "auto" (dark where the notebook or the system is)."""
        other = copy.copy(self)
        other.__dict__.pop("_dot", None)
        other.options = replace(self.options, theme=theme)
        return other

    def graphs(self) -> dict[str, Graph]:
        """The plain data as drawn, by name."""
        raise NotImplementedError

    def json(self) -> str:
        """The plain data as JSON."""
        raise NotImplementedError

    @property
    def source(self) -> graphviz.Source:
        """The DOT text as an object of the `graphviz` package."""
        return graphviz.Source(self.dot)

    def svg(self, *, timeout: float = 60) -> str:
        """The picture as SVG text, with an opaque background and fonts that every reader has.

        RendererNotFound without Graphviz; its message says how to get one.
        """
        about = "; ".join(f"{name}: {graph.about}" for name, graph in self.graphs().items())
        svg = dressed(render(self._dot, "svg", timeout=timeout), cut(self.title, 120), about)
        return adaptive(svg) if self.options.theme == "auto" else svg

    def png(self, *, dpi: float = 110, timeout: float = 60) -> bytes:
        """The picture as PNG. ValueError if it would have more than 40 million pixels."""
        if not 10 <= dpi <= 1200:
            raise ValueError(f"dpi={dpi!r} must lie between 10 and 1200")
        width, height = points(self.svg(timeout=timeout))
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

    def html(self) -> str:
        """The interactive page of this picture, one offline file."""
        return page_of(self.graphs(), title=self.title, computed=self.computed())

    def steps(self, height: int = 760) -> Frame:
        """The interactive page inside a notebook cell, `height` pixels high."""
        return Frame(self.html(), height)

    def frames(self, folder: str | os.PathLike[str]) -> list[Path]:
        """One SVG for each step, forward and then backward, all of the same size: step-00.svg, ... in `folder`.

        For slides: what is not computed yet is pale, the op that runs has a ring. Of a pair, each graph has a folder.
        """
        home, written = Path(folder), []
        for name, graph in self.graphs().items():
            alone = Drawing(graph, replace(self.options, fold=False, depth=None, module=None, width=None))
            place = home if len(self.graphs()) == 1 else home / re.sub(r"\W+", "-", name)
            place.mkdir(parents=True, exist_ok=True)
            for k, svg in enumerate(frames_of(alone.svg(), alone.graph, self.options.colours)):
                written.append(write(place / f"step-{k:02d}.svg", svg))
        return written

    def modelexplorer(self) -> str:
        """The graphs as JSON for Google's Model Explorer; scopes are its namespaces."""
        return explorer_json(self.graphs(), self.title or "minigrad")

    def markdown(self) -> str:
        """The text table, for a README or an issue."""
        title = f"# {self.title}\n\n" if self.title else ""
        return f"{title}```\n{self}\n```\n"

    def save(self, path: str | os.PathLike[str], *, dpi: float = 110) -> Path:
        """Write the picture; the ending of `path` says what: svg png pdf dot gv html json md, or
        .modelexplorer.json. Returns the path.

        The file appears whole or not at all.
        """
        target = Path(path)
        kind = target.suffix.lower().removeprefix(".")
        if target.name.lower().endswith(".modelexplorer.json"):
            return write(target, self.modelexplorer())
        kinds = {"gv": "dot", "md": "markdown"} | {k: k for k in ("svg", "png", "pdf", "dot", "html", "json")}
        if kind not in kinds:
            raise ValueError(f"save({str(path)!r}): the ending must be one of {', '.join('.' + k for k in kinds)}")
        made = getattr(self, kinds[kind])
        return write(target, made if isinstance(made, str) else made(dpi=dpi) if kind == "png" else made())

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
        """What a notebook shows: the SVG in its colours and a PNG, or the table and the hint. Never raises."""
        bundle = {"text/plain": ""}
        try:
            bundle["text/plain"] = str(self)
            shown = self if self.options.theme == "dark" else self.themed("auto")
            bundle["image/svg+xml"] = with_own_ids(shown.svg(), f"mg{next(_shown)}-")
            bundle["image/png"] = base64.b64encode(self.png(dpi=96)).decode()  # for notebooks that are not trusted
        except Exception as error:  # a notebook cell must show something, whatever went wrong
            bundle["text/plain"] = f"{bundle['text/plain']}\n\n{error}".strip()
        return bundle


P = TypeVar("P", bound=Picture)

# What is left out until the letters are large enough, least first.
LESS: tuple[dict[str, Any], ...] = (
    *({"narrow": narrow} for narrow in (0, 1, 2)),
    *({"narrow": narrow, "fold": True} for narrow in (0, 1, 2)),
    *({"narrow": narrow, "fold": True, "detail": 1} for narrow in (1, 2)),
    *({"narrow": narrow, "fold": True, "detail": 0} for narrow in (0, 2)),
    *({"narrow": 3, "detail": detail} for detail in (2, 1, 0)),
    *({"fold": True, "depth": depth, "detail": detail} for depth in (2, 1, 0) for detail in (2, 1, 0)),
)


TALL = 80  # cards that may all stand below each other


def fitted(make: Callable[[Options], P], options: Options) -> P:
    """The picture with as much on it as can be read at the width asked for; with `width=None` all of it.

    What the user asked for by name is kept. Where nothing is small enough, it is the picture with the largest letters;
    without a renderer nothing can be measured, and it is all of it.
    """
    whole = make(options)
    wide, high, least = options.room
    best: tuple[float, P] = (0.0, whole)
    tried = set()
    for less in LESS if options.width is not None else ():
        asked = {name for name in less if getattr(options, name) not in (None, False)}
        picture = make(replace(options, **{k: v for k, v in less.items() if k not in asked}))
        cards = sum(len(graph) for graph in picture.graphs().values())
        if picture.dot in tried or (less.get("narrow") == 3 and cards > TALL):
            continue
        tried.add(picture.dot)
        try:
            size = smallest_text(picture.svg(), (wide, high))
        except RendererNotFound:
            break
        except (RuntimeError, TimeoutError):  # what Graphviz cannot lay out that way
            continue
        if size > best[0]:
            best = size, picture
        if size >= least:
            break
    return best[1]


class Drawing(Picture):
    """One drawn graph: `.graph` the plain data, `.dot`, `.svg()`, `.png()`, `.save(path)`, `str()` a table."""

    def __init__(self, data: Graph, options: Options) -> None:
        self.graph, self.options, self.title = view(data, options), options, options.title

    @cached_property
    def _dot(self) -> str:
        style = Style.of(self.options, len(self.graph), roots=self.graph.roots)
        return document([Part(self.graph, style)], title=self.title, legend=self.options.legend)

    def graphs(self) -> dict[str, Graph]:
        return {self.title or "graph": self.graph}

    def json(self) -> str:
        return self.graph.to_json(indent=1)

    def __str__(self) -> str:
        return str(self.graph)


def _to_dot(graph: Graph, **options: Any) -> str:
    """DOT text; the options are those of `mg.draw`."""
    return Drawing(graph, Options(**options)).dot


Graph.to_dot = _to_dot  # put there from here, so that plain data need not know how it is drawn
