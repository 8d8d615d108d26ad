"""Smaller views: modules collapsed by depth, repeated blocks folded, one module alone; and what is refused."""

import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.drawing import layout

from .examples import DY, composed, leaves


def deep(layers=11, width=8, implementation="composed"):
    rng = np.random.default_rng(0)
    parts = []
    size = 2
    for _ in range(layers):
        bn = nn.BatchNorm1d(width, implementation=implementation)
        parts += [nn.Linear(size, width, bias=False, rng=rng), bn, nn.ReLU()]
        size = width
    net = nn.Sequential(*parts, nn.Linear(size, 1, rng=rng))
    x = mg.tensor(rng.normal(size=(6, 2)), name="x")
    return net, net(x).named("y")


def test_eleven_layers_fold_to_one_page():
    net, y = deep()
    whole = mg.graph(y, names=net)
    drawing = mg.draw(y, names=net)  # more than 40 cards: folds by itself
    assert whole.ops == drawing.graph.ops == 11 * 10 + 2
    assert len(drawing.graph) < 45
    assert "block x 10" in drawing.dot  # the first layer is fed with 2 features, the other ten are alike
    assert {n.times for n in drawing.graph} == {1, 10}
    assert len(mg.draw(y, fold=False).graph) == len(whole)
    assert drawing.graph.saved_bytes == whole.saved_bytes


def test_folded_and_collapsed():
    net, y = deep()
    drawing = mg.draw(y, names=net, depth=1, fold=True)
    names = [(n.op, n.times) for n in drawing.graph if n.op]
    assert ("BatchNorm1d", 10) in names
    assert len(drawing.graph) < 15
    assert drawing.graph.ops == 112
    assert "BatchNorm1d x 10" in drawing.dot


def test_depth_collapses_scopes_with_their_parameters():
    net, y = deep(2)
    outermost = mg.draw(y, names=net, depth=0)
    assert [n.op for n in outermost.graph] == ["", "Sequential"]
    module = outermost.graph.nodes[1]
    assert module.kind == "module"
    assert module.short.startswith("22 ops, 8 parameters (")
    assert outermost.graph.saved_bytes == mg.graph(y).saved_bytes
    assert [len(mg.draw(y, depth=d).graph) for d in (0, 1, 2, 9)] == sorted(
        len(mg.draw(y, depth=d).graph) for d in (0, 1, 2, 9)
    )
    g = mg.draw(y, depth=1, gradient=np.ones((6, 1))).graph
    assert [n.op for n in g if n.op] == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert all(n.gradient is not None for n in g if n.op)
    with pytest.raises(ValueError, match="depth=-1"):
        mg.draw(y, depth=-1)


def test_a_skip_connection_is_never_folded_away():
    x = mg.tensor(np.ones(3), requires_grad=True, name="x")
    outs, y = [], x
    for _ in range(5):
        with mg.scope("Block"):
            y = mg.tanh(mg.sin(y) * 2.0)
        outs.append(y)
    assert max(n.times for n in mg.draw(y, fold=True).graph) == 5
    looked_into = (y + outs[1]).named("z")
    assert max(n.times for n in mg.draw(looked_into, fold=True).graph) == 3  # the last three are alike and unseen


def test_different_constants_shapes_or_wiring_are_not_equal():
    x = mg.tensor(np.ones(3), requires_grad=True, name="x")
    y = x
    for k in range(5):
        with mg.scope("Block"):
            y = y * float(k)
    assert max(n.times for n in mg.draw(y, fold=True).graph) == 1


def test_a_shared_weight_stays_one_card():
    w = mg.tensor(np.eye(3), requires_grad=True, name="w")
    y = mg.tensor(np.ones((2, 3)), name="x")
    for _ in range(6):
        with mg.scope("Step"):
            y = mg.tanh(y @ w)
    g = mg.draw(y, fold=True).graph
    assert [(n.name, n.times) for n in g if n.kind == "leaf"] == [("w", 1)]
    assert [(n.op, n.times) for n in g if n.op] == [("matmul", 6), ("tanh", 6)]


def test_a_long_loop_folds_instead_of_being_refused():
    y = mg.tensor(1.0, requires_grad=True, name="x")
    for _ in range(5000):
        y = mg.sin(y) * 0.5
    g = mg.draw(y).graph
    assert len(g) < 10
    assert g.ops == 10_000
    with pytest.raises(ValueError, match=r"depth=0.*module=.*max_nodes="):
        mg.draw(y, fold=False)


