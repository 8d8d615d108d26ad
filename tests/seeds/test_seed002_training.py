"""Seed 002, the cs231n notebook: its net and its trainings. The rows that need CIFAR-10 need the project's subset.

The subset is looked for at MINIGRAD_CIFAR10, else beside the repository in ../shared/data. All twenty weight scales
are run with MINIGRAD_LONG=1 (a minute and a half on two cores); the normal run takes two of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from examples import cs231n_batchnorm as notebook
from examples.cs231n import cells, experiments, plots, source
from examples.cs231n.net import FullyConnectedNet
from examples.cs231n.solver import Job, Placed, place, solve
from minigrad._support.randomness import restore

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "cifar10_cs231n_subset.npz"
SUBSET = Path(os.environ.get("MINIGRAD_CIFAR10", BESIDE))
needs_cifar = pytest.mark.skipif(not SUBSET.exists(), reason="no CIFAR-10 subset: set MINIGRAD_CIFAR10 to its path")
LONG = bool(os.environ.get("MINIGRAD_LONG"))


@pytest.fixture(scope="module")
def cifar() -> source.Data:
    return source.load(str(SUBSET))


# cells that compute without training --------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["forward", "backward", "alternative", "net-check"])
def test_the_cells_print_the_printed_numbers(command: str, capsys: Any):
    """Rows 002-5 to 002-12: the commands compare with the printed numbers themselves, and fail if one is missed."""
    assert notebook.main([command]) == 0
    out = capsys.readouterr().out
    assert " NO" not in out
    assert "PRINTED" not in out


def test_layer_norm_cells(capsys: Any):
    """Rows 002-24 and 002-25."""
    assert cells.layer_norm()
    assert "PRINTED" not in capsys.readouterr().out


def test_the_cells_notice_a_wrong_number(capsys: Any):
    assert not cells._show("", np.array([[1.0, 2.0], [3.0, 4.0]]), 0, {"means": [2.0, 3.00000001]})
    assert cells._show("", np.array([[1.0, 2.0], [3.0, 4.0]]), 0, {"means": [2.0, 3.0], "stds": [1.0, 1.0]})
    assert not cells._gradient_check(
        lambda x, gamma, beta: mg.batch_norm(x, gamma, beta) * 1.001,
        cells._staged_batch_norm,
        dict.fromkeys(("dx", "dgamma", "dbeta"), 0.0),
    )
    assert "NO" in capsys.readouterr().out


def test_both_initial_losses():
    """Row 002-12; the second net continues the stream of the first."""
    rng = np.random.RandomState(220)
    X, y = rng.randn(2, 15), rng.randint(10, size=(2,))
    for reg, expected in ((0.0, 2.609886575288241), (3.14, 7.008456540025971)):
        net = FullyConnectedNet(
            [20, 30], rng=rng, input_dim=15, reg=reg, weight_scale=5e-2, dtype=np.float64, normalization="batchnorm"
        )
        loss, grads = net.loss(X, y)
        np.testing.assert_allclose(loss, expected, rtol=0, atol=1e-12)
        names = [f"{kind}{k}" for k in (1, 2, 3) for kind in ("W", "b")] + ["beta1", "beta2", "gamma1", "gamma2"]
        assert sorted(grads) == sorted(names)
        for name in ("b1", "b2"):  # they feed a batch norm: exactly zero, up to rounding
            np.testing.assert_allclose(grads[name], 0, rtol=0, atol=1e-14)


def test_the_net_normalizes_before_each_activation_and_not_after_the_last_affine():
    """Row 002-11."""
    for normalization in (None, "batchnorm", "layernorm"):
        net = FullyConnectedNet([7, 6], rng=np.random.RandomState(0), input_dim=5, normalization=normalization)
        assert len(net.affine) == 3
        assert len(net.norm) == (2 if normalization else 0)
        assert net.params["W1"].dtype == np.float32
        ops = []
        node: Any = net(mg.ones((4, 5), dtype=np.float32))
        while node.op is not None:
            ops.append(node.op.name)
            node = node.inputs[0]
        norm = {None: [], "batchnorm": ["batch_norm"], "layernorm": ["layer_norm"]}[normalization]
        assert ops == ["add", "matmul"] + 2 * ["leaky_relu", *norm, "add", "matmul"]
    with pytest.raises(ValueError, match="must be one of"):
        FullyConnectedNet([7], rng=np.random.RandomState(0), normalization="groupnorm")


def test_the_stream_can_be_cut_at_every_net():
    """What a net draws does not depend on whether the nets before it were trained, so every one can run by itself."""
    jobs = [Job("batchnorm", (4,), batch_size=3, epochs=2), Job(None, (5,), batch_size=7, epochs=2)]
    placed = place([jobs, jobs[:1]], 220, 20, 6)
    rng, mine = np.random.RandomState(220), np.random.RandomState(0)
    rng.randn(6, 4)
    rng.randn(4, 10)
    second = rng.randn(6, 5)
    restore(mine, placed[1].weights)
    np.testing.assert_array_equal(mine.randn(6, 5), second)
    rng.randn(5, 10)
    first_batches = [rng.choice(20, 3) for _ in range(2 * 6)]
    restore(mine, placed[0].batches)
    np.testing.assert_array_equal([mine.choice(20, 3) for _ in range(12)], first_batches)
    batch = rng.choice(20, 7)
    restore(mine, placed[1].batches)
    np.testing.assert_array_equal(mine.choice(20, 7), batch)
    restore(mine, placed[2].weights)
    for _ in range(3):
        rng.choice(20, 7)
    np.testing.assert_array_equal(mine.randn(6, 4), rng.randn(6, 4))


# cells 8 and 9 ------------------------------------------------------------------------------------------------


@needs_cifar
def test_deep_prints_the_notebooks_log(tmp_path: Path, capsys: Any):
    """Rows 002-14 to 002-17, by the command's own comparison and once more by hand."""
    pytest.importorskip("matplotlib")
    assert notebook.main(["deep", "--data", str(SUBSET), "--out", str(tmp_path), "--seed", "220"]) == 0
    out = capsys.readouterr().out
    for line in (
        "(Iteration 1 / 200) loss: 2.315319",
        "(Epoch 0 / 10) train acc: 0.124000; val_acc: 0.147000",
        "(Iteration 1 / 200) loss: 2.302857",
        "(Epoch 0 / 10) train acc: 0.132000; val_acc: 0.144000",
    ):
        assert line in out
    lines = [line for line in out.splitlines() if line.startswith("(")]
    assert len(lines) == 2 * (10 + 11)
    plain = [float(line.rsplit(" ", 1)[1]) for line in lines[21:] if line.startswith("(Iteration")]
    np.testing.assert_allclose(plain[:3], [2.302857, 2.028712, 1.904616], rtol=0, atol=experiments.BAND)
    exactly, _, banded = out.partition("What was trained above")
    assert "The exact comparison, with the reference kernels" in exactly
    assert exactly.count("plain, loss at iteration 21") == banded.count("plain, loss at iteration 21") == 1
    assert "held to bands" in banded
    assert (tmp_path / "deep.png").stat().st_size > 10_000


