"""`replay`: a step that is recorded twice, compared, and from then on run without building a Tensor."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np

from ..anomalies import Lines
from ..core.context import current, using
from ..core.nodes import Node, describe, raw
from ..core.tensor import Tensor
from ..program import Value
from ..program.passes import without_dead_code, without_repeats
from ..program.program import Array, substitute
from ..program.recording import parameter_names
from .fusion import chosen, with_fusions
from .guards import Guards
from .lowering import Bound, Listed
from .program import StepProgram, difference
from .recorder import NotReplayable, StepRecorder

R = TypeVar("R")  # arguments are not typed alike: an array that a step is given is a Tensor inside
MOST = 16  # programs that one step keeps: one for each set of shapes, dtypes and modes
TRIES = 16  # recordings in a row that were hardly ever replayed, after which the step is refused
PASSES: dict[str, Callable[[Any], Any]] = {
    "fusion": with_fusions,
    "dead code": without_dead_code,
    "common subexpressions": without_repeats,
}


@overload
def replay(step: Callable[..., R], *, fuse: Sequence[str] | bool = (), copy: bool = True) -> Replayed[R]: ...
@overload
def replay(
    step: None = None, *, fuse: Sequence[str] | bool = (), copy: bool = True
) -> Callable[[Callable[..., R]], Replayed[R]]: ...
def replay(step: Callable[..., Any] | None = None, *, fuse: Sequence[str] | bool = (), copy: bool = True) -> Any:
    """The same function, faster: recorded once as a flat program over arrays that are there already, then run again.

    step    a function of arrays that does one training step (forward, backward, update) or any part of it, and
            returns Tensors. Models, optimizers and parameters are taken from around it
    fuse    rewriting that changes rounding, by name: "batch_norm", "layer_norm", "softmax_cross_entropy"; True for
            all. Composed graphs become the fused primitive, each replacement proved by `check.compare`
    copy    False: what is returned lies in memory that the next call overwrites

    The first two calls run the step as it is and record it; the recordings must say the same. Later calls give the
    same bits as the step itself (with fuse=, to rounding). Running statistics, dropout, learning rates that a
    schedule changes and every check of the data work as they do without. Other shapes, dtypes or modes, a parameter,
    a module, a variable or an attribute around the step that was replaced: recorded anew (docs/replay.md says how far
    that reaches). Inside the step arguments are Tensors. What is returned has no graph. The `.grad` that a step leaves
    is there too.

    NotReplayable (a TypeError) for what cannot be recorded: Python that looks at values (`if loss < 1`, `.item()`),
    gradients carried from one call to the next, create_graph=True, constants that differ between the two recordings.

    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> sgd = mg.optim.SGD([w], lr=0.1)
    >>> @mg.replay
    ... def step(x):
    ...     loss = ((w - x) ** 2).sum()
    ...     sgd.zero_grad()
    ...     loss.backward()
    ...     sgd.step()
    ...     return loss
    >>> [round(step(np.array([3.0, 3.0])).item(), 4) for _ in range(4)]
    [5.0, 3.2, 2.048, 1.3107]
    >>> step.replays
    2
    """
    if step is None:
        return lambda function: Replayed(function, fuse, copy)
    return Replayed(step, fuse, copy)


class Replayed(Generic[R]):
    """A step that replays itself. `replays` counts, `program` is what ran last, `print(step.program)` shows it."""

    def __init__(self, step: Callable[..., R], fuse: Sequence[str] | bool = (), copy: bool = True) -> None:
        if not callable(step):
            raise TypeError(f"replay takes a function, got {type(step).__name__}")
        self._step, self._copy, self._fuse = step, copy, chosen(fuse)
        self._entries: dict[Any, Entry] = {}
        self._modules: dict[Any, None] = {}
        self._refusal: str | None = None
        self.replays = self.recordings = 0
        self._latest: tuple[Any, Entry | None] = None, None  # what ran last: to compare keys is quicker than to look up
        self.__name__, self.__doc__ = getattr(step, "__name__", "step"), step.__doc__
        self.__wrapped__ = step

    def __call__(self, *args: Any, **named: Any) -> R:
        """One step."""
        context = current()
        if context.observers:  # part of a larger recording; or looked at
            return self._step(*args, **named)
        if self._refusal is not None:
            raise NotReplayable(self._refusal)
        kind = (_signature(args, named), context.recording, context.frozen, threading.get_ident())
        key = (*kind, self._modes())
        known, last = self._latest  # read at once: other threads set it, too
        entry = last if known == key else self._entries.get(key)
        if entry is not None and entry.bound is not None:
            entry.changed = entry.guards.broken()
            if not entry.changed:
                self._latest = key, entry
                self.replays += 1
                result: R = entry.run((*args, *named.values()), self._copy)
                return result
        # new, or what it was recorded with has been replaced
        before = self._entries.pop(key, None)
        entry = before if before is not None and before.bound is None else Entry(self._step, self._fuse, before)
        self.recordings += 1
        try:
            result, modules = entry.record(args, named)
        except NotReplayable as error:
            self._refusal = f"{error} (found in an earlier call; this one did nothing)"
            raise
        self._modules |= dict.fromkeys(modules)
        key = (*kind, self._modes())
        self._entries[key] = entry
        self._latest = key, entry
        while len(self._entries) > MOST:
            self._entries.pop(next(iter(self._entries)))
        return result

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Replayed[R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method of a class: the instance is the first argument."""
        return self if instance is None else types.MethodType(self, instance)

    def _modes(self) -> tuple[bool, ...]:
        """Training or not, of every module that ran: a program for each."""
        return tuple([module.training for module in self._modules])

    @property
    def stages(self) -> dict[str, StepProgram]:
        """The program as recorded, and after each pass, by name."""
        return self._entry().stages

    def _entry(self) -> Entry:
        entry = self._latest[1]
        if entry is None or entry.bound is None:
            raise RuntimeError("nothing has been recorded yet: the program is there after two calls of one kind")
        return entry

    @property
    def program(self) -> Listed:
        """The program that ran last: printed as a listing with its memory, drawn with `mg.draw(step.program)`."""
        bound: Any = self._entry().bound
        return Listed(bound)


