"""`mg.graph`: from recorded Tensors to plain data. This file, naming.py and live_data.py know the engine; no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from .._support.shapes import storage
from .._support.signatures import Values
from ..core.context import Observer, using
from ..core.gradients import consumers_first, cotangent, walk
from ..core.nodes import Node, late, raw
from ..program.formulas import expression, formula, listing, sent
from ..program.rules import RuleGraph, input_names
from ..program.words import constant, cut
from .data import Contribution, Graph, Numbers, Saved, Scope, Slot
from .data import Node as Drawn
from .naming import Datum, Names, names_given, role
from .shading import shades
from .words import clean

SHORT, EACH = 56, 20  # letters of an expression on a card, and of each name where it is longer
WRITTEN = "written after it was recorded"  # a leaf whose value is newer than what was computed from it


class HasGraph(Protocol):
    """A Program, or the one that a replayed step runs."""

    def graph(self) -> list[Node]: ...


Drawable: TypeAlias = "Node | Sequence[Node] | Graph | HasGraph"


def graph(y: Drawable, *, gradient: Values = None, names: Any = None, marks: Any = None, color: Any = None) -> Graph:
    """The recorded graph of `y` as plain data: nodes in tape order, values, gradients, rules.

    `y` is a Tensor, several, or a Program.
    `gradient` is the cotangent of `y` (one for each, if several); without it the one given to `y.backward()` is
    used, and if there was none the gradients are None. `names` names tensors: `locals()`, any dict, or a module.
    `marks` are remarks on ops: a report of `mg.check.blame`, or {tensor's number: text}. `color` is a share for each
    op, as in `mg.draw`. Where a leaf was written
    after the graph was recorded, as by an optimizer's step, the first of `notes` says so.
    Pure: no `.grad` changes. TypeError for what is not a Tensor.

    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> g = mg.graph(y, names={"x": x, "y": y})
    >>> g["y"].expression, [slot.local for slot in g["y"].inputs], g["x"].gradient
    ('x * x', ['g*x', 'g*x'], None)
    """
    roots = roots_of(y)
    order = sorted(ops_of(roots), key=lambda node: node.number)
    said = getattr(marks, "marks", marks) or {}
    if not isinstance(said, Mapping):
        raise TypeError(f"marks= takes a report of mg.check.blame or {{number: text}}, got {type(marks).__name__}")
    return _Collector(roots, order, names, said).graph(cotangents_of(roots, gradient), color)


def count(y: Any) -> int:
    """How many ops stand behind `y`; quick, for deciding whether to draw at all."""
    return len(ops_of(roots_of(y)))


def ops_of(roots: Sequence[Node]) -> set[Node]:
    """The recorded nodes that any of the roots depends on."""
    return {node for root in roots for node in consumers_first(root)}


def roots_of(y: Any) -> list[Node]:
    """The Tensors to draw from: of a Tensor, a list of them, or a Program; TypeError for anything else."""
    y = y.graph() if callable(getattr(y, "graph", None)) else y  # a Program
    roots = [y] if isinstance(y, Node) else list(y) if isinstance(y, (list, tuple)) else []
    wrong = [x for x in roots if not isinstance(x, Node)]
    if wrong or not roots:
        got = f"{type(y).__name__}{f' with a {type(wrong[0]).__name__} in it' if wrong else ''}"
        what = "a graph is drawn of a Tensor or of a sequence of them"
        raise TypeError(f"{what}, got {got}; a function is drawn by calling it on Tensors first")
    return list(dict.fromkeys(roots))


def cotangents_of(roots: list[Node], gradient: Any) -> list[tuple[Node, Any, bool]]:
    """(root, cotangent, was it asked for?) of every root that has one."""
    if gradient is None:
        before = [(root, getattr(root, "_cotangent", None)) for root in roots]
        return [(root, raw(g), False) for root, g in before if g is not None]
    given = gradient if len(roots) > 1 else [gradient]
    if not isinstance(given, (list, tuple)) or len(given) != len(roots):
        raise ValueError(f"gradient= must be a sequence of {len(roots)} cotangents, one for each tensor drawn")
    return [(root, raw(cotangent(root, g)), True) for root, g in zip(roots, given, strict=True) if g is not None]


class _Backward(Observer):
    """Gradients, contributions to them, and the order of the backward pass, as a walk tells them."""

    def __init__(self, ids: dict[Any, str]) -> None:
        self.ids = ids
        self.gradients: dict[Any, Any] = {}
        self.parts: dict[Any, list[Contribution]] = {}
        self.steps: dict[Any, int] = {}

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        self.add(node, g)
        self.steps.setdefault(node, len(self.steps) + 1)
        for k, d in gradients:
            self.parts.setdefault(node.inputs[k], []).append(Contribution(self.ids[node], k, Numbers(d)))

    def add(self, node: Any, g: Any) -> None:
        """Sum up what arrives at a node from several roots."""
        self.gradients[node] = self.gradients[node] + g if node in self.gradients else g

    def about(self, node: Node) -> dict[str, Any]:
        """What is told of a tensor's gradient."""
        g = self.gradients.get(node)
        return {
            "gradient": None if g is None else Numbers(g),
            "contributions": tuple(self.parts.get(node, ())),
            "needs": node._needs,
            "backward": self.steps.get(node, 0),
        }


class _Collector:
    def __init__(self, roots: list[Node], order: list[Node], names: Any, marks: Mapping[int, str]) -> None:
        self.roots, self.order, self.marks = roots, order, marks
        self.given = names_given(names, order)
        self.forward = {node: k for k, node in enumerate(order, 1)}
        self.members, self.data = members_of(roots, order)
        self.id = {member: f"n{k}" for k, member in enumerate(self.members)}
        self.name = Names(self.members, order, self.given)
        written = ((node, late(node)) for node in order)
        leaves = ((x, found) for node, found in written for x in node.inputs if x is not None and x.op is None)
        self.stale = {x for x, found in leaves if id(x._array) in found}
        self.kept_by: dict[Any, list[str]] = {}
        self.storages: dict[int, tuple[int, Any]] = {}  # {address: (number, the array: no address is used twice)}
        self.scopes: dict[Any, int] = {}
        self.table: list[Scope] = []

    def graph(self, cotangents: list[tuple[Node, Any, bool]], color: Any = None) -> Graph:
        seen, notes = self._backward(cotangents)
        shade = shades(color, self.order, seen.gradients)
        if not cotangents:  # the order in which it would run
            seen.steps = {node: k for k, node in enumerate(reversed(self.order), 1)}
        ops = {node: self._op(node) for node in self.order}  # also finds out who keeps whom
        nodes = []
        for member in self.members:
            about: dict[str, Any] = {
                "id": self.id[member],
                "name": self.name[member],
                "named": member in self.name.named,
                "kept_by": tuple(self.kept_by.get(member, ())),
            }
            if isinstance(member, Datum):
                array = member.consumer.arrays[member.position]
                about |= {"kind": "data", "value": Numbers(array), "needs": False}
            elif member.op is None:
                array = member._array.copy()  # a leaf may be written later; results never are
                about |= {"kind": self._kind(member), "value": Numbers(array)} | seen.about(member)
                about["mark"] = WRITTEN if member in self.stale else ""
            else:
                about |= ops[member] | seen.about(member)
                about |= {"scope": self._scope(member), "shade": shade.get(member)}
            nodes.append(Drawn(**about))
        return Graph(tuple(nodes), tuple(self.id[r] for r in self.roots), tuple(self.table), tuple(notes))

    def _backward(self, cotangents: list[tuple[Node, Any, bool]]) -> tuple[_Backward, list[str]]:
        """The backward pass, walked again with an observer, and what is to be said of it."""
        seen, notes = _Backward(self.id), []
        for root, start, asked in cotangents:
            try:
                with using(seen):
                    found = walk(root, start)
            except RuntimeError as error:
                if asked:
                    raise
                seen = _Backward(self.id)
                notes.append(self._outdated(", hence no gradients") if self.stale else f"no gradients: {error}")
                break
            for leaf, g in found.items():
                if leaf.op is None:
                    seen.add(leaf, g)
        return seen, notes or ([self._outdated("")] if self.stale else [])

    def _outdated(self, more: str) -> str:
        """What was written after it was recorded, and what to do."""
        names = [cut(self.name[x], 24) for x in self.members if x in self.stale]
        listed = ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
        was, newer = ("was", "holds a newer value") if len(names) == 1 else ("were", "hold newer values")
        return (
            f"stale: {listed} {was} written after this graph was recorded and {newer} than the results were computed "
            f"from{more}; run the forward again"
        )

    def _kind(self, leaf: Node) -> str:
        """What a leaf is: a module's parameter or buffer, or somebody's leaf that wants a gradient, or data."""
        _, owned = self.given.get(leaf, ("", False))
        return ("parameter" if owned else "leaf") if leaf._needs else "buffer" if owned else "data"

    def _scope(self, node: Node) -> int | None:
        """The index of the scope that an op was recorded in.

        What a rule records carries the forward op's scope; it gets scopes of its own inside one called "backward",
        so that the two passes are drawn apart.
        """
        order = 0
        cause = node.context.cause
        while cause is not None:
            order, cause = order + 1, cause.context.cause
        around = []
        scope = node.context.scope
        while scope is not None:
            around.append(scope)
            scope = scope.parent
        at = None
        if order:
            at = self._entered((order, None), "backward" if order == 1 else f"backward, order {order}", None)
        for entered in reversed(around):
            at = self._entered((order, entered), entered.name, at)
        return at

    def _entered(self, key: Any, name: str, parent: int | None) -> int:
        if key not in self.scopes:
            self.scopes[key] = len(self.scopes)
            self.table.append(Scope(name, parent))
        return self.scopes[key]

    def _op(self, node: Node) -> dict[str, Any]:
        """What is told of an op; what it keeps for backward is noted with those whom it belongs to."""
        op: Any = node.op
        members = [x if isinstance(x, Node) else self.data.get(id(x)) for x in node.given]
        sources = [self.id.get(m) for m in members]
        texts = [
            constant(x) if m is None or m not in self.id else self.name[m]
            for m, x in zip(members, node.arrays, strict=True)
        ]
        name = self.name[node]
        whole = short = expression(node, texts)
        if len(short) > SHORT:
            short = expression(node, [cut(text, EACH) for text in texts])
        rules = RuleGraph(node)
        local = sent(rules, texts, name)
        slots = [
            Slot(text, source, role(op, k), local.get(k, "") if source is not None else "")
            for k, (text, source) in enumerate(zip(texts, sources, strict=True))
        ]
        cause = node.context.cause
        return {
            "kind": "fused" if op.joint is not None else "op",
            "op": op.name,
            "value": Numbers(node._array),
            "expression": whole,
            "short": short,
            "formula": formula(node, texts, name),
            "rule": listing(rules),
            "inputs": tuple(slots),
            "forward": self.forward[node],
            "saves": tuple(self._keep(node, rules, members)),
            "line": node.line,
            "cause": self.id.get(cause) if cause is not None else None,
            "made_by": self.name.op_and_name(cause) if cause is not None else "",
            "mark": clean(self.marks.get(node.number, "")),
        }

    def _keep(self, node: Node, rules: RuleGraph, members: Sequence[Any]) -> Iterator[Saved]:
        """What an op keeps for backward: buffers of its own, its result, or what it was given, which is noted there."""
        owners = {"out": node} | dict(zip(input_names(node), members, strict=True))
        for what, array in rules.kept().items():
            base = storage(array)
            number, _ = self.storages.setdefault(id(base), (len(self.storages), base))
            if what in rules.saved_names:
                yield Saved(what, None, number, base.nbytes, Numbers(array))
                continue
            owner = owners[what]
            yield Saved(self.name.get(owner, what), self.id.get(owner), number, base.nbytes)
            self.kept_by.setdefault(owner, []).append(self.id[node])


def members_of(roots: Sequence[Node], order: Sequence[Node]) -> tuple[list[Any], dict[int, Datum]]:
    """What is drawn, in tape order, and {id: Datum} of the arrays in it, each before the first op that is given it."""
    given = [*roots, *(x for node in order for x in node.inputs if x is not None)]
    leaves = dict.fromkeys(x for x in given if x.op is None)
    members: list[Any] = []
    data: dict[int, Datum] = {}
    for node in sorted([*leaves, *order], key=lambda n: n.number):
        for k, x in enumerate(node.given):
            if isinstance(x, np.ndarray) and x.ndim and id(x) not in data:
                data[id(x)] = Datum(node, k)
                members.append(data[id(x)])
        members.append(node)
    return members, data
