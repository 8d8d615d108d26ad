"""Composed graphs recognised and replaced by the fused primitive: batch norm, layer norm, softmax cross-entropy.

This changes rounding, not meaning, so it is asked for by name. Every replacement is proved: the part of the graph that
goes and the primitive that comes are compared on random inputs of the same shapes, values and gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from .._support.shapes import axes_of
from ..core.context import current, using
from ..core.gradients import consumers_first
from ..core.nodes import Node, callback, raw
from ..core.tensor import Tensor
from ..losses import softmax_cross_entropy
from ..normalization.batch import batch_norm_
from ..normalization.layer import layer_norm_
from ..ops import neg, reshape
from ..program import Instruction, Program
from ..program.passes import without_repeats
from .program import StepProgram


@dataclass(frozen=True)
class Match:
    """What was recognised: the tensors that go in, a function of them that is the fused form, the nodes that go."""

    inputs: tuple[Any, ...]
    fused: Callable[..., Any]
    gone: tuple[Node, ...] = ()

    def __call__(self, values: dict[Any, Any]) -> Any:
        """The fused form of its inputs, or of what `values` has in their place."""
        return self.fused(*[values.get(x, x) if isinstance(x, Node) else x for x in self.inputs])


# --------------------------------------------------------------------------------------------------------------
# Recognising. A pattern is a name (the same thing wherever it stands), a number, or (name, op, *patterns of inputs).

CENTRED = ("centred", "sub", "x", ("mu", "mean", "x"))
VARIANCES = ("var", "var", "x"), ("var", "mean", ("squares", "square", "centred"))
DEVIATIONS = [("std", "sqrt", ("var + eps", "add", var, "eps")) for var in VARIANCES]
X_HATS = [
    *[("x_hat", "div", CENTRED, std) for std in DEVIATIONS],
    *[("x_hat", "mul", CENTRED, ("inv_std", "div", 1.0, std)) for std in DEVIATIONS],
]
SCALED = [("scaled", "mul", x_hat, "gamma") for x_hat in X_HATS]
NORMALIZED = [*X_HATS, *SCALED, *[("shifted", "add", scaled, "beta") for scaled in SCALED]]

SHIFTED = ("shifted", "sub", "logits", "shift")
LOG_P = ("log_p", "sub", SHIFTED, ("log", "log", ("total", "sum", ("exp", "exp", "shifted"))))
CROSS_ENTROPY = ("picked", "getitem", LOG_P)

INPUTS = {"x", "eps", "gamma", "beta", "logits", "shift"}  # of the patterns; their other names are nodes that go


def found(pattern: Any, x: Any, names: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every way in which a graph that ends in x is the pattern: `names` and what the pattern's names stand for."""
    if isinstance(pattern, str):
        if names.setdefault(pattern, x) is x:
            yield names
    elif isinstance(pattern, float):
        if isinstance(x, (int, float)) and x == pattern:
            yield names
    elif isinstance(x, Node) and x.op is not None and x.op.name == pattern[1]:
        name, op, *parts = pattern
        for given in (x.given, x.given[::-1]) if op in ("add", "mul") else (x.given,):
            ways = [names | {name: x}]
            for part, inner in zip(parts, given, strict=True):
                ways = [more for way in ways for more in found(part, inner, dict(way))]
            yield from ways


def _gone(names: dict[str, Any]) -> tuple[Node, ...]:
    return tuple([x for name, x in names.items() if name not in INPUTS])


def _norm(node: Node, over_rows: bool) -> Match | None:
    """Batch norm (statistics over the first axes) or layer norm, with gamma and beta where the graph has them."""
    matches = (_normalized(way, over_rows) for pattern in NORMALIZED for way in found(pattern, node, {}))
    return next((match for match in matches if match is not None), None)


