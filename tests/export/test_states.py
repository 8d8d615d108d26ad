"""Weights in PyTorch's names and layouts and in Keras' order, and the way back: all or nothing."""

import numpy as np
import pytest

import minigrad as mg

export = mg.export


def net_for(norm="batch", **options):
    net = mg.nn.MLP((4, 8, 3), norm=norm, rng=0, **options)
    for k in range(4):
        net(mg.tensor(np.random.default_rng(k).normal(1.0, 2.0, size=(9, 4))))
    return net


class Nested(mg.nn.Module):
    def __init__(self):
        self.first = mg.nn.Sequential(mg.nn.Linear(2, 3, rng=0), mg.relu)
        self.blocks = [mg.nn.Linear(3, 3, bias=False, rng=1), mg.nn.LayerNorm(3)]
        self.scale = mg.ones(1, requires_grad=True)


def test_names_and_layouts_are_pytorchs():
    state = export.torch_state(net_for())
    assert {name: a.shape for name, a in state.items()} == {
        "0.weight": (8, 4), "1.weight": (8,), "1.bias": (8,), "1.running_mean": (8,), "1.running_var": (8,),
        "1.num_batches_tracked": (), "3.weight": (3, 8), "3.bias": (3,),
    }  # fmt: skip
    assert state["1.num_batches_tracked"] == 4
    assert list(export.torch_state(Nested())) == [
        "first.0.weight", "first.0.bias", "blocks.0.weight", "blocks.1.weight", "blocks.1.bias", "scale",
    ]  # fmt: skip


def test_what_is_handed_over_is_a_copy():
    net = net_for()
    for arrays in (export.torch_state(net).values(), export.keras_weights(net)):
        before = net.state_dict()
        for array in arrays:
            array[...] = 0
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize(
    ("out", "back"),
    [(export.torch_state, export.from_torch_state), (export.keras_weights, export.from_keras_weights)],
    ids=["torch", "keras"],
)
def test_there_and_back(norm, out, back, rng):
    options = {} if norm != "batch" else {"bias_correction": True}
    net, other = net_for(norm, **options), mg.nn.MLP((4, 8, 3), norm=norm, rng=1, dtype=np.float32)
    back(other, out(net))
    x = rng.normal(size=(5, 4))
    expected = net.eval()(mg.tensor(x)).data
    np.testing.assert_allclose(other.eval()(mg.tensor(x.astype(np.float32))).data, expected, rtol=2e-4, atol=1e-5)
    assert all(p.dtype == np.float32 for p in other.parameters())


def test_keras_order():
    net = net_for(convention="keras")
    kernel, gamma, beta, mean, var, kernel2, bias2 = export.keras_weights(net)
    bn = net[1]
    for array, own in zip((kernel, gamma, beta, mean, var, kernel2, bias2), (
        net[0].weight, bn.gamma, bn.beta, bn.running_mean, bn.running_var, net[3].weight, net[3].bias), strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(array, own.data)
    assert [a.shape for a in export.keras_weights(mg.nn.LayerNorm(5))] == [(5,), (5,)]


def test_statistics_are_those_that_eval_uses(rng):
    """A short training under bias correction: what is handed over needs none any more."""
    net = net_for(convention="keras", bias_correction=True)
    other = mg.nn.MLP((4, 8, 3), norm="batch", convention="keras", bias_correction=True, rng=1)
    export.from_keras_weights(other, export.keras_weights(net))
    x = mg.tensor(rng.normal(size=(5, 4)))
    np.testing.assert_allclose(other.eval()(x).data, net.eval()(x).data, rtol=1e-12)
    assert not np.allclose(export.keras_weights(net)[3], net[1].running_mean.data)


def test_what_does_not_fit_changes_nothing():
    net = net_for()
    before = net.state_dict()
    good = export.torch_state(net)
    wrong = {**good, "0.weight": good["0.weight"].T, "extra": np.ones(2), "3.bias": np.array(["a", "b", "c"])}
    del wrong["1.bias"]
    weights = export.keras_weights(net)
    for call, message in (
        (lambda: export.from_torch_state(net, wrong), r"1\.bias is missing; extra is not known; 0\.weight is"),
        (
            lambda: export.from_torch_state(net, {**good, "0.weight": good["0.weight"].T}),
            r"\(4, 8\) float64, expected \(8, 4\)",
        ),
        (
            lambda: export.from_torch_state(net, {**good, "3.bias": np.array(["a"] * 3)}),
            r"is \(3,\) <U1, expected",
        ),
        (
            lambda: export.from_torch_state(net, {**good, "1.num_batches_tracked": np.array(0.5)}),
            r"expected \(\) int64",
        ),
        (lambda: export.from_keras_weights(net, weights[:-1]), r"layers\.3\.bias \(3,\); got shapes \(4, 8\)"),
        (lambda: export.from_keras_weights(net, []), "got shapes of nothing"),
        (lambda: export.from_keras_weights(net, weights[::-1]), "nothing was changed"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match=r"Nested has scale of its own, and Keras' order knows"):
        export.keras_weights(Nested())
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    without_count = {name: a for name, a in good.items() if not name.endswith("tracked")}
    export.from_torch_state(net, without_count)
