"""Terms: formulas as data. Equal terms are one object, and a term is known by the axes that it depends on.

Reshaping, broadcasting and keepdims are the identity, because every axis has an identity of its own: x - mean(x) that
backward computes again is the forward's. Two forms are flat: a product, coefficient * base**exponent * ..., and a
linear combination, coefficient * term + ...; everything else is an op of terms, as it was recorded. Values of the
forward pass and inputs are names: nothing looks inside them unless a rule reads their definition.

Knows nothing of programs, rules and text.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from fractions import Fraction
from hashlib import blake2b
from typing import Any, TypeAlias

REDUCTIONS = frozenset(("sum", "mean", "var", "std", "max", "min", "prod", "logsumexp"))
Axes: TypeAlias = frozenset[int]
Factors: TypeAlias = dict["Term", int]  # {base: exponent}


class Term:
    """One formula. Made by the functions of this file; compared by identity.

    op      "name", "N" (the length of the axis `par`), "number" (`par`, written with its own digits), "product" (`par`
            is the coefficient and the exponents), "lin" (`par` the coefficients), or an op (`par`: axes, or parameters)
    axes    the axes on which it depends
    size    how many symbols it is written with
    """

    __slots__ = ("__weakref__", "args", "axes", "definition", "name", "op", "order", "par", "size")

    op: str
    args: tuple[Term, ...]
    par: Any
    axes: Axes
    size: int
    order: tuple[int, int, str]  # the same in every run, so that formulas read alike
    name: str
    definition: Term | None  # of a name: what forward computes it by; None for an input

    @property
    def computed(self) -> bool:
        """Whether it is a value of the forward pass."""
        return self.op == "name" and self.definition is not None


_terms: weakref.WeakValueDictionary[Any, Term] = weakref.WeakValueDictionary()


def make(op: str, args: tuple[Term, ...] = (), par: Any = None, axes: Axes = frozenset()) -> Term:
    """The term that it is; `axes` are those that it has besides those of its arguments."""
    key = (op, args, par)
    t = _terms.get(key)
    if t is None:
        t = Term()
        t.op, t.args, t.par, t.name, t.definition = op, args, par, "", None
        t.axes = axes.union(*[a.axes for a in args])
        if op in REDUCTIONS:
            t.axes -= set(par)
        t.size = min(1 + sum(a.size for a in args), 10**9)
        told = repr((op, [a.order for a in args], par if op != "name" else ""))
        t.order = (t.size, 0, blake2b(told.encode(), digest_size=8).hexdigest())
        if op == "N":
            t.order = (1, par, "")
        _terms[key] = t
    return t


def name(text: str, owner: int, index: int, axes: Axes = frozenset(), definition: Term | None = None) -> Term:
    """A new name: an input, or a value of the forward pass with its definition. `owner` is one derivation's number."""
    t = make("name", (), (owner, index), axes if definition is None else definition.axes)
    t.name, t.definition, t.order = text, definition, (0, index, "")
    return t


def number(c: float | Fraction) -> Term:
    """A coefficient."""
    return make("product", (), (Fraction(c), ()))


ZERO, ONE = number(0), number(1)
_ONE = Fraction(1)


def written_number(c: float) -> Term:
    """A number that was recorded: a coefficient where it is a small fraction, else a constant with its own digits.

    eps = 1e-5 stays 1e-05: a fraction nearby would be another number, and nobody could read it.
    """
    if c != c or c in (float("inf"), float("-inf")):
        return make("number", (), float(c))
    near = Fraction(c).limit_denominator(64)
    if float(near) == c:
        return number(near)
    return prod(1 if c > 0 else -1, [(make("number", (), abs(float(c))), 1)])


