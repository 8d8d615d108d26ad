"""ONNX files: accepted by onnx' checker, and the same numbers in onnxruntime, op by op and model by model."""

import math
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.export.onnx_writer import File
from minigrad.export.operators import TABLE

from ..helpers import registry
from ..table import ROWS

library = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

# What ONNX has no operator for (put scatters into zeros; it appears in gradients of indexing alone), and what a
# pattern covers.
NO_OPERATOR = {"put"}
NO_GRADIENT_NO_HISTORY = {"argmax", "argmin"}  # exported as constants they would be wrong, so they are refused


def run(path, *arrays):
    """The file's outputs for these inputs, after the checker has seen it; every value in it must carry its shape."""
    library.checker.check_model(str(path), full_check=True)
    graph = library.load(str(path)).graph
    told = {x.name for x in (*graph.value_info, *graph.output) if x.type.tensor_type.HasField("shape")}
    assert {name for node in graph.node for name in node.output} <= told
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [x.name for x in library.load(str(path)).graph.input]
    return session.run(None, dict(zip(names, arrays, strict=False)))


def operators(path):
    return [node.op_type for node in library.load(str(path)).graph.node]


def close(actual, expected, tol=1e-6):
    expected = np.asarray(expected)
    assert actual.shape == expected.shape
    if expected.dtype.kind == "f":
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
        actual, expected = np.nan_to_num(actual), np.nan_to_num(expected)
        size = max(float(np.max(np.abs(expected), initial=0.0)), 1e-30)
        assert float(np.max(np.abs(actual - expected), initial=0.0)) <= tol * size
    else:
        np.testing.assert_array_equal(actual, expected)


# Primitives -----------------------------------------------------------------------------------------------------


def test_every_primitive_has_an_entry_or_a_reason():
    patterns = {"linear", "softmax", "log_softmax"}
    assert set(TABLE) - patterns == set(registry) - NO_OPERATOR - NO_GRADIENT_NO_HISTORY


@pytest.mark.parametrize("row", [row for row in ROWS if row.op not in NO_OPERATOR | NO_GRADIENT_NO_HISTORY], ids=str)
def test_primitives(row, rng, tmp_path):
    arrays = [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in row.arrays(rng)]
    moving = [k for k, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]
    params = {k: v.astype(np.float32) if getattr(v, "dtype", None) == np.float64 else v for k, v in row.params.items()}
    if row.op == "astype":
        params = {"dtype": np.float32}

    def function(*xs):
        given = list(arrays)
        for k, x in zip(moving, xs, strict=True):
            given[k] = x
        y = registry[row.op](*given, **params)
        return y if y.dtype.kind != "f" else y * 1.0

    if row.flat and not moving:  # masks of masks
        pytest.skip("only masks go in, and inputs of a file are numbers")
    path = tmp_path / "op.onnx"
    mg.export.onnx(function, path, [arrays[k] for k in moving])
    close(run(path, *[arrays[k] for k in moving])[0], function(*[mg.tensor(arrays[k]) for k in moving]).data)


