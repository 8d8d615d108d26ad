"""Composed graphs recognised and replaced by the fused primitive: batch norm, layer norm, softmax cross-entropy.

This changes rounding, not meaning, so it is asked for by name. Every replacement is proved: the part of the graph that
goes and the primitive that comes are compared on random inputs of the same shapes, values and gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
from .passes import without_repeats
from .program import Instruction, Program


@dataclass(frozen=True)
class Match:
    """What was recognised: the tensors that go in, a function of them that is the fused form, the nodes that go."""

    inputs: tuple[Node, ...]
    fused: Callable[..., Any]
    gone: tuple[Node, ...]


# --------------------------------------------------------------------------------------------------------------
# Recognising


def _is(x: Any, name: str) -> bool:
    return isinstance(x, Node) and x.op is not None and x.op.name == name


@dataclass(frozen=True)
class _Normalized:
    """(x - mean(x)) / sqrt(var(x) + eps)."""

    x: Node
    axes: tuple[int, ...]
    eps: float
    gone: tuple[Node, ...]


def _normalized(node: Any) -> _Normalized | None:
    """Whether a node is x_hat, with the variance as one node or spelled out."""
    if _is(node, "div"):
        centred, std = node.given
        between: tuple[Node, ...] = ()
    elif _is(node, "mul"):
        inverse = next((part for part in node.given if _is(part, "div") and _number(part.given[0]) == 1.0), None)
        if inverse is None:
            return None
        centred = node.given[0] if node.given[1] is inverse else node.given[1]
        std, between = inverse.given[1], (inverse,)
    else:
        return None
    if not (_is(centred, "sub") and _is(std, "sqrt") and _is(std.given[0], "add")):
        return None
    x, mu = centred.given
    v, eps = std.given[0].given
    if not isinstance(eps, (int, float)):
        v, eps = eps, v
    if not (isinstance(eps, (int, float)) and isinstance(x, Node) and _is(mu, "mean") and mu.given[0] is x):
        return None
    gone = (node, centred, std, std.given[0], mu, v, *between)
    if _is(v, "var"):
        if v.given[0] is not x or v.params["ddof"] != 0:
            return None
    elif _is(v, "mean") and _is(v.given[0], "square") and v.given[0].given[0] is centred:
        gone = (*gone, v.given[0])
    else:
        return None
    axes = axes_of(mu.params["axis"], x.ndim)
    if not axes or axes != axes_of(v.params["axis"], x.ndim):
        return None
    if not (mu.params["keepdims"] and v.params["keepdims"]) and axes != tuple(range(len(axes))):
        return None
    return _Normalized(x, axes, float(eps), gone)


def _number(x: Any) -> float | None:
    return float(x) if isinstance(x, (int, float)) else None


def _affine(node: Node) -> tuple[_Normalized, Any, Any, tuple[Node, ...]] | None:
    """(x_hat, gamma, beta, nodes that go) of gamma * x_hat + beta, gamma * x_hat or x_hat alone."""
    plain = _normalized(node)
    if plain is not None:
        return plain, None, None, plain.gone
    scaled, beta = node, None
    if _is(node, "add"):
        scaled, beta = node.given if _is(node.given[0], "mul") else node.given[::-1]
    if not _is(scaled, "mul") or not isinstance(scaled, Node):
        return None
    for x_hat, gamma in (scaled.given, scaled.given[::-1]):
        found = _normalized(x_hat)
        if found is not None and isinstance(gamma, Node) and (beta is None or isinstance(beta, Node)):
            return found, gamma, beta, (node, scaled, *found.gone)
    return None


def _norm(node: Node, over_rows: bool) -> Match | None:
    found = _affine(node)
    if found is None:
        return None
    norm, gamma, beta, gone = found
    shape, axes = norm.x._array.shape, norm.axes
    # gamma has the axes that are kept (batch norm) or those that are reduced (layer norm)
    own = [k for k in range(len(shape)) if (k in axes) != over_rows]
    wide = tuple([n if k in own else 1 for k, n in enumerate(shape)])
    narrow = tuple([shape[k] for k in own])
    if gamma is None and over_rows != (axes[0] == 0):  # nothing tells them apart but the axes
        return None
    for part in (gamma, beta):
        # stretched against x it must be what `wide` says
        if part is not None and (
            part._array.size != np.prod(narrow) or _stretched(part._array.shape, len(shape)) != wide
        ):
            return None
    primitive = batch_norm_ if over_rows else layer_norm_

    def fused(x: Any, *given: Any) -> Any:
        parts = iter([part if part.shape == narrow else reshape(part, narrow) for part in given])
        both = [None if part is None else next(parts) for part in (gamma, beta)]
        return primitive(x, *both, axis=axes, wide=wide, eps=norm.eps)

    inputs = (norm.x, *[part for part in (gamma, beta) if part is not None])
    return Match(inputs, fused, gone) if len(set(inputs)) == len(inputs) else None


def _stretched(shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    return (1,) * (ndim - len(shape)) + shape


def _cross_entropy(node: Node) -> Match | None:
    """log_softmax(z)[each row, its label]; the sign stays where it is."""
    if not _is(node, "getitem") or not _is(node.given[0], "sub"):
        return None
    log_p = node.given[0]
    shifted, log = log_p.given
    if not (_is(shifted, "sub") and _is(log, "log") and _is(log.given[0], "sum")):
        return None
    total = log.given[0]
    logits = shifted.given[0]
    index = node.params["index"]
    if not (_is(total.given[0], "exp") and total.given[0].given[0] is shifted and isinstance(logits, Node)):
        return None
    rows = logits._array.shape[0] if logits._array.ndim == 2 else -1
    if not (isinstance(index, tuple) and len(index) == 2 and all(isinstance(part, np.ndarray) for part in index)):
        return None
    if axes_of(total.params["axis"], logits._array.ndim) != (1,) or not total.params["keepdims"]:
        return None
    # what is an argument of a step today may be something else tomorrow
    if not np.array_equal(index[0], np.arange(rows)) or any(_varies(o, index[0]) for o in current().observers):
        return None
    # a row may be shifted by any number, and the result is the same; but the number must want no gradient for it
    shift = shifted.given[1]
    if getattr(shift, "_needs", False) or np.shape(raw(shift)) not in ((), (1,), (1, 1), (rows, 1)):
        return None
    labels, classes = index[1], logits._array.shape[1]

    def fused(z: Any) -> Any:
        return neg(softmax_cross_entropy(z, labels=callback(_from_the_front, labels, classes)))

    return Match((logits,), fused, (node, log_p, shifted, log, total, total.given[0]))


def _varies(observer: Any, array: np.ndarray[Any, Any]) -> bool:
    return hasattr(observer, "varies") and bool(observer.varies(array))


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


# --------------------------------------------------------------------------------------------------------------
# Replacing


def fuse(y: Tensor, names: Sequence[str] | bool = True) -> Tensor:
    """The graph of y with composed batch norms, layer norms and softmax cross-entropies as fused primitives.

    A new graph over the same leaves; y's stays as it is, so the two can be drawn side by side. Values agree to
    rounding: each replacement is proved on random inputs by `check.compare`, in float64. ValueError if one fails.

    >>> import minigrad as mg
    >>> x = mg.tensor(np.random.default_rng(0).normal(size=(5, 3)), requires_grad=True)
    >>> y = mg.batch_norm_composed(x)
    >>> fused = mg.fuse(y)
    >>> y.op.name, fused.op.name, bool(abs(y.data - fused.data).max() < 1e-14)
    ('div', 'batch_norm', True)
    """
    found = matches(y, chosen(names), set())
    renewed: dict[Node, Node] = {}
    for node in sorted(_needed(y, found), key=lambda n: n.number):
        match = found.get(node)
        inputs = match.inputs if match is not None else node.given
        if match is None and not any(x in renewed for x in inputs if isinstance(x, Node)):
            continue
        given = [renewed.get(x, x) if isinstance(x, Node) else x for x in inputs]
        with using(scope=node.context.scope):
            renewed[node] = match.fused(*given) if match is not None else node.op.call(*given, **node.params)  # type: ignore[union-attr]
        if node.name:
            renewed[node]._name = node.name
    return cast("Tensor", renewed.get(y, y))


def fuse_in_place(y: Node, names: Iterable[str], keep: set[Node]) -> list[tuple[Node, Node]]:
    """Give what is recognised in the graph of y the history of its fused form; (node, what the fused form gave)."""
    pairs = []
    for node, match in matches(y, names, keep).items():
        with using(scope=node.context.scope, recording=True):
            made: Any = match.fused(*match.inputs)
        # between the inputs and the node: numbers give the order of a walk
        inner = [n for n in consumers_first(made) if n is not made and n.number > node.number]
        for k, part in enumerate(inner, 1):
            part.number = node.number - k / (len(inner) + 1)  # type: ignore[assignment]
        node.op, node.inputs, node.arrays, node.params, node.saved = (
            *(made.op, made.inputs, made.arrays, made.params, made.saved),
        )
        pairs.append((node, made))
    return pairs


def matches(y: Node, names: Iterable[str], keep: set[Node]) -> dict[Node, Match]:
    """What is recognised in the graph of y, by the node that it ends in. Nodes in `keep` stay in the graph."""
    found: dict[Node, Match] = {}
    gone: set[Node] = set()
    for node in consumers_first(y):
        tried = (KINDS[name](node) for name in names) if node not in gone else ()
        match = next((m for m in tried if m is not None), None)
        inside = set(match.gone) - {node} if match is not None else set()
        if match is not None and not inside & keep and _proved(node, match):
            found[node] = match
            gone.update(match.gone)
    return found


def _needed(y: Node, found: dict[Node, Match]) -> set[Node]:
    """The recorded nodes that y still depends on when what was found is replaced."""
    needed, stack = {y}, [y]
    while stack:
        node = stack.pop()
        for x in found[node].inputs if node in found else node.given:
            if isinstance(x, Node) and x.op is not None and x not in needed:
                needed.add(x)
                stack.append(x)
    return needed


def _proved(node: Node, match: Match) -> bool:
    """Whether a part of the graph and its replacement agree on random inputs, values and gradients; else a warning."""
    inside = sorted(set(match.gone), key=lambda n: n.number)

    def composed(*inputs: Any) -> Any:
        values: dict[Node, Any] = dict(zip(match.inputs, inputs, strict=True))
        for n in inside:
            values[n] = n.op.call(*[values.get(x, x) if isinstance(x, Node) else x for x in n.given], **n.params)  # type: ignore[union-attr]
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


def rewriter(names: tuple[str, ...]) -> Any:
    """What a recorder asks before a graph is walked: None, or a function that fuses the graph."""
    return (lambda y, keep: fuse_in_place(y, names, keep)) if names else None


def with_fusions(program: Program) -> Program:
    """Let the fused results take the place of the composed ones that they were recognised in.

    The recorder wrote down the graph that was rewritten after the one that was; with the results exchanged, what
    was computed again from them is the same subexpression, and is left out.
    """
    if not program.replaced:
        return program
    changed = program.substituted(program.instructions, dict(program.replaced))
    return in_order(without_repeats(changed))


def in_order(program: Program) -> Program:
    """The same instructions, each after those that make what it reads; otherwise in the order that they had."""
    maker = {v: i for i in program.instructions for v in i.outputs}
    done: dict[Instruction, None] = {}

    def emit(instruction: Instruction) -> None:
        stack = [instruction]
        while stack:
            todo = [maker[v] for v in stack[-1].used() if v in maker and maker[v] not in done]
            if todo:
                stack.extend(todo)
            else:
                done[stack.pop()] = None

    for instruction in program.instructions:
        if instruction not in done:
            emit(instruction)
    return program.with_instructions(list(done))
