"""The pool of large arrays: memory is used again when nobody looks at it, and results are nobody else's."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.fast import pool as buffers


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


def test_of_many_buffers_a_free_one_is_found_wherever_it_lies():
    shape, dtype = (buffers.SMALLEST + 24,), np.dtype(np.float32)
    many = 3 * buffers.FIRST
    held = [buffers.empty(shape, dtype) for _ in range(many)]
    places = [a.ctypes.data for a in held]
    for k in (many - 1, buffers.FIRST, 2 * buffers.FIRST, 0, buffers.FIRST - 1, many - 1):
        held[k] = buffers.empty((1,), dtype)
        held[k] = buffers.empty(shape, dtype)
        assert held[k].ctypes.data == places[k]
    del held[buffers.FIRST :]
    buffers.release()  # fewer are left than the place where one was found last
    assert buffers.empty(shape, dtype).ctypes.data not in places[: buffers.FIRST]


def test_own_copies_what_somebody_else_can_see():
    x, y = mg.ones(3), mg.ones(3)

    def kept(found, others=()):
        places = {name: d.ctypes.data for name, d in found.items()}
        results = [t._array for t in buffers.unaliased(found, [x, y])]
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
    np.testing.assert_array_equal(buffers.unaliased({}, [x])[0].numpy(), np.zeros(3))
    one, other = buffers.unaliased({x: np.ones(3)}, [x, x])
    np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert not np.shares_memory(one._array, other._array)


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


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("dtypes", ["fd", "df", "ff", "fl", "lf", "gd"])
def test_large_results_are_numpys_in_dtype_shape_and_value(name, dtypes):
    """Memory is taken for the first operand's kind; where the result is of another, NumPy takes its own."""
    rng = np.random.default_rng(0)
    op, ufunc = getattr(mg.ops, name), {"sub": np.subtract, "mul": np.multiply, "div": np.divide}.get(name, np.add)
    x = (9 * rng.random((300, 300)) + 1).astype(dtypes[0])
    for shape in ((300, 300), (300,), (1, 300), (300, 1), (2, 300, 300), (1, 1, 300)):
        y = (9 * rng.random(shape) + 1).astype(dtypes[1])
        for a, b in ((x, y), (y, x)):
            expected = ufunc(a, b)
            for found in (op(mg.tensor(a), mg.tensor(b))._array, op(a, b)):
                assert (type(found), found.dtype, found.shape) == (np.ndarray, expected.dtype, expected.shape)
                np.testing.assert_array_equal(found, expected)
