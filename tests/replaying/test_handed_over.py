"""Large results of a replayed step: made in new memory, which is the caller's."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import fast

from .steps import same

needs_compiler = pytest.mark.skipif(find_spec("llvmlite") is None, reason="compiled steps need llvmlite")
both_ways = pytest.mark.parametrize(
    "compile", [False, pytest.param(True, marks=needs_compiler)], ids=["NumPy", "compiled"]
)


@both_ways
@pytest.mark.parametrize("copy", [True, False])
def test_large_results_are_made_where_the_caller_keeps_them(compile: bool, copy: bool) -> None:
    """Both a result that the step reads again, and a gradient; what was kept of one call is untouched by the next."""
    rng = np.random.default_rng(0)
    x, gamma, beta = (
        mg.tensor(a, requires_grad=True) for a in (rng.normal(size=(300, 200)), np.ones(200), np.ones(200))
    )
    scale = np.ones((300, 200))

    def step(scale: Any) -> Any:
        for leaf in (x, gamma, beta):
            leaf.grad = None
        y = mg.batch_norm(x * scale, gamma, beta)
        h = mg.tanh(y)
        loss = mg.square(h).mean()
        loss.backward()
        return loss, y, y.T, h

    replayed = mg.replay(step, compile=compile, copy=copy)
    kept: list[Any] = []
    for k in range(7):
        scale[...] = k + 1.0
        scale[:, 0] = 1.0 / (k + 1)
        loss, *large = replayed(scale)
        gradients = [leaf.grad for leaf in (x, gamma, beta)]
        found = [*(large if copy else large[-1:]), *gradients]
        kept.append((found, [a.numpy().copy() for a in found]))
        theirs, *expected = step(mg.tensor(scale))
        expected = [*(expected if copy else expected[-1:]), *[leaf.grad for leaf in (x, gamma, beta)]]
        for a, b in zip([loss, *found], [theirs, *expected], strict=True):
            if compile:
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-13 * np.abs(b.numpy()).max())
            else:
                same(a.numpy(), b.numpy())
    for found, before in kept:
        for a, b in zip(found, before, strict=True):
            same(a.numpy(), b)
    assert replayed.replays == 5
    assert "new" in str(replayed.program)


@both_ways
def test_one_operation_alone_takes_no_memory_of_its_own(compile: bool) -> None:
    """Its result and its gradient are the caller's; what nobody keeps is used again."""
    x = mg.tensor(np.random.default_rng(0).normal(size=(400, 300)), requires_grad=True)

    def step() -> Any:
        x.grad = None
        y = mg.batch_norm(x)
        y.backward(x)
        return y

    replayed = mg.replay(step, compile=compile)
    places: set[int] = set()
    for _ in range(12):
        y = replayed()
        assert x.grad is not None
        if replayed.replays > 2:
            places |= {a.numpy().__array_interface__["data"][0] for a in (y, x.grad)}
        del y
    assert len(places) == 2 or fast.chosen() == "reference"  # which keeps no memory


@both_ways
@pytest.mark.parametrize("given", ["the values of a parameter", "what the last call lent"])
def test_an_argument_in_memory_that_the_step_writes_to_is_as_it_was_when_it_was_given(
    compile: bool, given: str
) -> None:
    w = mg.tensor(np.random.default_rng(0).normal(size=(150, 100)), requires_grad=True)
    sgd = mg.optim.SGD([w], lr=5.0)

    def step(x: Any) -> Any:
        loss = (w * x).mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return loss, (x * 2.0).sum(), mg.tanh(x + w)

    replayed = mg.replay(step, compile=compile, copy=False)
    start, found = w.data.copy(), []
    for call in (replayed, lambda x: step(mg.tensor(x))):
        w.data = start
        x, said = w.data, []
        for _ in range(7):
            loss, total, h = call(x)
            said.append([loss.item(), total.item()])
            if given == "what the last call lent":
                x = h.numpy()
        found.append(said)
    np.testing.assert_allclose(found[0], found[1], rtol=0 if not compile else 1e-10)
    assert replayed.replays == 5


@both_ways
def test_a_part_of_a_large_argument_that_a_step_returns_is_of_this_call(compile: bool) -> None:
    """Such as x.T, which is a view: the program has it where it keeps arguments."""

    def step(x: Any) -> Any:
        return (x * 2.0).sum(), x.T, x[1:], mg.expand_dims(x, axis=0)[0]

    replayed = mg.replay(step, compile=compile)
    for k in range(6):
        x = np.random.default_rng(k).normal(size=(100, 150))
        for a, b in zip(replayed(x)[1:], (x.T, x[1:], x), strict=True):
            same(a.data, b)


@both_ways
def test_an_argument_in_memory_that_python_writes_to_in_the_middle_is_as_it_was_when_it_was_given(
    compile: bool,
) -> None:
    kept = mg.tensor(np.zeros((100, 150)))

    def step(x: Any, new: Any) -> Any:
        first = (x * 2.0).mean()
        kept.data = new
        return first, (x * 3.0).mean()

    replayed = mg.replay(step, compile=compile)
    for k in range(7):
        x = kept.data.copy()
        first, then = replayed(kept.data, np.full((100, 150), k + 1.0))
        np.testing.assert_allclose([first.item(), then.item()], [2 * x.mean(), 3 * x.mean()], rtol=1e-12)
