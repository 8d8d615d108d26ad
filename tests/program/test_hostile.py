"""Names and JSON that mean no good: source code stays code of ours, damaged JSON is refused and the place named."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.program.program import Program

X, W = np.random.default_rng(0).normal(size=(3, 2)), np.array([1.5, -0.5])
NAMES = [
    "import os; os.system('x')", "x\n    import os", "class", "forward", "backward", "cache", "np", "__import__",
    "print", "a'b\"c", "  ", "é", "x" * 300, "\ud800", "1", "None", "d_y", "t1", "C1", "C2", "c1", "c2", "_sigmoid",
    "'''", '"""', "# c", "\\", "\x00", "x;y",
]  # fmt: skip


def hostile(x: Any, w: Any) -> Any:
    y = x
    for name in NAMES:
        y = (mg.sin(y) * w + np.array([1.0, 2.0])).named(name)
    with mg.scope('evil\n"""import os'):
        return y + np.arange(200.0).reshape(100, 1, 2).sum(0)


def test_source_is_code_of_ours_whatever_things_are_called():
    program = mg.record(hostile, mg.tensor(X, requires_grad=True, name="C1"), mg.tensor(W, requires_grad=True))
    for library in ("numpy", "torch", "jax"):
        tree = ast.parse(program.source(library))
        imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        assert {name.partition(".")[0] for name in imported} <= {"numpy", "torch", "jax"}
    names: dict[str, Any] = {}
    exec(program.source(), names)
    value, cache = names["forward"](X, W)
    run = program.run(X, W, gradient=np.ones((3, 2)))
    np.testing.assert_allclose(value, run.value, rtol=1e-14)
    for mine, theirs in zip(names["backward"](np.ones((3, 2)), cache), run.gradients.values(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-13)


def test_a_name_that_the_module_needs_is_refused():
    program = mg.record(lambda x: x * np.array([1.0, 2.0]), X)
    for name in ("np", "backward", "cache", "C1", "c1", "_helper", "class", "", "a b", "x;y", "import os"):
        with pytest.raises(ValueError, match="is no name that the module can give its function"):
            program.source(name=name)
    for name in ("x", "y", "print", "forward_2"):
        names: dict[str, Any] = {}
        exec(program.source(name=name), names)
        assert np.array_equal(names[name](X)[0], X * [1.0, 2.0])


def test_equal_constants_are_written_once():
    source = mg.record(lambda x: x * np.array([1.0, 2.0]) + np.array([1.0, 2.0]), X).source()
    assert source.count("np.array(") == 1


# --------------------------------------------------------------------------------------------------------------


def function(x: Any, w: Any) -> Any:
    return (mg.batch_norm(x, w) * mg.relu(x)).sum() + mg.cross_entropy(x, [0, 1, 1])


def places(x: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield before
    for key, part in x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, list) else ():
        yield from places(part, (*before, key))


WRONG: list[Any] = [None, 0, -1, 10**30, 1.5, float("nan"), "x", "", [], {}, True, [[[]]], {"a": 1}, {"value": 0}]
WRONG += [{"value": 5}, {"tuple": []}, "float64", "<f8", "O", "\ud800", [1, 2, 3]]


def test_a_thousand_damages_are_refused_or_harmless():
    text = mg.record(function, X, W).to_json()
    rng, everywhere, refused = random.Random(0), list(places(json.loads(text)))[1:], 0
    taken = 0
    for _ in range(1000):
        plain = json.loads(text)
        *path, last = rng.choice(everywhere)
        part = plain
        for key in path:
            part = part[key]
        if rng.random() < 0.2:
            del part[last]
        else:
            part[last] = rng.choice(WRONG)
        try:
            program = Program.from_json(json.dumps(plain))
        except ValueError as error:
            refused += str(error).startswith(("a program's JSON is damaged at ", "a program's JSON cannot be read"))
            continue
        taken += 1
        str(program), program.digest(), program.to_json(), program.patterns()
        for use in (program.source, lambda p=program: p.run(X, W)):
            with suppress(TypeError, ValueError):  # an input more or less, of another shape
                use()
    assert refused + taken == 1000
    assert refused > 500


def test_a_program_that_lies_of_its_shapes_is_refused():
    plain = json.loads(mg.record(lambda x: mg.exp(x), X).to_json())
    of = plain["instructions"][0]["outputs"][0]
    plain["values"][of]["shape"] = [7, 7]
    with pytest.raises(ValueError, match=r"instructions\[0\].outputs: exp gives .*\(3, 2\).*, not .*\(7, 7\)"):
        Program.from_json(json.dumps(plain))
    plain["values"][of]["shape"] = [3, 2]
    plain["instructions"][0]["inputs"] = {"tuple": ["text"]}
    with pytest.raises(ValueError, match=r"instructions\[0\]: exp cannot be computed from what it is given"):
        Program.from_json(json.dumps(plain))


def test_what_a_mask_picks_is_not_held_against_the_shape_that_zeros_have():
    program = mg.record(lambda x: x[x > 0], X)
    again = Program.from_json(program.to_json())
    assert np.array_equal(again.run(X).value, X[X > 0])
