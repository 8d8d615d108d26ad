"""No right rule is accused: every primitive of the package, and rules where differences have a hard time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.check import gradcheck

from ..helpers import registry
from ..mutation import SLOPED

ROWS = {row.op: row for row in reversed(SLOPED)}
RNG = np.random.default_rng(16)
X = RNG.normal(size=(5, 3))
G, B = RNG.normal(size=3), RNG.normal(size=3)
FAR = 1e6 + 1e-2 * RNG.normal(size=(6, 2))
CONSTANT_COLUMN = X * [1, 0, 1] + [0, 3, 0]
TIES = np.array([[1.0, 2, 2], [1, 0, 2], [0, 2, 2]])
TARGET = np.full((5, 3), 1 / 3)

# (function, inputs): each is right. "not judged" is allowed where the words say so.
RIGHT: list[tuple[Any, list[Any]]] = [
    # with zeros and at special values
    (lambda x, g, b: mg.batch_norm(x, g, b), [X, np.zeros(3), np.zeros(3)]),
    (lambda x, g, b: mg.batch_norm(x, g, b), [X, np.ones(3), B]),
    (lambda x: mg.batch_norm(x).sum(), [X]),
    (lambda x: mg.square(mg.batch_norm(x)).sum(), [X]),
    (lambda x: mg.layer_norm(x).sum(), [X]),
    (lambda x, b: mg.batch_norm(x + b), [X, B]),
    (lambda x, w: x @ w, [X, np.eye(3)]),
    (lambda x, w: x @ w, [X, np.zeros((3, 2))]),
    (lambda x, y: x * y, [np.zeros(4), np.zeros(4)]),
    (lambda x: x**2.0, [np.array([0.0, -1.0, 2.0])]),
    (lambda x: x**3, [np.array([0.0, -1.0, 2.0])]),
    (lambda x, t: mg.softmax(x / t), [X, np.array(1.0)]),
    (lambda x: mg.exp(x) * 0.0, [X]),
    (lambda x: x * 1.0, [X]),
    (lambda x: mg.sin(x) ** 2 + mg.cos(x) ** 2, [X]),
    (lambda x: mg.sum(x - mg.mean(x)), [X]),
    # at kinks, and beside them
    (mg.relu, [np.array([0.0, 1.0, -1.0])]),
    (mg.abs, [np.array([0.0, 1.0, -1.0])]),
    (mg.leaky_relu, [np.array([0.0, 1e-9, -1.0])]),
    (lambda x: mg.max(x, axis=0), [TIES]),
    (lambda x: mg.min(x, axis=1), [TIES]),
    (lambda x: mg.maximum(x, 0.5), [np.array([0.5, 0.2, 3.0])]),
    (lambda x, y: mg.maximum(x, y), [TIES, TIES.copy()]),
    (lambda x: mg.clip(x, 0.0, 1.0), [np.array([0.0, 0.5, 1.0, 2.0])]),
    (lambda x: mg.std(x, axis=0), [CONSTANT_COLUMN]),
    (lambda x: mg.prod(x), [np.array([0.0, 2.0, 3.0])]),
    (lambda x: mg.huber_loss(x, np.zeros(3)), [np.array([1.0, 0.5, -2.0])]),
    (lambda x: mg.l1_loss(x, np.zeros(3)), [np.array([0.0, 0.5, -2.0])]),
    # ill-conditioned
    (mg.batch_norm, [FAR]),
    (mg.batch_norm_composed, [FAR]),
    (mg.layer_norm, [FAR.T.copy()]),
    (mg.batch_norm, [CONSTANT_COLUMN]),
    (lambda x: mg.batch_norm(x, eps=1e-8), [X * 1e-6]),
    (lambda x: mg.batch_norm(x), [X[:2]]),
    (lambda x: mg.var(x, axis=0), [FAR]),
    (mg.logsumexp, [np.array([700.0, 710.0, -700.0])]),
    (mg.softmax, [np.array([[100.0, -100.0, 0.0]])]),
    (mg.log, [np.array([1e-6, 1.0, 1e6])]),
    (mg.sqrt, [np.array([1e-8, 1.0, 1e8])]),
    (lambda x: 1.0 / x, [np.array([1e-5, 1.0, -1e5])]),
    (mg.exp, [np.array([300.0, -300.0, 0.0])]),
    (mg.tanh, [np.array([20.0, -20.0, 0.1])]),
    (mg.sigmoid, [np.array([40.0, -40.0, 0.0])]),
    (mg.log1p, [np.array([1e-12, -0.999, 5.0])]),
    (mg.expm1, [np.array([1e-12, 10.0])]),
    (lambda x: x @ x.T, [np.array([[1e5, 1e-5], [1.0, 2.0]])]),
    # losses, whose domain ends near by
    (lambda p: mg.binary_cross_entropy(p, np.array([0.0, 1.0, 1.0])), [np.array([0.01, 0.99, 0.5])]),
    (lambda z: mg.cross_entropy(z, np.array([0, 2, 1, 1, 0])), [X]),
    (lambda z: mg.mse_loss(z, TARGET), [X]),
    (lambda z: mg.binary_cross_entropy_with_logits(z, np.ones((5, 3))), [X]),
    (lambda z: -mg.sum(mg.log_softmax(z) * TARGET), [X]),
    (lambda x: mg.pow(x, 0.5), [np.array([0.5, 2.0])]),
    (lambda x: mg.log(1.0 - x * x), [np.array([0.999, -0.5])]),
    # shapes
    (mg.tanh, [np.array(0.3)]),
    (lambda x, y: x * y, [X, B[:1]]),
    (lambda x: x[:, 1:] * x[:, :1], [X]),
    (lambda x, y: mg.concatenate([x, y]), [B, G]),
    (lambda x: mg.einsum("ij,kj->ik", x, x), [X]),
    (lambda x: mg.batch_norm(x, axis=(0, 2)), [RNG.normal(size=(2, 3, 2))]),
    (lambda x: mg.cumsum(x, axis=0), [X]),
]


def wrong_in(report):
    return [*report.reasons, *report.beside, *(p for p in report.problems if "could be judged" not in p)]


def row_case(row):
    arrays = row.arrays(np.random.default_rng(1))
    wanted = [k for k, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]

    def f(*xs):
        given = dict(zip(wanted, xs, strict=True))
        return registry[row.op](*[given.get(k, a) for k, a in enumerate(arrays)], **row.params)

    return f, [arrays[k] for k in wanted]


@pytest.mark.parametrize("op", ROWS)
def test_no_primitive_of_the_package_is_accused(op):
    report = gradcheck(*row_case(ROWS[op]), order=2)
    assert report, report
    assert not wrong_in(report)


@pytest.mark.parametrize("k", range(len(RIGHT)))
@pytest.mark.parametrize("order", [1, 2])
def test_no_right_rule_is_accused(k, order):
    f, inputs = RIGHT[k]
    report = gradcheck(f, inputs, order=order)
    assert not wrong_in(report), report
    assert report or not any(e.wrong for e in report.worst), report


def test_there_are_many():
    assert len(ROWS) + len(RIGHT) >= 80
