"""Compiled steps: against the step itself, what they check, what is generated, and the folder of compiled code."""

from __future__ import annotations

import ast
import gc
import os
import subprocess
import sys
import textwrap
import threading
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.replaying import NotReplayable

from .random_steps import twins
from .steps import batch, training

needs_compiler = pytest.mark.skipif(
    find_spec("llvmlite") is None, reason="compiled steps need llvmlite, which numba brings"
)
STEPS = range(300 if os.environ.get("MINIGRAD_LONG") else 15)


def compiled(step: Any, **options: Any) -> Any:
    return mg.replay(step, compile=True, **options)


def near(a: Any, b: Any, eps: float, what: str = "", least: float = 1e-3) -> None:
    """Equal but for so many eps of the maximum, or of `least`."""
    a, b = np.asarray(a), np.asarray(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype), what
    if a.dtype.kind != "f":
        np.testing.assert_array_equal(a, b, what)
        return
    np.testing.assert_allclose(
        a, b, rtol=0, atol=eps * float(np.finfo(a.dtype).eps) * np.abs(b).max(initial=least), err_msg=what
    )


# Against the step itself --------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("number", STEPS)
def test_a_random_step_in_float64_is_the_step(number):
    """Six calls: recorded, replayed, proved and replayed; and after each all that was left behind."""
    one, other, replayed = twins(number, "float64", compiled)
    for k in range(6):
        one.change(k)
        other.change(k)
        x, y = one.batch(k)
        near(replayed(x, y).data, other.step(mg.tensor(x), mg.tensor(y)).data, 1e4, one.says)
        theirs = other.state()
        for name, value in one.state().items():
            # a bias before batch norm has rounding for a gradient, which Adam makes larger by orders of magnitude
            near(value, theirs[name], 1e9, f"{name} of {one.says}, call {k}", least=1.0)
    assert replayed.replays == 4


@needs_compiler
@pytest.mark.parametrize("number", STEPS)
def test_a_random_step_in_float32_is_proved(number):
    """The 4th call takes the step itself, and refuses what is not within rounding."""
    one, other, replayed = twins(1000 + number, "float32", compiled)
    for k in range(6):
        one.change(k)
        other.change(k)
        x, y = one.batch(k)
        loss = replayed(x, y).data
        np.testing.assert_allclose(loss, other.step(mg.tensor(x), mg.tensor(y)).data, rtol=1e-3, atol=1e-4)


@needs_compiler
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("sizes", [(2, 128, 1), (50, 30, 20, 10)], ids=str)
def test_one_step_of_float32_is_within_8_eps(norm, sizes):
    """With SGD, which divides nothing by its own size, every array is."""
    options: dict[str, Any] = {"norm": norm, "dtype": "float32", "optimizer": mg.optim.SGD}
    net, _, step = training(sizes, **options)
    other, _, eager = training(sizes, **options)
    replayed = compiled(step)
    for k in range(3):
        x, y = batch(sizes, 100, k, "float32")
        a, b = replayed(x, y), eager(mg.tensor(x), mg.tensor(y))
    near(a.data, b.data, 8)
    for (name, p), (_, q) in zip(net.named_tensors(), other.named_tensors(), strict=True):
        near(p.data, q.data, 8, name, least=0.1)  # running means of numbers near 1 are near 0


@needs_compiler
def test_it_is_deterministic():
    def trained() -> list[Any]:
        net, _, step = training((5, 20, 20, 3), norm="batch", dropout=0.2, dtype="float32")
        replayed = compiled(step)
        for k in range(8):
            replayed(*batch((5, 3), 70, k, "float32"))
        return [tensor.data.tobytes() for _, tensor in net.named_tensors()]

    assert trained() == trained()


@needs_compiler
def test_arguments_of_every_layout_and_size():
    w = mg.tensor(np.random.default_rng(0).normal(size=(200, 3)), requires_grad=True)

    def step(x):
        loss = mg.square(mg.tanh(x @ w)).mean()
        w.grad = None
        loss.backward()
        return loss

    replayed = compiled(step)
    for k in range(6):
        base = np.random.default_rng(k).normal(size=(600, 200))
        for x in (base[:300], np.asfortranarray(base), base[::2], base[:7], base[::-1].T.copy().T):
            ours, gradient = replayed(x).data, w.grad
            near(ours, step(mg.tensor(x)).data, 64)
            assert gradient is not None
            assert w.grad is not None
            near(gradient.data, w.grad.data, 64)
    x = np.zeros((300, 200))  # read where it is: what is written to it counts at the next call
    before = replayed(x).data.copy()
    x[...] = 1.0
    assert replayed(x).data != before


