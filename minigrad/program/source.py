"""A program as a module of plain NumPy (or PyTorch, or JAX) that runs without minigrad, as a person would write it.

Identifiers are made here: from the names of the graph where they are names, else t1, t2, ... What the user wrote
elsewhere (names that are no identifiers) stands in comments, with line ends taken out, and nowhere else.
"""

from __future__ import annotations

import builtins
import keyword
import re
from typing import Any

import numpy as np

from . import expressions
from .calls import CALLS
from .expressions import ATOM, COMPARE, NEEDS, OPERATORS, SIGN, Expression
from .passes import opened, tidied
from .program import Instruction, Program, Value

LIBRARIES = ("numpy", "torch", "jax")
LONGEST = 64  # elements up to which a constant is written out; larger ones become arguments
SHORT = 40  # letters of an expression of two values that may stand inside another
TAKEN = {"np", "math", "torch", "jax", "jnp", "backward", "cache"}  # what the module says itself
CONSTANT = re.compile(r"[cC]\d+|_.*")  # names of constants and of helpers
WIDTH = 100  # characters of a line into which expressions are drawn together


def source_of(program: Program, library: str = "numpy", name: str = "forward") -> str:
    """Source code of a program.

    library  "numpy": `forward(...)` gives the results and a cache, `backward(gradient, cache)` the gradients. "torch",
             "jax": the forward as a function of that library, which has gradients of its own
    name     what the forward function is called

    Fused primitives are written out. TypeError for what is no data: a user's primitive whose Python nobody can look
    into, a random draw. With MINIGRAD_KERNELS=reference the numbers are minigrad's own, to the last digit.
    """
    if library not in LIBRARIES:
        raise ValueError(f"library={library!r} must be one of {', '.join(LIBRARIES)}")
    _identifier(name, "name")
    plain = tidied(opened(program if library == "numpy" else program.forward(), rules=True))
    return _Module(plain, expressions.LANGUAGES[library]).text(name)


