"""fit(replay=True): the same history and weights as fit, also resumed; and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.replaying import NotReplayable

from .steps import same

DATA = np.random.default_rng(3).normal(size=(61, 4))
TARGETS = (DATA[:, 0] + DATA[:, 1] > 0).astype(int) + (DATA[:, 2] > 0)


def fitted(replay: bool, targets: Any = TARGETS, lr: float = 0.05, **more: Any) -> tuple[Any, Any]:
    net = mg.nn.MLP((4, 8, 3), norm="batch", dropout=0.2, rng=0)
    adam = mg.optim.Adam(net.parameters(), lr=lr)
    schedule = mg.optim.StepLR(adam, 2, 0.5)
    settings: dict[str, Any] = {"epochs": 5, "batch_size": 16, "progress": False, "clip_norm": 0.5} | more
    data = (DATA, targets)
    return net, mg.training.fit(net, mg.cross_entropy, adam, data, schedule=schedule, replay=replay, **settings)


def test_fit_replayed_is_fit():
    val = (DATA[:20] + 0.1, TARGETS[:20])
    (a, history), (b, other) = (fitted(replay, val=val, metrics=[mg.training.accuracy]) for replay in (False, True))
    assert history.loss == other.loss
    assert history.epochs == other.epochs
    for name, array in a.state_dict().items():
        same(array, b.state_dict()[name])


def test_fit_replayed_resumes_with_the_same_bytes(tmp_path):
    whole, _ = fitted(True)
    fitted(True, checkpoint=tmp_path / "run.npz", epochs=2)
    resumed, history = fitted(True, checkpoint=tmp_path / "run.npz")
    assert len(history.epochs) == 5
    for name, array in whole.state_dict().items():
        same(array, resumed.state_dict()[name])


def test_fit_replayed_names_what_is_not_finite():
    for replay in (False, True):
        net = mg.nn.Linear(4, 1, rng=0)
        sgd = mg.optim.SGD(net.parameters(), lr=1e80)
        with pytest.raises(mg.training.NonFiniteStep, match=r"step \d+: the loss is not finite") as caught:
            mg.training.fit(
                net, mg.mse_loss, sgd, (DATA, DATA[:, :1] * 1e3), epochs=9, batch_size=16, replay=replay, progress=False
            )
        assert np.isfinite(net.weight.data).all()
        assert caught.value.step > 2, "by then the step is replayed"


def test_a_loss_that_looks_at_values_cannot_be_fitted_by_replay():
    net = mg.nn.Linear(4, 1, rng=0)
    sgd = mg.optim.SGD(net.parameters(), lr=0.1)

    def loss(outputs, targets):
        error = mg.mse_loss(outputs, targets)
        return error * 2.0 if error.item() > 1.0 else error

    with pytest.raises(NotReplayable, match=r"the number of .* was read at line"):
        mg.training.fit(net, loss, sgd, (DATA, DATA[:, :1]), epochs=1, replay=True, progress=False)


def test_fit_compiled_is_fit_to_rounding_and_is_not_taken_up_as_another(tmp_path):
    pytest.importorskip("llvmlite", reason="compiled steps need llvmlite, which numba brings")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 6)), rng.integers(0, 3, 200)

    def run(replay, epochs=3):
        net = mg.nn.MLP((6, 16, 3), norm="batch", dropout=0.2, rng=0)
        options = {"epochs": epochs, "clip_norm": 1.0, "progress": False, "checkpoint": tmp_path / f"{replay}.npz"}
        return mg.training.fit(net, "cross_entropy", "adam", x, y, lr=0.01, replay=replay, **options).loss

    np.testing.assert_allclose(run("compiled"), run(False), rtol=1e-9)
    (tmp_path / "True.npz").write_bytes((tmp_path / "compiled.npz").read_bytes())
    with pytest.raises(ValueError, match="compiled replay is False, was True"):
        run(True, 4)
    with pytest.raises(ValueError, match="replay='numba' must be True, False or 'compiled'"):
        run("numba")


def steep(outputs: Any, targets: Any, reduction: str = "mean") -> Any:
    return mg.cross_entropy(outputs, targets, reduction=reduction) * SLOPE[0]


SLOPE = [1.0]


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_what_the_loss_reads_around_itself_is_watched(class_weight: Any) -> None:
    def changes(run: Any) -> None:
        SLOPE[0] = 1.0 if run.step < 9 else 3.0

    losses = []
    for replay in (False, True):
        SLOPE[0] = 1.0
        net = mg.nn.MLP((4, 8, 3), rng=0)
        settings: dict[str, Any] = {"epochs": 4, "batch_size": 20, "drop_last": True, "class_weight": class_weight}
        history = mg.training.fit(
            net, steep, "sgd", (DATA, TARGETS), callbacks=changes, replay=replay, progress=False, lr=0.1, **settings
        )
        losses.append(history.loss)
    assert losses[0] == losses[1]


def test_a_loss_that_counts_its_calls_is_refused() -> None:
    class Warming:
        calls = 0

        def __call__(self, outputs: Any, targets: Any) -> Any:
            self.calls += 1
            return mg.cross_entropy(outputs, targets) * (1.0 if self.calls < 20 else 2.0)

    net = mg.nn.Linear(4, 3, rng=0)
    with pytest.raises(NotReplayable, match=r"the step changes Warming\.calls"):
        mg.training.fit(net, Warming(), "sgd", (DATA, TARGETS), epochs=3, batch_size=61, replay=True, progress=False)
