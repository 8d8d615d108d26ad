"""no_grad, scopes and source lines: nesting, exceptions, decorators, generators."""

import contextlib
import inspect
from typing import Any

import pytest

import minigrad as mg

X = mg.tensor(1.0, requires_grad=True)


def records():
    return (X * 2.0).requires_grad


def test_no_grad_decorates_with_and_without_parentheses():
    x = mg.tensor([1.0], requires_grad=True)

    @mg.no_grad
    def bare(x):
        return x * 2.0

    @mg.no_grad()
    def called(x):
        return x * 2.0

    assert not bare(x).requires_grad
    assert not called(x).requires_grad


def test_no_grad_nests_and_survives_exceptions():
    with mg.no_grad():
        with mg.no_grad():
            assert not records()
        assert not records()
    assert records()
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert records()
    quiet = mg.no_grad()
    with quiet, quiet:
        assert not records()
    assert records()


def test_no_grad_leaves_leaves_alone():
    with mg.no_grad():
        y = X * 2.0
        leaf = mg.tensor(1.0, requires_grad=True)
    assert (y.op, y.inputs, y.requires_grad) == (None, (), False)
    assert X.requires_grad
    assert leaf.requires_grad
    assert (leaf * 2.0).requires_grad
    with pytest.raises(ValueError, match=r"does not require a gradient.*computed under no_grad"):
        y.backward()


def test_no_grad_as_a_decorator():
    @mg.no_grad()
    def f(fail=False):
        """What f is for."""
        if fail:
            raise KeyError
        return records()

    assert not f()
    assert (f.__name__, f.__doc__) == ("f", "What f is for.")
    assert records()
    with pytest.raises(KeyError):
        f(fail=True)
    assert records()


def test_a_decorated_generator_switches_within_its_steps_only():
    seen = []

    @mg.no_grad()
    def steps():
        try:
            seen.append(records())
            got = yield "one"
            seen.append((got, records()))
            try:
                yield "two"
            except KeyError:
                seen.append(("caught", records()))
            yield "three"
            return "result"
        finally:
            seen.append(("closed", records()))

    def run():
        return (yield from steps())

    generator = run()
    assert inspect.isgeneratorfunction(steps)
    assert next(generator) == "one"
    assert records()
    assert generator.send("message") == "two"
    assert records()
    assert generator.throw(KeyError) == "three"
    assert records()
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "result"
    assert seen == [False, ("message", False), ("caught", False), ("closed", False)]
    generator = steps()
    next(generator)
    generator.close()
    assert seen[-1] == ("closed", False)
    assert records()
    generator = mg.no_grad()(failing)()
    assert next(generator) is False
    with pytest.raises(ValueError, match="unknown"):
        generator.throw(ValueError("unknown"))
    assert records()


def failing():
    yield records()


def test_a_plain_with_around_a_yield_holds_between_the_steps_as_documented():
    def steps():
        with mg.no_grad():
            yield

    generator = steps()
    next(generator)
    assert not records()
    generator.close()
    assert records()


def test_async_functions_are_refused():
    async def coroutine():
        return records()

    async def generator():
        yield records()

    for function in (coroutine, generator):
        with pytest.raises(TypeError, match=f"{function.__name__} is async"):
            mg.no_grad()(function)


def test_scopes():
    with mg.scope("outer"):
        a = X * 2.0
        with contextlib.suppress(KeyError), mg.scope("inner"):
            b = a * 2.0
            raise KeyError
        c = b * 2.0
    assert (a.scope, b.scope, c.scope, (c * 2.0).scope) == (("outer",), ("outer", "inner"), ("outer",), ())
    with mg.scope("outer"):
        d = X * 2.0
    assert d.context.scope is not a.context.scope  # the same name entered twice makes two
    assert (mg.scope("f")(lambda: X * 2.0)()).scope == ("f",)


def test_gradients_are_recorded_in_the_scope_of_their_op():
    with mg.scope("layer"):
        y = X * X * X
    d = mg.grad(y, X, create_graph=True)
    stack, causes = [d], set()
    while stack:
        node = stack.pop()
        if node.context.cause is not None:
            causes.add(node.context.cause)
            assert node.scope == ("layer",)
        stack.extend(x for x in node.inputs if isinstance(x, mg.Tensor) and x.number > y.number)
    assert y in causes


def test_record_lines_keeps_the_users_line():
    assert (X * 2.0).line is None
    code = "with mg.record_lines():\n\n    y = mg.batch_norm_composed(mg.reshape(X, (1, 1)))\n"
    names = {"mg": mg, "X": X}
    exec(compile(code, "the user's.py", "exec"), names)
    y: Any = names["y"]
    assert y.line == y.inputs[0].line == ("the user's.py", 3)
