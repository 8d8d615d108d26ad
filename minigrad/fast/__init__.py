"""Speed, plugged in from beside: what core/ and ops/ say, sooner, through the doors that core/ has for it.

The readable code stays the reference: it is what differentiates at order 2 and what explains. A kernel stands beside
it and is held to it by tests: within 1e-13 of an array's maximum in float64, 8 eps in float32. Where a kernel does
not fit (a dtype, a layout, an axis) it returns None and the readable code runs.

    MINIGRAD_KERNELS=reference   the readable code alone
    MINIGRAD_KERNELS=numpy       few calls, row blocks, memory used before; in NumPy
    MINIGRAD_KERNELS=numba       compiled (the extra `fast`); an error where numba is missing
    unset                        numba where it is installed, else NumPy
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from ..core import nodes

CHOICES = ("reference", "numpy", "numba")


@functools.cache
def chosen() -> str:
    """Which kernels run in this process: one of CHOICES. Asked once, at the first use."""
    asked = os.environ.get("MINIGRAD_KERNELS", "")
    if asked and asked not in CHOICES:
        raise ValueError(f"MINIGRAD_KERNELS={asked!r} must be one of {', '.join(CHOICES)}, or unset")
    installed = find_spec("numba") is not None
    if asked == "numba" and not installed:
        raise ImportError('MINIGRAD_KERNELS=numba needs the extra: python -m pip install "minigrad[fast]"')
    return asked or ("numba" if installed else "numpy")


COMPUTATIONS = {  # what has a kernel, and of which kinds
    "adam": ("numpy", "numba"),
    "batch_norm": ("numpy", "numba"),
    "layer_norm": ("numba",),
    "masked": ("numpy", "numba"),
    "running_statistics": ("numpy", "numba"),
    "sigmoid_cross_entropy": ("numpy", "numba"),
    "softmax_cross_entropy": ("numpy",),
}


@functools.cache
def kernel(name: str) -> Any:
    """The class or function that does `name`, one of COMPUTATIONS; None where the readable code does."""
    who = kernels()[name]
    if who == "reference":
        return None
    module = f"{__name__}.compiled" if who == "numba" else f"{__name__}.numpy_kernels.{name}"
    return getattr(importlib.import_module(module), name)


def kernels() -> dict[str, str]:
    """What runs for each computation that has a kernel: "reference", "numpy" or "numba".

    >>> print(*sorted(kernels()))
    adam batch_norm layer_norm masked running_statistics sigmoid_cross_entropy softmax_cross_entropy
    """
    choice = chosen()
    # who wants compiled kernels wants NumPy's where there are no others
    wanted = {"reference": (), "numpy": ("numpy",), "numba": ("numba", "numpy")}[choice]
    return {name: next((kind for kind in wanted if kind in kinds), "reference") for name, kinds in COMPUTATIONS.items()}


# --------------------------------------------------------------------------------------------------------------
# Plugging in


def install_calls() -> None:
    """Before ops/ is loaded: primitives are called by calls.py."""
    if chosen() != "reference":
        from .calls import recorder

        nodes.Primitive.recorder = staticmethod(recorder)


def install_kernels() -> None:
    """After ops/ and normalization/ are loaded: the walk, and kernels in the place of primitives and rules."""
    table = nodes.kernels
    table.update({name: functools.partial(kernel, name) for name in ("adam", "running_statistics")})
    from . import fused, into, pool, reductions, select, sums, walk

    def given(thing: Any) -> Callable[[], Any]:
        return lambda: thing

    table.update(into=given(into))
    if chosen() == "reference":
        return
    table.update(walk=given(walk.walk), alone=given(pool.alone), total_into=given(sums.total_into))
    table.update(fused=given(fused.KERNELS))
    ops: dict[str, Any] = {name: call.op for name, call in nodes.registry.items()}
    for name, kernels_of in fused.KERNELS.items():
        accelerate(ops[name], kernels_of.forward, kernels_of.backward)
    accelerate(ops["where"], select.where_forward)
    accelerate(ops["sum"], reductions.sum_forward, reductions.sum_backward)
    accelerate(ops["mean"], reductions.mean_forward, reductions.mean_backward)
    accelerate(ops["var"], reductions.var_forward)
    accelerate(ops["div"], backward=reductions.div_backward)
    quick = {"var": (reductions.var_rule,), "sub": (ops["sub"].rules[0], reductions.sub_rule)}
    quick["mul"] = (ops["mul"].rules[0], reductions.mul_rule)
    walk.QUICK.update({name: (ops[name].rules, rules) for name, rules in quick.items()})


def accelerate(op: Any, forward: Any = None, backward: Any = None) -> None:
    """Run kernels on bare arrays in place of an op's forward and of the rules that it has now.

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

    op.stands_for = rules, joint
    if forward is not None:
        op.forward = fast_forward
    if backward is not None:
        op.pull = fast_pull
