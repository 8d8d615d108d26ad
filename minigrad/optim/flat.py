"""Slabs: the parameters of one group and one dtype, end to end in one vector, so that a step is a few calls.

Each parameter's array becomes a view of the vector: updating the vector updates the parameters, and no value is
gathered or written back. A parameter whose array somebody else looks at (a detached tensor, a view taken with
`.data`, an op that was recorded) stays where it is, for the other would no longer follow; so does one that another
optimizer has moved since. Their values are copied in before an update and out after it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from ..core.nodes import Node, raw, written
from ..core.tensor import Tensor

Array = np.ndarray[Any, Any]

LARGE = 1 << 15  # elements from which a gradient is read where it is; to gather smaller ones costs less than a call
BLOCK = 1 << 14  # elements whose temporaries stay in the second-level cache, and below what malloc asks the system for


class Piece(NamedTuple):
    """A stretch of a slab that is updated by one call: params[start:stop]."""

    start: int
    stop: int
    value: Array
    slope: Array  # where their gradients are gathered
    state: dict[str, Array]


class Slab:
    """Parameters, large ones first; their places in the order that the user gave, and in the vectors.

    params   Tensors of one dtype
    numbers  their places in the order that the user gave
    cuts     params[k] occupies cuts[k] : cuts[k + 1] of each vector
    steps    how often each was updated
    value    the vector that they live in
    state    further vectors by name, zeros at first
    """

    def __init__(self, params: Sequence[Tensor], numbers: Sequence[int], names: Sequence[str]) -> None:
        order = sorted(range(len(params)), key=lambda k: params[k].size < LARGE)
        self.params = [params[k] for k in order]
        self.numbers = [numbers[k] for k in order]
        self.cuts = [0, *accumulate(tensor.size for tensor in self.params)]
        self.steps = [0] * len(order)
        dtype = params[0].dtype
        self.value = np.empty(self.cuts[-1], dtype)
        self.state = {name: np.zeros(self.cuts[-1], dtype) for name in names}
        self._move_in()

    def _move_in(self) -> None:
        self._slope = np.empty_like(self.value)
        self._pieces: dict[tuple[int, int], Piece] = {}
        self._homes: list[Callable[[], Array | None]] = [_nowhere] * len(self.params)  # memory of those that live here
        self._seen: list[Callable[[], Array | None]] = [_nowhere] * len(self.params)  # their arrays, which it only sees
        memory = self.value.data
        for k, tensor in enumerate(self.params):
            if _unseen(tensor):
                # by frombuffer, for then no array stands behind it: each parameter has memory of its own to whoever
                # counts who looks at it
                home = np.frombuffer(memory, self.value.dtype, tensor.size, self.cuts[k] * self.value.itemsize)
                array = home.reshape(tensor.shape)
                array[...] = tensor._array
                tensor._array = array  # its version stays, and so does what was written to it before
                self._homes[k], self._seen[k] = weakref.ref(home), weakref.ref(array)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, whose parameters are others and move into a vector of their own."""
        return {name: part for name, part in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._move_in()

    def _at_home(self, k: int) -> bool:
        base = self.params[k]._array.base
        return base is not None and self._homes[k]() is base

    def runs(self, everything: bool = False) -> list[tuple[int, int]]:
        """Stretches of neighbours that have a gradient (or everything) and the same count of steps."""
        n, steps = len(self.params), self.steps
        still = [] if everything else [k for k, w in enumerate(self.params) if getattr(w, "_grad", None) is None]
        if not still and steps.count(steps[0]) == n:
            return [(0, n)]
        cuts = {0, n, *still, *(k + 1 for k in still), *(k for k in range(1, n) if steps[k] != steps[k - 1])}
        return [(start, stop) for start, stop in pairwise(sorted(cuts)) if start not in still]

    def pieces(self, start: int, stop: int) -> list[Piece]:
        """A run cut into what takes one call each: every large parameter, and all small ones together."""
        large = next((k for k in range(start, stop) if self.params[k].size < LARGE), stop)
        marks = [*range(start, large), *([large] if large < stop else []), stop]
        return [self.piece(a, b) for a, b in pairwise(marks)]

    def piece(self, start: int, stop: int) -> Piece:
        """params[start:stop] as one."""
        found = self._pieces.get((start, stop))
        if found is None:
            part = slice(self.cuts[start], self.cuts[stop])
            state = {name: vector[part] for name, vector in self.state.items()}
            found = self._pieces[start, stop] = Piece(start, stop, self.value[part], self._slope[part], state)
        return found

    def slope(self, piece: Piece) -> Array:
        """The gradients of a piece as one vector, not to be written to: where there is one alone, it itself."""
        given = [tensor._grad for tensor in self.params[piece.start : piece.stop]]
        flat = [raw(slope).ravel() for slope in given]  # a replayed step leaves bare arrays
        # a gradient can be the parameter itself, w.grad = w.detach(): then it is copied as well
        alone = len(flat) == 1 and not np.may_share_memory(flat[0], piece.value)
        return flat[0] if alone else np.concatenate(flat, out=piece.slope)

    def fetch(self, start: int, stop: int) -> list[int]:
        """Copy into the vector what lives elsewhere; says which of params[start:stop] that are."""
        params, seen = self.params, self._seen
        away = [k for k in range(start, stop) if params[k]._array is not seen[k]()]
        if away:  # or seen through another view
            away = [k for k in away if not self._at_home(k)]
        for k in away:
            self.value[self.cuts[k] : self.cuts[k + 1]] = self.params[k]._array.ravel()
        return away

    def deliver(self, start: int, stop: int, away: list[int]) -> None:
        """After an update of a run, params[start:stop]: write what lives elsewhere, count, and note the writing."""
        for k in away:
            array = self.params[k]._array
            array[...] = self.value[self.cuts[k] : self.cuts[k + 1]].reshape(array.shape)
        self.steps[start:stop] = [self.steps[start] + 1] * (stop - start)
        written(*self.params[start:stop])


def _nowhere() -> None:
    """In place of a reference to the array of a parameter that does not live here."""


def blocks(*vectors: Array) -> Iterator[tuple[Array, ...]]:
    """Vectors of one length in parts that stay in the cache while they are worked on."""
    n = vectors[0].size
    if n <= BLOCK:
        yield vectors
        return
    for start in range(0, n, BLOCK):
        yield tuple([vector[start : start + BLOCK] for vector in vectors])


# --------------------------------------------------------------------------------------------------------------
# Whether anybody else looks at an array

_count: Any = getattr(sys, "getrefcount", None)


def _holders(tensor: Node) -> int:
    return int(_count(tensor._array))


def _holders_of_base(tensor: Node) -> int:
    return int(_count(tensor._array.base))


# the counts of an array that one tensor alone holds, and of the base of one
_sample = Node._leaf(np.frombuffer(np.zeros(1).data).reshape(1))
_ALONE, _ALONE_BASE = (_holders(_sample), _holders_of_base(_sample)) if _count is not None else (0, 0)


def _unseen(tensor: Tensor) -> bool:
    """Whether the array of a tensor can be replaced by another with the same values, and nobody will notice."""
    array = tensor._array
    flags = array.flags
    if not (array.size and flags.c_contiguous and flags.writeable and _count is not None):
        return False
    base, owned = array.base, flags.owndata
    in_a_slab = isinstance(base, np.ndarray) and isinstance(base.base, memoryview)
    del array, base, flags
    if _holders(tensor) > _ALONE:
        return False
    return owned or (in_a_slab and _holders_of_base(tensor) <= _ALONE_BASE)
