"""Every command of README and docs is one that there is, with options that it has."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
from pathlib import Path

import pytest

from examples.diagrams import DIAGRAMS
from minigrad.cli import parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """What stands on a page as a command: between backticks, or as a line of a block for the shell."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"`([^`\n]+)`", text)
    found += [line.removeprefix("$ ") for block in BLOCK.findall(text) for line in block.splitlines()]
    parts = [re.split(r"   #| < ", part)[0].strip() for command in found for part in command.split(" && ")]
    return [part for part in parts if re.match(r"\S*(minigrad|python3?) \S", part)]


def refused(arguments: list[str]) -> str:
    """What the command line says against these arguments."""
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        with contextlib.suppress(SystemExit):  # also after --help
            parser().parse_args(arguments)
        return said.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path):
    for command in commands(page):
        if "COMMAND" in command or "..." in command:
            continue
        words = shlex.split(command.split(" | ")[0].split(" > ")[0], comments=True)
        if words[1:3] == ["-m", "minigrad"]:
            words = words[2:]
        if words[0].endswith("minigrad") and len(words) < 3:  # the name of a command
            continue
        if words[0].endswith("minigrad"):
            assert not refused(words[1:]), f"{page.name}: {command}: {refused(words[1:])}"
        elif words[1] == "-m" and words[2].split(".")[0] in ("examples", "benchmarks", "tests"):
            assert importlib.util.find_spec(words[2]) is not None, f"{page.name}: {command}"
            if words[2] == "examples.diagrams" and len(words) > 3 and not words[3].startswith("-"):
                assert words[3] in DIAGRAMS, f"{page.name}: {command}"


def test_commands_are_found():
    assert "invalid choice" in refused(["bench"])
    assert len(commands(ROOT / "README.md")) > 8
