"""Recording: an observer that is told of every primitive, gradient and callback of one run, and writes a Program.

The function runs as it always does, on real values. Rules run on Tensors, so that what they compute is seen op by op
like the forward; where a kernel or a user's rule stands for one, it is one instruction.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._support.arrays import copied_data, plain
from .._support.randomness import restore, state_of
from .._support.source_lines import source_line
from ..anomalies import Lines
from ..core.context import Observer, current, using
from ..core.gradients import cotangent, fitted, walk
from ..core.nodes import Node, Primitive, describe, next_number, raw
from ..core.tensor import Tensor
from .changed import difference
from .program import Array, Instruction, Program, Value, values_in, without_dead_code

GENERATORS = (np.random.Generator, np.random.RandomState)


class NotRecordable(TypeError):
    """What a function does that a program cannot repeat; the message says what, where, and what to do."""


class Recorder(Observer):
    """Listens to one run. `inputs`, `instructions` and the values in them are a Program's."""

    rules = True
    refused: type[TypeError] = NotRecordable
    what = "a recorded function"
    whoever = "the recording"  # who listens, and what to do instead, in messages
    instead = "compute it with minigrad's functions, choose with mg.where, or look at the value outside"

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.inputs: list[Value] = []
        self._values: dict[int, Value] = {}  # by id of the array
        self._alive: list[Array] = []  # so that no id is used twice
        self.nodes: MutableMapping[Value, Node] = {}  # what each value was: names may be given later
        self._cotangents: MutableMapping[Value, Node] = {}  # what each is the gradient of
        self._begin = next_number()
        self._count = 0

    # values -------------------------------------------------------------------------------------------------

    def varies(self, array: Any) -> bool:
        """Whether an array may hold something else when the program runs."""
        known = self._values.get(id(array))
        return known is not None and known.kind != "constant"

    def argument(self, array: Array, name: str | None) -> Value:
        """A new input of the program."""
        value = self._new("input", array, len(self.inputs), name)
        self.inputs.append(value)
        return value

    def _new(self, kind: str, array: Array, source: Any = None, name: str | None = None) -> Value:
        value = Value(self._count, kind, array, source, name)
        self._count += 1
        self._known_as(array, value)
        return value

    def _known_as(self, array: Array, value: Value) -> None:
        self._values[id(array)] = value
        self._alive.append(array)

    def value(self, x: Any) -> Any:
        """What stands for x in an instruction: a Value for an array, anything else as it is."""
        if isinstance(x, Node):
            known = self._values.get(id(x._array))
            if known is not None:
                return known
            if x.number > self._begin:  # made inside: a constant of Python
                return self._new("constant", x._array, name=x.name)
            self.outside(x)
            return self._new("tensor", x._array, x, x.name)  # itself, whatever it will hold
        if isinstance(x, np.ndarray):
            return self._values.get(id(x)) or self.constant(x)
        if isinstance(x, tuple):
            return type(x)(*map(self.value, x)) if hasattr(x, "_fields") else tuple([self.value(p) for p in x])
        return {key: self.value(part) for key, part in x.items()} if isinstance(x, dict) else x

    def constant(self, x: Array) -> Value:
        """An array that Python has."""
        return self._new("constant", np.array(x))

    def leaf_for(self, value: Value) -> Any:
        """A leaf that stands for a value that another program made."""
        self.known_as(value)
        leaf: Tensor = Tensor._leaf(value.array)
        return leaf if value.name is None else leaf.named(value.name)

    def known_as(self, value: Value) -> None:
        """Let the array of a value stand for it."""
        self._known_as(value.array, value)

    def outside(self, tensor: Node) -> None:
        """A tensor that was there before the recording is used for the first time."""

    def _also(self, copy: Any, original: Any) -> None:
        """Have copies that a node keeps stand for what they were copied from."""
        if isinstance(copy, np.ndarray) and copy is not original and id(original) in self._values:
            self._known_as(copy, self._values[id(original)])
        elif isinstance(copy, tuple) and isinstance(original, tuple):
            for part, other in zip(copy, original, strict=True):
                self._also(part, other)

    def add(
        self, kind: str, name: str, function: Any, inputs: Any, params: dict[str, Any], outputs: Any, **more: Any
    ) -> tuple[Value, ...]:
        """Write down an instruction; the values that it makes."""
        # what a callback writes to it gets as it is
        written = more.get("writes", ()) if kind == "call" else ()
        taken = tuple([x if any(x is leaf for leaf in written) else self.value(x) for x in inputs])
        named = self.value(params)
        made = tuple([self._new("made", array) for array in outputs])
        context = current()
        path = context.scope.path if context.scope is not None else ()
        backward = context.cause is not None
        self.instructions.append(
            Instruction(kind, name, function, taken, named, made, backward=backward, scope=path, **more)
        )
        return made

    # what the engine tells ----------------------------------------------------------------------------------

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """A primitive gave a node."""
        if any(node._array is raw(x) for x in inputs):  # the value that it was given: nothing to do
            return
        results = (node._array, *(node.saved or ()))
        made = self.add("op", op.name, op.kernel, inputs, params, results, op=op, line=getattr(node, "_line", None))
        self.nodes[made[0]] = node
        for copy, original in zip(node.arrays, inputs, strict=False):
            self._also(copy, raw(original))
        self._also(tuple(node.params.values()), tuple(params.values()) if node.params else ())

    def called(self, function: Any, arguments: tuple[Any, ...], results: Any, writes: tuple[Any, ...]) -> None:
        """A function of bare arrays that is no primitive ran."""
        if function is copied_data and not self.known(raw(arguments[0])) and not isinstance(arguments[0], Node):
            return  # a new tensor of what Python holds
        outputs = () if results is None else results if isinstance(results, tuple) else (results,)
        name = getattr(function, "__qualname__", type(function).__name__).replace("._", ".").lstrip("_")
        self.add("call", name, function, arguments, {}, outputs, writes=writes, line=source_line())

    def known(self, x: Any) -> bool:
        """Whether x is an array that the program has a value for."""
        return isinstance(x, np.ndarray) and id(x) in self._values

    def read(self, node: Node, what: str) -> None:
        """Python wants to look at a value."""
        self.refuse(f"{what} of {describe(node)} was read")

    def refuse(self, what: str) -> None:
        """Say that Python looks at a value, which a program cannot repeat."""
        file, line = source_line()
        raise self.refused(
            f"{what} at line {line} of {file} during {self.whoever}. The program would not see what Python makes of "
            f"it, and would give the same for any input: {self.instead}"
        )

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        """The rules of an op sent gradients; those that a kernel or a user's rule gave at once were not seen yet."""
        self._cotangents.setdefault(self.value(g), node)
        if all(self.known(d._array) for _, d in gradients):
            return
        op: Any = node.op
        rule = Pull(op, len(node.saved or ()), tuple([k for k, _ in gradients]))
        inputs = (g, node, *(node.saved or ()), *node.given)
        arrays = [d._array for _, d in gradients]
        self.add("rule", f"{op.name} backward", rule, inputs, node.params, arrays, op=op, line=node.line)

    # the end ------------------------------------------------------------------------------------------------

    def give_names(self, gradients: dict[Value, Value]) -> None:
        """Let values have the names that their nodes have by now, and gradients d_ and the name of what they are of."""
        for value, node in self.nodes.items():
            value.name = value.name or node.name
        taken: set[str] = set()
        for value in dict.fromkeys(self._values.values()):  # two layers' weights are weight and weight_2
            if value.name:
                name, k = value.name, 2
                while name in taken:
                    name, k = f"{value.name}_{k}", k + 1
                value.name = name
                taken.add(name)
        for of, value in gradients.items():
            if value.kind == "made" and of.name:
                value.name = f"d_{of.name}"
        for value, node in self._cotangents.items():
            origin = self._values.get(id(node._array))
            if value.kind == "made" and not value.name and origin is not None and origin.name:
                value.name = f"d_{origin.name}"

    def template_of(self, x: Any) -> Any:
        """What the function returned, with a value for each tensor and array in it."""
        if isinstance(x, (Node, np.ndarray)):
            return self.value(x)
        if isinstance(x, (tuple, list)):
            parts = [self.template_of(part) for part in x]
            return parts if isinstance(x, list) else type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
        if isinstance(x, dict):
            return {key: self.template_of(part) for key, part in x.items()}
        if x is None or isinstance(x, (bool, int, float, str)):
            return x
        raise self.refused(
            f"{self.what} returns Tensors, numbers, or tuples, lists and dicts of them, got {type(x).__name__}"
        )


