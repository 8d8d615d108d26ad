"""docs/coming-from.md, the PyTorch side: both programs run and give the same losses and the same result."""

from __future__ import annotations

import numpy as np
import pytest

from .sides import sides

pytest.importorskip("torch", reason="the other side of docs/coming-from.md needs torch")


def test_the_same_program_twice():
    theirs, ours = sides("import torch")
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=1e-9)
    np.testing.assert_allclose(ours["result"], theirs["result"], rtol=1e-7, atol=1e-9)
    assert ours["losses"][-1] < ours["losses"][0]
