"""mg.check.precision: where digits fall, in which dtype, forward and backward; and mg.check.what_if."""

import importlib.util

import numpy as np
import pytest

import minigrad as mg
from minigrad.check.precisions import digits_left, full

X = 12.0 + 0.01 * np.random.default_rng(0).normal(size=(40, 3))


def one_pass(x):
    squares = mg.mean((x * x).named("xx"), axis=0).named("Ex2")
    mu = mg.mean(x, axis=0).named("Ex")
    return (squares - (mu * mu).named("ExEx")).named("var")


def two_pass(x):
    centred = (x - mg.mean(x, axis=0).named("mu")).named("centred")
    return mg.mean((centred * centred).named("squared"), axis=0).named("var")


def test_the_one_pass_variance_falls_at_its_subtraction_and_nowhere_else():
    report = mg.check.precision(one_pass, X)
    left = {d.name: d.digits["float32"] for d in report.values}
    worst = report.worst()
    assert worst is not None
    assert (worst.name, worst.op) == ("var", "sub")
    assert min(left["xx"], left["Ex2"], left["Ex"], left["ExEx"]) > 6.0
    assert left["var"] < 2.0
    assert worst.line is not None
    assert worst.line[0].endswith("test_precision.py")
    assert not report
    assert "float32: most fall at sub -> var, from 6." in str(report)


def test_the_two_pass_variance_keeps_four():
    report = mg.check.precision(two_pass, X, ["float32"])
    left = {d.name: d.digits["float32"] for d in report.values if not d.backward}
    assert left["var"] > 3.5
    assert min(left.values()) > 2.5  # x itself has seven, and its distance from the mean what is left of them


def test_an_mlp_keeps_its_digits_in_float16_and_an_overflow_leaves_none():
    rng = np.random.default_rng(1)
    net = mg.nn.MLP([4, 8, 3], rng=0)
    x, labels = rng.normal(size=(16, 4)), rng.integers(0, 3, 16)

    def loss(x):
        return mg.cross_entropy(net(x), labels)

    report = mg.check.precision(loss, x, ["float16"])
    assert report
    assert any(d.backward for d in report.values)
    large = mg.check.precision(lambda x: (x * x).sum(), np.full(4, 300.0), ["float16"])
    assert large.ends[0].digits["float16"] == 0.0
    assert not large


def test_colors_are_of_the_recorded_graph():
    report = mg.check.precision(one_pass, X, ["float32", "float16"])
    shares = {node.name: share for node, (share, _) in report.colors.items()}
    assert shares["var"] > 0.7 > 0.3 > shares["Ex2"]
    assert report.colors.keys() == report.nodes.keys()
    assert "digits" in mg.draw(report.result, color=report).dot
    assert "digits" in mg.draw(report.result, color=report.shades("float16")).dot


@pytest.mark.skipif(importlib.util.find_spec("ml_dtypes") is not None, reason="ml_dtypes is here")
def test_bfloat16_says_what_it_needs():
    with pytest.raises(ValueError, match="bfloat16 needs the package ml_dtypes"):
        mg.check.precision(two_pass, X, ["bfloat16"])


def test_bfloat16_has_fewer_digits_than_float16():
    pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    report = mg.check.precision(lambda x: mg.exp(x), np.linspace(0.1, 1, 50), ["bfloat16", "float16"])
    (end, *_) = report.ends
    assert 1.5 < end.digits["bfloat16"] < end.digits["float16"] < 4.0


def test_digits_left():
    b = np.array([1.0, 100.0])
    assert digits_left(b, b) == 16.0
    assert digits_left(np.array([1.0, 101.0]), b) == pytest.approx(2.0)
    assert digits_left(np.array([np.inf, 100.0]), b) == 0.0
    assert digits_left(np.array([np.nan]), np.array([np.nan])) == 16.0
    assert digits_left(np.zeros(0), np.zeros(0)) == 16.0
    assert full("float32") == pytest.approx(7.22, abs=0.01)


def test_what_precision_refuses():
    with pytest.raises(ValueError, match="dtype 'int8' must be 'float32', 'float16' or 'bfloat16'"):
        mg.check.precision(two_pass, X, ["int8"])
    with pytest.raises(ValueError, match="dtypes is empty"):
        mg.check.precision(two_pass, X, [])


# What if ------------------------------------------------------------------------------------------------------------


def graph():
    x = mg.tensor([1.0, 2.0, -1.0], requires_grad=True, name="x")
    h = mg.relu(x * 2.0).named("h")
    return x, h, (h * h).sum().named("y")


def test_the_real_change_stands_beside_what_the_gradient_says():
    _, h, y = graph()
    for node in ("h", h):
        report = mg.check.what_if(y, node, 0.5, index=1)
        share, real, told = report.rows[0]
        assert (share, told) == (1.0, 4.0)
        assert real == pytest.approx(4.5**2 - 4.0**2)
        assert report.value == pytest.approx(24.25 - 4.0 + 4.0)
    assert y.item() == 20.0
    assert "h[1] changed: y changes by 4.25, its gradient says 4" in str(report)


def test_linear_and_kinked_changes_are_told():
    x = mg.tensor([1.0, -1e-9], requires_grad=True, name="x")
    assert "nothing bends" in str(mg.check.what_if((3.0 * x).sum(), x, [1.0, 2.0]))
    assert "a kink" in str(mg.check.what_if(mg.relu(x).sum(), "x", 0.1, index=1))


def test_a_leaf_an_element_a_row_and_a_weighted_result():
    w = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True, name="w")
    y = w * w
    gradient = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    report = mg.check.what_if(y, w, 1.0, index=(1, slice(None)), gradient=gradient)
    assert report.rows[0][1:] == (2.0 * (36.0 - 25.0), 20.0)


def test_what_what_if_refuses():
    x, _, y = graph()
    other = mg.tensor([1.0], requires_grad=True, name="other")
    with pytest.raises(ValueError, match=r"y was not computed from other: \(1,\) float64"):
        mg.check.what_if(y, other, 1.0)
    with pytest.raises(ValueError, match="no value is called 'q' in this graph; there are h, x, y"):
        mg.check.what_if(y, "q", 1.0)
    with pytest.raises(ValueError, match=r"the change does not fit x: \(3,\) float64"):
        mg.check.what_if(y, x, np.ones(4))
    with pytest.raises(ValueError, match="the change is 0 everywhere"):
        mg.check.what_if(y, x, 0.0)
    with pytest.raises(ValueError, match="the change does not fit"):
        mg.check.what_if(y, x, 1.0, index=7)
