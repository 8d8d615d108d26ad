"""`minigrad draw`: a user's function drawn, its locals as names; bad input is one line."""

import argparse
import json
import shutil

import numpy as np
import pytest

from minigrad.cli import draw
from minigrad.cli.problems import Problem
from minigrad.drawing import renderer
from minigrad.drawing.svg import smallest_text


def run(*argv):
    parser = argparse.ArgumentParser()
    draw.add_to(parser.add_subparsers())
    args = parser.parse_args(["draw", *map(str, argv)])
    return args.run(args)


SCRIPT = """
import minigrad as mg

def loss(x, w):
    hidden = mg.tanh(x @ w)
    squares = hidden * hidden
    return squares.sum()

def both():
    a = mg.tensor([1.0, 2.0], requires_grad=True, name="a")
    double = a * 2.0
    return {"first": double, "second": a * a}

def nothing(): return None
def constant(): return mg.tensor([1.0])
def broken(): raise KeyError("oops")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "user_script.py"
    path.write_text(SCRIPT)
    return path


def test_a_function_of_a_file_with_its_locals_as_names(file, tmp_path, capsys):
    assert run(f"{file}:loss", "--shape", "4,3", "--shape", "3,2", "--out", tmp_path / "loss.json") == 0
    said = capsys.readouterr().out
    assert "hidden = tanh(t1)" in said
    assert "3 ops" not in said
    assert said.endswith(f"wrote {tmp_path / 'loss.json'}\n")
    nodes = {n["name"]: n for n in json.loads((tmp_path / "loss.json").read_text())["nodes"]}
    assert {"x", "w", "hidden", "squares"} <= set(nodes)
    assert nodes["hidden"]["line"] == [str(file), 5]
    assert nodes["w"]["gradient"] is not None  # a single number: its gradient starts with 1


def test_several_results_and_a_gradient(file, tmp_path):
    assert run(f"{file}:both", "--gradient", "ones", "--out", tmp_path / "x.dot") == 0
    dot = (tmp_path / "x.dot").read_text()
    assert "first = a * 2.0" in dot
    assert "second = a * a" in dot
    assert "grad [4 6]" in dot


def test_a_ladder_needs_no_renderer(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIGRAD_DOT", "/no/such/dot")
    monkeypatch.chdir(tmp_path)
    assert run(f"{file}:loss", "--shape", "4,3", "--shape", "3,2", "--ladder", "--width", 400, "--theme", "dark") == 0
    assert capsys.readouterr().out.endswith("wrote loss.svg\n")
    svg = (tmp_path / "loss.svg").read_text()
    assert 'width="400"' in svg
    assert "hidden" in svg
    assert "gradient, up" in svg
    assert run(f"{file}:loss", "--shape", "4,3", "--shape", "3,2", "--ladder", "--forward-only") == 0
    assert "gradient" not in (tmp_path / "loss.svg").read_text()


def test_a_module_path_and_a_matrix(tmp_path):
    np.save(tmp_path / "m.npy", np.eye(3))
    out = tmp_path / "bn.md"
    assert run("minigrad:batch_norm_composed", "--data", tmp_path / "m.npy", "--out", out, "--gradient", "random") == 0
    assert "x_hat = centred / std" in out.read_text()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["{file}:loss"], "takes x, w: give --shape"),
        (["{file}:nothing"], "it returned NoneType"),
        (["{file}:constant"], "without a graph"),
        (["{file}:both", "--ladder", "--width", "200", "--out", "{tmp}/x.svg"], "from 300 to 860"),
        (["{file}:both", "--ladder", "--detail", "1"], "--detail is for graph diagrams, not for a --ladder"),
        (["{file}:both", "--ladder", "--max-nodes", "9"], "--max-nodes is for graph diagrams"),
        (["{file}:both", "--width", "400"], "--width is for a --ladder"),
        (["{file}:both", "--ladder", "--out", "x.png"], "one of .svg, .json, .md"),
        (["{file}:broken"], "KeyError: 'oops'"),
        (["{file}:absent"], "absent is not there"),
        (["no_such_file.py:f"], "no such file"),
        (["{file}:both", "--out", "x.jpeg"], "ending must be one of"),
        (["{file}:both", "--out", "/no/such/folder/x.dot"], "no folder"),
        (["{file}:loss", "--shape", "a,b"], "expected whole numbers"),
        (["{file}:loss", "--shape=-1,2", "--shape", "1"], "must not be negative"),
        (["{file}:both", "--seed", "-1"], "--seed"),
        (["{file}:both", "--depth", "-2", "--out", "{tmp}/x.dot"], "depth=-2"),
        (["{file}:both", "--max-nodes", "1", "--out", "{tmp}/x.dot"], "max_nodes=1"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(argv, said, file, tmp_path):
    given = [a.format(file=file, tmp=tmp_path) for a in argv]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "x.dot")]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Problem, match=said.replace("(", r"\(")) as caught:
        run(*given)
    assert "\n" not in str(caught.value)
    assert [p for p in sorted(tmp_path.iterdir()) if p.name != "__pycache__"] == before


def test_without_a_renderer_it_writes_dot_text(file, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MINIGRAD_DOT", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(renderer, "_pure", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert run(f"{file}:both") == 0
    assert "no renderer found" in capsys.readouterr().out
    assert (tmp_path / "both.dot").read_text().startswith("digraph")
    with pytest.raises(Problem, match="pip install"):
        run(f"{file}:both", "--out", tmp_path / "x.svg")


@pytest.mark.skipif(renderer._pure() is None and shutil.which("dot") is None, reason="no renderer here")
def test_batchnorm_draws_for_a_width_and_writes_the_page_that_computes(tmp_path, capsys):
    from minigrad.cli import main

    assert main(["batchnorm", "--out", str(tmp_path / "o"), "--width", "readme", "--order", "1"]) == 0
    wide = (tmp_path / "o" / "side-by-side.svg").read_text("utf-8")
    assert smallest_text(wide, (830, None)) >= 11
    assert 'width="830"' in (tmp_path / "o" / "ladder.svg").read_text("utf-8")
    page = (tmp_path / "o" / "batchnorm.html").read_text("utf-8")
    assert len(page.encode()) < 200_000
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert {label: sorted(modes) for label, modes in data["live"]["of"].items()} == {
        "composed": ["eval", "one", "train"],
        "fused": ["eval", "one", "train"],
    }
    assert "change a number" in capsys.readouterr().out
    for wrong in ("50", "slides", "-1"):
        with pytest.raises(SystemExit):
            main(["batchnorm", f"--width={wrong}"])
        assert "a whole number of px, at least 100, or readme" in capsys.readouterr().err
