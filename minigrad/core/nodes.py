"""What a graph is made of: the node, `Node`, and what the engine knows of the primitive that made it.

It knows no arithmetic and no Tensor class: `Node` is what `Tensor` extends. How calling a primitive records a node
is calling.py; the walk back through the graph is backward.py.

What PyTorch calls it: a recorded `Node` is a tensor with its `grad_fn`; `op` is the function's name, `inputs`
its `next_functions`, `saved` what `ctx.save_for_backward` would hold.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .._support.guards import guarded
from .context import Context, in_force

Array: TypeAlias = Any  # a NumPy array or a Tensor: minigrad's own functions take either and return the same
Rule: TypeAlias = Callable[..., Any]

_ndarray = np.ndarray
_HOME = __name__.partition(".")[0]
next_number = itertools.count(1).__next__
_new = object.__new__


class Node:
    """A value in the graph: the array, and how it was made.

    op      the primitive that made it, or None for a leaf
    inputs  what the primitive was given: Node, or constants (own copies of arrays, Python scalars, None)
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
        out = _new(cls)
        out._array, out._needs = array if type(array) is _ndarray else array_of(array, None), needs
        out.number, out.context = next_number(), in_force()
        out.op, out.inputs, out.params, out.saved = None, (), NO_PARAMS, None
        return out


NO_PARAMS: dict[str, Any] = {}


def raw(x: Any) -> Any:
    """The bare array of a Node; anything else as it is. What is computed from it has no gradient."""
    return x._array if isinstance(x, Node) else x


def array_of(value: Any, op: Primitive | None) -> np.ndarray:
    """An op's result as an array: NumPy returns 0-d results as scalars. Nothing but real numbers is let in."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or isinstance(value, (list, tuple)):
        name = op.name if op is not None else "this"
        raise TypeError(f"{name} returned {type(value).__name__}, expected an array of real numbers")
    return array


def constant(x: Any) -> Any:
    """An untraced input as the graph keeps it: arrays are copied, so that writing to them later changes nothing."""
    if x is None or isinstance(x, (int, float, np.generic)):
        return x
    recorder = in_force().recorder
    if recorder is not None and recorder.knows(x):  # a value of the step that is being recorded: nobody else has it
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
        self.own = (kernel.__module__ or "").startswith(f"{_HOME}.")
        if not self.own:  # users' code gets arrays that it cannot write to
            kernel, save = guarded(kernel), None if save is None else guarded(save)
        self.kernel, self.save, self.formula, self.local, self.reads = kernel, save, formula, tuple(local), reads
        self.name = kernel.__name__.rstrip("_")
        self.differentiable = differentiable
        self.input_names, self.defaults, self.variadic = _signature(inspect.unwrap(kernel))
        self.required = _REQUIRED in self.defaults.values()  # must a parameter be given?
        self.rules: tuple[Rule | None, ...] = ()
        self.joint: Rule | None = None
        self.call: Callable[..., Any] = kernel  # what users call, once calling.py has made it
        fixed = self.input_names and not (self.defaults or self.variadic or save)
        self.arity = len(self.input_names) if fixed else 0  # 0: parameters, `save` or any number of inputs
        self.fast: Any = None  # forward and backward of a kernel for bare arrays; see fast/
        self.fast_for: Rule | None = None  # the joint rule that it stands for: where another is put in, it stands back
        self.reuses = False  # its kernel and rules are arithmetic, which on large arrays fills memory used before
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
        alone = len(self.input_names) == 1 and not self.variadic  # then with parameters, too
        count = 1 if alone else self.arity
        self.pulled = count if self.own and count < 3 and None not in rules else 0
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
        registration = importlib.import_module(f"{_HOME}.check.registration")
        try:
            registration.check_registration(self)
        except Exception:
            self.rules, self.joint, self.pulled = (), None, 0  # nobody shall use what was found wrong
            raise

    def bind(self, args: tuple[Any, ...], params: dict[str, Any]) -> dict[str, Any]:
        """Parameters by name, defaults filled in, lists and arrays copied so that the caller's stay the caller's."""
        defaults = self.defaults
        if not (args or params or self.required):
            return defaults
        bound = {**defaults, **params}
        if not args and len(bound) == len(defaults) and PLAIN.issuperset(map(type, bound.values())):
            return bound
        if args:
            names = list(defaults)[: len(args)]
            if len(names) < len(args) or any(name in params for name in names):
                raise TypeError(f"{self.name} takes {', '.join(self.input_names)} and {', '.join(defaults)}")
            bound.update(zip(names, args, strict=True))
        if len(bound) > len(defaults):
            name = next(name for name in bound if name not in defaults)
            raise TypeError(f"{self.name} has no parameter {name!r}; it takes {', '.join(defaults) or 'none'}")
        for name, value in bound.items():
            if value.__class__ in PLAIN:
                continue
            if value is _REQUIRED:
                raise TypeError(f"{self.name} needs {name}=")
            if isinstance(value, Node):
                raise TypeError(f"{self.name}: {name}= is a constant and has no gradient; pass a number or an array")
            if isinstance(value, list):
                bound[name] = tuple(value)
            elif isinstance(value, _ndarray):
                bound[name] = constant(value)
        return bound

    def failed(self, error: Exception, inputs: Iterable[Any], params: dict[str, Any]) -> Exception:
        """The kernel's complaint again, with what was passed."""
        kind = next(k for k in (ValueError, IndexError, TypeError) if isinstance(error, k))
        what = ", ".join([describe(x) for x in inputs] + [f"{k}={v!r}" for k, v in params.items()])
        return kind(f"{self.name}({what}): {error}")


PLAIN = frozenset((int, float, bool, str, tuple, type(None)))  # needs neither a check nor a copy
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
