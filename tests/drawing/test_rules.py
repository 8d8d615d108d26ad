"""Local derivatives and expressions as text: every op has them, and they are what the rule computes."""

import functools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.nodes import registry

from ..helpers import leaves
from ..table import ROWS

ONE = {"neg", "exp", "log", "log1p", "expm1", "sqrt", "square", "abs", "sin", "cos", "tanh", "sigmoid", "softplus"}
ONE |= {"relu", "erf"}
DIFFERENTIABLE = sorted(name for name, f in registry.items() if f.op.differentiable)


def drawn(y):
    """The card of the last op."""
    return mg.graph(y).nodes[-1]


@pytest.mark.parametrize("row", [row for row in ROWS if not row.flat], ids=str)
def test_every_op_has_formula_and_local_derivatives(row, rng):
    f = registry[row.op]
    y = f(*leaves(row.arrays(rng)), **row.params)
    node = drawn(y)
    assert node.formula, f"{row.op} has no formula="
    for k, (x, slot) in enumerate(zip(y.inputs, node.inputs, strict=True)):
        has_rule = f.op.joint or f.op.variadic or f.op.rules[k]
        assert bool(slot.local) == bool(has_rule and x is not None and x.requires_grad)
        rule = f.op.joint or f.op.rules[0 if f.op.variadic else k]
        assert slot.local not in ("rule(g)", f"{getattr(rule, '__name__', '').strip('_')}(g)"), f"{k}: give it local="
        assert len(slot.local) < 90


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


def test_a_rule_needs_no_source():
    names: dict[str, Any] = {"mg": mg}
    exec("@mg.primitive\ndef twice(x): return 2.0 * x\ntwice.defvjp(lambda g, out, x: 2.0 * g)", names)
    x = mg.tensor(2.0, requires_grad=True, name="x")
    assert drawn(names["twice"](x)).inputs[0].local == "2*g"


def scaled(g, out, x, y, by):
    return by * g * y


class Callable:
    def __call__(self, g, out, x, y):
        return g * y


WEIGHTS = np.arange(3.0)
TEXTS = {
    "-(g*y)/x": (lambda g, out, x, y: -(g * y) / x, "-g*b/a"),
    "branches": (lambda g, out, x, y: g * y if x.ndim == 1 else g, "g*b"),
    "closure": ((lambda c: lambda g, out, x, y: c * g - y)(0.25), "0.25*g - b"),
    "partial": (functools.partial(scaled, by=3.0), "3*g*b"),
    "callable": (Callable(), "g*b"),
    "loop": (lambda g, out, x, y: functools.reduce(lambda a, _: a * y, range(3), g), "g*b*b*b"),
    "numpy": (lambda g, out, x, y: np.multiply(g, np.cos(x)), "g*cos(a)"),
    "power": (lambda g, out, x, y: g * (x - y) ** 2, "g*(a - b)**2"),
    "divided": (lambda g, out, x, y: g / (x * y) - (g - x), "g/(a*b) - (g - a)"),
    "negative": (lambda g, out, x, y: g * -x - -y, "g*(-a) - (-b)"),
    "third": (lambda g, out, x, y: g * (1.0 / 3.0), "g*1/3"),
    "mean": (lambda g, out, x, y: mg.mean(g * x, axis=0) + y, "mean(g*a, axis=0) + b"),
    "sum": (lambda g, out, x, y: mg.sum(g * x, axis=0, keepdims=True) * y, "sum(g*a)*b"),
    "constant": (lambda g, out, x, y: g * WEIGHTS * np.arange(9.0)[:3], "g*[0 1 2]*[0 1 2]"),
    "where": (lambda g, out, x, y: mg.where(x >= y, g, 0.5 * g), "where(a >= b, g, 0.5*g)"),
    "looks at values": (lambda g, out, x, y: g * y.data, "rule(g)"),
    "asks for a number": (lambda g, out, x, y: g * y if float(x.sum()) > 0 else g, "rule(g)"),
    "no primitive": (lambda g, out, x, y: g * np.tan(x), "rule(g)"),
    "of a name": (np.vectorize(lambda g, out, x, y: g * y), "rule(g)"),
    "raises": (lambda g, out, x, y: 1 / 0, "rule(g)"),
    "returns a text": (lambda g, out, x, y: "g", "rule(g)"),
    "too long": (lambda g, out, x, y: functools.reduce(lambda a, _: a * y, range(1000), g), "rule(g)"),
}


