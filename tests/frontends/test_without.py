"""Neither torch nor jax is a dependency: nothing loads them before they are asked for, and who lacks them is told."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_what_is_missing_is_named(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    with pytest.raises(ImportError, match=rf"^mg.from_{library} needs the package {library}: pip install {library}$"):
        getattr(mg, f"from_{library}")(lambda x: x, np.ones(3))


def test_neither_is_loaded_with_minigrad():
    code = "import sys, minigrad as mg; mg.from_torch, mg.from_jax; print({'torch', 'jax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
