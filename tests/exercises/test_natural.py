"""The natural mistakes are named, each by its own words, by their numbers alone; the ladders lead to the solutions."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad.exercises import EXERCISES, judge
from minigrad.exercises.hints import UNKNOWN
from minigrad.exercises.ladders import LADDERS

from .natural import NATURAL


def functions(body):
    """Of an answer that has no text anywhere: only what it computes is left."""
    names = {"mg": mg}
    exec(compile(body, "<nowhere>", "exec"), names)
    return names


def test_there_are_41_of_all_exercises():
    assert len(NATURAL) == len({body for _, body, _ in NATURAL}) == 41
    assert {name for name, _, _ in NATURAL} == set(EXERCISES)


@pytest.mark.parametrize(("name", "body", "said"), NATURAL)
def test_a_natural_mistake_is_named_and_only_what_it_breaks(name, body, said):
    exercise, made = EXERCISES[name], functions(body)
    found = dict(judge(exercise, {asked: made[asked] for asked in exercise.asks}, order=1).hints)
    assert found.keys() == said.keys()
    assert UNKNOWN not in found.values()
    assert all(words in found[step] for step, words in said.items()), found


GIVEN = {  # what a ladder's lines may use: the names that the exercise's text gives
    "rule": "import numpy as np\ndef rule({params}):\n",
    "batch_norm_staged": (
        "def backward(g, z, gamma, beta, eps):\n    n = len(z)\n    centred = z - mg.mean(z, axis=0)\n"
        "    inv_std = 1 / mg.sqrt(mg.var(z, axis=0) + eps)\n    z_hat = centred * inv_std\n"
        "    q = gamma * z_hat + beta\n"
    ),
    "rms_norm": "    x_hat, inv_rms = saved\n",
    "batch_norm": "    x_hat, inv_std = saved\n",
    "layer_norm": "    x_hat, inv_std = saved\n",
}


@pytest.mark.parametrize("name", EXERCISES)
def test_the_last_hints_are_the_lines_of_a_right_answer(name):
    exercise = EXERCISES[name]
    assert LADDERS[name] is exercise.ladder
    assert list(exercise.ladder) == list(exercise.steps)
    assert all(len(rungs) == 3 for rungs in exercise.ladder.values())
    lines = "".join(f"    {rungs[2]}\n" for rungs in exercise.ladder.values())
    if "backward" in exercise.asks:
        end = "    return {" + ", ".join(f'"{step}": {step}' for step in exercise.steps) + "}\n"
        made = functions(GIVEN[name] + lines + end)
    else:
        head = GIVEN["rule"].format(params=", ".join(exercise.asks["rule"])) + GIVEN.get(name, "")
        made = functions(f"{head}{lines}    return {', '.join(exercise.gradients)}\n")
    asked = {asked: made.get(asked, exercise.solution[asked]) for asked in exercise.asks}
    assert judge(exercise, asked), judge(exercise, asked)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_first_hint_asks_and_gives_nothing_away(name):
    for step, (question, idea, line) in EXERCISES[name].ladder.items():
        assert "?" in question
        assert line.startswith(f"{step} = ")
        assert line.partition(" = ")[2] not in question + idea
