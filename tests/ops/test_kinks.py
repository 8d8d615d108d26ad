"""The table of conventions: ties, kinks, poles, NaN, overflow. Warnings are errors, so silence is tested too."""

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg

INF, NAN = math.inf, math.nan


def slopes(f, *inputs, dtype=float):
    """Gradients of the sum of f, by both walks, which must agree."""
    xs = [mg.tensor(x, dtype=dtype, requires_grad=True) for x in inputs]
    y = f(*xs)
    c = np.ones(y.shape, dtype)
    ds, same = mg.grad(y, xs, gradient=c), mg.grad(y, xs, gradient=c, create_graph=True)
    for d, e in zip(ds, same, strict=True):
        np.testing.assert_array_equal(d.data, e.data)
    return [d.data.tolist() for d in ds]


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        # the minimum-norm choice
        (mg.relu, [-1.0, 0.0, -0.0, 2.0], [0, 0, 0, 1]),
        (mg.abs, [-1.0, 0.0, -0.0, 2.0], [-1, 0, 0, 1]),
        (mg.leaky_relu, [-1.0, 0.0, 2.0], [0.01, 0.01, 1]),
        (mg.max, [1.0, 2.0, 2.0], [0, 0.5, 0.5]),
        (mg.min, [1.0, 1.0, 1.0, 1.0], [0.25] * 4),
        (lambda x: mg.max(x, axis=1), [[1.0, 1.0], [1.0, 2.0]], [[0.5, 0.5], [0, 1]]),
        (lambda x: mg.max(x, axis=(0, 1)), [[3.0, 1.0], [1.0, 3.0]], [[0.5, 0], [0, 0.5]]),
        (lambda x: mg.maximum(x, x), [1.0, -1.0], [1, 1]),
        (lambda x: mg.maximum(x, 0.0), [-1.0, 0.0, 2.0], [0, 0.5, 1]),
        (lambda x: mg.minimum(x, 0), [-1.0, 0.0, 2.0], [1, 0.5, 0]),
        # clip passes the gradient at its bounds
        (lambda x: mg.clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0], [0, 1, 1, 1, 0]),
        (lambda x: mg.clip(x, low=0.0), [-1.0, 0.0, 1.0], [0, 1, 1]),
        (lambda x: mg.clip(x, high=0.0), [-1.0, 0.0, 1.0], [1, 1, 0]),
        (lambda x: mg.clip(x, 1.0, 1.0), [0.0, 1.0, 2.0], [0, 1, 0]),
        (lambda x: mg.clip(x, 2.0, 1.0), [0.0, 1.5, 3.0], [0, 0, 0]),
        # spread of a constant, also where its mean is not the constant: 0.1 + 0.1 + 0.1 > 0.3
        (mg.std, [2.0, 2.0, 2.0], [0, 0, 0]),
        (mg.std, [0.1, 0.1, 0.1], [0, 0, 0]),
        (lambda x: mg.std(x, axis=0), [[0.1, 1.0], [0.1, 3.0], [0.1, 2.0]], [[0, -(6**-0.5)], [0, 6**-0.5], [0, 0]]),
        (mg.std, [5.0], [0]),
        (mg.std, 5.0, 0),
        (mg.var, [5.0], [0]),
        (lambda x: mg.sqrt(mg.sum(mg.square(x))), [3.0, 4.0], [0.6, 0.8]),
        # poles
        (mg.sqrt, [0.0, 4.0], [INF, 0.25]),
        (mg.log, [0.0, 4.0], [INF, 0.25]),
        (mg.log1p, [-1.0, 1.0], [INF, 0.5]),
        (lambda x: x**0.5, [0.0, 4.0], [INF, 0.25]),
        (lambda x: 1.0 / x, [0.0, 2.0], [-INF, -0.25]),
        # powers
        (lambda x: x**0, [0.0, -2.0, INF, NAN], [0, 0, 0, 0]),
        (lambda x: x**1, [0.0, -2.0, 3.0], [1, 1, 1]),
        (lambda x: x**2, [0.0, -2.0, 3.0], [0, -4, 6]),
        (lambda x: x**3.0, [0.0, -2.0], [0, 12]),
        (lambda x: x**-1, [2.0, -2.0], [-0.25, -0.25]),
        (lambda x: x ** np.array([0.0, 1.0, 2.0, 3.0]), [0.0, 0.0, 0.0, 0.0], [0, 1, 0, 0]),
        (lambda x: x ** np.array([0, 1, 2, -1]), [-2.0, -2.0, -2.0, -2.0], [0, 1, -4, -0.25]),
        # products
        (mg.prod, [2.0, 3.0, 4.0], [12, 8, 6]),
        (mg.prod, [2.0, 0.0, 4.0], [0, 8, 0]),
        (mg.prod, [0.0, 3.0, 0.0], [0, 0, 0]),
        (lambda x: mg.prod(x, axis=1), [[1.0, 2.0], [0.0, 5.0]], [[2, 1], [5, 0]]),
        (mg.cumsum, [0.0, 0.0, 0.0], [3, 2, 1]),
    ],
)  # fmt: skip
def test_slopes(f, x, expected):
    old = np.seterr(all="ignore") if np.isin(expected, [INF, -INF]).any() else np.seterr()
    try:
        (found,) = slopes(f, x)
    finally:
        np.seterr(**old)
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=0)


