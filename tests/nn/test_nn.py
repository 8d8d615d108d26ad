"""Modules and layers: networks beside PyTorch's, state that is saved and loaded whole or not at all, misuse."""

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

from .batches import BATCHES


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


def test_options_of_layers_are_looked_at():
    """Each at another value than its default."""
    x = np.array([[-2.0, 1.0, 3.0], [4.0, -1.0, 0.5]])
    np.testing.assert_allclose(nn.LeakyReLU(0.3)(x), np.where(x > 0, x, 0.3 * x), rtol=1e-15)
    for eps in (1e-5, 0.5):
        expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps)
        for implementation in ("fused", "composed"):
            layer = nn.LayerNorm(3, eps=eps, implementation=implementation)
            np.testing.assert_allclose(layer(x).data, expected, rtol=1e-12)
    for make in (lambda **options: nn.LayerNorm(3, **options), lambda **options: nn.BatchNorm1d(3, **options)):
        names = {(scale, center): [name for name, _ in make(scale=scale, center=center).named_parameters()]
                 for scale in (True, False) for center in (True, False)}  # fmt: skip
        both = {(True, True): ["gamma", "beta"], (True, False): ["gamma"], (False, True): ["beta"], (False, False): []}
        assert names == both


def test_statistics_that_move_count_as_written():
    bn = nn.BatchNorm1d(4)
    bn(BATCHES[0])
    x = mg.tensor(BATCHES[1], requires_grad=True)
    y = bn.eval()(x).sum()
    bn.train()(BATCHES[2])
    with pytest.raises(RuntimeError, match="but that memory was written"):
        y.backward()
