"""Training steps at random: networks, losses, optimizers, and what else a step may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg

OPTIMIZERS: list[tuple[Any, dict[str, Any]]] = [
    (mg.optim.SGD, {"lr": 0.05}),
    (mg.optim.SGD, {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.01}),
    (mg.optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    (mg.optim.RMSprop, {"lr": 0.01}),
    (mg.optim.RMSprop, {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.02}),
    (mg.optim.Adam, {"lr": 0.01}),
    (mg.optim.Adam, {"lr": 0.01, "weight_decay": 0.05}),
    (mg.optim.AdamW, {"lr": 0.01}),
]
CLASSES = [mg.cross_entropy, mg.cross_entropy_composed]
NUMBERS = [mg.mse_loss, mg.l1_loss, mg.huber_loss]
YES_OR_NO = [mg.binary_cross_entropy_with_logits]


class RandomStep:
    """A step by number: the same number makes the same step again, with a network of its own."""

    def __init__(self, number: int, dtype: str) -> None:
        rng = np.random.default_rng(number)

        def pick(things: Any) -> Any:
            return things[int(rng.integers(len(things)))]

        self.dtype = dtype
        # not 2: batch norm makes 1 and -1 of two rows, and all gradients before it are rounding
        self.rows = pick([3, 7, 64, 65, 130, 200])
        hidden = [pick([1, 3, 8, 17, 40]) for _ in range(rng.integers(1, 4))]
        self.kind = pick(["classes", "numbers", "yes or no"])
        self.sizes = (pick([1, 2, 5, 30, 90]), *hidden, {"classes": 4, "numbers": 2, "yes or no": 1}[self.kind])
        norm = pick(["none", "batch", "batch", "layer"])
        options: dict[str, Any] = {"norm": norm, "activation": pick(["relu", "leaky_relu", "tanh", "sigmoid"])}
        options["dropout"] = pick([0.0, 0.0, 0.3])
        if norm == "batch":
            options["convention"] = pick(["torch", "keras", "cs231n", "paper"])
            options["implementation"] = pick(["fused", "fused", "composed"])
        self.net = mg.nn.MLP(self.sizes, rng=number, dtype=dtype, **options)
        self.loss = pick({"classes": CLASSES, "numbers": NUMBERS, "yes or no": YES_OR_NO}[self.kind])
        params = list(self.net.parameters())
        self.two = rng.random() < 0.2 and len(params) > 1
        parts = [params[::2], params[1::2]] if self.two else [params]
        self.optimizers = [kind(part, **given) for part in parts for kind, given in [pick(OPTIMIZERS)]]
        self.schedule = mg.optim.CosineLR(self.optimizers[0], 20) if rng.random() < 0.3 else None
        self.clip = pick([None, None, 0.1, 100.0])
        self.accumulates = rng.random() < 0.2
        self.tied = rng.random() < 0.2
        self.decays, self.uneven = rng.random() < 0.5, pick([0, 0, 3, 4])  # see `change`
        self.says = f"{self.sizes} {options} {self.loss.__name__} {self.rows} rows"

    def step(self, x: Any, y: Any) -> Any:
        """The step itself."""
        loss = self._value(x, y)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        if self.accumulates:
            (self._value(x * 0.5, y) * 0.5).backward()
        if self.clip is not None:
            mg.optim.clip_grad_norm(list(self.net.parameters()), self.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return loss

    def _value(self, x: Any, y: Any) -> Any:
        value: Any = self.loss(self.net(x), y)
        if self.tied:  # the first weights once more, as an autoencoder of one layer
            w = next(iter(self.net.parameters()))
            value = value + 0.1 * mg.mse_loss(mg.tanh(x @ w) @ w.T, x)
        return value

    def change(self, call: int) -> None:
        """What happens between calls: weights begin to decay, or cease to; one parameter has counted other steps."""
        for optimizer in self.optimizers:
            for group in optimizer.groups if self.decays and call in (3, 4) else ():
                group["weight_decay"] = 0.0 if group["weight_decay"] else 0.03
            state = optimizer.state_dict()
            if self.uneven == call and "param.0.step" in state:
                optimizer.load_state_dict({**state, "param.0.step": state["param.0.step"] + 2})

    def batch(self, seed: int) -> tuple[Any, Any]:
        """Data for one call."""
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(self.rows, self.sizes[0])).astype(self.dtype)
        if self.kind == "classes":
            return x, rng.integers(0, self.sizes[-1], self.rows)
        y = rng.normal(size=(self.rows, self.sizes[-1]))
        return x, (y > 0 if self.kind == "yes or no" else y).astype(self.dtype)

    def state(self) -> dict[str, Any]:
        """All that a step leaves behind."""
        found = {name: tensor.data for name, tensor in self.net.named_tensors()}
        found |= {f"gradient of {k}": w.grad.data for k, w in enumerate(self.net.parameters()) if w.grad is not None}
        for k, optimizer in enumerate(self.optimizers):
            found |= {f"{k}.{name}": value for name, value in optimizer.state_dict().items()}
        return found


def twins(number: int, dtype: str, replay: Callable[[Any], Any]) -> tuple[RandomStep, RandomStep, Any]:
    """A step, the same again, and the first one replayed."""
    one, other = RandomStep(number, dtype), RandomStep(number, dtype)
    return one, other, replay(one.step)
