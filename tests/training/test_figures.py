"""Boundaries in the plane, what layers give and gradients do, summaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, training
from minigrad._support.randomness import state_of

from .small import X, Y, fit, parts


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_boundary_is_drawn_for_one_output_and_for_several(outputs: int, tmp_path: Path):
    pytest.importorskip("matplotlib")
    x, y = mg.data.make_spirals(60, seed=0)
    net = nn.MLP((2, 8, outputs), norm="batch", dropout=0.1, rng=0)
    before = net.state_dict()
    training.plot_boundary(net, x, np.minimum(y, max(outputs - 1, 1)), tmp_path / "b.png", title="a title")
    shown = training.plot_boundary(net, x, np.minimum(y, max(outputs - 1, 1)))
    assert shown is not None
    assert shown._repr_png_().startswith(b"\x89PNG")
    assert (tmp_path / "b.png").stat().st_size > 5000
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ValueError, match=r"x must have shape \(N, 2\), got \(60, 4\)"):
        training.plot_boundary(net, X, Y, tmp_path / "c.png")


@pytest.mark.parametrize("replay", [False, True])
def test_layer_statistics_look_on_and_change_nothing(replay: bool, tmp_path: Path):
    stats = training.LayerStatistics(X, every=3)
    net, loss, optimizer = parts(dropout=0.2)
    history = fit(net, loss, optimizer, callbacks=[stats], replay=replay)
    twin, loss, optimizer = parts(dropout=0.2)
    assert fit(twin, loss, optimizer, replay=replay).loss == history.loss
    assert [state_of(rng) for rng in net.generators()] == [state_of(rng) for rng in twin.generators()]
    assert stats.steps == [1, 4, 7, 10, 13, 16]
    assert list(stats.outputs) == [f"layers.{k}" for k in range(5)]
    last = np.array(stats.outputs["layers.1"])[-1]  # batch norm of X with its own statistics: about normal
    assert last[0] < -1 < last[2] < 1 < last[4]
    assert np.array(stats.outputs["layers.2"]).min() >= 0  # ReLU
    if not replay:
        fit(net, loss, mg.optim.SGD(net.parameters(), lr=0.0), epochs=1, batch_size=60, callbacks=[stats])
        seen = {name: x.grad.data for name, x in net.named_parameters() if x.grad is not None}
        assert len(seen) == 5
        for name, gradient in seen.items():
            size = np.sqrt(np.mean(np.square(gradient)))
            np.testing.assert_allclose(stats.gradients[name][-1], size, rtol=1e-12)
    pytest.importorskip("matplotlib")
    stats.plot(tmp_path / "layers.svg", title="what they give")
    stats.plot(tmp_path / "two.png", layers=["layers.0", "layers.4"])
    assert (tmp_path / "two.png").stat().st_size > 5000
    shown = stats.plot()
    assert shown is not None
    assert len(shown._repr_png_()) > 5000
    with pytest.raises(ValueError, match="nothing was seen"):
        training.LayerStatistics(X).plot(tmp_path / "none.png")


def test_a_summary_counts_what_is_trained_and_fits_a_terminal():
    net: Any = nn.MLP((4, 8, 3), norm="batch", rng=0)
    text = str(net.summary())
    assert text.splitlines()[-1] == f"MLP: {sum(p.size for p in net.parameters())} numbers to train"
    assert max(map(len, text.splitlines())) <= 80
    assert repr(net.summary()) == text
    assert "gamma (8,), beta (8,), " in text
    assert "<table" in net.summary()._repr_html_()
    with pytest.raises(AttributeError, match=r"'MLP' object has no attribute 'nothing'$"):
        net.nothing  # noqa: B018
