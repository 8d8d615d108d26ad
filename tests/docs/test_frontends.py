"""docs/from-pytorch-and-jax.md: its blocks run and print what they show, each half where its library is installed."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "from-pytorch-and-jax.md"
BLOCK = re.compile(r"^```py\n(.*?)^```", re.MULTILINE | re.DOTALL)
HALVES = dict(zip(("torch", "jax"), PAGE.read_text(encoding="utf-8").split("## From JAX"), strict=True))


@pytest.mark.parametrize("library", HALVES)
def test_blocks_run(library, tmp_path, monkeypatch, capsys):
    module = pytest.importorskip(library, reason=f"this half of the page needs {library}")
    monkeypatch.chdir(tmp_path)
    source = "\n".join(BLOCK.findall(HALVES[library]))
    if library == "jax":
        source = ">>> import minigrad as mg\n" + source
        before = module.config.jax_enable_x64
    case = doctest.DocTestParser().get_doctest(source, {}, library, str(PAGE), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    try:
        runner.run(case)
    finally:
        if library == "jax":
            module.config.update("jax_enable_x64", before)
    assert runner.tries > 5
    assert not runner.failures, capsys.readouterr().out
