"""What a user's type checker knows of minigrad: every public name, used rightly and wrongly, in a file of theirs.

`assert_type` is an error where a type is not exactly that one, so `Any` in the place of a type does not pass.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg

HOME = Path(mg.__file__).parents[1]

DEFINITIONS = """
from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import minigrad as mg
from minigrad import Tensor

Array = npt.NDArray[Any]
x = mg.tensor([1.0, 2.0], requires_grad=True)
a = np.ones(3)
rng = np.random.default_rng(0)
net = mg.nn.MLP((2, 3), rng=0)
adam = mg.optim.Adam(net.parameters())


def loss(x: Tensor) -> Tensor:
    return mg.mean(mg.square(x))


def either(x: Tensor | Array) -> Tensor | Array:
    assert_type(mg.batch_norm(x), Tensor | Array)
    return mg.exp(x)


@mg.primitive
def cube(x: Array) -> Array:
    return np.asarray(x * x * x)


cube.defvjp(lambda g, out, x: g * 3.0 * x * x)


@mg.primitive(formula="slope * x * y", local=("slope * g * y", "slope * g * x"))
def product(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], /, slope: float = 1.0) -> npt.NDArray[np.float64]:
    return slope * x * y


@mg.no_grad
def quiet(x: Tensor) -> Tensor:
    return x


@mg.no_grad()
@mg.scope("part")
@mg.detect_anomalies()
@mg.record_lines()
def watched(x: Tensor, n: int = 1) -> Tensor:
    return x


@mg.replay
def step(x: Tensor) -> Tensor:
    return loss(x)


@mg.replay(fuse=True)
def steps(x: Tensor) -> tuple[Tensor, int]:
    return loss(x), 1


class Trainer:
    @mg.replay
    def step(self, x: Tensor) -> Tensor:
        return loss(x)


class Net(mg.nn.Module):
    def __init__(self) -> None:
        self.linear = mg.nn.Linear(3, 4, rng=0)

    def forward(self, x: Tensor, deep: bool = True) -> tuple[Tensor, int]:
        return mg.relu(self.linear(x)), 3


def after(run: mg.training.Run, schedule: mg.optim.Schedule) -> None:
    assert_type((run.epoch, run.loss, run.model, run.optimizer), tuple[int, float, mg.nn.Module, mg.optim.Optimizer])


try:
    with mg.nn.frozen_statistics(), mg.no_grad(), mg.scope("all"):
        pass
except (mg.nn.NonFinite, mg.training.NonFiniteStep) as error:
    assert_type(str(error), str)
"""

# a Tensor for a Tensor, an array for an array or a number
OF_ONE = {
    "abs cos erf exp expm1 gelu isnan leaky_relu log log1p logical_not neg relu sigmoid sign silu sin softplus": "",
    "sqrt square tanh softmax log_softmax squeeze flip argmax argmin cumsum transpose": "",
    "logsumexp max mean min prod std sum var": ", axis=(0, 1), keepdims=True",
    "batch_norm batch_norm_composed layer_norm layer_norm_composed": ", axis=0, eps=0.0",
    "astype": ", 'float32'",
    "broadcast_to reshape": ", [2, 3]",
    "clip": ", 0.0, high=1.0",
    "cross_entropy cross_entropy_composed nll_loss": ", labels=[1, 2], reduction='sum'",
    "dropout": ", 0.5, rng=0",
    "expand_dims": ", axis=0",
    "getitem": ", (0, ..., slice(1))",
    "put": ", index=0, shape=(3,)",
    "roll": ", shift=(1, 2)",
    "swapaxes": ", 0, 1",
}
# a Tensor where either is one
OF_TWO = """
    add div equal greater greater_equal less less_equal logical_and logical_or matmul maximum minimum mul not_equal
    pow sub linear mse_loss l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits product
"""
OPERATIONS = """
    x + 1; 1 + x; x - a; a - x; a * x; [1.0] + x; x / 2; 2 / x; a @ x; x**2; 2**x; -x; +x; abs(x); sum([x, x], x);
    a < x; x == a; x != 0; (x > 0) & (x < 1); ~(x > 0); np.float32(2) * x; x[0]; x[1:, None]; x[x > 0];
    x[[0, 1], ...]; x.T; x.reshape(2, -1); x.reshape(a.shape); x.transpose(); x.transpose(1, 0); x.flatten();
    x.exp(); x.mean(0); x.var(ddof=1); x.sum(axis=(0, 1), keepdims=True); x.astype(np.float32); x.clip(low=a);
    x.detach(); x.named("x"); next(iter(x))
