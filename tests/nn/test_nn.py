"""Modules and layers: the four conventions step by step, state that changes whole or not at all, misuse."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad._support.files import save_arrays

RNG = np.random.default_rng(2)
BATCHES = [RNG.normal(3.0, 2.0, (8, 4)) for _ in range(6)]


def by_hand(convention: str, batches: list[Any]) -> tuple[Any, Any]:
    """Running statistics after the table of conventions, written out."""
    mean, var = np.zeros(4), np.zeros(4) if convention == "cs231n" else np.ones(4)
    for t, x in enumerate(batches, 1):
        axes = (0,) if x.ndim == 2 else (0, 2)
        m, biased, n = x.mean(axes), x.var(axes), x.size // 4
        unbiased = biased * n / (n - 1)
        if convention == "torch":
            mean, var = 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * unbiased
        elif convention == "keras":
            mean, var = 0.99 * mean + 0.01 * m, 0.99 * var + 0.01 * biased
        elif convention == "cs231n":
            mean, var = 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * biased
        else:
            mean, var = ((t - 1) * mean + m) / t, ((t - 1) * var + unbiased) / t
    return mean, var


@pytest.mark.parametrize("implementation", ["fused", "composed"])
@pytest.mark.parametrize("convention", ["torch", "keras", "cs231n", "paper"])
def test_running_statistics_follow_each_convention(convention: str, implementation: str):
    for batches in (BATCHES, [RNG.normal(1.0, 2.0, (3, 4, 5)) for _ in range(4)]):
        bn = nn.BatchNorm1d(4, convention=convention, implementation=implementation)
        eps = 1e-3 if convention == "keras" else 1e-5
        for k, x in enumerate(batches):
            axes = (0,) if x.ndim == 2 else (0, 2)
            expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
            np.testing.assert_allclose(bn(x).data, expected, rtol=1e-10, atol=1e-12)
            mean, var = by_hand(convention, batches[: k + 1])
            np.testing.assert_allclose(bn.running_mean.data, mean, rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(bn.running_var.data, var, rtol=1e-13)
        bn.eval()
        kept = bn.running_mean.data.copy()
        x = batches[0]
        wide = (1, 4) if x.ndim == 2 else (1, 4, 1)
        expected = (x - mean.reshape(wide)) / np.sqrt(var.reshape(wide) + eps)
        np.testing.assert_allclose(bn(x).data, expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(bn.running_mean.data, kept)


def test_batch_norm_trains_as_pytorchs_step_by_step():
    torch = pytest.importorskip("torch")
    ours: Any = nn.BatchNorm1d(4)
    theirs = torch.nn.BatchNorm1d(4, dtype=torch.float64)
    g = RNG.normal(size=(8, 4))
    optimizer = mg.optim.SGD(ours.parameters(), lr=0.1)
    for x in BATCHES:
        leaf, other = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(leaf), theirs(other)
        np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-13)
        optimizer.zero_grad()
        y.backward(g)
        theirs.zero_grad()
        z.backward(torch.tensor(g))
        np.testing.assert_allclose(mg.grad(y, leaf, gradient=g).data, other.grad.numpy(), rtol=1e-11, atol=1e-13)
        optimizer.step()
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter -= 0.1 * parameter.grad
        np.testing.assert_allclose(ours.gamma.data, theirs.weight.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(ours.running_mean.data, theirs.running_mean.numpy(), rtol=1e-13)
        np.testing.assert_allclose(ours.running_var.data, theirs.running_var.numpy(), rtol=1e-13)
    np.testing.assert_allclose(
        ours.eval()(BATCHES[0]).data, theirs.eval()(torch.tensor(BATCHES[0])).detach().numpy(), rtol=1e-12, atol=1e-13
    )


def test_a_network_trains_as_pytorchs_for_thirty_steps():
    """Forward, backward, Adam and running statistics together: losses, weights and averages."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(64, 4)), rng.integers(0, 3, 64)
    net = nn.MLP((4, 8, 6, 3), norm="batch", rng=0)
    optimizer = mg.optim.Adam(net.parameters(), lr=0.01)
    layers: list[Any] = []
    for width_in, width_out in ((4, 8), (8, 6)):
        layers += [torch.nn.Linear(width_in, width_out, bias=False), torch.nn.BatchNorm1d(width_out), torch.nn.ReLU()]
    twin = torch.nn.Sequential(*layers, torch.nn.Linear(6, 3)).double()
    with torch.no_grad():
        for ours, theirs in zip((net[0], net[3], net[6]), (twin[0], twin[3], twin[6]), strict=True):
            theirs.weight.copy_(torch.tensor(ours.weight.data.T.copy()))
        twin[6].bias.zero_()
    other = torch.optim.Adam(twin.parameters(), lr=0.01)
    for index in (rng.permutation(64)[:16] for _ in range(30)):
        loss = mg.cross_entropy(net(mg.tensor(x[index])), y[index])
        expected = torch.nn.functional.cross_entropy(twin(torch.tensor(x[index])), torch.tensor(y[index]))
        np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-10)
        optimizer.zero_grad()
        other.zero_grad()
        loss.backward()
        expected.backward()
        optimizer.step()
        other.step()
        for ours, theirs in zip((net[1], net[4]), (twin[1], twin[4]), strict=True):
            np.testing.assert_allclose(ours.running_mean.data, theirs.running_mean.numpy(), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(ours.running_var.data, theirs.running_var.numpy(), rtol=1e-9)
    np.testing.assert_allclose(net[0].weight.data.T, twin[0].weight.detach().numpy(), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(net.eval()(x).data, twin.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-8, atol=1e-9)


def test_bias_correction_removes_the_start_value():
    bn = nn.BatchNorm1d(4, convention="keras", bias_correction=True)
    x = BATCHES[0]
    for _ in range(3):
        bn(x)
    y = bn.eval()(x)
    np.testing.assert_allclose(y.data, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3), rtol=1e-12, atol=1e-13)
    stale = nn.BatchNorm1d(4, convention="keras")
    for _ in range(3):
        stale(x)
    np.testing.assert_allclose(stale.running_var.data, 0.99**3 + (1 - 0.99**3) * x.var(0), rtol=1e-13)
    fresh = nn.BatchNorm1d(4, bias_correction=True).eval()  # before any update: the start values
    np.testing.assert_allclose(fresh(x).data, x / np.sqrt(1 + 1e-5))


def test_average_statistics_is_the_papers_second_pass():
    net = nn.Sequential(nn.Linear(4, 4, bias=False, rng=0), nn.BatchNorm1d(4, convention="cs231n"))
    net.eval()
    nn.average_statistics(net, BATCHES)
    hidden = [x @ net[0].weight.data for x in BATCHES]
    np.testing.assert_allclose(net[1].running_mean.data, np.mean([h.mean(0) for h in hidden], 0), rtol=1e-12)
    np.testing.assert_allclose(net[1].running_var.data, np.mean([h.var(0) for h in hidden], 0), rtol=1e-12)
    assert not net.training
    assert net[1].momentum == 0.9
    before = net.state_dict()
    with pytest.raises(ValueError, match="at least two values"):
        nn.average_statistics(net, [BATCHES[0], np.ones((1, 4))])
    with pytest.raises(ValueError, match="no batches"):
        nn.average_statistics(net, [])
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.ones((1, 4)), "at least two values a channel"),
        (np.ones((0, 4)), "at least two values a channel"),
        (np.ones((8, 3)), r"must be \(N, 4\)"),
        (np.ones((4,)), r"must be \(N, 4\)"),
        (np.full((3, 4), np.nan), "NaN or infinite values in 4 channel"),
        (np.array([[0, 1, 2, 3], [0, 1, np.inf, 3.0]]), "first in channel 2"),
        (np.array([[0, 0, 0, 1e200], [0, 0, 0, -1e200]]), "square overflows"),
    ],
)
@pytest.mark.parametrize("convention", ["torch", "paper"])
def test_a_bad_batch_changes_nothing(x: Any, text: str, convention: str):
    bn = nn.BatchNorm1d(4, convention=convention)
    bn(BATCHES[0])
    before = {name: array.tobytes() for name, array in bn.state_dict().items()}
    with pytest.raises(ValueError, match=text):
        bn(x)
    assert {name: array.tobytes() for name, array in bn.state_dict().items()} == before


