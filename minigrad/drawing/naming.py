"""How tensors are called in a picture, and what kind each leaf is. Knows recorded Nodes; nothing of plain data.

A member of a picture is a Node, or a Datum: an array that ops were given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.nodes import Node
from ..program.formulas import SHAPE_ONLY
from .words import clean

Given = dict[Any, tuple[str, bool]]  # tensor, or Array: (name, does a module own it?)


class Array:
    """An array that has a name, told apart by identity."""

    def __init__(self, array: Any) -> None:
        self.array = array


class Datum(NamedTuple):
    """An array, told by the op that is first given it."""

    consumer: Node
    position: int

    @property
    def array(self) -> Any:
        """The array itself."""
        return self.consumer.given[self.position]


def names_given(names: Any, order: Sequence[Node]) -> Given:
    """What `names=` says (`locals()`, any dict, or a module), and the paths in the modules that recorded the graph.

    Names that start with _ are the notebook's own. A module's own names win: they are the longer story.
    """
    if names is not None and not isinstance(names, Mapping) and not hasattr(names, "named_tensors"):
        raise TypeError(f"names= takes a dict such as locals(), or a module, got {type(names).__name__}")
    found: Given = {}
    for key, value in (names or {}).items() if isinstance(names, Mapping) else [("", names)]:
        for label, x, own in _tensors(str(key), value) if not str(key).startswith("_") else ():
            member = Array(x) if isinstance(x, np.ndarray) else x
            if member not in found or own:
                found[member] = (label, own)
    modules = _modules(order)
    for module, prefix in modules.items():
        for label, x in module.named_tensors():
            found.setdefault(x, (prefix + label, True))
            found[x] = (found[x][0], True)
    return found


def _modules(order: Sequence[Node]) -> dict[Any, str]:
    """The outermost modules that ops were recorded in, and what their names begin with: nothing where there is one."""
    found: dict[Any, str] = {}
    seen: set[Any] = set()
    for node in order:
        scope, outermost = node.context.scope, None
        while scope is not None and scope not in seen:
            seen.add(scope)
            outermost = scope.module or outermost
            scope = scope.parent
        if outermost is not None and scope is None:
            found[outermost] = ""
    kinds = [type(module).__name__ for module in found]
    if len(found) > 1:
        for k, module in enumerate(found):
            again = kinds[:k].count(kinds[k])
            found[module] = f"{kinds[k]}{again + 1 if again else ''}."
    return found


def _tensors(name: str, value: Any) -> Iterable[tuple[str, Any, bool]]:
    if isinstance(value, (Node, np.ndarray)):
        yield name, value, False
    elif isinstance(value, (list, tuple, dict)) and len(value) <= 1000:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        yield from ((f"{name}[{k!r}]", x, False) for k, x in items if isinstance(x, (Node, np.ndarray)))
    elif hasattr(value, "named_tensors") and not isinstance(value, type):
        yield from ((str(key), p, True) for key, p in value.named_tensors())


def _module_of(node: Node) -> Any:
    """The innermost module that an op was recorded in."""
    scope = node.context.scope
    while scope is not None and scope.module is None:
        scope = scope.parent
    return scope and scope.module


def _equal(arrays: Sequence[tuple[str, Array]], x: Any) -> str | None:
    """The name of the array that holds the same: ops keep copies of what they are given."""
    alike = (name for name, a in arrays if a.array.shape == x.shape and np.array_equal(a.array, x))
    return next(alike, None) if x.ndim else None


def role(op: Any, k: int) -> str:
    """The op's own name for its input k."""
    return str(op.input_names[0 if op.variadic else k])


class Names(dict[Any, str]):
    """{member: its name}; `named` holds those whose name a user gave, the others are made up."""

    def __init__(self, members: Iterable[Any], order: Sequence[Node], given: Given) -> None:
        super().__init__()
        self.named: set[Any] = set()
        self.constants: list[str] = []
        made = leaf = 0
        arrays = [(label, x) for x, (label, _) in given.items() if isinstance(x, Array)]
        fed = {x: (node, k) for node in reversed(order) for k, x in reversed(list(enumerate(node.inputs)))}
        for member in members:
            datum = member if isinstance(member, Datum) else None
            made += datum is None and member.op is not None
            leaf += datum is None and member.op is None
            said = None if datum else given[member][0] if member in given else member.name
            data = datum is not None or (member.op is None and not member._needs)
            if data and not (said and said.strip()):
                said = _equal(arrays, datum.array if datum else member._array)
            if said is not None and said.strip():
                self.named.add(member)
            elif data and (datum or member in fed):
                said = self._constant(*(datum or fed[member]))
            else:
                said = f"leaf{leaf}" if member.op is None else f"t{made}"
            self[member] = clean(said)
        for member, node in _gradients(order, self).items():
            if member not in self.named:
                self[member] = f"d_{self[node]}"
        start = _cotangent(order)
        if start is not None and start not in self.named:
            self[start] = "g"
            self.named.add(start)
        for node in order:  # what a rule only gives another shape keeps its name
            if reshaped(node) and node not in self.named:
                self[node] = self[node.inputs[0]]

    def _constant(self, consumer: Node, k: int) -> str:
        """What an array is called that nobody named: what the op calls it, where that is a word, or a module's x."""
        said = role(consumer.op, k)
        if len(said) == 1 and (k or _module_of(consumer) is None):
            said = "constant"
        self.constants.append(said)
        again = self.constants.count(said)
        return said if again == 1 else f"{said}{again}"

    def op_and_name(self, node: Node) -> str:
        """ "div x_hat"; also for a node that is not part of the picture."""
        name = self.get(node) or node.name or ""
        return clean(f"{node.op.name if node.op is not None else ''} {name}".strip())


def _gradients(order: Sequence[Node], members: Mapping[Any, str]) -> dict[Node, Node]:
    """In a recorded backward pass: tensor -> the forward tensor whose gradient it is.

    The first thing that a rule reads of the backward pass and did not make itself is the g that it was given.
    """
    found: dict[Node, Node] = {}
    known: set[Node] = set()
    for node in order:
        cause = node.context.cause
        if cause is None or cause not in members or cause in known:
            continue
        for x in node.inputs:
            other = x.context.cause if x is not None and x.op is not None else None
            if x is not None and other is not None and other is not cause:
                known.add(cause)
                found.setdefault(x, cause)
                break
    return found


def _cotangent(order: Sequence[Node]) -> Node | None:
    """In a recorded backward pass: the array that was given as `gradient=`, the first g that a rule reads."""
    for node in order:
        cause = node.context.cause
        for x in node.inputs if cause is not None else ():
            if x is not None and x.op is None and not x._needs and x._array.shape == cause._array.shape:
                return x if all(x is not y for y in cause.inputs) else None
    return None


def reshaped(node: Node) -> bool:
    """Whether a rule made this only to give something another shape."""
    op = node.op
    return op is not None and node.context.cause is not None and op.builtin and op.name in SHAPE_ONLY
