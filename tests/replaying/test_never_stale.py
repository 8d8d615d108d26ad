"""Ways in which a replay could go on with what is no longer so: each is followed, recorded anew, refused, or found."""

from __future__ import annotations

import collections
import contextvars
import copy
import itertools
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.replaying import NotReplayable

from .steps import same


class Thing:
    """Something with attributes around a step."""

    __slots__ = ("__hidden", "__weakref__", "count", "factor", "flag", "items", "rng", "tensor", "turns")

    def __init__(self) -> None:
        self.count, self.factor, self.flag = 0, 2.0, False
        self.items: Any = [2.0, 3.0, 4.0] * 30
        self.rng = np.random.default_rng(0)
        self.tensor = mg.tensor([2.0], name="c")
        self.turns: Any = itertools.cycle([2.0, 3.0])
        self.__hidden = 2.0

    def hide(self, x: float) -> None:
        self.__hidden = x

    def hidden(self) -> float:
        return self.__hidden


def take(steps, x, calls=20):
    for _ in range(calls):
        steps(x)


# What the step itself changes ---------------------------------------------------------------------------------------


class WarmUp:
    """A loss that grows with the calls."""

    calls = 0

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return x * min(self.calls / 1000, 1.0)


def counted(x):
    global COUNT
    COUNT += 1
    return x * 2.0


COUNT = 0


def changing(what):
    t = Thing()
    w = mg.tensor([1.0], requires_grad=True)
    sgd = mg.optim.SGD([w], lr=0.1)
    queue, log = collections.deque(range(100)), list[int]()
    seen: dict[int, int] = {}
    warm = WarmUp()
    n = 0
    gen = (k for k in range(1000))
    count, listed = itertools.count(), iter([2.0] * 100)
    pairs = zip(itertools.count(), itertools.repeat(3.0), strict=False)

    def closure(x):
        nonlocal n
        n += 1
        return x * 2.0

    def rate(x):
        sgd.groups[0]["lr"] *= 0.9
        (w * x).sum().backward()
        sgd.step()
        sgd.zero_grad()
        return w

    def counts(x):
        t.count += 1
        return x * 2.0

    steps = {
        "a counter of an object": counts,
        "a counter in a variable": closure,
        "a global counter": counted,
        "an iterator": lambda x: (next(t.turns), x * 2.0)[1],
        "a generator": lambda x: (next(gen), x * 2.0)[1],
        "itertools.count": lambda x: (next(count), x * 2.0)[1],
        "a list's iterator": lambda x: x * next(listed),
        "zip": lambda x: x * next(pairs)[1],
        "a deque": lambda x: (queue.popleft(), x * 2.0)[1],
        "a list that grows": lambda x: (log.append(1), x * 2.0)[1],  # type: ignore[func-returns-value]
        "a dict that grows": lambda x: (seen.setdefault(len(seen), 1), x * 2.0)[1],
        "a loss with warm-up": lambda x: (warm(mg.tensor(1.0)), x * 2.0)[1],
        "a rate": rate,
        "a random number": lambda x: (t.rng.random(), x * 2.0)[1],
        "a branch on a random number": lambda x: x * 2.0 if t.rng.random() < 2 else x,
        "NumPy's own generator": lambda x: (np.random.rand(), x * 2.0)[1],
    }
    return steps[what]


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("a counter of an object", "Thing.count"), ("a counter in a variable", "the variable n"),
        ("a global counter", "the global variable COUNT"), ("an iterator", "the iterator Thing.turns"),
        ("a generator", "the iterator the variable gen"), ("itertools.count", "variable count"),
        ("a list's iterator", "variable listed"), ("zip", "variable pairs"), ("a deque", "variable queue"),
        ("a list that grows", "variable log"), ("a dict that grows", "variable seen"),
        ("a loss with warm-up", "WarmUp.calls"), ("a rate", "sgd.groups"), ("a random number", "random generator"),
        ("a branch on a random number", "random generator"), ("NumPy's own generator", "random generator"),
    ],
)  # fmt: skip
def test_a_step_that_changes_what_is_around_it_is_refused_and_told_what(what, named):
    replayed = mg.replay(changing(what))
    with pytest.raises(NotReplayable, match=f"the step changes .*{named}"):
        take(replayed, np.ones(1), 3)
    assert replayed.replays == 0


def test_what_is_changed_once_is_no_change():
    cache: dict[str, float] = {}
    replayed = mg.replay(lambda x: x * cache.setdefault("k", 2.0))
    take(replayed, np.ones(1))
    assert replayed.replays >= 16


def test_random_draws_of_modules_and_schedules_inside_are_no_change():
    net = mg.nn.Sequential(mg.nn.Linear(3, 4, rng=0), mg.nn.Dropout(0.5, rng=1))
    other = mg.nn.Sequential(mg.nn.Linear(3, 4, rng=0), mg.nn.Dropout(0.5, rng=1))
    x = np.ones((5, 3))
    replayed = mg.replay(lambda x: net(x))
    for _ in range(70):
        same(replayed(x).data, other(mg.tensor(x)).data)
    assert replayed.replays == 68


