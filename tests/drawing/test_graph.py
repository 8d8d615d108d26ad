"""`mg.graph`: the plain data is right, pure, ordered, and survives JSON."""

import json
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.drawing import Graph

from .examples import DY, composed, fused, leaves


def test_composed_batch_norm_as_plain_data():
    g: Any = mg.graph(composed(), gradient=DY)
    assert [n.id for n in g] == [f"n{k}" for k in range(12)]
    assert [n.op for n in g if n.op] == ["mean", "sub", "square", "mean", "add", "sqrt", "div", "mul", "add"]
    assert [(n.name, n.kind) for n in g if not n.op] == [("x", "leaf"), ("gamma", "leaf"), ("beta", "leaf")]
    assert g["x_hat"].expression == "centred / std"
    assert [s.local for s in g["x_hat"].inputs] == ["g/std", "-sum0(g*x_hat/std)"]
    assert [s.local for s in g["squared"].inputs] == ["2*centred*g"]
    assert g["var_eps"].expression == "var + 1e-05"
    assert (g["x_hat"].forward, g["x_hat"].backward) == (7, 3)
    assert g.ops == 9
    assert g.saved_bytes == 240  # centred, std, x_hat, gamma: each array once
    assert g["std"].kept_by == (g["std"].id, g["x_hat"].id)
    assert [s.name for s in g.scopes] == ["statistics", "normalize", "affine"]
    assert len(g.edges) == 13


def test_fused_batch_norm_names_its_buffers():
    g: Any = mg.graph(fused(), gradient=DY)
    y = g["y"]
    assert (y.kind, y.op) == ("fused", "batch_norm")
    assert [s.name for s in y.saves if s.node is None] == ["x_hat", "inv_std"]
    assert [s.local for s in y.inputs] == ["dx(g)", "sum(g*x_hat)", "sum(g)"]


@pytest.mark.parametrize("make", [composed, fused])
def test_gradients_and_their_contributions(make):
    x, gamma, beta = leaves()
    y = make(of=(x, gamma, beta))
    g: Any = mg.graph(y, gradient=DY)
    for leaf in (x, gamma, beta):
        np.testing.assert_array_equal(g[leaf.name].gradient.array, mg.grad(y, leaf, DY).numpy())
    for node in g:
        if node.contributions:
            total = sum(np.asarray(c.numbers.array) for c in node.contributions)
            np.testing.assert_allclose(total, node.gradient.array, rtol=1e-13)
    assert x.grad is None  # looking changes nothing


def test_before_backward_gradients_are_none_and_after_it_they_are_shown():
    x, gamma, beta = leaves()
    loss = (composed(of=(x, gamma, beta)) * DY).sum().named("loss")
    assert all(n.gradient is None for n in mg.graph(loss))
    assert "grad none" in mg.draw(loss).dot
    loss.backward()
    g: Any = mg.graph(loss)
    np.testing.assert_array_equal(g["x"].gradient.array, x.grad.numpy())
    assert g["std"].gradient is not None
    assert "grad none" not in mg.draw(loss).dot


def test_stale_gradients_are_a_note_and_asked_for_an_error():
    w: Any = mg.tensor([1.0, 2.0], requires_grad=True, name="w")
    y = (w * w).sum()
    y.backward()
    w.data = w.data - 0.1 * w.grad.data
    g: Any = mg.graph(y)
    assert g["w"].gradient is None
    assert "no gradients" in g.notes[0]
    assert "no gradients" in mg.draw(y).dot
    with pytest.raises(RuntimeError, match="written"):
        mg.graph(y, gradient=1.0)


def test_names_from_locals_win_and_cover_lists():
    a = mg.tensor([1.0, 2.0], requires_grad=True)
    parts = [a * 2.0, a * 3.0]
    out = (parts[0] + parts[1]).named("inner name")
    g: Any = mg.graph(out, names={"a": a, "parts": parts, "out": out, "_": a, "_12": out})
    assert [n.name for n in g] == ["a", "parts[0]", "parts[1]", "out"]
    assert g["out"].expression == "parts[0] + parts[1]"
    assert [n.name for n in mg.graph(out)] == ["leaf1", "t1", "t2", "inner name"]


def test_a_tensor_used_twice_sends_two_contributions():
    x = mg.tensor([3.0], requires_grad=True, name="x")
    g: Any = mg.graph((x * x).named("y"), gradient=[1.0])
    assert g.edges == [("n0", "n1", 0), ("n0", "n1", 1)]
    assert [c.numbers.sample for c in g["x"].contributions] == [(3.0,), (3.0,)]
    assert g["x"].gradient.sample == (6.0,)


def test_constant_arrays_are_leaves_and_scalars_are_folded():
    x = mg.tensor(np.ones((2, 3)), requires_grad=True, name="x")
    g: Any = mg.graph(x * np.arange(3.0) + 1.0)
    assert [n.kind for n in g] == ["leaf", "data", "op", "op"]
    assert g.nodes[3].expression == "t1 + 1.0"


def test_json_round_trip_keeps_everything_and_is_strict():
    x = mg.tensor(np.arange(2000.0).reshape(50, 40), requires_grad=True, name="big")
    with np.errstate(divide="ignore"):
        y = mg.log(x).sum().named("y")  # log(0) is -inf
    for g in (mg.graph(composed(), gradient=DY), mg.graph(fused()), mg.graph(y, gradient=1.0)):
        text = g.to_json()
        json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
        again = Graph.from_json(text)
        assert again == g
        assert again.to_dot() == g.to_dot()
    assert len(text) < 20_000  # large arrays are cut
    with pytest.raises(ValueError, match="to_json"):
        Graph.from_json("{}")


@pytest.mark.parametrize("wrong", [3, None, "x", np.ones(2), [], [1]])
def test_what_is_no_tensor_is_said(wrong):
    with pytest.raises(TypeError, match="graph is drawn of"):
        mg.graph(wrong)


def test_several_results_at_once():
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    a, b = (x * 2.0).named("a"), (x * x).named("b")
    g: Any = mg.graph((a, b), gradient=([1.0, 1.0], [1.0, 1.0]))
    assert g.roots == (g["a"].id, g["b"].id)
    assert g["x"].gradient.sample == (4.0, 6.0)
    with pytest.raises(ValueError, match="sequence of 2"):
        mg.graph((a, b), gradient=[1.0])


def test_a_leaf_alone_can_be_drawn():
    x = mg.tensor(2.0, requires_grad=True, name="x")
    assert [n.name for n in mg.graph(x)] == ["x"]
    assert "leaf" in mg.draw(x).dot


def test_a_chain_of_100000_ops_becomes_data_or_is_refused():
    x = mg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    with pytest.raises(ValueError, match=r"depth=0.*module=.*max_nodes="):
        mg.draw(y)
    assert mg.graph(y).ops == 100_000


def test_source_lines_where_they_were_recorded():
    x = mg.tensor(1.0, requires_grad=True)
    with mg.record_lines():
        y = x * 2.0
    line: Any = mg.graph(y).nodes[-1].line
    assert line[0] == __file__
    assert "test_graph.py" in mg.draw(y).dot
