"""A context manager that decorates functions too, generators included. Knows nothing of what it switches."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


class Switched(AbstractContextManager[None], Protocol):
    """A context manager that decorates functions, too."""

    def __call__(self, function: F) -> F: ...


class Switch(Protocol):
    """What `no_grad` is: called with nothing it is a context manager, with a function it decorates that."""

    @overload
    def __call__(self) -> Switched: ...
    @overload
    def __call__(self, function: F) -> F: ...


def switch(function: Callable[..., Any]) -> Switch:
    """The same function, to type checkers a Switch."""
    return function


def inside(manager: AbstractContextManager[Any], function: F) -> F:
    """`function`, run inside `manager`; a generator is inside it in each of its steps, and not between them.

    `manager` is entered at every call, and by several threads, so it must keep nothing of one entry.
    """
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
                    with manager:
                        item = step()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield item
                    step = functools.partial(generator.send, sent)
                except GeneratorExit:
                    with manager:
                        generator.close()
                    raise
                except BaseException as error:
                    step = functools.partial(generator.throw, error)

        return steps  # type: ignore[return-value]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with manager:
            return function(*args, **kwargs)

    return call  # type: ignore[return-value]
