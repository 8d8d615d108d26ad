"""What a graph is made of: nodes, and the primitives that make them. Knows NumPy; no arithmetic, and no Tensor class.

What PyTorch calls it: a recorded Node is a tensor with its `grad_fn`; `op` is the function's name, `inputs` its
`next_functions`, `saved` what `ctx.save_for_backward` would hold.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._support.arguments import bound, declared
from .._support.arrays import admitted, buffers, constant, copied, real
from .._support.signatures import Decorator, Fused, Rule
from .._support.text import plainly, visible
from .context import Context, Observer, current, using

next_number = itertools.count(1).__next__


class Node:
    """A value in the graph: the array, and how it was made. `Tensor` is the Node that users hold.

    op      the primitive that made it, or None for a leaf
    inputs  the Nodes that the primitive was given, None where a constant stood
    arrays  the bare values of all its inputs; constant arrays are copies of its own
    params  the keyword arguments of the call, defaults filled in
    saved   what the primitive's `save` kept for its rule, or None
    number  creation number: every node is younger than its inputs, and that is all the order that a walk needs
    """

    _array: np.ndarray[Any, Any]
    _needs: bool  # does a gradient flow through here?
    _name: str
    _line: tuple[str, int]
    _grad: Any
    _cotangent: Any
    _version: Version
    context: Context
    saved: Any
    op: Primitive | None
    inputs: tuple[Node | None, ...]
    arrays: tuple[Any, ...]
    params: dict[str, Any]
    number: int
    __slots__ = ("__weakref__", *__annotations__)

    __hash__ = object.__hash__  # by identity: gradients live in dicts keyed by the node

    @classmethod
    def _leaf(cls, array: Any, needs: bool = False) -> Any:
        """A value without history around `array`, which it now owns."""
        node = object.__new__(cls)
        node._array, node._needs = array if type(array) is np.ndarray else real(array, "this"), needs
        node.number, node.context = next_number(), current()
        node.op, node.inputs, node.arrays, node.params, node.saved = None, (), (), NO_PARAMS, None
        return node

    @property
    def given(self) -> tuple[Any, ...]:
        """What the primitive was given: Nodes, and constants as they are kept."""
        return tuple([a if x is None else x for x, a in zip(self.inputs, self.arrays, strict=True)])

    @property
    def name(self) -> str | None:
        """What the user called it, for pictures and messages."""
        return getattr(self, "_name", None)

    @property
    def scope(self) -> tuple[str, ...]:
        """Names of the scopes that it was made in, outermost first."""
        return self.context.scope.path if self.context.scope is not None else ()

    @property
    def line(self) -> tuple[str, int] | None:
        """File and line that recorded it, where `record_lines()` was on."""
        return getattr(self, "_line", None)


NO_PARAMS: dict[str, Any] = {}


def raw(x: Any) -> Any:
    """The bare array of a Node; anything else as it is. What is computed from it has no gradient."""
    return x._array if isinstance(x, Node) else x


def describe(x: Any) -> str:
    """One argument in an error message: its name if it has one, shape and dtype."""
    value = raw(x)
    if not isinstance(value, np.ndarray):
        return repr(value) if len(repr(value)) < 60 else type(value).__name__
    return (f"{visible(x._name)}: " if getattr(x, "_name", None) else "") + f"{value.shape} {value.dtype}"


def noted(error: Exception, node: Node) -> None:
    """Say with an error in which rule it happened."""
    error.add_note(f"in the rule of {getattr(node.op, 'name', '')}({', '.join(map(describe, node.given))})")


# --------------------------------------------------------------------------------------------------------------
# Primitives


class Primitive:
    """A NumPy function with its derivative rules, and how to speak of it.

    A rule never sees more than `g`, `out`, the inputs and the parameters (and, if it is a joint rule, what `save`
    returned). That law is what makes higher orders right: at order 2 the same rule runs on Tensors, and so does
    `save`, hence nothing that depends on an input can slip through as a constant.
    """

    builtin = True
    recorder: Any  # makes the function that users call; `recorder` below, or a quicker one of the same meaning
    quick: Any  # the quicker one's own

    def __init__(
        self, kernel: Rule, *, save: Rule | None = None, formula: str = "", local: Sequence[str] = (), **more: Any
    ) -> None:
        self.kernel, self.save, self.formula, self.local = kernel, save, formula, tuple(local)
        self.name, self.differentiable = kernel.__name__.rstrip("_"), bool(more.get("differentiable", True))
        self.rules: tuple[Rule | None, ...] = ()
        self.joint: Rule | None = None
        self.call: Callable[..., Any] = kernel  # what users call
        self.input_names, self.defaults, self.variadic = declared(kernel)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def defvjp(self, *rules: Rule | None) -> None:
        """One rule per argument, `(g, out, *inputs, **params) -> gradient of that input`; None where there is none.

        A rule may return a gradient that is still broadcast against other inputs: the walk sums it down.
        For a primitive with any number of inputs one rule serves all, with `position=` telling which.
        """
        if not self.variadic and len(rules) != len(self.input_names):
            raise ValueError(f"{self.name} has {len(self.input_names)} inputs, but {len(rules)} rules were given")
        self.rules, self.joint = rules, None

    def defvjp_joint(self, rule: Rule) -> None:
        """One rule for all arguments where they share work: `(g, out, saved, *inputs, **params) -> tuple`."""
        self.joint, self.rules = rule, ()

    def bind(self, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(inputs, parameters by name): defaults filled in, lists as tuples."""
        inputs, params = bound(self.name, self.input_names, self.defaults, self.variadic, args, params)
        for name, value in params.items():
            if isinstance(value, Node):
                raise TypeError(f"{self.name}: {name}= is a constant and has no gradient; pass a number or an array")
            admitted(None if isinstance(value, (str, bytes)) else value)  # a text may be an option
        return inputs, params

    def forward(self, arrays: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Any]:
        """(value, saved) of bare arrays: what a faster kernel may replace."""
        if self.save is None:
            return self.kernel(*arrays, **params), None
        saved = self.save(*arrays, **params)
        return self.kernel(*arrays, saved=saved, **params), saved

    def pull(self, g: Any, out: Any, saved: Any, inputs: Any, params: Any, wanted: Any) -> list[tuple[int, Any]]:
        """[(k, gradient of input k), ...] for the positions wanted, of arrays or of Nodes: a kernel may replace it."""
        if self.joint is not None:
            ds = self.joint(g, out, saved, *inputs, **params)
            if not isinstance(ds, tuple) or len(ds) != len(inputs):
                n, got = len(inputs), f"a tuple of {len(ds)}" if isinstance(ds, tuple) else type(ds).__name__
                raise TypeError(f"the joint rule of {self.name} must return a tuple of {n} gradients, got {got}")
            return [(k, ds[k]) for k in wanted if ds[k] is not None]
        if not self.rules:
            raise NotImplementedError(f"{self.name} has no rule: give it one with {self.name}.defvjp(...)")
        if self.variadic:
            rule: Any = self.rules[0]
            return [(k, rule(g, out, *inputs, position=k, **params)) for k in wanted]
        return [(k, f(g, out, *inputs, **params)) for k in wanted if (f := self.rules[k]) is not None]

    def refusal(self, error: Exception, inputs: Sequence[Any], params: dict[str, Any]) -> Exception:
        """The kernel's complaint again, with what was passed."""
        kind = next(k for k in REFUSED if isinstance(error, k))
        what = ", ".join([describe(x) for x in inputs] + [f"{k}={v!r}" for k, v in params.items()])
        return kind(f"{self.name}({what}): {plainly(error)}")


