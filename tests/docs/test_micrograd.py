"""docs/coming-from.md, the micrograd side: both programs run and give the same numbers."""

from __future__ import annotations

import pytest

from .sides import sides

pytest.importorskip("micrograd", reason="the other side of docs/coming-from.md needs micrograd")


def test_the_same_program_twice():
    theirs, ours = sides("from micrograd")
    assert ours["result"] == pytest.approx(theirs["result"], rel=1e-12)
    assert ours["result"][1] != 0
