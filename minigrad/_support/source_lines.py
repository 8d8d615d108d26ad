"""Where in the user's code we are."""

from __future__ import annotations

import os
import sys

_HOME = os.path.dirname(os.path.dirname(__file__))


def source_line() -> tuple[str, int]:
    """File and line of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HOME):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
