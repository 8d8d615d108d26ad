"""Recorded computations as text: the call of an op, its formula, and what its rules send back, in the user's names.

Knows the recorded graph of a rule (`rules.py`); no source code, and nothing of pictures.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from .._support.shapes import axes_of, stretched
from ..core.nodes import Node, Primitive, raw
from .rules import RuleGraph, input_names
from .words import constant, index, parameter

INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "matmul": "@",
    "pow": "**",
    "equal": "==",
    "not_equal": "!=",
    "less": "<",
    "greater": ">",
    "less_equal": "<=",
    "greater_equal": ">=",
}
HIDDEN = {"wide"}  # parameters that say nothing which axis and shape have not said
HIDDEN_IN_RULES = {"wide", "shape", "keepdims"}


def expression(node: Node, names: Sequence[str]) -> str:
    """The whole call in the user's names."""
    op: Primitive = node.op  # type: ignore[assignment]
    known = op.name if op.builtin else ""
    text = ""
    if known in INFIX and len(names) == 2:
        text = f"{atom(names[0])} {INFIX[known]} {atom(names[1])}"
    elif known == "neg":
        text = f"-{atom(names[0])}"
    elif known == "getitem" and "index" in node.params:
        text = f"{atom(names[0])}[{index(node.params['index'])}]"
    return text or f"{op.name}({', '.join([*names, *_given(op, node.params, HIDDEN)])})"


def formula(node: Node, names: Sequence[str], out: str) -> str:
    """The op's formula in the user's names."""
    op: Primitive = node.op  # type: ignore[assignment]
    return _filled(op.formula, node, names, out)


def sent(rules: RuleGraph, names: Sequence[str], out: str) -> dict[int, str]:
    """{position: what the backward pass sends to that input, as an expression in g} of the inputs that get something.

    A rule that cannot be followed, or is too long to be read, is told by its name: "my_rule(g)". `local=`, given to
    the primitive, wins. A sum that the walk adds to undo broadcasting is told: -sum0(g*x_hat).
    """
    op: Any = rules.node.op
    if op.joint is None and not op.rules:
        return {}
    writer = None if op.local else _Writer(rules, names, out)
    found: dict[int, str] = {}
    for k in rules.wanted:
        d = raw(rules.results.get(k))
        if d is None and k not in rules.opaque:
            continue  # the rule says that there is no gradient
        if writer is None:
            text = _filled(op.local[k if k < len(op.local) else -1], rules.node, names, out)
        else:
            text = writer.text(rules.results.get(k)) or f"{_name_of_rule(op, k)}(g)"
        found[k] = _summed(text, d.shape, np.shape(rules.node.arrays[k])) if isinstance(d, np.ndarray) else text
    return found


def listing(rules: RuleGraph) -> str:
    """The joint rule of a fused op line by line, in the op's own names; "" where it cannot be followed.

    What the rule named, what it uses more than once and what it returns have a line each.
    """
    op: Any = rules.node.op
    if op.joint is None or rules.opaque:
        return ""
    names = input_names(rules.node)
    writer = _Writer(rules, names, "out", {f"d_{names[k]}": d for k, d in rules.results.items() if isinstance(d, Node)})
    more = [f"... {len(writer.lines) - LINES} more lines"] if len(writer.lines) > LINES else []
    return "\n".join([*writer.lines[:LINES], *more])


def _name_of_rule(op: Any, k: int) -> str:
    rule = op.joint if op.joint is not None else op.rules[0 if op.variadic else k]
    name = getattr(rule, "__name__", "<lambda>").strip("_")
    return name if name.isidentifier() else "rule"


