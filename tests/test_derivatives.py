"""value_and_grad, hessian, jvp: against PyTorch's where it is installed, against each other, and what they refuse."""

import numpy as np
import pytest

import minigrad as mg

X = np.random.default_rng(3).normal(size=(4, 3))
V = np.random.default_rng(4).normal(size=(4, 3))


def normed(x):
    return mg.batch_norm(x * x, eps=1e-3)


def energy(x):
    return (mg.softmax(x, axis=1) * mg.tanh(normed(x))).sum()


def test_jvp_is_the_jacobian_times_v():
    y, tangent = mg.jvp(normed, X, V)
    np.testing.assert_array_equal(y.data, normed(mg.tensor(X)).data)
    full = mg.jacobian(normed, X).data
    np.testing.assert_allclose(tangent.data, np.tensordot(full, V, axes=2), rtol=1e-10, atol=1e-12)


def test_the_hessian_is_symmetric_and_gives_hessian_vector_products():
    h = mg.hessian(energy, X).data
    flat = h.reshape(X.size, X.size)
    np.testing.assert_allclose(flat, flat.T, atol=1e-12)
    np.testing.assert_allclose(np.tensordot(h, V, axes=2), mg.hvp(energy, X, V).data, atol=1e-12)


def test_value_and_grad_of_one_and_of_several():
    value, slope = mg.value_and_grad(energy, X)
    leaf = mg.tensor(X, requires_grad=True)
    y = energy(leaf)
    assert value.item() == y.item()
    assert not value.requires_grad
    np.testing.assert_array_equal(slope.data, mg.grad(y, leaf).data)
    _, (dx, dw) = mg.value_and_grad(lambda x, w: (x @ w).sum(), X, np.ones((3, 2)))
    assert dx.shape == X.shape
    assert dw.shape == (3, 2)


@pytest.mark.parametrize("function", [lambda x: mg.tensor(1.0), lambda x: (2.0 * x).sum()], ids=["constant", "linear"])
def test_what_has_no_second_derivative_has_zeros(function):
    assert not mg.hessian(function, X).data.any()
    assert not mg.hvp(function, X, V).data.any()
    assert mg.jvp(function, X, V)[1].shape == ()


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"one number as its value, got shape \(4, 3\)"):
        mg.hessian(normed, X)
    with pytest.raises(ValueError, match=r"one number as its value, got shape \(4, 3\)"):
        mg.value_and_grad(normed, X)
    with pytest.raises(ValueError, match=r"v has shape \(2,\), x has shape \(4, 3\)"):
        mg.jvp(normed, X, np.ones(2))
    with pytest.raises(TypeError, match="pass the values"):
        mg.value_and_grad(normed)
    with pytest.raises(TypeError, match="must return a Tensor"):
        mg.jvp(lambda x: x.data, X, V)  # type: ignore[arg-type, return-value]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, inside torch.func
def test_against_torch_func():
    torch = pytest.importorskip("torch", reason="the other side of this comparison is torch.func")

    def theirs(x):
        square = x * x
        mean, var = square.mean(0), square.var(0, correction=0)
        return (torch.softmax(x, 1) * torch.tanh((square - mean) / torch.sqrt(var + 1e-3))).sum()

    x, v = torch.tensor(X), torch.tensor(V)
    np.testing.assert_allclose(mg.hessian(energy, X).data, torch.func.hessian(theirs)(x).numpy(), atol=1e-11)
    value, tangent = torch.func.jvp(theirs, (x,), (v,))
    mine, along = mg.jvp(energy, X, V)
    np.testing.assert_allclose([mine.item(), along.item()], [value.item(), tangent.item()], rtol=1e-11)
    slope, value = torch.func.grad_and_value(theirs)(x)
    mine, d = mg.value_and_grad(energy, X)
    np.testing.assert_allclose(d.data, slope.numpy(), atol=1e-12)
