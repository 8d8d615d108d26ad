"""Wrong rules of ten kinds, each with a word of the diagnosis that must name it: data for test_wrong_rules."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

import minigrad as mg


@dataclass(frozen=True)
class Wrong:
    """One wrong rule. words: what names it, one of them is enough; none where only finding it is asked for."""

    kind: str
    f: Any
    inputs: tuple[Any, ...]
    words: tuple[str, ...]
    order: int = 1


RNG = np.random.default_rng(15)
X = RNG.normal(size=(5, 4)) * 1.5 + 0.3
V = np.array([0.4, 1.7, 0.9, 2.6, 1.2])
G, B = np.array([0.7, -1.3, 1.9, 0.6]), np.array([0.2, -0.4, 1.1, 0.5])
S = RNG.normal(size=(4, 4))
T = np.abs(RNG.normal(size=(5, 4))) + 0.2
WRONG: list[Wrong] = []


def wrong(kind: str, kernel: Any, rules: Any, inputs: Any, *words: str, order: int = 1) -> None:
    """Rules of one function, one of them wrong; a list is one rule for each argument, else it is a joint rule."""

    def f(*args: Any) -> Any:
        return kernel(*args)

    names = kernel.__code__.co_varnames[: kernel.__code__.co_argcount]
    scope: dict[str, Any] = {"kernel": kernel}
    exec(f"def f({', '.join(names)}): return kernel({', '.join(names)})", scope)
    op = mg.primitive(scope["f"])
    op.defvjp(*rules) if isinstance(rules, list) else op.defvjp_joint(rules)
    WRONG.append(Wrong(kind, op, tuple(np.array(x, dtype=float) for x in inputs), words, order))


# Norms: one right rule, with some of its lines replaced -----------------------------------------------------------


def norm(axis: int, eps: float = 0.1, *, ddof: int = 0, **lines: Any) -> tuple[Any, Any]:
    """(kernel, joint rule) of batch norm (axis 0) or layer norm (axis 1), gamma per column; lines(s) replace."""

    def kernel(x, gamma, beta):
        mean, var = x.mean(axis=axis, keepdims=True), x.var(axis=axis, keepdims=True)
        return gamma * (x - mean) / np.sqrt(var + eps) + beta

    def joint(g, out, saved, x, gamma, beta):
        s = SimpleNamespace(g=g, x=x, gamma=gamma, beta=beta, out=out, eps=eps, n=x.shape[axis], axis=axis)
        s.mean = lambda a, over=axis: mg.mean(a, axis=over, keepdims=True)
        s.sum = lambda a, over=axis: mg.sum(a, axis=over, keepdims=True)
        s.var = mg.var(x, axis=axis, keepdims=True, ddof=ddof)
        s.inv = lines.get("inv", lambda s: 1.0 / mg.sqrt(s.var + eps))(s)
        s.c = x - s.mean(x)
        s.hat = s.c * s.inv
        s.h = lines.get("h", lambda s: g * gamma)(s)
        dx = lines.get("dx", lambda s: s.inv * (s.h - s.mean(s.h) - s.hat * s.mean(s.h * s.hat)))(s)
        d_gamma = lines.get("d_gamma", lambda s: mg.sum(g * s.hat, axis=0))(s)
        return dx, d_gamma, lines.get("d_beta", lambda s: mg.sum(g, axis=0))(s)

    return kernel, joint


def norms(axis: int, *words: str, at: Any = None, kind: str = "norm", eps: float = 0.1, **lines: Any) -> None:
    wrong(kind, *norm(axis, eps, **lines), at or (X, G, B), *words)


for axis in (0, 1):
    norms(axis, "gamma is missing", h=lambda s: s.g + 0.0 * s.gamma)
    norms(axis, "statistics are taken as constants", dx=lambda s: s.inv * s.h)
    norms(axis, "path through the mean is left out", dx=lambda s: s.inv * (s.h - s.hat * s.mean(s.h * s.hat)))
    norms(axis, "projection on x_hat is left out", dx=lambda s: s.inv * (s.h - s.mean(s.h)))
    norms(axis, "sign of the projection", dx=lambda s: s.inv * (s.h - s.mean(s.h) + s.hat * s.mean(s.h * s.hat)))
    norms(axis, "sign of the mean", dx=lambda s: s.inv * (s.h + s.mean(s.h) - s.hat * s.mean(s.h * s.hat)))
    norms(axis, "sign of both", dx=lambda s: s.inv * (s.h + s.mean(s.h) + s.hat * s.mean(s.h * s.hat)))
    norms(axis, "1/N is missing", dx=lambda s: s.inv * (s.h - s.sum(s.h) - s.hat * s.sum(s.h * s.hat)))
    norms(axis, "1/N is missing", dx=lambda s: s.inv * (s.h - s.mean(s.h) - s.hat * s.sum(s.h * s.hat)))
    norms(axis, "N - 1", kind="count", inv=lambda s: 1 / mg.sqrt(s.var + s.eps), ddof=1)
    norms(axis, "N - 1", kind="count",
          dx=lambda s: s.inv * (s.h - s.mean(s.h) - s.hat * s.sum(s.h * s.hat) / (s.n - 1)))  # fmt: skip
    norms(axis, "eps", kind="eps", inv=lambda s: 1 / mg.sqrt(s.var))
    norms(axis, "eps", kind="eps", inv=lambda s: 1 / (mg.sqrt(s.var) + s.eps))
    norms(axis, "eps", kind="eps", inv=lambda s: 1 / mg.sqrt(s.var - s.eps))
    norms(axis, "1/std", dx=lambda s: s.h - s.mean(s.h) - s.hat * s.mean(s.h * s.hat), kind="factor")
    norms(axis, "x stands where x - mean", dx=lambda s: s.inv * (s.h - s.mean(s.h) - s.hat * s.inv * s.mean(s.h * s.x)))
    norms(axis, "lacks a factor x_hat", dx=lambda s: s.inv * (s.h - s.mean(s.h) - s.mean(s.h * s.hat)))
    norms(axis, "power of inv_std", dx=lambda s: s.inv * (s.h - s.mean(s.h) - s.c * s.mean(s.h * s.hat)))
    norms(axis, "wrong axis", kind="axis", dx=lambda s: s.inv * (
        s.h - s.mean(s.h, 1 - s.axis) - s.hat * s.mean(s.h * s.hat, 1 - s.axis)))  # fmt: skip
norms(1, "gamma is multiplied after", dx=lambda s: s.gamma * s.inv * (
    s.g - s.mean(s.g) - s.hat * s.mean(s.g * s.hat)), kind="axis")  # fmt: skip
norms(0, "x stands where x_hat", d_gamma=lambda s: mg.sum(s.g * s.x, axis=0))
norms(
    0, "x - mean stands where x_hat", "1/std of x over axis 0 is missing", d_gamma=lambda s: mg.sum(s.g * s.c, axis=0)
)
norms(0, "gamma is there once too often", kind="factor", d_gamma=lambda s: mg.sum(s.g * s.hat, axis=0) * s.gamma)
norms(0, "mean stands where a sum", kind="count", d_gamma=lambda s: mg.mean(s.g * s.hat, axis=0))
norms(0, "mean stands where a sum", kind="count", d_beta=lambda s: mg.mean(s.g, axis=0))
norms(0, "wrong axis", "summed over everything", kind="axis", d_gamma=lambda s: mg.sum(s.g * s.hat) + 0.0 * s.gamma)
norms(0, "wrong axis", "summed over everything", kind="axis", d_beta=lambda s: mg.sum(s.g) + 0.0 * s.beta)
norms(0, "broadcast is not summed", kind="shape", d_gamma=lambda s: (s.g * s.hat)[0])
norms(0, "broadcast is not summed", kind="shape", d_beta=lambda s: s.g[-1])
norms(0, "eps", "next to 1", "near to 1", kind="eps", eps=1e-5, inv=lambda s: 1 / mg.sqrt(s.var))
ORDINARY = norm(0)[1]
wrong("shape", norm(0)[0], lambda g, o, s, x, gm, b: (ORDINARY(g, o, s, x, gm, b)[0], mg.sum(g, axis=0), ORDINARY(
    g, o, s, x, gm, b)[1]), (X, G, B), "this is the derivative by")  # fmt: skip

# Losses -----------------------------------------------------------------------------------------------------------


def mse(p, t):
    return np.mean((p - t) ** 2)


def entropy(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def bce(z, t):
    return np.mean(np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - z * t)


def row(a):
    return mg.sum(a, axis=1, keepdims=True)


wrong("loss", mse, [lambda g, o, p, t: 2 * g * (p - t), lambda g, o, p, t: 2 * g * (t - p) / p.size], (X, T), "1/N is")
wrong("loss", mse, [lambda g, o, p, t: g * (p - t) / p.size, lambda g, o, p, t: 2 * g * (t - p) / p.size], (X, T),
      "2 is missing")  # fmt: skip
wrong("loss", mse, [lambda g, o, p, t: 2 * g * (p - t) / p.size, lambda g, o, p, t: 2 * g * (p - t) / p.size], (X, T),
      "sign is wrong", "derivative by p")  # fmt: skip
wrong("loss", mse, [lambda g, o, p, t: 2 * g * (p - t) / len(p), lambda g, o, p, t: 2 * g * (t - p) / p.size], (X, T),
      "N = 4", "constant factor 4")  # fmt: skip
wrong("loss", entropy, [lambda g, o, z: o * g], (X,), "only the direct term", "left out")
wrong("loss", entropy, [lambda g, o, z: o * (g + row(o * g))], (X,), "wrong sign")
wrong("loss", entropy, [lambda g, o, z: o * (g - row(o * g) / 4)], (X,), "times too small")
wrong("loss", entropy, [lambda g, o, z: o * (g - mg.sum(o * g, axis=0))], (X,), "wrong axis")
wrong("loss", entropy, [lambda g, o, z: o * (g - mg.sum(o * g))], (X,), "wrong axis")
wrong("loss", entropy, [lambda g, o, z: g - row(o * g)], (X,), "out is missing")
wrong("loss", entropy, [lambda g, o, z: g * o * (1 - o)], (X,), "only the direct term", "left out")
wrong("loss", bce, [lambda g, o, z, t: g * (mg.sigmoid(z) - t), lambda g, o, z, t: -g * z / z.size], (X, T), "1/N is")
wrong("loss", bce, [lambda g, o, z, t: g * (t - mg.sigmoid(z)) / z.size, lambda g, o, z, t: -g * z / z.size], (X, T),
      "sign is wrong")  # fmt: skip

# Elementwise and reductions ---------------------------------------------------------------------------------------
wrong("elementwise", lambda x: x**3, [lambda g, o, x: 3 * g * x], (V,), "x is missing")
wrong("elementwise", lambda x: x**3, [lambda g, o, x: 2 * g * x * x], (V,), "constant factor 0.666667")
wrong("elementwise", lambda x: np.tanh(x), [lambda g, o, x: g * 1.0 + 0.0 * x], (V,), "1 - out**2 is missing")
wrong("elementwise", lambda x: np.exp(x), [lambda g, o, x: g * x], (V,), "x stands where out")
wrong("elementwise", lambda x: np.sqrt(x), [lambda g, o, x: g / o], (V,), "constant factor 2")
wrong("elementwise", lambda x: np.sqrt(x), [lambda g, o, x: g / (2 * x)], (V,), "out is missing", "1/out", "sqrt(x)")
wrong("elementwise", lambda x: 1 / x, [lambda g, o, x: g / x**2], (V,), "sign is wrong")
wrong("elementwise", lambda x: 1 / x, [lambda g, o, x: -g / x], (V,), "x is there once too often")
wrong("elementwise", lambda x: np.log(x), [lambda g, o, x: g * x], (V,), "x stands where 1/(x)", "x**2 is there")
wrong("elementwise", lambda x: 1 / (1 + np.exp(-x)), [lambda g, o, x: g * o], (V,), "1 - out is missing")
wrong("elementwise", lambda x: x / (1 + np.exp(-x)), [lambda g, o, x: g * mg.sigmoid(x)], (V,), "missing or wrong term")
wrong("elementwise", lambda x, y: x * y, [lambda g, o, x, y: g * y, lambda g, o, x, y: g * y], (V, V[::-1] + 0.1),
      "derivative by x", "y stands where x")  # fmt: skip
wrong("elementwise", lambda x: x * np.array([1.0, 2, 3, 4, 5]), [lambda g, o, x: g * np.array([1, 2, 3.3, 4, 5])], (V,),
      "wrong only at [2]")  # fmt: skip
wrong("reduction", lambda x: x.mean(axis=0), [lambda g, o, x: g + 0.0 * x], (X,), "1/N is missing")
wrong("reduction", lambda x: x.sum(axis=0), [lambda g, o, x: g / 5 + 0.0 * x], (X,), "mean stands where a sum")
wrong("reduction", lambda x: x.sum(axis=0), [lambda g, o, x: mg.sum(g) + 0.0 * x], (X,),
      "a sum or mean over that axis")  # fmt: skip
wrong("reduction", lambda x: x.var(axis=0), [lambda g, o, x: 2 * g * x / 5], (X,), "x stands where x - mean")
wrong("reduction", lambda x: x.var(axis=0), [lambda g, o, x: 2 * g * (x - mg.mean(x, axis=0)) / 4], (X,), "N - 1")
wrong("reduction", lambda x: x.var(axis=0), [lambda g, o, x: 2 * g * (x - mg.mean(x)) / 5], (X,), "over everything")
wrong("reduction", lambda x: x.std(axis=0), [lambda g, o, x: g * (x - mg.mean(x, axis=0)) / 5], (X,), "out is missing",
      "1/std", "std")  # fmt: skip
wrong("reduction", lambda x: np.log(np.exp(x).sum(axis=0)), [lambda g, o, x: g * mg.exp(x)], (X,), "exp(out)", "factor")
wrong("reduction", lambda x: np.sqrt((x * x).sum(axis=0)), [lambda g, o, x: g * x], (X,), "out", "factor")
wrong("shape", lambda x, w: x @ w, [lambda g, o, x, w: g @ w, lambda g, o, x, w: x.T @ g], (X, S), "transpose")
wrong("shape", lambda x: x.T * 1.0, [lambda g, o, x: g], (S,), "transpose", "exchanged")
wrong("shape", lambda x, y: x * y, [lambda g, o, x, y: g * y, lambda g, o, x, y: (g * x)[0]], (X, G),
      "broadcast is not summed")  # fmt: skip
wrong("shape", lambda x, y: x - y, [lambda g, o, x, y: g, lambda g, o, x, y: mg.sum(g, axis=0)], (X, G), "sign is")

# Right on arrays and wrong on Tensors: an alias that is added to in place, a branch on the type ---------------------


def alias(g, out, saved, x, gamma, beta):
    s = 1.0 / mg.sqrt(mg.var(x, axis=1, keepdims=True) + 0.1)
    hat, h = (x - mg.mean(x, axis=1, keepdims=True)) * s, g * gamma
    dx = s * h
    d_mean = dx  # the same array, and another Tensor
    d_mean -= s * mg.mean(h, axis=1, keepdims=True)
    dx = dx - s * hat * mg.mean(h * hat, axis=1, keepdims=True)
    return dx, mg.sum(g * hat, axis=0), mg.sum(g, axis=0)


def by_type(right, wrong_):
    return lambda g, o, x: right(g, o, x) if isinstance(x, np.ndarray) else wrong_(g, o, x)


wrong("alias", norm(1)[0], alias, (X, G, B), "on Tensors")
wrong("alias", lambda x: np.sin(x), [by_type(lambda g, o, x: g * np.cos(x), lambda g, o, x: g * mg.sin(x))], (V,),
      "on Tensors")  # fmt: skip
wrong("alias", lambda x: x * x, [by_type(lambda g, o, x: 2 * g * x, lambda g, o, x: g * x)], (V,), "on Tensors")
wrong("alias", lambda x: np.exp(x), [by_type(lambda g, o, x: g * o, lambda g, o, x: -g * o)], (V,), "on Tensors")

# Right where they are asked, and wrong beside it --------------------------------------------------------------------
ONE, ZERO, EYE = np.ones(4), np.zeros(4), np.eye(4)
for axis in (0, 1):
    norms(axis, "gamma is missing", kind="hidden", at=(X, ONE, ZERO), h=lambda s: s.g + 0.0 * s.gamma)
norms(0, "gamma is there once too often", kind="hidden", at=(X, ONE, B),
      d_gamma=lambda s: mg.sum(s.g * s.hat, axis=0) * s.gamma)  # fmt: skip
norms(0, "", kind="hidden", at=(X, G, ZERO), d_gamma=lambda s: mg.sum(s.g * s.out, axis=0) / s.gamma)
TEMPERED = lambda x, t: entropy(x / t)  # noqa: E731


def tempered(over):
    def rule(g, o, x, t):
        return o * (g - row(o * g)) / over(t)

    return [rule, lambda g, o, x, t: -mg.sum(o * (g - row(o * g)) * x) / (t * t)]


wrong("hidden", TEMPERED, tempered(lambda t: 1.0 + 0.0 * t), (X, 1.0), "t is there once too often, or 1/", "1/t")
wrong("hidden", TEMPERED, tempered(lambda t: t * t), (X, 1.0), "t is missing")
wrong("hidden", lambda x, w: x @ w, [lambda g, o, x, w: g @ w, lambda g, o, x, w: x.T @ g], (X, EYE), "transpose")
wrong("hidden", lambda x, p: x**p, [lambda g, o, x, p: g * p * x, lambda g, o, x, p: g * o * mg.log(x)], (V, 2.0), "")
wrong("hidden", lambda x, y: x * y, [lambda g, o, x, y: g * y, lambda g, o, x, y: g * x * y], (V, np.ones(5)),
      "y is there once too often")  # fmt: skip
wrong("hidden", lambda x, b: (x + b) ** 2, [lambda g, o, x, b: 2 * g * x, lambda g, o, x, b: 2 * mg.sum(
    g * (x + b), axis=0)], (X, ZERO), "term", "stands where")  # fmt: skip

# Right at order 1: what depends on an input enters as a constant ---------------------------------------------------


def constant(x):
    return getattr(x, "_array", x)


wrong("constant", lambda x: np.sin(x), [lambda g, o, x: g * np.cos(constant(x))], (V,), "as a constant", order=2)
wrong("constant", lambda x: x**3, [lambda g, o, x: 3 * g * x * constant(x)], (V,), "as a constant", order=2)
wrong("constant", entropy, [lambda g, o, z: constant(o) * (g - row(constant(o) * g))], (X,), "as a constant", order=2)
for axis in (0, 1):
    wrong(
        "constant", *norm(axis, inv=lambda s: 1 / np.sqrt(constant(s.var) + s.eps)), (X, G, B), "as a constant", order=2
    )
