"""Programs in the integers modulo 2**31 - 1: what is the same formula is found equal, what is not is found out."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.program.modular import Field, P, evaluate, power, product, residue, unequal

X = np.random.default_rng(0).normal(size=(7, 4))
ONES, LABELS = np.ones(4), np.arange(7) % 4


def staged(x, gamma, beta):
    return mg.batch_norm_composed(x, gamma, beta, variance="staged")


def differs(f, g, *args):
    return unequal(mg.record(f, *args), mg.record(g, *args))


@pytest.mark.parametrize(
    ("f", "g", "args"),
    [
        (mg.batch_norm, mg.batch_norm_composed, (X, ONES, ONES)),
        (mg.batch_norm, staged, (X, ONES, ONES)),
        (mg.layer_norm, mg.layer_norm_composed, (X, ONES, ONES)),
        (lambda x, y: (x + y) * (x - y), lambda x, y: x * x - mg.square(y), (X, X)),
        (lambda x: mg.var(x, axis=0, ddof=1), lambda x: mg.square(x - mg.mean(x, axis=0)).sum(axis=0) / 6.0, (X,)),
        (lambda x, w: x @ w, lambda x, w: mg.sum(x.reshape((7, 4, 1)) * w, axis=1), (X, X.T @ X)),
        (lambda x: mg.where(x > 0, x * 2.0, 0.0), lambda x: mg.where(x > 0, x, 0.0) * 2.0, (X,)),
        (lambda x: mg.sum(x[1:]), lambda x: mg.sum(x) - mg.sum(x[0]), (X,)),
        (lambda x: mg.cumsum(x, axis=0)[-1], lambda x: mg.sum(x, axis=0), (X,)),
        (lambda x: mg.max(x, axis=1), lambda x: mg.max(mg.flip(x, axis=1), axis=1), (X,)),
        (lambda x: x**3, lambda x: x * x * x, (X,)),
        (lambda x: 0.3 * x, lambda x: x * 3.0 / 10.0, (X,)),
    ],
)  # fmt: skip
def test_two_ways_to_write_one_formula_are_equal(f, g, args):
    assert differs(f, g, *args) == []


@pytest.mark.parametrize(
    ("f", "wrong", "where"),
    [
        (lambda x: x * 1.0, lambda x: x * (1 + 1e-14), ["y", "gradient of x"]),
        (lambda x: mg.square(x), lambda x: mg.square(x) + 1e-30, ["y"]),
        (lambda x: mg.var(x, axis=0), lambda x: mg.var(x, axis=0, ddof=1), ["y", "gradient of x"]),
        (lambda x: mg.exp(x), lambda x: mg.expm1(x), ["y", "gradient of x"]),
        (lambda x: mg.max(x, axis=1), lambda x: mg.min(x, axis=1), ["y", "gradient of x"]),
        (lambda x: mg.leaky_relu(x, slope=0.1), lambda x: mg.leaky_relu(x, slope=0.2), ["y", "gradient of x"]),
        (lambda x: mg.sum(x, axis=0), lambda x: mg.sum(x, axis=0) * 0.0 + 1.0, ["y", "gradient of x"]),
    ],
)
def test_what_differs_is_named(f, wrong, where):
    assert differs(f, wrong, X) == where


def test_a_gradient_that_is_wrong_by_a_factor_of_1e_14_is_found():
    @mg.primitive
    def twice(x):
        return x + x

    twice.defvjp(lambda g, out, x: g * 2.0)
    program, other = mg.record(lambda x: x + x, X), mg.record(lambda x: x + x, X)
    wrong = next(i for i in other.instructions if i.backward)
    wrong.name, wrong.op, wrong.inputs = "mul", mg.mul.op, (wrong.inputs[0], 2 + 1e-14)
    assert unequal(program, other) == ["gradient of x"]
    with pytest.raises(TypeError, match="twice is Python that nobody can look into"):
        evaluate(mg.record(twice, X), Field())


def test_labels_and_masks_and_tensors_from_outside():
    weight = mg.tensor(np.ones((4, 3)), requires_grad=True, name="weight")
    f = lambda x, t: mg.cross_entropy_composed(x @ weight, t)  # noqa: E731
    assert differs(f, lambda x, t: mg.nll_loss(mg.log_softmax(x @ weight), t), X, LABELS % 3) == []
    assert differs(f, lambda x, t: f(x, t) * 2.0, X, LABELS % 3) == ["y", "gradient of x", "gradient of weight"]


def test_other_inputs_are_refused():
    with pytest.raises(ValueError, match="take different inputs"):
        unequal(mg.record(mg.exp, X), mg.record(mg.exp, X.T))


def test_arithmetic_is_that_of_whole_numbers():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, P, (3, 50)), rng.integers(0, P, (50, 2))
    exact = np.array([[sum(int(x) * int(y) for x, y in zip(r, c, strict=True)) % P for c in b.T] for r in a])
    assert (product(a, b) == exact).all()
    assert (a * power(a, -1) % P == 1).all()
    assert int(power(a, 5)[0, 0]) == pow(int(a[0, 0]), 5, P)
    assert residue(0.5) * 2 % P == 1
    assert residue(2 / 7) * 7 % P == 2
    assert residue(1 + 1e-14) != 1
    assert residue(float("inf")) not in (0, 1)
