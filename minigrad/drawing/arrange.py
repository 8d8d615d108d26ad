"""Three ways to arrange the rows of a ladder; the lowest one that fits is drawn. Knows rows and pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .blocks import LETTER, Block, above, number
from .data import CORNER, Node
from .heat import CELL, heat
from .rungs import SIGN, Rung, Teller
from .theme import Palette

GAP, PAD = 12, 5  # px between columns, and above and below what stands in a row
LOWEST = 34  # px of a row
KEPT = 84  # px of the column between values and gradients
UP = "gradient, up (read from below)"
NAME = 100  # px of the column of names, at least


class Row(NamedTuple):
    """A row as it will be drawn: its piece, and where edges meet it."""

    rung: Rung
    block: Block
    left: float  # px below its top, where values come in and go out
    right: float  # the same for gradients
    end: float  # px from its left edge, where the gradients end that these edges lead to

    @property
    def height(self) -> float:
        return max(LOWEST, self.block.height + 2 * PAD)

    @property
    def above(self) -> float:
        """px between the row's top and that of its piece, which stands in its middle."""
        return (self.height - self.block.height) / 2


class Plan(NamedTuple):
    """The heads of the columns, (px from the left, text, colour role), the rows, and what their numbers [1] mean."""

    heads: list[tuple[float, str, str]]
    rows: list[Row]
    key: list[str]

    @property
    def height(self) -> float:
        return sum(row.height for row in self.rows)

    @property
    def width(self) -> float:
        return max((row.block.width for row in self.rows), default=0)


class Arranger:
    """Arranges rows in `room` px."""

    def __init__(self, rungs: Sequence[Rung], teller: Teller, room: float) -> None:
        self.rungs, self.teller, self.room = rungs, teller, room
        self.backward, self.c = teller.backward, teller.c
        self.wide = max((_widest(rung.node, self.c, room) for rung in rungs), default=0)
        self.kept = KEPT + GAP if any(rung.node.kept_by for rung in rungs) else 0

    def plan(self) -> Plan:
        """The lowest arrangement that fits."""
        room, besides = self.room, GAP + self.wide + self.kept
        if not self.backward:
            names = max((self.teller.name(rung, room).width for rung in self.rungs), default=0)
            name = min(max(NAME, names), room - besides)
            self.teller.taken()
            return self.in_columns(name, 0) if name >= NAME else self.stacked()
        found = []
        longest = max((self.teller.head(rung, 190.0).width for rung in self.rungs), default=0)
        name = max(NAME, min(longest, 0.3 * room))
        for tried in dict.fromkeys([max(name, 0.2 * room), name]):
            rest = room - tried - besides - GAP
            if rest >= self.wide:
                plan = self.in_columns(tried, rest)
                spare = max(0.0, room - plan.width - 1)  # for names, so that fewer of them are broken
                found.append(self.in_columns(tried + min(80.0, spare), rest - spare) if spare else plan)
        if room - self.wide - GAP >= self.wide + SIGN * any(len(rung.node.contributions) > 1 for rung in self.rungs):
            found.append(self.headed())
        return min(found, key=lambda plan: plan.height, default=None) or self.stacked()

    def in_columns(self, name: float, rest: float) -> Plan:
        """Name | value | kept | gradient."""
        at = name + GAP
        middle = at + self.wide + GAP
        back = middle + self.kept
        heads = [(0.0, "forward", "muted"), (at, "value, down", "forward")]
        heads += [(middle, "kept", "saved_ink")] if self.kept else []
        heads += [(back, UP if rest > 210 else UP[:12], "gradient")] if self.backward else []
        rows = []
        for rung in self.rungs:
            value, keeps = self.teller.value(rung.node, self.wide), self.teller.keeps(rung, KEPT)
            both, meet, end = _paired(value, self.sent(rung, rest), back - at)
            block = _level([self.teller.name(rung, name), both, keeps], [0.0, at, middle])
            if keeps.height and self.backward:
                block = self.crossing(block, at + value.width + 4, back - 4)
            meet += (block.height - both.height) / 2
            rows.append(Row(rung, block, block.height / 2, meet, at + end))
        return Plan(heads, rows, self.teller.taken())

    def crossing(self, block: Block, start: float, end: float) -> Block:
        """The row with a band behind what is kept, from its value to its gradient."""
        fill = self.c["saved_fill"]

        def draw(x: float, y: float) -> str:
            band = f'x="{number(x + start)}" y="{number(y + block.height / 2 - 2)}" width="{number(end - start)}"'
            return f'<rect {band} height="4" fill="{fill}"/>\n{block.draw(x, y)}'

        return block._replace(draw=draw)

    def headed(self) -> Plan:
        """Name and kept on lines of their own; value | gradient below."""
        back = self.wide + GAP
        rows = []
        for rung in self.rungs:
            head = self.head(rung)
            value = self.teller.value(rung.node, self.wide)
            both, meet, end = _paired(value, self.sent(rung, self.room - back), back)
            rows.append(Row(rung, above(head, both), 9, head.height + meet, end))
        up = UP if self.room - back > 210 else UP[:12]
        return Plan([(0.0, "value, down", "forward"), (back, up, "gradient")], rows, self.teller.taken())

    def stacked(self) -> Plan:
        """Name and kept, value, gradient, one below the other."""
        rows = []
        for rung in self.rungs:
            before = above(self.head(rung), self.teller.value(rung.node, self.room))
            sent = self.sent(rung, self.room)
            first = before.height + 2 + (sent[0].height if sent else 0) - LETTER
            rows.append(Row(rung, above(before, *sent, gap=3), 9, first, sent[0].width if sent else 0))
        heads = [(0.0, "value, down", "forward")]
        heads += [(100.0, "gradient, up", "gradient")] if self.backward else []
        return Plan(heads, rows, self.teller.taken())

    def head(self, rung: Rung) -> Block:
        """Name left, what is kept at the right end."""
        tag = self.teller.keeps(rung, self.room / 2, inline=True)
        width = self.room - (tag.width + GAP if tag.width else 0)
        name = self.teller.name(rung, width, inline=True)
        return _level([name, tag], [0.0, width + GAP], top=True) if tag.width else name

    def sent(self, rung: Rung, width: float) -> list[Block]:
        return self.teller.sent(rung.node, width) if self.backward and rung.kept is None else []


