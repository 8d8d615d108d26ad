"""The rows of a ladder: what stands in each, and three ways to arrange it. Knows plain data, pieces and colours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..program.words import cut, shape
from .blocks import NOTHING, Block, above, beside, fitted, flowing, framed, joined, lines, text, width_of, wrapped
from .data import Graph, Node, Numbers, Slot
from .heat import array_of, heat, peak_of, sparkline
from .layout import ancestors
from .theme import Palette
from .words import clean, size

SIGN = 14  # px of + and =
TERMS = 4  # contributions that are shown one by one; of more, the others are summed up
LINES = 3  # of a rule or an expression; a longer one stands in the key


class Rung(NamedTuple):
    """One row: a tensor and the op that made it, or an array that a fused op keeps, which is `kept` by that op."""

    node: Node
    kept: Node | None = None

    @property
    def id(self) -> str:
        return self.node.id


def rungs(graph: Graph) -> list[Rung]:
    """Rows in the order of execution: a leaf stands before the first op that uses it, a buffer before its op's result.

    >>> import minigrad as mg
    >>> a, b = (mg.tensor([1.0], requires_grad=True, name=name) for name in "ab")
    >>> [rung.node.name for rung in rungs(mg.graph(((a * 2).named("twice") + b).named("y")))]
    ['a', 'twice', 'b', 'y']
    """
    found: dict[str, Rung] = {}
    for node in graph.nodes:
        if not node.op and node.id not in graph.roots:
            continue
        for slot in node.inputs:
            if slot.node is not None and not graph[slot.node].op:
                found.setdefault(slot.node, Rung(graph[slot.node]))
        for k, saved in enumerate(node.buffers if node.kind != "module" else ()):
            if saved.numbers is not None:
                name = f"{node.id}-s{k}"
                own = Node(name, "buffer", saved.name, saved.numbers, kept_by=(node.id,), scope=node.scope, needs=False)
                found[name] = Rung(own, node)
        found.setdefault(node.id, Rung(node))
    return list(found.values())


def title_of(graph: Graph, scope: int | None) -> str:
    """The scopes that a row stands in, outermost first."""
    around = [graph.scopes[k] for k in reversed(ancestors(graph, scope))]
    return " / ".join(cut(s.name, 40) + (f" x {s.times}" if s.times > 1 else "") for s in around)


class Teller:
    """Makes the pieces of rows: name, value, what is kept, and what is sent back."""

    def __init__(self, graph: Graph, c: Palette, backward: bool) -> None:
        self.graph, self.c, self.backward = graph, c, backward
        self.order = {node.id: k for k, node in enumerate(graph.nodes)}
        self.key: list[str] = []  # texts too long for their place, which is given their number

    def head(self, rung: Rung, width: float) -> Block:
        """The tensor's name, and what it is."""
        node, c = rung.node, self.c
        leaf = not node.op and rung.kept is None
        kind = node.kind if leaf and node.kind != node.name else ""  # a constant without a name is called constant
        tag = "output" if node.id in self.graph.roots and node.op else kind
        times = f"x {node.times}" if node.times > 1 else ""
        ink = c.get(f"{node.kind}_ink", c["ink"]) if leaf else c["ink"]
        after = f"{times} {tag}".strip()
        room = width - (width_of(after) + 6 if after else 0)
        short = bool(after) and room < width_of(clean(node.name), 12)  # the word goes below
        name = text(fitted(node.name, width if short else room, 12), ink, 12, bold=True)
        word = text(after, c["muted"])
        return above(name, word) if short else beside(name, word, gap=6)

    def name(self, rung: Rung, width: float, *, inline: bool = False) -> Block:
        """The name, how it was made (inline: on the same line, if it fits), and what is to be seen at once."""
        node, c = rung.node, self.c
        head = self.head(rung, width)
        parts = [head]
        if rung.kept is not None:
            parts.append(text(fitted(f"inside {rung.kept.name}", width), c["muted"]))
        if node.op and node.short.replace(" ", "") != node.name.replace(" ", ""):
            made = text(f"= {node.short}", c["forward"])
            if inline and head.width + 6 + made.width <= width:
                parts[0] = beside(head, made, gap=6)
            else:
                parts.append(lines(self.kept_short(node.short, f"{node.op}(...)", width), c["forward"]))
        again = [slot.again for slot in node.inputs if slot.again in self.order]
        if again:
            parts.append(text(fitted(f"then of {self.graph[str(again[0])].name}", width), c["muted"]))
        if node.made_by:
            parts.append(text(fitted(f"backward of {node.made_by}", width), c["muted"]))
        if node.mark:
            parts.append(lines(wrapped(cut(node.mark, 160), width), c["gradient"], bold=True))
        return above(*parts)

    def kept_short(self, said: str, instead: str, width: float) -> list[str]:
        """The lines of a text, or its short form and a number where they are too many."""
        found = wrapped(said, width)
        return found if len(found) <= LINES else wrapped(fitted(f"{instead} {self.numbered(said)}", width), width)

    def numbered(self, said: str) -> str:
        """The number under which a text stands in the key."""
        if said not in self.key:
            self.key.append(said)
        return f"[{self.key.index(said) + 1}]"

    def taken(self) -> list[str]:
        """The key as it is, and a new one."""
        key, self.key = self.key, []
        return key

    def value(self, node: Node, width: float) -> Block:
        """Shape and numbers."""
        dtype = "" if node.dtype == "float64" else f" {node.dtype}"
        said = [shape(node.shape) + dtype]
        if width_of(said[0]) > width:
            said = [fitted(shape(node.shape), width), fitted(node.dtype, width)]
        first = ", the first" if node.times > 1 else ""
        said[-1] += first if width_of(said[-1] + first) <= width else ""
        sizes = [size for size, _ in node.repeats]
        below = sparkline("value", sizes, self.c["forward"], self.c) if sizes else NOTHING
        return above(lines(said, self.c["muted"]), heat(node.value, self.c, width), below, gap=1)

    def keeps(self, rung: Rung, width: float, *, inline: bool = False) -> Block:
        """For which ops backward keeps this tensor, and how large it is (inline: on the same line, if it fits)."""
        node = rung.node
        if not node.kept_by:
            return NOTHING
        ops = [self.graph[k].op for k in node.kept_by if k in self.graph]
        named = [clean(op) + (f" x {ops.count(op)}" if ops.count(op) > 1 else "") for op in dict.fromkeys(ops)]
        told = [*named[:4], f"{len(named) - 4} more"] if len(named) > 5 else named
        parts = ["kept for ", *(f"{op}, " for op in told[:-1]), told[-1] if told else "backward"]
        said = ["".join(parts) + f", {size(node.nbytes)}"]
        if not inline or width_of(said[0]) > width - 8:
            said = [*joined(parts, width - 8)[:6], size(node.nbytes)]
        return framed(lines(said, self.c["saved_ink"]), self.c["saved_fill"])

    def sent(self, node: Node, width: float) -> list[Block]:
        """What each consumer sends back, and the sum, on one colour scale; as many lines as it takes."""
        c = self.c
        if node.gradient is None:
            return [text("no gradient" if node.op or node.needs else f"none: {node.kind}", c["muted"])]
        terms = self.terms(node)
        alone = len(terms) == 1
        peak = peak_of([*(numbers for _, numbers in terms if numbers is not None), node.gradient])
        shown = terms if alone else [*terms, ("sum", node.gradient)]
        signs = [""] if alone else ["", *"+" * (len(shown) - 2), "="]
        for tight in (False, True):
            parts = [self.term(*each, sign, width, peak, tight) for each, sign in zip(shown, signs, strict=True)]
            rows = flowing(parts, width, 4)
            if alone or len(rows) == 1:
                break
        sizes = [size for _, size in node.repeats]
        if not all(map(math.isnan, sizes)):
            rows[0] = above(rows[0], sparkline("gradient", sizes, c["gradient"], c), gap=1)
        return rows

    def term(self, said: str, numbers: Numbers | None, sign: str, width: float, peak: float, tight: bool) -> Block:
        """A sign, and one part of a sum below its caption, which is no wider than the numbers where that is `tight`."""
        c, room = self.c, width - (SIGN if sign else 0)
        shown = heat(numbers, c, room, peak) if numbers is not None else text("", c["muted"])
        caption = wrapped(said, max(shown.width, 90.0) if tight else room)
        if len(caption) > LINES:
            who, _, rule = said.partition(": ")
            caption = wrapped(f"{fitted(who, room - 40)}: {self.numbered(rule)}", room)
        drawn = above(lines(caption, c["gradient"]), shown, gap=1)
        if not sign:
            return drawn
        below = Block(0, max(0.0, shown.height / 2 - 8), lambda x, y: "")  # the sign stands beside the numbers' middle
        return beside(above(text(sign, c["muted"], 13), below)._replace(width=SIGN - 4), drawn, gap=4)

    def terms(self, node: Node) -> list[tuple[str, Numbers | None]]:
        """(from whom and by which rule, the numbers) of what is sent here."""
        found: list[tuple[str, Numbers | None]] = []
        for part in node.contributions:
            consumer = self.graph[part.consumer]
            slot = consumer.inputs[part.position] if part.position < len(consumer.inputs) else Slot("")
            rule = f": {slot.local}" if slot.node == node.id and slot.local else ""
            again = " of the next" if self.order[consumer.id] <= self.order[node.id] else ""  # of a block drawn once
            found.append((f"{fitted(consumer.name, 120)}{again}{rule}", part.numbers))
        if node.id in self.graph.roots and node.gradient is not None:
            rest = _minus(node.gradient, [numbers for _, numbers in found])
            noise = (1e-12 if node.gradient.dtype == "float64" else 1e-5) * peak_of([node.gradient])
            if rest is None or not found or peak_of([rest]) > noise or rest.range.bad:
                found.append(("given", rest))
        if len(found) > TERMS:
            rest = _minus(node.gradient, [numbers for _, numbers in found[: TERMS - 1]])
            found = [*found[: TERMS - 1], (f"{len(found) - TERMS + 1} more, summed", rest)]
        return found or [("", node.gradient)]


def _minus(whole: Numbers | None, parts: Iterable[Numbers | None]) -> Numbers | None:
    """What is left of a sum; None where the numbers are not at hand."""
    arrays = [None if numbers is None else array_of(numbers) for numbers in (whole, *parts)]
    if any(array is None for array in arrays):
        return None
    left, *others = [np.asarray(array) for array in arrays]
    with np.errstate(all="ignore"):
        return Numbers(np.asarray(left - sum(others)) if others else left)
