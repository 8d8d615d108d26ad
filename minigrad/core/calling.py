"""How a primitive is called: the kernel runs on the bare arrays, and the result is a node that remembers the call.

A primitive builds its result with the type of the traced argument that it was given, so nothing here imports what
stands above. Small arrays cost calls, and most of the time of a small graph is spent here: hence a path of its own for
one plain input, for two, and for one with parameters; everything else takes the general one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, overload

import numpy as np

from ..fast.into import UFUNCS
from ..fast.reuse import LARGE, plain, reusing
from .context import in_force, source_line
from .nodes import NO_PARAMS, PLAIN, Array, Node, Primitive, Rule, array_of, constant, next_number, registry

_ndarray = np.ndarray
_new = object.__new__
_REFUSED = (ValueError, TypeError, IndexError)  # what kernels raise for inputs that they cannot take


P = ParamSpec("P")


class Function(Protocol[P]):
    """What a type checker and an editor know of a primitive: the kernel's arguments, the rules to be given."""

    op: Primitive
    __name__: str
    __module__: str
    __wrapped__: Callable[..., Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    def defvjp(self, *rules: Rule | None) -> None: ...
    def defvjp_joint(self, rule: Rule) -> None: ...


@overload
def primitive(kernel: Callable[P, Any], /) -> Function[P]: ...
@overload
def primitive(
    *,
    formula: str = "",
    local: Sequence[str] = (),
    reads: Sequence[str] | None = None,
    differentiable: bool = True,
    check_against: Callable[..., Any] | None = None,
    example: Sequence[Any] = (),
) -> Callable[[Callable[P, Any]], Function[P]]: ...
@overload
def primitive(  # with `save` the kernel has one argument, saved=, that callers do not give
    *,
    save: Callable[..., tuple[Any, ...]],
    formula: str = "",
    local: Sequence[str] = (),
    reads: Sequence[str] | None = None,
    differentiable: bool = True,
    check_against: Callable[..., Any] | None = None,
    example: Sequence[Any] = (),
) -> Callable[[Callable[..., Any]], Function[...]]: ...
def primitive(kernel: Callable[..., Any] | None = None, /, **about: Any) -> Any:
    """Turn a NumPy function into a differentiable one: arrays in, array out; any Tensor in, Tensor out.

    The result is a plain function (so it serves as an operator: `class Tensor: __mul__ = mul`) with its
    `Primitive` as `.op`, and `.defvjp` and `.defvjp_joint` to give it its rules.

    save: what the rule may reuse, `(*inputs, **params) -> tuple`. formula, local: texts for pictures. reads: names of
    what the rules read, if it is not to be taken from their code. check_against, example: another implementation and
    inputs on which the two are compared, to second order, as soon as the rules are given; a wrong rule is a
    ValueError there and then.

    >>> import numpy as np, minigrad as mg
    >>> @mg.primitive(formula="x**3")
    ... def cube(x): return x * x * x
    >>> cube.defvjp(lambda g, out, x: g * 3.0 * x * x)
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> mg.grad(cube(x), x).item()
    12.0
    """
    if kernel is None:
        return lambda fn: primitive_of(Primitive(fn, **about))
    return primitive_of(Primitive(kernel))


def primitive_of(op: Primitive) -> Any:
    """The calling function of a primitive."""
    if op.arity:
        call = _call_one(op) if op.arity == 1 else _call_two(op) if op.arity == 2 else _call_general(op)
    else:
        alone = len(op.input_names) == 1 and not op.variadic and op.save is None
        alone = alone and not any(name.startswith("_") for name in op.defaults)
        call = _call_one_with_params(op) if alone else _call_general(op)
    call.__code__ = call.__code__.replace()  # its own copy, which the interpreter can specialise for this kernel
    kernel = inspect.unwrap(op.kernel)
    call.__name__ = call.__qualname__ = kernel.__name__
    call.__module__, call.__doc__ = kernel.__module__, kernel.__doc__
    call.__wrapped__ = kernel
    op.call, call.op, call.defvjp, call.defvjp_joint = call, op, op.defvjp, op.defvjp_joint
    if op.own:
        registry[op.name] = call
    return call


def _kernel(op: Primitive) -> Callable[..., Any]:
    """The kernel; where all that it does is call a function of NumPy's, that function: a call less for each op."""
    return UFUNCS.get(op.name, op.kernel) if op.own else op.kernel


def _call_one(op: Primitive) -> Any:
    kernel, differentiable = _kernel(op), op.differentiable

    def call(x: Array, /) -> Any:
        if not isinstance(x, Node):
            return kernel(x)
        try:
            a = x._array
            value = plain(kernel(reusing(a))) if op.reuses and a.nbytes >= LARGE else kernel(a)
        except _REFUSED as error:
            raise op.failed(error, (x,), {}) from error
        # `_node`, written out here and below: a call less for each op
        out = _new(type(x))
        out._array = value if type(value) is _ndarray else array_of(value, op)
        out.number = next_number()
        out.context = context = in_force()
        if x._needs and differentiable and context.recording:
            out._needs, out.op, out.inputs, out.params, out.saved = True, op, (x,), NO_PARAMS, None
        else:
            out._needs, out.op, out.inputs, out.params, out.saved = False, None, (), NO_PARAMS, None
        if context.lines:
            _noted(out, op, (x,), NO_PARAMS, None)
        return out

    return call


def _call_two(op: Primitive) -> Any:
    kernel, differentiable = _kernel(op), op.differentiable

    def call(x: Array, y: Array, /) -> Any:
        large = False
        if isinstance(x, Node):
            cls, a, needs = type(x), x._array, x._needs
            large = a.nbytes >= LARGE and op.reuses
            if isinstance(y, Node):
                b, needs = y._array, needs or y._needs
            else:
                b = y
        elif isinstance(y, Node):
            cls, a, b, needs = type(y), x, y._array, y._needs
        else:
            return kernel(x, y)
        try:
            value = plain(kernel(reusing(a), b)) if large else kernel(a, b)
            if b is y:
                y = constant(y)
            elif a is x:
                x = constant(x)
        except _REFUSED as error:
            raise op.failed(error, (x, y), {}) from error
        out = _new(cls)
        out._array = value if type(value) is _ndarray else array_of(value, op)
        out.number = next_number()
        out.context = context = in_force()
        if needs and differentiable and context.recording:
            out._needs, out.op, out.inputs, out.params, out.saved = True, op, (x, y), NO_PARAMS, None
        else:
            out._needs, out.op, out.inputs, out.params, out.saved = False, None, (), NO_PARAMS, None
        if context.lines:
            _noted(out, op, (x, y), NO_PARAMS, None)
        return out

    return call


_ONE_WITH_PARAMS = """
def call(_x=_missing, /, *_extra, {given}, **_unknown):
    if _x is _missing:
        raise _too_few(_op, ())
    {filled}
    if _extra or _unknown or not ({plain}):
        _named = {{{named}, **_unknown}}
        _params = _op.bind(_extra, {{name: value for name, value in _named.items() if value is not _missing}})
        {listed}, = _params.values()
    else:
        _params = {{{named}}}
    try:
        if not isinstance(_x, _Traced):
            return _kernel(_x, {passed})
        _value = _kernel(_x._array, {passed})
    except _REFUSED as _error:
        raise _op.failed(_error, (_x,), _params) from _error
    if type(_value) is not _ndarray:
        _value = _array_of(_value, _op)
    _needs = _x._needs and _differentiable and _value.dtype.kind == "f"  # x.astype(int) has no slope
    return _node(type(_x), _value, _needs, _op, (_x,), _params, None)
"""


def _call_one_with_params(op: Primitive) -> Any:
    """Written out with the names of the parameters: Python binds them faster than any code that loops over them.

    Names of the engine's own begin with an underscore here, so that no parameter can hide them.
    """
    names = op.defaults
    source = _ONE_WITH_PARAMS.format(
        given=", ".join(f"{name}=_missing" for name in names),
        filled="if not _extra:" + "".join(f"\n        if {k} is _missing: {k} = _default_{k}" for k in names),
        plain=" and ".join(f"{name}.__class__ in _PLAIN" for name in names),
        named=", ".join(f"{name!r}: {name}" for name in names),
        listed=", ".join(names),
        passed=", ".join(f"{name}={name}" for name in names),
    )
    known: dict[str, Any] = {"_op": op, "_kernel": op.kernel, "_differentiable": op.differentiable}
    known.update((f"_default_{name}", value) for name, value in names.items())
    known.update(_missing=object(), _PLAIN=PLAIN, _REFUSED=_REFUSED, _Traced=Node, _ndarray=_ndarray)
    known.update(_array_of=array_of, _node=_node, _too_few=_too_few)
    exec(compile(source, f"{__file__}: {op.name}", "exec"), known)
    return known["call"]


def _call_general(op: Primitive) -> Any:
    kernel, save, differentiable = op.kernel, op.save, op.differentiable
    count, fixed = None if op.variadic else len(op.input_names), op.arity > 0

    def call(*inputs: Any, **params: Any) -> Any:
        extra: tuple[Any, ...] = ()
        if fixed and not params and len(inputs) == count and not [x for x in inputs if isinstance(x, Node)]:
            return kernel(*inputs)
        if count is not None and len(inputs) != count:
            inputs, extra = inputs[:count], inputs[count:]
            if len(inputs) < count:
                raise _too_few(op, inputs)
        params = op.bind(extra, params)
        cls, needs, bare, arrays = None, False, False, []
        for x in inputs:
            if isinstance(x, Node):
                cls, needs = cls or type(x), needs or x._needs
                arrays.append(x._array)
            else:
                bare = True
                arrays.append(x)
        saved = None
        try:
            if save is None:
                value = kernel(*arrays, **params)
            else:
                done = None if op.fast is None else op.fast.forward(*arrays, **params)
                if done is None:
                    saved = save(*arrays, **params)
                    value = kernel(*arrays, saved=saved, **params)
                else:
                    value, saved = done
        except _REFUSED as error:
            raise op.failed(error, inputs, params) from error
        if cls is None:
            return value
        if type(value) is not _ndarray:
            value = array_of(value, op)
        needs = needs and differentiable and value.dtype.kind == "f"
        if bare and (needs or in_force().lines):
            inputs = tuple([x if isinstance(x, Node) else constant(x) for x in inputs])
        return _node(cls, value, needs, op, inputs, params, saved)

    return call


def _too_few(op: Primitive, inputs: tuple[Any, ...]) -> TypeError:
    names = op.input_names
    return TypeError(f"{op.name} needs {len(names)} inputs ({', '.join(names)}), got {len(inputs)}")


def _node(
    cls: type[Node],
    value: np.ndarray,
    needs: bool,
    op: Primitive,
    inputs: tuple[Any, ...],
    params: dict[str, Any],
    saved: tuple[np.ndarray, ...] | None,
) -> Node:
    """The node for `value`. Without a gradient to carry it keeps no history, so its inputs can be freed."""
    out = _new(cls)
    out._array = value
    out.number = next_number()
    out.context = context = in_force()
    if needs and context.recording:
        out._needs, out.op, out.inputs, out.params, out.saved = True, op, inputs, params, saved
    else:
        out._needs, out.op, out.inputs, out.params, out.saved = False, None, (), NO_PARAMS, None
    if context.lines:
        _noted(out, op, inputs, params, saved)
    return out


def _noted(out: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any], saved: Any) -> None:
    """Where was it recorded, is it finite, is it to be replayed? For those who asked."""
    context = out.context
    out._line = source_line()
    if context.watch is not None:
        # what has no history is told with its inputs only where they, and no parameters, say how it was made
        context.watch.made(out, op, inputs if out._needs or not params else ())
    if context.recorder is not None:
        context.recorder.made(out, op, inputs, params, saved)
