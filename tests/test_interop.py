"""The NumPy seam: NumPy's functions on Tensors are the primitives, or an error that says what to do."""

import copy
import inspect
import operator
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg

from .helpers import assert_right, first, leaves, registry
from .table import ROWS

OTHER_NAMES = {"div": "divide", "mul": "multiply", "neg": "negative", "sub": "subtract"}  # ours: NumPy's


def x34(rng):
    return mg.tensor(rng.uniform(0.2, 1.5, size=(3, 4)), requires_grad=True)


# How NumPy is called, the primitive it is to end in, and the keywords or positions that both sides take.
CALLS: dict[str, Any] = {
    "add": lambda x: np.add(x, 2.0), "sub": lambda x: np.subtract(x, 2.0), "mul": lambda x: np.multiply(x, 2.0),
    "div": lambda x: np.true_divide(x, 2.0), "pow": lambda x: np.power(x, 2.0), "neg": np.negative, "exp": np.exp,
    "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt, "square": np.square, "abs": np.abs,
    "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "maximum": lambda x: np.maximum(x, 0.7),
    "minimum": lambda x: np.minimum(x, 0.7), "clip": lambda x: np.clip(x, 0.5, 1.0),
    "where": lambda x: np.where(np.eye(3, 4) > 0, x, 0.0), "sign": np.sign, "isnan": np.isnan,
    "equal": lambda x: np.equal(x, 1.0), "not_equal": lambda x: np.not_equal(x, 1.0), "less": lambda x: np.less(x, 1.0),
    "less_equal": lambda x: np.less_equal(x, 1.0), "greater": lambda x: np.greater(x, 1.0),
    "greater_equal": lambda x: np.greater_equal(x, 1.0), "logical_and": lambda x: np.logical_and(x > 0.5, x < 1.0),
    "logical_or": lambda x: np.logical_or(x > 1.0, x < 0.5), "logical_not": lambda x: np.logical_not(x > 0.5),
    "sum": lambda x: np.sum(x, axis=0), "mean": lambda x: np.mean(x, 1, keepdims=True),
    "var": lambda x: np.var(x, axis=(0, 1), ddof=1), "std": lambda x: np.std(x, axis=0), "max": lambda x: np.max(x, 0),
    "min": lambda x: np.min(x), "prod": lambda x: np.prod(x, axis=-1), "cumsum": lambda x: np.cumsum(x, axis=1),
    "argmax": lambda x: np.argmax(x, axis=1), "argmin": lambda x: np.argmin(x, axis=0),
    "matmul": lambda x: np.matmul(np.ones((2, 3)), x), "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "reshape": lambda x: np.reshape(x, (2, -1)), "transpose": np.transpose,
    "swapaxes": lambda x: np.swapaxes(x, 0, 1), "expand_dims": lambda x: np.expand_dims(x, 1),
    "squeeze": lambda x: np.squeeze(np.expand_dims(x, 0), axis=0),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 3, 4)),
    "concatenate": lambda x: np.concatenate([x, np.ones((1, 4)), x]), "stack": lambda x: np.stack((x, x), axis=1),
    "flip": lambda x: np.flip(x, axis=0), "roll": lambda x: np.roll(x, 1, axis=0),
}  # fmt: skip
if hasattr(np, "astype"):
    CALLS["astype"] = lambda x: np.astype(x, np.float32)
FLAT = {name for name in CALLS if not registry[name].op.differentiable}

OTHERS: dict[str, Any] = {
    "positive": np.positive, "fabs": np.fabs, "absolute": np.absolute, "amax": lambda x: np.amax(x, axis=0),
    "amin": lambda x: np.amin(x, axis=0), "ravel": np.ravel, "split": lambda x: np.split(x, 2, axis=1)[1],
    "split at": lambda x: np.split(x, [1, 3], axis=1)[1], "clip min": lambda x: np.clip(x, None, 0.9),
    "add.reduce": lambda x: np.add.reduce(x), "add.reduce all": lambda x: np.add.reduce(x, axis=None, keepdims=True),
    "multiply.reduce": lambda x: np.multiply.reduce(x, axis=1), "maximum.reduce": np.maximum.reduce,
    "minimum.reduce": np.minimum.reduce, "add.accumulate": np.add.accumulate,
    "a call with defaults": lambda x: np.sum(x, axis=0, dtype=None, out=None),
    "zeros_like": np.zeros_like, "ones_like": np.ones_like, "full_like": lambda x: np.full_like(x, 3.0),
    "zeros_like dtype": lambda x: np.zeros_like(x, dtype=np.float32),
    "& from an array": lambda x: np.array([True, False, True, False]) & (x > 0.5),
    "| from an array": lambda x: np.array([True, False, True, False]) | (x > 0.5), "invert": lambda x: np.invert(x > 1),
}  # fmt: skip


