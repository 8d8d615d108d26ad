"""The visual language: colours that can be read, numbers in few characters, the legend, the slots."""

import math
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.drawing.data import Numbers
from minigrad.drawing.theme import DARK, LEAVES, LIGHT
from minigrad.program.words import number, shape

from .examples import DY, composed, fused


def contrast(a: str, b: str) -> float:
    def luminance(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return float((high + 0.05) / (low + 0.05))


TEXT = [("ink", "page"), ("ink", "body"), ("ink", "fused_body"), ("ink", "module_body"), ("muted", "body")]
TEXT += [("muted", "slot"), ("muted", "page"), ("muted", "cluster_a"), ("muted", "cluster_b"), ("gradient", "slot")]
TEXT += [("gradient", "page"), ("gradient_value", "gradient_fill"), ("value", "body"), ("saved_ink", "saved_fill")]
TEXT += [("cluster_ink", "cluster_a"), ("cluster_ink", "cluster_b")]
TEXT += [("bar_ink", f"{kind}bar") for kind in ("", "fused_", "module_")] + [("bar_ink", "wrong")]
TEXT += [(f"{kind}_ink", f"{kind}_fill") for kind in LEAVES]
TEXT += [(f"shade_ink_{k}", f"shade_{k}") for k in range(5)]
LINES = [("forward", "page"), ("gradient", "cluster_b"), ("forward", "cluster_b"), ("line", "page"), ("line", "body")]
LINES += [(f"{kind}_line", f"{kind}_fill") for kind in LEAVES]
BADGES = [("bar_ink", f"match_{k}") for k in range(8)]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(theme):
    assert [(a, b) for a, b in TEXT if contrast(theme[a], theme[b]) < 4.9] == []
    assert [(a, b) for a, b in LINES if contrast(theme[a], theme[b]) < 3.0] == []
    assert [(a, b) for a, b in BADGES if contrast(theme[a], theme[b]) < 4.5] == []


SIGHT = {  # Machado et al. 2009: linear RGB as the red-blind and the green-blind see it
    "all": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9690]],
}


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_what_belongs_together_is_told_apart_by_every_eye(theme, sight):
    colours = [theme[f"match_{k}"] for k in range(8)]
    parts = np.array([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in colours])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(SIGHT[sight], float).T, 0, 1)
    xyz = seen @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    x, y, z = (np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in (xyz / [0.9505, 1, 1.089]).T)
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(8)
    assert apart.min() > 20  # about ten times what can just be seen


def test_themes_have_the_same_roles_and_six_digits():
    assert list(LIGHT) == list(DARK)
    assert all(re.fullmatch(r"#[0-9A-F]{6}", c) for theme in (LIGHT, DARK) for c in theme.values())


@pytest.mark.parametrize(
    ("v", "said"), [(0.0, "0"), (1.0, "1"), (-0.00057, "-5.70e-4"), (999.4, "999"), (1e5, "1.00e5"), (math.inf, "inf")]
)
def test_numbers_in_three_digits(v, said):
    assert number(v) == said


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (2.5, "2.5"),
        ([1.0, 2.0, 3.25], "[1 2 3.2]"),
        ([1.0, 2.0, 3.0, -4.0], "-4 .. 3"),
        ([], "empty"),
        ([np.nan, 1.0], "1/2 NAN/INF"),
        ([True, False], "[1 0]"),
        (np.array([1.5], np.float32), "[1.5]"),
    ],
)
def test_brief_values(array, said):
    assert Numbers(np.asarray(array)).brief == said


def test_shapes():
    assert [shape(s) for s in ((), (3,), (4, 3))] == ["()", "(3,)", "(4, 3)"]


def test_the_legend_holds_what_the_picture_holds():
    plain = mg.draw(composed(), gradient=DY, backward=False).dot
    assert "fused op" not in plain
    assert "g = gradient" not in plain
    assert "saved for backward" not in plain
    whole = mg.draw(fused(), gradient=DY).dot
    assert "fused op" in whole
    assert "g = gradient of the op's output" in whole
    assert "saved for backward" in whole


def test_detail_tells_more_or_less():
    dots = [mg.draw(composed(), gradient=DY, detail=d).dot for d in (0, 1, 2)]
    assert ["(4, 3) float64" in d for d in dots] == [False, True, True]
    assert [">grad -" in d for d in dots] == [False, False, True]
    assert [len(d) for d in dots] == sorted(len(d) for d in dots)


