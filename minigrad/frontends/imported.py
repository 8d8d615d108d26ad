"""A function of another library as minigrad runs it: steps, one after the other, and a proof that it is the same.

torch_export.py and jaxpr.py turn a model into steps, with a table of ops each. This file knows neither library.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..core.context import Scope, current, using
from ..core.gradients import grad
from ..core.nodes import raw
from ..core.tensor import Tensor


class Out(NamedTuple):
    """What the library says of a result."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Ref(NamedTuple):
    """Stands among the inputs of a step, or the results, for the value of that key."""

    key: Any


class Step(NamedTuple):
    """One op of the library, and the function that computes it here.

    call         `call(*inputs, **params)` if elementwise, else `call(out, *inputs, **params)`; None: not known
    elementwise  inputs may be narrower than the library has them, as long as they broadcast: fewer nodes
    out          None where there are several results, a tuple
    scopes       (identity, name), outermost first
    place        where the model calls the op, for messages
    """

    key: Any
    op: str
    call: Any
    elementwise: bool
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    out: Out | None
    scopes: tuple[tuple[Any, str], ...]
    place: str


class Reading(NamedTuple):
    """What was read of a model for inputs of some shapes."""

    inputs: list[tuple[Any, Out] | None]  # None: no array, and fixed when the model was read
    given: dict[Any, Any]
    steps: list[Step]
    results: list[Any]
    nested: Callable[[list[Any]], Any]  # the results as the library nests them


class NotKnown(Exception):
    """An option of an op that its entry does not know; the message follows the op's name."""


def checked(who: str, steps: list[Step], results: list[Any], known: Collection[str]) -> list[Step]:
    """The steps that the results depend on. NotImplementedError for those among them without a `call`."""
    needed, live = {ref.key for ref in _refs(results)}, list[Step]()
    for step in reversed(steps):
        if step.key in needed:
            live.insert(0, step)
            needed |= {ref.key for ref in _refs(step.inputs)}
    unknown = dict(reversed([(step.op, step.place) for step in live if step.call is None]))
    if unknown:
        named = "; ".join(f"{op} ({place})" for op, place in reversed(unknown.items()))
        raise NotImplementedError(f"{who}: no rule for {named}. Known ops: {', '.join(sorted(known))}")
    return live


# --------------------------------------------------------------------------------------------------------------
# What both tables are made of


def unless(unknown: bool, option: str) -> None:
    """Refuse an option of an op."""
    if unknown:
        raise NotKnown(option)


def masks(logical: Any) -> Any:
    """and, or, not of masks; those of the bits of integers are refused."""

    def call(*inputs: Any) -> Any:
        unless(any(raw(x).dtype != bool for x in inputs), "of integers")
        return logical(*inputs)

    return call


def between(x: Any, low: Any, high: Any) -> Any:
    """x limited to low .. high, with slope 0 at the bounds."""
    return ops.where(ops.logical_and(x > low, x < high), x, ops.where(x >= high, high, low))


def detached(x: Any) -> Any:
    """x without its graph."""
    return x.detach() if isinstance(x, Tensor) else x


def pick(x: Any, axis: int, index: Any) -> Any:
    """x[..., index, ...] along one axis."""
    return ops.getitem(x, (slice(None),) * (axis % x.ndim) + (index,))


def tiled(x: Any, times: Sequence[int]) -> Any:
    """x so many times along each axis."""
    for axis, n in enumerate(times):
        x = ops.concatenate([x] * n, axis=axis) if n != 1 else x
    return x


def widened(out: Out, x: Any, widths: Any) -> Any:
    """x with so many zeros (before, after) each axis."""
    unless(min(map(min, widths), default=0) < 0, "of negative width")
    return ops.put(x, index=tuple(slice(a, a + n) for (a, _), n in zip(widths, x.shape, strict=True)), shape=out.shape)


