"""The layers of a toy network, and Sequential and MLP to put them together. Batch norm has a file of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from .. import functional, ops
from .._support.randomness import Source, generator
from .._support.signatures import Array, ArrayLike, Data, Value
from ..core.nodes import Node
from ..core.tensor import Tensor
from ..creation import ones, zeros
from ..normalization import layer_norm, layer_norm_composed
from .batchnorm import BatchNorm1d
from .init import Initialiser, glorot_uniform
from .module import Module, special, without


class Linear(Module):
    """x @ weight + bias. weight: (inputs, outputs), bias: (outputs,), zeros at first, or none with bias=False.

    `rng`: a seed, a Generator or a RandomState that the weight is drawn from; pass one generator to all layers, for
    two layers of one shape that get the same seed start equal. `init`: a function (shape, rng) -> array, Glorot
    uniform by default, as in Keras.

    >>> import minigrad as mg
    >>> Linear(3, 2, rng=0)(mg.ones((5, 3))).shape
    (5, 2)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        *,
        rng: Source | None = None,
        init: Initialiser = glorot_uniform,
        dtype: npt.DTypeLike = float,
    ) -> None:
        if inputs < 1 or outputs < 1:
            raise ValueError(f"Linear: inputs={inputs!r} and outputs={outputs!r} must be at least 1")
        drawn = np.asarray(init((inputs, outputs), generator(rng, "Linear")))
        if drawn.shape != (inputs, outputs):
            raise ValueError(f"Linear: init gave shape {drawn.shape}, expected {(inputs, outputs)}")
        self.weight = Tensor(drawn, dtype=dtype, requires_grad=True, name="weight")
        self.bias = zeros(outputs, dtype=dtype, requires_grad=True, name="bias") if bias else None

    def forward(self, x: Data) -> Tensor:
        """x: (..., inputs) -> (..., outputs)."""
        return functional.linear(x, self.weight, self.bias)

    def _about(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}, bias={self.bias is not None}{special(self.weight)}"


class LayerNorm(Module):
    """gamma * (x - mean) / sqrt(var + eps) + beta with the statistics of each row; the same in training and eval.

    shape: of the trailing axes that are normalized, an integer for the last one. No running statistics.
    scale=False is without gamma and center=False without beta, as in Keras; affine=False without either.
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        eps: float = 1e-5,
        affine: bool = True,
        scale: bool = True,
        center: bool = True,
        implementation: str = "fused",
        dtype: npt.DTypeLike = float,
    ) -> None:
        if implementation not in ("fused", "composed"):
            raise ValueError(f"LayerNorm: implementation={implementation!r} must be 'fused' or 'composed'")
        self._shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if not self._shape or min(self._shape) < 1:
            raise ValueError(f"LayerNorm: shape={shape!r} must be one or more numbers >= 1")
        self.eps, self.implementation = eps, implementation
        self.gamma = ones(self._shape, dtype=dtype, requires_grad=True, name="gamma") if affine and scale else None
        self.beta = zeros(self._shape, dtype=dtype, requires_grad=True, name="beta") if affine and center else None

    def forward(self, x: Data) -> Tensor:
        """x: (..., *shape)."""
        values: Value = functional.floats("LayerNorm", x)
        if values.shape[max(values.ndim - len(self._shape), 0) :] != self._shape:
            raise ValueError(f"LayerNorm{self._shape}: x must end in these axes, got shape {values.shape}")
        normalize: Any = layer_norm if self.implementation == "fused" else layer_norm_composed
        y: Tensor = normalize(values, self.gamma, self.beta, axis=tuple(range(-len(self._shape), 0)), eps=self.eps)
        return y

    def _about(self) -> str:
        composed = "" if self.implementation == "fused" else f", implementation={self.implementation!r}"
        shape = self._shape if len(self._shape) > 1 else self._shape[0]
        return f"{shape}, eps={self.eps}{composed}{without(self.gamma, self.beta)}{special(self.gamma, self.beta)}"


class Activation(Module):
    """Without parameters: an array for an array."""

    if TYPE_CHECKING:

        @overload
        def __call__(self, x: Node) -> Tensor: ...
        @overload
        def __call__(self, x: ArrayLike) -> Array: ...
        def __call__(self, x: Value) -> Value: ...


class ReLU(Activation):
    """max(x, 0)."""

    def forward(self, x: Value) -> Value:
        """Elementwise."""
        return ops.relu(x)


class LeakyReLU(Activation):
    """x where x > 0, slope * x elsewhere."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Value) -> Value:
        """Elementwise."""
        return ops.leaky_relu(x, slope=self.slope)

    def _about(self) -> str:
        return f"slope={self.slope}"


