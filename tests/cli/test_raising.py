"""What a user's function raises is told in one line by every command that calls it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minigrad.cli import main

RAISES = """
class Mute(Exception):
    def __str__(self):
        raise RuntimeError

def f(x):
    raise {}
"""


@pytest.mark.parametrize(
    "command", ["derive {f}", "source {f}", "draw {f} --out f.svg", "compare {f} {f}", "check {f} {f}"]
)
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("KeyError('k')", "KeyError: 'k'"),
        ("ValueError('a\\x1b[31m\\nb')", r"ValueError: a\\x1b\[31m b"),
        ("AssertionError", "AssertionError: no message"),
        ("SystemExit(3)", "SystemExit: 3"),
        ("Mute", "Mute: Mute without words"),
    ],
)
def test_what_a_function_raises_is_told_in_one_line(tmp_path, monkeypatch, capsys, command, what, said):
    monkeypatch.chdir(tmp_path)
    Path("raising.py").write_text(RAISES.format(what))
    assert main([*command.format(f="raising.py:f").split(), "--shape", "2,3"]) == 2
    told = capsys.readouterr().err
    assert re.search(rf"\A(?=.*raising\.py|minigrad: running them failed).*{said}\n\Z", told), told