def test_a_draw_of_the_step_beside_those_of_a_module_is_found():
    rng = np.random.default_rng(0)
    drop = mg.nn.Dropout(0.5, rng=rng)
    for step in (lambda x: (rng.random(), drop(x))[1], lambda x: (drop(x), rng.random())[0]):
        with pytest.raises(NotReplayable, match="random generator"):
            take(mg.replay(step), np.ones(4), 3)


# What is changed between the calls ----------------------------------------------------------------------------------


def test_a_flag_that_alternates_has_a_program_for_each_state():
    t = Thing()
    replayed = mg.replay(lambda x: x * 2.0 if t.flag else x * 3.0)
    for k in range(40):
        t.flag = k % 2 == 0
        assert replayed(np.ones(1)).item() == (2.0 if t.flag else 3.0)
    assert (replayed.recordings, replayed.replays) == (4, 36)


def test_a_number_that_is_computed_again_is_the_same_number():
    t = Thing()
    replayed = mg.replay(lambda x: x * t.factor)
    for k in range(30):
        t.factor = float(f"{k % 3}.5")
        assert replayed(np.ones(1)).item() == t.factor
    assert replayed.recordings == 6


READ: dict[str, Any] = {
    "mg.tensor": lambda t, x: x * mg.tensor(t.tensor),
    "an operation": lambda t, x: x * t.tensor,
    "a large array": lambda t, x: x * t.items,
    "copy": lambda t, x: x * copy.copy(t.tensor),
    "deepcopy": lambda t, x: x * copy.deepcopy(t.tensor),
    "pickle": lambda t, x: x * pickle.loads(pickle.dumps(t.tensor)),
    "repr": lambda t, x: x * float(repr(t.tensor)[8:-2]),
    "np.full_like": lambda t, x: x * np.full_like(x, t.tensor.sum()),
    "np.allclose": lambda t, x: x * 2.0 if np.allclose(t.tensor, 2.0) else x,
    "mg.tensor of a list": lambda t, x: x * mg.tensor(t.items[:1]),
    "a mangled slot": lambda t, x: x * t.hidden(),
    "getattr": lambda t, x: x * getattr(t, "factor"),  # noqa: B009
}


FOLLOWED = ("mg.tensor", "an operation", "a large array", "getattr", "a mangled slot", "mg.tensor of a list")


@pytest.mark.parametrize("way", READ)
def test_values_read_by_a_side_door_are_followed_or_refused(way):
    t = Thing()
    read = READ[way]
    if way == "a large array":
        t.items = np.full(1000, 2.0)
    replayed = mg.replay(lambda x: mg.sum(read(t, x)))
    x = np.array([3.0])
    if way not in FOLLOWED:
        with pytest.raises(NotReplayable, match="was read"):
            take(replayed, x, 3)
        return
    take(replayed, x, 3)
    for new in (5.0, 7.0, 9.0):
        if "array" in way or "list" in way:
            t.items[:1] = [new]
        elif way in ("getattr", "a mangled slot"):
            t.factor = new
            t.hide(new)
        else:
            t.tensor.data = [new]
        same(replayed(x).data, mg.sum(read(t, mg.tensor(x))).data)


VAR: contextvars.ContextVar[float] = contextvars.ContextVar("VAR", default=2.0)
G = 2.0


def test_context_variables_weak_references_and_names_looked_up_as_text():
    t = Thing()
    ref = weakref.ref(t)
    x = np.ones(1)
    steps = [lambda x: x * VAR.get(), lambda x: x * ref().factor, lambda x: x * globals()["G"]]  # type: ignore[union-attr]
    for k, step in enumerate(steps):
        replayed = mg.replay(step)
        take(replayed, x, 3)
        if k == 0:
            VAR.set(5.0)
        t.factor = 5.0
        globals()["G"] = 5.0
        assert replayed(x).item() == 5.0, k
        VAR.set(2.0)
        t.factor = globals()["G"] = 2.0


def test_only_names_that_are_read_as_globals_are_watched(monkeypatch):
    class Big:
        def __init__(self) -> None:
            self.parts = [object() for _ in range(500)]

    monkeypatch.setitem(globals(), "mean", Big())
    monkeypatch.setitem(globals(), "sum", Big())
    replayed = mg.replay(lambda x: x.mean() + x.sum())
    take(replayed, np.ones(2), 3)
    entry: Any = replayed._latest[1]
    assert len(entry.guards._things) < 50
    monkeypatch.setitem(globals(), "mean", Big())
    take(replayed, np.ones(2), 2)
    assert replayed.recordings == 2


def test_a_rate_that_a_function_of_the_step_sets_is_refused():
    w = mg.tensor([2.0], requires_grad=True)
    sgd = mg.optim.SGD([w], lr=0.1)

    def slower() -> None:
        sgd.groups[0]["lr"] *= 0.5

    def step(x: Any) -> Any:
        loss = (w * x).sum()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        slower()
        return loss

    with pytest.raises(NotReplayable, match=r"the step changes .*groups"):
        take(mg.replay(step), np.ones(1), 3)
