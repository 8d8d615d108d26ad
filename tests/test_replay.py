"""Replayed steps: the same bits as the step itself, whatever changes between calls; and what is refused."""

from __future__ import annotations

import functools
import gc
import threading
import tracemalloc
import types
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.replaying import NotReplayable, Replayed

from .helpers import leaves, registry
from .table import ROWS
from .test_random_graphs import KINKED, SMOOTH, expressions

SLOPED = [row for row in ROWS if not row.flat]


def same(a: Any, b: Any) -> None:
    """Bit for bit, NaN and -0.0 too."""
    a, b = np.asarray(a), np.asarray(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", SLOPED, ids=str)
def test_every_primitive_and_rule_is_replayed_on_new_data(row, dtype):
    """Recorded with one set of values, replayed with others: nothing of the first may have stuck."""

    def arrays(seed):
        found = row.arrays(np.random.default_rng(seed))
        return [a.astype(dtype) if a is not None and a.dtype.kind == "f" else a for a in found]

    xs = leaves(arrays(0))
    wanted = [x for x in xs if isinstance(x, mg.Tensor) and x.requires_grad]

    def step(c):
        y = registry[row.op](*xs, **row.params)
        return y, *mg.grad(y, wanted, gradient=c)

    replayed = mg.replay(step)
    for seed in range(4):
        for x, a in zip(xs, arrays(seed), strict=True):
            if isinstance(x, mg.Tensor) and x.requires_grad:
                x.data = a
        shape = registry[row.op](*xs, **row.params).shape
        c = np.random.default_rng(seed).normal(size=shape).astype(dtype)
        for ours, eager in zip(replayed(c), step(mg.tensor(c)), strict=True):
            same(ours.data, eager.data)
    assert replayed.replays == 2


@given(st.data())
@settings(max_examples=25)
def test_random_graphs_are_replayed(data):
    expression = data.draw(expressions(sorted(SMOOTH | KINKED)))
    xs = [mg.tensor(np.zeros(shape), requires_grad=True) for shape in expression.shapes]

    def step():
        y = expression(xs, 0)
        return y, *mg.grad(y, xs)

    replayed = mg.replay(step)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        for x in xs:
            x.data = rng.uniform(-1.5, 1.5, x.shape)
        for ours, eager in zip(replayed(), step(), strict=True):
            same(ours.data, eager.data)
    assert replayed.replays == 2


# Training steps -------------------------------------------------------------------------------------------------


def training(sizes, optimizer=mg.optim.Adam, clip=None, loss=None, options=None, lr=0.01, **net_options):
    net = mg.nn.MLP(sizes, rng=0, **net_options)
    optimizer = optimizer(net.parameters(), lr=lr, **(options or {}))
    loss = loss or (mg.cross_entropy if sizes[-1] > 1 else mg.binary_cross_entropy_with_logits)

    def step(x, y):
        value = loss(net(x), y)
        optimizer.zero_grad()
        value.backward()
        if clip is not None:
            mg.optim.clip_grad_norm(net.parameters(), clip)
        optimizer.step()
        return value

    return net, optimizer, step


def batch(sizes, rows, seed, dtype="float64"):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, max(sizes[-1], 2), rows)
    return rng.normal(size=(rows, sizes[0])).astype(dtype), y if sizes[-1] > 1 else y[:, None].astype(dtype)


CASES: dict[str, dict[str, Any]] = {
    "batch norm": {"norm": "batch"},
    "batch norm, float32": {"norm": "batch", "dtype": "float32"},
    "composed batch norm": {"norm": "batch", "implementation": "composed"},
    "keras convention": {"norm": "batch", "convention": "keras"},
    "average of batches": {"norm": "batch", "convention": "paper"},
    "layer norm": {"norm": "layer"},
    "dropout": {"dropout": 0.4},
    "tanh": {"activation": "tanh"},
    "leaky relu, bias": {"activation": "leaky_relu", "norm": "batch", "bias": True},
    "sgd": {"optimizer": mg.optim.SGD, "options": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}},
    "rmsprop": {"optimizer": mg.optim.RMSprop, "options": {"momentum": 0.5}},
    "adamw": {"optimizer": mg.optim.AdamW},
    "clipped": {"clip": 0.05},
    "composed loss": {"loss": mg.cross_entropy_composed},
}


