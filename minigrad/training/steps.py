"""One training step: forward, backward, update."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._support.randomness import restore, state_of
from .._support.signatures import Array
from ..core.nodes import callback
from ..core.tensor import Tensor
from ..nn import Module, NonFinite
from ..optim import Optimizer, clip_grad_norm
from ..replaying import Replayed, looks_for_nonfinite
from .given import Loss
from .nonfinite import NonFiniteStep, first_nonfinite


class Step:
    """Forward, backward, update; or a NonFiniteStep, with nothing applied."""

    def __init__(
        self, model: Module, loss: Loss, optimizer: Optimizer, clip_norm: float | None, replay: bool | str
    ) -> None:
        self.model, self.loss, self.optimizer, self.clip_norm = model, loss, optimizer, clip_norm
        self.params = [tensor for group in optimizer.groups for tensor in group["params"]]
        self.state = [tensor for _, tensor in model.named_tensors() if not tensor.requires_grad]
        self.generators = model.generators()
        self._run: Callable[[Any, Any], Any] = self._whole
        if replay:
            self._run = Replayed(self._whole, compile=replay == "compiled")

    @np.errstate(all="ignore")  # what is not finite is found here, with its place
    def take(self, x: Array, y: Array, step: int) -> float:
        """One update on the batch (x, y); returns its loss."""
        put_back = self._snapshot()
        try:
            return float(self._run(x, y)._array)
        except (NonFinite, _NotFinite) as error:
            put_back()
            node, cause = first_nonfinite(lambda: self._loss(x, y))  # the step again, with source lines
            put_back()
            what = "the input of a layer" if isinstance(error, NonFinite) else error
            raise NonFiniteStep(
                f"step {step}: {what} is not finite. The first cause: {cause}. The weights are those before the step; "
                "a smaller learning rate, clip_norm= or a normalization layer may help",
                step,
                node,
            ) from error

    def _snapshot(self) -> Callable[[], None]:
        """What puts back all that a forward pass changes, and clears the gradients."""
        arrays = [tensor._array.copy() for tensor in self.state]
        states = [state_of(rng) for rng in self.generators]

        def put_back() -> None:
            self.optimizer.zero_grad()
            for tensor, array in zip(self.state, arrays, strict=True):
                if not np.array_equal(tensor._array, array):
                    tensor.data = array
            for rng, state in zip(self.generators, states, strict=True):
                restore(rng, state)

        return put_back

    def _whole(self, x: Any, y: Any) -> Tensor:
        value = self._loss(x, y)
        callback(_look_at_loss, value._array)
        self.optimizer.zero_grad()
        value.backward()
        callback(_look_at_gradients, *[tensor.grad._array for tensor in self.params if tensor.grad is not None])
        if self.clip_norm is not None:
            clip_grad_norm(self.params, self.clip_norm)
        self.optimizer.step()
        return value

    def _loss(self, x: Any, y: Any) -> Tensor:
        value = self.loss(self.model(x if isinstance(x, Tensor) else Tensor._leaf(x)), y)
        if not isinstance(value, Tensor) or value.size != 1:
            got = f"a Tensor of shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"loss(outputs, targets) must return a Tensor with a single number, got {got}")
        if not value.requires_grad:
            raise ValueError("the loss does not depend on a parameter: was it computed under no_grad or from .data?")
        return value


class _NotFinite(ValueError):
    """What is not finite, in words."""


@looks_for_nonfinite
def _look_at_loss(loss: Array) -> None:
    if not np.isfinite(loss):
        raise _NotFinite("the loss")


@looks_for_nonfinite
def _look_at_gradients(*gradients: Array) -> None:
    # a NaN or infinity is in the squares' sum; the sum may overflow without one, and then each is looked at
    total = 0.0
    for gradient in gradients:
        flat = gradient.ravel()
        total += float(np.dot(flat, flat))
    if not math.isfinite(total) and not all(bool(np.isfinite(gradient).all()) for gradient in gradients):
        raise _NotFinite("a gradient")
