"""A checkpoint and a run that is not the one it is of: each change is obeyed or refused, and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, training
from minigrad._support.files import load_arrays

from .small import VAL, X, Y


def scaled(factor: float) -> Any:
    return lambda out, y: factor * mg.cross_entropy(out, y)


def run(path: Path, **change: Any) -> tuple[nn.MLP, training.History]:
    """Two epochs of a run with everything in it, or of one that differs by `change`."""
    network = {"sizes": (4, 8, 3), "norm": "batch", "dropout": 0.1, "rng": 0, **change.pop("network", {})}
    net = nn.MLP(**network)
    kind = change.pop("optimizer", optim.Adam)
    opt = kind(net.parameters(), **{"lr": 0.05, "weight_decay": 0.0, **change.pop("options", {})})
    schedule = change.pop("schedule", lambda opt: optim.CosineLR(opt, 9))
    settings: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 16,
        "val": VAL,
        "metrics": [training.accuracy],
        "clip_norm": 5.0,
        "sampler": None,
        "checkpoint": path,
        "progress": False,
        "schedule": schedule(opt) if schedule else None,
    }
    train = change.pop("train", (X, Y))
    loss = change.pop("loss", mg.cross_entropy)
    return net, training.fit(net, loss, opt, train, **(settings | change))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "rate": ({"options": {"lr": 0.1}}, r"lr is 0.1, was 0.05"),
    "weight decay": ({"options": {"weight_decay": 0.1}}, r"weight_decay is 0.1, was 0.0"),
    "betas": ({"options": {"betas": (0.8, 0.999)}}, r"betas is \[0.8, 0.999\], was \[0.9, 0.999\]"),
    "optimizer": ({"optimizer": optim.RMSprop}, r"the optimizer is RMSprop, was Adam"),
    "loss": ({"loss": mg.losses.cross_entropy_composed}, r"the loss is cross_entropy_composed, was cross_entropy"),
    "class weights": ({"class_weight": [1.0, 1.0, 2.0]}, r"the loss is Weighted\(.*\), was cross_entropy"),
    "activation": ({"network": {"activation": "tanh"}}, r"layers.2 is Tanh, was ReLU"),
    "dropout": ({"network": {"dropout": 0.2}}, r"p of layers.3 is 0.2, was 0.1"),
    "eps of batch norm": ({"network": {"eps": 1e-3}}, r"eps of layers.1 is 0.001, was 1e-05"),
    "convention of batch norm": (
        {"network": {"convention": "keras"}},
        r"convention of layers.1 is 'keras', was 'torch'",
    ),
    "normalization": ({"network": {"norm": "layer"}}, r"layers.1 is LayerNorm, was BatchNorm1d"),
    "width": ({"network": {"sizes": (4, 9, 3)}}, r"layers.0.weight is float64 \(4, 9\), was float64 \(4, 8\)"),
    "depth": ({"network": {"sizes": (4, 8, 8, 3)}}, r"layers.4.weight is float64 \(8, 8\), was float64 \(8, 3\)"),
    "dtype": ({"network": {"dtype": np.float32}}, r"layers.0.weight is float32 \(4, 8\), was float64"),
    "initial weights": ({"network": {"rng": 1}}, r"the weights at the start \(rng=, init=\) are another"),
    "initialiser": ({"network": {"init": nn.init.normal}}, r"the weights at the start \(rng=, init=\) are another"),
    "batch size": ({"batch_size": 8}, r"batch_size is 8, was 16"),
    "last batches": ({"drop_last": True}, r"drop_last is True, was False"),
    "clipping": ({"clip_norm": None}, r"clip_norm is None, was 5.0"),
    "seed": ({"seed": 1}, r"seed is 1, was 0"),
    "a generator for a seed": ({"seed": np.random.default_rng(5)}, r"seed is a Generator, was 0"),
    "sampler": ({"sampler": lambda n, rng: mg.data.with_replacement(n, 16, rng)}, r"sampler is <lambda> .*, was None"),
    "schedule": ({"schedule": lambda opt: optim.StepLR(opt, 3)}, r"the schedule is StepLR, was CosineLR"),
    "no schedule": ({"schedule": None}, r"the schedule is none, was CosineLR"),
    "length of the schedule": (
        {"schedule": lambda opt: optim.CosineLR(opt, 20)},
        r"t_max of the schedule is 20, was 9",
    ),
    "metrics": ({"metrics": ()}, r"metrics is none, was accuracy"),
    "training data": ({"train": (X + 1e-9, Y)}, r"the training data is another"),
    "validation data": ({"val": (X, Y)}, r"the validation data is another"),
}
OBEYED: dict[str, dict[str, Any]] = {
    "epochs": {"epochs": 3},
    "callbacks": {"epochs": 3, "callbacks": [training.EarlyStopping(50)]},
    "replay": {"epochs": 3, "replay": True},
    "restore_best": {"epochs": 3, "restore_best": True},
    "anew": {"epochs": 1, "options": {"lr": 0.1}, "resume": False},
}


def test_there_are_twenty_changes():
    assert len(REFUSED) >= 20


@pytest.mark.parametrize("what", REFUSED)
def test_a_change_is_refused_by_name_and_nothing_changes(what: str, tmp_path: Path):
    path = tmp_path / "c.npz"
    run(path)
    before = path.read_bytes()
    change, said = REFUSED[what]
    with pytest.raises(ValueError, match=f"c.npz is the checkpoint of another run: .*{said}") as caught:
        run(path, **change)
    assert "resume=False" in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", OBEYED)
def test_a_change_is_obeyed(what: str, tmp_path: Path):
    run(tmp_path / "c.npz")
    _, history = run(tmp_path / "c.npz", **OBEYED[what])
    assert len(history.epochs) == OBEYED[what]["epochs"]
    if what != "anew":
        assert history.loss == run(tmp_path / "whole.npz", epochs=3)[1].loss


def test_a_lambda_is_known_by_its_code_and_what_it_holds(tmp_path: Path):
    run(tmp_path / "c.npz", loss=scaled(2.0))
    run(tmp_path / "c.npz", loss=scaled(2.0), epochs=3)
    with pytest.raises(ValueError, match=r"the loss is <lambda> \(code \w+\), was <lambda>"):
        run(tmp_path / "c.npz", loss=scaled(3.0))
    with pytest.raises(ValueError, match="the loss is"):
        run(tmp_path / "c.npz", loss=lambda out, y: 2.0 * mg.cross_entropy(out, y))


def test_the_same_objects_go_on_where_training_has_moved_them(tmp_path: Path):
    """fit called twice with one network and one optimizer, whose rate a callback has changed."""
    net = nn.MLP((4, 8, 3), rng=0)
    sgd = optim.SGD(net.parameters(), lr=0.1)

    def slower(run: training.Run) -> None:
        if run.event == "step":
            run.optimizer.groups[0]["lr"] *= 0.9

    options: dict[str, Any] = {"checkpoint": tmp_path / "c.npz", "callbacks": slower, "val": VAL, "progress": False}
    for epochs in (2, 4):
        history = training.fit(net, "cross_entropy", sgd, X, Y, epochs=epochs, seed=3, **options)
    twin = nn.MLP((4, 8, 3), rng=0)
    options["checkpoint"] = tmp_path / "whole.npz"
    again = training.fit(twin, "cross_entropy", optim.SGD(twin.parameters(), lr=0.1), X, Y, epochs=4, seed=3, **options)
    assert history.loss == again.loss
    assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "SGD": (optim.SGD, {}),
    "momentum": (optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "RMSprop": (optim.RMSprop, {"momentum": 0.5}),
    "Adam": (optim.Adam, {}),
    "AdamW": (optim.AdamW, {"weight_decay": 0.1}),
}
SCHEDULES: dict[str, Any] = {
    "none": None,
    "StepLR": lambda opt: optim.StepLR(opt, 1, 0.7),
    "CosineLR": lambda opt: optim.CosineLR(opt, 4),
    "LambdaLR": lambda opt: optim.LambdaLR(opt, lambda t: 0.9**t),
    "PlateauLR": lambda opt: optim.PlateauLR(opt, 0.5, patience=0, threshold=0.5),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_and_schedule_resumes_bit_for_bit(optimizer: str, schedule: str, tmp_path: Path):
    kind, options = OPTIMIZERS[optimizer]
    parts: dict[str, Any] = {"optimizer": kind, "options": options, "schedule": SCHEDULES[schedule]}
    run(tmp_path / "whole.npz", epochs=4, **parts)
    for epochs in (1, 3, 4):
        run(tmp_path / "parts.npz", epochs=epochs, **parts)
    assert (tmp_path / "parts.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize("damage", ["{}", "[1]", "null", "", '{"settings": {}, "begun": 3, "now": {}}'])
def test_a_checkpoint_that_is_none_is_refused(damage: str, tmp_path: Path):
    run(tmp_path / "c.npz")
    arrays = load_arrays(tmp_path / "c.npz")
    np.savez(tmp_path / "c.npz", **{**arrays, "run": np.array(damage)})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is no checkpoint of this version of minigrad"):
        run(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("generators/0", "{}"),
        ("generators/0", "null"),
        ("generators/0", "[1]"),
        ("optimizer/group.0.lr", -1.0),
        ("optimizer/group.0.lr", np.nan),
        ("optimizer/group.0.betas", (2.0, 2.0)),
        ("optimizer/param.0.step", -5),
    ],
)
def test_a_damaged_state_is_refused_and_nothing_changes(name: str, value: Any, tmp_path: Path):
    run(tmp_path / "c.npz")
    arrays = load_arrays(tmp_path / "c.npz")
    np.savez(tmp_path / "c.npz", **{**arrays, name: np.array(value)})  # type: ignore[arg-type]
    net = nn.MLP((4, 8, 3), norm="batch", dropout=0.1, rng=0)
    adam = optim.Adam(net.parameters(), lr=0.05, weight_decay=0.0)
    before, state = net.state_dict(), adam.state_dict()
    with pytest.raises(ValueError, match="does not fit this model and optimizer"):
        training.fit(
            net, "cross_entropy", adam, (X, Y), epochs=2, batch_size=16, val=VAL, metrics="accuracy", clip_norm=5.0,
            checkpoint=tmp_path / "c.npz", progress=False, schedule=optim.CosineLR(adam, 9),
        )  # fmt: skip
    for now, then in ((net.state_dict(), before), (adam.state_dict(), state)):
        for key, array in now.items():
            np.testing.assert_array_equal(array, then[key])
