"""The checker itself: it must accept what is right, name what is wrong, and leave its inputs alone."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.check import compare, cost, gradcheck, numerical_grad, rel_error
from minigrad.core.nodes import raw


def planted(rule, kernel=np.sin):
    """A primitive with the rule under test."""

    def f(x):
        return kernel(x)

    op = mg.primitive(f)
    op.defvjp(rule)
    return op


def one_wrong_coordinate(g, out, x):
    right = g * mg.cos(x)
    return right * np.where(np.arange(x.shape[0]) == 2, 1.01, 1.0)


def right_only_at_order_one(g, out, x):
    return g * np.cos(raw(x))


POINT = np.array([0.3, -1.2, 2.0, 0.7])


def test_numerical_grad_and_rel_error():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    before = x.copy()
    slope = numerical_grad(lambda x: mg.sum(x * x), x)
    np.testing.assert_allclose(slope, 2 * x, rtol=1e-9)
    np.testing.assert_array_equal(x, before)
    weighted = numerical_grad(lambda t: mg.exp(t), mg.tensor(x), gradient=np.array([[1.0, 0.0], [2.0, 0.0]]))
    np.testing.assert_allclose(weighted, np.exp(x) * [[1, 0], [2, 0]], rtol=1e-8)
    assert rel_error([1.0, 2.0], [1.0, 2.2]) == pytest.approx(0.2 / 4.2)
    assert rel_error([0.0], [1e-9]) == pytest.approx(0.1)
    assert rel_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: numerical_grad(mg.sin, np.array([1, 2])), TypeError, "floating-point"),
        (lambda: numerical_grad(mg.sin, np.ones(2)), ValueError, "gradient="),
        (lambda: numerical_grad(mg.sin, np.ones(2), np.ones(3)), ValueError, "shape"),
        (lambda: numerical_grad(mg.sin, np.ones(2), np.ones(2), h=0), ValueError, "h=0"),
        (lambda: rel_error([1.0], [1.0, 2.0]), ValueError, "shapes"),
        (lambda: gradcheck(mg.sin, np.ones(2, np.float32)), TypeError, "float64"),
        (lambda: gradcheck(mg.sin, np.ones(2, int)), TypeError, "float64"),
        (lambda: gradcheck(mg.sin, np.broadcast_to(1.0, 3)), TypeError, "share memory"),
        (lambda: gradcheck(mg.sin, np.array([np.nan])), ValueError, "NaN"),
        (lambda: gradcheck(mg.sin, np.ones(2), order=3), ValueError, "order=3"),
        (lambda: gradcheck(mg.sin, np.ones(2), mode="slow"), ValueError, "mode"),
        (lambda: gradcheck(lambda x: 3.0, np.ones(2)), TypeError, "must return a Tensor"),
        (lambda: compare(mg.sin, mg.sin, np.ones(2), order=5), ValueError, "order=5"),
    ],
)
def test_misuse_is_named(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize("order", [1, 2])
def test_right_rules_pass(mode, order):
    report = gradcheck(planted(lambda g, out, x: g * mg.cos(x)), POINT, order=order, mode=mode)
    assert report, report
    assert "right" in str(report)


@pytest.mark.parametrize("mode", ["full", "fast"])
@pytest.mark.parametrize(
    "rule",
    [
        lambda g, out, x: g * mg.cos(x) * 1.001,
        lambda g, out, x: -g * mg.cos(x),
        lambda g, out, x: g * mg.sin(x),
        lambda g, out, x: g * mg.cos(x) + 1e-4 * g,
        lambda g, out, x: mg.cos(x) * 1.0,
        one_wrong_coordinate,
    ],
)
def test_wrong_rules_are_caught(rule, mode):
    report = gradcheck(planted(rule), POINT, mode=mode)
    assert not report, report
    assert "WRONG" in str(report)


def test_the_wrong_coordinate_is_located():
    report = gradcheck(planted(one_wrong_coordinate), POINT)
    wrong = [e for e in report.worst if not e.ok]
    assert [(e.index, e.output) for e in wrong] == [((2,), (2,))]
    assert wrong[0].analytic / wrong[0].numeric == pytest.approx(1.01, rel=1e-6)
    assert "f" in str(report)
    assert "x[2]" in str(report)


def test_a_rule_that_is_a_constant_at_order_two():
    """What DeZero's batch norm does: an intermediate enters the rule as a constant. Right at order 1 only."""
    op = planted(right_only_at_order_one)
    assert gradcheck(op, POINT)
    report = gradcheck(op, POINT, order=2)
    assert not report
    assert {e.order for e in report.worst if not e.ok} == {2}


