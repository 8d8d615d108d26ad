"""A recorded graph as plain data: what every picture, page and table is made from, and JSON in and out.

Nothing here knows Tensors or the engine; `collect.py` fills these records, `dot.py`, `text.py` and `stepping.py` read
them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

WHOLE = 500  # arrays with more elements are cut to a corner in JSON
CORNER = (8, 6)  # rows and columns of that corner


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


def _plain_float(v: float) -> float | int | str:
    """JSON has no NaN and no infinity: they travel as the words "nan", "inf" and "-inf"."""
    return v if isinstance(v, int) or math.isfinite(v) else str(v)


@dataclass(frozen=True)
class Slot:
    """One input of an op: the node it comes from (None: a constant), its text, and what backward sends there."""

    text: str
    node: str | None = None
    role: str = ""  # the op's own name for this input
    local: str = ""  # the gradient sent there, as an expression in g; empty where none flows


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
    rule: str = ""  # the source of a fused op's backward rule
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
    times: int = 1  # how many equal nodes this one stands for; `saves` then lists those of all, first its own
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
    _by: dict[str, Node] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._by.update((node.id, node) for node in self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, key: str) -> Node:
        """A node by its id, or by its name (the last one of that name)."""
        if key in self._by:
            return self._by[key]
        for node in reversed(self.nodes):
            if node.name == key:
                return node
        raise KeyError(f"no node has the id or name {key!r}; names: {', '.join(n.name for n in self.nodes[:20])}")

    def __contains__(self, key: object) -> bool:
        return key in self._by or any(node.name == key for node in self.nodes)

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

    def to_json(self, indent: int | None = None) -> str:
        """All of it as JSON; arrays of more than 500 elements are cut to 8 rows of 6."""
        plain = {
            "format": "minigrad graph 1",
            "roots": self.roots,
            "scopes": [asdict(scope) for scope in self.scopes],
            "notes": self.notes,
            "nodes": [_node_to_plain(node) for node in self.nodes],
        }
        return json.dumps(plain, indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """The graph that `to_json` wrote."""
        plain = json.loads(text)
        if not isinstance(plain, dict) or plain.get("format") != "minigrad graph 1":
            raise ValueError("from_json expects the text that Graph.to_json() wrote ('format': 'minigrad graph 1')")
        return cls(
            nodes=tuple(_node_from_plain(node) for node in plain["nodes"]),
            roots=tuple(plain["roots"]),
            scopes=tuple(Scope(**scope) for scope in plain["scopes"]),
            notes=tuple(plain["notes"]),
        )

    def to_dot(self, **options: Any) -> str:
        """DOT text; the options are those of `mg.draw`."""
        from .picture import Drawing

        return Drawing(self, **options).dot

    def __str__(self) -> str:
        from .text import table

        return table(self)


def saved_bytes(nodes: Any) -> int:
    """Bytes kept for backward by these nodes, each memory counted once."""
    return sum({saved.storage: saved.nbytes for node in nodes for saved in node.saves}.values())


_SIMPLE: tuple[str, ...] = (
    "id",
    "kind",
    "name",
    "op",
    "expression",
    "short",
    "formula",
    "rule",
    "kept_by",
    "scope",
    "forward",
    "backward",
)
_SIMPLE += ("needs", "named", "line", "cause", "made_by", "mark", "times", "holds")


def _node_to_plain(node: Node) -> dict[str, Any]:
    plain = {name: getattr(node, name) for name in _SIMPLE}
    plain["value"] = node.value.to_plain()
    plain["gradient"] = node.gradient and node.gradient.to_plain()
    plain["inputs"] = [[s.text, s.node, s.role, s.local] for s in node.inputs]
    plain["contributions"] = [[c.consumer, c.position, c.numbers.to_plain()] for c in node.contributions]
    plain["saves"] = [[s.name, s.node, s.storage, s.nbytes, s.numbers and s.numbers.to_plain()] for s in node.saves]
    return plain


def _node_from_plain(plain: dict[str, Any]) -> Node:
    numbers = Numbers.from_plain
    kept: dict[str, Any] = {name: plain[name] for name in _SIMPLE}
    for name in ("kept_by", "holds"):
        kept[name] = tuple(kept[name])
    kept["line"] = kept["line"] and tuple(kept["line"])
    return Node(
        **kept,
        value=numbers(plain["value"]),
        gradient=plain["gradient"] and numbers(plain["gradient"]),
        inputs=tuple(Slot(*slot) for slot in plain["inputs"]),
        contributions=tuple(Contribution(c, k, numbers(n)) for c, k, n in plain["contributions"]),
        saves=tuple(Saved(a, b, c, d, n and numbers(n)) for a, b, c, d, n in plain["saves"]),
    )
