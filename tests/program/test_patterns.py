"""The recogniser: every spelling of a normalization is one form, and what is only nearly one is told apart."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.gradients import consumers_first
from minigrad.program.patterns import KINDS, made_of_nodes, patterns, recognise

EPS = 1e-3
RNG = np.random.default_rng(0)
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {  # x, axes, gamma
    "rows": ((5, 3), (0,), (3,)),
    "square": ((4, 4), (0,), (4,)),
    "images": ((4, 3, 2, 2), (0, 2, 3), (1, 3, 1, 1)),
    "features": ((5, 3), (1,), (3,)),
    "two": ((4, 3, 2), (1, 2), (3, 2)),
}


def over(total: Any, axes: tuple[int, ...]) -> Any:
    """(x, keepdims) -> the mean of x over axes, made of sums by `total`."""
    return lambda x, keep: total(x, axes, keep, np.prod([x.shape[k] for k in axes]).item())


MEANS: dict[str, Any] = {
    "mean": lambda x, axes, keep, n: x.mean(axes, keep),
    "sum/N": lambda x, axes, keep, n: x.sum(axes, keep) / n,
    "1/N*sum": lambda x, axes, keep, n: 1.0 / n * x.sum(axes, keep),
    "sum(x/N)": lambda x, axes, keep, n: (x / n).sum(axes, keep),
    "one axis at a time": lambda x, axes, keep, n: one_by_one(x, axes, keep),
}
VARIANCES: dict[str, Any] = {
    "var": lambda x, z, axes, keep, mean: x.var(axes, keep),
    "of z": lambda x, z, axes, keep, mean: z.var(axes, keep),
    "std**2": lambda x, z, axes, keep, mean: x.std(axes, keep) ** 2,
    "square(z)": lambda x, z, axes, keep, mean: mean(mg.square(z), keep),
    "z*z": lambda x, z, axes, keep, mean: mean(z * z, keep),
    "z**2": lambda x, z, axes, keep, mean: mean(z**2, keep),
    "E[x^2] - E[x]^2": lambda x, z, axes, keep, mean: mean(x * x, keep) - mg.square(mean(x, keep)),
}
QUOTIENTS: dict[str, Any] = {
    "z/sqrt": lambda z, v: z / mg.sqrt(v + EPS),
    "z*(1/sqrt)": lambda z, v: z * (1.0 / mg.sqrt(v + EPS)),
    "z*v**-0.5": lambda z, v: z * (EPS + v) ** -0.5,
    "z/v**0.5": lambda z, v: z / (v + EPS) ** 0.5,
    "z*sqrt(1/v)": lambda z, v: z * mg.sqrt(1.0 / (v + EPS)),
}
AFFINES: dict[str, Any] = {
    "bare": lambda quotient, z, v, g, b: quotient(z, v),
    "gamma": lambda quotient, z, v, g, b: quotient(z, v) * g,
    "beta": lambda quotient, z, v, g, b: quotient(z, v) + b,
    "g*x+b": lambda quotient, z, v, g, b: g * quotient(z, v) + b,
    "b+x*g": lambda quotient, z, v, g, b: b + quotient(z, v) * g,
    "(g*z)/std+b": lambda quotient, z, v, g, b: quotient(g * z, v) + b,
    "b-(-x)*g": lambda quotient, z, v, g, b: b - (-quotient(z, v)) * g,
}


def one_by_one(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    for k in sorted(axes, reverse=True):
        x = x.mean(k, keep)
    return x


def spelled(mean: str, variance: str, quotient: str, affine: str, keep: bool, shape: str) -> Any:
    """A normalization in one spelling, on Tensors (x, gamma, beta)."""
    _, axes, _ = SHAPES[shape]
    average = over(MEANS[mean], axes)
    keep = keep or axes != tuple(range(len(axes)))

    def f(x: Any, g: Any, b: Any) -> Any:
        z = x - average(x, keep)
        return AFFINES[affine](QUOTIENTS[quotient], z, VARIANCES[variance](x, z, axes, keep, average), g, b)

    return f


def inputs(shape: str) -> list[Any]:
    first, _, affine = SHAPES[shape]
    return [RNG.normal(size=first), RNG.normal(size=affine), RNG.normal(size=affine)]


def fused(pattern: Any, values: Any) -> Any:
    """What the recognised primitive gives, in minigrad's own words."""
    x, gamma, beta = (None if v is None else values[v] for v in pattern.inputs)
    narrow, axis, eps = (pattern.params[name] for name in ("narrow", "axis", "eps"))
    gamma, beta = (None if part is None else np.reshape(part, narrow) for part in (gamma, beta))
    return getattr(mg, pattern.kind)(x, gamma, beta, axis=axis, eps=eps)


EVERY = list(itertools.product(MEANS, VARIANCES, QUOTIENTS, AFFINES, (False, True), SHAPES))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_spelling_is_one_pattern_with_its_parts(shape):
    chosen = RNG.permutation([k for k, case in enumerate(EVERY) if case[-1] == shape])[:120]
    for case in [EVERY[k] for k in chosen]:
        program = mg.record(spelled(*case), *inputs(shape))
        found, *more = [*patterns(program), None]
        assert found is not None, case
        assert more == [None], case
        assert not found.differs, (case, found)
        assert found.kind == ("layer_norm" if shape in ("features", "two") else "batch_norm"), case
        assert found.out is program.results[0], case
        x, gamma, beta = found.inputs
        assert x is program.inputs[0], case
        assert (gamma is None) == (case[3] in ("bare", "beta")), case
        assert (beta is None) == (case[3] in ("bare", "gamma")), case
        assert bool(found.remarks) == (case[1] == "E[x^2] - E[x]^2"), case
        values = {v: v.array for v in program.values()}
        np.testing.assert_allclose(fused(found, values), found.out.array, rtol=1e-9, atol=1e-11, err_msg=str(case))


