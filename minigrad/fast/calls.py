"""How primitives are called, again, for small arrays, whose cost is calls. What it means is core/nodes.py.

One and two plain inputs, and one with options, have paths of their own; everything else takes the general one.
`op.quick` is the kernel, or a function that gives the same bits sooner; what is made of large arrays lies in memory
that was used before. A test runs every primitive through this and the plain way, and compares bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._support.arguments import MISSING
from .._support.arrays import admitted, constant, copied, real
from ..core.context import current
from ..core.nodes import NO_PARAMS, REFUSED, Node, Primitive, next_number, share
from .into import UFUNCS
from .pool import ARITHMETIC, LARGE, pooled, unwrapped

_IMMUTABLE = frozenset((int, float, bool, str, slice, type(None), type(...)))  # need no check and no copy
_NUMBERS = frozenset((int, float, bool, type(None)))  # constants that need none
_ndarray = np.ndarray
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)  # what most arrays are of
_SCALARS = frozenset((np.float32, np.float64))  # what NumPy makes of results without an axis
_new = object.__new__


def recorder(op: Primitive) -> Callable[..., Any]:
    """The function that users call: as `core.nodes.recorder`, bit for bit."""
    op.quick = UFUNCS.get(op.name, op.kernel) if op.builtin else op.kernel
    count = len(op.input_names) if op.builtin and not (op.variadic or op.save) else 0
    if op.defaults and MISSING in op.defaults.values():
        count = 0
    makers = {1: _one_with_options} if op.defaults else {1: _one, 2: _two}
    call: Any = makers.get(count, _general)(op)
    call.__code__ = call.__code__.replace()  # a copy that the interpreter specialises for this op
    return call  # type: ignore[no-any-return]


def _one(op: Primitive) -> Callable[..., Any]:
    arithmetic, differentiable = op.name in ARITHMETIC, op.differentiable

    def call(x: Any, /) -> Any:
        if not isinstance(x, Node):
            return op.quick(*_bare(op, (x,), {}))
        a, given = x._array, (x,)
        try:
            value = unwrapped(op.quick(pooled(a))) if arithmetic and a.nbytes >= LARGE else op.quick(a)
        except REFUSED as error:
            raise op.refusal(error, given, {}) from error
        context = current()
        plain = value.__class__ is _ndarray and value.base is None and not context.observers
        if plain and x._needs and differentiable and context.recording:  # `_node`, written out: a call less
            node = _new(x.__class__)
            node._array, node._needs, node.number, node.context = value, True, next_number(), context
            node.op, node.inputs, node.arrays, node.params, node.saved = op, given, (a,), NO_PARAMS, None
            return node
        return _node(x.__class__, op, value, x._needs, given, given, (a,), NO_PARAMS, None, True)

    return call


def _two(op: Primitive) -> Callable[..., Any]:
    arithmetic, differentiable = op.name in ARITHMETIC, op.differentiable

    def call(x: Any, y: Any, /) -> Any:
        given = nodes = (x, y)
        as_is = True  # no constant is to be copied
        if isinstance(x, Node):
            cls, a, needs = x.__class__, x._array, x._needs
            if isinstance(y, Node):
                b, needs = y._array, needs or y._needs
            else:
                b, nodes, as_is = y, (x, None), y.__class__ in _NUMBERS
        elif isinstance(y, Node):
            cls, a, b, needs, nodes, as_is = y.__class__, x, y._array, y._needs, (None, y), x.__class__ in _NUMBERS
        else:
            return op.quick(*_bare(op, given, {}))
        if not as_is:
            a, b = _bare(op, given, {})
        try:
            if arithmetic and nodes[0] is not None and a.nbytes >= LARGE:
                value = unwrapped(op.quick(pooled(a), b))
            else:
                value = op.quick(a, b)
        except REFUSED as error:
            raise op.refusal(error, given, {}) from error
        context = current()
        plain = value.__class__ is _ndarray and value.base is None and not context.observers
        plain = plain and needs and differentiable and context.recording
        if plain and (as_is or value.dtype.kind == "f"):  # `_node`, written out: a call less
            node = _new(cls)
            node._array, node._needs, node.number, node.context = value, True, next_number(), context
            if not as_is:
                a, b = (a, constant(b)) if nodes[1] is None else (constant(a), b)
            node.op, node.inputs, node.arrays, node.params, node.saved = op, nodes, (a, b), NO_PARAMS, None
            return node
        return _node(cls, op, value, needs, given, nodes, (a, b), NO_PARAMS, None, as_is)

    return call


def _one_with_options(op: Primitive) -> Callable[..., Any]:
    general, defaults, differentiable = _general(op), op.defaults, op.differentiable

    def call(*given: Any, **options: Any) -> Any:
        if len(given) != 1 or not isinstance(x := given[0], Node):
            return general(*given, **options)
        params = defaults
        if options:
            for v in options.values():
                kind = v.__class__
                if kind not in _IMMUTABLE and not (kind is tuple and _IMMUTABLE.issuperset(map(type, v))):
                    return general(*given, **options)
            params = {**defaults, **options}
            if len(params) != len(defaults):
                return general(*given, **options)  # which says what is wrong
        a = x._array
        try:
            value = op.quick(a, **params)
        except REFUSED as error:
            raise op.refusal(error, given, params) from error
        if value.__class__ in _SCALARS:
            value = np.asarray(value)
        context = current()
        plain = value.__class__ is _ndarray and not context.observers and value.dtype.kind == "f"
        if plain and x._needs and differentiable and context.recording:  # `_node`, written out: a call less
            node = _new(x.__class__)
            node._array, node._needs, node.number, node.context = value, True, next_number(), context
            node.op, node.inputs, node.arrays, node.params, node.saved = op, given, (a,), params, None
            if value.base is not None:
                share(node, given)
            return node
        return _node(x.__class__, op, value, x._needs, given, given, (a,), params, None, True)

    return call


def _general(op: Primitive) -> Callable[..., Any]:
    count, defaults, save = (-1 if op.variadic else len(op.input_names)), op.defaults, op.save
    complete = MISSING not in defaults.values()
    differentiable = op.differentiable

    def call(*given: Any, **params: Any) -> Any:
        if len(given) != count:
            given, params = _placed(op, given, params)
        as_is = True  # no parameter and no constant is to be copied
        if params or not complete:
            named, params, known = params, {**defaults, **params}, True
            for v in params.values():
                kind = v.__class__
                if kind in _IMMUTABLE or (kind is tuple and _IMMUTABLE.issuperset(map(type, v))):
                    continue
                as_is = False
                if kind is not _ndarray or v.dtype.kind not in "fiub":  # such an array is copied, and no more
                    known = False
                    break
            if not known or len(params) != len(defaults):
                as_is, (given, params) = False, op.bind(given, named)
        else:
            params = defaults
        cls, needs, saved, nodes, constants = None, False, None, given, False
        arrays: tuple[Any, ...]
        if count == 1 and isinstance(x := given[0], Node):
            cls, needs, arrays = x.__class__, x._needs, (x._array,)
        else:
            for x in given:
                if isinstance(x, Node):
                    cls, needs = x.__class__, needs or x._needs
                else:
                    constants = True
            if constants:
                arrays = _bare(op, given, params)
                nodes = tuple([x if isinstance(x, Node) else None for x in given]) if cls is not None else ()
            else:
                arrays = tuple([x._array for x in given])
        try:
            if save is not None:
                value, saved = op.forward(arrays, params)
            else:
                value = op.quick(*arrays, **params)
        except REFUSED as error:
            raise op.refusal(error, given, params) from error
        if cls is None:
            return value
        if value.__class__ in _SCALARS:
            value = np.asarray(value)
        context = current()
        plain = as_is and value.__class__ is _ndarray and not context.observers
        if plain and needs and differentiable and context.recording and value.dtype.kind == "f":
            node = _new(cls)  # `_node`, written out: a call less
            node._array, node._needs, node.number, node.context = value, True, next_number(), context
            if constants:
                arrays = tuple([constant(a) if x is None else a for x, a in zip(nodes, arrays, strict=True)])
            node.op, node.inputs, node.arrays, node.params, node.saved = op, nodes, arrays, params, saved
            if value.base is not None:
                share(node, nodes)
            return node
        return _node(cls, op, value, needs, given, nodes, arrays, params, saved, as_is and not constants)

    return call


def _bare(op: Primitive, given: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, ...]:
    """The arrays of what an op was given."""
    arrays = []
    try:
        for x in given:
            if isinstance(x, Node):
                x = x._array
            elif x.__class__ is _ndarray and ((dtype := x.dtype) is _SINGLE or dtype is _DOUBLE):
                pass  # most are
            elif x.__class__ not in _NUMBERS:
                x = admitted(x)
            arrays.append(x)
        return tuple(arrays)
    except TypeError as error:
        raise op.refusal(error, given, params) from error


def _placed(op: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The inputs, and all parameters by name."""
    count = len(args) if op.variadic else len(op.input_names)
    placed = dict(zip(op.defaults, args[count:], strict=False))
    if len(args) != count + len(placed) or (params and not placed.keys().isdisjoint(params)):
        return op.bind(args, params)  # which says what is wrong
    return args[:count], {**placed, **params} if params else placed


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
    as_is: bool,
) -> Any:
    """As `core.nodes.recorder` makes it; `as_is`: no constant and no parameter is to be copied."""
    if type(value) is not _ndarray:
        value = real(value, op.name)
    node = _new(cls)
    node._array, node.number, node.context = value, next_number(), (context := current())
    kind = value.dtype.kind
    if kind == "f" and needs and context.recording and op.differentiable:
        if not as_is:
            arrays = tuple([constant(a) if x is None else a for x, a in zip(nodes, arrays, strict=True)])
        stored = params if as_is else {name: copied(x) for name, x in params.items()}
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
