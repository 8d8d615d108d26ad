"""Weights handed over: names and layouts as PyTorch has them, lists in Keras' order, and the way back from both.

Plain arrays on either side: neither library is needed here. The same layers must stand on both sides, in a Sequential
at the same places; eps and momentum of a batch norm are arguments of the layer there and not part of its state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._support.arrays import bare, misfits, named_arrays
from .._support.signatures import Array
from .._support.text import listed
from ..core.tensor import Tensor
from ..nn import BatchNorm1d, LayerNorm, Linear, Module, Sequential


class _Entry(NamedTuple):
    """One tensor of a model: its name here and in PyTorch, the tensor, and whether PyTorch has the transpose."""

    name: str
    theirs: str
    tensor: Tensor
    transposed: bool


_LABELS = {"gamma": "weight", "beta": "bias", "updates": "num_batches_tracked"}


def _entries(module: Module, here: str = "", there: str = "") -> Iterator[_Entry]:
    """All state that PyTorch has, too. (`start_share` is minigrad's: what bias_correction reckons with.)"""
    normalizes = isinstance(module, (BatchNorm1d, LayerNorm))
    for name, value in module._attributes():
        if isinstance(value, Module):  # PyTorch numbers the parts of a Sequential, without "layers."
            label = name.removeprefix("layers.") if isinstance(module, Sequential) else name
            yield from _entries(value, f"{here}{name}.", f"{there}{label}.")
        elif isinstance(value, Tensor) and not (normalizes and name == "start_share"):
            label = _LABELS.get(name, name) if normalizes else name
            yield _Entry(here + name, there + label, value, isinstance(module, Linear) and name == "weight")


def _statistics(model: Module) -> dict[Tensor, Array]:
    """Running statistics as eval() uses them: with the correction for a short training, where it is on."""
    found: dict[Tensor, Array] = {}
    for _, module in model.named_modules():
        if isinstance(module, BatchNorm1d):
            mean, var = module._inference_statistics()
            found |= {module.running_mean: mean._array, module.running_var: var._array}
    return found


def torch_state(model: Module) -> dict[str, Array]:
    """Copies of all state under PyTorch's names and in its layouts, for `load_state_dict` of the same modules there.

    Linear: weight transposed to (outputs, inputs). BatchNorm1d and LayerNorm: gamma is weight, beta is bias; the
    running statistics are those that eval() uses, `updates` is num_batches_tracked. A Sequential's parts are
    numbered. Other modules keep their names.

    >>> import minigrad as mg
    >>> net = mg.nn.MLP((4, 8, 3), norm="batch", rng=0)
    >>> state = torch_state(net)
    >>> list(state)[:3], state["0.weight"].shape
    (['0.weight', '1.weight', '1.bias'], (8, 4))
    """
    used = _statistics(model)
    arrays = ((e, used.get(e.tensor, e.tensor._array)) for e in _entries(model))
    return {e.theirs: np.array(a.T if e.transposed else a, order="C") for e, a in arrays}


def from_torch_state(model: Module, state: Mapping[str, Any]) -> None:
    """Write a state_dict of the same PyTorch modules into `model`: all of it, or nothing and a ValueError.

    Tensors of PyTorch (on any device) or arrays; they take the model's dtype.
    """
    given = named_arrays(state, "from_torch_state")
    # PyTorch's older files have no num_batches_tracked
    wanted = {e.theirs: e for e in _entries(model) if e.theirs in given or not e.theirs.endswith("num_batches_tracked")}
    like = {name: e.tensor._array.T if e.transposed else e.tensor._array for name, e in wanted.items()}
    wrong = misfits(given, like, cast=True)
    new = {e.name: given[name].T if e.transposed else given[name] for name, e in wanted.items() if name in given}
    _load("from_torch_state", model, new, wrong)


_KERAS: dict[type[Module], tuple[str, ...]] = {
    Linear: ("weight", "bias"),
    BatchNorm1d: ("gamma", "beta", "running_mean", "running_var"),
    LayerNorm: ("gamma", "beta"),
}


def _keras_order(model: Module) -> list[tuple[str, Tensor]]:
    """Names and tensors as `get_weights()` of the same Keras layers lists them."""
    found: list[tuple[str, Tensor]] = []
    for path, module in model.named_modules():
        names = next((names for kind, names in _KERAS.items() if isinstance(module, kind)), ())
        strange = [name for name, value in module._attributes() if isinstance(value, Tensor) and not names]
        if strange:
            raise TypeError(
                f"{type(module).__name__} has {', '.join(strange)} of its own, and Keras' order knows Linear, "
                "BatchNorm1d and LayerNorm alone; hand its arrays over yourself, from state_dict()"
            )
        tensors = [(f"{path}.{name}" if path else name, getattr(module, name)) for name in names]
        found += [(name, tensor) for name, tensor in tensors if tensor is not None]
    return found


def keras_weights(model: Module) -> list[Array]:
    """Copies of all weights in Keras' order: [kernel, bias] of Dense, [gamma, beta, moving mean, moving variance] of
    BatchNormalization, [gamma, beta] of LayerNormalization, layer by layer; for `set_weights` there.

    >>> import minigrad as mg
    >>> [array.shape for array in keras_weights(mg.nn.MLP((2, 8, 1), norm="batch", rng=0))]
    [(2, 8), (8,), (8,), (8,), (8,), (8, 1), (1,)]
    """
    used = _statistics(model)
    return [used.get(tensor, tensor._array).copy() for _, tensor in _keras_order(model)]


def from_keras_weights(model: Module, weights: Iterable[Any]) -> None:
    """Write weights as Keras' `get_weights()` lists them into `model`: all of them, or nothing and a ValueError.

    Arrays or variables; they take the model's dtype. eps is not among them: BatchNorm1d(convention="keras") has Keras'.
    """
    order = _keras_order(model)
    if isinstance(weights, (str, Mapping)) or not isinstance(weights, Iterable):
        raise TypeError(f"from_keras_weights: expected a list as get_weights() gives it, got {type(weights).__name__}")
    given = [bare(value, f"from_keras_weights: weight {k}") for k, value in enumerate(weights)]
    wrong = []
    if [a.shape for a in given] != [tensor.shape for _, tensor in order]:
        expected = ", ".join(f"{name} {tensor.shape}" for name, tensor in order)
        wrong.append(f"expected {expected}; got shapes {', '.join(str(a.shape) for a in given) or 'of nothing'}")
    new = {name: a for (name, _), a in zip(order, given, strict=False)}
    _load("from_keras_weights", model, new, wrong or misfits(new, dict(order), cast=True))


def _load(who: str, model: Module, new: dict[str, Array], wrong: list[str]) -> None:
    """Put arrays in by name, in the model's dtypes; statistics that come from elsewhere need no correction."""
    if wrong:
        raise ValueError(
            f"{who}: these weights do not fit {type(model).__name__}, nothing was changed: {listed(wrong)}"
        )
    state = model.state_dict()
    state |= {name: array.astype(state[name].dtype) for name, array in new.items()}
    for path, module in model.named_modules():
        if isinstance(module, BatchNorm1d):
            name = f"{path}.start_share" if path else "start_share"
            state[name] = np.zeros_like(state[name])
    model.load_state_dict(state)
