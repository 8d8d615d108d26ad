"""Seed 002, the cs231n batch-normalization notebook, cell by cell.

    python -m examples.cs231n_batchnorm forward                 cells 3 and 4
    python -m examples.cs231n_batchnorm backward                cell 5
    python -m examples.cs231n_batchnorm alternative             cell 6
    python -m examples.cs231n_batchnorm net-check               cell 7
    python -m examples.cs231n_batchnorm deep --data PATH        cells 8 and 9
    python -m examples.cs231n_batchnorm weight-scale --data PATH    cells 10 and 11
    python -m examples.cs231n_batchnorm batch-size --data PATH      cells 12 and 13
    python -m examples.cs231n_batchnorm layer-norm --data PATH      cells 14, 15 and 17
    python -m examples.cs231n_batchnorm learning-rate --data PATH   not in the notebook: rates from 1e-4 to 0.1

PATH is the folder of CIFAR-10's python batches, or the project's .npz subset of it. Without it the trainings run on
scikit-learn's digits. Plots and finished runs of a sweep go to --out; a sweep that was interrupted goes on where it
was. Exit status: 0, or 1 where a number is not the printed one. What the numbers mean: docs/seeds.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: python examples/cs231n_batchnorm.py deep
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from examples.cs231n import cells, experiments, source

CELLS = {
    "forward": cells.forward,
    "backward": cells.backward,
    "alternative": cells.alternative,
    "net-check": cells.net_check,
}
TRAININGS = ("deep", "weight-scale", "batch-size", "layer-norm", "learning-rate")
SCANS = {"weight-scale": experiments.weight_scale, "learning-rate": experiments.learning_rate}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.cs231n_batchnorm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, cell in CELLS.items():
        parts.add_parser(name, help=str(cell.__doc__).splitlines()[0])
    for name in TRAININGS:
        part = parts.add_parser(name)
        part.add_argument("--data", help="CIFAR-10: the folder of its python batches, or the .npz subset")
        part.add_argument("--out", type=Path, default=Path("cs231n-results"), help="folder for plots and results")
        part.add_argument("--seed", type=int, default=220, help="the notebook's is 220")
        part.add_argument("--epochs", type=int, default=10)
        if name == "deep":
            what = "replay each training's step; compiled: as machine code (extra fast)"
            part.add_argument("--replay", nargs="?", const=True, default=False, choices=("compiled",), help=what)
        else:
            part.add_argument("--jobs", type=int, default=-1, help="worker processes, -1 for one a core")
        if name in SCANS:
            points = {"weight-scale": 20, "learning-rate": 10}[name]
            part.add_argument("--points", type=int, default=points, help="how many values are tried")
        if name in ("batch-size", "layer-norm"):
            part.add_argument("--equal-updates", type=int, metavar="N", help="every batch size takes N updates")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0, 1 where a number is wrong, 2 for wrong input."""
    args = _parser().parse_args(argv)
    if args.command in CELLS:
        return 0 if CELLS[args.command]() else 1
    try:
        images = source.load(args.data)
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"Data: {images.name}\n")
    common = {"seed": args.seed, "epochs": args.epochs}
    if args.command == "deep":
        fine = experiments.deep(images, args.out, replay=args.replay, **common)
    elif args.command in SCANS:
        fine = SCANS[args.command](images, args.out, points=args.points, jobs=args.jobs, **common)
    else:
        fine = True
        if args.command == "layer-norm":
            fine = cells.layer_norm()
            print()
        kind = "layernorm" if args.command == "layer-norm" else "batchnorm"
        more = {"normalization": kind, "updates": args.equal_updates, "jobs": args.jobs}
        fine &= experiments.batch_size(images, args.out, **common, **more)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
