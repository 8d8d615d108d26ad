"""What the live page computes with: the program of each graph, the rows that show its values, and what Python had.

With collect.py and naming.py the only file here that knows the engine. The page's side is in `live/`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._support.signatures import Values
from ..core.nodes import Node as Recorded
from ..core.nodes import late, raw
from ..program.program import Instruction, Program, Value
from ..program.rerun import Rerun, rerun
from .collect import Drawable, cotangents_of, members_of, ops_of, roots_of
from .data import WHOLE, Graph
from .naming import Datum
from .rungs import Rung, rungs, title_of
from .words import clean, size

MOST_OPS, MOST_NUMBERS = 60, 5_000  # of one graph, and in all of its leaves
FAR = 1e6  # the mean that a preset moves the data to


def live(
    ys: Mapping[str, Drawable],
    graphs: Mapping[str, Graph],
    inference: Mapping[str, tuple[Drawable, Graph]],
    gradient: Values,
) -> dict[str, Any]:
    """What the live page needs of several graphs, which share the leaves that have one name; or {"reason": text}.

    inference: those of them that have another form in eval mode. Where they normalize the rows of their data, each is
    there for a batch of one, too, and there are states to try.
    """
    of: dict[str, dict[str, Any]] = {}
    try:
        for label, y in ys.items():
            of[clean(label)] = {"train": variant(y, graphs[label], gradient)}
            if label in inference:
                of[clean(label)]["eval"] = variant(*inference[label], gradient)
    except NotLive as reason:
        return {"reason": f"{clean(label)}: {clean(str(reason))}" if len(ys) > 1 else clean(str(reason))}
    found = presets(next(iter(of.values()))["train"])
    if found:
        try:
            ones = {label: variant(y, graphs[label], gradient, first=True) for label, y in ys.items()}
            for label, one in ones.items():
                same = one["rows"] == of[clean(label)]["train"]["rows"]
                of[clean(label)]["one"] = {k: x for k, x in one.items() if k != "rows" or not same}
        except NotLive:  # a shape is written down in it
            found = [preset for preset in found if preset.get("mode") != "one"]
    _once([v for modes in of.values() for v in modes.values()], next(iter(of.values()))["train"]["rows"])
    return {"of": of, "presets": found}


def _once(variants: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Take away the arrays that inputs start from where an earlier variant has them under the same name."""
    seen: dict[str, list[Any]] = {}
    for plain in variants:
        own = [(row["v"], f"x {row['name']}") for row in plain.get("rows", rows) if "v" in row]
        own += [(k, f"g {name}") for k, name in plain["starts"].items()]
        names = [name for _, name in own]
        values, new = plain["program"]["values"], {}
        for k, name in own:
            data = values[k].get("data") if values[k].get("kind") == "input" and names.count(name) == 1 else None
            if data is None:
                continue
            if seen.get(name, [])[: len(data)] == data:
                del values[k]["data"]
            else:
                new[name] = data
        seen = new | seen


class NotLive(Exception):
    """Why a page cannot compute a graph; it stays a recording."""


def variant(y: Drawable, graph: Graph, gradient: Values, *, first: bool = False) -> dict[str, Any]:
    """One graph as the page computes it: of its first row of data alone, if `first`. NotLive with the reason, else."""
    if isinstance(y, Graph):
        raise NotLive("plain data has no ops that could be run again; pass the tensor itself")
    roots = roots_of(y)
    order = sorted(ops_of(roots), key=lambda node: node.number)
    if not order or len(order) > MOST_OPS:
        raise NotLive(f"{len(order)} ops; the ladder shows from 1 to {MOST_OPS}")
    if any(late(node) for node in order):
        raise NotLive("a leaf was written after the graph was recorded")
    members, _ = members_of(roots, order)
    keys = {f"n{k}": id(m.array) if isinstance(m, Datum) else m for k, m in enumerate(members)}
    rows = raw(roots[0]).shape[:1]

    def part(array: Any) -> Any:
        return array[:1] if first and array.ndim > 1 and array.shape[:1] == rows else array

    try:
        back = cotangents_of(roots, gradient) if any(node.gradient is not None for node in graph) else []
        found = rerun(order, roots, {root: g for root, g, _ in back}, part)
        program = json.loads(found.program.to_json())
    except Exception as error:  # whatever an op does that a program or JSON cannot hold
        raise NotLive(str(error)) from error
    if sum(value.array.size for value in found.leaves.values()) > MOST_NUMBERS:
        raise NotLive(f"more than {MOST_NUMBERS:,} numbers in its leaves")
    numbers = {value: k for k, value in enumerate(found.program.values())}
    starting = {k: _plain(value.array) for value, k in numbers.items() if value.kind == "input"}
    told = _Rows(graph, found, numbers, keys)
    starts = {numbers[value]: f"d{k}" for k, value in enumerate(found.program.cotangents)}
    return {
        "program": _short(program, starting),
        "rows": [told.row(rung) for rung in rungs(graph)],
        "starts": starts,
        "roots": [numbers[found.values[root]] for root in roots if root in found.values],
        "eps": [[k, at] for k, at, _ in epsilons(found.program)],
        "python": [] if first else told.recorded(),
        "notes": [clean(note) for note in graph.notes],
        # comparisons and what Python computed have no graph: they stay, whatever their inputs are changed to
        "fixed": [clean(n.name) for n in graph if n.kind == "data" and (n.dtype == "bool" or not n.named)],
    }


