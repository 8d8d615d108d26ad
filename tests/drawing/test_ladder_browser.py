"""The ladder in a real Chromium: no text is wider than its box; nothing that axe-core finds, where it is at hand."""

import os
from pathlib import Path

import pytest

import minigrad as mg

from .ladders import GRAPHS, boxes
from .test_browser import browser, pytestmark  # noqa: F401

AXE = os.environ.get("MINIGRAD_AXE", "")  # path of axe.min.js, from the npm package axe-core
TOLD = ["batch norm", "fused", "mlp", "rnn", "second_order", "not_finite", "long_names"]
LENGTHS = "[...document.querySelectorAll('text')].map(t => [t.textContent, t.getComputedTextLength()])"


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("width", [830, 390])
def test_no_text_is_wider_than_the_layout_took_it_for(browser, name, width):  # noqa: F811
    svg = mg.ladder(GRAPHS[name](), width=width, title=name).svg()
    page = browser.new_page()
    page.set_content(svg)
    found = page.evaluate(LENGTHS)
    page.close()
    room = [(box.said, box.right - box.left) for box in boxes(svg)]
    assert [said for said, _ in found] == [said for said, _ in room]
    assert [said for (said, width), (_, most) in zip(found, room, strict=True) if width > most + 0.5] == []


@pytest.mark.skipif(not AXE, reason="MINIGRAD_AXE does not name an axe.min.js")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", TOLD)
def test_axe_finds_nothing(browser, name, theme):  # noqa: F811
    page = browser.new_page()
    svg = mg.ladder(GRAPHS[name](), theme=theme).svg()
    page.set_content(f"<!doctype html><html lang=en><title>ladder</title><main><h1>Ladder</h1>{svg}</main></html>")
    page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    page.close()
    assert found["passes"]
    assert [(violation["id"], violation["help"]) for violation in found["violations"]] == []
