"""Every primitive, row by row of the table: values, gradients to order 2, dtypes, and the promises of the engine."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.gradients import walk
from minigrad.core.nodes import Node
from minigrad.fast.into import UFUNCS
from minigrad.program.rules import input_names, reads, saved_names

from ..helpers import assert_right, leaves, registry
from ..table import ROWS

SLOPED = [row for row in ROWS if not row.flat]
rows = pytest.mark.parametrize("row", ROWS, ids=str)
sloped = pytest.mark.parametrize("row", SLOPED, ids=str)


def floats(arrays):
    return [k for k, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]


def kinds(arrays):
    return {a.dtype.kind for a in arrays if a is not None}


def gradients(row, arrays, c, create_graph=False):
    tensors = leaves(arrays)
    y = registry[row.op](*tensors, **row.params)
    return mg.grad(y, [tensors[k] for k in floats(arrays)], gradient=c, create_graph=create_graph)


def test_the_table_names_every_primitive(request):
    assert {row.op for row in ROWS} == set(registry)
    assert request.node.get_closest_marker("core"), "the table is what -m core is for"


@rows
def test_value(row, rng):
    arrays = row.arrays(rng)
    expected = row.reference(*arrays, **row.params)
    bare = registry[row.op](*arrays, **row.params)
    assert isinstance(bare, (np.ndarray, np.generic)), "arrays in, array out"
    np.testing.assert_allclose(np.asarray(bare), np.asarray(expected), rtol=1e-13, atol=1e-15, strict=True)
    traced = registry[row.op](*leaves(arrays), **row.params)
    assert isinstance(traced, mg.Tensor)
    assert traced.requires_grad is not row.flat
    np.testing.assert_array_equal(traced.data, np.asarray(bare), strict=True)


@sloped
def test_gradients_to_order_2(row, rng):
    assert_right(lambda *xs: registry[row.op](*xs, **row.params), row.arrays(rng), rng)


@sloped
def test_both_walks_agree_bit_for_bit(row, rng):
    arrays = row.arrays(rng)
    c = rng.normal(size=np.shape(row.reference(*arrays, **row.params)))
    raw, traced = gradients(row, arrays, c), gradients(row, arrays, c, create_graph=True)
    for k, a, b in zip(floats(arrays), raw, traced, strict=True):
        kernel = "pull" in vars(registry[row.op].op)  # computed by code of its own
        atol = 1e-13 * float(np.max(np.abs(b.data))) if kernel else 0.0
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=atol, strict=True, err_msg=f"input {k}")


@sloped
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_dtype_and_shape_are_kept(row, dtype, rng):
    params = {k: np.dtype(dtype) if k == "dtype" else v for k, v in row.params.items()}
    arrays = row.arrays(rng)
    narrow = [a.astype(dtype) if a is not None and a.dtype.kind == "f" else a for a in arrays]
    narrow_params = {
        k: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for k, v in params.items()
    }
    tensors = leaves(narrow)
    y = registry[row.op](*tensors, **narrow_params)
    bound = 2e-5 if dtype is np.float32 else 5e-2
    expected = row.reference(*arrays, **row.params)
    np.testing.assert_allclose(y.data, expected, rtol=bound, atol=bound)
    integers = any(a is not None and a.dtype.kind == "i" for a in arrays)  # NumPy: float16 ** int64 is float64
    assert y.dtype == (np.float64 if integers else dtype)
    wanted = floats(narrow)
    for create_graph in (False, True):
        c = mg.ones(y.shape, dtype=y.dtype)
        for k, d in zip(wanted, mg.grad(y, [tensors[k] for k in wanted], c, create_graph=create_graph), strict=True):
            assert (d.shape, d.dtype) == (narrow[k].shape, dtype)
            assert type(d._array) is np.ndarray


@sloped
def test_rules_do_not_widen_float32_on_the_way(row, rng):
    arrays = [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in row.arrays(rng)]
    params = {k: np.dtype(np.float32) if k == "dtype" else v for k, v in row.params.items()}
    if any(isinstance(v, np.ndarray) and v.dtype.kind == "f" for v in params.values()) or "i" in kinds(arrays):
        return  # NumPy itself widens: float32 ** int64, float32 clipped to float64
    y = registry[row.op](*leaves(arrays), **params)
    names = {"position": 0} if y.op.variadic else {}
    c = np.ones(y.shape, np.float32)
    if y.op.joint is not None:
        results = y.op.joint(c, y._array, y.saved, *arrays, **y.params)
    else:
        results = [rule(c, y._array, *arrays, **y.params, **names) for rule in y.op.rules if rule is not None]
    assert {d.dtype for d in results if d is not None} == {np.dtype(np.float32)}


@sloped
def test_rules_write_to_nothing_and_repeat_bit_for_bit(row, rng):
    arrays = row.arrays(rng)
    tensors = leaves(arrays)
    y = registry[row.op](*tensors, **row.params)
    c = rng.normal(size=y.shape)
    watched = [x._array for x in tensors if isinstance(x, mg.Tensor)] + [y._array, c, *(y.saved or ())]
    before = [a.copy() for a in watched]
    for a in watched:
        a.flags.writeable = False
    xs = [tensors[k] for k in floats(arrays)]
    once, twice = mg.grad(y, xs, c), mg.grad(y, xs, c)
    for a, b in zip((*once, *watched), (*twice, *before), strict=True):
        np.testing.assert_array_equal(getattr(a, "data", a), getattr(b, "data", b))


@sloped
@pytest.mark.parametrize("layout", ["fortran", "reversed", "strided"])
def test_layout_does_not_matter(row, layout, rng):
    def laid_out(a):
        if layout == "fortran":
            return np.array(a, order="F")
        if layout == "reversed":
            return np.flip(np.flip(a).copy())
        wide = np.full(tuple(2 * n for n in a.shape), np.nan, a.dtype) if a.dtype.kind == "f" else np.repeat(a, 1)
        if a.dtype.kind != "f":
            return a
        wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
        return wide[tuple(slice(None, None, 2) for _ in a.shape)]

    arrays = row.arrays(rng)
    c = rng.normal(size=np.shape(row.reference(*arrays, **row.params)))
    tensors, other = leaves(arrays), leaves(arrays)
    for x, a in zip(other, arrays, strict=True):
        if a is not None:
            x._array = laid_out(a)  # a tensor's own copy keeps the layout only in part
    y, z = registry[row.op](*tensors, **row.params), registry[row.op](*other, **row.params)
    np.testing.assert_allclose(z.data, y.data, rtol=1e-14, atol=1e-15)
    ds = mg.grad(z, [other[k] for k in floats(arrays)], laid_out(c))
    for d, e in zip(ds, gradients(row, arrays, c), strict=True):
        np.testing.assert_allclose(d.data, e.data, rtol=1e-13, atol=1e-14, strict=True)


@pytest.mark.parametrize("row", [row for row in SLOPED if registry[row.op].op.joint is None], ids=str)
def test_rules_of_inputs_without_gradient_are_not_called(row, rng, monkeypatch):
    op = registry[row.op].op
    arrays = row.arrays(rng)
    wanted = floats(arrays)
    called = []

    def spy(k, rule):
        def watching(*args, **params):
            called.append(params.get("position", k))
            return rule(*args, **params)

        return rule and watching

    monkeypatch.setattr(op, "rules", tuple(spy(k, rule) for k, rule in enumerate(op.rules)))
    for k in wanted:
        called.clear()
        tensors = leaves(arrays, [j == k for j in range(len(arrays))])
        y = registry[row.op](*tensors, **row.params)
        walk(y, np.ones(y.shape))
        assert called == [k]


class Poison:
    """Knows its shape, size and dtype, and cannot be computed with."""

    __array_ufunc__ = None

    def __init__(self, a):
        self.shape, self.ndim, self.size, self.dtype = a.shape, a.ndim, a.size, a.dtype

    def __array__(self, *args, **kwargs):
        raise AssertionError("a rule read what reads() calls unread")


@sloped
def test_what_is_said_to_be_unread_is_unread(row, rng):
    arrays = row.arrays(rng)
    y = registry[row.op](*leaves(arrays), **row.params)
    op, c = y.op, rng.normal(size=y.shape)
    names, buffers = input_names(y), saved_names(y)

    def result(k, read):
        inputs = [a if a is None or name in read else Poison(a) for name, a in zip(names, arrays, strict=True)]
        out = y._array if "out" in read else Poison(y._array)
        params = {**y.params, "position": k} if op.variadic and op.joint is None else y.params
        if op.joint is not None:
            saved = tuple([a if name in read else Poison(a) for name, a in zip(buffers, y.saved or (), strict=True)])
            return op.joint(c, out, saved, *inputs, **params)[k]
        return op.rules[0 if op.variadic else k](c, out, *inputs, **params)

    for k in floats(arrays):
        expected = result(k, {"out", *buffers, *names})
        np.testing.assert_array_equal(result(k, reads(y, k)), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("add", [set(), set()]),
        ("mul", [{"y"}, {"x"}]),
        ("div", [{"y"}, {"y", "out"}]),
        ("exp", [{"out"}]),
        ("log", [{"x"}]),
        ("sqrt", [{"out"}]),
        ("relu", [{"out"}]),
        ("where", [set(), {"condition"}, {"condition"}]),
        ("matmul", [{"y"}, {"x"}]),
        ("sum", [set()]),
        ("mean", [set()]),
        ("var", [{"x"}]),
        ("logsumexp", [{"x", "out"}]),
        ("reshape", [set()]),
        ("getitem", [set()]),
        ("concatenate", [set()]),
        ("batch_norm", [{"x_hat", "inv_std", "gamma"}] * 3),
    ],
)
def test_nothing_is_said_to_be_read_without_need(name, expected, rng):
    row = next(row for row in SLOPED if row.op == name)
    arrays = row.arrays(rng)
    y = registry[name](*leaves(arrays), **row.params)
    assert [set(reads(y, k)) if k in floats(arrays) else set() for k in range(len(expected))] == expected


def test_a_primitive_without_gradient_records_nothing():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for row in ROWS:
        if row.flat and len(row.inputs) == 1:
            assert not registry[row.op](x).requires_grad


def test_the_registry_holds_functions_with_what_they_say_of_themselves():
    for name, call in registry.items():
        assert call.op.name == name
        assert isinstance(call.op.input_names, tuple)
        assert call.op.differentiable is False or call.op.formula, f"{name} has no formula"
        if call.op.differentiable:
            assert call.op.joint is not None or call.op.rules, f"{name} has no rule"
    assert issubclass(mg.Tensor, Node)


@pytest.mark.parametrize("name", sorted(UFUNCS))
def test_a_primitive_that_is_called_as_a_function_of_numpy_does_nothing_else(name):
    """The call and the replay of these skip the kernel, so it must say just what they do."""
    op = registry[name].op
    code = op.kernel.__code__
    assert code.co_names[0] == "np"
    assert getattr(np, code.co_names[1]) is UFUNCS[name]
    assert len(code.co_names) == 2
    assert code.co_consts[1:] in ((), (None,))
    assert len(op.input_names) == UFUNCS[name].nin
    assert not op.defaults
