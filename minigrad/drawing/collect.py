"""From recorded Tensors to plain data: what `mg.graph` does. The only file here that reads the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from .._support.shapes import storage
from .._support.signatures import Values
from ..core.context import Observer, observing
from ..core.gradients import consumers_first, cotangent, walk
from ..core.nodes import Node, Primitive, raw
from ..program.rules import input_names, kept_for_backward, saved_names
from .data import Contribution, Graph, Numbers, Saved, Scope, Slot
from .data import Node as Drawn
from .rules import expression, formula, local_texts, rule_source
from .words import clean, constant, cut

Drawable: TypeAlias = "Node | Sequence[Node] | Graph"


def graph(y: Drawable, *, gradient: Values = None, names: Any = None, marks: Any = None) -> Graph:
    """The recorded graph of `y` (a Tensor or several) as plain data: nodes in tape order, values, gradients, rules.

    `gradient` is the cotangent of `y` (one for each, if several); without it the one given to `y.backward()` is
    used, and if there was none the gradients are None. `names` names tensors: `locals()`, any dict, or a module.
    `marks` are remarks on ops: a report of `mg.check.blame`, or {tensor's number: text}.
    Pure: no `.grad` changes. TypeError for what is not a Tensor.

    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> g = mg.graph(y, names={"x": x, "y": y})
    >>> g["y"].expression, [slot.local for slot in g["y"].inputs], g["x"].gradient
    ('x * x', ['g*x', 'g*x'], None)
    """
    roots = _roots(y)
    order = sorted(dict.fromkeys(node for root in roots for node in consumers_first(root)), key=lambda n: n.number)
    said = getattr(marks, "marks", marks) or {}
    return _Collector(roots, order, _names(names), said).collect(_cotangents(roots, gradient))


def count(y: Any) -> int:
    """How many ops stand behind `y`; quick, for deciding whether to draw at all."""
    return len(dict.fromkeys(node for root in _roots(y) for node in consumers_first(root)))


def _roots(y: Any) -> list[Node]:
    roots = [y] if isinstance(y, Node) else list(y) if isinstance(y, (list, tuple)) else []
    for root in roots:
        if not isinstance(root, Node):
            raise TypeError(f"a graph is drawn of a Tensor or of several, got a {type(root).__name__} among them")
    if not roots:
        raise TypeError(
            f"a graph is drawn of a Tensor or of a sequence of them, got {type(y).__name__}; "
            "a function is drawn by calling it on Tensors first"
        )
    return list(dict.fromkeys(roots))


def _cotangents(roots: list[Node], gradient: Any) -> list[tuple[Node, Any, bool]]:
    """(root, cotangent, was it asked for?) of every root that has one."""
    if gradient is None:
        before = [(root, getattr(root, "_cotangent", None)) for root in roots]
        return [(root, raw(g), False) for root, g in before if g is not None]
    given = gradient if len(roots) > 1 else [gradient]
    if not isinstance(given, (list, tuple)) or len(given) != len(roots):
        raise ValueError(f"gradient= must be a sequence of {len(roots)} cotangents, one for each tensor drawn")
    return [(root, raw(cotangent(root, g)), True) for root, g in zip(roots, given, strict=True) if g is not None]


# --------------------------------------------------------------------------------------------------------------
# Names


def _names(given: Any) -> dict[Node, tuple[str, bool]]:
    """Tensor -> (name, is it a module's parameter?). Names that start with _ are the notebook's own."""
    if given is None:
        return {}
    found: dict[Node, tuple[str, bool]] = {}
    if not isinstance(given, Mapping):
        if not hasattr(given, "named_parameters"):
            raise TypeError(f"names= takes a dict such as locals(), or a module, got {type(given).__name__}")
        return {p: (str(name), True) for name, p in given.named_parameters()}
    for key, value in given.items():
        name = str(key)
        if name.startswith("_"):
            continue
        for label, x, own in _tensors(name, value):
            if x not in found or own:
                found[x] = (label, own)
    return found


def _tensors(name: str, value: Any) -> Iterable[tuple[str, Node, bool]]:
    if isinstance(value, Node):
        yield name, value, False
    elif isinstance(value, (list, tuple)) and len(value) <= 1000:
        yield from ((f"{name}[{k}]", x, False) for k, x in enumerate(value) if isinstance(x, Node))
    elif isinstance(value, dict) and len(value) <= 1000:
        yield from ((f"{name}[{k!r}]", x, False) for k, x in value.items() if isinstance(x, Node))
    elif hasattr(value, "named_parameters") and not isinstance(value, type):
        yield from ((str(key), p, True) for key, p in value.named_parameters())


# --------------------------------------------------------------------------------------------------------------
# Collecting


class _Pulled(Observer):
    """Gradients, contributions to them, and the order of the backward pass."""

    def __init__(self, ids: dict[Any, str]) -> None:
        self.ids = ids
        self.gradients: dict[Any, Any] = {}
        self.parts: dict[Any, list[Contribution]] = {}
        self.steps: dict[Any, int] = {}

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        self.add(node, g)
        self.steps.setdefault(node, len(self.steps) + 1)
        for k, d in gradients:
            x: Any = node.inputs[k]
            self.parts.setdefault(x, []).append(Contribution(self.ids[node], k, Numbers(d)))

    def add(self, node: Any, g: Any) -> None:
        """Sum up what arrives at a node from several roots."""
        self.gradients[node] = self.gradients[node] + g if node in self.gradients else g


class _Collector:
    def __init__(
        self, roots: list[Node], order: list[Node], names: dict[Node, tuple[str, bool]], marks: Mapping[int, str]
    ) -> None:
        self.roots, self.order, self.given, self.marks = roots, order, names, marks
        self.members: list[Any] = []  # nodes in tape order: Node, or (consumer, position) of a constant array
        self.id: dict[Any, str] = {}
        self.storages: dict[int, int] = {}
        self.alive: list[Any] = []  # keeps the counted arrays alive, so that no address is used twice
        self.scopes: dict[Any, int] = {}
        self.table: list[Scope] = []
        self.notes: list[str] = []

    def collect(self, cotangents: list[tuple[Node, Any, bool]]) -> Graph:
        self._number()
        gradients, contributions, steps = self._walk(cotangents)
        self._name()
        saves, kept_by = self._saved()
        forward = {node: k for k, node in enumerate(self.order, 1)}
        last = max(steps.values(), default=0)
        for node in reversed(self.order):
            if node not in steps and not cotangents:
                last = steps[node] = last + 1
        nodes = []
        for member in self.members:
            common: dict[str, Any] = {
                "id": self.id[member],
                "name": self.name[member],
                "named": member in self.was_named,
                "kept_by": tuple(kept_by.get(member, ())),
            }
            if isinstance(member, tuple):
                consumer, k = member
                nodes.append(Drawn(kind="constant", value=Numbers(consumer.given[k]), needs=False, **common))
                continue
            g = gradients.get(member)
            common["gradient"] = None if g is None else Numbers(g)
            common["contributions"] = tuple(contributions.get(member, ()))
            common["needs"] = member._needs
            common["scope"] = self._scope(member) if member.op is not None else None
            if member.op is None:
                array = member._array.copy()  # a leaf may be written later; results never are
                nodes.append(Drawn(kind=self._kind(member), value=Numbers(array), **common))
            else:
                about = self._op(member)
                cause = member.context.cause
                nodes.append(
                    Drawn(
                        value=Numbers(member._array),
                        forward=forward[member],
                        backward=steps.get(member, 0),
                        saves=tuple(saves.get(member, ())),
                        line=getattr(member, "_line", None),
                        cause=self.id.get(cause) if cause is not None else None,
                        made_by=self._words(cause) if cause is not None else "",
                        mark=clean(self.marks.get(member.number, "")),
                        **about,
                        **common,
                    )
                )
        return Graph(tuple(nodes), tuple(self.id[r] for r in self.roots), tuple(self.table), tuple(self.notes))

    def _number(self) -> None:
        """Ids n0, n1, ... in tape order; constant arrays come right before the op that uses them."""
        leaves = dict.fromkeys(x for n in self.order for x in n.inputs if isinstance(x, Node) and x.op is None)
        leaves |= dict.fromkeys(root for root in self.roots if root.op is None)
        for node in sorted([*leaves, *self.order], key=lambda n: n.number):
            for k, x in enumerate(node.given):
                if isinstance(x, np.ndarray) and x.ndim:
                    self.members.append((node, k))
            self.members.append(node)
        self.id = {member: f"n{k}" for k, member in enumerate(self.members)}

    def _walk(self, cotangents: list[tuple[Node, Any, bool]]) -> tuple[dict[Any, Any], dict[Any, Any], dict[Any, int]]:
        """Gradients, contributions and the order of the backward pass, by walking again with an observer."""
        seen = _Pulled(self.id)
        for root, start, asked in cotangents:
            try:
                with observing(seen):
                    found = walk(root, start)
            except RuntimeError as error:
                if asked:
                    raise
                self.notes.append(f"no gradients: {error}")  # a parameter was updated since backward()
                return {}, {}, {}
            for leaf, g in found.items():
                if leaf.op is None:
                    seen.add(leaf, g)
        return seen.gradients, seen.parts, seen.steps

    def _name(self) -> None:
        self.name: dict[Any, str] = {}
        self.was_named: set[Any] = set()
        made = leaf = 0
        for member in self.members:
            if isinstance(member, tuple):
                consumer, k = member
                role = _role(consumer.op, k)
                self.name[member] = role if len(role) > 1 else "constant"
                continue
            said = self.given[member][0] if member in self.given else getattr(member, "_name", None)
            if member.op is None:
                leaf += 1
            else:
                made += 1
            if said is not None and said.strip():
                self.was_named.add(member)
            else:
                said = f"t{made}" if member.op is not None else f"leaf{leaf}"
            self.name[member] = clean(said)
        for member, node in self._gradients().items():
            if member not in self.was_named:
                self.name[member] = f"d_{self.name[node]}"

    def _words(self, node: Node) -> str:
        name = self.name.get(node) or getattr(node, "_name", "")
        return clean(f"{node.op.name if node.op is not None else ''} {name}".strip())

    def _gradients(self) -> dict[Node, Node]:
        """In a recorded backward pass: tensor -> the forward tensor whose gradient it is.

        The first thing that a rule reads of the backward pass and did not make itself is the g that it was given.
        """
        found: dict[Node, Node] = {}
        known: set[Node] = set()
        for node in self.order:
            cause = node.context.cause
            if cause is None or cause not in self.id or cause in known:
                continue
            for x in node.inputs:
                other = x.context.cause if isinstance(x, Node) and x.op is not None else None
                if x is not None and other is not None and other is not cause:
                    known.add(cause)
                    found.setdefault(x, cause)
                    break
        return found

    def _kind(self, leaf: Node) -> str:
        """Input or parameter: a parameter learns (needs a gradient) and is not what the longest path starts from."""
        if not leaf._needs:
            return "input"
        if self.given.get(leaf, ("", False))[1]:
            return "parameter"
        return "input" if leaf in self._starts() else "parameter"

    def _starts(self) -> set[Node]:
        """The leaf that the longest path starts from; where that is a list (concatenate, stack), all of the list."""
        if not hasattr(self, "_begin"):
            start = self._longest_from()
            self._begin: set[Node] = {start}
            for node in self.order:
                op: Primitive = node.op  # type: ignore[assignment]
                if op.variadic and any(x is start for x in node.inputs):
                    self._begin |= {x for x in node.inputs if isinstance(x, Node) and x.op is None}
        return self._begin

    def _longest_from(self) -> Node:
        """The leaf that the longest path to the last root starts from; at equal length the first argument's.

        In a product the data leads, whichever side it stands on: the factor that needs no gradient.
        """
        best: dict[Node, tuple[int, bool, Node]] = {}
        for node in self.order:
            inputs = [x for x in node.inputs if isinstance(x, Node)]
            ends = [best.get(x, (0, not x._needs, x)) for x in inputs]
            product = node.op is not None and node.op.name in ("matmul", "mul", "einsum")
            steps, free, start = max(ends, key=lambda e: (e[0], product and e[1]))
            best[node] = (steps + 1, free, start)
        return best[self.roots[-1]][2] if self.roots[-1] in best else self.roots[-1]

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
        op: Primitive = node.op  # type: ignore[assignment]
        texts: list[str] = []
        sources: list[str | None] = []
        for k, x in enumerate(node.given):
            member = x if isinstance(x, Node) else (node, k)
            known = member in self.id if isinstance(x, (Node, np.ndarray)) else False
            sources.append(self.id[member] if known else None)
            texts.append(self.name[member] if known else constant(x))
        local = local_texts(node, texts, self.name[node])
        whole, short = expression(node, texts)
        if len(short) > 40:
            short = expression(node, [cut(text, 14) for text in texts])[1]
        slots = tuple(
            Slot(
                text,
                source,
                _role(op, k),
                local[k] if source is not None and getattr(node.inputs[k], "_needs", False) else "",
            )
            for k, (text, source) in enumerate(zip(texts, sources, strict=True))
        )
        return {
            "kind": "fused" if op.joint is not None else "op",
            "op": op.name,
            "expression": whole,
            "short": short,
            "formula": formula(node, texts, self.name[node]),
            "rule": rule_source(op) if op.joint is not None else "",
            "inputs": slots,
        }

    def _saved(self) -> tuple[dict[Node, list[Saved]], dict[Any, list[str]]]:
        """What each op keeps, and for each tensor who keeps it."""
        saves: dict[Node, list[Saved]] = {}
        kept_by: dict[Any, list[str]] = {}
        for node in self.order:
            buffers = saved_names(node)
            for what, array in kept_for_backward(node).items():
                owner = self._owner(node, what)
                base = storage(array)
                number = self.storages.setdefault(id(base), len(self.storages))
                self.alive.append(base)
                if what in buffers:
                    saves.setdefault(node, []).append(Saved(what, None, number, base.nbytes, Numbers(array)))
                else:
                    name = self.name.get(owner, what)
                    saves.setdefault(node, []).append(Saved(name, self.id.get(owner), number, base.nbytes))
                    kept_by.setdefault(owner, []).append(self.id[node])
        return saves, kept_by

    def _owner(self, node: Node, what: str) -> Any:
        if what == "out":
            return node
        for k, (x, name) in enumerate(zip(node.given, input_names(node), strict=True)):
            if name == what:
                return x if isinstance(x, Node) else (node, k)
        return None


def _role(op: Primitive | None, k: int) -> str:
    assert op is not None
    return op.input_names[0] if op.variadic else op.input_names[k]
