"""`minigrad predict`: what a network that `minigrad train` saved says about further rows of a table."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, functional, nn, training
from .._support.files import written_aside
from .options import add_command, add_shared, as_options, read_table
from .problems import Problem, say


def add_to(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "predict",
        run,
        "predict further rows with a network that `minigrad train` saved",
        "minigrad predict model.npz new.csv --out predicted.csv",
        "Read the network that `minigrad train TABLE --save model.npz` wrote, and print for each row of another table "
        "what it predicts: a number, or a class and its probability.",
    )
    parser.add_argument("model", metavar="MODEL", help="the .npz file; the .json beside it is read as well")
    parser.add_argument("data", metavar="DATA", help="a table with the columns that it was trained on")
    parser.add_argument("--out", metavar="FILE", help="write the predictions there, as comma-separated values")
    add_shared(parser, "--separator", "--decimal", "--missing")
    parser.set_defaults(columns=None)


def run(args: argparse.Namespace) -> int:
    """Predict and print; 0."""
    about_path = Path(args.model).with_suffix(".json")
    for path in (Path(args.model), about_path):
        if not path.is_file():
            raise Problem(f"{path}: no such file; `minigrad train TABLE --target NAME --save {args.model}` writes it")
    try:
        about = json.loads(about_path.read_text())
        net = nn.MLP(**about["network"], rng=0)
        net.load(args.model)
        columns, target, classes = about["columns"], about["target"], about["classes"]
        mean, deviation = np.array(about["mean"], float), np.array(about["deviation"], float)
    except (KeyError, TypeError, ValueError) as error:
        raise Problem(f"{about_path} and {args.model} are not what `minigrad train` wrote: {error}") from error
    table = _with_columns(read_table(args, args.data, file=sys.stderr), columns)
    try:
        x = table.numbers()
    except ValueError as error:
        raise Problem(as_options(error, args)) from error
    outputs = training.predict(net, ((x - mean) / deviation).astype(about["network"]["dtype"]))
    if classes is None:
        header = ["line", target]
        values = outputs[:, 0] * about["target deviation"] + about["target mean"]
        rows = [[str(line), f"{value:.6g}"] for line, value in zip(table.lines, values, strict=True)]
    else:
        header = ["line", target, "probability"]
        shares = np.asarray(functional.softmax(outputs))
        chosen = zip(table.lines, shares.argmax(axis=1), shares.max(axis=1), strict=True)
        rows = [[str(line), classes[k], f"{share:.4f}"] for line, k, share in chosen]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    if args.out is None:
        say(text.getvalue(), end="")
        return 0
    with written_aside(args.out) as file:
        file.write(text.getvalue().encode())
    say(f"wrote {args.out}")
    return 0


def _with_columns(table: data.Table, columns: list[str]) -> data.Table:
    """The columns that the network was trained on; of tables without names, as many as there are, in order."""
    if len(table.names) == len(columns) and all(name.startswith("column ") for name in (*columns, *table.names)):
        return table
    try:
        return table.choose(columns)
    except ValueError as error:
        raise Problem(f"{error}; the network was trained on {', '.join(columns)}") from error