@dataclass(frozen=True)
class Pull:
    """The rules of one op as a whole, on bare arrays: (g, out, *saved, *inputs) -> the gradients of some inputs."""

    op: Primitive
    saved: int
    wanted: tuple[int, ...]

    def __call__(self, g: Array, out: Array, *rest: Any, **params: Any) -> tuple[Any, ...]:
        saved, inputs = rest[: self.saved] or None, rest[self.saved :]
        steps = dict(self.op.pull(g, out, saved, inputs, params, list(self.wanted)))
        return tuple([fitted(steps[k], inputs[k], self.op) for k in self.wanted])


def record(f: Callable[..., Any], *args: Any, gradient: Any = None, **named: Any) -> Program:
    """f(*args) and its backward as a Program: plain data that can be run again, printed, drawn, and changed.

    f         a function of arrays, Tensors, numbers and texts; what it returns is a Tensor, or tuples, lists and dicts
              of them. Parameters may come from around it
    args      arrays of floating-point numbers become Tensors that require a gradient, and so do Tensors that do; other
              arrays are inputs without one; everything else is fixed
    gradient  dL/df to start backward with while recording (None: ones); each run is given its own

    The gradients of all inputs and of all tensors around it that require one are part of the program, if the result
    depends on them. Modules keep their running statistics. NotRecordable for what a program cannot repeat: Python that
    looks at values (`.item()`, `.data`, `if x < 1`).

    >>> import minigrad as mg
    >>> program = record(lambda x, w: x * w, np.array([1.0, 2.0]), np.array(3.0))
    >>> print(program)
    inputs
      x                         2    float64
      w                         ()   float64
      d_y                       2    float64
    forward
      y = mul(x, w)             2
    backward
      d_x = mul(d_y, w)         2
      v5 = mul(d_y, x)          2
      d_w = sum(v5, axis=(0,))  ()
    results
      returns                   y
      gradient of x             d_x
      gradient of w             d_w
    >>> program.run(np.array([5.0, 7.0]), np.array(2.0)).value
    array([10., 14.])
    """
    program = recorded(f, args, named, gradient)[0]
    if not any(i.writes for i in program.instructions):
        _refuse_changes(f, args, named, program)
    return program


