"""One examination: a subject at its inputs and at a point near by, on arrays and on Tensors, to order 1 or 2.

Knows no reports: it gathers what was found, in numbers and in words.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import ops
from ..core.context import using
from ..core.gradients import consumers_first
from ..core.nodes import Node
from ..core.tensor import Tensor
from ..extend import Unsteady
from .arguments import SENSITIVITY, Function, alone, gradients_of, leaves_of, value_of
from .diagnosis import reason_of
from .jacobian import Case, Element, Subject, entries, gradients_in_one, of_tensors, projected
from .numerical import FloatArray, slope

FULL_LIMIT = 200_000  # entries of the Jacobian up to which the full mode is the default
MOVES = (0.1, 0.01, 1e-3)  # how far the second point may be, in shares of each number; the first that f takes
CONSTANT = (
    "right at order 1 and wrong at order 2: something that depends on an input enters the rule as a constant "
    "(computed once in the forward pass, or with NumPy); compute it in `save` or in the rule itself"
)


@dataclass
class Found:
    """What an examination gathered."""

    elements: list[Element] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    pictures: list[tuple[str, FloatArray]] = field(default_factory=list)
    modes: set[str] = field(default_factory=set)

    @property
    def ok(self) -> bool:
        """Nothing wrong so far."""
        return not self.problems and not any(e.wrong for e in self.elements)


@dataclass
class Examination:
    """How to examine: the subject, its inputs and their names, and how closely.

    twice: (*inputs, cotangent) -> all gradients in one long Tensor, with a graph; None where there are no Tensors.
    recorded: (arrays) -> the recorded result, for the primitives of the user's in it; None likewise.
    """

    subject: Subject
    arrays: list[FloatArray]
    names: list[str]
    twice: Function | None = None
    recorded: Callable[[Sequence[Any]], Node] | None = None
    order: int = 1
    mode: str | None = None
    rtol: float = 1e-6
    atol: float = 1e-9
    seed: int = 0
    move: bool = True

    def run(self) -> Found:
        """Everything, in order."""
        self.rng = np.random.default_rng((self.seed, 0x6D696E69))
        self.found = Found()
        self._elsewhere()
        self._repeats()
        first = self._case(1, self.arrays)
        self._judged(first)
        on_tensors = self._on_tensors(first, self.found.elements)
        cases = [first]
        if self.order == 2 and self.twice is not None and on_tensors and self._usable:
            second = self._case(2, self.arrays, first.cotangent)
            self._judged(second)
            cases.append(second)
            if self.found.ok and not any(e.skipped for e in self.found.elements):
                self._symmetric(second)
        self._explain(cases)
        if self.move and self.found.ok and self._usable:
            self._beside(cases)
        self._not_judged()
        return self.found

    @property
    def _usable(self) -> bool:
        return any(x.size for x in self.arrays)

    def _case(self, order: int, arrays: list[FloatArray], cotangent: Any = None, like: Case | None = None) -> Case:
        steps = None if like is None else dict(like.steps)
        if order == 1:
            return Case(self.subject, arrays, self.names, 1, self.rng, steps)
        twice: Any = self.twice
        subject = Subject(gradients_in_one(self.subject), of_tensors(twice).at)
        return Case(subject, [*arrays, np.asarray(cotangent)], [*self.names, "cotangent"], 2, self.rng, steps)

    def _elsewhere(self) -> None:
        """Run near by first, so that a rule that remembers its first call gives itself away."""
        self.earlier = [x * (1 + 0.01 * self.rng.uniform(-1, 1, x.shape)) for x in self.arrays]
        with contextlib.suppress(ArithmeticError, ValueError):  # perhaps f is not defined there
            y, pull = self.subject.at(self.earlier)
            pull(self.rng.normal(size=y.shape))

    def _repeats(self) -> None:
        """What f, its backward or a `save` gives another time when it is run again."""
        (y, pull), (again, _) = self.subject.at(self.arrays), self.subject.at(self.arrays)
        cotangent = self.rng.normal(size=y.shape)
        if not np.array_equal(y, again, equal_nan=True):
            self.found.problems.append(
                "f gives another result when called again (randomness, or state that it changes)"
            )
        elif not all(
            np.array_equal(a, b, equal_nan=True) for a, b in zip(pull(cotangent), pull(cotangent), strict=True)
        ):
            self.found.problems.append("backward gives another gradient when run again on the same graph")
        for node in self._users(self.arrays):
            op: Any = node.op
            try:
                op.steady_on(node)
            except Unsteady as error:
                self.found.problems.append(str(error))

    def _users(self, arrays: Sequence[Any]) -> list[Any]:
        """The recorded nodes of primitives that are the user's."""
        if self.recorded is None:
            return []
        return [node for node in consumers_first(self.recorded(arrays)) if node.op is not None and not node.op.builtin]

    def _judged(self, case: Case) -> None:
        """Every entry, or a projection first: as the mode says."""
        chosen = self.mode or ("full" if case.size <= FULL_LIMIT else "fast")
        part = (entries if chosen == "full" else projected)(case, self.rtol, self.atol)
        self.found.modes.add(chosen)
        if chosen == "fast":
            part = self._looked_into(case, part)
        self.found.elements += part

    def _looked_into(self, case: Case, part: list[Element]) -> list[Element]:
        """Projections, and every entry where one of them fails: what is it, and where?"""
        if all(e.ok and not e.skipped for e in part) or case.size > 10 * FULL_LIMIT:
            return part
        self.found.modes.add("full")
        return [e for e in part if not e.skipped] + entries(case, self.rtol, self.atol)

    def _on_tensors(self, case: Case, judged: list[Element]) -> bool:
        """Whether the gradients can be had on Tensors; they must be those on arrays, as closely as was judged."""
        if self.twice is None:
            return False
        try:
            theirs = of_tensors(self.twice).value([*case.arrays, case.cotangent])
        except Unsteady as error:
            if str(error) not in self.found.problems:
                self.found.problems.append(str(error))
            return False
        except Exception as error:  # whatever a rule that was written for arrays does with Tensors
            if self.order == 2:
                raise
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.found.notes.append(f"not differentiable again, so right to order 1 at most: {said}")
            return False
        exact = np.concatenate([np.ravel(d) for d in case.gradients(case.cotangent)[0]])
        near = {name: max((e.allowed for e in judged if e.argument == name), default=0.0) for name in self.names}
        most = np.concatenate([np.full(x.size, near[name]) for name, x in zip(self.names, self.arrays, strict=True)])
        off = ~(np.abs(theirs - exact) <= most) & np.isfinite(exact) & (theirs != exact)
        if off.any():
            at = int(np.argmax(np.where(off, np.abs(theirs - exact), 0.0)))
            self.found.problems.append(
                f"{self._place(at)} is {theirs[at]:.6g} on Tensors, as create_graph=True runs the rules, and "
                f"{exact[at]:.6g} on arrays: an in-place operation on an alias, or a branch on the type"
            )
        return True

    def _place(self, at: int) -> str:
        """An entry of all gradients in one long vector, in words."""
        for name, x in zip(self.names, self.arrays, strict=True):
            if at < x.size:
                index = ", ".join(str(int(k)) for k in np.unravel_index(at, x.shape))
                return f"the gradient of {name}[{index}]" if x.ndim else f"the gradient of {name}"
            at -= x.size
        raise IndexError(at)

    def _symmetric(self, case: Case) -> None:
        """Mixed second derivatives of different rules must agree: the derivative of dx by w, and that of dw by x."""
        starts = np.cumsum([0, *(x.size for x in self.arrays)])
        sides = [slice(a, b) for a, b in itertools.pairwise(starts)]
        ways = [[self.rng.normal(size=x.shape) for x in self.arrays] for _ in range(2)]
        pulled: list[list[Any]] = []
        for directions in ways:
            pulled.append([])
            for way, side in zip(directions, sides, strict=True):
                cotangent = np.zeros(case.y.shape)
                cotangent[side] = way.ravel()
                pulled[-1].append(case.gradients(cotangent))
        for j in range(len(sides)):
            for k in range(j, len(sides)):
                other = 1 if j == k else 0
                of_j = [ds[k] * ways[other][k] for ds in pulled[0][j]]
                of_k = [ds[j] * ways[0][j] for ds in pulled[other][k]]
                sums = [float(np.sum(a)) - float(np.sum(b)) for a, b in zip(of_j, of_k, strict=True)]
                size = float(np.sum(np.abs(of_j[0])) + np.sum(np.abs(of_k[0])))
                if not abs(sums[0]) <= self.rtol * size + SENSITIVITY * max(abs(s - sums[0]) for s in sums):
                    a, b = self.names[j], self.names[k]
                    self.found.problems.append(
                        f"mixed second derivatives differ: that of d{a} by {b} is not that of d{b} by {a} "
                        f"({np.sum(of_j[0]):.6g} and {np.sum(of_k[0]):.6g} along one direction), so one of the two "
                        "rules is wrong beside this point"
                    )

    def _moved(self) -> Iterator[list[FloatArray]]:
        """Points near by: every number moved by a share of itself, a zero by that share of the largest."""
        away = [self.rng.uniform(0.3, 1.0, x.shape) * self.rng.choice([-1, 1], x.shape) for x in self.arrays]
        for share in MOVES:
            moved = []
            for x, way in zip(self.arrays, away, strict=True):
                size = float(np.max(np.abs(x), initial=0.0)) or 1.0
                moved.append(x + share * way * np.where(x == 0, size, np.abs(x)))
            yield moved

    def _beside(self, cases: list[Case]) -> None:
        """The same at a second point near by; special values, as gamma = 1, hide there no more."""
        why = "f is not finite there"
        for moved in self._moved():
            try:
                y, pull = self.subject.at(moved)
                finite = np.isfinite(y).all() and all(np.isfinite(d).all() for d in pull(np.ones(y.shape)))
            except Exception as error:  # it may take such inputs for wrong ones
                why = f"f raises {type(error).__name__} there"
                continue
            if finite:
                break
        else:
            self.found.notes.append(f"no second point could be judged: {why}")
            return
        looked_at = [self._case(case.order, moved, cases[0].cotangent, like=case) for case in cases]
        wrong, part = [], []
        for case in looked_at[::-1]:
            part = self._looked_into(case, projected(case, self.rtol, self.atol))
            part = [e for e in part if e.index is not None] or part  # entries know better than projections
            wrong += [e for e in part if e.wrong]
            if all(e.skipped for e in part):
                self.found.notes.append(
                    "no derivative could be judged at a second point (kinks, or the edge of a domain)"
                )
        if wrong:
            self.found.elements += wrong
            self.found.beside += list(dict.fromkeys(e.argument for e in wrong))
            where = self._revealing(moved, {e.argument for e in wrong if e.order == 1})
            self.found.notes.append(
                f"seen where {where} moves a little; if f holds on a surface only, such as a target that sums to 1: "
                "move=False"
            )
            self._explain(looked_at)
            return
        self._on_tensors(looked_at[0], part)
        self._parameters()

    def _revealing(self, moved: list[FloatArray], wrong: set[str]) -> str:
        """The arguments that make the derivatives wrong when they alone are moved."""
        found = []
        for k, name in enumerate(self.names):
            case = self._case(1, [moved[j] if j == k else x for j, x in enumerate(self.arrays)])
            if any(e.wrong for e in projected(case, self.rtol, self.atol) if e.argument in wrong):
                found.append(name)
        return " or ".join(found or self.names)

    def _parameters(self) -> None:
        """Numbers that the user's primitives take as parameters are moved too, one at a time, each op on its own."""
        for node in self._users(self.arrays):
            wanted = [k for k, x in enumerate(node.inputs) if x is not None and x._needs]
            arrays = [np.array(node.arrays[k], dtype=float) for k in wanted]
            for name, value in node.params.items():
                if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
                    continue
                for other in (value + 1, value * 1.1) if value == np.round(value) else (value * 1.1,):
                    f = alone(node, wanted, **{name: other})
                    try:
                        case = Case(of_tensors(f), arrays, [f"input {k}" for k in wanted], 1, self.rng)
                        part = projected(case, self.rtol, self.atol) if np.isfinite(case.y).all() else []
                    except Exception:  # not a value that the op takes
                        continue
                    if any(e.wrong for e in part):
                        self.found.beside.append(f"{node.op.name} at {name} = {other:.6g}")
                        self.found.problems.append(
                            f"{node.op.name} is right at {name} = {value} and wrong at {name} = {other:.6g}: "
                            f"its rule holds at that {name} only"
                        )
                    if part:
                        break

    def _remembers(self, case: Case, k: int) -> bool:
        """Whether the derivative by argument k is that of the first point that the rule was run at."""
        way = self.rng.normal(size=case.arrays[k].shape)

        def along(t: float) -> FloatArray:
            return self.subject.value([x + t * way if j == k else x for j, x in enumerate(self.earlier)])

        with contextlib.suppress(ArithmeticError, ValueError):
            got = slope(along, case.steps.get(k, 1e-4))
            theirs = float(np.sum(case.gradients(case.cotangent)[0][k] * way))
            near = 10 * float(np.sum(got.error * np.abs(case.cotangent))) + 1e-6 * abs(theirs)
            return abs(theirs - float(np.sum(got.value * case.cotangent))) <= near
        return False

    def _explain(self, cases: list[Case]) -> None:
        """Which mistake the wrong entries look like."""
        wrong: dict[tuple[int, str], list[Element]] = {}
        for e in self.found.elements:
            if e.wrong:
                wrong.setdefault((e.order, e.argument), []).append(e)
        for case in cases:
            for k, name in enumerate(case.names):
                those = wrong.get((case.order, name))
                if not those:
                    continue
                where = name if case.order == 1 else f"{name} at order 2"
                if case.order == 1 and case.arrays[k].size and self._remembers(case, k):
                    self.found.reasons.append(
                        f"{where}: this is the derivative at the point of an earlier call: the rule remembers something"
                    )
                    continue
                if k not in case.jacobians:
                    self.found.reasons.append(f"{where}: seen in a projection; mode='full' would say where")
                    continue
                if all(e.output is None for e in those):
                    self.found.reasons.append(
                        f"{where}: each row of the Jacobian is right, but not their combination: the rule is not "
                        "linear in g"
                    )
                    continue
                reason = reason_of(case, k)
                self.found.reasons.append(f"{where}: {reason or 'no simple pattern: a missing or wrong term'}")
                if reason is None:
                    j = case.jacobians[k]
                    off = np.abs(j.analytic - j.numeric).reshape(case.arrays[k].size, case.y.size)
                    title = f"|analytic - numeric| for {where}: elements of {name} down, of y across"
                    self.found.pictures.append((title, np.nan_to_num(off)))
        if wrong and {order for order, _ in wrong} == {2}:
            self.found.reasons.append(CONSTANT)

    def _not_judged(self) -> None:
        skipped = [e.skipped for e in self.found.elements if e.skipped]
        if not skipped:
            return
        why = " and ".join(sorted(set(skipped)))
        share = f"{len(skipped)} of {len(self.found.elements)}"
        self.found.notes.append(f"{share} derivatives were not judged ({why}): move the input away from there")
        if len(skipped) == len(self.found.elements):
            self.found.problems.append(f"no derivative could be judged ({why})")


def gradients_with_graph(f: Function) -> Function:
    """(*inputs, cotangent) -> all gradients of f in one long vector, differentiable."""

    def gradients(*args: Any) -> Tensor:
        *leaves, cotangent = args
        fresh = [x if x.requires_grad else leaves_of([x])[0] for x in leaves]
        with using(recording=True):  # also inside the no_grad of a difference
            y = value_of(f, fresh)
        with_graph = gradients_of(y, fresh, cotangent, create_graph=True)
        return ops.concatenate([d.reshape(-1) for d in with_graph])

    return gradients
