"""What a rule reads: taken from the rule's own recorded graph, for a rule is a computation like any other.

The rules of one node are run once more, on leaves that stand for `g`, `out`, the inputs and what was saved. What they
compute their results from is what they read; a rule that only asks for `x.shape` does not need the values of x.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.context import Observer, observing, using
from ..core.nodes import Node, Primitive


class RuleGraph(Observer):
    """The rules of one node as a graph.

    results  {position of an input: the gradient that its rule computes}; None where they cannot be run on Nodes
    leaves   {leaf: name} of g, out, the inputs ("x", or "arrays 1" of any number) and what was saved ("x_hat")
    made_by  {node: (op, inputs, params)} of everything that the rules compute
    """

    def __init__(self, node: Node, wanted: Iterable[int]) -> None:
        op: Any = node.op
        self.made_by: dict[Node, tuple[Primitive, tuple[Any, ...], dict[str, Any]]] = {}
        self.leaves: dict[Node, str] = {}
        self._like = node
        names = input_names(node)
        given = [self._leaf(x, name) for x, name in zip(node.arrays, names, strict=True)]
        saved = node.saved and tuple(
            [self._leaf(x, name) for x, name in zip(node.saved, saved_names(node), strict=True)]
        )
        g, out = self._leaf(np.ones_like(node._array), "g"), self._leaf(node._array, "out")
        self.results: dict[int, Any] | None
        with using(recording=False, cause=None, frozen=True, observers=()), np.errstate(all="ignore"), observing(self):
            try:
                self.results = dict(type(op).pull(op, g, out, saved, given, node.params, list(wanted)))
            except Exception:  # it looks at values, or is not made of minigrad's functions
                self.results = None

    def _leaf(self, x: Any, name: str) -> Any:
        if not isinstance(x, np.ndarray):
            return x
        leaf = self._like._leaf(x)
        leaf._name = name
        self.leaves[leaf] = name
        return leaf

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """An op of a rule was called."""
        self.made_by[node] = op, inputs, params

    def read(self, node: Any, what: str = "") -> None:
        """A rule looks at a value by itself: nobody can follow what it does with it."""
        raise TypeError("a rule that reads values")

    def reads(self) -> frozenset[str]:
        """Names of what the rules read, `g` apart; everything where they cannot be followed."""
        if self.results is None:
            return frozenset(self.leaves.values()) - {"g"}
        used = {x for _, inputs, _ in self.made_by.values() for x in inputs if isinstance(x, Node)}
        used.update(x for x in self.results.values() if isinstance(x, Node))
        return frozenset(self.leaves[x] for x in used if x in self.leaves) - {"g"}


def input_names(node: Node) -> list[str]:
    """The op's own names for its inputs: "x", "y"; "arrays 0", "arrays 1" where it takes any number."""
    op: Any = node.op
    if op.variadic:
        return [f"{op.input_names[0]} {k}" for k in range(len(node.inputs))]
    return list(op.input_names)


def saved_names(node: Node) -> list[str]:
    """What `save` calls the arrays that it keeps: the names that it gives them on Nodes, else "saved 0", ..."""
    op: Any = node.op
    how_many = len(node.saved or ())
    if op.save is None or not how_many:
        return []
    given = [node._leaf(x) if isinstance(x, np.ndarray) else x for x in node.arrays]
    with using(recording=False, cause=None, frozen=True, observers=()), np.errstate(all="ignore"):
        try:
            made = op.save(*given, **node.params)
        except Exception:  # it is not made of minigrad's functions
            made = ()
    names = [getattr(x, "_name", None) for x in made] if isinstance(made, tuple) and len(made) == how_many else []
    return [name or f"saved {k}" for k, name in enumerate(names)] or [f"saved {k}" for k in range(how_many)]


def reads(node: Node, position: int | None = None) -> frozenset[str]:
    """Names of what the rules of a recorded node read that will run for it: of one input, or of all that need one.

    >>> import minigrad as mg
    >>> x, y = mg.tensor(1.0, requires_grad=True), mg.tensor(2.0, requires_grad=True)
    >>> sorted(reads(x / y, 0)), sorted(reads(x / y, 1)), sorted(reads(mg.sum(x)))
    (['y'], ['out', 'y'], [])
    """
    wanted = [k for k, x in enumerate(node.inputs) if x is not None and x._needs] if position is None else [position]
    said = getattr(node.op, "reads", None)
    if said is not None:
        return frozenset(said) | frozenset(saved_names(node))
    return RuleGraph(node, wanted).reads()


def kept_for_backward(node: Node) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays that backward needs of one recorded node: by input name, "out", or the name of what was saved."""
    if node.op is None:
        return {}
    names = zip(
        [*input_names(node), "out", *saved_names(node)], [*node.arrays, node._array, *(node.saved or ())], strict=True
    )
    read = reads(node)
    return {name: array for name, array in names if name in read and isinstance(array, np.ndarray)}
