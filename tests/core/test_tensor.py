"""Tensor: constructors, what it holds, Python's and NumPy's protocols, methods and operators."""

import copy
import gc
import inspect
import operator
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops

from ..helpers import leaf

# Constructors ---------------------------------------------------------------------------------------------------


def test_tensor_copies_and_keeps_the_dtype():
    for dtype in (np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_):
        a = np.ones((2, 3), dtype)
        t = mg.tensor(a)
        assert (t.shape, t.ndim, t.size) == ((2, 3), 2, 6)
        assert t.dtype == dtype
        assert not np.shares_memory(t.data, a)
    assert mg.tensor(1.5).dtype == np.float64
    assert mg.tensor([1, 2]).dtype == np.int64
    assert mg.tensor([[1, 2]], dtype=np.float32).dtype == np.float32
    assert mg.tensor(np.float32(2.0)).dtype == np.float32
    t = leaf([1.0, 2.0])
    u = mg.tensor(t)
    assert not u.requires_grad
    assert not np.shares_memory(t.data, u.data)
    assert isinstance(t, mg.Tensor)
    assert type(mg.Tensor([1.0])) is mg.Tensor


def test_constructors():
    for made, expected in (
        (mg.zeros((2, 3)), np.zeros((2, 3))),
        (mg.ones(3), np.ones(3)),
        (mg.ones((), dtype=np.float32), np.ones((), np.float32)),
        (mg.full((2,), 7.0), np.full(2, 7.0)),
        (mg.full(2, 7), np.full(2, 7)),
        (mg.eye(3), np.eye(3)),
        (mg.arange(4), np.arange(4)),
        (mg.arange(1, 2, 0.25), np.arange(1, 2, 0.25)),
        (mg.arange(4, dtype=np.float32), np.arange(4, dtype=np.float32)),
    ):
        np.testing.assert_array_equal(made.data, expected, strict=True)
        assert made.op is None
        assert not made.requires_grad
    for made in (
        mg.zeros(2, requires_grad=True, name="t"),
        mg.ones(2, requires_grad=True, name="t"),
        mg.full(2, 1.0, requires_grad=True, name="t"),
        mg.eye(2, requires_grad=True, name="t"),
        mg.arange(0.0, 2.0, requires_grad=True, name="t"),
        mg.tensor([1.0], requires_grad=True, name="t"),
    ):
        assert made.requires_grad
        assert made.name == "t"


def test_what_is_not_a_real_array_is_refused():
    numbers: list[Any] = [1j, [1.0, 1j], np.ones(2, complex), np.complex64(1)]
    for data in numbers:
        with pytest.raises(TypeError, match="complex numbers"):
            mg.tensor(data)
    bad: list[Any] = ["text", None, [1, "a"], object()]
    for data in bad:
        with pytest.raises(TypeError, match=r"a Tensor holds real numbers; got dtype|expected real numbers, got"):
            mg.tensor(data)
    with pytest.raises(TypeError, match=r"a masked array.*a\.filled"):
        mg.tensor(np.ma.array([1.0, 2.0], mask=[False, True]))
    with pytest.raises(ValueError, match="inhomogeneous"):
        mg.tensor([[1, 2], [3]])
    with pytest.raises(TypeError, match=r"joined with mg\.stack or mg\.concatenate"):
        mg.tensor([leaf(1.0), leaf(2.0)])


def test_only_floats_require_gradients():
    for data in (1, [1, 2], True, np.array([1], np.uint8)):
        with pytest.raises(TypeError, match=r"only floating-point tensors have gradients, this one is .*dtype=float"):
            mg.tensor(data, requires_grad=True)
        t = mg.tensor(data)
        with pytest.raises(TypeError, match="only floating-point tensors"):
            t.requires_grad = True
    x = leaf([0.5, 1.5])
    for result in (x > 1.0, x == x, mg.argmax(x), mg.sign(x), mg.isnan(x), x.astype(int), x.astype(bool)):
        assert not result.requires_grad
        assert result.op is None
    assert x.astype(np.float32).requires_grad


def test_integers_are_inputs_without_gradient():
    n = mg.tensor([1, 2])
    assert (n * 0.5).dtype == np.float64
    np.testing.assert_array_equal((n * 0.5).data, [0.5, 1.0])
    assert (n / 2).dtype == np.float64
    x = leaf([1.0, 2.0])
    mg.sum(x * n + n.astype(float)).backward()
    np.testing.assert_array_equal(x.grad.data, [1.0, 2.0])
    for f in (mg.mean, mg.var, mg.std, mg.logsumexp, mg.sigmoid, mg.softplus, mg.gelu, mg.silu, mg.exp, mg.tanh):
        np.testing.assert_allclose(f(n).data, f(n.astype(float)).data, rtol=1e-15)
    for f in (mg.sigmoid, mg.softplus, mg.mean, mg.var, mg.logsumexp):
        np.testing.assert_allclose(f(np.array([1, 200], np.uint8)), f(np.array([1.0, 200.0])), rtol=1e-3)


