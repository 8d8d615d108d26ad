"""Source code of programs: what it says, and that it gives minigrad's numbers where there is no minigrad."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.cli import main

from .functions import LABELS, OTHERS, SUBJECTS, Subject
from .test_program import assert_same, results

ALONE = """
import json, sys
import numpy as np
names = {}
exec(compile(sys.stdin.readline().encode().decode("unicode_escape"), "module", "exec"), names)
inputs = [np.array(x) for x in json.loads(sys.stdin.readline())]
slope = np.array(json.loads(sys.stdin.readline()))
y, cache = names["forward"](*inputs)
gradients = names["backward"](slope, cache)
assert not any(name.split(".")[0] == "minigrad" for name in sys.modules)
print(json.dumps([np.asarray(x).tolist() for x in (y, *gradients)]))
"""


def _mlp(x, w1, gamma, beta, w2, b2):
    return mg.cross_entropy(mg.linear(mg.relu(mg.batch_norm(x @ w1, gamma, beta)), w2, b2), LABELS)


WEIGHTS = [np.random.default_rng(2).normal(size=s) for s in ((3, 4), (4,), (4,), (4, 3), (3,))]
MLP = Subject("an MLP's training loss", _mlp, lambda seed: [np.random.default_rng(seed).normal(size=(5, 3)), *WEIGHTS])
NAMED = {s.name: s for s in OTHERS}
PRINTED = [NAMED[n] for n in ("batch_norm", "batch_norm_composed", "staged", "layer_norm", "layer_norm_composed")]


@pytest.mark.parametrize("subject", [*PRINTED, MLP], ids=str)
def test_it_runs_in_a_process_without_minigrad_and_gives_the_same(subject):
    source = mg.record(subject.function, *subject.inputs(1)).source()
    inputs = subject.inputs(2)
    values, gradients, (slope,) = results(subject.function, inputs)
    lines = [source.encode("unicode_escape").decode(), json.dumps([x.tolist() for x in inputs])]
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE], input="\n".join([*lines, json.dumps(slope.tolist()), ""]),
        capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    exact = mg.kernels()["batch_norm"] == "reference"
    for mine, theirs in zip(json.loads(done.stdout), [*values, *gradients], strict=True):
        assert_same(np.array(mine), theirs, exact)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_every_primitive_loss_and_norm_can_be_written_in_numpy(subject):
    program = mg.record(subject.function, *subject.inputs(1))
    names: dict[str, object] = {}
    exec(compile(program.source(), "module", "exec"), names)
    inputs = subject.inputs(2)
    values, gradients, slopes = results(subject.function, inputs)
    forward, backward = names["forward"], names.get("backward")
    assert callable(forward)
    extra = [v.array for v in program.tensors()]
    with np.errstate(all="ignore"):
        found = forward(*inputs, *extra)
        y, cache = found if backward is not None else (found, None)
        flat = [z for part in (list(y.values()) if isinstance(y, dict) else [y])
                for z in (part if isinstance(part, tuple) else (part,))]  # fmt: skip
        exact = mg.kernels()["batch_norm"] == "reference"
        for mine, theirs in zip(flat, values, strict=True):
            assert_same(np.asarray(mine), theirs, exact)
        if backward is not None:
            assert callable(backward)
            found = backward(*slopes, cache)
            for mine, theirs in zip(found, [d for d in gradients if d is not None], strict=False):
                assert_same(np.asarray(mine), theirs, exact)


def code_lines(source):
    return [line for line in source.splitlines() if line.strip() and not line.strip().startswith(("#", '"""'))]


def test_the_fused_batch_norm_is_what_a_student_would_write():
    source = mg.record(mg.batch_norm, *NAMED["batch_norm"].inputs(1)).source()
    assert len(code_lines(source)) <= 25
    for line in (
        "    var = ",
        "    inv_std = 1.0 / np.sqrt(var + 1e-05)",
        "    y = x_hat * gamma + beta",
        "    d_beta = np.sum(d_y, axis=0)",
        "    d_gamma = np.sum(d_y * x_hat, axis=0)",
        "    return (d_x, d_gamma, d_beta)",
    ):
        assert line in source


def test_names_are_made_and_hostile_ones_are_harmless(tmp_path):
    marker = tmp_path / "harm"
    evil = f"x = open({str(marker)!r}, 'w')\n__import__('os').system('touch harm')"
    source = mg.record(lambda x: (mg.exp(x).named(evil) * 2.0).named("class") + 1.0, np.ones(3)).source()
    names: dict[str, object] = {}
    exec(compile(source, "module", "exec"), names)
    forward = names["forward"]
    assert callable(forward)
    np.testing.assert_allclose(forward(np.ones(3))[0], 2 * np.exp(1) + 1)
    assert not marker.exists()
    assert "class_2 = " in source or "class_ = " in source


def test_what_is_no_data_is_refused():
    @mg.primitive
    def odd(x):
        return np.asarray([float(v) for v in x.ravel()]).reshape(x.shape)

    odd.defvjp(lambda g, out, x: g)
    with pytest.raises(TypeError, match="odd is Python that cannot be written as NumPy source code"):
        mg.record(lambda x: odd(x), np.ones(3)).source()
    with pytest.raises(ValueError, match="library='fortran' must be one of numpy, torch, jax"):
        mg.record(mg.exp, np.ones(3)).source("fortran")


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_the_forward_in_another_library_has_the_same_values_and_gradients(library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    for name in ("batch_norm", "batch_norm_composed", "layer_norm", "softmax", "cross_entropy", "huber_loss"):
        subject = NAMED[name]
        source = mg.record(subject.function, *subject.inputs(1)).source(library)
        names: dict[str, object] = {}
        exec(compile(source, "module", "exec"), names)
        inputs = subject.inputs(2)
        values, gradients, (slope,) = results(subject.function, inputs)
        mine, slopes = (_by_torch if library == "torch" else _by_jax)(names["forward"], inputs, slope)
        for a, b in zip([mine, *slopes], [*values, *gradients], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


def _by_torch(forward, inputs, slope):
    import torch

    leaves: Any = [torch.tensor(x, requires_grad=True) for x in inputs]
    y = forward(*leaves)
    (y * torch.tensor(slope)).sum().backward()
    return y.detach().numpy(), [x.grad.numpy() for x in leaves]


def _by_jax(forward, inputs, slope):
    import jax

    jax.config.update("jax_enable_x64", True)
    y, pull = jax.vjp(jax.jit(forward), *inputs)
    return np.asarray(y), [np.asarray(d) for d in pull(jax.numpy.asarray(slope))]


def test_the_command_prints_writes_and_refuses(tmp_path, capsys):
    assert main(["source", "batchnorm"]) == 0
    assert "d_gamma = np.sum(d_y * x_hat, axis=0)" in capsys.readouterr().out
    path = tmp_path / "bn.py"
    assert main(["source", "layernorm", "--shape", "4,5", "--out", str(path)]) == 0
    assert "(4, 5)" in path.read_text()
    assert main(["source", "batchnorm", "--library", "torch"]) == 0
    assert "import torch" in capsys.readouterr().out
    assert main(["source", "batchnorm", "--shape", "4"]) == 2
    assert main(["source", "nothing.py:f", "--shape", "4"]) == 2
    assert "minigrad: " in capsys.readouterr().err
