"""Expressions and local derivatives as text, in the user's names, taken from the rules' own source.

A rule such as `lambda g, out, x, y: -g * out / y` becomes a template once per op; filling in names is a join. Where
there is no source (a rule typed into `python -c`, a built-in) the text falls back to `rule(g)`; `local=` given to
the primitive wins over the source.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import re
import textwrap
import weakref
from collections.abc import Sequence
from functools import lru_cache
from types import CodeType
from typing import Any

import numpy as np

from ..core.nodes import Node, Primitive, Rule
from .words import index, parameter

Template = tuple[str, ...]  # literal text and marks such as "<in 0>", "<out>", "<parameter axis>"

INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "matmul": "@",
    "pow": "**",
    "equal": "==",
    "less": "<",
    "greater": ">",
    "less_equal": "<=",
    "greater_equal": ">=",
}
HIDDEN = {"wide"}  # parameters that say nothing which axis and shape have not said


def expression(node: Node, names: Sequence[str]) -> tuple[str, str]:
    """(the whole call in the user's names, the same without parameters, for a card)."""
    op: Primitive = node.op  # type: ignore[assignment]
    if op.name in INFIX and len(names) == 2:
        text = f"{atom(names[0])} {INFIX[op.name]} {atom(names[1])}"
        return text, text
    if op.name == "neg":
        return f"-{atom(names[0])}", f"-{atom(names[0])}"
    if op.name == "getitem":
        text = f"{atom(names[0])}[{index(node.params['index'])}]"
        return text, text
    given = [(k, v) for k, v in node.params.items() if k not in HIDDEN and not _same(v, op.defaults.get(k))]
    listed = [*names, *(f"{k}={_value(k, v)}" for k, v in given)]
    whole, short = f"{op.name}({', '.join(listed)})", f"{op.name}({', '.join(names)})"
    return whole, whole if len(whole) <= 30 else short


_COMPOUND = re.compile(r"[\s+\-*/@<>=]")
_NUMBER = re.compile(r"[\d.]+(e[+-]?\d+)?")


def atom(name: str) -> str:
    """A name as part of an expression: one such as `x - mu` gets parentheses."""
    if not _COMPOUND.search(name) or _NUMBER.fullmatch(name) or (name.startswith("(") and name.endswith(")")):
        return name
    return f"({name})"


def _value(name: str, value: Any) -> str:
    return str(value[0]) if name == "axis" and isinstance(value, tuple) and len(value) == 1 else parameter(value)


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and not isinstance(a, np.ndarray) and bool(a == b))


# --------------------------------------------------------------------------------------------------------------
# Local derivatives


def local_texts(node: Node, names: Sequence[str], out: str) -> list[str]:
    """For each input, what the backward pass sends there, as an expression in g; "" where the op has no rule."""
    op: Primitive = node.op  # type: ignore[assignment]
    summed = _summed_axes(node, op)
    texts = []
    for k in range(len(node.inputs)):
        text = _fill(template(op, 0 if op.variadic else k), node, names, out)
        texts.append(_sum(text, summed[k]) if text and k in summed else text)
    return texts


def _sum(text: str, axes: str) -> str:
    """The sum over broadcast axes, a leading minus outside: -sum0(g*x_hat)."""
    if text.startswith("-") and " " not in text:
        return f"-sum{axes}({text[1:]})"
    return f"sum{axes}({text})"


def formula(node: Node, names: Sequence[str], out: str) -> str:
    """The op's formula in the user's names."""
    op: Primitive = node.op  # type: ignore[assignment]
    return _fill(_formula_template(op), node, names, out)


def _summed_axes(node: Node, op: Primitive) -> dict[int, str]:
    """Inputs of an elementwise op that were stretched by broadcasting: the walk sums their gradient down again."""
    if len(node.given) < 2 or op.defaults or op.name == "matmul":
        return {}
    full = node._array.shape
    shapes = [np.shape(getattr(x, "_array", x)) if x is not None else () for x in node.given]
    if all(s == full for s in shapes):
        return {}
    try:
        if np.broadcast_shapes(*shapes) != full:
            return {}
    except ValueError:
        return {}
    found = {}
    for k, own in enumerate(shapes):
        lead = len(full) - len(own)
        axes = [*range(lead), *(lead + j for j, n in enumerate(own) if n == 1 and full[lead + j] != 1)]
        if axes:
            found[k] = "" if len(axes) == len(full) else "".join(map(str, axes))
    return found


_templates: weakref.WeakKeyDictionary[Primitive, dict[Any, Template]] = weakref.WeakKeyDictionary()


def template(op: Primitive, position: int) -> Template:
    """The local derivative of an op in one input, with marks for names; () where it has none."""
    key: Any = (position, op.rules, op.joint)  # defvjp may be called again
    known = _templates.setdefault(op, {})
    if key not in known:
        known[key] = _template(op, position)
    return known[key]


