"""Module: something with parameters. No registration: what a module holds is what its attributes are.

a Tensor attribute                   is state: saved and loaded
one that requires a gradient         is a parameter: trained
a Module                             is a part, unless it is what holds this one
a list, tuple or dict of these       holds them, at any depth
a NumPy generator                    is a source of randomness, kept in checkpoints
a name that starts with `_`          is private and none of these
"""

from __future__ import annotations

import contextlib
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .._support.arrays import misfits, named_arrays
from .._support.files import PathLike, load_arrays, save_arrays
from .._support.notebook import Shown, block, table
from .._support.randomness import Generator
from .._support.signatures import Array, Forward, P, R
from .._support.text import listed, visible
from ..core.context import current, enter
from ..core.nodes import callback, reading, write
from ..core.tensor import Tensor
from ..habits import MODULES

Self = TypeVar("Self", bound="Module")


def put(values: Mapping[Tensor, Any]) -> None:
    """Write a value into each tensor, in a recorded step too."""
    for tensor, value in values.items():
        callback(write, tensor, value, writes=(tensor,))


def without(gamma: Tensor | None, beta: Tensor | None) -> str:
    """For repr: what a normalization was made without."""
    if gamma is None and beta is None:
        return ", affine=False"
    return ", scale=False" if gamma is None else ", center=False" if beta is None else ""


def special(*tensors: Tensor | None) -> str:
    """For repr: the dtype of the first tensor that there is, unless it is float64."""
    dtype = next((tensor.dtype for tensor in tensors if tensor is not None), np.dtype(float))
    return "" if dtype == np.dtype(float) else f", dtype={dtype}"


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


