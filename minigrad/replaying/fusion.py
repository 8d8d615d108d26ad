"""Composed graphs recognised and replaced by the fused primitive: batch norm, layer norm, softmax cross-entropy.

This changes rounding, not meaning, so it is asked for by name. Every replacement is proved: the part of the graph that
goes and the primitive that comes are compared on random inputs of the same shapes, values and gradients.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.callbacks import noted
from ..core.context import in_force, switched
from ..core.gradients import consumers_first
from ..core.nodes import Node, raw
from ..core.tensor import Tensor
from ..losses import softmax_cross_entropy
from ..normalization.batch import batch_norm_, layer_norm_
from ..ops import neg, reshape
from ..ops.reductions import axes_of
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
        centred, std = node.inputs
        between: tuple[Node, ...] = ()
    elif _is(node, "mul"):
        inverse = next((part for part in node.inputs if _is(part, "div") and _number(part.inputs[0]) == 1.0), None)
        if inverse is None:
            return None
        centred = node.inputs[0] if node.inputs[1] is inverse else node.inputs[1]
        std, between = inverse.inputs[1], (inverse,)
    else:
        return None
    if not (_is(centred, "sub") and _is(std, "sqrt") and _is(std.inputs[0], "add")):
        return None
    x, mu = centred.inputs
    v, eps = std.inputs[0].inputs
    if not isinstance(eps, (int, float)):
        v, eps = eps, v
    if not (isinstance(eps, (int, float)) and isinstance(x, Node) and _is(mu, "mean") and mu.inputs[0] is x):
        return None
    gone = (node, centred, std, std.inputs[0], mu, v, *between)
    if _is(v, "var"):
        if v.inputs[0] is not x or v.params["ddof"] != 0:
            return None
    elif _is(v, "mean") and _is(v.inputs[0], "square") and v.inputs[0].inputs[0] is centred:
        gone = (*gone, v.inputs[0])
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
        scaled, beta = node.inputs if _is(node.inputs[0], "mul") else node.inputs[::-1]
    if not _is(scaled, "mul") or not isinstance(scaled, Node):
        return None
    for x_hat, gamma in (scaled.inputs, scaled.inputs[::-1]):
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
    if not _is(node, "getitem") or not _is(node.inputs[0], "sub"):
        return None
    log_p = node.inputs[0]
    shifted, log = log_p.inputs
    if not (_is(shifted, "sub") and _is(log, "log") and _is(log.inputs[0], "sum")):
        return None
    total = log.inputs[0]
    logits = shifted.inputs[0]
    index = node.params["index"]
    if not (_is(total.inputs[0], "exp") and total.inputs[0].inputs[0] is shifted and isinstance(logits, Node)):
        return None
    rows = logits._array.shape[0] if logits._array.ndim == 2 else -1
    if not (isinstance(index, tuple) and len(index) == 2 and all(isinstance(part, np.ndarray) for part in index)):
        return None
    if axes_of(total.params["axis"], logits._array.ndim) != (1,) or not total.params["keepdims"]:
        return None
    recorder = in_force().recorder  # what is an argument today may be something else tomorrow
    if not np.array_equal(index[0], np.arange(rows)) or (recorder is not None and recorder.varies(index[0])):
        return None
    # a row may be shifted by any number, and the result is the same; but the number must want no gradient for it
    shift = shifted.inputs[1]
    if getattr(shift, "_needs", False) or np.shape(raw(shift)) not in ((), (1,), (1, 1), (rows, 1)):
        return None
    labels, classes = index[1], logits._array.shape[1]

    def fused(z: Any) -> Any:
        return neg(softmax_cross_entropy(z, labels=noted(_from_the_front, labels, classes)))

    return Match((logits,), fused, (node, log_p, shifted, log, total, total.inputs[0]))


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


def fuse(y: Any, names: Sequence[str] | bool = True) -> Any:
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
    renewed = renewal(y, chosen(names), set())[0]
    return renewed.get(y, y)


def renewal(y: Node, names: Iterable[str], keep: set[Node]) -> tuple[dict[Node, Node], list[tuple[Node, Node]]]:
    """(old node: new node, for all that change; the pairs that were recognised). Nodes in `keep` stay in the graph."""
    found: dict[Node, Match] = {}
    gone: set[Node] = set()
    for node in consumers_first(y):
        matches = (KINDS[name](node) for name in names) if node not in gone else ()
        match = next((m for m in matches if m is not None), None)
        inside = set(match.gone) - {node} if match is not None else set()
        if match is not None and not inside & keep and _proved(node, match):
            found[node] = match
            gone.update(match.gone)
    renewed: dict[Node, Node] = {}
    for node in sorted(_needed(y, found), key=lambda n: n.number):
        match = found.get(node)
        inputs = match.inputs if match is not None else node.inputs
        if match is None and not any(x in renewed for x in inputs if isinstance(x, Node)):
            continue
        given = [renewed.get(x, x) if isinstance(x, Node) else x for x in inputs]
        with switched(lambda context, scope=node.context.scope: context._replace(scope=scope)):  # type: ignore[misc]
            if match is not None:
                renewed[node] = match.fused(*given)
            else:
                renewed[node] = node.op.call(*given, **node.params)  # type: ignore[union-attr]
        if getattr(node, "_name", None):
            renewed[node]._name = node._name
    return renewed, [(node, renewed[node]) for node in found if node in renewed]


def _needed(y: Node, found: dict[Node, Match]) -> set[Node]:
    """The recorded nodes that y still depends on when what was found is replaced."""
    needed, stack = {y}, [y]
    while stack:
        node = stack.pop()
        for x in found[node].inputs if node in found else node.inputs:
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
            values[n] = n.op.call(*[values.get(x, x) if isinstance(x, Node) else x for x in n.inputs], **n.params)  # type: ignore[union-attr]
        return values[node]

    rng = np.random.default_rng(0)
    # about where the values are: what is subtracted as a constant, against overflow, is the recorded one
    drawn = [rng.normal(x._array.mean(), x._array.std() or 1.0, x._array.shape) for x in match.inputs]
    inputs = [Tensor(array, requires_grad=True) for array in drawn]
    with switched(lambda context: context._replace(recorder=None, lines=False, recording=True, scope=None)):
        # by name: drawing a graph or recording a step needs no checker
        report = importlib.import_module(f"{__package__.rpartition('.')[0]}.check").compare(
            composed, match.fused, inputs, order=1
        )
    if not report:
        warnings.warn(
            f"{node.op.name} looks like a form that can be fused, but is left as it is: on random inputs the two do "  # type: ignore[union-attr]
            f"not agree ({report.worst.name}: {report.worst.error:.1e})",
            stacklevel=2,
        )
    return bool(report)


def rewriter(names: tuple[str, ...]) -> Any:
    """What a recorder asks before it walks a graph: None, or a function that gives the renewal of a graph."""
    return (lambda y, keep: renewal(y, names, keep)) if names else None


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
