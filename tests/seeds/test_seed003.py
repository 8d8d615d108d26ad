"""Seed 003, the course notes: the seven steps, the bias that beta absorbs, test time, and what the notes claim."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from examples import mini_batch_chain
from minigrad import nn


def test_epsilon_is_added_to_the_variance():
    """Row 003-1: the notes print sigma^2 - epsilon, which has no root where the variance is smaller."""
    z = np.array([[1.0], [1.0 + 1e-4]])
    eps = 1e-5
    assert z.var() < eps
    expected = (z - z.mean()) / np.sqrt(z.var() + eps)
    for f in (mg.batch_norm, mg.batch_norm_composed):
        np.testing.assert_allclose(f(z, eps=eps), expected, rtol=1e-9)


def test_the_mean_is_taken_per_feature_over_the_mini_batch():
    """Row 003-2: 'the mean of the vector z' reads like layer norm, but is over the m samples."""
    z = np.random.default_rng(0).normal(size=(8, 3)) * [1.0, 10.0, 100.0] + [0.0, 5.0, -3.0]
    np.testing.assert_allclose(mg.batch_norm(z).mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(mg.batch_norm(z, eps=0.0).std(axis=0), 1, rtol=1e-12)


@pytest.mark.parametrize("normalize", ["z", "a"])
def test_gamma_and_beta_are_parameters_and_no_bias_stands_before_them(normalize: str):
    """Rows 003-3 to 003-5, normalization before or after the activation."""
    net = mini_batch_chain.Chain(normalize)
    names = [name for name, _ in net.named_parameters()]
    assert names == ["first.weight", "norm.gamma", "norm.beta", "last.weight", "last.bias"]
    x, y = mini_batch_chain.samples(16, 0)
    J = mini_batch_chain.cost(net, x, y)
    assert all(np.abs(d.data).max() > 0 for d in mg.grad(J, net.parameters()))


def test_beta_absorbs_the_bias():
    """Row 003-5: the gradient of a bias before batch norm is zero, and its value changes nothing."""
    x, y = mini_batch_chain.samples(64, 1)
    slope, change = mini_batch_chain.bias_is_absorbed(x, y)
    np.testing.assert_allclose([slope, change], 0, atol=1e-13)


def test_two_mini_batches_meet_in_the_shared_parameters():
    """Row 003-6: the graph of two mini-batches holds every parameter once, with the sum of both gradients."""
    net = mini_batch_chain.Chain()
    x, y = mini_batch_chain.samples(8, 2)
    first, second = (mini_batch_chain.cost(net, x[part], y[part]) for part in (slice(0, 4), slice(4, 8)))
    leaves, stack, seen = set(), [first + second], set()
    while stack:
        node: Any = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op is None and node.requires_grad:
            leaves.add(node)
        stack += [x for x in node.inputs if isinstance(x, mg.Tensor)]
    assert leaves == set(net.parameters())
    both = mg.grad(first + second, net.parameters())
    for total, a, b in zip(both, mg.grad(first, net.parameters()), mg.grad(second, net.parameters()), strict=True):
        np.testing.assert_allclose(total.data, a.data + b.data, rtol=1e-12, atol=1e-15)


def test_the_seven_steps_are_gradient_descent():
    """Row 003-7: the loop written out moves w, beta and gamma as the optimizer does."""
    x, y = mini_batch_chain.samples(64, 3)
    by_hand, by_optimizer = mini_batch_chain.Chain(), mini_batch_chain.Chain()
    costs = mini_batch_chain.seven_steps(by_hand, x, y, 16, 2, np.random.default_rng(0), talk=False)
    sgd = mg.optim.SGD(by_optimizer.parameters(), lr=mini_batch_chain.ALPHA)
    rng, expected = np.random.default_rng(0), []
    for _ in range(2):
        for index in np.split(rng.permutation(64), 4):
            J = mini_batch_chain.cost(by_optimizer, x[index], y[index])
            sgd.zero_grad()
            J.backward()
            sgd.step()
            expected.append(J.item())
    np.testing.assert_allclose(costs, expected, rtol=1e-12)
    for name, array in by_optimizer.state_dict().items():
        np.testing.assert_allclose(by_hand.state_dict()[name], array, rtol=1e-11, atol=1e-14)


def test_batch_norm_makes_the_descent_from_the_start_smoother():
    """Row 003-8, the claim that can be tested: along the gradient the plain net's cost soon rises."""
    x, y = mini_batch_chain.samples(512, 1)
    rows = [[float(cell) for cell in row] for row in mini_batch_chain.landscape(x, y)]
    with_norm, without = np.array(rows)[:, 1], np.array(rows)[:, 2]
    assert with_norm[:6].tolist() == sorted(with_norm[:6], reverse=True)  # falls up to a step of 10
    assert without[-1] > 2 * without[0]
    assert without.argmin() < with_norm.argmin()


def test_one_sample_at_test_time_is_its_row_of_a_batch():
    """Row 003-9."""
    net = mini_batch_chain.Chain()
    x, y = mini_batch_chain.samples(64, 4)
    mini_batch_chain.seven_steps(net, x, y, 16, 1, np.random.default_rng(0), talk=False)
    net.eval()
    together = net(x).data
    for k in (0, 17, 63):
        np.testing.assert_allclose(net(x[k : k + 1]).data[0], together[k], rtol=1e-12)
    with pytest.raises(ValueError, match="at least two values"):
        net.train()(x[:1])


def test_gamma_and_beta_can_undo_the_normalization():
    """Row 003-10: gamma = sqrt(var + eps), beta = mean gives z back."""
    z = np.random.default_rng(5).normal(3.0, 2.0, (10, 4))
    bn = nn.BatchNorm1d(4)
    bn.set_weights([np.sqrt(z.var(0) + bn.eps), z.mean(0), np.zeros(4), np.ones(4)])
    np.testing.assert_allclose(bn(z).data, z, rtol=1e-12)


def test_the_example_runs(capsys: Any):
    assert mini_batch_chain.main(["--epochs", "2", "--landscape"]) == 0
    out = capsys.readouterr().out
    assert [line[:2] for line in out.splitlines()[:5]] == ["1.", "2.", "3.", "4.", "5."]
    assert mini_batch_chain.main(["--epochs", "1", "--normalize", "a"]) == 0