@pytest.mark.parametrize("sizes", [(6, 8, 5, 3), (6, 7, 1)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_a_training_step_replayed_is_the_step(case, sizes):
    options = CASES[case]
    if options.get("loss") is not None and sizes[-1] == 1:
        options = {**options, "loss": mg.mse_loss}
    net, optimizer, step = training(sizes, **options)
    other, other_optimizer, other_step = training(sizes, **options)
    replayed = mg.replay(other_step)
    for k in range(7):
        x, y = batch(sizes, 300 if k == 0 else 9, k, options.get("dtype", "float64"))
        if k == 5:  # as a schedule does
            optimizer.groups[0]["lr"] = other_optimizer.groups[0]["lr"] = 0.002
        same(replayed(x, y).data, step(mg.tensor(x), y).data)
        for (name, a), (_, b) in zip(net.named_tensors(), other.named_tensors(), strict=True):
            same(a.data, b.data)
            if a.requires_grad:
                assert b.grad is not None, name
                same(a.grad.data, b.grad.data)
    for name, value in optimizer.state_dict().items():
        same(value, other_optimizer.state_dict()[name])
    assert replayed.replays == 4


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


def test_two_optimizers_over_the_same_parameters():
    def made():
        w = mg.tensor(np.ones(3), requires_grad=True)
        first, second = mg.optim.SGD([w], lr=0.1), mg.optim.Adam([w], lr=0.1)

        def step(x):
            for optimizer in (first, second):
                loss = ((w - x) ** 2).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return loss

        return w, step

    (a, step), (b, other) = made(), made()
    replayed = mg.replay(other)
    for k in range(5):
        x = np.full(3, float(k))
        same(replayed(x).data, step(mg.tensor(x)).data)
        same(a.data, b.data)
    assert replayed.replays == 3


def test_results_are_owned_and_inputs_untouched():
    w = mg.tensor(np.arange(3.0), requires_grad=True)
    x = np.ones(3)

    def step(x):
        y = w * x
        w.grad = None
        y.sum().backward()
        return {"y": y, "both": (y, w), "text": "as it is", "number": 3}

    replayed = mg.replay(step)
    found = [replayed(x * k) for k in (1.0, 2.0, 3.0, 4.0)]
    assert [f["y"].data[1] for f in found] == [1.0, 2.0, 3.0, 4.0]
    assert found[3]["text"] == "as it is"
    assert not np.shares_memory(found[3]["both"][1]._array, w._array)
    assert not found[3]["y"].requires_grad
    gradient = w.grad
    replayed(x * 9.0)
    assert gradient is not None
    assert gradient.data[0] == 4.0, "a gradient that was looked at is kept"
    assert w.grad is not None
    assert w.grad.data[0] == 9.0
    lent = mg.replay(step, copy=False)
    outs = [lent(x * k) for k in (1.0, 2.0, 3.0, 4.0)]
    assert np.shares_memory(outs[2]["y"]._array, outs[3]["y"]._array)
    same(x, np.ones(3))


def test_large_arguments_are_read_where_they_are_and_let_go():
    w = mg.tensor(np.full((300, 3), 0.5), requires_grad=True)

    def step(x, scale):
        y = (x.T.reshape(300, -1) * scale).T @ w
        return y, mg.grad(y.sum(), w), x

    replayed = mg.replay(step)
    for k in range(5):
        x = np.random.default_rng(k).normal(size=(200, 300))
        seen = x.copy()
        scale = np.array(float(k))
        found = replayed(x, scale)
        for ours, eager in zip(found, step(mg.tensor(x), mg.tensor(scale)), strict=True):
            same(ours.data, eager.data)
        same(x, seen)
        assert not np.shares_memory(found[2]._array, x)
    gone = weakref.ref(x)
    del x
    gc.collect()
    assert gone() is None
    assert replayed.replays == 3


@pytest.mark.skipif(mg.kernels()["batch_norm"] == "reference", reason="the readable code makes new arrays")
def test_a_replay_allocates_almost_nothing():
    _, _, step = training((64, 128, 128, 10), norm="batch")
    replayed = mg.replay(step)
    x, y = batch((64, 10), 256, 0)

    def peak(run):
        run()
        gc.collect()
        tracemalloc.start()
        run()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    for _ in range(3):
        replayed(x, y)
    values = 256 * 128 * 8  # bytes of one layer's values, of which the step makes dozens
    assert peak(lambda: replayed(x, y)) < 0.5 * values


def test_checks_of_the_data_run_in_every_replay():
    net, _, step = training((4, 5, 3), norm="batch")
    replayed = mg.replay(step)
    x, y = batch((4, 3), 6, 0)
    for _ in range(3):
        replayed(x, y)
    before = net.state_dict()
    with pytest.raises(ValueError, match="label 7 is not one of the 3 classes"):
        replayed(x, np.full(6, 7))
    weights = {name: a for name, a in net.state_dict().items() if "running" not in name and "updates" not in name}
    for name in weights:
        if "share" not in name:
            same(weights[name], before[name])
    running = net.state_dict()
    with pytest.raises(ValueError, match="NaN or infinite values in 5 channel"):
        replayed(np.full((6, 4), np.nan), y)
    for name, a in net.state_dict().items():
        same(a, running[name])
    replayed(x, y)
    assert replayed.replays == 4


def test_replays_in_threads_have_memory_of_their_own():
    w = mg.tensor(np.ones(1000), requires_grad=True)
    replayed = mg.replay(lambda x: (mg.tanh(w * x) * x, mg.exp(x * w)))
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(200):
            x = rng.normal(size=1000)
            a, b = replayed(x)
            if not (np.array_equal(a.data, np.tanh(x) * x) and np.array_equal(b.data, np.exp(x))):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_replayed_step_inside_another_is_part_of_it():
    w = mg.tensor(2.0, requires_grad=True)
    inner = mg.replay(lambda x: w * x)
    outer = mg.replay(lambda x: inner(x) + 1.0)
    for k in range(4):
        assert outer(np.array(float(k))).item() == 2.0 * k + 1.0
    assert (outer.replays, inner.replays) == (2, 0)


def test_anomalies_are_looked_for_in_the_step_itself():
    w = mg.tensor([1.0, -1.0], requires_grad=True)
    replayed = mg.replay(lambda: mg.log(w * 1.0))
    with np.errstate(invalid="ignore"):
        for _ in range(3):
            replayed()
        with mg.detect_anomalies(), pytest.raises(FloatingPointError, match="log made NaN"):
            replayed()


# What is refused ------------------------------------------------------------------------------------------------

W = mg.tensor([1.0, 2.0], requires_grad=True)


def carried(x):
    loss = (W * x).sum()
    loss.backward()
    return loss


def thrice(step, x):
    for _ in range(3):
        step(x)


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (lambda x: x * 2.0 if x.sum() > 0 else x, "the number of .* was read at line"),
        (lambda x: x * x.sum().item(), "the number"),
        (lambda x: x * float(x.max()), "the number"),
        (lambda x: mg.tensor(np.sort(x.data)), "the array"),
        (lambda x: 3.0 in x, "the content"),
        (lambda x: x[int(x.argmax())], "the number"),
        (lambda x: mg.grad((W * x).sum(), W, create_graph=True), "create_graph=True cannot be replayed"),
        (lambda x: x * np.random.default_rng().normal(), "a constant that changed|, then"),
        (lambda x: x * mg.tensor(np.random.default_rng().normal(size=2)), "a constant that changed"),
        (carried, "gradient of .* that was there before"),
        (lambda x: object(), "returns Tensors, numbers, or tuples"),
    ],
)
def test_what_cannot_be_replayed_says_why(step, text):
    W.grad = None
    replayed = mg.replay(step)
    with pytest.raises(NotReplayable, match=text):
        thrice(replayed, np.array([1.0, 2.0]))
    assert replayed.replays == 0


