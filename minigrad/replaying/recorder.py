"""Recording a step: what a program's Recorder writes down, and what a step does to tensors around it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._support.source_lines import source_line
from ..core.nodes import Node, Primitive, describe, raw
from ..core.tensor import Tensor
from ..optim.optimizers import Update
from ..program import NotRecordable, Value
from ..program.passes import VIEWS
from ..program.program import Array
from ..program.recording import Recorder
from .fusion import fuse_in_place
from .guards import Surroundings
from .pages import untouched
from .program import StepProgram

LARGE = 1 << 16  # bytes from which on only shape, dtype and layout of an array are kept


class NotReplayable(NotRecordable):
    """What a step does that cannot be recorded once and run again; the message says what and what to do."""


class StepRecorder(Recorder):
    """Listens to one run of a step; `finish` gives the program. `fuse` names the graphs that are to be fused."""

    refused = NotReplayable
    what, whoever = "a step", "the recording of a step"
    instead = (
        "return the tensor and look at it outside, choose with mg.where, or leave this step as it is, without mg.replay"
    )

    def __init__(self, fuse: Sequence[str] = (), around: Surroundings | None = None) -> None:
        super().__init__()
        self._around = around  # what is compared before and after
        self.modules: dict[Any, dict[str, Any]] = {}  # with their attributes when they ran first
        self._fuse = fuse
        self._replaced: dict[Value, Value] = {}
        self._before: dict[Node, Any] = {}  # tensors from outside, and their `.grad` when they were first used
        self._cleared: set[Node] = set()  # whose `.grad` the step itself has set
        self._watched: dict[int, Any] = {}  # weak references to large arrays, by id
        self.nodes, self._cotangents = weakref.WeakValueDictionary(), weakref.WeakValueDictionary()
        self.real: dict[Value, Array] = {}  # what the step returned and left behind

    def _new(self, kind: str, array: Array, source: Any = None, name: str | None = None) -> Value:
        value = super()._new(kind, array, source, name)
        if kind in ("made", "input") and array.nbytes >= LARGE:
            value.array = stand_in(array)
        return value

    def _known_as(self, array: Array, value: Value) -> None:
        """Large arrays are let go when the step does, so that a recording takes no more memory than the step."""
        if array.nbytes < LARGE:
            super()._known_as(array, value)
        else:
            self._values[id(array)] = value
            key, values = id(array), self._values
            self._watched[key] = weakref.ref(array, lambda _: (values.pop(key, None), self._watched.pop(key, None)))

    def constant(self, x: Array) -> Value:
        """An array that Python has: compared between the recordings, and read where it is in replays."""
        return self._new("constant", np.array(x), x)

    def given(self, x: Any, name: str) -> Any:
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
        self.argument(array, name)
        return Tensor._leaf(array)

    def outside(self, tensor: Node) -> None:
        """A tensor from around the step is used for the first time."""
        self._before.setdefault(tensor, getattr(tensor, "_grad", None))

    def template_of(self, x: Any) -> Any:
        """What the step returned, with a value for each array in it."""
        found = super().template_of(x)
        if isinstance(found, Value):
            self.real[found] = raw(x)
        return found

    def made(self, node: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        """A primitive gave a node; one of the user's may have drawn random numbers, and will again."""
        super().made(node, op, inputs, params)
        if node._array.nbytes >= LARGE and op.name in VIEWS and isinstance(inputs[0], Node):
            out, x = self._values[id(node._array)], self._values[id(inputs[0]._array)]
            if out is not x and np.may_share_memory(node._array, inputs[0]._array):
                out.array = op.kernel(x.array, **params)  # a view of its stand-in
        if self._around is not None and not op.builtin:
            self._around.look_at_generators()

    def called(self, function: Any, arguments: tuple[Any, ...], results: Any, writes: tuple[Any, ...]) -> None:
        """A function of bare arrays that is no primitive ran: a draw, a check, an update."""
        if self._around is not None:
            self._refuse_change(self._around.moved(function, arguments))
            self._around.settle(function)
        if function is setattr:  # the gradient of a leaf was set to None, or to something else
            self._cleared.add(arguments[0])
        elif isinstance(function, Update):
            self._updated(function.optimizer, arguments, writes)
        else:
            super().called(function, arguments, results, writes)

    def _updated(self, optimizer: Any, gradients: tuple[Any, ...], parameters: tuple[Any, ...]) -> None:
        """An optimizer took a step along the gradients as they stand."""
        kind = type(optimizer)
        if not kind.step.__module__.startswith(f"{__package__.partition('.')[0]}."):
            raise NotReplayable(
                f"{kind.__name__} has a step() of its own, whose Python a replay would not run; change rates between "
                "the calls of the step, or override the optimizer's _update"
            )
        for leaf in parameters:
            if not self.known(raw(leaf._grad)):
                self._refuse_older(leaf, "the optimizer's step uses")
        at = {"writes": parameters, "line": source_line()}
        self.add("update", f"{kind.__name__}.step", optimizer, gradients, {}, (), **at)

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
            self._replaced.update({self.value(old): self.value(new) for old, new in pairs})

    def _refuse_older(self, leaf: Node, what: str) -> None:
        raise NotReplayable(
            f"{what} the gradient of {describe(leaf)} that was there before the step began, and a replay could "
            "not know it: call zero_grad() inside the step"
        )

    def finish(self, returned: Any) -> StepProgram:
        """The program of what was recorded, and of what the step returned and left behind."""
        left = {x: x._grad for x, was in self._before.items() if x.op is None and getattr(x, "_grad", None) is not was}
        for leaf in left:
            if self._before[leaf] is not None and leaf not in self._cleared:
                self._refuse_older(leaf, "this step adds to")
        template = self.template_of(returned)
        gradients = {self.value(leaf): self.value(grad) for leaf, grad in left.items() if grad is not None}
        self.real |= {self.value(grad): raw(grad) for grad in left.values() if grad is not None}
        self.give_names(gradients)
        emptied = {leaf.source for leaf in gradients if leaf.source not in self._cleared}
        program = StepProgram(
            self.instructions, self.inputs, template, gradients, emptied=emptied, replaced=self._replaced
        )
        program.numbered()
        return program

    def refuse_changes(self) -> None:
        """Refuse a step that itself changes what stands around it."""
        assert self._around is not None
        self._refuse_change(self._around.moved() or self._around.changed(inside=True))
        for module, before in self.modules.items():
            for name, value in vars(module).items():
                if name not in before or before[name] is not value:
                    self._refuse_change(f"{type(module).__name__}.{name}")

    def _refuse_change(self, what: str) -> None:
        if what:
            raise NotReplayable(
                f"the step changes {what}, which a replay would not do: keep it in a Tensor, draw random numbers with "
                "mg.dropout or outside, or change it between the calls"
            )

    def settle(self) -> None:
        """Gradients left behind become arrays of their own, as after any backward()."""
        for leaf, was in self._before.items():
            left = getattr(leaf, "_grad", None)
            if left is not None and left is not was:
                leaf._grad = leaf._leaf(left._array.copy())


def stand_in(array: Array) -> Array:
    """An array of the same shape, dtype and layout in memory that is never touched and so takes none."""
    order = sorted(range(array.ndim), key=lambda k: (-abs(array.strides[k]), k))
    once = [1 if array.strides[k] == 0 else array.shape[k] for k in order]
    memory = untouched(math.prod(once) * array.itemsize)
    laid_out = np.ndarray(once, array.dtype, memory).transpose(np.argsort(order).astype(int))
    return np.broadcast_to(laid_out, array.shape)
