"""What is done to the SVG that Graphviz writes, and files that appear whole. Knows fonts; nothing of graphs."""

from __future__ import annotations

import re
from pathlib import Path

from .._support.files import written_aside
from .theme import DARK, LIGHT, MONO, MONO_STACK, SANS, SANS_STACK, SENTINEL, Palette
from .words import escaped


def bare(rendered: bytes) -> str:
    """The <svg> element alone, without comments and without the native tooltips that show ids.

    The names of frames are moved to the end and get a rim in the colour of the frame: no edge runs through a word.
    """
    text = rendered.decode("utf-8", "replace")
    svg = re.sub(r"<!--.*?-->\n?|<title>.*?</title>\n?", "", text[text.index("<svg") :], flags=re.DOTALL)
    frames = r'(<g id="[^"]*" class="cluster">\n<(?:path|polygon) fill="([^"]*)"[^>]*>\n)(.*?)(</g>\n)'
    labels: list[str] = []

    def lifted(found: re.Match[str]) -> str:
        head, fill, label, end = found.groups()
        halo = f'<text paint-order="stroke" stroke="{fill}" stroke-width="4" stroke-linejoin="round"'
        labels.append(label.replace("<text", halo))
        return head + end

    svg = re.sub(frames, lifted, svg, flags=re.DOTALL)
    at = svg.rindex("</g>")
    return svg[:at] + "".join(labels) + svg[at:]


def dressed(rendered: bytes, title: str = "", about: str = "") -> str:
    """The SVG as readers should get it: fonts that every reader has, never wider than the page, told to who cannot see.

    title and about are what a screen reader says of it.
    """
    svg = bare(rendered)
    for family, fallback, stack in ((MONO, "monospace", MONO_STACK), (SANS, "sans-Serif", SANS_STACK)):
        svg = re.sub(f'font-family="{family}(,{fallback})?"', f'font-family="{stack}"', svg)
    svg = svg.replace("<svg ", '<svg role="img" style="max-width:100%;height:auto" ', 1)
    told = f"<title>{escaped(title or 'graph')}</title>\n<desc>{escaped(about)}</desc>\n"
    at = svg.index(">", svg.index("<svg")) + 1
    svg = f"{svg[:at]}\n{told}{svg[at:].lstrip()}"
    return svg if svg.endswith("\n") else svg + "\n"


ROLE_OF = {colour: role for role, colour in SENTINEL.items()}
ROLES = "".join(f".f-{role}{{fill:var(--{role})}}.s-{role}{{stroke:var(--{role})}}" for role in LIGHT)


def by_role(svg: str) -> str:
    """What was drawn in colours that stand for roles, with classes in their place: f-ink fills, s-ink strokes."""
    return re.sub(r"<(?:polygon|path|text|ellipse|polyline|rect|g)\b[^>]*>", _classed, svg)


def _classed(found: re.Match[str]) -> str:
    tag = found.group()
    classes = []
    for what in ("fill", "stroke"):
        colour = re.search(rf' {what}="(#fe0b[0-9a-f]{{2}})"', tag)
        if colour:
            tag = tag.replace(colour.group(), "")
            classes.append(f"{what[0]}-{ROLE_OF[colour.group(1)]}")
    tag = re.sub(r' font-family="[^"]*"', "", tag)
    if not classes:
        return tag
    end = "/>" if tag.endswith("/>") else ">"
    return f'{tag[: -len(end)]} class="{" ".join(classes)}"{end}'


def variables(colours: Palette) -> str:
    """A palette as variables of CSS."""
    return "".join(f"--{role}:{colour};" for role, colour in colours.items())


def adaptive(svg: str) -> str:
    """What was drawn in colours of roles, as one picture that is dark where the notebook is, or else the system.

    JupyterLab, VS Code and Colab are asked by what they write on their pages; inside an <img> it is the color-scheme
    of the page that counts.
    """
    own, dark = "svg.minigrad", variables(DARK)
    hosts = ", ".join(f"{host} {own}" for host in ("[data-jp-theme-light=false]", ".vscode-dark", "html[theme=dark]"))
    style = (
        f"{own}{{{variables(LIGHT)}font-family:{MONO_STACK}}}{ROLES}@media(prefers-color-scheme:dark){{{own}{{{dark}}}}}"
        f"[data-jp-theme-light=true] {own}{{{variables(LIGHT)}}}{hosts}{{{dark}}}"
    )
    at = svg.index("<g")
    return by_role(f"{svg[:at]}<style>{style}</style>\n{svg[at:]}").replace("<svg ", '<svg class="minigrad" ', 1)


def in_light(dot: str) -> str:
    """DOT text that is coloured by roles, in the light colours."""
    return re.sub("#fe0b[0-9a-f]{2}", lambda found: LIGHT[ROLE_OF[found.group()]], dot)


def points(svg: str) -> tuple[float, float]:
    """Width and height of its view box."""
    found = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', svg)
    return (float(found.group(1)), float(found.group(2))) if found else (100.0, 100.0)


def smallest_text(svg: str, room: tuple[float, float | None]) -> float:
    """The height of the smallest letters, in px, where the picture is shown in so many px: as it is, or scaled down."""
    wide, high = (size * 4 / 3 for size in points(svg))  # Graphviz counts points, of 72 an inch; a browser px, of 96
    scale = min(1.0, room[0] / wide, 1.0 if room[1] is None else room[1] / high)
    return min([float(s) for s in re.findall(r'<text[^>]* font-size="([\d.]+)"', svg)], default=99.0) * scale * 4 / 3


def without_links(svg: str) -> str:
    """The same without the <a> elements that carry tooltips: a third of the bytes."""
    return re.sub(r"<a [^>]*>\n?|</a>\n?", "", svg)


def with_own_ids(svg: str, prefix: str) -> str:
    """The same SVG with every id prefixed, so that many pictures can stand on one page."""
    return re.sub(r'(\sid=")', rf"\g<1>{prefix}", svg)


def write(target: Path, content: str | bytes) -> Path:
    """Write aside, then rename: the file appears whole or not at all."""
    with written_aside(target) as file:
        file.write(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    return target
