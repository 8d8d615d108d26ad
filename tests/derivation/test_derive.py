"""Derivations: the formulas that are known, as golden texts; the primitives that they make; what is refused and why."""

import os
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.derivation import NotDerivable, StepRefused
from tests.derivation import functions, golden, random_functions

FORMULAS = {  # the known ones, of the first input
    "batch_norm": "gamma*inv_std*(g - sum(g)/N - sum(g*x_hat)*x_hat/N)",
    "batch_norm_primitive": "gamma*inv_std*(g - sum(g)/N - sum(g*x_hat)*x_hat/N)",
    "batch_norm_images": "gamma*inv_std*(g - sum(g)/(N0*N2*N3) - sum(g*x_hat)*x_hat/(N0*N2*N3))",
    "layer_norm": "inv_std*(gamma*g - sum1(gamma*g)/N1 - sum1(gamma*g*x_hat)*x_hat/N1)",
    "rms_norm": "inv_rms*(gamma*g - sum1(gamma*g*x_hat)*x_hat/N1)",
    "softmax": "p*(g - sum(g*p))",
    "softmax_temperature": "p*(g - sum1(g*p))/t",
    "log_softmax": "g - sum(g)*exp(y)",
    "cross_entropy_probabilities": "g*(p - t)",
    "cross_entropy_log_softmax": "g*(exp(log_p) - t)",
    "sigmoid": "g*y*(1 - y)",
    "bce": "g*(s - t)",
    "bce_softplus": "g*(sigmoid(z) - t)",
    "l2_norm": "inv_norm*(g - sum(g*y)*y)",
    "weight_norm": "gain*inv_norm*(g - sum(g*u)*u)",
    "cosine": "g*inv_nx*(wh - y*xh)",
    "tanh": "g*(1 - t**2)",
    "silu": "g*(s + y*(1 - s))",
    "variance": "2*g*centred/N",
    "variance_unbiased": "g*(2/(N - 1))*(x - mean(x))",
    "logsumexp": "g*inv_s*e",
    "relu": "where((y != 0), g, 0)",
    "leaky_relu": "where((x <= 0), 0.01*g, g)",
}


@pytest.fixture(scope="module")
def derived():
    """Derivations of functions.py, each made once."""
    made = {}

    def get(name):
        if name not in made:
            f, inputs, assume = functions.FUNCTIONS[name]
            made[name] = mg.derive(f, inputs, assume=assume)
        return made[name]

    return get


@pytest.mark.parametrize("name", functions.FUNCTIONS)
def test_the_derivation_is_the_golden_one_and_its_primitive_the_function(name, derived):
    d = derived(name)
    texts = golden.FILE.read_text(encoding="utf-8").split("\n\n")
    assert f"{name}\n{golden.told(d)}".strip() in [text.strip() for text in texts]
    if name in FORMULAS:
        assert next(iter(d.formulas.values())) == FORMULAS[name]
    assert all(step.points or not step.rule.exact for step in d.steps[1:])
    d.primitive()  # gradcheck to order 2 where no hypothesis is in the way, and compare


def test_the_page_has_the_derivation_of_batch_norm():
    (block,) = golden.BLOCK.findall(golden.PAGE.read_text(encoding="utf-8"))
    assert block == golden.block()
    (source,) = golden.SOURCE.findall(golden.PAGE.read_text(encoding="utf-8"))
    assert source == golden.source()


def test_every_golden_text_has_its_function():
    heads = [text.split("\n")[0] for text in golden.FILE.read_text(encoding="utf-8").split("\n\n")]
    assert heads == list(functions.FUNCTIONS)


def test_a_bias_before_batch_norm_has_gradient_zero(derived):
    d = derived("linear_batch_norm")
    assert d.formulas["d_b"] == "0"
    f = d.primitive()
    x, w, b = [mg.tensor(a, requires_grad=True) for a in functions.FUNCTIONS["linear_batch_norm"][1]]
    slopes = mg.grad(mg.sum(mg.square(f(x, w, b))), [x, w])
    composed = mg.grad(mg.sum(mg.square(functions.linear_batch_norm(x, w, b))), [x, w])
    for a, other in zip(slopes, composed, strict=True):
        np.testing.assert_allclose(a.numpy(), other.numpy(), atol=1e-12)