def prod(coefficient: Any, items: Iterable[tuple[Term, int]]) -> Term:
    """coefficient * base**exponent * ..., flat: a product inside is part of it, and equal bases are one power."""
    whole, found = Fraction(coefficient), dict[Term, int]()

    def put(base: Term, e: int) -> None:
        nonlocal whole
        if base.op == "product" and (base.par[0] or e > 0):
            if base.par[0] != 1:
                whole *= base.par[0] ** e
            for b, k in zip(base.args, base.par[1], strict=True):
                put(b, k * e)
        else:
            found[base] = found.get(base, 0) + e

    for base, e in items:
        put(base, e)
    kept = sorted([(b, e) for b, e in found.items() if e], key=lambda item: item[0].order)
    if whole == 0:
        return ZERO
    if whole == 1 and len(kept) == 1 and kept[0][1] == 1:
        return kept[0][0]
    return make("product", tuple([b for b, _ in kept]), (whole, tuple([e for _, e in kept])))


def split(t: Term) -> tuple[Fraction, Factors]:
    """(coefficient, {base: exponent}) of any term."""
    if t.op == "product":
        return t.par[0], dict(zip(t.args, t.par[1], strict=True))
    return _ONE, {t: 1}


def lin(pairs: Iterable[tuple[Any, Term]]) -> Term:
    """coefficient * term + ..., flat: a sum inside is part of it, and like terms are one."""
    found: dict[Term, Fraction] = {}

    def put(c: Fraction, t: Term) -> None:
        if t.op == "lin":
            for k, a in zip(t.par, t.args, strict=True):
                put(c * k, a)
        else:
            k = _ONE
            if t.op == "product" and t.par[0] != 1:
                k, items = split(t)
                t = prod(1, items.items())
            found[t] = found[t] + c * k if t in found else c * k

    for c, t in pairs:
        put(Fraction(c), t)
    kept = sorted([(t, c) for t, c in found.items() if c], key=lambda item: item[0].order)
    if len(kept) < 2:
        return prod(kept[0][1], [(kept[0][0], 1)]) if kept else ZERO
    return make("lin", tuple([t for t, _ in kept]), tuple([c for _, c in kept]))


def total(t: Term, axes: Iterable[int]) -> Term:
    """sum(t) over axes."""
    return make("sum", (t,), tuple(sorted(axes)))


def count(axes: Iterable[int]) -> Term:
    """How many elements there are along axes."""
    return prod(1, [(make("N", (), k), 1) for k in axes])


def less(axes: Iterable[int], ddof: float) -> Term:
    """count(axes) - ddof: the degrees of freedom that are left."""
    return lin([(1, count(axes)), (-Fraction(ddof), ONE)])


def rebuilt(t: Term, args: Iterable[Term]) -> Term:
    """The term with other arguments."""
    if t.op == "product":
        return prod(t.par[0], zip(args, t.par[1], strict=True))
    if t.op == "lin":
        return lin(zip(t.par, args, strict=True))
    extra = t.axes.difference(*[a.axes for a in t.args]) if t.op == "one_hot" else frozenset()
    return make(t.op, tuple(args), t.par, extra)


def as_product(t: Term) -> Term | None:
    """A recorded product, quotient, negative or square as a flat product; None for anything else."""
    exponents = {"mul": (1, 1), "div": (1, -1), "neg": (1,), "square": (2,)}.get(t.op)
    if exponents is not None:
        return prod(-1 if t.op == "neg" else 1, zip(t.args, exponents, strict=True))
    if t.op == "pow" and t.args[1].op == "product" and not t.args[1].args:  # a whole number, or its half
        e = t.args[1].par[0]
        return prod(1, [(t.args[0], int(e))]) if e.denominator == 1 and abs(e) <= 8 else None
    return None


def as_combination(t: Term) -> Term | None:
    """A recorded sum or difference as a flat one; None for anything else."""
    signs = {"add": (1, 1), "sub": (1, -1)}.get(t.op)
    return lin(zip(signs, t.args, strict=True)) if signs else None


def reachable(roots: Iterable[Term], definitions: bool = False) -> dict[Term, None]:
    """Every term inside of the roots, each once; also what names stand for, if asked."""
    seen: dict[Term, None] = {}
    stack = list(roots)
    while stack:
        t = stack.pop()
        if t not in seen:
            seen[t] = None
            stack += t.args
            if definitions and t.definition is not None:
                stack.append(t.definition)
    return seen


def merged(items: Mapping[Term, int], *more: tuple[Term, int]) -> list[tuple[Term, int]]:
    """The items of a product with more factors."""
    return [*items.items(), *more]
