"""Every Python block of the README and of docs/ runs, and says what it shows."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import minigrad

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page, tmp_path, monkeypatch, capsys):
    """Blocks of a page share their names, in order; those with >>> are compared with what they print."""
    monkeypatch.chdir(tmp_path)  # whatever a block writes lands there
    names: dict[str, object] = {"__name__": "__docs__"}
    text = page.read_text(encoding="utf-8")
    for number, block in enumerate(BLOCK.findall(text)):
        where = f"{page.name}, Python block {number + 1}"
        if block.lstrip().startswith(">>>"):
            case = doctest.DocTestParser().get_doctest(block, names, where, str(page), 0)
            runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
            runner.run(case, clear_globs=False)
            names.update(case.globs)
            assert not runner.failures, f"{where}: {capsys.readouterr().out}"
        else:
            exec(compile(block, where, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            place = page.parent / target
            source = target.removeprefix("../")
            if source.startswith("minigrad/"):  # tested where it is installed, which need not be beside the docs
                place = Path(minigrad.__file__).parent.parent / source
            assert place.exists(), f"{page.name} links to {target}, which is not there"


def test_the_readme_has_the_two_lines_that_ci_runs():
    lines = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "-m venv" in line]
    ends = [".venv/bin/minigrad batchnorm", ".venv/bin/python -m pytest -n auto"]
    assert [line.split(" && ")[-1] for line in lines] == ends
    assert all(line.startswith("python3 -m venv ") for line in lines)
    assert "grep '^python3 -m venv ' \"$here/README.md\"" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_promise_has_its_test():
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)?test_\w+\.py)::(\w+)`", text)
    assert len(named) > 50
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8")
    ]
    assert not missing
