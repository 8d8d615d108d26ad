"""The kernels of the live page, run in node, against minigrad: every primitive and random graphs, forward and back."""

import os
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg

from ..core.test_random_graphs import KINKED, SMOOTH, expressions
from ..helpers import registry
from ..table import ROWS
from .live import LIVE, NODE, Module, far, in_node, recorded

needs_node = pytest.mark.skipif(NODE is None, reason="no node on this machine")
GRAPHS = 300 if os.environ.get("MINIGRAD_LONG") else 60
FILES = sorted(LIVE.glob("*.mjs"))


def case_of(row, dtype):
    """One row of the table as a program, and its inputs; numbers that are no floats stay what they are."""
    arrays = row.arrays(np.random.default_rng(0))
    places = [k for k, a in enumerate(arrays) if a is not None]
    inputs = [arrays[k].astype(dtype) if arrays[k].dtype.kind == "f" else arrays[k] for k in places]

    def f(*xs):
        given = dict(zip(places, xs, strict=True))
        return registry[row.op](*[given.get(k) for k in range(len(arrays))], **row.params)

    return recorded(f, inputs)


@needs_node
@pytest.mark.parametrize(("dtype", "most"), [("float64", 1e-12), ("float32", 1e-6)])
def test_every_row_of_the_primitive_table_forward_and_back(tmp_path, dtype, most):
    cases = [case_of(row, dtype) for row in ROWS]
    assert len({row.op for row in ROWS}) == 69
    assert far(cases, in_node(cases, tmp_path)) < most


@needs_node
def test_random_graphs_forward_and_back(tmp_path):
    cases = []

    @given(expressions(sorted(SMOOTH | KINKED)), st.integers(0, 1000))
    @settings(max_examples=GRAPHS, database=None, suppress_health_check=list(HealthCheck))
    def collect(expression, seed):
        rng = np.random.default_rng(seed)
        arrays = [np.asarray(rng.uniform(-1.5, 1.5, shape)) for shape in expression.shapes]
        cases.append(recorded(lambda *xs: expression(xs, 0), arrays, seed))

    collect()
    assert len(cases) >= GRAPHS * 0.9
    assert far(cases, in_node(cases, tmp_path)) < 1e-12


CASES = {
    "index out of an axis": lambda x: x[np.array([0, 2])][:, np.array([1, 0])],
    "far apart": lambda x: mg.expand_dims(x, 1)[np.array([0, 1]), :, np.array([1, 0])],
    "between": lambda x: mg.stack([x, x])[:, np.array([0, 2, 1]), None, ::-1],
    "a mask": lambda x: x[np.array([[True, False], [False, True], [True, True]])],
    "a mask of rows": lambda x: x[np.array([True, False, True])] * 2.0,
    "steps": lambda x: x[2:0:-1, -1:] + x[5:, :].sum(),
    "nothing": lambda x: x[:0].sum() + x.sum(),
    "powers": lambda x: (1.0 + 0.0 * x) ** np.array([np.nan, np.inf]) + (0.0 * x) ** 0.0,
    "losses": lambda x: mg.cross_entropy(x, [0, 1, 1]) + mg.binary_cross_entropy(mg.sigmoid(x), 0.5 + 0.0 * x),
    "far out": lambda x: mg.erf(3.0 * x) + mg.gelu(5.0 * x) + mg.softplus(900.0 * x) + mg.log_softmax(1e3 * x),
    "not finite": lambda x: mg.maximum(x / 0.0, 0.0 * x / 0.0) + mg.sum(mg.log(-x), axis=0) + mg.max(x / 0.0),
    "many": lambda x: mg.mean(mg.broadcast_to(x, (500, 3, 2)) * 0.1, axis=(0, 2)),
    "layer": lambda x: mg.layer_norm(x) * 2.0,
}


@needs_node
@pytest.mark.parametrize("name", CASES)
def test_corners(tmp_path, name):
    cases = [recorded(CASES[name], [np.array([[0.5, -1.2], [2.0, 0.7], [-0.3, 1.1]])])]
    assert far(cases, in_node(cases, tmp_path)) < 1e-12


@needs_node
def test_what_there_is_no_kernel_for_is_named(tmp_path):
    x = np.array([1.0, 2.0])
    found = in_node([recorded(lambda x: mg.exp(x) * 2.0, [x.astype(np.float16)])], tmp_path)
    assert found == ["Error: no kernel for float16"]
    program, start = recorded(mg.exp, [x])
    text = program.to_json

    def changed():
        return text().replace('"exp"', '"flurb"')

    program.to_json = changed  # a primitive of a later minigrad
    assert in_node([(program, start)], tmp_path) == ["Error: no kernel for flurb"]


@needs_node
def test_computed_in_float32(tmp_path):
    x = (np.arange(12.0).reshape(4, 3) ** 1.5 + 1e6).round(2)
    program, start = recorded(lambda x: mg.batch_norm_composed(x, eps=1e-5), [x])
    (narrow,) = in_node([(program, start)], tmp_path, "float32")
    value = narrow[program.results[0]]
    assert np.array_equal(value, value.astype(np.float32))
    truth = program.run(x).value
    assert 1e-4 < np.abs(value - truth).max() < 1  # of seven digits at a million, one or two are left


@needs_node
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_node_accepts_each_module(file):
    done = subprocess.run([str(NODE), "--check", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_take_what_others_give_and_use_it():
    modules = [Module(file) for file in FILES]
    taken = {name for module in modules for name in module.taken}
    assert taken == {name for module in modules for name in module.given} - {"liveLadder"}
    assert [name for module in modules for name in module.unused] == []
    declared = [name for module in modules for name in module.declared]
    assert len(declared) == len(set(declared)), "joined into one script, two modules would share a name"
    assert max(len(line) for module in modules for line in module.text.splitlines()) <= 130
