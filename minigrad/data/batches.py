"""Mini-batches as index arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._support.randomness import Generator
from .._support.signatures import Array


def shuffled(n: int, batch_size: int, rng: Generator, *, drop_last: bool = False) -> Iterator[Array]:
    """Index arrays that visit 0 .. n - 1 once in random order, `batch_size` at a time.

    What is left at the end is a smaller batch, or is dropped; a last batch of one is merged into the one before, for
    batch norm cannot train on one sample.

    >>> [batch.size for batch in shuffled(7, 3, np.random.default_rng(0))]
    [3, 4]
    """
    _check_sizes("shuffled", n, batch_size)
    order = rng.permutation(n)
    starts = list(range(0, n, batch_size))
    left = n - starts[-1]
    if len(starts) > 1 and left < batch_size and (drop_last or left == 1):
        starts.pop()
    ends = [*starts[1:], starts[-1] + batch_size if drop_last and n >= batch_size else n]
    for start, end in zip(starts, ends, strict=True):
        yield order[start:end]


def with_replacement(n: int, batch_size: int, rng: Generator, *, steps: int | None = None) -> Iterator[Array]:
    """`steps` (n // batch_size) index arrays, each drawn anew from 0 .. n - 1: rng.choice(n, batch_size).

    As the cs231n notebook's solver does; with a RandomState, the very same numbers.
    """
    _check_sizes("with_replacement", n, batch_size)
    for _ in range(max(n // batch_size, 1) if steps is None else steps):
        yield np.asarray(rng.choice(n, batch_size))


def _check_sizes(who: str, n: int, batch_size: int) -> None:
    if n < 1 or batch_size < 1:
        raise ValueError(f"{who}: there must be data and a batch size of at least 1, got n={n} and {batch_size}")