def _summed(text: str, wide: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """The walk's sum over axes that were stretched, a leading minus outside: -sum0(g*x_hat)."""
    axes = stretched(wide, shape)
    if not axes:
        return text
    over = "" if len(axes) == len(wide) else "".join(map(str, axes))
    if text.startswith("-") and " " not in text:
        return f"-sum{over}({text[1:]})"
    return f"sum{over}({text})"


# --------------------------------------------------------------------------------------------------------------
# Texts written by hand: formula=, local=

_COMPOUND = re.compile(r"[\s+\-*/@<>=]")
_NUMBER = re.compile(r"[\d.]+(e[+-]?\d+)?")
_PROSE = re.compile(r"[\w)] (?!if |else )[A-Za-z]\w* ")  # "sum of x over axis / N" is no expression


def atom(name: str) -> str:
    """A name as part of an expression: one such as `x - mu` gets parentheses."""
    if not _COMPOUND.search(name) or _NUMBER.fullmatch(name) or (name.startswith("(") and name.endswith(")")):
        return name
    return f"({name})"


@lru_cache(maxsize=256)
def _spaced(text: str) -> str:
    """Spaces where formulas have them, and 2 for 2.0: `-g*x_hat/std`."""
    if _PROSE.search(text):
        return text
    return re.sub(r"\b(\d+)\.0\b", r"\1", re.sub(r" (\*\*|[*/@]) ", r"\1", text))


def _filled(text: str, node: Node, names: Sequence[str], out: str) -> str:
    """A text with the op's own names replaced by the user's."""
    op, text = node.op, _spaced(text)
    assert op is not None
    said = {} if op.variadic else dict(zip(op.input_names, names, strict=True))  # prose of any number stays as it is
    said |= {"out": out}

    def word(found: re.Match[str]) -> str:
        name, (start, end) = found.group(), found.span()
        if text[end : end + 1] == "(":
            return name  # a function
        if name in said:
            alone = text[start - 1 : start] == "(" and text[end : end + 1] == ")"
            return said[name] if alone else atom(said[name])
        return _told(name, node.params) if name in node.params else name

    text = re.sub(r"\b[A-Za-z_]\w*\b", word, text).replace("(N - 0)", "N")
    absent = any(a is None for a in node.arrays)  # no gamma: no factor
    return re.sub(r"\bNone\*|\*None\b| \+ None\b", "", text) if absent else text


def _told(name: str, params: dict[str, Any]) -> str:
    """A parameter inside a formula: its value, of a large array its name; an axis with the word."""
    if isinstance(params[name], np.ndarray) and params[name].size > 3 and name != "index":
        return name
    value = index(params[name]) if name == "index" else _value(name, params[name])
    return value if name != "axis" else "all axes" if value == "None" else f"axis {value}"


def _value(name: str, value: Any) -> str:
    return str(value[0]) if name == "axis" and isinstance(value, tuple) and len(value) == 1 else parameter(value)


def _given(op: Primitive, params: dict[str, Any], hidden: set[str], *, by_place: bool = False) -> list[str]:
    """The parameters of a call that are not their defaults; by_place: those without a default without their name."""
    said = {k: v for k, v in params.items() if k not in hidden and not _same(v, op.defaults.get(k))}
    bare = {k for k in said if by_place and op.defaults.get(k) is inspect.Parameter.empty}
    return [_value(k, v) if k in bare else f"{k}={_value(k, v)}" for k, v in said.items()]


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and repr(a) == repr(b))


# --------------------------------------------------------------------------------------------------------------
# Rules, written from their graph

Said = tuple[str, int, int]  # an expression, how strongly its outermost operator binds, how many ops it is made of
COMPARED, SUM, MATRICES, PRODUCT, POWER, WHOLE = range(1, 7)
BINDING = {"+": SUM, "-": SUM, "@": MATRICES, "*": PRODUCT, "/": PRODUCT, "**": POWER}
SHAPE_ONLY = {"reshape", "broadcast_to", "expand_dims", "squeeze"}  # undo a shape: nothing that a formula says
KNOWN = {
    math.pi: "pi",
    math.sqrt(2.0): "sqrt(2)",
    math.sqrt(0.5): "sqrt(1/2)",
    2.0 / math.sqrt(math.pi): "2/sqrt(pi)",
    1.0 / math.sqrt(2.0 * math.pi): "1/sqrt(2*pi)",
    math.log(2.0): "log(2)",
}
LONGEST = 24  # ops in one expression; what is longer is not read any more
LINE, LINES = 72, 40  # letters, lines


