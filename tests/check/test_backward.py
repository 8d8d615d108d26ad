"""check.backward is right about course-style backwards, and about each with one mistake; bad input is one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.check import backward

from .course_classes import CLASSES, OTHERS
from .courses import COURSES

RNG = np.random.default_rng(4)
CASES = [(*c[:5], c[5], c[6]) for c in COURSES + OTHERS] + [(*c[:5], {}, c[5]) for c in CLASSES]
IDS = [c[0].replace(" ", "-") for c in CASES]


def checked(code, shapes, options, **more):
    names = {"np": np}
    exec(code, names)
    rng = np.random.default_rng(11)
    inputs = [rng.normal(size=shape) * 1.3 + 0.4 for shape in shapes]
    options = {k: {a: np.array(b) if isinstance(b, list) else b for a, b in v.items()} if isinstance(v, dict) else v
               for k, v in options.items()}  # fmt: skip
    before = repr(options), [x.copy() for x in inputs]
    pair = (names["Norm"], None) if "Norm" in names else (names["forward"], names["backward"])
    report = backward(pair[0], pair[1], inputs, options=options, **more)
    assert repr(options) == before[0], "the options of the caller were changed"
    assert all(np.array_equal(a, b) for a, b in zip(inputs, before[1], strict=True))
    return report


def test_there_are_enough():
    assert len(CASES) >= 27


@pytest.mark.parametrize(("name", "code", "old", "new", "shapes", "options", "word"), CASES, ids=IDS)
def test_a_right_backward_is_right_and_one_mistake_is_found(name, code, old, new, shapes, options, word):
    report = checked(code, shapes, options)
    assert report, report
    assert "right to order 1" in str(report).splitlines()[0]
    assert code.count(old) >= 1
    changed = code[: code.rindex(old)] + new + code[code.rindex(old) + len(old) :]
    report = checked(changed, shapes, options)
    assert not report, report
    assert "WRONG" in str(report).splitlines()[0]
    assert any(w in " / ".join(report.reasons) for w in word.split("|")), report.reasons


def test_order_two_where_the_code_runs_on_tensors():
    def forward(x, w):
        return (x * w).sum(axis=0), (x, w)

    def right(dout, cache):
        x, w = cache
        return dout * w, (dout * x)

    report = backward(forward, right, [RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))], order=2)
    assert report, report
    assert "right to order 2" in str(report)

    def loops(dout, cache):
        return np.array([[float(d) for d in dout]] * 4) * cache[1], np.array([[float(d) for d in dout]] * 4) * cache[0]

    report = backward(forward, loops, [RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))], order=2)
    assert report
    assert "right to order 1" in str(report)
    assert "order 2 was not checked" in str(report)


def test_hidden_at_gamma_one_and_switched_off():
    def forward(x, gamma):
        return x * gamma, (x, gamma)

    def wrong(dout, cache):
        return dout * 1.0, (dout * cache[0]).sum(axis=0)

    at = [RNG.normal(size=(4, 3)), np.ones(3)]
    report = backward(forward, wrong, at)
    assert not report
    assert "right here, wrong beside it: x" in str(report)
    assert "gamma is missing" in " ".join(report.reasons)
    assert "seen where gamma moves" in " ".join(report.notes)
    assert backward(forward, wrong, at, move=False)


def linear(x, w):
    return x @ w, (x, w)


def both(dout, cache):
    return dout @ cache[1].T, cache[0].T @ dout


AT = [np.ones((2, 3)), np.eye(3, 2)]


@pytest.mark.parametrize(
    ("forward", "back", "inputs", "kind", "words"),
    [
        (linear, lambda d, c: d @ c[1].T, AT, ValueError, "1 gradients for 2 inputs .x, w."),
        (
            linear,
            lambda d, c: (c[0].T @ d, d @ c[1].T),
            AT,
            ValueError,
            r"x has shape \(3, 2\), but x has shape \(2, 3\)",
        ),
        (lambda x, b: (x + b, 0), lambda d, c: (d, d), [AT[0], np.ones(3)], ValueError, "sum it over axis 0"),
        (linear, lambda d, c: (d @ c[1].T * np.nan, c[0].T @ d), AT, ValueError, "gradient of x holds NaN"),
        (linear, both, [AT[0] * np.nan, AT[1]], ValueError, "x holds NaN"),
        (lambda x, w: x @ w * np.inf, both, AT, ValueError, r"must return \(out, cache\), it returned ndarray"),
        (lambda x, w: (x @ w * np.nan, 0), both, AT, ValueError, "forward gives NaN"),
        (lambda x, w: ((x @ w).astype(np.float32), 0), both, AT, ValueError, "float32"),
        (
            type(
                "Kept",
                (),
                {
                    "__init__": lambda self, w: None,
                    "forward": lambda self, x: x @ self.w,
                    "backward": lambda self, g: g,
                },
            ),
            None,
            AT[:1],
            TypeError,
            "pass an object of it",
        ),
        (3, both, AT, TypeError, "must be a function"),
        (linear, None, AT, TypeError, "has no backward"),
        (linear, both, None, TypeError, "inputs"),
        (linear, lambda d, c: {"a": d}, AT, ValueError, "dict with a; expected dx"),
        (linear, lambda d, c: ("no", "no"), AT, ValueError, "gradient of x is str"),
    ],
)
def test_bad_input_is_one_clear_line(forward, back, inputs, kind, words):
    with pytest.raises(kind, match=words) as caught:
        backward(forward, back, inputs)
    assert "\n" not in str(caught.value)


def test_labels_several_results_and_wrappers():
    def loss(x, labels):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        return -np.log(p[np.arange(len(x)), labels]).mean(), (p, labels)

    def d_loss(dout, cache):
        p, labels = cache
        p[np.arange(len(p)), labels] -= 1
        return dout * p / len(p)

    assert backward(loss, d_loss, [RNG.normal(size=(4, 3)), np.array([0, 2, 1, 1])])

    def two(x):
        return x * 2, x * x, x

    assert backward(two, lambda da, db, x: 2 * da + 2 * x * db, [RNG.normal(size=(2, 2))])
    assert not backward(two, lambda da, db, x: 2 * da + x * db, [RNG.normal(size=(2, 2))])

    class Keeping:  # as tinygrad's Function: made with arguments, and everything kept on itself
        save_for_backward: Any
        saved_tensors: Any

        def __init__(self, device):
            self.device = device

        def forward(self, x):
            self.save_for_backward(x)
            return x * x

        def backward(self, grad):
            (x,) = self.saved_tensors
            return 2 * x * grad, None

    assert backward(Keeping, [RNG.normal(size=3)])
    assert backward(Keeping.forward, Keeping.backward, [RNG.normal(size=3)])

    class Wrapped:
        def __init__(self, data):
            self.data = data

    class Square:
        def forward(self, x):
            self.x = x.data
            return Wrapped(x.data**2)

        def backward(self, grad):
            return Wrapped(2 * self.x * grad)

    assert backward(Square(), [Wrapped(RNG.normal(size=3))])
