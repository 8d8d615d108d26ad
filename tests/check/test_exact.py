"""What `compare` says of two implementations as formulas: exactly the same, not the same, or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.check import compare

X = np.random.default_rng(0).normal(size=(5, 3))
RNG = np.random.default_rng(1)
MODULO = "the same formula, exactly (modulo 2**31 - 1"


def one_pass(x: Any) -> Any:
    return mg.square(x).mean(0) - mg.square(x.mean(0))


@pytest.mark.parametrize(
    ("f", "g", "x", "said"),
    [
        (lambda x: x * x + x, lambda x: x * (x + 1.0), X, f"{MODULO})"),
        (lambda x: x.var(0), one_pass, X, f"{MODULO})"),
        (lambda x: x @ x.T, lambda x: mg.einsum("ij,kj->ik", x, x), X, f"{MODULO})"),
        (mg.batch_norm, mg.batch_norm_composed, X, f"{MODULO}, whatever function sqrt may be)"),
        (lambda x: x * x, lambda x: x * x * (1 + 1e-14), X, "not the same formula: y, dx differ exactly"),
        (lambda x: x * 1.0, lambda x: x + 1e-30, X, "not the same formula: y differ exactly"),
        (lambda x: x * x, lambda x: x * x * 1.01, X, ""),  # the numbers say so
        (lambda x: mg.exp(x) ** 2.0, lambda x: mg.exp(2.0 * x), X, ""),  # true of exp alone: cannot be shown
        (lambda x: x * x, lambda x: x * float(x.sum() * 0.0 + 1.0) * x, X, ""),  # no program
        (lambda x: x * x, lambda x: x**2.0, np.ones((300, 100)), ""),  # large
    ],
)
def test_the_report_says_what_is_known_of_the_formulas(f, g, x, said):
    report = compare(f, g, x, order=1)
    assert report.formula.startswith(said)
    assert bool(report.formula) == bool(said)
    assert report.formula.split("(")[0] in str(report)
    assert report.as_data()["formula"] == report.formula


def test_rounding_is_told_from_another_formula():
    report = compare(lambda x: x.var(0), one_pass, X + 1e6, tol=1e-12)
    assert not report
    assert report.formula == "the same formula, exactly (modulo 2**31 - 1): what differs is rounding"


def test_at_order_0_gradients_do_not_count():
    def wrong(x: Any) -> Any:
        return (x - x.detach()) * 3.0 + x.detach() * 2.0

    assert compare(lambda x: x * 2.0, wrong, X, order=1).formula == ""
    assert compare(lambda x: x * 2.0, wrong, X, order=0).formula == f"{MODULO})"


def test_asking_takes_nothing_from_a_generator_and_what_is_compared_is_what_was_given():
    x = X.copy()
    report = compare(lambda x: x * 2.0, lambda x: x + x, x)
    state = RNG.bit_generator.state
    x[:] = np.nan
    assert report.formula == f"{MODULO})"
    assert compare(lambda x: x, lambda x: x * 1.0, [X]).formula
    assert RNG.bit_generator.state == state
