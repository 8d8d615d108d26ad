"""How tensors are called in a picture, and what kind each leaf is. Knows recorded Nodes; nothing of plain data.

A member of a picture is a Node, or (consumer, position) for a constant array that a Node was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.nodes import Node
from .words import clean

Given = dict[Node, tuple[str, bool]]  # tensor: (name, is it a module's parameter?)


def names_given(names: Any) -> Given:
    """What `names=` says: `locals()`, any dict, or a module. Names that start with _ are the notebook's own."""
    if names is None:
        return {}
    found: Given = {}
    if not isinstance(names, Mapping):
        if not hasattr(names, "named_parameters"):
            raise TypeError(f"names= takes a dict such as locals(), or a module, got {type(names).__name__}")
        return {p: (str(name), True) for name, p in names.named_parameters()}
    for key, value in names.items():
        for label, x, own in _tensors(str(key), value) if not str(key).startswith("_") else ():
            if x not in found or own:
                found[x] = (label, own)
    return found


def _tensors(name: str, value: Any) -> Iterable[tuple[str, Node, bool]]:
    if isinstance(value, Node):
        yield name, value, False
    elif isinstance(value, (list, tuple, dict)) and len(value) <= 1000:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        yield from ((f"{name}[{k!r}]", x, False) for k, x in items if isinstance(x, Node))
    elif hasattr(value, "named_parameters") and not isinstance(value, type):
        yield from ((str(key), p, True) for key, p in value.named_parameters())


def role(op: Any, k: int) -> str:
    """The op's own name for its input k."""
    return str(op.input_names[0 if op.variadic else k])


class Names(dict[Any, str]):
    """{member: its name}; `named` holds those whose name a user gave, the others are made up."""

    def __init__(self, members: Iterable[Any], order: Sequence[Node], given: Given) -> None:
        super().__init__()
        self.named: set[Any] = set()
        made = leaf = 0
        for member in members:
            if isinstance(member, tuple):
                said = role(member[0].op, member[1])
                self[member] = said if len(said) > 1 else "constant"
                continue
            made, leaf = (made, leaf + 1) if member.op is None else (made + 1, leaf)
            said = given[member][0] if member in given else member.name
            if said is not None and said.strip():
                self.named.add(member)
            else:
                said = f"leaf{leaf}" if member.op is None else f"t{made}"
            self[member] = clean(said)
        for member, node in _gradients(order, self).items():
            if member not in self.named:
                self[member] = f"d_{self[node]}"

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


def inputs_of(roots: Sequence[Node], order: Sequence[Node]) -> set[Node]:
    """The leaf that the longest path to the last root starts from; what else needs a gradient is called a parameter.

    At equal length it is the first argument's, but in a product the data leads, whichever side it stands on: the
    factor that needs no gradient. Where that leaf is one of a list (concatenate, stack), it is all of the list.
    """
    best: dict[Node, tuple[int, bool, Node]] = {}
    for node in order:
        ends = [best.get(x, (0, not x._needs, x)) for x in node.inputs if x is not None]
        product = node.op is not None and node.op.name in ("matmul", "mul", "einsum")
        steps, free, start = max(ends, key=lambda e: (e[0], product and e[1]), default=(0, True, node))
        step = node.op is None or node.op.name != "transpose"  # x @ w.T: a weight turned round stays one
        best[node] = (steps + step, free, start)
    start = best[roots[-1]][2] if roots[-1] in best else roots[-1]
    lists = [n.inputs for n in order if n.op is not None and n.op.variadic and any(x is start for x in n.inputs)]
    return {start, *(x for inputs in lists for x in inputs if x is not None and x.op is None)}