def _normalized(names: dict[str, Any], over_rows: bool) -> Match | None:
    x, mu, var, eps = (names[name] for name in ("x", "mu", "var", "eps"))
    given = [names[name] for name in ("gamma", "beta") if name in names]
    if not (isinstance(eps, (int, float)) and all(isinstance(part, Node) for part in (x, *given))):
        return None
    shape, axes = x._array.shape, axes_of(mu.params["axis"], x._array.ndim)
    if not axes or axes != axes_of(var.params["axis"], len(shape)) or var.params.get("ddof"):
        return None
    if not (mu.params["keepdims"] and var.params["keepdims"]) and axes != tuple(range(len(axes))):
        return None
    if not given and over_rows != (axes[0] == 0):  # nothing tells them apart but the axes
        return None
    # gamma has the axes that stay (batch norm) or those that are reduced (layer norm); against x it is `wide`
    wide = tuple([n if (k in axes) != over_rows else 1 for k, n in enumerate(shape)])
    narrow = tuple([n for k, n in enumerate(shape) if (k in axes) != over_rows])
    if any((1,) * (len(shape) - part._array.ndim) + part._array.shape != wide for part in given):
        return None
    primitive = batch_norm_ if over_rows else layer_norm_

    def fused(x: Any, *given: Any) -> Any:
        parts = [part if part.shape == narrow else reshape(part, narrow) for part in given]
        return primitive(x, *parts, *[None] * (2 - len(parts)), axis=axes, wide=wide, eps=float(eps))

    inputs = (x, *given)
    return Match(inputs, fused, _gone(names)) if len(set(inputs)) == len(inputs) else None


def _cross_entropy(node: Node) -> Match | None:
    """log_softmax(z)[each row, its label]; the sign stays where it is."""
    names = next(found(CROSS_ENTROPY, node, {}), None)
    index: Any = node.params.get("index")
    pair = isinstance(index, tuple) and len(index) == 2 and all(isinstance(k, np.ndarray) for k in index)
    if names is None or not pair or raw(names["logits"]).ndim != 2:
        return None
    logits, total, (rows, labels) = names["logits"], names["total"], index
    n, classes = raw(logits).shape
    if axes_of(total.params["axis"], 2) != (1,) or not total.params["keepdims"] or not np.array_equal(rows, range(n)):
        return None
    # what is an argument of a step today may be something else tomorrow
    if any(observer.varies(rows) for observer in current().observers if hasattr(observer, "varies")):
        return None
    # a row may be shifted by any number, and the result is the same; but the number must want no gradient for it
    shift = names["shift"]
    if getattr(shift, "_needs", False) or np.shape(raw(shift)) not in ((), (1,), (1, 1), (n, 1)):
        return None

    def fused(z: Any) -> Any:
        return neg(softmax_cross_entropy(z, labels=callback(_from_the_front, labels, classes)))

    return Match((logits,), fused, _gone(names))


def _from_the_front(labels: np.ndarray[Any, Any], classes: int) -> np.ndarray[Any, Any]:
    """Labels counted from the end, as an index may have them, counted from 0."""
    return np.where(labels < 0, labels + classes, labels).astype(np.intp)


KINDS: dict[str, Callable[[Node], Match | None]] = {
    "batch_norm": lambda node: _norm(node, over_rows=True),
    "layer_norm": lambda node: _norm(node, over_rows=False),
    "softmax_cross_entropy": _cross_entropy,
}


def chosen(names: Sequence[str] | bool) -> tuple[str, ...]:
    """Which kinds of fusion were asked for; ValueError for a name that is none."""
    if isinstance(names, bool):
        return tuple(KINDS) if names else ()
    given = (names,) if isinstance(names, str) else tuple(names)
    unknown = set(given) - set(KINDS)
    if unknown:
        raise ValueError(f"fuse={min(unknown)!r} must be among {', '.join(KINDS)}")
    return given


def fuse(y: Tensor, names: Sequence[str] | bool = True) -> Tensor:
    """The graph of y with composed batch norms, layer norms and softmax cross-entropies as fused primitives.

    A new graph over the same leaves; y's stays as it is, so the two can be drawn side by side. Values agree to
    rounding: each replacement is proved on random inputs by `check.compare`, in float64; what does not agree stays as
    it is, with a warning.

    >>> import minigrad as mg
    >>> x = mg.tensor(np.random.default_rng(0).normal(size=(5, 3)), requires_grad=True)
    >>> y = mg.batch_norm_composed(x)
    >>> fused = mg.fuse(y)
    >>> y.op.name, fused.op.name, bool(abs(y.data - fused.data).max() < 1e-14)
    ('div', 'batch_norm', True)
    """
    replacements = matches(y, chosen(names), set())
    renewed: dict[Any, Any] = {}
    for node in reversed(consumers_first(y)):
        match = replacements.get(node) or _itself(node)
        if node in replacements or any(x in renewed for x in match.inputs if isinstance(x, Node)):
            with using(scope=node.context.scope):
                renewed[node] = match(renewed)
            if node.name:
                renewed[node]._name = node.name
    return cast("Tensor", renewed.get(y, y))


