"""How numbers, shapes and names are written in pictures; and how any text is made safe for DOT and HTML."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np

from .data import Numbers


def number(v: float, digits: int = 3) -> str:
    """Significant digits, e-notation below 1e-3 and where the digits do not reach.

    >>> number(0.28125), number(-0.00057), number(1234.0), number(1e-12, 2)
    ('0.281', '-5.70e-4', '1.23e3', '1.0e-12')
    """
    if not math.isfinite(v):
        return str(v)
    small = v == 0 or 1e-3 <= abs(v) < 10**digits
    text = f"{v:.{digits}g}" if small else f"{v:.{digits - 1}e}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def brief(numbers: Numbers | None) -> str:
    """One short line: `none`, a scalar, up to three numbers, else the range; what is not finite is said first."""
    if numbers is None:
        return "none"
    if numbers.size == 0:
        return "empty"
    if numbers.range.bad:
        return f"{numbers.range.bad}/{numbers.size} NAN/INF"
    if not numbers.shape:
        return number(numbers.sample[0])
    if numbers.size <= 3:
        return "[" + " ".join(number(v, 2) for v in numbers.sample) + "]"
    low, high = numbers.range.low, numbers.range.high
    return f"all {number(low)}" if low == high else f"{number(low)} .. {number(high)}"


def shape(of: tuple[int, ...]) -> str:
    """(4, 3), (3,), ()."""
    return "(" + ", ".join(map(str, of)) + ("," if len(of) == 1 else "") + ")"


def size(nbytes: int) -> str:
    """Bytes as a person says them.

    >>> size(240), size(20480), size(3 << 20)
    ('240 B', '20 KB', '3.0 MB')
    """
    if nbytes < 10_000:
        return f"{nbytes} B"
    return f"{nbytes / 1024:.0f} KB" if nbytes < 1 << 20 else f"{nbytes / (1 << 20):.1f} MB"


def cut(text: str, most: int) -> str:
    """The text, or its two ends with ... in the middle.

    >>> cut("a_rather_long_name_indeed", 12)
    'a_rat...deed'
    """
    if len(text) <= most:
        return text
    head = (most - 2) // 2
    return text[:head] + "..." + text[len(text) - (most - 3 - head) :]


def constant(x: Any) -> str:
    """A constant inside an expression.

    >>> constant(1e-05), constant(-2.0), constant(True), constant((0, 1))
    ('1e-05', '(-2.0)', 'True', '(0, 1)')
    """
    if isinstance(x, np.ndarray):
        if x.ndim == 0:
            return constant(x.item())
        return "[" + " ".join(number(float(v), 2) for v in x.ravel()) + "]" if x.size <= 3 else f"array{shape(x.shape)}"
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, (int, float)) and not isinstance(x, bool):
        return f"({x!r})" if x < 0 else repr(x)
    return parameter(x)


def parameter(x: Any) -> str:
    """A parameter such as axis=(0, 1) or an index, in one short piece."""
    if isinstance(x, slice):
        step = "" if x.step is None else f":{x.step}"
        return f"{'' if x.start is None else x.start}:{'' if x.stop is None else x.stop}{step}"
    if x is Ellipsis:
        return "..."
    if isinstance(x, np.ndarray):
        return constant(x)
    if isinstance(x, tuple) and any(isinstance(part, np.ndarray) for part in x):
        return "(" + ", ".join(parameter(part) for part in x) + ")"
    said = repr(x)
    if " at 0x" in said or isinstance(x, type):  # an address would make every run's picture another one
        return getattr(x, "__name__", type(x).__name__)
    return cut(said, 40)


def index(x: Any) -> str:
    """What stands between the brackets of x[...]."""
    parts = x if isinstance(x, tuple) else (x,)
    return ", ".join(parameter(part) for part in parts)


# --------------------------------------------------------------------------------------------------------------
# Safe text


def clean(text: object) -> str:
    """Printable text on one line: control characters, lone surrogates and line ends become visible marks.

    >>> clean("a\\nb\\x00c")
    'a b?c'
    """
    said = str(text)
    if said.isascii() and said.isprintable():
        return said
    return "".join(" " if c in "\n\r\t" else c if c.isprintable() else "?" for c in said)


def escaped(text: object) -> str:
    """For the text of an HTML-like label, of SVG and of HTML."""
    return html.escape(clean(text), quote=False)


def attribute(text: object) -> str:
    """For a quoted attribute of DOT or HTML: quotes and backslashes as entities too, so that nothing can end it."""
    return html.escape(clean(text), quote=True).replace("\\", "&#92;")
