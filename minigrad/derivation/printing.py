"""A derivation as text, as LaTeX and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .cost import Plan
from .search import Step
from .terms import Term
from .text import Writer, first_line

if TYPE_CHECKING:
    from .derivation import Derivation


def as_text(d: Derivation) -> str:
    """The forward pass, each step with its rule, its changed parts, the formulas that it changed and its prices."""
    writer = d.writer()
    shown = [t for t in d.forward.values if t.name]
    width = max([len(t.name) for t in shown], default=0)
    lines = ["forward", *[f"    {t.name.ljust(width)} = {writer.definition(t)}" for t in shown]]
    lines += [f"    assumed: {name} {form}" for name, form in d.assumed.items()]
    for k, step in enumerate(d.steps):
        seen = step.name in [s.name for s in d.steps[:k]]
        lines += ["", f"({k}) {step.name}" + ("" if seen else f": {step.why}")]
        lines += [f"        {before}  ->  {after}" for before, after in changed(step, writer)]
        lines += [f"    {label} = {writer(root)}" for label, root in formulas(d, k)]
        lines.append(f"    [{prices(d, step)}]")
    return "\n".join([*lines, "", ending(d)])


def formulas(d: Derivation, k: int) -> Iterator[tuple[str, Term]]:
    """The formulas that step k changed; all of them in the beginning."""
    before = d.steps[k - 1].roots if k else [None] * len(d.labels)
    for label, root, old in zip(d.labels, d.steps[k].roots, before, strict=True):
        if root is not old:
            yield label, root


def changed(step: Step, writer: Writer, most: int = 2) -> list[tuple[str, str]]:
    """The smallest parts that a step changed, as they read before and after."""
    in_order = sorted(step.pairs, key=lambda pair: pair[0].order)
    told = [(first_line(a, writer), first_line(b, writer)) for a, b in in_order]
    return [pair for pair in told if pair[0] != pair[1]][:most]


def prices(d: Derivation, step: Step) -> str:
    """What a step costs, and how it was checked."""
    cost, names = step.cost, sorted(t.name for t in Plan(step.roots).read if t.name != "g")
    checked = f"equal at {step.points} points" if step.points else "checked in float64"
    checked = "" if step.name == "recorded" else f"{checked}, difference {step.difference:.0e}; "
    reads = f"reads {', '.join(names)}: {bytes_kept(d, step)} bytes"
    return f"{cost.ops} ops, {cost.passes} over whole arrays; {reads}; {checked}float32 {digits(step)}"


def bytes_kept(d: Derivation, step: Step) -> int:
    """Bytes of float64 that forward keeps for the formulas of a step, at the lengths of the inputs."""
    names = [t for t in Plan(step.roots).read if t is not d.forward.gradient]
    arrays = {t.definition.args[0] if t.definition and t.definition.op == "one_hot" else t for t in names}
    return sum(8 * math.prod([d.forward.lengths[k] for k in t.axes]) for t in arrays)


def digits(step: Step) -> str:
    """The errors in float32, one for each formula."""
    return ", ".join(f"{error:.0e}" for error in step.digits)


def ending(d: Derivation) -> str:
    """How the derivation ended: what was refused, and that nothing known makes it cheaper."""
    lines = [
        f"stopped before '{name}', which loses digits: with {change} the error in float32 at these inputs is "
        f"{error:.0e}, that of the recorded formula {least:.0e}"
        for name, (error, least, change) in d.refused.items()
    ]
    last = d.steps[-1]
    lines.append(
        f"stopped here: nothing known makes it cheaper ({d.steps[0].cost.ops} -> {last.cost.ops} ops, "
        f"{d.steps[0].cost.passes} -> {last.cost.passes} passes)"
    )
    return "\n".join(lines)


def as_latex(d: Derivation) -> str:
    """One aligned environment for each gradient."""
    writer, parts = d.writer(latex=True), []
    for place, label in enumerate(d.labels):
        rows, old = [], None
        for step in d.steps:
            root = step.roots[place]
            if root is not old:
                left = writer._name(label) if old is None else ""
                rows.append(rf"{left} &= {writer(root)} && \text{{{_plain(step.name)}}}")
            old = root
        body = " \\\\\n".join(rows)
        parts.append(f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}")
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    return text.replace("_", r"\_").replace("**", r"\string^")


def as_tex_document(d: Derivation) -> str:
    """A document of its own around `as_latex`."""
    head = "\\documentclass{article}\n\\usepackage{amsmath}\n\\begin{document}\n"
    body = "\n".join(f"\\[\n{part}\n\\]" for part in as_latex(d).strip().split("\n\n"))
    return f"{head}{body}\n\\end{{document}}\n"


def as_markdown(d: Derivation, title: str) -> str:
    """The derivation as a page of Markdown: a table of prices, the text, the primitive."""
    rows = [
        f"| {k} | {step.name.replace('|', ' ')} | {step.cost.ops} | {step.cost.passes} | {digits(step)} |"
        for k, step in enumerate(d.steps)
    ]
    table = "\n".join(["| step | rule | ops | passes | float32 |", "| --- | --- | --- | --- | --- |", *rows])
    return f"# {title}\n\n{table}\n\n```\n{as_text(d)}\n```\n"
