"""minigrad equals the recording of PyTorch; the recording is still what PyTorch gives."""

from __future__ import annotations

import numpy as np
import pytest

from . import CASES
from .case import FILE, assert_close


@pytest.fixture(scope="module")
def recorded():
    with np.load(FILE) as file:
        names, ends, values = file["names"].tolist(), file["ends"], file["values"]
    assert len(set(names)) == len(names)
    return dict(zip(names, np.split(values, ends[:-1]), strict=True))


def test_every_case_is_recorded_once_and_nothing_else(recorded):
    """Else: python -m tests.recorded.record, with PyTorch."""
    assert sorted(recorded) == sorted(case.name for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_pytorch_was_recorded(case, recorded):
    assert_close(case.ours(), recorded[case.name], case.bound)


def test_the_recording_is_what_pytorch_gives(recorded):
    torch = pytest.importorskip("torch")
    for case in CASES:
        assert_close(case.theirs(torch), recorded[case.name], 1e-12)