def test_true_zeros_are_judged_absolutely():
    x = np.random.default_rng(0).normal(3, 2, (6, 3))
    report = gradcheck(lambda x: mg.batch_norm_composed(x).sum(), x)
    assert report, report
    assert "true gradient is zero" in str(report)


def test_a_bias_before_batch_norm():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
    report = gradcheck(lambda x, w, b: mg.batch_norm(x @ w + b), [x, w, b])
    assert report, report


@pytest.mark.parametrize(
    ("f", "x"), [(mg.relu, [0.0, 1.0]), (mg.abs, [0.0, -1.0]), (lambda x: mg.maximum(x, 0.5), [0.5, 2.0])]
)
def test_kinks_are_noticed_and_not_judged(f, x):
    report = gradcheck(f, np.array(x))
    assert report, report
    assert "kink" in "".join(report.notes)


def test_only_kinks_is_not_a_pass():
    report = gradcheck(lambda x: mg.abs(x) * 3.0, np.array([0.0]))
    assert not report
    assert "kink" in str(report)


def test_randomness_and_state_are_noticed():
    rng = np.random.default_rng(0)
    report = gradcheck(lambda x: x * rng.normal(), np.array([1.0, 2.0]))
    assert not report
    assert "again" in report.problems[0]


def test_inputs_are_copied():
    x = POINT.copy()
    t = mg.tensor(POINT, requires_grad=True)
    gradcheck(mg.tanh, x, order=2)
    gradcheck(mg.tanh, t, order=2)
    compare(mg.tanh, mg.tanh, t)
    np.testing.assert_array_equal(x, POINT)
    np.testing.assert_array_equal(t.data, POINT)
    assert t.grad is None


def test_names_in_reports():
    a = mg.tensor([1.0, 2.0], name="weights")
    report = gradcheck(lambda u, v: u * v, [a, np.array([3.0, 4.0])])
    assert {e.argument for e in report.worst} <= {"weights", "v"}
    names = [q.name for q in compare(lambda u, v: u * v, lambda p, q: q * p, [a, np.array([3.0, 4.0])]).quantities]
    assert names == ["y", "dweights", "dv", "Hv weights", "Hv v", "Jv"]


def twice(x):
    return x + x


@pytest.mark.parametrize(
    ("g", "first_wrong"),
    [
        (lambda x: x * 2.000001, "y"),
        (planted(lambda g, out, x: g * 2.002, lambda x: x + x), "dx"),
        (lambda x: x * 2.0, None),
    ],
)
def test_compare_names_what_differs(g, first_wrong):
    report = compare(twice, g, POINT)
    wrong = [q.name for q in report.quantities if not q.ok]
    assert (wrong[0] if wrong else None) == first_wrong
    assert bool(report) == (not wrong)
    assert ("agree" in str(report).splitlines()[0]) == (not wrong)


def test_compare_sees_order_two():
    right = planted(lambda g, out, x: g * mg.cos(x))
    frozen = planted(right_only_at_order_one)
    assert compare(right, frozen, POINT, order=1)
    report = compare(right, frozen, POINT, order=2)
    assert [q.name for q in report.quantities if not q.ok] == ["Hv x"]


