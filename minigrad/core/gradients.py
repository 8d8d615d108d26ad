"""The second half of the engine: how gradients walk back through a recorded graph.

Knows no arithmetic beyond `+` and `.sum`, which arrays and Tensors share: the same walk runs on either.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np

from .._support.guards import read_only
from ..fast import pool as buffers
from ..fast.reuse import LARGE, plain, reusing
from ..fast.sums import total
from .context import differentiating, in_force, recording
from .nodes import Node, Primitive, describe, raw
from .reads import storage
from .versions import refuse_stale

_by_number = attrgetter("number")


def consumers_first(y: Node) -> list[Node]:
    """The recorded ops that `y` depends on, each before the ops that made its inputs: newest first.

    Why the order matters, on a diamond:

        a = x * 2          x -> a -> b -> y
        b = a + 1               \\------> y
        y = a * b

    The gradient of `a` has two parts, from `b` and from `y`. Pulling back through `a` before `b` has spoken would
    send x half of its gradient (or, walking paths instead of ops, do the work once per path: 2**60 times on a
    ladder of 60 diamonds). Creation numbers grow from input to consumer, so sorting by them is enough.
    """
    found = {y} if y.op is not None else set()
    stack = list(found)
    while stack:
        for x in stack.pop().inputs:
            if isinstance(x, Node) and x.op is not None and x not in found:
                found.add(x)
                stack.append(x)
    return sorted(found, key=_by_number, reverse=True)


Observer: TypeAlias = Callable[[Node, Any, "list[tuple[int, Any]]"], None]


def walk(
    y: Node,
    cotangent: Any,
    *,
    keep: Iterable[Node] = (),
    graph: bool = False,
    observe: Observer | None = None,
) -> dict[Node, Any]:
    """Gradients of sum(cotangent * y): of every leaf that `y` depends on, and of the tensors in `keep`.

    Runs on bare arrays; with `graph=True` on Tensors, so that the gradients have a graph of their own. Gradients
    live in the returned dict, never on the nodes. `observe(node, g, [(position, contribution), ...])` is told
    each step.
    """
    order = consumers_first(y)
    if order:
        refuse_stale(order, graph)
    keep = {x for x in keep if x.op is not None} if keep else set()
    if observe is None:
        watch = in_force().watch
        observe = None if watch is None else watch.pulled
    kept: dict[Node, Any] = {}
    grads: dict[Node, Any] = {y: cotangent}
    quiet = np.errstate(divide="ignore", over="ignore", invalid="ignore")  # inf is the right slope of sqrt at 0
    if not graph and observe is None:
        with quiet:
            _walk_arrays(order, grads, keep, kept)
    else:
        with quiet, recording() if graph else nullcontext():
            _walk_observed(order, grads, keep, kept, graph, observe)
    return grads | kept if kept else grads


def _walk_arrays(order: list[Node], grads: dict[Node, Any], keep: set[Node], kept: dict[Node, Any]) -> None:
    """The walk on bare arrays. The rules of one and two plain inputs are called from here: small graphs cost calls."""
    own: set[Node] = set()  # whose gradient is a sum made here, which nobody else can see: the next is added to it
    for node in order:
        g = grads.pop(node, None)
        if g is None:  # every path to it ended in an argument without a gradient
            continue
        if keep and node in keep:
            kept[node] = g
        op: Any = node.op
        try:
            large = g.nbytes >= LARGE and op.reuses
            if large:
                g = reusing(g)
            if op.pulled == 2:
                x, y = node.inputs
                rule_x, rule_y = op.rules
                x_needs = y_needs = False
                a, b = x, y
                if isinstance(x, Node):
                    a, x_needs = x._array, x._needs
                if isinstance(y, Node):
                    b, y_needs = y._array, y._needs
                if x_needs:
                    d = plain(rule_x(g, node._array, a, b)) if large else rule_x(g, node._array, a, b)
                    if d.shape != a.shape or d.dtype is not a.dtype:
                        d = _fitted(d, x, node)
                    if x not in grads:
                        grads[x] = d
                    elif x in own:
                        np.add(grads[x], d, grads[x])
                    else:
                        grads[x] = _sum(grads[x], d, x, own)
                if y_needs:
                    d = plain(rule_y(g, node._array, a, b)) if large else rule_y(g, node._array, a, b)
                    if d.shape != b.shape or d.dtype is not b.dtype:
                        d = _fitted(d, y, node)
                    if y not in grads:
                        grads[y] = d
                    elif y in own:
                        np.add(grads[y], d, grads[y])
                    else:
                        grads[y] = _sum(grads[y], d, y, own)
                continue
            steps: Iterable[tuple[Any, Any]]
            if op.pulled == 1:
                (x,) = node.inputs
                steps = ((x, plain(op.rules[0](g, node._array, x._array, **node.params))),) if x._needs else ()
            elif op.joint is not None and op.own:
                arrays = [x._array if isinstance(x, Node) else x for x in node.inputs]
                steps = zip(node.inputs, _joint(op, g, node._array, arrays, node.saved, node.params), strict=True)
            else:
                steps = [(node.inputs[k], d) for k, d in _contributions(node, g, graph=False)]
            for x, d in steps:
                if not isinstance(x, Node) or not x._needs or (d is None and op.joint is not None):
                    continue
                d = _fitted(d, x, node)
                if x not in grads:
                    grads[x] = d
                elif x in own:
                    np.add(grads[x], d, grads[x])
                else:
                    grads[x] = _sum(grads[x], d, x, own)
        except Exception as error:
            error.add_note(_where(node))
            raise


def _sum(one: Any, other: Any, x: Node, own: set[Node]) -> Any:
    """The sum of two contributions to x, out of place: rules may hand one array to several inputs."""
    both = np.add(one, other, buffers.empty(one.shape, one.dtype) if one.nbytes >= buffers.SMALLEST else None)
    if type(both) is np.ndarray:  # and not a scalar, which NumPy makes of 0-d arrays
        own.add(x)
    return both


def _walk_observed(
    order: list[Node],
    grads: dict[Node, Any],
    keep: set[Node],
    kept: dict[Node, Any],
    graph: bool,
    observe: Observer | None,
) -> None:
    """The walk on Tensors, or with somebody looking on."""
    for node in order:
        g = grads.pop(node, None)
        if g is None:
            continue
        if node in keep:
            kept[node] = g
        try:
            steps = [(k, d, node.inputs[k]) for k, d in _contributions(node, g, graph)]
            with differentiating(node) if graph else nullcontext():  # sums belong to the op that sent them
                steps = [(k, _fitted(d, x, node), x) for k, d, x in steps]
                for _, d, x in steps:
                    grads[x] = grads[x] + d if x in grads else d
            if observe is not None:
                observe(node, g, [(k, d) for k, d, _ in steps])
        except Exception as error:
            error.add_note(_where(node))
            raise


def _where(node: Node) -> str:
    return f"in the rule of {node.op.name}({', '.join(describe(x) for x in node.inputs)})"  # type: ignore[union-attr]


def _contributions(node: Node, g: Any, graph: bool) -> list[tuple[int, Any]]:
    """What the rules of one op send to its inputs, as (position, gradient)."""
    op: Primitive = node.op  # type: ignore[assignment]
    if not op.rules and op.joint is None:
        raise NotImplementedError(f"{op.name} has no rule: give it one with {op.name}.defvjp(...)")
    wanted, arrays = [], []
    for k, x in enumerate(node.inputs):
        if isinstance(x, Node):
            arrays.append(x._array)
            if x._needs:
                wanted.append(k)
        else:
            arrays.append(x)
    if not graph:
        return _apply(op, g, node._array, tuple(arrays), node.saved, node.params, wanted)
    with differentiating(node):
        saved = op.save(*node.inputs, **node.params) if op.save is not None else None
        steps = _apply(op, g, node, node.inputs, saved, node.params, wanted)
    for _, d in steps:  # a gradient is linear in g: whatever does not depend on g lost it on the way
        if not isinstance(d, Node) or (isinstance(g, Node) and g._needs and not d._needs):
            raise TypeError(
                f"the rule of {op.name} is not differentiable: it returned {describe(d)} without a graph; "
                "write it with minigrad's functions and operators; what comes from .data or .numpy() is a constant"
            )
    return steps


def _apply(
    op: Primitive, g: Any, out: Any, inputs: tuple[Any, ...], saved: Any, params: dict[str, Any], wanted: list[int]
) -> list[tuple[int, Any]]:
    if not op.own:
        g, out, inputs, saved = read_only((g, out, inputs, saved))
    if op.joint is not None:
        ds = _joint(op, g, out, inputs, saved, params)
        return [(k, ds[k]) for k in wanted if ds[k] is not None]
    if op.variadic:
        rule: Any = op.rules[0]
        return [(k, rule(g, out, *inputs, position=k, **params)) for k in wanted]
    pairs = [(k, op.rules[k]) for k in wanted]
    return [(k, rule(g, out, *inputs, **params)) for k, rule in pairs if rule is not None]


def _joint(op: Any, g: Any, out: Any, inputs: Sequence[Any], saved: Any, params: dict[str, Any]) -> tuple[Any, ...]:
    """The gradients of all inputs by a joint rule, or by the kernel that stands for it on arrays."""
    ds = None
    if op.fast is not None and op.fast_for is op.joint and not isinstance(out, Node):
        ds = op.fast.backward(g, out, saved, *inputs, **params)
    if ds is None:
        ds = op.joint(g, out, saved, *inputs, **params)
    if not isinstance(ds, tuple) or len(ds) != len(inputs):
        raise TypeError(f"the joint rule of {op.name} must return a tuple of {len(inputs)} gradients, got {ds!r}")
    return ds


def _fitted(d: Any, x: Node, node: Node) -> Any:
    """A contribution in the shape and dtype of the input that it belongs to; an error if it cannot be."""
    a = x._array
    try:
        if d.shape == a.shape and d.dtype is a.dtype:
            return d
        kind = d.dtype.kind
    except AttributeError:
        raise TypeError(
            f"the rule of {node.op.name} returned {describe(d)}, expected an array of shape {a.shape}"  # type: ignore[union-attr]
        ) from None
    if kind not in "fiub":
        raise TypeError(f"the rule of {node.op.name} returned {d.dtype}, expected real numbers")  # type: ignore[union-attr]
    if d.shape != a.shape:
        d = unbroadcast(d, a.shape, node.op.name)  # type: ignore[union-attr]
    return d if d.dtype == a.dtype else d.astype(a.dtype)


def unbroadcast(g: Any, shape: tuple[int, ...], who: str = "unbroadcast") -> Any:
    """Undo broadcasting: sum `g` over the axes along which an array of `shape` was stretched.

    >>> import numpy as np
    >>> unbroadcast(np.ones((2, 3)), (1, 3))
    array([[2., 2., 2.]])
    """
    axes = stretched(g.shape, shape)
    if axes is None:
        raise ValueError(f"the rule of {who} returned a gradient of shape {g.shape} for an input of shape {shape}")
    if not axes:
        return g if g.shape == shape else g.reshape(shape)
    d = total(plain(g), axes) if isinstance(g, np.ndarray) else g.sum(axis=axes)
    return d if d.shape == shape else d.reshape(shape)


@functools.lru_cache(maxsize=1024)
def stretched(wide: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes of `wide` along which an array of `shape` was stretched; None if it cannot have been."""
    lead = len(wide) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, wide[lead:], strict=True)):
        return None
    return (*range(lead), *(lead + k for k, n in enumerate(shape) if n == 1 and wide[lead + k] != 1))


