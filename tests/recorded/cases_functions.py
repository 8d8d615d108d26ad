"""Losses and normalizations to second order, running statistics, and kernels at sizes where they take over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg

from .case import Array, Case, drawn

F32 = 4e-6  # what float32 may differ from PyTorch's float64 by


def our_orders(f: Callable[..., Any], inputs: Sequence[Array]) -> list[Array]:
    """The value, the gradients of a fixed projection, and those of a projection of the gradients."""
    xs = [mg.tensor(x, requires_grad=True) for x in inputs]
    y = f(*xs)
    first = mg.grad(y, xs, gradient=drawn(50, *y.shape), create_graph=True)
    total = sum((mg.sum(d * drawn(60 + k, *d.shape)) for k, d in enumerate(first)), start=mg.tensor(0.0))
    return [a.data for a in (y, *first, *mg.grad(total, xs))]


def their_orders(g: Callable[[Any], Any], inputs: Sequence[Array], torch: Any) -> list[Array]:
    xs = [torch.tensor(x, requires_grad=True) for x in inputs]
    y = g(torch.nn.functional)(*xs)
    first = torch.autograd.grad(y, xs, torch.tensor(drawn(50, *y.shape)), create_graph=True)
    total = sum((d * torch.tensor(drawn(60 + k, *d.shape))).sum() for k, d in enumerate(first))
    second = [torch.zeros_like(x) for x in xs]
    if total.requires_grad:
        found = torch.autograd.grad(total, xs, allow_unused=True)
        second = [z if d is None else d for z, d in zip(second, found, strict=True)]
    return [a.numpy(force=True) for a in (y, *first, *second)]


def case(name: str, f: Any, g: Any, inputs: Sequence[Array], bound: float = 1e-11) -> Case:
    """g: PyTorch's functional module -> the function."""
    return Case(name, partial(our_orders, f, inputs), partial(their_orders, g, inputs), bound)


# Losses -----------------------------------------------------------------------------------------------------------


def losses() -> Iterator[Case]:
    x, target, share = drawn(1, 5, 4, scale=2.0), drawn(2, 5, 4, scale=2.0), 0.1 + 0.8 / (1 + np.exp(-drawn(3, 5, 4)))
    labels = np.random.RandomState(4).randint(0, 4, 5)

    for reduction in ("mean", "sum", "none"):
        r = {"reduction": reduction}
        for name in ("mse_loss", "l1_loss"):
            yield case(
                f"{name} {reduction}",
                partial(getattr(mg, name), **r),
                lambda F, name=name, r=r: partial(getattr(F, name), **r),
                [x, target],
            )
        for delta in (0.3, 1.0, 2.5):
            yield case(
                f"huber_loss {delta} {reduction}",
                partial(mg.huber_loss, delta=delta, **r),
                lambda F, d=delta, r=r: partial(F.huber_loss, delta=d, **r),
                [x, target],
            )
        yield case(
            f"binary_cross_entropy_with_logits {reduction}",
            lambda z, r=r: mg.binary_cross_entropy_with_logits(z, share, **r),
            lambda F, r=r: lambda z: F.binary_cross_entropy_with_logits(z, z.new_tensor(share), **r),
            [x],
        )
        yield case(
            f"binary_cross_entropy {reduction}",
            lambda p, r=r: mg.binary_cross_entropy(p, share, **r),
            lambda F, r=r: lambda p: F.binary_cross_entropy(p, p.new_tensor(share), **r),
            [share[::-1].copy()],
            1e-10,  # PyTorch adds 1e-12 to p (1 - p)
        )
        yield case(
            f"cross_entropy {reduction}",
            lambda z, r=r: mg.cross_entropy(z, labels, **r),
            lambda F, r=r: lambda z: F.cross_entropy(z, z.new_tensor(labels).long(), **r),
            [x],
        )
        yield case(
            f"nll_loss {reduction}",
            lambda z, r=r: mg.nll_loss(z, labels, **r),
            lambda F, r=r: lambda z: F.nll_loss(z, z.new_tensor(labels).long(), **r),
            [x],
        )


