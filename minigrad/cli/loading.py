"""Finding a user's function from `module:function` or `FILE.py:function`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .problems import Problem, running


def load_function(name: str) -> Callable[..., Any]:
    """The function named. Its module is imported, so its top-level code runs; what goes wrong there is told."""
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise Problem(f"{name!r}: expected MODULE:FUNCTION or FILE.py:FUNCTION")
    with running(f"{place}: importing it"):
        module = _from_file(Path(place)) if place.endswith(".py") else _from_path(place)
    function: object = module
    for part in attribute.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        found = "is not a function" if function is not None else "is not there"
        raise Problem(f"{name}: {attribute} {found}; {place} has {_listed(module, attribute)}")
    return function


def _from_file(file: Path) -> Any:
    if not file.is_file():
        raise Problem(f"{file}: no such file; expected MODULE:FUNCTION or FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise Problem(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)  # dataclasses and pickle look their module up by name
    sys.path.insert(0, str(file.parent.resolve()))  # as `python FILE.py` does
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def _from_path(name: str) -> Any:
    sys.path.insert(0, "")  # as `python -m` does
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def _listed(module: Any, wanted: str) -> str:
    """What may have been meant: the nearest of a module's own functions and public names, else the first of them."""
    own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__]
    names = list(getattr(module, "__all__", [n for n in own if not n.startswith("_")]))
    names = difflib.get_close_matches(wanted, names) or names[:12]
    return "the functions " + ", ".join(names) if names else "no functions of its own"
