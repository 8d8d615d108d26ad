"""What terms are worth at a point: in floats of any precision, and exactly in the integers modulo 2**31 - 1.

Every array has all axes of the derivation, of length 1 where it does not depend on one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from ..core.nodes import registry
from ..program.modular import Field, P, power, residue
from .terms import REDUCTIONS, Term

Array = np.ndarray[Any, Any]


class Arithmetic(Protocol):
    """Numbers of one kind."""

    def number(self, c: Any) -> Any: ...
    def power(self, a: Array, e: int) -> Array: ...
    def times(self, a: Any, b: Any) -> Any: ...
    def plus(self, a: Any, b: Any) -> Any: ...
    def apply(self, name: str, inputs: Any, params: dict[str, Any]) -> Array: ...


class Floats:
    """Floating-point numbers, computed by the primitives."""

    def __init__(self, dtype: Any = np.float64) -> None:
        self.dtype = np.dtype(dtype)

    def number(self, c: Any) -> Any:
        return self.dtype.type(float(c))

    def power(self, a: Array, e: int) -> Array:
        whole = functools.reduce(np.multiply, [a] * abs(e))
        return whole if e > 0 else np.asarray(self.number(1) / whole)

    def times(self, a: Any, b: Any) -> Any:
        return a * b

    def plus(self, a: Any, b: Any) -> Any:
        return a + b

    def apply(self, name: str, inputs: Any, params: dict[str, Any]) -> Array:
        return np.asarray(registry[name].op.kernel(*inputs, **params))


class Exact(Field):
    """Elements of the field."""

    def number(self, c: Any) -> Any:
        return residue(c)

    def power(self, a: Array, e: int) -> Array:
        return power(a, e)

    def times(self, a: Any, b: Any) -> Any:
        return a * b % P

    def plus(self, a: Any, b: Any) -> Any:
        return (a + b) % P


class Point:
    """Values of all terms, given those of the inputs."""

    def __init__(self, on: Arithmetic, lengths: Iterable[int], inputs: Mapping[Term, Array]) -> None:
        self.on, self.lengths, self.memo = on, tuple(lengths), dict(inputs)

    def at(self, t: Term) -> Array:
        """The value of a term."""
        if t not in self.memo:
            with np.errstate(all="ignore"):
                self.memo[t] = self._computed(t)
        return self.memo[t]

    def _computed(self, t: Term) -> Array:
        on, ones = self.on, (1,) * len(self.lengths)
        if t.op == "name":
            if t.definition is None:
                raise KeyError(f"{t.name} has no value here")
            return self.at(t.definition)
        if t.op in ("N", "number"):
            return np.full(ones, on.number(self.lengths[t.par] if t.op == "N" else t.par))
        given = [self.at(a) for a in t.args]
        if t.op == "product":
            factors = [on.power(a, e) for a, e in zip(given, t.par[1], strict=True)]
            if not factors or t.par[0] != 1:
                factors.insert(0, np.full(ones, on.number(t.par[0])))
            return np.asarray(functools.reduce(on.times, factors))
        if t.op == "lin":
            parts = [on.times(a, on.number(c)) if c != 1 else a for a, c in zip(given, t.par, strict=True)]
            return np.asarray(functools.reduce(on.plus, parts))
        if t.op in REDUCTIONS:
            (a,) = given
            wide = [n if k in t.par or m > 1 else m for k, (n, m) in enumerate(zip(self.lengths, a.shape, strict=True))]
            return on.apply(t.op, (np.broadcast_to(a, wide),), {"axis": t.par, "keepdims": True})
        if t.op == "one_hot":
            at = [self.lengths[k] if k == t.par else 1 for k in range(len(self.lengths))]
            hot = given[0] == np.arange(self.lengths[t.par]).reshape(at)
            return np.asarray(hot, np.int64 if isinstance(on, Field) else on.number(0).dtype)
        return on.apply(t.op, given, dict(t.par or ()))  # par: parameters such as slope


def relative(a: Array, b: Array, scale: float = 0.0) -> float:
    """max|a - b| over the largest number that is around; infinite where only one of them is finite."""
    with np.errstate(all="ignore"):
        a, b = np.broadcast_arrays(a.astype(float), b.astype(float))
        there = np.isfinite(a)
        if not np.isfinite(b[there]).all():
            return float("inf")
        largest = max([scale, 1e-300, *(float(np.abs(v[there]).max(initial=0)) for v in (a, b))])
        return float(np.abs(a - b)[there].max(initial=0)) / largest
