"""backward: anybody's hand-written pair of a forward and a backward pass, in plain NumPy, held against differences.

What such code does with its inputs, its cache and its options is its own business: it gets fresh copies at each call.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import ops
from .._support.shapes import stretched
from ..core.context import using
from ..core.gradients import consumers_first
from ..core.nodes import Node
from .arguments import Function, array_of, as_sequence, leaves_of, name_of, names_of
from .examining import Examination
from .gradient_check import Gradcheck, report_of
from .jacobian import Pull, Subject, of_tensors
from .numerical import FloatArray

SPELLINGS = ("d{}", "d_{}", "grad_{}", "{}_grad", "g{}")  # what courses call the gradient that an object keeps


class Ctx(SimpleNamespace):
    """What stands in for the ctx of a torch.autograd.Function."""

    saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep arrays for backward, as `saved_tensors`."""
        self.saved_tensors = arrays

    @property
    def saved_values(self) -> tuple[Any, ...]:
        """An older name for the same."""
        return self.saved_tensors


class Pair:
    """A forward and a backward pass, however they are written, as one way to call them.

    Functions: forward(*inputs, **options) -> (out, cache), backward(dout, cache) -> gradients. An object, or its
    class: forward(*inputs) -> out, backward(dout) -> gradients, and what it keeps as W and dW is checked as well. A
    class with static methods: forward(ctx, *inputs) -> out, backward(ctx, dout) -> gradients.
    """

    def __init__(self, forward: Any, backward: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> None:
        self.inputs, self.options, self.random = list(inputs), dict(options), np.random.get_state()
        self.owner: Any = None
        self.ctx, self.unmade = False, ""
        if backward is None or backward is forward:
            if not hasattr(forward, "backward"):
                raise TypeError(
                    f"backward: {name_of(forward)} has no backward; pass backward(forward, backward, inputs)"
                )
            self.ctx = isinstance(inspect.getattr_static(forward, "backward"), (staticmethod, classmethod))
            if not self.ctx and isinstance(forward, type):
                try:
                    self.owner = forward()
                except TypeError as error:  # perhaps it keeps everything on itself, as a ctx does
                    self.ctx, self.unmade = True, f"{forward.__name__}() cannot be made ({error}); pass an object of it"
            elif not self.ctx:
                self.owner = forward
            source = forward if self.ctx else self.owner
            backward, forward = source.backward, getattr(source, "forward", source)
        elif getattr(forward, "__self__", None) is not None and forward.__self__ is getattr(backward, "__self__", 0):
            self.owner = forward.__self__
        elif callable(forward) and _first(forward) in ("ctx", "self"):
            self.ctx = True
        for what, f in (("forward", forward), ("backward", backward)):
            if not callable(f):
                raise TypeError(f"backward: {what} must be a function, got {type(f).__name__}")
        self.name = getattr(backward, "__qualname__", name_of(backward)).split("<locals>.")[-1]
        self.forward, self.backward = getattr(forward, "__func__", forward), getattr(backward, "__func__", backward)
        self.methods = self.owner is not None and hasattr(forward, "__self__")
        skip = 1 if self.ctx else 0
        self.names = names_of(forward, [None] * skip + self.inputs)[skip:]
        self.kept: dict[str, str] = {}  # what the object keeps: {attribute: attribute of its gradient}

    def run(self, inputs: Sequence[Any]) -> tuple[list[Any], Any]:
        """(results, what backward is given beside the cotangents) at these inputs and values of what it keeps."""
        given, kept = inputs[: len(self.inputs)], inputs[len(self.inputs) :]
        owner = Ctx() if self.ctx else copy.deepcopy(self.owner)
        for name, value in zip(self.kept, kept, strict=True):
            setattr(owner, name, value)
        np.random.set_state(self.random)  # a mask that is drawn is the same at each call
        first = (owner,) if self.ctx or self.methods else ()
        made = self.forward(*first, *given, **copy.deepcopy(self.options))
        if owner is not None and not (isinstance(made, tuple) and _takes(self.backward, len(first) + 2, {})):
            return list(made) if isinstance(made, tuple) else [made], owner
        if not isinstance(made, tuple) or len(made) < 2:
            raise ValueError(f"forward must return (out, cache), it returned {_kind(made)}")
        return list(made[:-1]), (owner, made[-1])

    def gradients(self, douts: Sequence[Any], state: Any) -> list[Any]:
        """What backward gives for the inputs, and then for what the object keeps."""
        owner, *cache = state if isinstance(state, tuple) else (state,)
        first = (owner,) if self.ctx or self.methods else ()
        given = (*first, *cache) if self.ctx else first
        found = self.backward(*given, *douts, *(() if self.ctx else cache))
        return self._in_order(found) + [_bare(getattr(owner, name)) for name in self.kept.values()]

    def _in_order(self, found: Any) -> list[Any]:
        if isinstance(found, Mapping):
            by_name = {}
            for name in self.names:
                keys = [name, *(spelling.format(name) for spelling in SPELLINGS)]
                by_name[name] = next((found[key] for key in keys if key in found), None)
            if not any(d is not None for d in by_name.values()):
                raise ValueError(
                    f"backward returned a dict with {', '.join(map(str, found))}; expected d{self.names[0]}"
                )
            return list(by_name.values())
        several = list(found) if isinstance(found, (tuple, list)) else [found]
        while len(several) > len(self.inputs) and several[-1] is None:  # of options that are no inputs
            several.pop()
        differentiable = [k for k, x in enumerate(self.inputs) if _float(x)]
        if len(several) == len(differentiable) < len(self.inputs):
            spread = dict(zip(differentiable, several, strict=True))
            several = [spread.get(k) for k in range(len(self.inputs))]
        if len(several) != len(self.inputs):
            names = ", ".join(self.names)
            raise ValueError(f"backward returned {len(several)} gradients for {len(self.inputs)} inputs ({names})")
        return [_bare(d) for d in several]

    def find_kept(self, state: Any) -> list[tuple[str, FloatArray]]:
        """(name, value) of what the object keeps beside a gradient of it, after one backward pass."""
        owner = state[0] if isinstance(state, tuple) else state
        if self.owner is None or owner is None:
            return []
        there = vars(owner)
        for name, value in vars(self.owner).items():
            keys = [spelling.format(name) for spelling in SPELLINGS]
            there_too: dict[str, Any] = {k: there[k] for k in keys if _float(there.get(k))}
            key = next((k for k, d in there_too.items() if np.shape(d) == np.shape(value)), None)
            if _float(value) and key is not None:
                self.kept[name] = key
        return [(name, np.array(getattr(self.owner, name), dtype=float)) for name in self.kept]


def _first(f: Function) -> str:
    """The name of the first parameter."""
    try:
        return next(iter(inspect.signature(f).parameters), "")
    except (TypeError, ValueError):
        return ""


def _takes(f: Function, count: int, options: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(f).bind(*[None] * count, **options)
    except (TypeError, ValueError):
        return False
    return True


def _kind(x: Any) -> str:
    return f"a tuple of {len(x)}" if isinstance(x, tuple) else type(x).__name__


def _bare(x: Any) -> Any:
    """The array of a wrapper class, as courses write them: its .data."""
    inside = getattr(x, "data", None)
    return inside if isinstance(inside, np.ndarray) and not isinstance(x, (np.ndarray, Node)) else x


def _float(x: Any) -> bool:
    x = _bare(x)
    return isinstance(x, (float, np.floating)) or (isinstance(x, np.ndarray) and x.dtype.kind == "f")


def backward(
    forward: Any,
    backward: Any = None,
    inputs: Any = None,
    *,
    options: Mapping[str, Any] | None = None,
    order: int = 1,
    move: bool = True,
    seed: int = 0,
) -> Gradcheck:
    """Check a hand-written backward pass against differences of its forward pass.

    forward(*inputs, **options) returns (out, cache), backward(dout, cache) the gradients of the inputs in their order
    (a tuple, a list, one array, or a dict with dx or x): plain NumPy, and a cache of anything. Inputs, options and
    caches are copied afresh for each call, so they may be written to. Integer inputs, such as labels, and those for
    which None is returned have no gradient.

    Also an object or a class with forward(*inputs) -> out and backward(dout) -> gradients, `backward(layer, None,
    inputs)`: what it keeps as W and dW (or b and grad_b) is checked as well. And a class with static methods
    forward(ctx, *inputs) and backward(ctx, dout), as for torch.autograd.Function, on arrays.

    order=2 also checks the derivatives of the gradients, where the code runs on Tensors; where it does not, the
    report says so. move=False leaves out the second point, as for `gradcheck`, whose report this returns.
    ValueError for a wrong number of gradients, a wrong shape, or NaN; TypeError for what cannot be called.

    >>> import numpy as np
    >>> def forward(x, w): return x @ w, (x, w)
    >>> def wrong(dout, cache): return dout @ cache[1].T, 1.7 * cache[0].T @ dout
    >>> report = backward(forward, wrong, [np.eye(3, 2), np.ones((2, 2))])
    >>> report.reasons
    ('w: off by a constant factor 1.7',)
    """
    if order not in (1, 2):
        raise ValueError(f"backward: order={order!r} must be 1 or 2")
    if inputs is None and backward is not None and not callable(backward):
        backward, inputs = None, backward
    if inputs is None:
        raise TypeError("backward: pass the inputs, one array or a list of them")
    given = [array_of(x) if isinstance(x, (np.ndarray, list)) else x for x in as_sequence(inputs)]
    with np.errstate(all="ignore"):
        random = np.random.get_state()
        try:
            return _checked(Pair(forward, backward, given, options or {}), order, move, seed)
        finally:
            np.random.set_state(random)


def _checked(pair: Pair, order: int, move: bool, seed: int) -> Gradcheck:
    for name, x in zip(pair.names, pair.inputs, strict=True):
        if _float(x) and not np.isfinite(np.asarray(_bare(x))).all():
            raise ValueError(f"{name} holds NaN or infinity; derivatives are checked at finite points")
    try:
        outs, state = pair.run([copy.deepcopy(x) for x in pair.inputs])
    except AttributeError:
        if not pair.unmade:
            raise
        raise TypeError(f"backward: {pair.unmade}") from None
    outs = [_result(out) for out in outs]
    first = pair.gradients([np.ones_like(out)[()] for out in outs], state)
    kept = pair.find_kept(state)
    wanted = [k for k, d in enumerate(first) if d is not None and _float(pair.inputs[k])]
    notes = [f"no gradient was returned for {n}" for n, x, d in zip(pair.names, pair.inputs, first, strict=True)
             if d is None and isinstance(x, np.ndarray) and _float(x)]  # fmt: skip
    if not wanted and not kept:
        raise ValueError("backward returned no gradient of a floating-point input")
    names = [pair.names[k] for k in wanted] + [name for name, _ in kept]
    arrays = [np.array(_bare(pair.inputs[k]), dtype=float) for k in wanted] + [value for _, value in kept]
    fill = _filler(pair, wanted)
    subject = Subject(_value(pair, fill), _at(pair, fill, wanted, names))
    _, pull = subject.at(arrays)
    for name, d in zip(names, pull(np.ones(subject.value(arrays).shape)), strict=True):
        if not np.isfinite(d).all():
            where = [int(k) for k in np.argwhere(~np.isfinite(d))[0]]
            raise ValueError(
                f"the gradient of {name} holds NaN or infinity, first at {where}, and the result is finite"
            )
    twice = _on_tensors(pair, fill, wanted) if order == 2 else None
    if twice is not None:
        try:
            of_tensors(twice).value([*arrays, np.ones(subject.value(arrays).shape)])
        except Exception as error:  # whatever code for arrays does with Tensors
            said = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            notes.append(f"order 2 was not checked, for the code does not run on Tensors: {said}")
            twice, order = None, 1
    found = Examination(subject, arrays, names, twice, None, order, seed=seed, move=move).run()
    found.notes[:0] = notes
    return report_of(pair.name, found, order)


def _result(out: Any) -> FloatArray:
    a = np.asarray(_bare(out))
    if a.dtype.kind != "f" or a.dtype.itemsize < 8:
        raise ValueError(f"forward must return float64 numbers, it returned {a.dtype}: compute in float64 to check")
    if not np.isfinite(a).all():
        raise ValueError("forward gives NaN or infinity at these inputs")
    return a


def _filler(pair: Pair, wanted: list[int]) -> Callable[[Sequence[Any]], list[Any]]:
    """(values of the wanted inputs and of what is kept) -> all inputs of one call, fresh, each of its own type."""

    def fill(values: Sequence[Any]) -> list[Any]:
        made = [copy.deepcopy(x) for x in pair.inputs]
        for k, value in zip(wanted, values, strict=False):
            like = pair.inputs[k]
            if isinstance(value, Node):
                made[k] = value
            elif isinstance(like, (float, np.floating)):
                made[k] = float(value)
            else:
                made[k] = value.copy() if isinstance(like, np.ndarray) else type(like)(value.copy())
        return made + [v if isinstance(v, Node) else v.copy() for v in values[len(wanted) :]]

    return fill


def _joined(outs: Sequence[Any]) -> FloatArray:
    arrays = [np.asarray(_bare(out), dtype=float) for out in outs]
    return arrays[0] if len(arrays) == 1 else np.concatenate([a.ravel() for a in arrays])


def _split(cotangent: Any, outs: Sequence[Any]) -> list[Any]:
    """The part of a cotangent of all results that belongs to each, in its shape."""
    shapes = [np.shape(_bare(out)) for out in outs]
    if len(shapes) == 1:
        return [cotangent.copy()[()] if isinstance(cotangent, np.ndarray) else cotangent]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [cotangent[end - int(np.prod(shape)) : end].reshape(shape) for end, shape in zip(ends, shapes, strict=True)]


def _value(pair: Pair, fill: Callable[[Sequence[Any]], list[Any]]) -> Callable[[Sequence[Any]], FloatArray]:
    return lambda arrays: np.array(_joined(pair.run(fill(arrays))[0]))


def _at(
    pair: Pair, fill: Callable[[Sequence[Any]], list[Any]], wanted: list[int], names: list[str]
) -> Callable[[Sequence[Any]], tuple[FloatArray, Pull]]:
    def at(arrays: Sequence[Any]) -> tuple[FloatArray, Pull]:
        outs, state = pair.run(fill(arrays))
        y = np.array(_joined(outs))

        def pull(cotangent: FloatArray) -> list[FloatArray]:
            found = pair.gradients(_split(cotangent, outs), copy.deepcopy(state))
            chosen = [found[k] for k in wanted] + found[len(pair.inputs) :]
            return [_fitted(d, x, name) for d, x, name in zip(chosen, arrays, names, strict=True)]

        return y, pull

    return at


def _fitted(d: Any, x: FloatArray, name: str) -> FloatArray:
    """A gradient in the shape of its input; ValueError where it has another."""
    try:
        a = np.asarray(d, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"the gradient of {name} is {type(d).__name__}, expected an array of shape {x.shape}"
        ) from None
    if a.shape != x.shape and not a.size == x.size == 1:
        axes = stretched(a.shape, x.shape)
        over = f"; {name} was broadcast, so sum it over axis {', '.join(map(str, axes))}" if axes else ""
        raise ValueError(f"the gradient of {name} has shape {a.shape}, but {name} has shape {x.shape}{over}")
    return a.reshape(x.shape)


def _depends(d: Node, x: Node) -> bool:
    return d is x or any(x in node.inputs for node in consumers_first(d))


def _on_tensors(pair: Pair, fill: Callable[[Sequence[Any]], list[Any]], wanted: list[int]) -> Function:
    """(*inputs, cotangent) -> all gradients in one long Tensor: the same code, run on Tensors."""

    def gradients(*args: Any) -> Any:
        *leaves, cotangent = args
        with using(recording=True):
            cotangent = cotangent if cotangent.requires_grad else leaves_of([cotangent])[0]
            outs, state = pair.run(fill([x if x.requires_grad else leaves_of([x])[0] for x in leaves]))
            found = pair.gradients(_split(cotangent, outs), state)
            chosen = [found[k] for k in wanted] + found[len(pair.inputs) :]
            if not all(isinstance(d, Node) and _depends(d, cotangent) for d in chosen):
                raise TypeError("what comes out does not depend on the dout that goes in, as a Tensor")
            return ops.concatenate([ops.reshape(d, (-1,)) for d in chosen])

    return gradients