def _items(name: str, value: Any, inside: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """What an attribute holds, with its name: itself, or what is in it where it is a list, a tuple or a dict."""
    if not isinstance(value, (list, tuple, dict)):
        yield name, value
    elif not any(value is container for container in inside):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _items(f"{name}.{key}", item, (*inside, value))


class Changes:
    """How often an attribute of any module was set or deleted: who keeps what modules hold looks at this first."""

    number = 0


CHANGES = Changes()


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

    if not TYPE_CHECKING:  # to type checkers it would say that any attribute may be set

        def __setattr__(self, name: str, value: Any) -> None:
            CHANGES.number += 1
            object.__setattr__(self, name, value)

        def __delattr__(self, name: str) -> None:
            CHANGES.number += 1
            object.__delattr__(self, name)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward: define forward(self, x)")

    def __call__(self: Forward[P, R], *inputs: P.args, **options: P.kwargs) -> R:
        before = current()
        for observer in before.observers:
            observer.entered(self)
        enter(before.inside(type(self).__name__, self))
        try:
            return self.forward(*inputs, **options)
        finally:
            enter(before)

    # what it holds ------------------------------------------------------------------------------------------

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__hash__ in (None, object.__hash__):  # a dataclass compares its fields, and had none: a module is itself
            cls.__hash__ = object.__hash__  # type: ignore[method-assign]

    def _attributes(self) -> Iterator[tuple[str, Any]]:
        slots = [getattr(cls, "__slots__", ()) for cls in type(self).__mro__]
        names = [name for slot in slots for name in ([slot] if isinstance(slot, str) else slot) if hasattr(self, name)]
        held = {**{name: getattr(self, name) for name in names}, **vars(self)}
        for name, value in held.items():
            if not name.startswith("_"):
                yield from _items(name, value, ())

    def named_modules(self, prefix: str = "", _inside: tuple[Module, ...] = ()) -> Iterator[tuple[str, Module]]:
        """This module and all its parts, each with its path ("" for itself)."""
        yield prefix, self
        around = (*_inside, self)
        for name, value in self._attributes():
            if isinstance(value, Module) and not any(value is module for module in around):
                yield from value.named_modules(f"{prefix}.{name}" if prefix else name, around)

    def _named(self, kind: Any) -> Iterator[tuple[str, Any]]:
        for path, module in self.named_modules():
            for name, value in module._attributes():
                if isinstance(value, kind):
                    yield (f"{path}.{name}" if path else name), value

    def named_tensors(self) -> list[tuple[str, Tensor]]:
        """All state by name: parameters, and what else is saved, such as running statistics.

        ValueError where two have one name, such as those under 0 and "0" of one dict.
        """
        found = list(self._named(Tensor))
        counted = Counter(name for name, _ in found)
        twice = [name for name, n in counted.items() if n > 1 or f"{name}.npy" in counted]  # .npy: what files add
        if twice:
            raise ValueError(
                f"{type(self).__name__} holds two tensors that are called {listed(twice, 3, ', ')}, so that one of "
                "them could not be saved; give them other names"
            )
        return found

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

        Names, shapes and dtypes must be equal, and no variance negative; the message says what is wrong.
        """
        self._take(named_arrays(state, "load_state_dict"), "this state")

    def _take(self, given: Mapping[str, Array], what: str) -> None:
        self._check(given, what)
        put({tensor: given[name] for name, tensor in self.named_tensors()})

    def _check(self, given: Mapping[str, Array], what: str, *, values: bool = True) -> None:
        """ValueError unless a state fits; values=False looks at names, shapes and dtypes alone."""
        wrong = misfits(given, dict(self.named_tensors()))
        if values and not wrong:
            for path, module in self.named_modules():
                wrong += module._impossible(given, f"{path}." if path else "")
        if wrong:
            raise ValueError(f"{what} does not fit {type(self).__name__}, nothing was changed: {listed(wrong)}")

    def _impossible(self, given: Mapping[str, Array], prefix: str) -> list[str]:
        """What cannot be the state of this module, although it has its shapes; its names begin with `prefix`."""
        return []

    def save(self, path: PathLike) -> None:
        """Write the state to an .npz (or .safetensors) file, whole or not at all; never pickled."""
        save_arrays(path, self.state_dict())

    def load(self, path: PathLike) -> None:
        """Read the state from a file that `save` wrote: all of it, or nothing and a ValueError."""
        what = f"the state in {visible(path)}"
        self._take(load_arrays(path, lambda headers: self._check(headers, what, values=False)), what)

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        parts = [(name, value) for name, value in self._attributes() if isinstance(value, Module)]
        if not parts:
            return f"{type(self).__name__}({self._about()})"
        lines = [f"  {name}: {value!r}".replace("\n", "\n  ") for name, value in parts]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def summary(self) -> Summary:
        """A table of all parts: what each holds, and how many of its numbers are trained; as text, or in a notebook.

        >>> import minigrad as mg
        >>> mg.nn.Sequential(mg.nn.Linear(2, 3, rng=0), mg.nn.Tanh()).summary()
        part      layer   holds                      to train
        layers.0  Linear  weight (2, 3), bias (3,)          9
        layers.1  Tanh    -                                 -
        Sequential: 9 numbers to train
        """
        return Summary(self)

    def _rows(self) -> list[list[str]]:
        """What `summary` shows of each part: path, layer, what it holds, how much is trained, mode."""
        rows = []
        for path, module in self.named_modules():
            tensors = [(name, x) for name, x in module._attributes() if isinstance(x, Tensor)]
            trained = [x for _, x in tensors if x.requires_grad]
            held = ", ".join(f"{name} {x.shape}" for name, x in tensors if x.requires_grad)
            held += f", {len(tensors) - len(trained)} not trained" if len(tensors) > len(trained) else ""
            layer = f"{type(module).__name__}({module._about()})"
            size = f"{sum(x.size for x in trained):,}" if trained else "-"
            rows.append([path or "-", layer, held or "-", size, "train" if module.training else "eval"])
        return rows

    def _counted(self) -> str:
        return f"{type(self).__name__}: {sum(x.size for x in self.parameters()):,} numbers to train"

    def _html(self) -> str:
        head = ["part", "layer", "holds", "to train", "mode"]
        return block(self._counted(), [table(head, self._rows(), text=(0, 1, 2, 4))])

    if not TYPE_CHECKING:  # for type checkers a name that is not there stays one

        def __getattr__(self, name: str) -> Any:
            say = f"; write {MODULES[name]}" if name in MODULES else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{say}", name=name, obj=self)

    def _about(self) -> str:
        """What stands between the parentheses of repr."""
        return ""


class Summary(Shown):
    """What `Module.summary` gives: prints as a table."""

    def __init__(self, model: Module) -> None:
        self._model = model

    def __str__(self) -> str:
        model = self._model
        rows = [[path, layer.partition("(")[0], held, size] for path, layer, held, size, _ in model._rows()]
        rows = [["part", "layer", "holds", "to train"], *([r for r in rows if r[0] != "-" or r[2] != "-"])]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        lines = [f"{a:{widths[0]}}  {b:{widths[1]}}  {c:{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in rows]
        return "\n".join([*lines, model._counted()])

    __repr__ = __str__

    def _html(self) -> str:
        return self._model._html()
