"""The kernels of batch norm are held to the readable code, whichever of them this environment has."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.fast import chosen, fused
from minigrad.fast.numpy_kernels import batch as numpy_batch
from minigrad.normalization import batch as normalization

from .kernels import IMPLEMENTATIONS, SHAPES, TOLERANCE, bytes_of, filled_with_nan, same


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("affine", ["both", "gamma", "beta", "none"])
def test_batch_norm_equals_the_readable_code(name, dtype, shape, affine):
    fast = IMPLEMENTATIONS[name][0]
    rng = np.random.default_rng(5)
    x, g = ((rng.normal(size=shape) * 3 + offset).astype(dtype) for offset in (1, 0))
    gamma = rng.normal(size=shape[1]).astype(dtype) if affine in ("both", "gamma") else None
    beta = rng.normal(size=shape[1]).astype(dtype) if affine in ("both", "beta") else None
    options: Any = {"axis": (0,), "wide": (1, shape[1]), "eps": 1e-5}
    saved = normalization._save(x, gamma, beta, **options)
    assert fast.fits(x, gamma, beta)
    y, kept, (offset, var) = fast.forward(x, gamma, beta, 1e-5)
    same(y, normalization.affine(saved[0], gamma, beta, options["wide"]), dtype)
    for one, two in zip((*kept, var[None]), (*saved[:2], saved[3]), strict=True):
        same(one, two, dtype)
    assert np.abs(offset - saved[2]).max() <= TOLERANCE[dtype] * np.abs(x).max()
    # backward on the same saved arrays: with one row or a tiny variance dx is rounding alone
    exact = normalization._batch_norm_rule(g, y, saved, x, gamma, beta, **options)
    dx, d_gamma, d_beta = fast.backward(g, gamma, *saved[:2])
    scale = float(np.abs(g).max() * saved[1].max() * (1 if gamma is None else np.abs(gamma).max()))
    assert float(np.abs(dx - exact[0]).max()) <= TOLERANCE[dtype] * scale
    if gamma is not None:
        same(d_gamma, exact[1], dtype)
    if beta is not None:
        same(d_beta, exact[2], dtype)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_matrix_far_beyond_the_cache(name, dtype):
    """Large results take another way to memory where kernels are compiled; a length that fills no last block."""
    fast = IMPLEMENTATIONS[name][0]
    rng = np.random.default_rng(3)
    x, g = (rng.normal(size=(41_943, 101)).astype(dtype) for _ in range(2))
    assert x.nbytes > 1 << 24
    gamma, beta = (rng.normal(size=101).astype(dtype) for _ in range(2))
    options: Any = {"axis": (0,), "wide": (1, 101), "eps": 1e-5}
    saved = normalization._save(x, gamma, beta, **options)
    y, kept, (offset, var) = fast.forward(x, gamma, beta, 1e-5)
    same(y, normalization.affine(saved[0], gamma, beta, options["wide"]), dtype)
    for one, two in zip((*kept, var[None]), (*saved[:2], saved[3]), strict=True):
        same(one, two, dtype)
    assert np.abs(offset - saved[2]).max() <= TOLERANCE[dtype] * np.abs(x).max()
    exact = normalization._batch_norm_rule(g.astype(float), y, saved, x, gamma, beta, **options)
    for one, two in zip(fast.backward(g, gamma, *saved[:2]), exact, strict=True):
        same(one, two.astype(dtype), dtype)
    unaligned = np.empty(x.size + 1, x.dtype)[1:].reshape(x.shape)
    again, *_ = fast.forward(x, gamma, beta, 1e-5, into=(unaligned, *kept))
    assert again is unaligned
    assert again.tobytes() == y.tobytes()


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_whatever_the_number_of_rows_each_is_summed_once(name, dtype):
    """Sums are made in blocks; these are of whole numbers, and so exact."""
    fast = IMPLEMENTATIONS[name][0]
    for rows in range(1, 600):
        g = np.random.default_rng(rows).integers(1, 9, (rows, 3)).astype(dtype)
        x_hat = np.full((rows, 3), 2.0, dtype)
        _, d_gamma, d_beta = fast.backward(g, np.ones(3, dtype), x_hat, np.ones((1, 3), dtype))
        np.testing.assert_array_equal(d_beta, g.sum(axis=0), err_msg=f"{rows} rows")
        np.testing.assert_array_equal(d_gamma, 2 * g.sum(axis=0), err_msg=f"{rows} rows")


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", [7, 5000])
def test_a_constant_column_gives_exactly_beta(name, dtype, rows):
    fast = IMPLEMENTATIONS[name][0]
    x = np.random.default_rng(0).normal(size=(rows, 40)).astype(dtype)
    x[:, 1] = 1e7 + 0.1
    beta = np.full(40, 0.3, dtype)
    y, *_ = fast.forward(x, beta, beta, 1e-5)
    np.testing.assert_array_equal(y[:, 1], beta[0])


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", [100, 20_000])
def test_statistics_of_columns_whose_mean_moves(name, dtype, rows):
    """Kernels guess where a mean lies; where the guess is wrong no digit may be lost."""
    fast = IMPLEMENTATIONS[name][0]
    x = np.random.default_rng(0).normal(size=(rows, 60))
    x[:, 1] += np.linspace(0.0, 1e3, rows)  # drifts
    x[rows // 2 :, 2] += 1e3  # jumps
    x[0, 3] = 1e4  # begins with an outlier
    x[:20, 4] -= 1e3  # begins elsewhere
    x[:, 5] += 1e3  # lies far from zero
    x[:, 6] = 0.1
    x[rows // 2 :, 6] = 1e3  # two constants
    x = x.astype(dtype)
    moments = fast.moments(x)
    exact = x.astype(np.longdouble) - x[0]
    mean, var = exact.mean(axis=0), exact.var(axis=0)
    assert np.all(np.abs(moments.offset - mean) <= TOLERANCE[dtype] * (np.abs(mean) + np.sqrt(var)))
    assert np.all(np.abs(moments.var - var) <= TOLERANCE[dtype] * var)
    x_hat, *_ = fast.forward(x, None, None, 1e-5)
    same(x_hat, ((exact - mean) / np.sqrt(var + 1e-5)).astype(dtype), dtype)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_column(name, bad):
    fast = IMPLEMENTATIONS[name][0]
    x = np.random.default_rng(0).normal(size=(50, 4))
    x[30, 2] = bad
    with np.errstate(all="ignore"):
        y, *_ = fast.forward(x, None, None, 1e-5)
    assert np.isnan(y[:, 2]).any()
    assert np.isfinite(y[:, [0, 1, 3]]).all()


def test_what_a_kernel_does_not_fit_is_left_to_the_readable_code():
    x = np.ones((4, 3))
    assert numpy_batch.fits(x, x[0].copy(), None)
    for other in (x.T, x[:, ::-1], x.astype(np.float16), x.astype(">f8"), np.ones((2, 3, 4)), np.ones((0, 3))):
        assert not numpy_batch.fits(other)
    assert not numpy_batch.fits(x, np.ones(3, np.float32))
    assert fused.BatchNorm.forward((x, None, None), {"axis": (1,), "eps": 0.0}) is None


@pytest.mark.skipif(chosen() == "reference", reason="no kernels")
def test_what_was_normalized_is_not_kept_alive():
    x = np.ones((300, 300))
    seen = weakref.ref(x)
    mg.batch_norm(x)
    del x
    assert seen() is None


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("affine", ["both", "gamma", "beta", "none"])
def test_batch_norm_fills_arrays_with_the_same_bits(dtype, shape, affine):
    if chosen() == "reference":
        pytest.skip("no kernels")
    rng = np.random.default_rng(1)
    x, g = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    gamma = rng.normal(size=shape[1]).astype(dtype) if affine in ("both", "gamma") else None
    beta = rng.normal(size=shape[1]).astype(dtype) if affine in ("both", "beta") else None
    options: Any = {"axis": (0,), "wide": (1, shape[1]), "eps": 1e-5}
    y, saved = fused.BatchNorm.forward((x, gamma, beta), options)
    into = filled_with_nan((y, *saved))
    again, kept = fused.BatchNorm.forward((x, gamma, beta), options, into)
    assert all(a is b for a, b in zip((again, *kept), into, strict=True))
    assert bytes_of(into) == bytes_of((y, *saved))
    slopes = fused.BatchNorm.backward(g, y, saved, (x, gamma, beta), options)
    assert [d is None for d in slopes] == [False, gamma is None, beta is None]
    into = filled_with_nan(slopes)
    given = fused.BatchNorm.backward(g, y, saved, (x, gamma, beta), options, into)
    assert all(a is b for a, b in zip(given, into, strict=True))
    assert bytes_of(into) == bytes_of(slopes)
    wanted = (None, *into[1:])  # x may need no gradient
    assert fused.BatchNorm.backward(g, y, saved, (x, gamma, beta), options, wanted)[0] is None
