"""Primitives that users write: the core's, with arrays that cannot be written to and rules that are checked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from ._support.signatures import Array, Rule, UserPrimitive
from .core.nodes import Primitive, function_of
from .core.nodes import kernel as kernel_for


def read_only(x: Any) -> Any:
    """A view of an array through which it cannot be written; anything else as it is (tuples element by element)."""
    if isinstance(x, tuple):
        return tuple([read_only(part) for part in x])
    if x.__class__ is not np.ndarray:
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with every array that it is given made read-only; NumPy raises ValueError where it writes.

    >>> def doubled(x): return np.multiply(x, 2, out=x)
    >>> guarded(doubled)(np.ones(2))
    Traceback (most recent call last):
    ValueError: output array is read-only
    """

    @functools.wraps(function)
    def call(*args: Any, **params: Any) -> Any:
        return function(*[read_only(x) for x in args], **{k: read_only(v) for k, v in params.items()})

    return call


class Extension(Primitive):
    """A primitive of the user's: its code is given arrays that it cannot write to, for the graph owns those."""

    builtin = False

    def __init__(
        self,
        kernel: Rule,
        *,
        save: Rule | None = None,
        reads: Sequence[str] | None = None,
        check_against: Callable[..., Any] | None = None,
        example: Any = None,
        **about: Any,
    ) -> None:
        if check_against is not None and (example is None or not callable(check_against)):
            raise ValueError(f"{kernel.__name__}: check_against= takes a function, and needs example=, the inputs")
        super().__init__(guarded(kernel), save=None if save is None else guarded(save), **about)
        self.reads, self.check_against, self.example = reads, check_against, example

    def defvjp(self, *rules: Rule | None) -> None:
        super().defvjp(*rules)
        self._checked()

    def defvjp_joint(self, rule: Rule) -> None:
        super().defvjp_joint(rule)
        self._checked()

    def pull(self, g: Any, out: Any, saved: Any, inputs: Any, params: Any, wanted: Any) -> list[tuple[int, Any]]:
        """As the core's, on arrays that cannot be written to."""
        g, out, saved, inputs = read_only((g, out, saved, tuple(inputs)))
        return super().pull(g, out, saved, inputs, params, wanted)

    def _checked(self) -> None:
        """Where it was asked for, hold the rules just given against another implementation; refuse wrong ones."""
        if self.check_against is None:
            return
        try:
            kernel_for("check_registration")(self)  # by way of the table: what does not ask for it needs no checker
        except Exception:
            self.rules, self.joint = (), None  # nobody shall use what was found wrong
            raise


@overload
def primitive(kernel: Callable[..., Any], /) -> UserPrimitive: ...
@overload
def primitive(
    *,
    save: Callable[..., Any] | None = None,
    formula: str = "",
    local: Sequence[str] = (),
    reads: Sequence[str] | None = None,
    differentiable: bool = True,
    check_against: Callable[..., Any] | None = None,
    example: Sequence[Any] | Array = (),
) -> Callable[[Callable[..., Any]], UserPrimitive]: ...
def primitive(kernel: Any = None, /, **about: Any) -> Any:
    """Turn a NumPy function into a differentiable one: arrays in, array out; any Tensor in, Tensor out.

    The result is a plain function (so it serves as an operator: `class Tensor: __mul__ = mul`) with its
    `Primitive` as `.op`, and `.defvjp` and `.defvjp_joint` to give it its rules.

    save: what the rule may reuse, `(*inputs, **params) -> tuple`. formula, local: texts for pictures. reads: names of
    what the rules read, if it is not to be found out by running them. check_against, example: another implementation
    and inputs on which the two are compared, to second order, as soon as the rules are given; a wrong rule is a
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
        return lambda function: function_of(Extension(function, **about))
    return function_of(Extension(kernel))
