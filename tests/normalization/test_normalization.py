"""Batch norm and layer norm: composed, fused, numerical and PyTorch agree at orders 0, 1 and 2; the edges."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.check import compare, gradcheck
from minigrad.program.rules import kept_for_backward

from ..helpers import leaf

COMPOSED: dict[str, Any] = {
    "primitive": mg.batch_norm_composed,
    "staged": partial(mg.batch_norm_composed, variance="staged"),
}


def ordinary(rows, columns, seed=0, mean=2.0, spread=3.0):
    rng = np.random.default_rng(seed)
    return [
        rng.normal(mean, spread, (rows, columns)),
        rng.normal(size=columns),
        rng.normal(size=columns),
    ]


@pytest.mark.parametrize("form", COMPOSED)
@pytest.mark.parametrize("gamma", ["random", "zero", "one zero"])
def test_fused_equals_composed_to_second_order(form, gamma):
    x, g, b = ordinary(12, 4)
    g = {"random": g, "zero": g * 0, "one zero": g * [1, 0, 1, 1]}[gamma]
    report = compare(COMPOSED[form], mg.batch_norm, [x, g, b], tol=1e-12)
    assert report, report
    assert [q.name for q in report.quantities] == ["y", "dx", *(f"d{n}" for n in ("gamma", "beta")),
                                                   "Hv x", "Hv gamma", "Hv beta", "Jv"]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(2, 30),
    columns=st.integers(1, 6),
    seed=st.integers(0, 2**20),
    mean=st.floats(-3, 3),
    spread=st.floats(0.01, 30),
    eps=st.sampled_from([1e-6, 1e-5, 1e-3, 1.0, 100.0]),
    form=st.sampled_from(sorted(COMPOSED)),
)
def test_fused_equals_composed_on_any_data(rows, columns, seed, mean, spread, eps, form):
    inputs = ordinary(rows, columns, seed, mean, spread)
    report = compare(partial(COMPOSED[form], eps=eps), partial(mg.batch_norm, eps=eps), inputs, eps=eps)
    assert report, report


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((4, 3, 5), (0, 2)), ((4, 3, 5), 0), ((4, 3, 5), (0, 1)), ((4, 3), -1), ((5,), 0), ((3, 4), None)],
)
def test_every_axis(shape, axis):
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape)
    axes = range(x.ndim) if axis is None else {k % x.ndim for k in (axis if isinstance(axis, tuple) else (axis,))}
    kept = [n for k, n in enumerate(shape) if k not in axes]
    reduced = [n for k, n in enumerate(shape) if k in axes]
    batch = [x, rng.normal(size=kept), rng.normal(size=kept)]
    assert compare(partial(mg.batch_norm_composed, axis=axis), partial(mg.batch_norm, axis=axis), batch)
    layer = [x, rng.normal(size=reduced), rng.normal(size=reduced)]
    assert compare(partial(mg.layer_norm_composed, axis=axis), partial(mg.layer_norm, axis=axis), layer)
    given_statistics = [*batch, rng.normal(size=kept), rng.random(kept) + 0.5]
    composed, fused = (partial(f, axis=axis) for f in (mg.batch_norm_inference_composed, mg.batch_norm_inference))
    assert compare(composed, fused, given_statistics)


@pytest.mark.parametrize("f", [mg.batch_norm, mg.layer_norm, mg.batch_norm_composed, mg.layer_norm_composed])
def test_against_numerical_derivatives(f):
    report = gradcheck(f, ordinary(5, 3)[:1] + ordinary(1, 3)[1:], order=2)
    assert report, report


def test_inference_against_numerical_derivatives():
    x, g, b = ordinary(4, 3)
    report = gradcheck(mg.batch_norm_inference, [x, g, b, b + 1, g * g + 0.1], order=2)
    assert report, report


@pytest.mark.parametrize("parts", [(None, None), ("gamma", None), (None, "beta")])
def test_gamma_and_beta_may_be_left_out(parts):
    x, g, b = ordinary(6, 3)
    inputs = [x, g if parts[0] else None, b if parts[1] else None]
    assert compare(mg.batch_norm_composed, mg.batch_norm, inputs)
    assert compare(mg.layer_norm_composed, mg.layer_norm, inputs)


@pytest.mark.parametrize("f", [mg.batch_norm, *COMPOSED.values()])
def test_one_row_gives_beta_and_no_gradient(f):
    x, g, b = (leaf(a) for a in ordinary(1, 3))
    y = f(x, g, b)
    np.testing.assert_array_equal(y.data, b.data[None])
    dx, d_gamma, d_beta = mg.grad(y, (x, g, b), gradient=np.array([[1.0, -2.0, 3.0]]))
    np.testing.assert_array_equal(dx.data, np.zeros((1, 3)))
    np.testing.assert_array_equal(d_gamma.data, np.zeros(3))
    np.testing.assert_array_equal(d_beta.data, [1.0, -2.0, 3.0])


@pytest.mark.parametrize("value", [0.0, 0.1, 100.0, 1e8, -1e-30])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_constant_column_gives_exactly_beta(value, dtype):
    x = np.full((7, 2), value, dtype)
    x[:, 1] = np.arange(7)
    b = np.array([0.3, -1.0], dtype)
    y = mg.batch_norm(x, np.array([2.0, 2.0], dtype), b)
    np.testing.assert_array_equal(y[:, 0], np.full(7, b[0]))
    assert y.dtype == dtype
    z = mg.layer_norm(x.T.copy(), None, None)
    np.testing.assert_array_equal(z[0], np.zeros(7))


@pytest.mark.parametrize("eps", [0.0, 1e-12, 1e-5, 1.0, 1e4])
def test_eps_stands_inside_the_root_and_is_added(eps):
    x = ordinary(20, 2)[0]
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + eps)
    np.testing.assert_allclose(mg.batch_norm(x, eps=eps), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(mg.batch_norm_composed(x, eps=eps), expected, rtol=1e-12, atol=1e-13)


def test_a_variance_below_eps_gives_no_nan():
    """Course note 003 prints sqrt(var - eps), which is NaN here."""
    x = np.array([[1.0], [1.0 + 1e-6]])
    assert np.isfinite(mg.batch_norm(x, eps=1e-5)).all()


def test_far_from_zero_the_fused_form_keeps_its_digits():
    rng = np.random.default_rng(0)
    x = 1e6 + 1e-2 * rng.normal(size=(1000, 3))
    exact = x.astype(np.longdouble)
    exact = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + np.longdouble(1e-5))
    scale = float(np.abs(exact).max())
    fused = float(np.abs(mg.batch_norm(x) - exact).max()) / scale
    composed = float(np.abs(mg.batch_norm_composed(x) - exact).max()) / scale
    assert fused <= 1e-9
    assert composed <= 1e-6


def test_invariants_of_the_gradient():
    """Sum over the batch of dx is 0; sum(dx * x_hat) = gamma d_gamma inv_std eps / (var + eps), not 0 (row 000-14)."""
    x, g, b = (leaf(a) for a in ordinary(9, 3))
    eps = 1e-3
    cotangent = np.random.default_rng(1).normal(size=(9, 3))
    dx, d_gamma = mg.grad(mg.batch_norm(x, g, b, eps=eps), (x, g), gradient=cotangent)
    var = x.data.var(0)
    x_hat = (x.data - x.data.mean(0)) / np.sqrt(var + eps)
    np.testing.assert_allclose(dx.data.sum(0), np.zeros(3), atol=1e-13)
    expected = g.data * d_gamma.data / np.sqrt(var + eps) * eps / (var + eps)
    np.testing.assert_allclose((dx.data * x_hat).sum(0), expected, rtol=1e-8)


def test_gamma_and_beta_can_undo_it():
    """Row 003-10: gamma = sqrt(var + eps), beta = mu recovers x."""
    x = ordinary(8, 3)[0]
    back = mg.batch_norm(x, np.sqrt(x.var(0) + 1e-5), x.mean(0))
    np.testing.assert_allclose(back, x, rtol=1e-13)


def test_rows_may_be_permuted():
    x, g, b = ordinary(8, 3)
    order = np.random.default_rng(0).permutation(8)
    np.testing.assert_allclose(mg.batch_norm(x[order], g, b), mg.batch_norm(x, g, b)[order], rtol=1e-12, atol=1e-14)


def test_strange_layouts():
    x, g, b = ordinary(8, 6)
    for view in (np.asfortranarray(x), x[::-1], x[::2, ::-1], x.T.copy().T):
        h, k = g[: view.shape[1]], b[: view.shape[1]]
        plain = [leaf(a) for a in (view.copy(), h, k)]
        strange = [leaf(view), leaf(h), leaf(k)]
        for one, two in zip(
            mg.grad(mg.batch_norm(*plain), plain, gradient=view.copy()),
            mg.grad(mg.batch_norm(*strange), strange, gradient=view),
            strict=True,
        ):
            # dx of these is what eps leaves of numbers around 3: sums in another order move its last digits
            np.testing.assert_allclose(two.data, one.data, rtol=1e-13, atol=1e-14)


def test_float32_stays_float32():
    inputs = [a.astype(np.float32) for a in ordinary(16, 4)]
    for f in (mg.batch_norm, mg.layer_norm, *COMPOSED.values()):
        leaves = [leaf(a) for a in inputs]
        y = f(*leaves)
        assert y.dtype == np.float32
        for d in mg.grad(y, leaves, gradient=np.ones((16, 4), np.float32), create_graph=True):
            assert d.dtype == np.float32
    assert compare(mg.batch_norm_composed, mg.batch_norm, inputs)


def test_integers_are_taken_as_floats():
    x = np.array([[6, 3], [4, 6], [2, 6]])
    np.testing.assert_array_equal(mg.batch_norm(x), mg.batch_norm(x.astype(float)))
    small = x.astype(np.uint8)  # x - x[first row] must not wrap around
    np.testing.assert_array_equal(mg.batch_norm(small), mg.batch_norm(x.astype(float)))


def test_an_empty_batch_gives_an_empty_result():
    x, g, b = leaf(np.zeros((0, 3))), leaf(np.ones(3)), leaf(np.zeros(3))
    y = mg.batch_norm(x, g, b)
    assert y.shape == (0, 3)
    for d, like in zip(mg.grad(y, (x, g, b), gradient=np.zeros((0, 3))), (x, g, b), strict=True):
        np.testing.assert_array_equal(d.data, np.zeros(like.shape))


@pytest.mark.parametrize("f", [mg.batch_norm, mg.layer_norm, *COMPOSED.values()])
def test_second_order_of_an_empty_batch(f):
    leaves = [leaf(np.zeros((0, 3))), leaf(np.ones(3)), leaf(np.zeros(3))]
    firsts = mg.grad(f(*leaves), leaves, gradient=leaf(np.zeros((0, 3))), create_graph=True)
    seconds = mg.grad(sum((d.sum() for d in firsts), start=mg.tensor(0.0)), leaves)
    for d, x in zip(seconds, leaves, strict=True):
        np.testing.assert_array_equal(d.data, np.zeros(x.shape))


def test_arrays_in_array_out_and_nothing_recorded():
    assert type(mg.batch_norm(*ordinary(4, 2))) is np.ndarray
    assert type(mg.batch_norm_composed(*ordinary(4, 2))) is np.ndarray


def test_what_the_fused_node_keeps():
    """Only x_hat, inv_std and gamma: N*D + 2*D floats."""
    y = mg.batch_norm(*(leaf(a) for a in ordinary(10, 4)))
    kept = kept_for_backward(y)
    assert {name: a.shape for name, a in kept.items()} == {
        "gamma": (4,),
        "x_hat": (10, 4),
        "inv_std": (1, 4),
    }


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("primitive", ["mu", "var", "centred", "var_eps", "std", "x_hat", "scaled", "y"]),
        ("staged", ["mu", "centred", "squared", "var", "var_eps", "std", "x_hat", "scaled", "y"]),
    ],
)
def test_intermediates_are_named_and_scoped(form, names):
    from minigrad.core.gradients import consumers_first

    y = COMPOSED[form](*(leaf(a) for a in ordinary(4, 2)))
    nodes = consumers_first(y)[::-1]
    assert [n.name for n in nodes] == names
    scopes = {n.name: n.scope for n in nodes}
    assert scopes["mu"] == scopes["var"] == ("statistics",)
    assert scopes["std"] == scopes["x_hat"] == ("normalize",)
    assert scopes["scaled"] == scopes["y"] == ("affine",)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: mg.batch_norm(np.ones((4, 3)), np.ones(4)), r"gamma has shape \(4,\), expected \(3,\)"),
        (lambda: mg.batch_norm_composed(np.ones((4, 3)), None, np.ones((1, 3))), r"beta has shape \(1, 3\)"),
        (lambda: mg.layer_norm(np.ones((4, 3)), np.ones(4)), r"gamma has shape \(4,\), expected \(3,\)"),
        (lambda: mg.batch_norm(np.ones((4, 3)), eps=-1e-5), "eps=-1e-05 must be a finite number >= 0"),
        (lambda: mg.batch_norm(np.ones((4, 3)), eps=np.nan), "eps"),
        (lambda: mg.batch_norm(np.float64(3.0)), "at least one axis"),
        (lambda: mg.batch_norm(np.ones((4, 3)), axis=2), "axis=2"),
        (lambda: mg.batch_norm(np.ones((4, 3)), axis=(0, -2)), "different axes"),
        (lambda: mg.batch_norm_composed(np.ones((4, 3)), variance="one"), "'primitive'"),
        (lambda: mg.batch_norm_inference(np.ones((4, 3)), None, None, np.ones(2), np.ones(3)), "mean has shape"),
    ],
)
def test_errors_say_what_was_passed(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_text_is_refused():
    with pytest.raises(TypeError, match="real numbers"):
        mg.batch_norm(np.array([["a"]]))
