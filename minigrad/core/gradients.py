"""The second half of the engine: how gradients walk back through a recorded graph.

Knows no arithmetic beyond `+` and sums, which arrays and Nodes share: the same walk runs on either.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from .._support.arrays import mapped, plain
from .._support.shapes import storage, stretched
from .context import Context, current, enter, using
from .nodes import Node, Primitive, Unread, Version, describe, kernel, late, noted, raw, registry


def consumers_first(y: Node) -> list[Node]:
    """The recorded nodes that `y` depends on, each before its inputs: newest first.

    Why the order matters, on a diamond:

        a = x * 2          x -> a -> b -> y
        b = a + 1               \\------> y
        y = a * b

    The gradient of `a` has two parts, from `b` and from `y`. Pulling back through `a` before `b` has spoken would
    send x half of its gradient (or, walking paths instead of nodes, do the work once per path: 2**60 times on a
    ladder of 60 diamonds). Creation numbers grow from input to consumer, so sorting by them is enough.
    """
    found = {y} if y.op is not None else set()
    stack = list(found)
    while stack:
        for x in stack.pop().inputs:
            if x is not None and x.op is not None and x not in found:
                found.add(x)
                stack.append(x)
    return sorted(found, key=attrgetter("number"), reverse=True)


def leading_to(order: list[Node], targets: Collection[Node]) -> set[Node]:
    """The targets, and those of `order` that depend on one of them."""
    path = set(targets)
    for node in reversed(order):
        if not path.isdisjoint(node.inputs):
            path.add(node)
    return path


def walk(y: Node, g: Any, targets: Any = None, *, retain: Iterable[Node] = (), graph: bool = False) -> dict[Any, Any]:
    """Gradients of sum(g * y): of every leaf that `y` depends on and the nodes in `retain`, or of `targets` alone.

    `g` is a Node or an array. Runs on bare arrays; with `graph=True`, or where rules are to be seen, on Nodes, so that
    the gradients have a graph of their own. Gradients live in the returned dict, never on the nodes. With targets, only
    what lies between them and `y` is visited.
    """
    before = current()
    for observer in before.observers:
        observer.walking(y, targets, graph)
    order, on_nodes = consumers_first(y), graph or (before.observers != () and rules_are_seen())
    path = None if targets is None else leading_to(order, targets)
    grads, retained = {y: g if on_nodes else raw(g)}, dict.fromkeys(retain)
    lean = None if graph or before.observers else kernel("walk")
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # inf is the right slope of sqrt at 0
        try:
            (lean or _walk)(order, grads, retained, path, graph, on_nodes)
        finally:
            enter(before)
    return grads | {x: d for x, d in retained.items() if d is not None} if retained else grads


def _walk(order: Any, grads: dict[Any, Any], retained: dict[Any, Any], path: Any, graph: bool, on_nodes: bool) -> None:
    before = current()
    for node in order:
        g = grads.pop(node, None)
        if g is None:  # every path to it ended in an input without a gradient
            continue
        if node in retained:
            retained[node] = g
        if on_nodes:  # what rules record, and the sums of what they send, belongs to the scope of their node
            enter(Context(graph, node.context.scope, node, before.observers, before.frozen, before))
        steps = contributions(node, g, path, graph, on_nodes)
        for observer in before.observers:
            observer.pulled(node, g, steps)
        for k, d in steps:
            x = node.inputs[k]
            grads[x] = grads[x] + d if x in grads else d


def rules_are_seen() -> bool:
    """Whether an observer wants to be told of the ops in rules, which then run on Nodes."""
    return any([observer.rules for observer in current().observers])


def contributions(node: Node, g: Any, path: set[Node] | None, graph: bool, on_nodes: bool) -> list[tuple[int, Any]]:
    """What the rules of one node send to its inputs: (position, gradient in the shape and dtype of that input)."""
    op: Any = node.op
    wanted = [k for k, x in enumerate(node.inputs) if x is not None and x._needs and (path is None or x in path)]
    written = late(node) if Version.latest > node.number else None
    whole = op.joint is not None or "pull" in vars(op) or not op.builtin  # what shares work is seen as one
    try:
        if not wanted:
            return []
        if written:
            with using(Unread(node, written), recording=graph):
                steps = pull_on_nodes(node, g, wanted, graph)
        elif graph or (on_nodes and not whole):
            steps = pull_on_nodes(node, g, wanted, graph)
        else:
            steps = op.pull(raw(g), node._array, node.saved, node.arrays, node.params, wanted)
        steps = [(k, fitted(d if on_nodes else raw(d), node.arrays[k], op)) for k, d in steps]
        return [(k, node._leaf(d) if on_nodes and not isinstance(d, Node) else d) for k, d in steps]
    except Exception as error:
        noted(error, node)
        raise


def pull_on_nodes(node: Node, g: Any, wanted: list[int], graph: bool) -> list[tuple[int, Any]]:
    """The rules of one node on Nodes, recorded like any computation; with a graph, `save` runs again as well."""
    op: Any = node.op
    given, saved = node.given, node.saved
    if graph:  # what was saved depends on the inputs
        saved = op.save and op.save(*given, **node.params)
    else:  # bare arrays become leaves, so that what is computed from them is seen
        given, saved = (mapped(lambda x: _node(node, x), values) for values in (given, saved))
    steps: list[tuple[int, Any]] = type(op).pull(op, _node(node, g), node, saved, given, node.params, wanted)
    for _, d in steps if graph else ():  # a gradient is linear in g: whatever does not depend on g lost it on the way
        if not isinstance(d, Node) or (g._needs and not d._needs):
            raise TypeError(
                f"the rule of {op.name} is not differentiable: it returned {describe(d)} without a graph; "
                "write it with minigrad's functions and operators; what comes from .data or .numpy() is a constant"
            )
    return steps


def _node(like: Node, x: Any) -> Any:
    return like._leaf(x) if isinstance(x, np.ndarray) else x


def fitted(d: Any, a: np.ndarray[Any, Any], op: Primitive) -> Any:
    """A gradient in the shape and dtype of the input that it belongs to; an error if it cannot be."""
    value = raw(d)
    if getattr(getattr(value, "dtype", None), "kind", "?") not in "fiub":
        raise TypeError(f"the rule of {op.name} returned {describe(d)}, expected real numbers of shape {a.shape}")
    if value.shape != a.shape:
        d = unbroadcast(d, a.shape, op.name)
    return d if value.dtype == a.dtype else d.astype(a.dtype)


def unbroadcast(g: Any, shape: tuple[int, ...], who: str = "unbroadcast") -> Any:
    """Undo broadcasting: sum `g` over the axes along which an array of `shape` was stretched.

    >>> import numpy as np, minigrad
    >>> unbroadcast(np.ones((2, 3)), (1, 3))
    array([[2., 2., 2.]])
    """
    axes = stretched(g.shape, shape)
    if axes is None:
        raise ValueError(f"the rule of {who} returned a gradient of shape {g.shape} for an input of shape {shape}")
    d = registry["sum"](g, axis=axes) if axes else g
    return d if d.shape == shape else d.reshape(shape)


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
    targets: list[Any] = [xs] if isinstance(xs, Node) or not hasattr(xs, "__iter__") else list(xs)
    for x in targets:
        if not isinstance(x, Node):
            raise TypeError(f"grad(y, xs): xs are Tensors, got {type(x).__name__}")
        if not x._needs:
            raise ValueError(f"grad(y, xs): {describe(x)} does not require a gradient; make it with requires_grad=True")
    start = cotangent(y, gradient)
    found = walk(y, start, set(targets), retain=targets, graph=create_graph)
    results = unaliased(found, targets, start)
    for d in results if create_graph else ():  # also one that depends on nothing any more: its own gradients are zeros
        d._needs = True
    return results[0] if isinstance(xs, Node) else tuple(results)


def unaliased(found: dict[Node, Any], xs: Sequence[Node], start: Node) -> list[Any]:
    """The gradients of xs as Nodes, zeros where none was found; in memory that is not another's, start's or x's."""
    if (lean := kernel("unaliased")) and not isinstance(next(iter(found.values()), None), Node):  # a walk on arrays
        return lean(found, xs)  # type: ignore[no-any-return]
    results, taken = [], {id(storage(x._array)) for x in (start, *xs)}
    for x in xs:
        d = found[x] if x in found else np.zeros(x._array.shape, x._array.dtype)
        if not isinstance(d, Node):
            d = x._leaf(np.array(d))
        elif id(storage(d._array)) in taken:
            with using(recording=True):
                d = d.astype(d._array.dtype)  # type: ignore[attr-defined]
        taken.add(id(storage(d._array)))
        results.append(d)
    return results