REFUSED = (ValueError, IndexError, TypeError)  # what kernels raise for inputs that they cannot take


def recorder(op: Primitive) -> Callable[..., Any]:
    """The function that users call: run the op on bare arrays; if any input is a Node, so is the result.

    It has its history if a gradient may flow through it; observers are told.
    """

    def call(*args: Any, **params: Any) -> Any:
        inputs, params = op.bind(args, params)
        nodes = tuple([x if isinstance(x, Node) else None for x in inputs])
        try:
            arrays = tuple([x._array if isinstance(x, Node) else admitted(x) for x in inputs])
            value, saved = op.forward(arrays, params)
        except REFUSED as error:
            raise op.refusal(error, inputs, params) from error
        first = next((x for x in nodes if x is not None), None)
        if first is None:
            return value
        node = first._leaf(real(value, op.name))
        needs = op.differentiable and node.context.recording and node._array.dtype.kind == "f"
        if needs and any([x is not None and x._needs for x in nodes]):
            node._needs, node.op, node.inputs, node.saved = True, op, nodes, saved
            node.params = {name: copied(value) for name, value in params.items()}
            node.arrays = tuple([constant(a) if x is None else a for x, a in zip(nodes, arrays, strict=True)])
        if node._array.base is not None:
            share(node, nodes)
        for observer in node.context.observers:
            observer.made(node, op, inputs, params)
        return node

    return call


Primitive.recorder = staticmethod(recorder)


registry: dict[str, Any] = {}  # every primitive of the package by name


def function_of(op: Primitive) -> Any:
    """The function that users call: a plain one, so that it serves as an operator, `class Tensor: __mul__ = mul`."""
    call: Any = functools.wraps(op.kernel)(Primitive.recorder(op))
    call.op, call.defvjp, call.defvjp_joint, op.call = op, op.defvjp, op.defvjp_joint, call
    if op.builtin:
        registry[op.name] = call
    return call


