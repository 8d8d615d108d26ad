"""The ladder: legible at every width, its numbers the graph's own, whatever the graph is and however it is named."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import minigrad as mg
from minigrad.drawing import Graph, Ladder, heat
from minigrad.drawing.blocks import fitted, width_of, wrapped
from minigrad.drawing.data import Numbers
from minigrad.drawing.gutters import Gutter
from minigrad.drawing.theme import DARK, LIGHT, TINTS

from .examples import DY, composed, fused
from .ladders import GRAPHS, SVG, boxes, leaf, mlp, not_finite, overlaps, rnn, row, written_later
from .test_looks import contrast
from .test_names import NASTY

WIDTHS = (830, 560, 390, 300)


def bn(**options):
    return mg.ladder(composed(), gradient=DY, **options)


# Legible ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRAPHS)
def test_every_text_is_large_enough_and_has_its_room_at_every_width(name):
    graph = GRAPHS[name]()
    for width in WIDTHS:
        svg = mg.ladder(graph, width=width, title=f"{name} as a ladder", max_ops=70).svg()
        root = ElementTree.fromstring(svg)
        drawn = int(root.get("width", "nan"))
        assert drawn == width if " up" in svg else 300 <= drawn <= width  # one column takes what it needs
        found = boxes(svg)
        assert len(found) > 3
        assert min(box.size for box in found) >= 11
        assert [
            box for box in found if box.left < 0 or box.right > drawn or box.bottom > float(root.get("height", "nan"))
        ] == []
        assert overlaps(found) == []


def test_the_finder_of_overlaps_finds():
    svg = bn().svg()
    x = re.search(r'<text x="([\d.]+)" y="[\d.]+">0.08', svg)
    assert x is not None
    assert overlaps(boxes(svg)) == []
    assert overlaps(boxes(svg.replace(f'<text x="{x[1]}"', f'<text x="{float(x[1]) + 20}"'))) != []


def test_the_width_of_letters():
    assert width_of("a" * 100) == 100 * 0.62 * 11
    assert width_of("\u6279") > 1.5 * width_of("a")
    assert width_of("e\u0301") == width_of("e")
    assert fitted("short", 100) == "short"
    assert width_of(fitted("\u6279\u91cf" * 50, 100)) <= 100
    assert fitted("a" * 99, 100).count("...") == 1
    for width, said in itertools.product((12, 40, 90), ("-sum0(g*x_hat/std)", "a" * 50, "\u6279" * 9, "1e-05 + 2.5")):
        lines = wrapped(said, width)
        assert "".join(lines).replace(" ", "") == said.replace(" ", "")
        assert all(width_of(line) <= max(width, width_of("\u6279")) for line in lines)


@pytest.mark.parametrize("c", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_can_be_read_on_every_tint(c):
    tints = {heat.tint(v, 1.0, c) or c["page"] for v in np.linspace(-1, 1, 41)}
    assert len(tints) == 2 * TINTS + 1
    assert [t for t in tints if contrast(c["ink"], t) < 4.5] == []
    assert contrast(c["bar_ink"], str(heat.tint(np.nan, 1.0, c))) > 4.5


# What it says -------------------------------------------------------------------------------------------------------


def test_the_gradient_of_x_is_the_sum_of_what_is_sent():
    ladder = bn()
    said = row(ladder.svg(), ladder.graph, "x")
    assert [text for text in said if not re.match(r"-?\d", text)] == [
        "x", ladder.graph["x"].kind, "(4, 3)", "centred: g", "+", "mu: g/N", "=", "sum",
    ]  # fmt: skip
    node = ladder.graph["x"]
    value, centred, mu, total = np.array([float(text) for text in said if re.match(r"-?\d", text)]).reshape(4, 4, 3)
    assert np.abs(value - node.value.array).max() <= 0.005
    assert np.abs(total - node.gradient.array).max() <= 0.005
    assert np.abs(centred + mu - total).max() <= 0.0151


def test_terms_and_their_sum_have_one_scale_and_values_their_own():
    x = mg.tensor([[1.0, -100.0]], requires_grad=True, name="x")
    y = (x * np.array([[1.0, 0.0]]) + x * np.array([[99.0, 100.0]])).named("y")
    said = mg.ladder(y, gradient=np.ones((1, 2))).svg()
    inside = said[said.index('id="row-n0"') : said.index('id="row-n1"')]
    fills = [colour for colour in re.findall(r'<path fill="(#\w+)"', inside) if colour != LIGHT["page"]]
    full = heat.tint(1.0, 1.0, LIGHT)
    assert fills.count(full) == 2  # 100 in a term, and twice (merged) in the sum; the 1 is too small to be seen
    assert heat.tint(-1.0, 1.0, LIGHT) in fills  # the value's own -100


def test_small_numbers_share_a_power_of_ten():
    graph = GRAPHS["tiny"]()
    svg = mg.ladder(graph).svg()
    assert row(svg, graph, "x")[2:] == ["(2, 2)", "x 1e-9", "1.00", "-2.50", "0", "3.25", "y: g*1000000000000.0",
                                       "x 1e-8", "1.00", "1.00", "1.00", "1.00"]  # fmt: skip


@pytest.mark.parametrize("scale", [1e-300, 1e-5, 0.03, 1.0, 77.7, 9999.0, 1e6, 1e300, 5e-324])
def test_entries_are_short_and_true(scale):
    array = np.random.default_rng(0).normal(size=40) * scale
    power = heat.power_of(np.abs(array).max())
    shown = array / 10.0**power
    texts = [heat.entry(v) for v in shown]
    assert max(map(len, texts)) <= 5
    assert np.abs(np.array(texts, float) - shown).max() <= max(0.0051, np.abs(shown).max() / 150)


def test_execution_order_and_scopes():
    svg = bn().svg()
    names = [text[1] for text in re.findall(r"<title>(([\w]+) \([^<]*)</title>", svg)]
    assert names == [
        "x", "mu", "centred", "squared", "var", "var_eps", "std", "x_hat", "gamma", "scaled", "beta", "y",
    ]  # fmt: skip
    tops = {box.said: box.top for box in boxes(svg)}
    assert tops["statistics"] < tops["normalize"] < tops["affine"]


def test_what_is_kept_and_what_a_fused_op_keeps_of_its_own():
    ladder = bn()
    assert " ".join(row(ladder.svg(), ladder.graph, "std")).count("kept for sqrt, div 24 B") == 1
    assert "kept" not in " ".join(row(ladder.svg(), ladder.graph, "var"))
    svg = mg.ladder(fused(), gradient=DY).svg()
    said = [box.said for box in boxes(svg)]
    assert said.count("inside y") == 2
    assert {"x_hat", "inv_std", "d_gamma = sum0(g*x_hat)"} <= set(said)


def test_edges_run_left_and_right_one_trunk_a_tensor():
    ladder = bn()
    svg, graph = ladder.svg(), ladder.graph
    forward, backward = (set(re.findall(rf'id="{kind}-(n\d+)"', svg)) for kind in "fb")
    assert forward == {a for a, _, _ in graph.edges}
    assert backward == {node.id for node in graph if node.contributions}
    tips = {name: path.count("z") for name, path in re.findall(r'id="(\w-n\d+)"><path[^>]*/><path d="([^"]*)"', svg)}
    assert sum(n for name, n in tips.items() if name[0] == "f") == len({(a, b) for a, b, _ in graph.edges})
    assert all(n == 1 for name, n in tips.items() if name[0] == "b")


def test_lanes_are_shared_where_rows_do_not_overlap_and_end_somewhere():
    chain = Gutter([(str(k), k, k + 1) for k in range(30)], 3, 7)
    assert {trunk.lane for trunk in chain.trunks} == {0}
    crossing = [(str(k), k, 30 + k) for k in range(20)]
    few, all_of_them = Gutter(crossing, 3, 7), Gutter(crossing, 20, 7)
    assert len(few.trunks) == 3
    assert few.left_out == 17
    assert sorted(trunk.lane for trunk in all_of_them.trunks) == list(range(20))
    assert few.width < all_of_them.width
    assert "long edges left out" in mg.ladder(GRAPHS["skips"](), width=300).svg()


def test_without_a_gradient_there_is_one_column():
    for svg in (mg.ladder(composed()).svg(), bn(backward=False).svg()):
        assert "gradient" not in svg
        assert 'id="b-' not in svg
        assert svg.count('id="f-') == 11
    y = (leaf("x", 2) * 2.0).sum()
    assert "no gradient" not in mg.ladder(y).svg()


def test_nan_and_infinity_are_marked():
    svg = mg.ladder(not_finite()).svg()
    marked = re.findall(r'font-weight="bold">(NaN|inf|-inf)<', svg)
    assert set(marked) == {"NaN", "inf", "-inf"}
    assert svg.count(f'fill="{LIGHT["wrong"]}"') >= 6
    big = np.ones((30, 40))
    big[7, 9] = np.nan
    y = mg.tensor(big, requires_grad=True, name="x") * 2.0
    svg = mg.ladder(y).svg()
    assert svg.count("1/1200 NAN/INF") >= 2
    assert f'<path fill="{LIGHT["wrong"]}"' in svg


def test_a_thumbnail_keeps_the_largest_of_each_block():
    array = np.zeros((100, 100))
    array[50, 50], array[99, 0] = -7.0, np.inf
    small = heat.extremes(array)
    assert small.shape == heat.PIXELS
    assert np.nanmin(small) == -7.0
    assert np.isnan(small[-1, 0])
    assert np.count_nonzero(small) == 2
    assert heat.peak_of([Numbers(array)]) == 7.0


def test_a_sparkline_grows_with_the_size_and_marks_what_is_none():
    svg = heat.sparkline("value", [1e-3, 0.0, 1e-2, np.nan, 1e-1], "#000000", LIGHT).draw(0, 0)
    tall = [float(h) for h in re.findall(r"h3v-([\d.]+)", svg)]
    assert tall == [2, 8, 14, 2, 2]  # by powers; zero and NaN come last, in the colour of what is wrong
    assert svg.count(LIGHT["wrong"]) == 1
    assert "|value| 0.001 .. 0.1" in svg


def test_a_stale_graph_and_marks_are_said():
    assert "stale: w was written" in mg.ladder(written_later()).svg()
    y = (leaf("x", 2) * 2.0).named("y")
    said = [box.said for box in boxes(mg.ladder(y, marks={y.number: "this one is wrong"}).svg())]
    assert "this one is wrong" in " ".join(said)


# Large graphs -------------------------------------------------------------------------------------------------------


def test_more_than_sixty_ops_fold():
    loss = rnn(40)
    ladder = mg.ladder(loss)
    assert len([node for node in ladder.graph if node.op]) < 10
    said = " ".join(box.said for box in boxes(ladder.svg()))
    assert "x 40" in said
    assert "37 more, summed" in said  # what 40 steps send to W: three of them, and the rest
    assert "of the next" in said
    assert "then of h0..39" in said
    assert (
        len(re.findall(r"\|value\| [\d.]+ \.\. ", said)) == len(re.findall(r"\|gradient\| [\d.e-]+ \.\. ", said)) == 5
    )


def test_what_does_not_fold_is_refused_with_what_to_do():
    y = leaf("x", 2)
    for k in range(61):
        y = (mg.sin(y) if k % 3 else mg.exp(y)) * (k + 1.0) if k % 2 else mg.tanh(y)
    with pytest.raises(ValueError, match=r"91 ops are more.*depth=0.*module='name'.*max_ops=.*mg\.draw"):
        mg.ladder(y)
    assert mg.ladder(y, max_ops=91).svg().count('id="row-') == 92


def test_scopes_are_collapsed_before_a_graph_is_refused():
    y = leaf("x", 2)
    for k in range(20):
        with mg.scope(f"part {k}"):
            y = mg.tanh(y * (k + 1.0)) + float(k) if k % 2 else mg.sin(y) * mg.cos(y) - y
    ladder = mg.ladder(y)
    assert [node.kind for node in ladder.graph if node.op] == ["module"] * 20
    with pytest.raises(ValueError, match="ops are more"):
        mg.ladder(y, depth=5)


def test_parts_and_depth():
    assert {node.op for node in bn(module="normalize").graph if node.op} == {"add", "sqrt", "div"}
    assert len([node for node in mg.ladder(mlp(), depth=0).graph if node.op]) == 2


# Options and files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [299, 861, 830.0, True, "wide", None, []])
def test_widths_that_are_none(width):
    with pytest.raises(ValueError, match=r"width=.* must be a whole number of px from 300 to 860"):
        bn(width=width)


def test_widths_by_place():
    assert [bn(width=place).width for place in ("readme", "notebook", "slide", "column")] == [830, 860, 860, 320]


@pytest.mark.parametrize(
    "options", [{"theme": "pink"}, {"max_ops": 0}, {"max_ops": True}, {"fold": 3}, {"module": "no"}]
)
def test_options_that_are_none(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        bn(**options)


def test_themes_files_and_notebooks(tmp_path):
    ladder = bn()
    assert LIGHT["page"] in ladder.svg()
    assert DARK["page"] in bn(theme="dark").svg()
    assert ladder.svg() == bn().svg()  # the same bytes
    assert ladder.save(tmp_path / "y.svg").read_text("utf-8") == ladder.svg()
    assert mg.graph(composed(), gradient=DY) == Graph.from_json(ladder.save(tmp_path / "y.json").read_text())
    assert str(ladder) in ladder.save(tmp_path / "y.md").read_text()
    with pytest.raises(ValueError, match=r"a ladder is written as \.svg, \.json, \.md; mg\.draw"):
        ladder.save(tmp_path / "y.png")
    auto = bn(theme="auto").svg()
    assert [box.said for box in boxes(auto)] == [box.said for box in boxes(ladder.svg())]
    assert "fe0b" not in auto
    assert DARK["above_10"] in auto
    one, two = ladder._repr_mimebundle_(), ladder._repr_mimebundle_()
    ids = [re.findall(r'\sid="([^"]+)"', shown["image/svg+xml"]) for shown in (one, two)]
    assert len(ids[0]) == len(set(ids[0]))
    assert not set(ids[0]) & set(ids[1])
    assert one["text/plain"] == str(ladder)


def test_no_renderer_is_needed(monkeypatch):
    monkeypatch.setenv("MINIGRAD_DOT", "/no/such/dot")
    assert isinstance(bn(), Ladder)
    assert bn().svg().startswith("<svg")


def test_it_is_told_to_who_cannot_see_it():
    root = ElementTree.fromstring(bn(title="Batch <norm>").svg())
    assert root.get("role") == "img"
    named = {e.get("id"): e.text for e in root}
    assert named[root.get("aria-labelledby")] == "Batch <norm>"
    about = named[root.get("aria-describedby")] or ""
    assert "x_hat = centred / std, shape (4, 3)" in about
    assert about.count("gradient ") == 12
    assert ElementTree.fromstring(bn().svg())[0].text == "Ladder of y"


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY.keys())
def test_any_name_stays_text(name):
    def picture(said):
        x = leaf("x", 2, 2).named(said)
        with mg.scope(said):
            y = mg.square(x * x).named(said)  # the name stands in a rule, too
        graph = mg.graph(y, gradient=np.ones((2, 2)), marks={y.number: said})
        return mg.ladder(graph, title=said, width=390).svg()

    plain, odd = picture("plain"), picture(name)
    root = ElementTree.fromstring(odd)
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {"svg", "g", "path", "rect", "text", "title", "desc"}
    assert not any(key.startswith("on") or "href" in key for e in root.iter() for key in e.attrib)
    assert plain.count('id="row-') == odd.count('id="row-') == 3
    assert overlaps(boxes(odd)) == []
    assert len(odd) < 3 * len(plain)


def test_hostile_ids_of_a_graph_from_json_stay_text():
    text = mg.graph(composed(), gradient=DY).to_json().replace('"n0"', '"\\"><script>alert(1)</script>"')
    svg = mg.ladder(Graph.from_json(text)).svg()
    ElementTree.fromstring(svg)
    assert "<script" not in svg
