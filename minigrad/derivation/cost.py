"""What formulas cost: operations, passes over whole arrays, bytes that forward has to keep for backward.

A formula is lowered to steps of one or two inputs, small arrays first; equal steps are one. The emitted code is these
same steps, so what is counted is what runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from .terms import ONE, REDUCTIONS, Axes, Term, number, prod, split

LONG = 64  # elements along an axis, in comparisons of cost

Part: TypeAlias = "tuple[Any, Axes]"  # a term that is there, or the label of a step; and its axes


@dataclass(frozen=True)
class Cost:
    """ops: how many; passes: of them over whole arrays; kept: elements kept for backward; weight: what is minimised."""

    ops: int
    passes: int
    kept: int
    weight: float


def _counts(t: Term) -> bool:
    """Whether it is a product of lengths and nothing else: one number."""
    return t.par[0] == 1 and all(b.op == "N" and e == 1 for b, e in zip(t.args, t.par[1], strict=True))


def _first(b: Term) -> tuple[bool, tuple[int, int, str]]:
    """In products of one size the gradient comes first: g * gamma is wanted again."""
    return b.name != "g", b.order


def is_kept(t: Term) -> bool:
    """Whether it is a value of the forward pass that is kept; labels become one-hot again where they are used."""
    return t.definition is not None and t.definition.op != "one_hot"


def size(axes: Collection[int]) -> int:
    """How many elements an array with these axes is reckoned to have, each of them LONG."""
    return int(LONG ** len(axes))


class Plan:
    """The steps that compute some terms from names.

    steps   {(op, inputs, par): (label, axes)}, in order
    out     where each root is; `read` the names that are used
    """

    def __init__(self, roots: Iterable[Term], have: Mapping[Term, Any] | None = None) -> None:
        self.steps: dict[Any, Part] = {}
        self.read: dict[Term, None] = {}
        self.have, self._memo = have, dict[Term, Part]()
        self.out = [self.go(r) for r in roots]

    def step(self, op: str, *args: Part, par: Any = None, axes: Axes | None = None) -> Part:
        axes = frozenset[int]().union(*[a[1] for a in args]) if axes is None else axes
        return self.steps.setdefault((op, args, par), (f"t{len(self.steps)}", axes))

    def go(self, t: Term) -> Part:
        """Where the value of a term is."""
        if t not in self._memo:
            self._memo[t] = self._lowered(t)
        return self._memo[t]

    def _lowered(self, t: Term) -> Part:
        if self.have is not None and t in self.have:
            self.read[t] = None
            return t, t.axes
        if t.op == "name":
            if self.have is not None and t.definition is not None:
                return self.go(t.definition)
            self.read[t] = None
            return t, t.axes
        if t.op in ("N", "number") or (t.op == "product" and (not t.args or _counts(t))):
            return t, frozenset()
        if t.op == "product":
            return self._product(t)
        if t.op == "lin":
            return self._combination(t)
        if t.op in REDUCTIONS:
            return self.step(t.op, self.go(t.args[0]), par=t.par, axes=t.axes)
        if t.op == "one_hot":
            return self.step(t.op, self.go(t.args[0]), par=t.par, axes=t.axes)
        return self.step(t.op, *[self.go(a) for a in t.args], par=t.par)

    def _product(self, t: Term) -> Part:
        c, items = split(t)
        lengths = [b for b, e in items.items() if b.op == "N" and e == -1]
        if len(lengths) > 1:  # one number
            items = {b: e for b, e in items.items() if b not in lengths} | {prod(1, [(b, 1) for b in lengths]): -1}
        up = [(b, e) for b, e in items.items() if e > 0]
        down = [(b, -e) for b, e in items.items() if e < 0]
        out: Part | None = None if c in (1, -1) else (number(abs(c)), frozenset())
        if out is None and up:  # nothing begins with a division where something is multiplied
            b, e = min(up, key=lambda item: (len(item[0].axes), sorted(item[0].axes), *_first(item[0])))
            out = self.go(b)
            up[up.index((b, e))] = b, e - 1
        for axes in sorted({b.axes for b in items}, key=lambda d: (len(d), sorted(d))):
            for group, op in ((up, "mul"), (down, "div")):
                for b, e in sorted(group, key=lambda item: _first(item[0])):
                    for _ in range(e if b.axes == axes else 0):  # exponents are whole numbers
                        out = self.step(op, (ONE, frozenset()) if out is None else out, self.go(b))
        assert out is not None
        return self.step("neg", out) if c < 0 else out

    def _combination(self, t: Term) -> Part:
        order = sorted(zip(t.par, t.args, strict=True), key=lambda x: (len(x[1].axes), x[0] < 0, x[1].order))
        if order[0][0] < 0 and order[0][1].axes != order[1][1].axes:  # g - m rather than -m + g
            order.insert(0, order.pop(next((k for k, x in enumerate(order) if x[0] > 0), 0)))
        out: Part | None = None
        for c, a in order:
            part = self.go(prod(abs(c), [(a, 1)]))
            if out is None:
                out = part if c > 0 else self.step("neg", part)
            else:
                out = self.step("add" if c > 0 else "sub", out, part)
        assert out is not None
        return out

    def cost(self) -> Cost:
        """Counted at lengths of 64; the weight also counts moved elements, and four for each that is kept."""
        ops = [(args, axes) for (_, args, _), (_, axes) in self.steps.items() if any(a[1] for a in args)]
        widest = max([size(a[1]) for args, _ in ops for a in args], default=1)
        passes = sum(any(size(x) == widest for x in (axes, *(a[1] for a in args))) for args, axes in ops)
        moved = sum(size(axes) + sum(size(a[1]) for a in args) for args, axes in ops)
        whole = [t for t in self.read if t.name != "g" and (is_kept(t) or size(t.axes) == widest)]
        kept = sum(size(t.axes) for t in whole)
        return Cost(len(ops), passes, kept, moved + 4 * kept + 1e-3 * len(ops))

    def saved(self) -> list[Term]:
        """Forward values that are read."""
        return [t for t in self.read if is_kept(t)]
