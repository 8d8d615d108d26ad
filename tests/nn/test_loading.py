"""States from everywhere: what fits is taken whole, what does not is refused in words, and nothing is lost by name."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad._support.files import load_arrays
from minigrad._support.randomness import restore, state_of

from .batches import BATCHES


def small(rng: Any = 0) -> nn.MLP:
    return nn.MLP((4, 5, 3), norm="batch", rng=rng)


def unchanged(net: nn.Module, before: dict[str, Any]) -> None:
    assert net.state_dict().keys() == before.keys()
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


# Values that cannot be ------------------------------------------------------------------------------------------


LOADERS: dict[str, Any] = {
    "load_state_dict": lambda net, state, torch, keras, path: net.load_state_dict(state),
    "load": lambda net, state, torch, keras, path: net.load(path),
    "from_torch_state": lambda net, state, torch, keras, path: mg.export.from_torch_state(net, torch),
    "from_keras_weights": lambda net, state, torch, keras, path: mg.export.from_keras_weights(net, keras),
    "set_weights": lambda net, state, torch, keras, path: net[1].set_weights(keras[1:5]),
}


@pytest.mark.parametrize("loader", LOADERS)
def test_mean_and_variance_exchanged_are_refused_by_every_loader(loader: str, tmp_path: Path):
    net, other = small(), small(1)
    net(BATCHES[0])
    state: Any
    torch: Any
    keras: Any
    state, torch, keras = net.state_dict(), mg.export.torch_state(net), mg.export.keras_weights(net)
    for arrays, one, two in ((state, "layers.1.running_mean", "layers.1.running_var"), (torch, "1.running_mean",
                             "1.running_var"), (keras, 3, 4)):  # fmt: skip
        arrays[one], arrays[two] = arrays[two], arrays[one]
    path = tmp_path / "net.npz"
    np.savez(path, **state)
    before = other.state_dict()
    with pytest.raises(ValueError, match="negative") as caught:
        LOADERS[loader](other, state, torch, keras, path)
    assert loader == "set_weights" or "are mean and variance exchanged?" in str(caught.value)
    assert loader != "load" or str(path) in str(caught.value)
    unchanged(other, before)


@pytest.mark.parametrize(
    ("make", "name", "value", "words"),
    [
        (optim.SGD, "group.0.lr", -1.0, "lr=-1.0 must be a number"),
        (optim.SGD, "group.0.lr", np.nan, "lr=nan must be"),
        (optim.SGD, "group.0.momentum", np.inf, "momentum=inf must be"),
        (optim.Adam, "group.0.betas", (2.0, 2.0), r"betas=\[2.0, 2.0\] must be"),
        (optim.RMSprop, "group.0.alpha", 1.5, "alpha=1.5 must be"),
        (optim.Adam, "param.0.step", -5, "param.0.step is negative"),
        (optim.Adam, "param.0.step", 2.5, "param.0.step is .* float64, expected .* int64"),
        (optim.Adam, "param.0.v", np.full((4, 5), -1.0), "param.0.v is negative"),
    ],
)
def test_an_optimizers_state_is_looked_at_before_anything_is_touched(make: Any, name: str, value: Any, words: str):
    net = small()
    optimizer = make(net.parameters(), lr=0.1)
    mg.cross_entropy(net(BATCHES[0]), np.arange(8) % 3).backward()
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict({**before, "group.0.weight_decay": np.array(0.5), name: np.array(value)})
    for key, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[key])


def test_a_schedules_state_is_looked_at_before_anything_is_touched():
    schedule = optim.StepLR(optim.SGD(small().parameters(), lr=0.1), 2)
    good = schedule.state_dict()
    for wrong in ({}, {"t": good["t"]}, {**good, "t": -1}, {**good, "t": "x"}, {**good, "start": [np.nan]}, [1]):
        with pytest.raises((ValueError, TypeError), match=r"does not fit|expected arrays|real numbers"):
            schedule.load_state_dict(wrong)  # type: ignore[arg-type]
    assert schedule.t == 0
    schedule.load_state_dict({**good, "t": np.array(3)})
    assert schedule.t == 3


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
def test_odd_states_of_generators_are_refused_and_nothing_moves(kind: Any):
    rng = kind(0)
    rng.random(3)
    good = state_of(rng)
    odd = ["", "{}", "[1]", "null", "3", '{"bit_generator": []}', '{"bit_generator": "PCG64", "state": null}']
    for old, new in (('"state"', '"stat"'), ("1", "-1"), ('"bit_generator"', '"bits"'), ("4", "99999999999999999999")):
        odd.append(good.replace(old, new))
    odd += [good.replace(f'"pos": {k}', '"pos": 100000') for k in range(625) if f'"pos": {k},' in good or k == 624]
    for state in odd:
        if state != good:
            with pytest.raises(ValueError, match="state of"):
                restore(rng, state)
            assert state_of(rng) == good
    restore(rng, good)


# Words for what was given instead -------------------------------------------------------------------------------


class Model:
    """What looks like another library's model."""

    def state_dict(self) -> dict[str, Any]:
        return {}


