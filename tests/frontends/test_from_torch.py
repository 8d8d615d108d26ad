"""mg.from_torch against PyTorch itself: loss and every gradient, blame, pictures; and what it refuses."""

# classes of a library that may be absent:
# mypy: disable-error-code="misc,name-defined"

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch", reason="mg.from_torch reads models of torch, which is not installed")

from . import torch_models as models  # noqa: E402  # it imports torch


def slopes(f, loss):
    return dict(zip(f.leaves, mg.grad(loss, list(f.leaves.values())), strict=True))


def off(a, b):
    """max|a - b| / max(|a|, |b|) over the arrays."""
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return np.abs(a - b).max(initial=0) / scale if scale else 0.0


def assert_same(model, args, f):
    """Loss and gradients by name; what ought to be 0 is judged by the largest gradient."""
    ours = f()
    model.zero_grad()
    theirs = model(*args)
    theirs.backward()
    expected = {name: p.grad.numpy() for name, p in model.named_parameters()}
    assert off(ours.numpy(), theirs.detach().numpy()) < 1e-12
    found = slopes(f, ours)
    assert found
    assert found.keys() == expected.keys()
    largest = max(np.abs(d).max() for d in expected.values())
    for name, d in found.items():
        assert d.shape == expected[name].shape
        zero = max(np.abs(d.numpy()).max(), np.abs(expected[name]).max()) < 1e-14 * largest
        assert zero or off(d.numpy(), expected[name]) < 1e-12, name
    return ours


FORMS = [(name, "composed") for name in models.MODELS]
FORMS += [(name, "fused") for name in models.MODELS if name.startswith("batch norm") or name == "residual"]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_loss_and_gradients_are_pytorchs(name, form):
    model, args = models.made(name)
    f = mg.from_torch(model, *args, batch_norm=form)
    loss = assert_same(model, args, f)
    assert mg.check.blame(loss)
    drawing = mg.draw(loss)
    assert loss.op.name in drawing.dot
    assert all(leaf in drawing.dot for leaf in f.leaves)


@pytest.mark.parametrize("name", models.FUNCTIONS)
def test_ops_are_pytorchs(name):
    function, args = models.FUNCTIONS[name]
    model, args = models.Function(function), [torch.tensor(a) for a in args(np.random.default_rng(0))]
    inputs = [a.requires_grad_() if a.is_floating_point() else a for a in args]
    f = mg.from_torch(model, *inputs)
    loss = f()
    theirs = model(*inputs)
    assert off(loss.numpy(), theirs.detach().numpy()) < 1e-12
    expected = torch.autograd.grad(theirs, [a for a in inputs if a.requires_grad])
    for d, e in zip(slopes(f, loss).values(), expected, strict=True):
        assert off(d.numpy(), e.numpy()) < 1e-12


# The function that comes out -------------------------------------------------------------------------------


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU()).double()


def test_leaves_are_named_as_in_the_state_dict_and_modules_are_scopes():
    model = net()
    f = mg.from_torch(model, models.X)
    assert list(f.leaves) == [name for name, _ in model.named_parameters()]
    assert [x.name for x in f.inputs] == ["input"]
    y = f()
    assert y.scope == ("2",)
    assert y.inputs[0].scope == ("1", "affine")
    assert repr(f) == "<from_torch Sequential: 0.weight (4, 5), 0.bias (4,), 1.weight (4,), 1.bias (4,)>"
    model[0].weight.data.zero_()  # f has a copy
    assert f.leaves["0.weight"].data.any()


def test_tied_weights_are_one_leaf():
    model, args = models.made("tied weights")
    f = mg.from_torch(model, *args)
    assert [name for name in f.leaves if "words" in name or "out" in name] == ["net.words.weight"]


def test_inputs_that_need_a_gradient_are_leaves():
    x = models.X.clone().requires_grad_()
    f = mg.from_torch(net(), x)
    assert next(iter(f.leaves)) == "input"
    model = net()
    model(x).sum().backward()
    np.testing.assert_allclose(mg.grad(f().sum(), f.leaves["input"]).numpy(), x.grad.numpy(), atol=1e-14)


def test_batch_norm_is_composed_or_one_primitive():
    composed, fused = (mg.from_torch(net(), models.X, batch_norm=how)() for how in ("composed", "fused"))
    assert "batch_norm" not in str(mg.draw(composed))
    assert "batch_norm" in str(mg.draw(fused))
    with pytest.raises(ValueError, match=r"batch_norm='open' must be 'composed' .* or 'fused'"):
        mg.from_torch(net(), models.X, batch_norm="open")


