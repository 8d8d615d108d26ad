"""Checkpoints: a run that was cut or killed ends with the bytes of one that was not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import nn, optim, training
from minigrad._support.files import load_arrays
from minigrad.core.nodes import kernels
from minigrad.fast import chosen

from .small import VAL, fit, parts


def test_a_run_in_two_halves_equals_one_in_a_row(tmp_path: Path):
    def run(path: Path, epochs: int) -> tuple[Any, training.History]:
        net, loss, optimizer = parts(dropout=0.2)
        schedule = optim.CosineLR(optimizer, 6)
        more = {"val": VAL, "metrics": [training.accuracy], "schedule": schedule, "checkpoint": path, "seed": 7}
        return net, fit(net, loss, optimizer, epochs=epochs, **more)

    whole, history = run(tmp_path / "whole.npz", 6)
    run(tmp_path / "halves.npz", 3)
    halves, again = run(tmp_path / "halves.npz", 6)
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "halves.npz").read_bytes()
    assert history.loss == again.loss
    assert history.epochs == again.epochs
    assert history.best == again.best
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(array, halves.state_dict()[name])
    _, finished = run(tmp_path / "halves.npz", 6)  # nothing left to do
    assert finished.loss == history.loss
    assert finished.seconds == []
    assert sorted(item.name for item in tmp_path.iterdir()) == ["halves.npz", "whole.npz"]


def test_the_checkpoint_of_another_run_is_refused_and_nothing_changes(tmp_path: Path):
    path = tmp_path / "run.npz"
    net, loss, optimizer = parts()
    fit(net, loss, optimizer, checkpoint=path, epochs=1)
    for change in ({"seed": 1}, {"batch_size": 8}, {"val": VAL}):
        with pytest.raises(ValueError, match="the checkpoint of another run"):
            fit(net, loss, optimizer, checkpoint=path, **change)
    wider = nn.MLP((4, 9, 3), norm="batch", rng=0)
    before = wider.state_dict()
    with pytest.raises(ValueError, match=r"layers.0.weight is float64 \(4, 9\), was float64 \(4, 8\)"):
        fit(wider, loss, optim.Adam(wider.parameters(), lr=0.05), checkpoint=path)
    other = optim.SGD(net.parameters(), lr=0.05)
    weights = net.state_dict()
    with pytest.raises(ValueError, match="the optimizer is SGD, was Adam"):
        fit(net, loss, other, checkpoint=path)
    for state, model in ((before, wider), (weights, net)):
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, state[name])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        fit(net, loss, optimizer, checkpoint=path)
    fit(net, loss, optimizer, checkpoint=path, resume=False, epochs=1)


def test_a_run_does_not_go_on_with_other_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "run.npz"
    net, loss, optimizer = parts()
    fit(net, loss, optimizer, checkpoint=path, epochs=1)
    before = chosen()
    monkeypatch.setitem(kernels, "chosen", lambda: "others")
    with pytest.raises(ValueError, match=f"MINIGRAD_KERNELS is others, was {before}"):
        fit(net, loss, optimizer, checkpoint=path, epochs=2)


def test_a_generator_of_another_kind_is_refused_and_nothing_changes(tmp_path: Path):
    path = tmp_path / "run.npz"
    net, loss, optimizer = parts()
    fit(net, loss, optimizer, checkpoint=path, seed=np.random.default_rng(0), epochs=2)
    other, _, fresh = parts(seed=1)
    before, state = other.state_dict(), fresh.state_dict()
    with pytest.raises(ValueError, match="does not fit a RandomState"):
        fit(other, loss, fresh, checkpoint=path, seed=np.random.RandomState(0))
    for now, then in ((other.state_dict(), before), (fresh.state_dict(), state)):
        for name, array in now.items():
            np.testing.assert_array_equal(array, then[name])


CHILD = """
import os, signal, sys
import numpy as np
import minigrad as mg
from minigrad import nn, optim, training

path, kill_after = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 4)), rng.integers(0, 3, 64)
net = nn.MLP((4, 6, 3), norm="batch", dropout=0.1, rng=np.random.RandomState(1))
optimizer = optim.Adam(net.parameters(), lr=0.02)
calls = 0

def count(frame, event, argument):
    global calls
    calls += 1
    if calls == kill_after:
        os.kill(os.getpid(), signal.SIGKILL)

ends = []
if kill_after:
    sys.setprofile(count)
training.fit(net, mg.cross_entropy, optimizer, (x, y), val=(x, y), metrics=[training.accuracy], epochs=12,
             batch_size=16, checkpoint=path, progress=False,
             callbacks=[lambda run: ends.append(calls) if run.event == "epoch" else None])
sys.setprofile(None)
net.save(path + ".weights.npz")
print(*ends)
"""


def test_a_run_killed_at_twenty_moments_ends_with_the_same_bytes(tmp_path: Path):
    """SIGKILL at the n-th call or return of a function: also in the middle of writing a checkpoint."""

    def run(name: str, kill_after: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", CHILD, str(tmp_path / name), str(kill_after)]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})

    whole = run("whole.npz", 0)
    assert whole.returncode == 0, whole.stderr
    ends = [int(calls) for calls in run("counted.npz", 10**9).stdout.split()]  # of the epochs
    start = ends[0] - (ends[1] - ends[0])  # what a process does before it trains, such as importing
    moments = np.random.default_rng(4).integers(start, ends[3], 20).tolist()  # any time in four of the twelve
    kills, epochs = 0, []
    for moment in moments:
        kills += run("killed.npz", moment).returncode != 0
        if (tmp_path / "killed.npz").exists():
            epochs.append(len(load_arrays(tmp_path / "killed.npz")["history/epochs.loss"]))
    assert kills >= 5  # later moments may find nothing left to do
    assert len(set(epochs)) > 3
    assert run("killed.npz", 0).returncode == 0
    for ending in ("", ".weights.npz"):
        assert (tmp_path / f"killed.npz{ending}").read_bytes() == (tmp_path / f"whole.npz{ending}").read_bytes()
