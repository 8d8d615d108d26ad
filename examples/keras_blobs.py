"""Seed 001, the Keras slides: what a batch-norm layer holds, one written by hand, and what it does to two blobs.

    python -m examples.keras_blobs observe        the layer's weights, and the slide's printed example
    python -m examples.keras_blobs one-hidden     a custom layer in a net with one hidden layer
    python -m examples.keras_blobs deep           eleven hidden layers, with batch norm and without
    python -m examples.keras_blobs shift          what reaches the last hidden layer while the ones below it train

Plots go to --out. The slides draw their data and weights without a seed, so their losses and accuracies are one run
of many: here they are runs over --seeds, and what is asserted is what does not depend on luck. Needs the extra train.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, training
from minigrad.check.table import table
from minigrad.training.figures import draw_boundary, draw_quantiles
from minigrad.training.saving import new_figure, save_figure

Array = np.ndarray[Any, Any]
# two normal clouds of equal weight, d apart with deviation s: nobody is right more often than Phi(d / 2s)
BAYES = 0.5 * (1 + math.erf(math.hypot(0.5, 0.1) / (2 * 0.25) / math.sqrt(2)))

# --------------------------------------------------------------------------------------------------------------
# observe

PRINTED: dict[str, Any] = {
    "h": [[2.231, 0.996, 0.742, 1.156], [0.094, -3.605, -2.613, 2.943], [1.894, -1.353, -1.513, 3.84]],
    "gamma": [1.049, 1.074, 0.923, 0.938],
    "beta": [0.053, 0.063, -0.063, -0.06],
    "mean": [-0.169, -0.214, -0.148, 0.012],
    "var": [1.225, 2.426, 1.309, 1.878],
    "r": [[2.326, 0.897, 0.655, 0.723], [0.302, -2.276, -2.051, 1.946], [2.007, -0.723, -1.164, 2.56]],
}


def observe(out: Path, seeds: int, epochs: int | None) -> bool:
    """The weights of Keras' layer before training, the slide's printed example, and a run of our own."""
    layer = nn.BatchNorm1d(4, convention="keras")
    names = ("gamma", "beta", "E[h]", "V[h]")
    print("Initial values, in Keras' order:")
    for name, array in zip(names, layer.get_weights(), strict=True):
        print(f"  {name:5} = {array}")
    layer.set_weights([PRINTED[name] for name in ("gamma", "beta", "mean", "var")])
    h = np.array(PRINTED["h"])
    r = layer.eval()(h).numpy()
    off = float(np.abs(r - PRINTED["r"]).max())
    print(f"\nThe slide's weights loaded, eval(h):\n{r.round(3)}")
    print(f"largest difference to the printed r: {off:.1e} (its inputs are rounded to three decimals)")

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 3)), rng.integers(0, 2, (100, 1)).astype(float)
    hidden = nn.Linear(3, 4, bias=False, rng=rng)
    bn = nn.BatchNorm1d(4, convention="keras")
    net = nn.Sequential(hidden, bn, nn.ReLU(), nn.Linear(4, 1, rng=rng), nn.Sigmoid())
    adam = optim.Adam(net.parameters(), lr=0.001, eps=1e-7)
    training.fit(net, mg.mse_loss, adam, (x, y), epochs=epochs or 10, batch_size=10, seed=rng, progress=False)
    net.eval()
    h = hidden(x).numpy()
    gamma, beta, mean, var = bn.get_weights()
    by_hand = gamma * (h - mean) / np.sqrt(var + 0.001) + beta
    worst = float(np.abs(by_hand - bn(h).numpy()).max())
    print(f"\nOur own run, {bn.updates.item()} updates of its running averages:")
    for name, array in zip(names, bn.get_weights(), strict=True):
        print(f"  {name:5} = {array.round(3)}")
    print(f"gamma (h - E) / sqrt(V + eps) + beta by hand: off by {worst:.0e}")
    print("The slides' diagrams of both stages: python -m examples.diagrams training, and inference")
    return off <= 2e-3 and worst <= 1e-12


# --------------------------------------------------------------------------------------------------------------
# one-hidden


class MyBatchNorm(nn.Module):
    """The slides' custom layer as a user writes it: attributes are parameters and state, nothing is registered.

    As there the moving variance starts at 0 (Keras: at 1). Not as there: the averages move in training only.
    """

    def __init__(self, units: int, rho: float = 0.99, eps: float = 1e-5) -> None:
        self.gamma = mg.ones(units, requires_grad=True)
        self.beta = mg.zeros(units, requires_grad=True)
        self.mean_ema, self.var_ema = mg.zeros(units), mg.zeros(units)
        self.rho, self.eps = rho, eps

    def forward(self, h: Any) -> Any:
        """gamma * (h - mean) / sqrt(var + eps) + beta."""
        if self.training:
            mean, var = h.mean(axis=0), h.var(axis=0)
            self.mean_ema.data = self.rho * self.mean_ema.data + (1 - self.rho) * mean.data
            self.var_ema.data = self.rho * self.var_ema.data + (1 - self.rho) * var.data
        else:
            mean, var = self.mean_ema, self.var_ema
        return self.gamma * ((h - mean) / mg.sqrt(var + self.eps)) + self.beta


def bce(logits: Any, targets: Any) -> Any:
    """Binary cross-entropy of logits (N, 1): Keras' sigmoid and loss in one."""
    return mg.binary_cross_entropy_with_logits(logits, targets)


