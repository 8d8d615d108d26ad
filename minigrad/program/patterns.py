"""One recogniser of what people write out: batch norm, layer norm, softmax, log-softmax, cross-entropy, a linear layer.

It compares canonical forms (forms.py), so it does not matter how a formula is spelled. `recognise` looks at what ends
in one value of any graph, and says of what is nearly one how it differs. What is done about it is for others: `mg.fuse`
puts a primitive in its place and proves it, the ONNX exporter writes one operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np

from .._support.shapes import Ints
from ..core.nodes import Node
from ..core.tensor import Tensor
from .forms import ONE, OPS, REDUCTIONS, Factor, Forms, Made, Product, Terms, X, is_constant, one
from .program import Program, Value

NEAR, MANY = 32, 8  # ops between a value and what it is a pattern of, and arrays that x may be, at most
NORMS = {"batch_norm": "batch norm", "layer_norm": "layer norm"}
KINDS = (*NORMS, "softmax_cross_entropy", "log_softmax", "softmax", "linear")
ONE_X, TWO_X = one(X), one(X, 2.0)
LOSES_DIGITS = "the variance is E[x^2] - E[x]^2, which loses digits where |mean| is large against the deviation"


@dataclass(frozen=True, repr=False)
class Pattern:
    """What was recognised.

    kind     one of KINDS; out: the value that it ends in; inputs: what it is a function of, x first
    params   those of the primitive or operator
    gone     the values that it stands for, `out` among them
    remarks  what is to be said of it
    differs  how it is not one; empty where it is
    """

    kind: str
    out: Any
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    gone: tuple[Any, ...]
    remarks: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        words = NORMS.get(self.kind, self.kind)
        if self.differs:
            return f"nearest: {words}, but {' and '.join(self.differs)}"
        named = [
            "None" if x is None else getattr(x, "label", None) or getattr(x, "name", None) or "_" for x in self.inputs
        ]
        about = "".join([f", {name}={self.params[name]}" for name in ("axis", "eps") if name in self.params])
        return "; ".join([f"{words}({', '.join(named)}{about})", *self.remarks])


def made_of_nodes(x: Any) -> Any:
    """What made a node: (op's name, inputs, parameters)."""
    if isinstance(x, Node) and x.op is not None and x.op.builtin:
        return x.op.name, x.given, x.params
    return None


def patterns(
    program: Program, kinds: Iterable[str] = KINDS, accept: Callable[[Pattern], bool] = lambda pattern: True
) -> list[Pattern]:
    """What is recognised in a program's forward, and what is nearly one, in the order of the program.

    >>> import minigrad as mg
    >>> program = mg.record(lambda x: (x - x.mean(0)) / (x.var(0, ddof=1) + 1e-5) ** 0.5, np.ones((5, 3)))
    >>> patterns(program)
    [nearest: batch norm, but the variance is divided by N - 1]
    """
    if unknown := set(kinds := tuple(kinds)) - set(KINDS):
        raise ValueError(f"patterns: {min(unknown)!r} must be among {', '.join(KINDS)}")
    steps = {i.outputs[0]: i for i in program.instructions if i.kind == "op" and not i.backward}

    def made(x: Any) -> Any:
        i = steps.get(x) if isinstance(x, Value) else None
        return (i.name, i.inputs, i.params) if i is not None and i.op is not None and i.op.builtin else None

    return in_all(reversed(steps), made, kinds, accept)[::-1]


def in_all(
    values: Iterable[Any], made: Made, kinds: Iterable[str], accept: Callable[[Pattern], bool] = lambda pattern: True
) -> list[Pattern]:
    """The patterns that end in any of the values, consumers first. Nothing more is said of what is inside one."""
    found: list[Pattern] = []
    gone: set[Any] = set()
    for value in values:
        pattern = recognise(value, made, kinds) if value not in gone else None
        if pattern is not None and (pattern.differs or accept(pattern)):
            found.append(pattern)
            gone.update(() if pattern.differs else pattern.gone)
    said: list[Pattern] = []
    for pattern in found:
        if not pattern.differs or gone.isdisjoint(pattern.gone):
            said.append(pattern)
            gone.update(pattern.gone)
    return said


def recognise(out: Any, made: Made, kinds: Iterable[str] = KINDS) -> Pattern | None:
    """What ends in `out`: the pattern, or what comes nearest to one, or None."""
    kinds, step = tuple(kinds), made(out)
    name, inputs, params = step or ("", (), {})
    if name == "getitem" and "softmax_cross_entropy" in kinds:
        return _cross_entropy(out, inputs[0], params["index"], made)
    if name == "add" and "linear" in kinds and (linear := _linear(out, inputs, made)):
        return linear
    region = _region(out, made) if name in ("add", "sub", "mul", "div", "neg", "exp", "log") else {}
    nearest: Pattern | None = None
    for x in _candidates(out, region):
        forms = Forms(x, region, made)
        form = forms.of(out)
        if form is None or form.along != tuple(range(len(x.shape))):
            continue
        terms = {p: c for p, c in form.terms.items() if abs(c) > 1e-12}
        found = _softmax(out, forms, terms, kinds) or _norm(out, forms, terms, kinds)
        if found is not None and not found.differs:
            return found
        if found is not None and (nearest is None or len(found.differs) < len(nearest.differs)):
            nearest = found
    return nearest


def _region(out: Any, made: Made) -> dict[Any, Any]:
    """The values near `out` that forms can look into, nearest first, and what made them."""
    region: dict[Any, Any] = {}
    queue = [out]
    for value in queue:
        step = made(value) if value not in region and len(region) < NEAR else None
        if step is not None and step[0] in OPS:
            region[value] = step
            queue += [x for x in step[1] if isinstance(x, (Node, Value))]
    return region


def _candidates(out: Any, region: dict[Any, Any]) -> list[Any]:
    """What x may be, of the shape of `out`: what is reduced, or what that is the square or the exponential of."""
    found: list[Any] = []
    ops = {name for name, _, _ in region.values()}
    if ops.intersection(REDUCTIONS) and ops.intersection(("sqrt", "std", "pow", "exp", "logsumexp", "div")):
        for name, (x, *_), _ in region.values():
            step = region.get(x) if isinstance(x, (Node, Value)) else None
            if name in ("logsumexp", "exp"):  # first what it was before the shift against overflow
                found[:0] = [step[1][0], x] if step and step[0] == "sub" else [x]
            elif name in REDUCTIONS:
                found += [x, *(step[1] if step and step[0] in ("square", "pow", "mul", "div") else ())]
    arrays = [x for x in found if isinstance(x, (Tensor, Value)) and x.shape == out.shape]
    return list(dict.fromkeys(arrays))[:MANY]


def _pattern(
    kind: str, out: Any, inputs: tuple[Any, ...], params: dict[str, Any], forms: Forms, **more: Any
) -> Pattern | None:
    """The pattern; None where an array that wants a gradient would be lost with it."""
    dtype = np.result_type(*[x.dtype for x in inputs if x is not None])
    if dtype != out.dtype:
        more["differs"] = (*more.get("differs", ()), f"a constant makes {out.dtype} of {dtype}")
    for atom in forms.atoms:  # what cancels out, as the shift of a softmax does, sends none; nor does the largest of x
        step = forms.step(atom)
        largest = step is not None and step[0] == "max" and step[1][0] is forms.x
        kept = largest or any(atom is x for x in inputs)
        if getattr(atom, "_needs", False) and not kept and not more.get("differs"):
            return None
    gone = [v for v, form in forms.known.items() if form is not None and v is not forms.x]
    return Pattern(kind, out, inputs, params, tuple(gone), **more)


# --------------------------------------------------------------------------------------------------------------
# Batch norm and layer norm: gamma * (x - sum(x) / N) * (sum(x^2) / N - sum(x)^2 / N^2 + eps)^-1/2 + beta


def _norm(out: Any, forms: Forms, terms: Terms, kinds: tuple[str, ...]) -> Pattern | None:
    divisors = {part for product in terms for part in product if part[0][0] == "power" and part[1] < 0}
    if len(divisors) != 1:
        return None
    divisor = divisors.pop()
    above = {product - {divisor}: c for product, c in terms.items() if divisor in product}
    added = {product: c for product, c in terms.items() if divisor not in product}
    scales = [product - {(X, 1.0)} for product in above if (X, 1.0) in product]
    variance = _variance(dict(divisor[0][1]), divisor[1], forms.x.shape)
    if len(scales) != 1 or variance is None:
        return None
    axes, eps, differs = variance
    differs = [*_mean(above, scales[0], axes, forms.x.shape), *differs]
    if NO_MEAN in differs and NOT_CENTRED in differs:
        differs = ["the mean is not subtracted (RMS norm)", *(d for d in differs if d not in (NO_MEAN, NOT_CENTRED))]
    gamma = _array(scales[0], 1.0, "gamma", forms, differs) if scales[0] else None
    beta = _array(*next(iter(added.items())), "beta", forms, differs) if len(added) == 1 else None
    if len(added) > 1:
        differs.append("more than one array is added")
    kind = _kind([part for part in (gamma, beta) if part is not None], axes, forms, kinds, differs)
    if kind is None or len(differs) > 2 or (gamma is not None and gamma == beta):
        return None
    lines = [k for k in range(len(out.shape)) if (k in axes) != (kind == "batch_norm")]
    wide = tuple([n if k in lines else 1 for k, n in enumerate(out.shape)])
    params = {"axis": axes, "eps": eps, "wide": wide, "narrow": tuple([out.shape[k] for k in lines])}
    inputs = (forms.x, *(None if part is None else forms.atoms[part[1]] for part in (gamma, beta)))
    remarks = (LOSES_DIGITS,) if _squares_of_x(forms) else ()
    return _pattern(kind, out, inputs, params, forms, remarks=remarks, differs=tuple(differs))


NO_MEAN = "the mean is not subtracted"
NOT_CENTRED = "the squares are of x, not of x - mean(x)"


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def _variance(under: Terms, exponent: float, shape: Ints) -> tuple[Ints, float, list[str]] | None:
    """Axes, eps, and what is unusual of (var + eps) ** exponent; None if that is not what it is."""
    differs = []
    root = next((dict(f[1]) for p in under if len(p) == 1 for f, e in p if f[0] == "power" and e == 0.5), None)
    if exponent == -1 and root is not None:
        differs.append("eps stands outside the square root")
        under = {p: c for p, c in under.items() if not p} | {p: c for p, c in root.items() if p}
    elif exponent != -0.5:
        power = "" if exponent == -1 else f"**{-exponent:g}"
        differs.append(f"x - mean is divided by (var + eps){power}, not by its square root")

    squares = [(p, f[1]) for p in under if len(p) == 1 for f, e in p if (f[0], f[-1], e) == ("sum", TWO_X, 1)]
    means = [(p, f[1]) for p in under if len(p) == 1 for f, e in p if (f[0], f[-1], e) == ("sum", ONE_X, 2)]
    if len(squares) != 1 or len(means) > 1:
        return None
    (product, over), axes = squares[0], tuple(sorted(squares[0][1]))
    n, c = prod([shape[k] for k in axes]), under[product]
    if not _close(c * n, 1.0):
        less = round(n - 1 / c)
        by = f"N - {less}" if 0 < less < n / 2 and _close(1 / c, n - less) else f"{1 / c:.6g}"
        differs.append(f"the variance is divided by {by}" if by != "1" else "the squares are summed, not divided by N")
    if not means:
        differs.append(NOT_CENTRED)
    elif means[0][1] != over or not _close(under[means[0][0]], -c / n):
        differs.append("the squares are of x less something else than its mean")
    rest = set(under) - {ONE, product, *(p for p, _ in means)}
    eps = under.get(ONE)
    if any(f[0] != "atom" for p in rest for f, _ in p) or (rest and eps is not None):
        return None
    if rest:
        differs.append("eps is an array, not a number")
    elif eps is None or not 0 <= eps < inf:
        differs.append("eps is missing" if eps is None else f"eps is {eps:g}, not 0 or more")
    return axes, eps or 0.0, differs


def _mean(above: Terms, scale: Product, axes: Ints, shape: Ints) -> list[str]:
    """What is unusual of scale * (x - mean)."""
    x = scale | {(X, 1.0)}
    means = {p: f[1] for p in above for f, e in p - scale if (f[0], f[-1], e) == ("sum", ONE_X, 1)}
    if len(above) - len(means) != 1 or len(means) > 1:
        return ["something else than the mean is subtracted from x"]
    differs = []
    for product, over in means.items():
        times = -above[product] * prod([shape[k] for k in over]) / above[x]
        if tuple(sorted(over)) != axes:
            differs.append(f"the mean is over axes {tuple(sorted(over))} and the variance over {axes}")
        elif not _close(times, 1.0):
            differs.append(f"{times:.6g} times the mean is subtracted")
    if not means:
        differs.append(NO_MEAN)
    if not _close(above[x], 1.0):
        minus = _close(above[x], -1.0)
        differs.append("x is subtracted from its mean" if minus else f"it is multiplied by {above[x]:.6g}")
    return differs


def _array(product: Product, c: float, name: str, forms: Forms, differs: list[str]) -> Factor | None:
    """The one array that gamma or beta is."""
    factor, exponent = next(iter(product)) if len(product) == 1 else ((None,), 1.0)
    if factor[0] == "atom" and exponent == 1 and c == 1:
        return factor
    differs.append(f"{name} is not one array")
    return None


def _kind(given: list[Factor], axes: Ints, forms: Forms, kinds: tuple[str, ...], differs: list[str]) -> str | None:
    """Batch norm has the axes that stay in gamma and beta, layer norm those that are reduced."""
    shape = forms.x.shape
    usual = ("batch_norm", "layer_norm") if axes[0] == 0 else ("layer_norm", "batch_norm")

    def fits(kind: str) -> bool:
        own = tuple([k for k, n in enumerate(shape) if (k in axes) != (kind == "batch_norm") and n != 1])
        return all(factor[2] == own for factor in given)

    kind = next((kind for kind in usual if given and fits(kind)), usual[0])
    if not fits(kind):
        stay, go = ([n for k, n in enumerate(shape) if (k in axes) == reduced] for reduced in (False, True))
        shapes = [forms.atoms[factor[1]].shape for factor in given]
        differs.append(
            f"gamma and beta have shapes {shapes}, and neither is that of the axes kept, {tuple(stay)}, "
            f"nor of those reduced, {tuple(go)}"
        )
    return kind if kind in kinds else None


def _squares_of_x(forms: Forms) -> bool:
    """Whether x^2 itself is summed somewhere."""
    steps = [forms.step(v) for v, form in forms.known.items() if form is not None]
    inner = [forms.of(step[1][0]) for step in steps if step is not None and step[0] in ("sum", "mean")]
    return any(form is not None and set(form.terms) == {TWO_X} for form in inner)


# --------------------------------------------------------------------------------------------------------------
# Softmax and what is made of it; a linear layer


def _softmax(out: Any, forms: Forms, terms: Terms, kinds: tuple[str, ...]) -> Pattern | None:
    """x - log(sum(exp(x))) or exp(x) / sum(exp(x)) along one axis, whatever constant x is shifted by."""
    e = ("exp", ONE_X)
    for axis in range(len(out.shape)):
        total = ("sum", frozenset([axis]), one(e))
        known = {
            "log_softmax": {ONE_X: 1.0, one(("log", frozenset([(one(total), 1.0)]))): -1.0},
            "softmax": {frozenset([(e, 1.0), (total, -1.0)]): 1.0},
        }
        for kind, expected in known.items():
            if kind in kinds and terms.keys() == expected.keys() and all(_close(terms[p], expected[p]) for p in terms):
                return _pattern(kind, out, (forms.x,), {"axis": axis}, forms)
    return None


def _cross_entropy(out: Any, log_p: Any, index: Any, made: Made) -> Pattern | None:
    """log_softmax(z)[each row, its label]; the sign stays where it is."""
    inner = recognise(log_p, made, ("log_softmax",)) if isinstance(log_p, (Node, Value)) else None
    if inner is None or inner.params["axis"] != 1 or len(log_p.shape) != 2:
        return None
    if not isinstance(index, tuple) or len(index) != 2:
        return None
    rows, labels = index
    if not all(isinstance(k, (np.ndarray, Value)) for k in index) or not is_constant(rows):
        return None
    numbers: Any = rows.array if isinstance(rows, Value) else rows
    if not np.array_equal(numbers, range(log_p.shape[0])):
        return None
    return Pattern("softmax_cross_entropy", out, inner.inputs, {"labels": labels}, (out, log_p, *inner.gone))


def _linear(out: Any, inputs: tuple[Any, ...], made: Made) -> Pattern | None:
    """x @ weight + bias for a matrix x."""
    z, bias = inputs
    before = made(z) if isinstance(z, (Node, Value)) else None
    if before is None or before[0] != "matmul":
        return None
    x, weight = before[1]
    shapes = [getattr(part, "shape", ()) for part in (x, weight, bias)]
    if list(map(len, shapes)) != [2, 2, 1] or shapes[2] != shapes[1][1:]:
        return None
    return Pattern("linear", out, (x, weight, bias), {}, (out, z))
