"""Everything that a program writes to, copied, so that a run of it can be undone and compared."""

from __future__ import annotations

import copy
import pickle
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..core.nodes import Node, describe, raw
from ..optim.optimizers import Optimizer
from ..optim.schedules import Schedule
from ..program import Instruction, Program
from .progress import GENERATORS, put_state, state_of

DEPTH = 4  # an optimizer of the user's -> its attribute -> a dict in it
_FIXED = (type, types.FunctionType, types.MethodType, types.ModuleType)


class State:
    """Tensors that a program writes, their gradients, optimizers, schedules, modules, and generators, as they are now.

    arrays   {in words: an array that is written in place}
    """

    def __init__(self, program: Program, generators: Iterable[Any]) -> None:
        self._program = program
        self._generators = {id(x): x for x in generators}
        self._objects: dict[int, Any] = {}
        self._contents: dict[int, tuple[Any, Any]] = {}  # what an optimizer of the user's keeps besides, in place
        self._arrays: dict[int, tuple[str, Any]] = {}
        self._leaves: dict[Node, Any] = {value.source: None for value in program.gradients}
        for instruction in program.instructions:
            self._add(instruction)
        self._leaves = {leaf: getattr(leaf, "_grad", None) for leaf in self._leaves}
        self._copies = {key: array.copy() for key, (_, array) in self._arrays.items()}
        self._attributes = {key: dict(space) for key, space in self._spaces()}
        self._states = {key: state_of(x) for key, x in self._generators.items()}

    def _add(self, i: Instruction) -> None:
        function: Any = i.function
        for leaf in i.writes:
            self._arrays[id(leaf._array)] = f"{leaf.name or describe(leaf)}, written by {i.name}", leaf._array
            if i.kind == "update":
                self._leaves[leaf] = None
        if i.kind in ("call", "update"):
            for x in (function, getattr(function, "__self__", None), *i.inputs):
                self._object(x)

    def _object(self, x: Any) -> None:
        if id(x) in self._objects:
            return
        if isinstance(x, GENERATORS):
            self._generators[id(x)] = x
        elif isinstance(x, Optimizer):
            for _, flat in x._flat:
                self._objects[id(flat)] = flat
                for name, vector in flat.state.items():
                    self._arrays[id(vector)] = f"{name} of {type(x).__name__}", vector
            self._objects[id(x)] = x
            own = {name: part for name, part in vars(x).items() if name not in ("groups", "_flat")}
            self._contents[id(x)] = vars(x), dict(vars(x))
            for part in own.values():
                self._inside(part, f"an array that {type(x).__name__} keeps")
        elif isinstance(x, Schedule):
            self._objects[id(x)] = x
            self._object(x.optimizer)
        elif hasattr(x, "named_tensors"):
            self._objects[id(x)] = x
            for name, tensor in x.named_tensors():
                self._arrays.setdefault(id(tensor._array), (name, tensor._array))

    def _inside(self, x: Any, what: str, depth: int = 1) -> None:
        """What can be changed in x: others may hold it too, so it is put back in place and never replaced."""
        if isinstance(x, (*GENERATORS, Optimizer, Schedule)) or hasattr(x, "named_tensors"):
            return self._object(x)
        x = raw(x)
        parts: Iterable[Any] = ()
        if isinstance(x, np.ndarray):
            if x.flags.writeable and x.dtype.kind != "O":
                self._arrays.setdefault(id(x), (what, x))
        elif depth > DEPTH or id(x) in self._contents or isinstance(x, _FIXED):
            return
        elif isinstance(x, (list, dict, set, deque)):
            self._contents[id(x)] = x, copy.copy(x)
            parts = x.values() if isinstance(x, dict) else x
        elif isinstance(x, tuple):
            parts = x
        elif hasattr(x, "__dict__"):
            self._contents[id(x)] = vars(x), dict(vars(x))
            parts = vars(x).values()
        for part in parts:
            self._inside(part, what, depth + 1)

    def _spaces(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        for key, x in self._objects.items():
            if isinstance(x, Optimizer):
                yield from (((key, k), group) for k, group in enumerate(x.groups))
            else:
                yield key, {**vars(x), "steps": list(x.steps)} if hasattr(x, "steps") else vars(x)

    def again(self) -> State:
        """The same, as it is now."""
        return State(self._program, self._generators.values())

    def restore(self) -> None:
        """Put everything back. Until all is there, optimizers say that they were interrupted."""
        optimizers = [x for x in self._objects.values() if isinstance(x, Optimizer)]
        for x in optimizers:
            x.interrupted = True
        for key, (_, array) in self._arrays.items():
            array[...] = self._copies[key]
        for leaf, grad in self._leaves.items():
            leaf._grad = grad
        for key, x in self._objects.items():
            if isinstance(x, Optimizer):
                for k, group in enumerate(x.groups):
                    group.update(self._attributes[key, k])
            elif hasattr(x, "steps"):
                x.steps[:] = self._attributes[key]["steps"]
            else:
                vars(x).update(self._attributes[key])
        for key, x in self._generators.items():
            put_state(x, self._states[key])
        for x, before in reversed(self._contents.values()):  # what optimizers say comes last
            _put_back(x, before)

    def compared(self, other: State) -> Iterator[tuple[str, Any, Any]]:
        """(what, array here, array there) of everything that was written."""
        for key, (what, _) in self._arrays.items():
            if key in other._copies:
                yield what, self._copies[key], other._copies[key]
        for key, x in self._generators.items():
            if key in other._states:
                mine, theirs = pickle.dumps(self._states[key]), pickle.dumps(other._states[key])
                yield f"the state of {type(x).__name__}", np.frombuffer(mine, np.uint8), np.frombuffer(theirs, np.uint8)


def _put_back(x: Any, before: Any) -> None:
    """Have a list, dict, set or deque hold again what it held: a list, or a dict of the same keys, is never empty."""
    if isinstance(x, list):
        x[:] = before
        return
    if not isinstance(x, dict) or list(x) != list(before):
        x.clear()
    (x.extend if isinstance(x, deque) else x.update)(before)
