"""The seeds' diagrams, drawn from running code: not a line of them is placed by hand.

    python -m examples.diagrams --out diagrams            every diagram, as .svg
    python -m examples.diagrams figure --theme dark       one of them
    python -m examples.diagrams stages --width 1400        with more on it

figure        seed 002: X -> mu -> v -> sigma -> Y -> L, the notebook's figure in its names
training      seed 001: the training stage, with the running averages
inference     seed 001: the inference stage; no path leads from x through mean and variance
stages        both beside each other
layer         seed 003: one layer, a -> z -> z_norm -> z_tilde -> a
two-layers    seed 003: a net with one hidden layer on one mini-batch
mini-batches  seed 003: the same net on two mini-batches; w, gamma and beta are shared and drawn once
eleven        seed 001: 11 hidden layers of 128, repeated layers folded to one page
deep          seed 001: these with and without batch norm, how large values and gradients are from layer to layer
backward      the automatic backward pass of composed batch norm beside the analytic one
dx-own, dx-mean, dx-variance    the three terms of dx, each as the path that it came
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import chapter, nn
from minigrad.drawing import RendererNotFound

EPS = 1e-5
Options = dict[str, Any]


def rng() -> np.random.Generator:
    """The same numbers in every diagram."""
    return np.random.default_rng(7)


def parameter(name: str, *shape: int, value: float | None = None) -> Any:
    """A named leaf that learns: small random numbers, or one value."""
    numbers = rng().normal(0, 0.5, shape).round(2) if value is None else np.full(shape, value)
    return mg.tensor(numbers, requires_grad=True, name=name)


def arriving(y: mg.Tensor) -> np.ndarray[Any, Any]:
    """A gradient that arrives at y: not ones, whose path through a batch norm is zero."""
    return np.random.default_rng(11).normal(size=y.shape).round(2)


def figure(**options: Any) -> Any:
    """y = (x - mu) / sigma, sigma = sqrt(v + eps), and a loss L, in the notebook's letters."""
    x = mg.tensor(rng().normal(1, 2, (4, 3)).round(2), requires_grad=True, name="X")
    mu = x.mean(axis=0).named("mu")
    v = x.var(axis=0).named("v")
    sigma = mg.sqrt((v + EPS).named("v + eps")).named("sigma")
    y = ((x - mu).named("X - mu") / sigma).named("Y")
    target = mg.tensor(np.random.default_rng(3).normal(size=(4, 3)).round(2), name="target")
    loss = mg.square(y - target).sum().named("L")
    loss.backward()
    return mg.draw(loss, title="Batch norm as a graph (seed 002)", **options)


def training_stage() -> tuple[Any, Any, Any]:
    """H = X W, its statistics over the batch, r = gamma * h_hat + beta, and the running averages."""
    x = mg.tensor(rng().normal(size=(6, 3)).round(2), name="X")
    w = parameter("W", 3, 4)
    gamma, beta = parameter("gamma", 4, value=1.0), parameter("beta", 4, value=0.0)
    ema_e, ema_v = (mg.tensor(np.full(4, start), name=name) for name, start in (("E_old", 0.0), ("V_old", 1.0)))
    h = (x @ w).named("H")
    with mg.scope("BatchNorm"):
        e = h.mean(axis=0).named("E")
        v = h.var(axis=0).named("V")
        std = mg.sqrt((v + 1e-3).named("V + eps")).named("std")
        h_hat = ((h - e).named("H - E") / std).named("h_hat")
        r = ((h_hat * gamma).named("scaled") + beta).named("r")
    with mg.scope("RunningAverages"):
        # the old averages need no gradient, so that their product is a leaf to the tape
        new_e = ((0.99 * ema_e).named("0.99*E_old") + (0.01 * e).named("0.01*E")).named("E_new")
        new_v = ((0.99 * ema_v).named("0.99*V_old") + (0.01 * v).named("0.01*V")).named("V_new")
    return r, new_e, new_v


def training(**options: Any) -> Any:
    """The training stage: the batch's own statistics, and the averages that inference will use."""
    r, new_e, new_v = training_stage()
    return mg.draw((new_e, new_v, r), gradient=(None, None, arriving(r)), title="Training stage (seed 001)", **options)


def inference_stage() -> Any:
    """The same with the averages given."""
    x = mg.tensor(rng().normal(size=(6, 3)).round(2), name="X")
    w = parameter("W", 3, 4)
    gamma, beta = parameter("gamma", 4, value=1.0), parameter("beta", 4, value=0.0)
    ema_e, ema_v = (mg.tensor(np.full(4, value), name=name) for name, value in (("E_ema", 0.1), ("V_ema", 0.9)))
    h = (x @ w).named("H")
    with mg.scope("BatchNorm"):
        std = mg.sqrt(ema_v + 1e-3).named("std")  # nothing here needs a gradient: a leaf to the tape
        h_hat = ((h - ema_e).named("H - E") / std).named("h_hat")
        return ((h_hat * gamma).named("scaled") + beta).named("r")