def _short(program: dict[str, Any], starting: Mapping[int, Any]) -> dict[str, Any]:
    """A program's JSON without what its running does not need, and with the arrays that its inputs start from."""
    usual = {"kind": "made", "dtype": "float64"}
    values = [{name: x for name, x in v.items() if name != "name" and usual.get(name) != x} for v in program["values"]]
    for k, data in starting.items():
        values[k]["data"] = data
    steps = [{name: x for name, x in step.items() if name != "name"} for step in program["instructions"]]
    return {"values": values, "instructions": steps}


def epsilons(program: Program) -> list[tuple[int, int, Instruction]]:
    """(instruction, position of the input) of each number that is added to what a square root is taken of."""
    under = {i.inputs[0] for i in program.instructions if i.kind == "op" and i.name == "sqrt"}
    added = [(k, i) for k, i in enumerate(program.instructions) if i.name == "add" and i.outputs[0] in under]
    return [(k, at, i) for k, i in added for at, x in enumerate(i.inputs) if isinstance(x, float)]


class _Rows:
    def __init__(self, graph: Graph, found: Rerun, numbers: Mapping[Value, int], keys: Mapping[str, Any]) -> None:
        self.graph, self.found, self.numbers, self.keys = graph, found, numbers, keys
        self.order = _ranks({n.id: n.forward for n in graph if n.op}), _ranks({n.id: n.backward for n in graph if n.op})
        added = {i.outputs[0] for _, _, i in epsilons(found.program)}
        self.with_eps = {node for node, value in found.values.items() if value in added}

    def row(self, rung: Rung) -> dict[str, Any]:
        """What is shown of one tensor, and under which numbers the program has it."""
        node, graph = rung.node, self.graph
        key = self.keys.get(node.id)
        value = self._value(rung)
        ops = [graph[k].op for k in node.kept_by if k in graph]
        plain: dict[str, Any] = {
            "id": node.id,
            "name": clean(node.name),
            "kind": "kept" if rung.kept else node.kind if not node.op else "op",
            "op": clean(node.op),
            "expr": clean(node.short) if node.op else f"inside {clean(rung.kept.name)}" if rung.kept else "",
            "formula": clean(node.formula or node.expression),
            "where": clean(title_of(graph, node.scope)),
            "f": self.order[0].get(rung.kept.id if rung.kept else node.id, 0),
            "b": self.order[1].get(node.id, 0) if node.gradient is not None else 0,
            "ins": [rung.kept.id] if rung.kept else [s.node for s in node.inputs if s.node],
            "kept": f"kept for {', '.join(map(clean, dict.fromkeys(ops)))}, {size(node.nbytes)}" if ops else "",
            "v": self.numbers.get(value) if value is not None else None,
            "g": self.numbers.get(self.found.gradients[key]) if key in self.found.gradients else None,
            "parts": [
                [c.consumer, c.position, self._rule(c.consumer, c.position), self.numbers[sent]]
                for c in node.contributions
                if (sent := self.found.sent.get((self.keys[c.consumer], c.position))) is not None
            ],
            "root": node.id in graph.roots,
            "eps": key in self.with_eps if isinstance(key, Recorded) else False,
        }
        if plain["v"] is None:
            plain["held"] = {"shape": list(node.shape), "data": _plain(node.value.array)}
        needed = ("f", "b", "ins")
        return {k: x for k, x in plain.items() if k in needed or (x not in ("", [], None) and x is not False)}

    def _value(self, rung: Rung) -> Value | None:
        key = self.keys.get(rung.node.id)
        if rung.kept is not None:
            array, op = rung.node.value.array, self.keys[rung.kept.id]
            where = [k for k, saved in enumerate(op.saved) if saved is array]
            return self.found.saved.get((op, where[0])) if where else None
        return self.found.values.get(key) if rung.node.op else self.found.leaves.get(key)  # type: ignore[arg-type]

    def _rule(self, consumer: str, position: int) -> str:
        return clean(self.graph[consumer].inputs[position].local)

    def recorded(self) -> list[list[Any]]:
        """[number of a value, what Python had], of every value and gradient that is shown."""
        found: dict[int, Any] = {}
        for rung in rungs(self.graph):
            value, node = self._value(rung), rung.node
            slope = self.found.gradients.get(self.keys.get(node.id))  # type: ignore[arg-type]
            if value is not None:
                found[self.numbers[value]] = node.value.array
            if slope is not None and node.gradient is not None:
                found[self.numbers[slope]] = node.gradient.array
        return [[number, _plain(array, WHOLE)] for number, array in found.items()]