def test_one_sample_is_enough_in_eval_and_statistics_stay():
    bn = nn.BatchNorm1d(4)
    bn(BATCHES[0])
    bn.eval()
    before = bn.running_mean.data.copy()
    assert bn(np.ones((1, 4))).shape == (1, 4)
    np.testing.assert_array_equal(bn.running_mean.data, before)
    bn.train()
    with nn.frozen_statistics():
        bn(BATCHES[1])
    np.testing.assert_array_equal(bn.running_mean.data, before)
    with mg.no_grad():  # as in PyTorch: recording is off, training is not
        bn(BATCHES[1])
    assert (bn.running_mean.data != before).all()


def test_a_check_leaves_running_statistics_alone():
    """It calls the layer hundreds of times; none of them counts."""
    bn = nn.BatchNorm1d(3)
    x = RNG.normal(size=(5, 3))
    before = bn.state_dict()
    assert mg.check.gradcheck(bn, [mg.tensor(x, requires_grad=True)])
    fused, composed = bn, nn.BatchNorm1d(3, implementation="composed")
    assert mg.check.compare(fused, composed, [x])
    mg.check.numerical_grad(lambda a: bn(a).numpy(), x, gradient=np.ones((5, 3)))
    for name, array in bn.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_eval_backward_is_not_the_training_formula():
    bn: Any = nn.BatchNorm1d(4)
    bn(BATCHES[0])
    x = mg.tensor(BATCHES[1], requires_grad=True)
    g = RNG.normal(size=(8, 4))
    expected = g * (bn.gamma.data / np.sqrt(bn.running_var.data + 1e-5))
    np.testing.assert_allclose(mg.grad(bn.eval()(x), x, gradient=g).data, expected, rtol=1e-13)