"""
TYPES = {
    "Tensor": """
        mg.zeros(3); mg.ones((2, 3)); mg.full([2], 1.0); mg.eye(3); mg.arange(3); mg.tensor(a, dtype="float32");
        Tensor(a); mg.Tensor([1.0]); mg.linear(a, a, bias=x); mg.mse_loss(x, target=a); mg.batch_norm(a, gamma=x);
        mg.where(x > 0, a, 0.0); mg.layer_norm(a, None, x); mg.batch_norm_composed(a, beta=x, axis=(0, 1));
        mg.where(a, a, x); mg.where(a, x, 1.0); mg.batch_norm_inference(x, None, None, a, a);
        mg.batch_norm_inference_composed(a, x, x, mean=a, var=a); mg.concatenate([x, x]); mg.stack((x, a), axis=1);
        mg.stack([k * x for k in range(3)]); mg.einsum("i,i", a, x); mg.grad(x, x);
        mg.grad(loss(x), x, gradient=1.0, create_graph=True); mg.jacobian(mg.exp, a);
        mg.hvp(lambda t: (t * t).sum(), x, a); mg.hessian(lambda t: (t * t).sum(), x); mg.fuse(x); loss(x);
        quiet(x); watched(x, n=2); step(a);
        Trainer().step(a); cube(x); product(x, x, slope=2.0); product(a, x); net(x); net(a); mg.nn.BatchNorm1d(3)(a);
        mg.nn.LayerNorm(3)(x); mg.nn.Sequential(mg.nn.Linear(2, 3), mg.relu, lambda t: t * 2.0)(x); mg.nn.ReLU()(x);
        mg.nn.Dropout(0.5, rng=0)(x); mg.nn.Tanh()(x); mg.nn.Sigmoid()(x); mg.nn.LeakyReLU(0.1)(x);
        Net().linear.weight
    """,
    "Array": """
        x.data; x.numpy(); cube(a); mg.linear(a, a, a); mg.where(a, a, 0.0); mg.concatenate((a, a));
        mg.stack([a, a]); mg.einsum("i->", a); mg.batch_norm(a, a, beta=a);
        mg.batch_norm_inference(a, None, None, a, var=a); mg.nn.ReLU()(a); mg.check.numerical_grad(mg.sum, a);
        mg.training.predict(net, a); mg.data.array("x.npy"); mg.data.table("x.csv")["a"];
        next(mg.data.shuffled(3, 2, rng)); next(mg.data.with_replacement(3, 2, rng, steps=1))
    """,
    "list[Tensor]": "mg.split(x, 2); net.parameters()",
    "list[Array]": "mg.split(a, [1, 2]); mg.export.keras_weights(net)",
    "tuple[Tensor, ...]": "mg.grad(x, [x, x]); mg.grad(x, net.parameters(), a); mg.grad(x, (x,), create_graph=True)",
    "tuple[Tensor, int]": "steps(a); Net()(x); Net()(x, deep=False)",
    "Tensor | Array": "either(x)",
    "Tensor | None": "x.grad; mg.nn.Linear(2, 3).bias",
    "tuple[int, ...]": "x.shape",
    "float": """
        x.item(); mg.check.rel_error(a, x); mg.optim.clip_grad_norm([x], 1.0); mg.training.accuracy(a, a);
        mg.training.binary_accuracy(a, a); mg.training.mse(a, a); mg.training.mae(a, a); mg.training.r2(a, a)
    """,
    "dict[str, str]": "mg.kernels()",
    "dict[str, Tensor]": "mg.from_torch(net, a).leaves; mg.from_jax(loss, a, check=False).leaves",
    "dict[str, float]": "mg.training.evaluate(net, a, a, mg.mse_loss)",
    "list[dict[str, Any]]": "mg.training.sweep(lambda lr: {'loss': lr}, [{'lr': 0.1}], folder='f')",
    "None": """
        x.backward(); adam.step(); mg.export.onnx(net, "f.onnx"); mg.export.from_torch_state(net, {});
        mg.export.from_keras_weights(net, []); mg.training.plot_boundary(net, a, a, "b.png");
        mg.nn.average_statistics(net, [a])
    """,
    "tuple[Tensor, Tensor]": "mg.jvp(lambda t: t * t, x, a)",
    "tuple[Tensor, Any]": "mg.value_and_grad(lambda t: (t * t).sum(), x)",
    "tuple[Array, Array]": """
        mg.data.load_digits(); mg.data.make_blobs(100, centers=[[0.0, 1.0]], seed=0); mg.data.load_diabetes();
        mg.data.make_moons(seed=0); mg.data.make_spirals(90, arms=2, seed=rng)
    """,
    "mg.data.Table": "mg.data.table('x.csv', columns=['a', 2], decimal=','); mg.data.table('x.csv').complete()",
    "tuple[Array, Array, Array, Array]": "mg.data.train_test_split(a, a, test=0.5, seed=rng)",
    "dict[str, Array]": "mg.export.torch_state(net); net.state_dict()",
    "mg.check.Gradcheck": "mg.check.gradcheck(mg.exp, [x]); mg.check.backward(lambda t: (t, t), lambda d, c: d, [a])",
    "mg.check.Comparison": "mg.check.compare(mg.batch_norm, mg.batch_norm_composed, [x, a, a])",
    "mg.check.Blame": "mg.check.blame(x, a)",
    "mg.check.Cost": "mg.check.cost(x)",
    "mg.check.Precision": "mg.check.precision(mg.exp, [a], ['float32'])",
    "mg.check.WhatIf": "mg.check.what_if(x, 'h', 0.1, index=0)",
    "mg.check.ZeroReport": "mg.check.explain_zeros(x)",
    "mg.data.Cifar10": "mg.data.load_cifar10('folder')",
    "mg.nn.MLP": "net.eval()",
    "mg.optim.SGD": "mg.optim.SGD([x], lr=0.1); mg.optim.SGD([{'params': [x]}, {'params': [x], 'lr': 0.1}])",
    "mg.optim.RMSprop": "mg.optim.RMSprop([x], lr=0.1, alpha=0.9)",
    "mg.optim.StepLR": "mg.optim.StepLR(adam, 3)",
    "mg.optim.CosineLR": "mg.optim.CosineLR(adam, t_max=3)",
    "mg.optim.PlateauLR": "mg.optim.PlateauLR(adam, factor=0.5)",
    "mg.training.EarlyStopping": "mg.training.EarlyStopping(3, monitor='loss')",
    "mg.training.LayerStatistics": "mg.training.LayerStatistics(a, every=2)",
    "mg.optim.LambdaLR": "mg.optim.LambdaLR(adam, lambda k: 0.9**k)",
    "mg.nn.Convention": "mg.nn.CONVENTIONS['torch']",
    "mg.optim.AdamW": "mg.optim.AdamW(net.parameters(), betas=(0.9, 0.99))",
    "mg.training.History": """
        mg.training.fit(net, mg.cross_entropy, adam, (a, a), epochs=3, seed=rng);
        mg.training.fit(net, "mse", "adam", a, a, lr=0.1, metrics="mae", epochs=3)
    """,
    "Path": "mg.page({'a': x}, 'p.html'); mg.draw(x).save('x.svg'); mg.ladder(x).save('y.svg')",
    "str": """
        mg.record(loss, x).source(); mg.draw([x, x], gradient=a).svg(); mg.draw_pair(x, ("f", x)).svg();
        mg.graph(x).to_dot(); mg.derive(loss, [x]).source()
    """,
}

ERRORS = """
    mg.exp(x).bacward(); mg.exp("hello"); mg.exp(x, x); mg.grad(x, "x"); mg.grad(a, x); mg.grad(x, [x]).shape;
    mg.sofmax(x); mg.mean(x).fooo(); mg.sum(x, axis="a"); mg.batch_norm("a"); mg.batch_norm(x, gama=x);
    mg.layer_norm(x, eps="1"); mg.softmax(x).fooo(); mg.cross_entropy(x, "labels");
    mg.cross_entropy(x, a, reduction=3); mg.mse_loss(x, "t"); mg.linear(x, "w"); mg.dropout(x, "p", 0);
    mg.concatenate(x); mg.concatenate(["a"]); mg.split(x, 2)[0].fooo(); mg.add(x, "y"); mg.add(x);
    mg.where(x > 0, "a", x); mg.einsum("i", "x"); mg.clip(x, "a"); mg.reshape(x, "3"); mg.astype(x, 3);
    mg.getitem(x, "a"); mg.jacobian("f", x); mg.jacobian(lambda t: 3, x); mg.tensor("a"); mg.zeros("3");
    mg.full((2,), "v"); x + "a"; x["a"]; x[0].fooo(); x.fooo; x.T.fooo(); x.item().fooo(); x.grad.data;
    (a * x).fooo(); x.reshape("a"); x.backward("g"); x.softmax.fooo; mg.no_grad(3); mg.scope(3); mg.primitive(3);
    cube("x"); cube(x).fooo(); product(a, x).fooo(); loss("x"); quiet("x"); watched(x).fooo(); mg.replay(3);
    mg.record(3, x); mg.record(loss, x).fooo(); mg.derive(3, [x]);
    mg.from_jax("f", x); mg.from_torch(net, check="no");
    step(a).fooo(); steps(a)[0].fooo(); Trainer().step(a).fooo(); Net()("x"); Net()(x).fooo(); mg.nn.Liner(3, 4);
    mg.nn.Linear("3", 4); mg.nn.Linear(3, 4)("x"); mg.nn.Linear(3, 4)(x).fooo(); net(x).fooo();
    mg.nn.ReLU()(x).fooo(); mg.nn.Sequential(3); mg.nn.BatchNorm1d("3"); mg.optim.SGD(net.parameters(), lr="0.1");
    mg.optim.Adam([a]); mg.optim.Adm([x]); adam.stpe(); mg.optim.StepLR(x, 3); mg.check.gradchek(mg.exp, [x]);
    mg.check.gradcheck("f", [x]); mg.check.compare(mg.exp, mg.exp, "x"); mg.check.blame("x"); mg.draw("x");
    mg.draw(x).fooo(); mg.page("x", "p.html"); mg.fuse("x"); mg.export.onnx("x", "f.onnx");
    mg.data.shuffled(7, 3, "0"); mg.data.make_blobs(centers="a", seed=0); mg.training.predict(net, "x");
    mg.training.fit(net, mg.cross_entropy, adam, (a, a), epochs="3"); mg.nn.init.normal("s", 0); mg.kernels().fooo()
