"""What notebooks show of reports, histories and modules: whole HTML, escaped, never an error, on any page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad._support.notebook import ROWS, WRONG, Shown, block, curves, escaped, table
from minigrad._support.source_lines import source_line
from minigrad.check import blame, compare, explain_zeros, gradcheck
from minigrad.training import History

EVIL = "</pre></svg><script>alert('1')</script>\"&\x00\ud800"


def wrong_square(rule_name="wrong"):
    def op(x):
        return x * x

    op.__name__ = rule_name
    made = mg.primitive(op)
    made.defvjp(lambda g, out, x: g * 3.0 * x)
    return made


def history(epochs=3, name="accuracy"):
    rows = [
        {"epoch": k, "step": 2 * k, "loss": 1 / k, name: 0.5, "val_loss": 2 / k, f"val_{name}": 0.25}
        for k in range(1, epochs + 1)
    ]
    return History(loss=[1 / k for k in range(1, 2 * epochs + 1)], epochs=rows, best=rows[-1])


POINT = np.array([0.5, -1.5, 2.0])
REPORTS = {
    "right": lambda: gradcheck(mg.sin, POINT),
    "wrong": lambda: gradcheck(wrong_square(), POINT),
    "agree": lambda: compare(mg.square, lambda x: x * x, POINT),
    "differ": lambda: compare(mg.square, wrong_square(), POINT),
    "trials": lambda: compare(mg.square, lambda x: x * x, trials=3, shapes=[[(2,)]]),
    "blame": lambda: blame(wrong_square()(mg.tensor(POINT, requires_grad=True)).sum()),
    "no blame": lambda: blame(mg.sin(mg.tensor(POINT, requires_grad=True)).sum()),
    "zeros": lambda: explain_zeros(mg.relu(mg.tensor(-abs(POINT), requires_grad=True, name="x")).sum()),
    "no zeros": lambda: explain_zeros(mg.sin(mg.tensor(POINT, requires_grad=True)).sum()),
    "history": history,
    "steps only": lambda: History(loss=[3.0, 2.0, np.nan, 1.0]),
    "nothing": History,
    "NaN only": lambda: History(loss=[np.nan, np.inf]),
    "mlp": lambda: nn.MLP([3, 4, 2], norm="batch", rng=0),
    "empty module": nn.ReLU,
    "evil primitive": lambda: gradcheck(wrong_square(EVIL), POINT),
    "evil labels": lambda: compare(mg.square, wrong_square(), POINT, labels=(EVIL, EVIL)),
    "evil tensor": lambda: explain_zeros(mg.relu(mg.tensor(-abs(POINT), requires_grad=True, name=EVIL)).sum()),
    "evil metric": lambda: history(name=EVIL),
    "evil layer": lambda: type("Evil" + EVIL.replace("\x00", "").replace("\ud800", ""), (nn.ReLU,), {})(),
}


class Balance(HTMLParser):
    """Every element is closed, and the harmful ones are absent."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag != "polyline":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(text):
    reader = Balance()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.parametrize("name", REPORTS)
def test_whole_escaped_and_for_any_page(name):
    report = REPORTS[name]()
    text = report._repr_html_()
    reader = parsed(text)
    assert reader.seen <= {"div", "table", "tr", "th", "td", "img"}, (
        "nothing that runs, and nothing that is dropped where not trusted"
    )
    assert text.startswith('<div class="minigrad"'), "the HTML itself, not what stands in for it"
    text.encode("utf-8")
    colours = set(re.findall(r"#[0-9A-Fa-f]{3,8}\b", "".join(re.findall(r'style="([^"]*)"', text))))
    assert colours <= {WRONG}, "text has the colour of the page"
    assert not re.search(r"(?:background|color):(?!transparent|inherit)[^;]*(?:white|black|rgb\()", text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("right", ["gradcheck of sin: right to order 1", "equal"]),
        ("wrong", ["WRONG", "off by a constant factor 1.5"]),
        ("agree", ["agree to order 2", "yes", "ops"]),
        ("differ", ["differ: ", "NO"]),
        ("trials", ["3 trials, 0 differ"]),
        ("blame", ["wrong (t1) is wrong", "off by a constant factor 1.5", "gradcheck of wrong"]),
        ("no blame", ["all 2 ops have right rules"]),
        ("zeros", ["1 of 1 gradients are zero or tiny", "dead relu"]),
        ("no zeros", ["none of 1 gradients"]),
        ("history", ["6 steps, 3 epochs", "val_loss", "best on the validation data: epoch 3", "validation (dashed)"]),
        ("steps only", ["4 steps, 0 epochs", "loss of each step"]),
        ("nothing", ["0 steps, 0 epochs"]),
        ("mlp", ["numbers to train", "Linear(", "weight (3, 4)"]),
        ("empty module", ["ReLU: 0 numbers to train"]),
        ("evil labels", ["<script>alert('1')</script>"]),
    ],
)
def test_what_it_says(name, words):
    said = " ".join(parsed(REPORTS[name]()._repr_html_()).text)
    assert [word for word in words if word not in said] == []


def test_wrong_rows_have_a_bar_and_right_ones_none():
    assert f"4px solid {WRONG}" not in REPORTS["right"]()._repr_html_()
    assert f"4px solid {WRONG}" in REPORTS["wrong"]()._repr_html_()


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("page", ["#FFFFFF", "#111111"])
def test_the_bar_is_seen_on_light_and_dark(page):
    low, high = sorted((luminance(WRONG), luminance(page)))
    assert (high + 0.05) / (low + 0.05) >= 3.0


def test_it_never_raises():
    class Broken(Shown):
        def _html(self):
            raise RuntimeError("no")

        def __str__(self):
            return EVIL

    class Worse(Broken):
        def __str__(self):
            raise RuntimeError("no")

    assert Broken()._repr_html_() == f"<pre>{escaped(EVIL)}</pre>"
    assert Worse()._repr_html_() == "<pre>Worse</pre>"

    class Odd(nn.Module):
        def _about(self):
            raise ValueError("no")

        __repr__ = _about

    assert Odd()._repr_html_() == "<pre>Odd</pre>"


def test_long_tables_keep_their_ends_and_what_is_wrong():
    rows = [[str(k)] for k in range(1000)]
    text = table(["n"], rows, wrong=[500])
    said = parsed(text).text
    assert {"0", "999", "500"} <= set(said)
    assert "400" not in said
    assert said.count("...") == 2
    assert f"{1000 - ROWS - 1} of 1000 rows are not shown" in said


def test_a_long_history_stays_small():
    long = History(loss=list(np.linspace(2, 1, 200_000)))
    assert len(long._repr_html_()) < 20_000


def test_curves_of_one_point_and_of_a_constant():
    for xs, ys in (([1.0], [2.0]), ([1.0, 2.0], [3.0, 3.0])):
        text = block("x", [curves([("a", xs, ys)], what="step")])
        parsed(text)
        assert "nan" not in text


def test_a_shared_weight_is_counted_once():
    layer = nn.Linear(3, 4, rng=0)
    assert "16 numbers to train" in nn.Sequential(layer, layer)._repr_html_()


def test_a_line_of_a_cell_has_nothing_of_the_kernel_in_it():
    names: dict[str, object] = {"source_line": source_line}
    exec(compile("\nfound = source_line()", "/tmp/ipykernel_4711/2420830385.py", "exec"), names)
    assert names["found"] == ("notebook cell", 2)
