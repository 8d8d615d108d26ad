"""What a type checker and an editor know of functions that take arrays and Tensors: arrays in, array out; any Tensor
in, Tensor out. As attributes of a class they are methods whose result is a Tensor.

The decorators at the end say which of these a function is; at run time they hand it back as it is. Each stands for
functions that name their inputs differently, so a type checker wants most inputs by position.
"""

# mypy: disable-error-code="overload-overlap"
# pyright: reportOverlappingOverload=false
# "Any of several is a Tensor" can only be said as "not all of them are arrays", which overlaps with "all are".

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from .shapes import Axis

if TYPE_CHECKING:
    from ..core.nodes import Node, Primitive
    from ..core.tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
Rule: TypeAlias = Callable[..., Any]  # (g, out, *inputs, **params) -> gradient
Array: TypeAlias = npt.NDArray[Any]
Value: TypeAlias = Any  # an array or a Tensor, in code that runs on either
ArrayLike: TypeAlias = "float | np.generic | Array | list[Any] | tuple[Any, ...] | range"  # NumPy's lets texts in
Data: TypeAlias = "Node | ArrayLike"
Arrays: TypeAlias = "ArrayLike | None"
Values: TypeAlias = "Data | None"
Same = TypeVar("Same", "Tensor", Array)  # a list of these for one of them

DType: TypeAlias = npt.DTypeLike
Operator: TypeAlias = "Callable[[Any, Data], Tensor]"
Shape: TypeAlias = "int | Sequence[int]"
Part: TypeAlias = "int | np.integer[Any] | slice | EllipsisType | Node | Array | list[Any] | range | None"
Index: TypeAlias = "Part | tuple[Part, ...]"


class Named(Protocol):
    """What all of them have, being Python functions."""

    __name__: str


