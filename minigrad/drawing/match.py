"""Which nodes of two graphs are the same tensor, and by how much they differ. Knows plain data alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..program.words import cut, number
from .data import Graph, Node, Numbers


@dataclass(frozen=True)
class Difference:
    """Largest difference of two arrays: absolute, relative to the largest element, in steps of its last digit."""

    absolute: float
    relative: float
    ulps: float

    def __str__(self) -> str:
        if self.absolute == 0:
            return "equal"
        said = f"{number(self.absolute, 2)} abs, {number(self.relative, 2)} rel"
        return f"{said}, {number(self.ulps, 2)} ulp" if self.ulps < 1e5 else said  # beyond, it is no rounding

    @property
    def brief(self) -> str:
        """For a table in a picture."""
        return str(self) if self.absolute == 0 else f"{number(self.relative, 2)} rel"


@dataclass(frozen=True)
class Match:
    """One tensor that both graphs hold; right may be a buffer that a fused op keeps (its index among them)."""

    name: str
    left: str
    right: str
    buffer: int | None
    value: Difference | None
    gradient: Difference | None

    def __str__(self) -> str:
        said = [f"value {self.value}"] if self.value is not None else []
        said += [f"grad {self.gradient}"] if self.gradient is not None else []
        return f"{cut(self.name, 60)}: {'; '.join(said) or 'not compared'}"


def difference(a: Numbers | None, b: Numbers | None) -> Difference | None:
    """The largest difference, or None where there is nothing to compare (missing, cut, or of another size)."""
    if a is None or b is None or a.array is None or b.array is None or a.size != b.size:
        return None
    if a.size == 0:
        return Difference(0.0, 0.0, 0.0)
    x, y = (np.asarray(n.array, float).ravel() for n in (a, b))
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    if same.all():
        return Difference(0.0, 0.0, 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = float(np.abs(np.where(same, 0.0, x - y)).max())
        scale = float(np.maximum(np.abs(x), np.abs(y)).max())
    coarse = np.dtype(a.dtype if a.dtype == b.dtype else "float64")
    kind = coarse.type if coarse.kind == "f" else np.float64
    step = float(np.spacing(kind(scale))) if np.isfinite(scale) else np.nan
    return Difference(gap, gap / scale if scale else 0.0, gap / step if step else 0.0)


def matches(left: Graph, right: Graph) -> list[Match]:
    """The tensors that both graphs hold: the roots, then whatever has the same name and size, in tape order.

    Only names that a user gave count; the buffers that a fused op keeps are matched by their names too.
    """
    found: list[Match] = []
    taken: set[str] = set()
    roots = dict(zip(left.roots, right.roots, strict=False))
    by_name: dict[str, list[Node]] = {}
    for node in right.nodes:
        if node.named and node.id not in right.roots:
            by_name.setdefault(node.name, []).append(node)
    buffers = {saved.name: (node, k, saved.numbers) for node in right.nodes for k, saved in enumerate(node.buffers)}
    for node in left.nodes:
        alike = by_name.get(node.name, ()) if node.named else ()
        free = (n for n in alike if n.value.size == node.value.size and n.id not in taken)
        other = right[roots[node.id]] if node.id in roots else next(free, None)
        if other is not None:
            taken.add(other.id)
            gaps = difference(node.value, other.value), difference(node.gradient, other.gradient)
            found.append(Match(node.name, node.id, other.id, None, *gaps))
        elif node.named and node.name in buffers:
            owner, k, numbers = buffers[node.name]
            if numbers is not None and numbers.size == node.value.size:
                found.append(Match(node.name, node.id, owner.id, k, difference(node.value, numbers), None))
    return found
