"""Pieces of an SVG that know their size: text of known width, and how pieces stand beside and above each other.

Letters are counted at 0.62 em, the widest of the fonts in MONO_STACK, so that a text is never wider than its box.
Knows colours and letters; nothing of graphs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..program.words import cut
from .words import clean, escaped

LETTER = 11  # px of nearly all text
LONGEST = 800  # letters of any text
LINE = 14  # px from one line of it to the next
# up to a space, a comma, an operator or a dot, but not inside a number: 2.5, 1e-05
WORD = re.compile(r"(?:[^\s,*/+(\-@.]|\.(?![A-Za-z_])|(?<=\de)-(?=\d))*[\s,*/+(\-@.]?")


class Block(NamedTuple):
    """A piece of a picture: `draw(x, y)` gives its SVG with the upper left corner there. Sizes in px."""

    width: float
    height: float
    draw: Callable[[float, float], str]


NOTHING = Block(0, 0, lambda x, y: "")


def number(v: float) -> str:
    """A coordinate, in as few characters as show it."""
    return f"{v:.1f}".removesuffix(".0")


def width_of(said: str, size: float = LETTER) -> float:
    """At most how wide a text is, in px: wide letters (Chinese, emoji) by the em, combining ones not at all.

    >>> width_of("x_hat"), width_of("批量")
    (34.1, 24.2)
    """
    ems = 0.0
    for c in said:
        if c.isascii():
            ems += 0.62
        elif unicodedata.category(c) not in ("Mn", "Me", "Cf"):
            wide = unicodedata.east_asian_width(c) in "WF" or ord(c) > 0x1F000
            ems += 1.1 if wide else 0.62 if ord(c) < 0x530 else 0.9
    return round(ems * size, 1)


def fitted(said: object, width: float, size: float = LETTER) -> str:
    """A text on one line, cut in the middle where it is wider."""
    text = cut(clean(said), LONGEST)
    if width_of(text, size) <= width:
        return text
    keep = min(len(text), int(width / (0.62 * size)))
    while keep > 3 and width_of(f"{text[: keep - keep // 2]}...{text[len(text) - keep // 2 :]}", size) > width:
        keep -= 1
    return f"{text[: keep - keep // 2]}...{text[len(text) - keep // 2 :]}"


def wrapped(said: object, width: float, size: float = LETTER) -> list[str]:
    """A text as lines, broken behind spaces, commas and operators, and inside a word only where that is too wide.

    >>> wrapped("-sum0(g*x_hat/std)", 80)
    ['-sum0(g*', 'x_hat/std)']
    """
    return joined(WORD.findall(cut(clean(said), LONGEST)), width, size)


def joined(parts: Sequence[str], width: float, size: float = LETTER) -> list[str]:
    """Parts of a text as lines; only what is alone too wide is broken."""
    lines = [""]
    for part in parts:
        while part:
            if width_of((lines[-1] + part).rstrip(), size) <= width:
                lines[-1] += part
                break
            if lines[-1]:
                lines.append("")
                continue
            most = max(1, next((k for k in range(len(part)) if width_of(part[: k + 1], size) > width), len(part)))
            lines[-1], part = part[:most], part[most:]
            if part:
                lines.append("")
    return [line.strip() for line in lines if line.strip()]


def text(said: str, colour: str, size: float = LETTER, *, bold: bool = False, face: str = "") -> Block:
    """One line of text."""
    look = f' fill="{colour}"' + (f' font-size="{size}"' if size != LETTER else "")
    look += (' font-weight="bold"' if bold else "") + (f' font-family="{face}"' if face else "")

    def draw(x: float, y: float) -> str:
        return f'<text x="{number(x)}" y="{number(y + size)}"{look}>{escaped(said)}</text>\n' if said.strip() else ""

    return Block(width_of(said, size) * (1.1 if face else 1) if said.strip() else 0, size + 3, draw)


def lines(said: Sequence[str], colour: str, *, bold: bool = False) -> Block:
    """Lines of text, one below the other."""
    return above(*[text(line, colour, bold=bold) for line in said])


def framed(inner: Block, fill: str, pad: float = 4) -> Block:
    """A piece on a round patch of colour."""
    width, height = inner.width + 2 * pad, inner.height + 2

    def draw(x: float, y: float) -> str:
        patch = f'width="{number(width)}" height="{number(height)}" rx="4" fill="{fill}"'
        return f'<rect x="{number(x)}" y="{number(y)}" {patch}/>\n{inner.draw(x + pad, y + 1)}'

    return Block(width, height, draw)


def above(*blocks: Block, gap: float = 0) -> Block:
    """Pieces one below the other, flush left; empty ones take no room."""
    shown = [block for block in blocks if block.height]

    def draw(x: float, y: float) -> str:
        said = ""
        for block in shown:
            said += block.draw(x, y)
            y += block.height + gap
        return said

    height = sum(block.height for block in shown) + gap * max(0, len(shown) - 1)
    return Block(max((block.width for block in shown), default=0), height, draw)


def beside(*blocks: Block, gap: float = 0) -> Block:
    """Pieces side by side, flush at the bottom, where the numbers of a sum stand."""
    shown = [block for block in blocks if block.width]
    height = max((block.height for block in shown), default=0)

    def draw(x: float, y: float) -> str:
        said = ""
        for block in shown:
            said += block.draw(x, y + height - block.height)
            x += block.width + gap
        return said

    return Block(sum(block.width for block in shown) + gap * max(0, len(shown) - 1), height, draw)


def flowing(blocks: Sequence[Block], width: float, gap: float) -> list[Block]:
    """Pieces side by side on as many lines as they need."""
    rows: list[list[Block]] = [[]]
    for block in blocks:
        if rows[-1] and sum(b.width + gap for b in rows[-1]) + block.width > width:
            rows.append([])
        rows[-1].append(block)
    return [beside(*row, gap=gap) for row in rows if row]
