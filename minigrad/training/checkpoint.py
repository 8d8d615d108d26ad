"""Checkpoints: everything that the rest of a training depends on, in one .npz that is renamed into place.

Written after every epoch, so a run that is killed at any moment goes on from its last whole epoch and ends with the
same bytes as one that was not: weights, history, and the checkpoint itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .._support.files import PathLike, identity, load_arrays, save_arrays
from .._support.randomness import Generator, restore, state_of
from .._support.signatures import Array
from .._support.text import visible
from ..nn.module import Module
from ..optim import Optimizer, Schedule
from .history import History
from .settings import Settings, differing, digest, moving

ANEW = "Go on with the settings that it was begun with; or pass resume=False to begin anew (it will be overwritten), "


@dataclass
class Checkpoint:
    """A file for the state of one run.

    settings  what must be as it was, each under its name (settings.py)
    begun     of what training changes, such as weights: as it was when the run began
    """

    path: PathLike
    model: Module
    optimizer: Optimizer
    schedule: Schedule | None
    generators: Sequence[Generator]
    settings: Settings
    begun: Settings = field(init=False)
    seen: tuple[int, ...] | None = field(init=False)  # the file as this run knows it

    def __post_init__(self) -> None:
        self.begun, self.seen = self._moving(), identity(self.path)

    def save(self, history: History) -> None:
        """Write the state of the run after an epoch; FileExistsError if another run wrote there meanwhile."""
        if identity(self.path) not in (self.seen, None):
            raise FileExistsError(
                f"{visible(self.path)} was written by another run meanwhile, and is left to it; give each run a "
                "checkpoint of its own"
            )
        parts = {**self._state(), "history": history.to_arrays()}
        flat = {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        run = {"settings": self.settings, "begun": self.begun, "now": self._moving()}
        save_arrays(self.path, {"run": np.array(json.dumps(run)), **flat})
        self.seen = identity(self.path)

    def load(self) -> History:
        """Take up the run where `save` left it; ValueError, and nothing changed, if it is another run's, and how."""
        where = visible(self.path)
        arrays = load_arrays(self.path, self._announced)
        try:
            run = json.loads(str(arrays.pop("run")))
            then, begun, now = (dict(run[name]) for name in ("settings", "begun", "now"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{where} is no checkpoint of this version of minigrad. {ANEW}or another path") from error
        parts: dict[str, dict[str, Array]] = {part: {} for part in (*self._state(), "history")}
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = array
        if len(parts["generators"]) != len(self.generators):
            theirs = len(parts["generators"])
            raise ValueError(f"{where} has {theirs} random generators, this run {len(self.generators)}")
        best = digest(array for name, array in parts["history"].items() if name.startswith("best_state."))
        wrong = differing(self.settings, then)
        for name, value in self.begun.items():
            if value not in (begun.get(name), now.get(name), best):
                wrong += differing({name: value}, {name: begun.get(name, "")})
        kept, before = self.begun, self._state()
        try:
            if not wrong:
                history = History.from_arrays(parts["history"])
                self._take(parts)
                self.begun = begun
                return history
            for k, rng in enumerate(self.generators):  # a generator of another kind is named as such
                restore(rng, str(parts["generators"][str(k)]))
                restore(rng, str(before["generators"][str(k)]))
        except BaseException as error:  # a damaged file may hold anything, and Ctrl-C comes at any moment
            self._take(before)
            self.begun = kept
            if not isinstance(error, Exception):
                raise
            raise ValueError(f"{where} does not fit this model and optimizer: {visible(error, 1000)}") from error
        few = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ValueError(f"{where} is the checkpoint of another run: {few}. {ANEW}or another path")

    def _announced(self, headers: Mapping[str, Array]) -> None:
        if sum(array.nbytes for array in headers.values()) > os.path.getsize(self.path):
            raise ValueError(f"{visible(self.path)} is compressed, and no checkpoint is: it would be larger unpacked")

    def _moving(self) -> Settings:
        return moving(self.model, self.optimizer, self.schedule, self.generators)

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
