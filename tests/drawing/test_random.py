"""Random programs, drawn every way: views lose no op and no byte, edges lead somewhere, DOT renders."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.drawing.layout import ancestors

from .test_renderer import PROGRAMS

OPS = [
    lambda a, b: a + b,
    lambda a, b: mg.tanh(a) * b,
    lambda a, b: mg.tanh(a),
    lambda a, b: a - b.mean(axis=0),
    lambda a, b: mg.concatenate([a, b])[: a.shape[0]],
    lambda a, b: mg.where(a > 0, a, b),
    lambda a, b: mg.tanh(a) @ mg.tanh(b).T @ mg.tanh(a),
    lambda a, b: mg.batch_norm(a),
    lambda a, b: mg.batch_norm_composed(a),
    lambda a, b: mg.sigmoid(a).named("s"),
]


def program(seed):
    """A random graph with shared values, scopes, repeated blocks, constants and several results."""
    rng = np.random.default_rng(seed)
    values = [mg.tensor(rng.normal(size=(3, 2)), requires_grad=bool(k % 3), name=f"x{k}") for k in range(4)]
    for _ in range(int(rng.integers(1, 5))):
        with mg.scope(str(rng.choice(["Block", "step", "Layer"]))):
            chosen = [OPS[int(k)] for k in rng.integers(0, len(OPS), int(rng.integers(1, 4)))]
            for _ in range(int(rng.integers(1, 6))):  # the same again: something to fold
                with mg.scope("Inner"):
                    for op in chosen:
                        other = values[int(rng.integers(0, len(values)))] if rng.random() < 0.3 else values[1]
                        values.append(op(values[-1], other))
    roots = [v for v in values[-3:] if v.requires_grad and v.op is not None]
    return roots or [values[1] * 2.0]


def check(g):
    ids = [n.id for n in g]
    assert len(set(ids)) == len(ids)
    seen = set()
    for node in g:
        for slot in node.inputs:
            assert slot.node is None or slot.node in seen, "an input comes before its consumer"
        seen.add(node.id)
        assert len(ancestors(g, node.scope)) < 10
        assert set(node.kept_by) <= set(ids)
    assert set(g.roots) <= set(ids)


@pytest.mark.parametrize("seed", range(60))
def test_every_view_of_a_random_graph(seed):
    roots = program(seed)
    ones = [np.ones(r.shape) for r in roots]
    gradient = ones if len(roots) > 1 else ones[0]
    with np.errstate(all="ignore"):
        whole = mg.graph(roots, gradient=gradient)
    check(whole)
    views: list[dict[str, Any]] = [{"fold": True}, {"fold": False}]
    views += [{"depth": depth, "fold": fold} for depth in (0, 1, 2) for fold in (True, False)]
    for options in views:
        drawn = mg.draw(whole, **options)
        check(drawn.graph)
        assert drawn.graph.ops == whole.ops, options
        assert drawn.graph.saved_bytes == whole.saved_bytes, options
        assert len(drawn.graph) <= len(whole)
        assert drawn.dot == mg.draw(whole, **options).dot
        assert str(drawn)
    assert mg.drawing.Graph.from_json(whole.to_json()) == whole


@pytest.mark.parametrize("program_path", PROGRAMS)
@pytest.mark.parametrize("seed", range(6))
def test_random_graphs_render(seed, program_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DOT", program_path)
    roots = program(seed)
    looks: list[dict[str, Any]] = [{}, {"depth": 1, "fold": True}, {"direction": "LR", "detail": 0}]
    for options in looks:
        assert "<svg" in mg.draw(roots, **options).svg()
    assert "<svg" in mg.draw_pair(roots, program(seed + 1), gradient=None).svg()
