"""The API reference is built from the docstrings without a warning, and holds every public name."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import minigrad as mg

SCRIPT = Path(__file__).parents[2] / "docs" / "reference.py"


@pytest.mark.filterwarnings("error")
def test_it_is_built_without_a_warning_and_holds_every_public_name(tmp_path):
    pytest.importorskip("pdoc", reason="the reference is built by pdoc")
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    reference.build(tmp_path)
    page = (tmp_path / "minigrad.html").read_text(encoding="utf-8")
    modules = {path.stem for path in (tmp_path / "minigrad").glob("*.html")}
    assert {"check", "nn", "optim", "training", "data", "export", "core", "program", "exercises"} <= modules
    assert [name for name in mg.__all__ if f'id="{name}"' not in page and name not in modules] == []
    text = re.sub(r"<[^>]+>", "", page)
    assert "axis: Axis = 0" in text, "annotations as they are written"
