"""The other fast kernels (layer norm, cross-entropy, masks, Adam) are held to the readable code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses
from minigrad.fast import chosen, fused, select
from minigrad.normalization import batch as normalization
from minigrad.normalization import layer

from .kernels import IMPLEMENTATIONS, TOLERANCE, bytes_of, filled_with_nan, same


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


compiled_only = pytest.mark.skipif("numba" not in IMPLEMENTATIONS, reason="needs numba")
LAYERS = {(1, 1): (1,), (1, 3): (1,), (7, 3): (1,), (5, 129): (1,), (4, 2, 35): (1, 2), (3, 4, 32): (2,), (6,): (0,)}


@pytest.fixture
def always_compiled(monkeypatch):
    from minigrad.fast import compiled

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


MASKED = [(2000,), (40, 50), (2000, 1), (10, 20, 11), (5, 6, 7, 8)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", MASKED, ids=str)
def test_a_mask_selects_bit_for_bit(dtype, shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(dtype)
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


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(), (3, 2), *MASKED, (9, 0, 4)], ids=str)
@pytest.mark.parametrize("op", [mg.relu, lambda x: mg.clip(x, -0.5, 0.5), mg.abs, lambda x: mg.leaky_relu(x, 0.3)])
def test_slopes_of_kinks_are_the_same_on_any_number_of_axes(dtype, shape, op):
    """A cotangent of inf where the mask is False must not become inf * 0."""
    rng = np.random.default_rng(1)
    values, g = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    g[rng.random(shape) < 0.3] = np.inf
    x = mg.tensor(values, requires_grad=True)
    expected = np.empty(shape, dtype)
    for k in np.ndindex(shape):  # each element for itself, where no kernel is
        one = mg.tensor(values[k], requires_grad=True)
        expected[k] = mg.grad(op(one), one, g[k]).data
    for create_graph in (False, True):
        np.testing.assert_array_equal(mg.grad(op(x), x, g, create_graph=create_graph).data, expected)


def test_a_mask_of_another_kind_is_left_to_numpy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 50))
    mask = rng.random(x.shape) < 0.5
    layouts: list[tuple[Any, Any]] = [(mask.T, x.T), (np.asfortranarray(mask), x), (mask, np.asfortranarray(x))]
    for condition, values in (
        *layouts, (mask[0], x), (mask.astype(int), x), (mask, (10 * x).astype(int)), (True, x), (mask[:, ::-1], x)
    ):  # fmt: skip
        assert not select.fits(condition, values)
        np.testing.assert_array_equal(mg.where(condition, values, 0.0), np.where(condition, values, 0.0))


@pytest.mark.parametrize("dtypes", [("f", "d"), ("d", "f"), ("f", "f"), ("f", "i"), (">f4", "f")], ids=str)
def test_a_large_product_has_the_dtype_that_numpy_gives_it(dtypes):
    """Results of such size are made in memory that was used before; of the right kind, and of no other."""
    rng = np.random.default_rng(0)
    x, y = (
        (5 * rng.normal(size=shape)).astype(dtype) for shape, dtype in zip([(400, 7), (7, 300)], dtypes, strict=True)
    )
    for left, right in ((x, y), (y.T, x.T)):
        found, expected = mg.ops.matmul(left, right), np.matmul(left, right)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