def calls(f, most):
    """How many calls and returns f makes; a run that makes more than `most` is stopped."""
    made = 0

    def count(frame, event, argument):
        nonlocal made
        made += 1
        assert made <= most, f"more than {most} calls and returns"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        f()
    finally:
        sys.setprofile(before)
    return made


def test_calls_are_counted_and_stopped():
    assert calls(lambda: [abs(k) for k in range(100)], 1000) >= 200
    with pytest.raises(AssertionError, match="more than 150 calls"):
        calls(lambda: [abs(k) for k in range(100)], 150)


def test_a_long_program_that_hardly_repeats_is_refused_after_bounded_work():
    y = mg.tensor(np.ones(2), requires_grad=True)
    ops = [mg.tanh, mg.sin, mg.cos, mg.sigmoid]
    for k in np.random.default_rng(0).integers(0, 4, 6000):
        y = ops[k](y)

    def refused():
        with pytest.raises(ValueError, match="max_nodes=1000"):
            mg.draw(y)

    calls(refused, 30_000_000)  # 12 million today; 69 million for half as many ops before the work was bounded


def test_one_module_alone():
    net, y = deep(3)
    g = mg.draw(y, names=net, module="affine").graph
    assert {n.op for n in g if n.op} == {"mul", "add"}
    assert {n.kind for n in g} == {"input", "parameter", "op"}
    with pytest.raises(ValueError, match="Sequential, Linear"):
        mg.draw(y, module="nothing")


def test_too_many_nodes_collapse_by_themselves_else_are_refused():
    _, y = deep(4, implementation="fused")
    assert len(mg.draw(y, max_nodes=20, fold=False).graph) <= 20
    assert len(mg.draw(y, max_nodes=2).graph) == 2
    with pytest.raises(ValueError, match="max_nodes=1"):
        mg.draw(y, max_nodes=1)
    with pytest.raises(ValueError, match="at least 1"):
        mg.draw(y, max_nodes=0)


def test_numbers_are_left_out_of_large_pictures():
    y = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    for k in range(250):
        y = y * (0.9 + k / 1000)
    large = mg.draw(y, gradient=[1.0, 1.0], fold=False)
    assert "grad [" not in large.dot
    assert "(2,) float64" in large.dot
    assert "grad [" in mg.draw(y, gradient=[1.0, 1.0], fold=False, detail=2).dot


def test_scopes_nested_5000_deep_are_drawn():
    y = mg.tensor(1.0, requires_grad=True)
    scopes = [mg.scope("deeper") for _ in range(5000)]
    for scope in scopes:
        scope.__enter__()
    y = y * 2.0
    for scope in reversed(scopes):
        scope.__exit__(None, None, None)
    assert mg.draw(y).dot.count("subgraph") == 12


def test_the_backward_pass_as_a_graph_of_its_own():
    y = composed()
    x = mg.graph(y)["x"]
    assert x.made_by == ""
    leaf = y
    while leaf.op is not None:
        leaf = leaf.inputs[0]
    dx = mg.grad(y, leaf, DY, create_graph=True).named("dx")
    drawing = mg.draw(dx, backward=False)
    g: Any = drawing.graph
    made = [n for n in g if n.made_by]
    assert len(made) > 15
    by = {g[n.cause].name for n in made if n.cause}
    assert {"mu", "centred", "squared", "var", "std", "x_hat"} <= by
    names = {n.name for n in g}
    assert {"d_x_hat", "d_std", "d_var", "d_centred", "d_mu", "dx"} <= names
    forward: Any = mg.graph(y, gradient=DY)
    np.testing.assert_allclose(g["d_std"].value.array, forward["std"].gradient.array)
    assert g.scopes[g["d_std"].scope].name == "normalize"
    assert g.scopes[g.scopes[g["d_std"].scope].parent].name == "backward"
    assert "made by backward of div x_hat" in drawing.dot


def test_train_against_eval_as_a_pair():
    rng = np.random.default_rng(0)
    bn = nn.BatchNorm1d(3, implementation="composed")
    x = mg.tensor(rng.normal(size=(5, 3)), requires_grad=True, name="x")
    train = bn(x).named("y")
    bn.eval()
    test = bn(x).named("y")
    pair = mg.draw_pair(("train", train), ("eval", test), gradient=np.ones((5, 3)))
    used = {n.name: [s.text for s in n.inputs] for n in pair.right}
    assert "var" not in {n.op for n in pair.right}
    assert "mean" not in {n.op for n in pair.right}
    assert pair.right["x"].contributions[0].consumer == pair.right["centred"].id
    assert len(pair.right["x"].contributions) == 1  # no path through mean and var
    assert len(pair.left["x"].contributions) == 3
    assert used["centred"] == ["x", "running_mean"]
    assert {m.name for m in pair.matches} >= {"x", "gamma", "beta", "y"}


