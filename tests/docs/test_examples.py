"""The examples that stand alone: a character model that learns, and four norms whose axes are the only difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from examples import norms, tiny_gpt
from minigrad.core.gradients import consumers_first


def test_the_model_learns_and_writes_its_characters(tmp_path, capsys):
    assert tiny_gpt.main(["--steps", "60", "--out", str(tmp_path / "gpt.dot")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("the ")
    assert set(lines[-2]) <= set(tiny_gpt.CHARACTERS)
    assert "TinyGPT" in (tmp_path / "gpt.dot").read_text()
    net = tiny_gpt.TinyGPT(0)
    losses = tiny_gpt.train(net, 60, np.random.default_rng(0), report=0)
    assert losses[0] > np.log(len(tiny_gpt.CHARACTERS)) * 0.95
    assert np.mean(losses[-5:]) < 2.6


def test_no_character_sees_a_later_one():
    net = tiny_gpt.TinyGPT(0)
    tokens = tiny_gpt.TOKENS[None, :10].copy()
    before = net(tokens).numpy()
    tokens[0, 6] = (tokens[0, 6] + 1) % len(tiny_gpt.CHARACTERS)
    after = net(tokens).numpy()
    assert np.array_equal(before[0, :6], after[0, :6])
    assert not np.allclose(before[0, 7], after[0, 7])  # and each sees those before it


def test_the_gradient_of_the_model_is_right():
    net, (tokens, following) = tiny_gpt.TinyGPT(0), tiny_gpt.windows(1, np.random.default_rng(1))
    weights: list[Any] = [net.block.attention.query.weight, net.embedding.place, net.block.norm1.gamma]
    tiny_gpt.loss_of(net, tokens, following).backward()
    for weight in weights:
        direction = np.random.default_rng(2).normal(size=weight.shape)
        values, start, h = [], weight.numpy().copy(), 1e-5
        for sign in (1, -1):
            weight.data = start + sign * h * direction
            values.append(tiny_gpt.loss_of(net, tokens, following).item())
        weight.data = start
        np.testing.assert_allclose(
            np.sum(weight.grad.numpy() * direction), (values[0] - values[1]) / (2 * h), rtol=1e-6
        )


def test_the_picture_is_folded_and_shows_the_block_open():
    drawing = tiny_gpt.picture(tiny_gpt.TinyGPT(0))
    names = [node.name for node in drawing.graph.nodes]
    assert len(names) < 30
    assert {"looked", "thought", "loss"} <= set(names)


@pytest.mark.parametrize("name", norms.AXES)
def test_each_norm_is_the_one_of_that_name(name):
    x = norms.example()
    y = norms.all_of(x)[name]
    assert mg.check.rel_error(y.numpy(), norms.reference(name, x)) < 1e-12
    mean = y.numpy().mean(axis=norms.AXES[name])
    assert np.allclose(mean, 0) == (name != "RMS norm")


def test_the_axes_are_the_only_difference(capsys, tmp_path):
    def listed(name):
        made: list[Any] = consumers_first(norms.all_of(norms.example())[name])
        return [(n.name, n.op.name, {k: v for k, v in n.params.items() if k != "axis"}) for n in made]

    batch, instance, layer, rms = (listed(n) for n in ("batch norm", "instance norm", "layer norm", "RMS norm"))
    assert len(batch) == 7
    assert batch == instance == layer
    assert len(rms) == 5
    assert norms.main(["--out", str(tmp_path / "norms.dot")]) == 0
    assert "instance norm" in capsys.readouterr().out
