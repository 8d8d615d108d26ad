"""What `minigrad train` trains on: data sets by name, and tables of the user's own."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import data
from .._support.files import load_arrays
from ..data.cifar import WHERE
from .options import as_options, read_table
from .problems import Problem, tell

Array = np.ndarray[Any, Any]
# name: (how it is loaded, widths of its hidden layers)
NAMED: dict[str, tuple[Any, str]] = {
    "blobs": (lambda seed: data.make_blobs(seed=seed), "128"),
    "moons": (lambda seed: data.make_moons(seed=seed), "32,32"),
    "spirals": (lambda seed: data.make_spirals(seed=seed), "64,64"),
    "digits": (lambda seed: data.load_digits(), "64,32"),
    "diabetes": (lambda seed: data.load_diabetes(), "32,16"),
    "cifar10": (None, "100,100,100,100,100"),
}
_CLASSES = 10  # whole numbers of at most so many kinds are taken as classes


@dataclass
class Dataset:
    """Rows and targets to train on and to validate with, prepared.

    kind     of the targets: "classes", "two classes" (0 or 1 in one column), or "numbers" in units of `spread`
    classes  names of the classes of a table
    about    what is needed to prepare further rows in the same way, for a table
    """

    x_train: Array
    y_train: Array
    x_val: Array
    y_val: Array
    kind: str = "classes"
    classes: list[str] | None = None
    spread: float = 1.0
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def numeric(self) -> bool:
        """Whether numbers are learned."""
        return self.kind == "numbers"

    @property
    def outputs(self) -> int:
        """How many outputs a network for it has."""
        return int(self.y_train.max()) + 1 if self.kind == "classes" else int(self.y_train.shape[1])


def load(args: argparse.Namespace) -> Dataset:
    """The data set that the arguments name, features centred (those of a table also scaled) on the training rows."""
    name = args.dataset
    if name not in NAMED:
        return _from_table(args)
    if args.target is not None or args.columns is not None:
        raise Problem(f"--target and --columns are for a table of your own; {name} has its own")
    if args.data is not None and name != "cifar10":
        raise Problem(f"--data is for cifar10; {name} comes from scikit-learn")
    if name == "cifar10":
        x_train, y_train, x_val, y_val = _cifar(args.data)
    else:
        x, y = NAMED[name][0](args.seed)
        x_train, x_val, y_train, y_val = data.train_test_split(x, y, seed=args.seed)
    found = Dataset(x_train, y_train, x_val, y_val)
    if name == "blobs":
        found.kind = "two classes"
        found.y_train, found.y_val = (y[:, None].astype(args.dtype) for y in (y_train, y_val))
    if name == "diabetes":
        found.kind = "numbers"
        _standardize(found, "x", args.dtype)
        _standardize(found, "y", args.dtype)
    mean = found.x_train.mean(axis=0)
    found.x_train, found.x_val = ((x - mean).astype(args.dtype) for x in (found.x_train, found.x_val))
    return found


def _standardize(found: Dataset, which: str, dtype: Any) -> tuple[Array, Array]:
    """Both parts less the mean of the training rows, divided by their deviation; these two."""
    train, val = getattr(found, f"{which}_train"), getattr(found, f"{which}_val")
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    for part, values in (("train", train), ("val", val)):
        setattr(found, f"{which}_{part}", ((values - mean) / deviation).astype(dtype))
    if which == "y":
        found.spread = float(deviation[0])
    return mean, deviation


def _from_table(args: argparse.Namespace) -> Dataset:
    name = args.dataset
    if not Path(name.partition(":")[0]).exists():
        raise Problem(f"{name}: neither a data set ({', '.join(NAMED)}) nor a file with a table")
    if args.target is None:
        names = ", ".join(data.table(name, separator=args.separator, decimal=args.decimal).names[:30])
        raise Problem(f"{name}: which column is to be learned? Give --target NAME; it has {names}")
    table = read_table(args, name, also=[args.target])
    try:
        target = table.choose(args.target)
        features = table.without(args.target)
        x = features.numbers()
        y, classes = _targets(args, target)
    except ValueError as error:
        raise Problem(as_options(error, args)) from error
    if len(x) < 4:
        raise Problem(f"{name}: {len(x)} rows are too few; some are set apart to validate with")
    x_train, x_val, y_train, y_val = data.train_test_split(x, y, seed=args.seed)
    found = Dataset(x_train, y_train, x_val, y_val, "numbers" if classes is None else "classes", classes)
    found.about = {"columns": list(features.names), "target": target.names[0], "classes": classes}
    mean, deviation = _standardize(found, "x", args.dtype)
    found.about |= {"mean": mean.tolist(), "deviation": deviation.tolist()}
    if classes is None:
        mean, deviation = _standardize(found, "y", args.dtype)
        found.about |= {"target mean": float(mean[0]), "target deviation": float(deviation[0])}
    return found


def _targets(args: argparse.Namespace, target: data.Table) -> tuple[Array, list[str] | None]:
    """Numbers (rows, 1), or the class of each row and the names of the classes; said where it was guessed."""
    numbers, classes = target.classes()
    values = target.columns[0]
    text = values.dtype.kind == "U"
    whole = not text and len(classes) <= min(_CLASSES, len(values) // 2) and bool((values == np.round(values)).all())
    if args.task == "numbers" or (args.task == "auto" and not text and not whole):
        return target.numbers(), None
    if len(classes) < 2 or len(classes) > len(values) / 2:
        raise Problem(f"--target {target.names[0]}: {len(classes)} classes in {len(values)} rows cannot be learned")
    few = ", ".join(classes[:6]) + (", ..." if len(classes) > 6 else "")
    told = f"{target.names[0]}: {len(classes)} classes ({few})"
    tell(told + ("; as a number: --task numbers" if args.task == "auto" and not text else ""))
    return numbers, classes


def _cifar(path: str | None) -> tuple[Array, Array, Array, Array]:
    if path is None:
        raise Problem(f"cifar10 needs --data; it comes from {WHERE}")
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
