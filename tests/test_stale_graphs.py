"""A graph that was written to since it was recorded: the checks say so, by name, and accuse nobody."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.check import blame, explain_zeros

from .mutation import Plant, on_result, planted


def leaf(a, name):
    return mg.tensor(a, requires_grad=True, name=name)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_after_an_optimizers_step_the_graph_is_stale_and_nobody_is_accused(norm, rng):
    net = mg.nn.MLP((3, 8, 1), norm=norm, rng=0)
    optimizer = mg.optim.SGD(net.parameters(), lr=0.1)
    loss = mg.mse_loss(net(mg.tensor(rng.normal(size=(6, 3)))), rng.normal(size=(6, 1)))
    loss.backward()
    assert blame(loss)
    optimizer.step()
    report = blame(loss)
    assert not report
    assert not report.guilty
    assert not report.marks
    assert {v.op for v in report.verdicts if v.state == "stale"} == {"matmul"} | ({"batch_norm"} & {f"{norm}_norm"})
    assert "the graph is stale, run the forward again before blaming" in str(report)
    assert "weight: (8, 1) float64 was written after matmul was recorded" in str(report)
    for other in (explain_zeros, mg.check.cost):
        with pytest.raises(RuntimeError, match=r"graph is stale: .* was written after .*; run the forward again"):
            other(loss)


def test_a_wrong_rule_is_found_in_a_stale_graph_too(rng):
    x, w = leaf(rng.normal(size=(6, 3)), "x"), leaf(rng.normal(size=(3, 4)), "w")
    y = mg.batch_norm_composed(x @ w)
    w.detach().named("alias").data = w.data * 2.0
    with planted(Plant("sign", "sqrt", 0, on_result(0, False, lambda d: -d))):
        report = blame(y)
    assert [v.op for v in report.guilty] == ["sqrt"]
    assert report.stale == ("w: (3, 4) float64 (as alias) was written after matmul was recorded",)


def test_a_write_that_no_rule_reads_is_no_matter(rng):
    w, b = leaf(rng.normal(size=(3, 2)), "w"), leaf(np.zeros(2), "b")
    loss = mg.square(mg.tensor(rng.normal(size=(4, 3))) @ w + b).mean()
    b.data = b.data + 1.0
    assert blame(loss)
    assert explain_zeros(loss)
    assert mg.check.cost(loss).ops == 4
