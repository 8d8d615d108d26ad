"""fit: what it computes, what it refuses, how it survives; sweeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, nn, optim, training
from minigrad._support.files import load_arrays
from minigrad._support.randomness import state_of

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0)
VAL = (X[40:] + 0.1, Y[40:])


def parts(seed: int = 0, norm: str = "batch", **more: Any) -> tuple[nn.MLP, Any, optim.Adam]:
    net = nn.MLP((4, 8, 3), norm=norm, rng=seed, **more)
    return net, mg.cross_entropy, optim.Adam(net.parameters(), lr=0.05)


def fit(net: Any, loss: Any, optimizer: Any, **more: Any) -> training.History:
    settings: dict[str, Any] = {"epochs": 4, "batch_size": 16, "progress": False}
    return training.fit(net, loss, optimizer, (X, Y), **(settings | more))


def test_fit_is_the_loop_written_out():
    net, loss, optimizer = parts()
    history = fit(net, loss, optimizer, seed=5)
    twin, _, other = parts()
    rng, losses = np.random.default_rng(5), []
    for _ in range(4):
        for index in data.shuffled(60, 16, rng):
            value = mg.cross_entropy(twin(mg.tensor(X[index])), Y[index])
            other.zero_grad()
            value.backward()
            other.step()
            losses.append(value.item())
    np.testing.assert_array_equal(history.loss, losses)
    for name, array in twin.state_dict().items():
        np.testing.assert_array_equal(net.state_dict()[name], array)


def test_history_holds_metrics_of_both_sets_and_the_best_weights():
    net, loss, optimizer = parts()
    history = fit(net, loss, optimizer, val=VAL, metrics=[training.accuracy], epochs=12)
    assert list(history.epochs[0]) == ["epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert history["step"] == [4 * k for k in range(1, 13)]
    assert history["accuracy"][-1] > 0.9
    assert history.best is not None
    assert history.best["val_accuracy"] == max(history["val_accuracy"])
    now = training.evaluate(net, *VAL, mg.cross_entropy, [training.accuracy])
    assert (now["loss"], now["accuracy"]) == (history["val_loss"][-1], history["val_accuracy"][-1])
    net.load_state_dict(history.best_state or {})
    best = training.evaluate(net, *VAL, mg.cross_entropy, {"hits": training.accuracy})
    assert best["hits"] == history.best["val_accuracy"]
    with pytest.raises(KeyError, match="there are epoch, step"):
        history["val_f1"]


def test_the_best_epoch_is_that_of_the_highest_metric_or_the_lowest_loss():
    values = iter([0.5, 0.1, 0.5, 0.9, 0.5, 0.9, 0.5, 0.3])  # of the training data, of val, ...
    net, loss, optimizer = parts()
    history = fit(net, loss, optimizer, val=VAL, metrics={"scripted": lambda outputs, targets: next(values)})
    assert history.best is not None
    assert history.best["epoch"] == 2  # the first of two equal ones
    net, loss, optimizer = parts()
    misleading = (VAL[0], (VAL[1] + 1) % 3)  # the better the training, the worse this
    history = fit(net, loss, optimizer, val=misleading, epochs=6)
    assert history.best is not None
    assert history.best["val_loss"] == min(history["val_loss"]) < history["val_loss"][-1]
    states = []
    net, loss, optimizer = parts()
    keep = [lambda run: states.append(run.model.state_dict()) if run.event == "epoch" else None]
    history = fit(net, loss, optimizer, val=misleading, epochs=6, restore_best=True, callbacks=keep)
    best = states[int(history.best["epoch"]) - 1] if history.best else {}
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, best[name])


def test_evaluation_leaves_modes_and_statistics_alone():
    net, *_ = parts()
    net[1].eval()
    net.training = True
    before = net.state_dict()
    assert training.predict(net, X, batch_size=7).shape == (60, 3)
    assert (net.training, net[1].training, net[2].training) == (True, False, True)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_samplers_schedules_clipping_and_callbacks_take_part():
    net, loss, optimizer = parts()
    seen = []

    def note(run: training.Run) -> None:
        seen.append((run.event, run.epoch, run.step))
        run.stop = run.event == "epoch" and run.epoch == 2

    history = fit(
        net,
        loss,
        optimizer,
        sampler=lambda n, rng: data.with_replacement(n, 10, rng, steps=3),
        seed=np.random.RandomState(0),
        schedule=optim.StepLR(optimizer, 1, 0.5),
        clip_norm=1e-12,
        callbacks=[note],
    )
    assert [event for event, *_ in seen] == ["step", "step", "step", "epoch"] * 2
    assert len(history.loss) == 6
    assert optimizer.groups[0]["lr"] == 0.05 / 4


def test_float32_models_train_in_float32():
    net = nn.MLP((4, 8, 3), norm="batch", rng=0, dtype=np.float32)
    seen: list[Any] = []

    def loss(out: Any, y: Any) -> Any:
        seen.append(out.dtype)
        return mg.cross_entropy(out, y)

    fit(net, loss, optim.Adam(net.parameters()), epochs=1)
    assert set(seen) == {np.dtype(np.float32)}
    assert {parameter.dtype for parameter in net.parameters()} == {np.dtype(np.float32)}


# what goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"train": (X, Y[:-1])}, "same number of rows"),
        ({"train": (X[:0], Y[:0])}, "at least one"),
        ({"train": X}, r"must be a pair \(x, y\)"),
        ({"train": (np.where(X[3, 2] == X, np.nan, X), Y)}, r"train: x has NaN .* index \[3, 2\]"),
        ({"val": (X, np.full(60, np.inf))}, "val: y has NaN or infinite"),
        ({"train": (X.astype(str), Y)}, "must hold numbers"),
        ({"train": (X, Y + 3)}, "label . is not one of the 3 classes"),
        ({"train": (X[:1], Y[:1])}, "batch norm cannot train on one sample"),
        ({"batch_size": 1}, "batch norm cannot train on one sample"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 2.5}, "epochs=2.5"),
        ({"seed": None}, "pass a seed"),
        ({"checkpoint": "no/such/folder/run.npz"}, "folder does not exist"),
        ({"loss": lambda out, y: out}, r"single number, got a Tensor of shape"),
        ({"loss": lambda out, y: 1.0}, "got float"),
        ({"loss": lambda out, y: mg.cross_entropy(out.detach(), y)}, "does not depend on a parameter"),
        ({"sampler": lambda n, rng: iter(())}, "yielded no batches"),
    ],
)
def test_bad_data_and_settings_are_refused_and_no_weight_changes(change: dict[str, Any], text: str):
    net, loss, optimizer = parts()
    parameters = [parameter.data.copy() for parameter in net.parameters()]
    settings = {"loss": loss, "train": (X, Y), "epochs": 1, "batch_size": 16, "progress": False} | change
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=text):
        training.fit(net, settings.pop("loss"), optimizer, settings.pop("train"), **settings)
    for parameter, before in zip(net.parameters(), parameters, strict=True):
        np.testing.assert_array_equal(parameter.data, before)


class Fragile(nn.Module):
    """Takes the logarithm of something that becomes negative."""

    def __init__(self) -> None:
        self.first = nn.Linear(4, 4, rng=0)
        self.norm = nn.BatchNorm1d(4, allow_bias=True)
        self.drop = nn.Dropout(0.25, rng=1)
        self.shift = mg.full(4, 3.0, requires_grad=True)

    def forward(self, x: Any) -> Any:
        h = self.drop(self.norm(self.first(x)))
        risky = mg.log(h + self.shift)  # the line to be named
        return risky.sum(axis=1)


@pytest.mark.parametrize("rng", [np.random.default_rng(1), np.random.RandomState(1)], ids=["Generator", "RandomState"])
def test_a_loss_that_turns_nan_stops_with_step_node_and_line(rng: Any):
    net = Fragile()
    net.drop.rng = rng
    optimizer = optim.SGD(net.parameters(), lr=0.5)
    states = []

    def note(run: training.Run) -> None:
        states.append((run.model.state_dict(), state_of(net.drop.rng)))

    with pytest.raises(
        training.NonFiniteStep, match=r"step \d+: the loss is not finite.*in Fragile, log made NaN"
    ) as caught:
        fit(net, lambda out, y: out.mean(), optimizer, epochs=200, callbacks=[note])
    error = caught.value
    assert error.node.op.name == "log"
    assert error.line is not None
    file, line = error.line
    assert Path(file) == Path(__file__)
    assert "the line to be named" in Path(__file__).read_text().splitlines()[line - 1]
    assert error.step == len(error.history.loss) + 1 > 1
    before, drawn = states[-1]  # weights, statistics and generators are those before the step
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert state_of(net.drop.rng) == drawn


def test_a_gradient_that_is_infinite_is_found_before_it_is_applied():
    w = mg.zeros(4, requires_grad=True)

    class Root(nn.Module):
        def __init__(self) -> None:
            self.w = w

        def forward(self, x: Any) -> Any:
            return mg.sqrt((x * self.w).sum(axis=1) * 0.0)

    with pytest.raises(training.NonFiniteStep, match=r"a gradient is not finite.*the rule of sqrt made infinity"):
        fit(Root(), lambda out, y: out.mean(), optim.SGD([w], lr=1.0))
    np.testing.assert_array_equal(w.data, 0)


def test_large_gradients_whose_squares_overflow_are_applied():
    w = mg.zeros(2, requires_grad=True)

    class Steep(nn.Module):
        def __init__(self) -> None:
            self.w = w

        def forward(self, x: Any) -> Any:
            return (x * self.w).sum(axis=1) * 1e200

    rows = np.ones((4, 2))
    training.fit(
        Steep(), lambda out, y: out.mean(), optim.SGD([w], lr=1.0), (rows, rows[:, 0]), epochs=1, progress=False
    )
    np.testing.assert_array_equal(w.data, -1e200)


def test_overflow_before_a_batch_norm_is_explained_by_what_overflowed():
    class Exploding(nn.Module):
        def __init__(self) -> None:
            self.scale = mg.full(4, 1e3, requires_grad=True)
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: Any) -> Any:
            return self.norm(mg.exp(x * self.scale)).sum(axis=1)

    net = Exploding()
    with pytest.raises(
        training.NonFiniteStep, match=r"step 1: the input of a layer is not finite.*in Exploding, exp made infinity"
    ) as caught:
        fit(net, lambda out, y: out.mean(), optim.SGD(net.parameters(), lr=1.0))
    assert caught.value.node.op.name == "exp"
    assert net.norm.updates.item() == 0


# checkpoints ------------------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="does not fit this model"):
        fit(wider, loss, optim.Adam(wider.parameters(), lr=0.05), checkpoint=path)
    other = optim.SGD(net.parameters(), lr=0.05)
    weights = net.state_dict()
    with pytest.raises(ValueError, match="does not fit this model and optimizer"):
        fit(net, loss, other, checkpoint=path)
    for state, model in ((before, wider), (weights, net)):
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, state[name])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        fit(net, loss, optimizer, checkpoint=path)
    fit(net, loss, optimizer, checkpoint=path, resume=False, epochs=1)


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


# what is shown ----------------------------------------------------------------------------------------------


def test_history_is_written_as_a_table(tmp_path: Path):
    net, loss, optimizer = parts()
    history = fit(net, loss, optimizer, val=VAL, metrics=[training.accuracy])
    history.to_csv(tmp_path / "epochs.csv")
    lines = (tmp_path / "epochs.csv").read_text().splitlines()
    assert lines[0] == "epoch,step,loss,accuracy,val_loss,val_accuracy"
    assert len(lines) == 5
    history.to_csv(tmp_path / "steps.csv", steps=True)
    rows = np.genfromtxt(tmp_path / "steps.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(rows["loss"], history.loss)


def test_history_is_drawn_to_files(tmp_path: Path):
    pytest.importorskip("matplotlib")
    net, loss, optimizer = parts()
    history = fit(net, loss, optimizer, val=VAL, metrics=[training.accuracy])
    for name in ("h.png", "h.svg", "h.pdf"):
        history.plot(tmp_path / name, title="a title")
        assert (tmp_path / name).stat().st_size > 1000
    with pytest.raises(ValueError, match=r"\.png, \.svg or \.pdf"):
        history.plot(tmp_path / "h.txt")
    assert not (tmp_path / "h.txt").exists()


def test_progress_falls_back_to_plain_lines(capsys: Any):
    net, loss, optimizer = parts()
    fit(net, loss, optimizer, progress=True, val=VAL)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1].startswith("epoch 4/4  loss ")


# sweeps -----------------------------------------------------------------------------------------------------


def squared(number: int, scale: float, log: str = "") -> dict[str, Any]:
    """What the sweeps below run: it leaves a line in `log`, so that runs can be counted."""
    if number == 13:
        raise ValueError("thirteen")
    if log:
        with open(log, "a") as file:
            file.write(f"{number}\n")
    return {"value": scale * number**2, "array": np.arange(2)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_sweep_repeats_nothing_that_was_finished(tmp_path: Path, jobs: int):
    pytest.importorskip("joblib")
    pytest.importorskip("threadpoolctl")
    log = tmp_path / "log"
    log.touch()
    settings = [{"number": number, "scale": 0.5} for number in range(4)]
    more: dict[str, Any] = {"folder": tmp_path / "results", "given": {"log": str(log)}, "jobs": jobs, "progress": False}
    with pytest.raises(ValueError, match="thirteen"):
        training.sweep(squared, [*settings[:2], {"number": 13, "scale": 0.5}], **more)
    done = sorted(log.read_text().split())
    results = training.sweep(squared, settings, **more)
    assert [result["value"] for result in results] == [0.0, 0.5, 2.0, 4.5]
    assert results[3]["array"] == [0, 1]
    assert sorted(log.read_text().split()) == ["0", "1", "2", "3"]
    assert set(done) <= {"0", "1"}
    damaged = next((tmp_path / "results").glob("*.json"))
    damaged.write_text(damaged.read_text()[:20])
    assert training.sweep(squared, settings, **more) == results
    assert len(log.read_text().split()) == 5


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_a_sweep_runs_on_the_backend_that_joblib_is_set_to(tmp_path: Path, backend: str):
    """As a cluster's would be: Dask's reports each result as it comes, Ray's, like multiprocessing, all at the end."""
    joblib = pytest.importorskip("joblib")
    settings = [{"number": number, "scale": 1.0} for number in range(3)]
    with joblib.parallel_config(backend):
        results = training.sweep(squared, settings, folder=tmp_path, jobs=2, progress=False)
    assert [result["value"] for result in results] == [0.0, 1.0, 4.0]


def test_a_sweep_shows_what_differs(tmp_path: Path, capsys: Any):
    pytest.importorskip("threadpoolctl")
    training.sweep(squared, [{"number": k, "scale": 2.0} for k in (3, 4)], folder=tmp_path, jobs=1, progress=True)
    assert capsys.readouterr().err == "run 1/2  number=3\nrun 2/2  number=4\n"
    assert training.sweep(squared, [], folder=tmp_path) == []


def test_sweeps_refuse_equal_settings_and_unstorable_results(tmp_path: Path):
    with pytest.raises(ValueError, match="two settings are equal"):
        training.sweep(squared, [{"number": 1, "scale": 1.0}] * 2, folder=tmp_path, progress=False)
    pytest.importorskip("threadpoolctl")
    with pytest.raises(TypeError, match="numbers, texts and lists"):
        training.sweep(lambda k: {"object": object()}, [{"k": 1}], folder=tmp_path, jobs=1, progress=False)
    assert not list(tmp_path.iterdir())
