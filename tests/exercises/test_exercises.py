"""Exercises: right answers pass, planted mistakes are called by their names, and the learner's file stays theirs."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.cli import main
from minigrad.core.nodes import registry
from minigrad.exercises import EXERCISES, beside, functions_of, judge, read
from minigrad.exercises.hints import expected, same

from .answers import NINE, RIGHT, WRONG, file_of, norm, rule, steps

RIGHT_CASES = [(name, body) for name, bodies in RIGHT.items() for body in bodies]
WRONG_CASES = [(name, body, word) for name, bodies in WRONG.items() for body, word in bodies]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judged(here, name, body, **options):
    path = here / "mine.py"
    path.write_text(file_of(name, body))
    exercise = EXERCISES[name]
    return judge(exercise, functions_of(exercise, read(path), path), **options)


def checked(here, name, body, *options):
    (here / "mine.py").write_text(file_of(name, body))
    return main(["exercise", "check", "mine.py", *options])


# what it says of answers ----------------------------------------------------------------------------------------


def test_every_exercise_has_planted_answers():
    assert set(RIGHT) == set(WRONG) == set(EXERCISES)
    assert all(len(bodies) >= 3 for bodies in WRONG.values())


@pytest.mark.parametrize(("name", "body"), RIGHT_CASES)
def test_right_answers_pass_to_second_order(here, name, body):
    found = judged(here, name, body)
    assert found, found
    assert str(found) == f"{name}: right to second order"


@pytest.mark.parametrize(("name", "body", "word"), WRONG_CASES)
def test_wrong_answers_are_called_by_their_names(here, name, body, word):
    found = judged(here, name, body)
    assert not found
    assert len(found.hints) >= 1
    assert word in " / ".join(text for _, text in found.hints), found


def test_the_name_does_not_come_from_the_text(here):
    """The same wrong numbers, written in another way and under other names, get the same hint."""
    plain = judged(here, "sqrt", rule("g / out"))
    line = "mg.exp(mg.log(half * half) / 2 - mg.log(mean) / 2) * (half / mg.abs(half))"
    odd = judged(here, "sqrt", f"def rule(half, gamma, mean):\n    return {line}\n")
    assert plain.hints == odd.hints


@pytest.mark.parametrize("name", EXERCISES)
def test_solutions_are_right_and_are_what_no_mistake_gives(name):
    exercise = EXERCISES[name]
    assert judge(exercise, exercise.solution)
    for case in (*exercise.cases, *(case for _, case in exercise.edges)):
        out = exercise.kernel(*case.inputs, **case.params)
        ours = exercise.answers(exercise.solution, case.cotangent, out, case.inputs, **case.params)
        right = expected(exercise, case)
        assert all(same(ours[step], right[step]) for step in exercise.steps)


@pytest.mark.parametrize(
    ("name", "composed"),
    [
        ("sqrt", mg.sqrt),
        ("var", lambda x: mg.var(x, axis=0)),
        ("softmax", mg.softmax),
        ("batch_norm_staged", lambda z, *affine, eps: mg.tanh(mg.batch_norm_composed(z, *affine, eps=eps))),
        ("batch_norm", mg.batch_norm_composed),
        ("layer_norm", mg.layer_norm_composed),
        ("mean", lambda x: mg.mean(x, axis=0)),
        ("broadcasting", mg.mul),
        ("matmul", mg.matmul),
        ("cross_entropy", lambda x, labels: mg.cross_entropy(x, labels)),
        ("rms_norm", lambda x, gamma, eps: gamma * x / mg.sqrt(mg.mean(x * x, axis=1, keepdims=True) + eps)),
    ],
)
def test_solutions_are_the_gradients_of_the_composed_graph(name, composed):
    exercise = EXERCISES[name]
    for case in exercise.cases:
        xs = [mg.tensor(x, requires_grad=True) for x in case.inputs]
        ds = mg.grad(composed(*xs, **case.params), xs, gradient=case.cotangent)
        right = expected(exercise, case)
        for step, d in zip(exercise.gradients, ds, strict=True):
            np.testing.assert_allclose(right[step], d.data, rtol=1e-10, atol=1e-12)


def test_the_steps_of_the_staged_pass_are_what_the_graph_sends():
    exercise = EXERCISES["batch_norm_staged"]
    case = exercise.cases[0]
    z, gamma, beta = (mg.tensor(x, requires_grad=True) for x in case.inputs)
    mu = mg.mean(z, axis=0)
    var = mg.mean(mg.square(z - mu), axis=0)
    z_hat = (z - mu) / mg.sqrt(var + case.params["eps"])
    q = gamma * z_hat + beta
    ds = mg.grad(mg.tanh(q), [q, z_hat, var, mu], gradient=case.cotangent)
    right = expected(exercise, case)
    for step, d in zip(("dq", "dz_hat", "d_var", "d_mu"), ds, strict=True):
        np.testing.assert_allclose(right[step], d.data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "flag"), [(name, flag) for name, e in EXERCISES.items() for flag in e.mistakes])
def test_every_known_mistake_is_told_from_all_others(name, flag):
    """Its numbers differ from the solution's; and from every other mistake's, unless both say the same."""
    exercise = EXERCISES[name]
    made = [expected(exercise, case, frozenset([flag])) for case in exercise.cases]

    def equal(other):
        theirs = [expected(exercise, case, frozenset(other)) for case in exercise.cases]
        return all(same(a[s], b[s]) for a, b in zip(made, theirs, strict=True) for s in exercise.steps)

    assert not equal([])
    twins = {exercise.mistakes[other] for other in exercise.mistakes if equal([other])}
    assert twins == {exercise.mistakes[flag]}


def test_the_first_wrong_step_is_told(here):
    found = judged(here, "batch_norm_staged", steps(d_var="(dz_hat * (z - mu)).sum(axis=0) * inv_std ** 3"))
    assert [step for step, _ in found.hints] == ["d_var"]
    assert "(dq, d_beta, d_gamma, dz_hat: right; what follows d_var waits for it)" in str(found)


def test_wrong_answers_are_located(here):
    text = str(judged(here, "sqrt", rule("g / out")))
    assert "gradcheck of sqrt: WRONG" in text
    assert "x[0]" in text
    assert "likely" not in text


def test_what_is_wrong_for_other_sizes_only_is_located_there(here):
    found = judged(here, "var", rule("g * (2 / 5) * (x - x.mean(axis=0))"))
    assert found.hints == (
        (
            "dx",
            "right for some sizes and wrong for others (is a size written as a number?): off by a constant factor 0.8",
        ),
    )
    assert "gradcheck of var: WRONG" in str(found)


def test_what_is_wrong_at_gamma_zero_is_located_there(here):
    found = judged(here, "batch_norm", norm(0, NINE, d_gamma="g * (out - beta) / gamma"))
    assert found.hints[0][0] == "d_gamma"
    assert "gradcheck of batch_norm: WRONG" in str(found)
    assert "gamma[1]" in str(found)


def test_right_once_and_wrong_twice(here):
    frozen = "getattr(inv_std, '_array', inv_std)"  # what a cache of the forward pass would hold
    body = norm(0, f"{frozen} * (h - mean(h) - x_hat * mean(h * x_hat))")
    assert judged(here, "batch_norm", body, order=1)
    found = judged(here, "batch_norm", body)
    assert not found
    assert "enters the rule as a constant" in str(found)


def test_a_rule_that_knows_arrays_only(here):
    body = "import numpy as np\n\n" + rule("np.array([float(a) / (2 * float(b)) for a, b in zip(g.flat, out.flat)])"
                                          ".reshape(x.shape)")  # fmt: skip
    assert judged(here, "sqrt", body, order=1)
    found = judged(here, "sqrt", body)
    assert not found
    assert "--order 1" in str(found)
    assert "your_sqrt" not in str(found)


def test_a_rule_that_remembers(here):
    body = "calls = []\n\n" + rule("(calls.append(1), g / (2 * out) * (1 + (len(calls) > 9) * len(calls)))[1]")
    assert not judged(here, "sqrt", body)


def test_nothing_is_registered(here):
    before = dict(registry)
    judged(here, "sqrt", rule("g / (2 * out)"))
    assert dict(registry) == before


# the command ----------------------------------------------------------------------------------------------------


def test_list(capsys):
    assert main(["exercise", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(EXERCISES)


@pytest.mark.parametrize("name", EXERCISES)
def test_start_writes_a_file_that_is_not_written_yet(here, name, capsys):
    assert main(["exercise", "start", name]) == 0
    file = here / f"exercise_{name}.py"
    compile(file.read_text(), str(file), "exec")
    assert max(map(len, file.read_text().splitlines())) <= 120
    assert main(["exercise", "check", file.name]) == 2
    line = next(k for k, text in enumerate(file.read_text().splitlines(), 1) if "raise" in text)
    error = capsys.readouterr().err
    assert error == f"minigrad: {file.name}, line {line}: this is not written yet\n"


def test_a_learners_file_is_never_written_over(here, capsys):
    file = here / "exercise_sqrt.py"
    file.write_text("mine")
    assert main(["exercise", "start", "sqrt"]) == 2
    assert file.read_text() == "mine"
    assert "is there already" in capsys.readouterr().err
    assert main(["exercise", "start", "sqrt", "--out", "other.py"]) == 0
    assert (here / "other.py").exists()


def test_check_changes_nothing_but_the_picture(here, capsys):
    assert checked(here, "sqrt", rule("g / (2 * out)"), "--draw", "both.dot") == 0
    assert (here / "mine.py").read_text() == file_of("sqrt", rule("g / (2 * out)"))
    assert sorted(p.name for p in here.iterdir()) == ["both.dot", "mine.py"]
    dot = (here / "both.dot").read_text()
    assert "yours" in dot
    assert "the solution" in dot
    assert "right to second order" in capsys.readouterr().out


def test_json(here, capsys):
    assert checked(here, "sqrt", rule("g / out"), "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["exercise"] == "sqrt"
    assert found["right"] is False
    assert [hint["step"] for hint in found["hints"]] == ["dx"]
    assert "solution" not in found
    assert checked(here, "sqrt", rule("g / (2 * out)"), "--json", "--solution") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["right"], found["hints"], found["at_second_order"]) == (True, [], None)
    assert "g / (2.0 * out)" in found["solution"]
    assert [p.name for p in here.iterdir()] == ["mine.py"]


def test_in_a_notebook(here):
    text = judged(here, "sqrt", rule("g / out"))._repr_html_()
    assert "1/2 is missing" in text
    assert text.startswith('<div class="minigrad"')
    assert "right to second order" in judged(here, "sqrt", rule("g / (2 * out)"))._repr_html_()


def test_a_file_from_windows(here):
    text = file_of("sqrt", rule("g / (2 * out)")).replace("\n", "\r\n")
    (here / "mine.py").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert main(["exercise", "check", "mine.py", "--json"]) == 0


def test_a_picture_asked_for_too_early(here, capsys):
    assert checked(here, "sqrt", rule("g / out"), "--draw", "a.dot") == 1
    assert "no picture yet" in capsys.readouterr().out
    assert [p.name for p in here.iterdir()] == ["mine.py"]


def test_a_wrong_one_ends_with_1_and_shows_the_solution_when_asked(here, capsys):
    assert checked(here, "sqrt", rule("g / out")) == 1
    assert [p.name for p in here.iterdir()] == ["mine.py"]
    assert checked(here, "sqrt", rule("g / out"), "--solution", "--draw", "both.dot") == 1
    out = capsys.readouterr().out
    assert "return g / (2.0 * out)" in out
    assert "1/2 is missing" in out
    assert (here / "both.dot").exists()


@pytest.mark.parametrize("name", EXERCISES)
def test_each_solution_can_be_drawn(name):
    exercise = EXERCISES[name]
    pair = beside(exercise, exercise.solution)
    assert {m.name for m in pair.matches} >= set(exercise.steps)


def test_what_cannot_be_drawn_is_said(here, capsys):
    body = "import numpy as np\n\n" + rule("np.array([float(a) for a in g.flat]).reshape(x.shape)")
    assert checked(here, "sqrt", body, "--solution") == 1
    assert "no picture: " in capsys.readouterr().out
    assert checked(here, "sqrt", body, "--solution", "--draw", "a.dot") == 2
    assert "cannot draw a.dot" in capsys.readouterr().err
    assert [p.name for p in here.iterdir()] == ["mine.py"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def rule(g, out, x):\n  return g +\n", "mine.py, line 2: invalid syntax"),
        ("import minigrad\nEXERCISE = 'sqrt'\nx = 1 / 0\n", "mine.py, line 3: ZeroDivisionError"),
        ("EXERCISE = 'sqrt'\nraise SystemExit\n", "mine.py, line 2: SystemExit"),
        ("EXERCISE = 'root'\n", 'mine.py: expected a line EXERCISE = "NAME" with one of sqrt, mean'),
        ("EXERCISE = []\n", 'mine.py: expected a line EXERCISE = "NAME" with one of sqrt, mean'),
        ("EXERCISE = 'sqrt'\n", "mine.py: there is no function rule(g, out, x)"),
        ("EXERCISE = 'sqrt'\ndef rule(g): pass\n", "line 2: expected def rule(g, out, x), got def rule(g)"),
        ("EXERCISE = 'sqrt'\n\ndef rule(g, out, x): pass\n", "line 3: dx must be an array of the shape of x, (4,)"),
        ("EXERCISE = 'sqrt'\ndef rule(g, out, x): return g, g\n", "line 2: rule must return dx; it returned 2"),
        ("EXERCISE = 'sqrt'\ndef rule(g, out, x): return g[:3]\n", "line 2: dx has shape (3,), but x has shape (4,)"),
        ("EXERCISE = 'sqrt'\ndef rule(g, out, x):\n  g *= 2\n  return g\n", "line 3: ValueError: output array is read"),
        ("EXERCISE = 'sqrt'\ndef rule(g, out, x):\n  return h(g)\ndef h(g):\n  return g @ 'a'\n", "mine.py, line 5: "),
        ("EXERCISE = 'sqrt'\ndef rule(g, out, x):\n  raise Exception\n", "line 3: Exception: no message"),
        ("EXERCISE = 'batch_norm_staged'\ndef backward(g, z, gamma, beta, eps):\n  return g\n", "dict with dq, d_beta"),
        ("EXERCISE = 'batch_norm_staged'\ndef backward(g, z, gamma, beta, eps):\n  return {'a': g}\n", "a dict with a"),
        (
            "EXERCISE = 'sqrt'\nimport minigrad as mg\ndef rule(g, out, x): return mg.tensor(x)\n",
            "line 3: dx is a Tensor",
        ),
        (
            "EXERCISE = 'var'\ndef rule(g, out, x):\n  return g * x.mean(axis=1)\n",
            "line 3: ValueError: operands could not",
        ),
        ("EXERCISE = 'var'\ndef rule(g, out, x):\n  return g * x.mean(axis=1)\n", "keepdims=True left out?)"),
        ("EXERCISE = 'sqrt'\ndef rule(g, out, x): return g * 1j\n", "line 2: dx must hold real numbers"),
        ("a = '\0'", "mine.py"),
    ],
)
def test_errors_in_the_file_are_one_line_with_its_number(here, capsys, text, said):
    (here / "mine.py").write_text(text)
    assert main(["exercise", "check", "mine.py"]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert said in err
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "none.py"], "none.py: cannot be read"),
        (["check", "."], "cannot be read"),
        (["check", "bytes.py"], "not a text file"),
        (["check", "right.py", "--draw", "a.py"], "ending must be one of"),
        (["check", "right.py", "--draw", "nowhere/a.svg"], "no folder nowhere"),
        (["start", "cbrt"], "there is no exercise 'cbrt'; there are sqrt, mean"),
        (["start", "sqrt", "--out", "a.txt"], "ending must be one of .py"),
        (["start", "sqrt", "--out", "nowhere/a.py"], "no folder nowhere"),
    ],
)
def test_misuse_is_one_line(here, capsys, arguments, said):
    (here / "bytes.py").write_bytes(b"\xff\xfe\x00")
    (here / "right.py").write_text(file_of("sqrt", rule("g / (2 * out)")))
    before = sorted(here.iterdir())
    assert main(["exercise", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert sorted(here.iterdir()) == before


def test_without_a_renderer_it_says_so(here, capsys, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DOT", "/nowhere/dot")
    assert checked(here, "sqrt", rule("g / (2 * out)")) == 0
    assert "no picture" in capsys.readouterr().out
    assert checked(here, "sqrt", rule("g / (2 * out)"), "--draw", "a.svg") == 2
    assert [p.name for p in here.iterdir()] == ["mine.py"]