class Unary(Named, Protocol[P]):
    """Of one input; what else it takes are parameters."""

    @overload
    def __call__(self, x: Node, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    def __get__(self, instance: object, owner: Any = None) -> Callable[P, Tensor]: ...


class Binary(Named, Protocol[P]):
    """Of two inputs."""

    @overload
    def __call__(self, x: Node, y: Data, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: Node, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    def __get__(self, instance: object, owner: Any = None) -> Callable[Concatenate[Data, P], Tensor]: ...


class Ternary(Named, Protocol[P]):
    """Of three inputs."""

    @overload
    def __call__(self, x: Node, y: Data, z: Data, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: Node, z: Data, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, z: Node, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, z: ArrayLike, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...


class Several(Named, Protocol[P]):
    """Of several inputs; those after the first are among its parameters, so that they can be given by name."""

    @overload
    def __call__(self, x: Node, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: Node, /, *args: Any, **kwargs: Any) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, y: ArrayLike, z: Node, /, *args: Any, **kwargs: Any) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...


class Joining(Named, Protocol[P]):
    """Of a sequence of inputs."""

    @overload
    def __call__(self, arrays: Sequence[Node], *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, arrays: Sequence[ArrayLike], *args: P.args, **kwargs: P.kwargs) -> Array: ...
    @overload
    def __call__(self, arrays: Sequence[Data], *args: P.args, **kwargs: P.kwargs) -> Tensor: ...


class Contraction(Named, Protocol):
    """`einsum`."""

    @overload
    def __call__(self, subscripts: str, *operands: Node) -> Tensor: ...
    @overload
    def __call__(self, subscripts: str, *operands: ArrayLike) -> Array: ...
    @overload
    def __call__(self, subscripts: str, *operands: Data) -> Tensor: ...


class Normalization(Named, Protocol[P]):
    """Of x, and of gamma and beta where they are given."""

    @overload
    def __call__(
        self, x: Node, gamma: Values = None, beta: Values = None, *args: P.args, **kwargs: P.kwargs
    ) -> Tensor: ...
    @overload
    def __call__(
        self, x: ArrayLike, gamma: Arrays = None, beta: Arrays = None, *args: P.args, **kwargs: P.kwargs
    ) -> Array: ...
    @overload
    def __call__(
        self, x: ArrayLike, gamma: Values = None, beta: Values = None, *args: P.args, **kwargs: P.kwargs
    ) -> Tensor: ...


class Inference(Named, Protocol):
    """Of x, of gamma and beta or None, and of the statistics."""

    # fmt: off
    @overload
    def __call__(
        self, x: Node, gamma: Values, beta: Values, mean: Data, var: Data, *, axis: Axis = 0, eps: float = 1e-5
    ) -> Tensor: ...
    @overload
    def __call__(
        self, x: ArrayLike, gamma: Arrays, beta: Arrays, mean: ArrayLike, var: ArrayLike, *,
        axis: Axis = 0, eps: float = 1e-5,
    ) -> Array: ...
    @overload
    def __call__(
        self, x: ArrayLike, gamma: Values, beta: Values, mean: Data, var: Data, *, axis: Axis = 0, eps: float = 1e-5
    ) -> Tensor: ...
    # fmt: on


class Gradient(Named, Protocol):
    """`grad`: of one Tensor, or of a sequence of them."""

    @overload
    def __call__(self, y: Node, xs: Node, gradient: Data | None = None, *, create_graph: bool = False) -> Tensor: ...
    @overload
    def __call__(
        self, y: Node, xs: Iterable[Node], gradient: Data | None = None, *, create_graph: bool = False
    ) -> tuple[Tensor, ...]: ...


class Forward(Protocol[P, R]):
    """A module, as far as a call of it goes: it takes and gives what its forward does."""

    def forward(self, *inputs: P.args, **options: P.kwargs) -> R: ...


# --------------------------------------------------------------------------------------------------------------
# Primitives


class Rules(Named, Protocol):
    """What a primitive is besides a function: what it knows of itself, and the rules to be given."""

    op: Primitive
    __module__: str
    __wrapped__: Callable[..., Any]

    def defvjp(self, *rules: Rule | None) -> None: ...
    def defvjp_joint(self, rule: Rule) -> None: ...


class UnaryPrimitive(Unary[P], Rules, Protocol[P]):
    """One input, and rules that can be given to it."""


class BinaryPrimitive(Binary[P], Rules, Protocol[P]):
    """Two inputs, and rules that can be given to it."""


class TernaryPrimitive(Ternary[P], Rules, Protocol[P]):
    """Three inputs, and rules that can be given to it."""


class UserPrimitive(Several[...], Rules, Protocol):
    """Which arguments are its inputs is not known: kernels may be annotated in any way, or not at all."""


class Fused(Rules, Protocol):
    """With `saved`, which callers do not give; the function that users call stands in front of it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


class Decorator(Protocol):
    """Makes a primitive of a kernel."""

    @overload
    def __call__(self, kernel: Callable[Concatenate[Array, Array, Array, P], Any], /) -> TernaryPrimitive[P]: ...
    @overload
    def __call__(self, kernel: Callable[Concatenate[Array, Array, P], Any], /) -> BinaryPrimitive[P]: ...
    @overload
    def __call__(self, kernel: Callable[Concatenate[Array, P], Any], /) -> UnaryPrimitive[P]: ...


class OfOne(Protocol):
    """The same, of kernels whose first parameter would pass for an input."""

    def __call__(self, kernel: Callable[Concatenate[Array, P], Any], /) -> UnaryPrimitive[P]: ...


# --------------------------------------------------------------------------------------------------------------
# Decorators


def unary(function: Callable[Concatenate[Any, P], Any]) -> Unary[P]:
    """A function of one input."""
    return cast("Unary[P]", function)


def several(function: Callable[Concatenate[Any, P], Any]) -> Several[P]:
    """A function of several inputs."""
    return cast("Several[P]", function)


def joining(function: Callable[Concatenate[Any, P], Any]) -> Joining[P]:
    """A function of a sequence of inputs."""
    return cast("Joining[P]", function)


def normalization(function: Callable[Concatenate[Any, Any, Any, P], Any]) -> Normalization[P]:
    """A function of x, gamma and beta."""
    return cast("Normalization[P]", function)


def inference(function: Callable[..., Any]) -> Inference:
    """A function of x, gamma, beta, mean and var."""
    return cast("Inference", function)


def contraction(function: Callable[..., Any]) -> Contraction:
    """A function of subscripts and operands."""
    return cast("Contraction", function)


def binary_operator(function: Binary[[]]) -> Operator:
    """A function of two inputs as a method: Python's own `sum` wants no less."""
    return function


def unary_operator(function: Unary[[]]) -> Callable[[Any], Tensor]:
    """A function of one input as a method."""
    return function