def _identifier(name: str, what: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name in TAKEN or CONSTANT.fullmatch(name):
        raise ValueError(f"{what}={name!r} is no name that the module can give its function")


class _Module:
    """One program being written."""

    def __init__(self, program: Program, language: expressions.Language) -> None:
        self.program, self.language = program, language
        self.helpers: dict[str, None] = {}
        self.constants: dict[Value, str] = {}
        self.arguments: list[Value] = []
        self.backward = bool(program.gradients) and language.name == "numpy"
        self.uses = _uses(program)
        self.names = self._names()
        self.written: dict[Value, Expression] = {}

    # names --------------------------------------------------------------------------------------------------

    def _names(self) -> dict[Value, str]:
        taken = {"forward", *TAKEN, *keyword.kwlist, *dir(builtins)}
        names: dict[Value, str] = {}
        self.given: dict[Value, str] = {}  # names that had to be changed, for comments
        count = 0
        values = self.program.values()
        for value in sorted(values, key=lambda v: (v.kind == "made", not v.name)):
            if value.kind == "constant":
                continue
            wanted = re.sub(r"\W", "_", value.name or "", flags=re.ASCII).strip("_")
            if wanted and not wanted[0].isalpha():
                wanted = f"v_{wanted}"
            if not wanted:
                continue
            name, k = wanted, 2
            while name in taken or CONSTANT.fullmatch(name):
                name, k = f"{wanted}_{k}", k + 1
            taken.add(name)
            names[value] = name
            if name != value.name:
                self.given[value] = value.name or ""
        for value in values:
            if value not in names and value.kind != "constant":
                count += 1
                while f"t{count}" in taken:
                    count += 1
                names[value] = f"t{count}"
        return names

    # expressions --------------------------------------------------------------------------------------------

    def _text(self, x: Any) -> Expression:
        """An argument."""
        if isinstance(x, Value):
            if x in self.written:
                return self.written[x]
            if x.kind == "constant":
                return self._constant(x)
            return Expression(self.names[x])
        if isinstance(x, (float, np.floating)):
            text = _float(float(x))
            return Expression(text, SIGN if text.startswith("-") else ATOM)
        if isinstance(x, (tuple, list)):
            parts = ", ".join(self._text(part).text for part in x)
            return Expression(f"({parts}{',' if len(x) == 1 else ''})" if isinstance(x, tuple) else f"[{parts}]")
        if isinstance(x, dict):
            return Expression("{" + ", ".join(f"{key!r}: {self._text(part).text}" for key, part in x.items()) + "}")
        if isinstance(x, slice):
            a, b, c = ("" if part is None else str(part) for part in (x.start, x.stop, x.step))
            return Expression(f"{a}:{b}:{c}" if c else f"{a}:{b}")
        if x is Ellipsis:
            return Expression("...")
        if isinstance(x, np.dtype):
            return Expression(f"{self.language.module}.{x.name}")
        if isinstance(x, type) and issubclass(x, np.generic):
            return Expression(f"{self.language.module}.{np.dtype(x).name}")
        if isinstance(x, np.ndarray):
            return Expression(self._array(x))
        if x is None or isinstance(x, (bool, int, str)):
            return Expression(repr(x), SIGN if isinstance(x, int) and x < 0 else ATOM)
        raise TypeError(f"{type(x).__name__} cannot be written as source code")

    def _index(self, x: Any) -> str:
        parts = x if isinstance(x, tuple) else (x,)
        return ", ".join(self._text(part).text for part in parts) or "()"

    def _constant(self, value: Value) -> Expression:
        array = value.array
        if array.ndim == 0 and array.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool)):
            return self._text(array.item())
        like = (array.shape, array.dtype, array.tobytes())
        known = (v for v in self.constants if (v.shape, v.dtype, v.array.tobytes()) == like)
        value = next(known, value)
        if value not in self.constants:
            long = array.size > LONGEST
            self.constants[value] = f"{'c' if long else 'C'}{len(self.constants) + 1}"
            self.arguments += [value] if long else []
        return Expression(self.constants[value])

    def _array(self, array: np.ndarray[Any, Any]) -> str:
        numbers = self._nested(array.tolist())
        return self.language.array.format(numbers=numbers, dtype=array.dtype.name)

    def _nested(self, x: Any) -> str:
        if isinstance(x, list):
            return "[" + ", ".join(map(self._nested, x)) + "]"
        return _float(x) if isinstance(x, float) else repr(x)

    def _expression(self, i: Instruction) -> Expression:
        language = self.language
        parts = [self._text(x) for x in i.inputs]
        texts = [part.text for part in parts]
        if i.kind == "call" and i.function in CALLS and CALLS[i.function] in language.called:
            return Expression(language.called[CALLS[i.function]](i, texts, {}))
        if i.kind != "op" or i.op is None or not i.op.builtin:
            raise TypeError(f"{i.name} is Python that cannot be written as {language.title} source code")
        name = i.op.name
        if name in OPERATORS:
            sign, binds = OPERATORS[name]
            left, right = parts
            if language.name == "torch" and binds > COMPARE:  # PyTorch subtracts no masks
                left, right = (self._number(x, part, i) for x, part in zip(i.inputs, parts, strict=True))
            power = name == "pow"
            return Expression(
                f"{left.within(ATOM if power else binds)} {sign} {right.within(ATOM if power else binds + 1)}", binds
            )
        if name == "neg":
            return Expression(f"-{parts[0].within(SIGN)}", SIGN)
        entry = language.table.get(name)
        if entry is None:
            raise TypeError(f"{name} has no {language.title} source code yet")
        params = {key: self._index(x) if key == "index" else self._text(_short(x)).text for key, x in i.params.items()}
        loose = isinstance(entry, str) and re.search(
            r"\{\d\}[.\[ ]", entry
        )  # a place beside an operator, or before [ ]
        given = [part.within(ATOM) for part in parts] if loose else texts
        text = entry.format(*given, **params) if isinstance(entry, str) else entry(i, given, params)
        for helper in language.helpers:
            if re.search(rf"(?<![\w.]){helper}\(", text):
                self._help(helper)
        return Expression(text)

    def _number(self, x: Any, part: Expression, i: Instruction) -> Expression:
        mask = isinstance(x, Value) and x.dtype == bool
        return Expression(f"{part.within(ATOM)}.to(torch.{i.outputs[0].dtype.name})") if mask else part

    def _help(self, helper: str) -> None:
        for other in NEEDS.get(helper, ()):
            self._help(other)
        self.helpers[helper] = None

    # lines --------------------------------------------------------------------------------------------------

    def _lines(self, backward: bool) -> list[tuple[str, str]]:
        """(statement, comment) of each line of one part."""
        lines = []
        for i in self.program.instructions:
            if i.backward is not backward or (i.kind == "call" and not i.outputs):  # checks of data
                continue
            out = i.outputs[0]
            expression = self._expression(i)
            if self._drawn_in(i, out, expression):
                self.written[out] = expression
                continue
            lines.append((f"{self.names[out]} = {expression.text}", self._comment(out)))
        return lines

    def _drawn_in(self, i: Instruction, out: Value, expression: Expression) -> bool:
        """Whether an unnamed value that is used once stands where it is used."""
        used = self.uses.get(out, [])
        if out.name or len(used) != 1 or used[0] is None or used[0].backward is not i.backward:
            return False
        reader = used[0]
        count = sum(isinstance(x, Value) and x.kind != "constant" for x in i.inputs)
        small = count == 1 or (count == 2 and len(expression.text) <= SHORT)
        known = reader.kind == "op" and reader.op is not None and reader.op.name in (*OPERATORS, "neg", *_ONCE)
        return small and known and len(expression.text) < WIDTH - 60

    def _comment(self, value: Value) -> str:
        shape = str(value.shape)
        return f"{shape} {_harmless(self.given[value])}" if value in self.given else shape

    def text(self, name: str) -> str:
        program, language = self.program, self.language
        ends = [v for v in program.inputs if v not in program.cotangents]
        tensors = program.tensors()
        forward = self._lines(False)
        backward = self._lines(True) if self.backward else []
        given = [self.names[v] for v in (*ends, *tensors)] + [self.constants[v] for v in self.arguments]
        result = self._text(program.template).text
        cache = self._cache() if self.backward else []
        out = [f"def {name}({', '.join(given)}):"]
        out += [f"    # {line}" for line in self._about((*ends, *tensors, *self.arguments))]
        out += _aligned(forward)
        out.append(f"    return {result}, {_tuple(cache)}" if self.backward else f"    return {result}")
        if self.backward:
            asked = [self.names[v] for v in program.cotangents]
            out += ["", "", f"def backward({', '.join([*asked, 'cache'])}):"]
            out += [f"    {', '.join(cache)}{',' if len(cache) == 1 else ''} = cache"] if cache else []
            out += _aligned(backward)
            out.append(f"    return {_tuple([self._text(d).text for d in program.gradients.values()])}")
        head = ['"""Written by minigrad: ' + self._summary(name) + '"""', "", *language.imports]
        body = "\n".join(out)
        helpers = "".join(f"\n{language.helpers[helper]}" for helper in self.helpers)
        if "math." in body + helpers:
            head.insert(2, "import math\n")
        constants = [f"{n} = {self._array(v.array)}" for v, n in self.constants.items() if v not in self.arguments]
        parts = ["\n".join(head) + "\n", "\n".join(constants) + "\n" if constants else "", helpers]
        return "\n".join(part for part in parts if part) + "\n\n" + body + "\n"

    def _summary(self, name: str) -> str:
        if not self.backward:
            return f"{name} in {self.language.title}."
        of = ", ".join(self.names[v] for v in self.program.gradients)
        return f"{name}, and backward to {of}."

    def _about(self, values: Any) -> list[str]:
        return [
            f"{self.constants.get(v) or self.names[v]} {v.shape} {v.dtype}"
            + (f", a parameter {_harmless(v.name)}" if v.kind == "tensor" and v.name else "")
            for v in values
        ]

    def _cache(self) -> list[str]:
        """What backward uses of what forward has."""
        made = {v for i in self.program.instructions if i.backward for v in i.outputs}
        used = dict.fromkeys(v for i in self.program.instructions if i.backward for v in i.used())
        used |= dict.fromkeys(self.program.gradients.values())
        kept = [v for v in used if v not in made and v not in self.program.cotangents]
        return [self.names[v] for v in kept if v.kind != "constant"] + [self.constants[v] for v in self.arguments]


_ONCE = ("sqrt", "square", "exp", "log", "tanh", "sum", "mean", "max", "broadcast_to", "where")


def _uses(program: Program) -> dict[Value, list[Instruction | None]]:
    """Who reads each value; None for the end of the program."""
    uses: dict[Value, list[Instruction | None]] = {}
    for i in program.instructions:
        for v in i.used():
            uses.setdefault(v, []).append(i)
    for v in program.wanted():
        uses.setdefault(v, []).append(None)
    return uses


def _aligned(lines: list[tuple[str, str]]) -> list[str]:
    width = min(max((len(statement) for statement, _ in lines), default=0), WIDTH - 24)
    return [f"    {statement.ljust(width)}  # {comment}" for statement, comment in lines]


def _tuple(names: list[str]) -> str:
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _float(x: float) -> str:
    return repr(x) if np.isfinite(x) else f'float("{x}")'


def _short(x: Any) -> Any:
    """An axis as a person writes it: the number where there is one."""
    return x[0] if isinstance(x, tuple) and len(x) == 1 and type(x[0]) is int else x


def _harmless(name: str | None) -> str:
    """A user's text in a comment: one line of printable characters."""
    return "".join(c if c.isprintable() else "?" for c in name or "")[:60]
