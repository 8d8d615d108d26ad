"""Words of others in our messages: names, paths and errors are shown as they are, but never run on a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence


def visible(text: object, most: int = 300) -> str:
    r"""On one line, at most `most` characters; whatever is no printable character stands as its escape.

    >>> visible("a\x07b"), visible("x" * 50, 20)
    ('a\\x07b', 'xxxxxxxxx...xxxxxxxx')
    """
    try:
        said = str(text)
    except Exception:  # an exception of somebody's own may fail to say what it is
        said = f"{type(text).__name__} without words"
    if len(said) > most:
        half = (most - 3) // 2
        said = f"{said[: most - 3 - half]}...{said[-half:]}"
    return printable(" ".join(said.split()))


def printable(text: object) -> str:
    """The same of several lines, as they are but for what no terminal should run."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in str(text))


def plainly(error: Exception) -> str:
    """What NumPy says of an operation, without the words of its inside.

    >>> import numpy as np
    >>> try:
    ...     np.ones((2, 3)) @ np.ones((2, 3))
    ... except ValueError as error:
    ...     print(plainly(error))
    the last axis of x has length 3, the second to last (or only) of y 2; they must be equal
    """
    text = str(error)
    if "gufunc" not in text:
        return text
    if found := re.search(r"size (\d+) is different from (\d+)", text):
        y, x = found.groups()
        return f"the last axis of x has length {x}, the second to last (or only) of y {y}; they must be equal"
    return "both need at least one axis; * multiplies by a single number"


def listed(items: Sequence[object], most: int = 10, between: str = "; ") -> str:
    """The first of them, and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    'a; b; and 1 more'
    """
    more = [f"and {len(items) - most} more"] if len(items) > most else []
    return between.join([*(visible(item) for item in items[:most]), *more])
