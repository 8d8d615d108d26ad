"""What a rule reads: taken from the rule's own recorded graph, for a rule is a computation like any other.

The rules of one node are run once more, on leaves that stand for `g`, `out`, the inputs and what was saved. What they
compute their results from is what they read; a rule that only asks for `x.shape` does not need the values of x.
`formulas.py` writes the same graph as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .._support.arrays import buffers, mapped, parts
from ..core.context import Observer, using
from ..core.nodes import Node, Primitive


class RuleGraph(Observer):
    """The rules of one node as a graph.

    results     {position of an input: the gradient that its rule computes}
    opaque      positions whose rules cannot be followed: they look at values, or use more than minigrad's functions
    leaves      {leaf: name}: "g", "out", the op's own names for its inputs, the names of what was saved
    g, out      two of the leaves; inputs, saved: the leaves by position, and what is no array as it is
    made_by     {node: (op, inputs, params)} of everything that the rules compute
    called_by   {id of an array: (function, arguments, the array)} of what they had a callback compute
    """

    def __init__(self, node: Node, wanted: Iterable[int] | None = None) -> None:
        op: Any = node.op
        self.node, self.wanted = node, needing(node) if wanted is None else list(wanted)
        self.made_by: dict[Node, tuple[Primitive, tuple[Any, ...], dict[str, Any]]] = {}
        self.called_by: dict[int, tuple[Callable[..., Any], tuple[Any, ...], Any]] = {}
        self.leaves: dict[Node, str] = {}
        self.results: dict[int, Any] = {}
        self.opaque: set[int] = set()
        self.saved_names = saved_names(node)
        self.inputs = [self._leaf(x, name) for x, name in zip(node.arrays, input_names(node), strict=True)]
        self.saved = [self._leaf(x, name) for x, name in zip(buffers(node.saved), self.saved_names, strict=True)]
        self.g, self.out = self._leaf(np.ones_like(node._array), "g"), self._leaf(node._array, "out")
        self.declared: Iterable[str] | None = getattr(op, "reads", None)  # said by the author: then nothing is run
        if self.declared is not None:
            self.opaque.update(self.wanted)
            return
        parts = [self.wanted] if op.joint is not None else [[k] for k in self.wanted]
        leaves = iter(self.saved)
        saved = mapped(lambda x: next(leaves) if isinstance(x, np.ndarray) else x, node.saved)
        given = self.g, self.out, saved, self.inputs, node.params
        with using(recording=False, cause=None, frozen=True, observers=(self,)), np.errstate(all="ignore"):
            for part in parts:
                try:
                    self.results.update(type(op).pull(op, *given, part))
                except Exception:  # whatever the rule does with leaves that it was not written for
                    self.opaque.update(part)

    def _leaf(self, x: Any, name: str) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        leaf = self.node._leaf(x)
        leaf._name = name
        self.leaves[leaf] = name
        return leaf

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """An op of a rule was called."""
        self.made_by[node] = op, inputs, params

    def called(self, function: Any, arguments: tuple[Any, ...], results: Any, writes: tuple[Any, ...]) -> None:
        """A rule had a function of bare arrays compute something."""
        for array in results if isinstance(results, tuple) else (results,):
            self.called_by[id(array)] = function, arguments, array

    def read(self, node: Any, what: str = "") -> None:
        """A rule looks at a value by itself: nobody can follow what it does with it."""
        raise TypeError("a rule that reads values")

    def reads(self) -> frozenset[str]:
        """Names of what the rules read, `g` apart; everything where they cannot be followed."""
        if self.declared is not None:
            return frozenset(self.declared) | frozenset(self.saved_names)
        used = {x for _, inputs, _ in self.made_by.values() for x in inputs if isinstance(x, Node)}
        used.update(x for x in self.results.values() if isinstance(x, Node))
        leaves = [leaf for leaf in self.leaves if leaf is not self.g and (self.opaque or leaf in used)]
        return frozenset(self.leaves[leaf] for leaf in leaves)

    def kept(self) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays that backward needs, by the names of `reads`."""
        node, read = self.node, self.reads()
        names = [*input_names(node), "out", *self.saved_names]
        arrays = [*node.arrays, node._array, *buffers(node.saved)]
        named = zip(names, arrays, strict=True)
        return {name: array for name, array in named if name in read and isinstance(array, np.ndarray)}


def needing(node: Node) -> list[int]:
    """Positions of the inputs that a gradient flows to."""
    return [k for k, x in enumerate(node.inputs) if x is not None and x._needs]


def input_names(node: Node) -> list[str]:
    """The op's own names for its inputs: "x", "y"; "arrays 0", "arrays 1" where it takes any number."""
    op: Any = node.op
    if op.variadic:
        return [f"{op.input_names[0]} {k}" for k in range(len(node.inputs))]
    return list(op.input_names)


def saved_names(node: Node) -> list[str]:
    """What `save` calls the arrays that it keeps: the names that it gives them on Nodes, else "saved 0", ..."""
    op: Any = node.op
    how_many = len(buffers(node.saved))
    if op.save is None or not how_many:
        return []
    given = [node._leaf(x) if isinstance(x, np.ndarray) else x for x in node.arrays]
    with using(recording=False, cause=None, frozen=True, observers=()), np.errstate(all="ignore"):
        try:
            made = op.save(*given, **node.params)
        except Exception:  # it is not made of minigrad's functions
            made = ()
    names = [getattr(x, "_name", None) for x in parts(made) if isinstance(x, Node)]
    return [name or f"saved {k}" for k, name in enumerate(names if len(names) == how_many else [None] * how_many)]


def reads(node: Node, position: int | None = None) -> frozenset[str]:
    """Names of what the rules of a recorded node read that will run for it: of one input, or of all that need one.

    >>> import minigrad as mg
    >>> x, y = mg.tensor(1.0, requires_grad=True), mg.tensor(2.0, requires_grad=True)
    >>> sorted(reads(x / y, 0)), sorted(reads(x / y, 1)), sorted(reads(mg.sum(x)))
    (['y'], ['out', 'y'], [])
    """
    return RuleGraph(node, None if position is None else [position]).reads()


def kept_for_backward(node: Node) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays that backward needs of one recorded node: by input name, "out", or the name of what was saved."""
    return {} if node.op is None else RuleGraph(node).kept()
