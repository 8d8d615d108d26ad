"""Optimizers as PyTorch defines them, and gradient clipping.

All parameters of a group that share a dtype are updated as one flat vector: a dozen NumPy calls a step instead of a
dozen a parameter. Parameter storage is only written, through `backward.write`, never replaced.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..fast import kernel
from ..record import describe
from ..tensor import Tensor
from ..writing import write

Array = np.ndarray[Any, Any]


@dataclass
class _Slab:
    """The parameters of one group and one dtype, end to end in flat vectors."""

    params: list[Tensor]
    numbers: list[int]  # their places in the order that the user gave
    cuts: list[int]  # parameter k occupies cuts[k] : cuts[k + 1]
    steps: list[int]  # how often each was updated
    value: Array
    slope: Array
    state: dict[str, Array] = field(default_factory=dict)

    def runs(self) -> Iterator[tuple[int, int]]:
        """Stretches of neighbours that all have a gradient and the same count of steps: mostly one, the whole."""
        start = 0
        n = len(self.params)
        while start < n:
            stop = start
            while stop < n and self.params[stop].grad is not None and self.steps[stop] == self.steps[start]:
                stop += 1
            if stop > start:
                yield start, stop
            start = max(stop, start + 1)


class Optimizer:
    """Base of all optimizers: parameter groups, state, and writing.

    params: Tensors, or groups such as [{"params": [w]}, {"params": [gamma, beta], "weight_decay": 0.0}]; options that
    a group does not name are the optimizer's. `.groups` holds them; set `.groups[0]["lr"]` to change a rate.
    """

    names: tuple[str, ...] = ()  # of the state vectors, one number a parameter element each

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        given = list(params) if not isinstance(params, Tensor) else [params]
        if not given:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimize")
        grouped = given if isinstance(given[0], Mapping) else [{"params": given}]
        self.groups: list[dict[str, Any]] = []
        for group in grouped:
            if not isinstance(group, Mapping) or "params" not in group:
                raise TypeError(f"{type(self).__name__}: expected Tensors or groups with 'params', got {group!r}")
            unknown = set(group) - {"params"} - set(defaults)
            if unknown:
                raise TypeError(f"{type(self).__name__}: unknown option {min(unknown)!r}; it has {', '.join(defaults)}")
            tensors = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
            self.groups.append({**defaults, **group, "params": tensors})
        self._check()
        self._slabs = [self._laid_out(k) for k in range(len(self.groups))]

    def _check(self) -> None:
        who = type(self).__name__
        seen: set[Tensor] = set()
        for group in self.groups:
            for tensor in group["params"]:
                if not isinstance(tensor, Tensor):
                    raise TypeError(f"{who}: parameters are Tensors, got {type(tensor).__name__}")
                if tensor.op is not None or not tensor.requires_grad:
                    raise ValueError(f"{who}: {describe(tensor)} is no leaf that requires a gradient")
                if tensor in seen:
                    raise ValueError(f"{who}: {describe(tensor)} is given twice")
                seen.add(tensor)
            for option, value in group.items():
                if option != "params":
                    _check_option(who, option, value)

    def _laid_out(self, group: int) -> list[_Slab]:
        first = sum(len(earlier["params"]) for earlier in self.groups[:group])
        by_dtype: dict[Any, list[int]] = {}
        for k, tensor in enumerate(self.groups[group]["params"]):
            by_dtype.setdefault(tensor.dtype, []).append(k)
        slabs = []
        for dtype, places in by_dtype.items():
            tensors = [self.groups[group]["params"][k] for k in places]
            cuts = [0, *np.cumsum([tensor.size for tensor in tensors]).tolist()]
            slab = _Slab(
                params=tensors,
                numbers=[first + k for k in places],
                cuts=cuts,
                steps=[0] * len(tensors),
                value=np.empty(cuts[-1], dtype),
                slope=np.empty(cuts[-1], dtype),
            )
            slab.state = {name: np.zeros(cuts[-1], dtype) for name in self.names}
            slabs.append(slab)
        return slabs

    def step(self) -> None:
        """One update of every parameter that has a gradient; the others stay, and their state too."""
        for group, slabs in zip(self.groups, self._slabs, strict=True):
            for slab in slabs:
                for start, stop in slab.runs():
                    self._step_run(group, slab, start, stop)

    def _step_run(self, group: dict[str, Any], slab: _Slab, start: int, stop: int) -> None:
        params, cuts = slab.params[start:stop], slab.cuts[start : stop + 1]
        whole = slice(cuts[0], cuts[-1])
        value, slope = slab.value[whole], slab.slope[whole]
        np.concatenate([tensor._array.ravel() for tensor in params], out=value)
        np.concatenate([tensor._grad._array.ravel() for tensor in params], out=slope)
        state = {name: vector[whole] for name, vector in slab.state.items()}
        self._update(value, slope, state, slab.steps[start] + 1, group)
        for k, tensor in enumerate(params):
            slab.steps[start + k] += 1
            write(tensor, slab.value[cuts[k] : cuts[k + 1]].reshape(tensor.shape))

    def _update(self, value: Array, slope: Array, state: dict[str, Array], step: int, group: dict[str, Any]) -> None:
        """Change `value` and `state` in place by one step along `slope` (which may be overwritten)."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.groups:
            for tensor in group["params"]:
                tensor.grad = None

    def state_dict(self) -> dict[str, Array]:
        """All options and state as plain arrays by name: "group.0.lr", "param.3.step", "param.3.m", ..."""
        found: dict[str, Array] = {}
        for k, group in enumerate(self.groups):
            found.update({f"group.{k}.{name}": np.array(group[name]) for name in group if name != "params"})
        for slab in (slab for slabs in self._slabs for slab in slabs):
            for k, tensor in enumerate(slab.params):
                found[f"param.{slab.numbers[k]}.step"] = np.array(slab.steps[k])
                for name, vector in slab.state.items():
                    part = vector[slab.cuts[k] : slab.cuts[k + 1]]
                    found[f"param.{slab.numbers[k]}.{name}"] = part.reshape(tensor.shape).copy()
        return found

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave: all of it, or nothing and a ValueError that lists what does not fit."""
        own = self.state_dict()
        given = {name: np.asarray(array) for name, array in state.items()}
        wrong = [f"{name} is missing" for name in own if name not in given]
        wrong += [f"{name} is not known" for name in given if name not in own]
        for name, array in given.items():
            if name in own and (array.shape != own[name].shape or array.dtype.kind not in "fiub"):
                wrong.append(f"{name} has shape {array.shape} and dtype {array.dtype}, expected {own[name].shape}")
        if wrong:
            raise ValueError(
                f"this state does not fit {type(self).__name__}, nothing was changed: " + "; ".join(sorted(wrong))
            )
        for k, group in enumerate(self.groups):
            for name in group:
                if name != "params":
                    value = given[f"group.{k}.{name}"].tolist()
                    group[name] = tuple(value) if isinstance(value, list) else value
        for slab in (slab for slabs in self._slabs for slab in slabs):
            for k in range(len(slab.params)):
                slab.steps[k] = int(given[f"param.{slab.numbers[k]}.step"])
                for name, vector in slab.state.items():
                    vector[slab.cuts[k] : slab.cuts[k + 1]] = given[f"param.{slab.numbers[k]}.{name}"].ravel()


def _check_option(who: str, name: str, value: Any) -> None:
    if name == "nesterov":
        return
    if name == "betas":
        if len(value) != 2 or not all(0 <= beta < 1 for beta in value):
            raise ValueError(f"{who}: betas={value!r} must be two numbers, 0 <= beta < 1")
    elif name in ("alpha", "momentum"):
        if not 0 <= value < (1 if name == "alpha" else math.inf):
            raise ValueError(f"{who}: {name}={value!r} is out of range")
    elif not 0 <= value < math.inf:
        raise ValueError(f"{who}: {name}={value!r} must be a finite number >= 0")


class SGD(Optimizer):
    """w -= lr * g, with momentum v = momentum * v + g and w -= lr * v (nesterov: w -= lr * (g + momentum * v)).

    weight_decay adds weight_decay * w to g first. As torch.optim.SGD.

    >>> import minigrad as mg
    >>> w = mg.tensor([1.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SGD([w], lr=0.25).step()
    >>> w
    tensor([0.5], requires_grad=True)
    """

    names = ("velocity",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})
        if any(group["nesterov"] and not group["momentum"] for group in self.groups):
            raise ValueError("SGD: nesterov=True needs a momentum > 0")

    def _update(self, value: Array, slope: Array, state: dict[str, Array], step: int, group: dict[str, Any]) -> None:
        if group["weight_decay"]:
            slope += group["weight_decay"] * value
        if group["momentum"]:
            v = state["velocity"]
            v *= group["momentum"]
            v += slope
            slope = slope + group["momentum"] * v if group["nesterov"] else v
        value -= group["lr"] * slope


class RMSprop(Optimizer):
    """s = alpha * s + (1 - alpha) * g^2, w -= lr * g / (sqrt(s) + eps); with momentum that quotient is gathered in v.

    As torch.optim.RMSprop (not centered). Tieleman and Hinton 2012.
    """

    names = ("square", "velocity")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, defaults)

    def _update(self, value: Array, slope: Array, state: dict[str, Array], step: int, group: dict[str, Any]) -> None:
        if group["weight_decay"]:
            slope += group["weight_decay"] * value
        s = state["square"]
        s *= group["alpha"]
        s += (1 - group["alpha"]) * slope * slope
        scaled = slope / (np.sqrt(s) + group["eps"])
        if group["momentum"]:
            v = state["velocity"]
            v *= group["momentum"]
            v += scaled
            scaled = v
        value -= group["lr"] * scaled


class Adam(Optimizer):
    """m, v = moving averages of g and g^2 without their start: w -= lr * m' / (sqrt(v') + eps), x' = x / (1 - beta^t).

    weight_decay adds weight_decay * w to g first (AdamW decays w itself). As torch.optim.Adam; Keras' default eps is
    1e-7. Kingma and Ba 2015.
    """

    names = ("m", "v")
    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    def _update(self, value: Array, slope: Array, state: dict[str, Array], step: int, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        if group["weight_decay"]:
            if self.decoupled:
                value *= 1 - lr * group["weight_decay"]
            else:
                slope += group["weight_decay"] * value
        m, v = state["m"], state["v"]
        fast = kernel("adam")
        if fast is not None and value.dtype.char in "fd":
            fast(value, slope, m, v, lr, (beta1, beta2), group["eps"], step)
            return
        m *= beta1
        m += (1 - beta1) * slope
        v *= beta2
        np.multiply(slope, slope, out=slope)
        slope *= 1 - beta2
        v += slope
        scale = np.sqrt(v, out=slope)
        scale *= 1 / math.sqrt(1 - beta2**step)
        scale += group["eps"]
        np.divide(m, scale, out=scale)
        scale *= lr / (1 - beta1**step)
        value -= scale


class AdamW(Adam):
    """Adam with w *= 1 - lr * weight_decay before each step in place of a decay in g. Loshchilov and Hutter 2019."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


def clip_grad_norm(params: Iterable[Tensor] | Tensor, max_norm: float) -> float:
    """Scale all gradients so that their common norm is at most `max_norm`; returns the norm before.

    As torch.nn.utils.clip_grad_norm_: the factor is min(1, max_norm / (norm + 1e-6)). ValueError, and nothing
    changes, where a gradient is NaN or infinite.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm={max_norm!r} must be positive")
    tensors = [params] if isinstance(params, Tensor) else list(params)
    slopes = [(tensor, tensor.grad._array) for tensor in tensors if tensor.grad is not None]
    largest = 0.0
    for tensor, slope in slopes:
        if not np.isfinite(slope).all():
            raise ValueError(f"clip_grad_norm: the gradient of {describe(tensor)} is not finite")
        largest = max(largest, float(np.abs(slope).max(initial=0.0)))
    if not largest:
        return 0.0
    # divided by the largest first, so that no square overflows
    norm = largest * math.sqrt(math.fsum(float(np.square(slope / largest, dtype=float).sum()) for _, slope in slopes))
    factor = max_norm / (norm + 1e-6)
    if factor < 1:
        for tensor, slope in slopes:
            tensor.grad = Tensor._leaf(slope * factor)
    return norm
