"""Recording a step: an observer that is told of every primitive, gradient, random draw and update writes a Program.

The step runs as it always does, on its real values. Rules run on Tensors without a graph, so that what they compute is
seen op by op like the forward; where a kernel or a user's rule stands for one, it is written down as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from .._support.source_lines import source_line
from ..core.context import Observer, current
from ..core.gradients import fitted
from ..core.nodes import Node, Primitive, describe, next_number, raw
from ..optim.optimizers import Update
from .program import Array, Instruction, Program, Value


class NotReplayable(TypeError):
    """What a step does that cannot be recorded once and run again; the message says what and what to do."""


Renewal: TypeAlias = Callable[[Node, "set[Node]"], "list[tuple[Node, Node]]"]


class Recorder(Observer):
    """Listens to one run of a step; `finish` gives the Program."""

    rules = True

    def __init__(self, renewal: Renewal | None = None) -> None:
        self.instructions: list[Instruction] = []
        self.inputs: list[Value] = []
        self._values: dict[int, Value] = {}  # by id of the array
        self._alive: list[Array] = []  # so that no id is used twice
        self._before: dict[Node, Any] = {}  # tensors from outside, and their `.grad` when they were first used
        self._cleared: set[Node] = set()  # whose `.grad` the step itself has set
        self._begin = next_number()
        self._renewal = renewal
        self._replaced: dict[Value, Value] = {}
        self.modules: dict[Any, dict[str, Any]] = {}  # with their attributes when they ran first

    # values -------------------------------------------------------------------------------------------------

    def varies(self, array: Array) -> bool:
        """Whether an array may hold something else in the next replay."""
        known = self._values.get(id(array))
        return known is not None and known.kind != "constant"

    def argument(self, array: Array, name: str | None) -> Value:
        """A new input of the program."""
        value = self._new("input", array, len(self.inputs), name)
        self.inputs.append(value)
        return value

    def _new(self, kind: str, array: Array, source: Any = None, name: str | None = None) -> Value:
        value = Value(len(self._alive), kind, array, source, name)
        self._values[id(array)] = value
        self._alive.append(array)
        return value

    def _value(self, x: Any) -> Any:
        """What stands for x in an instruction: a Value for an array, anything else as it is."""
        if isinstance(x, Node):
            known = self._values.get(id(x._array))
            if known is not None:
                return known
            if x.number > self._begin:  # made inside the step: a constant of Python
                return self._new("constant", x._array)
            self._before.setdefault(x, getattr(x, "_grad", None))
            return self._new("tensor", x._array, x, x.name)  # itself, whatever it will hold
        if isinstance(x, np.ndarray):
            return self._values.get(id(x)) or self._new("constant", np.array(x))
        if isinstance(x, tuple):
            return type(x)(*map(self._value, x)) if hasattr(x, "_fields") else tuple([self._value(p) for p in x])
        return {key: self._value(part) for key, part in x.items()} if isinstance(x, dict) else x

    def _also(self, copy: Any, original: Any) -> None:
        """Have copies that a node keeps stand for what they were copied from."""
        if isinstance(copy, np.ndarray) and copy is not original and id(original) in self._values:
            self._values[id(copy)] = self._values[id(original)]
            self._alive.append(copy)
        elif isinstance(copy, tuple) and isinstance(original, tuple):
            for part, other in zip(copy, original, strict=True):
                self._also(part, other)

    def _write_down(
        self, kind: str, name: str, function: Any, inputs: Any, params: dict[str, Any], outputs: Any, **more: Any
    ) -> None:
        # a callback gets a tensor as it is: to write to
        taken = tuple([x if kind == "noted" and isinstance(x, Node) else self._value(x) for x in inputs])
        named = self._value(params)
        made = tuple([self._new("made", array) for array in outputs])
        context = current()
        path = context.scope.path if context.scope is not None else ()
        backward = context.cause is not None
        self.instructions.append(
            Instruction(kind, name, function, taken, named, made, backward=backward, scope=path, **more)
        )

    # what the engine tells ----------------------------------------------------------------------------------

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """A primitive gave a node."""
        if any(node._array is raw(x) for x in inputs):  # the value that it was given: nothing to do
            return
        results = (node._array, *(node.saved or ()))
        line = getattr(node, "_line", None)
        self._write_down("op", op.name, op.kernel, inputs, params, results, op=op, line=line)
        for copy, original in zip(node.arrays, inputs, strict=False):
            self._also(copy, raw(original))
        self._also(tuple(node.params.values()), tuple(params.values()) if node.params else ())

    def called(self, function: Any, arguments: tuple[Any, ...], results: Any, writes: tuple[Any, ...]) -> None:
        """A function of bare arrays that is no primitive ran: a draw, a check, an update."""
        if function is setattr:  # the gradient of a leaf was set to None, or to something else
            self._cleared.add(arguments[0])
            return
        if function is np.array and not self._known(arguments[0]):  # a new tensor of what Python holds
            return
        outputs = () if results is None else results if isinstance(results, tuple) else (results,)
        if isinstance(function, Update):
            self._update(function.optimizer, arguments, writes)
            return
        name = getattr(function, "__qualname__", type(function).__name__).replace("._", ".").lstrip("_")
        self._write_down("noted", name, function, arguments, {}, outputs, writes=writes, line=source_line())

    def _known(self, x: Any) -> bool:
        return isinstance(x, np.ndarray) and id(x) in self._values

    def _update(self, optimizer: Any, slopes: tuple[Any, ...], given: tuple[Any, ...]) -> None:
        """An optimizer took a step along the gradients as they stand."""
        kind = type(optimizer)
        if not kind.step.__module__.startswith(f"{__package__.partition('.')[0]}."):
            raise NotReplayable(
                f"{kind.__name__} has a step() of its own, whose Python a replay would not run; change rates between "
                "the calls of the step, or override the optimizer's _update"
            )
        for leaf in given:
            self._own(leaf, "the optimizer's step uses")
        at = {"writes": given, "line": source_line()}
        self._write_down("update", f"{kind.__name__}.step", optimizer, slopes, {}, [], **at)

    def read(self, node: Node, what: str) -> None:
        """Python wants to look at a value."""
        self.refuse(f"{what} of {describe(node)} was read")

    def refuse(self, what: str) -> None:
        """Say that a step cannot be replayed because Python looks at a value."""
        file, line = source_line()
        raise NotReplayable(
            f"{what} at line {line} of {file} while the step was being recorded. A replay runs no Python, so whatever "
            "is decided or computed from it would stay as it was: return the tensor and look at it outside, choose "
            "with mg.where, or leave this step as it is, without mg.replay"
        )

    def entered(self, module: Any) -> None:
        """A module runs: what it holds is watched between replays."""
        vars(module).setdefault("training", module.training)  # so that train() and eval() add no attribute
        self.modules.setdefault(module, dict(vars(module)))

    def walking(self, y: Node, targets: Any, graph: bool) -> None:
        """A backward pass begins: before it, what is to be fused takes the place of what it was composed of."""
        if graph:
            raise NotReplayable("a step with create_graph=True cannot be replayed: run it as it is")
        if self._renewal is not None:
            pairs = self._renewal(y, set(targets or ()))
            self._replaced.update({self._value(old): self._value(new) for old, new in pairs})

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        """The rules of an op sent gradients; those that a kernel or a user's rule gave at once were not seen yet."""
        if all(id(d._array) in self._values for _, d in gradients):
            return
        op: Any = node.op
        pull = Pull(op, len(node.saved or ()), tuple([k for k, _ in gradients]))
        inputs = (g, node, *(node.saved or ()), *node.given)
        given = {"op": op, "line": getattr(node, "_line", None)}
        arrays = [d._array for _, d in gradients]
        self._write_down("rule", f"{op.name} backward", pull, inputs, node.params, arrays, **given)

    def _own(self, leaf: Node, what: str) -> None:
        if not self._known(raw(leaf._grad)):
            self._refuse_older(leaf, what)

    def _refuse_older(self, leaf: Node, what: str) -> None:
        raise NotReplayable(
            f"{what} the gradient of {describe(leaf)} that was there before the step began, and a replay could "
            "not know it: call zero_grad() inside the step"
        )

    # the end ------------------------------------------------------------------------------------------------

    def finish(self, returned: Any) -> Program:
        """The program of what was recorded, and of what the step returned and left behind."""
        left = {x: x._grad for x, was in self._before.items() if x.op is None and getattr(x, "_grad", None) is not was}
        for leaf in left:
            if self._before[leaf] is not None and leaf not in self._cleared:
                self._refuse_older(leaf, "this step adds to")
        gradients = {leaf: self._value(grad) for leaf, grad in left.items() if grad is not None}
        template = self._value_of_result(returned)
        emptied = {leaf for leaf in gradients if leaf not in self._cleared}
        return Program(self.instructions, self.inputs, template, gradients, emptied, self._replaced)

    def changed(self) -> str:
        """An attribute of a module that changed while the step ran, in words; empty if there is none."""
        for module, before in self.modules.items():
            for name, value in vars(module).items():
                if name not in before or before[name] is not value:
                    return f"{type(module).__name__}.{name}"
        return ""

    def settle(self) -> None:
        """Gradients left behind become arrays of their own, as after any backward()."""
        for leaf, was in self._before.items():
            left = getattr(leaf, "_grad", None)
            if left is not None and left is not was:
                leaf._grad = leaf._leaf(left._array.copy())

    def _value_of_result(self, x: Any) -> Any:
        if isinstance(x, (Node, np.ndarray)):
            return self._value(x)
        if isinstance(x, (tuple, list)):
            parts = [self._value_of_result(part) for part in x]
            return parts if isinstance(x, list) else type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
        if isinstance(x, dict):
            return {key: self._value_of_result(part) for key, part in x.items()}
        if x is None or isinstance(x, (bool, int, float, str)):
            return x
        raise NotReplayable(
            f"a step returns Tensors, numbers, or tuples, lists and dicts of them, got {type(x).__name__}"
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
