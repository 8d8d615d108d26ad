"""Colours by role, light and dark, and fonts. Six digits always: Debian's Graphviz draws "#eee" as black.

Nothing is told by colour alone: shape, border width, a word or a dash says it too. A test computes the contrast.
"""

from __future__ import annotations

MONO, SANS = "Courier", "Helvetica"  # the two families whose metrics every Graphviz knows
MONO_STACK = "ui-monospace,SF Mono,Menlo,DejaVu Sans Mono,Liberation Mono,Consolas,Courier New,monospace"
SANS_STACK = "Helvetica,Arial,Liberation Sans,Arimo,Nimbus Sans,sans-serif"

# kinds of leaves, and the words of the legend; their roles are <kind>_fill, _line and _ink
LEAVES = {
    "input": "input: from outside this part",
    "data": "data",
    "buffer": "buffer of a module",
    "leaf": "leaf that wants a gradient",
    "parameter": "parameter of a module",
}
BARS = {"op": ("op", ""), "fused": ("fused op", "fused_"), "module": ("module", "module_")}  # kind: (word, roles)

Palette = dict[str, str]
TINTS = 10


def _together(roles: str, light: str, dark: str) -> dict[str, tuple[str, str]]:
    return dict(zip(roles.split(), zip(light.split(), dark.split(), strict=True), strict=True))


def _tints(role: str, light: str, dark: str) -> dict[str, tuple[str, str]]:
    """Ten tints of the page: how far a number of a heat map is above zero, or below."""
    shares = {k: 0.6 * k / TINTS for k in range(1, TINTS + 1)}
    return {f"{role}_{k}": (_mixed("#FFFFFF", light, s), _mixed("#0F1419", dark, s)) for k, s in shares.items()}


def _mixed(a: str, b: str, share: float) -> str:
    """The colour `share` of the way from a to b."""
    parts = [(int(a[k : k + 2], 16), int(b[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(x + (y - x) * share):02X}" for x, y in parts)


_ROLES = {  # role: (light, dark)
    "page": ("#FFFFFF", "#0F1419"),
    "ink": ("#0F172A", "#E6EDF3"),
    "value": ("#0F172A", "#E6EDF3"),
    "muted": ("#475569", "#A9B6C5"),
    "forward": ("#334155", "#B4C0CE"),
    "bar": ("#334155", "#43536A"),
    "bar_ink": ("#FFFFFF", "#FFFFFF"),
    "body": ("#FFFFFF", "#18212B"),
    "line": ("#64748B", "#6B7C90"),
    "slot": ("#E8EDF3", "#253140"),
    **_together("input_fill input_line input_ink", "#E6F0FB #1D4F91 #1D4F91", "#12304F #7DB7F0 #A9D1F8"),
    **_together("data_fill data_line data_ink", "#E6F0FB #1D4F91 #1D4F91", "#12304F #7DB7F0 #A9D1F8"),
    **_together("buffer_fill buffer_line buffer_ink", "#F1F5F9 #64748B #334155", "#1E2732 #8494A7 #C3CFDB"),
    **_together("leaf_fill leaf_line leaf_ink", "#E4F4EA #14713D #116235", "#12351F #6CCB8F #9ADFB4"),
    **_together("parameter_fill parameter_line parameter_ink", "#E4F4EA #14713D #116235", "#12351F #6CCB8F #9ADFB4"),
    **_together("fused_bar fused_body fused_line", "#5B21B6 #F8F5FE #5B21B6", "#6D3FD6 #211A36 #A98BF5"),
    **_together("module_bar module_body module_line", "#0F766E #F0FAF8 #0F766E", "#0F6B64 #10282A #4FBDB1"),
    "saved_fill": ("#FDE9A9", "#54400F"),
    "saved_ink": ("#6B3A05", "#F8D58A"),
    "gradient": ("#B42318", "#FF9486"),
    "gradient_value": ("#B42318", "#FF9486"),
    "gradient_fill": ("#FDECEA", "#3D1D1A"),
    "active": ("#B45309", "#FFC24B"),
    "wrong": ("#B42318", "#B93A2C"),
    **_tints("above", "#1D4ED8", "#4C7DF0"),
    **_tints("below", "#C2410C", "#D9622B"),
    "cluster_a": ("#F6F8FB", "#141B23"),
    "cluster_b": ("#EDF1F6", "#1B252F"),
    "cluster_line": ("#94A3B8", "#4A5A6C"),
    "cluster_ink": ("#334155", "#C3CFDB"),
    # how much, in five steps, and the ink on each
    **_together(
        " ".join(f"shade_{k}" for k in range(5)),
        "#EEF3FB #C9DBF3 #93B8E6 #2F65B0 #123F80",
        "#17202B #1F3550 #2A5285 #7FB0EA #C4DCFB",
    ),
    **_together(
        " ".join(f"shade_ink_{k}" for k in range(5)),
        "#0F172A #0F172A #0F172A #FFFFFF #FFFFFF",
        "#E6EDF3 #E6EDF3 #FFFFFF #0F172A #0F172A",
    ),
    **_together(
        " ".join(f"match_{k}" for k in range(8)),
        # far apart for every eye: a test computes it for normal, red-blind and green-blind sight
        "#0077AA #777700 #000077 #007766 #5566EE #333300 #0000FF #000022",
        "#4466FF #AA6600 #664444 #7766BB #776688 #0000FF #773311 #6611AA",
    ),
}
LIGHT: Palette = {role: light for role, (light, _) in _ROLES.items()}
DARK: Palette = {role: dark for role, (_, dark) in _ROLES.items()}

# The page draws once and colours by CSS: every role gets a colour of its own that is then replaced by a variable.
SENTINEL: Palette = {role: f"#fe0b{k:02x}" for k, role in enumerate(LIGHT)}

THEMES = {"light": LIGHT, "dark": DARK, "auto": SENTINEL}
SHADES = 5
MATCHES = 8  # colours for what belongs together
