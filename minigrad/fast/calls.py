"""How primitives are called, again, for small arrays, whose cost is calls. What it means is core/nodes.py.

Two plain inputs have a path of their own; everything else takes the general one. `op.quick` is the kernel, or a
function that gives the same bits sooner; what is made of large arrays lies in memory that was used before. A test runs
every primitive through this and the plain way, and compares bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._support.arguments import MISSING
from .._support.arrays import constant, copied, real
from ..core.context import current
from ..core.nodes import NO_PARAMS, REFUSED, Node, Primitive, next_number, share
from .into import UFUNCS
from .pool import ARITHMETIC, LARGE, pooled, unwrapped

_IMMUTABLE = frozenset((int, float, bool, str, type(None)))  # parameters that need neither a check nor a copy
_AND_TUPLES = _IMMUTABLE | {tuple}
_NUMBERS = frozenset((int, float, bool, type(None)))  # constants that need none
_ndarray = np.ndarray
_new = object.__new__


def recorder(op: Primitive) -> Callable[..., Any]:
    """The function that users call: as `core.nodes.recorder`, bit for bit."""
    op.quick = UFUNCS.get(op.name, op.kernel) if op.builtin else op.kernel
    two = len(op.input_names) == 2 and not (op.variadic or op.defaults or op.save) and op.builtin
    return _two(op) if two else _general(op)


def _two(op: Primitive) -> Callable[..., Any]:
    arithmetic = op.name in ARITHMETIC

    def call(x: Any, y: Any, /) -> Any:
        given = nodes = (x, y)
        if isinstance(x, Node):
            cls, a, needs = x.__class__, x._array, x._needs
            if isinstance(y, Node):
                b, needs = y._array, needs or y._needs
            else:
                b, nodes = y, (x, None)
        elif isinstance(y, Node):
            cls, a, b, needs, nodes = y.__class__, x, y._array, y._needs, (None, y)
        else:
            return op.quick(x, y)
        try:
            if arithmetic and nodes[0] is not None and a.nbytes >= LARGE:
                value = unwrapped(op.quick(pooled(a), b))
            else:
                value = op.quick(a, b)
        except REFUSED as error:
            raise op.refusal(error, given, {}) from error
        return _node(cls, op, value, needs, given, nodes, (a, b), NO_PARAMS, None)

    return call


def _general(op: Primitive) -> Callable[..., Any]:
    count, defaults, save = (-1 if op.variadic else len(op.input_names)), op.defaults, op.save
    safe = _IMMUTABLE if "index" in defaults else _AND_TUPLES  # an index may hold arrays
    complete = all(value is not MISSING for value in defaults.values())
    arithmetic = op.name in ARITHMETIC and op.builtin

    def call(*given: Any, **params: Any) -> Any:
        immutable = True
        if len(given) != count or not complete:
            given, params, immutable = _bound(op, given, params)
        elif params:
            params = {**defaults, **params}
            if len(params) != len(defaults) or not safe.issuperset(map(type, params.values())):
                given, params, immutable = _bound(op, given, params)
        else:
            params = defaults
        cls, needs, saved = None, False, None
        if len(given) == 1 and isinstance(given[0], Node):
            x = given[0]
            cls, needs = x.__class__, x._needs
            nodes: tuple[Any, ...] = given
            arrays: tuple[Any, ...] = (x._array,)
        else:
            nodes = tuple([x if isinstance(x, Node) else None for x in given])
            arrays = tuple([x._array if isinstance(x, Node) else x for x in given])
            for x in nodes:
                if x is not None:
                    cls, needs = x.__class__, needs or x._needs
        try:
            if save is not None:
                value, saved = op.forward(arrays, params)
            elif arithmetic and cls is not None and arrays[0].nbytes >= LARGE:
                value = unwrapped(op.quick(pooled(arrays[0])))
            else:
                value = op.quick(*arrays, **params)
        except REFUSED as error:
            raise op.refusal(error, given, params) from error
        return value if cls is None else _node(cls, op, value, needs, given, nodes, arrays, params, saved, immutable)

    return call


def _bound(
    op: Primitive, args: tuple[Any, ...], params: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    """As `Primitive.bind`, sooner where nothing is wrong; and whether no parameter is to be copied."""
    defaults, given = op.defaults, args
    bound = {**defaults, **params}
    count = len(args) if op.variadic else len(op.input_names)
    right = len(bound) == len(defaults) and len(args) >= count
    if len(args) > count:
        placed = dict(zip(defaults, args[count:], strict=False))
        right = right and len(placed) + count == len(args) and placed.keys().isdisjoint(params)
        bound.update(placed)
        given = args[:count]
    safe = _IMMUTABLE if "index" in bound else _AND_TUPLES
    if right and safe.issuperset(map(type, bound.values())):
        return given, bound, True
    return *op.bind(args, params), False


def _node(
    cls: Any,
    op: Primitive,
    value: Any,
    needs: bool,
    given: Any,
    nodes: Any,
    arrays: Any,
    params: Any,
    saved: Any,
    immutable: bool = True,
) -> Any:
    """As `core.nodes.recorded`; where `nodes` are what was given, there is no constant among them."""
    if type(value) is not _ndarray:
        value = real(value, op.name)
    node = _new(cls)
    node._array, node.number, node.context = value, next_number(), (context := current())
    kind = value.dtype.kind
    if kind == "f" and needs and context.recording and op.differentiable:
        if nodes is not given:
            for x, a in zip(nodes, arrays, strict=True):
                if x is None and a.__class__ not in _NUMBERS:
                    arrays = tuple([constant(a) if x is None else a for x, a in zip(nodes, arrays, strict=True)])
                    break
        stored = params if immutable else {name: copied(x) for name, x in params.items()}
        node._needs, node.op, node.inputs, node.arrays, node.params, node.saved = True, op, nodes, arrays, stored, saved
    else:
        if kind not in "fiub":
            real(value, op.name)
        node._needs, node.op, node.inputs, node.arrays, node.params, node.saved = False, None, (), (), NO_PARAMS, None
    if value.base is not None:
        share(node, nodes)
    for observer in context.observers:
        observer.made(node, op, given, params)
    return node
