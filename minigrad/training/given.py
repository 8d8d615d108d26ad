"""What `fit` is given, by name or as an object: losses, metrics, optimizers, data; in words what else it may be."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np

from .. import losses, optim
from .._support.arrays import plain
from .._support.signatures import Array
from ..core.context import no_grad
from ..core.nodes import callback, describe, raw
from ..core.tensor import Tensor
from ..nn import Module, Sequential, Sigmoid
from ..nn.module import in_mode
from ..ops import mul
from ..ops import sum as sum_
from .metrics import accuracy, binary_accuracy, mae, mse, r2

P = ParamSpec("P")
R = TypeVar("R")
Loss: TypeAlias = Callable[[Any, Any], Tensor]
Metric: TypeAlias = Callable[[Array, Array], float]
Metrics: TypeAlias = "str | Metric | Mapping[str, str | Metric] | Sequence[str | Metric]"

LOSSES: dict[str, Loss] = {
    "cross_entropy": losses.cross_entropy,
    "binary_cross_entropy_with_logits": losses.binary_cross_entropy_with_logits,
    "binary_cross_entropy": losses.binary_cross_entropy,
    "nll_loss": losses.nll_loss,
    "mse_loss": losses.mse_loss,
    "l1_loss": losses.l1_loss,
    "huber_loss": losses.huber_loss,
}
METRICS: dict[str, Metric] = {f.__name__: f for f in (accuracy, binary_accuracy, mse, mae, r2)}
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": optim.SGD,
    "momentum": functools.partial(optim.SGD, momentum=0.9),
    "rmsprop": optim.RMSprop,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
}
# What Keras, PyTorch and scikit-learn call them, in small letters without _ and loss
_ALIASES = {
    "the loss": {
        "sparsecategoricalcrossentropy": "crossentropy",
        "categoricalcrossentropy": "crossentropy",
        "bce": "binarycrossentropy",
        "bcewithlogits": "binarycrossentropywithlogits",
        "meansquarederror": "mse",
        "squarederror": "mse",
        "mae": "l1",
        "meanabsoluteerror": "l1",
        "smoothl1": "huber",
    },
    "the metric": {
        "acc": "accuracy",
        "sparsecategoricalaccuracy": "accuracy",
        "meansquarederror": "mse",
        "meanabsoluteerror": "mae",
        "r2score": "r2",
    },
}
_KEYWORDS = {  # of other libraries' fit: what to write here
    "validation_data": "val=(x, y)",
    "validation_split": "val=(x_test, y_test), after x, x_test, y, y_test = mg.data.train_test_split(x, y, seed=0)",
    "verbose": "progress=False for none, progress=True",
    "learning_rate": "lr=, where the optimizer is given by name, or lr= of the optimizer",
    "weight_decay": "weight_decay= of the optimizer",
    "momentum": "momentum= of the optimizer",
    "shuffle": "sampler=; batches are shuffled without it",
    "max_iter": "epochs=",
    "sample_weight": "class_weight=, or a loss of your own",
    "criterion": "the loss as second argument",
    "scheduler": "schedule=",
    "random_state": "seed=",
    "early_stopping": "callbacks=[mg.training.EarlyStopping(patience=5)]",
    "patience": "callbacks=[mg.training.EarlyStopping(patience=5)]",
    "device": "nothing: all runs on the CPU",
    "x": "train=(x, y), or x and y as fourth and fifth argument",
    "y": "train=(x, y), or x and y as fourth and fifth argument",
}


def helpful(function: Callable[P, R]) -> Callable[P, R]:
    """`function` with words for keywords that it does not have."""
    known = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                say = _KEYWORDS.get(name) or (f"{near[0]}=" if near else f"one of {', '.join(known)}")
                raise TypeError(f"{function.__name__} has no {name}=; write {say}")
        return function(*args, **options)

    return checked


def _by_name(what: str, name: str, known: Mapping[str, Any], otherwise: str) -> Any:
    def short(text: str) -> str:
        return text.lower().replace("_", "").replace("-", "").replace(" ", "").removesuffix("loss")

    table = {short(own): value for own, value in known.items()}
    wanted = _ALIASES.get(what, {}).get(short(name), short(name))
    if wanted not in table:
        raise ValueError(f"{what} {name!r} is not known; there are {', '.join(known)}, or {otherwise}")
    return table[wanted]


def loss_of(loss: str | Loss) -> Loss:
    """A loss, which may be named."""
    otherwise = "a function (outputs, targets) -> Tensor"
    if isinstance(loss, str):
        found: Loss = _by_name("the loss", loss, LOSSES, otherwise)
        return found
    if isinstance(loss, optim.Optimizer) or (isinstance(loss, type) and issubclass(loss, optim.Optimizer)):
        raise TypeError("the loss is an optimizer: the order is fit(model, loss, optimizer, (x, y), ...)")
    if _foreign(loss):
        raise TypeError(f"the loss is {_foreign(loss)}; expected {otherwise}, or one of the names {', '.join(LOSSES)}")
    if not callable(loss) or isinstance(loss, (Tensor, type)):
        got = loss.__name__ if isinstance(loss, type) else type(loss).__name__
        raise TypeError(f"the loss is {got}; expected {otherwise}, or one of the names {', '.join(LOSSES)}")
    return loss


def metrics_of(metrics: Metrics) -> dict[str, Metric]:
    """Metrics by name: one or several, functions or names."""
    if isinstance(metrics, Mapping):
        named = dict(metrics)
    else:
        given = [metrics] if isinstance(metrics, str) or callable(metrics) else list(metrics)
        found = [_metric(metric) for metric in given]
        return {getattr(metric, "__name__", type(metric).__name__): metric for metric in found}
    return {name: _metric(metric) for name, metric in named.items()}


def _metric(metric: str | Metric) -> Metric:
    otherwise = "a function (outputs, targets) -> number"
    if isinstance(metric, str):
        found: Metric = _by_name("the metric", metric, METRICS, otherwise)
        return found
    if not callable(metric) or isinstance(metric, type):
        raise TypeError(f"a metric is {metric!r}; expected {otherwise}, or one of the names {', '.join(METRICS)}")
    return metric


def optimizer_of(optimizer: Any, model: Module, lr: float | None) -> optim.Optimizer:
    """An optimizer of the model's parameters: an object, a name, or what makes one, such as mg.optim.Adam."""
    otherwise = "an optimizer such as mg.optim.Adam(net.parameters(), lr=0.01)"
    if isinstance(optimizer, str):
        optimizer = _by_name("the optimizer", optimizer, OPTIMIZERS, otherwise)
    if not isinstance(optimizer, optim.Optimizer):
        if _foreign(optimizer) or not callable(optimizer) or getattr(optimizer, "__name__", "") in LOSSES:
            got = _foreign(optimizer) or getattr(optimizer, "__name__", type(optimizer).__name__)
            names = ", ".join(OPTIMIZERS)
            raise TypeError(f"the optimizer is {got}; expected {otherwise}, or one of the names {names}")
        made = optimizer(model.parameters(), **({} if lr is None else {"lr": lr}))
        return optimizer_of(made, model, None)
    if lr is not None:
        raise TypeError(f"lr={lr!r} is for an optimizer given by name; this one has its own: pass lr= where it is made")
    own = set(model.parameters())
    theirs = [tensor for group in optimizer.groups for tensor in group["params"]]
    if own.isdisjoint(theirs):
        raise ValueError(
            f"the optimizer has none of the parameters of this {type(model).__name__} (it has {describe(theirs[0])}, "
            f"...), and would train nothing of it: make it with {type(optimizer).__name__}(net.parameters(), ...)"
        )
    return optimizer