# Checks and errors --------------------------------------------------------------------------------------------------


@needs_compiler
def test_a_check_that_fails_says_what_the_step_says_and_changes_nothing():
    net, optimizer, step = training((6, 8, 5, 3), norm="batch")
    replayed = compiled(step)
    for k in range(3):
        replayed(*batch((6, 3), 9, k))
    before = [t.data.tobytes() for _, t in net.named_tensors() if t.requires_grad]
    x, y = batch((6, 3), 9, 3)
    with pytest.raises(ValueError, match="label 7 is not one of the 3 classes"):
        replayed(x, np.full(9, 7))
    bad = x.copy()
    bad[2, 2] = np.nan
    means = [t.data.tobytes() for name, t in net.named_tensors() if "running" in name]
    with pytest.raises(ValueError, match="NaN or infinite values"):
        replayed(bad, y)
    assert means == [t.data.tobytes() for name, t in net.named_tensors() if "running" in name]
    assert before == [t.data.tobytes() for _, t in net.named_tensors() if t.requires_grad]
    optimizer.groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"lr=-1\.0"):
        replayed(x, y)
    optimizer.groups[0]["lr"] = 0.01
    assert np.isfinite(replayed(x, y).data)


@needs_compiler
@pytest.mark.parametrize("features", [4, 500], ids=["copied in", "read where it is"])
def test_options_and_counts_that_change_are_followed(features):
    sizes = (features, 6, 3)
    net, sgd, step = training(sizes, optimizer=mg.optim.SGD, options={"momentum": 0.9})
    other, theirs, eager = training(sizes, optimizer=mg.optim.SGD, options={"momentum": 0.9})
    replayed = compiled(step)
    for k in range(15):  # and not the 16th, which takes the step itself
        for optimizer in (sgd, theirs):
            optimizer.groups[0]["lr"] = 0.1 / (k + 1)
            optimizer.groups[0]["weight_decay"] = 0.0 if k < 5 else 0.1
            if k == 8:
                optimizer.groups[0]["nesterov"] = True
            if k == 11:  # one parameter counts its steps from another beginning
                optimizer.load_state_dict({**optimizer.state_dict(), "param.0.step": np.array(3)})
        x, y = batch(sizes, 20, k)
        near(replayed(x, y).data, eager(mg.tensor(x), mg.tensor(y)).data, 100)
        for p, q in zip(net.parameters(), other.parameters(), strict=True):
            near(p.data, q.data, 100)
    assert (replayed.recordings, replayed.replays) == (2, 13)


@needs_compiler
def test_a_stale_replay_is_found_by_the_proof():
    memory = memoryview(bytearray(b"\x02"))
    w = mg.tensor(np.ones(4, "float32"), requires_grad=True)
    adam = mg.optim.Adam([w], lr=0.1)

    def step(x):
        loss = mg.square(w - x * float(memory[0])).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss

    replayed = compiled(step)
    for _ in range(15):
        replayed(np.ones(4, "float32"))
    memory[0] = 3
    with pytest.raises(NotReplayable, match=r"2\.0, then 3\.0"):
        replayed(np.ones(4, "float32"))


@needs_compiler
def test_code_that_computes_something_else_is_found_by_the_proof(monkeypatch):
    from minigrad.replaying.compiled import elements

    monkeypatch.setitem(elements.CALLED, "tanh", "np.tanh({0}) * {t}(1.0001)")
    replayed = compiled(lambda x: mg.tanh(x).sum())
    for _ in range(3):
        replayed(np.ones(3, "float32"))
    with pytest.raises(NotReplayable, match=r"call 4 of .* gave something else: .*sum"):
        replayed(np.ones(3, "float32"))