def test_a_gradient_left_from_outside_is_refused_before_anything_runs():
    w = mg.tensor([1.0], requires_grad=True)

    def step(x):
        (w * x).sum().backward()

    replayed = mg.replay(step)
    for k in range(3):
        w.grad = None
        replayed(np.array([float(k)]))
    left = w.grad
    assert left is not None
    assert left.item() == 2.0
    with pytest.raises(NotReplayable, match="has a gradient from before"):
        replayed(np.array([5.0]))
    assert w.grad is left


def test_bad_arguments_are_refused():
    replayed = mg.replay(lambda *xs: xs[0])
    with pytest.raises(TypeError, match="requires a gradient"):
        replayed(W)
    with pytest.raises(TypeError, match="got list; pass arrays one by one"):
        replayed([np.ones(2)])
    with pytest.raises(TypeError, match="arrays of real numbers"):
        replayed(np.array(["a"]))
    with pytest.raises(TypeError, match="replay takes a function"):
        mg.replay(3)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="fuse='conv' must be among batch_norm, layer_norm, softmax_cross_entropy"):
        mg.replay(lambda x: x, fuse=["conv"])
    with pytest.raises(RuntimeError, match="nothing has been recorded yet"):
        mg.replay(lambda x: x).program  # noqa: B018


def test_gradients_of_a_step_that_failed_while_it_was_recorded_share_no_memory():
    a, b = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor([3.0, 4.0], requires_grad=True)

    def step():
        (a + b).sum().backward()
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        mg.replay(step)()
    assert not np.shares_memory(a.grad._array, b.grad._array)  # type: ignore[union-attr]


