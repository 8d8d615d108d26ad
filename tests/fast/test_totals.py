"""Large arrays: memory used before is filled again, sums go block by block, and neither shows in any bit."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.fast import kernels
from minigrad.fast.totals import in_blocks, products, squares_about, total

from ..helpers import leaves


def test_large_arrays_fill_memory_used_before_and_nothing_that_is_held(rng):
    def f(x, y, row):
        return mg.sqrt(mg.exp(-x / y) * row + mg.square(x - row)) * 2.0 + mg.log(y)

    x, y = leaves(rng.uniform(1.0, 2.0, (2, 256, 256)))  # 512 KiB each
    (row,), g = leaves([rng.uniform(1.0, 2.0, 256)]), rng.normal(size=(256, 256))
    out = f(x, y, row)
    once = [out, *mg.grad(out, (x, y, row), gradient=g)]
    before = [t.data.copy() for t in once]
    for _ in range(3):  # what is held stays as it is while memory goes round
        again = f(x, y, row)
        mg.grad(again, (x, y, row), gradient=g)
    for t, values in zip(once, before, strict=True):
        assert type(t._array) is np.ndarray
        np.testing.assert_array_equal(t.data, values)
    for k in range(0, 256, 16):  # rows that are small by themselves have the same bits
        rows = slice(k, k + 16)
        a, b = leaves([x.data[rows], y.data[rows]])
        part = f(a, b, row)
        np.testing.assert_array_equal(part.data, out.data[rows])
        for d, whole in zip(mg.grad(part, (a, b), gradient=g[rows]), once[1:3], strict=True):
            np.testing.assert_array_equal(d.data, whole.data[rows])


@pytest.mark.parametrize("rows", [256, 300, 1029])
def test_sums_taken_block_by_block_have_the_bits_of_the_whole(rows, rng):
    x, g = (rng.normal(3.0, 1.0, (rows, 500)).astype(np.float32) for _ in range(2))
    assert in_blocks(x)
    np.testing.assert_array_equal(products(x, g), total(x * g, (0,)))
    mean = total(x, (0,)) / np.float32(rows)
    np.testing.assert_array_equal(squares_about(x, mean), total(np.square(x - mean), (0,)))
    # and the rules that use them say the same on Tensors, which run them as they stand
    a, b, c = (mg.tensor(v, requires_grad=True) for v in (x, x[0] + 3.0, x[1]))
    y = mg.var(a, axis=0) * c + mg.sum(a / b * c, axis=0)
    plain = mg.grad(y, (a, b, c), gradient=x[2])
    for d, other in zip(plain, mg.grad(y, (a, b, c), gradient=x[2], create_graph=True), strict=True):
        if d is plain[1] and kernels()["batch_norm"] != "reference":  # where y was stretched, x / y is summed first
            largest = np.abs(other.data).max()
            np.testing.assert_allclose(d.data, other.data, rtol=0, atol=8 * np.finfo(np.float32).eps * largest)
        else:
            np.testing.assert_array_equal(d.data, other.data)
