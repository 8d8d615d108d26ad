"""Checkpoints: everything that the rest of a training depends on, in one .npz that is renamed into place.

Written after every epoch, so a run that is killed at any moment goes on from its last whole epoch and ends with the
same bytes as one that was not: weights, history, and the checkpoint itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._support.files import PathLike, load_arrays, save_arrays
from .._support.randomness import Generator, restore, state_of
from ..nn.module import Module
from ..optim import Optimizer, Schedule
from .history import History

Array = np.ndarray[Any, Any]


def fingerprint(arrays: Sequence[Array], settings: Mapping[str, Any]) -> str:
    """What must be the same for a run to be the same run: its data and its settings."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update(repr(sorted(settings.items())).encode())
    return digest.hexdigest()


def save_checkpoint(
    path: PathLike,
    model: Module,
    optimizer: Optimizer,
    schedule: Schedule | None,
    generators: Sequence[Generator],
    history: History,
    run: str,
) -> None:
    """Write the state of a run after an epoch."""
    parts: dict[str, Mapping[str, Array]] = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict() if schedule is not None else {},
        "history": history.to_arrays(),
        "generators": {str(k): np.array(state_of(rng)) for k, rng in enumerate(generators)},
    }
    flat = {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
    save_arrays(path, {"run": np.array(run), **flat})


def load_checkpoint(
    path: PathLike,
    model: Module,
    optimizer: Optimizer,
    schedule: Schedule | None,
    generators: Sequence[Generator],
    run: str,
) -> History:
    """Take up a run where `save_checkpoint` left it; ValueError, and nothing changed, if it is another run's."""
    arrays = load_arrays(path)
    if str(arrays.pop("run", "")) != run:
        raise ValueError(
            f"{path} is the checkpoint of another run: its data, batch size, seed or other settings differ. Pass "
            "resume=False to start anew (it will be overwritten), or another path"
        )
    parts: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = array
    states = parts.get("generators", {})
    if len(states) != len(generators):
        raise ValueError(f"{path} has {len(states)} random generators, this run {len(generators)}")
    history = History.from_arrays(parts["history"])
    before = (model.state_dict(), optimizer.state_dict(), [state_of(rng) for rng in generators])
    try:
        model.load_state_dict(parts.get("model", {}))
        optimizer.load_state_dict(parts.get("optimizer", {}))
        for k, rng in enumerate(generators):
            restore(rng, str(states[str(k)]))
        if schedule is not None:
            schedule.load_state_dict(parts["schedule"])
    except ValueError as error:
        model.load_state_dict(before[0])
        optimizer.load_state_dict(before[1])
        for rng, state in zip(generators, before[2], strict=True):
            restore(rng, state)
        raise ValueError(f"{path} does not fit this model and optimizer: {error}") from error
    return history
