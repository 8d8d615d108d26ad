"""Module: something with parameters. No registration: what a module holds is what its attributes are.

a Tensor attribute                   is state: saved and loaded
one that requires a gradient         is a parameter: trained
a Module, or a list or dict of them  is a part
a NumPy generator                    is a source of randomness, kept in checkpoints
a name that starts with `_`          is private and none of these
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from .._support.files import PathLike, load_arrays, save_arrays
from .._support.notebook import Shown, block, table
from .._support.randomness import Generator
from .._support.signatures import Array, Forward, P, R
from ..core.context import current, enter
from ..core.nodes import callback, reading, write
from ..core.tensor import Tensor

Self = TypeVar("Self", bound="Module")


def put(values: Mapping[Tensor, Any]) -> None:
    """Write a value into each tensor, in a recorded step too."""
    for tensor, value in values.items():
        callback(write, tensor, value, writes=(tensor,))


@contextlib.contextmanager
def in_mode(model: Module, training: bool) -> Iterator[None]:
    """A model in training or in eval mode inside; afterwards each of its parts is in its own mode again."""
    before = [(module, module.training) for _, module in model.named_modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


class Module(Shown):
    """Base of all layers and networks: write `forward`, call the module.

    >>> import minigrad as mg
    >>> class Scale(Module):
    ...     def __init__(self) -> None:
    ...         self.factor = mg.ones(1, requires_grad=True)
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> scale = Scale()
    >>> [name for name, _ in scale.named_parameters()]
    ['factor']
    >>> scale(mg.tensor([3.0]))
    tensor([3.], op=mul)
    """

    training: bool = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x)")

    def __call__(self: Forward[P, R], *inputs: P.args, **options: P.kwargs) -> R:
        before = current()
        for observer in before.observers:
            observer.entered(self)
        enter(before.inside(type(self).__name__))
        try:
            return self.forward(*inputs, **options)
        finally:
            enter(before)

    # what it holds ------------------------------------------------------------------------------------------

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self).items():
            if name.startswith("_"):
                continue
            if isinstance(value, (list, tuple)):
                yield from ((f"{name}.{k}", item) for k, item in enumerate(value))
            elif isinstance(value, dict):
                yield from ((f"{name}.{k}", item) for k, item in value.items())
            else:
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all its parts, each with its path ("" for itself)."""
        yield prefix, self
        for name, value in self._attributes():
            if isinstance(value, Module):
                yield from value.named_modules(f"{prefix}.{name}" if prefix else name)

    def _named(self, kind: Any) -> Iterator[tuple[str, Any]]:
        for path, module in self.named_modules():
            for name, value in module._attributes():
                if isinstance(value, kind):
                    yield (f"{path}.{name}" if path else name), value

    def named_tensors(self) -> list[tuple[str, Tensor]]:
        """All state by name: parameters, and what else is saved, such as running statistics."""
        return list(self._named(Tensor))

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """The tensors that require a gradient, by name; one that is used twice is listed once."""
        found: dict[Tensor, str] = {}
        for name, tensor in self.named_tensors():
            if tensor.requires_grad:
                found.setdefault(tensor, name)
        return [(name, tensor) for tensor, name in found.items()]

    def parameters(self) -> list[Tensor]:
        """The tensors that require a gradient: what an optimizer is given."""
        return [tensor for _, tensor in self.named_parameters()]

    def generators(self) -> list[Generator]:
        """The random generators that its parts draw from, each once."""
        return list({id(rng): rng for _, rng in self._named((np.random.Generator, np.random.RandomState))}.values())

    # modes --------------------------------------------------------------------------------------------------

    def train(self: Self, mode: bool = True) -> Self:
        """Switch this module and all its parts to training; returns the module."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Switch this module and all its parts to inference; returns the module."""
        return self.train(False)

    # state --------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Copies of all state, by name."""
        tensors = dict(self.named_tensors())
        for tensor in tensors.values():
            reading(tensor, "the state")
        return {name: tensor._array.copy() for name, tensor in tensors.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Write a state as `state_dict` gives it into the tensors: all of it, or nothing and a ValueError.

        Names, shapes and dtypes must be equal; the message lists everything that is not.
        """
        tensors = dict(self.named_tensors())
        given = {name: np.asarray(array) for name, array in state.items()}
        wrong = [f"{name} is missing" for name in tensors if name not in given]
        wrong += [f"{name} is not known" for name in given if name not in tensors]
        for name in (name for name in tensors if name in given):
            array, tensor = given[name], tensors[name]
            if array.shape != tensor.shape or array.dtype != tensor.dtype:
                wrong.append(f"{name} is {array.shape} {array.dtype}, expected {tensor.shape} {tensor.dtype}")
        if wrong:
            raise ValueError(f"this state does not fit {type(self).__name__}, nothing was changed: " + "; ".join(wrong))
        put({tensor: given[name] for name, tensor in tensors.items()})

    def save(self, path: PathLike) -> None:
        """Write the state to an .npz (or .safetensors) file, whole or not at all; never pickled."""
        save_arrays(path, self.state_dict())

    def load(self, path: PathLike) -> None:
        """Read the state from a file that `save` wrote: all of it, or nothing and a ValueError."""
        self.load_state_dict(load_arrays(path))

    def __repr__(self) -> str:
        parts = [(name, value) for name, value in self._attributes() if isinstance(value, Module)]
        if not parts:
            return f"{type(self).__name__}({self._about()})"
        lines = [f"  {name}: {value!r}".replace("\n", "\n  ") for name, value in parts]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def _html(self) -> str:
        rows, counted = [], set()
        for path, module in self.named_modules():
            tensors = [(name, x) for name, x in module._attributes() if isinstance(x, Tensor)]
            trained = [x for _, x in tensors if x.requires_grad]
            counted.update(trained)
            held = ", ".join(f"{name} {x.shape}" + ("" if x.requires_grad else " (not trained)") for name, x in tensors)
            layer = f"{type(module).__name__}({module._about()})"
            size = f"{sum(x.size for x in trained):,}" if trained else "-"
            rows.append([path or "-", layer, held or "-", size, "train" if module.training else "eval"])
        head = f"{type(self).__name__}: {sum(x.size for x in counted):,} numbers to train"
        return block(head, [table(["part", "layer", "holds", "to train", "mode"], rows, text=(0, 1, 2, 4))])

    def _about(self) -> str:
        """What stands between the parentheses of repr."""
        return ""
