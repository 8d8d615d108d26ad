"""`minigrad train`, and the example for newcomers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import train_mlp
from minigrad._support.files import load_arrays, save_arrays
from minigrad.cli import main, parser
from minigrad.cli.train import with_replay

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.mark.parametrize(
    "options",
    [
        ["--norm", "batch", "--convention", "keras", "--bias-correction"],
        ["--norm", "layer", "--optimizer", "adamw", "--weight-decay", "0.1"],
        ["--norm", "none", "--dropout", "0.1", "--clip-norm", "1", "--dtype", "float64", "--replay"],
    ],
)
@pytest.mark.parametrize("name", ["blobs", "digits"])
def test_it_trains_and_writes_what_was_asked_for(name: str, options: list[str], tmp_path: Path, capsys: Any):
    files = [f"--{kind}={tmp_path / file}" for kind, file in (("plot", "h.svg"), ("csv", "h.csv"), ("save", "w.npz"))]
    assert main(["train", name, "--epochs", "2", "--hidden", "16,8", *options, *files]) == 0
    out = capsys.readouterr().out
    assert "validation accuracy" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h.csv", "h.svg", "w.npz"]
    dtype = np.float64 if "float64" in options else np.float32
    assert load_arrays(tmp_path / "w.npz")["layers.0.weight"].dtype == dtype


def test_cifar10_from_arrays(tmp_path: Path, capsys: Any):
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        f"X_{part}": rng.integers(0, 256, (20, 3, 32, 32)).astype(np.uint8) for part in ("train", "val")
    }
    arrays |= {f"y_{part}": np.arange(20, dtype=np.uint8) % 10 for part in ("train", "val")}
    save_arrays(tmp_path / "c.npz", arrays)
    args = [
        "train",
        "cifar10",
        "--data",
        str(tmp_path / "c.npz"),
        "--epochs",
        "1",
        "--hidden",
        "5",
        "--batch-size",
        "5",
    ]
    assert main(args) == 0
    assert "3072 features" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["cifar10"], "needs --data; it comes from https://www.cs.toronto.edu"),
        (["cifar10", "--data", "nowhere"], "has no data_batch_1"),
        (["digits", "--data", "x"], "--data is for cifar10"),
        (["digits", "--hidden", "3,x"], "--hidden '3,x': expected numbers"),
        (["digits", "--norm", "layer", "--convention", "keras"], "are batch norm's"),
        (["digits", "--convention", "paper", "--bias-correction"], "needs no correction"),
        (["digits", "--batch-size", "1"], "batch norm cannot train on one sample"),
        (["digits", "--epochs", "0"], "--epochs 0"),
        (["digits", "--lr", "-1"], "--lr -1.0"),
        (["digits", "--seed", "-1"], "a seed is an integer"),
        (["digits", "--save", "no/such/w.npz"], "its folder does not exist"),
        (["digits", "--plot", "history.txt"], "the ending must be one of .png, .svg, .pdf"),
    ],
)
def test_wrong_input_ends_with_one_line_and_status_2(options: list[str], text: str, capsys: Any):
    assert main(["train", *options]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.startswith("minigrad: ")
    assert error.count("\n") == 1


def test_divergence_is_told_and_ends_with_status_1(capsys: Any):
    assert main(["train", "digits", "--norm", "none", "--optimizer", "sgd", "--lr", "1e30", "--epochs", "2"]) == 1
    assert "the loss is not finite. The first cause:" in capsys.readouterr().out


def test_an_interrupted_run_goes_on(tmp_path: Path, capsys: Any):
    args = ["train", "digits", "--hidden", "8", "--checkpoint", str(tmp_path / "c.npz")]
    assert main([*args, "--epochs", "1"]) == 0
    assert main([*args, "--epochs", "2"]) == 0
    assert "epoch 1/2" not in capsys.readouterr().err.split("epoch 1/1")[1]


def test_the_newcomers_example_fits_a_page_and_runs(tmp_path: Path, capsys: Any):
    source = Path(train_mlp.__file__).read_text()
    assert len(source.splitlines()) <= 60
    assert train_mlp.main(["--epochs", "3", "--plot", str(tmp_path / "digits.png")]) == 0
    out = capsys.readouterr().out
    accuracy = float(out.split("accuracy on the test images: ")[1].split()[0])
    assert accuracy > 0.93
    assert (tmp_path / "digits.png").exists()


def test_replay_takes_only_its_own_word():
    parse = parser().parse_args
    for argv, dataset, replay in (
        (["train", "--replay", "digits"], "digits", True),
        (["train", "digits", "--replay"], "digits", True),
        (["train", "digits", "--replay", "--epochs", "2"], "digits", True),
        (["train", "--replay", "compiled", "digits"], "digits", "compiled"),
        (["train", "digits", "--replay=compiled"], "digits", "compiled"),
        (["train", "digits"], "digits", False),
    ):
        args = parse(with_replay(argv))
        assert (args.dataset, args.replay) == (dataset, replay)
