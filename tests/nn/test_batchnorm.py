"""BatchNorm1d: the four conventions step by step, statistics that change whole or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

from .batches import BATCHES, RNG


def by_hand(convention: str, batches: list[Any], momentum: float | None = None) -> tuple[Any, Any]:
    """Running statistics after the table of conventions, written out."""
    given = {"torch": 0.1, "keras": 0.99, "cs231n": 0.9, "paper": 0.0}[convention] if momentum is None else momentum
    mean, var = np.zeros(4), np.zeros(4) if convention == "cs231n" else np.ones(4)
    for t, x in enumerate(batches, 1):
        axes = (0,) if x.ndim == 2 else (0, 2)
        m, biased, n = x.mean(axes), x.var(axes), x.size // 4
        unbiased = biased * n / (n - 1)
        if convention == "torch":
            mean, var = (1 - given) * mean + given * m, (1 - given) * var + given * unbiased
        elif convention in ("keras", "cs231n"):
            mean, var = given * mean + (1 - given) * m, given * var + (1 - given) * biased
        else:
            mean, var = ((t - 1) * mean + m) / t, ((t - 1) * var + unbiased) / t
    return mean, var


@pytest.mark.parametrize("implementation", ["fused", "composed"])
@pytest.mark.parametrize("convention", ["torch", "keras", "cs231n", "paper"])
def test_running_statistics_follow_each_convention(convention: str, implementation: str):
    for batches in (BATCHES, [RNG.normal(1.0, 2.0, (3, 4, 5)) for _ in range(4)]):
        bn = nn.BatchNorm1d(4, convention=convention, implementation=implementation)
        eps = 1e-3 if convention == "keras" else 1e-5
        for k, x in enumerate(batches):
            axes = (0,) if x.ndim == 2 else (0, 2)
            expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
            np.testing.assert_allclose(bn(x).data, expected, rtol=1e-10, atol=1e-12)
            mean, var = by_hand(convention, batches[: k + 1])
            np.testing.assert_allclose(bn.running_mean.data, mean, rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(bn.running_var.data, var, rtol=1e-13)
        bn.eval()
        kept = bn.running_mean.data.copy()
        x = batches[0]
        wide = (1, 4) if x.ndim == 2 else (1, 4, 1)
        expected = (x - mean.reshape(wide)) / np.sqrt(var.reshape(wide) + eps)
        np.testing.assert_allclose(bn(x).data, expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(bn.running_mean.data, kept)


@pytest.mark.parametrize("implementation", ["fused", "composed"])
@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.37, 0.9, 1.0])
@pytest.mark.parametrize("convention", ["torch", "keras", "cs231n"])
def test_momentum_is_the_share_that_its_convention_says(convention: str, momentum: float, implementation: str):
    bn = nn.BatchNorm1d(4, convention=convention, momentum=momentum, implementation=implementation)
    corrected = nn.BatchNorm1d(4, convention=convention, momentum=momentum, bias_correction=True)
    for k, x in enumerate(BATCHES):  # all of one shape
        bn(x)
        corrected(x)
        mean, var = by_hand(convention, BATCHES[: k + 1], momentum)
        np.testing.assert_allclose(bn.running_mean.data, mean, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(bn.running_var.data, var, rtol=1e-13)
    keep = 1 - momentum if convention == "torch" else momentum
    if 0 < keep < 1:  # what is left of the start is taken out: a weighted mean of the batches' statistics
        shares = np.array([keep ** (len(BATCHES) - 1 - k) for k in range(len(BATCHES))])
        mean = shares @ np.array([x.mean(0) for x in BATCHES]) / shares.sum()
        var = shares @ np.array([x.var(0, ddof=convention == "torch") for x in BATCHES]) / shares.sum()
        x, eps = BATCHES[0], 1e-3 if convention == "keras" else 1e-5
        np.testing.assert_allclose(corrected.eval()(x).data, (x - mean) / np.sqrt(var + eps), rtol=1e-11, atol=1e-12)


def test_batch_norm_trains_as_pytorchs_step_by_step():
    torch = pytest.importorskip("torch")
    ours: Any = nn.BatchNorm1d(4)
    theirs = torch.nn.BatchNorm1d(4, dtype=torch.float64)
    g = RNG.normal(size=(8, 4))
    optimizer = mg.optim.SGD(ours.parameters(), lr=0.1)
    for x in BATCHES:
        leaf, other = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(leaf), theirs(other)
        np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-13)
        optimizer.zero_grad()
        y.backward(g)
        theirs.zero_grad()
        z.backward(torch.tensor(g))
        np.testing.assert_allclose(mg.grad(y, leaf, gradient=g).data, other.grad.numpy(), rtol=1e-11, atol=1e-13)
        optimizer.step()
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter -= 0.1 * parameter.grad
        np.testing.assert_allclose(ours.gamma.data, theirs.weight.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(ours.running_mean.data, theirs.running_mean.numpy(), rtol=1e-13)
        np.testing.assert_allclose(ours.running_var.data, theirs.running_var.numpy(), rtol=1e-13)
    np.testing.assert_allclose(
        ours.eval()(BATCHES[0]).data, theirs.eval()(torch.tensor(BATCHES[0])).detach().numpy(), rtol=1e-12, atol=1e-13
    )


def test_bias_correction_removes_the_start_value():
    bn = nn.BatchNorm1d(4, convention="keras", bias_correction=True)
    x = BATCHES[0]
    for _ in range(3):
        bn(x)
    y = bn.eval()(x)
    np.testing.assert_allclose(y.data, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3), rtol=1e-12, atol=1e-13)
    stale = nn.BatchNorm1d(4, convention="keras")
    for _ in range(3):
        stale(x)
    np.testing.assert_allclose(stale.running_var.data, 0.99**3 + (1 - 0.99**3) * x.var(0), rtol=1e-13)
    fresh = nn.BatchNorm1d(4, bias_correction=True).eval()  # before any update: the start values
    np.testing.assert_allclose(fresh(x).data, x / np.sqrt(1 + 1e-5))


def test_average_statistics_is_the_papers_second_pass():
    net = nn.Sequential(nn.Linear(4, 4, bias=False, rng=0), nn.BatchNorm1d(4, convention="cs231n"))
    net.eval()
    nn.average_statistics(net, BATCHES)
    hidden = [x @ net[0].weight.data for x in BATCHES]
    np.testing.assert_allclose(net[1].running_mean.data, np.mean([h.mean(0) for h in hidden], 0), rtol=1e-12)
    np.testing.assert_allclose(net[1].running_var.data, np.mean([h.var(0) for h in hidden], 0), rtol=1e-12)
    assert not net.training
    assert net[1].momentum == 0.9
    before = net.state_dict()
    with pytest.raises(ValueError, match="at least two values"):
        nn.average_statistics(net, [BATCHES[0], np.ones((1, 4))])
    with pytest.raises(ValueError, match="no batches"):
        nn.average_statistics(net, [])
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.ones((1, 4)), "at least two values a channel"),
        (np.ones((0, 4)), "at least two values a channel"),
        (np.ones((8, 3)), r"must be \(N, 4\)"),
        (np.ones((4,)), r"must be \(N, 4\)"),
        (np.full((3, 4), np.nan), "NaN or infinite values in 4 channel"),
        (np.array([[0, 1, 2, 3], [0, 1, np.inf, 3.0]]), "first in channel 2"),
        (np.array([[0, 0, 0, 1e200], [0, 0, 0, -1e200]]), "square overflows"),
    ],
)
@pytest.mark.parametrize("convention", ["torch", "paper"])
def test_a_bad_batch_changes_nothing(x: Any, text: str, convention: str):
    bn = nn.BatchNorm1d(4, convention=convention)
    bn(BATCHES[0])
    before = {name: array.tobytes() for name, array in bn.state_dict().items()}
    with pytest.raises(ValueError, match=text):
        bn(x)
    assert {name: array.tobytes() for name, array in bn.state_dict().items()} == before


def test_one_sample_is_enough_in_eval_and_statistics_stay():
    bn = nn.BatchNorm1d(4)
    bn(BATCHES[0])
    bn.eval()
    before = bn.running_mean.data.copy()
    assert bn(np.ones((1, 4))).shape == (1, 4)
    np.testing.assert_array_equal(bn.running_mean.data, before)
    bn.train()
    with nn.frozen_statistics():
        bn(BATCHES[1])
    np.testing.assert_array_equal(bn.running_mean.data, before)
    with mg.no_grad():  # as in PyTorch: recording is off, training is not
        bn(BATCHES[1])
    assert (bn.running_mean.data != before).all()


def test_a_check_leaves_running_statistics_alone():
    """It calls the layer hundreds of times; none of them counts."""
    bn = nn.BatchNorm1d(3)
    x = RNG.normal(size=(5, 3))
    before = bn.state_dict()
    assert mg.check.gradcheck(bn, [mg.tensor(x, requires_grad=True)])
    fused, composed = bn, nn.BatchNorm1d(3, implementation="composed")
    assert mg.check.compare(fused, composed, [x])
    mg.check.numerical_grad(lambda a: bn(a).numpy(), x, gradient=np.ones((5, 3)))
    for name, array in bn.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_eval_backward_is_not_the_training_formula():
    bn: Any = nn.BatchNorm1d(4)
    bn(BATCHES[0])
    x = mg.tensor(BATCHES[1], requires_grad=True)
    g = RNG.normal(size=(8, 4))
    expected = g * (bn.gamma.data / np.sqrt(bn.running_var.data + 1e-5))
    np.testing.assert_allclose(mg.grad(bn.eval()(x), x, gradient=g).data, expected, rtol=1e-13)


def test_statistics_do_not_alias_the_batch_and_keep_float32():
    x = BATCHES[0].astype(np.float32)
    bn = nn.BatchNorm1d(4, dtype=np.float32, convention="paper")
    assert bn(mg.tensor(x)).dtype == np.float32
    kept = bn.running_mean.data.copy()
    x[:] = 0
    np.testing.assert_array_equal(bn.running_mean.data, kept)
    assert bn.running_mean.dtype == bn.running_var.dtype == np.float32
    assert bn.running_mean.op is None


def test_float32_statistics_keep_their_digits_over_a_million_rows():
    x = np.random.default_rng(6).normal(100.0, 1.0, (1_000_000, 2)).astype(np.float32)
    bn = nn.BatchNorm1d(2, dtype=np.float32, convention="paper")
    bn(x)
    wide = x.astype(float)
    np.testing.assert_allclose(bn.running_mean.data, wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(bn.running_var.data, wide.var(0, ddof=1), rtol=1e-5)


def test_get_weights_has_keras_order_and_set_weights_is_all_or_nothing():
    bn: Any = nn.BatchNorm1d(4, convention="keras")
    gamma, beta, mean, var = bn.get_weights()
    for array, value in ((gamma, 1), (beta, 0), (mean, 0), (var, 1)):
        np.testing.assert_array_equal(array, np.full(4, value))
    bn.set_weights([np.arange(4.0), np.ones(4), np.zeros(4), np.full(4, 2.0)])
    np.testing.assert_array_equal(bn.gamma.data, np.arange(4.0))
    with pytest.raises(ValueError, match="expected gamma, beta, running_mean, running_var"):
        bn.set_weights([np.zeros(4), np.zeros(4), np.zeros(4)])
    with pytest.raises(ValueError, match="got shapes"):
        bn.set_weights([np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(3)])
    with pytest.raises(ValueError, match="no variance negative"):
        bn.set_weights([np.zeros(4), np.zeros(4), np.zeros(4), np.full(4, -1.0)])
    np.testing.assert_array_equal(bn.gamma.data, np.arange(4.0))
    assert len(nn.BatchNorm1d(4, affine=False).get_weights()) == 2


@pytest.mark.parametrize("convention", ["torch", "keras", "cs231n"])
def test_statistics_that_were_set_hold_nothing_of_a_start_value(convention: str):
    bn: Any = nn.BatchNorm1d(4, convention=convention, bias_correction=True)
    bn(BATCHES[0])
    mean, var = np.arange(4.0), np.full(4, 2.0)
    bn.set_weights([np.ones(4), np.zeros(4), mean, var])
    expected = (BATCHES[1] - mean) / np.sqrt(var + bn.eps)
    np.testing.assert_allclose(bn.eval()(BATCHES[1]).data, expected, rtol=1e-12, atol=1e-13)
    bn.reset_statistics()
    assert bn.start_share.item() == 1.0


def test_a_bias_before_batch_norm_is_warned_about_and_has_no_gradient():
    net = nn.Sequential(nn.Linear(4, 3, rng=0), nn.BatchNorm1d(3))
    with pytest.warns(UserWarning, match="gradient is exactly zero"):
        y = net(mg.tensor(BATCHES[0]))
    bias = net[0].bias
    np.testing.assert_allclose(mg.grad(y, bias, gradient=RNG.normal(size=y.shape)).data, 0, atol=1e-13)
    net(mg.tensor(BATCHES[0]))  # once is enough
    quiet = nn.Sequential(nn.Linear(4, 3, rng=0), nn.BatchNorm1d(3, allow_bias=True))
    quiet(mg.tensor(BATCHES[0]))
    nn.MLP((4, 3, 3, 1), norm="batch", rng=0)(mg.tensor(BATCHES[0]))
    nn.MLP((4, 3, 3, 1), norm="batch", bias=True, rng=0)(mg.tensor(BATCHES[0]))
