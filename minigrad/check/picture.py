"""A small picture of where a Jacobian is off: blocks of text on a terminal, squares in a notebook."""

from __future__ import annotations

import numpy as np

from .._support.notebook import GREY, WRONG, escaped, image
from .numerical import FloatArray

SHADES = " .:*#"
ROWS, COLUMNS = 16, 60  # at most; larger ones are drawn by the largest of each block


def blocks(off: FloatArray) -> FloatArray:
    """|analytic - numeric| as at most ROWS x COLUMNS numbers from 0 to 1, the largest of each block.

    >>> blocks(np.diag([1.0, 2.0])).tolist()
    [[0.5, 0.0], [0.0, 1.0]]
    """
    for axis, most in enumerate((ROWS, COLUMNS)):
        n = off.shape[axis]
        if n > most:
            starts = np.unique(np.arange(most) * n // most)
            off = np.maximum.reduceat(off, starts, axis=axis)
    size = float(np.max(off, initial=0.0))
    return off / size if size else off


def text(title: str, off: FloatArray) -> str:
    """The picture in letters, one for each block: the darker, the further off."""
    shade = np.ceil(blocks(off) * (len(SHADES) - 1)).astype(int)
    return "\n".join([title, *("|" + "".join(SHADES[k] for k in row) + "|" for row in shade)])


def squares(title: str, off: FloatArray) -> str:
    """The picture for a notebook: the stronger the colour, the further off."""
    shade = blocks(off)
    drawn = "".join(
        f'<rect x="{10 * j}" y="{10 * i}" width="10" height="10" fill="{WRONG}" fill-opacity="{shade[i, j]:.2f}"/>'
        for i, j in np.argwhere(shade > 0)
    )
    high, wide = (10 * n for n in shade.shape)
    frame = f'<rect width="{wide}" height="{high}" fill="none" stroke="{GREY}"/>'
    size = f'width="{wide}" height="{high}" viewBox="0 0 {wide} {high}"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{drawn}{frame}</svg>'
    return f"<div>{escaped(title)}</div>{image(svg, title, wide)}"
