"""Every primitive that PyTorch has too, row by row of the table: values and gradients to order 2."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg

from ..helpers import leaves, registry
from ..table import ROWS

torch = pytest.importorskip("torch")
F = torch.nn.functional


def over(f, several=True):
    """A reduction with NumPy's arguments: f(x, dims, keepdim)."""

    def reduce(x, axis=None, keepdims=False, **params):
        dims = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        if not dims and several:  # torch takes () for all
            return f(x[None], (0,), False, **params)
        return f(x, dims, keepdims, **params)

    return reduce


def _prod(x, dims, keepdim):
    for k in sorted((d % max(x.ndim, 1) for d in dims), reverse=True) if x.ndim else ():
        x = x.prod(dim=k, keepdim=keepdim)
    return x


def _std(x, dims, keepdim, ddof=0):
    return x.std(dim=dims, keepdim=keepdim, correction=ddof)


def _put(x, index, shape):
    index = index if isinstance(index, tuple) else (index,)
    flat = np.arange(np.prod(shape)).reshape(shape)[index]
    return (
        torch.zeros(shape, dtype=x.dtype).flatten().index_add(0, torch.tensor(flat).flatten(), x.flatten()).view(shape)
    )


def _getitem(x, index):
    def plain(part):
        if isinstance(part, slice) and (part.step or 1) < 0:
            return torch.arange(x.shape[0] - 1, -1, -1)
        return torch.tensor(part) if isinstance(part, np.ndarray) else part

    return x[tuple(plain(part) for part in index) if isinstance(index, tuple) else plain(index)]


def _clip(x, low=None, high=None):
    low, high = (torch.tensor(v) if isinstance(v, np.ndarray) else v for v in (low, high))
    return torch.clamp(x, low, high)


def _batch_norm(x, gamma, beta, axis, wide, eps):
    """F.batch_norm has the channels in axis 1 and reduces the others."""
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps or 1e-99)  # torch refuses 0


def _layer_norm(x, gamma, beta, axis, wide, eps):
    return F.layer_norm(x, [x.shape[k] for k in axis], gamma, beta, eps)


def _inference(x, gamma, beta, mean, var, wide, eps):
    return F.batch_norm(x, mean, var, gamma, beta, training=False, eps=eps)


TORCH = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow, "neg": torch.neg,
    "exp": torch.exp, "log": torch.log, "log1p": torch.log1p, "expm1": torch.expm1, "sqrt": torch.sqrt,
    "square": torch.square, "abs": torch.abs, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh,
    "sigmoid": torch.sigmoid, "softplus": F.softplus, "relu": torch.relu, "erf": torch.erf, "gelu": F.gelu,
    "silu": F.silu, "maximum": torch.maximum, "minimum": torch.minimum, "clip": _clip, "where": torch.where,
    "leaky_relu": lambda x, slope=0.01: F.leaky_relu(x, slope),
    "sum": over(torch.sum), "mean": over(torch.mean), "prod": over(_prod, several=False),
    "max": over(torch.amax), "min": over(torch.amin), "logsumexp": over(torch.logsumexp),
    "var": over(lambda x, dims, keepdim, ddof=0: x.var(dim=dims, keepdim=keepdim, correction=ddof)),
    "std": over(_std),
    "cumsum": lambda x, axis=None: x.flatten().cumsum(0) if axis is None else x.cumsum(axis),
    "reshape": lambda x, shape: x.reshape(shape), "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "transpose": lambda x, axes=None: x.permute(tuple(range(x.ndim))[::-1] if axes is None else axes),
    "swapaxes": lambda x, axis1, axis2: x.swapaxes(axis1, axis2),
    "flip": over(lambda x, dims, _: x.flip(dims), several=False),
    "expand_dims": lambda x, axis: x.reshape(np.expand_dims(np.empty(x.shape), axis).shape),
    "squeeze": lambda x, axis=None: x.squeeze() if axis is None else x.squeeze(axis),
    "astype": lambda x, dtype: x.to(torch.float64), "roll": lambda x, shift, axis=None: torch.roll(x, shift, axis),
    "concatenate": lambda *xs, axis=0: torch.cat([x.flatten() for x in xs] if axis is None else xs, axis or 0),
    "stack": lambda *xs, axis=0: torch.stack(xs, axis), "getitem": _getitem, "put": _put,
    "matmul": torch.matmul, "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "batch_norm": _batch_norm, "layer_norm": _layer_norm, "batch_norm_inference": _inference,
    "softmax_cross_entropy": lambda x, labels: F.cross_entropy(x, torch.tensor(labels), reduction="none"),
    "sigmoid_cross_entropy": lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="none"),
}  # fmt: skip


