"""A teacher's exercise in one file: checked itself, started, hinted at, and checked as those of minigrad are."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.cli import main
from minigrad.exercises import EXERCISES, beside
from minigrad.exercises.learner import local_names

CUBE = '''"""An exercise of a class."""

import numpy as np

import minigrad as mg
from minigrad.exercises import Exercise, case


def cube(x, /):
    return x**3


def rule(g, out, x):
    return g * 3 * x**2


CUBE = Exercise(
    name="cube",
    title="the rule of x**3",
    text="Forward: out = x**3. Given g = dL/dout, return dL/dx.",
    kernel=cube,
    solution={"rule": rule},
    cases=(case(1, [(4,)], (4,)), case(2, [(2, 3)], (2, 3))),
    wrong={"the 3 is missing: the slope of x**3 is 3 x**2": {"rule": lambda g, out, x: g * x**2}},
    ladder={"dx": ("How much does a cube grow with its edge?", "x**n has the slope n x**(n-1).", "dx = g * 3 * x**2")},
)
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a teacher's file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_exercise.py").write_text(CUBE)
    return tmp_path


def run(*arguments):
    return main(["exercise", *arguments, "--from", "my_exercise.py"])


def test_the_exercise_itself_is_checked(here, capsys):
    assert run("check") == 0
    said = capsys.readouterr().out
    assert said == "cube: the solution is right to second order; a known mistake, told by its own words; hints for dx\n"
    assert run("check", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"exercise": "cube", "problems": []}]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return g * 3 * x**2", "return g * 2 * x**2", "the solution is wrong:"),
        (
            "lambda g, out, x: g * x**2",
            "lambda g, out, x: 3 * g * x * x",
            "this wrong answer gives the right numbers: the",
        ),
        ('{"dx": ("How', '{"dz": ("How', "the ladder names dz, which is no step"),
        ('"x**n has the slope n x**(n-1).", ', "", "the ladder of dx has 2 hints, expected 3"),
        (
            "wrong={",
            'wrong={"the slope is x**2": {"rule": lambda g, out, x: g * x * x}, ',
            "this wrong answer is taken for another (the slope is x**2): the 3 is missing",
        ),
        ('solution={"rule": rule}', "solution={}", "the solution has no function rule"),
    ],
)
def test_what_is_wrong_with_an_exercise_is_told(here, capsys, old, new, said):
    assert old in CUBE
    (here / "my_exercise.py").write_text(CUBE.replace(old, new))
    assert run("check") == 1
    out = capsys.readouterr().out
    assert out.startswith("cube: this exercise is not right yet\n")
    assert said in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "my_exercise.py: defines no exercise: expected NAME = Exercise(...)"),
        ("x = 1 / 0\n", "my_exercise.py, line 1: ZeroDivisionError"),
        (CUBE.replace("return x**3", "return x.cubed"), "my_exercise.py, line 10: AttributeError"),
        (
            CUBE.replace("return g * 3 * x**2", "return g, g"),
            "my_exercise.py: cube: rule must return dx; it returned 2",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(here, capsys, text, said):
    (here / "my_exercise.py").write_text(text)
    assert run("check") == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_learner_works_on_it(here, capsys):
    assert run("list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*EXERCISES, "cube"]
    assert run("start", "cube") == 0
    file = here / "exercise_cube.py"
    text = file.read_text()
    assert "minigrad exercise check exercise_cube.py --from my_exercise.py" in text
    assert main(["exercise", "check", file.name]) == 2  # without --from it is nobody's exercise
    file.write_text(text.replace("raise NotImplementedError", "return g * x**2"))
    capsys.readouterr()
    assert run("check", file.name) == 1
    out = capsys.readouterr().out
    assert "dx: the 3 is missing: the slope of x**3 is 3 x**2" in out
    assert "minigrad exercise hint cube 1 --step dx --from my_exercise.py" in out
    assert run("hint", "cube", "1", "--step", "dx") == 0
    assert capsys.readouterr().out == "dx  How much does a cube grow with its edge?\n"
    file.write_text(text.replace("raise NotImplementedError", "return g * x * x * 2"))  # no known mistake
    assert run("check", file.name) == 1
    assert "dx: off by a constant factor 0.666667" in capsys.readouterr().out
    file.write_text(text.replace("raise NotImplementedError", "return 3 * g * x * x"))
    assert run("check", file.name, "--draw", "both.dot", "--solution") == 0
    out = capsys.readouterr().out
    assert "cube: right to second order" in out
    assert "return g * 3 * x**2" in out


def test_check_without_a_file_asks_for_one(here, capsys):
    assert main(["exercise", "check"]) == 2
    assert "check which file?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hint", "cbrt", "1"], "there is no exercise 'cbrt'; there are sqrt, mean"),
        (["hint", "sqrt", "1", "--step", "dz"], "sqrt has no hints for 'dz'; it has some for dx"),
    ],
)
def test_a_hint_that_is_not_there(capsys, arguments, said):
    assert main(["exercise", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_hints_of_all_steps(capsys):
    assert main(["exercise", "hint", "batch_norm_staged", "3"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(
        EXERCISES["batch_norm_staged"].steps
    )


def test_the_picture_has_the_learners_names():
    exercise = EXERCISES["batch_norm"]

    def save(x, gamma, beta, eps):
        my_centred = x - mg.mean(x, axis=0)
        my_inv = 1 / mg.sqrt(mg.var(x, axis=0) + eps)
        return my_centred * my_inv, my_inv

    def rule(g, out, saved, x, gamma, beta, eps):
        my_hat, my_inv = saved
        my_h = gamma * g
        along = mg.mean(my_h * my_hat, axis=0)
        grad_x = my_inv * (my_h - mg.mean(my_h, axis=0) - my_hat * along)
        return grad_x, mg.sum(g * my_hat, axis=0), mg.sum(g, axis=0)

    pair = beside(exercise, {"save": save, "rule": rule})
    yours, theirs = ({n.name for n in graph.nodes} for graph in (pair.left, pair.right))
    assert {"my_centred", "my_inv", "my_hat", "my_h", "along", "grad_x", "d_gamma", "d_beta"} <= yours
    assert {"centred", "inv_std", "x_hat", "d_gamma", "d_beta", "dx"} <= theirs


def test_names_are_looked_at_inside_only_and_given_ones_stay():
    def rule(x):
        made = x * 2
        return made

    x = mg.tensor(np.ones(2), requires_grad=True, name="given")
    with local_names({"rule": rule}):
        first = rule(x)
    assert (first.name, x.name, rule(x).name) == ("made", "given", None)
