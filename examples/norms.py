"""Batch, layer, instance and RMS norm as one picture: the same few ops on one x, and the axes the only difference.

    python -m examples.norms                     norms.svg, and a table: who shares a mean with whom
    python -m examples.norms --width 1400        more on it; --theme dark

x is (N, C, L): N samples, C channels, L places. Each norm is x without its mean, over its standard deviation; what
differs is over which axes the two are taken. RMS norm has layer norm's axes and leaves the mean where it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.check.table import table
from minigrad.drawing import RendererNotFound

EPS = 1e-5
SHAPE = (2, 3, 4)  # N, C, L
AXES = {"batch norm": (0, 2), "instance norm": (2,), "layer norm": (1, 2), "RMS norm": (1, 2)}


def norm(x: Any, axis: tuple[int, ...], *, centre: bool = True) -> Any:
    """x_hat = (x - mu) / std over `axis`; without the mu for centre=False."""
    centred = x
    if centre:
        mu = mg.mean(x, axis=axis, keepdims=True).named("mu")
        centred = (x - mu).named("centred")
    squares = mg.square(centred).named("squares")
    var = mg.mean(squares, axis=axis, keepdims=True).named("var" if centre else "mean_square")
    std = mg.sqrt((var + EPS).named("below the root")).named("std" if centre else "rms")
    return (centred / std).named("x_hat")


def all_of(x: Any) -> dict[str, Any]:
    """The four norms of one x, each in a scope of its name."""
    found = {}
    for name, axis in AXES.items():
        with mg.scope(f"{name}, axis={axis[0] if len(axis) == 1 else axis}"):
            found[name] = norm(x, axis, centre=name != "RMS norm")
    return found


def example() -> Any:
    """A small x, the same each time."""
    return mg.tensor(np.random.default_rng(3).normal(2, 3, SHAPE).round(1), requires_grad=True, name="x")


def reference(name: str, x: Any) -> Any:
    """The same by minigrad's ops, and RMS norm by its formula in NumPy."""
    a, axis = x.numpy(), AXES[name]
    if name == "RMS norm":
        return a / np.sqrt((a * a).mean(axis=axis, keepdims=True) + EPS)
    if name == "layer norm":
        return mg.layer_norm(a, axis=axis, eps=EPS)
    return mg.batch_norm(a, axis=axis, eps=EPS)


def picture(**options: Any) -> Any:
    """The four side by side, from one x."""
    x = example()
    chosen = {"backward": False, "detail": 0, "legend": False, "title": "Four norms of x (N, C, L)", **options}
    return mg.draw(list(all_of(x).values()), **chosen)


def main(argv: Sequence[str] | None = None) -> int:
    """Print who shares statistics with whom, and draw."""
    parser = argparse.ArgumentParser(prog="python -m examples.norms", description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="norms.svg")
    parser.add_argument("--theme", default="light", choices=("light", "dark", "auto"))
    parser.add_argument("--width", type=int, help="the px that the picture is shown in")
    args = parser.parse_args(argv)
    x, rows = example(), []
    for name, y in all_of(x).items():
        axis = AXES[name]
        together = int(np.prod([SHAPE[k] for k in axis]))
        alone = "".join("NCL"[k] for k in range(3) if k not in axis)
        rows.append([name, str(axis), str(together), alone, f"{mg.check.rel_error(y.numpy(), reference(name, x)):.0e}"])
    print(table(["", "axis", "numbers share", "one each", "from minigrad's"], rows))
    try:
        drawn = picture(theme=args.theme, **({} if args.width is None else {"width": args.width}))
        print(f"wrote {drawn.save(args.out)}")
    except RendererNotFound as error:
        print(f"no picture: {error}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
