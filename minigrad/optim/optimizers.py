"""Optimizers as PyTorch defines them, and gradient clipping.

All parameters of a group that share a dtype live in one flat vector (flat.py) and are updated as one: a dozen NumPy
calls a step instead of a dozen a parameter. A step only writes to parameters, and stamps what it wrote.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Self, TypeAlias

import numpy as np

from .._support.arrays import misfits, named_arrays
from .._support.text import listed
from ..core.context import current
from ..core.gradients import rules_are_seen
from ..core.nodes import callback, describe, kernel
from ..core.tensor import Tensor
from .flat import Flat, blocks

Array = np.ndarray[Any, Any]
NEVER_NEGATIVE = (".step", ".square", ".v")  # in a state: counts, and averages of squares
Params: TypeAlias = Tensor | Iterable[Tensor | Mapping[str, Any]]


@dataclass(frozen=True)
class Update:
    """An optimizer's step along the gradients of its parameters, as observers are told of it."""

    optimizer: Optimizer

    def __call__(self, *gradients: Any) -> None:
        self.optimizer._step()


class Optimizer:
    """Base of all optimizers: parameter groups, state, and writing.

    params: Tensors, or groups such as [{"params": [w]}, {"params": [gamma, beta], "weight_decay": 0.0}]; options that
    a group does not name are the optimizer's. `.groups` holds them; set `.groups[0]["lr"]` to change a rate.
    `.interrupted`: whether a step was left in the middle, by Ctrl-C for one. Then some parameters have taken it and
    others have not; `state_dict()` says so, and no optimizer takes such a state.
    """

    names: tuple[str, ...] = ()  # of the state vectors, one number a parameter element each

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Refuses options that it does not have, in words."""
        known = inspect.signature(cls.__init__).parameters
        unknown = [name for name in options if name not in known]
        if unknown and all(p.kind is not p.VAR_KEYWORD for p in known.values()):
            say = {"learning_rate": "; write lr=", "params": ""}.get(unknown[0], "")
            raise TypeError(f"{cls.__name__} has no option {unknown[0]!r}{say}; it has {', '.join([*known][2:])}")
        return super().__new__(cls)

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
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
        self.interrupted = False
        self._flat = list(self._laid_out())

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

    def _laid_out(self) -> Iterator[tuple[int, Flat]]:
        first = 0
        for k, group in enumerate(self.groups):
            by_dtype: dict[Any, dict[int, Tensor]] = {}
            for number, tensor in enumerate(group["params"], first):
                by_dtype.setdefault(tensor.dtype, {})[number] = tensor
            for chosen in by_dtype.values():
                yield k, Flat(list(chosen.values()), list(chosen), self.names)
            first += len(group["params"])

    def step(self) -> None:
        """One update of every parameter that has a gradient; the others stay, and their state too."""
        if not current().observers:  # to gather the gradients costs a tenth of a small step
            return self._step()
        given = [p for group in self.groups for p in group["params"] if getattr(p, "_grad", None) is not None]
        callback(Update(self), *[p._grad for p in given], writes=given)

    def layout(self) -> list[tuple[list[Tensor], list[int]]]:
        """For each vector of parameters: the parameters in their order in it, and where each begins, and the end."""
        return [(list(flat.params), list(flat.cuts)) for _, flat in self._flat]

    def apply(self, gradients: Sequence[Array]) -> None:
        """One update of every parameter, as `step`, along gradients given as one vector for each that `layout` names.

        Neither looks at `.grad` nor changes it, nor the gradients; the results are those of `step`, bit for bit.
        """
        given, expected = [gradient.shape for gradient in gradients], [flat.value.shape for _, flat in self._flat]
        if given != expected:
            raise ValueError(f"{type(self).__name__}.apply: gradients have shapes {given}, expected {expected}")
        self._step(gradients)

    def _step(self, gradients: Sequence[Array] | None = None) -> None:
        for options in self.groups:  # users set the rates
            if type(options["lr"]) is not float or not 0 <= options["lr"] < math.inf:
                _check_option(type(self).__name__, "lr", options["lr"])
        before, self.interrupted = self.interrupted, True  # until all is written
        for k, (group, flat) in enumerate(self._flat):
            for value, gradient, state, step in flat.updates(None if gradients is None else gradients[k]):
                self._update(value, gradient, state, step, self.groups[group])
        self.interrupted = before

    def _update(self, value: Array, gradient: Array, state: dict[str, Array], step: int, group: dict[str, Any]) -> None:
        """Change `value` and `state` in place by one step along `gradient`, which stays as it is."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        seen = bool(current().observers)
        for group in self.groups:
            for tensor in group["params"]:
                if seen:
                    tensor.grad = None
                else:  # what that does, sooner
                    tensor._grad = None

    def state_dict(self) -> dict[str, Array]:
        """All options and state as plain arrays by name: "group.0.lr", "param.3.step", "param.3.m", ...

        And "interrupted" where a step was.
        """
        found: dict[str, Array] = {"interrupted": np.array(True)} if self.interrupted else {}
        for k, group in enumerate(self.groups):
            found.update({f"group.{k}.{name}": np.array(group[name]) for name in group if name != "params"})
        for number, flat, k in self._places():
            found[f"param.{number}.step"] = np.array(flat.steps[k])
            for name, vector in flat.state.items():
                found[f"param.{number}.{name}"] = vector[flat.of(k)].reshape(flat.params[k].shape).copy()
        return found

    def _places(self) -> list[tuple[int, Flat, int]]:
        """(number of a parameter, the vectors that it is in, its place there), by number."""
        places = [(flat.numbers[k], flat, k) for _, flat in self._flat for k in range(len(flat.params))]
        return sorted(places, key=itemgetter(0))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave: all of it, or nothing and a ValueError that lists what does not fit."""
        who, given = type(self).__name__, named_arrays(state, "load_state_dict")
        if "interrupted" in given:
            raise ValueError(
                f"{who}: this state was taken after a step that was interrupted: some parameters have taken it and "
                "others have not. Take one from before, such as the last checkpoint's; nothing was changed"
            )
        own = {name: array for name, array in self.state_dict().items() if name != "interrupted"}
        if wrong := misfits(given, own, cast=True) or self._impossible(given):
            raise ValueError(f"this state does not fit {who}, nothing was changed: {listed(wrong)}")
        callback(self._take, {name: array.copy() for name, array in given.items()})

    def _impossible(self, given: Mapping[str, Array]) -> list[str]:
        """What no optimizer of this kind can have come to."""
        wrong = [f"{name} is negative" for name, a in given.items() if name.endswith(NEVER_NEGATIVE) and (a < 0).any()]
        for k, group in enumerate(self.groups):
            for name in (name for name in group if name != "params"):
                try:
                    _check_option(f"group.{k}", name, given[f"group.{k}.{name}"].tolist())
                except (TypeError, ValueError) as error:
                    wrong.append(str(error))
        return wrong

    def _take(self, given: Mapping[str, Array]) -> None:
        self.interrupted = True
        for k, group in enumerate(self.groups):
            for name in group:
                if name != "params":
                    value = given[f"group.{k}.{name}"].tolist()
                    group[name] = tuple(value) if isinstance(value, list) else value
        for number, flat, k in self._places():
            flat.steps[k] = int(given[f"param.{number}.step"])
            for name, vector in flat.state.items():
                vector[flat.of(k)] = given[f"param.{number}.{name}"].ravel()
        self.interrupted = False


def _check_option(who: str, name: str, value: Any) -> None:
    if name == "nesterov":
        return
    pair, below = name == "betas", 1 if name in ("betas", "alpha") else math.inf
    numbers = value if pair and isinstance(value, (tuple, list)) else [value]
    right = len(numbers) == 1 + pair and all(isinstance(x, (float, int, np.floating, np.integer)) for x in numbers)
    if not right or not all(0 <= x < below for x in numbers):
        expected = "two numbers, 0 <= beta < 1" if pair else f"a number, 0 <= {name} < {below}"
        raise (ValueError if right else TypeError)(f"{who}: {name}={value!r} must be {expected}")


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
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})
        if any(group["nesterov"] and not group["momentum"] for group in self.groups):
            raise ValueError("SGD: nesterov=True needs a momentum > 0")

    def _update(self, value: Array, gradient: Array, state: dict[str, Array], step: int, group: dict[str, Any]) -> None:
        lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
        for w, g, v in blocks(value, gradient, state["velocity"]):
            d = g + decay * w if decay else g
            if momentum:
                v *= momentum
                v += d
                d = d + momentum * v if group["nesterov"] else v
            w -= lr * d


class RMSprop(Optimizer):
    """s = alpha * s + (1 - alpha) * g^2, w -= lr * g / (sqrt(s) + eps); with momentum that quotient is gathered in v.

    As torch.optim.RMSprop (not centered). Tieleman and Hinton 2012.
    """

    names = ("square", "velocity")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, defaults)

    def _update(self, value: Array, gradient: Array, state: dict[str, Array], step: int, group: dict[str, Any]) -> None:
        lr, alpha, momentum, decay = group["lr"], group["alpha"], group["momentum"], group["weight_decay"]
        for w, g, s, v in blocks(value, gradient, state["square"], state["velocity"]):
            d = g + decay * w if decay else g
            s *= alpha
            s += (1 - alpha) * d * d
            d = d / (np.sqrt(s) + group["eps"])
            if momentum:
                v *= momentum
                v += d
                d = v
            w -= lr * d


class Adam(Optimizer):
    """m, v = moving averages of g and g^2 without their start: w -= lr * m' / (sqrt(v') + eps), x' = x / (1 - beta^t).

    weight_decay adds weight_decay * w to g first (AdamW decays w itself). As torch.optim.Adam; Keras' default eps is
    1e-7. Kingma and Ba 2015.
    """

    names = ("m", "v")
    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    def _update(self, value: Array, gradient: Array, state: dict[str, Array], step: int, group: dict[str, Any]) -> None:
        lr, betas, eps, decay = group["lr"], group["betas"], group["eps"], group["weight_decay"]
        if decay and self.decoupled:
            value *= 1 - lr * decay
            decay = 0.0
        fast = kernel("adam") if value.dtype.char in "fd" else None
        if fast is not None and not decay:
            fast(value, gradient, state["m"], state["v"], lr, betas, eps, step)
            return
        for w, g, m, v in blocks(value, gradient, state["m"], state["v"]):
            (fast or _adam)(w, g + decay * w if decay else g, m, v, lr, betas, eps, step)


def _adam(w: Array, g: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int) -> None:
    """The formula as it stands in the paper; fast/ has its kernels."""
    beta1, beta2 = betas
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    w -= lr / (1 - beta1**step) * (m / (np.sqrt(v) * (1 / math.sqrt(1 - beta2**step)) + eps))


class AdamW(Adam):
    """Adam with w *= 1 - lr * weight_decay before each step in place of a decay in g. Loshchilov and Hutter 2019."""

    decoupled = True

    def __init__(
        self,
        params: Params,
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
    having = [tensor for tensor in tensors if tensor.grad is not None]
    gradients = [tensor.grad._array for tensor in having if tensor.grad is not None]
    norm, *clipped = callback(_clipped, max_norm, having, *gradients)
    for tensor, gradient in zip(having, clipped, strict=True):
        tensor.grad = Tensor._leaf(gradient)
    return Tensor._leaf(norm) if rules_are_seen() else float(norm)


def _clipped(max_norm: float, tensors: Sequence[Tensor], *gradients: Array) -> tuple[Any, ...]:
    """The norm of all gradients, and the gradients scaled."""
    largest = 0.0
    for tensor, gradient in zip(tensors, gradients, strict=True):
        if not np.isfinite(gradient).all():
            raise ValueError(f"clip_grad_norm: the gradient of {describe(tensor)} is not finite")
        largest = max(largest, float(np.abs(gradient).max(initial=0.0)))
    if not largest:
        return 0.0, *gradients
    # divided by the largest first, so that no square overflows
    norm = largest * math.sqrt(
        math.fsum(float(np.square(gradient / largest, dtype=float).sum()) for gradient in gradients)
    )
    factor = max_norm / (norm + 1e-6)
    return (norm, *[gradient * factor for gradient in gradients]) if factor < 1 else (norm, *gradients)