def test_ties_of_two_arguments_share_evenly():
    for f in (mg.maximum, mg.minimum):
        assert slopes(f, [1.0, 2.0, 0.0], [1.0, 2.0, -0.0]) == [[0.5] * 3, [0.5] * 3]
    assert slopes(mg.maximum, [1.0, 5.0], [2.0, 3.0]) == [[0, 1], [1, 0]]
    assert slopes(mg.minimum, [1.0, 5.0], [2.0, 3.0]) == [[1, 0], [0, 1]]


def test_powers_of_zero():
    # in y, 0**y is flat; in x, it is 0, 1 or 0
    assert slopes(mg.pow, [0.0, 0.0, 0.0], [0.0, 1.0, 2.0]) == [[0, 1, 0], [0, 0, 0]]
    assert slopes(lambda y: 0.0**y, [1.0, 2.0]) == [[0, 0]]
    assert slopes(lambda y: 0**y, [1.0, 2.0]) == [[0, 0]]


def test_the_mixed_derivative_of_a_power_with_exponent_zero():
    x, y = mg.tensor(2.0, requires_grad=True), mg.tensor(0.0, requires_grad=True)
    dx, dy = mg.grad(x**y, (x, y), create_graph=True)
    # d/dy (y x**(y-1)) = x**(y-1) + ... = 1/x, and d/dx (x**y log x) = 1/x
    assert mg.grad(dx, y).item() == 0.5
    assert mg.grad(dy, x).item() == 0.5
    assert mg.grad(dx, x).item() == 0.0
    np.testing.assert_allclose(mg.grad(dy, y).item(), math.log(2.0) ** 2, rtol=1e-15)


def test_second_derivatives_at_kinks():
    for f, value, expected in (
        (mg.relu, 0.0, 0.0),
        (mg.abs, 0.0, 0.0),
        (lambda x: mg.maximum(x, x * x), 0.0, 1.0),  # half of the second derivative of x*x
        (lambda x: mg.std(x * np.array([1.0, 1.0])), 0.0, 0.0),
        (lambda x: x**2, 0.0, 2.0),
        (lambda x: x ** np.array(2.0), 0.0, 2.0),
        (lambda x: x**1, 0.0, 0.0),
        (lambda x: mg.prod(mg.stack([x, x, x + 1.0])), 0.0, 2.0),  # x*x*(x + 1): two zeros
    ):
        x = mg.tensor(value, requires_grad=True)
        assert mg.grad(mg.grad(f(x), x, create_graph=True) + 0.0 * x, x).item() == expected


