"""Recording a step: what is told of every primitive, gradient, random draw and update writes down a Program.

The step runs as it always does, on its real values; the recorder only listens (`context.recorder`). Rules are run on
Tensors without a graph, so that what they compute is recorded step by step like the forward; those that look at
values to decide what to do, and those of primitives with kernels of their own, are recorded whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ..core.context import current, no_grad, source_line, switched
from ..core.gradients import _apply as pulled
from ..core.gradients import consumers_first, cotangent_for, unbroadcast
from ..core.nodes import Node, Primitive, describe, next_number, raw
from ..core.versions import refuse_stale
from ..ops import astype
from .program import Array, Instruction, Program, Value

# rules that look at values, and those whose result has another layout as an array than as a Tensor
WHOLE = frozenset(("max", "maximum", "mean", "min", "minimum", "prod", "sum"))


class NotReplayable(TypeError):
    """What a step does that cannot be recorded once and run again; the message says what and what to do."""


Renewal: TypeAlias = Callable[[Node, "set[Node]"], "tuple[dict[Node, Node], list[tuple[Node, Node]]]"]


class Recorder:
    """Listens to one run of a step; `finish` gives the Program."""

    def __init__(self, renewal: Renewal | None = None) -> None:
        self.instructions: list[Instruction] = []
        self.inputs: list[Value] = []
        self._values: dict[int, Value] = {}  # by id of the array
        self._alive: list[Array] = []  # so that no id is used twice
        self._emptied: set[Node] = set()
        self._cleared: set[Node] = set()
        self._touched: dict[Node, None] = {}
        self._backward = False
        self._begin = next_number()
        self._renewal = renewal
        self._replaced: dict[Value, Value] = {}
        self.modules: dict[Any, dict[str, Any]] = {}  # with their attributes when they ran first

    # values -------------------------------------------------------------------------------------------------

    def knows(self, array: Array) -> bool:
        """Whether an array is a value of the program, so that whoever keeps it need not copy it."""
        return id(array) in self._values

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
            # made inside the step: a constant of Python; else the tensor itself, whatever it will hold
            return (
                self._new("constant", x._array) if x.number > self._begin else self._new("tensor", x._array, x, x.name)
            )
        if isinstance(x, np.ndarray):
            return self._values.get(id(x)) or self._new("constant", x)
        if isinstance(x, tuple):
            return type(x)(*map(self._value, x)) if hasattr(x, "_fields") else tuple([self._value(p) for p in x])
        return x

    def _write_down(
        self, kind: str, name: str, function: Any, inputs: Any, params: dict[str, Any], outputs: Any, **more: Any
    ) -> None:
        # what is noted gets a tensor as it is: to write to
        taken = tuple([x if kind == "noted" and isinstance(x, Node) else self._value(x) for x in inputs])
        named = {key: self._value(x) for key, x in params.items()}
        made = tuple([self._new("made", array) for array in outputs])
        scope = current.context.scope
        path = scope.path if scope is not None else ()
        self.instructions.append(
            Instruction(kind, name, function, taken, named, made, backward=self._backward, scope=path, **more)
        )

    # what the engine tells ----------------------------------------------------------------------------------

    def made(self, out: Node, op: Primitive, inputs: tuple[Any, ...], params: dict[str, Any], saved: Any) -> None:
        """A primitive gave `out`."""
        if saved is None and any(out._array is raw(x) for x in inputs):  # the value that it was given: nothing to do
            return
        results = (out._array, *(saved or ()))
        line = getattr(out, "_line", None)
        self._write_down("op", op.name, op.kernel, inputs, params, results, op=op, line=line)

    def noted(self, function: Callable[..., Any], args: tuple[Any, ...], writes: tuple[Node, ...]) -> Any:
        """Run a function of bare arrays that is no primitive, now and in every replay."""
        with switched(lambda context: context._replace(recorder=None, lines=False)):
            result = function(*args)
        several = isinstance(result, tuple)
        outputs = [] if result is None else [np.asarray(r) for r in (result if several else (result,))]
        name = getattr(function, "__qualname__", type(function).__name__).replace("._", ".").lstrip("_")
        self._write_down("noted", name, function, args, {}, outputs, writes=writes, line=source_line())
        return None if result is None else tuple(outputs) if several else outputs[0]

    def updated(self, optimizer: Any) -> None:
        """An optimizer is about to take a step along the gradients as they stand."""
        kind = type(optimizer)
        if not kind.step.__module__.startswith(f"{__package__.partition('.')[0]}."):
            raise NotReplayable(
                f"{kind.__name__} has a step() of its own, whose Python a replay would not run; change rates between "
                "the calls of the step, or override the optimizer's _update"
            )
        params = [p for group in optimizer.groups for p in group["params"]]
        given = [p for p in params if p.grad is not None]
        slopes = []
        for p in given:
            self._own(p, "the optimizer's step uses")
            slopes.append(p._grad)
        name = f"{type(optimizer).__name__}.step"
        at = {"writes": tuple(given), "line": source_line()}
        self._write_down("update", name, optimizer, slopes, {}, [], **at)

    def refuse(self, what: str) -> None:
        """Python wants to look at a value."""
        file, line = source_line()
        raise NotReplayable(
            f"{what} at line {line} of {file} while the step was being recorded. A replay runs no Python, so whatever "
            "is decided or computed from it would stay as it was: return the tensor and look at it outside, choose "
            "with mg.where, or leave this step as it is, without mg.replay"
        )

    def saw(self, module: Any) -> None:
        """A module ran: what it holds is watched between replays."""
        vars(module).setdefault("training", module.training)  # so that train() and eval() add no attribute
        self.modules.setdefault(module, dict(vars(module)))

    def cleared(self, leaf: Node) -> None:
        """The gradient of a leaf was set to None, or to something else."""
        self._cleared.add(leaf)
        self._touched[leaf] = None

    # gradients ----------------------------------------------------------------------------------------------

    def backward(self, y: Any, gradient: Any, keep: Iterable[Node], create_graph: bool) -> None:
        """`Tensor.backward` while a step is recorded."""
        for leaf, d in self.walk(y, gradient, keep, create_graph).items():
            before = leaf.grad  # type: ignore[attr-defined]
            if before is None:
                if leaf not in self._cleared:
                    self._emptied.add(leaf)
                leaf._grad = d
            else:
                self._own(leaf, "this step adds to")
                with no_grad():
                    leaf._grad = before + d
            self._touched[leaf] = None

    def gradients(self, y: Any, xs: list[Any], gradient: Any, create_graph: bool, single: bool) -> Any:
        """`mg.grad` while a step is recorded."""
        found = self.walk(y, gradient, xs, create_graph)
        results = [x._leaf(found[x]._array if x in found else np.zeros_like(x._array)) for x in xs]
        return results[0] if single else tuple(results)

    def walk(self, y: Any, gradient: Any, keep: Iterable[Node], create_graph: bool) -> dict[Node, Any]:
        """`backward.walk` with rules that run on Tensors, but record no graph."""
        if create_graph:
            raise NotReplayable("a step with create_graph=True cannot be replayed: run it as it is")
        start = cotangent_for(y, gradient)
        if isinstance(gradient, Node) and start is not gradient:  # in another dtype: recorded, for it may change
            with no_grad():
                start = astype(gradient, dtype=y._array.dtype)
        renewed: dict[Node, Node] = {}
        if self._renewal is not None:
            renewed, pairs = self._renewal(y, set(keep))
            y = renewed.get(y, y)
            self._replaced.update({self._value(old): self._value(new) for old, new in pairs})
        order = consumers_first(y)
        if order:
            refuse_stale(order, graph=False)
        wanted = {renewed.get(x, x): x for x in keep if x.op is not None}
        kept: dict[Node, Any] = {}
        grads: dict[Node, Any] = {y: start}
        self._backward = True
        try:
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"), no_grad():
                for node in order:
                    g = grads.pop(node, None)
                    if g is None:
                        continue
                    if node in wanted:
                        kept[wanted[node]] = g
                    scope = node.context.scope
                    with switched(lambda context, scope=scope: context._replace(scope=scope)):  # type: ignore[misc]
                        for k, d in self._pulled(node, g):
                            x = node.inputs[k]
                            d = self._fitted(d, x, node)
                            grads[x] = grads[x] + d if x in grads else d
        finally:
            self._backward = False
        return grads | kept

    def _pulled(self, node: Node, g: Node) -> list[tuple[int, Any]]:
        """What the rules of one op send to its inputs, as (position, Tensor)."""
        op: Primitive = node.op  # type: ignore[assignment]
        wanted = tuple([k for k, x in enumerate(node.inputs) if isinstance(x, Node) and x._needs])
        if op.joint is None and op.own and op.name not in WHOLE:
            rules = [op.rules[0] if op.variadic else op.rules[k] for k in wanted]
            place = [{"position": k} if op.variadic else {} for k in wanted]
            return [
                (k, rule(g, node, *node.inputs, **more, **node.params))
                for k, rule, more in zip(wanted, rules, place, strict=True)
                if rule is not None
            ]
        pull = Pull(op, len(node.saved or ()), wanted)
        inputs = (g, node, *(node.saved or ()), *node.inputs)
        steps = pull.steps(*[raw(x) for x in inputs], **node.params)
        pull = replace(pull, given=tuple([k for k, _ in steps]))
        arrays = [np.asarray(d) for _, d in steps]
        given = {"op": op, "line": getattr(node, "_line", None)}
        self._write_down("rule", f"{op.name} backward", pull, inputs, node.params, arrays, **given)
        return [(k, node._leaf(a)) for k, a in zip(pull.given, arrays, strict=True)]

    def _fitted(self, d: Any, x: Node, node: Node) -> Node:
        """A contribution in the shape and dtype of the input that it belongs to, summed as the walk on arrays does."""
        array: Array = raw(d)
        if array.shape == x._array.shape and array.dtype == x._array.dtype:
            return d if isinstance(d, Node) else node._leaf(array)
        fit = Fit(node.op.name, x._array.shape, x._array.dtype)  # type: ignore[union-attr]
        result = np.asarray(fit(array))
        self._write_down("rule", "unbroadcast", fit, (d,), {}, [result])
        return node._leaf(result)

    def _own(self, leaf: Node, what: str) -> None:
        if not self.knows(leaf._grad._array):
            raise NotReplayable(
                f"{what} the gradient of {describe(leaf)} that was there before the step began, and a replay could "
                "not know it: call zero_grad() inside the step"
            )

    # the end ------------------------------------------------------------------------------------------------

    def finish(self, returned: Any) -> Program:
        """The program of what was recorded, and of what the step returned and left behind."""
        left = {leaf: leaf.grad for leaf in self._touched}  # type: ignore[attr-defined]
        gradients = {leaf: self._value(grad) for leaf, grad in left.items() if grad is not None and leaf.op is None}
        template = self._value_of_result(returned)
        emptied = {leaf for leaf in self._emptied if leaf.op is None}
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
        for leaf in self._touched:
            left = leaf.grad  # type: ignore[attr-defined]
            if left is not None:
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
class Fit:
    """A gradient summed down to a shape, in a dtype."""

    who: str
    shape: tuple[int, ...]
    dtype: Any

    def __call__(self, d: Array) -> Any:
        return unbroadcast(d, self.shape, self.who).astype(self.dtype, copy=False)


@dataclass(frozen=True)
class Pull:
    """The rule of one op as a whole, on bare arrays: (g, out, *saved, *inputs) -> gradients of the inputs `given`."""

    op: Primitive
    saved: int
    wanted: tuple[int, ...]
    given: tuple[int, ...] = ()

    def steps(self, g: Array, out: Array, *rest: Any, **params: Any) -> list[tuple[int, Any]]:
        """As (position, gradient), for those that have one."""
        saved, inputs = rest[: self.saved] or None, rest[self.saved :]
        return pulled(self.op, g, out, inputs, saved, params, list(self.wanted))

    def __call__(self, g: Array, out: Array, *rest: Any, **params: Any) -> tuple[Any, ...]:
        return tuple([d for _, d in self.steps(g, out, *rest, **params)])
