"""Composed graphs recognised as the fused primitive, and the passes that a recorded program goes through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.gradients import consumers_first
from minigrad.program.passes import without_dead_code, without_repeats
from minigrad.replaying.fusion import KINDS

from .steps import batch, training

RNG = np.random.default_rng(0)


def drawn(*shape: int) -> Any:
    return mg.tensor(RNG.normal(1.0, 2.0, shape), requires_grad=True)


X, G3, B3, G4 = drawn(5, 3), drawn(3), drawn(3), drawn(4)
X3, X4, W = drawn(2, 3, 4), drawn(4, 3, 2, 2), drawn(3, 3)
LABELS = np.array([0, 2, 1, 1, 0])


def by_hand(x: Any, axis: Any = 0, eps: float = 1e-5, keepdims: bool = False) -> Any:
    return (x - x.mean(axis, keepdims)) / mg.sqrt(x.var(axis, keepdims) + eps)


def reciprocal(x: Any) -> Any:
    centred = x - mg.mean(x, axis=0)
    return centred * (1.0 / mg.sqrt(mg.mean(mg.square(centred), axis=0) + 0.1))


def _log_softmax_of(s: Any) -> Any:
    return s - mg.log(mg.exp(s).sum(1, True))


def nine_steps(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    """Batch norm as the cs231n course writes it."""
    n = len(x)
    mu = 1.0 / n * mg.sum(x, axis=0)
    xmu = x - mu
    sq = xmu**2
    variance = 1.0 / n * mg.sum(sq, axis=0)
    sqrtvar = mg.sqrt(variance + eps)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar
    gammax = gamma * xhat
    return gammax + beta


def with_squares(square: Any) -> Any:
    z = X - X.mean(0)
    return G3 * z / mg.sqrt(mg.mean(square(z), axis=0) + 1e-5) + B3


FUSED: dict[str, tuple[str, Any]] = {
    "batch norm": ("batch_norm", lambda: mg.batch_norm_composed(X, G3, B3)),
    "staged": ("batch_norm", lambda: mg.batch_norm_composed(X, G3, B3, variance="staged")),
    "no affine": ("batch_norm", lambda: mg.batch_norm_composed(X)),
    "gamma alone": ("batch_norm", lambda: mg.batch_norm_composed(X, G3)),
    "beta alone": ("batch_norm", lambda: by_hand(X) + B3),
    "channels inside": ("batch_norm", lambda: mg.batch_norm_composed(X3, G3, B3, axis=(0, 2))),
    "images": ("batch_norm", lambda: by_hand(X4, (0, 2, 3), keepdims=True) * G3.reshape(1, 3, 1, 1)),
    "by hand": ("batch_norm", lambda: by_hand(X) * G3 + B3),
    "other order": ("batch_norm", lambda: B3 + G3 * by_hand(X)),
    "reciprocal": ("batch_norm", lambda: reciprocal(X)),
    "keepdims": ("batch_norm", lambda: by_hand(X, 0, 0.0, True)),
    "computed gamma": ("batch_norm", lambda: by_hand(X @ W) * mg.exp(G3) + B3),
    "from the left": ("batch_norm", lambda: G3 * (X - X.mean(0)) / mg.sqrt(X.var(0) + 1e-5) + B3),
    "gamma over the deviation": ("batch_norm", lambda: (X - X.mean(0)) * (G3 / mg.sqrt(X.var(0) + 1e-5)) + B3),
    "scale and shift": ("batch_norm", lambda: (lambda s: X * s + (B3 - X.mean(0) * s))(
        G3 / mg.sqrt(X.var(0) + 1e-5))),
    "power of a half": ("batch_norm", lambda: (X - X.mean(0)) * (X.var(0) + 1e-5) ** -0.5 * G3 + B3),
    "standard deviation": ("batch_norm", lambda: (X - X.mean(0)) / mg.sqrt(X.std(0) ** 2 + 1e-5) * G3 + B3),
    "z * z": ("batch_norm", lambda: with_squares(lambda z: z * z)),
    "z ** 2": ("batch_norm", lambda: with_squares(lambda z: z**2)),
    "sums over N": ("batch_norm", lambda: (lambda z: z / mg.sqrt((z * z).sum(0) / 5 + 1e-5) * G3)(X - X.sum(0) / 5)),
    "1/N times sums": ("batch_norm", lambda: (lambda z: z / mg.sqrt(0.2 * (z * z).sum(0) + 1e-5))(X - 0.2 * X.sum(0))),
    "nine steps": ("batch_norm", lambda: nine_steps(X, G3, B3)),
    "layer norm": ("layer_norm", lambda: mg.layer_norm_composed(X3, G4)),
    "layer norm over two": ("layer_norm", lambda: mg.layer_norm_composed(X3, drawn(3, 4), drawn(3, 4), axis=(1, 2))),
    "rows by hand": ("layer_norm", lambda: by_hand(X, -1, 1e-3, True) * G3 + B3),
    "rows, stretched": ("layer_norm", lambda: (X - mg.broadcast_to(X.mean(1, True), (5, 3)))
        / mg.sqrt(mg.expand_dims(X.var(1), 1) + 1e-5)),
    "cross-entropy": ("softmax_cross_entropy", lambda: mg.cross_entropy_composed(X, LABELS)),
    "none reduced": ("softmax_cross_entropy", lambda: mg.cross_entropy_composed(X, LABELS, reduction="none")),
    "log of softmax": ("softmax_cross_entropy", lambda: -mg.log(mg.softmax(X))[np.arange(5), LABELS].mean()),
    "logsumexp": ("softmax_cross_entropy", lambda: (X - mg.logsumexp(X, 1, True))[np.arange(5), LABELS]),
    "less the largest": ("softmax_cross_entropy", lambda: _log_softmax_of(X - X.max(1, True))[np.arange(5), LABELS]),
    "of a difference": ("softmax_cross_entropy", lambda: _log_softmax_of(X - G3)[np.arange(5), LABELS]),
    "a shift a column": ("softmax_cross_entropy", lambda: _log_softmax_of(X - np.array([0.1, 2.0, 3.0]))[
        np.arange(5), LABELS]),
}  # fmt: skip


def names(y: Any) -> list[str]:
    return [node.op.name for node in consumers_first(y)]  # type: ignore[union-attr]


@pytest.mark.parametrize("case", FUSED)
def test_a_composed_form_becomes_the_primitive(case):
    primitive, make = FUSED[case]
    y = make()
    fused = mg.fuse(y)
    assert primitive in names(fused)
    assert not {"var", "sqrt", "exp", "getitem"} & set(names(fused)) - ({"exp"} if "computed" in case else set())
    assert primitive not in names(y), "the graph that was given stays as it is"
    np.testing.assert_allclose(fused.data, y.data, rtol=1e-12, atol=1e-13)
    xs = [x for x in dict.fromkeys(z for n in consumers_first(y) for z in n.inputs if isinstance(z, mg.Tensor))
          if x.op is None and x.requires_grad]  # fmt: skip
    c = RNG.normal(size=y.shape)
    for a, b in zip(mg.grad(y, xs, gradient=c), mg.grad(fused, xs, gradient=c), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)


# What is nearly one, and how it differs.
NEARLY: dict[str, tuple[str, Any]] = {
    "unbiased variance": ("batch norm, but the variance is divided by N - 1;",
                          lambda: (X - X.mean(0)) / mg.sqrt(X.var(0, ddof=1) + 1e-5) * G3 + B3),
    "sums over N - 1": ("batch norm, but the variance is divided by N - 1;", lambda: (
        lambda z: z / mg.sqrt((z * z).sum(0) / 4 + 1e-5))(X - X.mean(0))),
    "sums over 7": ("batch norm, but the variance is divided by 7;", lambda: (
        lambda z: z / mg.sqrt((z * z).sum(0) / 7 + 1e-5))(X - X.mean(0))),
    "sums": ("batch norm, but the squares are summed, not divided by N;", lambda: (
        lambda z: z / mg.sqrt((z * z).sum(0) + 1e-5))(X - X.mean(0))),
    "other axes for the variance": (r"layer norm, but the mean is over axes \(0,\) and the variance over \(1,\);",
                                    lambda: (X - X.mean(0)) / mg.sqrt(X.var(1, True) + 1e-5)),
    "twice the mean": ("batch norm, but 2 times the mean is subtracted;",
                       lambda: (X - (X * 2.0).mean(0)) / mg.sqrt(X.var(0) + 1e-5)),
    "subtracted the other way": ("batch norm, but x is subtracted from its mean;",
                                 lambda: (X.mean(0) - X) / mg.sqrt(X.var(0) + 1e-5)),
    "no mean": (r"layer norm, but the mean is not subtracted \(RMS norm\);",
                lambda: X / mg.sqrt(mg.square(X).mean(1, True) + 1e-5) * G3),
    "another mean": ("batch norm, but something else than the mean is subtracted from x;",
                     lambda: (X - (X @ W).mean(0)) / mg.sqrt(X.var(0) + 1e-5)),
    "squares of x": ("batch norm, but the squares are of x, not of x - mean",
                     lambda: (X - X.mean(0)) / mg.sqrt(mg.square(X).mean(0) + 1e-5)),
    "eps that learns": ("batch norm, but eps is an array, not a number;",
                        lambda: (X - X.mean(0)) / mg.sqrt(X.var(0) + G3 * G3)),
    "eps outside": ("batch norm, but eps stands outside the square root;",
                    lambda: (X - X.mean(0)) / (mg.sqrt(X.var(0)) + 1e-5)),
    "eps below 0": ("batch norm, but eps is -0.1, not 0 or more;", lambda: (X - X.mean(0)) / mg.sqrt(X.var(0) - 0.1)),
    "no eps": ("batch norm, but eps is missing;", lambda: (X - X.mean(0)) / X.std(0)),
    "no root": (r"batch norm, but x - mean is divided by \(var \+ eps\), not by its square root;",
                lambda: (X - X.mean(0)) / (X.var(0) + 1e-5)),
}  # fmt: skip


@pytest.mark.parametrize("case", NEARLY)
def test_what_is_nearly_one_stays_and_the_difference_is_said(case):
    said, make = NEARLY[case]
    y = make()
    with pytest.warns(UserWarning, match=f"^nearest: {said}.*left as it is$"):
        assert mg.fuse(y) is y


def test_a_variance_that_loses_digits_is_recognised_and_said_to():
    y = (X - X.mean(0)) / mg.sqrt((X * X).mean(0) - X.mean(0) ** 2 + 1e-5) * G3 + B3
    with pytest.warns(UserWarning, match=r"batch norm.*E\[x\^2\] - E\[x\]\^2, which loses digits"):
        fused = mg.fuse(y)
    assert names(fused) == ["batch_norm"]
    np.testing.assert_allclose(fused.data, y.data, rtol=1e-10)


def test_what_is_fused_keeps_its_dtype():
    x = mg.tensor(RNG.normal(size=(5, 3)).astype(np.float32), requires_grad=True)
    for eps in (1e-5, np.float32(1e-5), np.array(1e-5, np.float32)):
        fused = mg.fuse((x - x.mean(0)) / mg.sqrt(x.var(0) + eps))
        assert fused.op.name == "batch_norm"  # type: ignore[union-attr]
        assert fused.dtype == np.float32
    for eps in (np.float64(1e-5), np.array([1e-5])):  # which make float64 of it
        y = (x - x.mean(0)) / mg.sqrt(x.var(0) + eps)
        with pytest.warns(UserWarning, match="batch norm, but a constant makes float64 of float32; it is left"):
            assert mg.fuse(y) is y


LEFT: dict[str, Any] = {
    "not broadcast by rows": lambda: (W - W.mean(1)) / mg.sqrt(W.var(1) + 1e-5),
    "no axes": lambda: (X.mean() - X.mean().mean()) / mg.sqrt(X.mean().var() + 1e-5),
    "a unit vector": lambda: X / mg.sqrt(mg.square(X).sum(1, True)),
    "sums that are no column": lambda: (W - 1.0 - mg.log(mg.exp(W - 1.0).sum(1)))[np.arange(3), np.arange(3)],
    "another base": lambda: mg.log_softmax(X)[np.arange(5)[::-1], LABELS],
    "sums over columns": lambda: mg.log_softmax(X, axis=0)[np.arange(5), LABELS],
}


@pytest.mark.parametrize("case", LEFT)
def test_what_is_not_one_stays(case):
    y = LEFT[case]()
    assert mg.fuse(y) is y


def test_one_parameter_as_gamma_and_beta_is_left_alone():
    y = by_hand(X) * G3 + G3
    fused = mg.fuse(y)
    np.testing.assert_allclose(fused.data, y.data, rtol=1e-12)
    np.testing.assert_allclose(mg.grad(fused.sum(), G3).data, mg.grad(y.sum(), G3).data, rtol=1e-10, atol=1e-12)


def test_a_matrix_of_gammas_is_no_batch_norm():
    fused = mg.fuse(by_hand(X) * drawn(5, 3))
    assert names(fused)[0] == "mul"
    assert "batch_norm" in names(fused), "x_hat is one all the same"


def test_what_is_used_elsewhere_stays_computed():
    x_hat = by_hand(X)
    y = (x_hat * G3 + B3).sum() + mg.tanh(x_hat).sum()
    fused = mg.fuse(y)
    np.testing.assert_allclose(fused.item(), y.item(), rtol=1e-12)
    a, b = (mg.grad(z, [X, G3]) for z in (y, fused))
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-10, atol=1e-12)


def test_only_what_was_asked_for_is_fused():
    y = mg.batch_norm_composed(X, G3, B3)
    assert mg.fuse(y, ["layer_norm"]) is y
    assert names(mg.fuse(y, "batch_norm")) == ["batch_norm"]
    with pytest.raises(ValueError, match="fuse='norm' must be among"):
        mg.fuse(y, ["norm"])


def test_a_replacement_that_is_not_equal_is_refused(monkeypatch):
    right = KINDS["batch_norm"]

    def wrong(pattern: Any) -> Any:
        return lambda *inputs: right(pattern)(*inputs) * 1.0001

    monkeypatch.setitem(KINDS, "batch_norm", wrong)
    y = mg.batch_norm_composed(X, G3, B3)
    with pytest.warns(UserWarning, match=r"looks like a form that can be fused, but is left as it is"):
        assert mg.fuse(y) is y


def test_what_is_kept_inside_a_form_stays():
    w, g, b = drawn(3, 4), drawn(4), drawn(4)

    def step(x):
        c = x @ w
        h = (c - c.mean(0)) / mg.sqrt(c.var(0) + 1e-5)
        loss = mg.square(h * g + b).sum()
        return loss, *mg.grad(loss, [h, w, g])

    replayed = mg.replay(step, fuse=True)
    for k in range(4):
        x = np.random.default_rng(k).normal(size=(6, 3))
        for ours, eager in zip(replayed(x), step(mg.tensor(x)), strict=True):
            np.testing.assert_allclose(ours.data, eager.data, rtol=1e-9, atol=1e-11)


def test_cross_entropy_is_fused_for_every_label_and_only_for_its_own_rows():
    w = drawn(4, 3)

    def step(x, rows, labels):
        z = x @ w
        shifted = z - 1.0
        log_p = shifted - mg.log(mg.exp(shifted).sum(1, keepdims=True))
        loss = -log_p[rows, labels].mean()
        return loss, mg.grad(loss, w)

    rows = np.arange(5)
    fixed = mg.replay(lambda x, labels: step(x, rows, labels), fuse=True)
    given = mg.replay(step, fuse=True)
    for k in range(5):
        x = np.random.default_rng(k).normal(size=(5, 4))
        labels = np.array([0, 2, 1, 1, 0]) - (3 if k > 2 else 0)  # from the end, as an index may have them
        order = rows if k < 2 else rows[::-1].copy()
        one, other = fixed(x, labels), given(x, order, labels)
        for ours, eager in zip(one, step(mg.tensor(x), rows, mg.tensor(labels)), strict=True):
            np.testing.assert_allclose(ours.data, eager.data, rtol=1e-9, atol=1e-12)
        for ours, eager in zip(other, step(mg.tensor(x), mg.tensor(order), mg.tensor(labels)), strict=True):
            np.testing.assert_allclose(ours.data, eager.data, rtol=1e-9, atol=1e-12)
    assert "softmax_cross_entropy" in str(fixed.program)
    assert "softmax_cross_entropy" not in str(given.program)


@pytest.mark.parametrize(
    ("options", "fused", "gone"),
    [
        ({"norm": "batch", "implementation": "composed"}, "batch_norm", "sqrt(v"),
        ({"norm": "layer", "implementation": "composed"}, "layer_norm", "sqrt(v"),
        ({"loss": mg.cross_entropy_composed}, "softmax_cross_entropy", "getitem"),
    ],
)
def test_a_fused_replay_trains_as_the_step_to_rounding(options, fused, gone):
    net, _, step = training((6, 8, 5, 3), **options, lr=0.001)
    other, _, other_step = training((6, 8, 5, 3), **options, lr=0.001)
    replayed = mg.replay(other_step, fuse=True)
    for k in range(6):
        x, y = batch((6, 3), 9, k)
        assert abs(replayed(x, y).item() - step(mg.tensor(x), y).item()) < 1e-9
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=1e-9)
    assert gone in str(replayed.stages["recorded"])
    text = str(replayed.program)
    assert fused in text
    assert gone not in text
    sizes = [len(program) for program in replayed.stages.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


# Passes that keep every bit ---------------------------------------------------------------------------------------


def recorded(step: Any, *args: Any) -> Any:
    replayed = mg.replay(step)
    for _ in range(3):
        result = replayed(*args)
    return replayed, result


def test_dead_code_goes_and_nothing_else():
    w = mg.tensor(2.0, requires_grad=True)
    replayed, result = recorded(lambda x: (mg.exp(x * 3.0), x * w)[1], np.array(4.0))
    assert [i.name for i in replayed.stages["recorded"].instructions] == ["mul", "exp", "mul"]
    assert [i.name for i in replayed.stages["dead code"].instructions] == ["mul"]
    assert result.item() == 8.0


def test_common_subexpressions_are_computed_once():
    w = mg.tensor(2.0, requires_grad=True)
    replayed, result = recorded(lambda x: mg.exp(x * w) + mg.exp(x * w) * mg.exp(x * w), np.array(0.5))
    assert [i.name for i in replayed.program.program.instructions] == ["mul", "exp", "mul", "add"]
    assert result.item() == np.exp(1.0) + np.exp(1.0) * np.exp(1.0)
    first, last = replayed.stages["recorded"], replayed.stages["common subexpressions"]
    assert first.digest() != last.digest()
    assert mg.draw(first).dot != mg.draw(last).dot, "a stage is drawn as any graph"


def test_plain_powers_are_squares():
    w = mg.tensor([2.0, -3.0], requires_grad=True)

    def step(x):
        loss = ((w - x) ** 2).sum() + (w[:1] ** 1).sum() + (w**3.0).sum()
        return loss, mg.grad(loss, w)

    for dtype in ("float32", "float64"):
        x = np.array([0.1, 0.7], dtype)
        replayed, found = recorded(step, x)
        for ours, eager in zip(found, step(mg.tensor(x)), strict=True):
            assert ours.data.tobytes() == eager.data.tobytes()
        before, after = (replayed.stages[name].instructions for name in ("recorded", "powers"))
        powers = [[i.inputs[1] for i in steps if i.name == "pow"] for steps in (before, after)]
        assert powers[0].count(2) > powers[1].count(2) == 0
        assert 1 in powers[1], "of a view of w"
        assert len(after) < len(before), "the slope of x**2 has x**1"


def test_a_write_in_between_makes_another_value():
    w = mg.tensor(2.0, requires_grad=True)

    def step(x):
        before = w * x
        w.data = (w * x).detach()
        return before, w * x

    eager = mg.tensor(2.0)
    replayed = mg.replay(step)
    for k in range(4):
        x = np.array(1.0 + k)
        a, b = replayed(x)
        assert a.item() == eager.item() * x
        eager = mg.tensor(eager.item() * x)
        assert b.item() == eager.item() * x


def test_constants_of_other_signs_and_kinds_are_not_the_same():
    _, (a, b, c) = recorded(lambda x: (x * 0.0, x * -0.0, mg.sum(x, axis=0)), np.ones(2))
    assert not np.signbit(a.data).any()
    assert np.signbit(b.data).all()
    assert c.item() == 2.0


def test_passes_are_plain_functions():
    _, _, step = training((6, 8, 5, 3), norm="batch")
    replayed = mg.replay(step)
    for k in range(3):
        replayed(*batch((6, 3), 9, k))
    program = replayed.stages["recorded"]
    smaller = without_repeats(without_dead_code(program))
    assert len(without_repeats(without_dead_code(smaller))) == len(smaller), "nothing is left to do"
    assert len(program) == len(replayed.stages["recorded"]), "a pass makes a new program"