def test_compare_sees_shapes_dtypes_and_nan():
    assert not compare(lambda x: x, lambda x: x.reshape(2, 2), POINT, order=0)
    assert not compare(lambda x: x * 1.0, lambda x: x.astype(np.float32), POINT, order=0)
    with np.errstate(invalid="ignore"):
        assert not compare(lambda x: x * 1.0, lambda x: mg.sqrt(x) * mg.sqrt(x), POINT, order=0)
        assert compare(mg.sqrt, lambda x: mg.pow(x, 0.5), POINT, order=0)


def test_the_bound_grows_with_the_distance_from_zero():
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(20, 3)), 1e6 + 1e-1 * rng.normal(size=(20, 3))
    assert compare(mg.batch_norm_composed, mg.batch_norm, near).quantities[0].bound == 1e-12
    assert compare(mg.batch_norm_composed, mg.batch_norm, near[:2]).quantities[0].bound == 1e-11
    report = compare(mg.batch_norm_composed, mg.batch_norm, far)
    assert report, report
    assert 1e-12 < report.quantities[0].bound < 1e-6
    assert not compare(mg.batch_norm_composed, mg.batch_norm, far, tol=1e-14)


def test_a_cotangent_drawn_with_the_same_seed_as_the_data():
    """x and cotangent from equal streams would make dx vanish: the check must draw from a stream of its own."""
    x = np.random.default_rng(0).normal(3, 2, (7, 3))
    dx = next(q for q in compare(mg.batch_norm_composed, mg.batch_norm, x).quantities if q.name == "dx")
    assert dx.size > 1e-2


def test_costs_are_counted():
    x = mg.tensor(np.ones((10, 4)), requires_grad=True)
    gamma, beta = mg.ones(4, requires_grad=True), mg.zeros(4, requires_grad=True)
    fused, composed = cost(mg.batch_norm(x, gamma, beta)), cost(mg.batch_norm_composed(x, gamma, beta))
    assert fused.ops == 1
    assert composed.ops == 8
    assert fused.kept == (10 * 4 + 2 * 4) * 8  # x_hat, inv_std, gamma
    # x, mu's share through x_hat = centred / std: centred is not read, x (by var), std, x_hat, gamma are
    assert composed.kept == (2 * 10 * 4 + 2 * 4) * 8
    assert fused.alive < composed.alive
    assert fused.backward is not None
    assert composed.backward is not None
    assert fused.backward < composed.backward
    assert composed.forward > 10  # var counts as the sub, square and sum that it is made of


def test_comparing_with_integer_and_missing_inputs():
    table = np.random.default_rng(0).normal(size=(5, 3))
    index = np.array([0, 2, 2])
    assert compare(lambda t, i, n: t[i.data], lambda t, i, n: mg.stack([t[k] for k in i.data]), [table, index, None])


def test_comparing_with_what_has_no_gradient():
    report = compare(lambda x: x * x, lambda x: x.detach() * x.detach(), POINT)
    assert [q.name for q in report.quantities if not q.ok] == ["dx", "Hv x", "Jv"]
    assert compare(lambda x: x.detach() * 2.0, lambda x: x.detach() + x.detach(), POINT)
    assert compare(lambda x: x, lambda x: x * 1.0, POINT)


def test_a_rule_that_is_not_differentiable_can_be_compared_at_order_one():
    numpy_only = planted(lambda g, out, x: g * np.cos(np.asarray(x)))
    report = compare(mg.sin, numpy_only, POINT, order=1)
    assert report, report
    assert report.costs[1].backward is None


