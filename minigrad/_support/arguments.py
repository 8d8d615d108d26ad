"""Arguments by place and by name, with words for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any

MISSING = Parameter.empty  # in place of a default: the parameter must be given


def bound(
    who: str,
    inputs: Sequence[str],
    defaults: Mapping[str, Any],
    variadic: bool,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(the inputs, the parameters by name with their defaults); what stands after the inputs is a parameter.

    >>> bound("sum", ["x"], {"axis": None, "keepdims": False}, False, ("an array", 0), {})
    (('an array',), {'axis': 0, 'keepdims': False})
    """
    names, known, n = ", ".join(inputs), ", ".join(defaults), len(args) if variadic else len(inputs)
    if len(args) < n:
        raise TypeError(f"{who} needs {n} inputs ({names}), got {len(args)}")
    placed = dict(zip(defaults, args[n:], strict=False))
    if len(args) > n + len(placed) or placed.keys() & named.keys():
        raise TypeError(f"{who} takes {names} and {known}")
    params = {**defaults, **placed, **named}
    for name, value in params.items():
        if name not in defaults:
            raise TypeError(f"{who} has no parameter {name!r}; it takes {known or 'none'}")
        if value is MISSING:
            raise TypeError(f"{who} needs {name}=")
    return args[:n], params
