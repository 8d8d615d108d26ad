"""One tensor as a small heat map: its numbers on their colours, or a thumbnail with its range. Knows plain data.

Blue is above zero, orange below, zero is the page: the scale is the same on both sides and ends at `peak`, the largest
magnitude of what is to be compared. What is not finite says so in words on a colour of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ..program.words import number as rounded
from .blocks import LETTER, Block, above, fitted, number, text
from .data import CORNER, WHOLE, Numbers
from .theme import TINTS, Palette

CELL = (38, 15)  # px of one number: five letters
SLAB = 4  # px between the matrices of an array with more than two axes
PIXELS, PIXEL = (12, 24), 7  # most rows and columns of a thumbnail, and px of one square

Array = npt.NDArray[np.float64]


def array_of(numbers: Numbers) -> Array | None:
    """All elements, or None where only a corner of a large array is left (a graph that was read from JSON)."""
    if numbers.array is not None:
        return np.asarray(numbers.array, float)
    return np.array(numbers.sample).reshape(numbers.shape) if numbers.size <= WHOLE else None


def peak_of(several: Iterable[Numbers]) -> float:
    """The largest finite magnitude in them."""
    ends = [abs(v) for numbers in several for v in (numbers.range.low, numbers.range.high) if math.isfinite(v)]
    return max(ends, default=0.0)


def power_of(peak: float) -> int:
    """The power of ten that is written once, above the numbers, where these are all too small or too large for a cell.

    >>> power_of(2.5), power_of(0.0021), power_of(51200.0)
    (0, -3, 4)
    """
    return 0 if peak == 0 or 0.1 <= peak < 9999.5 else max(-300, math.floor(math.log10(peak)))


def entry(v: float, whole: bool = False) -> str:
    """A number in at most five characters.

    >>> [entry(v) for v in (1.0, -0.004, 12.34, -1234.5, 0.0, math.nan)], entry(7.0, whole=True)
    (['1.00', '0.00', '12.3', '-1234', '0', 'NaN'], '7')
    """
    if not math.isfinite(v):
        return "NaN" if math.isnan(v) else "inf" if v > 0 else "-inf"
    size = abs(v)
    if whole or v == 0 or size >= 99.95:
        return f"{v:.0f}".replace("-0", "0") if size < 1 else f"{v:.0f}"
    said = f"{v:.1f}" if size >= 9.995 else f"{v:.2f}"
    return "0.00" if said == "-0.00" else said


def tint(v: float, peak: float, c: Palette) -> str | None:
    """The colour of a number, None for that of the page."""
    if not math.isfinite(v):
        return c["wrong"]
    level = round(TINTS * min(1.0, abs(v) / peak)) if peak else 0
    return c[f"{'below' if v < 0 else 'above'}_{level}"] if level else None


def heat(numbers: Numbers, c: Palette, width: float, peak: float | None = None) -> Block:
    """The heat map of a tensor, not wider than `width`; its scale ends at `peak` (its own largest magnitude)."""
    most = peak_of([numbers]) if peak is None else peak
    if numbers.size == 0:
        return text("empty", c["muted"])
    whole = array_of(numbers)
    if whole is None:  # a corner of it is all there is
        rows, columns = map(min, _plane_shape(numbers.shape), CORNER)
        corner = np.array(numbers.sample).reshape(rows, columns)[:, : max(1, int(width / CELL[0]))]
        said = f"corner of {rows} x {corner.shape[1]}; {numbers.brief}"
        return above(_numbers(corner, 0, most, c), text(fitted(said, width), c["muted"]))
    plane = whole.reshape(_plane_shape(whole.shape))
    rows, columns = plane.shape
    if rows <= CORNER[0] and columns <= CORNER[1] and columns * CELL[0] <= width:
        return _numbers(plane, _slab(whole.shape), most, c)
    small = extremes(plane)
    size = min(PIXEL, int(width / small.shape[1]))
    picture = _squares(small, (size, size), 0, most, c)
    bad = numbers.range.bad > 0
    return above(picture, text(fitted(numbers.brief, width), c["gradient" if bad else "muted"], bold=bad), gap=1)


def sparkline(what: str, sizes: Sequence[float], colour: str, c: Palette) -> Block:
    """How large equal blocks' tensors are: the first and the last size, and a bar for each (at most 24), by powers."""
    some = [sizes[round(k)] for k in np.linspace(0, len(sizes) - 1, min(len(sizes), PIXELS[1]))]
    known = [math.log(v) if v > 0 and math.isfinite(v) else None for v in some]
    high = max((v for v in known if v is not None), default=0.0)
    low = min([v for v in known if v is not None], default=0.0)
    low = min(low, high - 1.0)  # what hardly changes looks so

    def draw(x: float, y: float) -> str:
        said = ""
        for fill, present in ((colour, True), (c["wrong"], False)):  # zero, and what is not finite
            path = ""
            for k, v in enumerate(known):
                if (v is not None) is present:
                    tall = 2 if v is None else 2 + 12 * (v - low) / (high - low)
                    path += f"M{number(x + 4 * k)} {number(y + 15)}h3v{number(-tall)}h-3z"
            said += f'<path fill="{fill}" d="{path}"/>\n' if path else ""
        return said

    ends = f"|{what}| {rounded(sizes[0], 2)} .. {rounded(sizes[-1], 2)}"
    return above(Block(4 * len(some), 16, draw), text(ends, c["muted"]))