# Normalizations ---------------------------------------------------------------------------------------------------


def normalizations() -> Iterator[Case]:
    for shape, axis in (((7, 3), 0), ((4, 3, 5), (0, 2))):
        x, gamma, beta = drawn(11, *shape, scale=3.0) + 2.0, drawn(12, 3), drawn(13, 3)
        mean, var = drawn(14, 3), drawn(15, 3) ** 2 + 0.2
        for eps in (1e-5, 0.3):
            for form in ("batch_norm", "batch_norm_composed"):
                o = {"axis": axis, "eps": eps}
                yield case(
                    f"{form} {shape} eps {eps}",
                    partial(getattr(mg, form), **o),
                    lambda F, e=eps: lambda z, u, v: F.batch_norm(z, None, None, u, v, True, 0.0, e),
                    [x, gamma, beta],
                )
                yield case(
                    f"{form} {shape} eps {eps}, not affine",
                    partial(getattr(mg, form), **o),
                    lambda F, e=eps: lambda z: F.batch_norm(z, None, None, None, None, True, 0.0, e),
                    [x],
                )
            yield case(
                f"batch_norm_inference {shape} eps {eps}",
                lambda x, g, b, o=o, m=mean, v=var: mg.batch_norm_inference(x, g, b, m, v, **o),
                lambda F, e=eps, m=mean, s=var: (
                    lambda z, u, v: F.batch_norm(z, z.new_tensor(m), z.new_tensor(s), u, v, False, 0.0, e)
                ),
                [x, gamma, beta],
            )
    layers: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((5, 6), (6,)), ((3, 4, 5), (5,)), ((3, 4, 5), (4, 5))]
    for size, own in layers:
        x, gamma, beta = drawn(21, *size, scale=2.0) - 1.0, drawn(22, *own), drawn(23, *own)
        last = tuple(range(-len(own), 0))
        for eps in (1e-5, 0.2):
            for form in ("layer_norm", "layer_norm_composed"):
                yield case(
                    f"{form} {size} over {own} eps {eps}",
                    partial(getattr(mg, form), axis=last, eps=eps),
                    lambda F, own=own, e=eps: lambda z, u, v: F.layer_norm(z, own, u, v, e),
                    [x, gamma, beta],
                )


def running(shape: tuple[int, ...], momentum: float | None, torch: Any = None) -> list[Array]:
    """Running statistics over five batches, then the layer in eval(). None: PyTorch's cumulative average."""
    batches = [drawn(30 + k, *shape, scale=1.0 + k) + k for k in range(5)]
    found: list[Array] = []
    if torch is None:
        options: dict[str, Any] = {"convention": "paper"} if momentum is None else {"momentum": momentum}
        bn = mg.nn.BatchNorm1d(shape[1], **options)
        for x in batches:
            bn(x)
            found += [bn.running_mean.data.copy(), bn.running_var.data.copy()]
        return [*found, bn.eval()(batches[0]).data]
    layer = torch.nn.BatchNorm1d(shape[1], momentum=momentum, dtype=torch.float64)
    for x in batches:
        layer(torch.tensor(x))
        found += [layer.running_mean.numpy().copy(), layer.running_var.numpy().copy()]
    return [*found, layer.eval()(torch.tensor(batches[0])).detach().numpy()]


def statistics() -> Iterator[Case]:
    for shape in ((6, 3), (4, 3, 5)):
        for momentum in (0.1, 0.5, 0.9, None):
            setting: Any = shape, momentum
            yield Case(f"running statistics {shape} momentum {momentum}", partial(running, *setting),
                       partial(running, *setting))  # fmt: skip


# Kernels: large enough that they run, a few rows of the results written down --------------------------------------


