"""Programs in the integers modulo the prime 2**31 - 1: whether two of them are the same formula, exactly.

Sums, products and quotients are exact there. Every other function (sqrt, exp, a comparison, the largest element) is a
random polynomial, the same one for all programs that a `Field` evaluates: what holds for all functions holds for it. A
wrong rational identity of degree d passes at one random point with probability d / 2**31 (Schwartz 1980, Zippel 1979),
and each element of a result is a point. What holds for one function only, such as exp(a) * exp(b) = exp(a + b), does
not hold here: an answer of "differs" then means "not shown".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from .._support.shapes import axes_of
from .passes import opened
from .program import Array, Instruction, Program, Value, substitute

P = 2**31 - 1

_SHAPES = {"reshape", "broadcast_to", "expand_dims", "squeeze", "transpose", "swapaxes", "getitem", "concatenate"}
_SHAPES |= {"stack", "flip", "roll", "first_row", "ravel", "class_numbers"}
_MASKS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan"}


def power(a: Array, exponent: int) -> Array:
    """a**exponent modulo P, for any whole exponent; 0**-1 is 0."""
    e, out = exponent % (P - 1), np.ones_like(a)
    while e:
        out, a, e = (out * a % P if e & 1 else out), a * a % P, e >> 1
    return out


def residue(number: Any) -> int:
    """A number as an element of the field; a float is the small fraction that it is nearest to (2/7), or its digits."""
    fraction = Fraction(number) if math.isfinite(number) else Fraction(hash(number), 3)  # inf: a number like any other
    near = fraction.limit_denominator(100_000)
    fraction = near if float(near) == number else fraction
    return fraction.numerator * pow(fraction.denominator, -1, P) % P


def product(a: Array, b: Array) -> Array:
    """a @ b modulo P: in two halves of a, so that no sum overflows 63 bits."""
    high, low = a >> 16, a & 0xFFFF
    done: Array = ((high @ b % P << 16) + low @ b) % P
    return done


class Field:
    """Random points, random polynomials for functions that are no ratios of polynomials, and the ops by name."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self._coefficients: dict[Any, list[int]] = {}
        self._points: dict[Any, Array] = {}

    def point(self, key: Any, shape: tuple[int, ...], high: int = P) -> Array:
        """Random elements; the same for the same key."""
        if key not in self._points:
            self._points[key] = self.rng.integers(0, high, shape)
        return self._points[key]

    def like(self, name: str, *inputs: Array) -> Array:
        """A function of which nothing is known but that it is one: a random cubic of a random combination."""
        if (name, len(inputs)) not in self._coefficients:
            drawn = self.rng.integers(1, P, 4 + len(inputs)).tolist()
            self._coefficients[name, len(inputs)] = drawn
        a, b, c, d, *weights = self._coefficients[name, len(inputs)]
        x: Any = sum(v * w % P for v, w in zip(inputs, weights, strict=True)) % P
        done: Array = (((a * x + b) % P * x + c) % P * x + d) % P
        return done

    def apply(self, name: str, inputs: Any, params: dict[str, Any]) -> Array:
        """One op on elements of the field; parameters as the op has them, axes and exponents as numbers."""
        known = _EXACT.get(name)
        if known is not None:
            return np.asarray(known(self, *inputs, **params)) % P
        if name in _MASKS:
            return self.like(name, *inputs) & 1
        if "axis" in params:  # max, prod, logsumexp: one number made of all, in whatever order they come
            spread = total(self, self.like(f"{name} each", inputs[0]), params["axis"], params.get("keepdims", False))
            return self.like(name, spread)
        told = [f"{key}={value!r}" for key, value in params.items()]  # leaky_relu(slope=0.1) is another function
        return self.like(" ".join([name, *told]), *inputs)


