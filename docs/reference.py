"""Build the API reference from the docstrings: python docs/reference.py [FOLDER]

Needs `pip install pdoc`. A warning is an error. The folder holds HTML that needs no network; it is not kept in the
repository.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODULES = ["minigrad", "minigrad.extend", "minigrad.program", "minigrad.exercises", "minigrad.core"]


class Written:
    """An annotation as it stands in the source: `Data | None` says more than what the alias unfolds to."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def build(folder: Path, modules: Sequence[str] = MODULES) -> None:
    """Write the pages of the modules and of their public submodules; a warning is raised."""
    pdoc: Any = importlib.import_module("pdoc")
    doc: Any = importlib.import_module("pdoc.doc")

    def as_written(annotation: Any, *_: Any) -> Any:
        return Written(annotation) if isinstance(annotation, str) else annotation

    pdoc.render.configure(docformat="markdown", footer_text="minigrad", math=False, show_source=True)
    types: Any = importlib.import_module("pdoc.doc_types")
    evaluated = types.safe_eval_type
    doc.safe_eval_type = types.safe_eval_type = as_written
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pdoc.pdoc(*modules, output_directory=folder)
    finally:
        doc.safe_eval_type = types.safe_eval_type = evaluated


def main(argv: Sequence[str] | None = None) -> int:
    """Build it, and say where."""
    parser = argparse.ArgumentParser(prog="python docs/reference.py", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("reference"))
    args = parser.parse_args(argv)
    sys.path.insert(0, str(ROOT))
    try:
        build(args.folder)
    except ImportError as error:
        raise SystemExit(f"{error}: the reference needs pip install pdoc") from None
    print(f"wrote {args.folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
