"""Users' kernels and rules get arrays that they cannot write to: the graph and the caller own those.

Knows NumPy alone. The package's own primitives are tested for writing to nothing, and are spared the cost.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np


def read_only(x: Any) -> Any:
    """A view of an array through which it cannot be written; anything else as it is (tuples element by element)."""
    if isinstance(x, tuple):
        return tuple([read_only(part) for part in x])
    if x.__class__ is not np.ndarray:
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with every array that it is given made read-only; NumPy raises ValueError where it writes.

    >>> def doubled(x): return np.multiply(x, 2, out=x)
    >>> guarded(doubled)(np.ones(2))
    Traceback (most recent call last):
    ValueError: output array is read-only
    """

    @functools.wraps(function)
    def call(*args: Any, **params: Any) -> Any:
        return function(*[read_only(x) for x in args], **{k: read_only(v) for k, v in params.items()})

    return call
