"""What a step reads around itself is watched: when it changes, the step is recorded anew."""

from __future__ import annotations

import functools
import gc
import types
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.replaying import NotReplayable

from .steps import same, training


def test_other_shapes_dtypes_and_modes_are_recorded_anew_and_kept():
    net, _, _ = training((4, 5, 3), norm="batch")
    step = mg.replay(lambda x: net(x))
    x = np.random.default_rng(0).normal(size=(6, 4))
    for value in (x, x[:5], x.astype(np.float32), np.asfortranarray(x)):
        for k in range(3):
            assert (step.replays, step(value).shape[0])[0] == step.replays - (k == 2)
    recorded = step.recordings
    assert recorded == 8
    net.eval()
    same(step(x).data, net(mg.tensor(x)).data)
    for _ in range(2):
        step(x)
    assert step.recordings == recorded + 2
    before = net.layers[1].running_mean.data.copy()
    net.train()
    step(x)
    assert step.recordings == recorded + 2, "the program of the training mode is still there"
    assert (net.layers[1].running_mean.data != before).any()


def test_what_is_replaced_around_a_step_is_recorded_anew():
    net, _, _ = training((4, 5, 3))
    factor = 2.0
    x = np.random.default_rng(0).normal(size=(6, 4))

    def step(x):
        return net(x) * factor

    replayed = mg.replay(step)

    def check(change):
        before = replayed.recordings
        same(replayed(x).data, step(mg.tensor(x)).data)
        same(replayed(x).data, step(mg.tensor(x)).data)
        same(replayed(x).data, step(mg.tensor(x)).data)
        assert replayed.recordings == before + 2, change

    check("nothing yet")
    net.layers[0].weight = mg.tensor(np.ones((4, 5)), requires_grad=True)
    check("a parameter")
    net.layers[1] = mg.nn.Tanh()
    check("a layer in a list")
    factor = 3.0
    check("a variable")
    net = training((4, 6, 3))[0]
    check("the network")
    net.layers[0].weight.requires_grad = False
    check("what requires a gradient")
    before = replayed.recordings
    net.layers[0].weight.data = np.zeros((4, 6))
    same(replayed(x).data, step(mg.tensor(x)).data)
    assert replayed.recordings == before, "values are read where they are"


def test_what_changes_at_every_call_is_refused_after_a_while():
    count = 0

    def step(x):
        return x * 2.0 if count >= 0 else x

    replayed = mg.replay(step)

    def count_and_replay():
        nonlocal count
        for count in range(100):  # noqa: B007
            replayed(np.ones(2))

    with pytest.raises(NotReplayable, match="recorded anew 16 times because the variable count changes"):
        count_and_replay()


def always_as_eager(step, change, x, times=3):
    """Replay `step` until it runs, change something, and compare with the step itself from then on."""
    replayed = mg.replay(step)
    for _ in range(times):
        replayed(x)
    assert replayed.replays
    change()
    for _ in range(3):
        same(replayed(x).data, step(mg.tensor(x)).data)


class Holder:
    def __init__(self) -> None:
        self.w = mg.tensor([2.0, 3.0], requires_grad=True)
        self.k = 1.0
        self.deep: dict[str, Any] = {"k": 1.0, "more": [1.0]}
        self.mask = np.ones(2)
        self.scales = np.ones(2)
        self.zero = 0.0

    def step(self, x: Any) -> Any:
        by = self.k * self.deep["k"] * self.deep["more"][0] * float(self.scales[1])
        return self.w * x * by * self.mask * (2.0 if str(self.zero) == "0.0" else 3.0)

    def __call__(self, x: Any) -> Any:
        return self.step(x)


class Other(Holder):
    def step(self, x: Any) -> Any:
        return 10.0 * super().step(x)


