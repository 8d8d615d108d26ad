"""Compiled steps where NumPy has rules of its own: kinds of numbers, indices, limits; and programs of odd shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("llvmlite", reason="compiled steps need llvmlite, which numba brings")


def follows(step: Callable[..., Any], *batches: Any) -> Any:
    """The replayed step, which said what the step says of every batch: the same numbers, or the same error."""
    replayed = mg.replay(step, compile=True)
    for batch in [batches[0], *batches, batches[-1]]:
        try:
            expected: Any = step(*map(mg.tensor, batch)).data
        except IndexError:
            with pytest.raises(IndexError, match="out of bounds"):
                replayed(*batch)
            continue
        found = replayed(*batch).data
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=1e-6)
    assert replayed.replays
    return replayed


def whole(dtype: str) -> list[tuple[Any]]:
    return [(np.random.default_rng(k).integers(0, 256, 40).astype(dtype),) for k in range(2)]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "bool"])
@pytest.mark.parametrize("number", [-1, 2, 300, 1 << 40, 1e-05, 1e20, 0.5, float("inf")])
def test_whole_numbers_beside_a_number_that_their_dtype_cannot_hold(dtype: str, number: float) -> None:
    follows(lambda x: mg.where(x >= number, x * 1.0, 5.0) + mg.where(mg.equal(x, number), 9.0, 0.0), *whole(dtype))


def test_what_has_no_sign_is_its_absolute_value() -> None:
    follows(mg.abs, *whole("uint8"))


@pytest.mark.parametrize("limits", [(1, -1), (-1, float("nan")), (float("nan"), 0.5), (-1, float("inf")), (None, 0.3)])
def test_limits_that_cross_or_are_no_numbers(limits: Any) -> None:
    batches = [(np.linspace(-2, 2, 20, dtype=dtype),) for dtype in ("float32", "float32")]
    batches[1][0][3] = np.nan
    follows(lambda x: mg.clip(x, *limits), *batches)


@pytest.mark.parametrize("slope", [float("nan"), float("inf"), 0.1])
def test_slopes_that_are_no_numbers(slope: float) -> None:
    follows(lambda x: mg.leaky_relu(x, slope), (np.array([-1.0, 2.0, np.nan]),))


def test_indices_from_the_end_and_beyond_it() -> None:
    """Those of a loss were looked at before; others count from the end, or raise, and read no other memory."""
    rows, rng = np.arange(6), np.random.default_rng(0)
    x = rng.normal(size=(6, 5))
    wrong = [(x, np.full(6, k)) for k in (5, -6, 1 << 40)]
    right = [(x, rng.integers(-5, 5, 6)) for _ in range(3)]
    follows(lambda x, columns: mg.getitem(x, (rows, columns)).sum(), *right, *wrong, *right)
    follows(lambda x, columns: (x[rows[::-1], columns] * x[columns, columns]).sum(), *right, *wrong, *right)


def test_an_index_that_fails_leaves_parameters_as_they_were() -> None:
    w, rows = mg.tensor(np.ones((4, 3)), requires_grad=True), np.arange(4)
    sgd = mg.optim.SGD([w], lr=0.1)

    def step(columns: Any) -> Any:
        loss = mg.square(w).sum()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return mg.getitem(w, (rows, columns)).sum()  # after the update

    replayed = mg.replay(step, compile=True)
    for _ in range(3):
        replayed(np.array([0, 1, 2, -1]))
    before = w.data.copy()
    with pytest.raises(IndexError):
        replayed(np.array([0, 1, 2, 3]))
    np.testing.assert_allclose(w.data, before * 0.8)  # once, and not twice: as the step, which updates first


@pytest.mark.parametrize("kind", [mg.optim.Adam, mg.optim.SGD])
def test_as_many_groups_of_parameters_as_there_are_layers(kind: Any) -> None:
    def made() -> tuple[list[Any], Callable[..., Any]]:
        weights = [mg.tensor(np.full(3, float(k)), requires_grad=True) for k in range(100)]
        optimizer = kind([{"params": [w], "lr": 0.01 * (k + 1)} for k, w in enumerate(weights)], lr=0.1)

        def step(x: Any) -> Any:
            loss = mg.stack([mg.square(w - x) for w in weights]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return weights, step

    (weights, step), (others, eager) = made(), made()
    replayed = mg.replay(step, compile=True)
    for k in range(4):
        x = np.random.default_rng(k).normal(size=3)
        np.testing.assert_allclose(replayed(x).data, eager(mg.tensor(x)).data, rtol=1e-9)
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-9, atol=1e-9)


def test_a_chain_that_reads_its_last_two_results_is_compiled_at_once() -> None:
    """There are Fibonacci's number of ways through it: whoever walked them all would not come back."""

    def step(x: Any) -> Any:
        a, b = x, x * 0.5
        for _ in range(80):
            a, b = b, a * 0.3 + b * 0.4
        return mg.square(b - b.mean(axis=0)).sum()

    follows(step, *[(np.random.default_rng(k).normal(size=(6, 5)),) for k in range(2)])


@pytest.mark.parametrize("where", ["in the batch", "in what is made"])
def test_a_step_that_overflows_passes_its_proof(where: str) -> None:
    """Four calls: the last takes the step itself, and what is not finite is so in both."""
    x = np.random.default_rng(0).normal(size=(90, 700))
    x[3, 5:8] = [np.nan, np.inf, -np.inf] if where == "in the batch" else 1e300
    replayed = mg.replay(lambda x: mg.square(mg.tanh(x) + mg.square(x)).sum(axis=1), compile=True)
    with np.errstate(all="ignore"):
        for _ in range(5):
            loss = replayed(x)
    assert np.isfinite(loss.data).sum() == 89
    assert replayed.replays == 3


def test_a_sum_of_the_batch_that_is_nearly_nothing_passes_its_proof() -> None:
    """Its rounding is that of the terms, which are given and not made."""
    x = np.random.default_rng(0).normal(size=(300, 1000)).astype("float32")
    x -= x.mean(dtype=float)
    replayed = mg.replay(lambda x: (x.mean(), (x * 2.0).sum(axis=1)), compile=True)
    for k in range(20):
        replayed(np.roll(x, k))
    assert replayed.replays == 18


def test_a_long_sum_in_float64_passes_its_proof() -> None:
    """It is added up one by one, and NumPy's pairwise: hundreds of eps apart."""
    w = mg.tensor(np.array(0.3), requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        loss = mg.tanh(mg.where(x > w, x, w * 0.5) * 0.1).mean()
        loss.backward()
        return loss

    replayed = mg.replay(step, compile=True)
    for k in range(4):
        replayed(np.random.default_rng(k).normal(size=(2000, 300)))
    assert replayed.replays == 2
