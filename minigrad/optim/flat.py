"""The parameters of one group and one dtype, end to end in one vector, so that a step is a few calls.

Each parameter's array becomes a view of the vector: updating the vector updates the parameters, and no value is
gathered or written back. A parameter whose array somebody else looks at (a detached tensor, a view taken with
`.data`, an op that was recorded) stays where it is, for the other would no longer follow; so does one that another
optimizer has moved since. Their values are copied in before an update and out after it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ..core.nodes import Node, written
from ..core.tensor import Tensor

Array = np.ndarray[Any, Any]

# Measured on steps of 670,000 parameters: without LARGE SGD takes 1.9 times as long, without BLOCK 1.75 times
LARGE = 1 << 15  # a gradient of so many elements is read where it is; smaller ones are gathered for one call
BLOCK = 1 << 14  # elements at a time: their temporaries stay in the second-level cache


class Flat:
    """Parameters, large ones first, and what an optimizer keeps for them.

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
        self.value = np.empty(self.cuts[-1], params[0].dtype)
        self.state = {name: np.zeros_like(self.value) for name in names}
        self._move_in()

    def _move_in(self) -> None:
        self._large = sum(w.size >= LARGE for w in self.params)  # they come first
        self._homes: list[Callable[[], Array | None]] = [_nowhere] * len(self.params)  # memory of those that live here
        for k, tensor in enumerate(self.params):
            if _unseen(tensor):
                # frombuffer and no slice: its base is no array, so each parameter's memory counts as its own
                offset = self.cuts[k] * self.value.itemsize
                home = np.frombuffer(self.value.data, self.value.dtype, tensor.size, offset)
                home.reshape(tensor.shape)[...] = tensor._array
                tensor._array = home.reshape(tensor.shape)  # its version stays
                self._homes[k] = weakref.ref(home)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, whose parameters are others and move into a vector of their own."""
        return {name: part for name, part in vars(self).items() if name != "_homes"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._move_in()

    def of(self, k: int) -> slice:
        """Where params[k] is in each vector."""
        return slice(self.cuts[k], self.cuts[k + 1])

    def updates(self, gradients: Array | None = None) -> Iterator[tuple[Array, Array, dict[str, Array], int]]:
        """(values, their gradients, state, number of the step) of each stretch that one call is to update in place.

        The gradients are those of the parameters that have one, or, given as one vector, of all.
        """
        for start, stop in self._runs(everything=gradients is not None):
            away = self.away(start, stop)
            for k in away:
                self.value[self.of(k)] = self.params[k]._array.ravel()
            for first, last in [(start, stop)] if gradients is not None else self._pieces(start, stop):
                part = slice(self.cuts[first], self.cuts[last])
                gradient = self._gathered(first, last) if gradients is None else gradients[part]
                value, state = self.value, self.state
                if last - first < len(self.params):
                    value, state = value[part], {name: vector[part] for name, vector in state.items()}
                yield value, gradient, state, self.steps[start] + 1
            for k in away:
                array = self.params[k]._array
                array[...] = self.value[self.of(k)].reshape(array.shape)
            self.steps[start:stop] = [self.steps[start] + 1] * (stop - start)
            written(*self.params[start:stop])

    def away(self, start: int, stop: int) -> list[int]:
        """The parameters that live elsewhere."""
        some = zip(range(start, stop), self.params[start:stop], self._homes[start:stop], strict=True)
        return [k for k, w, home in some if (base := w._array.base) is None or home() is not base]

    def _runs(self, everything: bool) -> list[tuple[int, int]]:
        """Stretches of neighbours that have a gradient (or everything) and the same count of steps."""
        n, steps = len(self.params), self.steps
        still = [] if everything else [k for k, w in enumerate(self.params) if getattr(w, "_grad", None) is None]
        if not still and steps.count(steps[0]) == n:
            return [(0, n)]
        cuts = {0, n, *still, *(k + 1 for k in still), *(k for k in range(1, n) if steps[k] != steps[k - 1])}
        return [(start, stop) for start, stop in pairwise(sorted(cuts)) if start not in still]

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """A run cut into what takes one call each: every large parameter, and all small ones together."""
        return pairwise([start, *range(start + 1, min(stop, self._large + 1)), stop])

    def _gathered(self, start: int, stop: int) -> Array:
        """Gradients as one vector, not to be written to: where there is one alone, it itself."""
        found = [w._grad for w in self.params[start:stop]]
        arrays = [d._array if isinstance(d, Node) else d for d in found]  # a replayed step leaves bare arrays
        if len(arrays) > 1:
            return np.concatenate(arrays, None)
        flat: Array = arrays[0].ravel()
        # a gradient can be the parameter itself, w.grad = w.detach(): then it is copied
        return flat.copy() if np.may_share_memory(flat, self.value) else flat


def _nowhere() -> None:
    """In place of a reference to the memory of a parameter that does not live here."""


def blocks(*vectors: Array) -> Iterable[tuple[Array, ...]]:
    """Vectors of one length in parts that stay in the cache while they are worked on."""
    n = vectors[0].size
    return [vectors] if n <= BLOCK else [tuple([v[k : k + BLOCK] for v in vectors]) for k in range(0, n, BLOCK)]


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
    if _count is None or not tensor._array.size or _holders(tensor) > _ALONE:
        return False
    flags, base = tensor._array.flags, tensor._array.base
    if not (flags.c_contiguous and flags.writeable):
        return False
    in_a_vector = isinstance(base, np.ndarray) and isinstance(base.base, memoryview)
    del base
    return flags.owndata or (in_a_vector and _holders_of_base(tensor) <= _ALONE_BASE)
