"""The command line for programs: --json, NO_COLOR."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.check import compare
from minigrad.cli import main
from minigrad.training.progress import Progress


def strict(text):
    """JSON as every reader takes it: without NaN and Infinity."""

    def refuse(word):
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_batchnorm_as_json(tmp_path, capsys):
    assert main(["batchnorm", "--out", str(tmp_path / "o"), "--format", "dot", "--json"]) == 0
    found = strict(capsys.readouterr().out)
    assert found["agree"] is True
    assert (found["rows"], found["columns"], found["eps"], found["dtype"]) == (7, 3, 1e-6, "float64")
    assert [q["name"] for q in found["report"]["quantities"]][:4] == ["y", "dx", "dgamma", "dbeta"]
    assert found["report"]["costs"][1]["ops"] == 1
    assert found["staged"]["labels"] == ["staged", "fused"]
    assert sorted(found["files"]) == sorted(str(p) for p in (tmp_path / "o").iterdir())


def test_compare_as_json(tmp_path, capsys):
    shapes = ["--shape", "7,3", "--shape", "3"]
    assert main(["compare", "minigrad:layer_norm_composed", "minigrad:layer_norm", *shapes, "--json"]) == 0
    found = strict(capsys.readouterr().out)
    assert found["agree"] is True
    assert all(q["agree"] and q["error"] <= q["bound"] for q in found["quantities"])
    file = tmp_path / "mine.py"
    file.write_text("def f(x): return x * x * 1.001\n")
    assert main(["compare", f"{file}:f", "minigrad:square", "--shape", "4", "--json"]) == 1
    found = strict(capsys.readouterr().out)
    assert found["agree"] is False
    assert [q["name"] for q in found["quantities"] if not q["agree"]] == ["y", "dx", "Hv x", "Jv"]


def test_problems_are_told_as_before(tmp_path, capsys):
    assert main(["compare", "nothing", "minigrad:square", "--shape", "3", "--json"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("minigrad: ")


def test_what_is_not_finite_becomes_null():
    report = compare(lambda x: x[0], lambda x: x, [np.ones((2, 2))], order=0)
    found = report.as_data()
    assert found["quantities"][0]["error"] is None
    assert "(2,)" in found["quantities"][0]["note"]
    strict(json.dumps(found))
    undifferentiable = compare(lambda x: x.detach(), lambda x: x * 1.0, [np.ones(2)], order=1)
    strict(json.dumps(undifferentiable.as_data()))


# Colour -----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize("wanted", [True, False])
def test_no_color_is_respected(monkeypatch, wanted):
    """The progress bar is the only thing in colour; rich knows NO_COLOR, and nothing here overrules it."""
    pytest.importorskip("rich")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    if not wanted:
        monkeypatch.setenv("NO_COLOR", "1")
    with Progress(2, "epoch", shown=True) as progress:
        progress.advance("half")
        progress.advance("done")
    colours = re.findall(r"\x1b\[(?:\d+;)*(?:3[0-7]|38;|4[0-7]|48;|9[0-7])[\d;]*m", screen.getvalue())
    assert bool(colours) == wanted
    assert "epoch" in screen.getvalue()


def test_nothing_else_is_in_colour(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["batchnorm", "--out", str(tmp_path), "--format", "dot"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    source = "".join(path.read_text() for path in Path(mg.__file__).parent.rglob("*.py"))
    assert "\\x1b" not in source
    assert "\\033" not in source
