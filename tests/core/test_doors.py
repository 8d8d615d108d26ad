"""What comes in and goes out of the engine: masks, complex numbers, odd dtypes, read-only views."""

import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, training

from ..helpers import leaf

MASKED = np.ma.masked_array([[1.0, 4e14], [2.0, 3.0]], [[False, True], [False, False]])


def test_turning_into_an_array_by_accident_is_refused():
    x = leaf([1.0, 2.0])
    for convert in (np.asarray, np.array, lambda t: np.array([t, t]), lambda t: np.ones(2) + np.asarray(t)):
        with pytest.raises(TypeError, match=r"does not turn into an array by itself.*mg\.stack.*t\.numpy\(\)"):
            convert(x)
    np.testing.assert_array_equal(np.asarray(x.data), [1.0, 2.0])


def test_what_has_no_gradient_turns_into_an_array():
    x = leaf([1.0, 3.0])
    (x * x).sum().backward()
    np.testing.assert_allclose(np.asarray(x.grad), [2.0, 6.0])
    assert np.asarray(x > 2.0).tolist() == [False, True]
    assert np.eye(3)[mg.tensor([2, 0])].tolist() == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    assert np.array([x.detach(), x.detach()]).shape == (2, 2)
    assert np.asarray(x.detach(), np.float32).dtype == np.float32
    copy = np.array(x.detach())
    copy[0] = 7.0
    view = np.asarray(x.detach())
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    assert x.data[0] == 1.0


DOORS = {
    "tensor": lambda x, a: mg.tensor(a),
    "a list of them": lambda x, a: mg.tensor([a, a]),
    "add": lambda x, a: x + a,
    "mul of arrays": lambda x, a: mg.mul(np.ones((2, 2)), a),
    "sum": lambda x, a: mg.sum(a),
    "matmul": lambda x, a: a @ x if not hasattr(a, "filled") else mg.matmul(a, x),
    "where": lambda x, a: mg.where(x > 0, x, a),
    "stack": lambda x, a: mg.stack([x, a]),
    "einsum": lambda x, a: mg.einsum("ij,ij->i", x, a),
    "clip": lambda x, a: mg.clip(x, a, 9.0),
    "softmax": lambda x, a: mg.softmax(a),
    "batch norm": lambda x, a: mg.batch_norm(a),
    "layer norm, composed": lambda x, a: mg.layer_norm_composed(a),
    "a loss": lambda x, a: mg.mse_loss(x, a),
    "a gradient": lambda x, a: mg.grad(x * 2.0, x, gradient=a),
    "assigned": lambda x, a: setattr(x, "data", a),
    "a layer": lambda x, a: nn.Linear(2, 2, rng=0)(a),
    "a module's statistics": lambda x, a: nn.BatchNorm1d(2)(a),
    "predict": lambda x, a: training.predict(nn.Linear(2, 2, rng=0), a),
    "fit": lambda x, a: training.fit(nn.Linear(2, 1, rng=0), "mse", "sgd", (a, np.ones((2, 1))), epochs=1, seed=0),
    "weights": lambda x, a: nn.Linear(2, 2, rng=0).load_state_dict({"weight": a, "bias": np.ones(2)}),
    "record": lambda x, a: mg.record(_square, a),
    "a program": lambda x, a: mg.record(_square, np.ones((2, 2))).run(a),
    "a program's gradient": lambda x, a: mg.record(mg.square, np.ones((2, 2))).run(np.ones((2, 2)), gradient=a),
    "derive": lambda x, a: mg.derive(_square, [a]),
    "precision": lambda x, a: mg.check.precision(_square, [a]),
    "what if": lambda x, a: mg.check.what_if(_square(x), x, a),
    "gradcheck": lambda x, a: mg.check.gradcheck(_square, [a]),
    "compare": lambda x, a: mg.check.compare(_square, _square, [a]),
    "check.backward": lambda x, a: mg.check.backward(lambda v: (v * v).sum(), lambda g, v: 2 * g * v, [a]),
    "jvp": lambda x, a: mg.jvp(_square, [np.ones((2, 2))], [a]),
    "hessian": lambda x, a: mg.hessian(_square, a),
}


def _square(x):
    return mg.square(x).sum()


@pytest.mark.parametrize("door", DOORS)
def test_masks_and_complex_numbers_are_refused_at_every_door(door):
    refused = [(MASKED, r"masked array.*filled"), (np.ones((2, 2)) * 1j, r"complex numbers|fiub|real")]
    refused += [(np.zeros((2, 2), kind), "real numbers|datetime|dtype|str|U3|f8") for kind in ("M8[s]", "U3", "f8, f8")]
    for array, said in refused:
        x = leaf([[1.0, 2.0], [3.0, 4.0]])
        with pytest.raises((TypeError, ValueError), match=said):
            DOORS[door](x, array)
        np.testing.assert_array_equal(x.data, [[1.0, 2.0], [3.0, 4.0]])


def test_masked_indices_and_labels_are_refused():
    x, some = leaf([1.0, 2.0, 3.0]), np.ma.masked_array([0, 1], [False, True])
    for call in (lambda: x[some], lambda: x[some > 0], lambda: mg.cross_entropy(np.zeros((2, 3)), some)):
        with pytest.raises(TypeError, match="masked array"):
            call()


def odd(array):
    """The same numbers in a dtype that equals NumPy's own and is another object."""
    found = np.frombuffer(array.tobytes(), array.dtype.newbyteorder("=")).reshape(array.shape)
    assert found.dtype == array.dtype
    assert found.dtype is not array.dtype
    return found


