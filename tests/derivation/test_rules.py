"""Wrong rules are refused: planted mistakes, each tried on every state of several derivations."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.derivation import StepRefused
from minigrad.derivation.rules import RULES, Rule, naming
from minigrad.derivation.search import Search
from minigrad.derivation.terms import (
    ONE,
    ZERO,
    as_combination,
    as_product,
    count,
    lin,
    make,
    merged,
    number,
    prod,
    split,
    total,
)
from tests.derivation import functions

NAMES = (
    "batch_norm",
    "layer_norm",
    "softmax",
    "cross_entropy_probabilities",
    "tanh",
    "bce",
    "silu",
    "bce_softplus",
    "log_softmax",
    "relu",
)


def hypothetical(x, t):
    return mg.abs(t) * x * t * t


@pytest.fixture(scope="module")
def searches():
    """(a search, the states of its derivation) of each function."""
    found = []
    for name in NAMES:
        f, inputs, assume = functions.FUNCTIONS[name]
        d = mg.derive(f, inputs, assume=assume)
        found.append((Search(d.forward, d.steps[0].roots), [step.roots for step in d.steps]))
    x = np.linspace(0.5, 2.0, 6)
    for form in ("is positive", "is 0 or 1"):
        d = mg.derive(hypothetical, [x, (x > 1).astype(float)], assume={"t": form})
        found.append((Search(d.forward, d.steps[0].roots), [step.roots for step in d.steps]))
    return found


def scaled(r, factor):
    def rewrite(t, forward):
        new = r.rewrite(t, forward)
        return None if new is None else prod(factor, [(new, 1)])

    return Rule(f"{r.name}, times {float(factor)!r}", "", rewrite, exact=r.exact)


def wrong(name, rewrite, exact=True):
    return Rule(name, "", rewrite, exact=exact)


def of(op, make_new):
    return lambda t, forward: make_new(t) if t.op == op else None


def first_of_product(t):
    c, items = split(t)
    return prod(c, [*items.items()][1:]) if len(items) > 1 else None


def reciprocal(t):
    p: Any = as_product(t)
    if p.op != "product":
        return None
    return prod(p.par[0], [(b, -2 if e == -1 else e) for b, e in zip(p.args, p.par[1], strict=True)])


def pulled(t, forward):
    if t.op == "sum" and t.args[0].op == "product":
        c, items = split(t.args[0])
        first, *rest = items.items()
        return prod(c, [first, (total(prod(1, rest), t.par), 1)]) if rest and first[0].axes & set(t.par) else None
    return None


def renamed(t, forward):
    for value in forward.values:
        rewrite = naming(value)
        new = rewrite(t, forward) if rewrite else None
        if new is not None:
            return prod(1, [(new, 1), (value, 1)])
    return None


def part(t, forward):
    new = next(r for r in RULES if r.name.startswith("part of a sum")).rewrite(t, forward)
    return None if new is None else prod(-1, [(new, 1)])


def exp_log(t, forward):
    new = next(r for r in RULES if r.name == "exp undoes log").rewrite(t, forward)
    return None if new is None else prod(1, [(new, 1), (new, 1)])


TINY = Fraction(1) + Fraction(1, 10**14)  # float64 does not see it
SEEN = Fraction(1) + Fraction(1, 10**11)
NEVER_ON_NUMBERS = {"nothing passes a choice of zeros"}  # 0 times anything
PLANTED = [
    *[scaled(r, TINY) for r in RULES if r.exact and r.name not in NEVER_ON_NUMBERS],
    *[scaled(r, SEEN) for r in RULES if not r.exact],
    wrong("mean is sum", of("mean", lambda t: total(t.args[0], t.par))),
    wrong("a/b = a*b**-2", lambda t, f: reciprocal(t) if t.op == "div" else None),
    wrong("-a = a", of("neg", lambda t: t.args[0])),
    wrong("a - b = a + b", of("sub", lambda t: lin([(1, t.args[0]), (1, t.args[1])]))),
    wrong("a + b = a", of("add", lambda t: t.args[0])),
    wrong("a dropped factor", of("product", first_of_product)),
    wrong("a dropped term", of("lin", lambda t: lin([*zip(t.par, t.args, strict=True)][1:]))),
    wrong("a sum of anything is 0", of("sum", lambda t: ZERO)),
    wrong("a sum of anything is N times it", of("sum", lambda t: prod(1, [(count(t.par), 1), (t.args[0], 1)]))),
    wrong("what is not constant leaves the sum", pulled),
    wrong("sum(a + b) = sum(a)", of("sum", lambda t: _first_sum(t))),
    wrong("where(c, a, 0) = a", of("where", lambda t: t.args[1])),
    wrong("where(c, a, 0) = 0", of("where", lambda t: ZERO)),
    wrong("a value is named and multiplied", renamed),
    wrong("a/d = b/d - 1", part),
    wrong("exp undoes log twice", exp_log, exact=False),
    wrong("sigmoid(-z) = -sigmoid(z)", of("sigmoid", lambda t: prod(-1, [(t, 1)])), exact=False),
    wrong("sigmoid(z) = 1/2", of("sigmoid", lambda t: number(Fraction(1, 2))), exact=False),
    wrong("|t| = -t", of("abs", lambda t: prod(-1, [(t.args[0], 1)])), exact=False),
    wrong("a*b = a + b", of("mul", lambda t: lin([(1, t.args[0]), (1, t.args[1])]))),
    wrong("multiply out and drop the last", lambda t, f: _multiplied(t)),
    wrong("exp(a) = 1 + a", of("exp", lambda t: lin([(1, ONE), (1, t.args[0])]))),
    wrong("square is double", lambda t, f: _doubled(t)),
]  # fmt: skip


def _first_sum(t):
    return total(t.args[0].args[0], t.par) if t.args[0].op == "lin" else None


def _multiplied(t):
    if t.op == "product":
        for b, e in zip(t.args, t.par[1], strict=True):
            if b.op == "lin" and e == 1:
                rest = prod(t.par[0], merged(dict(zip(t.args, t.par[1], strict=True)), (b, -1)))
                return prod(1, [(rest, 1), (lin([*zip(b.par, b.args, strict=True)][:-1]), 1)])
    return None


def _doubled(t):
    if t.op == "product" and 2 in t.par[1]:
        return prod(2 * t.par[0], [(b, 1 if e == 2 else e) for b, e in zip(t.args, t.par[1], strict=True)])
    return None


def applied(r, searches):
    """(messages of where it was refused, pairs that it changed to something else without being refused)."""
    refused, passed = [], []
    for search, states in searches:
        moves = [lambda roots=roots: rewritten(search, r, roots) for roots in states]  # noqa: B023
        for value in search.forward.values:  # what forward computes is there for rules to read, too
            moves.append(lambda d=value.definition: defined(search, r, d))  # noqa: B023
        for move in moves:
            try:
                pairs = move()
            except StepRefused as error:
                refused.append(str(error))
                continue
            passed += [pair for pair in pairs if differ(search, *pair)]
    return refused, passed


def differ(search, a, b):
    """Whether two terms are different numbers; what is 0 but for round-off is 0."""
    return any(not np.abs(at.at(a) - at.at(b)).max() <= 1e-9 for at in search.checker.trials)


def rewritten(search, r, roots):
    search.roots = roots
    new, pairs = search.rewritten(r)
    return [*pairs, *zip(roots, new, strict=True)]


def defined(search, r, d):
    new = r.rewrite(d, search.forward)
    pairs = [] if new is None else [(d, new)]
    search.check(r, pairs)
    return pairs


@pytest.mark.parametrize("r", PLANTED, ids=lambda r: r.name)
def test_a_wrong_rule_is_refused_wherever_it_changes_something(r, searches):
    refused, passed = applied(r, searches)
    assert passed == []
    assert all(r.name in message for message in refused)
    assert refused or r.name.startswith(NEVER_FIRES), r.name


NEVER_FIRES = (  # rules that none of these derivations has a place for
    "a sum of N equal terms",
    "by hypothesis",
)


def test_there_are_thirty():
    assert len(PLANTED) >= 30
    assert len({r.name for r in PLANTED}) == len(PLANTED)


@pytest.mark.parametrize("r", RULES, ids=lambda r: r.name)
def test_the_rules_themselves_are_never_refused(r, searches):
    assert applied(r, searches) == ([], [])


def test_terms_are_one_object_and_flat():
    x, y = make("x"), make("y")
    assert prod(2, [(prod(3, [(x, 2)]), 1), (x, -1), (y, 1)]) is prod(6, [(x, 1), (y, 1)])
    assert lin([(1, lin([(1, x), (2, y)])), (-1, x)]) is prod(2, [(y, 1)])
    assert lin([(1, x), (-1, x)]) is ZERO
    assert as_combination(make("sub", (x, x))) is ZERO
    assert as_product(make("div", (x, x))) is ONE
