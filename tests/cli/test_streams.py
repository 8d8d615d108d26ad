"""Streams that are closed, readers that go away, and words of others that must not run on a terminal."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.cli import main

COMMANDS = {
    "batchnorm": "batchnorm --out {out} --format dot",
    "compare": "compare minigrad:layer_norm_composed minigrad:layer_norm --shape 5,3",
    "draw": "draw minigrad:batch_norm_composed --shape 5,3 --out {out}/x.dot",
    "train": "train {table} --target y --epochs 2 --csv {out}/x.csv --save {out}/x.npz",
    "a problem": "draw nothing",
    "no such option": "draw --nothing",
}


def command(name: str, folder: Path) -> str:
    table = folder.parent / f"{folder.name}.csv"
    table.write_text("a,y\n" + "".join(f"{k},{'no' if k % 3 else 'yes'}\n" for k in range(40)))
    return COMMANDS[name].format(out=folder, table=table)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing_else(name: str, closed: str, tmp_path: Path):
    line = f"'{sys.executable}' -m minigrad {command(name, tmp_path)} {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert done.returncode == (2 if name in ("a problem", "no such option") else 0)
    assert "Error" not in done.stderr
    for file in tmp_path.iterdir():  # nothing that was printed went into a file
        assert b"no renderer" not in file.read_bytes()
        assert b"wrote " not in file.read_bytes()
        assert file.suffix != ".dot" or file.read_text().startswith("digraph")


@pytest.mark.parametrize("name", ["batchnorm", "compare", "draw", "train"])
def test_a_reader_that_goes_away_ends_it_quietly(name: str, tmp_path: Path):
    code = "import os, sys\nr, w = os.pipe()\nos.close(r)\nos.dup2(w, 1)\n"
    code += "os.execv(sys.executable, [sys.executable, '-m', 'minigrad', *sys.argv[1:]])"
    line = [sys.executable, "-c", code, *command(name, tmp_path).split()]
    done = subprocess.run(line, stderr=subprocess.PIPE, text=True)
    assert done.returncode == (0 if name == "train" else 141)  # a training goes on, and writes what it was asked for
    assert "Err" not in done.stderr
    assert name == "train" or done.stderr == ""
    assert name != "train" or (tmp_path / "x.npz").exists()


def test_no_reader_of_the_complaint_either():
    line = f"'{sys.executable}' -m minigrad draw nothing 2>/dev/full"
    assert subprocess.run(["sh", "-c", line], capture_output=True).returncode == 2


RED = "a\x1b[31mb"


def test_names_in_messages_and_titles_do_not_run_on_a_terminal(tmp_path, capsys):
    folder = tmp_path / RED
    folder.mkdir()
    script = folder / "f.py"
    script.write_text(f"import minigrad as mg\ndef f(x):\n    return {{{RED!r}: mg.exp(x)}}\ng = f\n")
    np.savez(tmp_path / "many.npz", **{RED: np.ones((3, 2)), "other": np.ones((3, 2))})  # type: ignore[arg-type]
    (tmp_path / "table.csv").write_text(f"{RED},1\n2,3\n")
    for arguments in (
        ["draw", f"{script}:f", "--shape", "2", "--out", str(folder / "x.dot")],
        ["draw", f"{script}:{RED}"],
        ["draw", RED],
        [RED],
        ["batchnorm", str(folder / "missing.csv")],
        ["batchnorm", str(tmp_path / "many.npz")],
        ["batchnorm", str(tmp_path / "table.csv")],
        ["batchnorm", "--out", str(folder), "--format", "dot"],
        ["compare", f"{script}:f", f"{script}:g", "--shape", "2"],
    ):
        with contextlib.suppress(SystemExit):
            main(arguments)
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        assert out + err


def test_names_of_tensors_do_not_run_on_a_terminal():
    x = mg.tensor([1.0, -1.0], requires_grad=True, name=RED)
    with pytest.raises(ValueError, match=r"a\\x1b\[31mb") as caught:
        mg.add(x, np.ones(3))
    assert str(caught.value).isprintable()
    y = (mg.exp(x) * 2.0).named(RED).sum()
    for report in (mg.draw(y), mg.check.blame(y), repr(x)):
        assert "\x1b" not in str(report)


def test_a_message_has_an_end(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", **{f"entry{k}": np.ones(1) for k in range(3000)})  # type: ignore[arg-type]
    assert main(["batchnorm", str(tmp_path / "x.npz")]) == 2
    assert len(capsys.readouterr().err) < 2100
    assert main(["batchnorm", os.fspath(tmp_path / "x.npz") + ":" + "y" * 10**5]) == 2
    assert len(capsys.readouterr().err) < 2100