def _refuse_changes(f: Callable[..., Any], args: Any, named: dict[str, Any], program: Program) -> None:
    """Run f again: what Python makes anew in each call, such as noise drawn inside, would be the first for ever."""
    drawn = {id(x): x for i in program.instructions for x in i.inputs if isinstance(x, GENERATORS)}
    states = [(rng, state_of(rng)) for rng in drawn.values()]
    try:
        again = recorded(f, args, named, forward=True)[0]
    finally:
        for rng, state in states:
            restore(rng, state)
    if said := difference(program.forward(), again, calls=False):
        raise NotRecordable(
            f"two runs of the function on the same inputs differ: {said}. The program would keep the first: pass what "
            "changes as an argument, and draw noise with mg.dropout or outside"
        )


def recorded(
    f: Callable[..., Any], args: Sequence[Any], named: dict[str, Any], gradient: Any = None, forward: bool = False
) -> tuple[Program, MutableMapping[Value, Node], Any]:
    """As `record`: the program, the node that each value of its forward was, and what f returned.

    forward: without a backward. What f makes anew in each call is not looked for.
    """
    recorder = Recorder()
    given, fixed = _arguments(f, args, named, recorder)
    with using(Lines(), recorder, recording=True, frozen=True, cause=None):
        returned = f(*given, **fixed)
        template = recorder.template_of(returned)
        for i in recorder.instructions:
            i.backward = False  # derivatives that f takes inside are part of what it computes
        ends = [y for y in _flat(returned) if isinstance(y, Node) and y._needs]
        gradients, cotangents = backward_of(recorder, ends, gradient) if ends and not forward else ({}, ())
    taken = {y.name for y in recorder.inputs}
    for k, y in enumerate(results := list(dict.fromkeys(values_in(template)))):
        name = "y" if len(results) == 1 else f"y{k}"
        named_already = y.name or (y in recorder.nodes and recorder.nodes[y].name)
        if y.kind == "made" and not named_already and name not in taken:
            y.name = name
    recorder.give_names(gradients)
    in_order = dict.fromkeys([*recorder.inputs, *gradients])
    gradients = {value: gradients[value] for value in in_order if value in gradients}
    program = Program(recorder.instructions, recorder.inputs, template, gradients, cotangents)
    return without_dead_code(program).numbered(), recorder.nodes, returned