def inference(**options: Any) -> Any:
    """The inference stage: E and V are leaves."""
    r = inference_stage()
    return mg.draw(r, gradient=arriving(r), title="Inference stage (seed 001)", **options)


def stages(**options: Any) -> Any:
    """Training against inference: what is gone in inference."""
    r, _, _ = training_stage()
    g = arriving(r)
    title = "Training and inference (seed 001)"
    return mg.draw_pair(("training", r), ("inference", inference_stage()), gradient=g, title=title, **options)


def normalized_layer(a: Any, w: Any, gamma: Any, beta: Any, k: int, batch: str = "") -> Any:
    """z = a w; z_norm = (z - mu) / sqrt(var + eps); z_tilde = gamma * z_norm + beta; a = relu(z_tilde)."""
    name = f"[{k}]{batch}"
    with mg.scope(f"Layer {k}"):
        z = (a @ w).named(f"z{name}")
        mu, var = z.mean(axis=0).named(f"mu{name}"), z.var(axis=0).named(f"var{name}")
        std = mg.sqrt(var + EPS).named(f"std{name}")
        z_norm = ((z - mu) / std).named(f"z_norm{name}")
        z_tilde = (gamma * z_norm + beta).named(f"z_tilde{name}")
        return mg.relu(z_tilde).named(f"a{name}")


def layer_parameters(k: int, inputs: int, outputs: int) -> tuple[Any, Any, Any]:
    """w, gamma and beta of layer k; no bias: beta takes its place."""
    return (
        parameter(f"w[{k}]", inputs, outputs),
        parameter(f"gamma[{k}]", outputs, value=1.0),
        parameter(f"beta[{k}]", outputs, value=0.1),
    )


def layer(**options: Any) -> Any:
    """One layer with batch norm before the activation."""
    a = mg.tensor(rng().normal(size=(5, 3)).round(2), name="a[0]")
    out = normalized_layer(a, *layer_parameters(1, 3, 2), 1)
    return mg.draw(out, gradient=arriving(out), title="One layer (seed 003)", **options)


def on_batch(parameters: list[tuple[Any, Any, Any]], seed: int, batch: str) -> Any:
    """The net with these parameters on a mini-batch of its own."""
    a = mg.tensor(np.random.default_rng(seed).normal(size=(5, 3)).round(2), name=f"x{batch}")
    for k, (w, gamma, beta) in enumerate(parameters, 1):
        a = normalized_layer(a, w, gamma, beta, k, batch)
    return a


def two_layers(**options: Any) -> Any:
    """A net with one hidden layer on one mini-batch."""
    out = on_batch([layer_parameters(1, 3, 4), layer_parameters(2, 4, 2)], 1, "")
    return mg.draw(out, gradient=arriving(out), title="One hidden layer, one mini-batch (seed 003)", **options)


def mini_batches(**options: Any) -> Any:
    """The net on mini-batches {1} and {2}: statistics of their own, shared parameters."""
    shared = [layer_parameters(1, 3, 4)]
    outs = [on_batch(shared, seed, f"{{{seed}}}") for seed in (1, 2)]
    g = [arriving(out) for out in outs]
    return mg.draw(outs, gradient=g, title="Two mini-batches, shared parameters (seed 003)", fold=False, **options)


def deep_net(normalized: bool) -> tuple[Any, Any]:
    """11 hidden layers of 128 and one output, with batch norm or without, on the same numbers."""
    generator = rng()
    parts: list[Any] = []
    for k in range(11):
        parts.append(nn.Linear(2 if k == 0 else 128, 128, bias=False, rng=generator))
        parts += [nn.BatchNorm1d(128)] if normalized else []
        parts.append(nn.ReLU())
    net = nn.Sequential(*parts, nn.Linear(128, 1, rng=generator), nn.Sigmoid())
    x = mg.tensor(generator.normal(size=(300, 2)), name="x")
    return net, net(x).named("y_hat")


def eleven(**options: Any) -> Any:
    """11 hidden layers of 128 with batch norm and ReLU, without biases, one output."""
    net, y = deep_net(True)
    title = "11 hidden layers on one page (seed 001)"
    return mg.draw(y, names=net, gradient=arriving(y), title=title, **{"fold": True, **options})


