"""The colours by role, light and dark. Six digits always: Debian's Graphviz draws "#eee" as black.

Nothing is told by colour alone: shape, border width, a word or a dash says it too. A test computes the contrast.
"""

from __future__ import annotations

MONO, SANS = "Courier", "Helvetica"  # the two families whose metrics every Graphviz knows
MONO_STACK = "ui-monospace,SF Mono,Menlo,DejaVu Sans Mono,Liberation Mono,Consolas,Courier New,monospace"
SANS_STACK = "Helvetica,Arial,Liberation Sans,Arimo,Nimbus Sans,sans-serif"

Palette = dict[str, str]

LIGHT: Palette = {
    "page": "#FFFFFF",
    "ink": "#0F172A",
    "value": "#0F172A",
    "muted": "#475569",
    "forward": "#334155",
    "bar": "#334155",
    "bar_ink": "#FFFFFF",
    "body": "#FFFFFF",
    "line": "#64748B",
    "slot": "#E8EDF3",
    "input_fill": "#E6F0FB",
    "input_line": "#1D4F91",
    "input_ink": "#1D4F91",
    "parameter_fill": "#E4F4EA",
    "parameter_line": "#14713D",
    "parameter_ink": "#116235",
    "constant_fill": "#F1F5F9",
    "constant_line": "#64748B",
    "constant_ink": "#334155",
    "fused_bar": "#5B21B6",
    "fused_body": "#F8F5FE",
    "fused_line": "#5B21B6",
    "module_bar": "#0F766E",
    "module_body": "#F0FAF8",
    "module_line": "#0F766E",
    "saved_fill": "#FDE9A9",
    "saved_ink": "#6B3A05",
    "gradient": "#B42318",
    "gradient_value": "#B42318",
    "gradient_fill": "#FDECEA",
    "wrong": "#B42318",
    "cluster_a": "#F6F8FB",
    "cluster_b": "#EDF1F6",
    "cluster_line": "#94A3B8",
    "cluster_ink": "#334155",
    "match_0": "#0369A1",
    "match_1": "#A3480B",
    "match_2": "#15703A",
    "match_3": "#A21B6B",
    "match_4": "#4F46C8",
    "match_5": "#6B6100",
    "match_6": "#0F6E73",
    "match_7": "#8A3A3A",
}

DARK: Palette = {
    "page": "#0F1419",
    "ink": "#E6EDF3",
    "value": "#E6EDF3",
    "muted": "#A9B6C5",
    "forward": "#B4C0CE",
    "bar": "#43536A",
    "bar_ink": "#FFFFFF",
    "body": "#18212B",
    "line": "#6B7C90",
    "slot": "#253140",
    "input_fill": "#12304F",
    "input_line": "#7DB7F0",
    "input_ink": "#A9D1F8",
    "parameter_fill": "#12351F",
    "parameter_line": "#6CCB8F",
    "parameter_ink": "#9ADFB4",
    "constant_fill": "#1E2732",
    "constant_line": "#8494A7",
    "constant_ink": "#C3CFDB",
    "fused_bar": "#6D3FD6",
    "fused_body": "#211A36",
    "fused_line": "#A98BF5",
    "module_bar": "#0F6B64",
    "module_body": "#10282A",
    "module_line": "#4FBDB1",
    "saved_fill": "#54400F",
    "saved_ink": "#F8D58A",
    "gradient": "#FF9486",
    "gradient_value": "#FF9486",
    "gradient_fill": "#3D1D1A",
    "wrong": "#B93A2C",
    "cluster_a": "#141B23",
    "cluster_b": "#1B252F",
    "cluster_line": "#4A5A6C",
    "cluster_ink": "#C3CFDB",
    "match_0": "#0B6FA8",
    "match_1": "#A4500F",
    "match_2": "#1B7340",
    "match_3": "#A32A70",
    "match_4": "#5A52CC",
    "match_5": "#6E6405",
    "match_6": "#12747A",
    "match_7": "#96454A",
}

# The page draws once and colours by CSS: every role gets a colour of its own that is then replaced by a variable.
SENTINEL: Palette = {role: f"#fe0b{k:02x}" for k, role in enumerate(LIGHT)}

MATCHES = 8


def palette(theme: str) -> Palette:
    """The colours of a theme, or a ValueError that names the two."""
    known = {"light": LIGHT, "dark": DARK, "sentinel": SENTINEL}
    if theme not in known:
        raise ValueError(f"theme={theme!r} must be 'light' or 'dark'")
    return known[theme]
