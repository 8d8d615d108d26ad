"""A function of another library as minigrad computes it: steps, run one after the other. Knows no library.

torch_export.py and jaxpr.py turn a model into steps, with the tables of torch_ops.py and jax_ops.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.context import Context, Observer, current, enter, using
from ..core.gradients import grad
from ..core.nodes import raw
from ..core.tensor import Tensor
from ..ops import broadcast_to, mul
from ..ops import sum as sum_
from .shared_ops import NotKnown, Out

Scopes = tuple[tuple[Any, str], ...]  # outermost first: what tells two of one name apart, and the name


class Ref(NamedTuple):
    """Where the value of another step stands among the arguments of one."""

    key: Any


class Step(NamedTuple):
    """One op of the other library, and the function that computes it here.

    call     `(out, *inputs, **params) -> value`; `out` is the shape and dtype that the library expects of the result
    inputs   Refs, constants, and lists of them
    out      None for several results: they are a tuple, and looked at when one is picked
    """

    key: Any
    call: Callable[..., Any]
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    out: Out | None
    op: str
    scopes: Scopes = ()
    line: tuple[str, int] | None = None
    place: str = ""


class Program(NamedTuple):
    """Steps, the keys of the inputs, what is known before, and how results are made of the values."""

    inputs: list[tuple[Any, Out] | None]  # None: an input that was fixed when the program was made
    given: dict[Any, Any]
    steps: list[Step]
    results: list[Any]  # Refs and constants
    shaped: Callable[[list[Any]], Any]  # a flat list of results, nested as the library's function returns them

    def run(self, who: str, leaves: Sequence[Any]) -> Any:
        """The results for these inputs."""
        values, outs = dict(self.given), {}
        for slot, leaf in zip(self.inputs, leaves, strict=True):
            if slot is not None:
                key, out = slot
                values[key] = leaf if leaf.dtype == out.dtype else leaf.astype(out.dtype)
        before = current()
        lines = _Lines()
        base = before._replace(observers=(*before.observers, lines), before=before)
        stack: list[tuple[Any, Context]] = []
        try:
            for step in self.steps:
                lines.line = step.line
                enter(_inside(stack, step.scopes, base))
                outs[step.key] = step.out
                values[step.key] = _computed(who, step, values, outs)
            enter(base)
            found = [_whole(values[r.key], outs.get(r.key)) if isinstance(r, Ref) else r for r in self.results]
        finally:
            enter(before)
        return self.shaped(found)


class _Lines(Observer):
    """Gives each node the line of the other library's model that it comes from."""

    line: tuple[str, int] | None = None

    def made(self, node: Any, op: Any, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """Called with every result of an op."""
        if self.line is not None:
            node._line = self.line


def _inside(stack: list[tuple[Any, Context]], scopes: Scopes, base: Context) -> Context:
    """The context of a step: scopes that the step before was in as well are not entered anew."""
    same = 0
    while same < min(len(stack), len(scopes)) and stack[same][0] == scopes[same][0]:
        same += 1
    del stack[same:]
    for key, name in scopes[same:]:
        stack.append((key, (stack[-1][1] if stack else base).inside(name)))
    return stack[-1][1] if stack else base


def _computed(who: str, step: Step, values: dict[Any, Any], outs: dict[Any, Out | None]) -> Any:
    takes = getattr(step.call, "takes", "all of it")

    def filled(x: Any) -> Any:
        if isinstance(x, Ref):
            value = values[x.key]
            bare = takes == "narrow" or (takes == "numbers" and not isinstance(value, Tensor))
            return value if bare else _whole(value, outs.get(x.key))
        return [filled(part) for part in x] if isinstance(x, list) else x

    try:
        value = step.call(step.out, *map(filled, step.inputs), **step.params)
    except NotKnown as error:
        raise NotImplementedError(f"{who}: {step.op} {error} ({step.place})") from None
    except Exception as error:
        error.add_note(f"{who}: in {step.op}, {step.place}")
        raise
    out = step.out
    if out is None or not isinstance(value, Tensor):
        return value
    narrow = takes != "all of it" and np.broadcast_shapes(value.shape, out.shape) == out.shape
    if value.dtype != out.dtype or not (narrow or value.shape == out.shape):
        raise AssertionError(
            f"{who}: {step.op} ({step.place}) gave shape {value.shape} and dtype {value.dtype}, expected "
            f"{out.shape} and {out.dtype}: a mistake in minigrad/frontends"
        )
    return value


def _whole(value: Any, out: Out | None) -> Any:
    """A value in its full shape: elementwise steps take what still broadcasts as it is, so that graphs stay small."""
    if out is None:
        return value
    if not isinstance(value, Tensor):
        return Tensor(np.full(out.shape, value, out.dtype))
    return value if value.shape == out.shape else broadcast_to(value, out.shape)


def library(name: str, who: str) -> Any:
    """The other library, or an ImportError that says what is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(f"{who} reads a model of {package} and needs the package {package} installed") from error


def refuse_unknown(who: str, unknown: Iterable[tuple[str, str]], known: Iterable[str]) -> None:
    """NotImplementedError for ops without an entry: (name, place) of each, and what is known."""
    places = dict(reversed(list(unknown)))
    if places:
        named = "; ".join(f"{name} ({place})" for name, place in reversed(places.items()))
        raise NotImplementedError(f"{who}: not known here: {named}. Known: {', '.join(sorted(known))}")


class Imported:
    """A function of another library as a function of Tensors: `f(*inputs)`, or `f()` for the example inputs.

    parameters   the leaves that are the model's own, by name
    inputs       the example inputs, nested as they were given, with Tensors for arrays

    Arrays among the inputs are constants; pass Tensors for their gradients. For inputs of other shapes or dtypes the
    model is read once more, with the same parameters.
    """

    who = "imported"
    parameters: dict[str, Tensor]
    inputs: tuple[Any, ...]

    def __init__(self, name: str, check: bool) -> None:
        self.name, self._check, self._programs = name, check, dict[Any, Program]()

    def __call__(self, *inputs: Any) -> Any:
        leaves, structure = self._flat(inputs or self.inputs)
        names = self._names(structure)
        leaves = [self._leaf(x, name) for x, name in zip(leaves, names, strict=True)]
        key = str(structure), tuple((x.shape, x.dtype) if isinstance(x, Tensor) else (type(x), x) for x in leaves)
        program = self._programs.get(key)
        if program is None:
            with using(observers=(), recording=True, scope=None):
                program = self._read(leaves, structure)
                if self._check:
                    self._compared(program, leaves, structure)
            self._programs[key] = program
        return program.run(self.who, leaves)

    def __repr__(self) -> str:
        held = ", ".join(f"{name} {x.shape}" for name, x in self.parameters.items())
        return f"<{self.who} {self.name}: {held or 'no parameters'}>"

    def _leaf(self, x: Any, name: str) -> Any:
        """An input as the program takes it."""
        if isinstance(x, Tensor):
            return x
        array = self._array(x)
        return x if array is None else Tensor(array, name=name)

    # what the library's side fills in ------------------------------------------------------------------------

    def _flat(self, inputs: Any) -> tuple[list[Any], Any]:
        """The leaves of nested inputs, and how they were nested."""
        raise NotImplementedError

    def _names(self, structure: Any) -> list[str]:
        """A name for each leaf."""
        raise NotImplementedError

    def _array(self, x: Any) -> np.ndarray[Any, Any] | None:
        """An input as an array; None for what is no array."""
        raise NotImplementedError

    def _read(self, leaves: list[Any], structure: Any) -> Program:
        """The steps for inputs of these shapes and dtypes."""
        raise NotImplementedError

    def _theirs(self, leaves: list[Any], structure: Any, weigh: Callable[[list[Any]], list[Any]]) -> Any:
        """(results, gradients of the leaves and parameters that need one) by the library itself, as arrays.

        The gradients are those of sum(weight * result) over the results; `weigh` gives the weights.
        """
        raise NotImplementedError

    # is it the same function? --------------------------------------------------------------------------------

    def _compared(self, program: Program, leaves: list[Any], structure: Any) -> None:
        """ValueError unless results and gradients are the library's own at these inputs.

        The steps are those of the forward: a model may also have gradients of its own making, or ones that depend on
        what its trace does not show. Rounding is allowed for, to the square root of the dtype's eps.
        """
        fresh = [Tensor(x._array, requires_grad=x._needs) if isinstance(x, Tensor) else x for x in leaves]
        results = [y for y in self._flat(program.run(self.who, fresh))[0] if isinstance(y, Tensor)]
        names = [*self._names(structure), *self.parameters]
        targets = {
            name: x
            for name, x in zip(names, [*fresh, *self.parameters.values()], strict=True)
            if isinstance(x, Tensor) and x._needs
        }
        total: Any = Tensor(0.0)
        for y, c in zip(results, _weights([y._array for y in results]), strict=True):
            total = total + sum_(mul(y, c)) if y._needs else total
        xs = list(targets.values())
        slopes = [x._array for x in grad(total, xs)] if total._needs else [np.zeros(x.shape, x.dtype) for x in xs]
        their_results, their_slopes = self._theirs(leaves, structure, _weights)
        values = [y._array for y in results]
        self._same([f"result {k}" for k in range(len(values))], values, their_results, "at these inputs")
        why = (
            "at these inputs. A gradient that the model makes by itself (a function with a backward of its own, a hook)"
            " is not read, only what the forward computes; check=False takes the model nevertheless"
        )
        self._same([f"the gradient of {name}" for name in targets], slopes, their_slopes, why)

    def _same(self, names: list[str], ours: list[Any], theirs: list[Any], why: str) -> None:
        if len(ours) != len(theirs):
            raise ValueError(f"{self.who}: {self.name} gives {len(theirs)} arrays, but {len(ours)} were read")
        largest = max([_size(a) for a in theirs], default=0.0)
        for name, a, b in zip(names, ours, theirs, strict=True):
            if a.shape != b.shape or a.dtype != b.dtype:
                raise ValueError(f"{self.who}: {name} is {b.shape} {b.dtype}, but {a.shape} {a.dtype} was read")
            eps = float(np.finfo(a.dtype).eps) if a.dtype.kind == "f" else 0.0
            bound = max(eps**0.5 * max(_size(a), _size(b)), 1000 * eps * largest)  # what ought to be 0 is rounding
            a, b = a.astype(float), b.astype(float)
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            with np.errstate(invalid="ignore"):
                wrong = ~same & ~(np.abs(a - b) <= bound)
            if wrong.any():
                at = tuple(int(k) for k in np.argwhere(wrong)[0])
                raise ValueError(
                    f"{self.who}: {name} differs from the library's own: {a[at]:.6g} for {b[at]:.6g} at {list(at)}, {why}"
                )


def _weights(results: list[Any]) -> list[Any]:
    """Fixed numbers to weigh results with, of their shapes and dtypes; None for what is no float."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=y.shape).astype(y.dtype) if y.dtype.kind == "f" else None for y in results]


def _size(a: Any) -> float:
    finite = np.abs(a[np.isfinite(a)].astype(float))
    return float(finite.max()) if finite.size else 0.0


def array_of(x: Any) -> Any:
    """A copy of a Tensor's array for the library, which may write to what it is given."""
    return np.array(raw(x))
