"""Seed 003, the course notes: training a net with batch norm, mini-batch by mini-batch, in the notes' seven steps.

    python -m examples.mini_batch_chain                  the steps, the bias, a single sample at test time
    python -m examples.mini_batch_chain --normalize a    after the activation instead of before it
    python -m examples.mini_batch_chain --landscape      also: the loss along the gradient, with and without

a -> z = w a -> z~ = beta + gamma z_norm -> next a. As in the notes z_norm is taken per feature over the mini-batch;
not as in the notes, epsilon is added to the variance (they print a minus), and the output is not normalized. The
notes' chains of one and of two mini-batches are drawn by `python -m examples.diagrams`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.check.table import table

ALPHA = 0.2  # the learning rate


class Chain(nn.Module):
    """x -> w1 -> batch norm and sigmoid (in either order) -> w2, b2. No bias before batch norm: beta is one."""

    def __init__(self, normalize: str = "z", rng: int = 0, width: int = 6) -> None:
        source = np.random.default_rng(rng)
        self.first = nn.Linear(2, width, bias=False, rng=source)
        self.norm = nn.BatchNorm1d(width, implementation="composed")
        self.last = nn.Linear(width, 1, rng=source)
        self.normalize = normalize

    def forward(self, x: Any) -> Any:
        """Logits (m, 1)."""
        z = self.first(x)
        a = mg.sigmoid(self.norm(z)) if self.normalize == "z" else self.norm(mg.sigmoid(z))
        return self.last(a)


def samples(count: int, seed: int) -> tuple[Any, Any]:
    """Points with features of very different scale; the label says on which side of a curve they lie."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 2)) * [1.0, 20.0] + [0.0, 50.0]
    return x, (x[:, :1] ** 2 + (x[:, 1:] - 50.0) / 20.0 > 0.7).astype(float)


def cost(net: Chain, x: Any, y: Any) -> Any:
    """J(w, beta, gamma): the mean loss of a mini-batch."""
    return mg.binary_cross_entropy_with_logits(net(x), y)


def seven_steps(net: Chain, x: Any, y: Any, batch_size: int, epochs: int, rng: Any, talk: bool) -> list[float]:
    """The notes' loop, nothing hidden: select, forward, normalize, loss, cost, backward, update."""
    costs = []
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        for t, start in enumerate(range(0, len(x), batch_size)):
            chosen = order[start : start + batch_size]  # 1. the t-th mini-batch
            y_hat = net(
                x[chosen]
            )  # 2. forward; 3. batch norm replaces z by z~ with this mini-batch's mean and variance
            loss = mg.binary_cross_entropy_with_logits(y_hat, y[chosen], reduction="none")  # 4. L of every sample
            J = loss.mean()  # 5. the cost
            names, parameters = zip(*net.named_parameters(), strict=True)
            gradients = mg.grad(J, parameters)  # 6. backward: dw, d_beta, d_gamma
            for w, dw in zip(parameters, gradients, strict=True):
                w.data = w.data - ALPHA * dw.data  # 7. w := w - alpha dw, and so for beta and gamma
            costs.append(J.item())
            if talk and epoch == 0 and t == 0:
                _tell(x[chosen], y_hat, loss, J, names, gradients)
    return costs


def _tell(x: Any, y_hat: Any, loss: Any, J: Any, names: Any, gradients: Any) -> None:
    print(f"1. mini-batch 1: x {x.shape}\n2. forward: y_hat {y_hat.shape}\n3. batch norm in the hidden layer")
    print(f"4. losses {loss.shape}\n5. cost J = {J.item():.4f}")
    print(f"6. and 7. gradients; each parameter moves by -{ALPHA} of it")
    rows = [[name, str(d.shape), f"{np.abs(d.data).max():.4f}"] for name, d in zip(names, gradients, strict=True)]
    print(table(["", "shape", "largest"], rows))


def bias_is_absorbed(x: Any, y: Any) -> tuple[float, float]:
    """With a bias b before batch norm: the largest |dJ/db|, and how much any b changes J. Both are rounding."""
    net = Chain()
    b = mg.zeros(6, requires_grad=True, name="b")
    net.norm = nn.BatchNorm1d(6, allow_bias=True)

    def J(b: Any) -> Any:
        z = net.first(x) + b
        return mg.binary_cross_entropy_with_logits(net.last(mg.sigmoid(net.norm(z))), y)

    slope = float(np.abs(mg.grad(J(b), b).data).max())
    return slope, abs(J(b).item() - J(b + 7.0).item())


def landscape(x: Any, y: Any) -> list[list[str]]:
    """The cost along the negative gradient from the start, with batch norm and without: rows (step, J, J)."""

    class Plain(Chain):
        def forward(self, x: Any) -> Any:
            return self.last(mg.sigmoid(self.first(x)))

    columns = []
    for net in (Chain(), Plain()):
        names = [name for name, _ in net.named_parameters() if not (isinstance(net, Plain) and name.startswith("norm"))]
        parameters = [dict(net.named_parameters())[name] for name in names]
        start = [w.data.copy() for w in parameters]
        gradients = mg.grad(cost(net, x, y), parameters)
        values = []
        with nn.frozen_statistics():
            for alpha in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0):
                for w, w0, dw in zip(parameters, start, gradients, strict=True):
                    w.data = w0 - alpha * dw.data
                values.append((alpha, cost(net, x, y).item()))
        columns.append(values)
    return [[f"{alpha:g}", f"{a:.4f}", f"{b:.4f}"] for (alpha, a), (_, b) in zip(*columns, strict=True)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0, or 1 where the bias is not absorbed or a single sample cannot be predicted."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.mini_batch_chain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--normalize", choices=("z", "a"), default="z", help="before or after the activation")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--landscape", action="store_true", help="the loss along the gradient")
    args = parser.parse_args(argv)

    x, y = samples(512, seed=1)
    net = Chain(args.normalize)
    costs = seven_steps(net, x, y, 64, args.epochs, np.random.default_rng(0), talk=True)
    print(f"\ncost of the first mini-batch {costs[0]:.4f}, of the last {costs[-1]:.4f}, after {len(costs)} of them")

    slope, change = bias_is_absorbed(x, y)
    print(f"a bias before batch norm: largest gradient {slope:.0e}, adding 7 to it moves J by {change:.0e}")

    net.eval()
    one = net(x[:1]).item()
    together = net(x).data[0, 0]
    print(f"test time, running averages of {net.norm.updates.item()} mini-batches: one sample alone gives the logit")
    print(f"{one:.6f}, the same as in a batch of {len(x)}: {together:.6f}")
    hits = float(np.mean((net(x).data > 0) == (y > 0.5)))
    print(f"accuracy {hits:.3f}")
    if args.landscape:
        print("\nJ along the negative gradient from the start:")
        print(table(["step", "with batch norm", "without"], landscape(x, y)))
    return 0 if max(slope, change) < 1e-12 and abs(one - together) < 1e-12 else 1


if __name__ == "__main__":
    sys.exit(main())