def test_other_inputs_of_other_shapes_and_dtypes():
    model, f = net(), mg.from_torch(net(), models.X)
    for x in (models.X * 2, models.SIGNAL[0]):
        expected = model(x).detach().numpy()
        for given in (mg.tensor(x.numpy()), x.numpy(), x):
            np.testing.assert_allclose(f(given).numpy(), expected, atol=1e-14)


def test_running_statistics_are_used_and_never_updated():
    model = net()
    before = {name: b.clone() for name, b in model.named_buffers()}
    f = mg.from_torch(model, models.X)
    f()
    assert all(torch.equal(b, before[name]) for name, b in model.named_buffers())


def test_several_results_nested():
    class Two(torch.nn.Module):
        def forward(self, x, *, scale=2.0):
            return {"a": x * scale, "b": (x.sum(), 3)}

    found = mg.from_torch(Two(), models.X)()
    np.testing.assert_array_equal(found["a"].numpy(), models.X.numpy() * 2)
    assert found["b"][1] == 3


def test_ignored_labels_open_the_loss_when_they_come():
    model = models.Trained(models.mlp(), models.CLASSES).double()
    f = mg.from_torch(model, models.X, models.Y)
    assert "softmax_cross_entropy" in str(mg.draw(f()))
    y = models.Y.clone()
    y[0] = -100
    np.testing.assert_allclose(f(models.X, y).numpy(), model(models.X, y).detach().numpy(), rtol=1e-14)


def test_a_program_of_it_runs_on_other_inputs():
    f = mg.from_torch(net(), models.X)
    program = mg.record(lambda x: (f(x) ** 2).sum(), f.inputs[0])
    other = models.X.numpy()[::-1] * 3
    run = program.run(other)
    loss = (f(other) ** 2).sum()
    np.testing.assert_allclose(run.value, loss.numpy(), rtol=1e-14)
    for name, d in slopes(f, loss).items():
        np.testing.assert_allclose(run.gradients[name], d.numpy(), rtol=1e-12, atol=1e-12)


def test_it_trains_as_in_pytorch_and_replays():
    model, args = models.made("batch norm, train")
    f = mg.from_torch(model, *args)
    ours, theirs = mg.optim.Adam(list(f.leaves.values()), lr=0.01), torch.optim.Adam(model.parameters(), lr=0.01)

    @mg.replay
    def step(x, y):
        ours.zero_grad()
        loss = f(x, y)
        loss.backward()
        ours.step()
        return loss

    for _ in range(10):
        theirs.zero_grad()
        expected = model(*args)
        expected.backward()
        theirs.step()
        loss = step(*(a.numpy() for a in args))
    np.testing.assert_allclose(loss.numpy(), expected.detach().numpy(), rtol=1e-12)


# What it refuses -------------------------------------------------------------------------------------------


class Unknown(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x)


def test_an_unknown_op_is_refused_by_name_with_its_place_and_those_that_are_known():
    model = torch.nn.Sequential(torch.nn.Linear(5, 5), Unknown()).double()
    with pytest.raises(NotImplementedError) as caught:
        mg.from_torch(model, models.X)
    said = str(caught.value)
    assert "aten._linalg_svd" in said
    assert "(in 1, Unknown, " in said
    assert "test_from_torch.py:" in said
    assert "Known ops: " in said
    assert " layer_norm, " in said


def test_dropout_in_training_says_what_to_do():
    model = torch.nn.Sequential(torch.nn.Dropout(0.5))
    with pytest.raises(NotImplementedError, match=r"draws random numbers.*module.eval\(\).*\(in 0, Dropout"):
        mg.from_torch(model, models.X)


class Straight(torch.autograd.Function):
    """A step whose gradient is said to be 1."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g


class OwnGradient(torch.nn.Module):
    def forward(self, x):
        return Straight.apply(x)


class NoGrad(torch.nn.Module):
    def forward(self, x):
        with torch.no_grad():
            y = x * x
        return x * y


@pytest.mark.parametrize("kind", [OwnGradient, NoGrad])
def test_a_gradient_that_the_forward_does_not_tell_is_found(kind):
    x = models.X.clone().requires_grad_()
    with pytest.raises(ValueError, match=r"the gradient of x of .* differs from the library's own"):
        mg.from_torch(kind(), x)
    assert mg.from_torch(kind(), x, check=False)().shape == (8, 5)


class Branching(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_what_cannot_be_exported_is_told_in_one_line():
    with pytest.raises(ValueError, match=r"^from_torch: torch.export cannot read Branching: .*$"):
        mg.from_torch(Branching(), models.X)
    with pytest.raises(TypeError, match=r"expected a torch.nn.Module, got int"):
        mg.from_torch(3, models.X)
    with pytest.raises(ValueError, match=r"dtype bfloat16 is not one of NumPy's .* convert with .to\(torch.float32\)"):
        mg.from_torch(net().to(torch.bfloat16), models.X.to(torch.bfloat16))
