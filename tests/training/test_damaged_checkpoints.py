"""Checkpoints that were damaged, that others write, that came from somewhere: refused by name, and nothing changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import nn, optim
from minigrad._support.files import load_arrays, save_arrays
from minigrad._support.randomness import state_of

from .._support.test_files import damaged
from .small import fit, parts


def everything(net: nn.Module, optimizer: optim.Optimizer, rng: Any) -> dict[str, Any]:
    """All that a checkpoint would put back."""
    return {**net.state_dict(), **optimizer.state_dict(), "rng": np.array(state_of(rng))}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_damaged_checkpoints_are_refused_by_name_and_nothing_changes(tmp_path: Path):
    """Cut off, bits flipped, bytes taken out and put in: 2,000 copies with MINIGRAD_LONG=1, else 100."""
    copies = 2000 if os.environ.get("MINIGRAD_LONG") else 100
    path, damage, refused = tmp_path / "run.npz", np.random.default_rng(0), 0
    net, loss, optimizer = parts(dropout=0.2)
    fit(net, loss, optimizer, checkpoint=path, seed=np.random.default_rng(5), epochs=2)
    good = path.read_bytes()
    for k in range(copies):
        rng = np.random.default_rng(5)
        net, loss, optimizer = parts(dropout=0.2)
        before, said = everything(net, optimizer, rng), ""
        path.write_bytes(damaged(good, k, damage))
        try:
            fit(net, loss, optimizer, checkpoint=path, seed=rng, epochs=2)  # nothing to train: it is loaded, or refused
        except ValueError as error:
            said = str(error)
        refused += bool(said)
        if said:
            assert str(path) in said
            assert len(said) < 3000
            assert same(everything(net, optimizer, rng), before)
    assert refused > 0.8 * copies


def rewritten(path: Path, name: str, value: Any) -> None:
    arrays = load_arrays(path)
    assert name in arrays
    save_arrays(path, {**arrays, name: np.array(value)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("generators/0", "{}"),
        ("generators/0", "[1]"),
        ("generators/0", "null"),
        ("generators/1", '{"bit_generator": "PCG64", "state": {"state": -1, "inc": 1}}'),
        ("optimizer/group.0.lr", -1.0),
        ("optimizer/group.0.lr", np.nan),
        ("optimizer/group.0.betas", (2.0, 2.0)),
        ("optimizer/param.0.step", -5),
        ("model/layers.1.running_var", np.full(6, -1.0)),
        ("history/loss", "text"),
        ("history/epochs.epoch", [1.0]),
        ("history/best", 77.0),
        ("run", "{}"),
        ("run", "\x1b[31m"),
    ],
)
def test_odd_values_are_refused_whole(tmp_path: Path, name: str, value: Any):
    path, rng = tmp_path / "run.npz", np.random.default_rng(5)
    options: dict[str, Any] = {"checkpoint": path, "val": training_data(), "epochs": 2}
    net, loss, optimizer = parts(dropout=0.2)
    fit(net, loss, optimizer, seed=np.random.default_rng(5), **options)
    rewritten(path, name, value)
    net, loss, optimizer = parts(dropout=0.2)
    before = everything(net, optimizer, rng)
    with pytest.raises(ValueError, match=r"run\.npz") as caught:
        fit(net, loss, optimizer, seed=rng, **options)
    assert str(caught.value).isprintable()
    assert same(everything(net, optimizer, rng), before)


def training_data() -> Any:
    rng = np.random.default_rng(1)
    return rng.normal(size=(8, 4)), rng.integers(0, 3, 8)


def test_ctrl_c_while_a_checkpoint_is_loaded_leaves_nothing_half_loaded(tmp_path: Path, monkeypatch):
    path, rng = tmp_path / "run.npz", np.random.default_rng(5)
    net, loss, optimizer = parts(dropout=0.2)
    fit(net, loss, optimizer, checkpoint=path, seed=np.random.default_rng(5), epochs=2)
    net, loss, optimizer = parts(dropout=0.2)
    before, load, calls = everything(net, optimizer, rng), optim.Adam.load_state_dict, []

    def interrupted(self: Any, state: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        load(self, state)

    monkeypatch.setattr(optim.Adam, "load_state_dict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(net, loss, optimizer, checkpoint=path, seed=rng, epochs=2)
    assert same(everything(net, optimizer, rng), before)


def test_a_compressed_checkpoint_is_not_unpacked(tmp_path: Path):
    path = tmp_path / "run.npz"
    net, loss, optimizer = parts()
    fit(net, loss, optimizer, checkpoint=path, epochs=1)
    np.savez_compressed(path, **{**load_arrays(path), "history/loss": np.zeros(1 << 23)})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"run\.npz is compressed"):
        fit(net, loss, optimizer, checkpoint=path, epochs=1)


RUN = """
import sys, time
import numpy as np
import minigrad as mg
from minigrad import nn, optim, training
rng = np.random.default_rng(0)
net = nn.Linear(2, 1, rng=0)
x = rng.normal(size=(8, 2))
training.fit(net, mg.mse_loss, optim.SGD(net.parameters(), lr=0.1), (x, x[:, :1]), epochs=30, progress=False,
             checkpoint=sys.argv[1], seed=int(sys.argv[2]), resume=False,
             callbacks=[lambda run: time.sleep(0.02) if run.event == "epoch" else None])
"""


def test_of_two_runs_with_one_checkpoint_one_is_refused_in_words(tmp_path: Path):
    command = [sys.executable, "-c", RUN, str(tmp_path / "run.npz")]
    runs = [subprocess.Popen([*command, str(seed)], stderr=subprocess.PIPE, text=True) for seed in (1, 2)]
    said = [run.communicate()[1] for run in runs]
    codes = sorted(run.returncode for run in runs)
    if codes == [0, 0]:
        pytest.skip("one was over before the other began")
    assert codes == [0, 1]
    assert "was written by another run meanwhile" in "".join(said)
    assert len(load_arrays(tmp_path / "run.npz")["history/epochs.loss"]) == 30
    assert [item.name for item in tmp_path.iterdir()] == ["run.npz"]


def test_two_sweeps_in_one_folder(tmp_path: Path):
    pytest.importorskip("threadpoolctl")
    code = "import sys\nfrom minigrad import training\n"
    code += "settings = [{'k': k} for k in range(40)]\n"
    code += "training.sweep(lambda k: {'k': k}, settings, folder=sys.argv[1], jobs=1, progress=False)"
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert sorted(json.loads(file.read_text())["result"]["k"] for file in tmp_path.iterdir()) == list(range(40))
