"""fit: the training loop, and what it needs to look at a model without training it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._support.arrays import plain
from .._support.files import PathLike
from .._support.randomness import Generator, Source, generator
from .._support.signatures import Array, Data
from ..core.nodes import kernel, raw
from ..core.tensor import Tensor
from ..data import shuffled
from ..nn import BatchNorm1d, Module
from ..optim import Optimizer, Schedule
from .callbacks import EarlyStopping, Run
from .checkpoint import Checkpoint
from .given import (
    Loss,
    Metric,
    Metrics,
    check_meaning,
    helpful,
    loss_of,
    metrics_of,
    model_of,
    optimizer_of,
    outputs_of,
    pair_of,
    weighted,
)
from .history import History
from .metrics import mae, mse
from .nonfinite import NonFiniteStep
from .progress import Progress
from .settings import Settings, described, digest, of_model, of_optimizer
from .steps import Step

Sampler: TypeAlias = Callable[[int, Generator], Iterable[Array]]


def predict(model: Module, x: Data, *, batch_size: int = 4096) -> Array:
    """model(x) in eval mode as a bare array, `batch_size` rows at a time, recording nothing."""
    rows = plain(x)
    if rows.ndim < 1 or not len(rows):
        raise ValueError(f"predict: there are no rows: x has shape {rows.shape}")
    return np.concatenate([outputs_of(model, rows[k : k + batch_size]) for k in range(0, len(rows), batch_size)])


def evaluate(model: Module, x: Data, y: Data, loss: str | Loss, metrics: Metrics = ()) -> dict[str, float]:
    """The loss and the metrics of a model in eval mode; both may be named, as in `fit`."""
    return _evaluated(model, x, plain(y), loss_of(loss), metrics_of(metrics))


def _evaluated(model: Module, x: Data, y: Array, loss: Loss, metrics: dict[str, Metric]) -> dict[str, float]:
    outputs = predict(model, x)
    with np.errstate(all="ignore"):
        found = {"loss": float(raw(loss(Tensor._leaf(outputs), y)))}
    return found | {name: float(metric(outputs, y)) for name, metric in metrics.items()}


@helpful
def fit(
    model: Module,
    loss: str | Loss,
    optimizer: str | Optimizer | Callable[..., Optimizer],
    train: Data | tuple[Data, Data],
    targets: Data | None = None,
    *,
    epochs: int,
    batch_size: int = 32,
    lr: float | None = None,
    val: tuple[Data, Data] | None = None,
    metrics: Metrics = (),
    class_weight: Any = None,
    seed: Source = 0,
    sampler: Sampler | None = None,
    drop_last: bool = False,
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    callbacks: Callable[[Run], None] | Sequence[Callable[[Run], None]] = (),
    checkpoint: PathLike | None = None,
    resume: bool = True,
    restore_best: bool = False,
    replay: bool | str = False,
    progress: bool = True,
) -> History:
    """Train `model` on `train` = (x, y): for every batch loss(model(x), y), backward, one step of `optimizer`.

    loss       a function (outputs, targets) -> Tensor, or a name: cross_entropy, binary_cross_entropy_with_logits, mse,
               l1, huber, ...
    optimizer  an object, or a name: sgd, momentum, rmsprop, adam, adamw, with `lr` or the optimizer's own default
    train      (x, y); or x here, and y as `targets`
    batches    shuffled anew each epoch by a generator seeded with `seed`; or what `sampler(n, rng)` yields as index
               arrays. A last batch of one is merged into the one before (dropped with drop_last=True)
    metrics    one or several: functions (outputs, targets) -> number, or names: accuracy, binary_accuracy, mse, mae,
               r2; a dict gives them other names. Of both data sets, in eval mode, after every epoch. The first one on
               `val` (or else the validation loss) says which epoch was best
    class_weight  of the rows of each class in the loss: numbers, a dict, or "balanced"
    schedule   stepped after every epoch;   clip_norm   limits the norm of all gradients of a step
    callbacks  called with the `Run` after every step and every epoch, such as EarlyStopping(patience=5)
    checkpoint an .npz written after every epoch; with resume=True a run that was killed goes on from there and ends
               with the same bytes. That of another run is refused, and says what differs
    replay     record the step once and run it again without building Tensors (`mg.replay`): faster, the same bits.
               `loss` then gets the targets as a Tensor. NotReplayable where model or loss cannot be recorded.
               "compiled": as machine code, faster still and equal to rounding; needs the extra `fast`
    progress   a bar on a terminal, plain lines elsewhere

    A loss or gradient that is NaN or infinite raises NonFiniteStep, which names the step, the first node that made
    it and its line; the weights are those before the step. ValueError for data that cannot be trained on, before
    anything changes. Data is converted to the floating-point type of the parameters. Ctrl-C raises KeyboardInterrupt
    with the history so far as its `history`.

    >>> import minigrad as mg
    >>> x = np.linspace(-1.0, 1.0, 20)[:, None]
    >>> net = mg.nn.Linear(1, 1, rng=0)
    >>> history = fit(net, "mse", "sgd", x, 3.0 * x, lr=0.5, epochs=20, progress=False)
    >>> round(net.weight.item(), 3)
    3.0
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}={value!r} must be an integer >= 1")
    if replay not in (True, False, "compiled"):
        raise ValueError(f"replay={replay!r} must be True, False or 'compiled'")
    model, loss, named = model_of(model), loss_of(loss), metrics_of(metrics)
    data = pair_of("train", train, targets, model)
    held_out = pair_of("val", val, None, model) if val is not None else None
    optimizer = optimizer_of(optimizer, model, lr)
    called = [callbacks] if callable(callbacks) else list(callbacks)
    if not all(callable(callback) and not isinstance(callback, type) for callback in called):
        raise TypeError(
            "callbacks= are functions that are called with the Run; a class is called first: EarlyStopping(5)"
        )
    if schedule is not None and schedule.optimizer is not optimizer:
        raise ValueError("schedule= changes the rates of another optimizer than the one that is given")
    loss = weighted(loss, class_weight, data[1]) if class_weight is not None else loss
    n = len(data[0])
    if any(isinstance(module, BatchNorm1d) for _, module in model.named_modules()) and min(n, batch_size) < 2:
        raise ValueError(f"batch norm cannot train on one sample: there are {n} rows and batch_size={batch_size}")
    for part in (data, held_out) if held_out is not None else (data,):
        check_meaning(model, loss, named, *part, batch_size)
    rng = generator(seed, "fit")
    history, stored = History(), None
    if checkpoint is not None:
        generators: list[Generator] = [rng, *(other for other in model.generators() if other is not rng)]
        options = {"batch_size": batch_size, "drop_last": drop_last, "clip_norm": clip_norm, "sampler": sampler}
        options["compiled replay"] = replay == "compiled"  # other last bits
        settings = _settings({**options, "seed": seed, "the loss": loss, "metrics": named}, data, held_out)
        settings |= of_model(model) | of_optimizer(optimizer, schedule)
        stored = Checkpoint(checkpoint, model, optimizer, schedule, generators, settings)
        if resume and Path(checkpoint).exists():
            history = stored.load()
        elif not Path(checkpoint).absolute().parent.is_dir():
            raise FileNotFoundError(f"cannot write the checkpoint {checkpoint}: its folder does not exist")
    state = Run(model, optimizer, history, epochs, epoch=len(history.epochs), step=len(history.loss))
    first = next(iter(named), "loss")
    state.monitor = f"val_{first}" if held_out is not None else "loss"
    state.higher = bool(named) and held_out is not None and named[first] not in (mse, mae)
    taken = Step(model, loss, optimizer, clip_norm, replay)

    with Progress(epochs, "epoch", shown=progress, done=state.epoch) as bar:
        if state.epoch:
            state.stop = any(c.is_over(state) for c in called if isinstance(c, EarlyStopping))
            bar.say(_going_on(checkpoint, state))
        model.train()
        try:
            while state.epoch < epochs and not state.stop:
                started = time.perf_counter()
                total, rows = 0.0, 0
                batches = sampler(n, rng) if sampler is not None else shuffled(n, batch_size, rng, drop_last=drop_last)
                for index in batches:
                    state.loss = taken.take(data[0][index], data[1][index], state.step + 1)
                    state.step += 1
                    history.loss.append(state.loss)
                    total, rows = total + state.loss * len(index), rows + len(index)
                    _tell(called, state, "step")
                if not rows:
                    raise ValueError("the sampler yielded no batches")
                state.epoch += 1
                row: dict[str, float] = {"epoch": state.epoch, "step": state.step, "loss": total / rows}
                if named:
                    row |= {k: v for k, v in _evaluated(model, *data, loss, named).items() if k != "loss"}
                if held_out is not None:
                    row |= {f"val_{k}": v for k, v in _evaluated(model, *held_out, loss, named).items()}
                    sign = 1.0 if state.higher else -1.0
                    if history.best is None or sign * row[state.monitor] > sign * history.best[state.monitor]:
                        history.best, history.best_state = row, model.state_dict()
                history.epochs.append(row)
                if schedule is not None:
                    schedule.step(row.get("val_loss", row["loss"]))
                if stored is not None:
                    stored.save(history)
                history.seconds.append(time.perf_counter() - started)
                _tell(called, state, "epoch")
                bar.advance(
                    [
                        f"{k} {v:.4g}" if v >= 1e4 else f"{k} {v:.4f}"
                        for k, v in row.items()
                        if k not in ("epoch", "step")
                    ]
                )
            if state.stop and state.epoch < epochs and history.seconds:
                bar.say(f"stopped after epoch {state.epoch}")
        except (NonFiniteStep, KeyboardInterrupt) as error:
            error.history = history  # type: ignore[union-attr]
            raise
    if restore_best and history.best_state is not None:
        model.load_state_dict(history.best_state)
    return history


