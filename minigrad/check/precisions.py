"""Where digits are lost: one program in several precisions beside float64, forward and backward, value by value."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._support.signatures import Values
from ..core.nodes import Node
from ..program.program import Array, Instruction, Value
from ..program.recording import recorded
from ..program.running import evaluate, inputs_of
from .arguments import Function, array_of, as_sequence, name_of
from .table import Report, Table

MOST = 16.0  # digits that float64 can tell
ROWS = 40  # of the table; of a larger program those with the largest falls


@dataclass(frozen=True)
class Digits:
    """What is left of one value of the program.

    digits  {dtype: -log10(max|a - b| / max|b|)}, a in that dtype and b in float64; 0 where nothing is right
    falls   {dtype: how many digits fewer than the worst of what it was computed from}
    """

    name: str
    op: str
    backward: bool
    scope: tuple[str, ...]
    line: tuple[str, int] | None
    digits: dict[str, float]
    falls: dict[str, float]


@dataclass(frozen=True, repr=False)
class Precision(Report):
    """What `precision` found. True where every result keeps half of the digits that its dtype has."""

    function: str
    dtypes: tuple[str, ...]
    values: tuple[Digits, ...]
    ends: tuple[Digits, ...]  # results, and gradients of inputs and parameters
    nodes: Mapping[Node, Digits] = field(default_factory=dict)
    result: Any = None

    def __bool__(self) -> bool:
        return all(d.digits[t] >= full(t) / 2 for d in self.ends for t in self.dtypes)

    def worst(self, dtype: str | None = None) -> Digits | None:
        """The value at which most digits fall."""
        dtype = dtype or self.dtypes[0]
        found = max(self.values, key=lambda d: d.falls[dtype], default=None)
        return found if found is not None and found.falls[dtype] >= 1.0 else None

    @property
    def colors(self) -> dict[Node, tuple[float, str]]:
        """For `mg.draw(report.result, color=report)`: the share of its digits that each value lost in the first."""
        return self.shades(self.dtypes[0])

    @property
    def color_title(self) -> str:
        """What the colours say."""
        return f"digits lost in {self.dtypes[0]}"

    def shades(self, dtype: str) -> dict[Node, tuple[float, str]]:
        """The same for any of the dtypes: `mg.draw(report.result, color=report.shades("float16"))`."""
        return {
            node: (1.0 - min(d.digits[dtype] / full(dtype), 1.0), f"{d.digits[dtype]:.1f} digits")
            for node, d in self.nodes.items()
        }

    def _head(self) -> str:
        told = []
        for dtype in self.dtypes:
            least = min(self.ends, key=lambda d: d.digits[dtype], default=None)
            if least is not None:
                told.append(f"{dtype} leaves {least.digits[dtype]:.1f} of {full(dtype):.1f} digits of {least.name}")
        return f"precision of {self.function}: {'; '.join(told) or 'nothing is computed'}"

    def _remarks(self) -> list[str]:
        remarks = []
        for dtype in self.dtypes:
            worst = self.worst(dtype)
            if worst is not None:
                place = f" (line {worst.line[1]} of {worst.line[0]})" if worst.line else ""
                before = worst.digits[dtype] + worst.falls[dtype]
                fall = f"{before:.1f} to {worst.digits[dtype]:.1f} digits"
                remarks.append(f"{dtype}: most fall at {worst.op} -> {worst.name}, from {fall}{place}")
        return remarks

    def _tables(self) -> list[Table]:
        shown = list(self.values)
        if len(shown) > ROWS:
            by_fall = sorted(shown, key=lambda d: -max(d.falls.values()))[:ROWS]
            shown = [d for d in shown if d in by_fall]
        falls = [max(d.falls.values()) for d in shown]
        rows = [
            [d.name, d.op, "back" if d.backward else "", *[f"{d.digits[t]:.1f}" for t in self.dtypes], _bar(fall)]
            for d, fall in zip(shown, falls, strict=True)
        ]
        wrong = [k for k, fall in enumerate(falls) if fall >= 2.0]
        return [Table(["value", "op", "", *self.dtypes, "falls by"], rows, text=(0, 1, 2), wrong=wrong)]


def _bar(fall: float) -> str:
    return f"{fall:.1f}" if fall >= 0.5 else ""


def full(dtype: str) -> float:
    """Decimal digits of a dtype: -log10 of half its spacing at 1.

    >>> [round(full(name), 1) for name in ("float64", "float32", "float16", "bfloat16")]
    [16.0, 7.2, 3.3, 2.4]
    """
    bits = 8 if dtype == "bfloat16" else np.finfo(dtype).nmant + 1
    return min(bits * math.log10(2.0), MOST)


def precision(
    f: Function, inputs: Values, dtypes: Sequence[str] = ("float32", "float16"), *, gradient: Values = None
) -> Precision:
    """How many digits each value of f has left in narrower precisions, forward and backward.

    f is recorded once on float64 inputs; the program runs in float64 and, with everything rounded to it, in each of
    `dtypes`. digits = -log10(max|a - b| / max|b|) of each value. A fall of several digits at one op is where the
    formula, and not the dtype, loses them: E[x^2] - E[x]^2 at its subtraction.

    inputs    an array, or a list of them, as `mg.check.compare` takes
    dtypes    "float32", "float16", and "bfloat16" where ml_dtypes is installed
    gradient  dL/df to start backward with; without it 1 for a single number, else random numbers, because ones hide
              what cancels

    ValueError for dtypes that are none of these. `mg.draw(report.result, color=report)` shades the graph by what is
    lost.

    >>> import minigrad as mg
    >>> x = 12.0 + 0.01 * np.random.default_rng(0).normal(size=(50, 1))
    >>> report = precision(lambda x: ((x * x).mean() - x.mean() ** 2).named("var"), x, ["float32"])
    >>> report.worst().op, bool(report)
    ('sub', False)
    """
    names = tuple([dtypes] if isinstance(dtypes, str) else dtypes)
    rounding = {name: _rounding(name) for name in names}
    if not names:
        raise ValueError('precision: dtypes is empty; give one or more, such as ["float32"]')
    arrays = [a.astype(float) if a.dtype.kind == "f" else a for a in map(array_of, as_sequence(inputs))]
    program, nodes, returned = recorded(f, arrays, {}, gradient)
    if gradient is None:
        rng = np.random.default_rng(0)
        drawn = [rng.normal(size=v.shape) if v.array.size != 1 else np.ones(v.shape) for v in program.cotangents]
        gradient = drawn[0] if len(drawn) == 1 else drawn
    start = inputs_of(program, arrays, {}, gradient)
    held = evaluate(program, start)
    narrow = {name: evaluate(program, start, dtype=how) for name, how in rounding.items()}
    left = {v: {t: digits_left(narrow[t][v], b) for t in names} for v, b in held.items() if b.dtype.kind == "f"}
    found = {v: told for i in program.instructions for v, told in _of(i, left, names)}
    ends = [*program.results, *program.gradients.values()]
    return Precision(
        name_of(f),
        names,
        tuple(found.values()),
        tuple([found[v] for v in ends if v in found]),
        {nodes[v]: told for v, told in found.items() if v in nodes},
        returned,
    )


def _of(i: Instruction, left: Mapping[Value, dict[str, float]], names: Sequence[str]) -> list[tuple[Value, Digits]]:
    before = [left[v] for v in i.used() if v in left and v.kind != "constant"]
    told = []
    for k, v in enumerate(i.outputs):
        if v not in left:
            continue
        falls = {t: max(0.0, min([b[t] for b in before], default=full(t)) - left[v][t]) for t in names}
        name = v.label if k == 0 or v.name else f"{i.outputs[0].label}.{k}"
        told.append((v, Digits(name, i.name, i.backward, i.scope, i.line, left[v], falls)))
    return told


def digits_left(a: Array, b: Array) -> float:
    """-log10 of the largest error of a, relative to the largest element of b; between 0 and 16."""
    if not b.size:
        return MOST
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return MOST
    finite = np.isfinite(b)
    if not np.isfinite(a[finite & ~same]).all() or not finite[~same].all():
        return 0.0
    error = np.abs(np.where(same, 0.0, a.astype(float) - b)).max()
    size = np.abs(b[finite]).max()
    return min(max(0.0, -math.log10(error / size)), MOST) if size else 0.0


def _rounding(name: str) -> Any:
    """A dtype of NumPy's, or a function that rounds to what NumPy does not have."""
    if name in ("float32", "float16", "float64"):
        return name
    if name != "bfloat16":
        raise ValueError(f"precision: dtype {name!r} must be 'float32', 'float16' or 'bfloat16'")
    if importlib.util.find_spec("ml_dtypes") is None:
        raise ValueError("precision: bfloat16 needs the package ml_dtypes (pip install ml_dtypes)")
    import ml_dtypes

    def rounded(array: Array) -> Array:
        near: Array = array.astype(ml_dtypes.bfloat16).astype(np.float32)
        return near

    return rounded
