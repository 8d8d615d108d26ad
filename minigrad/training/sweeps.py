"""sweep: one function, many settings, on all cores; what was finished is kept, so an interrupted sweep goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._support.extras import needs
from .._support.files import PathLike, written_aside
from .progress import Progress

Setting = Mapping[str, Any]


def sweep(
    run: Callable[..., Mapping[str, Any]],
    settings: Sequence[Setting],
    *,
    folder: PathLike,
    given: Mapping[str, Any] | None = None,
    jobs: int = -1,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """run(**setting, **given) for every setting, in parallel; the results in the order of the settings.

    run       a function that returns a dict of numbers, texts and lists of them
    folder    made if it is not there; each finished run is written to a file of its own in it at once, named by a
              hash of the setting. A setting whose file is there is not run again: delete the folder to start anew
    given     arguments that are the same for all, such as data; results are not named after them
    jobs      worker processes, -1 for one a core; 1 runs here. Every run gets one BLAS thread, so that its result
              does not depend on `jobs`

    Workers are joblib's: inside `with joblib.parallel_config("dask"):` (or "ray") they are those of a cluster, which
    must see `folder`. A run that diverges (FloatingPointError, such as NonFiniteStep) is recorded and the sweep goes
    on: its result has the message as "diverged", and NaN for the numbers that other runs have. Any other error stops
    the sweep and names the setting; what was finished stays.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    paths = [root / f"{_key(setting)}.json" for setting in settings]
    if len(set(paths)) < len(paths):
        raise ValueError("sweep: two settings are equal; each result is known by its setting")
    stored = {path: _stored(path, setting) for path, setting in zip(paths, settings, strict=True)}
    found = {path: result for path, result in stored.items() if result is not None}
    todo = [(path, setting) for path, setting in zip(paths, settings, strict=True) if path not in found]
    first = settings[0] if settings else {}
    varied = [name for name in first if any(setting.get(name) != first[name] for setting in settings)]
    with Progress(len(settings), "run", shown=progress, done=len(found), lines=len(settings)) as bar:
        for path, text in _results(run, todo, dict(given or {}), jobs):
            done = json.loads(text)
            found[path] = done["result"]
            bar.advance([f"{name}={done['setting'].get(name)}" for name in varied], ", ")
            if "diverged" in done["result"]:
                bar.say(f"{_in_words(done['setting'], varied)} diverged: {done['result']['diverged']}")
    numbers = {k: np.nan for result in found.values() for k, x in result.items() if isinstance(x, (int, float))}
    return [numbers | found[path] if "diverged" in found[path] else found[path] for path in paths]


def _in_words(setting: Setting, names: Sequence[str]) -> str:
    return ", ".join(f"{name}={setting.get(name)}" for name in names or setting)


def _results(run: Any, todo: list[tuple[Path, Setting]], given: dict[str, Any], jobs: int) -> Any:
    if jobs == 1 or len(todo) < 2:
        return (_one(run, path, setting, given) for path, setting in todo)
    joblib = needs("joblib", "a sweep on several cores")
    calls = (joblib.delayed(_one)(run, path, setting, given) for path, setting in todo)
    try:
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    except ValueError:  # some backends (Ray's, multiprocessing) report only when all is done
        parallel = joblib.Parallel(n_jobs=jobs)
    return parallel(calls)


def _one(run: Any, path: Path, setting: Setting, given: dict[str, Any]) -> tuple[Path, str]:
    """In a worker: the run on one BLAS thread, and its result on the disk before it is reported."""
    limits = needs("threadpoolctl", "a sweep").threadpool_limits
    with limits(1):
        try:
            result = dict(run(**setting, **given))
        except FloatingPointError as error:
            result = {"diverged": str(error)}
        except Exception as error:
            error.add_note(f"in the sweep's run with {_in_words(setting, list(setting))}")
            raise
    text = json.dumps({"setting": dict(setting), "result": result}, default=_as_data, indent=1)
    with written_aside(path) as file:
        file.write(text.encode())
    return path, text


def _as_data(x: Any) -> Any:
    if isinstance(x, (np.ndarray, np.generic)):
        return x.tolist()
    raise TypeError(f"sweep: settings and results are numbers, texts and lists of them, got {type(x).__name__}")


def _key(setting: Setting) -> str:
    text = json.dumps(dict(setting), default=_as_data, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stored(path: Path, setting: Setting) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
        ours = content["setting"] == json.loads(json.dumps(dict(setting), default=_as_data))
        return dict(content["result"]) if ours else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # not there, or not ours: it is run, and the file replaced
