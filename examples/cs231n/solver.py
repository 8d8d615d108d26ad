"""The notebook's Solver on `training.fit`, and its one stream of random numbers cut so that nets can train apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import data, optim, training
from minigrad._support.randomness import restore, state_of

from .net import FullyConnectedNet
from .source import Data


@dataclass(frozen=True)
class Job:
    """One training: a net, a batch size, a learning rate. `updates` fixes their number (None: `epochs` of the data)."""

    normalization: str | None
    hidden: tuple[int, ...] = (100, 100, 100, 100, 100)
    weight_scale: float = 2e-2
    batch_size: int = 50
    lr: float = 1e-3
    epochs: int = 10
    updates: int | None = None

    def steps(self, rows: int) -> int:
        """Updates in one epoch (or in a tenth of `updates`)."""
        return max(rows // self.batch_size, 1) if self.updates is None else max(self.updates // self.epochs, 1)


@dataclass(frozen=True)
class Placed:
    """A job and where in the notebook's stream its weights and its batches begin."""

    job: Job
    weights: str
    batches: str


def place(rounds: Iterable[Sequence[Job]], seed: int, rows: int, dim: int) -> list[Placed]:
    """Where every job of the notebook begins to draw.

    The notebook seeds once; each round draws the weights of all its nets, then trains them in order. What a training
    draws does not depend on what it computes, so the stream can be run ahead, and every net can be trained by
    itself, in any order and on any core, on the very numbers that it had in the notebook.
    """
    rng = np.random.RandomState(seed)
    placed = []
    for jobs in rounds:
        starts = []
        for job in jobs:
            starts.append(state_of(rng))
            for a, b in itertools.pairwise((dim, *job.hidden, 10)):
                rng.randn(a, b)
        for job, weights in zip(jobs, starts, strict=True):
            placed.append(Placed(job, weights, state_of(rng)))
            for _ in data.with_replacement(rows, job.batch_size, rng, steps=job.steps(rows) * job.epochs):
                pass
    return placed


def solve(
    placed: Placed, images: Data, *, verbose: bool = False, print_every: int = 20, replay: Any = False
) -> dict[str, Any]:
    """Train one net as the notebook's Solver does; its histories, as plain lists.

    Loss of every step; accuracies in test mode (all images) after the first step and after every epoch. `replay`: as
    for `training.fit`.
    """
    job, rows = placed.job, len(images.X_train)
    rng = np.random.RandomState(0)
    restore(rng, placed.weights)
    net = FullyConnectedNet(
        job.hidden, rng=rng, input_dim=images.dim, weight_scale=job.weight_scale, normalization=job.normalization
    )
    restore(rng, placed.batches)
    steps, accuracies = job.steps(rows), []

    def log(run: training.Run) -> None:
        if verbose and run.event == "step" and (run.step - 1) % print_every == 0:
            print(f"(Iteration {run.step} / {steps * job.epochs}) loss: {run.loss:.6f}")
        if run.event == "epoch" or run.step == 1:
            train, val = (
                training.accuracy(training.predict(net, x), y)
                for x, y in ((images.X_train, images.y_train), (images.X_val, images.y_val))
            )
            accuracies.append((train, val))
            if verbose:
                print(f"(Epoch {run.epoch} / {job.epochs}) train acc: {train:.6f}; val_acc: {val:.6f}")

    history = training.fit(
        net,
        mg.cross_entropy,
        optim.Adam(net.parameters(), lr=job.lr),
        (images.X_train, images.y_train),
        epochs=job.epochs,
        batch_size=job.batch_size,
        seed=rng,
        sampler=lambda n, source: data.with_replacement(n, job.batch_size, source, steps=steps),
        callbacks=[log],
        progress=False,
        replay=replay,
    )
    return {
        "loss": history.loss,
        "train_acc": [train for train, _ in accuracies],
        "val_acc": [val for _, val in accuracies],
        "steps": steps,
    }
