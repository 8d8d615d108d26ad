"""Random expression graphs: shapes, ops and reuse drawn by Hypothesis, gradients to order 2 against the truth.

100 graphs in the normal run; `MINIGRAD_EXAMPLES=2000 pytest tests/core/test_random_graphs.py` for a nightly one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import fast

try:
    import torch
except ImportError:
    torch: Any = None  # type: ignore[no-redef]

MASK: Any = np.arange(1000) % 3 == 0

# Smooth on all of the reals and tame, so that finite differences can judge: (minigrad's, PyTorch's, how many inputs).
SMOOTH: dict[str, Any] = {
    "add": (lambda x, y: x + y, lambda x, y: x + y, 2),
    "sub": (lambda x, y: x - y, lambda x, y: x - y, 2),
    "mul": (lambda x, y: x * y, lambda x, y: x * y, 2),
    "div": (lambda x, y: x / (2.0 + y * y), lambda x, y: x / (2.0 + y * y), 2),
    "pow": (lambda x, y: (1.5 + mg.tanh(x)) ** mg.sin(y), lambda x, y: (1.5 + torch.tanh(x)) ** torch.sin(y), 2),
    "where": (lambda x, y: mg.where(MASK[: len(x)], x, y) if x.ndim == 1 else mg.where(True, x, y),
              lambda x, y: torch.where(torch.tensor(MASK[: len(x)]), x, y) if x.ndim == 1
              else torch.where(torch.tensor(True), x, y), 2),
    "neg": (lambda x: -x, lambda x: -x, 1),
    "exp": (lambda x: mg.exp(mg.sin(x)), lambda x: torch.exp(torch.sin(x)), 1),
    "log": (lambda x: mg.log(1.0 + x * x), lambda x: torch.log(1.0 + x * x), 1),
    "sqrt": (lambda x: mg.sqrt(1.0 + x**2), lambda x: torch.sqrt(1.0 + x**2), 1),
    "sin": (mg.sin, lambda x: torch.sin(x), 1),
    "tanh": (mg.tanh, lambda x: torch.tanh(x), 1),
    "sigmoid": (mg.sigmoid, lambda x: torch.sigmoid(x), 1),
    "softplus": (mg.softplus, lambda x: torch.nn.functional.softplus(x), 1),
    "gelu": (mg.gelu, lambda x: torch.nn.functional.gelu(x), 1),
    "sum": (lambda x: mg.sum(x, axis=-1) if x.ndim else mg.sum(x), lambda x: x.sum(dim=-1), 1),
    "mean": (lambda x: mg.mean(x, axis=0, keepdims=True) if x.ndim else x,
             lambda x: x.mean(dim=0, keepdim=True) if x.ndim else x, 1),
    "var": (mg.var, lambda x: x.var(correction=0), 1),
    "logsumexp": (lambda x: mg.logsumexp(mg.sin(x)), lambda x: torch.sin(x).flatten().logsumexp(0), 1),
    "cumsum": (lambda x: mg.cumsum(x), lambda x: x.flatten().cumsum(0), 1),
    "prod": (lambda x: mg.prod(mg.tanh(x)), lambda x: torch.tanh(x).prod(), 1),
    "transpose": (lambda x: x.T, lambda x: x.permute(tuple(range(x.ndim))[::-1]), 1),
    "reshape": (lambda x: x.reshape(-1), lambda x: x.reshape(-1), 1),
    "new axis": (lambda x: x[..., None], lambda x: x[..., None], 1),
    "first": (lambda x: x[0] if x.ndim else x, lambda x: x[0] if x.ndim else x, 1),
    "repeats": (lambda x: x[[0, 0, -1]] if x.ndim else x, lambda x: x[[0, 0, -1]] if x.ndim else x, 1),
    "reversed": (lambda x: mg.flip(x), lambda x: x.flip(tuple(range(x.ndim))), 1),
    "roll": (lambda x: mg.roll(x, 1), lambda x: torch.roll(x, 1), 1),
    "broadcast": (lambda x: mg.broadcast_to(x, (2, *x.shape)), lambda x: x.expand((2, *x.shape)), 1),
    "twice": (lambda x: mg.concatenate([x, x]) if x.ndim else mg.stack([x, x]),
              lambda x: torch.cat([x, x]) if x.ndim else torch.stack([x, x]), 1),
    "gram": (lambda x: mg.matmul(x.reshape(-1), x.reshape(-1)), lambda x: x.reshape(-1) @ x.reshape(-1), 1),
    "outer": (lambda x, y: mg.einsum("i,j->ij", x.reshape(-1)[:3], y.reshape(-1)[:2]),
              lambda x, y: torch.einsum("i,j->ij", x.reshape(-1)[:3], y.reshape(-1)[:2]), 2),
    "batch norm": (lambda x: mg.batch_norm(x.reshape(-1, 1), eps=0.5), lambda x: (x.reshape(-1, 1) - x.mean())
                   / torch.sqrt(x.var(correction=0) + 0.5), 1),
}  # fmt: skip
# With kinks: values and both walks against PyTorch only.
KINKED: dict[str, Any] = {
    "relu": (mg.relu, lambda x: torch.relu(x), 1),
    "abs": (mg.abs, lambda x: torch.abs(x), 1),
    "maximum": (mg.maximum, lambda x, y: torch.maximum(x, y), 2),
    "minimum": (mg.minimum, lambda x, y: torch.minimum(x, y), 2),
    "max": (mg.max, lambda x: torch.amax(x), 1),
    "clip": (lambda x: mg.clip(x, -1.0, 1.0), lambda x: torch.clamp(x, -1.0, 1.0), 1),
    "leaky_relu": (mg.leaky_relu, lambda x: torch.nn.functional.leaky_relu(x), 1),
}
MOST = 64  # elements of one value: what would grow larger is summed


@dataclass
class Expression:
    """A program: leaves' shapes, then steps (op, positions of its inputs among all values so far)."""

    shapes: list[tuple[int, ...]]
    steps: list[tuple[str, tuple[int, ...]]]

    def __call__(self, leaves: Any, side: int) -> Any:
        """The value: a number, made of every value that nothing else used. side: 0 minigrad, 1 PyTorch."""
        values: list[Any] = list(leaves)
        used: set[int] = set()
        for name, positions in self.steps:
            inputs = [values[k] for k in positions]
            used.update(positions)
            values.append(smaller((SMOOTH | KINKED)[name][side](*inputs)))
        ends = [value for k, value in enumerate(values) if k not in used]
        total: Any = 0.0
        for end in ends:
            total = total + (end * end).sum() * 0.5
        return total


