"""What is switched on while ops are recorded: recording itself, the scope, source lines. Per thread.

Knows nothing of graphs or arrays. One `Context`, which nobody changes once it is in force, holds all of it, so that
recording an op reads one variable and keeps one reference.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Generator
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar


class Scope:
    """One entry of `with scope(name)`: the same name entered twice makes two, told apart by identity."""

    __slots__ = ("name", "parent")

    def __init__(self, name: str, parent: Scope | None) -> None:
        self.name, self.parent = name, parent

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the outermost scope to this one."""
        names: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            names.append(scope.name)
            scope = scope.parent
        return tuple(reversed(names))


class Context:
    """The switches in force when a value was made; every recorded value keeps the one it was made under.

    recording  whether results keep their history
    lines      a rare switch: each result is looked at, for its line and by `watch` and `recorder`
    scope      the innermost `with scope(...)`
    cause      in a differentiable backward pass: the forward node whose rule is running
    watch      told of every result while anomalies are looked for (then lines is on, too)
    recorder   told of all that a step does which is to be replayed (then lines is on, too)
    frozen     modules change no state of their own, such as running statistics
    before     the context to return to
    """

    __slots__ = ("before", "cause", "frozen", "lines", "recorder", "recording", "scope", "watch")

    recording: bool
    lines: bool
    scope: Scope | None
    cause: Any
    watch: Any
    recorder: Any
    frozen: bool
    before: Context

    def __init__(self) -> None:
        self.recording, self.lines, self.frozen, self.before = True, False, False, self
        self.scope = self.cause = self.watch = self.recorder = None

    def _replace(self, **changes: Any) -> Context:
        """The same but for `changes`."""
        new = self._copied()
        for name, value in changes.items():
            setattr(new, name, value)
        return new

    def _copied(self) -> Context:
        new = _new(Context)
        new.recording, new.lines, new.scope, new.cause = self.recording, self.lines, self.scope, self.cause
        new.watch, new.recorder, new.frozen, new.before = self.watch, self.recorder, self.frozen, self.before
        return new


_new = object.__new__
_default = Context()
_variable = ContextVar("minigrad", default=_default)  # each thread, and each task, starts with it
in_force = _variable.get  # the context in force here, for where every nanosecond counts


class _Current:
    @property
    def context(self) -> Context:
        return in_force()


current = _Current()
F = TypeVar("F", bound=Callable[..., Any])


class switched:
    """Change the context inside a `with`, or for the time of a function (in a generator: for its steps)."""

    __slots__ = ("_change",)

    def __init__(self, change: Callable[[Context], Context]) -> None:
        self._change = change

    def __enter__(self) -> None:
        before = in_force()
        context = self._change(before)
        context.before = before  # here and not on self: one object may be entered twice, and by several threads
        _variable.set(context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _variable.set(in_force().before)

    def __call__(self, function: F) -> F:
        change = self._change
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__name__} is async: between its steps other tasks of this thread would be switched too; "
                "use a `with` block that holds no await"
            )
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def steps(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
                generator = function(*args, **kwargs)
                step: Callable[[], Any] = functools.partial(next, generator)
                while True:
                    # entered for each step and left before each yield: the caller's code in between is not switched
                    try:
                        with switched(change):
                            item = step()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent = yield item
                        step = functools.partial(generator.send, sent)
                    except GeneratorExit:
                        with switched(change):
                            generator.close()
                        raise
                    except BaseException as error:
                        step = functools.partial(generator.throw, error)

            return steps  # type: ignore[return-value]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with switched(change):
                return function(*args, **kwargs)

        return call  # type: ignore[return-value]


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
    switch = switched(_not_recording)
    return switch if function is None else switch(function)


def _not_recording(context: Context) -> Context:
    if context.cause is not None:
        raise TypeError(
            f"the rule of {context.cause.op.name} uses no_grad() where it is to be differentiated itself, and what is "
            "computed in there has no gradient; a rule needs no no_grad: on arrays nothing is recorded"
        )
    return context._replace(recording=False)


class scope(switched):
    """Group the ops recorded inside under `name`, for pictures and reports; scopes nest.

    >>> import minigrad as mg
    >>> x = mg.ones(2, requires_grad=True)
    >>> with mg.scope("outer"), mg.scope("inner"):
    ...     y = x * 2.0
    >>> y.scope
    ('outer', 'inner')
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = str(name)
        self._change = self._entered

    def _entered(self, context: Context) -> Context:
        new = context._copied()
        new.scope = Scope(self._name, context.scope)
        return new


def in_scope(name: str, function: Callable[..., Any], inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """function(*inputs, **options) with scope(name), in fewer calls: what modules are run by."""
    before = in_force()
    context = before._copied()
    context.scope, context.before = Scope(name, before.scope), before
    _variable.set(context)
    try:
        return function(*inputs, **options)
    finally:
        _variable.set(before)


def record_lines() -> switched:
    """Keep with each op recorded inside the file and line of the user's code that called it (slower)."""
    return switched(lambda context: context._replace(lines=True))


def frozen() -> switched:
    """Inside, modules change no state of their own: running statistics stay as they are.

    For whoever calls a function many times to look at it, as numerical gradients do.
    """
    return switched(lambda context: context._replace(frozen=True))


def differentiating(node: Any) -> switched:
    """What a rule records while it runs on Tensors: always on, in the forward op's scope, with it as the cause."""
    scope = node.context.scope
    return switched(lambda context: context._replace(recording=True, scope=scope, cause=node))


def recording() -> switched:
    """Record, also inside no_grad: for a backward pass whose gradients are to have a graph of their own."""
    return switched(lambda context: context._replace(recording=True))


_HOME = os.path.dirname(os.path.dirname(__file__))


def source_line() -> tuple[str, int]:
    """File and line of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HOME):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
