"""The command line: what it prints and writes, and one clear line with exit status 2 for whatever is wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import cli
from minigrad.cli import main, parser


@pytest.fixture
def matrix(tmp_path):
    file = tmp_path / "data.csv"
    rng = np.random.default_rng(0)
    np.savetxt(file, rng.normal(2, 3, (6, 3)), delimiter=",")
    return file


def run(*argv):
    return main([str(a) for a in argv])


def written(folder: Path):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def test_batchnorm_without_data(tmp_path, capsys):
    assert run("batchnorm", "--out", tmp_path / "pictures") == 0
    out = capsys.readouterr().out
    assert "7 rows, 3 columns, eps 1e-06" in out
    assert "composed and fused agree to order 2" in out
    for quantity in ("y", "dx", "dgamma", "dbeta", "Hv x", "Hv gamma", "Hv beta", "ops on the tape"):
        assert f"\n{quantity} " in out
    names = written(tmp_path / "pictures")
    assert {Path(n).stem for n in names} >= {"composed", "fused", "side-by-side", "ladder"}
    assert ("batchnorm.html" in names) == ("composed.dot" not in names)  # the page needs a renderer
    for name in names:
        assert f"wrote {tmp_path / 'pictures' / name}" in out


@pytest.mark.parametrize("kind", [".csv", ".npy", ".npz"])
def test_every_kind_of_file(tmp_path, kind, matrix, capsys):
    file = tmp_path / f"data{kind}"
    x = np.loadtxt(matrix, delimiter=",")
    {".csv": lambda: None, ".npy": lambda: np.save(file, x), ".npz": lambda: np.savez(file, x=x)}[kind]()
    assert run("batchnorm", file, "--out", tmp_path / "o", "--format", "dot") == 0
    assert "6 rows, 3 columns, eps 1e-05" in capsys.readouterr().out
    assert written(tmp_path / "o")[:1] == ["composed.dot"]


def test_one_of_several_arrays(tmp_path, capsys):
    file = tmp_path / "many.npz"
    np.savez(file, a=np.ones((2, 2)) * [[1], [2]], b=np.zeros(3))
    assert run("batchnorm", file, "--out", tmp_path / "o") == 2
    assert "several arrays" in capsys.readouterr().err
    assert run("batchnorm", f"{file}:a", "--out", tmp_path / "o", "--format", "dot") == 0
    assert run("batchnorm", f"{file}:c", "--out", tmp_path / "o") == 2
    assert "a, b" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--eps", "0.1", "--gamma", "2", "--beta", "1,2,3"],
        ["--gamma", "0,0,0"],
        ["--dtype", "float32"],
        ["--order", "0"],
        ["--order", "1", "--seed", "7"],
        ["--eps", "0"],
    ],
)
def test_options(tmp_path, matrix, options, capsys):
    assert run("batchnorm", matrix, "--out", tmp_path / "o", "--format", "dot", *options) == 0
    assert ("Hv x" in capsys.readouterr().out) == ("--order" not in options)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "no such file"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("1,2\n3\n", "line 2: 1 cells, but the others have 2"),
        ("a,b\n1,2\n", "one row"),
        ("1,2\n3,\n", "a cell is missing: line 2, column 2; fill"),
        ("1,2\nnan,4\n", "a cell is missing: line 2, column 1; fill"),
        ("1,2\n3,inf\n", "line 2, column 2 is inf"),
        ("1,2\n", "one row"),
    ],
)
def test_bad_csv(tmp_path, content, text, capsys):
    file = tmp_path / "bad.csv"
    if content is not None:
        file.write_text(content)
    assert run("batchnorm", file, "--out", tmp_path / "o") == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.count("\n") == 1
    assert "agree" not in captured.out
    assert not (tmp_path / "o").exists()


def damaged(folder, name):
    file = folder / name
    if name == "cut.npy":
        np.save(file, np.ones((40, 40)))
        file.write_bytes(file.read_bytes()[:500])
    elif name == "huge.npy":  # a header that claims 8 TB
        np.save(file, np.ones((2, 2)))
        file.write_bytes(file.read_bytes().replace(b"(2, 2), }" + b" " * 16, b"(1000000, 1000000), }" + b" " * 4))
    elif name == "objects.npy":
        np.save(file, np.array([[{}, 1], [2, 3]], dtype=object), allow_pickle=True)
    elif name == "zip.npz":
        file.write_bytes(b"PK\x03\x04 not a zip")
    elif name == "cube.npy":
        np.save(file, np.ones((2, 2, 2)))
    elif name == "complex.npy":
        np.save(file, np.ones((2, 2), complex))
    elif name == "book.xlsx":
        file.write_bytes(b"PK\x03\x04 a workbook")
    elif name == "folder.csv":
        file.mkdir()
    elif name == "latin.csv":
        file.write_bytes(b"1,2\n\xff\xfe,4\n")
    return file


@pytest.mark.parametrize(
    "name",
    [
        "cut.npy",
        "huge.npy",
        "objects.npy",
        "zip.npz",
        "cube.npy",
        "complex.npy",
        "book.xlsx",
        "folder.csv",
        "latin.csv",
    ],
)
def test_damaged_files(tmp_path, name, capsys):
    file = damaged(tmp_path, name)
    assert run("batchnorm", file, "--out", tmp_path / "o") == 2
    err = capsys.readouterr().err
    assert err.startswith("minigrad: ")
    assert name in err
    assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--gamma", "1,,2"], "--gamma '1,,2'"),
        (["--gamma", "1,2"], "--gamma has 2 numbers, but the data has 3 columns"),
        (["--beta", "x"], "--beta 'x'"),
        (["--gamma", "nan"], "finite"),
        (["--eps", "-1"], "--eps -1.0"),
        (["--eps", "nan"], "--eps nan"),
        (["--seed", "-3"], "--seed -3"),
    ],
)
def test_bad_options(tmp_path, matrix, options, text, capsys):
    assert run("batchnorm", matrix, "--out", tmp_path / "o", *options) == 2
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_an_unwritable_folder(tmp_path, matrix, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run("batchnorm", matrix, "--out", tmp_path / "file" / "o") == 2
    assert "--out" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "in the way"


def test_numbers_too_large_for_float32(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.array([[1e300], [2e300]]))
    assert run("batchnorm", tmp_path / "x.npy", "--out", tmp_path / "o", "--dtype", "float32") == 2
    assert "too large" in capsys.readouterr().err


def test_a_disagreement_is_exit_status_1(tmp_path, matrix, monkeypatch, capsys):
    from minigrad.cli import batchnorm

    def off(x, gamma, beta, *, eps):
        return mg.batch_norm(x, gamma, beta, eps=eps) * 1.000001

    monkeypatch.setattr(batchnorm, "batch_norm", off)
    assert run("batchnorm", matrix, "--out", tmp_path / "o", "--format", "dot") == 1
    assert "differ" in capsys.readouterr().out


def test_without_a_renderer_there_is_dot_text(tmp_path, matrix, monkeypatch, capsys):
    from minigrad.drawing import renderer

    def nothing(kind="svg"):
        raise renderer.RendererNotFound("no dot")

    monkeypatch.setattr(renderer, "programs", nothing)
    monkeypatch.delenv("MINIGRAD_DOT", raising=False)
    assert run("batchnorm", matrix, "--out", tmp_path / "o") == 0
    assert "no renderer" in capsys.readouterr().out
    assert "composed.dot" in written(tmp_path / "o")
    assert run("batchnorm", matrix, "--out", tmp_path / "p", "--format", "png") == 2
    assert "no dot" in capsys.readouterr().err


def test_a_wrong_renderer_is_an_error(tmp_path, matrix, monkeypatch, capsys):
    monkeypatch.setenv("MINIGRAD_DOT", "no-such-program")
    assert run("batchnorm", matrix, "--out", tmp_path / "o") == 2
    assert "no-such-program" in capsys.readouterr().err


def test_compare(tmp_path, capsys):
    shapes = ["--shape", "7,3", "--shape", "3", "--shape", "3"]
    assert run("compare", "minigrad:layer_norm_composed", "minigrad:layer_norm", *shapes) == 0
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"
        "def f(x): return x * x\ndef g(x): return x * x * 1.001\ndef h(x): return 1 / 0\n"
    )
    assert run("compare", f"{file}:f", "minigrad:square", "--shape", "4") == 0
    assert run("compare", f"{file}:g", "minigrad:square", "--shape", "4") == 1
    assert run("compare", f"{file}:h", "minigrad:square", "--shape", "4") == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["nothing", "minigrad:square", "--shape", "3"], "MODULE:FUNCTION"),
        (["minigrad:nothing", "minigrad:square", "--shape", "3"], "nothing is not there"),
        (["no_such_module:f", "minigrad:square", "--shape", "3"], "no_such_module"),
        (["missing.py:f", "minigrad:square", "--shape", "3"], "no such file"),
        (["minigrad:square", "minigrad:square"], "no inputs"),
        (["minigrad:square", "minigrad:square", "--shape", "a"], "--shape 'a'"),
        (["minigrad:square", "minigrad:square", "--shape", "3,,4"], "--shape '3,,4'"),
        (["minigrad:square", "minigrad:square", "--shape", "3", "--tol", "-1"], "--tol -1.0"),
        (["minigrad:layernorm", "minigrad:square", "--shape", "3"], "layer_norm"),
    ],
)
def test_compare_misused(argv, text, capsys):
    assert run("compare", *argv) == 2
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1


COMMANDS = ["", "batchnorm", "draw", "compare", "check", "derive", "source", "train", "predict", "exercise"]


@pytest.mark.parametrize("command", [*COMMANDS, "exercise list", "exercise start", "exercise hint", "exercise check"])
def test_help_fits_a_terminal_and_its_example_is_taken(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    words = shlex.split(out.partition("example: ")[2].replace("\\\n", ""))
    assert words[0] == "minigrad"
    assert callable(parser().parse_args(words[1:]).run)


def test_the_commands_are_these():
    assert [module.__name__.rpartition(".")[2] for module in cli.COMMANDS] == COMMANDS[1:]


def test_what_is_printed_fits_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shapes = ["--shape", "7,3", "--shape", "3"]
    assert run("batchnorm", "--format", "dot") == 0
    assert run("compare", "minigrad:layer_norm_composed", "minigrad:layer_norm", *shapes) == 0
    assert run("draw", "minigrad:batch_norm_composed", *shapes, "--shape", "3", "--out", "bn.md") == 0
    assert run("exercise", "list") == 0
    assert run("exercise", "start", "sqrt") == 0
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if len(line) > 80]
    assert any(line.split() == ["cost", "layer_norm_composed", "layer_norm"] for line in lines)


@pytest.mark.parametrize("option", ["--help", "batchnorm --help", "train --help"])
def test_help_into_a_pipe_that_is_closed(option):
    command = f"{sys.executable} -m minigrad {option} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""


def test_a_primitive_is_drawn_with_the_names_of_its_arguments(tmp_path, capsys):
    assert run("draw", "minigrad:multiply", "--shape", "3", "--out", tmp_path / "x.md") == 2
    assert "; minigrad has the functions" in capsys.readouterr().err
    assert run("draw", "minigrad:mul", "--shape", "3", "--shape", "3", "--out", tmp_path / "x.md") == 0
    assert "= x * y" in capsys.readouterr().out


def test_a_decorated_function_names_its_own_variables(tmp_path, capsys):
    (tmp_path / "d.py").write_text(
        "import functools\n\ndef twice(f):\n    @functools.wraps(f)\n    def both(*xs):\n        wrong = f(*xs)\n"
        "        return wrong + wrong\n    return both\n\n@twice\ndef g(x):\n    squares = x * x\n    return squares\n"
    )
    assert run("draw", f"{tmp_path / 'd.py'}:g", "--shape", "3", "--out", tmp_path / "x.md") == 0
    out = capsys.readouterr().out
    assert "squares = x * x" in out
    assert "wrong" not in out


def test_as_a_program(tmp_path):
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "minigrad", "batchnorm", "--out", str(tmp_path / "o"), "--format", "dot"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    version = subprocess.run([sys.executable, "-m", "minigrad", "--version"], capture_output=True, text=True)
    assert version.stdout.strip() == f"minigrad {mg.__version__}"


def test_a_reader_that_goes_away_loses_no_picture(tmp_path):
    command = f"{sys.executable} -m minigrad batchnorm --out {tmp_path / 'o'} --format dot | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert {"composed.dot", "fused.dot", "side-by-side.dot", "ladder.svg"} <= set(written(tmp_path / "o"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line(tmp_path):
    command = [sys.executable, "-m", "minigrad", "batchnorm", "--out", str(tmp_path / "o"), "--format", "dot"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("minigrad: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["batchnorm", "--eps", "x"], "invalid float value"),
        (["batchnorm", "--order", "3"], "invalid choice"),
        (["batchnorm", "--gamma", "-1,2,3"], "--gamma=-1,2"),
        (["nothing"], "invalid choice"),
        ([], "required"),
    ],
)
def test_wrong_options_are_one_line(argv, text, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1


def test_a_renderer_that_fails_is_one_line(tmp_path, matrix, monkeypatch, capsys):
    broken = tmp_path / "dot"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("MINIGRAD_DOT", str(broken))
    assert run("batchnorm", matrix, "--out", tmp_path / "o") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "dot failed" in err


def test_a_users_module_that_exits_is_told(tmp_path, capsys):
    file = tmp_path / "leaves.py"
    file.write_text("raise SystemExit(3)\n")
    assert run("compare", f"{file}:f", f"{file}:f", "--shape", "3") == 2
    assert "SystemExit" in capsys.readouterr().err
    assert run("compare", "minigrad:sin", "minigrad:sin", "--shape", "99999999999999") == 2
    assert "too large" in capsys.readouterr().err


def test_huge_numbers_warn_nobody(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.array([[1e308, 1.0], [-1e308, 2.0], [3.0, 4.0]]))
    run("batchnorm", tmp_path / "x.npy", "--out", tmp_path / "o", "--format", "dot")
    assert not capsys.readouterr().err
