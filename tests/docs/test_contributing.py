"""CONTRIBUTING.md tells the truth: its primitive, added to a copy of the package as it says, passes the tests."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad

from .test_docs import test_links_lead_somewhere as links_lead_somewhere

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
FUNCTION, ROW = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
TESTS = ("tests/ops", "tests/test_interop.py")
RULE = "-0.5 * g * out * out * out"


def insert(file, after, line):
    text = file.read_text(encoding="utf-8")
    assert text.count(after) == 1, f"{file.name}: {after!r}"
    file.write_text(text.replace(after, after + line), encoding="utf-8")


@pytest.mark.parametrize(
    ("rule", "row", "failed"),
    [
        (RULE, ROW, None),
        ("0.5 * g * out * out * out", ROW, "order_2"),
        (RULE, "", "test_the_table_names_every_primitive"),
    ],
    ids=["as the page says", "with a wrong rule", "without its row"],
)
def test_its_primitive_is_all_that_the_suite_asks_for(rule, row, failed, tmp_path):
    for folder in (Path(minigrad.__file__).parent, ROOT / "tests"):
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ops = tmp_path / "minigrad" / "ops"
    assert RULE in FUNCTION
    with open(ops / "elementwise.py", "a", encoding="utf-8") as file:
        file.write("\n\n" + FUNCTION.replace(RULE, rule))
    insert(ops / "__init__.py", "from .elementwise import (\n", "    rsqrt,\n")
    insert(ops / "__init__.py", "__all__ = [\n", '    "rsqrt",\n')
    with open(tmp_path / "tests" / "table.py", "a", encoding="utf-8") as file:
        file.write(row)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [*command, "-k", "rsqrt or table"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode == 0) == (failed is None), done.stdout
    assert failed is None or re.search(rf"^FAILED .*{failed}", done.stdout, re.MULTILINE), done.stdout
    assert row == "" or int(re.findall(r"(\d+) passed", done.stdout)[0]) > 10


def test_its_links_and_folders_are_there():
    links_lead_somewhere(PAGE)
    text = PAGE.read_text(encoding="utf-8")
    for place in re.findall(r"`((?:minigrad|tests|\.ci|docs)/[\w./]*)", text):
        assert (ROOT / place).exists() or (Path(minigrad.__file__).parent.parent / place).exists(), place
