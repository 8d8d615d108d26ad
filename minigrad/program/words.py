"""How numbers, shapes and parameters are written in formulas and tables. Knows NumPy; nothing of graphs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


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


def shape(of: tuple[int, ...]) -> str:
    """(4, 3), (3,), ()."""
    return "(" + ", ".join(map(str, of)) + ("," if len(of) == 1 else "") + ")"


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
    said = str(x) if isinstance(x, np.dtype) else repr(x)
    if " at 0x" in said or isinstance(x, type):  # an address would make every run's picture another one
        return getattr(x, "__name__", type(x).__name__)
    return cut(said, 40)


def index(x: Any) -> str:
    """What stands between the brackets of x[...]."""
    parts = x if isinstance(x, tuple) else (x,)
    return ", ".join(parameter(part) for part in parts) or "()"
