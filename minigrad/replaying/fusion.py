"""Composed graphs recognised and replaced by the fused primitive: batch norm, layer norm, softmax cross-entropy.

This changes rounding, not meaning, so it is asked for by name. Every replacement is proved: the part of the graph that
goes and the primitive that comes are compared on random inputs of the same shapes, values and gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from ..core.context import using
from ..core.gradients import consumers_first
from ..core.nodes import Node, callback
from ..core.tensor import Tensor
from ..losses import softmax_cross_entropy
from ..normalization.batch import batch_norm_
from ..normalization.layer import layer_norm_
from ..ops import neg, reshape
from ..program import Instruction, Program
from ..program.passes import without_repeats
from ..program.patterns import Pattern, in_all, made_of_nodes
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
# What comes in the place of each pattern: a function of its inputs


def _norm(primitive: Any, pattern: Pattern) -> Callable[..., Any]:
    present = [x is not None for x in pattern.inputs]
    axis, wide, narrow, eps = (pattern.params[name] for name in ("axis", "wide", "narrow", "eps"))

    def fused(x: Any, *given: Any) -> Any:
        parts = iter([part if part.shape == narrow else reshape(part, narrow) for part in given])
        gamma, beta = (next(parts) if there else None for there in present[1:])
        return primitive(x, gamma, beta, axis=axis, wide=wide, eps=eps)

    return fused


def _cross_entropy(pattern: Pattern) -> Callable[..., Any]:
    def fused(z: Any) -> Any:
        labels = callback(_from_the_front, pattern.params["labels"], z.shape[1])
        return neg(softmax_cross_entropy(z, labels=labels))

    return fused


def _from_the_front(labels: np.ndarray[Any, Any], classes: int) -> np.ndarray[Any, Any]:
    """Labels counted from the end, as an index may have them, counted from 0."""
    return np.where(labels < 0, labels + classes, labels).astype(np.intp)


KINDS: dict[str, Callable[[Pattern], Callable[..., Any]]] = {
    "batch_norm": partial(_norm, batch_norm_),
    "layer_norm": partial(_norm, layer_norm_),
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

    def accept(pattern: Pattern) -> bool:
        inputs = tuple([x for x in pattern.inputs if x is not None])
        match = Match(inputs, KINDS[pattern.kind](pattern), pattern.gone)
        if (set(pattern.gone) - {pattern.out}) & keep or not all(isinstance(x, Node) for x in inputs):
            return False
        if _proved(pattern.out, match):
            replacements[pattern.out] = match
        return pattern.out in replacements

    for pattern in in_all(consumers_first(y), made_of_nodes, names, accept):
        if pattern.differs:
            warnings.warn(f"{pattern}; it is left as it is", stacklevel=3)
        elif pattern.remarks:
            warnings.warn(f"{pattern}; the fused form loses none", stacklevel=3)
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