def test_requires_grad_can_be_switched_on_leaves_only():
    x = mg.tensor([1.0])
    x.requires_grad = True
    y = x * 2.0
    with pytest.raises(ValueError, match=r"was computed by mul; use \.detach\(\)"):
        y.requires_grad = False
    y.requires_grad = True
    x.requires_grad = False
    assert not (x * 2.0).requires_grad


# Gradients ------------------------------------------------------------------------------------------------------


def test_backward_says_what_it_needs():
    x = leaf([1.0, 2.0], name="x")
    y = (x * 2.0).named("y")
    with pytest.raises(ValueError, match=r"a gradient of y: \(2,\) float64 needs gradient= of that shape"):
        y.backward()
    with pytest.raises(ValueError, match=r"gradient= has shape \(3,\), but the tensor has shape \(2,\)"):
        y.backward(np.ones(3))
    with pytest.raises(ValueError, match=r"gradient= has shape \(\), but the tensor has shape \(2,\)"):
        y.backward(1.0)
    with pytest.raises(TypeError, match="complex numbers"):
        y.backward(np.ones(2, complex))
    with pytest.raises(ValueError, match=r"\(2,\) float64 does not require a gradient: no tensor that it was computed"):
        y.detach().backward(np.ones(2))
    with pytest.raises(TypeError, match="a gradient is taken of a Tensor, got ndarray"):
        mg.grad(np.ones(2), x)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="xs are Tensors, got ndarray"):
        mg.grad(y, [np.ones(2)], gradient=np.ones(2))  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"\(\) float64 does not require a gradient; make it with requires_grad=True"):
        mg.grad(y, mg.tensor(1.0), gradient=np.ones(2))
    before: Any = x.grad
    assert before is None
    y.backward([1, 2])  # integers and lists become the tensor's dtype
    np.testing.assert_array_equal(x.grad.data, [2.0, 4.0])
    single = mg.sum(x, keepdims=True)  # one number, whatever its shape
    assert mg.grad(single, x).shape == (2,)


def test_cotangents_take_the_dtype_of_the_tensor():
    x = leaf([1.0, 2.0], dtype=np.float32)
    (x * 2.0).backward(np.ones(2))
    assert x.grad.dtype == np.float32
    y = x * 2.0
    assert mg.grad(y, y, gradient=np.ones(2)).dtype == np.float32


def test_grad_can_be_assigned_and_cleared():
    x = leaf([1.0, 2.0])
    x.grad = mg.ones(2)
    mg.sum(x).backward()
    np.testing.assert_array_equal(x.grad.data, [2.0, 2.0])
    x.grad = None
    assert x.grad is None
    for wrong in (np.ones(2), mg.ones(3), mg.ones(2, dtype=np.float32), 1.0):
        with pytest.raises(ValueError, match=r"grad must be None or a Tensor of shape \(2,\) and dtype float64, got"):
            x.grad = wrong


def test_retain_grad():
    x = leaf([1.0, 2.0])
    y = x * 3.0
    assert y.retain_grad() is y
    y.retain_grad()
    z = mg.sum(y * y)
    z.backward()
    np.testing.assert_array_equal(y.grad.data, [6.0, 12.0])
    np.testing.assert_array_equal(x.grad.data, [18.0, 36.0])
    with pytest.raises(ValueError, match="does not require a gradient, so there is none to retain"):
        mg.ones(2).retain_grad()


def test_detach_cuts_and_shares():
    x = leaf([1.0, 2.0])
    y = x * 2.0
    d = y.detach()
    assert (d.requires_grad, d.op) == (False, None)
    assert np.shares_memory(d.data, y.data)
    mg.sum(y * d).backward()
    np.testing.assert_array_equal(x.grad.data, 2.0 * d.data)


def test_names():
    x = mg.tensor([1.0], name="x")
    assert x.name == "x"
    assert x.named("w") is x
    assert x.name == "w"
    assert (x * 2.0).name is None


# Python's protocols ---------------------------------------------------------------------------------------------


