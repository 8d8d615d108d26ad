"""`mg.page` as a file: offline, small, escaped. What it does in a browser is tested in test_browser.py."""

import json
import re
import shutil

import numpy as np
import pytest

import minigrad as mg
from minigrad.drawing import renderer

from .examples import DY, composed, fused, leaves

pytestmark = pytest.mark.skipif(renderer._pure() is None and shutil.which("dot") is None, reason="no renderer here")


def data_of(text: str):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def test_both_batch_norms_on_one_small_offline_page(tmp_path):
    path = mg.page({"composed": composed(), "fused": fused()}, tmp_path / "bn.html", gradient=DY)
    text = path.read_text("utf-8")
    assert len(text.encode()) < 200_000
    assert "default-src 'none'" in text
    # no address is ever asked for: the only ones in the file are names of XML dialects
    assert set(re.findall(r"https?://[^\s\"'<>]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "fe0b" not in text  # every colour became a role
    assert not re.search(r"<!--@|/\*@", text)
    data = data_of(text)
    assert [(g["label"], g["F"], g["B"]) for g in data["graphs"]] == [("composed", 9, 9), ("fused", 1, 1)]
    names = [m[4].split(":")[0] for m in data["matches"]]
    assert names == ["x", "gamma", "beta", "x_hat", "y"]
    x = data["graphs"][0]["nodes"][0]
    assert np.shape(x["value"]["v"]) == (4, 3)
    assert len(x["parts"]) == 2


def test_one_tensor_alone_and_every_saved_form(tmp_path):
    path = mg.page(composed(), tmp_path / "one.html", title="one")
    data = data_of(path.read_text("utf-8"))
    assert data["graphs"][0]["B"] == 0  # no gradient was given
    mg.draw(composed(), gradient=DY).save(tmp_path / "two.html")
    mg.draw_pair(composed(), fused(), gradient=DY).save(tmp_path / "three.html")
    assert len(data_of((tmp_path / "three.html").read_text("utf-8"))["graphs"]) == 2
    with pytest.raises(ValueError, match="no graph to show"):
        mg.page({}, tmp_path / "none.html")


def test_drawings_are_taken_as_they_were_drawn(tmp_path):
    y = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    for _ in range(60):
        y = mg.tanh(y)
    whole, folded = mg.draw(y, fold=False), mg.draw(y, fold=True)
    pair = mg.draw_pair(composed(), fused(), labels=("same", "same"))
    path = mg.page({"whole": whole, "folded": folded, "pair": pair}, tmp_path / "x.html")
    sizes = [(g["label"], len(g["nodes"])) for g in data_of(path.read_text("utf-8"))["graphs"]]
    assert sizes == [("whole", 61), ("folded", 2), ("same", 12), ("same (2)", 4)]


def test_large_values_are_cut_to_a_corner(tmp_path):
    x = mg.tensor(np.arange(10_000.0).reshape(100, 100), requires_grad=True, name="x")
    y = (x * 2.0).named("y")
    path = mg.page(y, tmp_path / "x.html", gradient=np.ones((100, 100)))
    assert path.stat().st_size < 60_000
    value = data_of(path.read_text("utf-8"))["graphs"][0]["nodes"][0]["value"]
    assert np.shape(value["v"]) == (8, 6)
    assert value["v"][1][:2] == [100, 101]
    assert (value["rows"], value["cols"]) == (92, 94)


def test_a_page_of_500_nodes_stays_below_4_mb(tmp_path):
    x = mg.tensor(np.ones((20, 20)), requires_grad=True, name="x")
    y = x
    for k in range(250):
        y = mg.tanh(y) * float(k)
    path = mg.page(y, tmp_path / "long.html", gradient=np.ones((20, 20)), fold=False)
    assert len(data_of(path.read_text("utf-8"))["graphs"][0]["nodes"]) == 501
    assert path.stat().st_size < 4_000_000


NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"&'/*@DATA*/<!--@TITLE-->"


def test_names_cannot_leave_the_place_they_stand_in(tmp_path):
    x, gamma, beta = leaves()
    x.named(NASTY)
    with mg.scope(NASTY):
        y = composed(of=(x, gamma, beta)).named(NASTY)
    text = mg.page({NASTY: y, "other": fused()}, tmp_path / "x.html", gradient=DY, title=NASTY).read_text("utf-8")
    assert text.count("<script") == 2
    assert "<img" not in text
    assert data_of(text)["graphs"][0]["label"] == NASTY
    assert data_of(text)["graphs"][0]["nodes"][0]["name"] == NASTY
