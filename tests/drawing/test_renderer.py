"""Which program renders, what is said without one, and what the files that come out hold."""

import base64
import re
import shutil
import stat
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import minigrad as mg
from minigrad.drawing import RendererNotFound, renderer
from minigrad.drawing.theme import DARK

from .examples import DY, composed, fused

PURE = renderer._pure()
DOT = shutil.which("dot")
PROGRAMS = [
    pytest.param(PURE, id="graphviz-pure", marks=pytest.mark.skipif(PURE is None, reason="no graphviz-pure here")),
    pytest.param(DOT, id="dot", marks=pytest.mark.skipif(DOT is None, reason="no system Graphviz here")),
]
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def no_renderer(monkeypatch):
    monkeypatch.delenv("MINIGRAD_DOT", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(renderer, "_pure", lambda: None)


def test_the_order_of_the_search(monkeypatch):
    monkeypatch.setattr(renderer, "_pure", lambda: "/pure")
    monkeypatch.setattr(shutil, "which", lambda name: {"dot": "/dot", "mine": "/mine"}.get(name))
    monkeypatch.setenv("MINIGRAD_DOT", "mine")
    assert renderer.programs() == ["/mine"]
    monkeypatch.delenv("MINIGRAD_DOT")
    assert renderer.programs() == ["/pure", "/dot"]
    assert renderer.programs("pdf") == ["/dot"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert renderer.programs() == ["/pure"]
    with pytest.raises(RendererNotFound, match="PDF needs a system Graphviz"):
        renderer.programs("pdf")


@pytest.mark.skipif(DOT is None, reason="no system Graphviz here")
def test_where_the_first_program_fails_the_next_one_draws_and_that_is_said(monkeypatch):
    monkeypatch.delenv("MINIGRAD_DOT", raising=False)
    monkeypatch.setattr(renderer, "_pure", lambda: "/no/such/program")
    with pytest.warns(RuntimeWarning, match=r"/no/such/program could not be run.*; .*dot drew this picture instead"):
        assert "<svg" in mg.draw(fused()).svg()


def test_a_wrong_choice_is_an_error_not_a_fallback(monkeypatch):
    monkeypatch.setenv("MINIGRAD_DOT", "/no/such/program")
    with pytest.raises(RendererNotFound, match="/no/such/program"):
        mg.draw(composed()).svg()


def test_without_a_renderer_the_pip_fix_comes_first_and_text_still_works(no_renderer, tmp_path):
    drawing = mg.draw(composed(), gradient=DY)
    with pytest.raises(RendererNotFound, match="pip install") as caught:
        drawing.svg()
    assert str(caught.value).index("pip install") < str(caught.value).index("apt install")
    assert "digraph" in drawing.dot
    assert "9 ops on the tape" in str(drawing)
    bundle = drawing._repr_mimebundle_()
    assert "pip install" in bundle["text/plain"]
    assert "image/svg+xml" not in bundle
    with pytest.raises(RendererNotFound):
        drawing.save(tmp_path / "x.svg")
    assert list(tmp_path.iterdir()) == []  # and no half-written file


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for dot")
def test_a_hanging_renderer_is_ended(monkeypatch, tmp_path):
    slow = tmp_path / "dot"
    slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(30)\n")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("MINIGRAD_DOT", str(slow))
    with pytest.raises(TimeoutError, match="depth=0"):
        mg.draw(composed()).svg(timeout=0.2)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for dot")
def test_a_failing_renderer_is_quoted(monkeypatch, tmp_path):
    bad = tmp_path / "dot"
    bad.write_text("#!/bin/sh\necho 'syntax error in line 7' >&2\nexit 1\n")
    bad.chmod(bad.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("MINIGRAD_DOT", str(bad))
    with pytest.raises(RuntimeError, match="syntax error in line 7"):
        mg.draw(composed()).svg()


@pytest.mark.parametrize("program", PROGRAMS)
def test_svg_holds_every_card_and_edge(program, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DOT", program)
    drawing = mg.draw(composed(), gradient=DY, title="Batch norm")
    svg = drawing.svg()
    assert svg.startswith("<svg ")
    assert "viewBox" in svg
    assert 'role="img"' in svg
    assert "<title>Batch norm</title>" in svg
    assert re.search(r"<desc>.*x_hat = centred / std.*9 ops on the tape, .*</desc>", svg)
    assert len(re.findall(r'class="node (?:op|leaf)"', svg)) == 12
    assert len(re.findall(r'class="edge forward"', svg)) == 13
    assert len(re.findall(r'class="edge backward"', svg)) == 13
    for text in ("Batch norm", "x_hat = centred / std", "statistics", "saved", "output"):
        assert text in svg.replace("&#45;", "-").replace("&#160;", " ")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_every_look_renders(program, theme, direction, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DOT", program)
    for detail in (0, 1, 2):
        for backward in (True, False):
            options = {"detail": detail, "backward": backward, "theme": theme, "direction": direction}
            assert "<svg" in mg.draw(composed(), gradient=DY, **options).svg()
    assert mg.draw_pair(composed(), fused(), gradient=DY, theme=theme, direction=direction).png()[:4] == b"\x89PNG"


def test_save_by_ending(tmp_path, monkeypatch):
    if PURE is None and DOT is None:
        pytest.skip("no renderer here")
    drawing = mg.draw(fused(), gradient=DY)
    for ending in ("svg", "png", "dot", "gv", "json", "md"):
        path = drawing.save(tmp_path / f"x.{ending}")
        assert path.stat().st_size > 100
    with pytest.raises(ValueError, match=r"\.svg.*\.png"):
        drawing.save(tmp_path / "x.jpeg")
    with pytest.raises(ValueError, match="million pixels"):
        drawing.png(dpi=1200)
    with pytest.raises(FileNotFoundError):
        drawing.save(tmp_path / "nowhere" / "x.dot")


def test_two_shown_pictures_share_no_id():
    if PURE is None and DOT is None:
        pytest.skip("no renderer here")
    drawing = mg.draw(fused(), gradient=DY)
    first, second = (drawing._repr_mimebundle_()["image/svg+xml"] for _ in range(2))
    ids = [set(re.findall(r'\sid="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_cell_shows_a_picture_in_the_colours_of_its_notebook_and_a_png():
    if PURE is None and DOT is None:
        pytest.skip("no renderer here")
    drawing = mg.draw(fused(), gradient=DY)
    bundle = drawing._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"])[:4] == b"\x89PNG"
    svg = bundle["image/svg+xml"]
    ElementTree.fromstring(svg)
    assert "fe0b" not in svg
    for said in (
        "max-width:100%",
        "prefers-color-scheme:dark",
        "[data-jp-theme-light=false] svg.minigrad",
        ".vscode-dark",
    ):
        assert said in svg
    assert f"--page:{DARK['page']}" in svg
    assert "prefers-color-scheme" not in mg.draw(fused(), theme="dark")._repr_mimebundle_()["image/svg+xml"]
    assert mg.draw(fused(), gradient=DY, theme="auto").dot == drawing.dot  # DOT and PNG are light
    assert mg.draw_pair(fused(), composed(), theme="auto").svg().count("<style>") == 1


@pytest.mark.parametrize(
    ("option", "said"), [({"theme": "blue"}, "light"), ({"direction": "RL"}, "TB"), ({"detail": 3}, "0 .names")]
)
def test_wrong_options_are_said(option, said):
    with pytest.raises(ValueError, match=said):
        mg.draw(fused(), **option)


def test_numbers_that_are_not_finite_are_shouted():
    x = mg.tensor(np.array([0.0, 1.0, 2.0, np.inf]), requires_grad=True, name="x")
    assert "1/4 NAN/INF" in mg.draw(x * 2.0).dot
