"""A contact sheet: many pictures on one SVG, each light and dark beside the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from minigrad.drawing.svg import points, with_own_ids, without_links
from minigrad.drawing.theme import DARK, LIGHT, MONO_STACK, SANS_STACK
from minigrad.drawing.words import escaped

WIDTH, HEIGHT, GAP, HEAD = 620, 860, 24, 46  # of a cell, in SVG units


def contact_sheet(pictures: Sequence[tuple[str, Any, Any]], *, title: str = "") -> str:
    """One SVG of (caption, light picture, dark picture) rows; every picture keeps its proportions."""
    parts: list[str] = []
    y: float = HEAD + GAP
    for k, (caption, light, dark) in enumerate(pictures):
        row = [_fitted(picture.svg(), f"s{k}{theme}-") for picture, theme in ((light, "l"), (dark, "d"))]
        height = max(h for _, _, h in row)
        parts.append(f'<rect x="{GAP + WIDTH + GAP // 2}" y="{y}" width="{WIDTH + GAP}" ')
        parts.append(f'height="{height + HEAD}" fill="{DARK["page"]}"/>')
        for column, (svg, width, _) in enumerate(row):
            x = GAP + column * (WIDTH + GAP)
            ink = (LIGHT if column == 0 else DARK)["ink"]
            parts.append(_text(x, y + 26, caption, 15, ink))
            parts.append(svg.replace("<svg ", f'<svg x="{x + (WIDTH - width) / 2:.0f}" y="{y + HEAD - 8}" ', 1))
        y += height + HEAD + GAP
    total = 2 * WIDTH + 3 * GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {total} {y:.0f}" width="{total}" height="{y:.0f}">'
        f"<style>.m{{font-family:{MONO_STACK}}}.h{{font-family:{SANS_STACK}}}</style>"
        f'<rect width="{total}" height="{y:.0f}" fill="{LIGHT["page"]}"/>'
    )
    return head + _text(GAP, 44, title, 24, LIGHT["ink"]) + "\n".join(parts) + "</svg>\n"


def _text(x: float, y: float, said: str, points: int, ink: str) -> str:
    return (
        f'<text x="{x}" y="{y:.0f}" font-family="{SANS_STACK}" font-size="{points}" font-weight="bold" '
        f'fill="{ink}">{escaped(said)}</text>'
    )


def _fitted(svg: str, prefix: str) -> tuple[str, float, float]:
    """(the picture scaled to a cell and with ids of its own, its width, its height)."""
    w, h = points(svg)
    scale = min(WIDTH / w, HEIGHT / h, 1.2)
    size = f'width="{w * scale:.0f}" height="{h * scale:.0f}"'
    svg = re.sub(r'<svg style="[^"]*" width="[^"]*"\s+height="[^"]*"', f"<svg {size}", svg, count=1)
    svg = (
        without_links(svg)
        .replace(f' font-family="{MONO_STACK}"', ' class="m"')
        .replace(f' font-family="{SANS_STACK}"', ' class="h"')
    )
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    svg = re.sub(r"<[^>]*>", _shorter, svg).replace("\n", "")
    return with_own_ids(svg, prefix), w * scale, h * scale


def _shorter(tag: re.Match[str]) -> str:
    """Coordinates to a tenth of a point; only inside a tag, never in what the picture says."""
    return re.sub(r"(\d)\.00\b|(\d\.\d)\d\b", r"\1\2", tag.group())
