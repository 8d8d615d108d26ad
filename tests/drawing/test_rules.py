"""Local derivatives and expressions as text: every op has them, and they are what the rule computes."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.nodes import registry
from minigrad.drawing.rules import _formula_template, template

ONE = {"neg", "exp", "log", "log1p", "expm1", "sqrt", "square", "abs", "sin", "cos", "tanh", "sigmoid", "softplus"}
ONE |= {"relu", "erf"}
DIFFERENTIABLE = sorted(name for name, f in registry.items() if f.op.differentiable)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_every_op_has_formula_and_local_derivatives(name):
    op = registry[name].op
    assert _formula_template(op), f"{name} has no formula="
    inputs = range(1 if op.variadic else len(op.input_names))
    texts = {k: "".join(template(op, k)) for k in inputs if op.joint or op.rules[0 if op.variadic else k] is not None}
    assert texts
    for k, text in texts.items():
        assert text, f"{name}, input {k}"
        assert text != "rule(g)", f"{name}, input {k}: no source was found; give it local="
        assert len(text) < 90


def test_rules_that_are_expressions_are_what_they_say():
    """The text of a local derivative, evaluated, gives the gradient that the rule sends."""
    rng = np.random.default_rng(0)
    g = rng.normal(size=(3, 4))
    x, y = (mg.tensor(rng.uniform(0.5, 2.0, (3, 4)), requires_grad=True, name=n) for n in "xy")
    words = {"exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "sqrt": np.sqrt, "pi": np.pi, "sign": np.sign}
    words |= {"where": np.where, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}
    one = [n for n in DIFFERENTIABLE if len(registry[n].op.input_names) == 1 and n in ONE]
    checked = 0
    for name in [*one, *["add", "sub", "mul", "div", "pow"]]:
        f = registry[name]
        inputs = (x,) if name in one else (x, y)
        out = f(*inputs).named("out")
        node = mg.graph(out, gradient=g)["out"]
        for slot, leaf in zip(node.inputs, inputs, strict=True):
            names = {"g": g, "x": x.numpy(), "y": y.numpy(), "out": out.numpy(), **words}
            said = eval(slot.local, {}, names)
            np.testing.assert_allclose(said, mg.grad(out, leaf, g).numpy(), rtol=1e-12, err_msg=f"{name}: {slot.local}")
            checked += 1
    assert checked == 25


def test_names_are_the_users_also_on_one_line_with_others():
    a, b = (mg.tensor([1.0, 2.0], requires_grad=True, name=n) for n in ("left", "right"))
    g = mg.graph((a / b).named("ratio"))
    assert [s.local for s in g["ratio"].inputs] == ["g/right", "-g*ratio/right"]


@pytest.mark.parametrize(
    ("shape_a", "shape_b", "said"),
    [
        ((4, 3), (3,), ["g*b", "sum0(g*a)"]),
        ((4, 3), (4, 1), ["g*b", "sum1(g*a)"]),
        ((4, 3), (), ["g*b", "sum(g*a)"]),
        ((4, 1), (1, 3), ["sum1(g*b)", "sum0(g*a)"]),
        ((2, 4, 3), (4, 1), ["g*b", "sum02(g*a)"]),
        ((4, 3), (4, 3), ["g*b", "g*a"]),
    ],
)
def test_sums_over_broadcast_axes_are_told(shape_a, shape_b, said):
    a, b = (mg.tensor(np.ones(s), requires_grad=True, name=n) for n, s in (("a", shape_a), ("b", shape_b)))
    assert [s.local for s in mg.graph(a * b).nodes[-1].inputs] == said


def test_a_users_own_primitive_is_told_from_its_source():
    @mg.primitive(formula="x**3")
    def cube(x):
        return x * x * x

    cube.defvjp(lambda g, out, t: 3.0 * t * t * g)
    x = mg.tensor(2.0, requires_grad=True, name="side")
    node = mg.graph(cube(x)).nodes[-1]
    assert (node.inputs[0].local, node.formula) == ("3*side*side*g", "side**3")


def test_a_rule_without_source_falls_back():
    names: dict[str, Any] = {"mg": mg}
    exec("@mg.primitive\ndef twice(x): return 2.0 * x\ntwice.defvjp(lambda g, out, x: 2.0 * g)", names)
    x = mg.tensor(2.0, requires_grad=True, name="x")
    node = mg.graph(names["twice"](x)).nodes[-1]
    assert node.inputs[0].local == "rule(g)"
    assert "rule(g)" in mg.draw(names["twice"](x)).dot


def test_expressions_read_as_they_were_written():
    x = mg.tensor(np.ones((4, 6)), requires_grad=True, name="x")
    said = {
        "x[1:3, 0]": x[1:3, 0],
        "x[::2]": x[::2],
        "x[..., None]": x[..., None],
        "-x": -x,
        "1.0 - x": 1.0 - x,
        "x * (-2.0)": x * -2.0,
        "x ** 2": x**2,
        "sum(x, axis=(0, 1))": x.sum(axis=(0, 1)),
        "mean(x, axis=1, keepdims=True)": x.mean(axis=1, keepdims=True),
        "relu(x)": mg.relu(x),
        "concatenate(x, x)": mg.concatenate([x, x]),
    }
    assert [mg.graph(y).nodes[-1].expression for y in said.values()] == list(said)


def test_a_parameter_with_an_address_is_told_by_its_name():
    @mg.primitive(formula="f(x)")
    def apply(x, /, f):
        return f(x)

    apply.defvjp(lambda g, out, x, f: g)
    x = mg.tensor([1.0], requires_grad=True, name="x")
    assert mg.graph(apply(x, f=abs)).nodes[-1].expression == "apply(x, f=<built-in function abs>)"
    assert mg.graph(apply(x, f=lambda v: v)).nodes[-1].expression == "apply(x, f=<lambda>)"


def test_names_that_are_expressions_get_parentheses():
    x = mg.tensor([1.0], requires_grad=True, name="x")
    std = mg.tensor([2.0], requires_grad=True, name="std")
    node = mg.graph(((x - 1.0).named("x - 1") / std).named("x_hat")).nodes[-1]
    assert node.expression == "(x - 1) / std"
    assert node.inputs[1].local == "-g*x_hat/std"
    assert mg.graph(x * 1e-05).nodes[-1].expression == "x * 1e-05"


def test_a_fused_op_carries_the_source_of_its_rule():
    x = mg.tensor(np.eye(3), requires_grad=True, name="x")
    rule = mg.graph(mg.batch_norm(x)).nodes[-1].rule
    assert rule.splitlines()[0] == "x_hat, inv_std, *_ = saved"
    assert "# (9')" in rule
    assert mg.graph(x * 2.0).nodes[-1].rule == ""
