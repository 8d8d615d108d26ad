"""The canonical form of a value as a function of one array x, in which all spellings of a formula are the same.

A form is a sum of products: `{product: coefficient}`, a product being a set of (factor, exponent). Products are
multiplied out, a quotient is a factor with the exponent -1, a mean is a sum with the coefficient 1/N, a square root the
exponent 1/2, and what does not vary along a summed axis is taken out of the sum. So mean((x - mean(x))**2),
var(x) and E[x^2] - E[x]^2 are all sum(x^2)/N - sum(x)^2/N^2. Factors are

    ("x",)                x itself
    ("atom", k, along)    what does not come from x, such as gamma: the k-th that was met; the axes of x that it has
    ("sum", axes, p)      the product p summed over these axes of x
    ("power", f)          the form f, where its exponent cannot be multiplied out
    ("exp", p), ("log", f)

Knows nothing of graphs: `made(value)` says what made it, (op's name, inputs, parameters), or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sized
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from .._support.shapes import axes_of
from ..core.context import current
from ..core.nodes import Node
from .program import Value

Factor: TypeAlias = tuple[Any, ...]
Product: TypeAlias = frozenset[tuple[Factor, float]]
Terms: TypeAlias = dict[Product, float]
Made: TypeAlias = Callable[[Any], "tuple[str, tuple[Any, ...], dict[str, Any]] | None"]

ONE: Product = frozenset()
X: Factor = ("x",)
LARGEST = 16  # terms of a form; what is larger is no pattern that anybody knows


class Unknown(Exception):
    """This has no canonical form."""


@dataclass(frozen=True)
class Form:
    """A value as a function of x. `along`: for each of its axes that of x along which it varies, or None."""

    terms: Terms
    along: tuple[int | None, ...]


class Forms:
    """The canonical forms of the values between x and what is made of it, as far as `region` goes."""

    def __init__(self, x: Any, region: Container[Any], made: Made) -> None:
        self.x, self.region, self.made = x, region, made
        self.known: dict[Any, Form | None] = {x: Form({one(X): 1.0}, tuple(range(len(x.shape))))}
        self.atoms: list[Any] = []

    def of(self, value: Any) -> Form | None:
        """The form of a value; None for what does not come from x in a way that has one."""
        if isinstance(value, np.ndarray) or (value not in self.known and value not in self.region):
            return None
        if value not in self.known:
            self.known[value] = None
            with suppress(Unknown, ArithmeticError, ValueError):
                self.known[value] = self._made(value.shape, *self.step(value))
        return self.known[value]

    def step(self, value: Any) -> Any:
        """What made a value: (op's name, inputs, parameters); None for what no op made."""
        return self.made(value) if isinstance(value, (Node, Value)) else None

    def _made(self, shape: tuple[int, ...], name: str, inputs: Any, params: dict[str, Any]) -> Form | None:
        forms = [self.of(x) for x in inputs]
        if not any(forms):
            return None
        rank, first = len(shape), forms[0]
        if name in REDUCTIONS:
            assert first is not None
            return _reduced(name, first, inputs[0].shape, params)
        if name in SHAPES:
            assert first is not None
            return Form(first.terms, _moved(name, first.along, inputs[0].shape, shape, params))
        along: list[int | None] = [None] * rank
        for form in filter(None, forms):
            for k, axis in enumerate(form.along, rank - len(form.along)):
                if axis is not None and along[k] not in (None, axis):
                    raise Unknown  # two axes of x meet in one
                along[k] = axis if axis is not None else along[k]
        terms = [
            form.terms if form else self._given(x, along, len(self.x.shape))
            for x, form in zip(inputs, forms, strict=True)
        ]
        return Form(OPS[name](*terms), tuple(along))

    def _given(self, value: Any, along: list[int | None], rank: int) -> Terms:
        """A number, or an atom. Its axes are those of what it is broadcast against; `along` learns of new ones."""
        if (number := number_of(value)) is not None:
            return {ONE: number}
        places = []
        for k, n in enumerate(value.shape, len(along) - len(value.shape)):
            if n != 1:
                if along[k] is None:
                    along[k] = rank - len(along) + k
                places.append(along[k])
        if any(k is None or k < 0 for k in places):
            raise Unknown
        at = next((k for k, atom in enumerate(self.atoms) if self._same(atom, value)), len(self.atoms))
        if at == len(self.atoms):
            self.atoms.append(value)
        return {one(("atom", at, tuple(places))): 1.0}

    def _same(self, a: Any, b: Any) -> bool:
        """Whether two atoms are one value, or one op of the same."""
        s, t = self.step(a), self.step(b)
        if s is None or t is None or len(s[1]) != 1 or s[0] != t[0]:
            return a is b
        return a is b or (s[1][0] is t[1][0] and repr(s[2]) == repr(t[2]))


def number_of(x: Any) -> float | None:
    """The number that a constant is; None for anything else, such as an array that may be another one next time."""
    if isinstance(x, Value) and x.kind == "constant":
        x = x.array
    if isinstance(x, (int, float)):
        return float(x)
    if not isinstance(x, (np.ndarray, np.generic)) or x.size != 1 or x.dtype.kind not in "iuf":
        return None
    return float(x.item()) if is_constant(x) else None


def is_constant(x: Any) -> bool:
    """Whether an array is the same whenever the graph is computed."""
    if isinstance(x, Value):
        return x.kind == "constant"
    return not any(observer.varies(x) for observer in current().observers if hasattr(observer, "varies"))


def one(factor: Factor, exponent: float = 1.0) -> Product:
    """The product of one factor."""
    return frozenset([(factor, exponent)])


# --------------------------------------------------------------------------------------------------------------
# Arithmetic of terms


def plus(a: Terms, b: Terms, sign: float = 1.0) -> Terms:
    """a + sign * b; what cancels is gone, but a number stays, even 0: somebody wrote it."""
    out = dict(a)
    for product, c in b.items():
        before, c = out.get(product, 0.0), sign * c
        out[product] = before + c
        if product and abs(before + c) <= 1e-12 * abs(c):
            del out[product]
    _small(out)
    return out


def times(a: Terms, b: Terms) -> Terms:
    """a * b, multiplied out."""
    _small(range(len(a) * len(b)))
    out: Terms = {}
    for p, c in a.items():
        for q, d in b.items():
            exponents = dict(p)
            for factor, e in q:
                exponents[factor] = exponents.get(factor, 0.0) + e
            term: Terms = {frozenset([(f, e) for f, e in exponents.items() if e and not _whole(f, e)]): c * d}
            for f, e in exponents.items():
                term = times(term, to_the(dict(f[1]), e)) if _whole(f, e) else term
            out = plus(out, term)
    return out


def _whole(factor: Factor, exponent: float) -> bool:
    return factor[0] == "power" and exponent in (1, 2, 3)


def to_the(a: Terms, e: float) -> Terms:
    """a ** e for a number e."""
    if e in (1, 2, 3, 4) and not (len(a) > 1 and e > 2):
        out: Terms = a
        for _ in range(int(e) - 1):
            out = times(out, a)
        return out
    if len(a) == 1:
        ((product, c),) = a.items()
        if e == int(e) or (c > 0 and all(_positive(f) for f, _ in product)):
            return {frozenset([(f, k * e) for f, k in product]): float(c**e)}
    return {one(("power", frozenset(a.items())), e): 1.0}


def _positive(factor: Factor) -> bool:
    kind, *rest = factor
    return kind in ("exp", "power") or (kind == "sum" and all(_positive(f) for f, _ in rest[1]))


def _exp(a: Terms) -> Terms:
    out: Terms = {ONE: 1.0}
    for product, c in a.items():
        if not product:
            out = times(out, {ONE: math.exp(c)})
        elif len(product) == 1 and (part := next(iter(product)))[0][0] == "log" and part[1] == 1:
            out = times(out, to_the(dict(part[0][1]), c))
        else:
            out = times(out, {one(("exp", product), c): 1.0})
    return out


def _log(a: Terms) -> Terms:
    if len(a) == 1:
        ((product, c),) = a.items()
        if c > 0 and all(_positive(f) for f, _ in product):
            out: Terms = {ONE: math.log(c)} if c != 1 else {}
            for factor, e in product:
                inner = factor[1] if factor[0] == "exp" else one(("log", frozenset([(one(factor), 1.0)])))
                out = plus(out, {inner: 1.0}, e)
            return out
    return {one(("log", frozenset(a.items()))): 1.0}


def _pow(a: Terms, b: Terms) -> Terms:
    if set(b) != {ONE}:
        raise Unknown
    return to_the(a, b[ONE])


def _small(terms: Sized) -> None:
    if len(terms) > LARGEST:
        raise Unknown


# --------------------------------------------------------------------------------------------------------------
# Reductions and shapes


def varies(factor: Factor, axis: int) -> bool:
    """Whether a factor is not the same all along an axis of x."""
    kind, *rest = factor
    if kind in ("x", "atom"):
        return kind == "x" or axis in rest[1]
    if kind == "sum":
        return axis not in rest[0] and _any_varies(rest[1], axis)
    return _any_varies(rest[0], axis) if kind == "exp" else any(_any_varies(p, axis) for p, _ in rest[0])


def _any_varies(product: Product, axis: int) -> bool:
    return any(varies(factor, axis) for factor, _ in product)


def summed(terms: Terms, axes: dict[int, int]) -> Terms:
    """The sum over axes of x, {axis: length}."""
    out: Terms = {}
    for product, c in terms.items():
        inside = frozenset([(f, e) for f, e in product if any(varies(f, k) for k in axes)])
        over = frozenset([k for k in axes if _any_varies(inside, k)])
        c *= math.prod([n for k, n in axes.items() if k not in over])
        if len(inside) == 1 and (part := next(iter(inside)))[0][0] == "sum" and part[1] == 1:
            total = one(("sum", part[0][1] | over, part[0][2]))
        else:
            total = one(("sum", over, inside)) if inside else ONE
        out = plus(out, times({product - inside: c}, {total: 1.0}))
    return out


def _reduced(name: str, form: Form, shape: tuple[int, ...], params: dict[str, Any]) -> Form:
    places = axes_of(params["axis"], len(shape))
    n = math.prod([shape[k] for k in places])
    axes = {axis: shape[k] for k in places if (axis := form.along[k]) is not None}
    stretched = float(math.prod([shape[k] for k in places if form.along[k] is None]))  # nothing varies along these

    def total(terms: Terms) -> Terms:
        return times(summed(terms, axes), {ONE: stretched})

    terms = form.terms
    if name == "logsumexp":
        terms = _log(total(_exp(terms)))
    elif name == "sum":
        terms = total(terms)
    else:
        mean = times(total(terms), {ONE: 1 / n})
        if name != "mean":
            squares = to_the(plus(terms, mean, -1.0), 2)
            mean = times(total(squares), {ONE: 1 / (n - params.get("ddof", 0))})
        terms = to_the(mean, 0.5) if name == "std" else mean
    along = [None if k in places else axis for k, axis in enumerate(form.along)]
    return Form(terms, tuple(along if params["keepdims"] else [a for k, a in enumerate(along) if k not in places]))


def _moved(name: str, along: Any, before: Any, after: Any, params: dict[str, Any]) -> tuple[int | None, ...]:
    """`along` where axes of length 1 come or go, or where it is stretched."""
    if name == "broadcast_to":
        return (None,) * (len(after) - len(before)) + tuple(along)
    kept = [axis for axis, n in zip(along, before, strict=True) if n != 1]
    if [n for n in before if n != 1] != [n for n in after if n != 1]:
        raise Unknown
    return tuple([None if n == 1 else kept.pop(0) for n in after])


OPS: dict[str, Callable[..., Terms]] = {
    "add": plus,
    "sub": lambda a, b: plus(a, b, -1.0),
    "mul": times,
    "div": lambda a, b: times(a, to_the(b, -1.0)),
    "neg": lambda a: times(a, {ONE: -1.0}),
    "square": lambda a: to_the(a, 2),
    "sqrt": lambda a: to_the(a, 0.5),
    "pow": _pow,
    "exp": _exp,
    "log": _log,
}
REDUCTIONS = ("sum", "mean", "var", "std", "logsumexp")
SHAPES = ("reshape", "expand_dims", "squeeze", "broadcast_to")
OPS |= dict.fromkeys((*REDUCTIONS, *SHAPES), plus)
