"""What is in force while an op runs: is it recorded, in which scope, who looks on. Knows neither arrays nor graphs."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from .._support.switch import inside, switch

F = TypeVar("F", bound=Callable[..., Any])


class Scope:
    """One entry of `with scope(name)`, or a call of a module: entered twice makes two, told apart by identity."""

    __slots__ = ("module", "name", "parent")

    def __init__(self, name: str, parent: Scope | None = None, module: Any = None) -> None:
        self.name, self.parent, self.module = name, parent, module

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the outermost scope to this one."""
        return (*(self.parent.path if self.parent is not None else ()), self.name)


class Observer:
    """The one door for whoever looks on: pictures, programs, source lines, anomalies. Override what you want to hear.

    rules   True: rules are run on Nodes, so that `made` is told of every op in them
    """

    rules = False

    def made(self, node: Any, op: Any, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """`op` was called with these inputs, as they were given, and gave `node`."""

    def walking(self, y: Any, targets: Any, graph: bool) -> None:
        """A walk from `y` begins; `targets` are the nodes whose gradients were asked for, None: the leaves."""

    def pulled(self, node: Any, g: Any, gradients: list[tuple[int, Any]]) -> None:
        """The rules of `node` were given `g` and sent these (position of the input, gradient)."""

    def called(self, function: Any, arguments: tuple[Any, ...], results: Any, writes: tuple[Any, ...]) -> None:
        """A function of bare arrays that is no op was run by `callback`; it wrote to the tensors `writes`."""

    def read(self, node: Any, what: str) -> None:
        """Python looked at the value of a tensor."""

    def entered(self, module: Any) -> None:
        """A module is about to run, in a scope of its own."""


class Context(NamedTuple):
    """What is in force. Never changed, only replaced; every node keeps the one that it was made under.

    cause   in a differentiable backward pass: the forward node whose rule is running
    frozen  nothing that modules keep may change, such as running statistics
    before  the context to return to
    """

    recording: bool = True
    scope: Scope | None = None
    cause: Any = None
    observers: tuple[Observer, ...] = ()
    frozen: bool = False
    before: Any = None

    def inside(self, name: str, module: Any = None) -> Context:
        """The same in a new scope."""
        changed = (self.recording, Scope(name, self.scope, module), self.cause, self.observers, self.frozen, self)
        return tuple.__new__(Context, changed)  # as Context(*changed), in a call less: modules and scopes come here


_context: ContextVar[Context] = ContextVar("minigrad", default=Context())  # noqa: B039  # it is never changed
current, enter = _context.get, _context.set


def no_constants(what: str) -> None:
    """Refuse what cuts the graph inside a rule that is to be differentiated itself."""
    cause = current().cause
    if cause is not None and current().recording:
        raise TypeError(
            f"the rule of {cause.op.name} {what} where it is to be differentiated itself, and what is computed from "
            "that has no gradient; use minigrad's functions and operators: on arrays they record nothing"
        )


class using:
    """The context with some changes, in a `with` block, or as a decorator for the time of a function.

    `using(observer)` tells that observer, beside those that listen already, of everything inside.
    """

    __slots__ = ("_changes", "_observers")

    def __init__(self, *observers: Observer, **changes: Any) -> None:
        self._observers, self._changes = observers, changes

    def _changed(self, context: Context) -> Context:
        changes = {"observers": context.observers + self._observers, "before": context, **self._changes}
        return context._replace(**changes)

    def __enter__(self) -> None:
        enter(self._changed(current()))  # nothing is kept here: one object may be entered twice

    def __exit__(self, *error: object) -> None:
        enter(current().before)

    def __call__(self, function: F) -> F:
        return inside(self, function)


class _no_grad(using):
    def _changed(self, context: Context) -> Context:
        no_constants("uses no_grad()")
        return context._replace(before=context, recording=False)


@switch
def no_grad(function: Any = None) -> Any:
    """Record nothing inside: results carry no graph. A context manager and a decorator; per thread; nests.

    As a decorator of a generator function it holds through every step and not between them. A plain
    `with no_grad():` around a `yield` stays in force for whoever runs between the steps, as any `with` does.

    >>> import minigrad as mg
    >>> x = mg.ones(2, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * 2.0
    >>> y.requires_grad
    False
    """
    return _no_grad() if function is None else _no_grad()(function)


class scope(using):
    """Group the ops recorded inside under `name`, for pictures and reports; scopes nest.

    >>> import minigrad as mg
    >>> x = mg.ones(2, requires_grad=True)
    >>> with mg.scope("outer"), mg.scope("inner"):
    ...     y = x * 2.0
    >>> y.scope
    ('outer', 'inner')
    """

    def __init__(self, name: str) -> None:
        self._name = str(name)

    def _changed(self, context: Context) -> Context:
        return context.inside(self._name)
