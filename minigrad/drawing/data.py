"""A recorded graph as plain data, its JSON and its table: what every picture and page is made from.

Knows neither Tensors nor pictures: `collect.py` fills these records, the views make smaller ones, the rest reads them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ..program.words import cut, number, shape
from .words import clean, columns, plural, size

WHOLE = 500  # arrays with more elements are cut to a corner in JSON
CORNER = (8, 6)  # rows and columns of that corner
ROWS = 200  # of a table


class Range(NamedTuple):
    """How many elements are not finite, and what the finite ones look like (NaN where there are none)."""

    bad: int
    low: float
    high: float
    mean: float
    norm: float


class Numbers:
    """An array as a picture needs it: shape, dtype, bytes, range and as many elements as can be looked at."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array: npt.NDArray[Any] | None = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype = str(array.dtype)
        self.nbytes = int(array.nbytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Numbers) and self.to_plain() == other.to_plain()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Numbers({self.shape}, {self.dtype}, {self.range.low:.3g} .. {self.range.high:.3g})"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def brief(self) -> str:
        """One short line: a scalar, up to three numbers, else the range; what is not finite is said first."""
        if self.size == 0:
            return "empty"
        if self.range.bad:
            return f"{self.range.bad}/{self.size} NAN/INF"
        if not self.shape:
            return number(self.sample[0])
        if self.size <= 3:
            return "[" + " ".join(number(v, 2) for v in self.sample) + "]"
        low, high = self.range.low, self.range.high
        return f"all {number(low)}" if low == high else f"{number(low)} .. {number(high)}"

    @cached_property
    def range(self) -> Range:
        array = np.asarray(self.array, float)
        fine = np.isfinite(array)
        bad = int(array.size - np.count_nonzero(fine))
        if bad:
            array = array[fine]
        if not array.size:
            return Range(bad, math.nan, math.nan, math.nan, math.nan)
        with np.errstate(over="ignore"):
            norm = float(np.sqrt(np.square(array).sum()))
            return Range(bad, float(array.min()), float(array.max()), float(array.mean()), norm)

    @cached_property
    def sample(self) -> tuple[float, ...]:
        """All elements in reading order, or the first rows and columns of a large array."""
        array = np.asarray(self.array)
        if array.size > WHOLE:
            flat = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
            array = flat[: CORNER[0], : CORNER[1]]
        return tuple(float(v) for v in array.ravel().tolist())

    @property
    def rms(self) -> float:
        """The root of the mean square of what is finite."""
        return self.range.norm / math.sqrt(self.size - self.range.bad) if self.size > self.range.bad else math.nan

    def to_plain(self) -> dict[str, Any]:
        return {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "bytes": self.nbytes,
            "range": [_plain_float(v) for v in self.range],
            "sample": [_plain_float(v) for v in self.sample],
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Numbers:
        self = cls.__new__(cls)
        self.array = None
        self.shape, self.dtype, self.nbytes = tuple(plain["shape"]), plain["dtype"], plain["bytes"]
        bad, *rest = plain["range"]
        self.__dict__["range"] = Range(int(bad), *(float(v) for v in rest))
        self.__dict__["sample"] = tuple(float(v) for v in plain["sample"])
        return self


@dataclass(frozen=True)
class Slot:
    """One input of an op: the node it comes from (None: a constant), its text, and what backward sends there."""

    text: str
    node: str | None = None
    role: str = ""  # the op's own name for this input
    local: str = ""  # the gradient sent there, as an expression in g; empty where none flows
    again: str | None = None  # of repeated blocks: the node that it comes from in all but the first


@dataclass(frozen=True)
class Contribution:
    """What one consumer adds to a gradient: the consumer's id, which of its inputs this is, and the numbers."""

    consumer: str
    position: int
    numbers: Numbers


@dataclass(frozen=True)
class Saved:
    """One array that an op keeps for backward: the node that it belongs to, or a buffer of the op's own."""

    name: str
    node: str | None
    storage: int  # arrays with the same number share memory, which is counted once
    nbytes: int
    numbers: Numbers | None = None


@dataclass(frozen=True)
class Node:
    """One op and the tensor that it makes, or a leaf. kind: input, parameter, constant, op, fused or module."""

    id: str
    kind: str
    name: str
    value: Numbers
    op: str = ""
    expression: str = ""  # the whole call in the user's names
    short: str = ""  # the same for a card
    formula: str = ""
    rule: str = ""  # a fused op's backward rule, line by line
    inputs: tuple[Slot, ...] = ()
    gradient: Numbers | None = None
    contributions: tuple[Contribution, ...] = ()
    saves: tuple[Saved, ...] = ()
    kept_by: tuple[str, ...] = ()
    scope: int | None = None
    forward: int = 0  # order of execution in the forward pass, from 1; 0 for leaves
    backward: int = 0  # the same in the backward pass; 0 where it never runs
    needs: bool = True  # does a gradient flow here?
    named: bool = True  # did the user name it, or is the name made up?
    line: tuple[str, int] | None = None
    cause: str | None = None  # in a recorded backward pass: the forward node whose rule made this one, if it is here
    made_by: str = ""  # the same in words, also where that node is not part of the graph
    mark: str = ""  # a remark to be seen at once, such as what mg.check.blame found
    shade: tuple[float, str] | None = None  # `color=`: how much, from 0 to 1, and what the card says of it
    times: int = 1  # how many equal nodes this one stands for; `saves` then lists those of all, first its own
    repeats: tuple[tuple[float, float], ...] = ()  # of these: root mean square of each value and gradient (NaN: none)
    holds: tuple[str, ...] = ()  # a collapsed module: what is inside

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.value.shape

    @property
    def dtype(self) -> str:
        """Name of its dtype."""
        return self.value.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return self.value.nbytes

    @property
    def own_saves(self) -> tuple[Saved, ...]:
        """What this one keeps, without those that it stands for."""
        return self.saves[: len(self.saves) // self.times]

    @property
    def buffers(self) -> tuple[Saved, ...]:
        """What it keeps that no other node shows."""
        return tuple([saved for saved in self.own_saves if saved.node is None])

    def renamed(self, ids: Mapping[str, str]) -> Node:
        """The same node where others have got other ids."""
        return replace(
            self,
            inputs=tuple(
                [
                    replace(s, node=ids.get(s.node or "", s.node), again=ids.get(s.again or "", s.again))
                    for s in self.inputs
                ]
            ),
            kept_by=tuple(dict.fromkeys([ids.get(k, k) for k in self.kept_by])),
            contributions=tuple([replace(c, consumer=ids.get(c.consumer, c.consumer)) for c in self.contributions]),
            cause=ids.get(self.cause, self.cause) if self.cause is not None else None,
        )


@dataclass(frozen=True)
class Scope:
    """One entered scope; parent is its index in `Graph.scopes`. times: how many equal ones it stands for."""

    name: str
    parent: int | None = None
    times: int = 1


@dataclass(frozen=True)
class Graph:
    """The recorded graph of one or several results, inputs before their consumers.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> g = mg.graph((x * x).sum().named("y"), gradient=1.0)
    >>> [(n.id, n.expression, n.gradient.sample) for n in g.nodes]
    [('n0', '', (2.0, 4.0)), ('n1', 'x * x', (1.0, 1.0)), ('n2', 'sum(t1)', (1.0,))]
    >>> Graph.from_json(g.to_json()) == g
    True
    """

    nodes: tuple[Node, ...]
    roots: tuple[str, ...]
    scopes: tuple[Scope, ...] = ()
    notes: tuple[str, ...] = ()
    to_dot: ClassVar[Callable[..., str]]  # DOT text, with the options of `mg.draw`; picture.py gives it

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, key: str) -> Node:
        """A node by its id, or by its name (the last one of that name)."""
        found = self._by_id.get(key) or next((node for node in reversed(self.nodes) if node.name == key), None)
        if found is None:
            names = ", ".join(n.name for n in self.nodes[:20])
            raise KeyError(f"no node has the id or name {key!r}; names: {names}")
        return found

    def __contains__(self, key: object) -> bool:
        return key in self._by_id or any(node.name == key for node in self.nodes)

    @cached_property
    def _by_id(self) -> dict[str, Node]:
        return {node.id: node for node in self.nodes}

    @cached_property
    def users(self) -> dict[str, list[Node]]:
        """For each id the nodes that take it as an input, once for each time."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for slot in node.inputs:
                if slot.node is not None:
                    found.setdefault(slot.node, []).append(node)
        return found

    @property
    def ops(self) -> int:
        """How many ops stand on the tape."""
        return sum((len(n.holds) if n.kind == "module" else bool(n.op)) * n.times for n in self.nodes)

    @property
    def edges(self) -> list[tuple[str, str, int]]:
        """(from, to, position of the input), in tape order."""
        return [(s.node, n.id, k) for n in self.nodes for k, s in enumerate(n.inputs) if s.node is not None]

    @property
    def saved_bytes(self) -> int:
        """Bytes that backward reads, each array counted once."""
        return saved_bytes(self.nodes)

    @property
    def intermediate_bytes(self) -> int:
        """Bytes of all results but the roots: what a recorded graph keeps so that it can be studied."""
        return sum(n.value.nbytes for n in self.nodes if n.op and n.id not in self.roots)

    @property
    def cost(self) -> str:
        """How many ops stand on the tape and what they keep, in words."""
        return f"{plural(self.ops, 'op')} on the tape, {size(self.saved_bytes)} saved for backward"

    @property
    def about(self) -> str:
        """What the graph computes, in one sentence: the calls in order, and the cost."""
        calls = [f"{cut(clean(n.name), 24)} = {cut(clean(n.short), 40)}" for n in self.nodes if n.op][-12:]
        return f"{', '.join(calls) or 'one leaf'}. {self.cost}"

    def to_json(self, indent: int | None = None) -> str:
        """All of it as JSON; arrays of more than 500 elements are cut to 8 rows of 6."""
        plain = {
            "format": "minigrad graph 1",
            "roots": self.roots,
            "scopes": [asdict(scope) for scope in self.scopes],
            "notes": self.notes,
            "nodes": [{f.name: _to_plain(getattr(node, f.name)) for f in fields(node)} for node in self.nodes],
        }
        return json.dumps(plain, indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """The graph that `to_json` wrote."""
        plain = json.loads(text)
        if not isinstance(plain, dict) or plain.get("format") != "minigrad graph 1":
            raise ValueError("from_json expects the text that Graph.to_json() wrote ('format': 'minigrad graph 1')")
        return cls(
            nodes=tuple(_node(node) for node in plain["nodes"]),
            roots=tuple(plain["roots"]),
            scopes=tuple(Scope(**scope) for scope in plain["scopes"]),
            notes=tuple(plain["notes"]),
        )

    def __str__(self) -> str:
        """One line a node: id, op, result, shape, mean, norm of the gradient, bytes it keeps for backward."""
        hidden = max(0, len(self.nodes) - ROWS)
        first, last = (self.nodes[: ROWS // 2], self.nodes[-ROWS // 2 :]) if hidden else (self.nodes, ())
        rows: list[tuple[str, ...]] = [("id", "op", "result", "shape", "mean", "|grad|", "saves"), *map(_row, first)]
        rows += [(f"... {hidden} more",), *map(_row, last)] if hidden else []
        return "\n".join([*columns(rows, text=4), self.cost, *self.notes])


def saved_bytes(nodes: Iterable[Node]) -> int:
    """Bytes kept for backward by these nodes, each memory counted once."""
    return sum({saved.storage: saved.nbytes for node in nodes for saved in node.saves}.values())


def _row(node: Node) -> tuple[str, ...]:
    said = cut(clean(node.name), 24)
    if node.op:
        said += f" = {cut(clean(node.expression), 40)}"
    if node.mark:
        said += f"  <- {cut(node.mark, 60)}"
    mean = number(node.value.range.mean) if node.value.size else "-"
    if node.value.range.bad:
        mean = f"{node.value.range.bad} NAN/INF"
    gradient = "none" if node.gradient is None else number(node.gradient.range.norm) if node.gradient.size else "-"
    saves = size(saved_bytes([node])) if node.saves else "-"
    times = f" x {node.times}" if node.times > 1 else ""
    return node.id, (clean(node.op) or node.kind) + times, said, shape(node.value.shape), mean, gradient, saves


# --------------------------------------------------------------------------------------------------------------
# JSON


def _plain_float(v: float) -> float | int | str:
    """JSON has no NaN and no infinity: they travel as the words "nan", "inf" and "-inf"."""
    return v if isinstance(v, int) or math.isfinite(v) else str(v)


def _to_plain(x: Any) -> Any:
    """A field of a node: records inside it become lists of their fields."""
    if isinstance(x, Numbers):
        return x.to_plain()
    if isinstance(x, (Slot, Contribution, Saved)):
        return [_to_plain(getattr(x, f.name)) for f in fields(x)]
    if isinstance(x, float):
        return _plain_float(x)
    return [_to_plain(part) for part in x] if isinstance(x, tuple) else x


def _from_plain(x: Any) -> Any:
    """The same back: lists become tuples, dicts numbers."""
    if isinstance(x, dict):
        return Numbers.from_plain(x)
    return tuple([_from_plain(part) for part in x]) if isinstance(x, list) else x


def _node(plain: dict[str, Any]) -> Node:
    made = {name: _from_plain(x) for name, x in plain.items()}
    for name, kind in (("inputs", Slot), ("contributions", Contribution), ("saves", Saved)):
        made[name] = tuple([kind(*x) for x in made[name]])
    made["repeats"] = tuple([(float(v), float(g)) for v, g in made["repeats"]])
    return Node(**made)