def test_what_was_given_instead_is_said():
    net = small()
    state, torch = net.state_dict(), mg.export.torch_state(net)
    load, from_torch = net.load_state_dict, lambda given: mg.export.from_torch_state(net, given)
    prefixed = {f"module.{name}": array for name, array in torch.items()}
    compiled = {f"_orig_mod.{name}": array for name, array in state.items()}
    cases: list[tuple[Any, Any, str]] = [
        (from_torch, prefixed, r"begin with 'module\.': pass \{k\.removeprefix\('module\.'\)"),
        (load, compiled, r"begin with '_orig_mod\.'"),
        (from_torch, {"epoch": 3, "optimizer": {"state": {}}, "state_dict": torch}, r"pass state\['state_dict'\]"),
        (load, {"model": state}, r"pass state\['model'\]"),
        (from_torch, Model(), r"got Model; pass its state_dict\(\)"),
        (load, net, r"got MLP; pass its state_dict\(\)"),
        (load, "net.npz", r"got str; a file is read by load\(path\)"),
        (load, torch, r"the model's names begin with 'layers\.'; PyTorch's go to minigrad\.export\.from_torch_state"),
        (load, {**state, "layers.0.weight": state["layers.0.weight"].T}, "its transpose fits"),
        (load, {**state, "layers.0.weight": [[1], [1, 2]]}, "layers.0.weight is no plain array"),
        (load, {**state, "layers.0.weight": np.ma.ones((4, 5))}, "masked array.*filled"),
        (
            lambda given: mg.export.from_keras_weights(net, given),
            state,
            r"as get_weights\(\) gives it, got dict",
        ),
    ]
    for call, given, words in cases:
        with pytest.raises((ValueError, TypeError), match=words):
            call(given)
    unchanged(net, state)
    from_torch({name.removeprefix("module."): array for name, array in prefixed.items()})


def test_pytorchs_own_files_say_what_to_do(tmp_path: Path):
    torch = pytest.importorskip("torch")
    net = small()
    for new in (True, False):
        torch.save({"w": torch.ones(2)}, tmp_path / "net.pt", _use_new_zipfile_serialization=new)
        with pytest.raises(ValueError, match=r"net\.pt .* minigrad\.export\.from_torch_state"):
            net.load(tmp_path / "net.pt")


def test_one_hot_labels_are_told_of_argmax():
    scores, rows = mg.ones((4, 3)), np.eye(3)[[0, 1, 2, 0]]
    for labels in (rows, rows.astype(int)):
        with pytest.raises(
            (ValueError, TypeError), match=r"look one-hot; pass class numbers, labels\.argmax\(axis=-1\)"
        ):
            mg.cross_entropy(scores, labels)
    with pytest.raises(ValueError, match="flatten them"):
        mg.cross_entropy(scores, np.zeros((4, 1), int))


def test_sixty_thousand_entries_make_a_short_message(tmp_path: Path):
    net = small()
    for call in (net.load_state_dict, lambda given: mg.export.from_torch_state(net, given),
                 optim.SGD(net.parameters()).load_state_dict):  # fmt: skip
        with pytest.raises(ValueError, match=r"and \d+ more") as caught:
            call({f"entry{k}": np.zeros(1) for k in range(60_000)})
        assert len(str(caught.value)) < 2000


