"""Memory over many steps and many shapes: it stays where it is. MINIGRAD_LONG=1 takes 20,000 steps and 64 shapes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
LONG = bool(os.environ.get("MINIGRAD_LONG"))
MODES = [False, pytest.param(True, marks=pytest.mark.skipif(not find_spec("llvmlite"), reason="needs llvmlite"))]


def megabytes(shapes: int, calls: int, compile: bool) -> tuple[float, int, int]:
    """What a process grew by from the proofs of the 64th calls on; recordings and replays."""
    code = f"""if True:
        import numpy as np, minigrad as mg
        net = mg.nn.MLP((2, 16, 1), norm="batch", rng=0, dtype="float32")
        adam = mg.optim.Adam(net.parameters(), lr=1e-3)
        @mg.replay(compile={compile})
        def step(x, y):
            loss = mg.binary_cross_entropy_with_logits(net(x), y)
            adam.zero_grad()
            loss.backward()
            adam.step()
            return loss
        def memory():
            lines = open("/proc/self/status").read().splitlines()
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
        data = []
        for n in range(50, 50 + {shapes}):
            x = np.random.default_rng(n).normal(size=(n, 2)).astype("f")
            data.append((x, (x[:, :1] > 0).astype("f")))
        for k in range({calls}):
            step(*data[k % {shapes}])
            if k == 65 * {shapes}:
                before = memory()
        print(memory() - before, step.recordings, step.replays)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, recordings, replays = done.stdout.split()
    return float(grown), int(recordings), int(replays)


@pytest.mark.parametrize("compile", MODES, ids=["numpy", "compiled"])
def test_many_steps_leave_memory_as_it_is(compile):
    calls = 20_000 if LONG else 2_000
    grown, recordings, replays = megabytes(1, calls, compile)
    assert (recordings, replays) == (2, calls - 2)
    assert grown < 1.0


@pytest.mark.parametrize("compile", MODES, ids=["numpy", "compiled"])
def test_many_shapes_in_turn_are_recorded_once_and_leave_memory_as_it_is(compile):
    shapes = 64 if LONG else 3 if compile else 8
    grown, recordings, replays = megabytes(shapes, 100 * shapes, compile)
    assert (recordings, replays) == (2 * shapes, 98 * shapes)
    assert grown < 2.0
