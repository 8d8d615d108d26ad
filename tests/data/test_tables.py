"""Tables as people have them: each of the corpus is read rightly, or refused with the place and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.cli import main

from .corpus import READ, REFUSED, write


@pytest.fixture(scope="module")
def files(tmp_path_factory: Any) -> dict[str, Path]:
    return write(tmp_path_factory.mktemp("tables"))


def test_there_are_seventy():
    assert len({**READ, **REFUSED}) >= 70


@pytest.mark.parametrize("name", READ)
def test_it_is_read_rightly(name: str, files: dict[str, Path]):
    table = mg.data.table(files[name])
    expected = READ[name][1]
    assert list(table.names) == list(expected)
    for own, values in expected.items():
        if isinstance(values[0], str):
            assert table[own].tolist() == values
        else:
            np.testing.assert_array_equal(table[own], np.array(values, dtype=float))
    holes = sum(value is None for values in expected.values() for value in values)
    assert len(table.missing()) == holes
    assert table.found  # says how


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_place_and_what_to_do(name: str, files: dict[str, Path], capsys: Any):
    with pytest.raises(ValueError, match=REFUSED[name][1]) as caught:
        mg.data.table(files[name])
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    if not name.endswith(".npy"):  # draw takes arrays of any axes
        assert main(["draw", "minigrad:square", "--data", str(files[name])]) == 2
        assert re.search(REFUSED[name][1], capsys.readouterr().err)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a,b\n1,\n,2\nNA,4\n5,6\n", "3 cells are missing: line 2, column 'b'; line 3, column 'a'; line 4, column 'a'"),
        ("a,kind\n1,x\n2,y\n", "line 2, column 'kind' holds text ('x'); choose the columns that hold numbers"),
        ("a,b\n1,2\ninf,4\n", "line 3, column 'a' is inf; numbers must be finite"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_named(content: str, text: str, tmp_path: Path):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(ValueError, match=re.escape(text)):
        mg.data.table(tmp_path / "x.csv").numbers()


def test_columns_are_chosen_and_incomplete_rows_left_out(tmp_path: Path):
    (tmp_path / "x.csv").write_text("id,a,b,b,kind\n0,1,2,3,x\n1,,5,6,y\n2,7,8,9,\n")
    table = mg.data.table(tmp_path / "x.csv")
    assert table.names == ("a", "b", "b", "kind")  # id counts the rows
    assert "the first column (id)" in table.found
    np.testing.assert_array_equal(table.choose([3, "a"]).complete().numbers(), [[3, 1], [9, 7]])
    assert mg.data.table(tmp_path / "x.csv", columns="id")["id"].tolist() == [0, 1, 2]
    numbers, classes = table.choose("kind").complete().classes()
    assert (numbers.tolist(), classes) == ([0, 1], ["x", "y"])
    assert "1 incomplete row" in str(table.choose("a").complete())
    assert "(a, b, b, kind (text)); separated by commas, utf-8, names in line 1" in str(table)
    for wrong, said in (("c", "column 'c' is not there; it has a, b, b, kind"), ("b", "give its number")):
        with pytest.raises(ValueError, match=said):
            table.choose(wrong)
    assert table.without("a").names == ("b", "b", "kind")


def test_what_was_recognised_can_be_overruled(tmp_path: Path):
    (tmp_path / "x.csv").write_text("0,1\n0,5\n")
    assert mg.data.table(tmp_path / "x.csv").numbers().tolist() == [[0, 1], [0, 5]]
    assert "if these are decimal commas" in mg.data.table(tmp_path / "x.csv").found
    assert mg.data.table(tmp_path / "x.csv", decimal=",").numbers().tolist() == [[0.1], [0.5]]
    assert mg.data.table(tmp_path / "x.csv", header=True).names == ("0", "1")
    (tmp_path / "y.csv").write_text("1~2\n3~4\n")
    assert mg.data.table(tmp_path / "y.csv", separator="~").numbers().tolist() == [[1, 2], [3, 4]]


def test_every_command_reads_the_same_tables(tmp_path: Path, files: dict[str, Path], capsys: Any):
    german = str(files["excel-german-latin1.csv"])
    assert main(["batchnorm", german, "--out", str(tmp_path), "--format", "dot"]) == 0
    assert "separated by semicolons, cp1252, decimal commas" in capsys.readouterr().out
    assert main(["compare", "minigrad:square", "minigrad:square", "--data", german]) == 0
    assert "decimal commas" in capsys.readouterr().out
    iris = ["--data", str(files["iris.data"]), "--columns", "1,2"]
    assert main(["draw", "minigrad:square", *iris, "--out", str(tmp_path / "x.md")]) == 0
    missing = [str(files["to_csv-missing.csv"]), "--out", str(tmp_path), "--format", "dot"]
    assert main(["batchnorm", *missing]) == 2
    assert "fill them, or leave their rows out (.complete(), --missing drop)" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 3, 4), ()])
def test_draw_and_compare_take_arrays_of_any_axes(shape: tuple[int, ...], tmp_path: Path, capsys: Any):
    np.save(tmp_path / "x.npy", np.ones(shape))
    assert main(["compare", "minigrad:square", "minigrad:square", "--data", str(tmp_path / "x.npy")]) == 0
    out = ["--out", str(tmp_path / "x.md")]
    assert main(["draw", "minigrad:square", "--data", str(tmp_path / "x.npy"), *out]) == 0
    assert str(shape) in capsys.readouterr().out
    (tmp_path / "row.csv").write_text("1.5,2.5\n")
    assert main(["draw", "minigrad:square", "--data", str(tmp_path / "row.csv"), *out]) == 0
    assert "(1, 2)" in capsys.readouterr().out
