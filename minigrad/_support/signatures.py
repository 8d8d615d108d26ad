"""What a type checker and an editor know of functions that take arrays and Tensors: arrays in, array out; any Tensor
in, Tensor out. As attributes of a class they are methods whose result is a Tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..core.nodes import Primitive
    from ..core.tensor import Tensor

P = ParamSpec("P")
Rule: TypeAlias = Callable[..., Any]  # (g, out, *inputs, **params) -> gradient
Array: TypeAlias = npt.NDArray[Any]
Value: TypeAlias = Any  # an array or a Tensor, in code that runs on either
ArrayLike: TypeAlias = "float | np.generic | Array | list[Any] | tuple[Any, ...] | range"  # NumPy's lets texts in
Data: TypeAlias = "Tensor | ArrayLike"


class Function(Protocol[P]):
    """A primitive: what it knows of itself, and the rules to be given."""

    op: Primitive
    __name__: str
    __module__: str
    __wrapped__: Callable[..., Any]

    def defvjp(self, *rules: Rule | None) -> None: ...
    def defvjp_joint(self, rule: Rule) -> None: ...


class One(Function[P], Protocol[P]):
    """Of one input; what else it takes are parameters."""

    @overload
    def __call__(self, x: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    def __get__(self, instance: object, owner: Any = None) -> Callable[P, Tensor]: ...


class Two(Function[P], Protocol[P]):
    """Of two inputs."""

    @overload
    def __call__(self, x: Tensor, y: Data, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    def __get__(self, instance: object, owner: Any = None) -> Callable[Concatenate[Data, P], Tensor]: ...


class Three(Function[P], Protocol[P]):
    """Of three inputs."""

    @overload
    def __call__(self, x: Tensor, y: Data, z: Data, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: Tensor, z: Data, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, z: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, z: ArrayLike, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...


class Decorator(Protocol):
    """Makes a primitive of a kernel."""

    @overload
    def __call__(self, kernel: Callable[Concatenate[Array, Array, Array, P], Any], /) -> Three[P]: ...
    @overload
    def __call__(self, kernel: Callable[Concatenate[Array, Array, P], Any], /) -> Two[P]: ...
    @overload
    def __call__(self, kernel: Callable[Concatenate[Array, P], Any], /) -> One[P]: ...


class Fused(Function[...], Protocol):
    """With `saved`, which callers do not give; the function that users call stands in front of it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


class OfOne(Protocol):
    """The same, of kernels whose first parameter would pass for an input."""

    def __call__(self, kernel: Callable[Concatenate[Array, P], Any], /) -> One[P]: ...
