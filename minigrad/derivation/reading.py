"""A recorded program as terms: its forward values by name, and its gradients as formulas of them.

Axes are told apart by following them from the inputs through every op, never by their lengths. Which numbers are
lengths is found by recording the function at three choices of lengths: 2/7, 2/11 and 2/13 are 2/N.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from .._support.shapes import axes_of
from ..program import Instruction, Program, Value
from ..program.passes import opened, without_repeats
from ..program.recording import NotRecordable, record
from .terms import REDUCTIONS, ZERO, Term, make, name, number, prod, rebuilt, total, written_number

Array = np.ndarray[Any, Any]
_owners = itertools.count()

ELEMENTWISE = frozenset(
    "add sub mul div neg square pow exp log sqrt log1p expm1 tanh sigmoid softplus abs sin cos sign relu leaky_relu erf "
    "gelu silu clip where maximum minimum equal not_equal less less_equal greater greater_equal isnan logical_and "
    "logical_or logical_not less_equal".split()
)
SAME = frozenset(("reshape", "broadcast_to", "expand_dims", "squeeze", "astype", "class_numbers"))
TURNS = frozenset(("transpose", "swapaxes"))


class NotDerivable(TypeError):
    """What a derivation cannot read; the message says what, and what to do."""


@dataclass
class Forward:
    """The forward pass as names, and what may be assumed.

    inputs    the names of the function's arrays, in order; `gradient` stands for dL/dy
    values    the values that it computes, in order; each has a definition
    facts     {a term: what it is equal to, by the hypotheses}
    lengths   of each axis, as recorded first; `small` other ones, at which steps are checked
    """

    inputs: list[Term] = field(default_factory=list)
    gradient: Term = ZERO
    values: list[Term] = field(default_factory=list)
    facts: dict[Term, Term] = field(default_factory=dict)
    result: Term = ZERO
    lengths: tuple[int, ...] = ()
    small: tuple[int, ...] = ()
    by_definition: dict[Term, Term] = field(default_factory=dict)
    layout: dict[Term, tuple[int | None, ...]] = field(default_factory=dict)  # of inputs and result: axis at each place
    given: dict[Term, Array] = field(default_factory=dict)  # what the inputs hold, as recorded first
    small_labels: dict[Term, Array] = field(default_factory=dict)
    owner: int = field(default_factory=lambda: next(_owners))
    _indices: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new(self, text: str, axes: frozenset[int], definition: Term | None = None) -> Term:
        """A new name."""
        t = name(text, self.owner, next(self._indices), axes, definition)
        (self.inputs if definition is None else self.values).append(t)
        if definition is not None:
            self.by_definition[definition] = t
        return t

    def whole(self, array: Array, t: Term, lengths: Sequence[int]) -> Array:
        """An array of an input with all axes of the derivation."""
        at = [k for k in self.layout[t] if k is not None]
        order = sorted(range(len(at)), key=lambda k: at[k])
        shape = [lengths[k] if k in at else 1 for k in range(len(lengths))]
        return np.transpose(array.reshape([n for n, k in zip(array.shape, self.layout[t], strict=True) if k is not None]), order).reshape(shape)  # fmt: skip


class _Axes:
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
                    f"{i.name} from {arrays[0].shape} to {out.shape} joins or splits axes, and a formula knows them one "
                    "by one: derive the part before or after it"
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
            wide, narrow, labels = _picked(i)
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


def _picked(i: Instruction) -> tuple[Value, Value, Value]:
    """(the array of rows, the entry of each, the labels) of x[arange(n), labels] and of its rule."""
    x, out, index = i.inputs[0], i.outputs[0], i.params["index"]
    if isinstance(index, tuple) and len(index) == 2 and all(isinstance(part, Value) for part in index):
        rows, labels = index
        if np.array_equal(rows.array, np.arange(len(rows.array))) and labels.kind != "constant":
            return (x, out, labels) if i.name == "getitem" else (out, x, labels)
    raise NotDerivable(
        f"{i.name} at line {i.line[1] if i.line else '?'}: of indexing, x[arange(n), labels] with labels as an input of "
        "the function is known"
    )


def recordings(f: Callable[..., Any], inputs: Sequence[Any]) -> list[Program]:
    """The function recorded on its inputs, and at two other choices of lengths."""
    arrays = [_array(x) for x in inputs]
    first = _plain(record(f, *arrays))
    axes = _followed(first)
    if tensors := first.tensors():
        raise NotDerivable(
            f"f reads the tensor {tensors[0].name or ''} of shape {tensors[0].shape} from around it: pass it as an input"
        )
    if not first.gradients:
        raise NotDerivable("no gradient is wanted: f must depend on an input of floating-point numbers")
    if len(first.results) != 1 or first.template is not first.results[0]:
        raise NotDerivable("f must return one Tensor")
    keys = dict.fromkeys(axes.find((v, k)) for v in _ends(first) for k, n in enumerate(v.shape) if n != 1)
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


def _array(x: Any) -> Any:
    x = getattr(x, "data", x) if hasattr(x, "requires_grad") else x
    if not isinstance(x, (np.ndarray, list)):
        return x
    array = np.array(x)
    if array.size == 0:
        raise NotDerivable(f"an input of shape {array.shape} has no elements")
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _plain(program: Program) -> Program:
    return without_repeats(opened(program, rules=True))


def _ends(program: Program) -> list[Value]:
    return [v for v in program.inputs if v not in program.cotangents]


def _primes(least: int) -> Iterator[int]:
    return (n for n in itertools.count(max(least, 3)) if all(n % k for k in range(2, math.isqrt(n) + 1)))


def _followed(program: Program) -> _Axes:
    axes = _Axes()
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


class Reader:
    """Three recordings of one function, read into a Forward and the terms of its gradients."""

    def __init__(self, programs: list[Program], assumed: Sequence[str] = ()) -> None:
        self.program = first = programs[0]
        axes = _followed(first)
        keys: dict[Any, int] = {}
        for v in sorted(_ends(first), key=lambda v: -len(v.shape)):
            for k, n in enumerate(v.shape):
                if n != 1:
                    keys.setdefault(axes.find((v, k)), len(keys))
        self.known = len(keys)
        self.axis_of = lambda v, k: keys.setdefault(axes.find((v, k)), len(keys))
        twins = [dict(zip(first.values(), p.values(), strict=True)) for p in programs]
        self.steps = [{id(i): j for i, j in zip(first.instructions, p.instructions, strict=True)} for p in programs]
        self.twins = twins
        self.sizes = [{keys[axes.find((v, k))]: twin[v].shape[k] for v in _ends(first) for k, n in enumerate(v.shape) if n != 1} for twin in twins]  # fmt: skip
        self.forward = forward = Forward()
        self.terms: dict[Value, Term] = {}
        for v in _ends(first):
            self._input(v, v.name or "x")
        (g,) = first.cotangents
        self._input(g, "g")
        forward.gradient = forward.inputs.pop()
        for i in first.instructions:
            if i.outputs:
                self.terms[i.outputs[0]] = self._read(i)
        forward.result = self.terms[first.results[0]]
        forward.layout[forward.result] = self._layout(first.results[0])
        if len(keys) > self.known:
            raise NotDerivable("an axis of f belongs to none of its inputs, so its length has no name: pass it as one")
        forward.lengths, forward.small = (tuple([size[k] for k in range(len(keys))]) for size in self.sizes[:2])
        self.wanted = [self.terms[v] for v in first.gradients]
        self.gradients = [self.terms[d] for d in first.gradients.values()]

    def _layout(self, v: Value) -> tuple[int | None, ...]:
        return tuple([None if n == 1 else self.axis_of(v, k) for k, n in enumerate(v.shape)])

    def _axes(self, v: Value) -> frozenset[int]:
        return frozenset([k for k in self._layout(v) if k is not None])

    def _input(self, v: Value, text: str) -> None:
        t = self.terms[v] = self.forward.new(text, self._axes(v))
        self.forward.layout[t] = self._layout(v)
        self.forward.given[t] = v.array
        self.forward.small_labels[t] = self.twins[1][v].array

    def _term(self, x: Any, others: list[Any]) -> Term:
        """The term of an argument of an instruction."""
        if isinstance(x, Value) and x in self.terms:
            return self.terms[x]
        if not isinstance(x, Value):
            return self._number([float(v) for v in others])
        held = [twin[x].array for twin in self.twins]
        if held[0].size and (held[0] == held[0].flat[0]).all():
            return self._number([float(v.flat[0]) for v in held])
        raise NotDerivable(f"an array of shape {x.shape} is made inside of f: pass it as an input")

    def _number(self, c: list[float]) -> Term:
        """A number of three recordings: the same in all, or a number times powers of lengths."""
        if len(set(c)) == 1:
            return written_number(c[0])
        choices = itertools.product(range(-2, 3), repeat=self.known)
        for powers in sorted(choices, key=lambda e: sum(map(abs, e))):
            factor = [math.prod([size[k] ** e for k, e in enumerate(powers)]) for size in self.sizes]
            rest = [v / n for v, n in zip(c, factor, strict=True)]
            if max(rest) - min(rest) <= 1e-13 * max(map(abs, rest)):
                near = Fraction(rest[0]).limit_denominator(64)
                whole = number(near) if abs(float(near) - rest[0]) <= 1e-14 * abs(rest[0]) else written_number(rest[0])
                return prod(1, [(whole, 1), *[(make("N", (), k), e) for k, e in enumerate(powers) if e]])
        raise NotDerivable(
            f"the numbers {c} depend on lengths, but not as a product of their powers (ddof is not known)"
        )

    def _read(self, i: Instruction) -> Term:
        out, known = i.outputs[0], self.forward
        twins = [step[id(i)].inputs for step in self.steps]
        args = [self._term(x, [twin[k] for twin in twins]) for k, x in enumerate(i.inputs) if i.kind == "op" or isinstance(x, Value)]  # fmt: skip
        if i.name in SAME or i.name in TURNS:
            return args[0]
        if i.name in REDUCTIONS or i.name == "largest":
            x: Value = i.inputs[0]
            axis = i.params["axis"] if i.kind == "op" else i.inputs[1]
            over = sorted(self.axis_of(x, k) for k in axes_of(axis, len(x.shape)) if x.shape[k] != 1)
            if i.params.get("ddof"):
                raise NotDerivable(f"{i.name} with ddof={i.params['ddof']} has no terms: derive the biased one")
            op = "max" if i.name == "largest" else i.name
            return self._value(i, make(op, (args[0],), tuple(over))) if over else args[0]
        if i.name == "matmul":
            product_ = self._value(i, make("mul", tuple(args)), inner=True)
            return self._value(i, total(product_, [self.axis_of(i.inputs[0], 1)]))
        if i.name in ("getitem", "put"):
            wide, _, labels = _picked(i)
            row, column = self.axis_of(wide, 0), self.axis_of(wide, 1)
            raw = make("one_hot", (self.terms[labels],), column, frozenset((row, column)))
            hot = known.by_definition.get(raw) or known.new("onehot", raw.axes, raw)
            both = make("mul", (args[0], hot))
            return both if i.backward else self._value(i, total(self._value(i, both, inner=True), [column]))
        params = tuple(sorted((k, v) for k, v in i.params.items() if isinstance(v, (int, float, bool))))
        if i.kind == "call" and i.name not in ("less_equal", "one_hot"):
            raise NotDerivable(f"{i.name} has no terms")
        raw = make(i.name, tuple(args), params or None)
        if not raw.axes <= self._axes(out):
            raise NotDerivable(f"{i.name} cannot be read as terms")
        return self._value(i, raw)

    def _value(self, i: Instruction, raw: Term, inner: bool = False) -> Term:
        """A value of the forward pass by its definition, new if need be; in backward, the term itself."""
        known = self.forward.by_definition.get(raw)
        if known is not None or i.backward or not raw.axes:
            if known is not None or i.backward or not any(a.op == "name" for a in raw.args):
                return known or raw
        text = "" if inner else (i.outputs[0].name or "")
        return self.forward.new(text, raw.axes, raw)


def normal(t: Term, forward: Forward, memo: dict[Term, Term]) -> Term:
    """A term with every definition of a forward value replaced by its name."""
    if t not in memo:
        args = [normal(a, forward, memo) for a in t.args]
        new = rebuilt(t, args) if args and args != list(t.args) else t
        memo[t] = forward.by_definition.get(new, new)
    return memo[t]
