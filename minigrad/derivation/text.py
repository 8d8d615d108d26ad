"""Terms as text and as LaTeX. Names are identifiers by now, so nothing needs to be escaped but `_`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction

from .terms import REDUCTIONS, Factors, Term, reachable, split

SUM, PRODUCT, ATOM = 1, 2, 3  # how tightly an expression binds
BINARY = {"add": (" + ", SUM), "sub": (" - ", SUM), "mul": ("*", PRODUCT), "div": ("/", PRODUCT)}
COMPARED = {"equal": "==", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "not_equal": "!="}
GREEK = ["alpha", "beta", "gamma", "delta", "eta", "kappa", "mu", "nu", "rho", "sigma", "tau", "phi", "psi", "omega"]


def identifiers(wanted: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Names that are letters, digits and underscores, each once and none a keyword; "v" where nothing is left.

    >>> identifiers(["x hat", "x_hat", "class", "", "}{"])
    ['x_hat', 'x_hat_2', 'class_2', 'v', 'v_2']
    """
    used, found = {*taken, *keyword.kwlist}, []
    for text in wanted:
        base = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:40] or "v"
        base = base if base[0].isalpha() else f"v_{base}"
        name, k = base, 2
        while name in used:
            name, k = f"{base}_{k}", k + 1
        used.add(name)
        found.append(name)
    return found


MARK, END = "\x02", "\x03"  # around what is marked; no name has them


class Writer:
    """Writes terms; `latex` says how. Axes are told where formulas reduce over different ones.

    names   {a term: what is written in its place}
    marked  {(a term, one of its arguments), ...}: between MARK and END; (None, a term) is the whole
    """

    names: Mapping[Term, str] = {}
    marked: frozenset[tuple[Term | None, Term]] = frozenset()

    def __init__(self, roots: Iterable[Term], latex: bool = False) -> None:
        self.latex = latex
        known = reachable(roots, definitions=True)
        self.axes = len({t.par for t in known if t.op in REDUCTIONS}) > 1
        self.lengths = (
            len({t.par for t in known if t.op == "N"} | {k for t in known if t.op == "sum" for k in t.par}) > 1
        )

    def __call__(self, t: Term, level: int = 0, inside: Term | None = None) -> str:
        """One line; in parentheses where it binds less tightly than `level`. `inside`: the term that it is part of."""
        text, binds = (self.names[t], ATOM) if inside is not None and t in self.names else self._written(t)
        text = text if binds >= level else f"({text})"
        return f"{MARK}{text}{END}" if (inside, t) in self.marked else text

    def definition(self, t: Term) -> str:
        """What forward computes a name by."""
        return self(t.definition or t)

    def _written(self, t: Term) -> tuple[str, int]:
        if t.op == "name":
            return self._name(t.name), ATOM
        if t.op == "number":
            return f"{t.par:g}" if float(f"{t.par:g}") == t.par else repr(t.par), ATOM
        if t.op == "N":
            return (f"N_{t.par}" if self.latex else f"N{t.par}") if self.lengths else "N", ATOM
        if t.op == "product":
            return self._product(t, *split(t))
        if t.op == "lin":
            return self._combination(t), SUM
        if t.op == "div" and self.latex:
            return rf"\frac{{{self(t.args[0], 0, t)}}}{{{self(t.args[1], 0, t)}}}", ATOM
        if t.op in BINARY:
            sign, binds = BINARY[t.op]
            sign = r"\," if self.latex and t.op == "mul" else sign
            return self(t.args[0], binds, t) + sign + self(t.args[1], binds + 1, t), binds
        if t.op == "neg":
            return f"-{self(t.args[0], PRODUCT, t)}", SUM
        if t.op in COMPARED:
            return f"({self(t.args[0], 0, t)} {COMPARED[t.op]} {self(t.args[1], 0, t)})", ATOM
        return self._call(t), ATOM

    def _name(self, name: str) -> str:
        if not self.latex:
            return name
        prefix, rest = ("\\mathrm{d}", name[2:]) if name.startswith("d_") else ("", name)
        special = {"std": r"\sigma", "inv_std": r"\sigma^{-1}", "x_hat": r"\hat x", "var": r"\sigma^2"}
        if rest in special:
            return prefix + special[rest]
        escaped = rest.replace("_", r"\_")
        return prefix + (f"\\{rest}" if rest in GREEK else rest if len(rest) == 1 else rf"\mathrm{{{escaped}}}")

    def _call(self, t: Term) -> str:
        inner = ", ".join(self(a, 0, t) for a in t.args)
        over = "".join(map(str, t.par)) if t.op in REDUCTIONS and self.axes else ""
        told = "".join(f", {k}={v!r}" for k, v in t.par) if t.op not in REDUCTIONS and isinstance(t.par, tuple) else ""
        if not self.latex:
            return f"{t.op}{over}({inner}{told})"
        word = r"\textstyle\sum" if t.op == "sum" else rf"\operatorname{{{t.op}}}".replace("_", r"\_")
        return rf"{word}{f'_{{{over}}}' if over else ''}({inner}{told})"

    def _power(self, t: Term, b: Term, e: int) -> str:
        if e == 1:
            return self(b, ATOM, t)
        return f"{self(b, ATOM, t)}^{{{e}}}" if self.latex else f"{self(b, ATOM, t)}**{e}"

    def _product(self, t: Term, c: Fraction, items: Factors) -> tuple[str, int]:
        """c * base**exponent * ..., written as part of t."""
        order = sorted(items, key=lambda b: (b.op != "N", len(b.axes), b.op != "name", b.op == "lin", b.order))
        up = [self._power(t, b, items[b]) for b in order if items[b] > 0]
        down = [self._power(t, b, -items[b]) for b in order if items[b] < 0]
        up = [str(abs(c.numerator))] * (abs(c.numerator) != 1 or not up) + up
        down = [str(c.denominator)] * (c.denominator != 1) + down
        times = r"\," if self.latex else "*"
        text = times.join(up)
        if down and self.latex:
            alone = [b for b in order if items[b] > 0]
            inner = self(alone[0], 0, t) if len(up) == 1 == len(alone) and items[alone[0]] == 1 else text
            text = rf"\frac{{{inner}}}{{{times.join(down)}}}"
        elif down:
            text += f"/{down[0]}" if len(down) == 1 else f"/({'*'.join(down)})"
        return (f"-{text}", SUM) if c < 0 else (text, ATOM if len(up) == 1 and not down else PRODUCT)

    def _times(self, t: Term, c: Fraction, a: Term) -> str:
        """A term of the sum t, with its coefficient."""
        if c == 1 or a in self.names or a.op != "product":
            return self(a, PRODUCT, t) if c == 1 else self._product(t, c, {a: 1})[0]
        text = self._product(a, c, split(a)[1])[0]
        return f"{MARK}{text}{END}" if (t, a) in self.marked else text

    def _combination(self, t: Term) -> str:
        parts = [(c < 0, self._times(t, abs(c), a)) for c, a in zip(t.par, t.args, strict=True)]
        text = ""
        for minus, part in sorted(parts, key=lambda p: (p[0], len(p[1]) - 2 * p[1].count(MARK))):
            text += (" - " if text else "-") + part if minus else (" + " if text else "") + part
        return text


def first_line(t: Term, writer: Writer, most: int = 150) -> str:
    """A term on one line, its middle left out where it is long."""
    text = writer(t)
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"