def blobs(seed: int) -> tuple[Array, Array, Array, Array]:
    """The slides' two clouds: 750 points to train on, 250 to test with; labels (N, 1)."""
    x, y = data.make_blobs(seed=seed)
    x_train, x_test, y_train, y_test = data.train_test_split(x, y, seed=seed)
    return x_train, x_test, y_train[:, None].astype(float), y_test[:, None].astype(float)


def _train(net: nn.Module, seed: int, epochs: int) -> tuple[training.History, tuple[Array, Array], tuple[Array, Array]]:
    x_train, x_test, y_train, y_test = blobs(seed)
    adam = optim.Adam(net.parameters(), lr=0.01, eps=1e-7)
    history = training.fit(
        net, bce, adam, (x_train, y_train), val=(x_test, y_test), metrics=[training.binary_accuracy],
        epochs=epochs, batch_size=300, seed=seed, progress=False,
    )  # fmt: skip
    return history, (x_train, y_train), (x_test, y_test)


def one_hidden(out: Path, seeds: int, epochs: int | None) -> bool:
    """Dense 128 without bias, MyBatchNorm, ReLU, one logit; 50 epochs, batches of 300, Adam 0.01."""
    epochs = epochs or 50
    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        custom = nn.Sequential(nn.Linear(2, 128, bias=False, rng=rng), MyBatchNorm(128), nn.ReLU())
        net = nn.Sequential(custom, nn.Linear(128, 1, rng=rng))
        history, train, test = _train(net, seed, epochs)
        stale = history["val_loss"][-1]
        steps = history["step"][-1]
        mean, var = custom[1].mean_ema, custom[1].var_ema
        left = 0.99**steps  # of the averages' start value, zero in both
        mean.data, var.data = mean.data / (1 - left), var.data / (1 - left)
        fresh = training.evaluate(net, *test, bce)["loss"]
        accuracy = history["val_binary_accuracy"][-1]
        rows.append([seed, history["loss"][-1], stale, fresh, accuracy])
        if seed == 0:
            mean.data, var.data = mean.data * (1 - left), var.data * (1 - left)
            _draw_one(net, history, train, out / "one-hidden.png")
    print(f"One hidden layer, {epochs} epochs ({steps:.0f} updates: {100 * left:.0f} % of the start value is left)")
    header = ["seed", "train loss", "val loss", "val, corrected", "val accuracy"]
    _print_rows(header, rows)
    means = np.mean([row[1:] for row in rows], axis=0)
    print("printed, one unseeded run: train 0.3523, val 0.4481 after 50 epochs")
    gap, repaired = means[1] - means[0], means[1] - means[2]
    share = f", {100 * repaired / gap:.0f} % of it" if gap > 1e-3 else ""
    print(f"validation loss lies {gap:+.3f} above training; correcting the averages takes away {repaired:.3f}{share}")
    print(f"the best possible accuracy on such data is {BAYES:.3f}; ours {means[3]:.3f} on average")
    return True