def test_backward_edges_are_twins_that_bend_no_rank():
    lines = mg.draw(composed(), gradient=DY).dot.splitlines()
    forward = [line for line in lines if "class=forward" in line]
    backward = [line for line in lines if "class=backward" in line]
    assert len(forward) == len(backward) == 13
    assert all("dir=back" in line and "style=dashed" in line for line in backward)
    for a, b in zip(forward, backward, strict=True):
        ends = [re.findall(r"(n\d+):(\w\d?):", line) for line in (a, b)]
        assert [e[0] for e in ends[0]] == [e[0] for e in ends[1]]


def test_no_backward_edge_to_what_needs_no_gradient():
    x = mg.tensor(np.ones((2, 2)), name="data")
    w = mg.tensor(np.ones((2, 2)), requires_grad=True, name="w")
    dot = mg.draw((x @ w).named("y"), gradient=np.ones((2, 2))).dot
    assert dot.count("class=backward") == 1
    assert dot.count("class=forward") == 2


def test_many_inputs_share_the_last_slot():
    parts = [mg.tensor(np.ones(2), requires_grad=True, name=f"p{k}") for k in range(50)]
    dot = mg.draw(mg.concatenate(parts).named("all"), max_nodes=100).dot
    assert "and 45 more" in dot
    assert dot.count("class=forward") == 50


def test_a_report_takes_the_place_of_the_cost_table():
    report = mg.check.compare(mg.batch_norm_composed, mg.batch_norm, [np.eye(4)])
    pair = mg.draw_pair(composed(), fused(), gradient=DY, report=report.cost_rows())
    assert len(pair.rows) == len(report.cost_rows())
    assert report.cost_rows()[0][0] in pair.dot
    assert report.cost_rows()[0][0] in str(pair)


def test_pairs_match_names_and_buffers_and_say_by_how_much():
    left, right = composed(), fused()
    pair = mg.draw_pair(left, right, gradient=DY)
    said: Any = {m.name: m for m in pair.matches}
    assert list(said) == ["x", "gamma", "beta", "x_hat", "y"]
    assert said["x_hat"].buffer == 0
    assert said["x"].value.absolute == 0
    assert 0 < said["x"].gradient.relative < 1e-14
    assert said["x"].gradient.ulps < 8
    assert pair.dot.count('class="match"') == 5
    wrong = mg.draw_pair(left, (right * 1.5).named("y"), gradient=DY)
    said = {m.name: m for m in wrong.matches}
    assert said["y"].value.relative == pytest.approx(1 / 3)


def test_show_prints_the_table_outside_a_notebook(capsys):
    mg.draw(fused(), gradient=DY).show()
    assert "1 op on the tape" in capsys.readouterr().out


def test_bars_are_coloured_by_a_measure_or_a_report():
    y = composed()
    plain, shaded = mg.draw(y, gradient=DY), mg.draw(y, gradient=DY, color="bytes")
    g: Any = shaded.graph
    assert g["x_hat"].shade == (1.0, "96 B")
    assert g["mu"].shade == (0.25, "24 B")
    assert {n.shade for n in plain.graph} == {None}
    assert ">bytes of the result: 24 B</FONT>" in shaded.dot
    assert shaded.dot.count(LIGHT["shade_4"]) > plain.dot.count(LIGHT["shade_4"]) == 0
    assert mg.drawing.Graph.from_json(g.to_json()) == g
    norms: Any = mg.draw(y, gradient=DY, color="gradient").graph
    assert {n.shade[0] for n in norms if n.op} >= {0.0, 1.0}
    assert norms["y"].shade[1] == f"|grad| {number(float(np.linalg.norm(DY)))}"
    timed: Any = mg.draw(y, color="time").graph
    assert all(n.shade[1].endswith(" us") for n in timed if n.op)


def test_a_report_colours_what_it_mentions():
    y = composed()

    class Report:
        color_title = "digits lost"

        def __init__(self) -> None:
            self.colors = {y: (1.0, "16 digits lost"), y.number - 1: 0.5}

    g: Any = mg.draw(y, color=Report()).graph
    assert [(n.name, n.shade) for n in g if n.shade] == [("scaled", (0.5, "0.5")), ("y", (1.0, "16 digits lost"))]
    assert ">digits lost: 0.5</FONT>" in mg.draw(y, color=Report()).dot
