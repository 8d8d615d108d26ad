"""What several test files use: numerical gradients, derivatives of a projection to order 2, commands to interrupt."""

from __future__ import annotations

import signal
import sys
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.core.nodes import registry as everything

# The package's primitives: what its modules hold under their names (a doctest may have registered one of its own).
registry: dict[str, Any] = {
    name: call for name, call in everything.items() if vars(sys.modules[call.__module__]).get(call.__name__) is call
}


def heeds_ctrl_c() -> None:
    """For `preexec_fn`: a command that a test stops with SIGINT heeds it, even where the tests run in the background
    of a shell without job control, which starts its children with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def leaf(data, name=None, dtype=None):
    """A Tensor that requires a gradient; integers become float64."""
    data = np.asarray(data)
    return mg.tensor(data if data.dtype.kind == "f" else data.astype(float), requires_grad=True, name=name, dtype=dtype)


def leaves(arrays, needs=None):
    """Tensors of arrays; those of floats require a gradient (or those that `needs` says)."""
    made = []
    for k, a in enumerate(arrays):
        wants = np.asarray(a).dtype.kind == "f" if needs is None else needs[k]
        made.append(a if a is None else mg.tensor(a, requires_grad=wants))
    return made


def numerical(f, x, h=1e-5):
    """Central differences of a function of one array with a number as its value."""
    x = np.array(x, dtype=float)
    slope = np.empty_like(x)
    for k in np.ndindex(x.shape):
        middle = x[k]
        x[k] = middle + h
        up = float(f(x))
        x[k] = middle - h
        down = float(f(x))
        x[k] = middle
        slope[k] = (up - down) / (2 * h)
    return slope


def replaced(items, k, item):
    return [item if j == k else other for j, other in enumerate(items)]


def first(f, arrays, c, wanted, create_graph=False):
    """Gradients of sum(c * f(arrays)) in the arrays at `wanted`, as Tensors; with the leaves that they belong to."""
    tensors = leaves(arrays, [k in wanted for k in range(len(arrays))])
    cotangent = mg.tensor(c, requires_grad=create_graph)
    y = f(*tensors)
    xs = [tensors[k] for k in wanted]
    return mg.grad(y, xs, gradient=cotangent, create_graph=create_graph), [*xs, cotangent]


def assert_right(f, arrays, rng, order=2, rtol=1e-6, atol=1e-7):
    """f's gradients are those of finite differences, and so are their gradients (in the inputs and in g)."""
    wanted = [k for k, a in enumerate(arrays) if a is not None and np.asarray(a).dtype.kind == "f"]
    arrays = [a if a is None else np.asarray(a) for a in arrays]
    out = f(*leaves(arrays))
    c = rng.normal(size=out.shape)
    elsewhere = [a * np.linspace(1, 1.02, a.size).reshape(a.shape) if k in wanted else a for k, a in enumerate(arrays)]
    first(f, elsewhere, c, wanted)  # first somewhere else: a rule that remembers its first call shows
    ds, _ = first(f, arrays, c, wanted)
    for k, d in zip(wanted, ds, strict=True):

        def value(x, k=k):
            return np.sum(c * f(*leaves(replaced(arrays, k, x), [False] * len(arrays))).data)

        np.testing.assert_allclose(d.data, numerical(value, arrays[k]), rtol, atol, err_msg=f"input {k}, order 1")
    if order < 2:
        return
    vs = [rng.normal(size=arrays[k].shape) for k in wanted]
    ds, points = first(f, arrays, c, wanted, create_graph=True)
    s = mg.tensor(0.0)
    for v, d in zip(vs, ds, strict=True):
        s = s + (d * v).sum()
    seconds = mg.grad(s, points)

    def projected(arrays, c):
        return sum(np.sum(v * d.data) for v, d in zip(vs, first(f, arrays, c, wanted)[0], strict=True))

    for k, d in zip(wanted, seconds, strict=False):
        expected = numerical(lambda x, k=k: projected(replaced(arrays, k, x), c), arrays[k])
        np.testing.assert_allclose(d.data, expected, rtol, atol, err_msg=f"input {k}, order 2")
    expected = numerical(lambda c: projected(arrays, c), c)
    np.testing.assert_allclose(seconds[-1].data, expected, rtol, atol, err_msg="cotangent, order 2")