def kernels() -> Iterator[Case]:
    big, wide, g, b = drawn(41, 3000, 40) + 5.0, drawn(42, 500, 300), drawn(43, 40), drawn(44, 40)
    labels = np.random.RandomState(45).randint(0, 40, 3000)
    share = 1 / (1 + np.exp(-big[::-1] + 5.0))
    table: list[tuple[str, Callable[..., Any], Callable[[Any], Any], list[Array]]] = [
        ("batch norm", mg.batch_norm, lambda F: lambda x, g, b: F.batch_norm(x, None, None, g, b, True), [big, g, b]),
        ("layer norm", mg.layer_norm, lambda F: lambda x: F.layer_norm(x, (300,)), [wide]),
        ("cross entropy", lambda z: mg.cross_entropy(z, labels, reduction="none"),
         lambda F: lambda z: F.cross_entropy(z, z.new_tensor(labels).long(), reduction="none"), [big]),
        ("binary cross entropy", lambda z: mg.binary_cross_entropy_with_logits(z, share.astype(z.dtype)),
         lambda F: lambda z: F.binary_cross_entropy_with_logits(z, z.new_tensor(share)), [big]),
        ("var, ddof 1", lambda x: mg.var(x, axis=0, ddof=1), lambda F: lambda x: x.var(dim=0, correction=1), [big]),
        ("std over all, ddof 3", lambda x: mg.std(x, ddof=3), lambda F: lambda x: x.std(correction=3), [big]),
        ("relu on three axes", lambda x: mg.relu(mg.reshape(x, (30, 100, 40)) - 5.0),
         lambda F: lambda x: F.relu(x.reshape(30, 100, 40) - 5.0), [big]),
        ("a stretched quotient", lambda x, g: mg.sum(x / (g * g + 1.0) * x, axis=0),
         lambda F: lambda x, g: (x / (g * g + 1.0) * x).sum(0), [big, g]),
    ]  # fmt: skip
    for name, f, other, inputs in table:
        for dtype in ("float64", "float32"):
            bound = 1e-11 if dtype == "float64" else F32
            narrow = partial(first_order, f, [x.astype(dtype) for x in inputs])
            yield Case(f"{name}, large, {dtype}", narrow, partial(their_first_order, other, inputs), bound)
    for dtype in ("float64", "float32"):
        bound = 1e-12 if dtype == "float64" else F32
        yield Case(
            f"Adam, 70,000 parameters, {dtype}", partial(large_adam, dtype), partial(large_adam, "float64"), bound
        )


def _few(a: Array) -> Array:
    return a.reshape(-1)[:: a.size // 60 + 1]


def first_order(f: Callable[..., Any], inputs: Sequence[Array]) -> list[Array]:
    xs = [mg.tensor(x, requires_grad=True) for x in inputs]
    y = f(*xs)
    return [_few(a.data) for a in (y, *mg.grad(y, xs, drawn(50, *y.shape).astype(y.dtype)))]


def their_first_order(g: Callable[[Any], Any], inputs: Sequence[Array], torch: Any) -> list[Array]:
    xs = [torch.tensor(x, requires_grad=True) for x in inputs]
    y = g(torch.nn.functional)(*xs)
    found = torch.autograd.grad(y, xs, torch.tensor(drawn(50, *y.shape)))
    return [_few(a.detach().numpy()) for a in (y, *found)]


def large_adam(dtype: str, torch: Any = None) -> list[Array]:
    start, slopes = drawn(46, 70_000), [drawn(47 + k, 70_000) for k in range(3)]
    options: Any = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3}
    if torch is None:
        w = mg.tensor(start, dtype=dtype, requires_grad=True)
        ours = mg.optim.Adam([w], **options)
        for slope in slopes:
            w.grad = mg.tensor(slope, dtype=dtype)
            ours.step()
        return [_few(w.data)]
    v = torch.tensor(start, requires_grad=True)
    theirs = torch.optim.Adam([v], **options)
    for slope in slopes:
        v.grad = torch.tensor(slope)
        theirs.step()
    return [_few(v.detach().numpy())]


def cases() -> Iterator[Case]:
    """All of this file."""
    yield from losses()
    yield from normalizations()
    yield from statistics()
    yield from kernels()