def test_a_dtype_from_elsewhere_is_numpys_own_inside():
    a = np.linspace(0.1, 2.0, 12).reshape(4, 3)
    assert mg.tensor(odd(a)).data.dtype is a.dtype
    assert pickle.loads(pickle.dumps(mg.tensor(odd(a)))).data.dtype is a.dtype
    x = leaf(a)
    for result in (x * odd(a), mg.matmul(x, odd(a).T), mg.where(x > 1, x, odd(a)), mg.batch_norm(x, odd(a)[0])):
        assert result.data.dtype is a.dtype
    (plain,), (strange,) = ((mg.grad((mg.tanh(x * b) * b).sum(), x),) for b in (a, odd(a)))
    assert plain.data.tobytes() == strange.data.tobytes()


def test_what_is_read_cannot_be_written_by_any_of_numpys_ways():
    x = leaf([1.0, 2.0, 3.0])
    y = x * 2.0
    for view in (x.data, x.numpy(), y.data, x.data[:2], x.data.reshape(3, 1), x.data.view(), np.asarray(x.detach())):
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.setflags(write=True)
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 5.0
        with pytest.raises((TypeError, ValueError), match=r"read-only|cannot modify"):
            view.base[0] = 5.0  # type: ignore[index]
    np.testing.assert_array_equal(x.data, [1.0, 2.0, 3.0])
    for shape in ((), (0, 3), (2, 3)):
        for dtype in (np.float16, np.float32, np.int8, np.bool_):
            t = mg.tensor(np.ones(shape, dtype))
            assert t.data.shape == shape
            assert t.data.dtype == dtype


def test_what_was_written_past_numpy_is_found_where_anomalies_are_looked_for():
    x = leaf([1.0, 2.0])
    with mg.detect_anomalies():
        y = (x * x).sum()
        y.backward()
        x.data.base.obj[0] = 5.0  # as ctypes or torch.from_numpy can
        with pytest.raises(FloatingPointError, match=r"mul.*changed.*since.*\.data = "):
            y.backward()
        x.data = np.array([1.0, 2.0])
        y = (x * x).sum()
        y.backward()
    assert x.grad is not None


def test_float16_is_added_up_in_float32():
    h = np.full((1000, 1), 100.0, np.float16)
    x = leaf(h)
    for f in (mg.mean, mg.max, lambda t: mg.l1_loss(t, h * 0), lambda t: mg.sum(t * np.float16(0.1)) / np.float16(100)):
        y = f(x)
        assert y.dtype == np.float16
        assert abs(float(y.data) - 100.0) < 0.2
    assert float(mg.mse_loss(x, h * 0).data) == 1e4
    wide = (h * np.linspace(1.0, 3.0, 1000).reshape(-1, 1)).astype(np.float16)
    exact = wide.astype(float)
    for f in (mg.std, lambda t: mg.sqrt(mg.var(t * np.float16(0.1))) * np.float16(10.0)):
        assert abs(float(f(leaf(wide)).data) / exact.std() - 1) < 2e-3
    for normalize in (mg.batch_norm, mg.batch_norm_composed, nn.BatchNorm1d(1, dtype=np.float16)):
        given = leaf(wide)
        y = normalize(given)
        assert y.dtype == np.float16
        np.testing.assert_allclose(y.numpy(), (exact - exact.mean()) / exact.std(), atol=2e-3)
        assert np.isfinite(mg.grad(y, given, gradient=np.ones_like(wide)).numpy()).all()
    many = np.zeros(70_000, np.float16)
    np.testing.assert_allclose(mg.softmax(many).astype(float), 1 / 70_000, rtol=2e-3)
    ties = leaf(many)
    assert abs(float(mg.grad(mg.max(ties), ties).data.sum(dtype=float)) - 1) < 5e-3


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")  # of the first try
def test_means_of_large_numbers_do_not_overflow():
    for large in (np.array([1e308, 1e308]), np.array([3e38, 3e38], np.float32)):
        assert float(mg.mean(large)) == large[0]
        assert mg.mean(np.stack([large, large]), axis=0).tolist() == large.tolist()
        assert float(mg.l1_loss(large, -large * 0)) == large[0]
    assert float(mg.std(np.array([1e200, -1e200]))) == 1e200
    x = leaf([1e200, -1e200])
    np.testing.assert_allclose(mg.grad(mg.std(x), x).data, [0.5, -0.5])
    assert np.isinf(mg.mean(np.array([np.inf, 1.0])))
    assert np.isnan(mg.std(np.array([np.inf, 1.0])))


def test_a_gradient_through_many_joined_parts_takes_time_in_proportion():
    parts = [leaf([float(k)]) for k in range(4000)]
    y = mg.concatenate(parts)
    grads = mg.grad(y, parts, gradient=np.arange(4000.0))
    assert [d.data[0] for d in grads[:3]] == [0.0, 1.0, 2.0]
    assert y.op.joint is not None  # one rule for all: cut once, not searched for each part


def test_a_reduction_of_a_single_number_over_its_axis_is_that_number():
    for name in ("sum", "mean", "max", "min", "prod", "logsumexp"):
        x = leaf(2.0)
        y = getattr(mg, name)(x, axis=0)
        assert float(y.data) == 2.0
        assert float(mg.grad(y, x).data) == 1.0


def test_products_that_do_not_fit_name_the_axes():
    x = leaf(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"last axis of x has length 3, the second to last \(or only\) of y 2"):
        x @ np.ones((2, 3))
    with pytest.raises(ValueError, match="at least one axis"):
        mg.matmul(x, 2.0)


def test_the_softmax_of_nothing_is_empty():
    for shape in ((0,), (3, 0), (0, 3)):
        x = leaf(np.zeros(shape))
        y = mg.softmax(x)
        assert y.shape == shape
        assert mg.grad(y, x, gradient=np.zeros(shape)).shape == shape
