"""One step for arguments of one kind and one state of what is around it: recorded twice, replayed, proved at times."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from ..anomalies import Lines
from ..core.context import current, enter, using
from ..core.nodes import Node, describe, kernel, raw
from ..core.tensor import Tensor
from ..program import Instruction, Value
from ..program.passes import with_plain_powers, without_dead_code, without_repeats
from ..program.program import Array, substitute
from ..program.recording import parameter_names
from .compiled.bound import CompiledBound
from .fusion import with_fusions
from .guards import Guards, Surroundings
from .lowering import Bound
from .program import StepProgram, difference
from .recorder import NotReplayable, StepRecorder
from .state import State

PASSES: dict[str, Callable[[Any], Any]] = {
    "fusion": with_fusions,
    "powers": with_plain_powers,
    "dead code": without_dead_code,
    "common subexpressions": without_repeats,
}
LARGE = 1 << 24  # bytes of buffers that a proof empties while the step itself runs
ROUNDING = 8  # eps of an array's maximum that compiled code may be away from NumPy's,
SHAKEN = 64  # or so many times what NumPy's result moves when what every operation gives is moved by one eps,
SHAKES = 3  # at most in so many tries


class Entry:
    """Two recordings, then a program with memory.

    calls       of the step through this entry
    next_proof  at this one the step itself is taken, and compared with what the program makes of the same
    """

    guards: Guards

    def __init__(self, step: Callable[..., Any], fuse: tuple[str, ...], compile: bool = False) -> None:
        self.step, self.fuse, self.compile = step, fuse, compile
        self.runs = self.calls = self.nbytes = 0
        self.next_proof = 4
        self.modules: tuple[Any, ...] = ()
        self.objects: list[Any] = []  # among the arguments
        self.first: StepProgram | None = None
        self.bound: Bound | None = None
        self.stages: dict[str, StepProgram] = {}
        self.name = getattr(step, "__name__", "the step")

    def record(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Iterable[Any]]:
        """Run the step and record it, the second time compare, and bind: what it returned, the modules that ran."""
        self.calls += 1
        self.objects = [x for x in (*args, *named.values()) if not isinstance(x, (Node, np.ndarray))]
        around = None if self.first is None else Surroundings(self.step, self.modules, self.objects)
        program, returned, recorder = self._recorded(args, named, around)
        self.modules = tuple(recorder.modules)
        if self.first is None:
            self.first = program
        else:
            recorder.refuse_changes()
            self._refuse_difference(self.first, program)
            self.first, self.stages = None, {"recorded": program}
            for stage, change in PASSES.items():
                self.stages[stage] = program = change(program)
            self._bind()
        self.guards = Guards(program, self.step, self.modules, self.objects)
        return returned, recorder.modules

    def _bind(self) -> None:
        program = self.stages["common subexpressions"]
        self.bound = CompiledBound(program) if self.compile else Bound(program)
        self.nbytes = self.bound.nbytes

    def _recorded(self, args: Any, named: Any, around: Surroundings | None) -> tuple[StepProgram, Any, StepRecorder]:
        recorder, before = StepRecorder(self.fuse, around), current()
        names = parameter_names(self.step, len(args))
        given = [recorder.given(x, name) for x, name in zip(args, names, strict=True)]
        given_named = {name: recorder.given(x, name) for name, x in named.items()}
        try:
            with using(Lines(), recorder):
                program = recorder.finish(self.step(*given, **given_named))
        finally:
            enter(before)  # Ctrl-C may have come while a context was being left: nobody must listen for ever
            recorder.settle()
            if kernel("release"):  # what the step itself used, and the program does not need
                kernel("release")()
        returned = results(program.template, recorder.real.__getitem__, copy=True)
        return program, returned, recorder

    def _refuse_difference(self, before: StepProgram, program: StepProgram, followed: bool = False) -> None:
        different = difference(before, program, followed)
        if different:
            raise NotReplayable(
                f"two runs of {self.name} were not the same program: {different}. What Python computes is computed "
                "once, at recording; pass what changes as an argument, an array"
            )

    def prove(self, args: tuple[Any, ...], named: dict[str, Any], copy: bool) -> Any:
        """Run the program, undo what it did, take the step itself, and compare. What the step did stands."""
        self._refuse_gradients()
        args, named = tuple(map(self._apart, args)), {name: self._apart(x) for name, x in named.items()}
        program = self.stages["common subexpressions"]
        before = State(program, self.guards.around.generators.values())
        try:
            self.run((*args, *named.values()), copy=False)
            ours = [self._of(value).copy() for value in self._program().wanted()]
            after = before.again()
        except Exception:  # the step itself will say why
            ours, after = [], None
        finally:
            before.restore()
        bound: Any = self.bound
        if self.nbytes >= LARGE:  # the step needs as much memory as the program
            bound.empty()
        around = Surroundings(self.step, self.modules, self.objects)
        recorded, returned, recorder = self._recorded(args, named, around)
        recorder.refuse_changes()
        self._refuse_difference(self.stages["recorded"], recorded, followed=True)
        if after is None:
            raise NotReplayable(f"a replay of {self.name} raises an error, where the step itself does not")
        makers = {value: i for i in program.instructions for value in i.outputs}
        theirs = [recorder.real[value] for value in recorded.wanted()]
        names = [f"{value.label}, the result of {_named(makers.get(value))}" for value in program.wanted()]
        pairs = [*zip(names, ours, theirs, strict=True), *after.compared(before.again())]
        wrong = [k for k, (_, a, b) in enumerate(pairs) if not self._agree(a, b)]
        if wrong and self.compile and all(pairs[k][2].dtype.kind == "f" for k in wrong):
            wrong = self._beyond_rounding(wrong, pairs, before, [raw(x) for x in (*args, *named.values())])
        if wrong:
            raise NotReplayable(
                f"call {self.calls} of {self.name} was taken itself, and a replay of it gave something else: "
                f"{pairs[wrong[0]][0]}. The step depends on something that nobody can see change; pass it as an array, "
                "or do not replay this step"
            )
        return returned if copy else results(self._program().template, bound.array_of, copy=False)

    def _apart(self, x: Any) -> Any:
        """An argument; a copy where it lies in memory of the program, which overwrites it before the step is taken."""
        a, bound = raw(x), self.bound
        return a.copy() if isinstance(a, np.ndarray) and bound is not None and bound.shares(a) else x

    def _agree(self, a: Array, b: Array) -> bool:
        if a.shape == b.shape and a.tobytes() == b.tobytes():
            return True
        if a.shape != b.shape or a.dtype != b.dtype or a.dtype.kind != "f":
            return False
        finite = np.isfinite(b)
        if not finite.all():  # a step that overflows does so in both
            if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
                return False
            a, b = a[finite], b[finite]
        largest = np.abs(b).max(initial=0)
        if self.fuse and np.allclose(a, b, rtol=1e-3, atol=1e-3 * largest):
            return True  # fusion changes rounding
        near = ROUNDING * np.finfo(a.dtype).eps * largest
        return self.compile and bool(np.allclose(a, b, rtol=0, atol=near, equal_nan=True))

    def _beyond_rounding(self, wrong: list[int], pairs: list[Any], before: State, args: list[Any]) -> list[int]:
        """Which of these pairs differ by more than rounding explains: by more than NumPy's own result moves when half
        of what every operation gives is moved by one eps, in some tries.

        A difference of nearly equal numbers, or what is divided by its own size (Adam), may differ by more than a few
        eps of its maximum, and nobody could say which is right.
        """
        compiled: Any = self.bound
        stands, bound = before.again(), Bound(compiled.written_out)
        wanted = list(bound.program.wanted())
        try:
            for turn in range(SHAKES):
                before.restore()
                bound.run_shaken([x for x in args if isinstance(x, np.ndarray)], turn)
                written = [a for _, a, _ in before.again().compared(before)] if wrong[-1] >= len(wanted) else []
                moved = [*map(bound.array_of, wanted), *written]
                wrong = [k for k in wrong if not _within(pairs[k][1], pairs[k][2], moved[k])]
                if not wrong:
                    break
        finally:
            stands.restore()
        return wrong

    def _program(self) -> StepProgram:
        bound: Any = self.bound
        program: StepProgram = bound.program
        return program

    def _of(self, value: Value) -> Array:
        bound: Any = self.bound
        array: Array = bound.array_of(value)
        return array

    def _refuse_gradients(self) -> None:
        bound: Any = self.bound
        for leaf in bound.program.emptied:
            if getattr(leaf, "_grad", None) is not None:
                raise NotReplayable(
                    f"{describe(leaf)} has a gradient from before, which this step was recorded without and would add "
                    "to; call zero_grad() inside the step"
                )

    def run(self, arguments: Iterable[Any], copy: bool) -> Any:
        """The program on these arguments."""
        if self.bound is not None and self.bound.outdated:
            self._bind()
        bound: Any = self.bound
        self.runs += 1
        self._refuse_gradients()
        bound.drop()
        try:
            bound.run([raw(x) for x in arguments if isinstance(x, (Node, np.ndarray))])
        except BaseException:
            for leaf in bound.program.gradients:
                leaf.source._grad = None
            raise
        bound.leave()
        return results(bound.program.template, bound.array_of, copy, bound.handed_over)


def results(template: Any, array_of: Callable[[Value], Array], copy: bool, kept: Collection[Value] = ()) -> Any:
    """What a step returns: Tensors without a graph, with `copy` in memory of their own; what is `kept` has its own."""

    def made(value: Value) -> Tensor:
        array = array_of(value)
        tensor: Tensor = Tensor._leaf(array.copy() if copy and value not in kept else array)
        return tensor

    return made(template) if isinstance(template, Value) else substitute(template, made)  # nearly always one


def _within(a: Array, b: Array, moved: Array) -> bool:
    """Whether a is as near to b as rounding says, taken over the whole array: single numbers may be very sensitive."""
    finite = np.isfinite(b)
    if not finite.all():
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return False
        a, b, moved = a[finite], b[finite], moved[finite]
    near = ROUNDING * np.finfo(b.dtype).eps * np.abs(b).max(initial=0) * b.size**0.5
    bound = near + SHAKEN * np.linalg.norm(np.subtract(moved, b, dtype=float))
    return bool(np.linalg.norm(np.subtract(a, b, dtype=float)) <= bound)


def _named(maker: Instruction | None) -> str:
    return "nothing" if maker is None else f"{maker.name}{f' (line {maker.line[1]})' if maker.line else ''}"
