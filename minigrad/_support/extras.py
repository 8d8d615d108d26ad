"""Packages that are not needed to import minigrad, imported where they are used, with an error that says what to do."""

from __future__ import annotations

import importlib
from typing import Any


def needs(module: str, purpose: str, *, extra: str = "train", package: str | None = None) -> Any:
    """The module, or an ImportError that names the package and the extra which brings it.

    >>> needs("json", "reading").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = package or module.partition(".")[0]
        named = f'{name} (extra "{extra}")' if extra else name
        raise ImportError(f"{purpose} needs the package {named}: pip install {name}") from error