def test_where_a_standard_deviation_is_flat_it_is_so_for_every_cotangent():
    x, c = mg.tensor([0.1, 0.1, 0.1], requires_grad=True), mg.tensor(1.0, requires_grad=True)
    d = mg.grad(mg.std(x), x, gradient=c, create_graph=True)
    dx, dc = mg.grad(mg.sum(d * np.array([1.0, 2.0, 3.0])), (x, c))
    np.testing.assert_array_equal(dx.data, [0, 0, 0])
    assert dc.item() == 0


@pytest.mark.parametrize("x", [[0.0, 1.0, 2.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0], [3.0, 1.0, 2.0]])
def test_hessian_of_a_product_with_zeros(x):
    hessian = mg.jacobian(lambda x: mg.grad(mg.prod(x), x, create_graph=True), x)
    a, b, c = x
    np.testing.assert_array_equal(hessian.data, [[0, c, b], [c, 0, a], [b, a, 0]])


def test_a_branch_not_taken_sends_nothing_back_not_even_zero_times_infinity():
    # sqrt'(0) is inf, but where relu and maximum are flat that must not become NaN
    x = [-4.0, 0.0, 4.0]
    assert slopes(lambda x: mg.sqrt(mg.relu(x)), x) == [[0, 0, 0.25]]
    assert slopes(lambda x: mg.sqrt(mg.maximum(x, 0.0)), [-4.0, 4.0]) == [[0, 0.25]]
    assert slopes(lambda x: mg.sqrt(mg.clip(x, low=0.0)), [-4.0, 4.0]) == [[0, 0.25]]
    assert slopes(lambda x: mg.sqrt(mg.max(x)), [0.0, -1.0]) == [[INF, 0]]
    assert slopes(lambda x: mg.sqrt(mg.min(x)), [0.0, 1.0]) == [[INF, 0]]
    safe = lambda x: mg.where(x > 0.0, mg.log(mg.where(x > 0.0, x, 1.0)), 0.0)  # noqa: E731
    assert slopes(safe, x) == [[0, 0, 0.25]]


# NaN and infinity -----------------------------------------------------------------------------------------------


def test_nan_goes_through_and_takes_the_gradient():
    x = [NAN, 1.0]
    f: Any
    for f in (mg.exp, mg.tanh, mg.sigmoid, mg.softplus, mg.gelu, mg.silu, mg.square, mg.abs, mg.sin):
        value = f(np.array(x))
        assert np.isnan(value).tolist() == [True, False]
        assert np.isnan(slopes(f, x)[0]).tolist() == [True, False]
    for f in (mg.relu, mg.leaky_relu, lambda x: mg.clip(x, -1.0, 1.0), lambda x: mg.maximum(x, 0.0)):
        assert np.isnan(f(np.array(x))).tolist() == [True, False]
    for f in (mg.max, mg.min):
        assert np.isnan(f(np.array(x)))
        assert slopes(f, x) == [[1, 0]]
        assert slopes(f, [NAN, NAN, 1.0]) == [[0.5, 0.5, 0]]
    for f in (mg.maximum, mg.minimum):
        assert np.isnan(f(np.array(NAN), 1.0))
        assert slopes(f, [NAN, 1.0, NAN], [1.0, NAN, NAN]) == [[1, 0, 0.5], [0, 1, 0.5]]
    for f in (mg.sum, mg.mean, mg.var, mg.std, mg.prod, mg.logsumexp, mg.cumsum):
        assert np.isnan(f(np.array(x))).all()


