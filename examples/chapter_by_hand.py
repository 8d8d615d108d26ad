"""The textbook chapter's batch norm, in its own names, with all of its numbers.

    python -m examples.chapter_by_hand

Prints every number of the chapter beside ours: from the graph written as the chapter writes it (z, mu, var, zmu,
ivar, zhat, q) and from minigrad's fused primitive. The chapter's example has gamma = 1 and so cannot show that its
formulas for d mu and d var leave gamma out; the second part repeats the check with another gamma, against
numerical gradients. Exits with 0 only if everything agrees.

Source of the numbers: chapter "2.11. Batch Normalization" (docs/seeds.md, rows 000-8, 000-9 and 000-13).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import chapter
from minigrad.check.table import short, table

ATOL = 5e-9  # the chapter prints eight decimals

PRINTED: dict[str, Any] = {
    "mu": [4.57142857, 3.14285714, 6.57142857],
    "var": [2.24489796, 3.83673469, 2.24489796],
    "q": [
        [0.95346238, -0.07293249, 0.28603871],
        [-0.38138495, 1.45864972, 1.62088604],
        [-1.71623228, 1.45864972, 0.28603871],
        [-0.38138495, -0.07293249, 0.28603871],
        [1.62088604, -0.58345989, -1.04880861],
        [-0.38138495, -1.09398729, 0.28603871],
        [0.28603871, -1.09398729, -1.71623228],
    ],
    "dgamma": [1.87446152, -3.33807569, 0.75442823],
    "dbeta": [3.09971237, 1.20613122, -2.25248871],
    "dz": [
        [0.42119623, -0.49884504, -0.01690198],
        [-0.888674, -0.27953285, -0.86205837],
        [0.38788918, 0.41812232, -0.89130965],
        [-0.0808407, 0.24082659, 1.45513635],
        [0.05651819, -0.17691132, -0.03093201],
        [0.34007894, 0.38771122, 0.90015001],
        [-0.23616783, -0.09137091, -0.55408435],
    ],
}


def by_hand(z: mg.Tensor, gamma: mg.Tensor, beta: mg.Tensor) -> dict[str, mg.Tensor]:
    """The chapter's forward pass, line by line; every node under the chapter's name."""
    with mg.scope("statistics"):
        mu = mg.mean(z, axis=0).named("mu")
        var = mg.var(z, axis=0).named("var")
    with mg.scope("normalize"):
        zmu = (z - mu).named("zmu")
        ivar = (1.0 / mg.sqrt(var + chapter.EPS)).named("ivar")
        zhat = (zmu * ivar).named("zhat")
    with mg.scope("affine"):
        q = (gamma * zhat + beta).named("q")
    return {"mu": mu, "var": var, "zmu": zmu, "ivar": ivar, "zhat": zhat, "q": q}


def fused(z: mg.Tensor, gamma: mg.Tensor, beta: mg.Tensor) -> dict[str, mg.Tensor]:
    """The same as one primitive."""
    return {"q": mg.batch_norm(z, gamma, beta, eps=chapter.EPS).named("q")}


Forward = Callable[[mg.Tensor, mg.Tensor, mg.Tensor], dict[str, mg.Tensor]]


def leaves(gamma: object, beta: object) -> tuple[mg.Tensor, mg.Tensor, mg.Tensor]:
    """z, gamma and beta as named leaves."""
    made = (chapter.z(), "z"), (np.asarray(gamma, float), "gamma"), (np.asarray(beta, float), "beta")
    z, g, b = (mg.tensor(values, requires_grad=True, name=name) for values, name in made)
    return z, g, b


def numbers(forward: Forward, gamma: object, beta: object) -> dict[str, mg.Tensor]:
    """Everything that one implementation computes: the nodes it shows, and the gradients for the chapter's dq."""
    z, g, b = leaves(gamma, beta)
    nodes = forward(z, g, b)
    dz, dgamma, dbeta = mg.grad(nodes["q"], (z, g, b), gradient=chapter.dq())
    return {**nodes, "dz": dz, "dgamma": dgamma, "dbeta": dbeta}


def against_the_page() -> list[list[str]]:
    """Rows (implementation, quantity, largest difference to the printed digits, verdict)."""
    rows = []
    for label, forward in (("by hand", by_hand), ("fused", fused)):
        ours = numbers(forward, np.ones(3), np.zeros(3))
        for name, printed in PRINTED.items():
            if name in ours:
                difference = float(np.max(np.abs(ours[name].numpy() - np.array(printed))))
                rows.append([label, name, short(difference), "yes" if difference <= ATOL else "NO"])
    return rows


def against_differences(gamma: object, beta: object) -> list[list[str]]:
    """Rows (implementation, quantity, error to a numerical gradient, verdict) for a gamma that is not 1."""
    rows = []
    for label, forward in (("by hand", by_hand), ("fused", fused)):
        ours = numbers(forward, gamma, beta)
        for k, name in enumerate(("z", "gamma", "beta")):

            def q(x: mg.Tensor, k: int = k, forward: Forward = forward) -> mg.Tensor:
                inputs = list(leaves(gamma, beta))
                inputs[k] = x
                return forward(*inputs)["q"]

            numeric = mg.check.numerical_grad(q, leaves(gamma, beta)[k], gradient=chapter.dq())
            difference = float(np.max(np.abs(ours[f"d{name}"].numpy() - numeric)))
            rows.append([label, f"d{name}", short(difference), "yes" if difference <= 1e-8 else "NO"])
    return rows


def main(argv: list[str] | None = None) -> int:
    """Print both tables; 0 if everything agrees, else 1."""
    parser = argparse.ArgumentParser(prog="python -m examples.chapter_by_hand", description=__doc__.splitlines()[0])
    parser.add_argument("--draw", metavar="FILE", help="also draw the graph by hand: .svg, .png or .dot")
    args = parser.parse_args(argv)
    page = against_the_page()
    print(table(["implementation", "quantity", "largest difference", "agrees"], page))
    gamma, beta = [2.0, -0.5, 1.5], [0.1, 0.2, -0.3]
    other = against_differences(gamma, beta)
    print(f"\nAgain with gamma = {gamma}, against numerical gradients:\n")
    print(table(["implementation", "quantity", "largest difference", "agrees"], other))
    if args.draw:
        q = by_hand(*leaves(gamma, beta))["q"]
        mg.draw(q, gradient=chapter.dq()).save(args.draw)
        print(f"\nwrote {args.draw}")
    return 0 if all(row[-1] == "yes" for row in page + other) else 1


if __name__ == "__main__":
    sys.exit(main())