# --------------------------------------------------------------------------------------------------------------
# Gradients for users


def grad(y: Any, xs: Any, gradient: Any = None, *, create_graph: bool = False) -> Any:
    """dL/dx for L = sum(gradient * y): a Tensor for a Tensor, a tuple for a sequence of them.

    Pure: no `.grad` changes. Zeros for an x that `y` does not depend on. `gradient` may be left out where `y` is
    a single number. With `create_graph=True` the result can be differentiated again, to any order.

    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> dx = mg.grad(x * x * x, x, create_graph=True)
    >>> dx.item(), mg.grad(dx, x).item()
    (27.0, 18.0)
    """
    single = isinstance(xs, Node)
    targets: list[Any] = [xs] if single else list(xs)
    for x in targets:
        if not isinstance(x, Node):
            raise TypeError(f"grad(y, xs): xs are Tensors, got {type(x).__name__}")
        if not x._needs:
            raise ValueError(f"grad(y, xs): {describe(x)} does not require a gradient; make it with requires_grad=True")
    recorder = in_force().recorder
    if recorder is not None:
        return recorder.gradients(y, targets, gradient, create_graph, single)
    start = cotangent_for(y, gradient)
    found = walk(y, start if create_graph else raw(start), keep=targets, graph=create_graph)
    results = owned(found, targets, start, create_graph)
    return results[0] if single else tuple(results)