def test_every_primitive_that_numpy_knows_is_in_the_tables():
    names = {call.op.name for call in registry.values()}
    known = {name for name in names if hasattr(np, OTHER_NAMES.get(name, name))} - {
        "put"
    }  # np.put writes into an array
    assert set(CALLS) == known


@pytest.mark.parametrize("name", [*CALLS, *OTHERS])
def test_the_value_is_numpys_and_the_node_the_primitives(name, rng):
    call = {**CALLS, **OTHERS}[name]
    x = x34(rng)
    y = call(x)
    assert type(y) is mg.Tensor
    expected = call(x.data)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(y.data, expected, rtol=1e-14)
    if name in CALLS:
        assert y.requires_grad == (name not in FLAT)
        assert name in FLAT or y.op is registry[name].op


@pytest.mark.parametrize("name", sorted(set(CALLS) - FLAT - {"astype"}))
def test_gradients_to_order_2(name, rng):
    assert_right(CALLS[name], [x34(rng).data], rng)


def test_operators_with_an_array_on_the_left():
    x, a = mg.tensor([1.0, 2.0], requires_grad=True), np.array([3.0, 4.0])
    for op, primitive in {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "pow": "pow"}.items():
        for left in (a, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), 2):
            y = getattr(operator, op)(left, x)
            assert y.op is registry[primitive].op
            np.testing.assert_allclose(y.data, getattr(operator, op)(left, x.data), rtol=1e-15)
    product: Any = a @ x
    assert product.op is registry["matmul"].op


