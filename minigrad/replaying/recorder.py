"""Recording a step: an observer that is told of every primitive, gradient, random draw and update writes a Program.

The step runs as it always does, on its real values. Rules run on Tensors without a graph, so that what they compute is
seen op by op like the forward; where a kernel or a user's rule stands for one, it is written down as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._support.arrays import mapped
from .._support.source_lines import source_line
from ..core.context import Observer, current
from ..core.gradients import fitted
from ..core.nodes import Node, Primitive, describe, next_number, raw
from ..core.tensor import Tensor
from ..optim.optimizers import Update
from .fusion import fuse_in_place
from .program import Array, Instruction, Program, Value


class NotReplayable(TypeError):
    """What a step does that cannot be recorded once and run again; the message says what and what to do."""


class Recorder(Observer):
    """Listens to one run of a step; `finish` gives the Program. `fuse` names the graphs that are to be fused."""

    rules = True

    def __init__(self, fuse: Sequence[str] = ()) -> None:
        self.instructions: list[Instruction] = []
        self.inputs: list[Value] = []
        self.modules: dict[Any, dict[str, Any]] = {}  # with their attributes when they ran first
        self._fuse = fuse
        self._replaced: dict[Value, Value] = {}
        self._values: dict[int, Value] = {}  # by id of the array
        self._alive: list[Array] = []  # so that no id is used twice
        self._before: dict[Node, Any] = {}  # tensors from outside, and their `.grad` when they were first used
        self._cleared: set[Node] = set()  # whose `.grad` the step itself has set
        self._begin = next_number()

    def argument(self, x: Any, name: str) -> Any:
        """What the step is given for an argument: for data a Tensor with memory of its own, else x itself."""
        if not isinstance(x, (Node, np.ndarray)):
            return x
        if isinstance(x, Node) and x._needs:
            raise TypeError(
                f"an argument of a replayed step is data, but {describe(x)} requires a gradient; let the step use it "
                "from around it, as it does with parameters"
            )
        array = np.array(raw(x))  # axes in the order that they have
        if array.dtype.kind not in "fiub":
            raise TypeError(f"a step takes arrays of real numbers, got dtype {array.dtype}")
        self.inputs.append(self._new("input", array, len(self.inputs), name))
        return Tensor._leaf(array)

    def varies(self, array: Array) -> bool:
        """Whether an array may hold something else in the next replay."""
        return self._known(array) and self._values[id(array)].kind != "constant"

    def _known(self, x: Any) -> bool:
        return isinstance(x, np.ndarray) and id(x) in self._values

    def _new(self, kind: str, array: Array, source: Any = None, name: str | None = None) -> Value:
        value = self._values[id(array)] = Value(len(self._alive), kind, array, source, name)
        self._alive.append(array)
        return value

    def _value(self, x: Any) -> Any:
        """What stands for x in an instruction: a Value for an array, anything else as it is."""
        array = raw(x)
        if not isinstance(array, np.ndarray):
            return x
        if id(array) in self._values:
            return self._values[id(array)]
        if not isinstance(x, Node):
            return self._new("constant", np.array(array))
        if x.number > self._begin:  # made inside the step: a constant of Python
            return self._new("constant", array)
        self._before.setdefault(x, getattr(x, "_grad", None))
        return self._new("tensor", array, x, x.name)  # itself, whatever it will hold

    def _copied(self, copy: Any, original: Any) -> None:
        """Have copies that a node keeps stand for what they were copied from."""
        if isinstance(copy, np.ndarray) and copy is not original and self._known(original):
            self._values[id(copy)] = self._values[id(original)]
            self._alive.append(copy)
        elif isinstance(copy, tuple) and isinstance(original, tuple):
            for part, other in zip(copy, original, strict=True):
                self._copied(part, other)

    def _emit(
        self, kind: str, name: str, function: Any, inputs: Any, params: dict[str, Any], outputs: Any, **more: Any
    ) -> None:
        # a callback gets Tensors as they are: to write to
        as_given = (Node, list) if kind == "callback" else ()
        taken = tuple([x if isinstance(x, as_given) else mapped(self._value, x) for x in inputs])
        params = mapped(self._value, params)
        made = tuple([self._new("made", array) for array in outputs])
        scope, backward = current().scope, current().cause is not None
        more |= {"backward": backward, "scope": () if scope is None else scope.path}
        self.instructions.append(Instruction(kind, name, function, taken, params, made, **more))

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """A primitive gave a node."""
        if any(node._array is raw(x) for x in inputs):  # the value that it was given: nothing to do
            return
        self._emit("op", op.name, op.kernel, inputs, params, (node._array, *(node.saved or ())), op=op, line=node.line)
        self._copied(node.arrays, tuple(map(raw, inputs)) if node.arrays else ())
        self._copied(tuple(node.params.values()), tuple(params.values()) if node.params else ())

    def called(self, function: Any, arguments: tuple[Any, ...], results: Any, writes: tuple[Any, ...]) -> None:
        """A function of bare arrays that is no primitive ran: a draw, a check, an update."""
        if function is setattr:  # the gradient of a leaf was set to None, or to something else
            self._cleared.add(arguments[0])
        elif isinstance(function, Update):
            self._updated(function.optimizer, arguments, writes)
        elif function is not np.array or self._known(arguments[0]):  # else: a new tensor of what Python holds
            outputs = () if results is None else results if isinstance(results, tuple) else (results,)
            name = getattr(function, "__qualname__", type(function).__name__).replace("._", ".").lstrip("_")
            self._emit("callback", name, function, arguments, {}, outputs, writes=writes, line=source_line())

    def _updated(self, optimizer: Any, gradients: tuple[Any, ...], parameters: tuple[Any, ...]) -> None:
        """An optimizer took a step along the gradients as they stand."""
        kind = type(optimizer)
        if not kind.step.__module__.startswith(f"{__package__.partition('.')[0]}."):
            raise NotReplayable(
                f"{kind.__name__} has a step() of its own, whose Python a replay would not run; change rates between "
                "the calls of the step, or override the optimizer's _update"
            )
        for leaf in parameters:
            if not self._known(raw(leaf._grad)):
                self._refuse_older(leaf, "the optimizer's step uses")
        at = {"writes": parameters, "line": source_line()}
        self._emit("update", f"{kind.__name__}.step", optimizer, gradients, {}, (), **at)

    def read(self, node: Node, what: str) -> None:
        """Python wants to look at a value: a step that does cannot be replayed."""
        file, line = source_line()
        raise NotReplayable(
            f"{what} of {describe(node)} was read at line {line} of {file} while the step was being recorded. A replay "
            "runs no Python, so whatever is decided or computed from it would stay as it was: return the tensor and "
            "look at it outside, choose with mg.where, or leave this step as it is, without mg.replay"
        )

    def entered(self, module: Any) -> None:
        """A module runs: what it holds is watched between replays."""
        vars(module).setdefault("training", module.training)  # so that train() and eval() add no attribute
        self.modules.setdefault(module, dict(vars(module)))

    def walking(self, y: Node, targets: Any, graph: bool) -> None:
        """A backward pass begins: before it, what is to be fused takes the place of what it was composed of."""
        if graph:
            raise NotReplayable("a step with create_graph=True cannot be replayed: run it as it is")
        if self._fuse:
            pairs = fuse_in_place(y, self._fuse, set(targets or ()))
            self._replaced.update({self._value(old): self._value(new) for old, new in pairs})

    def pulled(self, node: Node, g: Any, gradients: list[tuple[int, Any]]) -> None:
        """The rules of an op sent gradients; those that a kernel or a user's rule gave at once were not seen yet."""
        arrays = [d._array for _, d in gradients]
        if all(map(self._known, arrays)):
            return
        op: Any = node.op
        saved = node.saved or ()
        rule = Rule(op, len(saved), tuple([k for k, _ in gradients]))
        inputs = (g, node, *saved, *node.given)
        self._emit("rule", f"{op.name} backward", rule, inputs, node.params, arrays, op=op, line=node.line)

    def _refuse_older(self, leaf: Node, what: str) -> None:
        raise NotReplayable(
            f"{what} the gradient of {describe(leaf)} that was there before the step began, and a replay could "
            "not know it: call zero_grad() inside the step"
        )

    def finish(self, returned: Any) -> Program:
        """The program of what was recorded, and of what the step returned and left behind."""
        left = {x: x._grad for x, was in self._before.items() if x.op is None and getattr(x, "_grad", None) is not was}
        for leaf in left:
            if self._before[leaf] is not None and leaf not in self._cleared:
                self._refuse_older(leaf, "this step adds to")
        gradients = {leaf: self._value(grad) for leaf, grad in left.items() if grad is not None}
        template = mapped(self._result, returned)
        emptied = {leaf for leaf in gradients if leaf not in self._cleared}
        return Program(self.instructions, self.inputs, template, gradients, emptied, self._replaced)

    def _result(self, x: Any) -> Any:
        if x is None or isinstance(x, (bool, int, float, str, Node, np.ndarray)):
            return self._value(x)
        raise NotReplayable(
            f"a step returns Tensors, numbers, or tuples, lists and dicts of them, got {type(x).__name__}"
        )

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


@dataclass(frozen=True)
class Rule:
    """The rules of one op as a whole, on bare arrays: (g, out, *saved, *inputs) -> the gradients of some inputs."""

    op: Primitive
    saved: int
    wanted: tuple[int, ...]

    def __call__(self, g: Array, out: Array, *rest: Any, **params: Any) -> tuple[Any, ...]:
        saved, inputs = rest[: self.saved] or None, rest[self.saved :]
        found = dict(self.op.pull(g, out, saved, inputs, params, list(self.wanted)))
        return tuple([fitted(found[k], inputs[k], self.op) for k in self.wanted])
