"""What a run says and leaves: going on, nothing to do, Ctrl-C, divergence in a sweep, progress wherever it is shown."""

from __future__ import annotations

import io
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim, training
from minigrad.training.progress import WIDTH, Progress, fitted

from .small import VAL, X, Y, fit, parts


def test_going_on_and_nothing_to_do_are_said(tmp_path: Path, capsys: Any):
    for epochs, said in (
        (2, ""),
        (3, f"going on from epoch 2 of {tmp_path / 'c.npz'}"),
        (2, f"{tmp_path / 'c.npz'} has 3 epochs, and 2 were asked for: nothing to do"),
    ):
        fit(*parts(), epochs=epochs, checkpoint=tmp_path / "c.npz", progress=True)
        assert (capsys.readouterr().err.splitlines()[0] == said) == bool(said)


@pytest.mark.parametrize("monitor", [None, "loss", "val_loss"])
def test_early_stopping_stops_and_stays_stopped(monitor: str | None, tmp_path: Path, capsys: Any):
    net, loss, _ = parts()
    still = optim.SGD(net.parameters(), lr=0.0)  # nothing becomes better
    stop = training.EarlyStopping(3, monitor=monitor, min_delta=0.01)
    more: dict[str, Any] = {"val": VAL, "callbacks": stop, "checkpoint": tmp_path / "c.npz", "progress": True}
    history = fit(net, loss, still, epochs=50, batch_size=60, **more)
    assert len(history.epochs) == 4
    assert "stopped after epoch 4" in capsys.readouterr().err
    again = fit(net, loss, still, epochs=50, batch_size=60, **more)
    assert again.loss == history.loss
    assert "EarlyStopping ends the run there: nothing to do" in capsys.readouterr().err
    for patience in (0, 1.5, True):
        with pytest.raises(ValueError, match="patience="):
            training.EarlyStopping(patience)  # type: ignore[arg-type]


def test_early_stopping_knows_what_is_better():
    run = training.Run(parts()[0], parts()[2], training.History(), 99, event="epoch")
    run.history.epochs = [
        {"val_loss": v, "val_accuracy": -v, "val_mae": v} for v in (3.0, 2.0, 1.0, 1.5, 0.5, 0.6, 0.7)
    ]
    for monitor in ("val_loss", "val_accuracy", "val_mae"):
        assert training.EarlyStopping(2, monitor=monitor).is_over(run)
        assert not training.EarlyStopping(3, monitor=monitor).is_over(run)
    assert training.EarlyStopping(4, monitor="val_loss", min_delta=0.6).is_over(run)
    run.monitor, run.higher = "val_accuracy", True
    training.EarlyStopping(2)(run)
    assert run.stop


def test_ctrl_c_leaves_the_history_and_the_checkpoint(tmp_path: Path):
    def interrupt(run: training.Run) -> None:
        if run.step == 10:
            raise KeyboardInterrupt

    net, loss, optimizer = parts()
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(net, loss, optimizer, callbacks=[interrupt], checkpoint=tmp_path / "c.npz", epochs=9)
    history: training.History = caught.value.history  # type: ignore[attr-defined]
    assert len(history.epochs) == 2
    assert len(history.loss) == 10
    whole = fit(*parts(), checkpoint=tmp_path / "whole.npz", epochs=9)
    again = fit(*parts(), checkpoint=tmp_path / "c.npz", epochs=9)
    assert again.loss == whole.loss
    assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def at_rate(rate: float) -> dict[str, Any]:
    net = mg.nn.MLP((4, 8, 3), norm="batch" if rate == 1e200 else "none", rng=0)
    history = training.fit(net, "cross_entropy", "sgd", X, Y, lr=rate, epochs=2, progress=False)
    return {"loss": history["loss"][-1], "net": repr(net)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sweep_goes_on_after_a_setting_that_diverges(jobs: int, tmp_path: Path, capsys: Any):
    pytest.importorskip("joblib")
    pytest.importorskip("threadpoolctl")
    settings = [{"rate": 0.1}, {"rate": 1e200}, {"rate": 0.2}]
    results = training.sweep(at_rate, settings, folder=tmp_path, jobs=jobs)
    assert "rate=1e+200 diverged: step " in capsys.readouterr().err
    assert [np.isfinite(result["loss"]) for result in results] == [True, False, True]
    assert "is not finite" in results[1]["diverged"]
    assert "diverged" not in results[0]
    assert training.sweep(at_rate, settings, folder=tmp_path, jobs=1)[1]["diverged"] == results[1]["diverged"]
    assert not capsys.readouterr().err  # all of it was recorded


def test_an_error_in_a_sweep_names_the_setting(tmp_path: Path):
    pytest.importorskip("threadpoolctl")
    with pytest.raises(ValueError, match="lr=-1") as caught:
        training.sweep(at_rate, [{"rate": -1.0}], folder=tmp_path, jobs=1, progress=False)
    assert caught.value.__notes__ == ["in the sweep's run with rate=-1.0"]


# Progress -----------------------------------------------------------------------------------------------------------


def test_lines_fit_80_columns(capsys: Any):
    metrics = {f"a_long_name_{k}": training.accuracy for k in range(9)}
    fit(*parts(), metrics=metrics, val=VAL, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert max(map(len, lines)) <= WIDTH < 80
    assert lines[-1].split()[2] == "loss"
    assert lines[-1].split()[-2] == "val_a_long_name_8"
    assert fitted(["x" * 90], 79) == "x" * 76 + "..."


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_bar_fits_80_columns(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("rich")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    fit(*parts(), metrics="accuracy", val=VAL, progress=True)
    shown = [line for part in screen.getvalue().split("\n") for line in part.split("\r") if "loss" in line]
    text = "".join(character for character in shown[-1] if character.isprintable())
    assert "val_accuracy 0." in text
    assert "…" not in text
    assert len(text) <= 80 + len("[2K") * 2


def test_in_a_notebook_progress_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    kind = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    stream = kind()
    monkeypatch.setattr(sys, "stderr", stream)
    fit(*parts(), progress=True, epochs=1)
    assert capsys.readouterr().out.startswith("epoch 1/1  loss ")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [None, types.SimpleNamespace(isatty=lambda: False, write=None)])
def test_without_a_stderr_training_works(stream: Any, monkeypatch: pytest.MonkeyPatch):
    if stream is not None:

        def gone(text: str) -> int:
            raise BrokenPipeError

        stream.write = gone
        stream.flush = lambda: None
    monkeypatch.setattr(sys, "stderr", stream)
    assert len(fit(*parts(), progress=True).epochs) == 4
    with Progress(2, "epoch", shown=True) as bar:
        bar.say("nobody hears")


ENDINGS = ["", " >&-", " 2>&-", " >&- 2>&-", " | head -1", " 2>&1 | head -1"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_training_as_a_program_without_readers(ending: str, tmp_path: Path):
    pytest.importorskip("sklearn")
    table = tmp_path / "h.csv"
    command = f"{sys.executable} -m minigrad train spirals --epochs 2 --csv {table}{ending}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Error" not in done.stderr
    assert "Broken pipe" not in done.stderr
    assert len(table.read_text().splitlines()) == 3  # trained to its end
