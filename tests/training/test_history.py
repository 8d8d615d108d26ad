"""What a training shows: its history as a table and as a picture, its progress as lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import training

from .small import VAL, fit, parts


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


def test_history_is_shown_without_a_path(tmp_path: Path, monkeypatch: Any):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    net, loss, optimizer = parts()
    history = fit(net, loss, optimizer, val=VAL, metrics=[training.accuracy])
    shown = history.plot(title="a title")
    assert shown is not None
    first = shown._repr_png_()
    assert first.startswith(b"\x89PNG")
    assert first == shown._repr_png_()
    assert b"atplotlib" not in first, "no version of what drew it"
    assert history.plot(tmp_path / "h.png") is None
    assert [p.name for p in tmp_path.iterdir()] == ["h.png"]


def test_progress_falls_back_to_plain_lines(capsys: Any):
    net, loss, optimizer = parts()
    fit(net, loss, optimizer, progress=True, val=VAL)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1].startswith("epoch 4/4  loss ")