UNSUPPORTED: dict[str, tuple[Any, str]] = {
    "a ufunc with an alternative": (lambda x: np.log2(x), "np.log2 does not know Tensors: write mg.log(x)"),
    "a ufunc without": (lambda x: np.arctan(x), "np.arctan does not know Tensors: write a primitive"),
    "an array on the left": (lambda x: np.ones(2) // x, "np.floor_divide does not know Tensors"),
    "a method": (lambda x: np.add.outer(x, x), "np.add.outer does not know Tensors"),
    "writing": (lambda x: np.add.at(np.ones(2), [0], x), "np.add.at does not know Tensors"),
    "out=": (lambda x: np.exp(x, out=np.ones(2)), "np.exp with out=, or an operator such as a += t"),
    "in place": (lambda x: operator.iadd(np.ones(2), x), "np.add with out=, or an operator such as a += t"),
    "where=": (lambda x: np.exp(x, where=np.array([True, False])), "np.exp of Tensors takes (x, /), not this call"),
    "dtype=": (lambda x: np.sum(x, dtype=np.float32), "np.sum of Tensors takes (a, axis=None, *, keepdims=False)"),
    "a function": (np.sort, "np.sort does not know Tensors: write x[np.argsort(x.numpy())]"),
    "a function with an alternative": (np.vstack, "np.vstack does not know Tensors: write mg.stack"),
    "in a module": (np.linalg.norm, "np.linalg.norm does not know Tensors: write mg.sqrt(mg.sum(x * x))"),
    "where with one": (lambda x: np.where(x > 1.0), "np.where of Tensors takes (condition, x, y), not this call"),
    "objects": (lambda x: np.array([1, 2.5], object) * x, "an array of Python objects has no gradient; give numbers"),
    "objects on the right": (lambda x: x * np.array([1, 2.5], object), "an array of Python objects has no gradient"),
    "bounds with gradient": (lambda x: np.clip(x, x, None), "clip: low= is a constant and has no gradient"),
    "a mask of numbers": (lambda x: np.array([True, False]) & x, "& combines masks such as t > 0; this tensor"),
    "an array of them": (lambda x: np.array([x, x], dtype=object), "does not turn into an array by itself"),
    "a list of them": (lambda x: np.sum([x, x]), "does not turn into an array by itself"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_supported_says_so(name):
    call, message = UNSUPPORTED[name]
    with pytest.raises(TypeError, match=re.escape(message)):
        call(mg.tensor([1.0, 2.0], requires_grad=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of NumPy's own functions, which are all asked
def test_nothing_in_numpy_makes_an_array_of_objects():
    """Every public function of NumPy with a Tensor: a Tensor, an answer about shapes, or an error."""
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    asked = 0
    for module in (np, np.linalg, np.fft):
        for name in sorted(dir(module)):
            function = getattr(module, name)
            dispatched = isinstance(function, np.ufunc) or hasattr(function, "_implementation")
            if name.startswith("_") or not dispatched or name in ("save", "savetxt", "savez", "savez_compressed"):
                continue
            for args in ((x,), (x, x), (x, 1), ([x, x],)):
                try:
                    result = function(*args)
                except (TypeError, ValueError, NotImplementedError, IndexError, AttributeError):
                    continue
                asked += 1
                parts = result if isinstance(result, (list, tuple)) else (result,)
                kinds = {type(part) for part in parts if getattr(part, "dtype", "") != "bool"}
                assert kinds <= {mg.Tensor, bool, int, np.bool_, type(np.dtype(float)), type(np.dtype(bool))}, name
    assert asked > 80


def test_questions_are_answered():
    x = mg.tensor([[1.0, 2.0]], dtype=np.float32, requires_grad=True)
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((1, 2), 2, 2)
    assert np.result_type(x, 1.0) == np.float32
    assert np.array_equal(x, x)
    assert np.allclose(x, x + 1e-9)
    assert not np.allclose(x, x.data + 1.0)
    assert np.shares_memory(x, x.detach())
    assert not np.iscomplexobj(x)


# The rules do not need it ---------------------------------------------------------------------------------------


@pytest.fixture
def without_the_seam(monkeypatch):
    def used(self, function, *rest, **kwargs):
        raise AssertionError(f"a rule went through the seam: np.{function.__name__}")

    monkeypatch.setattr(mg.Tensor, "__array_ufunc__", None)
    monkeypatch.setattr(mg.Tensor, "__array_function__", used)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.flat], ids=str)
def test_rules_do_not_need_the_seam(row, rng, without_the_seam):
    arrays = row.arrays(rng)
    wanted = [k for k, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]
    out = registry[row.op](*leaves(arrays), **row.params)
    c = rng.normal(size=out.shape)
    ds, points = first(lambda *xs: registry[row.op](*xs, **row.params), arrays, c, wanted, create_graph=True)
    mg.grad(sum((d * d).sum() for d in ds), points)


def test_the_fixture_notices(without_the_seam):
    with pytest.raises(AssertionError, match=r"went through the seam: np\.sum"):
        np.sum(mg.ones(2))


# Copies and pickles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_modules_are_copied_and_pickled_whole(again, rng):
    net = mg.nn.MLP((3, 4, 2), norm="batch", dropout=0.1, rng=0)
    net(mg.tensor(rng.normal(size=(5, 3))))
    twin = again(net)
    assert [name for name, _ in twin.named_parameters()] == [name for name, _ in net.named_parameters()]
    x = mg.tensor(rng.normal(size=(4, 3)))
    before = net.eval()(x).data.copy()
    np.testing.assert_array_equal(twin.eval()(x).data, before)
    for parameter in twin.parameters():
        parameter.data = parameter.data + 1.0
    np.testing.assert_array_equal(net(x).data, before)


def test_dir_lists_what_users_call():
    names = [name for name in dir(mg.tensor([1.0])) if not name.startswith("_")]
    assert {"backward", "grad", "data", "sum", "reshape"} <= set(names)
    assert len(names) < 80


# Signatures -----------------------------------------------------------------------------------------------------


def test_editors_see_signatures_and_types_ship():
    for name, call in registry.items():
        shown = inspect.signature(call)
        expected = [*call.op.input_names, *call.op.defaults]
        assert [p for p in shown.parameters if p != "saved"] == expected, name
    assert str(inspect.signature(mg.sum)) == "(x: 'Array', /, axis: 'Axis' = None, keepdims: 'bool' = False) -> 'Value'"
    assert Path(mg.__file__).with_name("py.typed").exists()