def total(field: Field, x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """Sum over `axis`, modulo P."""
    done: Array = np.asarray(x).sum(axis=axis, keepdims=keepdims) % P
    return done


def _mean(field: Field, x: Array, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Array:
    n = int(np.prod([x.shape[k] for k in axes_of(axis, x.ndim)], dtype=int)) - ddof
    return total(field, x, axis, keepdims) * (pow(n, -1, P) if n % P else 0)


def _var(field: Field, x: Array, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Array:
    centred = (x - _mean(field, x, axis, True)) % P
    return _mean(field, centred * centred % P, axis, keepdims, ddof)


def _pow(field: Field, x: Array, y: Array) -> Array:
    small = y.size == 1 and (y.flat[0] < 64 or P - y.flat[0] < 64)  # a whole exponent that somebody wrote
    if small:
        e = int(y.flat[0])
        return power(x, e if e < 64 else e - P)
    return field.like("sqrt", x) if y.size == 1 and y.flat[0] == residue(0.5) else field.like("pow", x, y)


def _put(field: Field, x: Array, index: Any, shape: tuple[int, ...]) -> Array:
    out = np.zeros(shape, np.int64)
    np.add.at(out, index, x)
    return out


_EXACT: dict[str, Callable[..., Any]] = {
    "add": lambda f, a, b: a + b,
    "sub": lambda f, a, b: a - b,
    "mul": lambda f, a, b: a * b,
    "div": lambda f, a, b: a * power(b, -1),
    "neg": lambda f, a: -a,
    "square": lambda f, a: a * a,
    "pow": _pow,
    "sum": total,
    "mean": _mean,
    "var": _var,
    "std": lambda f, x, **p: f.like("sqrt", _var(f, x, **p) % P),
    "matmul": lambda f, a, b: product(a, b),
    "where": lambda f, c, a, b: c * a % P + (1 - c) * b,
    "logical_and": lambda f, a, b: a * b,
    "logical_or": lambda f, a, b: np.maximum(a, b),
    "logical_not": lambda f, a: 1 - a,
    "astype": lambda f, a, dtype: a,
    "cumsum": lambda f, a, axis=None: _running(a if axis is not None else a.ravel(), axis or 0),
    "put": _put,
    "einsum": lambda f, *xs, subscripts: np.einsum(subscripts, *[x.astype(object) for x in xs]) % P,
    "one_hot": lambda f, labels, classes, dtype: np.eye(classes, dtype=np.int64)[labels],
    "largest": lambda f, x, axis: f.apply("max", (x,), {"axis": axis, "keepdims": True}),
}


def functions_in(program: Program) -> set[str]:
    """The functions in a program, backward included, that are no ratio of polynomials; empty where it is rational."""

    def whole(i: Instruction) -> bool:
        return i.name == "pow" and isinstance(i.inputs[1], (int, float)) and i.inputs[1] == int(i.inputs[1])

    exact = (set(_EXACT) | _SHAPES) - {"pow", "std", "largest", "logical_or"}
    steps = opened(program, rules=True).instructions
    return {i.name for i in steps if i.name not in exact and not whole(i)}


def _running(a: Array, axis: int) -> Array:
    parts = np.moveaxis(a, axis, 0).copy()
    for k in range(1, len(parts)):
        parts[k] = (parts[k] + parts[k - 1]) % P
    return np.moveaxis(parts, 0, axis)


def evaluate(program: Program, field: Field) -> dict[Value, Array]:
    """Every value of a program at random points of the field.

    Inputs that hold integers (labels) stay what they were recorded with, masks are random. Fused primitives and rules
    are written out first; TypeError for what nobody can look into.
    """
    held: dict[Value, Array] = {}

    def start(value: Value) -> Array:
        key = value.source if value.kind == "tensor" else (value.kind, value.source)
        if value.kind == "constant":
            array = value.array
            return array if array.dtype.kind != "f" else np.vectorize(residue, otypes=[np.int64])(array)
        if value.dtype.kind in "iu":
            return value.array
        return field.point((key, value.shape), value.shape, 2 if value.dtype == bool else P)

    def get(x: Any) -> Array:
        if isinstance(x, Value):
            if x not in held:
                held[x] = np.asarray(start(x))
            return held[x]
        return np.asarray(residue(x) if isinstance(x, float) else x)

    for i in program.instructions:
        params = substitute(i.params, get)
        if i.kind == "op" and i.op is not None and i.op.builtin and len(i.outputs) == 1:
            if i.name in _SHAPES:
                held[i.outputs[0]] = i.function(*map(get, i.inputs), **params)
            else:
                held[i.outputs[0]] = field.apply(i.name, [get(x) for x in i.inputs], params)
        elif i.pure and len(i.outputs) == 1 and i.kind == "call":
            held[i.outputs[0]] = _call(i, field, get)
        elif i.outputs:
            raise TypeError(f"{i.name} is Python that nobody can look into, so it has no value modulo 2**31 - 1")
    for value in program.wanted():
        get(value)
    return held


def _call(i: Instruction, field: Field, get: Any) -> Array:
    inputs = [get(x) if isinstance(x, Value) else x for x in i.inputs]
    if i.name in _SHAPES:
        return np.asarray(i.function(*inputs))
    return field.apply(i.name, inputs, {})


def unequal(a: Program, b: Program, *, seed: int = 0) -> list[str]:
    """Names of the results and gradients in which two programs differ as formulas; empty where they are the same.

    Inputs go by position, tensors from outside by identity. Exact, at as many random points as there are elements; see
    the top of this file for what "differ" means where functions are not ratios of polynomials.

    >>> import minigrad as mg
    >>> x = np.ones((3, 2))
    >>> unequal(mg.record(lambda x: x * x + x, x), mg.record(lambda x: x * (x + 1.0), x))
    []
    >>> unequal(mg.record(lambda x: x * x, x), mg.record(lambda x: x * x * (1 + 1e-14), x))
    ['y', 'gradient of x']
    """
    a, b = opened(a, rules=True), opened(b, rules=True)
    shapes = [[(v.shape, v.dtype.kind) for v in p.inputs] for p in (a, b)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"the programs take different inputs: {shapes[0]} and {shapes[1]}; record both for the same")
    field = Field(seed)
    found = [evaluate(program, field) for program in (a, b)]
    pairs: list[tuple[Any, Any, Any]] = [(v.label, v, w) for v, w in zip(a.results, b.results, strict=True)]
    slopes = [{p.inputs.index(v) if v in p.inputs else v.source: d for v, d in p.gradients.items()} for p in (a, b)]
    for of in {**slopes[0], **slopes[1]}:
        name = a.inputs[of].label if isinstance(of, int) else of.name
        pairs.append((f"gradient of {name}", slopes[0].get(of), slopes[1].get(of)))
    return [name for name, x, y in pairs if x is None or y is None or not _same(found[0][x], found[1][y])]


def _same(x: Array, y: Array) -> bool:
    return x.shape == y.shape and bool((x % P == y % P).all())