def test_statistics_do_not_alias_the_batch_and_keep_float32():
    x = BATCHES[0].astype(np.float32)
    bn = nn.BatchNorm1d(4, dtype=np.float32, convention="paper")
    assert bn(mg.tensor(x)).dtype == np.float32
    kept = bn.running_mean.data.copy()
    x[:] = 0
    np.testing.assert_array_equal(bn.running_mean.data, kept)
    assert bn.running_mean.dtype == bn.running_var.dtype == np.float32
    assert bn.running_mean.op is None


def test_float32_statistics_keep_their_digits_over_a_million_rows():
    x = np.random.default_rng(6).normal(100.0, 1.0, (1_000_000, 2)).astype(np.float32)
    bn = nn.BatchNorm1d(2, dtype=np.float32, convention="paper")
    bn(x)
    wide = x.astype(float)
    np.testing.assert_allclose(bn.running_mean.data, wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(bn.running_var.data, wide.var(0, ddof=1), rtol=1e-5)


def test_get_weights_has_keras_order_and_set_weights_is_all_or_nothing():
    bn: Any = nn.BatchNorm1d(4, convention="keras")
    gamma, beta, mean, var = bn.get_weights()
    for array, value in ((gamma, 1), (beta, 0), (mean, 0), (var, 1)):
        np.testing.assert_array_equal(array, np.full(4, value))
    bn.set_weights([np.arange(4.0), np.ones(4), np.zeros(4), np.full(4, 2.0)])
    np.testing.assert_array_equal(bn.gamma.data, np.arange(4.0))
    with pytest.raises(ValueError, match="expected gamma, beta, running_mean, running_var"):
        bn.set_weights([np.zeros(4), np.zeros(4), np.zeros(4)])
    with pytest.raises(ValueError, match="got shapes"):
        bn.set_weights([np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(3)])
    with pytest.raises(ValueError, match="no variance negative"):
        bn.set_weights([np.zeros(4), np.zeros(4), np.zeros(4), np.full(4, -1.0)])
    np.testing.assert_array_equal(bn.gamma.data, np.arange(4.0))
    assert len(nn.BatchNorm1d(4, affine=False).get_weights()) == 2


def test_a_bias_before_batch_norm_is_warned_about_and_has_no_gradient():
    net = nn.Sequential(nn.Linear(4, 3, rng=0), nn.BatchNorm1d(3))
    with pytest.warns(UserWarning, match="gradient is exactly zero"):
        y = net(mg.tensor(BATCHES[0]))
    bias = net[0].bias
    np.testing.assert_allclose(mg.grad(y, bias, gradient=RNG.normal(size=y.shape)).data, 0, atol=1e-13)
    net(mg.tensor(BATCHES[0]))  # once is enough
    quiet = nn.Sequential(nn.Linear(4, 3, rng=0), nn.BatchNorm1d(3, allow_bias=True))
    quiet(mg.tensor(BATCHES[0]))
    nn.MLP((4, 3, 3, 1), norm="batch", rng=0)(mg.tensor(BATCHES[0]))
    nn.MLP((4, 3, 3, 1), norm="batch", bias=True, rng=0)(mg.tensor(BATCHES[0]))


def test_layer_norm_is_the_same_in_both_modes_and_has_no_statistics():
    ln = nn.LayerNorm(4)
    x = BATCHES[0]
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(ln(x).data, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(ln.eval()(x).data, ln.train()(x).data)
    assert [name for name, _ in ln.named_tensors()] == ["gamma", "beta"]
    assert [name for name, _ in ln.named_parameters()] == ["gamma", "beta"]
    assert [name for name, _ in nn.BatchNorm1d(4).named_parameters()] == ["gamma", "beta"]
    assert nn.LayerNorm((4, 5))(np.ones((2, 4, 5))).shape == (2, 4, 5)
    np.testing.assert_array_equal(nn.LayerNorm(1)(np.ones((3, 1)) * 7).data, np.zeros((3, 1)))  # one feature: beta
    with pytest.raises(ValueError, match="must end in these axes"):
        ln(np.ones((3, 5)))


def test_modes_reach_every_part_and_dropout_knows_them():
    inner = nn.Dropout(0.5, rng=0)
    net = nn.Sequential(nn.Sequential(inner), nn.Tanh())
    net.eval()
    assert not inner.training
    x = np.ones((4, 4))
    np.testing.assert_array_equal(inner(x), x)
    assert net.train() is net
    assert set(np.unique(inner(x))) <= {0.0, 2.0}
    assert net.generators() == [inner.rng]


def test_parameters_are_found_where_they_are_and_shared_ones_once():
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.first = nn.Linear(3, 3, rng=0)
            self.again = self.first
            self.more = {"head": nn.Linear(3, 1, rng=1)}
            self.offset = mg.zeros(3, requires_grad=True)
            self.fixed = mg.zeros(3)
            self._private = mg.zeros(3, requires_grad=True)

    net = Twice()
    names = [name for name, _ in net.named_parameters()]
    assert names == ["offset", "first.weight", "first.bias", "more.head.weight", "more.head.bias"]
    assert {"fixed", "again.weight"} <= set(net.state_dict())
    net.first.weight.requires_grad = False  # frozen: still state, no parameter
    assert "first.weight" in net.state_dict()
    assert "first.weight" not in dict(net.named_parameters())
    with pytest.raises(NotImplementedError, match="Twice has no forward"):
        net(np.ones(3))


def test_save_and_load_round_trip_and_loading_is_all_or_nothing(tmp_path: Path):
    make = partial(nn.MLP, (4, 5, 2), norm="batch", convention="keras")
    net, other = make(rng=0), make(rng=1)
    net(BATCHES[0])
    path = tmp_path / "net.npz"
    net.save(path)
    other.load(path)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)
    first = path.read_bytes()
    net.save(path)
    assert path.read_bytes() == first  # the same state, the same bytes
    assert list(tmp_path.iterdir()) == [path]

    before = other.state_dict()
    state = net.state_dict()
    bad = [
        ({k: v for k, v in state.items() if k != "layers.1.running_var"}, "layers.1.running_var is missing"),
        (state | {"extra": np.zeros(1)}, "extra is not known"),
        (state | {"layers.3.bias": np.zeros(3)}, r"layers.3.bias is \(3,\) float64, expected \(2,\) float64"),
        (state | {"layers.3.bias": np.zeros(2, np.float32)}, "float32, expected"),
    ]
    for given, text in bad:
        with pytest.raises(ValueError, match=text):
            other.load_state_dict({name: array + 1 for name, array in given.items()})
    path.write_bytes(first[: len(first) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        other.load(path)
    np.save(tmp_path / "objects.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read"):
        other.load(tmp_path / "objects.npy")
    with pytest.raises(FileNotFoundError, match="no folder"):
        net.save(tmp_path / "nowhere" / "net.npz")
    with pytest.raises(TypeError, match="Python objects"):
        save_arrays(tmp_path / "x.npz", {"a": np.array([{}], dtype=object)})
    for name, array in before.items():
        np.testing.assert_array_equal(other.state_dict()[name], array)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["net.npz", "objects.npy"]


def test_initialisers_have_the_variance_that_they_promise():
    shape = (400, 300)
    for draw, variance in (
        (partial(nn.init.normal, scale=0.02), 0.02**2),
        (nn.init.kaiming_normal, 2 / 400),
        (nn.init.kaiming_uniform, 2 / 400),
        (partial(nn.init.kaiming_uniform, slope=1.0), 1 / 400),
        (nn.init.glorot_normal, 2 / 700),
        (nn.init.glorot_uniform, 2 / 700),
    ):
        weights = draw(shape, 0)
        np.testing.assert_allclose(weights.var(), variance, rtol=0.03)
        np.testing.assert_array_equal(weights, draw(shape, 0))
        with pytest.raises(ValueError):
            draw((3,), 0) if draw is not nn.init.normal and "normal" not in repr(draw) else draw((0, 0, -1), 0)
    legacy = nn.Linear(3, 2, rng=np.random.RandomState(220), init=partial(nn.init.normal, scale=0.5))
    np.testing.assert_array_equal(legacy.weight.data, 0.5 * np.random.RandomState(220).randn(3, 2))


def test_misuse_is_answered_with_what_to_do():
    three: Any = 3
    cases: list[tuple[Any, str]] = [
        (lambda: nn.Linear(3, 2), "pass a seed"),
        (lambda: nn.Linear(0, 2, rng=0), "at least 1"),
        (lambda: nn.BatchNorm1d(3, convention="tf"), "one of torch, keras, cs231n, paper"),
        (lambda: nn.BatchNorm1d(3, implementation="fast"), "'fused' or 'composed'"),
        (lambda: nn.BatchNorm1d(3, convention="paper", momentum=0.1), "no momentum"),
        (lambda: nn.BatchNorm1d(3, momentum=1.5), "0 .. 1"),
        (lambda: nn.BatchNorm1d(3, eps=-1e-5), "finite number >= 0"),
        (lambda: nn.MLP((3,), rng=0), "inputs and outputs"),
        (lambda: nn.MLP((3, 2), norm="group", rng=0), "'none', 'batch' or 'layer'"),
        (lambda: nn.MLP((3, 2), eps=1.0, rng=0), "would do nothing"),
        (lambda: nn.MLP((3, 2), activation="swish", rng=0), "one of relu"),
        (lambda: nn.Dropout(1.0, rng=0), "0 <= p < 1"),
        (lambda: nn.Sequential(three), "a Module or a function"),
    ]
    for make, text in cases:
        with pytest.raises((ValueError, TypeError), match=text):
            make()


def test_an_mlp_has_the_layers_that_it_names():
    def kinds(**options: Any) -> list[str]:
        return [type(layer).__name__ for layer in nn.MLP((4, 5, 6, 2), rng=0, **options).layers]

    assert kinds() == ["Linear", "ReLU"] * 2 + ["Linear"]
    assert kinds(norm="batch", activation="tanh") == ["Linear", "BatchNorm1d", "Tanh"] * 2 + ["Linear"]
    assert kinds(norm="layer", dropout=0.5) == ["Linear", "LayerNorm", "ReLU", "Dropout"] * 2 + ["Linear"]
    for norm, hidden in (("none", True), ("layer", True), ("batch", False)):
        net: Any = nn.MLP((4, 5, 6, 2), norm=norm, rng=0)
        biases = [layer.bias is not None for layer in net.layers if isinstance(layer, nn.Linear)]
        assert biases == [hidden, hidden, True]
    net = nn.MLP((4, 5, 2), norm="layer", rng=0, eps=0.5, implementation="composed", dtype=np.float32)
    assert (net[1].eps, net[1].implementation, net[1].gamma.dtype) == (0.5, "composed", np.float32)
    assert nn.MLP((4, 5, 2), bias=False, rng=0)[2].bias is None


def test_copies_are_independent():
    net = nn.MLP((4, 5, 2), norm="batch", dropout=0.5, rng=0)
    twin = copy.deepcopy(net)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(twin.state_dict()[name], array)
    assert [w.requires_grad for w in twin.parameters()] == [True] * len(net.parameters())
    twin(BATCHES[0])
    assert net[1].updates.item() == 0
    assert not set(net.parameters()) & set(twin.parameters())


def test_repr_shows_the_convention():
    assert "convention='cs231n'" in repr(nn.MLP((2, 3, 1), norm="batch", convention="cs231n", rng=0))
    assert repr(nn.LeakyReLU()) == "LeakyReLU(slope=0.01)"


def test_fused_and_composed_networks_have_the_same_gradients():
    nets = [nn.MLP((4, 6, 3), norm="batch", implementation=kind, rng=0) for kind in ("fused", "composed")]
    grads = []
    with warnings.catch_warnings():
        for net in nets:
            loss = mg.cross_entropy(net(mg.tensor(BATCHES[0])), np.arange(8) % 3)
            grads.append(mg.grad(loss, net.parameters()))
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-13)
