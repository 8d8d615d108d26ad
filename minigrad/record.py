"""The first half of the engine: what a primitive is, and how calling one records a graph.

It knows no arithmetic and no Tensor class. `Traced` is the node that `Tensor` extends; a primitive builds
its result with the type of the traced argument that it was given, so nothing here imports what stands above.
The second half, the walk back through the graph, is backward.py.

What PyTorch calls it: a recorded `Traced` is a tensor with its `grad_fn`; `op` is the function's name, `inputs`
its `next_functions`, `saved` what `ctx.save_for_backward` would hold.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, Protocol, TypeAlias, overload

import numpy as np

from .context import Context, source_line
from .context import current as _current
from .guards import guarded

Array: TypeAlias = Any  # a NumPy array or a Tensor: minigrad's own functions take either and return the same
Rule: TypeAlias = Callable[..., Any]

_ndarray = np.ndarray
next_number = itertools.count(1).__next__
_new = object.__new__


class Traced:
    """A value in the graph: the array, and how it was made.

    op      the primitive that made it, or None for a leaf
    inputs  what the primitive was given: Traced, or constants (own copies of arrays, Python scalars, None)
    params  the keyword arguments of the call, such as axis
    saved   what the primitive's `save` kept for backward, or None
    number  creation number; every value is created after its inputs, so a higher number is never an input of
            a lower one, and that is all the order that the backward walk needs
    """

    __slots__ = (
        "__weakref__",
        "_array",
        "_cotangent",
        "_grad",
        "_line",
        "_name",
        "_needs",
        "context",
        "inputs",
        "number",
        "op",
        "params",
        "saved",
    )

    _array: np.ndarray
    _needs: bool  # does a gradient flow through here?
    _line: tuple[str, int]
    _name: str
    _grad: Any
    _cotangent: Any
    context: Context
    op: Primitive | None
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    saved: tuple[np.ndarray, ...] | None
    number: int

    __hash__ = object.__hash__  # by identity: gradients live in dicts keyed by the tensor

    @property
    def name(self) -> str | None:
        """What the user called it, for pictures and messages."""
        return getattr(self, "_name", None)

    @property
    def scope(self) -> tuple[str, ...]:
        """Names of the scopes that it was made in, outermost first."""
        return self.context.scope.path if self.context.scope is not None else ()

    @property
    def line(self) -> tuple[str, int] | None:
        """File and line that recorded it, where `record_lines()` was on."""
        return getattr(self, "_line", None)

    @classmethod
    def _leaf(cls, array: np.ndarray, needs: bool = False) -> Any:
        """A value without history around `array`, which it now owns."""
        return _result(cls, array, needs, None, (), _NO_PARAMS, None)


_NO_PARAMS: dict[str, Any] = {}


def raw(x: Any) -> Any:
    """The bare array of a Traced; anything else as it is. What is computed from it has no gradient."""
    return x._array if isinstance(x, Traced) else x


def _result(
    cls: type[Traced],
    value: Any,
    needs: bool,
    op: Primitive | None,
    inputs: tuple[Any, ...],
    params: dict[str, Any],
    saved: tuple[np.ndarray, ...] | None,
) -> Traced:
    """The node for `value`. Without a gradient to carry it keeps no history, so its inputs can be freed."""
    out = _new(cls)
    out._array = value if value.__class__ is _ndarray else _array_of(value, op)
    out.number = next_number()
    out.context = context = _current.context
    if needs and context.recording and op is not None:
        out._needs = True
        out.op, out.inputs, out.params, out.saved = op, inputs, params, saved
    else:
        out._needs = needs and op is None
        out.op, out.inputs, out.params, out.saved = None, (), _NO_PARAMS, None
    if context.lines and op is not None:  # a rare switch: where was it recorded, is it finite, is it to be replayed?
        out._line = source_line()
        if context.watch is not None:
            context.watch.made(out, op, inputs)
        if context.recorder is not None:
            context.recorder.made(out, op, inputs, params, saved)
    return out


def _array_of(value: Any, op: Primitive | None) -> np.ndarray:
    """An op's result as an array: NumPy returns 0-d results as scalars. Nothing but real numbers is let in."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or isinstance(value, (list, tuple)):
        name = op.name if op is not None else "this"
        raise TypeError(f"{name} returned {type(value).__name__}, expected an array of real numbers")
    return array


def _constant(x: Any) -> Any:
    """An untraced input as the graph keeps it: arrays are copied, so that writing to them later changes nothing."""
    if x is None or isinstance(x, (int, float, np.generic)):
        return x
    array = np.array(x)
    if array.dtype.hasobject:
        raise TypeError("an array of Python objects has no gradient; give numbers")
    return array


# --------------------------------------------------------------------------------------------------------------
# Primitives