class Entry:
    """One step for arguments of one kind: two recordings, then a program with memory."""

    def __init__(self, step: Callable[..., Any], fuse: tuple[str, ...], before: Entry | None) -> None:
        self.step, self.fuse, self.runs = step, fuse, 0
        # how often it was recorded in a row for hardly anything, and what had changed
        self.stale: int = before.stale + 1 if before is not None and before.runs < TRIES else 0
        self.changed: str = before.changed if before is not None else ""
        self.objects: list[Any] = []  # among the arguments
        self.first: StepProgram | None = None
        self.bound: Bound | None = None
        self.stages: dict[str, StepProgram] = {}

    def record(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Iterable[Any]]:
        """Run the step and record it, the second time compare, and bind: what it returned, the modules that ran."""
        name = getattr(self.step, "__name__", "the step")
        if self.stale >= TRIES:
            raise NotReplayable(
                f"{name} was recorded anew {TRIES} times because {self.changed} changes; pass what changes as an "
                "array, or keep it out of the step"
            )
        self.objects = [x for x in (*args, *named.values()) if not isinstance(x, (Node, np.ndarray))]
        recorder = StepRecorder(self.fuse)
        names = parameter_names(self.step, len(args))
        given = [recorder.given(x, name) for x, name in zip(args, names, strict=True)]
        given_named = {name: recorder.given(x, name) for name, x in named.items()}
        try:
            with using(Lines(), recorder):
                returned = self.step(*given, **given_named)
                program = recorder.finish(returned)
                template = program.template
        finally:
            recorder.settle()
        if self.first is None:
            self.first = program
        else:
            different = difference(self.first, program)
            if different:
                raise NotReplayable(
                    f"two runs of {name} were not the same program: {different}. What Python computes is computed "
                    "once, at recording; pass what changes as an argument, an array"
                )
            changed = recorder.changed()
            if changed:
                raise NotReplayable(f"the step changes {changed}, which a replay would not do; keep it in a Tensor")
            self.first, self.stages = None, {"recorded": program}
            for stage, change in PASSES.items():
                self.stages[stage] = program = change(program)
            self.bound = Bound(program)
            self.guards = Guards(program, self.step, recorder.modules, self.objects)
        return results(template, lambda value: value.array, copy=True), recorder.modules

    def run(self, arguments: Iterable[Any], copy: bool) -> Any:
        """The program on these arguments."""
        bound: Any = self.bound
        self.runs += 1
        for leaf in bound.program.emptied:
            if getattr(leaf, "_grad", None) is not None:
                raise NotReplayable(
                    f"{describe(leaf)} has a gradient from before, which this step was recorded without and would add "
                    "to; call zero_grad() inside the step"
                )
        try:
            bound.run([raw(x) for x in arguments if isinstance(x, (Node, np.ndarray))])
        except BaseException:
            for leaf in bound.program.gradients:
                leaf.source._grad = None
            raise
        for leaf, value in bound.program.gradients.items():  # looked at, it becomes a Tensor of its own
            leaf.source._grad = bound.array_of(value)
        return results(bound.program.template, bound.array_of, copy)


def results(template: Any, array_of: Callable[[Value], Array], copy: bool) -> Any:
    """What a step returns: Tensors without a graph."""
    return substitute(template, lambda v: Tensor._leaf(array_of(v).copy() if copy else array_of(v)))


def _signature(args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return tuple(map(_kind, args)), tuple([(name, _kind(x)) for name, x in named.items()]) if named else ()


def _kind(x: Any) -> Any:
    x = raw(x)
    if x.__class__ is np.ndarray:
        return x.shape, x.dtype, x.flags.c_contiguous or x.strides
    if x is None or isinstance(x, (bool, int, str)):
        return type(x), x
    if isinstance(x, float):
        return float, repr(x)  # 0.0 is not -0.0
    if isinstance(x, (list, tuple, dict, np.generic, np.ndarray)):
        raise TypeError(
            f"a replayed step takes arrays, Tensors, numbers and texts, got {type(x).__name__}; "
            "pass arrays one by one, and numbers that change as arrays of shape ()"
        )
    return "object", id(x)  # the entry keeps it alive
