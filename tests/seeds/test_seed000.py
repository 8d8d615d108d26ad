"""Seed 000, the textbook chapter: every number that it prints, for both implementations."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from examples import chapter_by_hand as example
from minigrad import chapter


def test_the_data_is_what_the_chapter_draws():
    drawn = np.random.RandomState(42).randint(low=0, high=10, size=(7, 3))
    np.testing.assert_array_equal(chapter.z(), drawn)
    printed_first_row = [1.32921217, -0.77003345, -0.31628036]
    np.testing.assert_allclose(chapter.dq()[0], printed_first_row, rtol=0, atol=5e-9)
    np.testing.assert_allclose(chapter.dq()[6], [0.16556161, 0.51501838, -1.33693569], rtol=0, atol=5e-9)


SHOWN = [(example.by_hand, name) for name in example.PRINTED]
SHOWN += [(example.fused, name) for name in example.PRINTED if name not in ("mu", "var")]  # no such node in there


@pytest.mark.parametrize(("forward", "name"), SHOWN)
def test_every_printed_number(forward, name):
    ours = example.numbers(forward, np.ones(3), np.zeros(3))
    np.testing.assert_allclose(ours[name].numpy(), example.PRINTED[name], rtol=0, atol=5e-9)


@pytest.mark.parametrize("variance", ["primitive", "staged"])
def test_the_librarys_composed_forms_too(variance):
    z, gamma, beta = example.leaves(np.ones(3), np.zeros(3))
    q = mg.batch_norm_composed(z, gamma, beta, eps=chapter.EPS, variance=variance)
    np.testing.assert_allclose(q.numpy(), example.PRINTED["q"], rtol=0, atol=5e-9)
    found = mg.grad(q, (z, gamma, beta), gradient=chapter.dq())
    for d, name in zip(found, ("dz", "dgamma", "dbeta"), strict=True):
        np.testing.assert_allclose(d.numpy(), example.PRINTED[name], rtol=0, atol=5e-9)


def test_integers_as_the_chapter_has_them():
    z = np.random.RandomState(42).randint(low=0, high=10, size=(7, 3))
    np.testing.assert_allclose(mg.batch_norm(z, eps=1e-6), example.PRINTED["q"], rtol=0, atol=5e-9)


def test_the_three_term_formula_and_ours():
    """dz by the chapter's formula, with gamma in it as its code has it and its text has not."""
    gamma = np.array([2.0, -0.5, 1.5])
    ours = example.numbers(example.fused, gamma, np.zeros(3))["dz"].numpy()
    z, m = chapter.z(), 7
    zmu, ivar = z - z.mean(0), 1 / np.sqrt(z.var(0) + 1e-6)
    dzhat = chapter.dq() * gamma
    dvar = (dzhat * zmu * -0.5 * ivar**3).sum(0)
    dmu = (-dzhat * ivar).sum(0)
    np.testing.assert_allclose(ours, dzhat * ivar + dvar * (2 / m) * zmu + dmu / m, rtol=0, atol=1e-14)


def test_the_example_checks_itself(capsys, tmp_path):
    assert example.main([]) == 0
    out = capsys.readouterr().out
    assert "dgamma" in out
    assert " NO" not in out
    assert example.main(["--draw", str(tmp_path / "chapter.dot")]) == 0
    assert "zhat" in (tmp_path / "chapter.dot").read_text(encoding="utf-8")


def test_the_example_notices_a_wrong_number(monkeypatch):
    monkeypatch.setitem(example.PRINTED, "dgamma", [1.87446152, -3.33807569, 0.75442900])
    assert example.main([]) == 1
