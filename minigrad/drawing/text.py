"""The graph as a table for a terminal: what `str(drawing)` and `print(graph)` show."""

from __future__ import annotations

from .data import Graph, Node
from .words import clean, cut, number, shape, size

MOST = 200  # rows


def table(graph: Graph, *, most: int = MOST) -> str:
    """One line a node: id, op, result, inputs, shape, mean, norm of the gradient, bytes it keeps for backward."""
    nodes = list(graph.nodes)
    hidden = 0
    if len(nodes) > most:
        hidden = len(nodes) - most
        nodes = nodes[: most // 2] + nodes[len(nodes) - most // 2 :]
    head = ("id", "op", "result", "shape", "mean", "|grad|", "saves")
    rows = [head, *(_row(graph, node) for node in nodes)]
    widths = [max(len(r[k]) for r in rows) for k in range(len(head))]
    right = {4, 5, 6}
    lines = [
        "  ".join(c.rjust(w) if k in right else c.ljust(w) for k, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in rows
    ]
    lines = [line.rstrip() for line in lines]
    if hidden:
        lines.insert(1 + most // 2, f"... {hidden} more")
    ops = graph.ops
    total = f"{ops} op{'s' * (ops != 1)} on the tape, {size(graph.saved_bytes)} saved for backward"
    return "\n".join([*lines, total, *graph.notes])


def _row(graph: Graph, node: Node) -> tuple[str, ...]:
    expression = (
        f"{cut(clean(node.name), 24)} = {cut(clean(node.expression), 40)}" if node.op else cut(clean(node.name), 24)
    )
    mean = number(node.value.range.mean) if node.value.size else "-"
    if node.value.range.bad:
        mean = f"{node.value.range.bad} NAN/INF"
    gradient = "none" if node.gradient is None else number(node.gradient.range.norm) if node.gradient.size else "-"
    seen: dict[int, int] = {saved.storage: saved.nbytes for saved in node.saves}
    saves = size(sum(seen.values())) if seen else "-"
    times = f" x {node.times}" if node.times > 1 else ""
    expression += f"  <- {cut(node.mark, 60)}" if node.mark else ""
    return node.id, (clean(node.op) or node.kind) + times, expression, shape(node.value.shape), mean, gradient, saves