def test_numbers():
    t = mg.tensor([[2.5]])
    assert (t.item(), float(t), int(t), bool(t)) == (2.5, 2.5, 2, True)
    assert type(mg.tensor(3).item()) is int
    assert type(mg.tensor(True).item()) is bool
    assert [10, 20, 30][mg.tensor(1)] == 20
    assert f"{t:.2f} {mg.tensor(3):d}" == "2.50 3"
    assert f"{mg.tensor([1.0, 2.0])}" == "tensor([1., 2.])"
    many = mg.tensor([1.0, 2.0])
    for convert in (float, int, mg.Tensor.item, lambda t: f"{t:.2f}"):
        with pytest.raises(ValueError, match=r"item\(\) needs a tensor with one element, this one has shape \(2,\)"):
            convert(many)
    with pytest.raises(ValueError, match=r"the truth of a tensor of shape \(2,\) is ambiguous"):
        bool(many)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(mg.zeros((0,)))
    with pytest.raises(TypeError):
        operator.index(mg.tensor(1.5))


def test_sequences():
    x = leaf([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert len(x) == 3
    first, *others = x
    np.testing.assert_array_equal(first.data, [1.0, 2.0])
    assert len(others) == 2
    total = sum(row * float(k) for k, row in enumerate(x))
    np.testing.assert_array_equal(mg.grad(mg.sum(total), x).data, [[0, 0], [1, 1], [2, 2]])
    assert [row.data[0] for row in reversed(x)] == [5.0, 3.0, 1.0]
    assert 4.0 in x
    assert 7.0 not in x
    assert mg.tensor(6.0) in x
    with pytest.raises(TypeError, match=r"len\(\) of a 0-d tensor"):
        len(leaf(1.0))
    with pytest.raises(TypeError, match="0-d tensor holds one number and cannot be iterated over"):
        iter(leaf(1.0))
    with pytest.raises(IndexError, match="index 3 is out of bounds"):
        x[3]


def test_item_assignment_says_what_to_do_instead():
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=r"cannot be written element by element.*mg\.where.*t\.data = a"):
        x[0] = 5.0
    a = x.numpy().copy()
    a[0] = 5.0
    x.data = a
    assert x.data[0] == 5.0
    y = x
    y += 1.0  # a new tensor under the same name
    assert y is not x
    np.testing.assert_array_equal(x.data, [5.0, 2.0])


def test_identity_hash_and_weak_references():
    x = leaf([1.0, 2.0])
    same = mg.tensor(x)
    assert len({x, same, x}) == 2
    assert {x: "x"}[x] == "x"
    np.testing.assert_array_equal((x == same).data, [True, True])
    assert not (x == None).data.any()  # noqa: E711
    held = weakref.ref(same)
    del same
    gc.collect()
    assert held() is None
    with pytest.raises(AttributeError):
        x.colour = "red"


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_leaves(again):
    x = leaf([1.0, 2.0], name="x")
    twin = again(x)
    assert (twin.name, twin.requires_grad, twin.dtype) == ("x", True, x.dtype)
    assert not np.shares_memory(twin.data, x.data)
    np.testing.assert_array_equal(twin.data, x.data)
    y = again(mg.exp(x))
    assert (y.op, y.requires_grad) == (None, False)
    chain = x
    for _ in range(20_000):
        chain = chain * 1.0
    assert again(chain).shape == (2,)


def test_repr():
    for t, expected in (
        (mg.tensor(1.0), "tensor(1.)"),
        (mg.tensor([1, 2]), "tensor([1, 2])"),
        (mg.tensor([True]), "tensor([ True])"),
        (mg.tensor([1.0], dtype=np.float32), "tensor([1.], dtype=float32)"),
        (leaf([1.0], name="w"), "tensor([1.], name='w', requires_grad=True)"),
        (mg.exp(leaf([0.0])), "tensor([1.], op=exp)"),
        (mg.ones((2, 2)), "tensor([[1., 1.],\n        [1., 1.]])"),
        (mg.zeros((0, 3)), "tensor([], shape=(0, 3))"),
    ):
        assert repr(t) == str(t) == expected
    assert len(repr(mg.zeros((1000, 1000)))) < 400


# NumPy's protocols ----------------------------------------------------------------------------------------------


def test_numpy_operators_hand_over():
    x = leaf([1.0, 2.0])
    a = np.array([3.0, 4.0])
    for op in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul):
        for left, right in ((a, x), (x, a)):
            result = op(left, right)
            assert type(result) is mg.Tensor
            values = [t.data if isinstance(t, mg.Tensor) else t for t in (left, right)]
            np.testing.assert_allclose(result.data, op(*values), rtol=1e-15)
    for number in (2, 2.0, np.float64(2.0), np.float32(2.0), np.int64(2), True, np.array(2.0)):
        for op in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow):
            assert type(op(number, x)) is mg.Tensor
            assert type(op(x, number)) is mg.Tensor
            np.testing.assert_allclose(op(number, x).data, op(number, x.data))
    for op in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        for number in (a, np.float64(1.0), 1):
            np.testing.assert_array_equal(op(number, x).data, op(number, x.data), strict=True)
            np.testing.assert_array_equal(op(x, number).data, op(x.data, number), strict=True)


