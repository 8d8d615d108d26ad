"""The rules: each a function of one term that gives an equal term, or None where its side condition does not hold.

No rule knows the name of a layer or a loss. `why` is the proof in a sentence. Rules are always applied, in this order,
until none changes anything; those that are `tried` stay only if the whole gets cheaper after all others, and of those,
`opening` ones may cost more at first: the search looks two of them ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from .reading import Forward
from .terms import ONE, ZERO, Factors, Term, as_combination, as_product, count, lin, make, merged, prod, split, total

Rewrite: TypeAlias = Callable[[Term, Forward], "Term | None"]


@dataclass(frozen=True)
class Rule:
    """A name, the reason, the rewrite; `exact`: whether it is true for all functions in the place of exp, sqrt, ..."""

    name: str
    why: str
    rewrite: Rewrite
    tried: bool = False
    opening: bool = False
    exact: bool = True


RULES: list[Rule] = []


def rule(name: str, why: str, **about: bool) -> Callable[[Rewrite], Rewrite]:
    """Add a rewrite to RULES: what it is called, and its proof in a sentence."""

    def keep(rewrite: Rewrite) -> Rewrite:
        RULES.append(Rule(name, why, rewrite, **about))
        return rewrite

    return keep


@rule("mean is sum/N", "the definition of the mean")
def _mean(t: Term, forward: Forward) -> Term | None:
    return prod(1, [(total(t.args[0], t.par), 1), (count(t.par), -1)]) if t.op == "mean" else None


@rule("products and powers", "a/b = a*b**-1, -a = (-1)*a, a**2 = a*a; * is associative and commutative")
def _products(t: Term, forward: Forward) -> Term | None:
    return as_product(t)


@rule("sums", "a - b = a + (-1)*b; + is associative and commutative: like terms merge, what cancels goes")
def _sums(t: Term, forward: Forward) -> Term | None:
    return as_combination(t)


@rule("nothing passes a choice of zeros", "where(c, 0, 0) = 0")
def _zeros(t: Term, forward: Forward) -> Term | None:
    return ZERO if t.op == "where" and t.args[1:] == (ZERO, ZERO) else None


@rule("by hypothesis", "as it was assumed", exact=False)
def _assumed(t: Term, forward: Forward) -> Term | None:
    if t.op in ("abs", "relu") and positive(t.args[0], forward):
        return t.args[0]
    if t.op == "sign" and positive(t.args[0], forward):
        return ONE
    if t.op == "product":  # what is 0 or 1 is its own square
        c, items = split(t)
        if any(is_bit(b, forward) and e > 1 for b, e in items.items()):
            return prod(c, [(b, 1 if is_bit(b, forward) and e > 1 else e) for b, e in items.items()])
    return forward.facts.get(t)


def positive(t: Term, forward: Forward) -> bool:
    """Whether a term is known to be positive."""
    return make("positive", (t,)) in forward.facts


def is_bit(t: Term, forward: Forward) -> bool:
    """Whether a term is an input of which it is assumed that it holds 0 and 1."""
    return t.op == "name" and make("bit", (t,)) in forward.facts


@rule("a sum of N equal terms is N times the term", "the term does not depend on the axes summed over")
def _equal_terms(t: Term, forward: Forward) -> Term | None:
    if t.op == "sum":
        gone = set(t.par) - t.args[0].axes
        if gone:
            rest = set(t.par) - gone
            return prod(1, [(count(gone), 1), (total(t.args[0], rest) if rest else t.args[0], 1)])
    return None


@rule("pull constants out of the sum", "sum(c*a) = c*sum(a) where c does not depend on the axes summed over")
def _pull(t: Term, forward: Forward) -> Term | None:
    if t.op == "sum":
        c, items = split(t.args[0])
        out, rest = constants(items, t.par)
        if rest and (out or c != 1):
            return prod(c, merged(out, (total(prod(1, rest.items()), t.par), 1)))
    return None


@rule("the sum of a sum", "sum(a + b) = sum(a) + sum(b)")
def _sum_of_sum(t: Term, forward: Forward) -> Term | None:
    if t.op == "sum" and t.args[0].op == "lin":
        return lin((c, total(a, t.par)) for c, a in zip(t.args[0].par, t.args[0].args, strict=True))
    return None


@rule("a sum that is known", "sum(x - mean(x)) = 0; sum(e/sum(e)) = 1; sum(a) is a forward value; or a hypothesis")
def _known(t: Term, forward: Forward) -> Term | None:
    if t.op != "sum":
        return None
    a = t.args[0]
    if a.op == "name" or t in forward.facts:
        return known_sum(a, t.par, forward)
    c, items = split(a)
    if c == 1 and list(items.values()) == [2]:  # sum(b**2) where square(b) or b*b was recorded
        for s in forward.values:
            if s.definition is not None and s.definition.op in ("square", "mul") and as_product(s.definition) is a:
                found = known_sum(s, t.par, forward)
                if found is not None:
                    return found
    return None


def known_sum(a: Term, axes: tuple[int, ...], forward: Forward) -> Term | None:
    """What the sum of a name over axes is, by its definition; None where nothing is known."""
    whole = total(a, axes)
    if whole in forward.facts:
        return forward.facts[whole]
    if whole in forward.by_definition:
        return forward.by_definition[whole]
    average = forward.by_definition.get(make("mean", (a,), axes))
    if average is not None:
        return prod(1, [(count(axes), 1), (average, 1)])
    d = a.definition
    if d is None:
        return None
    if d.op == "one_hot" and axes == (d.par,):
        return ONE
    if d.op == "sub":
        mean = d.args[1].definition
        if mean is make("mean", (d.args[0],), axes):
            return ZERO
    p = as_product(d)
    if p is not None:
        c, items = split(p)
        out, rest = constants(items, axes)
        if out and len(rest) == 1 and list(rest.values()) == [1]:
            inner = known_sum(next(iter(rest)), axes, forward)
            return None if inner is None else prod(c, merged(out, (inner, 1)))
    return None


def constants(items: Factors, axes: tuple[int, ...]) -> tuple[Factors, Factors]:
    """Factors that do not depend on the axes, and the others."""
    out = {b: e for b, e in items.items() if not b.axes & set(axes)}
    return out, {b: e for b, e in items.items() if b not in out}


def naming(value: Term) -> Rewrite | None:
    """The rewrite that puts a forward value in the place of its definition: a product, or a sum with any cofactor."""
    definition = value.definition
    if definition is None:
        return None
    p, s = as_product(definition), as_combination(definition)

    def product(t: Term, forward: Forward) -> Term | None:
        if t.op != "product" or p is None:
            return None
        c, items = split(t)
        k, d = split(p)
        for sign in (1, -1):  # the value, or its reciprocal
            fits = d and all(sign * items.get(b, 0) / e >= 1 for b, e in d.items())
            if fits and (sign > 0 or min(d.values()) < 0):
                return prod(c / k**sign, merged(items, *[(b, -sign * e) for b, e in d.items()], (value, sign)))
        return None

    def addition(t: Term, forward: Forward) -> Term | None:
        if t.op != "lin" or s is None or len(s.args) > len(t.args):
            return None
        parts, first = dict(zip(t.args, t.par, strict=True)), s.args[0]
        for a, c in parts.items():  # the cofactor that makes the first term of the definition this one
            cofactor, need = prod(1, [(a, 1), (first, -1)]), {a: c}
            for q, b in zip(s.par[1:], s.args[1:], strict=True):
                whole = prod(q * c / s.par[0], [(cofactor, 1), (b, 1)])
                k, items = split(whole)
                other = whole if k == 1 else prod(1, items.items())
                if parts.get(other) != k:
                    break
                need[other] = k
            if len(need) == len(s.args):
                rest = [(k, b) for b, k in parts.items() if b not in need]
                return lin([*rest, (c / s.par[0], prod(1, [(cofactor, 1), (value, 1)]))])
        return None

    if p is not None and p.args:
        return product
    return addition if s is not None and s.op == "lin" else None


def reciprocal_of(value: Term, inverse: Term) -> Rewrite:
    """The rewrite that multiplies by 1/value, kept by forward, where the formula divides by value."""

    def swapped(t: Term, forward: Forward) -> Term | None:
        if t.op == "product" and value in t.args:
            items = zip(t.args, t.par[1], strict=True)
            return prod(t.par[0], [(inverse, -e) if b is value else (b, e) for b, e in items])
        return None

    return swapped


@rule(
    "exp undoes log", "exp(a)/s = exp(a - log(s)), where a - log(s) is a value of the forward pass; s > 0", exact=False
)
def _exp_log(t: Term, forward: Forward) -> Term | None:
    if t.op != "product":
        return None
    c, items = split(t)
    for value in forward.values:
        d = value.definition
        log = d.args[1].definition if d is not None and d.op == "sub" else None
        if d is not None and log is not None and log.op == "log":
            raw = make("exp", (d.args[0],))
            e, s = forward.by_definition.get(raw, raw), log.args[0]
            if items.get(e, 0) >= 1 and items.get(s, 0) <= -1:
                new = make("exp", (value,))
                return prod(c, merged(items, (e, -1), (s, 1), (forward.by_definition.get(new, new), 1)))
    return None


@rule("the sigmoid of -z", "sigmoid(-z) = 1/(1 + e**z) = 1 - sigmoid(z)", exact=False)
def _sigmoid(t: Term, forward: Forward) -> Term | None:
    if t.op == "sigmoid":
        a = t.args[0]
        inner = a.definition or a
        flat = as_product(inner) or inner
        if split(flat)[0] == -1:
            new = make("sigmoid", (prod(-1, [(flat, 1)]),))
            return lin([(1, ONE), (-1, forward.by_definition.get(new, new))])
    return None


PART = "a/d = (d - b)/d = 1 - b/d, where d = a + b is a value of the forward pass"
UNFOLDED = "q = 1 - s is put in where q is multiplied; a*(b + c) = a*b + a*c"


@rule("part of a sum over the sum", PART, tried=True, opening=True)
def _part(t: Term, forward: Forward) -> Term | None:
    if t.op != "product":
        return None
    c, items = split(t)
    for v, e in items.items():
        d, power = v, e
        inverse = as_product(v.definition) if v.definition is not None else None
        if inverse is not None and inverse.op == "product" and len(inverse.args) == 1:  # s = 1/d
            d, power = inverse.args[0], e * inverse.par[1][0]
        s = as_combination(d.definition) if power <= -1 and d.definition is not None else None
        for k, a in zip(s.par, s.args, strict=True) if s is not None and s.op == "lin" else ():
            if items.get(a, 0) == 1 and k == 1 and s is not None:
                rest = lin([(1, ONE), (-1, prod(1, [(lin([(1, s), (-1, a)]), 1), (d, -1)]))])
                return prod(c, merged(items, (a, -1), (d, 1), (rest, 1)))
    return None


@rule("use the definition of a product", "y = x*s is put in", tried=True, opening=True)
def _unfold(t: Term, forward: Forward) -> Term | None:
    if t.op == "product":
        c, items = split(t)
        for b, e in items.items():
            p = as_product(b.definition) if b.definition is not None and e >= 1 else None
            if p is not None and p.args:
                return prod(c, merged(items, (b, -1), (p, 1)))
    return None


@rule("multiply out", "a*(b + c) = a*b + a*c", tried=True, opening=True)
def multiplied_out(t: Term, forward: Forward) -> Term | None:
    """A product with a sum in it as the sum of products, or None where there is none."""
    if t.op == "product":
        c, items = split(t)
        for b, e in items.items():
            if b.op == "lin" and e >= 1:
                rest = prod(c, merged(items, (b, -1)))
                return lin((k, prod(1, [(rest, 1), (a, 1)])) for k, a in zip(b.par, b.args, strict=True))
    return None


@rule("use the definition of a difference from 1", UNFOLDED, tried=True, opening=True)
def _unfold_sum(t: Term, forward: Forward) -> Term | None:
    if t.op == "product":
        c, items = split(t)
        for b, e in items.items():
            s = as_combination(b.definition) if b.definition is not None and e >= 1 else None
            if s is not None and any(not a.axes and not a.args for a in s.args):
                return multiplied_out(prod(c, merged(items, (b, -1), (s, 1))), forward)
    return multiplied_out(t, forward)


@rule("factor what all terms share", "k*a + k*b = k*(a + b)", tried=True)
def _factor(t: Term, forward: Forward) -> Term | None:
    if t.op != "lin":
        return None
    parts = [split(a)[1] for a in t.args]
    common: Factors = {}
    for b, e in parts[0].items():
        exponents = [p.get(b, 0) for p in parts]
        if all(x * e > 0 for x in exponents):
            common[b] = min(exponents) if e > 0 else max(exponents)
    scale = t.par[0] if len({abs(c) for c in t.par}) == 1 else Fraction(1)
    scale = abs(scale) if any(c * scale < 0 for c in t.par) and max(t.par) > 0 else scale
    if not common and scale == 1:
        return None
    back = [(b, -e) for b, e in common.items()]
    inner = lin((c / scale, prod(1, [(a, 1), *back])) for c, a in zip(t.par, t.args, strict=True))
    return prod(scale, merged(common, (inner, 1)))


@rule("factor what some terms share", "k*a + k*b + c = k*(a + b) + c", tried=True)
def _factor_some(t: Term, forward: Forward) -> Term | None:
    """The factor that most terms share."""
    if t.op != "lin" or len(t.args) < 3:
        return None
    shared: dict[Term, list[int]] = {}
    for k, a in enumerate(t.args):
        for b, e in split(a)[1].items():
            if e >= 1:
                shared.setdefault(b, []).append(k)
    uses = [(len(where), len(b.axes), b) for b, where in shared.items() if 2 <= len(where) < len(t.args)]
    if not uses:
        return None
    b = max(uses, key=lambda item: (*item[:2], item[2].order))[2]
    pairs = list(zip(t.par, t.args, strict=True))
    inner = lin((c, prod(1, [(a, 1), (b, -1)])) for k, (c, a) in enumerate(pairs) if k in shared[b])
    rest = [pair for k, pair in enumerate(pairs) if k not in shared[b]]
    return lin([*rest, (1, prod(1, [(b, 1), (inner, 1)]))])


@rule("one sum of what sums share", "sum(k*a) + sum(k*b) = sum(k*(a + b))", tried=True)
def _joined(t: Term, forward: Forward) -> Term | None:
    if t.op != "lin" or any(a.op != "sum" or a.par != t.args[0].par for a in t.args):
        return None
    inner = lin((c, a.args[0]) for c, a in zip(t.par, t.args, strict=True))
    factored = _factor(inner, forward)
    return total(factored, t.args[0].par) if factored is not None and factored.op == "product" else None