def test_methods_and_objects_as_arguments():
    class Trainer:
        def __init__(self, factor: float) -> None:
            self.w = mg.tensor([factor], requires_grad=True)

        @mg.replay
        def step(self, x: Any) -> Any:
            return self.w * x

    one, two = Trainer(2.0), Trainer(3.0)
    for k in range(4):
        x = np.array([float(k)])
        assert (one.step(x).item(), two.step(x).item()) == (2.0 * k, 3.0 * k)
    assert Trainer.step.replays == 4


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


def test_a_refusal_is_remembered_and_the_step_is_not_taken_again():
    w = mg.tensor([1.0], requires_grad=True)
    sgd = mg.optim.SGD([w], lr=0.5)

    def step(x):
        loss = (w * x).sum()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return loss.item()

    replayed = mg.replay(step)
    with pytest.raises(NotReplayable, match="the number"):
        replayed(np.ones(1))
    after = w.data.copy()
    with pytest.raises(NotReplayable, match=r"found in an earlier call; this one did nothing"):
        replayed(np.ones(1))
    same(w.data, after)


# What changes around a step, found by somebody who tried -----------------------------------------------------------


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

    def step(self, x: Any) -> Any:
        return self.w * x * self.k * self.deep["k"] * self.deep["more"][0] * self.mask

    def __call__(self, x: Any) -> Any:
        return self.step(x)