def _tell(callbacks: Sequence[Callable[[Run], None]], state: Run, event: str) -> None:
    state.event = event
    for tell in callbacks:
        tell(state)


def _going_on(checkpoint: Any, state: Run) -> str:
    if state.stop:
        return f"{checkpoint} has {state.epoch} epochs, and EarlyStopping ends the run there: nothing to do"
    if state.epoch >= state.epochs:
        return f"{checkpoint} has {state.epoch} epochs, and {state.epochs} were asked for: nothing to do"
    return f"going on from epoch {state.epoch} of {checkpoint}"


def _settings(options: dict[str, Any], train: tuple[Array, Array], val: tuple[Array, Array] | None) -> Settings:
    """What must be the same for a run to be the same run, without its network and optimizer."""
    found = {name: described(value) for name, value in options.items() if name != "metrics"}
    if not isinstance(options["seed"], (int, np.integer)):
        found["seed"] = f"a {type(options['seed']).__name__}"
    found["metrics"] = ", ".join(options["metrics"]) or "none"
    found |= {f"the metric {name}": described(metric) for name, metric in options["metrics"].items()}
    found["MINIGRAD_KERNELS"] = kernel("chosen") or "reference"  # others have other last bits
    found["the training data"] = digest(train)
    return found | {"the validation data": digest(val) if val is not None else "none"}
