"""`minigrad derive`: what it prints and writes, and one clear line for whatever is wrong."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.cli import main


def run(*argv):
    return main([str(a) for a in argv])


@pytest.mark.parametrize("name", ["batchnorm", "layernorm", "cross_entropy"])
def test_it_prints_the_steps_and_writes_four_files(name, tmp_path, capsys):
    folder = tmp_path / "out"
    assert run("derive", name, "--shape", "6,3", "--out", folder) == 0
    out = capsys.readouterr().out
    assert "(0) recorded" in out
    assert "stopped here: nothing known makes it cheaper" in out
    assert f"{name}.defvjp_joint(rule)" in out
    assert sorted(p.name for p in folder.iterdir()) == [f"{name}.{kind}" for kind in ("html", "md", "py", "tex")]
    assert (folder / f"{name}.tex").read_text().count(r"\begin{aligned}") >= 1
    space: dict[str, Any] = {}
    exec((folder / f"{name}.py").read_text(), space)
    rng = np.random.default_rng(1)
    if name == "batchnorm":
        assert mg.check.compare(space[name], mg.batch_norm, [rng.normal(size=s) for s in ((5, 2), 2, 2)])
    assert run("derive", name, "--out", folder) == 0  # the files are replaced
    assert len(list(folder.iterdir())) == 4


def test_a_function_of_the_user_and_a_hypothesis(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text("import minigrad as mg\ndef f(z, t):\n    return mg.abs(z) * t\n")
    monkeypatch.chdir(tmp_path)
    assert run("derive", "mine.py:f", "--shape", "4", "--shape", "4", "--assume", "z is positive") == 0
    out = capsys.readouterr().out
    assert "assumed: z is positive" in out
    assert "d_z = t*g" in out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["batchnorm", "--shape", "3"], "takes one --shape N,M"),
        (["minigrad:softmax"], "takes x: give --shape"),
        (["minigrad:softmax", "--shape", "3,4", "--assume", "x"], "expected the name of an input"),
        (["minigrad:softmax", "--shape", "3,4", "--assume", "x is nice"], "'is nice' is not known of x"),
        (["minigrad:cumsum", "--shape", "3,4"], "joins or splits axes|has no terms"),
        (["nowhere:f", "--shape", "3"], "importing it failed"),
    ],
)
def test_what_is_wrong_is_one_line(argv, said, capsys):
    assert run("derive", *argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("minigrad: ")
    assert err.count("\n") == 1
    assert any(part in err for part in said.split("|")), err


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert run("derive", "batchnorm", "--out", tmp_path / "out") == 2
    assert "cannot be written" in capsys.readouterr().err