def owned(found: dict[Node, Any], xs: list[Any], start: Any, graph: bool) -> list[Any]:
    """The gradients of xs as Tensors, zeros where none was found; in memory that is not another's, start's or x's."""
    if not graph:
        # copied, but for large arrays that nothing else can see
        alone = [x in found and found[x].nbytes >= buffers.SMALLEST and buffers.sole(found, x) for x in xs]
        arrays = [found.get(x) for x in xs]
        return [
            x._leaf(np.zeros_like(x._array) if d is None else d if mine else np.array(d))
            for x, d, mine in zip(xs, arrays, alone, strict=True)
        ]
    results = [found[x] if x in found else x._leaf(np.zeros_like(x._array)) for x in xs]
    taken = {id(storage(x._array)) for x in (start, *xs)}
    with recording():
        for k, d in enumerate(results):
            if id(storage(d._array)) in taken:
                results[k] = d = d.astype(d._array.dtype)
            taken.add(id(storage(d._array)))
    return results


def deposit(found: dict[Any, Any]) -> None:
    """Add each gradient found by a walk on arrays to what its tensor has, in memory of its own. Empties `found`."""
    while found:
        x, d, holders = _taken(found)
        if d.base is None:
            mine = holders == _ALONE
        else:  # it may be a view of memory that is kept for large arrays
            alone, d = [d], None
            mine = alone[0].nbytes >= buffers.SMALLEST and buffers.sole(alone, 0)
            d = alone[0]
        if getattr(x, "_grad", None) is not None:
            d = x.grad._array + d
        elif not mine:
            d = np.array(d)
        x._grad = x._leaf(d)


