"""Figures of a training: decision boundaries, and what each layer gives and each gradient does. Needs matplotlib."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from .. import functional, ops
from .._support.arrays import plain
from .._support.files import PathLike
from .._support.signatures import Array, Data
from ..core.context import no_grad
from ..core.nodes import raw
from ..core.tensor import Tensor
from ..nn import Dropout, Module, Sequential, Sigmoid, frozen_statistics
from ..nn.module import in_mode
from .callbacks import Run
from .given import outputs_of
from .saving import Plot, new_figure, save_figure

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_PANELS = 6  # of layers in one figure


@overload
def plot_boundary(model: Module, x: Data, y: Data, path: PathLike, *, title: str | None = None) -> None: ...
@overload
def plot_boundary(model: Module, x: Data, y: Data, path: None = None, *, title: str | None = None) -> Plot: ...
def plot_boundary(
    model: Module, x: Data, y: Data, path: PathLike | None = None, *, title: str | None = None
) -> Plot | None:
    """Draw what a model says about the plane, and the points x (N, 2) with their classes y, to a PNG, SVG or PDF file.

    Without a path the notebook shows it.

    One output: the probability as colour (a Sigmoid at the end is seen; else it is a logit), and where it is one half.
    Several: the class with the largest, paler where its probability is small.
    """
    figure = new_figure((5, 4.4))
    draw_boundary(figure.subplots(), model, plain(x), plain(y))
    return save_figure(figure, path, title)


def draw_boundary(axes: Any, model: Module, x: Array, y: Array, *, steps: int = 120) -> None:
    """The same into axes of matplotlib."""
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"a boundary is drawn in a plane: x must have shape (N, 2), got {x.shape}")
    margin = 0.08 * (x.max(axis=0) - x.min(axis=0)) + 1e-9
    low, high = x.min(axis=0) - margin, x.max(axis=0) + margin
    grid = np.stack(np.meshgrid(*(np.linspace(a, b, steps) for a, b in zip(low, high, strict=True))), axis=-1)
    outputs = outputs_of(model, grid.reshape(-1, 2).astype(model.parameters()[0].dtype))
    across, up = grid[..., 0], grid[..., 1]
    classes = y.ravel().astype(int)
    if outputs.ndim == 1 or outputs.shape[1] == 1:
        ends_so = isinstance(model, Sequential) and isinstance(model[-1], Sigmoid)
        p = np.asarray(outputs if ends_so else ops.sigmoid(outputs)).reshape(steps, steps)
        axes.contourf(across, up, p, levels=np.linspace(0, 1, 11), cmap="RdBu", alpha=0.45)
        if p.min() < 0.5 < p.max():
            axes.contour(across, up, p, levels=[0.5], colors="black", linewidths=1.2)
        colors = [("red", "blue")[k] for k in classes]
    else:
        winner = outputs.argmax(axis=1).reshape(steps, steps)
        sure = np.asarray(functional.softmax(outputs)).max(axis=1).reshape(steps, steps)
        axes.pcolormesh(across, up, winner, alpha=0.1 + 0.4 * sure, shading="nearest", cmap="tab10", vmin=0, vmax=9)
        colors = [f"C{k % 10}" for k in classes]
    axes.scatter(x[:, 0], x[:, 1], s=14, c=colors, alpha=0.4, linewidths=0)
    axes.set(xlabel="$x_0$", ylabel="$x_1$")
    axes.locator_params(nbins=5)


@dataclass
class LayerStatistics:
    """A callback that follows what each layer gives for `x`, and the gradients: fit(..., callbacks=[stats]).

    x      rows that are shown to the network after a step, with the statistics of these rows, without dropout
    every  how many steps from one look to the next

    `steps` are the steps; `outputs[name]` the 5, 25, 50, 75 and 95 % quantiles of what that layer gave, a row a step;
    `gradients[name]` the root mean square of that parameter's gradient. `plot(path)` draws both.
    """

    x: Data
    every: int = 1
    steps: list[int] = field(default_factory=list)
    outputs: dict[str, list[Array]] = field(default_factory=dict)
    gradients: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self, run: Run) -> None:
        """Called by `fit`."""
        if run.event != "step" or (run.step - 1) % self.every:
            return
        self.steps.append(run.step)
        for name, tensor in run.model.named_parameters():
            gradient = getattr(tensor, "_grad", None)
            size = np.nan if gradient is None else float(np.sqrt(np.mean(np.square(raw(gradient), dtype=float))))
            self.gradients.setdefault(name, []).append(size)
        for name, output in _outputs(run.model, self.x).items():
            self.outputs.setdefault(name, []).append(np.quantile(output, QUANTILES))

    @overload
    def plot(self, path: PathLike, *, layers: list[str] | None = None, title: str | None = None) -> None: ...
    @overload
    def plot(self, path: None = None, *, layers: list[str] | None = None, title: str | None = None) -> Plot: ...
    def plot(
        self, path: PathLike | None = None, *, layers: list[str] | None = None, title: str | None = None
    ) -> Plot | None:
        """Draw the quantiles of up to six layers (or of `layers`) over the steps, and the sizes of all gradients.

        To a file, or without a path in the notebook.
        """
        names = list(self.outputs) if layers is None else layers
        if not self.steps:
            raise ValueError("LayerStatistics: nothing was seen; pass it to fit as one of callbacks=")
        chosen = [names[k] for k in sorted({round(k) for k in np.linspace(0, len(names) - 1, _PANELS)})]
        columns = (len(chosen) + 2) // 2
        figure = new_figure((3.2 * columns, 6))
        panels = figure.subplots(2, columns, squeeze=False).ravel()
        for axes, name in zip(panels, chosen, strict=False):
            draw_quantiles(axes, self.steps, np.array(self.outputs[name]))
            axes.set(title=name, xlabel="step")
        panels[0].legend(frameon=False, fontsize="small")
        last = panels[len(chosen)]
        for name, sizes in self.gradients.items():
            if name.endswith("weight") or len(self.gradients) < 7:
                last.semilogy(self.steps, np.maximum(sizes, 1e-300), linewidth=0.8, label=name)
        last.set(title="gradients, root mean square", xlabel="step")
        last.legend(frameon=False, fontsize="x-small")
        for axes in panels[len(chosen) + 1 :]:
            axes.remove()
        return save_figure(figure, path, title)


def draw_quantiles(axes: Any, steps: Any, quantiles: Array) -> None:
    """Bands from 5 % to 95 % and from 25 % to 75 %, and the median, into axes of matplotlib."""
    low, q1, middle, q3, high = quantiles.T
    axes.fill_between(steps, low, high, color="C0", alpha=0.15, linewidth=0, label="5 % to 95 %")
    axes.fill_between(steps, q1, q3, color="C0", alpha=0.3, linewidth=0, label="25 % to 75 %")
    axes.plot(steps, middle, color="C0", label="median")


def _outputs(model: Module, x: Data) -> dict[str, Array]:
    """What each layer that has no parts of its own gives for `x`; nothing is drawn, kept or counted."""
    found: dict[str, Array] = {}
    parts = dict(model.named_modules())
    inner = [name for name in parts if name and not any(other.startswith(f"{name}.") for other in parts)]

    def looked_at(name: str) -> Any:
        forward = parts[name].forward

        def look(*inputs: Any, **options: Any) -> Any:
            output = forward(*inputs, **options)
            found[name] = np.asarray(raw(output), dtype=float)
            return output

        return look

    with in_mode(model, True), frozen_statistics(), no_grad(), np.errstate(all="ignore"):
        for name in inner:
            parts[name].training = not isinstance(parts[name], Dropout)
            vars(parts[name])["forward"] = looked_at(name)
        try:
            model(Tensor._leaf(plain(x).astype(model.parameters()[0].dtype)))
        finally:
            for name in inner:
                vars(parts[name]).pop("forward", None)
    return found