def cotangent(y: Any, gradient: Any) -> Any:
    """The cotangent to start a walk from `y` with, as a Node; checked against `y`."""
    if not isinstance(y, Node):
        raise TypeError(f"a gradient is taken of a Tensor, got {type(y).__name__}")
    if not y._needs:
        raise ValueError(
            f"{describe(y)} does not require a gradient: no tensor that it was computed from has requires_grad=True "
            "(or it was computed under no_grad)"
        )
    a = y._array
    if isinstance(gradient, Node) and gradient._array.shape == a.shape and gradient._array.dtype == a.dtype:
        return gradient
    if gradient is None and a.size != 1:
        raise ValueError(f"a gradient of {describe(y)} needs gradient= of that shape; only single numbers need none")
    value = np.array(1, a.dtype).reshape(a.shape) if gradient is None else plain(gradient)
    if value.shape != a.shape:
        raise ValueError(f"gradient= has shape {value.shape}, but the tensor has shape {a.shape}; they must be equal")
    if value.dtype != a.dtype and not np.can_cast(value.dtype, a.dtype, "same_kind"):
        raise TypeError(f"gradient= has dtype {value.dtype}, which does not fit the tensor's {a.dtype}")
    return gradient.astype(a.dtype) if isinstance(gradient, Node) else y._leaf(value.astype(a.dtype))  # type: ignore[attr-defined]
