"""A person's own table: the commands of docs/training.md and what they print, with Ctrl-C where the page has ^C."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import heeds_ctrl_c

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
SETTLED = ("epoch 200/200", "training loss", "validation r2", "mean absolute error", "2,", "3,")  # compared as numbers


def commands() -> list[tuple[str, list[str]]]:
    """(command, the lines below it) of every console block."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def printed(command: str, stop: bool) -> list[str]:
    """What a command prints, standard output and error together; stopped as by Ctrl-C after its third report."""
    words = [sys.executable, "-m", *shlex.split(command)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heeds_ctrl_c
    ) as process:
        lines, reports = [], 0
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            reports += line.startswith("epoch ")
            if stop and reports == 3:
                process.send_signal(signal.SIGINT)
                stop = False
    assert process.returncode == (130 if "interrupted" in "".join(lines) else 2 if "minigrad: " in lines[-1] else 0)
    return lines


def agree(shown: list[str], lines: list[str]) -> str:
    """ "" if `lines` are what the page shows; "..." stands for any, numbers of a finished run for similar ones."""
    k = 0
    for number, line in enumerate(shown):
        if line == "^C":
            continue
        if line == "...":
            wanted = next((x for x in shown[number + 1 :] if x not in ("^C", "...")), None)
            start = wanted[: wanted.index("  ")] if wanted and wanted.startswith("epoch ") else ""
            while k < len(lines) and not (wanted and _alike(lines[k], wanted) and lines[k].startswith(start)):
                k += 1
            continue
        if k >= len(lines) or not _alike(lines[k], line):
            return f"the page has {line!r}, printed was {lines[k] if k < len(lines) else 'no more'!r}"
        if line.startswith(SETTLED):
            ours, theirs = ([float(x) for x in NUMBER.findall(text.split(" in epoch")[0])] for text in (lines[k], line))
            if not np.allclose(ours, theirs, rtol=0.1, atol=0.02):
                return f"the page has {line!r}, printed was {lines[k]!r}"
        k += 1
    return ""


def _alike(a: str, b: str) -> bool:
    return NUMBER.sub("#", a) == NUMBER.sub("#", b)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's own block that writes the tables has run there."""
    home = tmp_path_factory.mktemp("page")
    block = next(b for b in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "houses.csv" in b)
    subprocess.run([sys.executable, "-c", block], cwd=home, check=True)
    return home


def test_the_commands_of_the_page_print_what_it_shows(folder: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    monkeypatch.chdir(folder)
    assert len(commands()) == 5
    for command, shown in commands():
        lines = printed(command, stop="^C" in shown)
        assert agree(shown, lines) == "", f"{command}\n" + "\n".join(lines)


def test_the_comparison_finds_what_differs():
    assert agree(["a 1", "...", "c"], ["a 2", "b", "b", "c"]) == ""
    assert "printed was 'b'" in agree(["a", "c"], ["a", "b"])
    assert "no more" in agree(["a", "...", "c"], ["a", "b"])
    assert "0.9" in agree(["validation r2 0.9"], ["validation r2 0.5"])
