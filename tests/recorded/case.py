"""One computation, said twice; its inputs, drawn alike wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FILE = Path(__file__).with_name("torch.npz")


@dataclass(frozen=True)
class Case:
    """What minigrad gives, and what PyTorch (the module, handed over) gives: lists of arrays.

    bound  what they may differ by, of each array's largest element
    """

    name: str
    ours: Callable[[], Sequence[Any]]
    theirs: Callable[[Any], Sequence[Any]]
    bound: float = 1e-11

    def __str__(self) -> str:
        return self.name


def flat(arrays: Sequence[Any]) -> Array:
    """All numbers of all arrays, in float64."""
    return np.concatenate([np.asarray(a, float).ravel() for a in arrays])


def drawn(seed: int, *shape: int, scale: float = 1.0) -> Array:
    """Normal numbers that are the same for ever."""
    return np.asarray(np.random.RandomState(seed).normal(0.0, scale, shape))


def assert_close(mine: Sequence[Any], expected: Array, bound: float) -> None:
    """Each array against its stretch of the recording."""
    sizes = [np.size(a) for a in mine]
    assert sum(sizes) == expected.size
    for k, (a, b) in enumerate(zip(mine, np.split(expected, np.cumsum(sizes)[:-1]), strict=True)):
        largest = np.abs(b).max(initial=1e-300)
        np.testing.assert_allclose(flat([a]) / largest, b / largest, rtol=0, atol=bound, err_msg=f"array {k}")
