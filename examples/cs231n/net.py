"""The notebook's FullyConnectedNet, under its names: W1, b1, gamma1, beta1, W2, ..."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn

NORMALIZATIONS = (None, "batchnorm", "layernorm")


class FullyConnectedNet(nn.Module):
    """(affine - normalization - leaky ReLU) for each hidden layer, then affine - softmax.

    As in the notebook: weights are weight_scale * N(0, 1), drawn in the order W1, W2, ...; biases are kept before batch
    norm, where they do nothing; the last affine is not normalized; running statistics after the cs231n convention.
    """

    def __init__(
        self,
        hidden_dims: Sequence[int],
        *,
        rng: np.random.RandomState,
        input_dim: int = 3 * 32 * 32,
        num_classes: int = 10,
        reg: float = 0.0,
        weight_scale: float = 1e-2,
        dtype: Any = np.float32,
        normalization: str | None = None,
    ) -> None:
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization={normalization!r} must be one of {NORMALIZATIONS}")
        sizes = [input_dim, *hidden_dims, num_classes]
        init = partial(nn.init.normal, scale=weight_scale)
        self.reg = reg
        self.affine = [nn.Linear(a, b, rng=rng, init=init, dtype=dtype) for a, b in itertools.pairwise(sizes)]
        self.norm: list[Any] = []
        if normalization == "batchnorm":
            self.norm = [
                nn.BatchNorm1d(width, convention="cs231n", allow_bias=True, dtype=dtype) for width in hidden_dims
            ]
        elif normalization == "layernorm":
            self.norm = [nn.LayerNorm(width, dtype=dtype) for width in hidden_dims]

    @property
    def params(self) -> dict[str, mg.Tensor]:
        """Parameters by the notebook's names."""
        found: dict[str, Any] = {}
        for k, affine in enumerate(self.affine, 1):
            found |= {f"W{k}": affine.weight, f"b{k}": affine.bias}
        for k, norm in enumerate(self.norm, 1):
            found |= {f"gamma{k}": norm.gamma, f"beta{k}": norm.beta}
        return found

    def forward(self, x: Any) -> Any:
        """Scores (N, classes)."""
        *hidden, last = self.affine
        for k, affine in enumerate(hidden):
            x = affine(x)
            x = mg.leaky_relu(self.norm[k](x) if self.norm else x)
        return last(x)

    def penalty(self) -> Any:
        """reg / 2 * the sum of all squared weights; gamma, beta and biases go free."""
        squares = [(affine.weight * affine.weight).sum() for affine in self.affine]
        total: Any = 0.0
        for square in squares:
            total = total + square
        return total * (0.5 * self.reg)

    def loss(self, X: Any, y: Any) -> tuple[float, dict[str, Any]]:
        """The loss in training mode and its gradients by name."""
        value = mg.cross_entropy(self.train()(X), y)
        if self.reg:
            value = value + self.penalty()
        grads = mg.grad(value, list(self.params.values()))
        return value.item(), {name: d.numpy() for name, d in zip(self.params, grads, strict=True)}