WRONG: dict[str, Any] = {  # one number, axis or sign is another
    "N": lambda x, axes, keep: x.sum(axes, keep) / (x.size + 1),
    "an axis": lambda x, axes, keep: x.mean(tuple([(k + 1) % x.ndim for k in axes]), True),
    "a factor": lambda x, axes, keep: 1.001 * x.mean(axes, keep),
    "a summand": lambda x, axes, keep: x.mean(axes, keep) + 0.001,
    "a power": lambda x, axes, keep: mg.square(x.mean(axes, keep)),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_recognised_is_what_the_graph_computes(shape, wrong):
    """One mean of the spelling is another function: then nothing, a difference, or what is equal all the same."""
    _, axes, _ = SHAPES[shape]
    keep = axes != tuple(range(len(axes)))
    for where, variance, affine in itertools.product(("mean", "variance"), ("square(z)", "E[x^2] - E[x]^2"), AFFINES):

        def f(x: Any, g: Any, b: Any) -> Any:
            right = over(MEANS["mean"], axes)
            bad = lambda x, keep: WRONG[wrong](x, axes, keep)  # noqa: E731
            z = x - (bad if where == "mean" else right)(x, keep)  # noqa: B023
            v = VARIANCES[variance](x, z, axes, keep, bad if where == "variance" else right)  # noqa: B023
            return AFFINES[affine](QUOTIENTS["z/sqrt"], z, v, g, b)  # noqa: B023

        try:
            program = mg.record(f, *inputs(shape))
        except ValueError:  # these axes do not broadcast
            continue
        values = {v: v.array for v in program.values()}
        for found in patterns(program):
            if not found.differs:
                np.testing.assert_allclose(fused(found, values), found.out.array, rtol=1e-9, atol=1e-11)


def test_softmax_in_any_spelling():
    shifts: list[Any] = [0.0, 3.0, RNG.normal(size=(5, 1)), lambda x: x.max(1, True), lambda x: mg.mean(x)]
    forms: dict[str, Any] = {
        "log_softmax": [
            lambda s: s - mg.log(mg.exp(s).sum(1, True)),
            lambda s: mg.log(mg.exp(s) / mg.exp(s).sum(1, True)),
            lambda s: s - mg.logsumexp(s, 1, True),
            lambda s: -(mg.log(mg.sum(mg.exp(s), axis=1)).reshape(5, 1) - s),
        ],
        "softmax": [
            lambda s: mg.exp(s) / mg.exp(s).sum(1, True),
            lambda s: mg.exp(s) * mg.exp(s).sum(1, True) ** -1,
            lambda s: mg.exp(s - mg.logsumexp(s, 1, True)),
            lambda s: mg.exp(s - mg.log(mg.exp(s).sum(1, True))),
        ],
    }
    for kind, ways in forms.items():
        for way, shift in itertools.product(ways, shifts):

            def f(x: Any, way: Any = way, shift: Any = shift) -> Any:
                return way(x - (shift(x) if callable(shift) else shift))

            program = mg.record(f, RNG.normal(size=(5, 3)))
            (found,) = patterns(program)
            assert (found.kind, found.params["axis"]) == (kind, 1)
            np.testing.assert_allclose(getattr(mg, kind)(found.inputs[0].array), found.out.array, rtol=1e-12)


@np.errstate(all="ignore")
def test_odd_graphs_are_none():
    x = mg.tensor(RNG.normal(size=(5, 3)), requires_grad=True)
    odd = {
        "huge numbers": (x - x.mean(0)) / (mg.sqrt(x.var(0) + 1e308) * 1e308) ** 40.0,
        "not a number": (x - x.mean(0)) / mg.sqrt(x.var(0) + float("nan")),
        "infinite": (x - x.mean(0)) / mg.sqrt(x.var(0) + float("inf")),
        "0**-1": (x - x.mean(0)) / mg.sqrt(x.var(0) * 0.0),
        "a root of less than 0": (x - x.mean(0)) * mg.sqrt(mg.tensor(-1.0)) / x.std(0),
        "an exponent that is an array": (x - x.mean(0)) * mg.abs(x.var(0) + 1e-5) ** mg.tensor([-0.5, 0.5, 1.0]),
        "x itself": x / x,
        "no elements": (lambda e: (e - e.mean(0)) / mg.sqrt(e.var(0) + 1e-5))(
            mg.tensor(np.zeros((3, 0)), requires_grad=True)) ** 1.5,
        "deep": (lambda y: [y := y * 0.5 + (y - y.mean(0)) / mg.sqrt(x.var(0) + 0.1) for _ in range(50)][-1])(x),
    }  # fmt: skip
    for name, y in odd.items():
        for node in consumers_first(y):
            found = recognise(node, made_of_nodes)
            assert found is None or found.differs or "deep" in name or "no elements" in name, (name, found)
    assert recognise(x, made_of_nodes) is None
    assert recognise(1.0, made_of_nodes) is None
    assert recognise(None, made_of_nodes) is None
    with pytest.raises(ValueError, match="'norm' must be among batch_norm, layer_norm, "):
        patterns(mg.record(mg.exp, np.ones(3)), ["norm"])
    assert patterns(mg.record(mg.exp, np.ones(3)), KINDS) == []
