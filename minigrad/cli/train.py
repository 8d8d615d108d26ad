"""`minigrad train`: a small network on a table of yours or on a data set by name."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import nn, training
from .._support.files import written_aside
from ..training.given import OPTIMIZERS
from ..training.saving import new_figure
from .datasets import NAMED, Dataset, load
from .options import TABLE, add_command, add_shared, as_options, file_to_write, numbers
from .problems import Problem, tell

ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh")
PLOTS = ("png", "svg", "pdf")
OF_FIT = ("epochs", "batch_size", "seed", "clip_norm", "checkpoint", "replay", "resume")  # options that it has too
LEARNED: dict[str, tuple[str, dict[str, Any]]] = {  # the loss and the metric for each kind of target
    "classes": ("cross_entropy", {"accuracy": training.accuracy}),
    "two classes": ("binary_cross_entropy_with_logits", {"accuracy": training.binary_accuracy}),
    "numbers": ("mse_loss", {"r2": training.r2}),
}


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "train",
        run,
        "train a small network on a table of yours, or on blobs, digits, ...",
        "minigrad train data.csv --target price --save model.npz",
        f"Train a multi-layer perceptron and print its history: on a table with --target, or on {', '.join(NAMED)}. "
        "Needs the packages scikit-learn (for data) and matplotlib (for pictures).",
    )
    parser.add_argument("dataset", metavar="DATA", help=f"a table (.csv, .txt, .npy, ...) or {', '.join(NAMED)}")
    parser.add_argument("--target", metavar="NAME", help="of the table: the column to be learned, by name or number")
    parser.add_argument("--task", choices=("auto", "classes", "numbers"), default="auto", help="what the target is")
    add_shared(parser, *TABLE)
    parser.add_argument("--data", metavar="PATH", help="cifar10: the folder of its python batches, or an .npz of them")
    parser.add_argument("--norm", choices=("none", "batch", "layer"), default="batch", help="after each Linear (batch)")
    parser.add_argument("--convention", choices=tuple(nn.CONVENTIONS), help="of batch norm's running averages (torch)")
    parser.add_argument("--bias-correction", action="store_true", help="batch norm: correct averages for their start")
    parser.add_argument("--hidden", metavar="N,N,...", help="widths of the hidden layers (32,16 for a table)")
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="after each layer (relu)")
    parser.add_argument("--dropout", type=float, default=0.0, metavar="P", help="share dropped after activations (0)")
    parser.add_argument("--epochs", type=int, default=15, metavar="N", help="passes over the data (15)")
    parser.add_argument("--early-stopping", type=int, metavar="N", help="stop after N epochs that were no better")
    parser.add_argument("--batch-size", type=int, default=50, metavar="N", help="rows of one step (50)")
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate (0.01)")
    parser.add_argument("--optimizer", choices=tuple(OPTIMIZERS), default="adam", help="(adam)")
    parser.add_argument("--weight-decay", type=float, default=0.0, metavar="W", help="not of gamma, beta, biases (0)")
    parser.add_argument("--clip-norm", type=float, metavar="NORM", help="limit the norm of all gradients")
    replay = "record the step once and replay it: faster, same bits; compiled: to rounding (extra fast)"
    parser.add_argument("--replay", nargs="?", const=True, default=False, choices=("compiled",), help=replay)
    add_shared(parser, "--seed", "--dtype", dtype="float32")
    parser.add_argument("--plot", metavar="FILE", help=f"draw the history: .{' .'.join(PLOTS)}")
    parser.add_argument("--boundary", metavar="FILE", help="draw the classes in the plane of two features")
    parser.add_argument("--csv", metavar="FILE", help="write the history as a table")
    parser.add_argument("--save", metavar="FILE", help="write the best weights as .npz, for `minigrad predict`")
    parser.add_argument("--checkpoint", metavar="FILE", help="written after each epoch; an interrupted run goes on")
    resume = "go on from the checkpoint, where there is one (yes)"
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True, help=resume)


def with_replay(argv: Sequence[str]) -> list[str]:
    """`--replay DATA` is not `--replay=DATA`: only the word `compiled` belongs to the option."""
    given = list(argv)
    for k in range(len(given) - 1, 0, -1):
        if given[k - 1] == "--replay" and given[k] != "compiled" and given[0] == "train":
            given.append(given.pop(k - 1))
    return given


def run(args: argparse.Namespace) -> int:
    """Train, print, write; 0, or 1 where training diverged."""
    try:
        return _run(args)
    except training.NonFiniteStep as error:
        tell(as_options(error, args))
        return 1
    except BrokenPipeError:
        raise
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise Problem(as_options(error, args)) from error


def _run(args: argparse.Namespace) -> int:
    for path in (args.csv, args.save, args.checkpoint):
        if path is not None and not Path(path).absolute().parent.is_dir():
            raise Problem(f"cannot write {path}: its folder does not exist")
    for option, path in (("--plot", args.plot), ("--boundary", args.boundary)):
        if path is not None:
            file_to_write(option, path, PLOTS)
            new_figure((1.0, 1.0))  # where matplotlib is missing, better said now than after the training
    if args.norm != "batch" and (args.convention or args.bias_correction):
        raise Problem(f"--convention and --bias-correction are batch norm's, but --norm is {args.norm}")
    widths = args.hidden or NAMED.get(args.dataset, (None, "32,16"))[1]
    hidden = numbers("--hidden", widths, int, "numbers >= 1 with commas between, such as 64,32", least=1)
    problem = load(args)
    if args.boundary is not None and (problem.x_train.shape[1] != 2 or problem.numeric):
        raise Problem("--boundary draws classes in the plane of two features")
    network: dict[str, Any] = {"sizes": [problem.x_train.shape[1], *hidden, problem.outputs]}
    network |= {name: getattr(args, name) for name in ("norm", "activation", "dropout", "dtype")}
    if args.norm == "batch":
        network |= {"convention": args.convention or "torch", "bias_correction": args.bias_correction}
    net = nn.MLP(**network, rng=args.seed)
    weights = [w for w in net.parameters() if w.ndim > 1]
    rest = [w for w in net.parameters() if w.ndim < 2]
    groups = [{"params": weights, "weight_decay": args.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    trained = Trained(args, net, network, problem)
    tell(
        f"{args.dataset}: {len(problem.x_train)} rows to train on, {len(problem.x_val)} to validate, "
        f"{problem.x_train.shape[1]} features"
    )
    tell(net)
    loss, metric = LEARNED[problem.kind]
    try:
        history = training.fit(
            net,
            loss,
            OPTIMIZERS[args.optimizer](groups, lr=args.lr),
            (problem.x_train, problem.y_train),
            val=(problem.x_val, problem.y_val),
            metrics=metric,
            restore_best=True,
            callbacks=[training.EarlyStopping(args.early_stopping)] if args.early_stopping is not None else [],
            **{name: getattr(args, name) for name in OF_FIT},
        )
    except KeyboardInterrupt as interrupt:
        return trained.interrupted(getattr(interrupt, "history", training.History()))
    trained.report(history, *metric)
    trained.write(history)
    return 0


@dataclass(frozen=True)
class Trained:
    """A network, how it is made again, and what it was trained on."""

    args: argparse.Namespace
    net: nn.MLP
    network: dict[str, Any]
    problem: Dataset

    def report(self, history: training.History, metric: str) -> None:
        """Print how well it did."""
        last, best, val = history.epochs[-1], history.best or history.epochs[-1], f"val_{metric}"
        tell(f"training loss {last['loss']:.4f}, {metric} {last[metric]:.4f}")
        tell(f"validation {metric} {last[val]:.4f}, best {best[val]:.4f} in epoch {best['epoch']}")
        if self.problem.numeric:
            error = training.mae(training.predict(self.net, self.problem.x_val), self.problem.y_val)
            tell(f"mean absolute error on the validation rows {error * self.problem.spread:.4g}")

    def write(self, history: training.History) -> None:
        """Write the files that were asked for, and say so."""
        args, problem = self.args, self.problem
        if args.plot is not None:
            history.plot(args.plot)
        if args.boundary is not None:
            training.plot_boundary(self.net, problem.x_train, problem.y_train, args.boundary)
        if args.csv is not None:
            history.to_csv(args.csv)
        if args.save is not None:
            self.net.save(args.save)
        beside = Path(args.save).with_suffix(".json") if args.save is not None and problem.about else None
        if beside is not None:
            with written_aside(beside) as file:
                file.write(json.dumps({"network": self.network, **problem.about}, indent=1).encode())
        for path in (args.plot, args.boundary, args.csv, args.save, beside):
            if path is not None:
                tell(f"wrote {path}")

    def interrupted(self, history: training.History) -> int:
        """After Ctrl-C: write what the whole epochs gave, and say how to go on."""
        done, checkpoint = len(history.epochs), self.args.checkpoint
        tell(f"interrupted in epoch {done + 1}; {done} of {self.args.epochs} epochs are done")
        if history.best_state is not None:
            self.net.load_state_dict(history.best_state)
            self.write(history)
        if checkpoint is None:
            tell("to be able to go on after an interruption, give --checkpoint FILE")
        elif done:
            tell(f"to go on from epoch {done} of {checkpoint}, run the same command again")
        return 130