@pytest.mark.parametrize("mode", ["full", "fast"])
def test_one_element_at_a_kink_hides_nothing_of_the_others(mode):
    x = np.array([0.0, 1.0, -2.0, 3.0])
    op = planted(lambda g, out, x: g * (x > 0) * 3.0, lambda x: np.maximum(x, 0))
    report = gradcheck(op, x, mode=mode)
    assert not report
    assert {e.index for e in report.worst if not e.ok and not e.skipped} >= {(1,), (3,)}
    assert gradcheck(mg.relu, x, mode=mode)
    assert not compare(mg.relu, op, x)
    assert "1 at a kink not judged" in str(compare(mg.relu, lambda x: mg.maximum(x, 0.0), x))


def test_a_tie_in_one_column_hides_nothing_in_the_others():
    x = np.array([[6.0, 3, 7], [4, 6, 9], [2, 6, 7]])

    largest = planted(lambda g, out, x: 1.7 * g * (x == x.max(axis=0)), lambda x: x.max(axis=0))
    report = gradcheck(largest, x)
    assert not report
    assert not compare(lambda x: mg.max(x, axis=0), largest, x)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (mg.log, [1e-6, 1.0]),
        (mg.sqrt, [1e-6, 2.0]),
        (lambda x: x**-0.5, [1e-6]),
        (mg.exp, [700.0]),
        (mg.exp, [-700.0]),
        (mg.sin, [300.0, 700.0, 1e4]),
        (lambda x: 1.0 / x, [1e-8, 1.0]),
        (mg.log, [1e300, 1e-300]),
    ],
)
def test_right_rules_at_the_edge_of_the_domain_and_far_out(f, x):
    report = gradcheck(f, np.array(x))
    assert report, report
    assert mg.check.blame(f(mg.tensor(x, requires_grad=True)).sum())


def test_where_no_difference_is_finite_nothing_is_judged():
    x = np.array([-1.0, 2.0])
    with np.errstate(invalid="ignore"):
        report = gradcheck(mg.log, x)
    assert "f is not finite near by" in "".join(report.notes)
    assert all(e.skipped or e.ok for e in report.worst)


def test_large_elements_hide_nothing_of_small_ones():
    def rule(g, out, x):
        return g * 2.0 * x * np.array([1.0, 1.5, 1.0])

    report = gradcheck(planted(rule, lambda x: x * x), np.array([1e10, 1.0, 1e-10]))
    assert [e.index for e in report.worst if not e.ok and e.output is not None] == [(1,)]


def test_batch_norm_with_a_constant_column_and_a_tiny_eps():
    x = np.random.default_rng(0).normal(size=(7, 3)) * [1, 0, 1] + [0, 6, 0]
    y = mg.batch_norm_composed(mg.tensor(x, requires_grad=True), eps=1e-6)
    assert mg.check.blame(y)


def test_compare_notices_randomness():
    rng = np.random.default_rng(0)
    report = compare(mg.square, lambda x: x * x * rng.random(), POINT, labels=("square", "dice"))
    assert not report
    assert "dice gives another result when called again" in str(report)


def test_overlapping_inputs_are_refused():
    both = np.arange(1.0, 9.0)
    for inputs in ([both, both], [both[:4], both[2:6]]):
        with pytest.raises(TypeError, match="shares memory"):
            gradcheck(lambda x, y: x.sum() * y.sum(), inputs)


def test_empty_inputs():
    assert gradcheck(mg.exp, np.zeros((0, 3)))
    assert mg.check.blame(mg.exp(mg.tensor(np.zeros((0, 3)), requires_grad=True)).sum())
    assert compare(mg.exp, lambda x: mg.exp(x), trials=8, shapes=[[(0,)], [(3, 0)]])


@pytest.mark.parametrize("given", [None, 3.0, "y", (1.0, 2.0), {"y": 1.0}])
def test_what_is_no_tensor_is_said_to_be_none(given):
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    calls = (mg.check.cost, mg.check.blame, mg.check.explain_zeros, lambda y: mg.check.what_if(y, "x", 1.0))
    for call in (*calls, lambda y: mg.grad(y, x), lambda y: mg.grad((x * x).sum(), y)):
        with pytest.raises(TypeError, match="Tensor"):
            call(given)