CHANGES: dict[str, Any] = {
    "a parameter": lambda h: setattr(h, "w", mg.tensor([5.0, 7.0], requires_grad=True)),
    "a number": lambda h: setattr(h, "k", 4.0),
    "in a dict": lambda h: h.deep.update(k=5.0),
    "in a list in a dict": lambda h: h.deep["more"].__setitem__(0, 6.0),
    "an array": lambda h: setattr(h, "mask", np.array([0.0, 1.0])),
    "written in place": lambda h: h.mask.__setitem__(0, 0.0),
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


def test_a_view_is_read_anew_after_a_write():
    def made():
        w = mg.tensor([[1.0, 2.0]], requires_grad=True)
        sgd = mg.optim.SGD([w], lr=0.1)

        def step(x):
            v = w[0]
            before = mg.sum(v * 2.0)
            loss = mg.sum((w - x) ** 2)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            return before, mg.sum(v * 2.0)

        return step

    step, replayed = made(), mg.replay(made())
    for _ in range(5):
        for ours, eager in zip(replayed(np.zeros(2)), step(mg.tensor(np.zeros(2))), strict=True):
            same(ours.data, eager.data)


def test_a_gradient_that_is_an_argument():
    w = mg.tensor(np.zeros((300, 200)), requires_grad=True)

    @mg.replay
    def step(x):
        y = w.T + 1.0
        w.grad = None
        y.backward(x)

    for k in range(5):
        x = np.full((200, 300), float(k))
        step(x)
        assert w.grad is not None
        assert w.grad.data[0, 0] == k
        assert not np.shares_memory(w.grad._array, x)


LINEAR: dict[str, Any] = {
    "sum": lambda x, w: (x @ w).sum(),
    "mean": lambda x, w: (x @ w).mean(),
    "rows": lambda x, w: mg.tanh((x @ w).sum(0)).sum(),
    "columns": lambda x, w: mg.tanh((x @ w).sum(1)).sum(),
    "transposed": lambda x, w: mg.square((w.T @ x.T).T).sum(),
    "variance": lambda x, w: mg.square((x @ w).var(0)).sum(),
    "largest": lambda x, w: (x @ w).max(1).sum(),
    "joined": lambda x, w: mg.concatenate([x @ w, (x @ w).T.reshape(-1, w.shape[1])]).sum(),
    "picked": lambda x, w: (x @ w)[:, [0, 0, 1]].sum(),
}


@pytest.mark.parametrize("case", LINEAR)
@pytest.mark.parametrize("rows", [5, 300])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_of_every_layout(case, rows, dtype):
    w = mg.tensor(np.random.default_rng(0).normal(size=(7, 3)).astype(dtype), requires_grad=True)

    def step(x):
        loss = LINEAR[case](x, w)
        return loss, mg.grad(loss, w)

    replayed = mg.replay(step)
    for k in range(4):
        x = np.random.default_rng(k).normal(size=(rows, 7)).astype(dtype)
        for ours, eager in zip(replayed(x), step(mg.tensor(x)), strict=True):
            same(ours.data, eager.data)


def test_schedules_inside_a_step_move_and_overridden_steps_are_refused():
    def made(kind):
        w = mg.tensor([1.0], requires_grad=True)
        optimizer = kind([w], lr=0.1)
        schedule = mg.optim.StepLR(optimizer, 1, 0.5)

        def step(x):
            loss = (w * x).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            return loss

        return w, step

    (a, step), (b, other) = made(mg.optim.SGD), made(mg.optim.SGD)
    replayed = mg.replay(other)
    for _ in range(5):
        step(mg.tensor([1.0]))
        replayed(np.ones(1))
        same(a.data, b.data)

    class Warm(mg.optim.SGD):
        def step(self) -> None:
            self.groups[0]["lr"] *= 1.1
            super().step()

    with pytest.raises(NotReplayable, match=r"Warm has a step\(\) of its own"):
        thrice(mg.replay(made(Warm)[1]), np.ones(1))


def test_a_module_that_counts_is_refused():
    class Counting(mg.nn.Module):
        steps = 0

        def forward(self, x: Any) -> Any:
            self.steps += 1
            return x * 2.0 if self.steps < 5 else x

    with pytest.raises(NotReplayable, match=r"the step changes Counting\.steps"):
        thrice(mg.replay(Counting()), np.ones(1))


def test_smaller_things():
    sign = mg.replay(lambda x, k: x * np.copysign(2.0, k))
    assert [sign(np.ones(1), k).item() for k in (0.0, -0.0, 0.0, -0.0, 0.0, -0.0)] == [2.0, -2.0] * 3
    rng = np.random.default_rng(0)

    @mg.primitive
    def noisy(x):
        return x + rng.normal(size=x.shape)

    noise = mg.replay(lambda x: noisy(x) - noisy(x))
    assert all(noise(np.ones(3)).data.all() for _ in range(4))
    inside = mg.replay(lambda x: mg.tensor(x, dtype="float32") * 2.0)
    assert [inside(np.array([k])).item() for k in (1.0, 2.0, 3.0, 4.0)] == [2.0, 4.0, 6.0, 8.0]
    h = mg.tensor([2.0], requires_grad=True)

    def retained(x):
        y = (h * x).retain_grad()
        h.grad = None
        (y * y).sum().backward()
        return h.grad

    again = mg.replay(retained)
    assert [again(np.array([k])).item() for k in (1.0, 2.0, 3.0, 4.0)] == [4.0, 16.0, 36.0, 64.0]


# What it looks like ---------------------------------------------------------------------------------------------


def test_the_program_prints_and_draws():
    _, _, step = training((6, 8, 5, 3), norm="batch")
    replayed = mg.replay(step)
    for k in range(3):
        replayed(*batch((6, 3), 9, k))
    text = str(replayed.program)
    assert "matmul(in0, w" in text
    assert "in place" in text
    assert "Adam.step(" in text
    assert "gradients" in text
    assert f"{len(replayed.program)} instructions" in text
    names = [node.op for node in mg.graph(replayed.program.tensors()).nodes if node.op]
    assert names.count("matmul") == 8
    assert "Adam.step" in names
    assert "batch_norm_ backward" in names or "batch_norm backward" in names
    assert "digraph" in mg.draw(replayed.program.tensors()).dot


def test_memory_is_used_again_only_when_nobody_needs_it():
    """Overlapping memory of two values means that their lives do not overlap."""
    _, _, step = training((6, 8, 8, 3), norm="batch")
    replayed = mg.replay(step)
    for k in range(3):
        replayed(*batch((6, 3), 9, k))
    bound = replayed._latest[1].bound
    values = list(bound.lives)
    for k, a in enumerate(values):
        for b in values[:k]:
            if np.shares_memory(bound.array_of(a), bound.array_of(b)):
                (_, last), (start, _) = sorted([bound.lives[a], bound.lives[b]])
                assert start > last or (start == last and start in _in_place(bound)), (a, b)


def _in_place(bound):
    return {k for k, i in enumerate(bound.program.instructions) if i in bound.in_place}


def test_replay_is_a_decorator_too():
    @mg.replay(fuse=True)
    def step(x):
        """Twice x."""
        return x * 2.0

    assert isinstance(step, Replayed)
    assert step.__doc__ == "Twice x."
    assert step(np.array(2.0)).item() == 4.0


# fit ------------------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("shape", [(300, 1), (300, 3), (5, 1), (300, 1, 1), (200,), (0, 2), (4, 200)], ids=str)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, -1)], ids=str)
def test_sums_means_and_what_was_stretched_are_replayed(dtype, shape, axis):
    """Long columns, short ones, one or none: each has its own way of being summed, and of being written."""
    if axis == (0, -1) and len(shape) == 1:
        axis = (0,)
    rng = np.random.default_rng(0)

    def step(x):
        bias = mg.tensor(np.ones(shape[-1:], dtype), requires_grad=True)
        y = x * 2.0 + bias
        parts = [mg.mean(y, axis=axis), mg.sum(y, axis=axis, keepdims=True), mg.mean(y, axis=axis, keepdims=True)]
        total = sum((mg.sum(mg.square(part)) for part in parts), start=mg.tensor(np.zeros((), dtype)))
        return *parts, mg.grad(total, bias)

    again = mg.replay(step)
    with np.errstate(all="ignore"):
        for _ in range(4):
            x = rng.normal(size=shape).astype(dtype)
            for one, other in zip(again(x), step(mg.tensor(x)), strict=True):
                same(one.data, other.data)
    assert again.replays == 2


def test_a_column_times_a_row_is_replayed_with_its_signs():
    rows = mg.tensor([[0.0, -1.0, 2.0]], requires_grad=True)

    def step(x):
        y = x @ rows
        return y, *mg.grad(y, [rows], y)

    again = mg.replay(step)
    for x in (np.array([[1.0], [-1.0]]), np.array([[2.0], [3.0]]), np.array([[-0.0], [np.inf]])):
        with np.errstate(invalid="ignore"):
            for one, other in zip(again(x), step(mg.tensor(x)), strict=True):
                same(one.data, other.data)


def test_a_primitive_of_ones_own_is_not_taken_for_the_one_of_that_name():
    @mg.primitive
    def exp(x):
        return x * 3.0

    exp.defvjp(lambda g, out, x: g * 3.0)
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    again = mg.replay(lambda x: (exp(w * x), *mg.grad(exp(w * x), [w], x)))
    for _ in range(3):
        y, d = again(np.array([1.0, -1.0]))
    same(y.data, [3.0, -6.0])
    same(d.data, [3.0, 3.0])


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


def test_a_large_argument_in_another_layout_is_summed_as_its_copy_is():
    big = np.random.default_rng(0).normal(size=(1024, 256)).astype(np.float32)
    again = mg.replay(mg.sum)
    for view in (big[::2], big[::-1], np.broadcast_to(big[:1], big.shape)):
        assert view.nbytes >= 1 << 18
        assert len({again(view).item() for _ in range(4)}) == 1


def test_a_primitive_of_ones_own_with_saved_arrays_does_not_work_in_place():
    def relu(x, /, *, saved):
        return saved[0] * 2.0

    twice: Any = mg.primitive(save=lambda x: (np.exp(x),))(relu)
    twice.defvjp_joint(lambda g, out, saved, x: (g * saved[0] * 2.0,))
    again = mg.replay(lambda x: mg.sum(twice(mg.square(x) * 2.0) * 3.0))
    for k in range(4):
        x = np.full((6, 4), float(k) / 4)
        same(again(x).data, mg.sum(twice(mg.square(mg.tensor(x)) * 2.0) * 3.0).data)


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
