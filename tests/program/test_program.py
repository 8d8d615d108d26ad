"""A recorded program is the function: on other inputs, forward and backward, opened, in other precisions, as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.program.as_graph import of_graph
from minigrad.program.passes import opened, tidied, without_repeats
from minigrad.program.program import Program, values_in
from minigrad.program.recording import NotRecordable

from .functions import OTHERS, SUBJECTS


def results(function, inputs, gradient=None):
    """(the result's arrays, {name: gradient}) of a function by itself, on Tensors, and what stands for dL/df."""
    leaves = [mg.Tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    returned = function(*leaves)
    parts = list(returned.values()) if isinstance(returned, dict) else [returned]
    flat = [y for part in parts for y in (part if isinstance(part, tuple) else (part,))]
    ends = [y for y in flat if y.requires_grad]
    rng = np.random.default_rng(5)
    slopes = [rng.normal(size=y.shape) for y in ends]
    for y, slope in zip(ends, slopes, strict=True):
        y.backward(slope)
    return [y.data for y in flat], [None if leaf.grad is None else leaf.grad.data for leaf in leaves], slopes


@pytest.mark.parametrize(
    "change", [lambda p: p, opened, lambda p: tidied(opened(p))], ids=["recorded", "opened", "tidied"]
)
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_a_program_is_the_function_on_other_inputs(subject, change):
    program = change(mg.record(subject.function, *subject.inputs(1)))
    inputs = subject.inputs(2)
    values, gradients, slopes = results(subject.function, inputs)
    run = program.run(*inputs, gradient=(slopes if len(slopes) > 1 else slopes[0]) if slopes else None)
    parts = list(run.value.values()) if isinstance(run.value, dict) else [run.value]
    flat = [y for part in parts for y in (part if isinstance(part, tuple) else (part,))]
    exact = mg.kernels()["batch_norm"] == "reference"
    for mine, theirs in zip(flat, values, strict=True):
        assert mine.dtype == theirs.dtype
        assert_same(mine, theirs, exact)
    for value, theirs in zip(program.inputs, gradients, strict=False):
        mine = run.gradients.get(value.label)
        assert (mine is None) == (theirs is None)
        if theirs is not None:
            assert_same(mine, theirs, exact)


def assert_same(a, b, exact):
    assert a.shape == b.shape
    if exact:
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    else:
        size = np.abs(b, where=np.isfinite(b), out=np.zeros(b.shape)).max(initial=1e-300)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * size)


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_json_there_and_back(subject):
    program = mg.record(subject.function, *subject.inputs(1))
    again = Program.from_json(program.to_json())
    assert again.digest() == program.digest()
    assert str(again) == str(program)


def test_a_digest_sees_structure_and_nothing_else():
    x, w = np.ones((3, 2)), mg.tensor(np.ones((2, 2)), requires_grad=True)

    def f(x):
        return mg.sum(mg.relu(x @ w))

    digest = mg.record(f, x).digest()
    assert mg.record(f, x + 1.0).digest() == digest
    assert mg.record(lambda other: mg.sum(mg.relu((other @ w).named("z"))), x).digest() == digest
    assert mg.record(f, np.ones((4, 2))).digest() != digest
    assert mg.record(f, x.astype("f")).digest() != digest
    assert mg.record(lambda x: mg.sum(mg.leaky_relu(x @ w, 0.1)), x).digest() != digest
    assert mg.record(lambda x: mg.sum(mg.leaky_relu(x @ w, 0.2)), x).digest() != mg.record(
        lambda x: mg.sum(mg.leaky_relu(x @ w, 0.1)), x).digest()  # fmt: skip


@pytest.mark.parametrize(
    "side_door",
    [
        lambda x: x * float(x.sum()),
        lambda x: x * np.max(x.data),
        lambda x: x * x.sum().item(),
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x * np.asarray(x.numpy()),
        lambda x: x * mg.tensor(np.array(x.detach().data)),
    ],
)
def test_side_doors_are_refused_by_name(side_door):
    with pytest.raises(NotRecordable, match=r"was read at line \d+ of .*test_program.py"):
        mg.record(side_door, np.array([1.0, 2.0]))


def test_tensors_from_outside_are_read_when_the_program_runs():
    w = mg.tensor(2.0, requires_grad=True, name="w")
    program = mg.record(lambda x: x * w, np.array(3.0))
    w.data = 5.0
    run = program.run(np.array(3.0))
    assert run.value == 15.0
    assert run.gradients == {"x": 5.0, "w": 3.0}


def test_a_value_is_changed_and_the_rest_follows():
    program = mg.record(lambda x: ((x * 2.0).named("z") ** 2).sum(), np.array([1.0, 2.0]))
    assert program.run(np.array([1.0, 2.0])).value == 20.0
    assert program.run(np.array([1.0, 2.0]), change={"z": lambda z: z + 1.0}).value == 34.0
    assert program.run(np.array([1.0, 2.0]), change={"z": 0.0}).value == 0.0
    with pytest.raises(KeyError, match="no value of this program is called 'q'; there are x, "):
        program.run(np.array([1.0, 2.0]), change={"q": 0.0})


def test_another_precision():
    program = mg.record(mg.batch_norm_composed, *OTHERS[2].inputs(1))
    run = program.run(*OTHERS[2].inputs(1), gradient=np.ones((5, 3)), dtype="float16")
    assert run.value.dtype == "float16"
    assert {d.dtype.name for d in run.gradients.values()} == {"float16"}


def test_wrong_inputs_are_named():
    program = mg.record(lambda x, y: x * y, np.ones(3), np.ones(3))
    with pytest.raises(TypeError, match=r"takes 2 inputs \(x, y\), got 1"):
        program.run(np.ones(3))
    with pytest.raises(
        ValueError, match=r"input y is \(2,\) float64, but the program was recorded with \(3,\) float64"
    ):
        program.run(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match=r"gradient= has 2 parts, but this program has 1 results"):
        program.run(np.ones(3), np.ones(3), gradient=(np.ones(3), np.ones(3)))


def test_several_results_are_walked_back_from_without_an_op_more():
    program = mg.record(lambda x: (mg.exp(x), mg.sin(x), x, {"again": x}), np.ones(3))
    assert [i.name for i in program.forward().instructions] == ["exp", "sin"]
    assert sorted(i.name for i in program.instructions if i.backward) == ["add", "add", "add", "cos", "mul", "mul"]
    slopes = [np.array([k, 1.0, -k]) for k in (2.0, 3.0, 5.0, 7.0)]
    found = program.run(np.array([0.1, 0.2, 0.3]), gradient=slopes).gradients["x"]
    x = np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(found, np.exp(x) * slopes[0] + np.cos(x) * slopes[1] + slopes[2] + slopes[3], rtol=1e-15)


def test_without_a_gradient_the_forward_alone_is_run():
    run = mg.record(lambda x, y: x * y, np.ones(3), np.ones(3)).run(np.full(3, 2.0), np.full(3, 4.0))
    assert run.value.tolist() == [8.0] * 3
    assert run.gradients == {}


def test_the_programs_own_arrays_are_nobodys():
    x = np.ones(3)
    program = mg.record(lambda x: x * 2.0, x)
    x[:] = 5.0
    assert program["x"].array[0] == 1.0


def test_modules_keep_their_statistics():
    layer = mg.nn.BatchNorm1d(3)
    before = {name: np.array(x) for name, x in layer.state_dict().items()}
    program = mg.record(layer, np.random.default_rng(0).normal(size=(5, 3)))
    program.run(np.random.default_rng(1).normal(size=(5, 3)), gradient=np.ones((5, 3)))
    for name, x in layer.state_dict().items():
        assert np.array_equal(x, before[name])


def test_a_graph_that_is_there_becomes_a_program():
    w = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="w")
    x = mg.tensor([[5.0, -6.0]], requires_grad=True, name="x")
    y = (mg.relu(x @ w).named("h") + mg.tensor(7.0)).named("y")
    program = of_graph([y, y.sum()], [x])
    assert [v.name for v in program.inputs] == ["x"]
    assert [v.source for v in program.tensors()][:1] == [w]
    assert [i.name for i in program.instructions] == ["matmul", "relu", "add", "sum"]
    for found, wanted in zip(program.run(x).value, (y, y.sum()), strict=True):
        assert np.array_equal(found, wanted.data)
    w.data = [[0.0, 1.0], [0.0, 1.0]]
    assert np.array_equal(program.run(np.array([[1.0, 1.0]])).value[0], [[7.0, 9.0]])
    assert of_graph([x]).template[0].source is x


