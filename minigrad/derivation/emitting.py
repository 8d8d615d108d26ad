"""The last formulas of a derivation as Python: a fused primitive with save, function and joint rule.

Expressions are nested, and only what is used twice has a name: NumPy then gives the memory of everything else back at
once. Identifiers come from the derivation, which made them; the user's words stand nowhere.
"""

from __future__ import annotations

import keyword
import linecache
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._support.shapes import axes_of
from ..check import compare
from .axes import NotDerivable
from .cost import Plan
from .terms import REDUCTIONS, ZERO, Axes, Term, count, split
from .text import identifiers

if TYPE_CHECKING:
    from .derivation import Derivation

INFIX = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2)}
ATOM = 4
Text = tuple[str, int]  # and how tightly it binds
WIDTH = 110


class _Module:
    """One derivation being written."""

    def __init__(self, d: Derivation, name: str, axis: Any = None) -> None:
        self.d, self.name, self.forward, self.axis = d, name, d.forward, axis
        self.rank = len(d.forward.lengths)
        self.inputs = d.forward.inputs
        saved = sorted(Plan(d.roots).saved(), key=lambda t: t.order)
        self.saved = [] if saved == [d.forward.result] else saved  # the rule has that as `out`
        self.counts: dict[str, str] = {}
        self.reduced: dict[str, tuple[int, ...]] = {}  # expressions that end with a reduction: over which axes
        self.numpy = False

    # shapes -------------------------------------------------------------------------------------------------

    def length(self, k: int) -> str:
        """How long an axis is, as the shape of an input says."""
        for t in sorted(self.inputs, key=lambda t: -len(t.axes)):
            if k in self.forward.layout[t]:
                if self.axis is not None and (k,) == axes_of(self.axis, self.rank):
                    return f"{t.name}.shape[axis]"
                return f"{t.name}.shape[{self.forward.layout[t].index(k)}]"
        raise NotDerivable(f"no input has the axis {k}")

    def _shape(self, places: Sequence[int | None]) -> str:
        real = [k for k in places if k is not None]
        parts = ["1" if k is None else "-1" if len(real) == 1 else self.length(k) for k in places]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"

    def wide(self, t: Term, text: str) -> str:
        """An input, or the gradient, such that it broadcasts against whole arrays."""
        layout = self.forward.layout[t]
        real = [k for k in layout if k is not None]
        if real != sorted(real):
            raise NotDerivable(f"{t.name} has its axes in another order than the first input: transpose it before")
        if layout == tuple([k if k in t.axes else None for k in range(self.rank)])[self.rank - len(layout) :]:
            return text
        return f"mg.reshape({text}, {self._shape([k if k in t.axes else None for k in range(self.rank)])})"

    def fitted(self, text: str, axes: Axes, rank: int, layout: Sequence[int | None]) -> str:
        """A result, as it broadcasts, in the shape that is wanted."""
        have = [k if k in axes else None for k in range(self.rank)][self.rank - rank :]
        if tuple(have) == tuple(layout):
            return text
        return self._without_kept_axes(text, rank, layout) or f"mg.reshape({text}, {self._shape(layout)})"

    def _without_kept_axes(self, text: str, rank: int, layout: Sequence[int | None]) -> str:
        """A reduction without keepdims=True, where that has the shape that is wanted; else an empty text."""
        gone = self.reduced.get(text)
        left = [k for k in range(self.rank - rank, self.rank) if gone is not None and k not in gone]
        return "".join(text.rsplit(", keepdims=True", 1)) if gone is not None and left == list(layout) else ""

    # expressions --------------------------------------------------------------------------------------------

    def lines(self, roots: Sequence[Term], have: Mapping[Term, str], labels: Sequence[str]) -> Any:
        """Lines that compute the roots from what is in `have`, and (text, rank) of each root."""
        plan = Plan(roots, have)
        uses = [a[0] for _, args, _ in plan.steps for a in args] + [a[0] for a in plan.out]
        names = {part[0]: t.name for t, part in plan._memo.items() if t.computed}
        names |= {part[0]: label for part, label in zip(plan.out, labels, strict=True) if part[0] not in names}
        said: dict[Any, tuple[Text, int]] = {}
        taken = {*have.values(), *(t.name for t in self.inputs), *names.values(), self.name, "n"}
        lines: list[str] = []

        def say(x: Any) -> tuple[Text, int]:
            if x not in said:
                said[x] = self._leaf(x, have)
            return said[x]

        for (op, args, par), (label, _) in plan.steps.items():
            parts = [say(a[0]) for a in args]
            text, rank = self._expression(op, parts, args, par)
            if uses.count(label) > 1 or len(text[0]) > WIDTH or op == "one_hot":
                free = [x for x in "huvqrst" if x not in taken]
                name = names.get(label) or identifiers([*free[:1], "part"], taken)[0]
                taken.add(name)
                lines.append(f"    {name} = {text[0]}")
                text = name, ATOM
            said[label] = text, rank
        return self._lengths(lines, [say(a[0]) for a in plan.out])

    def _leaf(self, t: Term, have: Mapping[Term, str]) -> tuple[Text, int]:
        if t in have:
            layout = None if have[t].endswith("_") or t in self.saved else self.forward.layout.get(t)
            return (have[t], ATOM), self.rank if layout is None else len(layout)
        if t.op == "N" or (t.op == "product" and t.args):
            name = "n" + "_".join(str(a.par) for a in ([t] if t.op == "N" else t.args))
            self.counts[name] = " * ".join(self.length(a.par) for a in ([t] if t.op == "N" else t.args))
            return (name, ATOM), 0
        if t.op == "number":
            return (repr(t.par) if np.isfinite(t.par) else f'float("{t.par}")', ATOM), 0
        return (repr(float(split(t)[0])), ATOM), 0

    def _expression(self, op: str, parts: list[tuple[Text, int]], args: Any, par: Any) -> tuple[Text, int]:
        texts, rank = [p[0] for p in parts], max([p[1] for p in parts], default=0)
        if op in INFIX:
            sign, binds = INFIX[op]
            left, right = (
                t[0] if t[1] >= least else f"({t[0]})" for t, least in zip(texts, (binds, binds + 1), strict=True)
            )
            return (f"{left} {sign} {right}", binds), rank
        if op == "neg":
            text = f"-{texts[0][0] if texts[0][1] > 1 else f'({texts[0][0]})'}"
            if texts[0][0] in self.reduced:
                self.reduced[text] = self.reduced[texts[0][0]]
            return (text, 2), rank
        inner = ", ".join(t[0] for t in texts)
        if op in REDUCTIONS:
            if gone := set(par) - args[0][1]:
                return self._over_nothing(op, parts, args, par, gone)
            axes = [k if rank == self.rank else k - self.rank for k in par]
            axis = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
            if self.axis is not None and par == axes_of(self.axis, self.rank):
                axis = "axis"
            text = f"mg.{op}({inner}, axis={axis}, keepdims=True)"
            self.reduced[text] = par
            return (text, ATOM), rank
        if op == "one_hot":
            self.numpy = True
            places = self._shape([k if k == par else None for k in range(self.rank)])
            return (f"mg.equal({inner}, np.arange({self.length(par)}).reshape{places})", ATOM), self.rank
        told = "".join(f", {k}={v!r}" for k, v in par or ())
        return (f"mg.{op}({inner}{told})", ATOM), rank

    def _over_nothing(self, op: str, parts: Any, args: Any, par: Any, gone: set[int]) -> tuple[Text, int]:
        """A reduction over axes on which its argument does not depend, `gone`: N equal terms, or one of them."""
        if op not in ("sum", "mean", "max", "min"):
            raise NotDerivable(f"{op} over an axis on which its argument does not depend")
        rest = tuple([k for k in par if k not in gone])
        inner = self._expression(op, parts, args, rest) if rest else parts[0]
        return self._expression("mul", [self._leaf(count(gone), {}), inner], args, None) if op == "sum" else inner

    def _lengths(self, lines: list[str], out: Any) -> Any:
        """Lines before the others that say what n is; n alone where there is one."""
        whole = " ".join([*lines, *[text for (text, _), _ in out]])
        used = [name for name in self.counts if re.search(rf"\b{name}\b", whole)]
        swap = {used[0]: "n"} if len(used) == 1 else {}

        def named(text: str) -> str:
            for old, new in swap.items():
                text = re.sub(rf"\b{old}\b", new, text)
            return text

        head = [f"    {swap.get(name, name)} = {self.counts[name]}" for name in used]
        return [*head, *map(named, lines)], [((named(text), binds), rank) for (text, binds), rank in out]

    # the module ---------------------------------------------------------------------------------------------

    def _body(self, roots: Sequence[Term], have: dict[Term, str], labels: Sequence[str]) -> Any:
        """Lines and results; before them, what gives inputs the shape in which they broadcast."""
        shaped = {t: text for t, text in have.items() if t in self.forward.layout and t not in self.saved}
        narrow = {t: text for t, text in shaped.items() if self.wide(t, text) != text}
        lines, out = self.lines(roots, {**have, **{t: f"{text}_" for t, text in narrow.items()}}, labels)
        body = " ".join([*lines, *[text for (text, _), _ in out]])
        used = [(t, text) for t, text in narrow.items() if re.search(rf"\b{text}_(?!\w)", body)]
        return [*[f"    {text}_ = {self.wide(t, text)}" for t, text in used], *lines], out

    def text(self, checked: bool = False) -> str:
        d, forward = self.d, self.forward
        names = ", ".join(t.name for t in self.inputs)
        axis = "" if self.axis is None else f", axis={self.axis!r}"
        given = {t: t.name for t in self.inputs}
        kept = {t: t.name for t in self.saved}
        also = ", *" * bool(axis and not kept) + axis
        unpack = [f"    {_tuple(kept.values())} = saved"] if kept else []

        save, results = self._body(self.saved, given, list(kept.values()))
        function, ((y, rank),) = self._body([forward.result], {**given, **kept}, ["y"])
        y_text = self.fitted(y[0], forward.result.axes, rank, forward.layout[forward.result])

        roots = [r for r in d.roots if not _is_zero(r)]
        labels = [label for label, r in zip(d.labels, d.roots, strict=True) if not _is_zero(r)]
        ends = {forward.gradient: "g", forward.result: "out"}
        rule, slopes = self._body(roots, {**given, **ends, **kept}, labels)
        found = dict(zip(labels, zip(slopes, roots, strict=True), strict=True))
        wanted = [found.get(f"d_{t.name}") if t in d.wanted else None for t in self.inputs]
        back = [self._slope(t, entry) for t, entry in zip(self.inputs, wanted, strict=True)]

        about = "".join(f" Only where {name} {form}." for name, form in d.assumed.items())
        options = ["save=save"] * bool(kept) + ["check_against=reference, example=example"] * checked
        function = [*(unpack if self._uses(kept, function, y_text) else []), *function]
        parts = ["import numpy as np", ""] * self.numpy + ["import minigrad as mg", "", ""]
        if kept:
            parts += [f"def save({names}{axis}):", *save, *_returned([text for (text, _), _ in results]), "", ""]
        parts += [f"@mg.primitive({', '.join(options)})" if options else "@mg.primitive"]
        parts += [f"def {self.name}({names}, /{', *, saved' * bool(kept)}{also}):"]
        parts += [f'    """Derived from its composed graph.{about}"""', *function, f"    return {y_text}", "", ""]
        parts += [f"def rule(g, out, saved, {names}{axis}):", *unpack, *rule, *_returned(back), "", ""]
        return "\n".join([*parts, f"{self.name}.defvjp_joint(rule)", ""])

    def _slope(self, t: Term, entry: Any) -> str:
        """The gradient of an input, in the shape of the input."""
        if entry is None:
            return "None"
        text: str
        ((text, _), rank), root = entry
        layout, axes = self.forward.layout[t], root.axes
        if not t.axes <= axes:
            parts = ["1" if k not in t.axes else self.length(k) for k in range(self.rank)]
            text, rank, axes = f"mg.broadcast_to({text}, ({', '.join(parts)},))", self.rank, t.axes
        if self.fitted("", axes, rank, layout) == "":
            return text
        return self._without_kept_axes(text, rank, layout) or f"mg.reshape({text}, {t.name}.shape)"

    def _uses(self, kept: dict[Term, str], lines: list[str], result: str) -> bool:
        body = " ".join([*lines, result])
        return any(re.search(rf"\b{name}\b", body) for name in kept.values())