def test_batch_norm_keeps_what_the_hand_written_one_keeps_and_costs_less(derived):
    d = derived("batch_norm")
    assert d.kept == ["inv_std", "x_hat"]
    assert [d.steps[0].cost.ops, d.steps[-1].cost.ops] == [19, 10]
    assert d.steps[-1].cost.passes == 7  # one fewer than g - (d_beta + x_hat*d_gamma)/N
    assert d.steps[-1].cost.kept < d.steps[0].cost.kept


def test_the_source_works_at_other_lengths(derived):
    space: dict[str, Any] = {}
    exec(derived("batch_norm_images").source("bn"), space)
    x, gamma, beta = functions.normal(5, 2, 3, 4), functions.normal(2), functions.normal(2)
    assert mg.check.compare(space["bn"], functions.batch_norm_images, [x, gamma, beta], order=2)


def test_the_result_may_have_fewer_axes_and_float32_stays_float32(derived):
    f = derived("variance").primitive()
    x = mg.tensor(np.ones((4, 2), np.float32) * np.arange(4, dtype=np.float32)[:, None], requires_grad=True)
    (slope,) = mg.grad(mg.sum(f(x)), [x])
    assert f(x).shape == (2,)
    assert slope.dtype == np.float32


def test_a_hypothesis_is_said_in_the_primitive_and_needed(derived):
    assert "Only where t sums to 1." in derived("cross_entropy_probabilities").source()
    f, inputs, _ = functions.FUNCTIONS["cross_entropy_probabilities"]
    assert mg.derive(f, inputs).formulas["d_z"] != "g*(p - t)"


@pytest.mark.parametrize(
    ("f", "x", "assume", "formula"),
    [
        (lambda x: mg.abs(x), [1.0, 2.0], {"x": "is positive"}, "g"),
        (lambda x: mg.abs(x), [1.0, 2.0], {}, "g*sign(x)"),
        (lambda x, m: m * (m * x), [1.0, 2.0], {"m": "is 0 or 1"}, "m*g"),
        (lambda x, m: m * (m * x), [1.0, 2.0], {}, "m**2*g"),
    ],
)
def test_hypotheses_of_each_form(f, x, assume, formula):
    inputs = [np.array(x), np.array([1.0, 0.0])][: f.__code__.co_argcount]
    assert mg.derive(f, inputs, assume=assume).formulas["d_x"] == formula


def test_the_step_that_loses_digits_is_named_and_not_taken():
    z, t = np.array([10.0, -10.0, 9.5, -9.8]), np.array([1.0, 0.0, 1.0, 0.0])
    d = mg.derive(functions.bce, [z, t])
    assert d.formulas["d_z"] != "g*(s - t)"
    assert "stopped before 'part of a sum over the sum', which loses digits" in str(d)
    assert d.steps[-1].digits[0] < 100 * max(d.steps[0].digits[0], 1e-6)
    famous = mg.derive(functions.bce, [z, t], keep_digits=False)
    assert famous.formulas["d_z"] == "g*(s - t)"
    assert famous.steps[-1].digits[0] > 100 * d.steps[-1].digits[0]


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "softmax"])
def test_normalizations_keep_their_digits(name):
    f, (x, *rest), _ = functions.FUNCTIONS[name]
    d = mg.derive(f, [3.0 * x + 100.0, *rest])
    assert d.refused == {}
    assert d.steps[-1].digits[0] < 10 * d.steps[0].digits[0]


def test_a_difference_of_shares_is_written_with_its_numbers():
    assert random_functions.outcome(1108)[0] == "equal"  # 2/N1 - 2/(N0*N1) came out as N1 - N0*N1


@pytest.mark.parametrize("seed", [126, 1476])
def test_a_sum_of_equal_terms_is_written_with_their_number(seed):
    assert random_functions.outcome(seed)[0] == "equal"


COUNT, MOST = (2000, 6) if os.environ.get("MINIGRAD_LONG") else (200, 5)  # functions, and ops of each: 4 to MOST


@pytest.mark.parametrize("first", range(0, COUNT, 10))
def test_random_functions_are_derived_and_equal_or_stop_with_a_sentence(first):
    for seed in range(first, first + 10):
        what, said = random_functions.outcome(seed, most=MOST)
        assert what in ("equal", "no primitive", "not read"), f"seed {seed}: {said}"


# An axis as a parameter ----------------------------------------------------------------------------------------------


def softmax_over(x, axis=-1):
    e = mg.exp(x - mg.max(x, axis=axis, keepdims=True)).named("e")
    return (e / mg.sum(e, axis=axis, keepdims=True)).named("p")


def standardized(x, axis):
    centred = x - mg.mean(x, axis=axis, keepdims=True)
    return centred / mg.sqrt(mg.mean(mg.square(centred), axis=axis, keepdims=True) + 1e-5)


