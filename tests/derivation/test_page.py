"""The page of a derivation as a file: its data, its layout, small, offline, escaped. In a browser: test_browser.py."""

import itertools
import json
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad.derivation.layout import GAP, HIGH, layered
from minigrad.derivation.paging import differing
from minigrad.derivation.terms import lin, make, prod, total
from tests.derivation import functions

A, B, C = make("a"), make("b", axes=frozenset((0,))), make("c")


def derived(name):
    f, inputs, assume = functions.FUNCTIONS[name]
    return mg.derive(f, inputs, assume=assume)


def data_of(text):
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


@pytest.fixture(scope="module")
def batch_norm(tmp_path_factory):
    path = derived("batch_norm").page(tmp_path_factory.mktemp("page") / "bn.html")
    return path.read_text(encoding="utf-8")


def test_batch_norm_is_a_small_offline_page_of_at_most_twenty_nodes_a_step(batch_norm):
    data = data_of(batch_norm)
    assert len(batch_norm) < 80_000
    assert [len(step["boxes"]) for step in data["steps"]] == [18, 15, 15, 14, 12, 13, 14, 11, 10, 10]
    assert "default-src 'none'" in batch_norm
    assert not re.search(r"(?:src|href)=\"(?!data:)|https?://(?!www\.w3\.org/2000/svg)|@import|url\(", batch_norm)
    assert [data["steps"][-1][key] for key in ("ops", "passes")] == [10, 7]
    assert data["steps"][-1]["kept"][1] == "inv_std, x_hat"
    assert data["steps"][-1]["bytes"] == 8 * (7 * 11 + 11 + 11)  # x_hat, inv_std and gamma
    assert "checked exactly, at 20 points" in data["steps"][7]["checked"]
    assert data["ending"][-1].startswith("stopped here: nothing known makes it cheaper")


def test_only_what_changed_is_marked(batch_norm):
    def marked(pieces):
        return [text for text, on in pieces if on]

    ((label, before, after),) = data_of(batch_norm)["steps"][3]["equations"]
    assert label == "d_x"
    assert marked(before) == ["centred", "std", "centred", "std"]
    assert marked(after) == ["x_hat", "x_hat"]
    assert "".join(text for text, _ in after) == derived("batch_norm").writer()(derived("batch_norm").steps[3].roots[0])


@pytest.mark.parametrize("name", functions.FUNCTIONS)
def test_nodes_know_the_steps_that_touch_them_and_boxes_do_not_overlap(name):
    from minigrad.derivation.paging import as_page

    data = data_of(as_page(derived(name), name))
    for k, step in enumerate(data["steps"]):
        assert all(k in data["nodes"][i]["stands"] for i, *_ in step["boxes"])
        for (_, _, _, x, y, wide), (_, _, _, u, v, other) in itertools.combinations(step["boxes"], 2):
            assert y != v or abs(x - u) >= (wide + other) / 2 - 1
    for node in data["nodes"]:
        for k, what in node["touched"]:
            here, before = k in node["stands"], k - 1 in node["stands"]
            assert what == {(1, 0): "comes", (0, 1): "goes", (1, 1): "is used otherwise"}[here, before]


@pytest.mark.parametrize(
    ("a", "b", "gone", "come"),
    [
        (A, A, set(), set()),
        (A, B, {(None, A)}, {(None, B)}),
        (prod(2, [(A, 1), (B, 1)]), prod(2, [(A, 1), (C, 1)]), {B}, {C}),
        (prod(2, [(A, 1)]), prod(3, [(A, 1)]), None, None),  # another coefficient: the whole
        (lin([(1, A), (1, B), (1, C)]), lin([(1, A), (-1, B), (1, C)]), {B}, {B}),
        (total(prod(1, [(A, 1), (B, 1)]), (0,)), total(prod(1, [(B, 1), (C, 1)]), (0,)), {A}, {C}),
        (total(B, (0,)), make("exp", (B,)), None, None),
    ],
)
def test_the_smallest_parts_in_which_formulas_differ(a, b, gone, come):
    found = differing(a, b)
    if gone is None:
        assert found == ({(None, a)}, {(None, b)})
    else:
        assert [{part if whole else (whole, part) for whole, part in side} for side in found] == [gone, come]


def test_layers_of_a_graph_that_crosses_and_skips():
    widths = {"a": 40.0, "b": 60.0, "c": 50.0, "d": 80.0, "e": 30.0}
    edges = [("a", "d"), ("b", "c"), ("c", "d"), ("a", "e"), ("d", "e"), ("a", "c")]
    layout = layered(widths, edges)
    assert layout.places["a"][1] == layout.places["b"][1] < layout.places["c"][1] < layout.places["d"][1]
    assert all(
        x - widths[v] / 2 >= GAP and x + widths[v] / 2 <= layout.width - GAP for v, (x, _) in layout.places.items()
    )
    for (a, b), way in zip(edges, layout.routes, strict=True):
        assert way[0] == (layout.places[a][0], layout.places[a][1] + HIGH / 2)
        assert way[-1][1] == layout.places[b][1] - HIGH / 2
        assert abs(way[-1][0] - layout.places[b][0]) < widths[b] / 2
    assert layered({}, []).places == {}


def test_hostile_names_reach_no_page_as_html_and_no_text_as_markup(tmp_path):
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(1)>}{\\input{/etc/passwd}\u2028"

    def f(x):
        e = mg.exp(x).named(bad)
        return (e * e).named("__import__('os')")

    f.__name__ = bad
    d = mg.derive(f, [np.arange(6.0).reshape(2, 3)])
    text = d.page(tmp_path / "p.html", title=bad).read_text(encoding="utf-8")
    for part in ("<script>alert", "<img", "</script><script>", "\u2028", "__import__("):
        assert part not in text
    assert text.count("</script>") == 2
    assert "&lt;img src=x" in text
    data_of(text)


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "p.html"
    path.write_text("old")
    d = derived("variance")
    with pytest.raises(OSError, match="no"):
        d.page(tmp_path / "no" / "p.html")
    assert d.page(path) == path
    assert path.read_text().startswith("<!doctype html>")
    assert [p.name for p in tmp_path.iterdir()] == ["p.html"]
