"""Where in the user's code we are."""

from __future__ import annotations

import os
import re
import sys

_HOME = os.path.dirname(os.path.dirname(__file__))


def source_line() -> tuple[str, int]:
    """File and line of the nearest caller outside this package.

    A notebook's kernel runs a cell from a file whose name it makes up, with its own number in it: "notebook cell" here.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HOME):
        frame = frame.f_back
    file = frame.f_code.co_filename
    return "notebook cell" if re.search(r"[/\\]ipykernel_[0-9]+[/\\]", file) else file, frame.f_lineno
