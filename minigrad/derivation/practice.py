"""Which rule comes next? A derivation that a learner makes: a part of the formulas and a rule, and the engine judges.

A rule is applied to the chosen part alone, wherever it stands. Where it may not be, the side condition that fails is
said, with numbers of the inputs that were given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .cost import Plan
from .printing import bytes_kept
from .reading import Forward
from .rules import RULES, Rule, naming, reciprocal_of
from .search import Search, Step
from .terms import Term, as_product, count, prod, reachable, rebuilt, split, total
from .text import first_line
from .values import Floats, Point

if TYPE_CHECKING:
    from .derivation import Derivation

FLAT = [r for r in RULES if r.name in ("mean is sum/N", "products and powers", "sums")]  # always done
NAME = Rule("name a value of the forward pass", "what it is, or a multiple of that, gets its name", lambda t, f: None)
SHOWN = 3  # numbers of a vector
ROUND_OFF = 1e-13  # what is smaller is shown as 0


def _divided(t: Term, forward: Forward) -> Term | None:
    divisors = [b for b, e in split(t)[1].items() if e < 0 and b.computed] if t.op == "product" else []
    return reciprocal_of(divisors[0], forward.inverse_of(divisors[0]))(t, forward) if divisors else None


ONCE = Rule("divide once, in forward", "a/v = a*(1/v), and forward keeps 1/v in the place of v", _divided)


@dataclass(frozen=True)
class Verdict:
    """Whether a rule may be applied to a part; what is said of it; the formulas then; the step, with its prices."""

    right: bool
    said: str
    step: Step | None = None

    def __bool__(self) -> bool:
        return self.right


class Practice:
    """The formulas as they stand, what may be chosen, and the way so far; begins where everything is flat."""

    def __init__(self, d: Derivation) -> None:
        self.d, self.forward, self.text = d, d.forward.as_recorded(), d.writer()
        self.search = Search(self.forward, d.steps[0].roots, text=self.text)
        self.way = [self._step(Rule("recorded", "", lambda t, f: None), self._flat(self.search.roots), ())]
        self.rules = [NAME, ONCE, *[r for r in RULES if r not in FLAT]]
        self._at = Point(Floats(), d.forward.lengths, self.search.checker.given)

    @property
    def roots(self) -> tuple[Term, ...]:
        """The formulas as they stand."""
        return self.way[-1].roots

    def parts(self) -> list[Term]:
        """What a rule can be applied to, the smallest first."""
        inside = [t for t in reachable(self.roots) if t.args and t.axes and t.op != "name"]
        return sorted(inside, key=lambda t: t.order)

    def done(self) -> bool:
        """Whether the formulas cost no more than those that the engine arrives at."""
        return self.search.weigh(self.roots) <= self.search.weigh(self.d.roots) + 1e-6

    def undo(self) -> bool:
        """Take the last step back; False where there is none."""
        return len(self.way) > 1 and bool(self.way.pop())

    def hint(self) -> tuple[Rule, Term] | None:
        """The rule that the engine would use next, and a part that it changes; None where it knows of none."""
        search = Search(self.forward.as_recorded(), self.roots, text=self.text)
        for step in search.run()[1:]:
            wanted = {"name": NAME, "keep": ONCE}.get(step.name.split()[0], step.rule)
            for part, _ in step.pairs:
                if part in self.parts() and self.judge(part, wanted):
                    return wanted, part
        return None

    def judge(self, part: Term, r: Rule) -> Verdict:
        """Whether a rule may be applied to a part, why not, and what it costs."""
        new = self._named(part) if r is NAME else r.rewrite(part, self.forward)
        new = self.forward.by_definition.get(new, new) if new is not None else None
        if new is None or new is part:
            return Verdict(False, f"no: {self._why_not(r, part)}")
        step = self._step(r, self._with(part, new), ((part, new),))
        return Verdict(True, f"yes: {self.short(part)}  ->  {self.short(new)}", step)

    def take(self, verdict: Verdict) -> None:
        """Go on from the formulas of a verdict."""
        if verdict.step is None:
            raise ValueError("a rule that may not be applied makes no step")
        self.way.append(verdict.step)

    def prices(self, step: Step) -> str:
        """What a step costs beside the one before it."""
        old = self.way[-2] if step is self.way[-1] and len(self.way) > 1 else self.way[-1]
        pairs = [
            ("ops", old.cost.ops, step.cost.ops),
            ("over whole arrays", old.cost.passes, step.cost.passes),
            ("bytes kept", bytes_kept(self.d, old), bytes_kept(self.d, step)),
            ("digits in float32", _digits(old), _digits(step)),
        ]
        checked = f"equal at {step.points} points exactly" if step.points else "checked in float64"
        return ", ".join(f"{a} -> {b} {what}" if a != b else f"{b} {what}" for what, a, b in pairs) + f"; {checked}"

    # what is behind it --------------------------------------------------------------------------------------

    def _step(self, r: Rule, roots: tuple[Term, ...], pairs: tuple[tuple[Term, Term], ...]) -> Step:
        before = self.way[-1].roots if pairs else roots
        points, worst = self.search.check(r, [*pairs, *zip(before, roots, strict=True)])
        cost = Plan(roots).cost()
        return Step(r.name, r.why, roots, pairs, r, cost, points, worst, self.search.digits(roots))

    def _flat(self, roots: tuple[Term, ...]) -> tuple[Term, ...]:
        self.search.roots = roots
        while any([self.search.apply(r) for r in FLAT]):
            pass
        return self.search.roots

    def _with(self, part: Term, new: Term) -> tuple[Term, ...]:
        """The formulas with another term in the place of a part."""
        memo = {part: new}
        return self._flat(tuple([_replaced(root, memo, self.forward.by_definition) for root in self.roots]))

    def _named(self, part: Term) -> Term | None:
        """The part with the name of that forward value with which the whole costs least."""
        found = [new for v in self.forward.values if (f := naming(v)) and (new := f(part, self.forward)) is not None]
        return min(found, key=lambda t: (self.search.weigh(self._with(part, t)), t.order), default=None)

    def short(self, t: Term) -> str:
        """A term on one line, its middle left out where it is long."""
        return first_line(t, self.text, 70)

    def numbers(self, t: Term, axes: Sequence[int] = ()) -> str:
        """A few numbers of a term at the inputs: along the first of `axes`, or its first ones."""
        a = self._at.at(t)
        along = next((k for k in axes if k in t.axes), None)
        flat = np.ravel(a if along is None else np.moveaxis(a, along, 0).reshape(a.shape[along], -1)[:, 0])
        more = ", ..." if flat.size > SHOWN else ""
        shown = [v if abs(v) > ROUND_OFF else 0.0 for v in flat[:SHOWN].astype(float)]
        return ", ".join(f"{v:.3g}" for v in shown) + more

    def beside(self, t: Term, wrong: Term, axes: Sequence[int] = ()) -> str:
        """Two terms with their numbers."""
        return f"{self.short(t)} is {self.numbers(t, axes)}, and {self.short(wrong)} is {self.numbers(wrong, axes)}"

    def _why_not(self, r: Rule, t: Term) -> str:
        about = WHY_NOT.get(r.name)
        shape = {"sum": "a sum over an axis", "product": "a product", "lin": "a sum of terms"}.get(t.op, f"{t.op}(...)")
        said = about(self, t) if about is not None else None
        return said or f"this part is {shape}, and the rule is about another form: {r.why}"


def _digits(step: Step) -> float:
    error = max(step.digits, default=0.0)
    return round(float(min(8.0, max(0.0, -np.log10(error)))), 1) if error else 8.0


def _replaced(t: Term, memo: dict[Term, Term], named: dict[Term, Term]) -> Term:
    """A term with others in the place of those in `memo`."""
    if t not in memo:
        args = [_replaced(a, memo, named) for a in t.args] if t.op != "name" else []
        new = rebuilt(t, args) if any(a is not b for a, b in zip(args, t.args, strict=True)) else t
        memo[t] = named.get(new, new)
    return memo[t]


# Why a rule may not be applied: what is said of a part, or None where it has another form than the rule is about ---

WhyNot: TypeAlias = Callable[[Practice, Term], "str | None"]


def _not_equal_terms(p: Practice, t: Term) -> str | None:
    if t.op != "sum":
        return None
    (inner,), wrong = t.args, prod(1, [(count(t.par), 1), (t.args[0], 1)])
    along = f"{p.short(inner)} depends on the axis that is summed over, and along it is {p.numbers(inner, t.par)}"
    return f"{along}: no equal terms. {p.beside(t, wrong)}"


def _not_pulled(p: Practice, t: Term) -> str | None:
    if t.op != "sum":
        return None
    items = split(t.args[0])[1]
    along = "; ".join(f"{p.short(b)} is {p.numbers(b, t.par)}" for b in items)
    first, *rest = items.items()
    if not rest:
        return f"there is no factor that is constant along the axis that is summed over: along it {along}"
    wrong = prod(1, [first, (total(prod(1, rest), t.par), 1)])
    return f"every factor depends on the axis that is summed over: along it {along}; {p.beside(t, wrong, t.par)}"


def _not_known(p: Practice, t: Term) -> str | None:
    if t.op != "sum":
        return None
    nothing = "no value of the forward pass, no definition and no hypothesis says what it is"
    return f"{p.short(t)} is {p.numbers(t)} at the inputs: {nothing}"


def _not_zeros(p: Practice, t: Term) -> str | None:
    if t.op != "where":
        return None
    return f"its branches are not both 0: {p.beside(t.args[1], t.args[2])}"


def _not_assumed(p: Practice, t: Term) -> str | None:
    assumed = ", ".join(f"{name} {form}" for name, form in p.d.assumed.items()) or "nothing"
    return f"assumed is {assumed}, which does not change {p.short(t)}; at the inputs it is {p.numbers(t)}"


def _factors(p: Practice, t: Term, sign: int = 1) -> str:
    """The factors above the line, or those below it, and what they are by definition."""
    found = [b for b, e in split(t)[1].items() if e * sign > 0]
    return ", ".join(f"{p.short(b)} = {p.text.definition(b)}" if b.computed else p.short(b) for b in found) or "none"


def _not_unfolded(p: Practice, t: Term) -> str | None:
    if t.op != "product":
        return None
    return f"no factor above the line is a value of the forward pass that is a product; there: {_factors(p, t)}"


def _not_multiplied(p: Practice, t: Term) -> str | None:
    return f"no factor above the line is a sum of terms; there: {_factors(p, t)}" if t.op == "product" else None


def _not_part(p: Practice, t: Term) -> str | None:
    if t.op != "product":
        return None
    above, below = _factors(p, t), _factors(p, t, -1)
    return f"it needs a value d = a + b of the forward pass below the line, and a above; below: {below}; above: {above}"


def _not_divided(p: Practice, t: Term) -> str | None:
    if t.op != "product":
        return None
    return f"it does not divide by a value of the forward pass; below the line: {_factors(p, t, -1)}"


def _not_shared(p: Practice, t: Term) -> str | None:
    if t.op != "lin":
        return None
    parts = [split(a)[1] for a in t.args]
    shared = {b: sum(b in other for other in parts) for items in parts for b in items}
    best, uses = max(shared.items(), key=lambda item: item[1])
    if uses == 1:
        return "its terms share no factor: " + "; ".join(f"{p.short(a)} is {p.numbers(a)}" for a in t.args)
    return f"of its {len(t.args)} terms {uses} share {p.short(best)}, and that is the most that any factor is shared"


def _not_joined(p: Practice, t: Term) -> str | None:
    if t.op != "lin":
        return None
    other = next((a for a in t.args if a.op != "sum" or a.par != t.args[0].par), None)
    return f"{p.short(other)} is no sum over the same axes" if other is not None else "the sums share no factor"


def _not_named(p: Practice, t: Term) -> str | None:
    """The value whose definition lacks the least."""
    found = list[tuple[int, str]]()
    items = split(t)[1] if t.op == "product" else {}
    for v in p.forward.values:
        definition = as_product(v.definition) if v.definition is not None else None
        need = split(definition)[1] if definition is not None else {}
        lacks = [(b, e) for b, e in need.items() if items.get(b, 0) * e < e * e]
        if 0 < len(lacks) < len(need):
            missing = p.short(prod(1, lacks))
            found.append((len(lacks), f"{v.name} is {p.text.definition(v)}, and here {missing} is missing"))
    if found:
        return f"no value of the forward pass fits; the nearest: {min(found)[1]}"
    return f"no value of the forward pass fits {p.short(t)}; at the inputs it is {p.numbers(t)}"


WHY_NOT: dict[str, WhyNot] = {
    NAME.name: _not_named,
    ONCE.name: _not_divided,
    "a sum of N equal terms is N times the term": _not_equal_terms,
    "pull constants out of the sum": _not_pulled,
    "a sum that is known": _not_known,
    "nothing passes a choice of zeros": _not_zeros,
    "by hypothesis": _not_assumed,
    "part of a sum over the sum": _not_part,
    "use the definition of a product": _not_unfolded,
    "multiply out": _not_multiplied,
    "use the definition of a difference from 1": _not_multiplied,
    "factor what all terms share": _not_shared,
    "factor what some terms share": _not_shared,
    "one sum of what sums share": _not_joined,
}