def smaller(x: Any) -> Any:
    return x if x.reshape(-1).shape[0] <= MOST else x.sum() * (1.0 / MOST)


@st.composite
def expressions(draw, ops):
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=draw(st.integers(1, 3)), max_dims=3, max_side=3))
    shapes = list(shapes.input_shapes)
    known = [np.zeros(shape) for shape in shapes]
    steps = []
    for _ in range(draw(st.integers(1, 8))):
        name = draw(st.sampled_from(ops))
        f, _, count = (SMOOTH | KINKED)[name]
        positions = [draw(st.integers(0, len(known) - 1)) for _ in range(count)]
        inputs = [mg.tensor(known[k]) for k in positions]
        try:
            shape = smaller(f(*inputs)).shape
        except ValueError:  # these two do not broadcast: take one of them twice
            positions = positions[:1] * 2
            shape = smaller(f(inputs[0], inputs[0])).shape
        known.append(np.zeros(shape))
        steps.append((name, tuple(positions)))
    return Expression(shapes, steps)


def drawn(expression, seed):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1.5, 1.5, size=shape) for shape in expression.shapes], rng


def gradients(expression, arrays, create_graph=False):
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    y = expression(xs, 0)
    return xs, y, mg.grad(y, xs, create_graph=create_graph)


def directional(ds, vs):
    return sum(np.sum(d.data * v) for d, v in zip(ds, vs, strict=True))


def assert_close(found, expected, rtol, what):
    scale = max(float(np.max(np.abs(np.atleast_1d(expected)), initial=0.0)), 1.0)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * scale, err_msg=what)


def along(f, arrays, vs, h):
    """Derivative of f along vs by central differences at h and 2h, extrapolated (error h**4)."""

    def at(t):
        return f([a + t * v for a, v in zip(arrays, vs, strict=True)])

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