def test_an_rnn_shows_its_recurrence_its_inputs_and_how_large_things_are():
    w, u = (mg.tensor(0.3 * np.eye(3), requires_grad=True, name=name) for name in "wu")
    h = mg.tensor(np.ones((1, 3)), name="h0")
    for k in range(1, 21):
        with mg.scope(f"step {k}"):
            x = mg.tensor(np.full((1, 3), 0.1 * k), name=f"x{k}")
            h = mg.tanh(h @ w + x @ u).named(f"h{k}")
    drawing = mg.draw(h, gradient=np.ones((1, 3)), fold=True)
    g: Any = drawing.graph
    assert [(n.name, n.times) for n in g if not n.op] == [("w", 1), ("u", 1), ("h0", 1), ("x1..20", 20)]
    state = g["h1..20"]
    product = next(n for n in g if n.op == "matmul" and n.inputs[0].node == g["h0"].id)
    assert (product.inputs[0].text, product.inputs[0].again) == ("h0..19", state.id)
    assert len(state.repeats) == 20
    assert state.repeats[-1][1] == pytest.approx(1.0)
    assert state.repeats[0][1] < 1e-6  # the gradient vanishes
    assert drawing.dot.count("class=again") == 1
    assert "step 1..20 x 20" in drawing.dot
    assert "|grad| " in drawing.dot
    assert mg.drawing.Graph.from_json(g.to_json()) == g


def test_a_busy_leaf_is_drawn_once_and_named_at_each_use():
    w, y = (mg.tensor(np.eye(2), requires_grad=True, name=name) for name in ("w", "x"))
    for _ in range(4):
        y = mg.sin(y @ w) + 0.5 * y
    dot = mg.draw(y, fold=False).dot
    assert dot.count(">[w]</B>") == 4
    assert len(mg.graph(y)["w"].contributions) == 0
    few = mg.draw(mg.sin(mg.sin(y @ w) @ w), fold=False, depth=0).dot
    assert "class=forward" in few
    node = next(n for n in mg.graph(y) if n.name == "w")
    assert f"{node.id}:v:s" not in dot


def test_the_longest_edges_of_deep_skips_are_named_and_not_drawn():
    """Forty skips, one inside another, cross some 3,200 ranks, which took half a minute to lay out."""

    def skips(many: int) -> Any:
        x = mg.tensor(np.ones(2), requires_grad=True, name="x")
        down = [mg.tanh(x * 0.5)]
        for k in range(1, many):
            down.append(mg.tanh(down[-1] * (1.0 + 0.01 * k)))
        y = down[-1]
        for k, inner in enumerate(reversed(down)):
            y = mg.exp(y * inner) * (0.1 + 0.01 * k)
        return y.sum()

    for many, all_edges in ((10, True), (40, False)):
        graph = mg.draw(skips(many)).graph
        named, crossed = layout.chips(graph, 0), layout._crossed(graph)
        assert (not named) == all_edges
        left = {place: ranks for place, ranks in crossed.items() if place not in named}
        assert sum(left.values()) <= layout.CROSSED
        assert not named or min(crossed[place] for place in named) >= max(left.values())
        assert mg.draw(skips(many)).dot.count(" -> ") >= len(graph.nodes) - 1 - len(named)


def test_the_backward_pass_beside_the_analytic_one_matches_by_name():
    x, gamma, beta = leaves()
    sides = []
    for f in (mg.batch_norm_composed, mg.batch_norm):
        d_beta, d_gamma, dx = mg.grad(f(x, gamma, beta).named("y"), (beta, gamma, x), DY, create_graph=True)
        sides.append([d_beta.named("d_beta"), d_gamma.named("d_gamma"), dx.named("dx")])
    pair = mg.draw_pair(*sides, backward=False)
    said = {m.name: m for m in pair.matches}  # the cotangent was a plain array: "g"
    assert list(said) == ["x", "gamma", "var", "centred", "x_hat", "g", "d_beta", "d_gamma", "dx"]
    assert all(m.value is not None and m.value.relative < 1e-12 for m in pair.matches)
    assert "[x_hat]" in pair.dot  # what the forward pass made is named where a rule reads it
    assert "broadcast_to" not in pair.dot  # and what only changes a shape is not drawn
