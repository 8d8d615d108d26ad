"""`minigrad train`: a small network on blobs, digits or CIFAR-10, to see what normalization does to training."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, losses, nn, optim, training
from .._support.files import load_arrays
from ..training.history import new_figure
from .options import Problem, add_command, add_shared, file_to_write, numbers

Array = np.ndarray[Any, Any]
OPTIMIZERS: dict[str, Any] = {"sgd": optim.SGD, "rmsprop": optim.RMSprop, "adam": optim.Adam, "adamw": optim.AdamW}
OPTIMIZERS["momentum"] = partial(optim.SGD, momentum=0.9)
ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh")
PLOTS = ("png", "svg", "pdf")
DEFAULT_HIDDEN = {"blobs": "128", "digits": "64,32", "cifar10": "100,100,100,100,100"}


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "train",
        run,
        "train a small network on blobs, digits or CIFAR-10",
        "minigrad train digits --norm batch --epochs 15 --plot history.png",
        "Train a multi-layer perceptron and print its history. Needs the packages scikit-learn (for blobs and digits) "
        "and matplotlib (for --plot).",
    )
    parser.add_argument("dataset", choices=("blobs", "digits", "cifar10"), help="what to train on")
    parser.add_argument("--data", metavar="PATH", help="cifar10: the folder of its python batches, or an .npz of them")
    parser.add_argument("--norm", choices=("none", "batch", "layer"), default="batch", help="after each Linear (batch)")
    parser.add_argument("--convention", choices=tuple(nn.CONVENTIONS), help="of batch norm's running averages (torch)")
    parser.add_argument("--bias-correction", action="store_true", help="batch norm: correct averages for their start")
    parser.add_argument("--hidden", metavar="N,N,...", help="widths of the hidden layers (128; 64,32; 5 x 100)")
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="after each layer (relu)")
    parser.add_argument("--dropout", type=float, default=0.0, metavar="P", help="share dropped after activations (0)")
    parser.add_argument("--epochs", type=int, default=15, metavar="N", help="passes over the data (15)")
    parser.add_argument("--batch-size", type=int, default=50, metavar="N", help="rows of one step (50)")
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate (0.01)")
    parser.add_argument("--optimizer", choices=tuple(OPTIMIZERS), default="adam", help="(adam)")
    parser.add_argument("--weight-decay", type=float, default=0.0, metavar="W", help="not of gamma, beta, biases (0)")
    parser.add_argument("--clip-norm", type=float, metavar="NORM", help="limit the norm of all gradients")
    parser.add_argument("--replay", action="store_true", help="record the step once and replay it: faster, same bits")
    add_shared(parser, "--seed", "--dtype", dtype="float32")
    parser.add_argument("--plot", metavar="FILE", help=f"draw the history: .{' .'.join(PLOTS)}")
    parser.add_argument("--csv", metavar="FILE", help="write the history as a table")
    parser.add_argument("--save", metavar="FILE", help="write the best weights as .npz")
    parser.add_argument("--checkpoint", metavar="FILE", help="written after each epoch; an interrupted run goes on")


def run(args: argparse.Namespace) -> int:
    """Train, print, write; 0, or 1 where training diverged."""
    try:
        return _run(args)
    except training.NonFiniteStep as error:
        print(error)
        return 1
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise Problem(str(error)) from error


def _run(args: argparse.Namespace) -> int:
    for path in (args.csv, args.save, args.checkpoint):
        if path is not None and not Path(path).absolute().parent.is_dir():
            raise Problem(f"cannot write {path}: its folder does not exist")
    if args.plot is not None:
        file_to_write("--plot", args.plot, PLOTS)
        new_figure((1.0, 1.0))  # where matplotlib is missing, better said now than after the training
    of_batch_norm = {"convention": args.convention or "torch", "bias_correction": args.bias_correction}
    if args.norm != "batch" and (args.convention or args.bias_correction):
        raise Problem(f"--convention and --bias-correction are batch norm's, but --norm is {args.norm}")
    if args.data is not None and args.dataset != "cifar10":
        raise Problem(f"--data is for cifar10; {args.dataset} comes from scikit-learn")
    expected = "numbers >= 1 with commas between, such as 64,32"
    hidden = numbers("--hidden", args.hidden or DEFAULT_HIDDEN[args.dataset], int, expected, least=1)
    x_train, y_train, x_val, y_val = _load(args)
    binary = y_train.dtype.kind == "f"
    outputs = 1 if binary else int(y_train.max()) + 1
    sizes = (x_train.shape[1], *hidden, outputs)
    options: dict[str, Any] = {
        "norm": args.norm,
        "activation": args.activation,
        "dropout": args.dropout,
        "dtype": args.dtype,
    }
    net = nn.MLP(sizes, rng=args.seed, **options, **(of_batch_norm if args.norm == "batch" else {}))
    weights = [w for w in net.parameters() if w.ndim > 1]
    rest = [w for w in net.parameters() if w.ndim < 2]
    groups = [{"params": weights, "weight_decay": args.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    print(f"{args.dataset}: {len(x_train)} rows to train on, {len(x_val)} to validate, {x_train.shape[1]} features")
    print(net)
    history = training.fit(
        net,
        losses.binary_cross_entropy_with_logits if binary else losses.cross_entropy,
        OPTIMIZERS[args.optimizer](groups, lr=args.lr),
        (x_train, y_train),
        val=(x_val, y_val),
        metrics={"accuracy": training.binary_accuracy if binary else training.accuracy},
        restore_best=True,
        **{name: getattr(args, name) for name in ("epochs", "batch_size", "seed", "clip_norm", "checkpoint", "replay")},
    )
    last, best = history.epochs[-1], history.best or history.epochs[-1]
    print(f"training loss {last['loss']:.4f}, accuracy {last['accuracy']:.4f}")
    print(f"validation accuracy {last['val_accuracy']:.4f}, best {best['val_accuracy']:.4f} in epoch {best['epoch']}")
    for path, write in ((args.plot, history.plot), (args.csv, history.to_csv), (args.save, net.save)):
        if path is not None:
            write(path)
            print(f"wrote {path}")
    return 0


def _load(args: argparse.Namespace) -> tuple[Array, Array, Array, Array]:
    """Rows and targets to train on and to validate with, features centred on the training rows."""
    if args.dataset == "cifar10":
        x_train, y_train, x_val, y_val = _cifar(args.data)
    else:
        x, y = data.load_digits() if args.dataset == "digits" else data.make_blobs(seed=args.seed)
        x_train, x_val, y_train, y_val = data.train_test_split(x, y, seed=args.seed)
    if args.dataset == "blobs":
        y_train, y_val = (y[:, None].astype(args.dtype) for y in (y_train, y_val))
    mean = x_train.mean(axis=0)
    return (x_train - mean).astype(args.dtype), y_train, (x_val - mean).astype(args.dtype), y_val


def _cifar(path: str | None) -> tuple[Array, Array, Array, Array]:
    if path is None:
        raise Problem(f"cifar10 needs --data; it comes from {data.WHERE}")
    if Path(path).is_file():
        arrays = load_arrays(path)
        names = ("X_train", "y_train", "X_val", "y_val")
        if any(name not in arrays for name in names):
            raise Problem(f"{path} must hold {', '.join(names)}; it holds {', '.join(arrays) or 'nothing'}")
        x_train, y_train, x_val, y_val = (arrays[name] for name in names)
    else:
        cifar = data.load_cifar10(path)
        x_train, y_train, x_val, y_val = cifar.x_train, cifar.y_train, cifar.x_test, cifar.y_test
    rows = [x.reshape(len(x), -1).astype(np.float32) / 255.0 for x in (x_train, x_val)]
    return rows[0], y_train.astype(np.int64), rows[1], y_val.astype(np.int64)
