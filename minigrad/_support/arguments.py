"""Arguments by place and by name, with words for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

MISSING = Parameter.empty  # in place of a default: the parameter must be given


def declared(function: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, Any], bool]:
    """(names of its inputs, defaults of its parameters, whether it takes any number of inputs).

    Inputs stand before `/`, or are `*inputs`; without either, they are what is positional and has no default.

    >>> declared(lambda x, y, /, axis=None: 0)
    (('x', 'y'), {'axis': None}, False)
    """
    parameters = [p for p in signature(function).parameters.values() if p.name != "saved"]
    inputs = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)] or [
        p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty
    ]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return tuple([p.name for p in inputs]), {p.name: p.default for p in parameters if p not in inputs}, variadic


def bound(
    who: str,
    inputs: Sequence[str],
    defaults: Mapping[str, Any],
    variadic: bool,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(the inputs, the parameters by name with their defaults, lists as tuples).

    What stands after the inputs is a parameter.

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
        params[name] = tuple(value) if isinstance(value, list) else value
    return args[:n], params
