"""The programs of the other replay tests, compiled: what they compare bit for bit agrees here to rounding.

The tests themselves are those of the other files; here `mg.replay` compiles. MINIGRAD_LONG=1 takes all files.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import minigrad as mg

from . import (
    test_fit,
    test_guards,
    test_memory,
    test_never_stale,
    test_primitives,
    test_proofs,
    test_refusals,
    test_replay,
)

pytest.importorskip("llvmlite", reason="compiled steps need llvmlite, which numba brings")

FILES: list[Any] = [test_replay, test_never_stale, test_refusals]
if os.environ.get("MINIGRAD_LONG"):
    FILES += [test_primitives, test_guards, test_memory, test_proofs, test_fit]
# These are about other things than results: bits, listings, memory, how often recordings are kept
NOT = {
    "test_the_program_prints_and_draws",
    "test_common_subexpressions_are_computed_once",
    "test_replays_in_threads_have_memory_of_their_own",
    "test_many_shapes_in_turn_are_kept_within_a_bound_of_memory",
    "test_a_large_argument_in_another_layout_is_summed_as_its_copy_is",
}


def near(a: Any, b: Any) -> None:
    """Equal but for 64 eps (float64: 1e-10) of the maximum, or of 1: numbers in these tests are about 1.

    The gradient of a bias before batch norm is rounding, and Adam makes it large: hence the 1e-10.
    """
    a, b = np.asarray(a), np.asarray(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    if a.dtype.kind != "f":
        assert a.tobytes() == b.tobytes()
        return
    largest = max(1.0, float(np.abs(b[np.isfinite(b)]).max(initial=0)))
    bound = 1e-10 if a.dtype == np.float64 else 64 * float(np.finfo(a.dtype).eps)
    np.testing.assert_allclose(a, b, rtol=0, atol=bound * largest)


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every replay compiles."""
    replay = mg.replay

    def compiling(step: Any = None, **options: Any) -> Any:
        return replay(step, **{**options, "compile": True})

    monkeypatch.setattr(mg, "replay", compiling)
    for file in FILES:
        if hasattr(file, "same"):
            monkeypatch.setattr(file, "same", near)


for _file in FILES:
    for _name, _test in vars(_file).items():
        if _name.startswith("test_") and callable(_test) and _name not in NOT:
            assert _name not in globals(), f"two tests are called {_name}"
            globals()[_name] = _test
