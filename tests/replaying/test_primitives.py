"""Every primitive, random graphs, layouts and sums: a replay on new data gives the bits of the step itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core.nodes import raw
from minigrad.fast import into

from ..core.test_random_graphs import KINKED, SMOOTH, expressions
from ..helpers import leaves, registry
from ..table import ROWS
from .steps import same

SLOPED = [row for row in ROWS if not row.flat]


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


@pytest.mark.parametrize("name", into.UFUNCS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_elementwise_functions_are_numpys_at_ties_and_at_what_is_not_finite_and_are_replayed_so(name, dtype):
    special = np.array([-np.inf, -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan], dtype)
    pairs = [np.ascontiguousarray(x) for x in np.meshgrid(special, special)]
    given = pairs[: into.UFUNCS[name].nin]
    op, ufunc = (
        registry[name],
        getattr(np, {"div": "divide", "mul": "multiply", "neg": "negative", "sub": "subtract"}.get(name, name)),
    )
    again = mg.replay(lambda *xs: op(*xs))
    with np.errstate(all="ignore"):
        again(*(np.ones_like(x) for x in given))
        for _ in range(3):
            same(again(*given).data, ufunc(*given))
            same(raw(op(*given)), ufunc(*given))
            same(raw(op(*map(mg.tensor, given))), ufunc(*given))
    assert again.replays == 2


@pytest.mark.parametrize("axis", [None, 0], ids=str)
def test_one_number_seen_many_times_stays_one_and_is_summed_as_such(axis):
    @mg.primitive
    def spread(x):
        return np.broadcast_to(np.mean(x, axis=axis, keepdims=True), x.shape)

    spread.defvjp(lambda g, out, x: mg.broadcast_to(mg.mean(g, axis=axis, keepdims=True), x.shape))
    again = mg.replay(lambda x: (mg.sum(spread(x), axis=0), mg.sum(spread(x), axis=1), mg.mean(spread(x) * x)))
    for k in range(5):
        x = np.random.default_rng(k).normal(size=(300, 700))
        wide = np.broadcast_to(x.mean(axis=axis, keepdims=True), x.shape)
        for found, expected in zip(again(x), (wide.sum(axis=0), wide.sum(axis=1), (wide * x).mean()), strict=True):
            same(found.data, expected)
    assert again.replays == 3


def test_a_replayed_backward_is_as_quiet_as_a_walk():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    again = mg.replay(lambda x: mg.grad(mg.sum(mg.sqrt(w * x)), w))
    for x in ([1.0, 4.0], [4.0, 9.0], [0.0, 1.0], [0.0, 4.0]):  # the slope of sqrt at 0 is infinite, and no warning
        same(again(np.array(x)).data, mg.grad(mg.sum(mg.sqrt(w * np.array(x))), w).data)
    assert again.replays == 2


def test_a_rule_that_was_exchanged_is_replayed_and_no_kernel_of_the_old_one(monkeypatch):
    op = registry["batch_norm"].op
    right = op.joint
    monkeypatch.setattr(op, "joint", lambda *args, **params: tuple(3.0 * d for d in right(*args, **params)))
    gamma, beta = (mg.tensor(np.ones(4), requires_grad=True) for _ in range(2))

    def step(x, g):
        return mg.grad(mg.batch_norm(x * gamma, gamma, beta), [gamma, beta], gradient=g)

    again = mg.replay(step)
    for k in range(5):
        x, g = (np.random.default_rng(2 * k + j).normal(size=(60, 4)) for j in range(2))
        found, expected = again(x, g), step(mg.tensor(x), mg.tensor(g))
        for one, other in zip(found, expected, strict=True):
            same(one.data, other.data)
        np.testing.assert_allclose(found[1].data, 3.0 * g.sum(axis=0), rtol=1e-12)
    assert again.replays == 3