@pytest.mark.parametrize(("rule", "said"), TEXTS.values(), ids=TEXTS.keys())
def test_any_rule_of_a_users_own_is_told_or_named(rule, said):
    @mg.primitive
    def op(x, y, /):
        return np.multiply(x, y)

    op.defvjp(rule, lambda g, out, x, y: g * x)
    a, b = (mg.tensor(np.arange(1.0, 4.0), requires_grad=True, name=n) for n in "ab")
    node = drawn(op(a, b))
    assert [slot.local for slot in node.inputs] == [said, "g*a"]  # one that cannot be followed does not hide the other
    assert "digraph" in mg.draw(op(a, b)).dot


def test_a_rule_that_cannot_be_followed_is_named_and_local_wins():
    def by_hand(g, out, saved, x):
        return (g * x.data,)

    for local, said in (((), "by_hand(g)"), (("g * x",), "g*side")):

        @mg.primitive(local=local)
        def op(x):
            return x * x / 2.0

        op.defvjp_joint(by_hand)
        node = drawn(op(mg.tensor(2.0, requires_grad=True, name="side")))
        assert (node.inputs[0].local, node.rule) == (said, "")


@pytest.mark.parametrize("name", ["sum", "getitem", "neg", "reshape", "swapaxes", "mul"])
def test_a_users_primitive_may_be_called_like_one_of_minigrads(name):
    def twice(x, /, index=None):
        return 2.0 * x

    twice.__name__ = name
    op = mg.primitive(twice)
    op.defvjp(lambda g, out, x, index: op(g))
    node = drawn(op(mg.tensor([1.0, 2.0], requires_grad=True, name="x")))
    assert (node.expression, node.inputs[0].local) == (f"{name}(x)", f"{name}(g)")


DEFAULT = (np.zeros(2), 1)


@pytest.mark.parametrize(
    "index", [None, (1, 2), (np.ones(3), 2), {"a": np.ones(2)}, object(), np.float32, b"x", "x", -(10**30)]
)
def test_any_parameter_is_told(index):
    @mg.primitive
    def op(x, /, how=DEFAULT):
        return 2.0 * x

    op.defvjp(lambda g, out, x, how: op(g, how=how) * (how if isinstance(how, float) else 2.0))
    node = drawn(op(mg.tensor([1.0, 2.0], requires_grad=True, name="x"), how=index))
    assert node.inputs[0].local.startswith("op(g, how=")
    assert "0x" not in node.expression


def test_an_array_in_a_rule_is_told_by_the_parameter_that_it_is():
    @mg.primitive
    def masked(x, /, mask):
        return x * mask

    masked.defvjp(lambda g, out, x, mask: g * mask)
    x = mg.tensor(np.ones(8), requires_grad=True, name="x")
    assert drawn(masked(x, mask=np.arange(8.0))).inputs[0].local == "g*mask"


@pytest.mark.parametrize("seed", range(40))
def test_random_rules_compute_what_their_text_says(seed):
    """Precedence and brackets: the text, evaluated, is what the rule computes."""
    rng = np.random.default_rng(seed)

    def rule(g, out, x, y):
        draws = np.random.default_rng(seed)
        pool = [g, out, x, y, 2.0, 0.5]
        for _ in range(int(draws.integers(3, 9))):
            a, b = (pool[int(k)] for k in draws.integers(0, len(pool), 2))
            made = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: -a]
            made += [
                lambda a, b: a**2,
                lambda a, b: (a - b) ** 3,
                lambda a, b: a if isinstance(a, float) else mg.exp(a * 0.1),
            ]
            pool.append(made[int(draws.integers(0, len(made)))](a, b))
        return g * pool[-1]

    @mg.primitive
    def op(x, y, /):
        return x + y

    op.defvjp(rule, lambda g, out, x, y: g)
    x, y = (mg.tensor(rng.uniform(0.5, 2.0, 3), requires_grad=True, name=n) for n in ("x", "left - right"))
    out, g = op(x, y).named("out"), rng.uniform(0.5, 2.0, 3)
    said = mg.graph(out).nodes[-1].inputs[0].local
    assert said.replace("(left - right)", "").count("left") == 0, "a name that is an expression stands in brackets"
    names = {"g": g, "x": x.numpy(), "y": y.numpy(), "out": out.numpy(), "exp": np.exp}
    if said != "rule(g)":
        value = eval(said.replace("(left - right)", "y"), {}, names)
        np.testing.assert_allclose(value, mg.grad(out, x, g).numpy(), rtol=1e-12, err_msg=said)


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


