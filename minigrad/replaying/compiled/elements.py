"""What one element of a result is, as text: the operations that a loop can be made of.

Knows names of primitives and dtypes. Each text computes one element from the elements of the inputs, which have the
dtype of the result already (comparisons: the dtype in which NumPy compares).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...program import Instruction, Value

SHORT = {"f": "f32", "d": "f64", "?": "b8", "l": "i64", "q": "i64", "i": "i32", "h": "i16", "b": "i8", "B": "u8"}
LONG = 1 << 12  # elements from which NumPy's vector code for exp, tanh, ... is quicker than a call for each
FEW = 4  # terms of a product of matrices that are written out

# price: what an element costs next to a sum; texts: {0} and {1} stand for the inputs, {t} for the dtype of the result
PLAIN: dict[str, tuple[int, str]] = {
    "add": (1, "{0} + {1}"),
    "sub": (1, "{0} - {1}"),
    "mul": (1, "{0} * {1}"),
    "div": (3, "{0} / {1}"),
    "neg": (1, "-{0}"),
    "square": (1, "{0} * {0}"),
    "sqrt": (4, "np.sqrt({0})"),
    "abs": (1, "abs({0})"),
    "relu": (1, "{t}(0) if {0} <= {t}(0) else {0}"),  # NaN goes through
    "leaky_relu": (2, "{0} if {0} > {t}(0) else {0} * {t}({slope})"),
    "where": (1, "{1} if {0} else {2}"),
    "maximum": (2, "{0} if {0} > {1} or {0} != {0} else {1}"),
    "minimum": (2, "{0} if {0} < {1} or {0} != {0} else {1}"),
    "sign": (2, "{0} if {0} != {0} else {t}({0} > {t}(0)) - {t}({0} < {t}(0))"),
    "first_row": (0, "{0}"),
    "reshape": (0, "{0}"),
    "astype": (1, "{0}"),
}
COMPARED = {
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "isnan": "{0} != {0}",
}
LOGICAL = {"logical_and": "{0} and {1}", "logical_or": "{0} or {1}", "logical_not": "not {0}"}
CALLED = {  # a call for each element
    "exp": "np.exp({0})",
    "log": "np.log({0})",
    "log1p": "np.log1p({0})",
    "expm1": "np.expm1({0})",
    "sin": "np.sin({0})",
    "cos": "np.cos({0})",
    "tanh": "np.tanh({0})",
    "erf": "math.erf({0})",
    "pow": "{0} ** {1}",
    "sigmoid": "({t}(1) if {0} >= {t}(0) else {e}) / ({t}(1) + {e})",
    "softplus": "({t}(0) if {0} <= {t}(0) else {0}) + np.log1p({e})",
    "gelu": "{0} * ({t}(0.5) * ({t}(1) + math.erf({0} * {t}(0.7071067811865476))))",
    "silu": "{0} * (({t}(1) if {0} >= {t}(0) else {e}) / ({t}(1) + {e}))",
}
DECAYED = "np.exp(-abs({0}))"  # {e} above


def of(dtype: Any) -> str:
    """The short name of a dtype."""
    return SHORT[np.dtype(dtype).char]


def known_dtype(array: Any) -> bool:
    """Whether the generated code can read and write arrays like this one."""
    dtype = getattr(array, "dtype", None)
    return dtype is not None and dtype.isnative and dtype.char in SHORT


def price(i: Instruction) -> int:
    """What an element costs, where a sum costs 1."""
    if i.name == "matmul":
        return 2 * int(i.inputs[0].shape[1]) - 1
    if i.name in CALLED:
        return 30
    return PLAIN[i.name][0] if i.name in PLAIN else 1


def known(i: Instruction) -> bool:
    """Whether an instruction is an element of a loop."""
    if i.kind == "op" and i.name == "matmul":
        return few_terms(i)
    values = [x for x in i.inputs if isinstance(x, Value)]
    if i.kind == "call" and i.name == "first_row":
        return True
    if i.kind != "op" or not values or i.op is None or not i.op.builtin:
        return i.kind == "call" and i.name == "less_equal" and bool(values) and _compares(values, i.inputs)
    out = i.outputs[0]
    if i.name in CALLED:
        return out.dtype.kind == "f" and out.array.size < LONG
    if i.name == "reshape":  # one that is no view, and only puts in or leaves out axes of length 1
        return [n for n in values[0].shape if n > 1] == [n for n in out.shape if n > 1]
    if i.name == "leaky_relu" and not isinstance(i.params["slope"], float):
        return False
    if i.name in LOGICAL:
        return all(v.dtype.char == "?" for v in values) and len(values) == len(i.inputs)
    if i.name == "where":
        return isinstance(i.inputs[0], Value) and i.inputs[0].dtype.char == "?"
    if i.name in ("div", "sqrt") and out.dtype.kind != "f":
        return False
    if (i.name == "sub" and out.dtype.kind == "b") or (i.name == "abs" and out.dtype.kind == "u"):
        return False
    if i.name in COMPARED:
        return _compares(values, i.inputs)
    if i.name == "clip":
        limits = [i.params["low"], i.params["high"]]
        return out.dtype.kind == "f" and all(x is None or (type(x) in (int, float) and x == x) for x in limits)
    return i.name in PLAIN and (out.dtype.kind != "b" or i.name in ("first_row", "astype", "reshape"))


def _compares(values: list[Value], inputs: Any) -> bool:
    """Whether it compares in one of our dtypes: a whole number that an array cannot hold is compared in Python."""
    both = np.result_type(*[v.dtype for v in values])
    if both.char not in SHORT or both.kind == "f":
        return both.char in SHORT
    least, most = (0, 1) if both.kind == "b" else (np.iinfo(both).min, np.iinfo(both).max)
    return all(least <= x <= most for x in inputs if isinstance(x, int))


def few_terms(i: Instruction) -> bool:
    """Whether an element of a product of matrices is a sum of few terms."""
    x, y = i.inputs
    both = isinstance(x, Value) and isinstance(y, Value) and len(x.shape) == len(y.shape) == 2
    return both and 0 < x.shape[1] <= FEW and x.dtype == y.dtype and x.dtype.kind == "f"


def text(i: Instruction, given: list[str], dtypes: list[Any]) -> tuple[str, str]:
    """One element of the result from those of the inputs; `dtypes`: what these are, None for Python's numbers.

    Before it what {e} in it stands for, or nothing.
    """
    out = i.outputs[0].dtype
    real = [d for d in dtypes if d is not None]
    if i.name in COMPARED:
        both = np.result_type(*real) if real else np.dtype(float)
        if any(isinstance(x, float) for x in i.inputs) and both.kind != "f":
            both = np.dtype(float)
        form, wanted = COMPARED[i.name], [both] * len(given)
    elif i.name in LOGICAL:
        form, wanted = LOGICAL[i.name], list(dtypes)
    elif i.name == "clip":
        form, wanted = _clip(i.params["low"], i.params["high"], of(out)), [out]
    else:
        form = CALLED[i.name] if i.name in CALLED else PLAIN[i.name][1]
        wanted = [out] * len(given)
        if i.name == "where":
            wanted[0] = np.dtype(bool)
    cast = [x if d == w else f"{of(w)}({x})" for x, d, w in zip(given, dtypes, wanted, strict=True)]
    before = DECAYED.format(*cast) if "{e}" in form else ""
    params = {k: number(v) for k, v in i.params.items() if isinstance(v, float)}
    return before, form.format(*cast, t=of(out), e="{e}", **params)


def _clip(low: Any, high: Any, t: str) -> str:
    """NaN goes through; where low is above high, high counts."""
    form = "{0}" if low is None else f"({t}({number(low)}) if {{0}} < {t}({number(low)}) else {{0}})"
    return form if high is None else f"{t}({number(high)}) if {form} > {t}({number(high)}) else {form}"


def number(x: Any) -> str:
    """A Python or NumPy number as text."""
    x = x.item() if isinstance(x, np.generic) else x
    if isinstance(x, float) and (x != x or x in (float("inf"), float("-inf"))):
        return "np.nan" if x != x else "np.inf" if x > 0 else "-np.inf"
    return repr(x)
