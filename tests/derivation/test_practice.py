"""Which rule comes next: what may be applied and what may not, with numbers; hints lead to the end; undo takes back."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.derivation.practice import NAME, ONCE, WHY_NOT, Practice
from minigrad.derivation.rules import RULES
from tests.derivation import functions


def practice(name):
    f, inputs, assume = functions.FUNCTIONS[name]
    return Practice(mg.derive(f, inputs, assume=assume))


@pytest.fixture
def batch_norm():
    return practice("batch_norm")


def rule(p, start):
    return next(r for r in p.rules if r.name.startswith(start))


def part(p, text):
    return next(t for t in p.parts() if p.text(t) == text)


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "softmax", "bce", "l2_norm", "variance"])
def test_hints_lead_to_formulas_as_cheap_as_the_engines(name):
    p = practice(name)
    for _ in range(40):
        if p.done():
            break
        found = p.hint()
        assert found, p.text(p.roots[0])
        verdict = p.judge(found[1], found[0])
        assert verdict
        p.take(verdict)
    assert p.done()


def test_every_part_and_rule_is_judged_and_a_yes_keeps_the_value(batch_norm):
    p, yes = batch_norm, 0
    first = [p.search.checker.trials[0].at(r) for r in p.roots]
    for t in p.parts():
        for r in p.rules:
            verdict = p.judge(t, r)
            assert verdict.said.startswith("yes: " if verdict else "no: ")
            if verdict.step is not None:
                yes += 1
                for a, b in zip(first, verdict.step.roots, strict=True):
                    np.testing.assert_allclose(p.search.checker.trials[0].at(b), a, atol=1e-9)
    assert 10 < yes < 60
    assert len(p.way) == 1  # to judge is not to take


def test_why_not_says_the_condition_with_numbers(batch_norm):
    p = batch_norm
    g, x_hat = p.forward.gradient, next(v for v in p.forward.values if v.name == "x_hat")
    at = p.search.checker
    numbers = at.given[g][:, 0]
    said = p.judge(part(p, "sum(g*x_hat)"), rule(p, "pull constants")).said
    assert f"g is {numbers[0]:.3g}, {numbers[1]:.3g}, {numbers[2]:.3g}, ..." in said
    total = float(np.sum(numbers * p._at.at(x_hat)[:, 0]))
    assert f"sum(g*x_hat) is {total:.3g}" in said
    assert "depends on the axis that is summed over" in p.judge(part(p, "sum(g)"), rule(p, "a sum of N")).said
    assert f"sum(g) is {numbers.sum():.3g}" in p.judge(part(p, "sum(g)"), rule(p, "a sum that is known")).said
    assert "scaled is x_hat*gamma, and here x_hat is missing" in p.judge(part(p, "gamma*g/std"), NAME).said
    assert "below the line: none" in p.judge(part(p, "g*x_hat"), ONCE).said
    assert "std = sqrt(var_eps)" in p.judge(part(p, "gamma*g/std"), rule(p, "part of a sum")).said
    assert "another form" in p.judge(part(p, "sum(g)"), rule(p, "multiply out")).said


def test_a_step_says_what_it_costs_and_undo_takes_it_back(batch_norm):
    p = batch_norm
    before = p.roots
    t = part(p, "sum(-gamma*g*x_hat/std)*centred/(N*std)")
    verdict = p.judge(t, NAME)
    assert "bytes kept" in p.prices(verdict.step)
    p.take(verdict)
    assert "17 -> 16 ops, 13 over whole arrays, 1408 -> 792 bytes kept" in p.prices(p.way[-1])
    assert "equal at 30 points exactly" in p.prices(p.way[-1])
    assert p.undo()
    assert p.roots == before
    assert not p.undo()
    with pytest.raises(ValueError, match="makes no step"):
        p.take(p.judge(part(p, "sum(g)"), ONCE))


def test_the_learner_does_not_see_what_the_engine_added(batch_norm):
    assert "inv_std" not in [v.name for v in batch_norm.forward.values]
    verdict = batch_norm.judge(part(batch_norm, "gamma*g/std"), ONCE)
    assert batch_norm.text(verdict.step.roots[0]).startswith("gamma*inv_std*g")


def test_every_reason_belongs_to_a_rule():
    assert set(WHY_NOT) <= {NAME.name, ONCE.name, *(r.name for r in RULES)}


def test_a_hypothesis_is_a_rule_that_may_be_used():
    p = practice("cross_entropy_log_softmax")
    r = rule(p, "by hypothesis")
    assert "assumed is t sums to 1" in p.judge(p.parts()[0], r).said
    for _ in range(20):
        found = p.hint()
        if found is None:
            break
        p.take(p.judge(found[1], found[0]))
        if p.done():
            break
    assert p.text(p.roots[0]) == "g*(exp(log_p) - t)"
