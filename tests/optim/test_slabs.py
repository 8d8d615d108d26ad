"""Parameters that live in one vector: what a step costs is less, and nothing else is different."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad._support.shapes import storage
from minigrad.optim.flat import BLOCK, LARGE

from .test_optim import CASES, give_gradients, parameters

WIDE = [(3, 5), (LARGE // 64, 64), (7,), (200, LARGE // 128), (), (0, 3), (BLOCK + 1,)]


def wide(dtype: Any = float) -> list[mg.Tensor]:
    rng = np.random.default_rng(3)
    return [mg.tensor(rng.normal(size=shape), dtype=dtype, requires_grad=True) for shape in WIDE]


def moved_along(optimizer: optim.Optimizer, params: list[mg.Tensor], t: int) -> None:
    give_gradients(params, t)
    optimizer.step()


def test_parameters_are_views_of_one_vector_and_memories_of_their_own():
    params = parameters()
    values = [w.data.copy() for w in params]
    optimizer = optim.Adam(params)
    ((inside, cuts),) = optimizer.layout()
    assert sorted(map(id, inside)) == sorted(map(id, params))
    begin = inside[0]._array.ctypes.data
    for w, cut in zip(inside, cuts[:-1], strict=True):
        assert w._array.ctypes.data == begin + 8 * cut
    assert cuts[-1] == sum(w.size for w in params)
    assert len({id(storage(w._array)) for w in params}) == len(params)
    for w, value in zip(params, values, strict=True):
        np.testing.assert_array_equal(w.data, value)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_large_and_small_parameters_equal_pytorch(name: str, options: dict[str, Any]):
    torch = pytest.importorskip("torch")
    ours = wide()
    theirs = [torch.tensor(w.data.copy(), requires_grad=True) for w in ours]
    mine, other = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for t in range(4):
        for w, slope in zip(theirs, give_gradients(ours, t, skip=3), strict=True):
            w.grad = None if slope is None else torch.tensor(slope.data.copy())
        mine.step()
        other.step()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_step_changes_no_gradient(name: str, options: dict[str, Any]):
    params = wide()
    optimizer = getattr(optim, name)(params, **options)
    for t in range(2):
        slopes: list[mg.Tensor] = give_gradients(params, t)
        kept = [slope.data.copy() for slope in slopes]
        optimizer.step()
        for w, slope, values in zip(params, slopes, kept, strict=True):
            assert w.grad is slope
            np.testing.assert_array_equal(slope.data, values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_apply_does_what_step_does_bit_for_bit(name: str, options: dict[str, Any], dtype: Any):
    ours, twins = wide(dtype), wide(dtype)
    groups = [[0, 1, 4], [2, 3, 5, 6]]
    mine, twin = (
        getattr(optim, name)([{"params": [ws[k] for k in group]} for group in groups], **options)
        for ws in (ours, twins)
    )
    for t in range(4):
        give_gradients(ours, t, skip=0 if t == 1 else None)
        give_gradients(twins, t, skip=0 if t == 1 else None)
        mine.step()
        if t == 1:  # from here on one parameter is a step behind
            twin.step()
            continue
        slopes = [np.concatenate([w.grad._array.ravel() for w in params]) for params, _ in twin.layout()]
        before = [slope.copy() for slope in slopes]
        twin.zero_grad()
        twin.apply(slopes)
        for slope, values in zip(slopes, before, strict=True):
            np.testing.assert_array_equal(slope, values)
    for a, b in zip(ours, twins, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    saved = twin.state_dict()
    for key, array in mine.state_dict().items():
        np.testing.assert_array_equal(array, saved[key])
    with pytest.raises(ValueError, match=r"apply: gradients have shapes \[\(1,\)\], expected"):
        twin.apply([np.zeros(1, dtype)])


LOOKERS: dict[str, Any] = {
    "a view": lambda w: w.data,
    "a detached tensor": lambda w: w.detach(),
    "a detached tensor's view": lambda w: w.detach().data[:1],
    "a recorded view": lambda w: mg.reshape(w, (-1,)),
    "a constant view": lambda w: mg.reshape(w.detach(), (-1,)),  # of the vector: nothing of the parameter's is held
}


@pytest.mark.parametrize("again", [False, True], ids=["first", "after another optimizer"])
@pytest.mark.parametrize("look", LOOKERS.values(), ids=LOOKERS)
def test_who_looked_before_still_follows(look: Any, again: bool):
    params = parameters()
    if again:
        moved_along(optim.SGD(params, lr=0.1), params, 0)
    w = params[0]
    seen = look(w)
    optimizer = optim.SGD(params, lr=0.1)
    moved_along(optimizer, params, 1)
    values = np.asarray(getattr(seen, "_array", seen))
    np.testing.assert_array_equal(values.ravel(), w.data.ravel()[: values.size])
    w.data = w.data * 2.0
    np.testing.assert_array_equal(values.ravel(), w.data.ravel()[: values.size])
    moved_along(optimizer, params, 2)
    np.testing.assert_array_equal(values.ravel(), w.data.ravel()[: values.size])


@pytest.mark.parametrize("look", [LOOKERS["a view"], LOOKERS["a detached tensor"]])
def test_who_looks_afterwards_follows(look: Any):
    params = parameters()
    optimizer = optim.SGD(params, lr=0.1)
    seen = look(params[0])
    moved_along(optimizer, params, 1)
    np.testing.assert_array_equal(getattr(seen, "_array", seen), params[0].data)


def test_a_detached_twin_that_is_trained_as_well_is_one_memory():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    twin = w.detach()
    twin.requires_grad = True
    optimizer = optim.SGD([{"params": [w]}, {"params": [twin]}], lr=0.5)
    w.grad, twin.grad = mg.tensor([1.0, 0.0]), mg.tensor([0.0, 1.0])
    optimizer.step()
    np.testing.assert_array_equal(w.data, [0.5, 1.5])
    np.testing.assert_array_equal(twin.data, [0.5, 1.5])


def test_two_optimizers_in_turn_equal_pytorch():
    torch = pytest.importorskip("torch")
    ours = wide()
    theirs = [torch.tensor(w.data.copy(), requires_grad=True) for w in ours]
    mine = [optim.Adam(ours, lr=0.01), optim.SGD(ours[::-1], lr=0.1, momentum=0.9)]
    others = [torch.optim.Adam(theirs, lr=0.01), torch.optim.SGD(theirs, lr=0.1, momentum=0.9)]
    for t in range(6):
        for w, slope in zip(theirs, give_gradients(ours, t), strict=True):
            w.grad = torch.tensor(slope.data.copy())
        mine[t % 2].step()
        others[t % 2].step()
        if t == 2:
            ours[0].data = ours[0].data * 0.5
            with torch.no_grad():
                theirs[0] *= 0.5
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_parameters_that_an_optimizer_left_behind_move_on():
    params = parameters()
    moved_along(optim.Adam(params), params, 0)  # it is gone
    ((inside, cuts),) = optim.SGD(params).layout()
    assert inside[1]._array.ctypes.data == inside[0]._array.ctypes.data + 8 * cuts[1]


def test_what_was_recorded_before_the_optimizer_was_made_keeps_its_gradient():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    optimizer = optim.SGD([w], lr=0.5)
    loss.backward()
    assert w.grad is not None
    np.testing.assert_array_equal(w.grad.data, [2.0, 4.0])
    optimizer.step()
    with pytest.raises(RuntimeError, match="written after"):
        loss.backward()


def test_what_was_written_before_the_optimizer_was_made_stays_known():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    w.data = [3.0, 4.0]
    optim.SGD([w], lr=0.5)
    with pytest.raises(RuntimeError, match="written after"):
        loss.backward()


def test_only_what_was_stepped_counts_as_written():
    a, b = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor([3.0, 4.0], requires_grad=True)
    optimizer = optim.SGD([a, b], lr=0.5)
    loss = (b * b).sum()
    a.grad = mg.tensor([1.0, 1.0])
    optimizer.step()
    loss.backward()
    assert b.grad is not None
    np.testing.assert_array_equal(b.grad.data, [6.0, 8.0])


def test_layouts_of_arrays_are_kept():
    columns = mg.tensor(np.asfortranarray(np.arange(6.0).reshape(2, 3)), requires_grad=True)
    rows = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    optimizer = optim.SGD([columns, rows], lr=1.0)
    assert columns._array.flags.f_contiguous
    columns.grad, rows.grad = rows.detach() * 0.5, mg.tensor(np.asfortranarray(rows.data * 0.5))
    optimizer.step()
    np.testing.assert_array_equal(columns.data, np.arange(6.0).reshape(2, 3) * 0.5)
    np.testing.assert_array_equal(rows.data, columns.data)
    assert columns._array.flags.f_contiguous


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_and_pickles_go_on_alone(copied: Any):
    params = parameters()
    optimizer = optim.Adam(params, lr=0.1)
    moved_along(optimizer, params, 0)
    twins, twin = copied((params, optimizer))
    for t in (1, 2):
        moved_along(optimizer, params, t)
    for a, b in zip(params, twins, strict=True):
        assert not np.shares_memory(a._array, b._array)
        assert not np.array_equal(a.data, b.data)
    for t in (1, 2):
        moved_along(twin, twins, t)
    for a, b in zip(params, twins, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_model_trains_on_after_its_state_is_loaded():
    def trained(reload: bool) -> list[Any]:
        net = mg.nn.MLP((3, 8, 2), norm="batch", rng=0)
        optimizer = optim.Adam(net.parameters(), lr=0.1)
        x, labels = np.random.default_rng(0).normal(size=(6, 3)), [0, 1, 1, 0, 1, 0]
        for t in range(4):
            if reload and t == 2:
                state = net.state_dict()
                net.load_state_dict({name: np.zeros_like(array) for name, array in state.items()})
                net.load_state_dict(state)
            loss = mg.cross_entropy(net(mg.tensor(x)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return [w.data.copy() for w in net.parameters()]

    for a, b in zip(trained(False), trained(True), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_weight_that_is_used_twice_is_one_parameter():
    w = mg.tensor(np.eye(2), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    (w @ w).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(w.data, np.eye(2) - 0.1 * 2.0)


@pytest.mark.parametrize("size", [3, LARGE, BLOCK + 1])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_gradient_in_the_parameters_own_memory_is_read_before_it_is_written(
    name: str, options: dict[str, Any], size: int
):
    w, twin = (mg.tensor(np.linspace(-1.0, 1.0, size), requires_grad=True) for _ in range(2))
    mine, other = getattr(optim, name)([w], **options), getattr(optim, name)([twin], **options)
    for _ in range(2):
        w.grad, twin.grad = w.detach(), mg.tensor(twin.data)
        mine.step()
        other.step()
    np.testing.assert_array_equal(w.data, twin.data)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6], [3, 0, 6, 2, 1, 5, 4]], ids=str)
def test_state_has_the_number_of_its_parameter_wherever_that_is_laid_out(order: list[int]):
    """Large parameters are laid out first; a state written by number must not follow them there."""
    params = [wide()[k] for k in order]
    optimizer = optim.Adam([{"params": params[:4]}, {"params": params[4:]}], lr=0.1, betas=(0.75, 0.5))
    slopes: list[mg.Tensor] = give_gradients(params, 0)
    params[2].grad = None
    optimizer.step()
    state = optimizer.state_dict()
    for k, (w, slope) in enumerate(zip(params, slopes, strict=True)):
        assert state[f"param.{k}.step"] == (0 if k == 2 else 1)
        assert state[f"param.{k}.m"].shape == w.shape
        if k != 2:
            np.testing.assert_allclose(state[f"param.{k}.m"], 0.25 * slope.data, rtol=1e-14)
            np.testing.assert_allclose(state[f"param.{k}.v"], 0.5 * slope.data**2, rtol=1e-14)
