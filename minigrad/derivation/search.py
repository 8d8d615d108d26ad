"""The search: rules to a fixpoint, steps that get dearer first looked ahead, detours left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .checking import CLOSE, Checker
from .cost import Cost, Plan
from .reading import Forward, normal
from .rules import RULES, Rule, naming, reciprocal_of
from .terms import Term, reachable, rebuilt

ALWAYS = [r for r in RULES if not r.tried]
TRIED = sorted([r for r in RULES if r.tried], key=lambda r: r.opening)
GATE = 100.0  # how many times the recorded formula's error in float32 a step may bring
BETTER = 1e-7  # less than this is no gain

Pair = tuple[Term, Term]


class StepRefused(ArithmeticError):
    """A rule gave something else than what it was given; both sides are in the message."""


@dataclass(frozen=True)
class Step:
    """One line of a derivation.

    name, why   the rule and its proof in a sentence
    roots       the formulas after it; `pairs` the parts that it changed, before and after
    points      at how many points of the field both sides were equal; 0 where the rule is checked in float64 alone
    difference  in float64, of the largest number around, from the recorded formulas
    digits      of each formula, the largest relative error of an element in float32, at the given inputs
    """

    name: str
    why: str
    roots: tuple[Term, ...]
    pairs: tuple[Pair, ...]
    rule: Rule = field(repr=False)
    cost: Cost
    points: int
    difference: float
    digits: tuple[float, ...]


class Search:
    """Takes recorded formulas to the cheapest ones that the rules reach."""

    def __init__(
        self,
        forward: Forward,
        roots: Sequence[Term],
        *,
        keep_digits: bool = True,
        text: Callable[[Term], str] = str,
        rules: Sequence[Rule] | None = None,
    ) -> None:
        self.forward, self.roots, self.text = forward, tuple(roots), text
        self.always = [r for r in rules if not r.tried] if rules is not None else ALWAYS
        self.tried = [r for r in rules if r.tried] if rules is not None else TRIED
        self.checker = Checker(forward)
        self.keep_digits, self.refused = keep_digits, dict[str, tuple[float, float, str]]()
        self._equal: dict[Pair, tuple[int, float]] = {}
        self._weights: dict[tuple[Term, ...], float] = {}
        self._digits: dict[tuple[Term, ...], tuple[float, ...]] = {}
        self._moves: dict[Any, Any] = {}
        self._rewrites: dict[str, dict[Term, Term | None]] = {}
        self.trail: list[tuple[Rule, tuple[Term, ...], tuple[Pair, ...]]] = []
        self.recorded = self.roots
        self.roots = tuple([normal(r, forward, {}) for r in self.roots])
        self.first = self.roots

    # one step -----------------------------------------------------------------------------------------------

    def apply(self, r: Rule) -> bool:
        """Apply a rule everywhere, once; whether anything changed. StepRefused where it changes what is computed."""
        key = r.name, self.roots
        if key not in self._moves:
            self._moves[key] = self.rewritten(r)
        roots, pairs = self._moves[key]
        if not pairs or roots == self.roots:
            return False
        self.roots = roots
        self.trail.append((r, roots, pairs))
        return True

    def rewritten(self, r: Rule) -> tuple[tuple[Term, ...], tuple[Pair, ...]]:
        """The formulas after a rule was applied to every term, inputs first; the parts that changed, checked."""
        memo: dict[Term, Term] = {}
        pairs: list[Pair] = []
        named = self.forward.by_definition
        rewrites = self._rewrites.setdefault(r.name, {})

        def go(t: Term) -> Term:
            if t in memo:
                return memo[t]
            out = t
            if t.op != "name" and t.args:
                args = [go(a) for a in t.args]
                out = rebuilt(t, args) if any(a is not b for a, b in zip(args, t.args, strict=True)) else t
                out = named.get(out, out)
                if out not in rewrites:
                    new = r.rewrite(out, self.forward) if out.op != "name" else None
                    rewrites[out] = named.get(new, new) if new is not None else None
                new = rewrites[out]
                if new is not None and new is not out:
                    pairs.append((out, new))
                    out = new
            memo[t] = out
            return out

        roots = tuple([go(t) for t in self.roots])
        self.check(r, [*pairs, *zip(self.roots, roots, strict=True)])
        return roots, tuple(pairs)

    def check(self, r: Rule, pairs: Sequence[Pair]) -> tuple[int, float]:
        """(points of the field at which all pairs are equal, the difference in float64), or StepRefused."""
        points, worst = 0, 0.0
        for pair in pairs:
            if pair[0] is pair[1]:
                continue
            if pair not in self._equal:
                self._equal[pair] = self.checker.exactly([pair]), self.checker.difference([pair])
            exact, difference = self._equal[pair]
            wrong = (r.exact and not exact) or (not exact and not difference <= CLOSE)
            if wrong:
                raise StepRefused(
                    f"the rule '{r.name}' does not hold here: {self.text(pair[0])}  ->  {self.text(pair[1])} differ by "
                    f"{difference:.1e} in float64 and are {'equal' if exact else 'not equal'} modulo 2**31 - 1"
                )
            points, worst = points + exact, max(worst, difference)
        return points if r.exact else 0, worst

    # the walk -----------------------------------------------------------------------------------------------

    def run(self) -> list[Step]:
        """The whole derivation."""
        self.simplify()
        while self.improved():
            pass
        self._cheapest()
        self.reciprocals()
        self.shorten()
        return self.steps()

    def simplify(self) -> None:
        """The rules in their order until none applies; names before anything is pulled out of a sum."""
        for _ in range(60):
            for r in self.always:
                if (r.name.startswith("pull") and self.named()) or self.apply(r):
                    break
            else:
                return

    def named(self) -> bool:
        """Put the forward value that saves most in the place of its definition; whether one saves anything."""
        before, length, weight = self.roots, len(self.trail), self.weight()
        for value in self.forward.values:
            rewrite = naming(value)
            if rewrite is None:
                continue
            why = f"{self.text(value.definition or value)} is {value.name}, a value of the forward pass"
            if self.apply(Rule(f"name {value.name}", why, rewrite)):
                if self.weight() < weight - BETTER:
                    return True
                self._back(before, length)
        return False

    def improved(self, depth: int = 2) -> bool:
        """Try the rules that may cost more at first; keep the first after which the whole costs less."""
        for r in self.tried:
            if r.opening and not depth:
                continue
            before, length, weight = self.roots, len(self.trail), self.weight()
            for _ in range(8 if r.opening else 1):
                if not self.apply(r):
                    break
            if len(self.trail) == length:
                continue
            self.simplify()
            while r.opening and self.improved(depth - 1):
                pass
            if self.weight() < weight - BETTER and self._digits_kept(r, before, length):
                return True
            self._back(before, length)
        return False

    def _digits_kept(self, r: Rule, before: tuple[Term, ...], length: int) -> bool:
        """Whether the formulas are as precise as the recorded ones; if not, note the first step that is not."""
        if not self.keep_digits:
            return True
        recorded = self.digits(self.first)
        for step, roots, pairs in self.trail[length:]:
            for error, least in zip(self.digits(roots), recorded, strict=True):
                if error > GATE * max(least, 1e-6):
                    a, b = max(pairs, key=lambda pair: pair[0].size)
                    self.refused.setdefault(step.name, (error, least, f"{self.text(a)}  ->  {self.text(b)}"))
                    return False
        return True

    def _back(self, roots: tuple[Term, ...], length: int) -> None:
        self.roots = roots
        del self.trail[length:]

    def _cheapest(self) -> None:
        """Where the end costs more than the beginning, go back to the cheapest state that was seen."""
        if self.weight() <= self.weigh(self.first):
            return
        states = [self.first, *[roots for _, roots, _ in self.trail]]
        best = min(range(len(states)), key=lambda k: (self.weigh(states[k]) - BETTER * k, -k))
        self._back(states[best], best)

    def reciprocals(self) -> None:
        """A forward value that backward only divides by is kept as its reciprocal: one division, in forward."""
        for value in Plan(self.roots).saved():
            if value is self.forward.result:
                continue
            inside = reachable(self.roots)
            uses = [e for t in inside if t.op == "product" for b, e in zip(t.args, t.par[1], strict=True) if b is value]
            elsewhere = any(value in t.args for t in inside if t.op != "product") or value in self.roots
            if uses and max(uses) < 0 and not elsewhere:
                inverse = self.forward.inverse_of(value)
                why = "backward only divides by it: divide once, in forward"
                self.apply(Rule(f"keep 1/{value.name}", why, reciprocal_of(value, inverse)))

    def shorten(self) -> None:
        """Leave out every one or two steps without which the others still arrive at the same formulas."""
        end = self.roots
        for width in (2, 1):
            k = 0
            while k + width <= len(self.trail):
                kept = list(self.trail)
                self._back(kept[k - 1][1] if k else self.first, k)
                if not (all(self._again(r) for r, _, _ in kept[k + width :]) and self.roots == end):
                    self.trail, self.roots = kept, end
                    k += 1

    def _again(self, r: Rule) -> bool:
        try:
            return self.apply(r)
        except StepRefused:
            return False

    def steps(self) -> list[Step]:
        """The trail, and what each step costs."""
        recorded = Rule("recorded", "what backward computes; shapes and repeats are already gone", lambda t, f: None)
        found, before = [], self.first
        for r, roots, pairs in [(recorded, self.first, ()), *self.trail]:
            points, _ = self.check(r, [*pairs, *zip(before, roots, strict=True)])
            worst = self.checker.difference(zip(self.recorded, roots, strict=True))
            found.append(
                Step(
                    r.name,
                    r.why,
                    roots,
                    pairs,
                    r,
                    Plan(roots).cost(),
                    points,
                    worst,
                    self.digits(roots),
                )
            )
            before = roots
        return found

    def weight(self) -> float:
        """What is minimised: the cost of the formulas, then how long they are."""
        return self.weigh(self.roots)

    def weigh(self, roots: tuple[Term, ...]) -> float:
        """The same of any formulas."""
        if roots not in self._weights:
            self._weights[roots] = Plan(roots).cost().weight + 1e-5 * sum(r.size for r in roots)
        return self._weights[roots]

    def digits(self, roots: tuple[Term, ...]) -> tuple[float, ...]:
        if roots not in self._digits:
            self._digits[roots] = self.checker.digits(roots, self.recorded)
        return self._digits[roots]
