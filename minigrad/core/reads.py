"""What a rule reads: the answer to "what is saved for backward", taken from the rule's own bytecode.

A rule that only asks for `x.shape`, `.ndim`, `.size` or `.dtype` does not need the values of x. A primitive may
declare its reads instead (`@primitive(reads=...)`); the tests hand a poisoned object to every rule for whatever is
said to be unread, so neither way can lie.
"""

from __future__ import annotations

import dis
import functools
import types
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .nodes import Node, Primitive, Rule

_METADATA = {"shape", "ndim", "size", "dtype"}


def reads(op: Primitive, position: int | None = None) -> frozenset[str]:
    """Names of what the rule for the input at `position` (None: any rule) reads: inputs, "out", "saved".

    >>> import minigrad as mg
    >>> sorted(reads(mg.div.op, 0)), sorted(reads(mg.div.op, 1)), sorted(reads(mg.sum.op))
    (['y'], ['out', 'y'], [])
    """
    if op.reads is not None:
        return frozenset(op.reads) | ({"saved"} if op.joint is not None else frozenset())
    if op.joint is not None:
        return _read_names(op.joint, ("g", "out", "saved", *op.input_names))
    rules = op.rules if position is None or op.variadic else op.rules[position : position + 1]
    names = ("g", "out", *op.input_names)
    return frozenset().union(*(_read_names(rule, names) for rule in rules if rule is not None))


@functools.lru_cache(maxsize=1024)
def _read_names(rule: Rule, names: tuple[str, ...]) -> frozenset[str]:
    if not isinstance(rule, types.FunctionType):  # a built-in, a method, an object: it counts as reading everything
        return frozenset(names) - {"g"}
    code = rule.__code__
    positional = code.co_varnames[: code.co_argcount]
    meaning = {variable: {name} for variable, name in zip(positional, names, strict=False)}
    if code.co_flags & 0x04:  # *inputs
        meaning[code.co_varnames[code.co_argcount + code.co_kwonlyargcount]] = set(names[len(positional) :])
    found: set[str] = set()
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "MAKE_CELL", "RESUME")]
    for this, following in zip(instructions, [*instructions[1:], None], strict=True):
        if "LOAD_" not in this.opname:
            continue
        # newer Pythons load two variables in one instruction, or store one and load another
        loaded: tuple[Any, ...] = this.argval if isinstance(this.argval, tuple) else (this.argval,)
        for k, variable in enumerate(loaded[1:] if this.opname.startswith("STORE_") else loaded, 1):
            last = k == len(loaded) or this.opname.startswith("STORE_")
            metadata = last and following is not None and following.opname == "LOAD_ATTR"
            if not (metadata and following.argval in _METADATA):  # type: ignore[union-attr]
                found |= meaning.get(variable, set())
    return frozenset(found - {"g"})


def read_by(node: Node) -> frozenset[str]:
    """What the rules read that will run for this recorded op: those of its inputs that need a gradient."""
    op: Primitive = node.op  # type: ignore[assignment]
    return frozenset().union(*(reads(op, k) for k, x in enumerate(node.inputs) if getattr(x, "_needs", False)))


def kept_for_backward(node: Node) -> dict[str, np.ndarray]:
    """Arrays that backward needs of one recorded op: by input name, "out", or "saved 0", "saved 1", ..."""
    op = node.op
    if op is None:
        return {}
    read = read_by(node)
    found: dict[str, np.ndarray] = {}
    for k, x in enumerate(node.inputs):
        name = op.input_names[0] if op.variadic else op.input_names[k]
        array = getattr(x, "_array", x)
        if name in read and isinstance(array, np.ndarray):
            found[f"{name} {k}" if op.variadic else name] = array
    if "out" in read:
        found["out"] = node._array
    for k, array in enumerate(node.saved or ()):
        found[f"saved {k}"] = array
    return found


def storage(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory of a view: what to count once."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