class Primitive:
    """What the engine knows of one primitive: its kernel, its rules and how to speak of it.

    A rule never sees more than `g`, `out`, the inputs and the parameters (and, if it is a joint rule, what `save`
    returned). That law is what makes higher orders right: at order 2 the same rule runs on Tensors, and so does
    `save`, hence nothing that depends on an input can slip through as a constant.
    """

    def __init__(
        self,
        kernel: Callable[..., Any],
        *,
        save: Callable[..., tuple[Any, ...]] | None = None,
        formula: str = "",
        local: Sequence[str] = (),
        reads: Sequence[str] | None = None,
        differentiable: bool = True,
        check_against: Callable[..., Any] | None = None,
        example: Any = None,
    ) -> None:
        if check_against is not None and (example is None or not callable(check_against)):
            raise ValueError(f"{kernel.__name__}: check_against= takes a function, and needs example=, the inputs")
        self.check_against, self.example = check_against, example
        self.own = (kernel.__module__ or "").startswith(f"{__package__}.")
        if not self.own:  # users' code gets arrays that it cannot write to
            kernel, save = guarded(kernel), None if save is None else guarded(save)
        self.kernel, self.save, self.formula, self.local, self.reads = kernel, save, formula, tuple(local), reads
        self.name = kernel.__name__.rstrip("_")
        self.differentiable = differentiable
        self.input_names, self.defaults, self.variadic = _signature(inspect.unwrap(kernel))
        self.rules: tuple[Rule | None, ...] = ()
        self.joint: Rule | None = None
        self.call: Callable[..., Any] = kernel  # what users call, once `primitive` has made it
        fixed = self.input_names and not (self.defaults or self.variadic or save)
        self.arity = len(self.input_names) if fixed else 0  # 0: parameters, `save` or any number of inputs
        self.fast: Any = None  # forward and backward of a kernel for bare arrays; see fast/
        self.fast_for: Rule | None = None  # the joint rule that it stands for: where another is put in, it stands back
        self.pulled = 0  # the same for the walk: how many inputs, each with a rule of its own, or 0

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def defvjp(self, *rules: Rule | None) -> None:
        """One rule per argument, `(g, out, *inputs, **params) -> gradient of that input`; None where there is none.

        A rule may return a gradient that is still broadcast against other inputs: the walk sums it down.
        For a primitive with any number of inputs one rule serves all, with `position=` telling which.
        """
        if not self.variadic and len(rules) != len(self.input_names):
            raise ValueError(f"{self.name} has {len(self.input_names)} inputs, but {len(rules)} rules were given")
        self.rules, self.joint = rules, None
        self.pulled = self.arity if self.own and self.arity < 3 and None not in rules else 0
        self._checked()

    def defvjp_joint(self, rule: Rule) -> None:
        """One rule for all arguments where they share work: `(g, out, saved, *inputs, **params) -> tuple`."""
        self.joint, self.rules, self.pulled = rule, (), 0
        self._checked()

    def accelerate(self, kernel: Any) -> None:
        """Run `kernel` on bare arrays in place of `save`, the forward and the joint rule given before.

        Its `forward(*inputs, **params)` returns (value, saved), its `backward` takes what the joint rule takes; each
        returns None where the kernel does not fit, and then the readable code runs. It must give the same results.
        """
        self.fast, self.fast_for = kernel, self.joint

    def _checked(self) -> None:
        """Where it was asked for, hold the rules just given against another implementation; refuse wrong ones."""
        if self.check_against is None:
            return
        # by name, because checking stands above recording: a primitive that does not ask for it needs no checker
        registration = importlib.import_module(f"{__package__}.check.registration")
        try:
            registration.check_registration(self)
        except Exception:
            self.rules, self.joint, self.pulled = (), None, 0  # nobody shall use what was found wrong
            raise

    def bind(self, args: tuple[Any, ...], params: dict[str, Any]) -> dict[str, Any]:
        """Parameters by name, defaults filled in, lists and arrays copied so that the caller's stay the caller's."""
        if not (args or params or _REQUIRED in self.defaults.values()):
            return self.defaults
        bound = {**self.defaults, **params}
        if args:
            names = list(self.defaults)[: len(args)]
            if len(names) < len(args) or any(name in params for name in names):
                raise TypeError(f"{self.name} takes {', '.join(self.input_names)} and {', '.join(self.defaults)}")
            bound.update(zip(names, args, strict=True))
        for name, value in bound.items():
            if value.__class__ in _PLAIN and name in self.defaults:
                continue
            if name not in self.defaults:
                raise TypeError(f"{self.name} has no parameter {name!r}; it takes {', '.join(self.defaults) or 'none'}")
            if value is _REQUIRED:
                raise TypeError(f"{self.name} needs {name}=")
            if isinstance(value, Traced):
                raise TypeError(f"{self.name}: {name}= is a constant and has no gradient; pass a number or an array")
            if isinstance(value, list):
                bound[name] = tuple(value)
            elif isinstance(value, _ndarray):
                bound[name] = value.copy()
        return bound

    def failed(self, error: Exception, inputs: Iterable[Any], params: dict[str, Any]) -> Exception:
        """The kernel's complaint again, with what was passed."""
        kind = next(k for k in (ValueError, IndexError, TypeError) if isinstance(error, k))
        what = ", ".join([describe(x) for x in inputs] + [f"{k}={v!r}" for k, v in params.items()])
        return kind(f"{self.name}({what}): {error}")