@given(expressions(sorted(SMOOTH)), st.integers(0, 999))
def test_against_finite_differences(expression, seed):
    arrays, rng = drawn(expression, seed)
    vs = [rng.normal(size=a.shape) / np.sqrt(max(a.size, 1)) for a in arrays]
    ws = [rng.normal(size=a.shape) / np.sqrt(max(a.size, 1)) for a in arrays]
    xs, y, raw = gradients(expression, arrays)
    _, _, ds = gradients(expression, arrays, create_graph=True)
    own_kernel = fast.chosen() != "reference" and any(name == "batch norm" for name, _ in expression.steps)
    for k, (a, b) in enumerate(zip(raw, ds, strict=True)):
        # bit for bit, but where a kernel of its own computes what the readable code does on Tensors
        atol = 1e-11 * float(np.max(np.abs(a.data), initial=0.0)) if own_kernel else 0.0
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=atol, strict=True, err_msg=f"the two walks, input {k}")
    if not np.isfinite(y.item()) or max(float(np.max(np.abs(d.data), initial=0.0)) for d in raw) > 1e6:
        return  # too steep for finite differences to say anything
    slope = along(lambda arrays: expression([mg.tensor(a) for a in arrays], 0).item(), arrays, vs, 1e-3)
    assert_close(directional(raw, vs), slope, 1e-5, "order 1")
    xs, _, ds = gradients(expression, arrays, create_graph=True)
    s = mg.sum(mg.stack([mg.sum(d * v) for d, v in zip(ds, vs, strict=True)]))
    curvature = along(lambda arrays: directional(gradients(expression, arrays)[2], vs), arrays, ws, 1e-3)
    found = directional(mg.grad(s, xs), ws) if s.requires_grad else 0.0
    assert_close(found, curvature, 1e-4, "order 2")


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
@given(expressions(sorted(SMOOTH | KINKED)), st.integers(0, 999))
def test_against_pytorch(expression, seed):
    arrays, rng = drawn(expression, seed)
    vs = [rng.normal(size=a.shape) for a in arrays]
    xs, y, ds = gradients(expression, arrays, create_graph=True)
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    z = expression(ts, 1)
    if not np.isfinite(y.item()) or abs(y.item()) > 1e100:
        return
    assert_close(y.item(), z.item(), 1e-11, "value")
    es = torch.autograd.grad(z, ts, create_graph=True, allow_unused=True, materialize_grads=True)
    for k, (d, e) in enumerate(zip(ds, es, strict=True)):
        assert_close(d.data, e.numpy(force=True), 1e-9, f"input {k}, order 1")
    s = mg.sum(mg.stack([mg.sum(d * v) for d, v in zip(ds, vs, strict=True)]))
    t: Any = sum((e * torch.tensor(v)).sum() for e, v in zip(es, vs, strict=True))
    zeros = [np.zeros(a.shape) for a in arrays]  # the second derivatives where the first do not depend on anything
    found = [d.data for d in mg.grad(s, xs)] if s.requires_grad else zeros
    expected = zeros
    if t.requires_grad:
        expected = [e.numpy(force=True) for e in torch.autograd.grad(t, ts, allow_unused=True, materialize_grads=True)]
    for k, pair in enumerate(zip(found, expected, strict=True)):
        assert_close(*pair, 1e-8, f"input {k}, order 2")


@given(expressions(sorted(SMOOTH | KINKED)), st.integers(0, 999))
def test_backward_is_linear_in_the_cotangent_and_repeats_bit_for_bit(expression, seed):
    arrays, _ = drawn(expression, seed)
    xs = [mg.tensor(a, requires_grad=True) for a in arrays]
    y = expression(xs, 0)
    once, again = mg.grad(y, xs), mg.grad(y, xs)
    doubled = mg.grad(y, xs, gradient=2.0)  # exactly: 2 is a power of two
    for a, b, c in zip(once, again, doubled, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
        np.testing.assert_array_equal(2.0 * a.data, c.data)


def test_every_op_can_be_drawn_and_computed():
    for name, (f, _, count) in (SMOOTH | KINKED).items():
        for shape in ((), (1,), (3,), (2, 3), (2, 1, 3)):
            x = mg.tensor(np.full(shape, 0.5), requires_grad=True)
            out = f(*[x] * count)
            assert mg.grad(out, x, gradient=np.ones(out.shape)).shape == shape, name