def _itself(node: Any) -> Match:
    return Match(node.given, partial(node.op.call, **node.params))


def fuse_in_place(y: Node, names: Iterable[str], keep: set[Node]) -> list[tuple[Node, Node]]:
    """Give what is recognised in the graph of y the history of its fused form; (node, what the fused form gave)."""
    pairs = []
    for node, match in matches(y, names, keep).items():
        with using(scope=node.context.scope, recording=True):
            made = match({})
        # between the inputs and the node: numbers give the order of a walk
        inner = [n for n in consumers_first(made) if n is not made and n.number > node.number]
        for k, part in enumerate(inner, 1):
            part.number = node.number - k / (len(inner) + 1)  # type: ignore[assignment]
        for slot in ("op", "inputs", "arrays", "params", "saved"):
            setattr(node, slot, getattr(made, slot))
        pairs.append((node, made))
    return pairs


def matches(y: Node, names: Iterable[str], keep: set[Node]) -> dict[Node, Match]:
    """What is recognised in the graph of y, by the node that it ends in. Nodes in `keep` stay in the graph."""
    replacements: dict[Node, Match] = {}
    gone: set[Node] = set()
    for node in consumers_first(y):
        tried = (KINDS[name](node) for name in names) if node not in gone else ()
        match = next((m for m in tried if m is not None), None)
        if match is not None and not (set(match.gone) - {node}) & keep and _proved(node, match):
            replacements[node] = match
            gone.update(match.gone)
    return replacements


def _proved(node: Node, match: Match) -> bool:
    """Whether a part of the graph and its replacement agree on random inputs, values and gradients; else a warning."""
    inside = sorted(set(match.gone), key=lambda n: n.number)

    def composed(*inputs: Any) -> Any:
        values: dict[Any, Any] = dict(zip(match.inputs, inputs, strict=True))
        for n in inside:
            values[n] = _itself(n)(values)
        return values[node]

    rng = np.random.default_rng(0)
    # about where the values are: what is subtracted as a constant, against overflow, is the recorded one
    drawn = [rng.normal(x._array.mean(), x._array.std() or 1.0, x._array.shape) for x in match.inputs]
    inputs = [Tensor(array, requires_grad=True) for array in drawn]
    from ..check import compare  # here: recording a step needs no checker

    with using(observers=(), recording=True, scope=None):
        report = compare(composed, match.fused, inputs, order=1)
    if not report:
        warnings.warn(
            f"{node.op.name} looks like a form that can be fused, but is left as it is: on random inputs the two do "  # type: ignore[union-attr]
            f"not agree ({report.worst.name}: {report.worst.error:.1e})",
            stacklevel=2,
        )
    return bool(report)


def with_fusions(program: StepProgram) -> Program:
    """Let the fused results take the place of the composed ones that they were recognised in.

    The recorder wrote down the graph that was rewritten after the one that was; with the results exchanged, what
    was computed again from them is the same subexpression, and is left out.
    """
    if not program.replaced:
        return program
    return in_order(without_repeats(program.substituted(program.instructions, program.replaced)))


def in_order(program: Program) -> Program:
    """The same instructions, each after those that make what it reads; otherwise in the order that they had."""
    maker = {v: i for i in program.instructions for v in i.outputs}
    done: dict[Instruction, None] = {}
    for instruction in program.instructions:
        stack = [instruction]
        while stack:
            missing = [maker[v] for v in stack[-1].used() if v in maker and maker[v] not in done]
            if missing:
                stack.extend(missing)
            else:
                done[stack.pop()] = None
    return program.with_instructions(list(done))
