"""Whether two functions are one formula, exactly: their programs evaluated in the integers modulo 2**31 - 1.

Rounding cannot hide a difference there, and cannot be taken for one. Knows programs; what is said is one sentence for
the report of `compare`, or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.context import using
from ..program import record
from ..program.modular import functions_in, unequal
from .arguments import array_of

MOST = 20_000  # numbers that go in: elements are points, and these are plenty


def formulas(f: Any, g: Any, inputs: Sequence[Any], order: int, agree: bool) -> str:
    """What is to be said of f and g as formulas, beside that their numbers agree or not."""
    arrays = [None if x is None else array_of(x) for x in inputs]
    if sum(x.size for x in arrays if x is not None) > MOST:
        return ""
    try:
        with using(frozen=True):
            programs = [record(h, *arrays) for h in (f, g)]
        found = [name.replace("gradient of ", "d") for name in unequal(*programs)]
    except Exception:  # Python that a program cannot repeat, or an op that nobody can look into
        return ""
    functions = sorted(set().union(*map(functions_in, programs)))
    differ = found if order else [name for name in found if not name.startswith("d")]
    if not differ:
        whatever = f", whatever function {' and '.join(functions)} may be" if functions else ""
        rounding = "" if agree else ": what differs is rounding"
        return f"the same formula, exactly (modulo 2**31 - 1{whatever}){rounding}"
    if functions or not agree:
        return ""  # not shown
    return f"not the same formula: {', '.join(differ)} differ exactly (modulo 2**31 - 1), by less than the bound"