def _ranks(order: dict[str, int]) -> dict[str, int]:
    return {name: k for k, name in enumerate(sorted((n for n in order if order[n]), key=lambda n: order[n]), 1)}


def _plain(array: Any, most: int | None = None) -> list[Any]:
    flat = np.asarray(array).ravel()[:most].tolist()
    return [x if not isinstance(x, float) or math.isfinite(x) else str(x) for x in flat]


# --------------------------------------------------------------------------------------------------------------
# What breaks batch norm


def presets(live: dict[str, Any]) -> list[dict[str, Any]]:
    """States to try where the graph normalizes its data: each with a name, what is to be seen, and what is set."""
    program, rows = live["program"], live["rows"]
    leaves = {
        row["name"]: program["values"][row["v"]] for row in rows if row["kind"] not in ("op", "kept") and "v" in row
    }
    tables = [(n, v) for n, v in leaves.items() if len(v["shape"]) == 2 and v.get("dtype", "float").startswith("float")]
    if not tables or not live["eps"]:
        return []
    name, x = tables[0]
    k, at = live["eps"][0]
    added = program["instructions"][k]["inputs"]["tuple"][1 - at]
    shape, numbers = x["shape"], np.array(x["data"], float).reshape(x["shape"])
    if program["values"][added["value"]]["shape"] not in ([shape[1]], [1, shape[1]]):
        return []  # not normalized over the rows
    constant, gamma = numbers.copy(), next((n for n in leaves if n.split(".")[-1] == "gamma"), None)
    constant[:, 0] = constant[0, 0]
    found: list[dict[str, Any]] = [
        {
            "name": "a constant column, eps 0",
            "why": "The first column's variance is 0 and nothing is added to it: 0 / 0 is NaN, and so is every "
            "gradient that goes through. That is what eps is for.",
            "set": {name: _plain(constant)},
            "eps": 0,
        },
        {
            "name": "a constant column",
            "why": "With eps, x_hat is 0 there and y is beta. No gradient comes back to a column that does not vary: "
            "g/std is large, for std is sqrt(eps), and what goes through the mean takes it away.",
            "set": {name: _plain(constant)},
        },
    ]
    found.append(
        {
            "name": "a batch of one",
            "why": "The mean is the number itself and the variance 0: x_hat is 0, y is beta whatever x is, and x gets "
            "no gradient. In training, batch norm needs at least two rows.",
            "mode": "one",
        }
    )
    if gamma is not None:
        found.append(
            {
                "name": "gamma = 0",
                "why": "y is beta, and x gets no gradient; but gamma does, so that it can leave 0. Nothing is ever "
                "divided by gamma.",
                "set": {gamma: [0.0] * math.prod(leaves[gamma]["shape"])},
            }
        )
    found.append(
        {
            "name": "a mean of 1e6, in float32",
            "why": "float32 has seven digits, and six of them say where the data lies: what is left of x - mu is "
            "rough, and so is all that follows. Composed and fused differ in how much they keep.",
            "set": {name: _plain(numbers + FAR)},
            "dtype": "float32",
        }
    )
    return found
