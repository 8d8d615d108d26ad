"""The notebooks run, cell by cell, without a notebook server; and what is kept of their outputs is small and clean."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from examples.notebooks.__main__ import METADATA, notebooks

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
BOOKS = [json.loads(path.read_text(encoding="utf-8")) for path in notebooks()]
NAMES = [path.stem for path in notebooks()]
LARGEST = 400_000  # bytes of a notebook with its outputs: each picture as SVG, and as PNG for who does not trust it


def code_of(book):
    return ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]


def outputs_of(book):
    return [output for cell in book["cells"] for output in cell.get("outputs", ())]


def test_there_is_one_for_each_subject():
    assert NAMES == ["batch_norm", "from_torch", "graphs", "precision", "training"]


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_cells_run(book, tmp_path, monkeypatch, capsys):
    if any("import torch" in source for source in code_of(book)):
        pytest.importorskip("torch", reason="this notebook is on a model from PyTorch")
    if any(".plot(" in source for source in code_of(book)):
        pytest.importorskip("matplotlib", reason="this notebook plots")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, source in enumerate(code_of(book), 1):
        exec(compile(source, f"cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    kept = "".join("".join(o["text"]) for o in outputs_of(book) if o["output_type"] == "stream")
    assert printed == kept, "what the cells print is what is kept: run python -m examples.notebooks"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_outputs_are_kept_small_and_clean(book):
    text = json.dumps(book)
    assert len(text) < LARGEST
    assert book["metadata"] == METADATA
    assert all(cell["metadata"] == {} for cell in book["cells"])
    assert not [o for o in outputs_of(book) if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert not re.search(r"0x[0-9a-f]{6}|/home/|/tmp/|/Users/|[A-Z]:\\\\", text), "nothing of the machine"
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), "run in order"
    kinds = {kind for o in outputs_of(book) for kind in o.get("data", ())}
    assert kinds & {"image/svg+xml", "text/html"}, "something to look at"


@pytest.mark.parametrize("book", BOOKS, ids=NAMES)
def test_outputs_look_right_before_they_are_trusted(book):
    """JupyterLab shows neither SVG output nor SVG elements of HTML before a notebook is run: each has a twin."""
    for output in outputs_of(book):
        data = output.get("data", {})
        assert "image/svg+xml" not in data or "image/png" in data
        assert "<svg" not in "".join(data.get("text/html", ""))


@pytest.mark.parametrize("path", notebooks(), ids=NAMES)
def test_links_lead_somewhere(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "markdown"]
    text = "".join("".join(cell["source"]) for cell in cells)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / target).exists(), target