class _Writer:
    """Writes the ops of a rule as expressions, oldest first: each is put together from those of its inputs.

    With `results`, {name: node}, they, what the rule named and what it uses more than once become `lines`.
    """

    def __init__(
        self, rules: RuleGraph, names: Sequence[str], out: str, results: dict[str, Node] | None = None
    ) -> None:
        self.rules, self.params = rules, rules.node.params
        self.said: dict[Node, Said] = {leaf: _named(name) for leaf, name in rules.leaves.items()}
        self.said |= {leaf: _named(x) for leaf, x in zip(rules.inputs, names, strict=True) if isinstance(leaf, Node)}
        self.said[rules.out] = _named(out)
        self.lines: list[str] = []
        results = results or {}
        called = {self._source(node): name for name, node in reversed(results.items())}
        users = self._users(list(results.values()))
        made = 0
        for node in rules.made_by:
            self.said[node] = self._op(node)
            named = called.get(node) or node.name
            if node in users and (named or users[node] > 1 or len(self.said[node][0]) > LINE):
                made += not named
                self._line(node, named or f"t{made}")
        for name, node in results.items():
            if self.said[node][0] != name:
                self._line(node, name)

    def _line(self, node: Node, name: str) -> None:
        self.lines.append(f"{name} = {self.said[node][0]}")
        self.said[node] = _named(name)

    def text(self, x: Any) -> str | None:
        """What a rule computed, or None where that is no array, or too long to be read."""
        text, _, ops = self._about(x)
        return text if isinstance(x, (Node, np.ndarray)) and ops <= LONGEST else None

    def _users(self, waiting: list[Node]) -> dict[Node, int]:
        """How often each op is used on the way to the results."""
        users: dict[Node, int] = {}
        while waiting:
            x = self._source(waiting.pop())
            users[x] = users.get(x, 0) + 1
            if users[x] == 1 and x in self.rules.made_by:
                waiting += [y for y in self.rules.made_by[x][1] if isinstance(y, Node)]
        return users

    def _source(self, x: Node) -> Node:
        """The node that x is, but for its shape."""
        while x in self.rules.made_by:
            op, (source, *_), _ = self.rules.made_by[x]
            if not op.builtin or op.name not in SHAPE_ONLY or not isinstance(source, Node):
                break
            x = source
        return x

    def _about(self, x: Any) -> Said:
        if isinstance(x, Node):
            return self.said.get(x) or _named(constant(x._array))
        if isinstance(x, np.ndarray) and x.ndim:
            return self._array(x), WHOLE, 0
        x = x.item() if isinstance(x, (np.ndarray, np.generic)) else x
        text = _digits(x) if isinstance(x, float) else parameter(x)
        return text, PRODUCT if text.startswith("-") or "/" in text else WHOLE, 0

    def _array(self, x: np.ndarray[Any, Any]) -> str:
        """A constant array: the parameter that it is, or what computed it, or its size."""
        for name, value in self.params.items():
            if value is x:
                return name
        if id(x) in self.rules.called_by:
            function, arguments, _ = self.rules.called_by[id(x)]
            known = [name for a in arguments for name, value in self.params.items() if value is a]
            return f"{getattr(function, '__name__', 'callback').strip('_')}({', '.join(known)})"
        return constant(x)

    def _op(self, node: Node) -> Said:
        op, inputs, params = self.rules.made_by[node]
        parts = [self._about(x) for x in inputs]
        ops = 1 + sum(part[2] for part in parts)
        if ops > 4 * LONGEST:  # it will not be read: do not let it grow
            return "...", WHOLE, ops
        first, known = parts[0], op.name if op.builtin else ""
        if known in SHAPE_ONLY:
            return first
        if known in INFIX:
            return *_infix(INFIX[known], *parts[:2]), ops
        if known == "neg":
            return f"-{_within(first, PRODUCT)}", PRODUCT, ops
        if known == "getitem":
            return f"{_within(first, WHOLE)}[{index(params['index'])}]", WHOLE, ops
        if known in ("swapaxes", "transpose") and _exchanges_last_two(known, params, node._array.ndim):
            return f"{_within(first, WHOLE)}.T", WHOLE, ops
        if known == "sum":
            axes = axes_of(params["axis"], raw(inputs[0]).ndim)
            over = "" if len(axes) == raw(inputs[0]).ndim else "".join(map(str, axes))
            return f"sum{over}({first[0]})" if axes else first[0], WHOLE, ops
        arguments = [*(part[0] for part in parts), *_given(op, params, HIDDEN_IN_RULES, by_place=True)]
        return f"{op.name}({', '.join(arguments)})", WHOLE, ops


def _infix(sign: str, left: Said, right: Said) -> tuple[str, int]:
    binds = BINDING.get(sign, COMPARED)
    a = _within(left, binds + (sign == "**" or binds == COMPARED))
    b = _within(right, binds + (sign not in "+*"))
    b = f"({b})" if b.startswith("-") and binds > COMPARED else b
    space = " " if binds <= SUM else ""
    return f"{a}{space}{sign}{space}{b}", binds


def _digits(v: float) -> str:
    """A number in a rule: 2, 0.5, 1/12, sqrt(2), else five digits."""
    if v in KNOWN or (v.is_integer() and abs(v) < 1e6):
        return KNOWN.get(v) or str(int(v))
    if len(repr(v)) < 8 or not math.isfinite(v):
        return repr(v)
    near = Fraction(v).limit_denominator(1000)
    return str(near) if float(near) == v else f"{v:.5g}"


def _named(name: str) -> Said:
    said = atom(name)
    return name, WHOLE if said == name else 0, 0


def _within(part: Said, least: int) -> str:
    return part[0] if part[1] >= least else f"({part[0]})"


def _exchanges_last_two(name: str, params: dict[str, Any], ndim: int) -> bool:
    if name == "transpose":
        return params["axes"] is None and ndim == 2
    return {params["axis1"] % ndim, params["axis2"] % ndim} == {ndim - 1, ndim - 2}