def test_a_fused_op_carries_its_rule_line_by_line():
    x, gamma, beta = mg.tensor(np.eye(4)[:, :3], requires_grad=True), mg.ones(3), mg.zeros(3, requires_grad=True)
    rule = drawn(mg.batch_norm(x, gamma, beta)).rule
    assert rule.splitlines() == [
        "d_beta = sum0(g)",
        "d_gamma = sum0(g*x_hat)",
        "scale = gamma*inv_std",
        "d_x = scale*(g - d_beta/4 - x_hat*d_gamma/4)",
    ]
    assert drawn(x * 2.0).rule == ""
    z = mg.tensor(np.zeros((2, 3)), requires_grad=True)
    assert "d_logits = g*(exp(log_p) - one_hot(labels))" in {n.rule for n in mg.graph(mg.cross_entropy(z, [0, 2]))}


def test_a_very_long_rule_is_cut():
    @mg.primitive
    def op(x):
        return x * 2.0

    def rule(g, out, saved, x):
        for _ in range(100):
            g = mg.tanh(g) * g
        return (g,)

    op.defvjp_joint(rule)
    lines = drawn(op(mg.tensor(1.0, requires_grad=True))).rule.splitlines()
    assert lines[:2] == ["t1 = tanh(g)*g", "t2 = tanh(t1)*t1"]
    assert (len(lines), lines[-1]) == (41, "... 60 more lines")


def test_the_rule_of_joined_arrays_says_where_it_cuts():
    x, y = leaves([np.ones((2, 2)), np.zeros((1, 2))])
    assert drawn(mg.concatenate([x, y])).rule.splitlines() == ["d_arrays 0 = g[0:2]", "d_arrays 1 = g[2:3]"]


FUSED = [row for row in ROWS if registry[row.op].op.joint is not None and not registry[row.op].op.variadic]


@pytest.mark.parametrize("row", FUSED, ids=str)
def test_the_lines_of_a_rule_compute_what_it_computes(row, rng):
    y = registry[row.op](*leaves(row.arrays(rng)), **row.params)
    g, op = rng.normal(size=y.shape), y.op
    names: dict[str, Any] = dict(zip(op.input_names, y.arrays, strict=True)) | {"g": g, "out": y.numpy(), **row.params}
    names |= {f"sum{''.join(map(str, over))}": functools.partial(np.sum, axis=over, keepdims=True) for over in AXES}
    names |= {"mean": functools.partial(np.mean, keepdims=True), "sum": np.sum, "exp": np.exp}
    names["one_hot"] = lambda labels: np.eye(y.arrays[0].shape[1])[labels]
    names |= {s.name: s.numbers.array for s in drawn(y).saves if s.numbers is not None}
    names |= {"g": g.reshape(-1, 1)} if "labels" in row.params else {}
    wide = row.params.get("wide")
    for name in ("gamma", "mean", "var") if wide else ():
        if name in op.input_names and y.arrays[op.input_names.index(name)] is not None:
            names[name] = y.arrays[op.input_names.index(name)].reshape(wide)
    exec(drawn(y).rule, names)
    wanted = [k for k, x in enumerate(y.inputs) if x is not None and x.requires_grad]
    for k, d in zip(wanted, mg.grad(y, [y.inputs[k] for k in wanted], g), strict=True):
        said = np.reshape(names[f"d_{op.input_names[k]}"], d.shape)
        np.testing.assert_allclose(said, d.numpy(), rtol=1e-12, atol=1e-14)


AXES = [(0,), (1,), (0, 1), (0, 2), (1, 2)]
