"""`minigrad draw --torch`, and what is said of files that hold a model."""

from __future__ import annotations

import re

import pytest

from minigrad.cli import main

FACTORY = """
from torch import nn

def net():
    return nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))

def training():
    return nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.5))

def nothing():
    return None
"""


def run(*args):
    return main(["draw", *map(str, args)])


@pytest.mark.parametrize("ending", ["onnx", "pt", "safetensors"])
def test_a_file_that_holds_a_model_says_what_to_do(ending, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(f"model.{ending}") == 2
    said = capsys.readouterr().err
    assert f"model.{ending}: .{ending} files are not read" in said
    assert "minigrad draw --torch FILE.py:FUNCTION --shape N,M" in said
    assert "mg.from_torch" in said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def factory(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="minigrad draw --torch reads modules of torch, which is not installed")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "factory_of_modules.py"
    file.write_text(FACTORY, encoding="utf-8")
    return file


def test_a_module_is_drawn_with_its_parameters_and_modules(factory, tmp_path, capsys):
    assert run("--torch", f"{factory}:net", "--shape", "4,8", "--gradient", "ones", "--out", "net.dot") == 0
    table, dot = capsys.readouterr().out, (tmp_path / "net.dot").read_text(encoding="utf-8")
    assert "var_eps" in table
    assert re.search(r"(leaf|parameter) +0\.weight", table)
    for name in ("0.weight", "1.bias", "3.weight", "float32", "statistics"):
        assert name in dot
    assert run("--torch", f"{factory}:net", "--shape", "4,8", "--depth", "1", "--out", "net.dot") == 0
    factory.write_text(FACTORY + "\nmodel = net()\n", encoding="utf-8")
    assert run("--torch", f"{factory}:model", "--shape", "4,8", "--out", "net.dot") == 0  # a module, not what makes one


@pytest.mark.parametrize(
    ("what", "shapes", "said"),
    [
        ("net", (), "give --shape N,M for each input of the module"),
        ("net", ("--shape", "4,9"), "torch.export cannot read Sequential"),
        ("training", ("--shape", "4,8"), "draws random numbers"),
        ("nothing", ("--shape", "4,8"), "expected a torch.nn.Module, got NoneType"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(what, shapes, said, factory, tmp_path, capsys):
    assert run("--torch", f"{factory}:{what}", *shapes, "--out", "net.dot") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "net.dot").exists()