def _foreign(x: Any) -> str:
    """What another library's object is called, if it is one."""
    home = (x if isinstance(x, type) else type(x)).__module__.partition(".")[0]
    name = (x if isinstance(x, type) else type(x)).__name__
    return f"{home}'s {name}" if home in ("torch", "keras", "tensorflow", "sklearn", "jax", "optax") else ""


def model_of(model: Any) -> Module:
    """A network, which has parameters."""
    if not isinstance(model, Module):
        got = _foreign(model) or (model.__name__ if isinstance(model, type) else type(model).__name__)
        raise TypeError(
            f"the model is {got}; expected a Module, such as mg.nn.MLP((2, 16, 3), rng=0) or mg.nn.Sequential"
        )
    if not model.parameters():
        raise ValueError(f"{type(model).__name__} has no parameters to train")
    return model


# --------------------------------------------------------------------------------------------------------------
# Data


def pair_of(who: str, data: Any, targets: Any, model: Module) -> tuple[Array, Array]:
    """(x, y) as arrays: as many targets as rows, all finite, floating-point numbers in the parameters' dtype."""
    if targets is None and (not isinstance(data, (tuple, list)) or len(data) != 2):
        raise TypeError(f"{who} must be a pair (x, y) of arrays, got {_foreign(data) or type(data).__name__}")
    given = tuple(data) if targets is None else (data, targets)
    texts = [isinstance(part, np.ndarray) and part.dtype.kind in "mMSUV" for part in given]  # told below, by name
    x, y = (part if text else plain(part) for part, text in zip(given, texts, strict=True))
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y) or not len(x):
        raise ValueError(
            f"{who}: x has shape {x.shape} and y {y.shape}; both need the same number of rows, at least one"
        )
    for name, values in (("x", x), ("y", y)):
        if values.dtype.kind not in "fiub":
            hint = "names, y = np.unique(y, return_inverse=True) numbers them" if name == "y" else "x.astype(float)"
            raise TypeError(f"{who}: {name} must hold numbers, got dtype {values.dtype}; {hint}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))[0].tolist()
            raise ValueError(f"{who}: {name} has NaN or infinite values, the first at index {bad}; remove or fill them")
    dtypes = {parameter.dtype for parameter in model.parameters()}
    if len(dtypes) == 1:
        dtype = dtypes.pop()
        x = x.astype(dtype, copy=False)
        y = y.astype(dtype, copy=False) if y.dtype.kind == "f" else y
    return x, y


def check_meaning(model: Module, loss: Loss, metrics: Mapping[str, Metric], x: Array, y: Array, rows: int) -> None:
    """Refuse what minigrad's own loss and metrics would refuse later, or give numbers for that mean nothing.

    They see all targets, beside the outputs of the first row: what they check are shapes and labels.
    """
    inner = loss.loss if isinstance(loss, Weighted) else loss
    scores = (losses.binary_cross_entropy_with_logits, losses.cross_entropy, binary_accuracy)
    wanted = [f for f in (inner, *metrics.values()) if f in scores]
    if wanted and isinstance(model, Sequential) and len(model) and isinstance(model[-1], Sigmoid):
        instead = (
            "binary_cross_entropy" if wanted[0] is inner else "lambda p, t: mg.training.binary_accuracy(p - 0.5, t)"
        )
        name = getattr(wanted[0], "__name__", "")
        raise ValueError(f"{name} takes scores, but the network ends in a Sigmoid: leave that out, or use {instead}")
    own = [f for f in (inner, *metrics.values()) if f in (*LOSSES.values(), *METRICS.values())]
    if not own:
        return
    try:
        outputs = outputs_of(model, x[:rows])
    except (TypeError, ValueError):  # the first step will tell
        return
    if outputs.shape[:1] == x[:rows].shape[:1]:
        whole = np.repeat(outputs[:1], len(x), axis=0)
        with np.errstate(all="ignore"), no_grad():
            for function in own:
                function(whole, y)


def outputs_of(model: Module, rows: Array) -> Array:
    """model(rows) in eval mode as a bare array, recording nothing."""
    with in_mode(model, False), no_grad(), np.errstate(all="ignore"):
        outputs: Array = raw(model(Tensor._leaf(rows)))
    return outputs


# --------------------------------------------------------------------------------------------------------------
# Weights of classes


@dataclass(frozen=True)
class Weighted:
    """A loss in which the rows of each class have a weight: sum(w * loss of the row) / sum(w), as PyTorch's weight=."""

    loss: Loss
    weights: tuple[float, ...]

    def __call__(self, outputs: Any, targets: Any) -> Any:
        """The weighted mean."""
        each: Any = self.loss(outputs, targets, reduction="none")  # type: ignore[call-arg]
        w = callback(_looked_up, self.weights, raw(targets), each.dtype)
        return sum_(mul(each, w)) / callback(np.sum, w)


def _looked_up(weights: tuple[float, ...], targets: Array, dtype: Any) -> Array:
    found: Array = np.asarray(weights, dtype)[targets.astype(int)]
    return found


def weighted(loss: Loss, weights: Any, y: Array) -> Weighted:
    """`loss` with the weights of classes 0, 1, ...: a sequence, a dict (1 where it has none), or "balanced".

    balanced: rows / (classes * rows of the class), as scikit-learn has it.
    """
    if "reduction" not in getattr(inspect.signature(loss), "parameters", {}):
        raise TypeError("class_weight= needs a loss that takes reduction='none', such as mg.cross_entropy")
    labels = y.astype(int)
    if (labels != y).any() or labels.min() < 0:
        raise ValueError("class_weight= is for targets that are classes 0, 1, 2, ...")
    counts = np.bincount(labels.ravel())
    if isinstance(weights, str):
        if weights != "balanced":
            raise ValueError(f"class_weight={weights!r} must be 'balanced', a dict or one number for each class")
        given = labels.size / (len(counts) * np.maximum(counts, 1))
    elif isinstance(weights, Mapping):
        given = np.array([float(weights.get(k, 1.0)) for k in range(max([len(counts) - 1, *weights]) + 1)])
    else:
        given = np.asarray(weights, float)
    if given.ndim != 1 or len(given) < len(counts) or not (given >= 0).all() or not np.isfinite(given).all():
        raise ValueError(f"class_weight={weights!r} must be a number >= 0 for each of the {len(counts)} classes")
    return Weighted(loss, tuple(given.tolist()))
