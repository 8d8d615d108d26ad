"""Faults that were found in the field, one test for each kind: what the checker once said of them was wrong."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.check import blame, compare, gradcheck
from minigrad.cli import main
from minigrad.exercises import EXERCISES, functions_of, judge, read

from ..exercises.answers import file_of

X = np.random.default_rng(2).normal(size=(4, 3))


def made(rule, kernel=np.sin, **about):
    def f(x):
        return kernel(x)

    op = mg.primitive(**about)(f) if about else mg.primitive(f)
    op.defvjp(rule)
    return op


# what hides in a special value ------------------------------------------------------------------------------------


def test_a_number_that_is_a_parameter_is_moved_too():
    @mg.primitive
    def power(x, /, p=2.0):
        return x**p

    power.defvjp(lambda g, out, x, p: g * p * x)
    report = gradcheck(lambda x: power(x, p=2.0), np.array([0.5, 1.5]))
    assert not report
    assert "right here, wrong beside it: power at p = 3" in str(report).splitlines()[0]
    power.defvjp(lambda g, out, x, p: g * p * x ** (p - 1))
    assert gradcheck(lambda x: power(x, p=2.0), np.array([0.5, 1.5]))
    assert gradcheck(lambda x: power(x, p=2.0), np.array([-0.5, 1.5]), order=2)


def test_a_surface_is_left_alone_when_asked_and_a_domain_is_said():
    def loss(z, t):
        e = np.exp(z)
        return -(t * np.log(e / e.sum())).sum()

    op = mg.primitive(lambda z, t: loss(z, t))
    op.defvjp(lambda g, out, z, t: g * (mg.softmax(z) - t), lambda g, out, z, t: -g * mg.log_softmax(z))
    target = np.array([0.2, 0.3, 0.5])
    report = gradcheck(op, [X[0], target])
    assert not report
    assert "where t moves" in " ".join(report.notes)
    assert "move=False" in " ".join(report.notes)
    assert gradcheck(op, [X[0], target], move=False)

    def on_surface(x):
        if abs(float(mg.sum(x).data) - 1.0) > 0.5:
            raise ValueError("must sum to 1")
        return x * 1.0

    said = gradcheck(on_surface, np.array([2000.0, -1999.0]), mode="fast")
    assert "f raises ValueError there" in " ".join(said.notes)


def test_the_exercises_do_not_bless_an_alias(tmp_path):
    body = (
        "def save(x, gamma, beta, eps):\n"
        "    inv = 1 / mg.sqrt(mg.var(x, axis=1, keepdims=True) + eps)\n"
        "    return (x - mg.mean(x, axis=1, keepdims=True)) * inv, inv\n\n\n"
        "def rule(g, out, saved, x, gamma, beta, eps):\n"
        "    x_hat, inv = saved\n    h = g * gamma\n    dx = inv * h\n    part = dx\n"
        "    part -= inv * mg.mean(h, axis=1, keepdims=True)\n"
        "    dx = dx - inv * x_hat * mg.mean(h * x_hat, axis=1, keepdims=True)\n"
        "    return dx, mg.sum(g * x_hat, axis=0), mg.sum(g, axis=0)\n"
    )
    path = tmp_path / "mine.py"
    path.write_text(file_of("layer_norm", body))
    found = judge(EXERCISES["layer_norm"], functions_of(EXERCISES["layer_norm"], read(path), path))
    assert not found
    assert "on Tensors" in str(found)


# save ----------------------------------------------------------------------------------------------------------------


def with_save(save, joint=lambda g, out, saved, x: (2.0 * g * x,)):
    @mg.primitive(save=save)
    def square(x, /, *, saved):
        return x * x

    square.defvjp_joint(joint)
    return square


def drawing(rng):
    return lambda x: ((rng.random(x.shape) > 0.5) / 0.5,)


def moving(state):
    def save(x):
        state["mean"] = 0.9 * state["mean"] + 0.1 * mg.mean(x)
        return (x * 1.0,)

    return save


def counting(calls):
    return lambda x: (calls.append(1), x * 1.0)[1:]


@pytest.mark.parametrize(
    ("save", "words"),
    [
        (drawing(np.random.default_rng(0)), "changes something .rng"),
        (moving({"mean": 0.0}), "changes something .state"),
        (counting([]), "changes something .calls"),
        (lambda x: (np.random.random_sample(x.shape),), "gave something else the second time"),
    ],
)
def test_a_save_that_does_not_only_compute_is_an_error(save, words):
    op = with_save(save)
    report = gradcheck(op, X)
    assert not report
    assert any("save of square" in p for p in report.problems)
    x = mg.tensor(X, requires_grad=True)
    with pytest.raises(TypeError, match=words):
        mg.grad(op(x).sum(), x, create_graph=True)
    mg.grad(op(x).sum(), x)  # at order 1 it runs once


@pytest.mark.parametrize(
    "save",
    [lambda x: 2.0, lambda x: x.shape, lambda x: None, lambda x: x * 1.0, lambda x: {"a": x * 2.0, "n": x.shape},
     lambda x: [x, "text"], lambda x: (x, (x.shape, {"b": x * x}))],
)  # fmt: skip
def test_save_may_return_anything(save):
    op = with_save(save)
    assert gradcheck(op, X, order=2)
    assert compare(op, mg.square, X)
    x = mg.tensor(X, requires_grad=True, name="x")
    y = op(x).sum()
    assert blame(y)
    assert mg.check.cost(y).kept >= 0
    assert len(mg.draw(y).dot) > 100
    assert mg.graph(y).nodes
    assert mg.draw_pair(y, mg.square(x).sum()).dot
    checked = mg.primitive(save=save, check_against=mg.square, example=X)(lambda x, /, *, saved: x * x)
    checked.defvjp_joint(lambda g, out, saved, x: (2.0 * g * x,))


# reports -------------------------------------------------------------------------------------------------------------


def test_reports_open_with_verdict_and_place_and_fit_a_terminal():
    wrong = gradcheck(made(lambda g, out, x: g * mg.cos(x) * 1.00001), X, order=2)
    assert str(wrong).startswith("gradcheck of f: WRONG at order 1, most at x[")
    assert "1.00001" in wrong.reasons[0]
    right = gradcheck(lambda x: mg.batch_norm(x).sum(), X)
    assert str(right).startswith("gradcheck of <lambda>: right to order 1")
    assert "e+00" not in str(right)
    odd = gradcheck(made(lambda g, out, x: g * mg.cos(x) + 0.01 * g * mg.sin(3.0 * x) * x), X)
    assert "no simple pattern" in str(odd)
    assert "|analytic - numeric| for x" in str(odd)
    assert str(odd).count("WRONG  ") + str(odd).count("WRONG\n") == 3 + 0 * len(odd.worst)
    assert '<img src="data:image/svg+xml' in odd._repr_html_()
    for report in (wrong, right, odd):
        assert max(map(len, str(report).splitlines())) <= 80, report


def test_batch_norm_of_numbers_near_1e200_overflows():
    huge = 1e200 * X
    report = compare(mg.batch_norm, mg.batch_norm_composed, huge)
    assert not report
    assert "everything overflowed" in str(report).splitlines()[0]
    assert not gradcheck(mg.batch_norm, huge)
    assert compare(mg.sigmoid, lambda x: 1.0 / (1.0 + mg.exp(-x)), np.array([-300.0, 3.0, 800.0]))


def test_compare_names_the_mistake():
    report = compare(mg.sin, made(lambda g, out, x: -g * mg.cos(x)), X)
    assert report.reasons == ("dx of f beside sin: the sign is wrong",)


def test_blame_names_results_as_pictures_do():
    x, w = mg.tensor(X, requires_grad=True, name="x"), mg.ones((3, 2), requires_grad=True)
    y = mg.square(mg.tanh((x @ w).named("z")) * 2.0 + w.sum()).sum()
    drawn = {node.name for node in mg.graph(y).nodes}
    assert {verdict.name for verdict in blame(y).verdicts} <= drawn


# primitives and rules of the wrong form -----------------------------------------------------------------------------


class Doubled:
    def __call__(self, x):
        return 2.0 * x

    def half(self, x):
        return 0.5 * x


@pytest.mark.parametrize(
    ("kernel", "rule"),
    [
        (np.arctan, lambda g, out, x: g / (1.0 + x * x)),
        (functools.partial(np.multiply, 3.0), lambda g, out, x: 3.0 * g),
        (Doubled(), lambda g, out, x: 2.0 * g),
        (Doubled().half, lambda g, out, x: 0.5 * g),
    ],
)
def test_any_callable_is_a_primitive(kernel, rule):
    op = mg.primitive(kernel)
    op.defvjp(rule)
    assert gradcheck(op, X, order=2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: mg.primitive(3.0), "primitive takes a function of arrays"),  # type: ignore[call-overload]
        (lambda: made(lambda g, x: g), r"the rule of f for x is called as rule\(g, out, x\), but takes \(g, x\)"),
    ],
)
def test_the_wrong_form_is_one_sentence(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (
            lambda g: mg.tensor(g),
            "returned a Tensor where arrays were given for x; it must return an array of the shape",
        ),
        (lambda g: list(g), "returned a list for x"),
    ],
)
def test_a_rule_that_returns_no_array(returned, words):
    x = mg.tensor(X, requires_grad=True)
    with pytest.raises(TypeError, match=words):
        mg.grad(made(lambda g, out, x: returned(g))(x).sum(), x)


def test_a_joint_rule_with_too_few_gradients_prints_no_arrays():
    op = with_save(lambda x: (x,), lambda g, out, saved, x: ())
    x = mg.tensor(X, requires_grad=True)
    with pytest.raises(TypeError, match="joint rule of square must return a tuple of 1 gradients, got a tuple of 0"):
        mg.grad(op(x).sum(), x)


def test_the_gradient_of_what_nothing_depends_on_any_more_is_zero():
    x = mg.tensor([1.0, -2.0], requires_grad=True)
    first = mg.grad(mg.relu(x).sum(), x, create_graph=True)
    np.testing.assert_array_equal(mg.grad(first.sum(), x).data, [0.0, 0.0])
    second = mg.grad(mg.grad(mg.sum(3.0 * x), x, create_graph=True).sum(), x, create_graph=True)
    np.testing.assert_array_equal(mg.grad(second.sum(), x).data, [0.0, 0.0])


# the command --------------------------------------------------------------------------------------------------------

LAYERS = """
import numpy as np
def forward(x, gamma, beta, bn_param):
    assert bn_param["mode"] == "train"
    xh = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    bn_param["running_mean"] = x.mean(0)
    return gamma * xh + beta, (xh, x.var(0), gamma)