"""


def public(module):
    """The names that a module lists, or else the functions and classes that it defines."""
    own = [
        n for n, x in vars(module).items() if getattr(x, "__module__", "") == module.__name__ and not n.startswith("_")
    ]
    return getattr(module, "__all__", own)


def calls(text):
    return [call.strip() for call in text.split(";") if call.strip()]


def user_file():
    """What a user might write, and below it what should be an error, marked so."""
    good = []
    for names, more in OF_ONE.items():
        for name in names.split():
            good += [
                (f"mg.{name}(x{more})", "Tensor"),
                (f"mg.{name}(a{more})", "Array"),
                (f"mg.{name}(2.0{more})", "Array"),
            ]
    for name in OF_TWO.split():
        f = name if name == "product" else f"mg.{name}"
        good += [
            (f"{f}(x, x)", "Tensor"),
            (f"{f}(x, [1.0])", "Tensor"),
            (f"{f}(a, x)", "Tensor"),
            (f"{f}(a, a)", "Array"),
        ]
    good += [(call, "Tensor") for call in calls(OPERATIONS)]
    good += [(f"mg.nn.init.{name}((2, 3), 0)", "Array") for name in public(mg.nn.init)]
    good += [(call, kind) for kind, text in TYPES.items() for call in calls(text)]
    lines = [*DEFINITIONS.splitlines(), *[f"assert_type({call}, {kind})" for call, kind in good]]
    return "\n".join([*lines, *[f"{call}  # error" for call in calls(ERRORS)]]) + "\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("user") / "user.py"
    path.write_text(user_file())
    return path


def misjudged(path, found):
    """The lines that are errors to the checker and not marked, and the other way round."""
    lines = path.read_text().splitlines()
    marked = {k for k, line in enumerate(lines, 1) if line.endswith("# error")}
    return "\n".join(lines[k - 1] for k in sorted(marked ^ set(found)))


def run(command, path):
    python_path = os.pathsep.join(filter(None, [str(HOME), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "MYPYPATH": str(HOME), "PYTHONPATH": python_path}
    return subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True, timeout=600)


def test_mypy_strict_finds_the_mistakes_and_nothing_else(written):
    pytest.importorskip("mypy")
    options = ["--strict", "--config-file=", "--follow-imports=silent", "--cache-dir=cache", "--no-error-summary"]
    done = run([sys.executable, "-m", "mypy", *options, written.name], written)
    found = re.findall(r"^user\.py:(\d+): error: ", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    assert misjudged(written, map(int, found)) == ""


def test_pyright_finds_the_mistakes_and_nothing_else(written):
    pytest.importorskip("pyright")
    done = run([sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, written.name], written)
    if not done.stdout.startswith("{"):
        pytest.skip(f"pyright does not run here: {(done.stdout + done.stderr).strip()[:300]}")
    found = [d for d in json.loads(done.stdout)["generalDiagnostics"] if d["severity"] == "error"]
    assert misjudged(written, [d["range"]["start"]["line"] + 1 for d in found]) == ""


def test_every_public_name_is_in_the_file():
    text = user_file()
    modules = {f"mg.{name}": getattr(mg, name) for name in ("nn", "optim", "check", "data", "training", "export")}
    modules |= {"mg": mg, "mg.nn.init": mg.nn.init}
    names = [f"{prefix}.{name}" for prefix, module in modules.items() for name in public(module)]
    assert [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)] == []