def over_two_axes(x, axis=1):
    return x / mg.sum(x, axis=1, keepdims=True) + mg.mean(x, axis=axis, keepdims=True)


@pytest.mark.parametrize(
    ("f", "rest", "given"),
    [(softmax_over, [], -1), (softmax_over, [0], 0), (standardized, [1], 1), (partial(standardized, axis=0), [], 0)],
)
def test_an_axis_that_the_function_has_is_a_parameter_of_the_primitive(f, rest, given):
    x = np.abs(functions.normal(5, 4)) + 0.5
    d = mg.derive(f, [x, *rest])
    assert f"axis={given}):" in d.source()
    fused = d.primitive()
    for y, axis in ((x, 0), (x, 1), (np.abs(functions.normal(3, 2, 4)), 1), (np.abs(functions.normal(3, 2, 4)), -1)):
        whole = f.func if isinstance(f, partial) else f
        assert mg.check.compare(partial(fused, axis=axis), partial(whole, axis=axis), [y], order=2)


def test_an_axis_that_means_two_things_stays_what_it_was():
    x = np.abs(functions.normal(5, 4)) + 0.5
    assert "axis=axis" not in mg.derive(over_two_axes, [x]).source()
    z, t = functions.normal(5, 4), functions.normal(5, 4)
    d = mg.derive(lambda z, t, axis=1: mg.sum(t * mg.log_softmax(z, axis=axis), axis=axis), [z, t])
    assert "axis=axis" not in d.source()  # g is reshaped for this one


# What cannot be derived ----------------------------------------------------------------------------------------------

X = np.arange(6.0).reshape(2, 3) + 1


@pytest.mark.parametrize(
    ("f", "inputs", "said"),
    [
        (lambda x: x @ x.T, [X], "two axes of .* are one and the same"),
        (lambda x: mg.reshape(x, (-1,)), [X], "joins or splits axes"),
        (lambda x: mg.cumsum(x, axis=0), [X], "cumsum has no terms"),
        (lambda x: x[0], [X], "of indexing"),
        (lambda x: x * float(np.log(x.shape[0])), [X], "depend on lengths, but not as powers of N"),
        (lambda x: x * np.ones((2, 3)) * np.arange(3.0), [X], "f is called with other lengths"),
        (lambda x: (x, x * 2.0), [X], "f must return one Tensor"),
        (lambda x: mg.mean(mg.tensor(np.ones(2))) * 1.0, [X], "no gradient is wanted"),
        (lambda x: x * 2.0, [np.zeros((0, 3))], "has no elements"),
        (lambda k: mg.tensor(1.0) * 2.0, [np.arange(3)], "no gradient is wanted"),
    ],
)
def test_what_has_no_terms_is_said_in_a_sentence(f, inputs, said):
    with pytest.raises(NotDerivable, match=said):
        mg.derive(f, inputs)


def test_a_tensor_from_around_is_asked_for_as_an_input():
    w = mg.tensor(2.0, requires_grad=True, name="w")
    with pytest.raises(NotDerivable, match=r"reads the tensor w .* pass it as an input"):
        mg.derive(lambda x: x * w, [X])


@pytest.mark.parametrize(
    ("assume", "said"),
    [({"q": "sums to 1"}, "no input 'q'"), ({"x": "__import__('os')"}, "is not known of x; expected 'sums to 1'")],
)
def test_bad_hypotheses(assume, said):
    with pytest.raises(ValueError, match=said):
        mg.derive(lambda x: x * 2.0, [X], assume=assume)


def test_inputs_must_be_a_list_and_the_primitive_needs_a_name():
    with pytest.raises(TypeError, match="inputs must be a list"):
        mg.derive(lambda x: x, X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no name"):
        mg.derive(lambda x: mg.exp(x), [X]).source("class")


def test_hostile_names_become_identifiers_everywhere():
    def f(x):
        e = mg.exp(x).named("}{\\input{/etc/passwd} <script>\n__import__('os')")
        return (e * e).named("class")

    d = mg.derive(f, [X])
    for text in (str(d), d.latex(), d.source()):
        assert not any(bad in text for bad in ("\\input", "<script>", "__import__(", "passwd}"))
    d.primitive()


def test_nothing_of_the_engine_loads_the_derivation():
    code = "import sys, minigrad as mg; mg.draw, mg.check, mg.replay; print('minigrad.derivation' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert issubclass(StepRefused, ArithmeticError)