def _arguments(f: Any, args: Any, named: dict[str, Any], recorder: Recorder) -> tuple[list[Any], dict[str, Any]]:
    names = parameter_names(f, len(args))

    def leaf(x: Any, name: str) -> Any:
        if not isinstance(x, (Node, np.ndarray)):
            return x
        array = np.array(plain(x))
        if array.dtype.kind not in "fiub":
            raise TypeError(f"record: argument {name} holds {array.dtype}; expected real numbers")
        needs = x._needs if isinstance(x, Node) else array.dtype.kind == "f"
        made: Tensor = Tensor._leaf(array, needs).named((isinstance(x, Node) and x.name) or name)
        recorder.argument(array, made.name)
        return made

    return [leaf(x, name) for x, name in zip(args, names, strict=True)], {k: leaf(x, k) for k, x in named.items()}


def parameter_names(f: Any, count: int) -> list[str]:
    """What f calls its first arguments."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for k in range(count):
        p = parameters[min(k, len(parameters) - 1)] if parameters else None
        fits = p is not None and (p.kind is p.VAR_POSITIONAL or k < len(parameters))
        names.append(f"x{k}" if p is None or not fits else f"{p.name}{k}" if p.kind is p.VAR_POSITIONAL else p.name)
    return names


def _flat(x: Any) -> list[Any]:
    if isinstance(x, dict):
        x = list(x.values())
    return [y for part in x for y in _flat(part)] if isinstance(x, (list, tuple)) else [x]


def backward_of(recorder: Recorder, ends: Sequence[Any], gradient: Any) -> tuple[dict[Any, Value], tuple[Value, ...]]:
    """Walk back from the results; {value of a leaf: value of its gradient}, and the inputs that stand for dL/df."""
    asked = [None] * len(ends) if gradient is None else [gradient] if len(ends) == 1 else list(gradient)
    if len(asked) != len(ends):
        raise ValueError(f"record: gradient= has {len(asked)} parts, but the function has {len(ends)} results with one")
    starts, cotangents = [], []
    for k, (y, d) in enumerate(zip(ends, asked, strict=True)):
        with using(observers=()):
            default = d is None and y._array.size != 1
            start = cotangent(y, np.ones(y.shape, y.dtype) if default else d)
            start = Tensor._leaf(np.array(start._array))
        of = recorder.value(y)
        name = f"d_{y.name or of.name or (f'y{k}' if len(ends) > 1 else 'y')}"
        cotangents.append(recorder.argument(start._array, name))
        starts.append(start)
    y, start = (ends[0], starts[0]) if len(ends) == 1 else _joined(ends, starts)
    found = walk(y, start)
    return {recorder.value(x): recorder.value(d) for x, d in found.items()}, tuple(cotangents)


def _joined(ends: Sequence[Any], starts: Sequence[Any]) -> tuple[Any, Any]:
    """One end to walk back from, whose rule sends each of several results its gradient; and what to start it with.

    Nobody is told of it, and what its rule sends is known already: no instruction comes of it.
    """

    def results(*ys: Any) -> Any:
        return np.zeros(())

    op = Primitive(results)
    op.defvjp_joint(lambda g, out, saved, *ys: tuple(starts))
    with using(observers=()):
        return Primitive.recorder(op)(*ends), Tensor._leaf(np.ones(()))