# --------------------------------------------------------------------------------------------------------------
# Passes


def test_repeats_are_computed_once():
    program = mg.record(lambda x: (mg.exp(x) * mg.exp(x)).sum(), np.ones(3))
    assert sum(i.name == "exp" for i in program.instructions) == 2
    fewer = without_repeats(program)
    assert sum(i.name == "exp" for i in fewer.instructions) == 1
    assert fewer.run(np.ones(3)).value == program.run(np.ones(3)).value


def test_every_value_is_made_before_it_is_used():
    for subject in OTHERS:
        program = tidied(opened(mg.record(subject.function, *subject.inputs(1))))
        there = {v for v in program.values() if v.kind != "made"}
        for i in program.instructions:
            assert set(i.used()) <= there
            there |= set(i.outputs)
        assert set(values_in(program.template)) <= there


# --------------------------------------------------------------------------------------------------------------
# Damaged and hostile JSON


def damaged():
    text = mg.record(mg.batch_norm_composed, np.ones((3, 2)), np.ones(2)).to_json()

    def change(path, value):
        plain = json.loads(text)
        place = plain
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return json.dumps(plain)

    step = ["instructions", 0]
    call: dict[str, object] = {"kind": "call", "name": "x", "call": "eval"}
    call |= {"inputs": {"tuple": []}, "params": {"dict": []}, "outputs": []}
    return {
        "no JSON": ("{", "cannot be read"),
        "another format": (change(["format"], "x"), "format"),
        "an op that is none": (change([*step, "op"], "os.system"), r"\[0\].op: 'os.system' is no primitive"),
        "an op that is a list": (change([*step, "op"], ["mean"]), r"instructions\[0\].op"),
        "a call that is none": (change(step, call), r"instructions\[0\].call: 'eval'"),
        "a value used too early": (change([*step, "inputs"], {"tuple": [{"value": 9}]}), "is used before it is made"),
        "a value made twice": (change([*step, "outputs"], [0]), "is there already"),
        "a number of no value": (change([*step, "inputs"], {"tuple": [{"value": 10**9}]}), "is no number of a value"),
        "a negative number": (change([*step, "inputs"], {"tuple": [{"value": -1}]}), "is no number of a value"),
        "parameters missing": (change([*step, "params"], {"dict": []}), r"instructions\[0\].params: mean takes"),
        "a huge shape": (change(["values", 0, "shape"], [10**6, 10**6]), r"values\[0\].shape"),
        "a dtype that is none": (change(["values", 0, "dtype"], "object"), r"values\[0\].dtype"),
        "deep nesting": (change(["returns"], json.loads('{"tuple":[' * 50 + "1" + "]}" * 50)), "nested too deep"),
        "very deep nesting": ("[" * 100_000, "cannot be read"),
        "a gradient of another shape": (change(["gradients", 0], [0, 1]), r"gradients\[0\]"),
        "unknown kind": (change([*step, "kind"], "update"), r"instructions\[0\].kind"),
        "no list": (change(["instructions"], {}), "instructions: expected a list"),
        "a name that is no text": (change(["values", 0, "name"], {"a": 1}), r"values\[0\].name"),
    }  # fmt: skip


@pytest.mark.parametrize("case", damaged())
def test_damaged_json_is_refused_and_the_place_named(case):
    text, message = damaged()[case]
    with pytest.raises(ValueError, match=message):
        Program.from_json(text)


def test_what_is_no_data_is_not_written():
    @mg.primitive
    def mine(x):
        return x * 2.0

    mine.defvjp(lambda g, out, x: g * 2.0)
    with pytest.raises(TypeError, match="mine is a primitive of your own"):
        mg.record(mine, np.ones(2)).to_json()
    rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match="is Python"):
        mg.record(lambda x: mg.dropout(x, 0.5, rng), np.ones(4)).to_json()