def deep(**options: Any) -> Any:
    """The same with and without batch norm: how large values and gradients are from layer to layer."""
    (_, y), (_, plain) = deep_net(True), deep_net(False)
    title = "11 hidden layers, with and without batch norm (seed 001)"
    pair = ("with batch norm", y), ("without", plain)
    return mg.draw_pair(*pair, gradient=arriving(y), title=title, **{"fold": True, "tables": False, **options})


def backward(**options: Any) -> Any:
    """The gradients twice: what the walk records for composed batch norm, and the fused primitive's analytic rule."""
    x = mg.tensor(rng().normal(1, 2, (4, 3)).round(2), requires_grad=True, name="x")
    gamma = mg.tensor([1.5, 0.5, 1.0], requires_grad=True, name="gamma")
    beta = mg.tensor([0.0, 0.1, -0.2], requires_grad=True, name="beta")
    dy = mg.tensor(rng().normal(size=(4, 3)).round(2), requires_grad=True, name="dy")
    sides = []
    for function in (mg.batch_norm_composed, mg.batch_norm):
        y = function(x, gamma, beta).named("y")
        d_beta, d_gamma, dx = mg.grad(y, (beta, gamma, x), gradient=dy, create_graph=True)
        sides.append([d_beta.named("d_beta"), d_gamma.named("d_gamma"), dx.named("dx")])
    options = {"backward": False, "title": "The backward pass of batch norm, automatic and analytic", **options}
    return mg.draw_pair(("automatic", sides[0]), ("analytic", sides[1]), **options)


def dx_through(name: str, at: str, what: str, **options: Any) -> Any:
    """One of the three terms of dx: what `name` sends to `at`, and the ops that it came through."""
    x = mg.tensor(chapter.z(), requires_grad=True, name="x")
    gamma = mg.tensor([2.0, -0.5, 1.5], requires_grad=True, name="gamma")
    beta = mg.tensor([0.1, 0.2, -0.3], requires_grad=True, name="beta")
    y = mg.batch_norm_composed(x, gamma, beta, variance="staged").named("y")
    g = mg.graph(y, gradient=chapter.dq())
    term = next(part.numbers for part in g[at].contributions if g[part.consumer].name == name)
    through: dict[Any, Any] = {}

    def reaches(tensor: Any) -> bool:
        """Whether the op called `name` is on the way to this tensor; then it is on the path."""
        found = tensor.name == name or any([reaches(t) for t in tensor.inputs if t is not None])
        if found:
            through[tensor] = (1.0, f"sends {at} {term.brief}") if tensor.name == name else (0.5, "on the way")
        return found

    reaches(y)
    title = f"dx of batch norm, {what}"
    return mg.draw(y, gradient=chapter.dq(), **{"color": Through(through), "title": title, **options})


class Through:
    """A report for `color=`: the ops on a path."""

    color_title = "the path"

    def __init__(self, colors: dict[Any, Any]) -> None:
        self.colors = colors


DIAGRAMS: dict[str, Callable[..., Any]] = {
    "figure": figure,
    "training": training,
    "inference": inference,
    "stages": stages,
    "layer": layer,
    "two-layers": two_layers,
    "mini-batches": mini_batches,
    "eleven": eleven,
    "deep": deep,
    "backward": backward,
    "dx-own": functools.partial(dx_through, "x_hat", "centred", "its own share"),
    "dx-mean": functools.partial(dx_through, "mu", "x", "through the mean"),
    "dx-variance": functools.partial(dx_through, "squared", "centred", "through the variance"),
}


def main(argv: list[str] | None = None) -> int:
    """Draw the diagrams asked for (all of them without a name); 0 if they were written."""
    parser = argparse.ArgumentParser(prog="python -m examples.diagrams", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(DIAGRAMS)} (all)")
    parser.add_argument("--out", metavar="DIR", default="diagrams", help="folder for them (./diagrams)")
    parser.add_argument("--format", choices=("svg", "png", "pdf", "dot", "html", "md"), default="svg", help="(svg)")
    parser.add_argument("--theme", choices=("light", "dark"), default="light", help="(light)")
    parser.add_argument("--width", metavar="PX", default="readme", help="where it is shown, as in mg.draw (readme)")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in DIAGRAMS]
    if unknown:
        parser.error(f"unknown diagram {unknown[0]!r}; there are {', '.join(DIAGRAMS)}")
    try:
        width = int(args.width) if args.width.isdecimal() else args.width
        folder = Path(args.out)
        folder.mkdir(parents=True, exist_ok=True)
        for name in args.names or DIAGRAMS:
            print(f"wrote {DIAGRAMS[name](theme=args.theme, width=width).save(folder / f'{name}.{args.format}')}")
    except RendererNotFound as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
