"""Plugging speed in: kernels in the place of what core/ and ops/ have, through the doors that core/ has for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..core import nodes
from . import calls, chosen, fused, into, kernel, pool, reductions, select, totals, walk
from .numpy_kernels import outer


def before_ops() -> None:
    """Before ops/ is loaded: primitives are called by calls.py."""
    if chosen() != "reference":
        nodes.Primitive.recorder = staticmethod(calls.recorder)


def after_ops() -> None:
    """After all primitives are made: the walk, and kernels in the place of primitives and rules."""

    def given(thing: Any) -> Callable[[], Any]:
        return lambda: thing

    table = nodes.kernels
    table.update({name: functools.partial(kernel, name) for name in ("adam", "running_statistics")})
    table.update(into=given(into), chosen=chosen)
    if chosen() == "reference":
        return
    table.update(walk=given(walk.walk), unaliased=given(pool.unaliased))
    table.update(release=given(pool.release), empty=given(pool.empty))
    table.update(fused=given(fused.KERNELS))
    ops: dict[str, Any] = {name: call.op for name, call in nodes.registry.items()}
    for name, kernels in fused.KERNELS.items():
        accelerate(ops[name], kernels.backward, kernels.forward)
    quick_kernels = {"sum": totals.total, "mean": totals.mean_of, "var": reductions.var_of}
    for name, function in {
        **quick_kernels,
        "relu": select.relu,
        "where": select.where,
        "matmul": outer.multiplied,
    }.items():
        replace_kernel(ops[name], function)
    accelerate(ops["sum"], reductions.sum_backward)
    accelerate(ops["mean"], reductions.mean_backward)
    accelerate(ops["div"], reductions.div_backward)
    quick_rules = {
        "var": (reductions.var_rule,),
        "sub": (ops["sub"].rules[0], reductions.sub_rule),
        "mul": (ops["mul"].rules[0], reductions.mul_rule),
        "matmul": outer.rules(*ops["matmul"].rules),
        "relu": (select.relu_rule,),
        "reshape": (reductions.reshape_rule,),
    }
    walk.QUICK.update({name: (ops[name].rules, rules) for name, rules in quick_rules.items()})


def replace_kernel(op: Any, function: Any) -> None:
    """Run another function of arrays in place of an op's kernel."""
    op.quick, op.forward = function, lambda arrays, params: (function(*arrays, **params), None)


def accelerate(op: Any, backward: Any, forward: Any = None) -> None:
    """Run kernels on bare arrays in place of the rules that an op has now, and of its forward with what it saves.

    Each returns None where it does not fit, and then the readable code runs; that runs on Tensors, and where other
    rules are put in. `forward(arrays, params)` returns (value, saved), `backward(g, out, saved, arrays, params)` a
    gradient for each input.
    """
    readable_forward, readable_pull, rules, joint = op.forward, op.pull, op.rules, op.joint

    def fast_forward(arrays: Any, params: Any) -> Any:
        done = forward(arrays, params)
        return readable_forward(arrays, params) if done is None else done

    def fast_pull(g: Any, out: Any, saved: Any, inputs: Any, params: Any, wanted: Any) -> Any:
        ds = None
        if not isinstance(g, nodes.Node) and op.rules is rules and op.joint is joint:
            ds = backward(g, out, saved, inputs, params)
        if ds is None:
            return readable_pull(g, out, saved, inputs, params, wanted)
        return [(k, ds[k]) for k in wanted if ds[k] is not None]

    walk.KERNELS[op.name] = rules or joint, backward
    op.pull, op.stands_for = fast_pull, (rules, joint)
    if forward is not None:
        op.forward = fast_forward
