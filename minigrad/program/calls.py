"""Functions of arrays that are no primitives, because they have no gradient, and that a program may contain.

Each has a name for JSON. Everything else that a callback runs (a random draw, a check of the user's own) stays a Python
object in the program: it runs, but cannot be written down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functional, losses
from ..normalization import batch

CALLS: dict[Callable[..., Any], str] = {
    functional._largest: "largest",
    losses._class_numbers: "class_numbers",
    losses._one_hot: "one_hot",
    losses._in_range: "in_range",
    batch.first_row: "first_row",
    np.less_equal: "less_equal",
    np.ravel: "ravel",
}