MORE: dict[str, tuple[Any, tuple[int, ...]]] = {
    "x[0]": (lambda x: x[0], (3, 4)),
    "x[-1]": (lambda x: x[-1], (3, 4)),
    "x[:, 1]": (lambda x: x[:, 1], (3, 4)),
    "x[:, 1:3]": (lambda x: x[:, 1:3], (3, 4)),
    "x[::-1, ::2]": (lambda x: x[::-1, ::2], (3, 4)),
    "x[..., None]": (lambda x: x[..., None], (3, 4)),
    "x[None, :, 0]": (lambda x: x[None, :, 0], (3, 4)),
    "x[:, None, 1:]": (lambda x: x[:, None, 1:], (3, 4)),
    "x[0, :, None, -1]": (lambda x: x[0, :, None, -1], (3, 4, 5)),
    "x[:, [2, 0, 2]]": (lambda x: x[:, [2, 0, 2]], (3, 4)),
    "x[[[0, 1], [2, 0]]]": (lambda x: x[np.array([[0, 1], [2, 0]])], (3, 4)),
    "x[:, [[0, 1]], 2]": (lambda x: x[:, np.array([[0, 1]])][..., 2], (3, 4, 5)),
    "x[[0, 1], [2, 3]]": (lambda x: x[[0, 1], [2, 3]], (3, 4)),
    "x[:, mask]": (lambda x: x[:, np.array([True, False, True, False])], (3, 4)),
    "whole numbers": (lambda x: x * np.array([1, 2, 3, 4]) + 2, (3, 4)),
    "masks": (lambda x: mg.where((x > 0.1) & ~(x > 1.0) | (x != x), x * 2.0, mg.where(x <= 0, 0.0, x)), (3, 4)),
    "softmax": (mg.softmax, (3, 4)),
    "softmax over rows": (lambda x: mg.softmax(x, axis=0), (3, 4)),
    "log_softmax": (lambda x: mg.log_softmax(100.0 * x), (3, 4)),
    "cross entropy": (lambda x: mg.cross_entropy(x, [0, 3, 1]), (3, 4)),
    "cross entropy composed": (lambda x: mg.cross_entropy_composed(x, [0, 3, 1]), (3, 4)),
    "batch norm": (lambda x: mg.batch_norm(x, np.arange(4.0) + 1, np.ones(4)), (6, 4)),
    "batch norm (N, C, L)": (lambda x: mg.batch_norm(x, np.arange(4.0) + 1, axis=(0, 2)), (3, 4, 5)),
    "batch norm composed": (lambda x: mg.batch_norm_composed(x, np.arange(4.0) + 1, np.ones(4)), (6, 4)),
    "batch norm staged": (lambda x: mg.batch_norm_composed(x, variance="staged"), (6, 4)),
    "layer norm over rows": (lambda x: mg.layer_norm(x, axis=0), (6, 4)),
    "layer norm over two": (lambda x: mg.layer_norm(x, np.ones((4, 5)) * 2, axis=(-2, -1)), (3, 4, 5)),
    "layer norm composed": (lambda x: mg.layer_norm_composed(x, np.arange(4.0)), (6, 4)),
    "roll of all": (lambda x: mg.roll(x, 5), (3, 4)),
    "roll far": (lambda x: mg.roll(x, -9, axis=1), (3, 4)),
    "flatten": (lambda x: x.reshape(x.shape[0], -1), (3, 4, 5)),
    "the input itself": (lambda x: x, (3,)),
    "a column stretched": (lambda x: mg.broadcast_to(x[:, :1], x.shape), (3, 4)),
    "gelu of 0-d": (lambda x: mg.gelu(x), ()),
}  # fmt: skip


@pytest.mark.parametrize("name", MORE)
def test_other_functions(name, rng, tmp_path):
    function, shape = MORE[name]
    x = rng.normal(size=shape).astype(np.float32)
    mg.export.onnx(function, tmp_path / "f.onnx", x)
    expected = function(mg.tensor(x.astype(float)))
    close(run(tmp_path / "f.onnx", x)[0], expected.data.astype(np.float32), tol=4e-6)


# Models ---------------------------------------------------------------------------------------------------------


class Twice(mg.nn.Module):
    """Two heads on one body."""

    def __init__(self):
        self.body = mg.nn.Linear(4, 6, rng=0, dtype=np.float32)
        self.norm = mg.nn.LayerNorm(6, dtype=np.float32)

    def forward(self, x):
        h = mg.tanh(self.norm(self.body(x)))
        return mg.softmax(h), h.max(axis=1)


def trained(net, rng):
    """Running statistics that are not those of the start."""
    for _ in range(3):
        net(mg.tensor(rng.normal(2.0, 3.0, size=(16, 4)).astype(np.float32)))
    return net