def right(dout, cache):
    xh, var, gamma = cache
    n, dg, db = len(dout), (dout * xh).sum(0), dout.sum(0)
    return gamma / np.sqrt(var + 1e-5) / n * (n * dout - db - xh * dg), dg, db
def wrong(dout, cache):
    return right(dout, (cache[0], cache[1], 1.0))
def few(dout, cache):
    return right(dout, cache)[:2]
def wide(dout, cache):
    dx, dg, db = right(dout, cache)
    return dx, dout * cache[0], db
def nan(dout, cache):
    return tuple(np.nan * d for d in right(dout, cache))
def raises(dout, cache):
    return cache["x_hat"]
class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y
    def backward(self, g):
        return g * (1 - self.y ** 2)
"""


@pytest.mark.parametrize(
    ("back", "status", "words"),
    [
        ("right", 0, "gradcheck of right: right to order 1"),
        ("layers.py:wrong", 1, "gamma is missing"),
        ("few", 2, "2 gradients for 3 inputs"),
        ("wide", 2, "the gradient of gamma has shape (7, 3), but gamma has shape (3,)"),
        ("nan", 2, "holds NaN"),
        ("raises", 2, "line 22: TypeError"),
        ("nothing", 2, "nothing is not there"),
    ],
)
def test_the_command(tmp_path, monkeypatch, capsys, back, status, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.py").write_text(LAYERS)
    options = ["--shape", "7,3", "3", "3", "--with", "bn_param=" + json.dumps({"mode": "train"})]
    assert main(["check", "layers.py:forward", back, *options]) == status
    out, err = capsys.readouterr()
    assert words in out + err
    assert (err.count("\n"), bool(out)) == ((1, False) if status == 2 else (0, True))
    assert max(map(len, out.splitlines()), default=0) <= 80


def test_the_command_with_a_class_and_without_shapes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.py").write_text(LAYERS)
    assert main(["check", "layers.py:Tanh", "--shape", "4"]) == 0
    assert main(["check", "layers.py:Tanh"]) == 2
    assert main(["check", "layers.py:Tanh", "--shape", "4", "--with", "x"]) == 2
    assert "NAME=JSON" in capsys.readouterr().err