def _is_zero(t: Term) -> bool:
    """Whether a gradient is 0, or a sum of zeros."""
    return t is ZERO or (t.op in ("sum", "mean") and _is_zero(t.args[0]))


def _tuple(parts: Iterable[str]) -> str:
    parts = list(parts)
    return f"({parts[0]},)" if len(parts) == 1 else ", ".join(parts)


def _returned(parts: list[str]) -> list[str]:
    """A return statement; on a line each where it would be long."""
    line = f"    return {_tuple(parts)}"
    return (
        [line]
        if len(line) <= WIDTH or len(parts) == 1
        else ["    return (", *[f"        {p}," for p in parts], "    )"]
    )


def source_of(d: Derivation, name: str = "fused", checked: bool = False) -> str:
    """A module that defines the primitive `name`. NotDerivable where the formula cannot be written."""
    if not name.isidentifier() or keyword.iskeyword(name) or name in ("save", "rule", "mg", "np"):
        raise ValueError(f"name={name!r} is no name that can be given to the primitive")
    return _with_axis(d, name, checked) or _Module(d, name).text(checked)


def _with_axis(d: Derivation, name: str, checked: bool) -> str:
    """The module with `axis` as a parameter, where the function has one and the primitive is the function for others.

    Empty where it is not: shapes were written out, or another axis is meant, too.
    """
    rank = len(d.forward.lengths)
    if d.axis is None or rank < 2 or any(None in d.forward.layout[t] for t in d.forward.inputs):
        return ""
    text = _Module(d, name, d.axis).text(checked)
    if not re.search(r"axis=axis|shape\[axis\]", text) or re.search(
        r"reshape|broadcast_to|shape\[-?\d|axis=[-(\d]+, keep", text
    ):
        return ""
    space: dict[str, Any] = {"__name__": "derived"}
    exec(_Module(d, name, d.axis).text(), space)
    arrays = [d.forward.given[t] for t in d.forward.inputs]
    for other in sorted({*range(rank)} - set(axes_of(d.axis, rank))):
        try:
            same = compare(
                lambda *xs, k=other: d.on_arrays(*xs, axis=k), lambda *xs, k=other: space[name](*xs, axis=k), arrays
            )
        except Exception:  # the user's function raises what it likes for an axis that it was not written for
            return ""
        if not same:
            return ""
    return text


def defined(d: Derivation, name: str = "fused") -> Callable[..., Any]:
    """The primitive that the source defines, held against the function; ValueError with the report if they differ.

    Inputs under a hypothesis, and labels, are held fixed: a nudge would break what was assumed.
    """
    arrays = [d.forward.given[t] for t in d.forward.inputs]
    moved = [t in d.wanted and t.name not in d.assumed for t in d.forward.inputs]
    checked = all(moved)
    text, file = source_of(d, name, checked), f"<derived {name} {id(d)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)  # so that tracebacks show it
    space: dict[str, Any] = {"__name__": "derived", "reference": d.on_arrays, "example": arrays}
    exec(compile(text, file, "exec"), space)
    fused: Callable[..., Any] = space[name]
    if not checked:
        free = [a for a, m in zip(arrays, moved, strict=True) if m]

        def only(f: Callable[..., Any]) -> Callable[..., Any]:
            def call(*some: Any) -> Any:
                rest = iter(some)
                return f(*[next(rest) if m else a for a, m in zip(arrays, moved, strict=True)])

            return call

        report = compare(only(d.on_arrays), only(fused), free, order=2, labels=("composed", name))
        if not report:
            raise ValueError(f"{name} is not what it was derived from\n{report}")
    return fused
