"""Run the notebooks of this folder and keep their outputs: python -m examples.notebooks [NAME ...]

Needs `pip install nbformat nbclient ipykernel`. Nothing of the machine is written: no times, no paths, no versions.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks() -> list[Path]:
    """The notebooks, by name."""
    return sorted(HERE.glob("*.ipynb"))


def executed(path: Path) -> Any:
    """The notebook with the outputs of a fresh kernel; an error in a cell is raised."""
    nbformat: Any = importlib.import_module("nbformat")
    nbclient: Any = importlib.import_module("nbclient")
    book = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(HERE.parent.parent)}}
    nbclient.NotebookClient(book, timeout=600, kernel_name="python3", resources=where).execute()
    return tidy(book)


def tidy(book: Any) -> Any:
    """Without what differs from machine to machine and from run to run."""
    book["metadata"] = METADATA
    for cell in book["cells"]:
        cell["metadata"] = {}
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output["metadata"] = {}
    return book


def main(argv: Sequence[str] | None = None) -> int:
    """Run those named, or all."""
    known = {path.stem: path for path in notebooks()}
    parser = argparse.ArgumentParser(prog="python -m examples.notebooks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (all)")
    args = parser.parse_args(argv)
    for name in args.names or known:
        if name not in known:
            parser.error(f"there is no notebook {name!r}; there are {', '.join(known)}")
        book = executed(known[name])
        known[name].write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"ran {name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
