"""The edges of a ladder, in lanes beside its rows: forward ones left, backward ones right.

One trunk a tensor: down the left side from its row to all who use it, up the right side from all who send it a
gradient. Trunks whose rows overlap get lanes of their own, the shortest innermost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .blocks import number
from .words import attribute

TIP = 5  # px of an arrow head
APART = 4  # px between where edges come in and where they go out, up and down from the middle
BEND = 3  # px of a round corner


class Trunk(NamedTuple):
    """The edges between one tensor's row and those of others, in one lane."""

    name: str
    row: int
    others: tuple[int, ...]  # rows below it
    lane: int


class Gutter:
    """Edges (id of the tensor, its row, another row) in at most so many lanes, `lane` px apart.

    >>> gutter = Gutter([("x", 0, 1), ("x", 0, 3), ("y", 1, 2)], 2, 7)
    >>> [(trunk.name, trunk.lane) for trunk in gutter.trunks], gutter.left_out
    ([('x', 1), ('y', 0)], 0)
    """

    def __init__(self, edges: Sequence[tuple[str, int, int]], most: int, lane: int) -> None:
        ends: dict[tuple[str, int], set[int]] = {}
        for name, row, other in edges:
            if other > row:
                ends.setdefault((name, row), set()).add(other)
        taken: list[list[tuple[int, int]]] = []
        found = []
        self.left_out, self.lane = 0, lane
        for (name, row), others in sorted(ends.items(), key=lambda item: (max(item[1]) - item[0][1], item[0][1])):
            last = max(others)
            free = (k for k, spans in enumerate(taken) if all(b <= row or a >= last for a, b in spans))
            at = next(free, len(taken))
            if at >= most:
                self.left_out += len(others)
                continue
            if at == len(taken):
                taken.append([])
            taken[at].append((row, last))
            found.append(Trunk(name, row, tuple(sorted(others)), at))
        self.trunks = sorted(found, key=lambda trunk: trunk.row)
        self.width = lane * len(taken) + TIP + 4 if taken else 0

    def down(self, edge: float, ys: Sequence[float], colour: str, prefix: str) -> str:
        """Values, left of x = edge: out of each row, an arrow into each that uses it; ys are the rows' middles."""
        said = ""
        for name, row, others, lane in self.trunks:
            x = edge - TIP - 2 - self.lane * (lane + 0.5)
            bottom = ys[others[-1]] - APART - BEND
            path = f"M{number(edge - 3)} {number(ys[row] + APART)}H{number(x + BEND)}q-3 0 -3 3V{number(bottom)}"
            tips = ""
            for other in others:
                y = ys[other] - APART
                path += f"M{number(x)} {number(y - BEND)}q0 3 3 3H{number(edge - TIP)}"
                tips += f"M{number(edge - 2)} {number(y)}l-{TIP} -3v6z"
            said += _drawn(f"{prefix}f-{name}", path, tips, colour)
        return said

    def up(self, edge: float, ys: Sequence[float], starts: Sequence[float], colour: str, prefix: str) -> str:
        """Gradients, right of x = edge: out of each row that sends one, an arrow into the row that it is sent to.

        starts: where the numbers of each row end, from which a line leads to the edge.
        """
        said = ""
        for name, row, others, lane in self.trunks:
            x = edge + 4 + self.lane * (lane + 0.5)
            top = ys[row] + APART
            path = f"M{number(x)} {number(ys[others[-1]] - APART - BEND)}V{number(top + BEND)}q0 -3 -3 -3"
            path += f"H{number(starts[row] + TIP)}"
            for other in others:
                y = ys[other] - APART
                path += f"M{number(starts[other])} {number(y)}H{number(x - BEND)}q3 0 3 -3"
            said += _drawn(f"{prefix}b-{name}", path, f"M{number(starts[row])} {number(top)}l{TIP} -3v6z", colour)
        return said


def _drawn(name: str, path: str, tips: str, colour: str) -> str:
    return (
        f'<g id="{attribute(name)}"><path d="{path}" fill="none" stroke="{colour}" stroke-width="1.2"/>'
        f'<path d="{tips}" fill="{colour}"/></g>\n'
    )
