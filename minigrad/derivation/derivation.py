"""`derive`: a function's recorded backward, the steps to the formula that it comes down to, and what that makes."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._support.files import written_aside
from .axes import is_array, recordings
from .checking import assumptions
from .reading import Reader
from .search import Search, Step
from .terms import Term
from .text import Writer, identifiers

SHORT = {  # of what has no name: what it is called where its argument has no short name either
    "exp": "e",
    "log": "ln",
    "max": "top",
    "mean": "mu",
    "sqrt": "root",
    "tanh": "th",
    "sigmoid": "sig",
    "softplus": "sp",
}
RESERVED = ("g", "out", "saved", "mg", "np", "n", "N", "axis", "save", "rule", "fused")


class Derivation:
    """A derivation: `steps`, `labels` ("d_x", ...), and what was `refused` because it loses digits.

    refused is {rule: (error in float32, that of the recorded formula, what it would change)}.

    print() shows it line by line; `latex()` is an aligned equation, `source()` a module with the fused primitive,
    `primitive()` that primitive, registered and held against the function.
    """

    def __init__(
        self, f: Callable[..., Any], inputs: Sequence[Any], reader: Reader, steps: list[Step], search: Search
    ) -> None:
        self.f, self.inputs, self.steps, self.forward = f, list(inputs), steps, reader.forward
        self.wanted = reader.wanted
        self.labels = [f"d_{t.name}" for t in self.wanted]
        self.keep_digits, self.refused = search.keep_digits, search.refused
        self.assumed: dict[str, str] = {}
        self.axis = _axis_of(f, inputs)
        self.name = identifiers([getattr(f, "__name__", "f")])[0]

    def on_arrays(self, *arrays: Any, axis: Any = None) -> Any:
        """The function of its arrays alone; what else it was given stays, but for another axis if that is given."""
        rest = iter(arrays)
        inputs = [next(rest) if is_array(x) else x for x in self.inputs]
        if axis is None:
            return self.f(*inputs)
        bound = inspect.signature(self.f).bind(*inputs)
        bound.arguments["axis"] = axis
        return self.f(*bound.args, **bound.kwargs)

    @property
    def roots(self) -> tuple[Term, ...]:
        """The final formulas, one for each label."""
        return self.steps[-1].roots

    @property
    def formulas(self) -> dict[str, str]:
        """The final formulas as text: {"d_x": "...", ...}."""
        writer = self.writer()
        return {label: writer(root) for label, root in zip(self.labels, self.roots, strict=True)}

    @property
    def kept(self) -> list[str]:
        """Names of the forward values that the final formulas read."""
        from .cost import Plan

        return sorted(t.name for t in Plan(self.roots).saved())

    def writer(self, latex: bool = False) -> Writer:
        """What writes the terms of this derivation."""
        return Writer([root for step in self.steps for root in step.roots], latex)

    def __str__(self) -> str:
        from .printing import as_text

        return as_text(self)

    __repr__ = __str__

    def latex(self) -> str:
        """An aligned equation for each gradient, one line for each step that changes it."""
        from .printing import as_latex

        return as_latex(self)

    def page(self, path: str | os.PathLike[str], title: str = "") -> Path:
        """Write the page of the derivation, one HTML file that needs no network, and return its path.

        A slider and the arrow keys go through the steps: the graph before beside the graph after, what the step
        changed, its rule, and its prices. title: the function's name if not given. A file that is there is replaced.
        """
        from .paging import as_page

        with written_aside(path) as file:
            file.write(as_page(self, title or self.name).encode("utf-8", "replace"))
        return Path(path)

    def source(self, name: str = "fused") -> str:
        """A module that defines the fused primitive `name`, with save and joint rule, as a person writes it.

        NotDerivable where the formula needs an array that it cannot be written with.
        """
        from .emitting import source_of

        return source_of(self, name)

    def primitive(self, name: str = "fused") -> Callable[..., Any]:
        """The fused primitive, registered; it was held against the function on the given inputs, to second order."""
        from .emitting import defined

        return defined(self, name)


def derive(
    f: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    assume: Mapping[str, str] | None = None,
    keep_digits: bool = True,
) -> Derivation:
    """The way from the recorded backward of f(*inputs) to an analytic formula, found and checked step by step.

    f            a function of arrays that returns one Tensor, made of elementwise functions, reductions and matmul
    inputs       arrays or Tensors of floats, which get gradients, or of integers (labels); anything else is fixed. What
                 they hold counts for one thing: what each step does to precision in float32 is measured there
    assume       {name of an input: "sums to 1" (over its last axis), "is 0 or 1", or "is positive"}
    keep_digits  stop before a step that makes the error in float32 100 times that of the recorded formula

    Each step is checked where it is made: exactly, in the integers modulo 2**31 - 1, with sqrt, exp, ... as random
    polynomials; and in float64. Rules about exp, sigmoid and hypotheses are checked in float64 alone, and say so. Where
    a quotient such as x/x was undefined in the recorded formula, the derived one may be finite: they are equal wherever
    the recorded one is. f is called three times, twice with other lengths, to tell lengths from numbers.

    >>> import numpy as np, minigrad as mg
    >>> d = derive(lambda x: x / mg.sqrt(mg.sum(x * x, axis=1, keepdims=True)), [np.arange(6.0).reshape(3, 2) + 1])
    >>> d.formulas
    {'d_x': 'inv_norm*(g - sum(g*y)*y)'}
    """
    if not isinstance(inputs, (list, tuple)):
        raise TypeError(f"derive: inputs must be a list of arrays, got {type(inputs).__name__}")
    reader = Reader(recordings(f, inputs))
    forward = reader.forward
    _give_names(reader)
    forward.facts |= assumptions(forward, dict(assume or {}))
    writer = Writer([*reader.gradients])
    search = Search(forward, reader.gradients, keep_digits=keep_digits, text=writer)
    d = Derivation(f, inputs, reader, search.run(), search)
    d.assumed = dict(assume or {})
    return d


def _axis_of(f: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    """What the function is given as its parameter `axis`, an integer or several; None where it has none."""
    try:
        bound = inspect.signature(f).bind(*inputs)
    except (TypeError, ValueError):  # such as a function in C, which has no signature
        return None
    bound.apply_defaults()
    axis = bound.arguments.get("axis")
    parts = axis if isinstance(axis, tuple) else (axis,)
    return axis if all(isinstance(k, int) and not isinstance(k, bool) for k in parts) else None


def _give_names(reader: Reader) -> None:
    """Names that are identifiers: the user's where they are, else what the value is, or v1, v2, ..."""
    forward = reader.forward
    known = [*forward.inputs, *[t for t in forward.values if t.name]]
    for t, name in zip(known, identifiers([t.name for t in known], RESERVED), strict=True):
        t.name = name
    taken = {t.name for t in known}
    for k, t in enumerate(forward.values):
        d = t.definition
        if not t.name and d is not None:
            t.name = identifiers([_wanted(d) or f"v{k + 1}"], {*RESERVED, *taken})[0]
            taken.add(t.name)


def _wanted(d: Term) -> str:
    """What a value with this definition is called where the user gave it no name; empty where nothing is known."""
    a, b = (*d.args, None, None)[:2]
    inner, other = (x.definition if x is not None else None for x in (a, b))
    if d.op == "sub" and other is not None and other.args[0] is a and other.op in ("mean", "max"):
        return "centred" if other.op == "mean" else "shifted"
    if d.op == "sub" and a is not None and _is_logsumexp(a, other):
        return "log_p"
    if d.op == "sqrt" and inner is not None and inner.op == "sum":
        return "norm"
    if d.op in SHORT and a is not None and a.op == "name":
        return f"{d.op}_{a.name}" if len(a.name) < 6 and not re.fullmatch(r"v\d+", a.name) else SHORT[d.op]
    return ""


def _is_logsumexp(a: Term, d: Term | None) -> bool:
    """Whether d is log(sum(exp(a)))."""
    total = d.args[0].definition if d is not None and d.op == "log" else None
    e = total.args[0].definition if total is not None and total.op == "sum" else None
    return e is not None and e.op == "exp" and e.args[0] is a
