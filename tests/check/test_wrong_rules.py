"""No wrong rule passes, and most are named: gradcheck on the rules of wrong_rules."""

from __future__ import annotations

from functools import cache

import pytest

from minigrad.check import gradcheck

from .wrong_rules import WRONG


@cache
def report(k):
    return gradcheck(WRONG[k].f, list(WRONG[k].inputs), order=WRONG[k].order)


def named(k):
    said = " / ".join([*report(k).reasons, *report(k).problems, *report(k).notes])
    return any(word and word in said for word in WRONG[k].words)


@pytest.mark.parametrize("k", range(len(WRONG)), ids=[f"{w.kind}-{k}" for k, w in enumerate(WRONG)])
def test_a_wrong_rule_is_found(k):
    assert not report(k), report(k)
    assert max(map(len, str(report(k)).split("\n\n")[1].splitlines() if report(k).wrong else [""])) <= 80


@pytest.mark.parametrize("k", [k for k, w in enumerate(WRONG) if w.order == 2])
def test_what_is_wrong_at_order_two_only_is_right_at_order_one(k):
    assert gradcheck(WRONG[k].f, list(WRONG[k].inputs))


@pytest.mark.parametrize("k", [k for k, w in enumerate(WRONG) if w.kind == "hidden"])
def test_what_is_hidden_is_said_to_be_wrong_beside(k):
    assert "right here, wrong beside it" in str(report(k)).splitlines()[0]
    assert gradcheck(WRONG[k].f, list(WRONG[k].inputs), move=False)


def test_most_of_what_is_hidden_shows_in_mixed_second_derivatives():
    """Not what is wrong in one rule alone and in the same way on both sides, such as d_gamma * gamma at gamma = 1."""
    hidden = [w for w in WRONG if w.kind == "hidden"]
    found = [r for w in hidden if not (r := gradcheck(w.f, list(w.inputs), move=False, order=2))]
    assert len(found) >= 8
    assert all("mixed second derivatives differ" in " ".join(r.problems) for r in found)


def test_most_are_named():
    assert len(WRONG) >= 80
    assert len({w.kind for w in WRONG}) >= 10
    missed = [(k, WRONG[k].words, report(k).reasons) for k in range(len(WRONG)) if not named(k)]
    assert len(WRONG) - len(missed) >= 65, missed