@needs_compiler
def test_threads_have_memory_of_their_own():
    w = mg.tensor(np.ones(1000), requires_grad=True)
    replayed = compiled(lambda x: mg.square(w * x) * x)
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(100):
            x = rng.normal(size=1000)
            if not np.allclose(replayed(x).data, x**3, rtol=1e-12):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# The source ---------------------------------------------------------------------------------------------------------


@needs_compiler
def test_the_source_can_be_read_and_names_are_made():
    w = mg.tensor(np.ones((20, 3)), requires_grad=True, name="return 1  # \n lambda")

    def step(x):
        loss = mg.relu(x @ w + 1.0).mean()
        w.grad = None
        loss.backward()
        return loss

    replayed = compiled(step)
    with pytest.raises(RuntimeError, match="nothing has been recorded yet"):
        replayed.source()
    for _ in range(3):
        replayed(np.ones((9, 20)))
    source = replayed.source()
    assert source.startswith("def step(T, R):\n")
    assert "for i0 in range(27)" in source
    assert "gemm_f64" in source
    compile(source, "<step>", "exec")
    assert replayed(np.ones((9, 20))).item() == 21.0
    with pytest.raises(RuntimeError, match="nothing was compiled"):
        mg.replay(step).source()


def test_without_a_compiler_it_is_refused_in_words():
    code = "import sys; sys.modules['llvmlite'] = None; import importlib.util as u; u.find_spec = lambda name: None;"
    code += "import minigrad as mg\ntry: mg.replay(lambda x: x, compile=True)\nexcept ImportError as e: print(e)"
    env = os.environ | {"MINIGRAD_KERNELS": "numpy"}  # of which numba's would miss it first
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("a compiled step needs llvmlite, which numba brings"), done.stderr


@needs_compiler
def test_importing_minigrad_and_replaying_asks_for_no_compiler():
    code = (
        "import sys, numpy as np, minigrad as mg; s = mg.replay(lambda x: x * 2.0); [s(np.ones(2)) for _ in range(5)];"
    )
    code += "print([name for name in sys.modules if name in ('numba', 'llvmlite')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


# Time and memory of compiling ---------------------------------------------------------------------------------------


def test_code_is_cut_where_no_number_is_carried_over():
    """What LLVM does to one long function takes the square of its length."""
    source = """
    for k in range(3):
        v1[k] = 2.0
    s_1 = 0.0
    for k in range(3):
        s_1 = s_1 + v1[k]
    v2[0] = s_1
    bad = False
    for k in range(3):
        bad = bad | (v1[k] < 0)
    v3[0] = 1.0
    if bad:
        return 1
    rate = 0.5
    for k in range(3):
        v1[k] += rate
    rate = 0.25
    for k in range(3):
        v2[k] = rate
    return 0
    """
    body = ast.parse(textwrap.dedent(source).replace("return", "done =")).body
    found = [len(part) for part in mg.replaying.compiled.llvm._parts(body)]
    assert found == [1, 3, 4, 2, 2, 1]


@needs_compiler
def test_code_goes_with_the_last_program_that_calls_it():
    code = mg.replaying.compiled.machine._functions

    def replayed() -> Any:
        step = compiled(lambda x: mg.square(x) * 1.2345)
        for _ in range(3):
            assert step(np.ones(3)).data[0] == 1.2345
        return step

    before = len(code)
    one, other = replayed(), replayed()
    assert len(code) == before + 1
    del one
    assert other(np.ones(3)).data[0] == 1.2345
    del other
    gc.collect()
    assert len(code) <= before


@needs_compiler
def test_a_deep_network_is_compiled_in_parts():
    _, _, step = training((2, *[8] * 12, 1), norm="batch", dtype="float32")
    _, _, eager = training((2, *[8] * 12, 1), norm="batch", dtype="float32")
    replayed = compiled(step)
    for k in range(4):
        x, y = batch((2, 1), 20, k, "float32")
        near(replayed(x, y).data, eager(mg.tensor(x), mg.tensor(y)).data, 1e4)


@needs_compiler
def test_a_chain_of_a_thousand_operations_is_compiled():
    def chain(x):
        for k in range(1000):
            x = x + 1.0 if k % 2 else x * 0.5
        return x.sum()

    replayed = compiled(chain)
    for k in range(4):
        x = np.arange(4.0) + k
        near(replayed(x).data, chain(mg.tensor(x)).data, 8)
    assert replayed.replays == 2