# --------------------------------------------------------------------------------------------------------------
# deep


def deep_net(norm: str, seed: int, layers: int = 11, width: int = 128) -> nn.MLP:
    """Eleven hidden layers of 128. Without batch norm the biases come back: the slides do not show that net."""
    more: dict[str, Any] = {"convention": "keras"} if norm == "batch" else {}
    return nn.MLP((2, *[width] * layers, 1), norm=norm, rng=seed, **more)


def deep_run(norm: str, seed: int, epochs: int) -> dict[str, Any]:
    """One training of the deep net, for the sweep."""
    net = deep_net(norm, seed)
    history, _, test = _train(net, seed, epochs)
    found = {"train": history["loss"][-1], "val": history["val_loss"][-1]}
    found["accuracy"] = history["val_binary_accuracy"][-1]
    for _, layer in net.named_modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.bias_correction = True
    found["corrected"] = training.evaluate(net, *test, bce)["loss"]
    return found


def deep(out: Path, seeds: int, epochs: int | None) -> bool:
    """The net of eleven hidden layers with and without batch norm: 100 epochs, batches of 300, Adam 0.01."""
    epochs = epochs or 100
    settings = [{"norm": norm, "seed": seed, "epochs": epochs} for norm in ("none", "batch") for seed in range(seeds)]
    results = training.sweep(deep_run, settings, folder=out / "deep-runs")
    means, losses = {}, {}
    for norm, label in (("none", "without batch norm"), ("batch", "with batch norm (keras convention)")):
        chosen = [(s["seed"], r) for s, r in zip(settings, results, strict=True) if s["norm"] == norm]
        rows = [[seed, r["train"], r["val"], r["corrected"], r["accuracy"]] for seed, r in chosen]
        _, losses[norm], losses["corrected"], means[norm] = np.mean([row[1:] for row in rows], axis=0)
        print(f"\nEleven hidden layers, {label}, {epochs} epochs")
        _print_rows(["seed", "train loss", "val loss", "val, corrected", "val accuracy"], rows)
    print("\nprinted, one run each: accuracy 0.86 before batch norm, 0.84 after it")
    print(f"ours, means of {seeds}: {means['none']:.3f} and {means['batch']:.3f}; the best possible is {BAYES:.3f}")
    print("The slides conclude that batch norm prevents overfitting. Their own accuracies do not show it, nor do ours:")
    print("a difference of 0.02 on 250 points is one standard error.")
    moved = f"from {losses['batch']:.3f} to {losses['corrected']:.3f}"
    print(f"Correcting the moving averages moves its validation loss {moved}: the start value 1 that is")
    print("left in the variances shrinks what every layer gives, and so hides how sure of itself the net is.")
    _draw_deep(out / "deep.png", epochs)
    return True


# --------------------------------------------------------------------------------------------------------------
# shift


