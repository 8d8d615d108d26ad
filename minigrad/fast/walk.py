"""The walk on arrays, again, for small graphs, whose cost is calls. What it means is core/gradients.py.

The rules of what takes plain inputs are called from here, one after the other. Sums made here, which nobody else can
see, are added to in place. A test runs every primitive through this and the plain walk, and compares bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._support.shapes import stretched
from ..core.gradients import fitted, pulled
from ..core.nodes import Node, Primitive, Version, noted
from . import pool
from .pool import ARITHMETIC, LARGE, plain, reusing
from .sums import total

QUICK: dict[str, tuple[Any, Any]] = {}  # name: (the rules of a primitive, others that give the same bits sooner)
_plans: dict[Primitive, tuple[Any, Any, bool]] = {}  # op: its rules, those to call in their place, is it arithmetic?
_NO_PLAN: tuple[Any, Any, bool] = (None, None, False)
_ndarray = np.ndarray


def _plan(op: Any) -> tuple[Any, Any, bool]:
    """How the rules of an op are called; without rules: one by one they cannot be."""
    if not op.rules or op.variadic or not op.builtin or "pull" in vars(op):
        return _NO_PLAN
    readable, quick = QUICK.get(op.name, (op.rules, op.rules))
    found = _plans[op] = (op.rules, quick if readable is op.rules else op.rules, op.name in ARITHMETIC)
    return found


def walk(order: list[Node], grads: dict[Node, Any], kept: dict[Node, Any], path: set[Node] | None) -> None:
    """Pull the gradient in `grads` back through all of `order`."""
    own: set[Node] = set()  # whose gradient is a sum made here
    latest = Version.latest
    for node in order:
        g = grads.pop(node, None)
        if g is None:
            continue
        if kept and node in kept:
            kept[node] = g
        op: Any = node.op
        known, rules, arithmetic = _plans.get(op, _NO_PLAN)
        if known is not op.rules:
            _, rules, arithmetic = _plan(op)
        if rules is None or latest > node.number:
            for k, d in _pulled(node, op, g, path, latest):
                _add(grads, node.inputs[k], d, own)
            continue
        arrays, out, k = node.arrays, node._array, 0
        large = arithmetic and g.nbytes >= LARGE
        if large:
            g = reusing(g)
        try:
            for x in node.inputs:
                if x is not None and x._needs and (path is None or x in path):
                    rule = rules[k]
                    if rule is not None:
                        d = rule(g, out, *arrays, **node.params) if node.params else rule(g, out, *arrays)
                        if large:
                            d = plain(d)
                        a = arrays[k]
                        if d.__class__ is not _ndarray or d.shape != a.shape or d.dtype != a.dtype:
                            d = _fit(d, a, op)
                        if x in grads:
                            _add(grads, x, d, own)
                        else:
                            grads[x] = d
                k += 1
        except Exception as error:
            noted(error, node)
            raise


def _pulled(node: Node, op: Any, g: Any, path: set[Node] | None, latest: int) -> list[tuple[int, Any]]:
    """As `pulled`, without its questions where a kernel stands for the rules of an op."""
    pull = vars(op).get("pull")
    if pull is None or latest > node.number:
        return pulled(node, g, path, False, False)
    wanted = [k for k, x in enumerate(node.inputs) if x is not None and x._needs and (path is None or x in path)]
    try:
        steps = pull(g, node._array, node.saved, node.arrays, node.params, wanted) if wanted else ()
        return [(k, _fit(d, node.arrays[k], op)) for k, d in steps]
    except Exception as error:
        noted(error, node)
        raise


def _fit(d: Any, a: Any, op: Any) -> Any:
    """As `fitted`, in fewer calls where all that is needed is a sum."""
    if d.__class__ is _ndarray and d.dtype == a.dtype:
        if d.shape == a.shape:
            return d
        axes = stretched(d.shape, a.shape)
        if axes:
            found = total(d, axes)
            return found if found.shape == a.shape else found.reshape(a.shape)
    return fitted(d, a, op)


def _add(grads: dict[Node, Any], x: Any, d: Any, own: set[Node]) -> None:
    """Add a contribution to what has arrived at x; out of place at first, for rules may hand one array to several."""
    if x not in grads:
        grads[x] = d
        return
    before = grads[x]
    if x in own:
        np.add(before, d, before)
        return
    room = pool.empty(before.shape, before.dtype) if before.nbytes >= pool.SMALLEST else None
    both = grads[x] = np.add(before, d, room)
    if both.__class__ is _ndarray:  # and not a scalar, which NumPy makes of 0-d arrays
        own.add(x)
