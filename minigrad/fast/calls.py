"""How primitives are called, again, for small arrays, whose cost is calls. What it means is core/nodes.py.

Two plain inputs have a path of their own; everything else takes the general one. Where all that a kernel does is call
a function of NumPy's, that function is called; what is made of large arrays lies in memory that was used before. A test
runs every primitive through this and the plain way, and compares bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._support.arguments import MISSING
from ..core.context import current
from ..core.nodes import NO_PARAMS, REFUSED, Node, Primitive, constant, copied, next_number, real, share
from .into import UFUNCS
from .numpy_kernels.product import multiplied
from .pool import ARITHMETIC, LARGE, plain, reusing

_PLAIN = frozenset((int, float, bool, str, tuple, type(None)))  # parameters that need neither a check nor a copy
_ndarray = np.ndarray
_new = object.__new__


def recorder(op: Primitive) -> Callable[..., Any]:
    """The function that users call: as `core.nodes.recorder`, bit for bit."""
    two = len(op.input_names) == 2 and not (op.variadic or op.defaults or op.save) and op.builtin
    return _two(op) if two else _general(op)


def _two(op: Primitive) -> Callable[..., Any]:
    kernel = multiplied if op.name == "matmul" else UFUNCS.get(op.name, op.kernel)
    arithmetic = op.name in ARITHMETIC

    def call(x: Any, y: Any, /) -> Any:
        if isinstance(x, Node):
            cls, n, a, needs, m, b = type(x), x, x._array, x._needs, None, y
            if isinstance(y, Node):
                m, b, needs = y, y._array, needs or y._needs
        elif isinstance(y, Node):
            cls, n, a, m, b, needs = type(y), None, x, y, y._array, y._needs
        else:
            return kernel(x, y)
        try:
            if arithmetic and n is not None and a.nbytes >= LARGE:
                value = plain(kernel(reusing(a), b))
            else:
                value = kernel(a, b)
        except REFUSED as error:
            raise op.refusal(error, (x, y), {}) from error
        return _node(cls, op, value, needs, (x, y), (n, m), (a, b), NO_PARAMS, None, n is None or m is None)

    return call


def _general(op: Primitive) -> Callable[..., Any]:
    count, defaults = (-1 if op.variadic else len(op.input_names)), op.defaults
    complete = all(value is not MISSING for value in defaults.values())
    kernel = UFUNCS.get(op.name) if op.builtin else None  # of one input, and no parameters
    arithmetic = op.name in ARITHMETIC and op.builtin

    def call(*given: Any, **params: Any) -> Any:
        if params or len(given) != count or not complete:
            given, params = _bound(op, given, params)
        else:
            params = defaults
        cls, needs, bare = None, False, False
        nodes: list[Node | None] = []
        arrays = []
        for x in given:
            if isinstance(x, Node):
                cls, needs = cls or type(x), needs or x._needs
                nodes.append(x)
                arrays.append(x._array)
            else:
                bare = True
                nodes.append(None)
                arrays.append(x)
        try:
            if kernel is not None or arithmetic:
                (a,), saved = arrays, None
                function = kernel or op.kernel
                large = cls is not None and arithmetic and a.nbytes >= LARGE
                value = plain(function(reusing(a))) if large else function(a)
            else:
                value, saved = op.forward(tuple(arrays), params)
        except REFUSED as error:
            raise op.refusal(error, given, params) from error
        if cls is None:
            return value
        return _node(cls, op, value, needs, given, tuple(nodes), tuple(arrays), params, saved, bare)

    return call


def _bound(op: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """As `Primitive.bind`, sooner where nothing is wrong and nothing is to be copied."""
    count, defaults = len(args) if op.variadic else len(op.input_names), op.defaults
    placed = dict(zip(defaults, args[count:], strict=False)) if len(args) > count else {}
    bound = {**defaults, **placed, **params}
    plainly = len(bound) == len(defaults) and len(placed) + count == len(args) and placed.keys().isdisjoint(params)
    if plainly and _PLAIN.issuperset(map(type, bound.values())):
        return args[:count] if placed else args, bound
    return op.bind(args, params)


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
    bare: bool,
) -> Any:
    """As `core.nodes.recorded`."""
    node = _new(cls)
    if type(value) is not _ndarray or value.dtype.kind not in "fiub":
        value = real(value, op.name)
    node._array = value
    node.number, node.context = next_number(), (context := current())
    if needs and op.differentiable and context.recording and value.dtype.kind == "f":
        if bare:
            arrays = tuple([constant(a) if x is None else a for x, a in zip(nodes, arrays, strict=True)])
        kept = {name: copied(x) for name, x in params.items()} if params and _holds_arrays(params) else params
        node._needs, node.op, node.inputs, node.arrays, node.params, node.saved = True, op, nodes, arrays, kept, saved
    else:
        node._needs, node.op, node.inputs, node.arrays, node.params, node.saved = False, None, (), (), NO_PARAMS, None
    if value.base is not None:
        share(node, nodes)
    for observer in context.observers:
        observer.made(node, op, given, params)
    return node


def _holds_arrays(params: dict[str, Any]) -> bool:
    for value in params.values():
        if value.__class__ is _ndarray:
            return True
        if value.__class__ is tuple:
            for part in value:
                if part.__class__ is _ndarray or part.__class__ is tuple:
                    return True
    return False
