"""Every committed picture can be read where it is shown, light and dark, and is what its command draws today."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from examples.diagrams import DIAGRAMS
from examples.doc_pictures import PICTURES, THEMES, main
from minigrad.drawing import renderer
from minigrad.drawing.svg import smallest_text
from minigrad.fast import chosen
from minigrad.program.words import cut
from tests.drawing.ladders import boxes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LARGEST = 155_000  # bytes; the backward of batch norm, twice, takes 150,311
PAGE = 830  # px: how wide GitHub shows a page
READABLE = {ROOT / "README.md": 11.0}  # px: the least height of letters; 10 elsewhere


def words(svg):
    """What a picture says; how large a rounding error is depends on the kernels."""
    found = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    said = {html.unescape(text).replace("\xa0", " ").strip() for text in found}
    return sorted({re.sub(r"\d\.\d+e-1[4-9]", "rounding", text) for text in said})


def shown_on(page):
    """(picture, px that it is shown in) of every picture on a page."""
    text = page.read_text(encoding="utf-8")
    for target, width in re.findall(r'<img alt="[^"]*" src="([^"]+\.svg)"(?: width="(\d+)")?', text):
        yield (page.parent / target).resolve(), min(PAGE, int(width or PAGE))
    yield from (((page.parent / target).resolve(), PAGE) for target in re.findall(r"!\[[^]]*\]\(([^)]+\.svg)\)", text))


def test_every_page_is_listed():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in PAGES} - {"README.md"}
    assert [name for name in sorted(pages) if f"({name})" not in index] == []


def test_what_the_pages_show_is_there():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r'(?:src|srcset)="([^"]+)"', text):
            assert (page.parent / target).is_file(), f"{page.name} shows {target}"


@pytest.mark.parametrize("name", PICTURES)
def test_each_is_shown_in_both_themes_and_named_with_its_command(name):
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    shown = [text for text in pages if f'pictures/{name}.svg"' in text]
    assert len(shown) == (2 if name == "ladder" else 1)  # which is in the README and explained in docs/pictures.md
    dark = rf'<source media="\(prefers-color-scheme: dark\)" srcset="(docs/)?pictures/{name}-dark.svg">'
    assert all(re.search(dark, text) for text in shown)
    commands = re.findall(r"`python -m examples\.doc_pictures ([^`]*) --out docs/pictures`", "".join(pages))
    assert any(name in command.split() for command in commands)


@pytest.mark.parametrize("name", sorted(PICTURES.keys() - {"ladder"}))  # which has a test of its own below
@pytest.mark.parametrize("theme", THEMES)
def test_each_is_small_and_up_to_date(name, theme):
    if name == "replayed-step" and chosen() == "reference":
        pytest.skip("drawn of a program with kernels; without them rules are seen op by op")
    if name == "precision" and chosen() == "reference":
        pytest.skip("drawn with kernels, whose sums of float32 round otherwise in the last digit")
    path = FOLDER / f"{name}{THEMES[theme]}.svg"
    svg = path.read_text(encoding="utf-8")
    assert len(svg) < LARGEST
    drawing = PICTURES[name](theme=theme, width="readme")
    colour = {"light": "#ffffff", "dark": "#0f1419"}[theme]
    assert colour in svg.lower()
    # what a picture says does not depend on the renderer; what has room on it does
    if renderer.programs()[0] == renderer._pure():
        assert words(svg) == words(drawing.svg()), f"run python -m examples.doc_pictures {name} --out docs/pictures"
    said = " ".join(words(svg))
    graphs = drawing.graphs().values()
    assert all(cut(node.name, 24) in said for graph in graphs for node in graph if node.kind != "module")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_can_be_read_where_it_is_shown(page):
    for path, width in shown_on(page):
        size = smallest_text(path.read_text(encoding="utf-8"), (width, None))
        assert size >= READABLE.get(page, 10.0), f"{path.name}: letters of {size:.1f} px at {width} px"


def test_every_committed_picture_is_shown_and_measured():
    shown = {path for page in PAGES for path, _ in shown_on(page)}
    light = {path.resolve() for path in FOLDER.rglob("*.svg") if not path.stem.endswith("-dark")}
    assert light == shown
    for path in light:
        dark = path.with_name(f"{path.stem}-dark.svg")
        assert words(dark.read_text("utf-8")) == words(path.read_text("utf-8"))


@pytest.mark.skipif(renderer._pure() is None, reason="no graphviz-pure here")
@pytest.mark.parametrize("name", DIAGRAMS)
def test_the_seeds_diagrams_can_be_read_on_a_page(name, monkeypatch):
    monkeypatch.delenv("MINIGRAD_DOT", raising=False)
    svg = DIAGRAMS[name](width="readme").svg()
    assert smallest_text(svg, (PAGE, None)) >= 10.0


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
    assert "there is no picture 'nothing'; there are side-by-side" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