def test_python_scalars_are_weak_and_numpy_arrays_are_not():
    x = mg.tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
    for y in (x * 2.0, 2 * x, x**2, 2**x, 1.0 / x, x - 1, mg.maximum(x, 1.5), mg.where(x > 1.0, x, 0.0)):
        assert y.dtype == np.float32
        assert mg.grad(y, x, gradient=np.ones(2)).dtype == np.float32
    wide = x * np.array([1.0, 2.0])
    assert wide.dtype == np.float64
    assert mg.grad(wide, x, gradient=np.ones(2)).dtype == np.float32
    zero_d = mg.tensor(2.0, dtype=np.float32, requires_grad=True)
    z = mg.sum(mg.exp(zero_d * 0.5) * zero_d**2 + 1 / zero_d)
    assert z.dtype == np.float32
    assert mg.grad(z, zero_d, create_graph=True).dtype == np.float32


# Operators and methods ------------------------------------------------------------------------------------------


def test_operators_are_the_primitives():
    x, y = leaf([1.5, -2.0]), leaf([2.0, 3.0])
    for name, result in {
        "add": x + y, "sub": x - y, "mul": x * y, "div": x / y, "matmul": x @ y, "pow": x**2.0, "neg": -x,
        "abs": abs(x), "getitem": x[0],
    }.items():  # fmt: skip
        assert result.op.name == name
    assert +x is x
    mask = (x > 0.0) & (y > 0.0) | ~(y < 5.0)
    np.testing.assert_array_equal(mask.data, [True, False])
    np.testing.assert_array_equal((np.array([True, False]) & (y > 0.0)).data, [True, False])
    for wrong in (lambda: x & mask, lambda: ~mg.tensor([1, 2]), lambda: mg.tensor([1]) | 2):
        with pytest.raises(TypeError, match=r"combines masks such as t > 0; this tensor is (float64|int64)"):
            wrong()
    for op in (operator.lshift, operator.rshift):
        with pytest.raises(TypeError, match="unsupported operand"):
            op(x, y)


METHODS = {
    "sum": (0,), "mean": (0, True), "var": (0, True, 1), "std": (0,), "max": (1,), "min": (1,), "prod": (0,),
    "logsumexp": (0,), "cumsum": (0,), "argmax": (0,), "argmin": (1,), "swapaxes": (0, 1), "squeeze": (),
    "expand_dims": (1,), "clip": (0.2, 0.8), "exp": (), "log": (), "sqrt": (), "square": (), "abs": (), "sin": (),
    "cos": (), "tanh": (), "sigmoid": (), "relu": (), "astype": (np.float32,),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_the_functions(name, rng):
    x = mg.tensor(rng.uniform(0.1, 1.0, size=(3, 4)), requires_grad=True)
    by_method = getattr(x, name)(*METHODS[name])
    np.testing.assert_array_equal(by_method.data, getattr(ops, name)(x, *METHODS[name]).data, strict=True)
    assert inspect.getdoc(getattr(mg.Tensor, name))


def test_methods_that_take_their_arguments_in_more_ways(rng):
    x = mg.tensor(rng.normal(size=(2, 3)))
    for y in (x.reshape(3, 2), x.reshape((3, 2)), x.reshape([3, 2]), x.reshape(3, -1), x.reshape(-1, 2)):
        np.testing.assert_array_equal(y.data, x.data.reshape(3, 2))
    assert x.reshape(6).shape == x.reshape(-1).shape == x.flatten().shape == (6,)
    assert leaf([1.0]).reshape(()).shape == leaf([1.0]).reshape().shape == ()
    for y in (x.T, x.transpose(), x.transpose(1, 0), x.transpose((1, 0)), x.transpose([1, 0])):
        np.testing.assert_array_equal(y.data, x.data.T)
    assert x.broadcast_to(4, 2, 3).shape == x.broadcast_to((4, 2, 3)).shape == (4, 2, 3)
    listed: Any = [0, 1]
    assert mg.sum(x, axis=listed).shape == ()