def test_no_primitive_is_left_out():
    assert set(TORCH) == {row.op for row in ROWS if not row.flat}
    assert set(TORCH) <= set(registry)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.flat], ids=str)
def test_as_pytorch(row, rng):
    theirs_function = TORCH.get(row.op) or getattr(torch, row.op, None)
    if theirs_function is None:
        pytest.skip(f"PyTorch has no {row.op}")
    arrays = row.arrays(rng)
    wanted = [k for k, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]
    ours = leaves(arrays)
    theirs: list[Any] = [a if a is None else torch.tensor(a, requires_grad=k in wanted) for k, a in enumerate(arrays)]
    if row.op == "batch_norm_inference":
        wanted = [k for k in wanted if k < 3]  # PyTorch has no derivative in the statistics
        theirs = [t if k < 3 else t.detach() for k, t in enumerate(theirs)]
    y, z = registry[row.op](*ours, **row.params), theirs_function(*theirs, **row.params)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-13, strict=True)
    c = rng.normal(size=y.shape)
    vs = [rng.normal(size=arrays[k].shape) for k in wanted]
    c_ours, c_theirs = mg.tensor(c, requires_grad=True), torch.tensor(c, requires_grad=True)
    ds = mg.grad(y, [ours[k] for k in wanted], gradient=c_ours, create_graph=True)
    es = torch.autograd.grad(z, [theirs[k] for k in wanted], c_theirs, create_graph=True)
    for k, d, e in zip(wanted, ds, es, strict=True):
        np.testing.assert_allclose(d.data, e.detach().numpy(), rtol=1e-11, atol=1e-12, err_msg=f"input {k}, order 1")
    if row.op == "pow" and (arrays[1] == 0).any():
        return  # PyTorch 2.13 is wrong here: d/dy of y * x**(y - 1) at y = 0 is 1/x, and it says 0
    s = mg.sum(mg.stack([mg.sum(d * v) for d, v in zip(ds, vs, strict=True)]))
    t = sum((e * torch.tensor(v)).sum() for e, v in zip(es, vs, strict=True))
    points, others = [*(ours[k] for k in wanted), c_ours], [*(theirs[k] for k in wanted), c_theirs]
    seconds = mg.grad(s, points)
    expected = torch.autograd.grad(t, others, allow_unused=True)
    names: list[Any] = [*wanted, "g"]
    for name, d, e in zip(names, seconds, expected, strict=True):
        e = torch.zeros(d.shape) if e is None else e
        np.testing.assert_allclose(
            d.data, e.numpy(force=True), rtol=1e-10, atol=1e-11, err_msg=f"input {name}, order 2"
        )


# Where PyTorch and minigrad differ on purpose is written in docs/conventions; these kinks are the same in both.
KINKS: dict[str, tuple[Any, Any, list[float]]] = {
    "relu": (mg.relu, torch.relu, [0.0, -1.0, 1.0]),
    "abs": (mg.abs, torch.abs, [0.0, -1.0, 1.0]),
    "max": (mg.max, torch.amax, [1.0, 2.0, 2.0]),
    "clip": (lambda x: mg.clip(x, 0.0, 1.0), lambda x: torch.clamp(x, 0.0, 1.0), [0.0, 0.5, 1.0, 2.0]),
    "maximum": (lambda x: mg.maximum(x, x), lambda x: torch.maximum(x, x), [1.0, 2.0]),
    "std": (mg.std, lambda x: x.std(correction=0), [2.0, 2.0]),
    "sqrt": (mg.sqrt, torch.sqrt, [0.0, 1.0]),
    "log": (mg.log, torch.log, [0.0, 1.0]),
    "prod": (mg.prod, torch.prod, [0.0, 2.0, 0.0]),
    "pow": (lambda x: x**0.5, lambda x: x**0.5, [0.0, 4.0]),
    "sqrt of relu": (lambda x: mg.sqrt(mg.relu(x)), lambda x: torch.sqrt(torch.relu(x)), [-1.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("name", KINKS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_kinks_as_pytorch(name):
    ours, theirs, x = KINKS[name]
    a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    theirs(b).sum().backward()
    np.testing.assert_allclose(mg.grad(mg.sum(ours(a)), a).data, b.grad.numpy(), rtol=1e-6)