def _template(op: Primitive, position: int) -> Template:
    if not op.differentiable:
        return ()
    if op.local:
        return _marked(op, op.local[position if len(op.local) > position else -1])
    if op.joint is not None:
        return _from_source(op, op.joint, position) or ("rule(g)",)
    rule = op.rules[0 if op.variadic else position] if op.rules else None
    return (_from_source(op, rule, None) or ("rule(g)",)) if rule is not None else ()


def _formula_template(op: Primitive) -> Template:
    known = _templates.setdefault(op, {})
    if "formula" not in known:
        known["formula"] = _marked(op, op.formula)
    return known["formula"]


def _marked(op: Primitive, text: str) -> Template:
    """A text written by hand: as an expression if it is one, else its words are replaced."""
    inputs = () if op.variadic else op.input_names  # "the operands" of one with any number stay as they are
    meaning = _meaning(op, ("g", "out", *inputs), None)
    try:
        return _unparsed(ast.parse(text, mode="eval").body, meaning, rule=False)
    except (SyntaxError, ValueError):
        return _split(re.sub(r"\b[A-Za-z_]\w*\b", lambda m: meaning.get(m.group(), m.group()), text))


def _meaning(op: Primitive, positional: Sequence[str], vararg: str | None) -> dict[str, str]:
    """Names in a rule's source -> marks. The rule's own names for its arguments, in the order of the law."""
    roles = ["g", "out", *(["saved"] if op.joint is not None and len(positional) > len(op.input_names) + 2 else [])]
    found = {}
    for k, name in enumerate(positional):
        if k < len(roles):
            if roles[k] == "out":
                found[name] = "<out>"
            elif roles[k] == "g":
                found[name] = "g"
        elif k - len(roles) < len(op.input_names):
            found[name] = f"<in {k - len(roles)}>"
    found.update((name, f"<parameter {name}>") for name in op.defaults if name not in found)
    if vararg:
        found[vararg] = vararg
    return found


_MARK = re.compile(r"(<(?:in \d+|out|parameter \w+)>)")


def _split(text: str) -> Template:
    return tuple(part for part in _MARK.split(text) if part)


def _fill(parts: Template, node: Node, names: Sequence[str], out: str) -> str:
    said = []
    for k, part in enumerate(parts):
        if not part.startswith("<") or not _MARK.fullmatch(part):
            said.append(part)
            continue
        alone = k and parts[k - 1].endswith("(") and parts[k + 1 : k + 2] and parts[k + 1].startswith(")")
        if part == "<out>":
            name = out
        elif part.startswith("<in "):
            position = int(part[4:-1])
            name = names[position] if position < len(names) else "x"
        else:
            said.append(_told(part[11:-1], node.params))
            continue
        said.append(name if alone else atom(name))
    text = "".join(said)
    return text.replace("(N - 0)", "N") if "(N - 0)" in text else text


def _told(name: str, params: dict[str, Any]) -> str:
    """A parameter inside a formula: its value; an axis with the word."""
    value = _value(name, params[name]) if name in params else name
    return value if name != "axis" else "all axes" if value == "None" else f"axis {value}"


# --------------------------------------------------------------------------------------------------------------
# From source to template


def _from_source(op: Primitive, rule: Rule, element: int | None) -> Template:
    """The template of a rule's returned expression (one element of it for a joint rule), or () without source."""
    code = getattr(rule, "__code__", None)
    found = _definition(code) if isinstance(code, CodeType) else None
    if found is None:
        return ()
    positional = [a.arg for a in (*found.args.posonlyargs, *found.args.args)]
    meaning = _meaning(op, positional, found.args.vararg.arg if found.args.vararg else None)
    returned = found.body if isinstance(found, ast.Lambda) else _only_return(found)
    if returned is None:
        return ()
    if element is not None:
        if not isinstance(returned, ast.Tuple) or len(returned.elts) <= element:
            return ()
        returned = returned.elts[element]
        if isinstance(returned, ast.Name) and returned.id not in meaning:
            return _split(f"{returned.id}(g)")  # worked out above the return: named, not spelled out
    return _unparsed(returned, meaning)


def _only_return(function: ast.FunctionDef) -> ast.expr | None:
    """The expression that a function returns, if all that it does is visible in it."""
    last = function.body[-1]
    return last.value if isinstance(last, ast.Return) else None


def buffer_names(op: Primitive, how_many: int) -> list[str]:
    """What the joint rule calls the arrays that `save` kept: from its line `x_hat, inv_std = saved`."""
    fallback = [f"saved {k}" for k in range(how_many)]
    found = _definition(getattr(op.joint, "__code__", None))
    if not isinstance(found, ast.FunctionDef):
        return fallback
    for statement in found.body:
        if (
            isinstance(statement, ast.Assign)
            and isinstance(statement.value, ast.Name)
            and statement.value.id == "saved"
            and isinstance(statement.targets[0], ast.Tuple)
        ):
            names = [t.id for t in statement.targets[0].elts if isinstance(t, ast.Name)]
            return names if len(names) == how_many else fallback
    return fallback


