"""The fast kernels are held to the readable code, whichever of them this environment has."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses
from minigrad.fast import chosen, fused, select
from minigrad.fast import pool as buffers
from minigrad.fast.numpy_kernels import adam as numpy_adam
from minigrad.fast.numpy_kernels import batch_norm as numpy_batch_norm
from minigrad.normalization import batch as normalization
from minigrad.normalization import layer

IMPLEMENTATIONS: dict[str, Any] = {"numpy": (numpy_batch_norm.batch_norm, numpy_adam.adam)}
if find_spec("numba") is not None:
    from minigrad.fast import compiled

    IMPLEMENTATIONS["numba"] = (compiled.batch_norm, compiled.adam)

SHAPES = [(1, 1), (1, 3), (2, 1), (7, 3), (9, 5), (32, 128), (100, 500), (1031, 67), (5000, 64), (30_000, 3)]
TOLERANCE = {"float64": 1e-13, "float32": 8 * float(np.finfo(np.float32).eps)}


def same(a, b, dtype):
    assert a.shape == b.shape
    assert a.dtype == b.dtype == dtype
    scale = float(np.abs(b).max())
    assert float(np.abs(a.astype(float) - b).max()) <= TOLERANCE[dtype] * scale


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


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_adam_equals_its_formula(name, dtype, size):
    update = IMPLEMENTATIONS[name][1]
    rng = np.random.default_rng(0)
    m, v = (rng.random(size).astype(dtype) for _ in range(2))
    g = rng.normal(size=size).astype(dtype)
    wide_m, wide_v = 0.9 * m.astype(float) + 0.1 * g, 0.999 * v.astype(float) + 0.001 * g.astype(float) ** 2
    value, slope = rng.normal(size=size).astype(dtype), g.copy()
    expected = value - 0.01 * (wide_m / (1 - 0.9**3)) / (np.sqrt(wide_v / (1 - 0.999**3)) + 1e-8)
    update(value, g, m, v, 0.01, (0.9, 0.999), 1e-8, 3)
    for one, two in ((value, expected), (m, wide_m), (v, wide_v)):
        same(one, two.astype(dtype), dtype)
    np.testing.assert_array_equal(g, slope)


def test_what_a_kernel_does_not_fit_is_left_to_the_readable_code():
    x = np.ones((4, 3))
    assert numpy_batch_norm.fits(x, x[0].copy(), None)
    for other in (x.T, x[:, ::-1], x.astype(np.float16), x.astype(">f8"), np.ones((2, 3, 4)), np.ones((0, 3))):
        assert not numpy_batch_norm.fits(other)
    assert not numpy_batch_norm.fits(x, np.ones(3, np.float32))
    assert fused.BatchNorm.forward((x, None, None), {"axis": (1,), "eps": 0.0}) is None


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "softmax_cross_entropy"])
def test_a_gradient_in_any_layout_takes_the_same_way(name):
    """One number seen many times, as a sum sends it, gives the bits that an array of it gives."""
    if mg.kernels()[name] == "reference":
        pytest.skip("no kernel")
    rng = np.random.default_rng(0)
    x, gamma = mg.tensor(rng.normal(size=(30, 7)), requires_grad=True), mg.tensor(rng.normal(size=7))
    if name == "softmax_cross_entropy":
        y = losses.softmax_cross_entropy(x, labels=rng.integers(0, 7, 30))
    else:
        y = getattr(mg, name)(x, gamma)
    whole = np.full(y.shape, 0.3)
    for g in (np.broadcast_to(0.3, y.shape), np.asfortranarray(whole), np.repeat(whole, 2, axis=-1)[..., ::2]):
        assert mg.grad(y, x, g).data.tobytes() == mg.grad(y, x, whole).data.tobytes()


@pytest.mark.skipif(chosen() == "reference", reason="no kernels")
def test_what_was_normalized_is_not_kept_alive():
    x = np.ones((300, 300))
    seen = weakref.ref(x)
    mg.batch_norm(x)
    del x
    assert seen() is None


def filled_with_nan(arrays):
    return tuple(None if a is None else np.full_like(a, np.nan) for a in arrays)


def bytes_of(arrays):
    return [None if a is None else (a.shape, a.tobytes()) for a in arrays]


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


# compiled kernels beside them; a test runs them whatever was chosen ---------------------------------------------

compiled_only = pytest.mark.skipif("numba" not in IMPLEMENTATIONS, reason="needs numba")
LAYERS = {(1, 1): (1,), (1, 3): (1,), (7, 3): (1,), (5, 129): (1,), (4, 2, 35): (1, 2), (3, 4, 32): (2,), (6,): (0,)}


@pytest.fixture
def always_compiled(monkeypatch):
    monkeypatch.setattr(fused, "kernel", lambda name: getattr(compiled, name))


def check_both_ways(fast, dtype, forward, backward, read):
    """`fast` against the readable (value, saved) and slopes; with arrays given, the same bits."""
    inputs, options, g = read
    y, kept = fast.forward(inputs, options)
    value, saved = forward
    for one, two in zip((y, *kept), (value, *saved), strict=True):
        same(one, two, dtype)
    into = filled_with_nan((y, *kept))
    again, filled = fast.forward(inputs, options, into)
    assert all(a is b for a, b in zip((again, *filled), into, strict=True))
    assert bytes_of(into) == bytes_of((y, *kept))
    slopes = fast.backward(g, y, saved, inputs, options)
    for one, two in zip(slopes, backward, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            assert one.shape == two.shape
            assert one.dtype == dtype
            scale = float(np.abs(g).max() * max(np.abs(saved[-1]).max(), 1.0) * 4)
            assert float(np.abs(one - two).max()) <= TOLERANCE[dtype] * max(scale, float(np.abs(two).max()))
    into = filled_with_nan(slopes)
    given = fast.backward(g, y, saved, inputs, options, into)
    assert all(a is b for a, b in zip(given, into, strict=True))
    assert bytes_of(into) == bytes_of(slopes)


@compiled_only
@pytest.mark.usefixtures("always_compiled")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", LAYERS, ids=str)
@pytest.mark.parametrize("affine", ["both", "gamma", "beta", "none"])
def test_layer_norm_equals_the_readable_code(dtype, shape, affine):
    rng = np.random.default_rng(2)
    axis = LAYERS[shape]
    own = tuple(shape[k] for k in axis)
    x, g = ((rng.normal(size=shape) * 3 + offset).astype(dtype) for offset in (1, 0))
    gamma = rng.normal(size=own).astype(dtype) if affine in ("both", "gamma") else None
    beta = rng.normal(size=own).astype(dtype) if affine in ("both", "beta") else None
    wide = tuple(n if k in axis else 1 for k, n in enumerate(shape))
    options: Any = {"axis": axis, "wide": wide, "eps": 1e-5}
    saved = layer._save(x, gamma, beta, **options)
    y = normalization.affine(saved[0], gamma, beta, wide)
    exact = layer._layer_norm_rule(g, y, saved, x, gamma, beta, **options)
    check_both_ways(fused.LayerNorm, dtype, (y, saved), exact, ((x, gamma, beta), options, g))


@compiled_only
@pytest.mark.usefixtures("always_compiled")
def test_layer_norm_of_other_axes_or_layouts_is_left_to_the_readable_code():
    x = np.ones((4, 3))
    for other, axis in ((x, (0,)), (x.T, (1,)), (x.astype(np.float16), (1,)), (np.ones((0, 3)), (1,))):
        assert fused.LayerNorm.forward((other, None, None), {"axis": axis, "eps": 0.0}) is None
    constant = np.full((3, 50), 1e7 + 0.1)
    y, _ = fused.LayerNorm.forward((constant, None, None), {"axis": (1,), "eps": 1e-5})
    np.testing.assert_array_equal(y, 0.0)
    constant[1, 40] = np.nan
    y, _ = fused.LayerNorm.forward((constant, None, None), {"axis": (1,), "eps": 1e-5})
    np.testing.assert_array_equal(np.isnan(y).any(axis=1), [False, True, False])


fast_only = pytest.mark.skipif(chosen() == "reference", reason="the readable code alone runs")


@fast_only
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (50, 10), (300, 3)], ids=str)
def test_cross_entropy_is_the_readable_code_to_the_last_bit(dtype, shape):
    rng = np.random.default_rng(4)
    x, g = (rng.normal(size=shape) * 5).astype(dtype), rng.normal(size=shape[0]).astype(dtype)
    labels = rng.integers(0, shape[1], shape[0])
    saved = losses._save(x, labels=labels)
    loss = -saved[0][np.arange(shape[0]), labels]
    exact = losses._softmax_cross_entropy_rule(g, loss, saved, x, labels=labels)
    found, kept = fused.SoftmaxCrossEntropy.forward((x,), {"labels": labels})
    d = fused.SoftmaxCrossEntropy.backward(g, found, kept, (x,), {"labels": labels})
    into = np.empty_like(loss), np.empty_like(x)
    again, kept_again = fused.SoftmaxCrossEntropy.forward((x,), {"labels": labels}, into)
    d_again = fused.SoftmaxCrossEntropy.backward(g, loss, saved, (x,), {"labels": labels}, (np.empty_like(x),))
    pairs = ((found, loss), (kept, saved), (d, exact), (again, loss), (kept_again, saved), (d_again, exact))
    for one, other in pairs:
        np.testing.assert_array_equal(one, other, strict=True)
    assert again is into[0]


@fast_only
def test_cross_entropy_of_what_is_not_finite_and_of_labels_that_are_no_class_is_left_to_the_readable_code():
    x = np.random.default_rng(0).normal(size=(6, 4))
    labels = np.array([0, 1, 3, 0, 1, 2])
    for row in ([np.nan, 1, 2, 3], [1, np.inf, 2, 3], [-np.inf] * 4):
        other = x.copy()
        other[2] = row
        assert fused.SoftmaxCrossEntropy.forward((other,), {"labels": labels}) is None
    x[2, 3], x[4, 0] = -np.inf, 1e4
    with np.errstate(divide="ignore"):
        loss, _ = fused.SoftmaxCrossEntropy.forward((x,), {"labels": labels})
    assert np.isinf(loss[2])
    odd = np.repeat(labels, 2)[::2]
    for wrong in (labels - 1, labels + 1, labels[:5], labels.astype(np.int32), labels.tolist()):
        assert fused.SoftmaxCrossEntropy.forward((x,), {"labels": wrong}) is None
    np.testing.assert_array_equal(fused.SoftmaxCrossEntropy.forward((x,), {"labels": odd})[0], loss)


# memory ---------------------------------------------------------------------------------------------------------


def test_a_buffer_is_used_again_when_nobody_looks_at_it():
    shape, dtype = (3, buffers.SMALLEST), np.dtype(np.float64)
    buffers.release()
    a = buffers.empty(shape, dtype)
    place = a.ctypes.data
    assert place % 64 == 0
    b = buffers.empty(shape, dtype)
    assert not np.may_share_memory(a, b)
    view = a[1:]
    del a
    c = buffers.empty(shape, dtype)  # the view still looks
    assert c.ctypes.data != place
    del view
    assert buffers.empty(shape, dtype).ctypes.data == place


def test_own_copies_what_somebody_else_can_see():
    x, y = mg.ones(3), mg.ones(3)

    def kept(found, others=()):
        places = {name: d.ctypes.data for name, d in found.items()}
        results = buffers.own(found, [x, y])
        assert not np.shares_memory(results[0], results[1])
        return [d.ctypes.data == places.get(name) for name, d in zip((x, y), results, strict=True)]

    for make in (lambda: np.ones(3), lambda: buffers.empty((buffers.SMALLEST,), np.dtype(float))):
        assert kept({x: make()}) == [True, False]
        held = make()
        assert kept({x: held}) == [False, False]
        assert kept({x: held[1:]}) == [False, False]
        d = {x: make()}
        d[y] = d[x]
        assert kept(d) == [False, True]
        d = {x: make()}
        d[y] = d[x][:2]  # once the first is copied, nobody else sees the second
        assert kept(d) == [False, True]
    np.testing.assert_array_equal(buffers.own({}, [x])[0], np.zeros(3))
    one, other = buffers.own({x: np.ones(3)}, [x, x])
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rows", [10, 3000])
def test_large_gradients_are_nobody_elses(rows):
    leaves = [mg.tensor(np.random.default_rng(k).normal(size=(rows, 40)), requires_grad=True) for k in range(2)]
    g = mg.tensor(np.ones((rows, 40)))
    y = mg.batch_norm(leaves[0]) + leaves[1]
    found = mg.grad(y, leaves, gradient=g)
    again = mg.grad(y, leaves, gradient=g)
    arrays = [t._array for t in (*leaves, g, y, *found, *again)]
    for k, a in enumerate(arrays):
        assert not any(np.may_share_memory(a, b) for b in arrays[k + 1 :])
    for one, two in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.data, two.data)


# the choice -----------------------------------------------------------------------------------------------------


def run(code, choice):
    environment = {**os.environ, "MINIGRAD_KERNELS": choice}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("choice", ["reference", "numpy"])
def test_the_environment_chooses(choice):
    code = "import sys, numpy, minigrad as mg; mg.batch_norm(numpy.ones((3, 2)));"
    code += "print(mg.kernels(), 'numba' in sys.modules)"
    out, err = run(code, choice)
    plain = {"adam", "batch_norm", "masked", "running_statistics", "sigmoid_cross_entropy", "softmax_cross_entropy"}
    told = {name: choice if name in plain else "reference" for name in mg.kernels()}
    assert out == f"{told} False", err


def test_an_unknown_choice_is_refused():
    _, err = run("import minigrad as mg; mg.kernels()", "cuda")
    assert "MINIGRAD_KERNELS='cuda' must be one of reference, numpy, numba" in err


def test_importing_does_not_import_numba():
    out, err = run("import sys, minigrad; print('numba' in sys.modules)", "")
    assert out == "False", err


def test_what_runs_is_told():
    assert mg.kernels()["batch_norm"] == chosen()
    assert mg.kernels()["layer_norm"] == ("numba" if chosen() == "numba" else "reference")
    assert mg.kernels()["softmax_cross_entropy"] == ("reference" if chosen() == "reference" else "numpy")


# x where a condition holds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_mask_selects_bit_for_bit(dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 50)).astype(dtype)
    x.flat[:5] = [np.nan, np.inf, -np.inf, -0.0, 0.0]
    for condition in (rng.random(x.shape) > 0.5, np.zeros(x.shape, bool), np.ones(x.shape, bool)):
        assert select.fits(condition, x) or chosen() == "reference"
        found = mg.where(condition, x, 0.0)
        assert found.tobytes() == np.where(condition, x, 0.0).tobytes()
        assert found.dtype == dtype
        if chosen() != "reference":
            into = np.empty_like(x)
            assert select.masked(condition, x, into=into) is into
            assert into.tobytes() == found.tobytes()
            in_place = x.copy()
            assert select.masked(condition, in_place, into=in_place) is in_place
            assert in_place.tobytes() == found.tobytes()
        assert mg.where(condition, x, -0.0).tobytes() == np.where(condition, x, -0.0).tobytes()


def test_a_mask_of_another_kind_is_left_to_numpy():
    x = np.ones((40, 50))
    mask = x > 0
    for condition, values in ((mask[0], x), (mask.astype(int), x), (mask.T, x.T), (mask, x.astype(int)), (True, x)):
        assert not select.fits(condition, values)
        np.testing.assert_array_equal(mg.where(condition, values, 0.0), np.where(condition, values, 0.0))
