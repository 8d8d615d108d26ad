"""How many digits batch norm keeps, against the same formula in extended precision on the same stored input."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

EPS = 1e-5

if np.finfo(np.longdouble).eps > 1e-18:  # pragma: no cover - depends on the machine
    pytest.skip("this machine's long double is no wider than double", allow_module_level=True)


def reference(x):
    wide = x.astype(np.longdouble)
    centred = wide - wide.mean(axis=0)
    return centred / np.sqrt((centred * centred).mean(axis=0) + np.longdouble(EPS))


def error(f, x):
    exact = reference(x)
    return float(np.max(np.abs(f(x, eps=EPS) - exact)) / np.max(np.abs(exact)))


@pytest.mark.parametrize("rows", [10, 1000, 20_000])
def test_float64_far_from_zero(rows):
    x = 1e6 + 1e-2 * np.random.default_rng(0).normal(size=(rows, 3))
    assert error(mg.batch_norm, x) <= 1e-9
    assert error(mg.batch_norm_composed, x) <= 1e-6


@pytest.mark.parametrize("rows", [10, 1000, 20_000])
def test_float32_far_from_zero(rows):
    x = (1e3 + np.random.default_rng(0).normal(size=(rows, 3))).astype(np.float32)
    assert error(mg.batch_norm, x) <= 4 * np.finfo(np.float32).eps


def test_float32_in_wide_rows_far_from_zero():
    x = (1e4 + 1e-2 * np.random.default_rng(0).normal(size=(8192, 128))).astype(np.float32)
    assert error(mg.batch_norm, x) <= 4 * np.finfo(np.float32).eps


@pytest.mark.parametrize("columns", [1, 3])
def test_float32_where_the_first_rows_lie_far_from_all_others(columns):
    """They say where a mean is looked for; squares about a pivot so far away would leave 20 to 60 eps."""
    x = (1e3 + 1e-3 * np.random.default_rng(0).normal(size=(65_536, columns))).astype(np.float32)
    x[:16] = 0.0
    assert error(mg.batch_norm, x) <= 4 * np.finfo(np.float32).eps


@pytest.mark.parametrize("rows", [3, 1000])
def test_ordinary_data(rows):
    x = np.random.default_rng(0).normal(size=(rows, 4))
    assert error(mg.batch_norm, x) <= 8 * np.finfo(np.float64).eps
    assert error(mg.batch_norm_composed, x) <= 8 * np.finfo(np.float64).eps


@pytest.mark.skipif(mg.kernels()["batch_norm"] == "reference", reason="the readable code computes in the dtype it gets")
@pytest.mark.parametrize("shape", [(7, 3), (2, 1), (16, 16), (1, 5)], ids=str)
def test_of_a_few_numbers_only_the_results_are_rounded(shape):
    """y and all gradients of small float32 matrices within a unit, where a dozen rounded steps make two or three."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, g = (rng.normal(size=shape).astype(np.float32) * 2 + offset for offset in (1, 0))
        affine = [rng.normal(size=shape[1]).astype(np.float32) for _ in range(2)]

        def results(dtype, arrays=(x, *affine), g=g):
            leaves = [mg.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
            y = mg.batch_norm(*leaves, eps=EPS)
            return [y.data, *[d.data for d in mg.grad(y, leaves, g.astype(dtype))]]

        for k, (one, exact) in enumerate(zip(results(np.float32), results(float), strict=True)):
            scale = np.abs(exact).max()
            if k == 1 and shape[0] <= 2:  # of one or two rows dx is what is left when everything has cancelled
                scale = np.abs(g).max() * np.abs(affine[0]).max() / np.sqrt(EPS)
            assert np.abs(one - exact).max() <= 1.2 * np.finfo(np.float32).eps * scale
