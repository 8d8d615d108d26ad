"""Tensor: the Node that users hold. What can be computed from one is put there by ops/methods.py.

Who owns arrays: `tensor()` copies what it is given; `.data` and `.numpy()` are read-only views; `t.data = a` checks,
copies in and marks the memory as written, so that no gradient is ever computed from a value that has changed since.
"""

from __future__ import annotations

import warnings
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._support.arrays import copied_data, plain, readonly
from .context import current, no_constants, using
from .gradients import cotangent, unaliased, walk
from .nodes import Node, callback, describe, reading, version, write

if TYPE_CHECKING:
    from .._support.signatures import Data
    from ..ops.methods import Methods
else:
    Methods = Node

_retained: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()


class Tensor(Methods):
    """A NumPy array that remembers how it was computed.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()

    def __new__(cls, data: Data, *, dtype: Any = None, requires_grad: bool = False, name: str | None = None) -> Tensor:
        array = callback(copied_data, data, dtype)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"a Tensor holds real numbers; got dtype {array.dtype}")
        self: Tensor = cls._leaf(array)
        self.requires_grad = requires_grad
        return self if name is None else self.named(name)

    @property
    def data(self) -> npt.NDArray[Any]:
        """The values, as a read-only view. To change a leaf, assign: `t.data = t.data - 0.1 * g`."""
        context = current()
        if context.cause is not None or context.observers:
            no_constants("reads .data or .numpy()")
            reading(self, "the array")
        return readonly(self._array)

    @data.setter
    def data(self, value: Data) -> None:
        array = plain(value)
        if self.op is not None:
            raise ValueError(f"{describe(self)} was computed by {self.op.name}; only a leaf can be assigned to")
        if array.shape != self.shape or not np.can_cast(array.dtype, self.dtype, "same_kind"):
            mine, theirs = [f"shape {a.shape} and dtype {a.dtype}" for a in (self, array)]
            raise ValueError(f"a tensor of {mine} cannot take data of {theirs}; equal shape, a dtype safe to convert")
        if not self._array.flags.writeable:
            raise ValueError("this tensor looks at memory that is read-only (detached from a broadcast); copy it")
        callback(write, self, array, writes=(self,))

    def named(self, name: str) -> Tensor:
        """The same tensor, now called `name`."""
        self._name = str(name)
        return self

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        return self._needs

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.op is not None and not value:
            raise ValueError(f"{describe(self)} was computed by {self.op.name}; use .detach() to cut it from its graph")
        if value and self.dtype.kind != "f":
            what = "make it with dtype=float or convert it with .astype(float)"
            raise TypeError(f"only floating-point tensors have gradients, this one is {self.dtype}; {what}")
        self._needs = bool(value)

    @property
    def grad(self) -> Tensor | None:
        """What backward() has summed up here, a Tensor; None before the first; a warning where none will be."""
        grad = getattr(self, "_grad", None)
        if grad is None and self.op is not None and self.number not in _retained:
            what = f"{describe(self)} was computed by {self.op.name}, so its .grad stays None. To train it make a leaf,"
            how = "mg.tensor(t.numpy(), requires_grad=True); to look at its gradient call t.retain_grad() first"
            warnings.warn(f"{what} {how}", stacklevel=2)
        elif grad.__class__ is np.ndarray:  # memory that the next replay of a step overwrites: copied when looked at
            grad = self._grad = Tensor._leaf(grad.copy())
        return grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        fits = value is None or (isinstance(value, Tensor) and (value.shape, value.dtype) == (self.shape, self.dtype))
        if not fits:
            mine = f"shape {self.shape} and dtype {self.dtype}"
            raise ValueError(f"grad must be None or a Tensor of {mine}, got {describe(value)}")
        if current().observers:
            callback(setattr, self, "_grad", value)
        self._grad = value

    def retain_grad(self) -> Tensor:
        """Have backward() deposit a gradient here too, though this is not a leaf. Returns the tensor."""
        if not self._needs:
            raise ValueError(f"{describe(self)} does not require a gradient, so there is none to retain")
        _retained[self.number] = self
        return self

    def backward(self, gradient: Data | None = None, *, create_graph: bool = False) -> None:
        """Add d sum(gradient * self) / dx to `x.grad` of every leaf x (and of tensors that asked by retain_grad).

        `gradient` may be left out for a single number. The graph survives: a second call adds the same once more.
        Nothing is deposited unless the whole walk succeeds. With create_graph=True each `.grad` has a graph, which
        holds x, which holds its grad: a cycle that only the collector frees; `mg.grad` makes none.
        """
        start = cotangent(self, gradient)
        found = walk(self, start, retain=list(_retained.values()) if _retained else (), graph=create_graph)
        deposit = using(recording=True)(_deposit) if create_graph else _deposit
        deposit(found, start)
        # for pictures, its values alone: start may be self
        self._cotangent = start if start.op is None and start is not self else Tensor._leaf(start._array)

    def detach(self) -> Tensor:
        """The same values without history or gradient; the memory is shared."""
        no_constants("detaches a tensor")
        alias: Tensor = Tensor._leaf(self._array)
        alias._version = version(self)
        return alias


def _deposit(found: dict[Any, Any], start: Tensor) -> None:
    """Add each gradient that a walk found to what its tensor has."""
    xs = list(found)
    for x, d in zip(xs, unaliased(found, xs, start), strict=True):
        x._grad = d if getattr(x, "_grad", None) is None else x.grad + d