def test_names_in_messages_do_not_run_on_a_terminal(tmp_path: Path):
    net, path = small(), tmp_path / "a\x1b[31m.npz"
    np.savez(path, **{"b\x1b]0;title\x07": np.zeros(1)})  # type: ignore[arg-type]
    for call in (lambda: net.load(path), lambda: net.load_state_dict({"c\x9b": np.zeros(1)})):
        with pytest.raises(ValueError, match=r"\\x1b\[31m\.npz|c\\x9b") as caught:
            call()
        assert str(caught.value).isprintable()


# Names that meet, parts that are found --------------------------------------------------------------------------


class Holds(nn.Module):
    def __init__(self, what: Any) -> None:
        self.what = what

    def forward(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize("use", ["state_dict", "parameters", "save"])
def test_names_that_meet_are_refused(use: str, tmp_path: Path):
    inner = Holds(mg.ones(2, requires_grad=True))
    for what, name in (
        ({"0": mg.ones(1, requires_grad=True), 0: mg.zeros(1, requires_grad=True)}, "what.0"),
        ({"b.what": mg.ones(2), "b": inner}, "what.b.what"),
        ({"w": mg.ones(1), "w.npy": mg.zeros(1)}, "what.w"),
    ):
        with pytest.raises(ValueError, match=f"two tensors that are called {name}, so that one"):
            getattr(Holds(what), use)(*([tmp_path / "x.npz"] if use == "save" else []))


def test_lists_in_lists_hold_parts_too():
    net = Holds([[nn.Linear(2, 3, rng=0)], {"a": (nn.Linear(3, 2, rng=0),)}])
    names = ["what.0.0.weight", "what.0.0.bias", "what.1.a.0.weight", "what.1.a.0.bias"]
    assert [name for name, _ in net.named_parameters()] == names
    assert not net.eval().what[0][0].training
    round_trip = net.state_dict()
    net.load_state_dict(round_trip)
    loop: list[Any] = [nn.Linear(2, 2, rng=0)]
    loop.append(loop)
    assert len(Holds(loop).parameters()) == 2


def test_a_module_may_know_what_holds_it(tmp_path: Path):
    net, child = Holds(None), Holds(mg.ones(2, requires_grad=True))
    net.what, child.parent = [child, nn.Linear(2, 1, rng=0)], net  # type: ignore[attr-defined]
    assert [name for name, _ in net.named_parameters()] == ["what.0.what", "what.1.weight", "what.1.bias"]
    assert net.train().eval() is net
    assert "..." in repr(net)
    net.save(tmp_path / "net.npz")
    net.load(tmp_path / "net.npz")
    assert len(copy.deepcopy(net).parameters()) == 3


def test_a_dataclass_can_be_a_module_and_be_replayed():
    @dataclass
    class Scale(nn.Module):
        factor: Any = field(default_factory=lambda: mg.tensor(np.full(3, 2.0), requires_grad=True))

        def forward(self, x: Any) -> Any:
            return x * self.factor

    net = Scale()
    assert len({net, Scale()}) == 2
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    @mg.replay
    def step(x: Any) -> Any:
        loss = (net(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    losses = [float(step(mg.ones((4, 3))).item()) for _ in range(6)]
    assert losses == sorted(losses, reverse=True)
    assert step.replays > 0


def test_slots_hold_parameters():
    class Slotted(nn.Module):
        __slots__ = ("_hidden", "weight")

        def __init__(self) -> None:
            self.weight = mg.ones(2, requires_grad=True)
            self.bias = mg.zeros(2, requires_grad=True)
            self._hidden = mg.zeros(2, requires_grad=True)

    class One(nn.Module):
        __slots__ = "factor"

    assert [name for name, _ in Slotted().named_parameters()] == ["weight", "bias"]
    assert One().parameters() == []
    one: Any = One()
    one.factor = mg.ones(1, requires_grad=True)
    assert [name for name, _ in one.named_parameters()] == ["factor"]


# Layers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "center"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.LayerNorm])
@pytest.mark.parametrize("implementation", ["fused", "composed"])
def test_keras_scale_and_center(kind: Any, scale: bool, center: bool, implementation: str):
    layer = kind(4, scale=scale, center=center, implementation=implementation, eps=1e-3)
    affine = kind(4, implementation=implementation, eps=1e-3)
    rng = np.random.default_rng(0)
    for own, its in ((layer.gamma, affine.gamma), (layer.beta, affine.beta)):
        if own is not None:
            own.data = its.data = rng.normal(size=4)
    for mode in (True, False):
        np.testing.assert_allclose(layer.train(mode)(BATCHES[0]).data, affine.train(mode)(BATCHES[0]).data, rtol=1e-14)
    names = [name for name, there in (("gamma", scale), ("beta", center)) if there]
    assert [name for name, _ in layer.named_parameters()] == names
    again = kind(4, scale=scale, center=center)
    weights = mg.export.keras_weights(layer)
    assert len(weights) == len(names) + 2 * (kind is nn.BatchNorm1d)
    mg.export.from_keras_weights(again, weights)
    mg.export.from_torch_state(again, mg.export.torch_state(layer))
    unchanged(again, {**layer.state_dict(), **({"start_share": 0.0} if kind is nn.BatchNorm1d else {})})


def test_repr_shows_what_differs_from_the_default():
    for layer, words in (
        (nn.BatchNorm1d(8), "BatchNorm1d(8, convention='torch', implementation='fused', momentum=0.1, eps=1e-05)"),
        (nn.BatchNorm1d(8, affine=False), "eps=1e-05, affine=False)"),
        (nn.BatchNorm1d(8, scale=False), "eps=1e-05, scale=False)"),
        (nn.BatchNorm1d(8, center=False, dtype="float32"), "eps=1e-05, center=False, dtype=float32)"),
        (nn.BatchNorm1d(8, bias_correction=True), "eps=1e-05, bias_correction=True)"),
        (nn.LayerNorm(8), "LayerNorm(8, eps=1e-05)"),
        (nn.LayerNorm((2, 3), affine=False), "LayerNorm((2, 3), eps=1e-05, affine=False)"),
        (nn.LayerNorm(8, implementation="composed", scale=False), "implementation='composed', scale=False)"),
        (nn.Linear(2, 3, rng=0), "Linear(2, 3, bias=True)"),
        (nn.Linear(2, 3, rng=0, dtype=np.float32), "Linear(2, 3, bias=True, dtype=float32)"),
    ):
        assert words in repr(layer)


# Killed at any moment -------------------------------------------------------------------------------------------

SAVES = """
import os, signal, sys
import numpy as np
import minigrad as mg
folder, kill_after, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
net = mg.nn.MLP((4, 6, 3), norm="batch", rng=0)
x = mg.tensor(np.random.default_rng(0).normal(size=(5, 4)), requires_grad=True, name="x")
y = mg.cross_entropy(net(x), [0, 1, 2, 0, 1])
picture = mg.draw(y)
calls = 0

def count(frame, event, argument):
    global calls
    calls += 1
    if calls == kill_after:
        os.kill(os.getpid(), signal.SIGKILL)

def once():
    {"save": lambda: net.save(folder + "/it.npz"), "draw": lambda: picture.save(folder + "/it.dot"),
     "page": lambda: mg.page({"y": y}, folder + "/it.html")}[what]()

once()
if kill_after:
    sys.setprofile(count)
once()
sys.setprofile(None)
print(calls)
"""


@pytest.mark.parametrize("what", ["save", "draw", "page"])
def test_what_is_saved_survives_a_kill_at_any_moment(what: str, tmp_path: Path):
    """Five moments each; with MINIGRAD_LONG=1 twenty, which makes sixty with those of a training's checkpoint."""
    if what == "page":
        pytest.importorskip("graphviz")

    def run(kill_after: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SAVES, str(tmp_path), str(kill_after), what]
        return subprocess.run(command, capture_output=True, text=True)

    first = run(10**9)
    if first.returncode and "RendererNotFound" in first.stderr:
        pytest.skip("no renderer")
    assert first.returncode == 0, first.stderr
    (path,) = tmp_path.iterdir()
    whole, total = path.read_bytes(), int(first.stdout)
    times = 20 if os.environ.get("MINIGRAD_LONG") else 5
    for moment in np.random.default_rng(3).integers(1, total, times).tolist():
        assert run(moment).returncode == -signal.SIGKILL
        assert path.read_bytes() == whole
    if what == "save":
        assert load_arrays(path).keys() == small().state_dict().keys()