def shift(out: Path, seeds: int, epochs: int | None) -> bool:
    """Quantiles of what the last hidden layer's activation is given, over the steps of a training."""
    figure = new_figure((10, 4))
    for axes, norm in zip(figure.subplots(1, 2, sharey=True), ("none", "batch"), strict=True):
        net = deep_net(norm, seed=0, layers=5, width=32)
        x_train, _, y_train, _ = blobs(0)
        stats = training.LayerStatistics(x_train)
        training.fit(
            net, bce, optim.Adam(net.parameters(), lr=0.01, eps=1e-7), (x_train, y_train),
            epochs=epochs or 60, batch_size=300, seed=0, callbacks=[stats], progress=False,
        )  # fmt: skip
        quantiles = np.array(stats.outputs[f"layers.{len(net.layers) - 3}"])  # what the last activation is given
        draw_quantiles(axes, stats.steps, quantiles)
        axes.set(title="with batch norm" if norm == "batch" else "without", xlabel="step")
        spread = quantiles[:, -1] - quantiles[:, 0]
        print(f"{norm:5}: spread from 5 % to 95 % at the start {spread[0]:.2f}, at most {spread.max():.2f}")
    figure.axes[0].set_ylabel("input of the last hidden activation")
    figure.axes[0].set_ylim(top=1.45 * figure.axes[0].get_ylim()[1])
    figure.axes[0].legend(frameon=False, loc="upper left")
    _save(figure, out / "shift.png")
    return True


# --------------------------------------------------------------------------------------------------------------
# Tables and pictures


def _print_rows(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    text = [[str(row[0]), *(f"{value:.3f}" for value in row[1:])] for row in rows]
    if len(rows) > 1:
        text.append(["mean", *(f"{value:.3f}" for value in np.mean([row[1:] for row in rows], axis=0))])
    print(table(header, text))


def _scatter(axes: Any, points: tuple[Array, Array]) -> None:
    x, y = points
    colors = np.array(["red", "blue"])[y.ravel().astype(int)]
    axes.scatter(x[:, 0], x[:, 1], s=14, c=colors.tolist(), alpha=0.3, linewidths=0)
    axes.set(xlabel="$x_0$", ylabel="$x_1$", aspect="equal")
    axes.locator_params(nbins=5)


def _boundary(axes: Any, net: nn.Module, points: tuple[Array, Array]) -> None:
    draw_boundary(axes, net, *points)
    axes.set_aspect("equal")


def _curves(axes: Any, history: training.History) -> None:
    axes.plot(history["epoch"], history["loss"], color="blue", label="training loss")
    axes.plot(history["epoch"], history["val_loss"], color="red", label="validation loss")
    axes.set(xlabel="epoch", ylabel="binary cross-entropy")
    top = float(np.quantile([*history["loss"], *history["val_loss"]], 0.97))
    axes.set_ylim(0, max(1.25 * top, 0.75))
    axes.legend(frameon=False)


def _draw_one(net: nn.Module, history: training.History, points: tuple[Array, Array], path: Path) -> None:
    figure = new_figure((13, 4))
    scatter, boundary, curves = figure.subplots(1, 3)
    _scatter(scatter, points)
    scatter.set_title("training data")
    _boundary(boundary, net, points)
    boundary.set_title("decision boundary")
    _curves(curves, history)
    _save(figure, path)


def _draw_deep(path: Path, epochs: int) -> None:
    figure = new_figure((10, 8))
    panels = figure.subplots(2, 2)
    for row, (norm, label) in zip(panels, (("none", "without batch norm"), ("batch", "with batch norm")), strict=True):
        net = deep_net(norm, seed=0)
        history, train, _ = _train(net, 0, epochs)
        _boundary(row[0], net, train)
        row[0].set_title(f"eleven hidden layers, {label}")
        _curves(row[1], history)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    save_figure(figure, path)
    print(f"wrote {path}")


PARTS: dict[str, Callable[[Path, int, int | None], bool]] = {
    "observe": observe,
    "one-hidden": one_hidden,
    "deep": deep,
    "shift": shift,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one part; 0, or 1 where a printed number is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.keras_blobs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--out", type=Path, default=Path("keras-blobs-results"), help="folder for plots and results")
    parser.add_argument("--seeds", type=int, default=5, help="how many runs, each with data and weights of its own")
    parser.add_argument("--epochs", type=int, help="other than the slides'")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    return 0 if PARTS[args.part](args.out, args.seeds, args.epochs) else 1


if __name__ == "__main__":
    sys.exit(main())
