"""Finding the first NaN or infinity: `detect_anomalies()` looks at every result, forward and backward.

Slower, so it is switched on for the run that went wrong and off again. Knows how values are recorded, nothing of
what the ops compute.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from ._support.source_lines import source_line
from .core.context import Observer, using
from .core.nodes import Node, Primitive, Version, describe, raw


class Lines(Observer):
    """Keeps with each result the line of the user's code that computed it."""

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """Called with every result of an op."""
        node._line = source_line()


def record_lines() -> using:
    """Keep with each op recorded inside the file and line of the user's code that called it (slower)."""
    return using(Lines())


def detect_anomalies() -> using:
    """Raise FloatingPointError at the first op whose result, or whose rule's gradient, holds NaN or infinity.

    Also where the memory of an op's inputs or result was changed past NumPy (ctypes, torch.from_numpy(t.data)) between
    the op and its rule.

    The message names the op, where its result lives, how many elements and which first, statistics of what it was
    given, and the source line that recorded it. A context manager and a decorator, per thread; ops recorded inside
    are watched forward, and every backward() run inside is watched too.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 0.0], requires_grad=True, name="x")
    >>> with detect_anomalies():
    ...     y = mg.sqrt(x).sum()
    ...     try:
    ...         y.backward()
    ...     except FloatingPointError as error:
    ...         print(str(error).split(";")[0])
    the rule of sqrt made infinity in 1 of 2 elements (first at [1]) of the gradient of its input x: (2,) float64
    """
    return using(Lines(), Watch())


class Watch(Observer):
    """Looks at every result, at every gradient that a rule sends, and at whether what was kept for rules is the same.

    `.data` cannot be written to by NumPy; by ctypes or torch.from_numpy it can, and no version would know.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, list[int]]] = {}  # by the number of a node

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """Called with every result of an op."""
        if node.op is not None:
            self._seen[node.number] = Version.latest, _fingerprints(node)
        strange = _strange(node._array)
        if not strange:
            return
        before = [x for x in inputs if isinstance(x, Node) and _strange(x._array)]
        what = f"{op.name} made {strange} of its result"
        if before:
            what = f"{op.name} was given {describe(before[0])}, which already holds {_strange(before[0]._array)}"
        raise FloatingPointError(_message(what, _inputs(op, inputs), getattr(node, "_line", None)))

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        """Called with what the rule of each op sends to its inputs."""
        op: Primitive = node.op  # type: ignore[assignment]
        latest, before = self._seen.get(node.number, (-1, []))
        if latest == Version.latest and before != _fingerprints(node):  # a write that is known raises by itself
            what = f"what {op.name} was given or gave has changed since, past NumPy; write a leaf by t.data = values"
            raise FloatingPointError(_message(what, _inputs(op, node.given), getattr(node, "_line", None)))
        for position, d in gradients:
            strange = _strange(raw(d))
            if strange:
                given = [("incoming gradient", raw(g)), *_inputs(op, node.given)]
                if _strange(raw(g)):
                    what = f"the gradient that arrives at {op.name} already holds {_strange(raw(g))}"
                else:
                    of = describe(node.inputs[position])
                    what = f"the rule of {op.name} made {strange} of the gradient of its input {of}"
                raise FloatingPointError(_message(what, given, getattr(node, "_line", None)))


def _fingerprints(node: Node) -> list[int]:
    """Checksums of all that the rule of a node may read."""
    return [zlib.crc32(a.tobytes()) for a in (*node.arrays, node._array) if isinstance(a, np.ndarray)]


def _strange(a: Any) -> str:
    """What is not finite in an array, in words; empty if all is."""
    a = np.asarray(a)
    if a.dtype.kind != "f":
        return ""
    bad = ~np.isfinite(a)
    if not bad.any():
        return ""
    nan, infinite = np.isnan(a).any(), np.isinf(a).any()
    kind = "NaN and infinity" if nan and infinite else "NaN" if nan else "infinity"
    first = [int(k) for k in np.argwhere(bad)[0]]
    return f"{kind} in {int(bad.sum())} of {a.size} elements" + (f" (first at {first})" if first else "")


def _inputs(op: Primitive, inputs: tuple[Any, ...]) -> list[tuple[str, Any]]:
    names = op.input_names * len(inputs) if op.variadic else op.input_names
    return [
        (name if getattr(x, "_name", None) in (None, name) else f"{name} ({x._name})", raw(x))
        for name, x in zip(names, inputs, strict=False)
    ]


def _message(what: str, given: list[tuple[str, Any]], line: tuple[str, int] | None) -> str:
    parts = [what, *(f"{name}: {_statistics(value)}" for name, value in given)]
    if line is not None:
        parts.append(f"recorded at {line[0]}:{line[1]}")
    return "; ".join(parts)


def _statistics(value: Any) -> str:
    """Shape, range and mean of the finite part."""
    if not isinstance(value, np.ndarray):
        return repr(value)
    finite = value[np.isfinite(value)] if value.dtype.kind == "f" else value
    if not finite.size:
        return f"{value.shape} {value.dtype}, nothing finite" if value.size else f"{value.shape} {value.dtype}, empty"
    rest = value.size - finite.size
    numbers = f"{finite.min():.4g} .. {finite.max():.4g}, mean {finite.mean():.4g}"
    return f"{value.shape} {value.dtype}, {numbers}" + (f", {rest} not finite" if rest else "")
