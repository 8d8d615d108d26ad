"""fit: the training loop, and what it needs to look at a model without training it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._support.files import PathLike
from .._support.randomness import Generator, Source, generator, restore, state_of
from .._support.signatures import Array, Data
from ..core.context import no_grad
from ..core.nodes import callback, raw
from ..core.tensor import Tensor
from ..data import shuffled
from ..nn import BatchNorm1d, Module, NonFinite
from ..nn.module import in_mode
from ..optim import Optimizer, Schedule, clip_grad_norm
from ..replaying import Replayed
from .checkpoint import Checkpoint, fingerprint
from .history import History
from .nonfinite import NonFiniteStep, first_nonfinite
from .progress import Progress

Loss: TypeAlias = Callable[[Any, Any], Tensor]
Metrics: TypeAlias = "Mapping[str, Callable[[Array, Array], float]] | Sequence[Callable[[Array, Array], float]]"
Sampler: TypeAlias = Callable[[int, Generator], Iterable[Array]]


@dataclass
class Run:
    """What a callback sees; it may set `stop` to end after this epoch.

    event is "step" (after every update) or "epoch" (after its evaluation, when its checkpoint is written).
    """

    model: Module
    optimizer: Optimizer
    history: History
    epochs: int
    event: str = ""
    epoch: int = 0
    step: int = 0
    loss: float = np.nan
    stop: bool = False


def predict(model: Module, x: Data, *, batch_size: int = 4096) -> Array:
    """model(x) in eval mode as a bare array, `batch_size` rows at a time, recording nothing."""
    rows = np.asarray(raw(x))
    if not len(rows):
        raise ValueError("predict: there are no rows")
    with in_mode(model, False), no_grad(), np.errstate(all="ignore"):
        starts = range(0, len(rows), batch_size)
        return np.concatenate([raw(model(Tensor._leaf(rows[k : k + batch_size]))) for k in starts])


def evaluate(model: Module, x: Data, y: Data, loss: Loss, metrics: Metrics = ()) -> dict[str, float]:
    """The loss and the metrics of a model in eval mode."""
    outputs, targets = predict(model, x), np.asarray(raw(y))
    with np.errstate(all="ignore"):
        found = {"loss": float(raw(loss(Tensor._leaf(outputs), targets)))}
    return found | {name: float(metric(outputs, targets)) for name, metric in _named(metrics).items()}


def _named(metrics: Metrics) -> dict[str, Callable[[Array, Array], float]]:
    return dict(metrics) if isinstance(metrics, Mapping) else {metric.__name__: metric for metric in metrics}


def fit(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    train: tuple[Data, Data],
    *,
    epochs: int,
    batch_size: int = 32,
    val: tuple[Data, Data] | None = None,
    metrics: Metrics = (),
    seed: Source = 0,
    sampler: Sampler | None = None,
    drop_last: bool = False,
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    callbacks: Sequence[Callable[[Run], None]] = (),
    checkpoint: PathLike | None = None,
    resume: bool = True,
    restore_best: bool = False,
    replay: bool = False,
    progress: bool = True,
) -> History:
    """Train `model` on `train` = (x, y): for every batch loss(model(x), y), backward, one step of `optimizer`.

    batches    shuffled anew each epoch by a generator seeded with `seed`; or what `sampler(n, rng)` yields as index
               arrays. A last batch of one is merged into the one before (dropped with drop_last=True)
    metrics    functions (outputs, targets) -> number, as a sequence or by name; of both data sets, in eval mode,
               after every epoch. The first one on `val` (or else the validation loss) says which epoch was best
    schedule   stepped after every epoch;   clip_norm   limits the norm of all gradients of a step
    callbacks  called with the `Run` after every step and every epoch
    checkpoint an .npz written after every epoch; with resume=True a run that was killed goes on from there and ends
               with the same bytes
    replay     record the step once and run it again without building Tensors (`mg.replay`): faster, the same bits.
               `loss` then gets the targets as a Tensor. NotReplayable where model or loss cannot be recorded
    progress   a bar on a terminal, plain lines elsewhere

    A loss or gradient that is NaN or infinite raises NonFiniteStep, which names the step, the first node that made
    it and its line; the weights are those before the step. ValueError for data that cannot be trained on, before
    anything changes. Data is converted to the floating-point type of the parameters.

    >>> import minigrad as mg
    >>> x = np.linspace(-1.0, 1.0, 20)[:, None]
    >>> net = mg.nn.Linear(1, 1, rng=0)
    >>> history = fit(net, mg.mse_loss, mg.optim.SGD(net.parameters(), lr=0.5), (x, 3.0 * x), epochs=20, progress=False)
    >>> round(net.weight.item(), 3)
    3.0
    """
    _check_counts(epochs, batch_size)
    dtype = _dtype_of(model)
    data = _checked("train", train, dtype)
    held_out = _checked("val", val, dtype) if val is not None else None
    named = _named(metrics)
    n = len(data[0])
    if any(isinstance(module, BatchNorm1d) for _, module in model.named_modules()) and min(n, batch_size) < 2:
        raise ValueError(f"batch norm cannot train on one sample: there are {n} rows and batch_size={batch_size}")
    rng = generator(seed, "fit")
    generators: list[Generator] = [rng, *(other for other in model.generators() if other is not rng)]
    history, stored = History(), None
    if checkpoint is not None:
        settings = {
            "batch_size": batch_size,
            "drop_last": drop_last,
            "clip_norm": clip_norm,
            "metrics": list(named),
            "seed": seed if isinstance(seed, int) else "generator",
            "sampler": sampler is not None,
        }
        run = fingerprint([*data, *(held_out or ())], settings)
        stored = Checkpoint(checkpoint, model, optimizer, schedule, generators, run)
        if resume and Path(checkpoint).exists():
            history = stored.load()
        elif not Path(checkpoint).absolute().parent.is_dir():
            raise FileNotFoundError(f"cannot write the checkpoint {checkpoint}: its folder does not exist")
    state = Run(model, optimizer, history, epochs, epoch=len(history.epochs), step=len(history.loss))
    taken = _Step(model, loss, optimizer, clip_norm, replay)
    monitor, sign = (f"val_{next(iter(named))}", 1.0) if named else ("val_loss", -1.0)

    with Progress(epochs, "epoch", shown=progress, done=state.epoch) as bar:
        model.train()
        while state.epoch < epochs and not state.stop:
            started = time.perf_counter()
            total, rows = 0.0, 0
            batches = sampler(n, rng) if sampler is not None else shuffled(n, batch_size, rng, drop_last=drop_last)
            for index in batches:
                try:
                    state.loss = taken.take(data[0][index], data[1][index], state.step + 1)
                except NonFiniteStep as error:
                    error.history = history
                    raise
                state.step += 1
                history.loss.append(state.loss)
                total, rows = total + state.loss * len(index), rows + len(index)
                _tell(callbacks, state, "step")
            if not rows:
                raise ValueError("the sampler yielded no batches")
            state.epoch += 1
            row: dict[str, float] = {"epoch": state.epoch, "step": state.step, "loss": total / rows}
            if named:
                row |= {k: v for k, v in evaluate(model, *data, loss, named).items() if k != "loss"}
            if held_out is not None:
                row |= {f"val_{k}": v for k, v in evaluate(model, *held_out, loss, named).items()}
                if history.best is None or sign * row[monitor] > sign * history.best[monitor]:
                    history.best, history.best_state = row, model.state_dict()
            history.epochs.append(row)
            if schedule is not None:
                schedule.step()
            if stored is not None:
                stored.save(history)
            history.seconds.append(time.perf_counter() - started)
            _tell(callbacks, state, "epoch")
            bar.advance("  ".join(f"{k} {v:.4f}" for k, v in row.items() if k not in ("epoch", "step")))
    if restore_best and history.best_state is not None:
        model.load_state_dict(history.best_state)
    return history


def _tell(callbacks: Sequence[Callable[[Run], None]], state: Run, event: str) -> None:
    state.event = event
    for tell in callbacks:
        tell(state)


# --------------------------------------------------------------------------------------------------------------
# One step


class _Step:
    """Forward, backward, update; or a NonFiniteStep, with nothing applied."""

    def __init__(
        self, model: Module, loss: Loss, optimizer: Optimizer, clip_norm: float | None, replayed: bool
    ) -> None:
        self.model, self.loss, self.optimizer, self.clip_norm = model, loss, optimizer, clip_norm
        self.params = [tensor for group in optimizer.groups for tensor in group["params"]]
        self.state = [tensor for _, tensor in model.named_tensors() if not tensor.requires_grad]
        self.generators = model.generators()
        self._run: Callable[[Any, Any], Any] = Replayed(self._whole) if replayed else self._whole

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


def _look_at_loss(loss: Array) -> None:
    if not np.isfinite(loss):
        raise _NotFinite("the loss")


def _look_at_gradients(*gradients: Array) -> None:
    # a NaN or infinity is in the squares' sum; the sum may overflow without one, and then each is looked at
    total = 0.0
    for gradient in gradients:
        flat = gradient.ravel()
        total += float(np.dot(flat, flat))
    if not math.isfinite(total) and not all(bool(np.isfinite(gradient).all()) for gradient in gradients):
        raise _NotFinite("a gradient")


# --------------------------------------------------------------------------------------------------------------
# What is checked before anything changes


def _check_counts(epochs: int, batch_size: int) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}={value!r} must be an integer >= 1")


def _dtype_of(model: Module) -> Any:
    dtypes = {parameter.dtype for parameter in model.parameters()}
    if not dtypes:
        raise ValueError(f"{type(model).__name__} has no parameters to train")
    return dtypes.pop() if len(dtypes) == 1 else None


def _checked(who: str, data: Any, dtype: Any) -> tuple[Array, Array]:
    """(x, y) as arrays: as many targets as rows, all finite, floating-point numbers in the parameters' dtype."""
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"{who} must be a pair (x, y) of arrays, got {type(data).__name__}")
    x, y = (np.asarray(raw(part)) for part in data)
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y) or not len(x):
        raise ValueError(
            f"{who}: x has shape {x.shape} and y {y.shape}; both need the same number of rows, at least one"
        )
    for name, values in (("x", x), ("y", y)):
        if values.dtype.kind not in "fiub":
            raise TypeError(f"{who}: {name} must hold numbers, got dtype {values.dtype}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))[0].tolist()
            raise ValueError(f"{who}: {name} has NaN or infinite values, the first at index {bad}; remove or fill them")
    if dtype is not None:
        x = x.astype(dtype, copy=False)
        y = y.astype(dtype, copy=False) if y.dtype.kind == "f" else y
    return x, y
