"""`replay`: a step that is recorded twice, compared, and from then on run without building a Tensor."""

from __future__ import annotations

import threading
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast, overload

import numpy as np

from ..core.context import current
from ..core.nodes import raw
from ..nn.module import CHANGES
from .compiled.machine import refuse_without_compiler
from .entry import Entry
from .fusion import chosen
from .lowering import Listed
from .program import StepProgram
from .recorder import NotReplayable

R = TypeVar("R")  # arguments are not typed alike: an array that a step is given is a Tensor inside
MOST = 128  # programs that one step keeps: one for each set of shapes, dtypes, modes and surroundings
MEMORY = 1 << 28  # bytes of buffers that these may take together; one may always be larger
TRIES = 16  # recordings for one kind of arguments that were never replayed, after which the step is refused


@overload
def replay(
    step: Callable[..., R], *, fuse: Sequence[str] | bool = (), copy: bool = True, compile: bool = False
) -> Replayed[R]: ...
@overload
def replay(
    step: None = None, *, fuse: Sequence[str] | bool = (), copy: bool = True, compile: bool = False
) -> Callable[[Callable[..., R]], Replayed[R]]: ...
def replay(
    step: Callable[..., Any] | None = None,
    *,
    fuse: Sequence[str] | bool = (),
    copy: bool = True,
    compile: bool = False,
) -> Any:
    """The same function, faster: recorded once as a flat program over arrays that are there already, then run again.

    step    a function of arrays that does one training step (forward, backward, update) or any part of it, and
            returns Tensors. Models, optimizers and parameters are taken from around it
    fuse    rewriting that changes rounding, by name: "batch_norm", "layer_norm", "softmax_cross_entropy"; True for
            all. Composed graphs become the fused primitive, each replacement proved by `check.compare`
    copy    False: what is returned lies in memory that the next call overwrites
    compile True: machine code in the place of NumPy's calls, equal to rounding; needs the extra `fast`.
            `step.source()` shows it

    The first two calls run the step as it is and record it; the recordings must say the same. Later calls give the
    same bits as the step itself (with fuse= and compile=, to rounding). Running statistics, dropout, learning rates
    that a schedule changes and every check of the data work as they do without. Other shapes, dtypes or modes, a
    parameter, a module, a variable or an attribute around the step that was replaced: recorded anew (docs/replay.md
    says how far that reaches). Inside the step arguments are Tensors. What is returned has no graph. The `.grad` that
    a step leaves is there too.

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
        return lambda function: Replayed(function, fuse, copy, compile)
    return Replayed(step, fuse, copy, compile)


class Replayed(Generic[R]):
    """A step that replays itself. `replays` counts, `program` is what ran last, `print(step.program)` shows it."""

    def __init__(
        self, step: Callable[..., R], fuse: Sequence[str] | bool = (), copy: bool = True, compile: bool = False
    ) -> None:
        if not callable(step):
            raise TypeError(f"replay takes a function, got {type(step).__name__}")
        if compile:
            refuse_without_compiler()
        self._compile = compile
        self._step, self._copy, self._fuse = step, copy, chosen(fuse)
        self._entries: dict[Any, list[Entry]] = {}  # by arguments and modes: one for each state of the surroundings
        self._used: dict[Entry, Any] = {}  # all of them with their keys, the one used last at the end
        self._modules: dict[Any, None] = {}
        self._modes_at, self._modes_then = (-1, 0), ()
        self._refusal: str | None = None
        self._seen: set[Any] = set()  # what was ever recorded, and how often that was recorded anew
        self._again, self._warned = 0, False
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
        if known == key and last is not None and last.bound is not None and not last.guards.broken():
            return self._replay(last, args, named)
        changed = ""
        entry = None
        for other in self._entries.get(key, ()):
            changed = other.guards.broken()
            if not changed:
                entry = other
        if entry is not None and entry.bound is not None:
            self._latest = key, entry
            self._used[entry] = self._used.pop(entry, key)
            return self._replay(entry, args, named)
        return self._record(entry, kind, key, changed, args, named)

    def _replay(self, entry: Entry, args: tuple[Any, ...], named: dict[str, Any]) -> R:
        entry.calls += 1
        self.replays += 1
        if entry.calls == entry.next_proof:
            entry.next_proof *= 4
            return cast("R", self._or_refusal(entry.prove, args, named, self._copy))
        result: R = entry.run((*args, *named.values()), self._copy)
        return result

    def _record(self, entry: Any, kind: Any, key: Any, changed: str, args: tuple[Any, ...], named: Any) -> R:
        """Take the step and write down what it does: what is called like this is new, or something was replaced."""
        if entry is None:
            entry = Entry(self._step, self._fuse, self._compile)
            self._again += key in self._seen
            self._seen.add(key)
            others = self._entries.get(key, [])
            if sum(not other.runs for other in others) >= TRIES:
                self._refusal = (
                    f"{self.__name__} was recorded anew {TRIES} times because {changed} changes; pass what changes as "
                    "an array, or keep it where the step does not reach: not in an object that it uses"
                )
                raise NotReplayable(self._refusal)
        self.recordings += 1
        result, modules = self._or_refusal(entry.record, args, named)
        self._modules |= dict.fromkeys(modules)
        new = (*kind, self._modes())
        if new != key:
            self._entries[key] = [other for other in self._entries.get(key, ()) if other is not entry]
        if entry not in self._entries.setdefault(new, []):
            self._entries[new].append(entry)
        self._used.pop(entry, None)
        self._used[entry] = new
        self._latest = new, entry
        self._forget()
        if not self._warned and max(8 * self._again, self.recordings) >= 256 and self.recordings > 2 * self.replays:
            self._warned = True
            warnings.warn(
                f"{self.__name__} was recorded {self.recordings} times and replayed {self.replays} times: replay makes "
                "it slower. Shapes, modes or objects around it change too often; pad batches to one shape",
                stacklevel=3,
            )
        return cast("R", result)

    def _or_refusal(self, take: Callable[..., Any], *given: Any) -> Any:
        try:
            return take(*given)
        except NotReplayable as error:
            self._refusal = f"{error} (found in an earlier call; this one did nothing)"
            raise

    def _forget(self) -> None:
        """Let programs go that were not used for longest, while there are too many or they take too much memory."""
        size = sum(entry.nbytes for entry in self._used)
        for entry in list(self._used)[:-1]:
            if len(self._used) <= MOST and size <= MEMORY:
                break
            size -= entry.nbytes
            key = self._used.pop(entry)
            self._entries[key].remove(entry)
            if not self._entries[key]:
                del self._entries[key]

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Replayed[R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method of a class: the instance is the first argument."""
        return self if instance is None else types.MethodType(self, instance)

    def _modes(self) -> tuple[bool, ...]:
        """Training or not, of every module that ran: a program for each."""
        number, count = CHANGES.number, len(self._modules)
        if self._modes_at != (number, count):
            self._modes_then = tuple([module.training for module in self._modules])
            self._modes_at = number, count
        return self._modes_then

    @property
    def stages(self) -> dict[str, StepProgram]:
        """The program as recorded, and after each pass, by name."""
        return self._entry().stages

    def _entry(self) -> Entry:
        entry = self._latest[1]
        if entry is None or entry.bound is None:
            raise RuntimeError("nothing has been recorded yet: the program is there after two calls of one kind")
        return entry

    def source(self) -> str:
        """The functions that the program which ran last was compiled to, as they were generated."""
        if not self._compile:
            raise RuntimeError("nothing was compiled: mg.replay(step, compile=True) makes a function of a step")
        bound: Any = self._entry().bound
        text: str = bound.source()
        return text

    @property
    def program(self) -> Listed:
        """The program that ran last: printed as a listing with its memory, drawn with `mg.draw(step.program)`."""
        bound: Any = self._entry().bound
        return Listed(bound)


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
