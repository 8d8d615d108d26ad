"""blame finds the op whose rule is wrong; explain_zeros, detect_anomalies and check_against say what they should."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.check import blame, explain_zeros
from minigrad.core.nodes import raw

from ..helpers import leaf, leaves, registry
from ..mutation import OPS, SLOPED, Plant, frozen, on_result, planted


@pytest.fixture
def graph():
    rng = np.random.default_rng(0)
    x, w = rng.normal(2, 3, (6, 3)), rng.normal(size=(3, 4))
    gamma, beta = rng.normal(size=4), rng.normal(size=4)
    inputs = [mg.tensor(a, requires_grad=True, name=n) for a, n in zip((x, w, gamma, beta), "xwgb", strict=True)]
    return inputs, rng.normal(size=(6, 4))


def composed(inputs):
    x, w, g, b = inputs
    return mg.tanh(mg.batch_norm_composed(x @ w, g, b))


def fused(inputs):
    x, w, g, b = inputs
    return mg.tanh(mg.batch_norm(x @ w, g, b))


def test_right_rules_are_right(graph):
    inputs, cotangent = graph
    for build in (composed, fused):
        report = blame(build(inputs), cotangent, order=2)
        assert report, report
        assert not report.guilty
        assert not report.marks
        assert "right rules" in str(report)


@pytest.mark.parametrize("op", ["matmul", "mean", "var", "sub", "add", "sqrt", "div", "mul", "tanh"])
def test_the_guilty_node_is_named(graph, op):
    inputs, _ = graph
    joint = registry[op].op.joint is not None
    with planted(Plant("factor", op, 0, on_result(0, joint, lambda d: d * 1.01))):
        report = blame(composed(inputs))
    assert not report
    assert {v.op for v in report.guilty} == {op}
    assert "constant factor 1.01" in report.guilty[0].reason
    assert set(report.marks) == {v.number for v in report.guilty}
    assert f"blame: {op} (" in str(report)


@pytest.mark.parametrize("op", OPS)
def test_a_wrong_rule_in_any_primitive_is_found(op, rng):
    row = next(r for r in SLOPED if r.op == op)
    tensors = leaves(row.arrays(rng))
    argument = next(k for k, x in enumerate(row.inputs) if isinstance(x, tuple))
    joint = registry[op].op.joint is not None
    with planted(Plant("sign", op, argument, on_result(argument, joint, lambda d: -d))):
        report = blame(registry[op](*tensors, **row.params))
    assert [v.op for v in report.guilty] == [op], report


@pytest.mark.parametrize("op", ["batch_norm", "layer_norm", "softmax_cross_entropy", "batch_norm_inference"])
def test_a_fused_rule_right_only_at_order_one(op, rng):
    row = next(r for r in SLOPED if r.op == op)
    tensors = leaves(row.arrays(rng))
    with planted(Plant("right only at order 1", op, 0, frozen)):
        y = registry[op](*tensors, **row.params)
        assert blame(y), "order 1 is right"
        report = blame(y, order=2)
    assert [v.op for v in report.guilty] == [op]
    assert "right at order 1 and wrong at order 2" in report.guilty[0].reason


def test_the_guilty_node_is_marked_in_the_picture(graph):
    inputs, cotangent = graph
    y = composed(inputs)
    with planted(Plant("sign", "sqrt", 0, on_result(0, False, lambda d: -d))):
        report = blame(y)
    drawing = mg.draw(y, gradient=cotangent, marks=report)
    assert [(n.op, n.mark) for n in drawing.graph.nodes if n.mark] == [("sqrt", "wrong rule: x: the sign is wrong")]
    assert drawing.dot.count("wrong rule") == 1
    assert "sqrt(var_eps)  <- wrong rule" in str(drawing)
    assert "wrong rule" not in mg.draw(y, marks=blame(y)).dot


def test_a_rule_that_raises_is_guilty(graph):
    inputs, cotangent = graph

    def broken(g, out, x):
        raise ZeroDivisionError("oops")

    with planted(Plant("", "tanh", 0, lambda rule: broken)):
        for report in (blame(composed(inputs)), blame(composed(inputs), cotangent)):
            assert [v.op for v in report.guilty] == ["tanh"]
            assert "ZeroDivisionError: oops" in report.guilty[0].reason


def test_a_rule_that_raises_is_found_behind_ops_that_no_gradient_reaches():
    @mg.primitive
    def first(x, y):
        return x + 0.0 * y

    first.defvjp(lambda g, out, x, y: g, None)

    def broken(g, out, x):
        raise ZeroDivisionError("oops")

    x = leaf([0.3, 0.4], "x")
    with planted(Plant("", "sin", 0, lambda rule: broken)):
        report = blame(first(mg.sin(x), mg.exp(x)).sum())
    assert [v.op for v in report.guilty] == ["sin"]


def test_kinks_and_nonfinite_inputs_are_not_judged():
    report = blame(mg.relu(mg.tensor([0.0, 1.0], requires_grad=True)))
    assert report
    assert "kink" in report.verdicts[0].reason
    report = blame(mg.relu(mg.tensor([0.0], requires_grad=True)) + 1.0)
    assert report
    assert [v.state for v in report.verdicts] == ["not judged", "right"]
    y = mg.tensor([np.inf, 1.0], requires_grad=True)
    assert blame(mg.sin(mg.exp(-y) + 0.5) * 1.0).verdicts[0].state == "not judged"


def test_float32_graphs_are_checked_in_float64():
    x = mg.tensor(np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32), requires_grad=True)
    assert blame(mg.batch_norm(x), order=2)


def test_blame_wants_a_graph():
    with pytest.raises(TypeError, match="computed from tensors"):
        blame(mg.tensor(1.0, requires_grad=True))


REASONS = [
    (lambda g, out, x: g * mg.cos(x) * 0.5, "constant factor 0.5"),
    (lambda g, out, x: -g * mg.cos(x), "sign is wrong"),
    (lambda g, out, x: mg.cos(x) * 1.0, "does not multiply by g"),
    (lambda g, out, x: g * 0.0, "gives zero"),
    (lambda g, out, x: g * mg.cos(x) * np.where(np.arange(8) == 5, 1.1, 1.0), "wrong only at [5]"),
    (lambda g, out, x: g * mg.cos(x) * np.nan, "NaN"),
    (lambda g, out, x: g * mg.abs(g) * mg.cos(x), "not linear in g"),
    (lambda g, out, x: g * mg.cos(x) + 0.1 * mg.sum(g), "same along axis 0"),
    (lambda g, out, x: g * np.cos(raw(x)), "enters the rule as a constant"),
    (lambda g, out, x: g * mg.cos(x) * mg.cos(x), "no simple pattern"),
]


@pytest.mark.parametrize(("rule", "words"), REASONS)
def test_the_likely_reason(rule, words):
    @mg.primitive
    def f(x):
        return np.sin(x)

    f.defvjp(rule)
    report = mg.check.gradcheck(f, np.linspace(0.1, 1.2, 8), order=2 if "constant" in words else 1)
    assert not report
    assert words in " ".join(report.reasons), report


def test_rules_in_the_wrong_order():
    @mg.primitive
    def f(x, y):
        return x * x * y

    f.defvjp(lambda g, out, x, y: g * x * x, lambda g, out, x, y: g * 2.0 * x * y)
    report = mg.check.gradcheck(f, [np.array([1.0, 2.0, 3.0]), np.array([0.5, -1.0, 2.5])])
    assert "this is the derivative by y" in " ".join(report.reasons)


# explain_zeros --------------------------------------------------------------------------------------------------


def explained(y, *args):
    return {e.name: e.reason for e in explain_zeros(y, *args).found}


@pytest.fixture
def data(rng):
    return rng.normal(size=(6, 3)), rng.normal(size=(6, 4)), leaf(rng.normal(size=(3, 4)), "w")


@pytest.mark.parametrize("norm", [mg.batch_norm, mg.batch_norm_composed])
def test_a_bias_before_batch_norm(data, norm):
    x, target, w = data
    b = leaf(np.ones(4), "b")
    found = explained(mg.square(norm(x @ w + b) - target).sum())
    assert list(found) == ["b"]
    assert "a bias before" in found["b"]


def test_the_sum_of_a_batch_norm(data):
    x, _, w = data
    assert "as of a sum" in explained(mg.batch_norm(x @ w).sum())["w"]
    assert "order eps" in explained(mg.square(mg.batch_norm(x @ w, eps=1e-7)).sum())["w"]


def test_a_dead_relu_column(data):
    x, target, w = data
    b = leaf([0.0, 0.0, -99.0, 0.0], "b")
    report = explain_zeros(mg.square(mg.relu(x @ w + b) - target).sum())
    assert {e.name: e.extent for e in report.found} == {"w": "zero in columns 2", "b": "zero in columns 2"}
    assert all("dead relu" in e.reason for e in report.found)


def test_constant_columns_single_rows_single_features_and_gamma_zero(rng):
    x, cotangent = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    gamma = leaf(np.ones(3), "gamma")
    constant = x * [1, 0, 1] + [0, 5, 0]
    assert "constant there" in explained(mg.batch_norm(constant, gamma), None, cotangent)["gamma"]
    one = leaf(x[:1], "x")
    assert "single row" in explained(mg.batch_norm(one, gamma), None, cotangent[:1])["x"]
    narrow = leaf(x[:, :1], "x")
    assert "single feature" in explained(mg.layer_norm(narrow), None, cotangent[:, :1])["x"]
    whole, zero = leaf(x, "x"), leaf(np.zeros(3), "gamma")
    assert "gamma is 0" in explained(mg.batch_norm(whole, zero), None, cotangent)["x"]


def test_tensors_that_do_not_take_part_and_healthy_ones(data):
    x, target, w = data
    other = leaf([1.0], "other")
    loss = mg.square(mg.tanh(x @ w) - target).sum()
    assert explained(loss, [other])["other"] == "the result does not depend on it"
    report = explain_zeros(loss)
    assert report
    assert "none of 1" in str(report)


# detect_anomalies -----------------------------------------------------------------------------------------------


def test_the_first_op_forward_and_its_line():
    x = mg.tensor([1.0, -1.0, 4.0], requires_grad=True, name="x")
    with mg.detect_anomalies(), np.errstate(invalid="ignore"), pytest.raises(FloatingPointError) as caught:
        mg.exp(mg.log(x)) * 2.0
    message = str(caught.value)
    assert message.startswith("log made NaN in 1 of 3 elements (first at [1]) of its result")
    assert "-1 .. 4, mean 1.333" in message
    assert "test_blame.py:" in message


def test_the_first_rule_backward():
    x = mg.tensor([1.0, 0.0], requires_grad=True, name="x")
    with mg.detect_anomalies():
        y = mg.sqrt(x) * 3.0
        with pytest.raises(FloatingPointError, match=r"the rule of sqrt made infinity in 1 of 2 .* input x: \(2,\)"):
            y.sum().backward()
        deposited = x.grad
        assert deposited is None
        with pytest.raises(FloatingPointError, match="gradient that arrives at mul already holds NaN"):
            mg.grad(y, x, gradient=[np.nan, 1.0])
    y.sum().backward()  # switched off again
    assert x.grad is not None
    assert np.isinf(x.grad.data[1])


def test_an_input_that_was_already_broken():
    x = mg.tensor([np.nan, 1.0], requires_grad=True, name="x")
    with (
        mg.detect_anomalies(),
        pytest.raises(FloatingPointError, match=r"sin was given x: .*already holds NaN in 1 of 2"),
    ):
        mg.sin(x)


def test_quiet_where_all_is_finite():
    x = mg.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    with mg.detect_anomalies():
        mg.batch_norm_composed(x).sum().backward()
        with mg.no_grad():
            mg.exp(x)
    assert x.grad is not None


# primitive(..., check_against=) ---------------------------------------------------------------------------------


def softsign_composed(x):
    return x / (1.0 + mg.abs(x))


def registered(rule):
    @mg.primitive(check_against=softsign_composed, example=[np.array([-2.0, 0.7, 1.5])])
    def softsign(x):
        return x / (1.0 + np.abs(x))

    softsign.defvjp(rule)
    return softsign


def test_a_right_primitive_is_registered():
    softsign = registered(lambda g, out, x: g / mg.square(1.0 + mg.abs(x)))
    x = mg.tensor([1.0], requires_grad=True)
    assert mg.grad(softsign(x), x).item() == pytest.approx(0.25)


def test_a_wrong_one_is_refused_and_stays_without_a_rule():
    with pytest.raises(ValueError, match=r"wrong rule, and was not registered\n.*WRONG[\s\S]*constant factor 2"):
        registered(lambda g, out, x: 2.0 * g / mg.square(1.0 + mg.abs(x)))


def test_a_right_rule_for_another_function_is_refused():
    @mg.primitive(check_against=softsign_composed, example=[np.array([-2.0, 0.7])])
    def tanh(x):
        return np.tanh(x)

    with pytest.raises(ValueError, match="is not what it is checked against"):
        tanh.defvjp(lambda g, out, x: g * (1.0 - out * out))


def test_check_against_needs_an_example():
    with pytest.raises(ValueError, match="example="):
        mg.primitive(check_against=softsign_composed)(lambda x: x)


# compare on random cases ----------------------------------------------------------------------------------------

SHAPES = [[(7, 3), (3,), (3,)], [(3, 1), (1,), (1,)], [(2, 4), (4,), (4,)]]


def test_trials_that_agree():
    report = mg.check.compare(
        mg.batch_norm_composed, mg.batch_norm, trials=24, shapes=SHAPES, dtypes=("float64", "float32")
    )
    assert report, report
    assert report.trials.startswith("24 trials, 0 differ; the one nearest to its bound")


def test_trials_keep_the_smallest_failure():
    def wrong_for_one_column(x, gamma, beta):
        y = mg.batch_norm(x, gamma, beta)
        return y * 1.000001 if x.shape[1] != 3 else y

    report = mg.check.compare(mg.batch_norm, wrong_for_one_column, trials=12, shapes=SHAPES)
    assert not report
    assert report.trials.startswith(
        "12 trials, 8 differ; the smallest that differs: shapes (3, 1), (1,), (1,), float64"
    )
    assert [np.shape(x) for x in report.inputs] == [(3, 1), (1,), (1,)]
    assert not mg.check.compare(mg.batch_norm, wrong_for_one_column, list(report.inputs))


def test_trials_with_data_of_ones_own():
    def positive(rng, shapes, dtype):
        return [rng.uniform(0.5, 2, s).astype(dtype) for s in shapes]

    report = mg.check.compare(lambda x: mg.log(x * x), lambda x: 2.0 * mg.log(x), np.ones(5), trials=10, draw=positive)
    assert report, report
    with pytest.raises(ValueError, match="shapes="):
        mg.check.compare(mg.sin, mg.sin, trials=3)
    with pytest.raises(ValueError, match="inputs="):
        mg.check.compare(mg.sin, mg.sin)
