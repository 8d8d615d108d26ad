"""Which kernels run: the environment chooses, mg.kernels() tells, and importing stays light."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import minigrad as mg
from minigrad.fast import chosen


def run(code, choice):
    environment = {**os.environ, "MINIGRAD_KERNELS": choice}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("choice", ["reference", "numpy"])
def test_the_environment_chooses(choice):
    code = "import sys, numpy, minigrad as mg; mg.batch_norm(numpy.ones((3, 2)));"
    code += "print(mg.kernels(), 'numba' in sys.modules)"
    out, err = run(code, choice)
    plain = {"adam", "batch_norm", "masked", "running_statistics", "sigmoid_cross_entropy", "softmax_cross_entropy"}
    told = {name: choice if name in plain else "reference" for name in mg.kernels()}
    assert out == f"{told} False", err


def test_an_unknown_choice_is_refused():
    _, err = run("import minigrad as mg; mg.kernels()", "cuda")
    assert "MINIGRAD_KERNELS='cuda' must be one of reference, numpy, numba" in err


def test_importing_does_not_import_numba():
    out, err = run("import sys, minigrad; print('numba' in sys.modules)", "")
    assert out == "False", err


def test_unset_means_numpy_wherever_numba_may_be_installed():
    code = "import sys, numpy, minigrad as mg; x = mg.tensor(numpy.ones((300, 200)), requires_grad=True);"
    code += "mg.batch_norm(x).sum().backward(); print(mg.kernels()['batch_norm'], 'numba' in sys.modules)"
    out, err = run(code, "")
    assert out == "numpy False", err


def test_what_runs_is_told():
    assert mg.kernels()["batch_norm"] == chosen()
    assert mg.kernels()["layer_norm"] == ("numba" if chosen() == "numba" else "reference")
    assert mg.kernels()["softmax_cross_entropy"] == ("reference" if chosen() == "reference" else "numpy")