_ALIKE = "mul neg exp expm1 log log1p sqrt abs sin cos tanh sign erf relu square"
COMMON: dict[str, Any] = {
    **{name: getattr(ops, name) for name in _ALIKE.split()},
    "eq": ops.equal,
    "ne": ops.not_equal,
    "lt": ops.less,
    "le": ops.less_equal,
    "gt": ops.greater,
    "ge": ops.greater_equal,
    "pow": lambda x, y: ops.square(x) if not isinstance(y, Tensor) and np.ndim(y) == 0 and y == 2 else ops.pow(x, y),
    "rsqrt": lambda x: ops.div(1.0, ops.sqrt(x)),
}


class Imported:
    """A model of another library as a function of Tensors: `f(*inputs)`, or `f()` for the example inputs.

    leaves   the Tensors that gradients flow to, by name: parameters, and inputs that need one
    inputs   the example inputs, nested as they were given, with Tensors for arrays

    Arrays among the inputs are constants; pass Tensors for their gradients. For inputs of other shapes or dtypes the
    model is read once more, with the same parameters.
    """

    who: str
    inputs: tuple[Any, ...] = ()
    leaves: dict[str, Tensor]

    def __init__(
        self, name: str, args: Any, held: dict[str, Tensor], flatten: Any, unflatten: Any, check: bool
    ) -> None:
        self.name, self._held, self._flatten, self._unflatten, self._check = name, held, flatten, unflatten, check
        self._readings: dict[Any, Reading] = {}
        flat, structure = flatten(args)
        given = [self._leaf(x) for x in flat]
        self.inputs = unflatten(given, structure)
        self()  # what is not known is said now
        for x, label in zip(given, self._names(), strict=True):
            if isinstance(x, Tensor):
                x.named(label)
        self.leaves = self._needing(given)

    def __call__(self, *inputs: Any) -> Any:
        flat, structure = self._flatten(inputs or self.inputs)
        leaves = [self._leaf(x) for x in flat]
        key = str(structure), tuple((x.shape, x.dtype) if isinstance(x, Tensor) else x for x in leaves)
        while True:
            try:
                if key not in self._readings:
                    with using(observers=(), recording=True, scope=None, cause=None):
                        reading = self._read(leaves, structure)
                        self._compare(reading, leaves, structure)
                    self._readings[key] = reading
                return self._run(self._readings[key], leaves)
            except NotKnown as error:
                op, option, place = error.args
                if not self._open(op):
                    raise NotImplementedError(f"{self.who}: {op} {option} ({place})") from None
                self._readings.clear()

    def __repr__(self) -> str:
        held = ", ".join(f"{name} {x.shape}" for name, x in self.leaves.items())
        return f"<{self.who} {self.name}: {held or 'no leaves'}>"

    def _run(self, reading: Reading, leaves: list[Any]) -> Any:
        values = dict(reading.given)
        for slot, leaf in zip(reading.inputs, leaves, strict=True):
            if slot is not None:
                values[slot[0]] = _cast(leaf, slot[1].dtype)
        whole = {ref.key for step in reading.steps if not step.elementwise for ref in _refs(step.inputs)}
        whole |= {ref.key for ref in _refs(reading.results)}
        scopes: dict[Any, Scope | None] = {(): current().scope}
        for step in reading.steps:
            for depth, (_, name) in enumerate(step.scopes):
                if step.scopes[: depth + 1] not in scopes:
                    scopes[step.scopes[: depth + 1]] = Scope(name, scopes[step.scopes[:depth]])
            with using(scope=scopes[step.scopes]):
                values[step.key] = self._value(step, values, step.key in whole)
        return reading.nested(_filled(reading.results, values))

    def _value(self, step: Step, values: dict[Any, Any], whole: bool) -> Any:
        inputs = _filled(step.inputs, values)
        try:
            value = step.call(*(() if step.elementwise else (step.out,)), *inputs, **step.params)
            if step.out is None:
                return value
            value = _cast(value, step.out.dtype)
            return ops.broadcast_to(value, step.out.shape) if whole and value.shape != step.out.shape else value
        except NotKnown as error:
            raise NotKnown(step.op, str(error), step.place) from None
        except Exception as error:
            error.add_note(f"{self.who}: in {step.op}, {step.place}")
            raise

    def _needing(self, inputs: list[Any]) -> dict[str, Tensor]:
        """Inputs, then parameters, that need a gradient, by name."""
        names = dict(enumerate(self._names()))
        named = {names.get(k, f"input {k}"): x for k, x in enumerate(inputs)} | self._held
        return {name: x for name, x in named.items() if isinstance(x, Tensor) and x.requires_grad}

    def _compare(self, reading: Reading, leaves: list[Any], structure: Any) -> None:
        """ValueError unless results and gradients are the library's own at these inputs, up to rounding."""
        results = [y for y in self._flatten(self._run(reading, leaves))[0] if hasattr(y, "dtype")]
        if not self._check:
            return
        rng = np.random.default_rng(0)
        weights = [rng.normal(size=y.shape).astype(y.dtype) if y.dtype.kind == "f" else None for y in results]
        targets = self._needing(leaves)
        parts: list[Any] = [
            ops.sum(y * c) for y, c in zip(results, weights, strict=True) if getattr(y, "_needs", False)
        ]
        slopes = grad(sum(parts[1:], start=parts[0]), list(targets.values())) if parts and targets else ()
        names = [*(f"result {k}" for k in range(len(results))), *(f"the gradient of {name}" for name in targets)]
        ours, theirs = [raw(y) for y in (*results, *slopes)], self._theirs(leaves, structure, weights)
        dtypes = [step.out.dtype for step in reading.steps if step.out is not None and step.out.dtype.kind == "f"]
        eps = max((float(np.finfo(dtype).eps) for dtype in dtypes), default=0.0)
        largest = max([float(np.abs(b).max(initial=0)) for b in theirs], default=0.0)
        for name, a, b in zip(names, ours, theirs, strict=False):  # no gradients where nothing needs one
            bound = max(10 * eps**0.5 * float(np.abs(b).max(initial=0)), 1000 * eps * largest)  # 0 may come as rounding
            if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=bound, equal_nan=True):
                off = f"by {np.abs(a - b).max():.3g}" if a.shape == b.shape else f"in shape: {a.shape} for {b.shape}"
                raise ValueError(
                    f"{self.who}: {name} of {self.name} differs from the library's own {off}. Only what the forward "
                    "computes is read; gradients that a model makes by itself (a custom backward, no_grad blocks, "
                    "hooks) are not. check=False takes the model nevertheless"
                )

    # What the library's side fills in ------------------------------------------------------------------------

    def _leaf(self, x: Any) -> Any:
        """An input as a Tensor, or as it is if it is no array."""
        raise NotImplementedError

    def _names(self) -> list[str]:
        """Of the example inputs."""
        raise NotImplementedError

    def _read(self, leaves: list[Any], structure: Any) -> Reading:
        """The steps for inputs of these shapes and dtypes."""
        raise NotImplementedError

    def _theirs(self, leaves: list[Any], structure: Any, weights: list[Any]) -> list[Any]:
        """Results, then gradients of sum(weight * result), by the library itself, as arrays."""
        raise NotImplementedError

    def _open(self, op: str) -> bool:
        """Have the library open an op into smaller ones when the model is read again; False if it cannot."""
        return False


def _cast(x: Any, dtype: Any) -> Any:
    if not hasattr(x, "dtype"):
        return np.asarray(x, dtype)
    return x if x.dtype == dtype else ops.astype(x, dtype)


def _refs(inputs: Iterable[Any]) -> Iterable[Ref]:
    for x in inputs:
        if isinstance(x, Ref):
            yield x
        elif isinstance(x, list):
            yield from _refs(x)


def _filled(inputs: Iterable[Any], values: dict[Any, Any]) -> list[Any]:
    """The inputs with values in the place of Refs."""
    return [values[x.key] if isinstance(x, Ref) else _filled(x, values) if isinstance(x, list) else x for x in inputs]
