"""Sums, means and variances with their kernels, at sizes and on axes where each takes another way.

Held to NumPy in float64: values, gradients on arrays and on Tensors, and the program with the rules opened.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.program.passes import opened

SIZES = [(7,), (7, 3), (300, 7), (300, 1), (3000, 40), (40, 3000), (20, 30, 40), (300, 20, 40), (6, 5, 4, 3)]
OPTIONS: dict[str, dict[str, Any]] = {
    "sum": {}, "mean": {}, "var": {}, "var, ddof 1": {"ddof": 1}, "var, ddof 2": {"ddof": 2}, "std, ddof 1": {"ddof": 1}
}  # fmt: skip
CASES = [
    (shape, axis)
    for shape in SIZES
    for axis in (None, *range(len(shape)), (0, len(shape) - 1))
    if axis != (0, 0) and (axis is None or isinstance(axis, tuple) or shape[axis] > 3)
]


def slope(name: str, x: Any, axis: Any, ddof: int, g: Any) -> Any:
    """What the reduction sends back, written out in float64."""
    n = x.size // np.sum(x, axis=axis, keepdims=True).size
    centred = x - x.mean(axis=axis, keepdims=True)
    if name == "std":
        return g * centred / ((n - ddof) * np.std(x, axis=axis, keepdims=True, ddof=ddof))
    return np.broadcast_to({"sum": g, "mean": g / n, "var": g * 2.0 * centred / (n - ddof)}[name], x.shape)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize(("shape", "axis"), CASES, ids=str)
def test_reductions_are_numpys_in_double_precision(shape, axis, kind, dtype):
    rng = np.random.default_rng(1)
    name, options = kind.partition(",")[0], OPTIONS[kind]
    values = rng.normal(0.5, 1.0, shape).astype(dtype)
    wide, ddof = values.astype(float), options.get("ddof", 0)
    expected = getattr(np, name)(wide, axis=axis, keepdims=True, **options)
    g = rng.normal(size=expected.shape).astype(dtype)
    bound = 1e-13 if dtype == "float64" else 1e-6
    x = mg.tensor(values, requires_grad=True)
    y = getattr(mg, name)(x, axis=axis, keepdims=True, **options)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.data, expected, rtol=bound, atol=bound * wide.size**0.5)
    flat = getattr(mg, name)(x, axis=axis, **options)
    np.testing.assert_array_equal(flat.data.ravel(), y.data.ravel())
    back = slope(name, wide, axis, ddof, g.astype(float))
    scale = np.abs(back).max()
    for d in (mg.grad(y, x, g), mg.grad(y, x, g, create_graph=True), mg.grad(flat, x, g.reshape(flat.shape))):
        assert d.dtype == dtype
        np.testing.assert_allclose(d.data, back, rtol=0, atol=4 * bound * scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize("shape", [(6, 5), (3000, 40)], ids=str)
@pytest.mark.parametrize("ddof", [0, 1, 3])
def test_the_opened_rule_says_the_same(dtype, name, shape, ddof):
    rng = np.random.default_rng(2)
    values, g = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[1]).astype(dtype)

    expected = slope(name, values.astype(float), 0, ddof, g.astype(float))
    bound = (1e-13 if dtype == "float64" else 4e-6) * np.abs(expected).max()
    recorded = mg.record(lambda x: getattr(mg, name)(x, axis=0, ddof=ddof), values)
    for program in (recorded, opened(recorded), opened(recorded, rules=True)):
        d = program.run(values, gradient=g).gradients["x"]
        assert d.dtype == dtype
        np.testing.assert_allclose(d, expected, rtol=0, atol=bound)