MODELS: dict[str, Any] = {
    "mlp": lambda: mg.nn.MLP((4, 8, 3), rng=0, dtype=np.float32),
    "batch norm": lambda: mg.nn.MLP((4, 8, 8, 3), norm="batch", activation="leaky_relu", rng=0, dtype=np.float32),
    "batch norm keras": lambda: mg.nn.MLP((4, 8, 3), norm="batch", convention="keras", bias_correction=True, rng=0,
                                          activation="sigmoid", dtype=np.float32),
    "composed": lambda: mg.nn.MLP((4, 8, 3), norm="batch", implementation="composed", rng=0, dtype=np.float32),
    "layer norm": lambda: mg.nn.MLP((4, 8, 3), norm="layer", activation="tanh", rng=0, dtype=np.float32, dropout=0.5),
    "functions": lambda: mg.nn.Sequential(mg.nn.Linear(4, 3, rng=0, bias=False, dtype=np.float32), mg.gelu, mg.silu),
    "two heads": Twice,
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models_run_with_any_number_of_rows(name, rng, tmp_path):
    net, path = trained(MODELS[name](), rng), tmp_path / "net.onnx"
    before = net.state_dict()
    mg.export.onnx(net, path)
    assert net.training
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    net.eval()
    for rows in (1, 2, 17):
        x = rng.normal(2.0, 3.0, size=(rows, 4)).astype(np.float32)
        expected = net(mg.tensor(x))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for actual, wanted in zip(run(path, x), expected, strict=True):
            close(actual, wanted.data)


def test_layers_become_single_operators_and_all_shapes_are_known(rng, tmp_path):
    path = tmp_path / "net.onnx"
    net = mg.nn.Sequential(
        mg.nn.Linear(4, 8, bias=False, rng=0), mg.nn.BatchNorm1d(8), mg.relu, mg.nn.Linear(8, 6, rng=1),
        mg.nn.LayerNorm(6), mg.nn.Tanh(), mg.softmax,
    )  # fmt: skip
    mg.export.onnx(net, path)
    assert operators(path) == ["MatMul", "BatchNormalization", "Relu", "Gemm", "LayerNormalization", "Tanh", "Softmax"]
    graph = library.load(str(path)).graph
    known = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
             for v in (*graph.value_info, *graph.input, *graph.output)}  # fmt: skip
    for node in graph.node:
        assert known[node.output[0]][0] == "batch"
    assert list(known.values())[-1] == ["batch", 6]
    assert {"weight", "gamma", "beta", "running_mean", "running_var", "bias"} <= {c.name for c in graph.initializer}


def test_a_model_in_training_uses_the_statistics_of_the_batch(rng, tmp_path):
    net, path = trained(MODELS["batch norm"](), rng), tmp_path / "net.onnx"
    before = net.state_dict()
    mg.export.onnx(net, path, training=True)
    x = rng.normal(2.0, 3.0, size=(9, 4)).astype(np.float32)
    actual = run(path, x)[0]
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    close(actual, net(mg.tensor(x)).data, tol=4e-6)


def test_gradients_are_exported_like_anything_else(rng, tmp_path):
    weight = mg.tensor(rng.normal(size=(4, 2)).astype(np.float32), requires_grad=True, name="weight")

    def gradients(x):
        loss = mg.sum(mg.square(mg.batch_norm_composed(x @ weight)) * mg.sigmoid(x @ weight))
        return mg.grad(loss, (x, weight), create_graph=True)

    x = rng.normal(size=(5, 4)).astype(np.float32)
    mg.export.onnx(gradients, tmp_path / "g.onnx", x)
    for actual, wanted in zip(run(tmp_path / "g.onnx", x), gradients(mg.tensor(x, requires_grad=True)), strict=True):
        close(actual, wanted.data, tol=2e-5)


# Graphs ---------------------------------------------------------------------------------------------------------