class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Value) -> Value:
        """Elementwise."""
        return ops.sigmoid(x)


class Tanh(Activation):
    """Hyperbolic tangent."""

    def forward(self, x: Value) -> Value:
        """Elementwise."""
        return ops.tanh(x)


class Dropout(Activation):
    """In training each element is 0 with probability p and divided by 1 - p otherwise; in eval() nothing happens."""

    def __init__(self, p: float = 0.5, *, rng: Source | None = None) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p={p!r} is the share that is dropped and must be 0 <= p < 1")
        self.p, self.rng = p, generator(rng, "Dropout")

    def forward(self, x: Value) -> Value:
        """Elementwise; draws from the layer's generator in training."""
        return functional.dropout(x, self.p, self.rng) if self.training else x

    def _about(self) -> str:
        return f"p={self.p}"


class Sequential(Module):
    """Modules (or functions of one argument) one after the other.

    >>> import minigrad as mg
    >>> net = Sequential(Linear(2, 3, rng=0), mg.relu, Linear(3, 1, rng=1))
    >>> net(mg.ones((4, 2))).shape, len(net), [name for name, _ in net.named_parameters()]
    ((4, 1), 3, ['layers.0.weight', 'layers.0.bias', 'layers.2.weight', 'layers.2.bias'])
    """

    def __init__(self, *layers: Module | Callable[[Tensor], Tensor]) -> None:
        for k, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(f"Sequential: part {k} is {layer!r}; expected a Module or a function")
        self.layers = list(layers)

    def forward(self, x: Data) -> Tensor:
        """Through all parts in order."""
        value: Any = x
        for layer in self.layers:
            value = layer(value)
        y: Tensor = value
        return y

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, k: int) -> Any:
        return self.layers[k]


ACTIVATIONS: dict[str, Callable[[], Module]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
}


class MLP(Sequential):
    """Linear, normalization, activation for every hidden layer, and a Linear at the end without either.

    sizes: (inputs, hidden ..., outputs). norm: "none", "batch" or "layer". Hidden layers before a batch norm have no
    bias (beta does its work) unless `bias=True` asks for it. activation: "relu", "leaky_relu", "sigmoid" or "tanh".
    init: (shape, rng) -> array. dropout: its probability after each activation. Further keywords go to BatchNorm1d
    (`convention=`, `bias_correction=`, ...) or to LayerNorm.

    >>> net = MLP((2, 128, 1), norm="batch", convention="keras", rng=0)
    >>> sum(parameter.size for parameter in net.parameters())
    641
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        rng: Source | None = None,
        norm: str | None = "none",
        activation: str = "relu",
        bias: bool | None = None,
        init: Initialiser = glorot_uniform,
        dropout: float = 0.0,
        dtype: npt.DTypeLike = float,
        **norm_options: Any,
    ) -> None:
        norm = norm or "none"
        if len(sizes) < 2:
            raise ValueError(f"MLP: sizes={sizes!r} must name inputs and outputs, such as (2, 128, 1)")
        if norm not in ("none", "batch", "layer"):
            raise ValueError(f"MLP: norm={norm!r} must be 'none', 'batch' or 'layer'")
        if activation not in ACTIVATIONS:
            raise ValueError(f"MLP: activation={activation!r} must be one of {', '.join(ACTIVATIONS)}")
        if norm == "none" and norm_options:
            raise TypeError(f"MLP: {', '.join(norm_options)} would do nothing with norm='none'")
        source = generator(rng, "MLP")
        layers: list[Module] = []
        hidden_bias = norm != "batch" if bias is None else bias
        for inputs, outputs in itertools.pairwise(sizes[:-1]):
            layers.append(Linear(inputs, outputs, hidden_bias, rng=source, init=init, dtype=dtype))
            if norm == "batch":
                layers.append(BatchNorm1d(outputs, dtype=dtype, allow_bias=bool(bias), **norm_options))
            elif norm == "layer":
                layers.append(LayerNorm(outputs, dtype=dtype, **norm_options))
            layers.append(ACTIVATIONS[activation]())
            if dropout:
                layers.append(Dropout(dropout, rng=source))
        layers.append(Linear(sizes[-2], sizes[-1], True if bias is None else bias, rng=source, init=init, dtype=dtype))
        super().__init__(*layers)