def extremes(plane: Array) -> Array:
    """A matrix of at most 12 x 24: of each block the element that is farthest from zero, NaN where one is not finite.

    >>> extremes(np.arange(50.0).reshape(1, 50))[0, :3]
    array([1., 3., 5.])
    """
    low = high = plane
    bad = ~np.isfinite(plane)
    for axis, most in enumerate(PIXELS):
        n = plane.shape[axis]
        starts = np.arange(min(n, most)) * n // min(n, most)
        low, high = np.fmin.reduceat(low, starts, axis), np.fmax.reduceat(high, starts, axis)
        bad = np.logical_or.reduceat(bad, starts, axis)
    return np.where(bad, np.nan, np.where(high >= -low, high, low))


def in_blocks(numbers: Numbers) -> bool:
    """Whether a square of its thumbnail stands for several numbers."""
    return any(n > most for n, most in zip(_plane_shape(numbers.shape), PIXELS, strict=True)) and numbers.size > 0


def _plane_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns in reading order: the leading axes are laid below each other."""
    return (math.prod(shape[:-1]), shape[-1]) if shape else (1, 1)


def _slab(shape: tuple[int, ...]) -> int:
    """Rows of each matrix of an array with more than two axes; 0 where there is one."""
    return shape[-2] if len(shape) > 2 else 0


def _numbers(plane: Array, slab: int, peak: float, c: Palette) -> Block:
    power = power_of(peak)
    shown = plane / 10.0**power
    finite = shown[np.isfinite(shown)]
    whole = bool((finite == np.round(finite)).all()) and not power
    (width, height), squares = CELL, _squares(plane, CELL, slab, peak, c)

    def draw(x: float, y: float) -> str:
        said = [squares.draw(x, y), f'<g text-anchor="end" fill="{c["ink"]}">']
        for i, row in enumerate(shown):
            down = number(y + i * height + _gap(i, slab) + LETTER)
            for j, v in enumerate(row):
                look = "" if math.isfinite(v) else f' fill="{c["bar_ink"]}" font-weight="bold"'
                at = number(x + (j + 1) * width - 3)
                said.append(f'<text x="{at}" y="{down}"{look}>{entry(float(v), whole)}</text>')
        return "\n".join([*said, "</g>\n"])

    grid = Block(squares.width, squares.height, draw)
    return above(text(f"x 1e{power}", c["muted"]), grid) if power else grid


def _squares(plane: Array, cell: tuple[int, int], slab: int, peak: float, c: Palette) -> Block:
    """The colours, as one path for each tint, in a thin frame."""
    (width, height), (rows, columns) = cell, plane.shape
    gap = 1 if width == CELL[0] else 0
    places: dict[str, list[tuple[int, int]]] = {}
    for (i, j), v in np.ndenumerate(plane):
        colour = tint(float(v), peak, c)
        if colour is not None:
            places.setdefault(colour, []).append((i, j))
    tall = rows * height + _gap(rows - 1, slab)

    def draw(x: float, y: float) -> str:
        frame = f'x="{number(x - 0.5)}" y="{number(y - 0.5)}" width="{columns * width}" height="{tall}" fill="none"'
        said = f'<rect {frame} stroke="{c["cluster_line"]}" stroke-width=".6"/>\n'
        for colour, cells in places.items():
            path = "".join(
                f"M{number(x + j * width)} {number(y + i * height + _gap(i, slab))}"
                f"h{width - gap}v{height - gap}h{gap - width}z"
                for i, j in cells
            )
            said += f'<path fill="{colour}" d="{path}"/>\n'
        return said

    return Block(columns * width, tall, draw)


def _gap(row: int, slab: int) -> int:
    return row // slab * SLAB if slab else 0
