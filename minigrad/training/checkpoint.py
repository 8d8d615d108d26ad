"""Checkpoints: everything that the rest of a training depends on, in one .npz that is renamed into place.

Written after every epoch, so a run that is killed at any moment goes on from its last whole epoch and ends with the
same bytes as one that was not: weights, history, and the checkpoint itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Checkpoint:
    """A file for the state of one run; `run` is its fingerprint."""

    path: PathLike
    model: Module
    optimizer: Optimizer
    schedule: Schedule | None
    generators: Sequence[Generator]
    run: str

    def save(self, history: History) -> None:
        """Write the state of the run after an epoch."""
        parts = {**self._state(), "history": history.to_arrays()}
        flat = {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        save_arrays(self.path, {"run": np.array(self.run), **flat})

    def load(self) -> History:
        """Take up the run where `save` left it; ValueError, and nothing changed, if the file is another run's."""
        arrays = load_arrays(self.path)
        if str(arrays.pop("run", "")) != self.run:
            raise ValueError(
                f"{self.path} is the checkpoint of another run: its data, batch size, seed or other settings differ. "
                "Pass resume=False to start anew (it will be overwritten), or another path"
            )
        parts: dict[str, dict[str, Array]] = {part: {} for part in self._state()}
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = array
        if len(parts["generators"]) != len(self.generators):
            theirs = len(parts["generators"])
            raise ValueError(f"{self.path} has {theirs} random generators, this run {len(self.generators)}")
        history, before = History.from_arrays(parts["history"]), self._state()
        try:
            self._take(parts)
        except ValueError as error:
            self._take(before)
            raise ValueError(f"{self.path} does not fit this model and optimizer: {error}") from error
        return history

    def _state(self) -> dict[str, dict[str, Array]]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else {},
            "generators": {str(k): np.array(state_of(rng)) for k, rng in enumerate(self.generators)},
        }

    def _take(self, state: Mapping[str, Mapping[str, Array]]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for k, rng in enumerate(self.generators):
            restore(rng, str(state["generators"][str(k)]))
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