def _primitive(**about: Any) -> Any:
    """Turn a NumPy function into a differentiable one: arrays in, array out; any Node in, Node out.

    The result has its `Primitive` as `.op`, and `.defvjp` and `.defvjp_joint` to give it its rules.
    """
    return lambda kernel: function_of(Primitive(kernel, **about))


primitive: Callable[..., Decorator] = _primitive
fused_primitive: Callable[..., Callable[[Rule], Fused]] = _primitive  # the same to all but type checkers


# --------------------------------------------------------------------------------------------------------------
# Doors: side effects, reading, kernels


def callback(function: Callable[..., Any], *arguments: Any, writes: Sequence[Any] = ()) -> Any:
    """function(*arguments) of bare arrays, numbers and objects: an array, a tuple of them, or None; as part of a step.

    For what is no primitive: random draws, checks of data, running statistics, updates. It runs as it always does, and
    observers are told, so that a recorded step can run it again. `writes`: the tensors that it writes to.
    """
    observers = current().observers
    if not observers:
        return function(*arguments)
    with using(observers=()):
        results = function(*arguments)
    if results is not None:
        results = tuple(map(np.asarray, results)) if isinstance(results, tuple) else np.asarray(results)
    for observer in observers:
        observer.called(function, arguments, results, tuple(writes))
    return results


def reading(node: Node, what: str) -> None:
    """Tell observers that Python is about to look at a value: a recorded step could not know what it makes of it."""
    for observer in current().observers:
        observer.read(node, what)


kernels: dict[str, Callable[[], Any]] = {}  # name: loads a faster way to compute it; empty until fast/ fills it


def kernel(name: str) -> Any:
    """The faster way to compute `name`, or None: then the readable code runs."""
    load = kernels.get(name)
    return None if load is None else load()


# --------------------------------------------------------------------------------------------------------------
# Writing in place: the one way in which an array of the graph ever changes, and what notices it too late. A version
# belongs to memory and is shared by all who look at it: views, detached tensors, the vector in which an optimizer keeps
# parameters. "Written after that op was recorded" is a comparison of creation numbers: recording pays nothing for it.


class Version:
    """When some memory was last written, as a creation number (0: never), and as which tensor."""

    __slots__ = ("name", "written")
    latest = 0  # when any memory was last written

    def __init__(self) -> None:
        self.written, self.name = 0, ""


def version(node: Node) -> Version:
    """The version of a node's memory."""
    node._version = getattr(node, "_version", None) or Version()
    return node._version


def share(node: Node, others: Sequence[Node | None]) -> None:
    """Let a node that is a view of one of the others have its version."""
    base = node._array.base
    for x in others:
        if x is not None and (base is x._array or base is x._array.base):
            node._version = version(x)


def write(leaf: Node, value: Any) -> None:
    """Copy `value` into the memory of a leaf."""
    leaf._array[...] = value
    written(leaf)


def written(*leaves: Node) -> None:
    """Note that the memory of these leaves was just written."""
    Version.latest = number = next_number()
    for leaf in leaves:
        seen = getattr(leaf, "_version", None) or version(leaf)
        seen.written, seen.name = number, getattr(leaf, "_name", "")


def late(node: Node) -> dict[int, tuple[str, str]]:
    """What was written after a node was recorded: {id of an array: (what that is to the op, written as what name)}."""
    found: dict[int, tuple[str, str]] = {}
    for x in (*node.inputs, node):
        seen = getattr(x, "_version", None)
        if x is not None and seen is not None and seen.written > node.number:
            found[id(x._array)] = describe(x), seen.name
            found |= {id(a): ("what it saved", seen.name) for a in buffers(node.saved) if np.shares_memory(a, x._array)}
    return found


class Unread(Observer):
    """Raises where a rule reads what was written after its op was recorded: its gradient would be silently wrong."""

    def __init__(self, node: Node, late: dict[int, tuple[str, str]]) -> None:
        self._name, self._late = getattr(node.op, "name", ""), late

    def made(self, node: Any, op: Any, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """An op of the rule was called with these inputs."""
        for x in inputs:
            self.read(x, "")

    def read(self, node: Any, what: str) -> None:
        """The rule looked at a value."""
        found = self._late.get(id(raw(node)))
        if found is not None:
            what, name = found
            raise RuntimeError(
                f"{self._name} needs {what} for its gradient, but that memory was written"
                f"{f' (as {name})' if name else ''} after {self._name} was recorded; run the forward again, or write "
                "after backward()"
            )
