"""Every picture in docs/ is shown, light and dark, is small, and is what its command draws today."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from examples.doc_pictures import PICTURES, THEMES, main
from minigrad.fast import chosen
from tests.drawing.ladders import boxes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
PAGES = sorted((ROOT / "docs").glob("*.md"))
LARGEST = 60_000  # bytes


def words(svg):
    return {html.unescape(text).replace("\xa0", " ").strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)}


def test_every_page_is_listed():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"({page.name})" not in index] == []


def test_what_the_pages_show_is_there():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r'(?:src|srcset)="([^"]+)"', text):
            assert (page.parent / target).is_file(), f"{page.name} shows {target}"


@pytest.mark.parametrize("name", PICTURES)
def test_each_is_shown_in_both_themes_and_named_with_its_command(name):
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    shown = [text for text in pages if f'src="pictures/{name}.svg"' in text]
    assert len(shown) == 1
    assert f'<source media="(prefers-color-scheme: dark)" srcset="pictures/{name}-dark.svg">' in shown[0]
    commands = re.findall(r"`python -m examples\.doc_pictures ([^`]*) --out docs/pictures`", shown[0])
    assert any(name in command.split() for command in commands)


@pytest.mark.parametrize("name", sorted(PICTURES.keys() - {"ladder"}))  # which has a test of its own below
@pytest.mark.parametrize("theme", THEMES)
def test_each_is_small_and_up_to_date(name, theme):
    if name == "replayed-step" and chosen() == "reference":
        pytest.skip("drawn of a program with kernels; without them rules are seen op by op")
    path = FOLDER / f"{name}{THEMES[theme]}.svg"
    svg = path.read_text(encoding="utf-8")
    assert len(svg) < LARGEST
    drawing = PICTURES[name](theme=theme)
    colour = {"light": "#ffffff", "dark": "#0f1419"}[theme]
    assert colour in svg.lower()
    said = " ".join(words(svg))
    for node in drawing.graph.nodes:
        assert node.name in said
        assert not node.expression or node.short in said, f"run python -m examples.doc_pictures {name}"
        assert node.mark in said


@pytest.mark.parametrize("theme", THEMES)
def test_the_ladder_says_what_it_says_today_and_can_be_read_at_the_readmes_width(theme):
    svg = (FOLDER / f"ladder{THEMES[theme]}.svg").read_text(encoding="utf-8")
    found = boxes(svg)
    assert [box.said for box in found] == [box.said for box in boxes(PICTURES["ladder"](theme=theme).svg())]
    assert min(box.size for box in found) >= 11
    assert 'width="830"' in svg
    assert len(svg) < LARGEST
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert 'srcset="docs/pictures/ladder-dark.svg"' in readme
    assert 'src="docs/pictures/ladder.svg"' in readme


def test_the_command_writes_both_themes_and_refuses_what_it_does_not_know(tmp_path, capsys):
    assert main(["first-graph", "--out", str(tmp_path / "new")]) == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["first-graph-dark.svg", "first-graph.svg"]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["nothing", "--out", str(tmp_path / "other")])
    assert "there is no picture 'nothing'; there are first-graph" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
