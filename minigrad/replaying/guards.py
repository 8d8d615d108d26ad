"""What stands around a step and may be replaced between calls: modules' attributes, variables, objects, globals.

A recording names tensors, arrays and numbers that it found there. Before each replay all of it is compared with what it
was at recording: what was replaced makes the step be recorded anew. Looked into are the functions that the step can
reach by name, with the functions inside them, the attributes of objects and of their classes, what Python modules hold
under names that those functions use, and containers, DEPTH steps deep; not the insides of minigrad and NumPy.

The same is compared before and after a recording, and besides iterators, generators of random numbers and an
optimizer's options: what the step itself changes in Python is not done again by a replay.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterable
from itertools import chain
from operator import is_
from typing import Any

import numpy as np

from ..core.nodes import Node, describe
from ..nn.module import CHANGES
from ..optim.optimizers import Update
from ..optim.schedules import Schedule
from ..program import Program
from .progress import GENERATORS, bits_of, put_state, state_of
from .reaching import VALUES, Holder, reachable

SMALL = 1 << 12  # bytes up to which arrays around a step are compared before each replay: they may be written to
_END = object()  # so that what was added or taken away is seen as a difference


class Surroundings:
    """Everything that a step can reach around it, as it is when this is made."""

    def __init__(self, step: Any, modules: Iterable[Any], arguments: Iterable[Any]) -> None:
        self.generators: dict[int, Any] = {id(x): x for x in (np.random.mtrand._rand, random._inst)}
        self.names: set[str] = set()  # of attributes in the functions that were looked into
        self.holders = list(reachable(step, modules, arguments, self.generators, self.names))
        self.before = [list(holder.now()) for holder in self.holders]
        self._states: dict[int, Any] = {}
        self.look_at_generators()

    def changed(self, inside: bool = False) -> str:
        """The first thing that is not as it was, in words; empty if there is none."""
        for holder, before in zip(self.holders, self.before, strict=True):
            if inside or not holder.inner:
                try:
                    now = list(holder.now())
                except RuntimeError:  # a dict that grows meanwhile
                    now = [*before, None]
                for what, a, b in zip(holder.words(), [*before, _END], [*now, _END], strict=False):
                    if not _alike(a, b):
                        return what
        return ""

    def look_at_generators(self) -> None:
        """Take the states of all generators of random numbers as they are."""
        self._states = {key: pickle.dumps(state_of(x)) for key, x in self.generators.items()}

    def settle(self, callback: Any) -> None:
        """What a callback changed will be changed again: draws, rates of a schedule, what an optimizer keeps."""
        self.look_at_generators()
        schedule = isinstance(getattr(callback, "__self__", None), Schedule)
        optimizer = callback.optimizer if isinstance(callback, Update) else None
        optimizer = callback.__self__.optimizer if schedule else optimizer
        for k, holder in enumerate(self.holders):
            own = optimizer is not None and holder.owner is optimizer and not holder.inner
            if own or (schedule and holder.inner):
                self.before[k] = list(holder.now())

    def moved(self, callback: Any = None, arguments: tuple[Any, ...] = ()) -> str:
        """A generator that somebody else has moved than the callback that just ran, in words."""
        for key, x in self.generators.items():
            now, draws = state_of(x), any(bits_of(a) is bits_of(x) for a in arguments if isinstance(a, GENERATORS))
            if draws:  # from where it was, the same draw must bring it to where it is
                put_state(x, pickle.loads(self._states[key]))
                callback(*arguments)
                again = state_of(x)
                put_state(x, now)
                if pickle.dumps(again) != pickle.dumps(now):
                    return f"the state of a random generator ({type(x).__name__})"
            elif pickle.dumps(now) != self._states[key]:
                return f"the state of a random generator ({type(x).__name__})"
        return ""


class Guards:
    """What a recorded step found around it; `broken` tells whether it is still there."""

    def __init__(self, program: Program, step: Any, modules: Iterable[Any], arguments: Iterable[Any]) -> None:
        self.around = Surroundings(step, modules, arguments)
        optimizers = [i.function for i in program.instructions if i.kind == "update"]  # each update reads its own
        watched = [holder for holder in self.around.holders if not holder.inner]
        holders = [holder for holder in watched if not any(holder.owner is x for x in optimizers)]
        of_modules = [holder for holder in holders if holder.told]
        self._parts = [of_modules, [holder for holder in holders if not holder.told]]
        self._things = [_things(part) for part in self._parts]
        self._seen = CHANGES.number  # what modules hold was as it is when so much had been set
        arrays = {id(x): x for x in chain(*self._things) if isinstance(x, np.ndarray) and x.nbytes <= SMALL}
        self._arrays = [(a, a.shape, a.tobytes()) for a in arrays.values()]
        used = {v.source: None for v in program.tensors()}
        near = dict.fromkeys(x for x in chain(*self._things) if isinstance(x, Node))
        asked = near if "requires_grad" in self.around.names else {}
        self._tensors = [(x, x._array, x._needs) for x in {**used, **asked}]
        self._gradients = [(x, grad) for x in near if (grad := getattr(x, "_grad", None)) in used]

    def broken(self) -> str:
        """What is not as it was when the step was recorded, in words; empty if nothing is."""
        for tensor, array, needs in self._tensors:
            if tensor._array is not array or tensor._needs is not needs:
                return f"a tensor that it uses, {describe(tensor)},"
        for tensor, grad in self._gradients:
            if tensor._grad is not grad:
                return f"the gradient of {describe(tensor)}"
        seen = CHANGES.number
        for k in (0, 1) if seen != self._seen else (1,):
            try:
                now = _things(self._parts[k])
            except RuntimeError:  # a dict that grows meanwhile
                now = []
            if len(now) != len(self._things[k]) or not all(map(is_, now, self._things[k])):
                what = self.around.changed()
                if what:
                    return what
                self._things[k] = now  # other objects of the same value
        self._seen = seen
        if not self._arrays:
            return ""
        changed = (a for a, shape, before in self._arrays if a.shape != shape or a.tobytes() != before)
        return next((f"an array of shape {a.shape} that it uses" for a in changed), "")


def _things(holders: list[Holder]) -> list[Any]:
    """All that they hold."""
    things: list[Any] = []
    for holder in holders:
        space = holder.space
        if space is None:
            things += holder.now()
        else:
            things += space
            things += space.values()
    return things


def _alike(a: Any, b: Any) -> bool:
    """The same thing, or the same number or text: 0.0 is not -0.0, and 1 is not True."""
    return a is b or (type(a) is type(b) and isinstance(a, VALUES) and repr(a) == repr(b))
