"""Random cases for `compare`: shapes and dtypes from a given set, data of several kinds, the smallest failure kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .arguments import array_of

Shapes: TypeAlias = Sequence[tuple[int, ...]]
Draw: TypeAlias = Callable[[np.random.Generator, Shapes, str], Sequence[Any]]


class Trial(NamedTuple):
    """One random case: the inputs, and the words to find it again."""

    inputs: list[Any]
    seed: int
    kind: str

    @property
    def size(self) -> int:
        """How many numbers go in: the measure of "smallest"."""
        return sum(array_of(x).size for x in self.inputs if x is not None)

    def __str__(self) -> str:
        shapes = ", ".join(str(array_of(x).shape) for x in self.inputs)
        dtypes = sorted({str(array_of(x).dtype) for x in self.inputs})
        return f"shapes {shapes}, {' and '.join(dtypes)}, {self.kind} data, seed {self.seed}"


def cases(count: int, shapes: Sequence[Shapes], dtypes: Sequence[str], seed: int, draw: Draw | None) -> Iterator[Trial]:
    """`count` cases; the first go through all combinations of shapes and dtypes in turn."""
    combinations = [(s, d) for s in shapes for d in dtypes]
    for k in range(count if combinations else 0):
        rng = np.random.default_rng((seed, k))
        chosen, dtype = combinations[k % len(combinations)]
        if draw is not None:
            yield Trial(list(draw(rng, chosen, dtype)), k, "drawn")
            continue
        kind = ("ordinary", "far from zero", "partly constant", "small whole")[int(rng.integers(4))]
        yield Trial([_data(rng, shape, kind).astype(dtype) for shape in chosen], k, kind)


def _data(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray[Any, Any]:
    x = rng.normal(size=shape)
    if kind == "far from zero":
        return x + float(10.0 ** rng.uniform(0, 3) * rng.choice([-1, 1]))
    if kind == "partly constant" and x.size and x.ndim:
        x[..., 0] = rng.normal()
    return np.round(3 * x) if kind == "small whole" else x