def rule_source(op: Primitive) -> str:
    """The lines of a joint rule, comments with the numbers of the derivation included; "" without source."""
    code = getattr(op.joint, "__code__", None)
    found = _definition(code)
    if not isinstance(found, ast.FunctionDef) or code is None:
        return ""
    lines = linecache.getlines(code.co_filename) or _lines_of(code)
    return textwrap.dedent("".join(lines[found.body[0].lineno - 1 : found.end_lineno])).rstrip()


def _definition(code: CodeType | None) -> ast.Lambda | ast.FunctionDef | None:
    """The syntax tree of the lambda or def that was compiled to `code`.

    Several lambdas may stand on one line: the column positions that the compiler kept tell them apart.
    """
    if code is None:
        return None
    lines = linecache.getlines(code.co_filename) or _lines_of(code)
    candidates = [f for f in _definitions("".join(lines)) if _first_line(f) == code.co_firstlineno]
    if isinstance(code.co_name, str) and code.co_name != "<lambda>":
        candidates = [f for f in candidates if isinstance(f, ast.FunctionDef) and f.name == code.co_name]
    else:
        candidates = [f for f in candidates if isinstance(f, ast.Lambda)]
    if len(candidates) > 1:
        spots = [(a, c) for a, _, c, _ in code.co_positions() if a and c]
        inside = [f for f in candidates if spots and all(_covers(f, line, column) for line, column in spots)]
        candidates = inside[-1:]  # the innermost
    return candidates[0] if len(candidates) == 1 else None


def _lines_of(code: CodeType) -> list[str]:
    try:
        return inspect.findsource(code)[0]
    except (OSError, TypeError):
        return []


@lru_cache(maxsize=64)
def _definitions(source: str) -> tuple[ast.Lambda | ast.FunctionDef, ...]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(n for n in ast.walk(tree) if isinstance(n, (ast.Lambda, ast.FunctionDef)))


def _first_line(found: ast.Lambda | ast.FunctionDef) -> int:
    decorators = getattr(found, "decorator_list", [])
    return decorators[0].lineno if decorators else found.lineno


def _covers(found: ast.Lambda | ast.FunctionDef, line: int, column: int) -> bool:
    start, end = (found.lineno, found.col_offset), (found.end_lineno or 0, found.end_col_offset or 0)
    return start <= (line, column) <= end


UNDOES_A_SHAPE = {"reshape", "unbroadcast", "_like", "raw"}
COMPARES: dict[str, Any] = {"greater": ast.Gt, "less": ast.Lt, "equal": ast.Eq}


class _Tidy(ast.NodeTransformer):
    """Names become marks that survive unparsing; 2.0 reads 2; calls that only undo a shape are left out."""

    def __init__(self, meaning: dict[str, str], rule: bool) -> None:
        self.meaning, self.rule = meaning, rule
        self.marks: list[str] = []

    def visit_Name(self, name: ast.Name) -> ast.expr:
        if name.id not in self.meaning:
            return name
        if self.meaning[name.id] not in self.marks:
            self.marks.append(self.meaning[name.id])
        return ast.Name(f"M{self.marks.index(self.meaning[name.id])}M", ast.Load())

    def visit_Constant(self, value: ast.Constant) -> ast.expr:
        if isinstance(value.value, float) and value.value.is_integer() and abs(value.value) < 1e6:
            return ast.Constant(int(value.value))
        return value

    def visit_Call(self, call: ast.Call) -> ast.expr:
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if self.rule and name in UNDOES_A_SHAPE and call.args:
            inner: ast.expr = self.visit(call.args[0])
            return inner
        self.generic_visit(call)
        if name in COMPARES and len(call.args) == 2:
            return ast.Compare(call.args[0], [COMPARES[name]()], [call.args[1]])
        return call

    def visit_Attribute(self, attribute: ast.Attribute) -> ast.expr:
        if isinstance(attribute.value, ast.Name) and attribute.value.id in ("math", "np", "ops", "mg"):
            return ast.Name(attribute.attr, ast.Load())
        self.generic_visit(attribute)
        return attribute


def _unparsed(expression: ast.expr, meaning: dict[str, str], *, rule: bool = True) -> Template:
    """Source as a formula is set on a card: `-g*x_hat/std`."""
    tidy = _Tidy(meaning, rule)
    again = ast.parse(ast.unparse(expression), mode="eval").body  # a copy: the tree of the file is shared
    text = ast.unparse(ast.fix_missing_locations(tidy.visit(again)))
    text = re.sub(r" (\*\*|[*/@]) ", r"\1", text)
    text = re.sub(r"M(\d+)M", lambda m: tidy.marks[int(m.group(1))], text)
    return _split(text)
