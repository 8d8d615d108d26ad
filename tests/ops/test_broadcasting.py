"""Shapes: every pair under broadcasting, reductions over any axes, layouts, indexing of every kind."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg

from ..helpers import leaves, numerical

SHAPES = [(), (1,), (4,), (3, 1), (1, 4), (3, 4), (2, 1, 4), (2, 3, 4), (0, 4), (3, 0)]


def _broadcast(*shapes):
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


PAIRS = [pair for pair in itertools.product(SHAPES, repeat=2) if _broadcast(*pair) is not None]


def summed(g, shape):
    """The definition: g added up over all the places where one element of an array of `shape` went."""
    found = np.zeros(shape)
    where = np.broadcast_to(np.arange(found.size).reshape(shape), g.shape)
    np.add.at(found.reshape(-1), where.reshape(-1), g.reshape(-1))
    return found


# For each op, its slopes in both arguments where nothing is broadcast.
BINARY = {
    "add": (mg.add, lambda x, y: (1.0, 1.0)),
    "sub": (mg.sub, lambda x, y: (1.0, -1.0)),
    "mul": (mg.mul, lambda x, y: (y, x)),
    "div": (mg.div, lambda x, y: (1 / y, -x / y**2)),
    "pow": (mg.pow, lambda x, y: (y * x ** (y - 1), x**y * np.log(x))),
    "maximum": (mg.maximum, lambda x, y: (x > y, y > x)),
    "minimum": (mg.minimum, lambda x, y: (x < y, y < x)),
}


def numbers(rng, *shapes):
    total = sum(int(np.prod(shape)) for shape in shapes)
    drawn = rng.permutation(np.linspace(0.5, 2.0, total + 1)[:total])
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(drawn, cuts), shapes, strict=True)]


def assert_gradients(f, arrays, slopes_of, rng):
    tensors = leaves(arrays)
    out = f(*tensors)
    wide = np.broadcast_arrays(*arrays)
    assert out.shape == wide[0].shape
    c = rng.normal(size=out.shape)
    expected = [summed(c * slope, a.shape) for slope, a in zip(slopes_of(*wide), arrays, strict=True)]
    for create_graph in (False, True):
        ds = mg.grad(out, tensors, gradient=c, create_graph=create_graph)
        for k, (d, e, a) in enumerate(zip(ds, expected, arrays, strict=True)):
            assert d.shape == a.shape
            np.testing.assert_allclose(d.data, e, rtol=1e-12, atol=1e-13, err_msg=f"input {k}")


@pytest.mark.parametrize("name", BINARY)
def test_every_pair_of_shapes(name, rng):
    f, slopes_of = BINARY[name]
    for pair in PAIRS:
        assert_gradients(f, numbers(rng, *pair), slopes_of, rng)


def test_every_triple_of_shapes_in_where(rng):
    for shapes in itertools.product(SHAPES, repeat=3):
        if _broadcast(*shapes) is None:
            continue
        condition = rng.random(size=shapes[0]) > 0.5
        arrays = numbers(rng, *shapes[1:])
        wide = np.broadcast_shapes(*shapes)
        chosen = np.broadcast_to(condition, wide)
        x, y = leaves(arrays)
        out = mg.where(condition, x, y)
        np.testing.assert_array_equal(out.data, np.where(condition, *arrays), strict=True)
        c = rng.normal(size=wide)
        dx, dy = mg.grad(out, (x, y), gradient=c)
        np.testing.assert_allclose(dx.data, summed(c * chosen, x.shape), rtol=1e-13, atol=1e-13, strict=True)
        np.testing.assert_allclose(dy.data, summed(c * ~chosen, y.shape), rtol=1e-13, atol=1e-13, strict=True)


@pytest.mark.parametrize("name", BINARY)
def test_shapes_that_do_not_fit_are_named(name):
    f, _ = BINARY[name]
    x, y = leaves([np.ones((3, 4)), np.ones((3,))])
    with pytest.raises(ValueError, match=rf"{name}\(\(3, 4\) float64, \(3,\) float64\): .*broadcast"):
        f(x, y)


@given(st.data())
def test_binary_ops_for_any_shapes_and_layouts(data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0))
    f, slopes_of = BINARY[data.draw(st.sampled_from(sorted(BINARY)))]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    arrays = [laid_out(a, data) for a in numbers(rng, *shapes.input_shapes)]
    assert_gradients(f, arrays, slopes_of, rng)


def laid_out(a, data):
    """The same values in another memory layout."""
    kind = data.draw(st.sampled_from(["C", "F", "reversed", "strided", "transposed"]))
    if kind == "F":
        return np.array(a, order="F")
    if kind == "reversed":
        return np.flip(np.flip(a).copy())
    if kind == "strided":
        wide = np.full(tuple(2 * n for n in a.shape), 99.0)
        wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
        return wide[tuple(slice(None, None, 2) for _ in a.shape)]
    return a.T.copy().T if kind == "transposed" else a


REDUCTIONS: dict[str, Any] = {
    "sum": np.sum, "mean": np.mean, "var": np.var, "std": np.std, "max": np.max, "min": np.min, "prod": np.prod,
    "logsumexp": lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
}  # fmt: skip


@given(st.data())
def test_reductions_over_any_axes(data):
    name = data.draw(st.sampled_from(sorted(REDUCTIONS)))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=3))
    ndim = len(shape)
    one: Any = st.integers(-ndim, ndim - 1) if ndim else st.none()
    several = st.lists(one, unique_by=lambda k: k % ndim, max_size=ndim).map(tuple) if ndim else st.just(())
    axis = data.draw(st.one_of(st.none(), one, several))
    keepdims = data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    (a,) = numbers(rng, shape)
    x = mg.tensor(laid_out(a, data), requires_grad=True)
    out = getattr(mg, name)(x, axis=axis, keepdims=keepdims)
    expected = REDUCTIONS[name](a, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-13)
    assert out.shape == np.shape(expected)
    if name == "std" and (out.data == 0).any():
        return  # a kink
    c = rng.normal(size=out.shape)
    found = mg.grad(out, x, gradient=c).data
    slope = numerical(lambda a: np.sum(c * REDUCTIONS[name](a, axis=axis, keepdims=keepdims)), a)
    np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-8, strict=True)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, -2), (0, 5)])
def test_axes_that_do_not_exist_are_named(name, axis):
    x = mg.tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match=re.escape(f"{name}((2, 3) float64, axis={axis!r}")):
        getattr(mg, name)(x, axis=axis)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("m", [1, 2, 5])
def test_a_column_times_a_row_keeps_nan_and_infinity(n, m):
    """BLAS may leave out what is multiplied by 0."""
    special = np.array([0.0, np.nan, np.inf, -0.0, 1.0])
    for shift in range(5):
        x, y = np.roll(special, shift)[:n, None], np.roll(special, -shift)[None, :m]
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal((mg.tensor(x) @ mg.tensor(y)).data, x * y)
            a, b = (mg.tensor(array, requires_grad=True) for array in (x, y))
            dx, dy = mg.grad(a @ b, (a, b), np.ones((n, m)))
        np.testing.assert_array_equal(dx.data, y.sum(axis=1, keepdims=True).repeat(n, axis=0))
        np.testing.assert_array_equal(dy.data, x.sum(axis=0, keepdims=True).repeat(m, axis=1))


@given(st.data())
def test_matmul_of_any_shapes(data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(signature="(m?,n),(n,p?)->(m?,p?)", max_dims=2, max_side=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = (laid_out(part, data) for part in numbers(rng, *shapes.input_shapes))
    x, y = leaves([a, b])
    out = x @ y
    np.testing.assert_allclose(out.data, a @ b, rtol=1e-13)
    c = rng.normal(size=out.shape)
    dx, dy = mg.grad(out, (x, y), gradient=c)
    np.testing.assert_allclose(dx.data, numerical(lambda a: np.sum(c * (a @ b)), a), rtol=1e-6, atol=1e-8, strict=True)
    np.testing.assert_allclose(dy.data, numerical(lambda b: np.sum(c * (a @ b)), b), rtol=1e-6, atol=1e-8, strict=True)


# Indexing -------------------------------------------------------------------------------------------------------

X = np.arange(24.0).reshape(2, 3, 4)
INDICES: dict[str, Any] = {
    "int": 1, "negative": -1, "numpy int": np.int64(1), "0-d array": np.array(1), "Tensor": mg.tensor(1),
    "tuple": (0, 1, -1), "slice": slice(1, None), "steps": (slice(None), slice(None, None, -1), slice(None, None, 2)),
    "None": None, "ellipsis": ..., "mixed": (..., None, 1), "None and int": (None, 0, ..., None), "nothing": (),
    "list": [0, 0, 1], "repeats": (slice(None), np.array([0, 0, 2])), "pairs": ([0, 0, 1], [2, 2, -1]),
    "nested tuple": ((0, 0, 1),), "nested tuples": ((0, 0, 1), (1, 1, 1)), "range": range(2),
    "matrix": np.array([[0, 0], [1, 0]]),
    "split by a slice": ([0, 0], slice(None), [1, 1]), "broadcast": (np.array([[0], [1]]), np.array([0, 0, 2])),
    "mask": X > 5.0, "mask of rows": np.array([True, False]), "mask and int": (np.array([True, False]), 1),
    "mask and list": (np.array([True, True]), [0, 1]), "list of bools": [True, False], "True": True, "False": False,
    "Tensor of ints": mg.tensor([1, 1, 0]), "Tensor mask": mg.tensor(X) > 5.0, "empty list": [],
    "empty array": np.array([], int), "empty slice": slice(2, 1), "no rows": (slice(None), []),
    "list in Tensor": ([0, 1], mg.tensor([0, 0])), "numpy bool": np.bool_(True), "unsigned": np.array([0, 0], np.uint8),
}  # fmt: skip


def plain(index):
    if isinstance(index, tuple):
        return tuple(plain(part) for part in index)
    return index.data if isinstance(index, mg.Tensor) else index


@pytest.mark.parametrize("name", INDICES)
def test_indexing(name, rng):
    index = INDICES[name]
    x = mg.tensor(X, requires_grad=True)
    out = x[index]
    np.testing.assert_array_equal(out.data, X[plain(index)], strict=True)
    c = rng.normal(size=out.shape)
    expected = np.zeros_like(X)
    np.add.at(expected, plain(index), c)
    d = mg.grad(out, x, gradient=c, create_graph=True)
    np.testing.assert_array_equal(d.data, expected, strict=True)
    np.testing.assert_array_equal(mg.grad(out, x, gradient=c).data, expected, strict=True)
    v = rng.normal(size=X.shape)  # and back again: the reverse of putting is picking
    picked = mg.tensor(c, requires_grad=True)
    d = mg.grad(x[index], x, gradient=picked, create_graph=True)
    np.testing.assert_array_equal(mg.grad(d, picked, gradient=v).data, v[plain(index)], strict=True)


@given(st.data())
def test_indexing_with_anything(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    a = np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    basic = hnp.basic_indices(shape, allow_newaxis=True)
    fancy = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4))
    index = data.draw(st.one_of(basic, fancy, hnp.arrays(np.bool_, shape)))
    x = mg.tensor(laid_out(a, data), requires_grad=True)
    out = x[index]
    np.testing.assert_array_equal(out.data, a[index])
    c = np.arange(1.0, 1.0 + out.size).reshape(out.shape)
    expected = np.zeros(shape)
    np.add.at(expected, index, c)
    np.testing.assert_array_equal(mg.grad(out, x, gradient=c).data, expected)


def test_indices_that_do_not_fit_say_so():
    x = mg.tensor(X, name="x")
    for index in (2, (0, 3), (0, 0, 0, 0), [5], "a", 1.5, np.ones(3, bool), slice(None, None, 0)):
        with pytest.raises((IndexError, ValueError), match=r"getitem\(x: \(2, 3, 4\) float64, index="):
            x[index]  # type: ignore[index]


# Joining and cutting --------------------------------------------------------------------------------------------


def test_split_is_the_reverse_of_concatenate():
    x = mg.tensor(X, requires_grad=True)
    for parts, axis in ((3, 1), (2, -1), ([1, 2], 1), ([0, 5], 2), ([], 0), ([-1], 2)):
        pieces = mg.split(x, parts, axis=axis)
        expected = np.split(X, parts, axis=axis)
        assert len(pieces) == len(expected)
        for piece, e in zip(pieces, expected, strict=True):
            np.testing.assert_array_equal(piece.data, e, strict=True)
        c = X + 1.0
        joined = mg.concatenate(pieces, axis=axis)
        np.testing.assert_array_equal(mg.grad(joined, x, gradient=c).data, c)
    for parts in (5, 0, -1):
        with pytest.raises(ValueError, match=rf"split: an axis of length 3 cannot be cut into {parts} equal parts"):
            mg.split(x, parts, axis=1)


def test_joining_takes_sequences_and_constants():
    x: Any = mg.tensor([1.0, 2.0], requires_grad=True)
    for y, expected in (
        (mg.concatenate((x, [3.0], np.ones(2))), [1, 2, 3, 1, 1]),
        (mg.concatenate([x, x.detach()]), [1, 2, 1, 2]),
        (mg.stack([x, [5.0, 6.0]], axis=1), [[1, 5], [2, 6]]),
    ):
        np.testing.assert_array_equal(y.data, expected)
        np.testing.assert_array_equal(mg.grad(mg.sum(y), x).data, [1, 1])
    for f in (mg.concatenate, mg.stack):
        with pytest.raises(TypeError, match="takes a list or tuple of arrays, got Tensor"):
            f(x)
    with pytest.raises(ValueError, match=r"concatenate\(\(2,\) float64, \(1, 1\) float64, axis=0\)"):
        mg.concatenate([x, np.ones((1, 1))])


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(2, 3), (3, 2)]), ("...ij,...jk->...ik", [(4, 2, 3), (3, 2)]), ("i...,i->...", [(3, 2, 2), (3,)]),
        ("...,...->...", [(2, 1, 3), (4, 1)]), ("ba", [(2, 3)]), (" i j -> j i ", [(2, 3)]), ("...", [(2, 3)]),
        ("i,j,k->", [(2,), (3,), (2,)]), ("ij,ij->i", [(2, 3), (1, 3)]), (",i->i", [(), (3,)]),
    ],
)  # fmt: skip
def test_einsum_as_numpy_writes_it(subscripts, shapes, rng):
    arrays = numbers(rng, *shapes)
    out = mg.einsum(subscripts, *leaves(arrays))
    np.testing.assert_allclose(out.data, np.einsum(subscripts, *arrays), rtol=1e-14)
    tensors = leaves(arrays)
    c = rng.normal(size=out.shape)
    for k, d in enumerate(mg.grad(mg.einsum(subscripts, *tensors), tensors, gradient=c)):

        def value(a, k=k):
            return np.sum(c * np.einsum(subscripts, *arrays[:k], a, *arrays[k + 1 :]))

        np.testing.assert_allclose(d.data, numerical(value, arrays[k]), rtol=1e-6, atol=1e-8, strict=True)


def test_einsum_refuses_what_it_has_no_rule_for():
    x = mg.tensor(np.ones((2, 2)))
    for subscripts, operands, message in (
        ("ii->i", (x,), "a letter stands twice in 'ii'; take the diagonal"),
        ("ij,jk", (x,), "names 2 operands, but 1 were given"),
        ("ijk...", (x,), "has more letters than the operands"),
        ("ij->k", (x,), "einsum"),
    ):
        with pytest.raises(ValueError, match=message):
            mg.einsum(subscripts, *operands)
