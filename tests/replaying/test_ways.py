"""140 ways to make a replay stale, in NumPy's calls and compiled: right, refused, or found by a proof."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.replaying import NotReplayable

from . import ways_around, ways_further  # noqa: F401 which fill the table
from .ways import WAYS

MODES = [False, pytest.param(True, marks=pytest.mark.skipif(not find_spec("llvmlite"), reason="needs llvmlite"))]
PROOF = 16  # the call that is proved after the change, which comes before the 6th


@pytest.fixture(autouse=True)
def the_world_as_it_was() -> Iterator[None]:
    with np.errstate(), decimal.localcontext():
        yield


@pytest.mark.parametrize("compile", MODES, ids=["numpy", "compiled"])
@pytest.mark.parametrize("name", WAYS)
def test_a_replay_is_right_or_refused_or_found_by_a_proof(name: str, compile: bool, monkeypatch: Any, tmp_path: Any):
    monkeypatch.chdir(tmp_path)
    how, make = WAYS[name]
    step, change, *args = make(monkeypatch)
    mine, my_change, *my_args = make(monkeypatch)
    replayed = mg.replay(mine, compile=compile)
    x = np.array([[1.5, 2.0], [0.5, 1.0]])
    wrong = 0
    for k in range(1, PROOF + 1):
        if k == 6:
            found = change()
            my_change()
            x = found if isinstance(found, np.ndarray) else x
        try:
            ours = replayed(x, *my_args).data
        except (NotReplayable, TypeError):
            assert (how, k <= 2, bool(wrong)) in (("refused", True, wrong > 0), ("proved", False, True)), (k, wrong)
            assert how == "refused" or k == PROOF
            return
        theirs = step(mg.tensor(x), *args).data
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        same = np.allclose(ours, theirs, rtol=1e-6) if compile else ours.tobytes() == theirs.tobytes()
        wrong += not same
    assert (how, wrong) == ("right", 0)
    assert replayed.replays >= PROOF - 8


def test_there_are_more_than_fifty() -> None:
    assert len(WAYS) > 135