def test_a_nan_cotangent_is_not_masked_where_the_slope_is_not_zero():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for f in (mg.relu, mg.exp, mg.neg, lambda x: mg.clip(x, 0.0, 5.0), lambda x: mg.maximum(x, 0.0)):
        d = mg.grad(f(x), x, gradient=[NAN, 1.0]).data
        assert np.isnan(d).tolist() == [True, False]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_overflows_where_the_mathematics_does_not(dtype):
    big = [-1e4, -1e3, -100.0, 0.0, 100.0, 1e3, 1e4]
    x = np.array(big, dtype)
    for f, value, slope in (
        (mg.sigmoid, [0, 0, None, 0.5, 1, 1, 1], [0, 0, None, 0.25, 0, 0, 0]),
        (mg.softplus, [0, 0, None, math.log(2), 100, 1e3, 1e4], [0, 0, None, 0.5, 1, 1, 1]),
        (mg.tanh, [-1, -1, -1, 0, 1, 1, 1], [0, 0, 0, 1, 0, 0, 0]),
        (mg.silu, [0, 0, None, 0, 100, 1e3, 1e4], [0, 0, None, 0.5, 1, 1, 1]),
        (mg.gelu, [0, 0, 0, 0, 100, 1e3, 1e4], [0, 0, 0, 0.5, 1, 1, 1]),
    ):
        (found,) = slopes(f, big, dtype=dtype)
        for at, (v, s) in enumerate(zip(value, slope, strict=True)):
            if v is not None and s is not None:
                np.testing.assert_allclose(f(x)[at], v, rtol=1e-6, atol=1e-30)
                np.testing.assert_allclose(found[at], s, rtol=1e-6, atol=1e-30)
    tail = mg.sigmoid(np.array([-80.0], dtype))
    np.testing.assert_allclose(tail, math.exp(-80.0), rtol=1e-5)  # small results keep their digits


def test_logsumexp_of_large_and_infinite_numbers():
    assert mg.logsumexp(np.array([1e4, 1e4])) == 1e4 + math.log(2)
    assert mg.logsumexp(np.array([-1e4, -1e4])) == -1e4 + math.log(2)
    assert slopes(mg.logsumexp, [1e4, 0.0]) == [[1, 0]]
    assert mg.logsumexp(np.array([-INF, 0.0])) == 0.0
    assert slopes(mg.logsumexp, [-INF, 0.0]) == [[0, 1]]
    assert mg.logsumexp(np.array([-INF, -INF])) == -INF
    assert slopes(mg.logsumexp, [-INF, -INF]) == [[0, 0]]
    assert mg.logsumexp(np.array([INF, 1e4, 0.0])) == INF
    assert mg.logsumexp(np.array([1, 1000])) == 1000.0
    assert mg.logsumexp(np.zeros((2, 0)), axis=1).tolist() == [-INF, -INF]


# Nothing at all, and one ----------------------------------------------------------------------------------------


def test_empty_arrays():
    x = mg.tensor(np.zeros((0, 3)), requires_grad=True)
    for f, value in (
        (mg.sum, 0.0),
        (mg.prod, 1.0),
        (mg.mean, NAN),
        (mg.var, NAN),
        (mg.std, NAN),
        (mg.logsumexp, -INF),
        (lambda x: mg.sum(mg.cumsum(x, axis=0)), 0.0),
        (lambda x: mg.sum(mg.concatenate([x, np.ones((1, 3))])), 3.0),
        (lambda x: mg.sum(x @ np.ones((3, 2))), 0.0),
        (lambda x: mg.sum(mg.einsum("ij->j", x)), 0.0),
        (lambda x: mg.sum(x[:, [0, 0]]), 0.0),
        (lambda x: mg.sum(mg.exp(x) * 2.0 + x**2), 0.0),
    ):
        y = f(x)
        np.testing.assert_array_equal(y.data, value)
        for create_graph in (False, True):
            d = mg.grad(y, x, create_graph=create_graph)
            assert d.shape == (0, 3)
    for f in (mg.max, mg.min):
        with pytest.raises(ValueError, match="zero-size array"):
            f(x)
        assert f(x, axis=1).shape == (0,)
    for f, value in ((mg.sum, 0.0), (mg.mean, NAN), (mg.prod, 1.0)):
        np.testing.assert_array_equal(f(x, axis=0).data, [value] * 3)
        assert mg.grad(f(x, axis=0), x, gradient=np.ones(3)).shape == (0, 3)


def test_too_few_numbers_for_ddof():
    for f in (mg.var, mg.std):
        assert np.isnan(f(np.array([1.0]), ddof=1))
        assert np.isnan(f(np.array([1.0, 2.0]), ddof=3))
        assert np.isnan(slopes(lambda x, f=f: f(x, ddof=1), [1.0])[0]).all()
