"""What is switched on while ops are recorded: recording itself, the scope, source lines. Per thread.

Knows nothing of graphs or arrays. One immutable `Context` holds all of it, so that recording an op reads one
thread-local attribute and keeps one reference.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, NamedTuple, TypeVar


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


class Context(NamedTuple):
    """The switches in force when a value was made; every recorded value keeps the one it was made under."""

    recording: bool = True
    lines: bool = False
    scope: Scope | None = None
    cause: Any = None  # in a differentiable backward pass: the forward node whose rule is running
    watch: Any = None  # told of every result while anomalies are looked for (then lines is on, too)
    recorder: Any = None  # told of all that a step does which is to be replayed (then lines is on, too)
    frozen: bool = False  # modules change no state of their own, such as running statistics


class _Current(threading.local):
    context: Context = Context()


current = _Current()
F = TypeVar("F", bound=Callable[..., Any])


class switched(threading.local):  # per thread, so that one object may serve several
    """Change the context inside a `with`, or for the time of a function (in a generator: for its steps)."""

    def __init__(self, change: Callable[[Context], Context]) -> None:
        self._change = change
        self._before: list[Context] = []

    def __enter__(self) -> None:
        self._before.append(current.context)
        current.context = self._change(current.context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        current.context = self._before.pop()

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


def scope(name: str) -> switched:
    """Group the ops recorded inside under `name`, for pictures and reports; scopes nest.

    >>> import minigrad as mg
    >>> x = mg.ones(2, requires_grad=True)
    >>> with mg.scope("outer"), mg.scope("inner"):
    ...     y = x * 2.0
    >>> y.scope
    ('outer', 'inner')
    """
    return switched(lambda context: context._replace(scope=Scope(str(name), context.scope)))


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


_HOME = os.path.dirname(__file__)


def source_line() -> tuple[str, int]:
    """File and line of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HOME):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
