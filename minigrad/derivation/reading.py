"""A recorded program as terms: its forward values by name, and its gradients as formulas of them.

Axes are told apart by following them from the inputs through every op, never by their lengths. Which numbers are
lengths is found by recording the function at three choices of lengths: 2/7, 2/11 and 2/13 are 2/N.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from .._support.shapes import axes_of
from ..program import Instruction, Program, Value
from .axes import SAME, TURNS, Array, NotDerivable, arguments_of, followed, picked
from .terms import ONE, REDUCTIONS, ZERO, Term, count, less, make, name, number, prod, rebuilt, total, written_number

_owners = itertools.count()


@dataclass
class Forward:
    """The forward pass as names, and what may be assumed.

    inputs    the names of the function's arrays, in order; `gradient` stands for dL/dy
    values    the values that it computes, in order; each has a definition
    facts     {a term: what it is equal to, by the hypotheses}
    added     values that the recorded forward pass does not have: 1/std, which the search lets it keep
    lengths   of each axis, as recorded first; `small` other ones, at which steps are checked
    """

    inputs: list[Term] = field(default_factory=list)
    gradient: Term = ZERO
    values: list[Term] = field(default_factory=list)
    facts: dict[Term, Term] = field(default_factory=dict)
    added: list[Term] = field(default_factory=list)
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

    def inverse_of(self, value: Term) -> Term:
        """1/value as a value of the forward pass; added to it where it was not recorded."""
        raw = make("div", (ONE, value))
        if raw not in self.by_definition:
            self.added.append(self.new(f"inv_{value.name}", value.axes, raw))
        return self.by_definition[raw]

    def as_recorded(self) -> Forward:
        """The same without the values that were added."""
        values = [v for v in self.values if v not in self.added]
        known = {d: v for d, v in self.by_definition.items() if v not in self.added}
        return replace(self, values=values, by_definition=known, added=[])

    def whole(self, array: Array, t: Term, lengths: Sequence[int]) -> Array:
        """An array of an input with all axes of the derivation."""
        layout = self.layout[t]
        at = [k for k in layout if k is not None]
        order = sorted(range(len(at)), key=lambda k: at[k])
        shape = [lengths[k] if k in at else 1 for k in range(len(lengths))]
        real = array.reshape([n for n, k in zip(array.shape, layout, strict=True) if k is not None])
        return np.transpose(real, order).reshape(shape)


class Reader:
    """Three recordings of one function, read into a Forward and the terms of its gradients."""

    def __init__(self, programs: list[Program], assumed: Sequence[str] = ()) -> None:
        self.program = first = programs[0]
        axes = followed(first)
        keys: dict[Any, int] = {}
        for v in sorted(arguments_of(first), key=lambda v: -len(v.shape)):
            for k, n in enumerate(v.shape):
                if n != 1:
                    keys.setdefault(axes.find((v, k)), len(keys))
        self.known = len(keys)
        self._keys, self._sets = keys, axes
        twins = [dict(zip(first.values(), p.values(), strict=True)) for p in programs]
        self.steps = [{id(i): j for i, j in zip(first.instructions, p.instructions, strict=True)} for p in programs]
        self.twins = twins
        places = [(v, k) for v in arguments_of(first) for k, n in enumerate(v.shape) if n != 1]
        self.sizes = [{keys[axes.find((v, k))]: twin[v].shape[k] for v, k in places} for twin in twins]
        spread = [i for i in first.instructions if i.params.get("ddof")]
        self._degrees = dict.fromkeys((self._over(i.inputs[0], i.params["axis"]), i.params["ddof"]) for i in spread)
        self._degrees |= dict.fromkeys(((k,), 1) for k in range(self.known))
        self.forward = forward = Forward()
        self.terms: dict[Value, Term] = {}
        for v in arguments_of(first):
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

    def axis_of(self, v: Value, k: int) -> int:
        """The number of an axis."""
        return self._keys.setdefault(self._sets.find((v, k)), len(self._keys))

    def _over(self, x: Value, axis: Any) -> tuple[int, ...]:
        """The axes over which x is reduced."""
        return tuple(sorted(self.axis_of(x, k) for k in axes_of(axis, len(x.shape)) if x.shape[k] != 1))

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
            if _same(rest):
                return prod(1, [(_whole(rest[0]), 1), *[(make("N", (), k), e) for k, e in enumerate(powers) if e]])
        for over, ddof in self._degrees:  # times or divided by N - 1, as unbiased variances are
            sizes = [math.prod([size[k] for k in over]) - ddof for size in self.sizes]
            for e in (-1, 1):
                if 0 not in sizes and _same(rest := [v / n**e for v, n in zip(c, sizes, strict=True)]):
                    return prod(1, [(_whole(rest[0]), 1), (less(over, ddof), e)])
        raise NotDerivable(f"the numbers {c} depend on lengths, but not as powers of N, or as 1/(N - 1)")

    def _spread(self, i: Instruction, x: Term, over: Sequence[int], ddof: float) -> Term:
        """A variance or its root with ddof: the biased variance times N/(N - ddof)."""
        biased = self._value(i, make("var", (x,), tuple(over)), inner=True)
        wider = make("mul", (biased, prod(1, [(count(over), 1), (less(over, ddof), -1)])))
        return self._value(i, wider if i.name == "var" else make("sqrt", (self._value(i, wider, inner=True),)))

    def _read(self, i: Instruction) -> Term:
        out, known = i.outputs[0], self.forward
        twins = [step[id(i)].inputs for step in self.steps]
        read = [k for k, x in enumerate(i.inputs) if i.kind == "op" or isinstance(x, Value)]
        args = [self._term(i.inputs[k], [twin[k] for twin in twins]) for k in read]
        if i.name in SAME or i.name in TURNS:
            return args[0]
        if i.name in REDUCTIONS or i.name == "largest":
            x: Value = i.inputs[0]
            axis = i.params["axis"] if i.kind == "op" else i.inputs[1]
            over = self._over(x, axis)
            if over and i.params.get("ddof"):
                return self._spread(i, args[0], over, i.params["ddof"])
            op = "max" if i.name == "largest" else i.name
            return self._value(i, make(op, (args[0],), over)) if over else args[0]
        if i.name == "matmul":
            product_ = self._value(i, make("mul", tuple(args)), inner=True)
            return self._value(i, total(product_, [self.axis_of(i.inputs[0], 1)]))
        if i.name in ("getitem", "put"):
            wide, _, labels = picked(i)
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
        constant = not raw.axes and not any(a.op == "name" for a in raw.args)
        if known is not None or i.backward or constant:
            return known or raw
        text = "" if inner else (i.outputs[0].name or "")
        return self.forward.new(text, raw.axes, raw)


def _same(numbers: Sequence[float]) -> bool:
    return max(numbers) - min(numbers) <= 1e-13 * max(map(abs, numbers))


def _whole(c: float) -> Term:
    """A number of which round-off may have taken the last digit."""
    near = Fraction(c).limit_denominator(64)
    return number(near) if abs(float(near) - c) <= 1e-14 * abs(c) else written_number(c)


def normal(t: Term, forward: Forward, memo: dict[Term, Term]) -> Term:
    """A term with every definition of a forward value replaced by its name."""
    if t not in memo:
        args = [normal(a, forward, memo) for a in t.args]
        new = rebuilt(t, args) if args and args != list(t.args) else t
        memo[t] = forward.by_definition.get(new, new)
    return memo[t]