@needs_cifar
def test_without_batch_norm_the_first_loss_is_that_of_guessing(cifar: source.Data):
    """Row 002-16: ln 10."""
    (placed,) = place([[Job(None, epochs=1, updates=1)]], 220, 1000, cifar.dim)
    np.testing.assert_allclose(solve(placed, cifar)["loss"][0], np.log(10), atol=1e-3)


@needs_cifar
@pytest.mark.parametrize("normalization", [None, "batchnorm"])
def test_a_replayed_training_is_the_training(cifar: source.Data, normalization: Any):
    (placed,) = place([[Job(normalization, epochs=1, updates=8)]], 220, 1000, cifar.dim)
    eager = solve(placed, cifar)
    assert solve(placed, cifar, replay=True) == eager
    if find_spec("llvmlite") is not None:
        np.testing.assert_allclose(solve(placed, cifar, replay="compiled")["loss"], eager["loss"], rtol=1e-4)


# sweeps -------------------------------------------------------------------------------------------------------


@needs_cifar
def test_batch_norm_is_less_sensitive_to_the_scale_of_the_weights(cifar: source.Data, tmp_path: Path):
    """Rows 002-18 to 002-20, at both ends of the range; all twenty with MINIGRAD_LONG=1."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("joblib")
    values = np.logspace(-4, 0, num=20).tolist()
    chosen = values if LONG else [values[0], values[14]]
    rounds = [
        [Job(name, experiments.EIGHT, scale, epochs=10 if LONG else 4) for name in ("batchnorm", None)]
        for scale in chosen
    ]
    results = experiments._sweep(rounds, cifar, tmp_path, 220, -1)
    best = [(max(a["train_acc"]), max(b["train_acc"])) for a, b in zip(results[::2], results[1::2], strict=True)]
    assert best[0][0] > best[0][1] + 0.05  # tiny weights: without batch norm nothing is learned
    assert best[0][1] < 0.2
    assert best[14 if LONG else 1][1] > 0.35  # near 0.1 both learn
    assert best[14 if LONG else 1][0] > 0.35
    if LONG:
        assert plots.final_loss(results[-1]) > 1e3  # at scale 1 the plain net's loss is astronomical
        assert plots.final_loss(results[-2]) < 10


@pytest.mark.parametrize(
    ("command", "more", "plot"),
    [
        ("deep", [], "deep.png"),
        ("weight-scale", ["--points", "2", "--jobs", "1"], "weight-scale.png"),
        ("learning-rate", ["--points", "2", "--jobs", "1"], "learning-rate.png"),
        ("batch-size", ["--equal-updates", "10", "--jobs", "1"], "batch-size-equal-updates.png"),
        ("layer-norm", ["--equal-updates", "10", "--jobs", "1"], "layer-norm-equal-updates.png"),
    ],
)
def test_the_experiments_run_on_digits_and_say_so(
    tmp_path: Path, capsys: Any, command: str, more: list[str], plot: str
):
    for package in ("sklearn", "matplotlib", "joblib"):
        pytest.importorskip(package)
    assert notebook.main([command, "--out", str(tmp_path), "--epochs", "1", *more]) == 0
    out = capsys.readouterr().out
    assert "scikit-learn's digits" in out
    assert (tmp_path / plot).exists()
    if command == "deep":
        assert "nothing to compare with" in out


def test_it_runs_as_a_file_too(tmp_path: Path):
    command = [sys.executable, str(Path(notebook.__file__)), "net-check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2.609886575288241" in done.stdout


def test_equal_updates_means_equal_updates():
    """Row 002-21: ten epochs are 2000, 1000 and 200 updates; the option gives every size the same number."""
    sizes = experiments.BATCH_SIZES
    assert [10 * Job(None, batch_size=size).steps(1000) for size in sizes] == [2000, 1000, 200]
    assert [10 * Job(None, batch_size=size, updates=500).steps(1000) for size in sizes] == [500, 500, 500]


def test_a_run_that_diverges_is_a_result():
    pytest.importorskip("sklearn")
    digits = source.load(None)
    job = Job(None, (10,), weight_scale=1e25, epochs=1)
    (placed,) = place([[job]], 220, 1000, digits.dim)
    result = experiments.run(
        digits,
        {experiments._name(job): (placed.weights, placed.batches)},
        **{**job.__dict__, "hidden": [10], "seed": 220, "data": ""},
    )
    assert "not finite" in result["diverged"]
    assert plots.final_loss(result) == np.inf
    assert isinstance(placed, Placed)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "is not there; CIFAR-10 comes from"),
        ({"X_train": np.zeros(3)}, "has no y_train, X_val, y_val, mean_image_49000"),
        (
            {
                "X_train": np.zeros((10, 3, 32, 32), np.uint8),
                "y_train": np.zeros(10, int),
                "X_val": np.zeros((2, 3, 32, 32), np.uint8),
                "y_val": np.zeros(2, int),
                "mean_image_49000": np.zeros((3, 32, 32)),
            },
            "has 10 training images, 1000 are needed",
        ),
        (b"nonsense", "cannot be read"),
    ],
)
def test_wrong_data_is_explained(tmp_path: Path, capsys: Any, content: Any, text: str):
    path = tmp_path / "data.npz"
    if isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        path.write_bytes(content)
    out = tmp_path / "out"
    assert notebook.main(["deep", "--data", str(path), "--out", str(out)]) == 2
    assert text in capsys.readouterr().err
    assert not out.exists()
