"""Sweeps: one result per setting, kept on disk, nothing run twice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import training


def squared(number: int, scale: float, log: str = "", results: str = "") -> dict[str, Any]:
    """What the sweeps below run: it leaves a line in `log`, so that runs can be counted.

    13 fails, but not before two results lie in `results`: a worker that is between its run and its result when
    another one fails is stopped, and that run was not finished.
    """
    if log:
        with open(log, "a") as file:
            file.write(f"{number}\n")
    if number == 13:
        for _ in range(6000):
            if len(list(Path(results).glob("*.json"))) == 2:
                raise ValueError("thirteen")
            time.sleep(0.01)
        raise TimeoutError("the two results before this one were never written")
    return {"value": scale * number**2, "array": np.arange(2)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_sweep_repeats_nothing_that_was_finished(tmp_path: Path, jobs: int):
    pytest.importorskip("joblib")
    pytest.importorskip("threadpoolctl")
    log, folder = tmp_path / "log", tmp_path / "results"
    settings = [{"number": number, "scale": 0.5} for number in range(4)]
    given = {"log": str(log), "results": str(folder)}
    more: dict[str, Any] = {"folder": folder, "given": given, "jobs": jobs, "progress": False}
    failing = [*settings[:2], {"number": 13, "scale": 0.5}]
    for tries in (1, 2):  # what failed is begun again, what was finished is not
        with pytest.raises(ValueError, match="thirteen"):
            training.sweep(squared, failing, **more)
        assert sorted(log.read_text().split()) == ["0", "1"] + ["13"] * tries
    log.unlink()
    results = training.sweep(squared, settings, **more)
    assert [result["value"] for result in results] == [0.0, 0.5, 2.0, 4.5]
    assert results[3]["array"] == [0, 1]
    assert sorted(log.read_text().split()) == ["2", "3"]
    damaged = next(folder.glob("*.json"))
    damaged.write_text(damaged.read_text()[:20])
    assert training.sweep(squared, settings, **more) == results
    assert len(log.read_text().split()) == 3


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
