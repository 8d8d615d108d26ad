"""Primitives that users write: the core's, with arrays that cannot be written to and rules that are checked."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np

from ._support.arrays import mapped, parts
from ._support.signatures import Array, Rule, UserPrimitive
from ._support.state import changed, state_of
from .core.nodes import Node, Primitive, function_of, raw
from .core.nodes import kernel as kernel_for


def read_only(x: Any) -> Any:
    """A view of an array through which it cannot be written; anything else as it is (tuples, lists, dicts inside)."""
    if isinstance(x, (tuple, list, dict)):
        return mapped(read_only, x)
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


def plain(kernel: Any) -> Callable[..., Any]:
    """A callable of any kind (a ufunc, a partial, an object, a bound method) as a function with a name."""
    if isinstance(kernel, types.FunctionType):
        return kernel
    if not callable(kernel) or isinstance(kernel, type):
        raise TypeError(f"primitive takes a function of arrays, got {kernel!r}: write def f(x): return ...")
    named = kernel.func if isinstance(kernel, functools.partial) else kernel
    name = getattr(named, "__name__", type(named).__name__)
    try:
        given = kernel.args if isinstance(kernel, functools.partial) else ()
        names = [f"x{k}" for k in range(named.nin - len(given))] if isinstance(named, np.ufunc) else None
        signature: Any = inspect.signature(kernel) if names is None else None
    except (TypeError, ValueError):
        form = f"def {name}(x): return {name}(x)"
        raise TypeError(f"primitive: what {name} takes cannot be found out; wrap it: {form}") from None
    if names is not None:
        one = inspect.Parameter.POSITIONAL_ONLY
        signature = inspect.Signature([inspect.Parameter(k, one) for k in (["x"] if len(names) == 1 else names)])

    def call(*args: Any, **params: Any) -> Any:
        return kernel(*args, **params)

    made: Any = call
    made.__name__, made.__qualname__, made.__signature__, made.__doc__ = name, name, signature, kernel.__doc__
    return call


AGAIN = "it runs again where the gradient itself is differentiated, so it must only compute"


class Unsteady(TypeError):
    """A `save` that does not give the same again: its gradient would be that of another function."""


def steady(save: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`save`, and an error where it changes anything as it runs on Tensors or `again`: the second time."""

    @functools.wraps(save)
    def call(*args: Any, again: bool = False, **params: Any) -> Any:
        if not again and not any(isinstance(x, Node) for x in args):
            return save(*args, **params)
        before = state_of(save)
        made = save(*args, **params)
        moved = changed(before, state_of(save))
        if moved:
            raise Unsteady(f"save of {name} draws, counts or changes something ({moved}); {AGAIN}")
        return made

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
        kernel = plain(kernel)
        if check_against is not None and (example is None or not callable(check_against)):
            raise ValueError(f"{kernel.__name__}: check_against= takes a function, and needs example=, the inputs")
        super().__init__(
            guarded(kernel), save=None if save is None else guarded(steady(plain(save), kernel.__name__)), **about
        )
        self.reads, self.check_against, self.example = reads, check_against, example

    def defvjp(self, *rules: Rule | None) -> None:
        for k, rule in enumerate(rules):
            of = self.input_names[k] if k < len(self.input_names) else f"input {k}"
            self._takes(rule, of, ("position",) if self.variadic else ())
        super().defvjp(*rules)
        self._checked()

    def defvjp_joint(self, rule: Rule) -> None:
        self._takes(rule, "", (), "saved")
        super().defvjp_joint(rule)
        self._checked()

    def _takes(self, rule: Any, of: str, more: tuple[str, ...], *saved: str) -> None:
        """Refuse a rule that cannot be called as rules are."""
        given = ["g", "out", *saved, *self.input_names]
        named = [*more, *self.defaults]
        try:
            signature = inspect.signature(rule) if rule is not None else None
        except (TypeError, ValueError):  # one of NumPy's, perhaps
            return
        try:
            _ = signature and signature.bind(*given, **dict.fromkeys(named))
        except TypeError:
            stars = [f"*{name}" if self.variadic and name == given[-1] else name for name in given]
            form = ", ".join(stars + [f"{name}=" for name in named])
            what = f"the rule of {self.name} for {of}" if of else f"the joint rule of {self.name}"
            raise TypeError(f"{what} is called as rule({form}), but takes {signature}") from None

    def pull(self, g: Any, out: Any, saved: Any, inputs: Any, params: Any, wanted: Any) -> list[tuple[int, Any]]:
        """As the core's, on arrays that cannot be written to; what is no gradient is refused by name."""
        g, out, saved, inputs = read_only((g, out, saved, tuple(inputs)))
        if isinstance(out, Node) and out.op is self:
            self._must_be_same(out.saved, saved)
        steps = super().pull(g, out, saved, inputs, params, wanted)
        arrays = not any(isinstance(x, Node) for x in (g, out, *inputs))
        for k, d in steps:
            if isinstance(d, (list, tuple)) or (arrays and isinstance(d, Node)):
                got = "a Tensor where arrays were given" if isinstance(d, Node) else f"a {type(d).__name__}"
                x = self.input_names[0 if self.variadic else k]
                need = f"an array of the shape of {x}, {raw(inputs[k]).shape}, computed from what it is given"
                raise TypeError(f"the rule of {self.name} returned {got} for {x}; it must return {need}")
        return steps

    def steady_on(self, node: Node) -> None:
        """Run `save` once more on the arrays that a node was given; an error where it gives anything else."""
        if self.save is not None:
            self._must_be_same(node.saved, self.save(*node.arrays, again=True, **node.params))

    def _must_be_same(self, first: Any, again: Any) -> None:
        if not _same(first, again):
            what = "a random draw? make it outside, and pass it as an input"
            raise Unsteady(f"save of {self.name} gave something else the second time ({what}); {AGAIN}")

    def _checked(self) -> None:
        """Where it was asked for, hold the rules just given against another implementation; refuse wrong ones."""
        if self.check_against is None:
            return
        try:
            kernel_for("check_registration")(self)  # by way of the table: what does not ask for it needs no checker
        except Exception:
            self.rules, self.joint = (), None  # nobody shall use what was found wrong
            raise


def _same(first: Any, again: Any) -> bool:
    """Whether `save` gave the same numbers twice, to rounding: what runs on Tensors may sum in another order."""
    pairs = [(raw(a), raw(b)) for a, b in zip(parts(first), parts(again), strict=False)]
    return len(parts(first)) == len(parts(again)) and all(_close(a, b) for a, b in pairs)


def _close(a: Any, b: Any) -> bool:
    if not all(isinstance(x, (np.ndarray, np.generic, int, float)) for x in (a, b)):
        return type(a) is type(b)
    a, b = np.asarray(a), np.asarray(b)
    loose = 1e3 * np.sqrt(np.finfo(a.dtype).eps) if a.dtype.kind == "f" else 0.0
    size = np.max(np.abs(a[np.isfinite(a)]), initial=0.0) if a.dtype.kind == "f" else 0.0
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=loose * size, equal_nan=True)


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
