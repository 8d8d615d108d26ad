"""The two sides of docs/coming-from.md: a program of another library, and ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
PAIR = re.compile(r"^```py\n(.*?)^```.*?^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def sides(marker: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The names that the pair of programs whose left side has `marker` leaves behind: theirs, and ours."""
    (pair,) = [pair for pair in PAIR.findall(PAGE.read_text(encoding="utf-8")) if marker in pair[0]]
    left: dict[str, Any] = {}
    right: dict[str, Any] = {}
    for source, names in zip(pair, (left, right), strict=True):
        exec(compile(source, PAGE.name, "exec"), names)
    return left, right