_PLAIN = frozenset((int, float, bool, str, tuple, type(None)))  # needs neither a check nor a copy
_REQUIRED: Any = type("required", (), {"__repr__": lambda self: "required"})()


def _signature(kernel: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, Any], bool]:
    """(names of the inputs, defaults of the parameters, any number of inputs?) of a kernel.

    What stands before `/` is an input; without `/`, what is positional and has no default is.
    """
    code = kernel.__code__
    names = code.co_varnames[: code.co_argcount]
    defaults = kernel.__defaults__ or ()
    inputs = code.co_posonlyargcount or len(names) - len(defaults)
    params: dict[str, Any] = dict.fromkeys(names[inputs:], _REQUIRED)
    params.update(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    given: dict[str, Any] = kernel.__kwdefaults__ or {}
    params.update((name, given.get(name, _REQUIRED)) for name in keywords if name != "saved")
    if code.co_flags & 0x04:  # the kernel takes *inputs
        return (code.co_varnames[code.co_argcount + code.co_kwonlyargcount],), params, True
    return names[:inputs], params, False


def describe(x: Any) -> str:
    """One argument in an error message: its name if it has one, shape and dtype."""
    value = raw(x)
    if not isinstance(value, _ndarray):
        return repr(value) if len(repr(value)) < 60 else type(value).__name__
    name = f"{x._name}: " if getattr(x, "_name", None) else ""
    return f"{name}{value.shape} {value.dtype}"


registry: dict[str, Any] = {}  # every primitive of the package by name: what the meta-tests and the docs walk over


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
    """The calling function of a primitive, specialised for one and two arguments (that is where the time goes)."""
    call = _call_one(op) if op.arity == 1 else _call_two(op) if op.arity == 2 else _call_general(op)
    kernel = inspect.unwrap(op.kernel)
    call.__name__ = call.__qualname__ = kernel.__name__
    call.__module__, call.__doc__ = kernel.__module__, kernel.__doc__
    call.__wrapped__ = kernel  # type: ignore[attr-defined]
    op.call, call.op, call.defvjp, call.defvjp_joint = call, op, op.defvjp, op.defvjp_joint  # type: ignore[attr-defined]
    if op.own:
        registry[op.name] = call
    return call


def _call_one(op: Primitive) -> Callable[..., Any]:
    kernel, differentiable = op.kernel, op.differentiable

    def call(x: Array, /) -> Any:
        if not isinstance(x, Traced):
            return kernel(x)
        try:
            value = kernel(x._array)
        except (ValueError, TypeError, IndexError) as error:
            raise op.failed(error, (x,), {}) from error
        return _result(x.__class__, value, x._needs and differentiable, op, (x,), _NO_PARAMS, None)

    return call


def _call_two(op: Primitive) -> Callable[..., Any]:
    kernel, differentiable = op.kernel, op.differentiable

    def call(x: Array, y: Array, /) -> Any:
        try:
            if isinstance(x, Traced):
                cls, needs = x.__class__, x._needs
                if isinstance(y, Traced):
                    needs = needs or y._needs
                    value = kernel(x._array, y._array)
                else:
                    value = kernel(x._array, y)
                    y = _constant(y)
            elif isinstance(y, Traced):
                cls, needs = y.__class__, y._needs
                value = kernel(x, y._array)
                x = _constant(x)
            else:
                return kernel(x, y)
        except (ValueError, TypeError, IndexError) as error:
            raise op.failed(error, (x, y), {}) from error
        return _result(cls, value, needs and differentiable, op, (x, y), _NO_PARAMS, None)

    return call


def _call_general(op: Primitive) -> Callable[..., Any]:
    kernel, save, differentiable = op.kernel, op.save, op.differentiable
    count = None if op.variadic else len(op.input_names)

    def call(*inputs: Any, **params: Any) -> Any:
        extra = () if count is None else inputs[count:]
        inputs = inputs[:count]
        if count is not None and len(inputs) < count:
            raise TypeError(f"{op.name} needs {count} inputs ({', '.join(op.input_names)}), got {len(inputs)}")
        params = op.bind(extra, params)
        cls, needs = None, False
        for x in inputs:
            if isinstance(x, Traced):
                cls, needs = cls or x.__class__, needs or x._needs
        arrays = inputs if cls is None else tuple([raw(x) for x in inputs])
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
        except (ValueError, TypeError, IndexError) as error:
            raise op.failed(error, inputs, params) from error
        if cls is None:
            return value
        needs = needs and differentiable and np.asarray(value).dtype.kind == "f"  # x.astype(int) has no slope
        keep = needs or _current.context.lines
        kept = tuple([x if isinstance(x, Traced) else _constant(x) for x in inputs]) if keep else ()
        return _result(cls, value, needs, op, kept, params, saved)

    return call
