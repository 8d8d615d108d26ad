"""The walk on arrays, again, for small graphs, whose cost is calls. What it means is core/gradients.py.

Rules of one input each, and kernels that stand for the rules of an op, are called from here. Sums made here, which
nobody else can see, are added to in place. A test runs every primitive through this and the plain walk, and compares
bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._support.shapes import stretched
from ..core.gradients import contributions, fitted
from ..core.nodes import Node, Primitive, Version, late, noted
from . import pool
from .pool import ARITHMETIC, LARGE, pooled, unwrapped
from .totals import total

_ndarray = np.ndarray


class Plan(NamedTuple):
    """How the rules of an op are called, as long as it has these rules."""

    known: Any  # op.rules, or the joint rule
    rules: Any = None  # one for each input, that give the same bits as those
    kernel: Any = None  # (g, out, saved, arrays, params) -> a gradient for each input, or None
    arithmetic: bool = False
    few: int = 0  # inputs of an op without parameters


QUICK: dict[str, tuple[Any, Any]] = {}  # name: (the rules of a primitive, others that give the same bits sooner)
KERNELS: dict[str, tuple[Any, Any]] = {}  # name: (its rules or joint rule, a kernel that stands for them)
_NO_PLAN = Plan(None)
_plans: dict[Primitive, Plan] = {}


def _plan(op: Any) -> Plan:
    known = op.rules or op.joint
    if op.builtin and not op.variadic:
        stands_for, kernel = KERNELS.get(op.name, (None, None))
        readable, quick = QUICK.get(op.name, (op.rules, op.rules))
        rules = quick if readable is op.rules else op.rules
        few = 0 if op.defaults else len(op.input_names)
        found = Plan(known, rules or None, kernel if stands_for is known else None, op.name in ARITHMETIC, few)
    else:
        found = Plan(known)
    _plans[op] = found
    return found


def walk(order: Any, grads: dict[Any, Any], retained: dict[Any, Any], path: Any, graph: bool, on_nodes: bool) -> None:
    """Pull the gradient in `grads` back through all of `order`."""
    temporaries: set[Node] = set()  # nodes whose accumulated gradient is a temporary of this walk
    latest = Version.latest
    known: Any
    for node in order:
        g = grads.pop(node, None)
        if g is None:
            continue
        if retained and node in retained:
            retained[node] = g
        op: Any = node.op
        known, rules, kernel, arithmetic, few = _plans.get(op, _NO_PLAN)
        if known is not (op.rules or op.joint):
            _, rules, kernel, arithmetic, few = _plan(op)
        arrays, out, params, ds = node.arrays, node._array, node.params, None
        large, k = False, 0
        late_inputs = latest > node.number and late(node)
        if kernel is not None and not late_inputs:
            ds = kernel(g, out, node.saved, arrays, params)
        if late_inputs or (rules is None and ds is None):
            for k, d in contributions(node, g, path, False, False):
                _add(grads, node.inputs[k], d, temporaries)
            continue
        if arithmetic and g.nbytes >= LARGE:
            large, g = True, pooled(g)
        try:
            for x in node.inputs:
                if x is not None and x._needs and (path is None or x in path):
                    if ds is not None:
                        d = ds[k]
                    elif rules[k] is None:
                        d = None
                    elif few == 2:  # as below, but Python calls it in half the time
                        d = rules[k](g, out, arrays[0], arrays[1])
                    elif few == 1:
                        d = rules[k](g, out, arrays[0])
                    else:
                        d = rules[k](g, out, *arrays, **params)
                    if d is not None:
                        a = arrays[k]
                        if large:
                            d = unwrapped(d)
                        if d.__class__ is not _ndarray or d.shape != a.shape or d.dtype is not a.dtype:
                            d = _fit(d, a, op)
                        if x in grads:
                            _add(grads, x, d, temporaries)
                        else:
                            grads[x] = d
                k += 1
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
            found = total(d, axes, d.ndim == a.ndim)
            return found if found.shape == a.shape else found.reshape(a.shape)
    return fitted(d, a, op)


def _add(grads: dict[Node, Any], x: Any, d: Any, temporaries: set[Node]) -> None:
    """Add a contribution to what has arrived at x; out of place at first, for rules may hand one array to several."""
    if x not in grads:
        grads[x] = d
        return
    before = grads[x]
    if x in temporaries:
        np.add(before, d, before)
        return
    room = pool.empty(before.shape, before.dtype) if before.nbytes >= pool.SMALLEST else None
    both = grads[x] = np.add(before, d, room)
    if both.__class__ is _ndarray:  # and not a scalar, which NumPy makes of 0-d arrays
        temporaries.add(x)
