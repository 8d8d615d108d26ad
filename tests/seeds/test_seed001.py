"""Seed 001, the Keras slides: what they print of a batch-norm layer, and what can be said of its trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from examples import keras_blobs
from minigrad import nn, optim, training


def test_a_layer_begins_with_the_printed_weights():
    """Row 001-6."""
    weights = nn.BatchNorm1d(4, convention="keras").get_weights()
    for array, value in zip(weights, (1.0, 0.0, 0.0, 1.0), strict=True):
        np.testing.assert_array_equal(array, np.full(4, value))


@pytest.mark.parametrize("implementation", ["fused", "composed"])
def test_the_printed_weights_give_the_printed_outputs(implementation: str):
    """Rows 001-7 and 001-8: inputs of three decimals, so 2e-3."""
    printed: Any = keras_blobs.PRINTED
    layer = nn.BatchNorm1d(4, convention="keras", implementation=implementation)
    layer.set_weights([printed[name] for name in ("gamma", "beta", "mean", "var")])
    h = np.array(printed["h"])
    r = layer.eval()(h).numpy()
    np.testing.assert_allclose(r, printed["r"], rtol=0, atol=2e-3)
    gamma, beta, mean, var = layer.get_weights()
    np.testing.assert_allclose(gamma * (h - mean) / np.sqrt(var + 0.001) + beta, r, rtol=1e-12)


def test_a_training_moves_the_averages_as_keras_rule_says():
    """Rows 001-5 and 001-11, step by step: 100 updates, none of them in eval mode."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 3)), rng.integers(0, 2, (100, 1)).astype(float)
    hidden, bn = nn.Linear(3, 4, bias=False, rng=rng), nn.BatchNorm1d(4, convention="keras")
    net = nn.Sequential(hidden, bn, nn.ReLU(), nn.Linear(4, 1, rng=rng), nn.Sigmoid())
    mean, var, weight = np.zeros(4), np.ones(4), hidden.weight.data.copy()

    def follow(run: training.Run) -> None:
        nonlocal mean, var, weight
        if run.event == "step":
            h = x[batches.pop(0)] @ weight
            mean, var = mean * 0.99 + h.mean(0) * 0.01, var * 0.99 + h.var(0) * 0.01
            np.testing.assert_allclose(bn.running_mean.data, mean, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(bn.running_var.data, var, rtol=1e-12)
            weight = hidden.weight.data.copy()

    batches: list[Any] = []

    def sampler(n: int, source: Any) -> Any:
        for index in np.split(source.permutation(n), 10):
            batches.append(index)
            yield index

    adam = optim.Adam(net.parameters(), lr=0.001, eps=1e-7)
    training.fit(net, mg.mse_loss, adam, (x, y), epochs=10, sampler=sampler, callbacks=[follow], progress=False)
    assert bn.updates.item() == 100


def test_the_custom_layer_is_batch_norm_and_updates_in_training_only():
    """Rows 001-10 and 001-11: the variance starts at 0, and a call in eval mode writes nothing."""
    custom, layer = keras_blobs.MyBatchNorm(3), nn.BatchNorm1d(3, convention="keras", eps=1e-5)
    assert sorted(custom.state_dict()) == ["beta", "gamma", "mean_ema", "var_ema"]
    assert [name for name, _ in custom.named_parameters()] == ["gamma", "beta"]
    np.testing.assert_array_equal(custom.var_ema.data, 0)
    layer.set_weights([np.ones(3), np.zeros(3), np.zeros(3), np.zeros(3)])
    x = mg.tensor(np.random.default_rng(0).normal(2.0, 3.0, (6, 3)), requires_grad=True)
    g = np.random.default_rng(1).normal(size=(6, 3))
    ours, theirs = custom(x), layer(x)
    np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        mg.grad(ours, x, gradient=g).data, mg.grad(theirs, x, gradient=g).data, rtol=1e-10, atol=1e-13
    )
    before = custom.state_dict()
    np.testing.assert_allclose(custom.eval()(x).data, layer.eval()(x).data, rtol=1e-12)
    for name, array in custom.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_best_possible_accuracy_on_the_blobs():
    """Row 001-9: two clouds 0.51 apart with deviation 0.25; the nearer center is right on 84.6 %."""
    pytest.importorskip("sklearn")
    np.testing.assert_allclose(keras_blobs.BAYES, 0.846, atol=5e-4)
    x, y = mg.data.make_blobs(100_000, seed=0)
    nearer = np.linalg.norm(x - [0.5, 0.1], axis=1) < np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(np.mean(nearer == y), keras_blobs.BAYES, atol=0.004)
    x_train, x_test, y_train, _ = keras_blobs.blobs(0)
    assert (x_train.shape, x_test.shape, y_train.shape) == ((750, 2), (250, 2), (750, 1))


def test_correcting_the_averages_narrows_the_gap_of_the_one_hidden_layer():
    """Row 001-12: 150 updates at 0.99 leave 22 % of the start value in the averages."""
    pytest.importorskip("sklearn")
    gaps = []
    for seed in range(3):
        net = nn.MLP((2, 128, 1), norm="batch", convention="keras", rng=seed)
        history, _, test = keras_blobs._train(net, seed, 50)
        assert history["step"][-1] == 150
        net[1].bias_correction = True
        fresh = training.evaluate(net, *test, keras_blobs.bce, [training.binary_accuracy])
        gaps.append((history["val_loss"][-1] - history["loss"][-1], fresh["loss"] - history["loss"][-1]))
        assert 0.27 < history["loss"][-1] < 0.40
        assert 0.78 < fresh["binary_accuracy"] < 0.90  # 0.846 is the best possible
    np.testing.assert_allclose(net[1].start_share.item(), 0.99**150, rtol=1e-12)
    stale, corrected = np.mean(gaps, axis=0)
    assert corrected < stale


@pytest.mark.parametrize(
    ("part", "more", "files"),
    [
        ("observe", [], []),
        ("one-hidden", ["--epochs", "3"], ["one-hidden.png"]),
        ("deep", ["--epochs", "2"], ["deep-runs", "deep.png"]),
        ("shift", ["--epochs", "3"], ["shift.png"]),
    ],
)
def test_the_example_runs(tmp_path: Path, capsys: Any, part: str, more: list[str], files: list[str]):
    for package in ("sklearn", "matplotlib", "joblib"):
        pytest.importorskip(package)
    assert keras_blobs.main([part, "--out", str(tmp_path), "--seeds", "1", *more]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    if part == "observe":
        assert "largest difference to the printed r: 1.3e-03" in capsys.readouterr().out