def _paired(value: Block, sent: Sequence[Block], back: float) -> tuple[Block, float, float]:
    """A value and, `back` px right of it, what is sent: the numbers of the first line stand beside the value's.

    Also where edges meet it: px below its top, px from its left.
    """
    if not sent:
        return value, 0, 0
    first, returned = sent[0], above(*sent, gap=4)
    top = max(0.0, first.height - value.height)
    low = max(0.0, value.height - first.height) if first.height > 2 * LETTER else 0.0  # no numbers: as a caption

    def draw(x: float, y: float) -> str:
        return value.draw(x, y + top) + returned.draw(x + back, y + low)

    height = max(top + value.height, low + returned.height)
    return Block(back + returned.width, height, draw), low + first.height - LETTER, back + first.width


def _level(blocks: Sequence[Block], places: Sequence[float], *, top: bool = False) -> Block:
    """Pieces at these px from the left, their middles (or tops) on one line."""
    height = max(block.height for block in blocks)

    def draw(x: float, y: float) -> str:
        return "".join(
            block.draw(x + place, y + (0 if top else (height - block.height) / 2))
            for block, place in zip(blocks, places, strict=True)
        )

    ends = [place + block.width for block, place in zip(blocks, places, strict=True) if block.width]
    return Block(max(ends, default=0), height, draw)


def _widest(node: Node, c: Palette, room: float) -> float:
    """px that the numbers of a tensor and of its gradient take."""
    most = min(room, CORNER[1] * CELL[0])
    both = [numbers for numbers in (node.value, node.gradient) if numbers is not None]
    return max(76.0, *(heat(numbers, c, most).width for numbers in both))
