"""Recording a function for a derivation: three times, at different lengths, and which axes of which values are one.

Axes are told apart by following them from the inputs through every op, never by their lengths.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .._support.arrays import plain
from .._support.shapes import axes_of
from ..core.nodes import Node
from ..program import Instruction, Program, Value
from ..program.passes import opened, without_repeats
from ..program.recording import NotRecordable, record
from .terms import REDUCTIONS

Array = np.ndarray[Any, Any]

ELEMENTWISE = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "square",
        "pow",
        "exp",
        "log",
        "sqrt",
        "log1p",
        "expm1",
        "tanh",
        "sigmoid",
        "softplus",
        "abs",
        "sin",
        "cos",
        "sign",
        "relu",
        "leaky_relu",
        "erf",
        "gelu",
        "silu",
        "clip",
        "where",
        "maximum",
        "minimum",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "isnan",
        "logical_and",
        "logical_or",
        "logical_not",
        "less_equal",
    ]
)
SAME = frozenset(("reshape", "broadcast_to", "expand_dims", "squeeze", "astype", "class_numbers"))
TURNS = frozenset(("transpose", "swapaxes"))


class NotDerivable(TypeError):
    """What a derivation cannot read; the message says what, and what to do."""


class AxisSets:
    """Which axes of which values are one: sets that are merged."""

    def __init__(self) -> None:
        self.parent: dict[Any, Any] = {}

    def find(self, key: Any) -> Any:
        while key in self.parent:
            key = self.parent[key]
        return key

    def same(self, a: Any, b: Any) -> None:
        a, b = self.find(a), self.find(b)
        if a != b:
            self.parent[b] = a

    def align(self, x: Value, y: Value) -> None:
        """Axes that broadcasting puts beside one another."""
        for j, k in zip(reversed(range(len(x.shape))), reversed(range(len(y.shape))), strict=False):
            if x.shape[j] == y.shape[k] != 1:
                self.same((x, j), (y, k))

    def follow(self, i: Instruction) -> None:
        """What one instruction says of axes."""
        out, arrays = i.outputs[0], [v for v in i.inputs if isinstance(v, Value)]
        if i.name in ELEMENTWISE or i.name in ("astype", "broadcast_to", "class_numbers"):
            for v in arrays:
                self.align(out, v)
        elif i.name in REDUCTIONS or i.name == "largest":
            axis = i.params["axis"] if i.kind == "op" else i.inputs[1]
            axes = axes_of(axis, len(arrays[0].shape))
            if len(out.shape) == len(arrays[0].shape):
                self.align(out, arrays[0])
            else:
                kept = [k for k in range(len(arrays[0].shape)) if k not in axes]
                for j, k in enumerate(kept):
                    self.same((out, j), (arrays[0], k))
        elif i.name in ("reshape", "expand_dims", "squeeze"):
            old, new = ([k for k, n in enumerate(v.shape) if n != 1] for v in (arrays[0], out))
            if [arrays[0].shape[k] for k in old] != [out.shape[k] for k in new]:
                raise NotDerivable(
                    f"{i.name} from {arrays[0].shape} to {out.shape} joins or splits axes, and a formula "
                    "knows them one by one: derive the part before or after it"
                )
            for j, k in zip(old, new, strict=True):
                self.same((out, k), (arrays[0], j))
        elif i.name in TURNS:
            for j, k in enumerate(_turned(i)):
                self.same((out, j), (arrays[0], k))
        elif i.name == "matmul":
            a, b = arrays
            if len(a.shape) != 2 or len(b.shape) != 2:
                raise NotDerivable(f"matmul of shapes {a.shape} and {b.shape}: matrices times matrices are known")
            for left, right in (((a, 1), (b, 0)), ((out, 0), (a, 0)), ((out, 1), (b, 1))):
                self.same(left, right)
        elif i.name in ("getitem", "put"):
            wide, narrow, labels = picked(i)
            for left, right in (((narrow, 0), (wide, 0)), ((narrow, 0), (labels, 0))):
                self.same(left, right)
        elif i.name == "one_hot":
            self.same((out, 0), (arrays[0], 0))
        else:
            raise NotDerivable(
                f"{i.name} has no terms: a derivation knows elementwise functions, reductions, shapes, matmul, and one "
                "entry a row picked by labels"
            )


def _turned(i: Instruction) -> list[int]:
    """Where each axis of a transposed array comes from."""
    x: Value = i.inputs[0]
    places = np.arange(len(x.shape))
    if i.name == "transpose":
        return [int(k) for k in (places[::-1] if i.params["axes"] is None else places[list(i.params["axes"])])]
    return [int(k) for k in _swapped(places, i.params["axis1"], i.params["axis2"])]


def _swapped(places: Any, a: int, b: int) -> Any:
    places = places.copy()
    places[[a, b]] = places[[b, a]]
    return places


def picked(i: Instruction) -> tuple[Value, Value, Value]:
    """(the array of rows, the entry of each, the labels) of x[arange(n), labels] and of its rule."""
    x, out, index = i.inputs[0], i.outputs[0], i.params["index"]
    if isinstance(index, tuple) and len(index) == 2 and all(isinstance(part, Value) for part in index):
        rows, labels = index
        if np.array_equal(rows.array, np.arange(len(rows.array))) and labels.kind != "constant":
            return (x, out, labels) if i.name == "getitem" else (out, x, labels)
    raise NotDerivable(
        f"{i.name} at line {i.line[1] if i.line else '?'}: of indexing, x[arange(n), labels] with labels as an input "
        "of the function is known"
    )


def recordings(f: Callable[..., Any], inputs: Sequence[Any]) -> list[Program]:
    """The function recorded on its inputs, and at two other choices of lengths."""
    arrays = [_array(x) for x in inputs]
    first = _plain(record(f, *arrays))
    axes = followed(first)
    if tensors := first.tensors():
        raise NotDerivable(
            f"f reads the tensor {tensors[0].name or ''} of shape {tensors[0].shape} from around it: pass it as an "
            "input"
        )
    if not first.gradients:
        raise NotDerivable("no gradient is wanted: f must depend on an input of floating-point numbers")
    if len(first.results) != 1 or first.template is not first.results[0]:
        raise NotDerivable("f must return one Tensor")
    keys = dict.fromkeys(axes.find((v, k)) for v in arguments_of(first) for k, n in enumerate(v.shape) if n != 1)
    labels = [v for v in first.inputs if v.dtype.kind in "iu"]
    least = max([2, *(int(v.array.max(initial=0)) + 1 for v in labels)])
    primes = _primes(least)
    found = [first]
    for _ in range(2):
        lengths = {key: next(primes) for key in keys}

        def resized(v: Value, lengths: dict[Any, int] = lengths) -> Array:
            shape = [n if n == 1 else lengths[axes.find((v, k))] for k, n in enumerate(v.shape)]
            return np.resize(v.array, shape)

        ends = iter([v for v in first.inputs if v not in first.cotangents])
        again = [resized(next(ends)) if isinstance(x, np.ndarray) else x for x in arrays]
        try:
            other = _plain(record(f, *again))
        except NotRecordable:
            raise
        except Exception as error:
            shapes = [x.shape for x in again if isinstance(x, np.ndarray)]
            raise NotDerivable(
                f"to tell a length from a number, f is called with other lengths, {shapes}, and failed: {error}. Pass "
                "every array as an input, and let shapes follow from theirs"
            ) from error
        if [(i.kind, i.name) for i in other.instructions] != [(i.kind, i.name) for i in first.instructions]:
            raise NotDerivable("f computes something else when lengths change; derive what does not look at them")
        found.append(other)
    return found


def is_array(x: Any) -> bool:
    """Whether something that a function is given is an array to it, and not a fixed number or text."""
    return isinstance(x, (Node, np.ndarray, list))


def _array(x: Any) -> Any:
    if not is_array(x):
        return x
    array = np.array(plain(x))
    if array.size == 0:
        raise NotDerivable(f"an input of shape {array.shape} has no elements")
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _plain(program: Program) -> Program:
    return without_repeats(opened(program, rules=True))


def arguments_of(program: Program) -> list[Value]:
    """The inputs that the function was given: all but those that stand for dL/df."""
    return [v for v in program.inputs if v not in program.cotangents]


def _primes(least: int) -> Iterator[int]:
    return (n for n in itertools.count(max(least, 3)) if all(n % k for k in range(2, math.isqrt(n) + 1)))


def followed(program: Program) -> AxisSets:
    """Which axes of all values of a program are the same axis. NotDerivable for what nobody can look into."""
    axes = AxisSets()
    for i in program.instructions:
        if i.outputs:
            if i.kind == "rule" or (i.op is not None and not i.op.builtin):
                raise NotDerivable(f"{i.name} is Python that nobody can look into; write it with minigrad's functions")
            axes.follow(i)
    for of, slope in program.gradients.items():
        axes.align(of, slope)
    for y, g in zip([v for v in program.results if v.kind == "made"], program.cotangents, strict=False):
        axes.align(y, g)
    for v in program.values():
        keys = [axes.find((v, k)) for k, n in enumerate(v.shape) if n != 1]
        if len(set(keys)) < len(keys):
            raise NotDerivable(
                f"two axes of {v.label} of shape {v.shape} are one and the same (as in x @ x.T), and a formula cannot "
                "tell them apart"
            )
    return axes