CHANGES: dict[str, Any] = {
    "a parameter": lambda h: setattr(h, "w", mg.tensor([5.0, 7.0], requires_grad=True)),
    "a number": lambda h: setattr(h, "k", 4.0),
    "in a dict": lambda h: h.deep.update(k=5.0),
    "in a list in a dict": lambda h: h.deep["more"].__setitem__(0, 6.0),
    "an array": lambda h: setattr(h, "mask", np.array([0.0, 1.0])),
    "written in place": lambda h: h.mask.__setitem__(0, 0.0),
    "a number in an array": lambda h: h.scales.__setitem__(1, 8.0),
    "the sign of zero": lambda h: setattr(h, "zero", -0.0),
    "its class": lambda h: setattr(h, "__class__", Other),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("way", ["method", "object", "closure", "partial", "argument's default"])
def test_objects_around_a_step_are_watched(way, change):
    holder = Holder()
    x = np.array([1.0, 2.0])

    def with_default(x, h=holder):
        return h.step(x)

    steps = {
        "method": holder.step,
        "object": holder,
        "closure": lambda x: holder.step(x),
        "partial": functools.partial(Holder.step, holder),
        "argument's default": with_default,
    }
    always_as_eager(steps[way], lambda: CHANGES[change](holder), x)


def test_forward_of_a_module_and_its_helpers_are_watched():
    settings = {"k": 2.0}

    class Scaled(mg.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * settings["k"]

    always_as_eager(Scaled(), lambda: settings.update(k=3.0), np.ones(2))


def test_objects_that_come_after_one_another_are_told_apart():
    class Trainer:
        def __init__(self, start: float) -> None:
            self.w = mg.tensor([start], requires_grad=True)
            self.sgd = mg.optim.SGD([self.w], lr=0.1)

        @mg.replay
        def step(self, x: Any) -> Any:
            loss = mg.mean((self.w - x) ** 2)
            self.sgd.zero_grad()
            loss.backward()
            self.sgd.step()
            return loss

    for start in (1.0, 5.0, 9.0):
        trainer = Trainer(start)
        losses = [trainer.step(np.zeros(1)).item() for _ in range(4)]
        np.testing.assert_allclose(losses, [(start * 0.8**k) ** 2 for k in range(4)])
        del trainer
        gc.collect()


SCALE = 2.0


class Settings:
    """A class whose attribute a step reads."""

    scale = 2.0


class Slotted:
    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 2.0


class Scaled(mg.nn.Module):
    """A module whose forward reads an attribute of its class, and a property that reads a global variable."""

    scale = 2.0

    @property
    def shift(self) -> float:
        return SCALE

    def forward(self, x):
        return x * self.scale + self.shift


def scaled_inside(x):
    return sum([x * SCALE for _ in range(2)], 0.0)


def scaled_by_default(x, *, scale=2.0):
    return x * scale


def watched(what):
    """A step that reads something around it, and a function that changes it."""
    if what == "an empty list":
        hooks: list[Any] = []
        return lambda x: functools.reduce(lambda y, hook: hook(y), hooks, x), lambda: hooks.append(lambda y: y * 3.0)
    if what == "exchanged keys":
        numbers = {"a": 2.0, "b": 3.0}

        def exchange():
            a, b = numbers.pop("a"), numbers.pop("b")
            numbers.update(b=a, a=b)

        return lambda x: x * numbers["a"] - numbers["b"], exchange
    if what == "a global in a comprehension":
        return scaled_inside, lambda: globals().update(SCALE=5.0)
    if what == "a class attribute":
        return lambda x: x * Settings.scale, lambda: setattr(Settings, "scale", 3.0)
    if what == "slots":
        slotted = Slotted()
        return lambda x: x * slotted.scale, lambda: setattr(slotted, "scale", 3.0)
    if what == "a module's class":
        module = Scaled()
        return module, lambda: setattr(Scaled, "scale", 3.0)
    if what == "a global in a property":
        module = Scaled()
        return module, lambda: globals().update(SCALE=7.0)
    if what == "forward of the class":
        module = Scaled()
        return module, lambda: setattr(Scaled, "forward", lambda self, x: x * 10.0)
    if what == "a default":
        return lambda x: scaled_by_default(x), lambda: (scaled_by_default.__kwdefaults__ or {}).update(scale=4.0)
    if what == "a lower-case name of a module":
        settings = types.ModuleType("settings")
        settings.activation = "tanh"  # type: ignore[attr-defined]
        return lambda x: getattr(mg, settings.activation)(x), lambda: setattr(settings, "activation", "exp")
    zero = np.array([0.0])
    return lambda x: x / zero, lambda: zero.__setitem__(0, -0.0)


@pytest.mark.parametrize(
    "what",
    [
        "an empty list", "exchanged keys", "a global in a comprehension", "a class attribute", "slots",
        "a module's class", "a global in a property", "forward of the class", "a default",
        "a lower-case name of a module", "the sign of a zero",
    ],
)  # fmt: skip
def test_what_is_around_a_step_in_other_ways_is_watched_too(what, monkeypatch):
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    monkeypatch.setattr(Settings, "scale", 2.0)
    monkeypatch.setattr(Scaled, "scale", 2.0)
    monkeypatch.setattr(Scaled, "forward", Scaled.forward)
    monkeypatch.setattr(scaled_by_default, "__kwdefaults__", {"scale": 2.0})
    step, change = watched(what)
    again = mg.replay(lambda x: mg.sum(step(x)))
    x = np.arange(1.0, 5.0)
    with np.errstate(divide="ignore"):
        for _ in range(3):
            again(x)
        assert again.replays == 1
        change()
        same(again(x).data, mg.sum(step(mg.tensor(x))).data)


def test_statistics_that_are_frozen_are_another_program():
    """Frozen from outside, after the step was recorded without, and the other way round."""
    for first in (False, True):
        net, _, _ = training((4, 5, 3), norm="batch")
        running = net[1].running_mean
        step = mg.replay(lambda x, net=net: net(x))
        for frozen in (first, not first, first):
            for k in range(4):
                before = running.data.copy()
                x = np.random.default_rng(k).normal(size=(6, 4))
                if frozen:
                    with mg.nn.frozen_statistics():
                        step(x)
                else:
                    step(x)
                assert np.array_equal(running.data, before) == frozen
        assert step.recordings == 4


@pytest.mark.parametrize(
    "values", [(2, 3), (True, False), ("sum", "mean"), (None, 1), (b"a", b"b"), (2, True), (1, 1.0)], ids=str
)
def test_another_number_text_or_none_is_another_step(values):
    def step(x, how):
        if isinstance(how, str):
            return getattr(mg, how)(x)
        return x * (7.0 if how is None else how[0] if isinstance(how, bytes) else 10 * how + isinstance(how, bool))

    again = mg.replay(step)
    for k in range(12):
        how, x = values[k % 2], np.arange(3.0) + k
        same(again(x, how).data, step(mg.tensor(x), how).data)
    assert again.recordings == 4