def test_a_recorded_graph_has_all_its_leaves_as_inputs_with_their_values(rng, tmp_path):
    x = mg.tensor(rng.normal(size=(5, 3)).astype(np.float32), requires_grad=True, name="x")
    gamma = mg.ones(3, dtype=np.float32, requires_grad=True, name="gamma")
    y = mg.batch_norm_composed(x, gamma)
    path = tmp_path / "y.onnx"
    mg.export.onnx(y, path)
    close(run(path)[0], y.data)
    assert [v.name for v in library.load(str(path)).graph.input] == ["x", "gamma"]
    other = rng.normal(size=(5, 3)).astype(np.float32)
    close(run(path, other)[0], mg.batch_norm_composed(other, gamma).data, tol=2e-6)
    mg.export.onnx([y, y.max()], path, inputs=x, names=["data"])
    graph = library.load(str(path)).graph
    assert [v.name for v in graph.input] == ["data"]
    assert {"mu", "var", "x_hat"} <= {node.output[0] for node in graph.node}
    close(run(path, other)[1], mg.max(mg.batch_norm_composed(other, gamma)).data, tol=2e-6)


def test_names_that_stand_twice_are_told_apart(rng, tmp_path):
    x = mg.tensor(rng.normal(size=3).astype(np.float32), requires_grad=True, name="same")
    y = (mg.exp(x).named("same") + mg.tensor([1.0, 2.0, 3.0], name="same")).named("same")
    mg.export.onnx([y, y, x * 1.0], tmp_path / "n.onnx")
    found = run(tmp_path / "n.onnx")
    close(found[0], y.data.astype(np.float32))
    close(found[1], found[0])


def test_float64(rng, tmp_path):
    x = rng.normal(size=(3, 4))
    mg.export.onnx(lambda x: mg.tanh(x @ x.T), tmp_path / "d.onnx", x, dtype="float64")
    close(run(tmp_path / "d.onnx", x)[0], np.tanh(x @ x.T), tol=1e-14)


# The number of rows -----------------------------------------------------------------------------------------------


def rows_of(path):
    return library.load(str(path)).graph.input[0].type.tensor_type.shape.dim[0]


