"""The notebook's cells that compute without training: forward, gradient checks, the alternative backward."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.check.table import short, table

from .net import FullyConnectedNet

SEED = 220
Array = np.ndarray[Any, Any]


def _two_layers(rng: np.random.RandomState, rows: int) -> Array:
    """X, W1 and W2 drawn in this order; relu(X W1) W2."""
    X, W1, W2 = rng.randn(rows, 50), rng.randn(50, 60), rng.randn(60, 3)
    hidden: Array = np.maximum(0, X.dot(W1)).dot(W2)
    return hidden


def _show(title: str, a: Array, axis: int, printed: dict[str, Any] | None = None) -> bool:
    """Print means and stds as the notebook does; whether they are the printed ones to their eight decimals."""
    print(title)
    found = {"means": a.mean(axis=axis), "stds": a.std(axis=axis)}
    right = True
    for name, values in found.items():
        verdict = ""
        if printed is not None and name in printed:
            same = bool(np.max(np.abs(values - np.array(printed[name]))) <= 5e-9)
            verdict = "   as printed" if same else f"   PRINTED: {printed[name]}"
            right = right and same
        print(f"  {name + ':':7}{np.array2string(values, precision=8)}{verdict}")
    print()
    return right


def forward() -> bool:
    """Cells 3 and 4: batch norm in training and at test time."""
    a = _two_layers(np.random.RandomState(SEED), 200)
    before = {"means": [28.57337215, 27.08029233, 1.62528447], "stds": [34.85744517, 25.9706331, 29.6313792]}
    right = _show("Before batch normalization:", a, 0, before)
    bn = nn.BatchNorm1d(3, convention="cs231n")
    after = {"means": [0, 0, 0], "stds": [1.0, 0.99999999, 0.99999999]}
    right &= _show("After batch normalization (gamma=1, beta=0)", bn(a).numpy(), 0, after)
    bn.set_weights([[1.0, 2.0, 3.0], [11.0, 12.0, 13.0], np.zeros(3), np.zeros(3)])
    after = {"means": [11, 12, 13], "stds": [1.0, 1.99999999, 2.99999998]}
    right &= _show("After batch normalization (gamma=[1 2 3], beta=[11 12 13])", bn(a).numpy(), 0, after)

    rng = np.random.RandomState(SEED)
    W1, W2 = rng.randn(50, 60), rng.randn(60, 3)
    bn = nn.BatchNorm1d(3, convention="cs231n")
    for _ in range(50):
        bn(np.maximum(0, rng.randn(200, 50).dot(W1)).dot(W2))
    y = bn.eval()(np.maximum(0, rng.randn(200, 50).dot(W1)).dot(W2)).numpy()
    late = {"means": [-0.00462469, 0.06873645, 0.09765526], "stds": [0.96218861, 1.04444084, 0.9853543]}
    return _show("After batch normalization (test-time):", y, 0, late) and right


def _gradient_check(normalize: Any, staged: Any, printed: dict[str, float]) -> bool:
    """Cells 5 and 15: analytic gradients of `normalize` against differences of the staged forward pass.

    Of the staged one in both cases, as in the notebook: the fused forward rounds differently, and near 12 the
    differences of the two agree only to 2e-8.
    """
    bounds = {"dx": 1e-8, "dgamma": 1e-9, "dbeta": 1e-10}
    rng = np.random.RandomState(SEED)
    x, gamma, beta = 5 * rng.randn(4, 5) + 12, rng.randn(5), rng.randn(5)
    dout = rng.randn(4, 5)
    inputs = [mg.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    grads = mg.grad(normalize(*inputs), inputs, gradient=dout)
    rows = []
    for k, name in enumerate(("dx", "dgamma", "dbeta")):

        def f(moved: Array, k: int = k) -> Any:
            return staged(*[moved if j == k else tensor.data for j, tensor in enumerate(inputs)])

        error = mg.check.rel_error(mg.check.numerical_grad(f, inputs[k].numpy(), gradient=dout), grads[k])
        rows.append([name, short(error), short(printed[name]), short(bounds[name]), _yes(error <= bounds[name])])
    print(table(["", "our error", "printed", "bound", "fine"], rows))
    return all(row[-1] == "yes" for row in rows)


def backward() -> bool:
    """Cell 5: the gradient check of batch norm, of the staged graph and of the fused form."""
    printed = {"dx": 5.0287e-09, "dgamma": 2.2733e-11, "dbeta": 3.2765e-12}
    right = True
    for name, form in (("staged graph", _staged_batch_norm), ("fused", mg.batch_norm)):
        print(f"Batch norm, {name}: relative errors to numerical gradients")
        right &= _gradient_check(form, _staged_batch_norm, printed)
        print()
    return right


def _staged_batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    return mg.batch_norm_composed(x, gamma, beta, variance="staged")


def _staged_layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
    return mg.layer_norm_composed(x, gamma, beta, variance="staged")


def layer_norm() -> bool:
    """Cells 14 and 15: layer norm forward, and its gradient check."""
    a = _two_layers(np.random.RandomState(SEED), 4)
    before = {
        "means": [34.05612999, 30.32922803, 38.20844387, 77.27961435],
        "stds": [7.7622382, 32.9930656, 19.4537999, 38.93389575],
    }
    right = _show("Before layer normalization:", a, 1, before)
    ln = nn.LayerNorm(3)
    after = {"means": [0, 0, 0, 0], "stds": [0.99999992, 1.0, 0.99999999, 1.0]}
    right &= _show("After layer normalization (gamma=1, beta=0)", ln(a).numpy(), 1, after)
    ln.load_state_dict({"gamma": np.full(3, 3.0), "beta": np.full(3, 5.0)})
    after = {"means": [5, 5, 5, 5], "stds": [2.99999975, 2.99999999, 2.99999996, 2.99999999]}
    right &= _show("After layer normalization (gamma=[3 3 3], beta=[5 5 5])", ln(a).numpy(), 1, after)
    print("Layer norm, fused: relative errors to numerical gradients")
    printed = {"dx": 2.1493e-09, "dgamma": 5.918e-12, "dbeta": 3.277e-12}
    return _gradient_check(mg.layer_norm, _staged_layer_norm, printed) and right


def alternative(repeats: int = 200) -> bool:
    """Cell 6: the simplified backward against the staged graph; differences, and how much faster it is."""
    rng = np.random.RandomState(SEED)
    x, gamma, beta = 5 * rng.randn(100, 500) + 12, rng.randn(500), rng.randn(500)
    dout = rng.randn(100, 500)
    inputs = [mg.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    outputs = {
        "staged": mg.batch_norm_composed(*inputs, variance="staged"),
        "fused": mg.batch_norm(*inputs),
    }
    grads = {name: mg.grad(y, inputs, gradient=dout) for name, y in outputs.items()}
    right = True
    for k, (name, printed) in enumerate({"dx": 1.675968059428407e-12, "dgamma": 0.0, "dbeta": 0.0}.items()):
        a, b = (grads[form][k].numpy() for form in ("staged", "fused"))
        worst = float(np.max(np.abs(a - b)) / max(np.max(np.abs(a)), np.max(np.abs(b))))
        print(f"{name} difference: {mg.check.rel_error(a, b):.3g} (printed {printed:.3g}), of the largest {worst:.1e}")
        right = right and worst <= 1e-12
    seconds: dict[str, list[float]] = {name: [] for name in outputs}
    for _ in range(
        repeats
    ):  # interleaved, and the first tenth thrown away: memory is warm, and both saw the same noise
        for name, y in outputs.items():
            start = time.perf_counter()
            mg.grad(y, inputs, gradient=dout)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[repeats // 10 :]) for name, times in seconds.items()}
    each = ", ".join(f"{name} {1e6 * t:.0f} us" for name, t in medians.items())
    print(f"speedup of the backward pass: {medians['staged'] / medians['fused']:.2f}x (printed 1.59x; medians: {each})")
    print("A speed is never asserted: it belongs to the machine and to the hour.")
    return right


def net_check() -> bool:
    """Cell 7: initial losses, and every gradient of a two-hidden-layer net with batch norm against numerical ones."""
    printed = {
        0.0: (2.609886575288241, {"W1": 5.64e-05, "W2": 4.39e-06, "W3": 1.92e-09, "b1": 2.22e-03, "b2": 2.22e-03,
                                  "b3": 1.01e-10, "beta1": 8.40e-09, "beta2": 3.62e-09, "gamma1": 8.69e-09,
                                  "gamma2": 8.98e-09}),
        3.14: (7.008456540025971, {"W1": 2.14e-05, "W2": 6.14e-06, "W3": 1.86e-08, "b1": 3.55e-07, "b2": 1.78e-07,
                                   "b3": 1.49e-10, "beta1": 4.22e-09, "beta2": 1.01e-08, "gamma1": 4.31e-09,
                                   "gamma2": 9.90e-09}),
    }  # fmt: skip
    rng = np.random.RandomState(SEED)
    X, y = rng.randn(2, 15), rng.randint(10, size=(2,))
    right = True
    for reg, (expected, errors) in printed.items():
        net = FullyConnectedNet(
            [20, 30], rng=rng, input_dim=15, reg=reg, weight_scale=5e-2, dtype=np.float64, normalization="batchnorm"
        )
        with (
            mg.nn.frozen_statistics()
        ):  # numerical gradients call the net a thousand times: its running statistics stay out of it
            loss, grads = net.loss(X, y)
            same = abs(loss - expected) <= 1e-12
            right &= same
            print(f"Running check with reg = {reg:g}\nInitial loss: {loss!r} (printed {expected!r}: {_yes(same)})")
            rows = [_compared(net, name, grads[name], errors[name], X, y) for name in sorted(grads)]
        print(table(["", "our error", "printed", "bound", "fine"], rows) + "\n")
        right &= all(row[-1] == "yes" for row in rows)
    print("b1 and b2 feed batch norms: their true gradients are 0, so they are judged by size, at most 1e-8.")
    print("The errors of W1 are those of the differences: two rows a batch have variances near eps.")
    return right


def _compared(net: FullyConnectedNet, name: str, grad: Array, printed: float, X: Array, y: Array) -> list[str]:
    parameter = net.params[name]
    start = parameter.numpy().copy()

    def loss(moved: Array) -> float:
        parameter.data = moved
        value = mg.cross_entropy(net(X), y)
        return float((value + net.penalty() if net.reg else value).item())

    numeric = mg.check.numerical_grad(loss, start, h=1e-5)
    parameter.data = start
    if name in ("b1", "b2"):
        size = float(np.max(np.abs(grad)))
        wide = float(np.max(np.abs(numeric)))
        return [name, f"{size:.1e} abs", short(printed), "1.0e-08 abs", _yes(size <= 1e-8 and wide <= 1e-8)]
    error, bound = mg.check.rel_error(numeric, grad), max(3 * printed, 1e-7)
    return [name, short(error), short(printed), short(bound), _yes(error <= bound)]


def _yes(fine: bool) -> str:
    return "yes" if fine else "NO"