def _taken(found: dict[Any, Any]) -> tuple[Any, Any, int]:
    """One tensor and its gradient out of `found`, and how many can see the gradient then."""
    x, d = found.popitem()
    return x, d, _count(d)


_count: Any = getattr(sys, "getrefcount", lambda _: 0)  # where nothing is counted, nothing is alone: all is copied
_ALONE = _taken({None: np.empty(0)})[2] or -1


def cotangent_for(y: Any, gradient: Any) -> Any:
    """The cotangent to start a walk from `y` with, as a Tensor; checked against `y`."""
    if not isinstance(y, Node):
        raise TypeError(f"a gradient is taken of a Tensor, got {type(y).__name__}")
    if not y._needs:
        raise ValueError(
            f"{describe(y)} does not require a gradient: no tensor that it was computed from has requires_grad=True "
            "(or it was computed under no_grad)"
        )
    a = y._array
    if isinstance(gradient, Node) and gradient._array.dtype is a.dtype and gradient._array.shape == a.shape:
        return gradient
    if gradient is None:
        if a.size != 1:
            raise ValueError(
                f"a gradient of {describe(y)} needs gradient= of that shape; only a single number has a default"
            )
        return y._leaf(np.array(1, a.dtype).reshape(a.shape))
    value = np.asarray(raw(gradient))
    if value.shape != a.shape:
        raise ValueError(f"gradient= has shape {value.shape}, but the tensor has shape {a.shape}; they must be equal")
    if not np.can_cast(value.dtype, a.dtype, "same_kind"):
        raise TypeError(f"gradient= has dtype {value.dtype}, which does not fit the tensor's {a.dtype}")
    if isinstance(gradient, Node) and value.dtype == a.dtype:
        return gradient
    return y._leaf(value.astype(a.dtype))