FIXED = {
    "a number from the shape": lambda x: x.sum(axis=0) / x.shape[0],
    "a constant as long": lambda x: x * np.arange(float(x.shape[0]))[:, None],
    "a matrix across": lambda x: x @ x.T + mg.eye(x.shape[0]),
    "another path": lambda x: x * 2.0 if x.shape[0] == 3 else mg.exp(x),
    "an error": lambda x: x @ np.ones((4, 2)) if x.shape[0] == 3 else 1 / 0,
    "stretched": lambda x: mg.broadcast_to(x.sum(axis=0), x.shape),
    "reshaped across": lambda x: x.reshape(-1),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
def test_rows_are_fixed_where_the_function_needs_them(name, rng, tmp_path):
    function, path = FIXED[name], tmp_path / "f.onnx"
    x = rng.normal(size=(3, 4)).astype(np.float32)
    mg.export.onnx(function, path, x)
    assert rows_of(path).dim_value == 3
    close(run(path, x)[0], function(mg.tensor(x)).data)
    with pytest.raises(ValueError, match="the number of rows cannot be left open: "):
        mg.export.onnx(function, tmp_path / "g.onnx", x, dynamic_batch=True)
    assert not (tmp_path / "g.onnx").exists()


def test_rows_can_be_fixed_by_wish(rng, tmp_path):
    x = rng.normal(size=(3, 4)).astype(np.float32)
    mg.export.onnx(mg.exp, tmp_path / "f.onnx", x, dynamic_batch=False)
    assert rows_of(tmp_path / "f.onnx").dim_value == 3
    mg.export.onnx(mg.exp, tmp_path / "f.onnx", x, dynamic_batch=True)
    assert rows_of(tmp_path / "f.onnx").dim_param == "batch"


# Errors ---------------------------------------------------------------------------------------------------------


@mg.primitive(formula="sinc(x)")
def sinc(x, /):
    return np.sinc(x)


STREAM = np.random.default_rng(0)
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "no operator": (
        lambda x: sinc(x) * 2.0,
        NotImplementedError,
        "ONNX has no operator for sinc, which made a result of shape (3, 4) (recorded",
    ),
    "data": (lambda x: x * x.data.max(), ValueError, "mul used the number"),
    "a mask from data": (
        lambda x: mg.where(x.data > 0, x, 0.0),
        ValueError,
        "where used the constant (3, 4) bool, which was computed from the inputs outside",
    ),
    "a position": (lambda x: x * mg.argmax(x, axis=1, keepdims=True), ValueError, "mul used the constant"),
    "dropout": (lambda x: mg.dropout(x, 0.5, STREAM), ValueError, "mul used the constant (3, 4) float32"),
    "a path that values decide": (
        lambda x: x * 2.0 if x.data[0, 0] == 0.5 else mg.exp(x),
        ValueError,
        "took another path through its code",
    ),
    "an index that values decide": (
        lambda x: x[int(np.argmax(x.data[:, 0]))],
        ValueError,
        "the parameters of getitem changed",
    ),
    "no tensor": (lambda x: x.data, TypeError, "must return a Tensor, or several; it returned ndarray"),
    "no graph": (lambda x: mg.tensor(x.data), ValueError, "has no graph, so there is nothing to export"),
    "an index array apart from an integer": (
        lambda x: x.reshape(3, 2, 2)[:, [0, 1], None, 0],
        NotImplementedError,
        "index in two steps",
    ),
    "a bare truth as an index": (lambda x: x[True], NotImplementedError, "True or False as an index is not exported"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_says_why_and_writes_nothing(name, tmp_path):
    function, kind, message = REFUSED[name]
    x = np.linspace(0.5, 2.0, 12, dtype=np.float32).reshape(3, 4)
    path = tmp_path / "f.onnx"
    path.write_bytes(b"before")
    with pytest.raises(kind, match=re.escape(message)):
        mg.export.onnx(function, path, x)
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["f.onnx"]


def test_misuse_is_named(tmp_path):
    x = mg.ones((2, 3), requires_grad=True)
    path = tmp_path / "f.onnx"
    for call, kind, message in (
        (
            lambda: mg.export.onnx("net", path),  # type: ignore[arg-type]
            TypeError,
            "expected a Module, a function or Tensors with a graph, got str",
        ),
        (lambda: mg.export.onnx([], path), TypeError, "got list"),
        (lambda: mg.export.onnx(mg.exp, path), ValueError, "give inputs=, an example array for each argument"),
        (lambda: mg.export.onnx(mg.exp, path, np.arange(3)), TypeError, "must be floating-point, got int64"),
        (lambda: mg.export.onnx(x, path), ValueError, "the tensor has no graph"),
        (lambda: mg.export.onnx(mg.exp(x), path, inputs=[mg.ones(3)]), ValueError, "are leaves that it was computed"),
        (lambda: mg.export.onnx(mg.exp(x), path, names=["a", "b"]), ValueError, r"names=\['a', 'b'\] must be 1"),
        (lambda: mg.export.onnx(mg.exp(x), path, dtype="int8"), ValueError, "dtype='int8' must be"),
        (lambda: mg.export.onnx(mg.exp(x), tmp_path / "no" / "f.onnx"), FileNotFoundError, "there is no folder"),
    ):
        with pytest.raises(kind, match=message):
            call()
    assert not list(tmp_path.iterdir())
    assert math.isfinite(x.sum().item())


def test_a_name_that_is_taken_is_numbered_without_asking_for_all_before_it():
    class Asked(dict[str, int]):
        times = 0

        def __contains__(self, name):
            Asked.times += 1
            return super().__contains__(name)

    file = File.__new__(File)
    file.taken = Asked(mul_2=1)
    names = [file.fresh("mul") for _ in range(1000)]
    assert names[:3] == ["mul", "mul_3", "mul_4"]
    assert len(set(names)) == 1000
    assert Asked.times < 3000


def test_a_name_that_no_text_can_hold_is_written_all_the_same(tmp_path):
    x = mg.tensor(np.ones((2, 3)), requires_grad=True, name="a\ud800")
    mg.export.onnx((x * 2.0).named("b\udfff"), tmp_path / "x.onnx")
    assert [x.name for x in library.load(str(tmp_path / "x.onnx")).graph.output] == ["b?"]
