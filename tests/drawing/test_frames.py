"""One picture a step, and the file for Model Explorer."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import minigrad as mg
from minigrad.drawing import renderer

from .examples import DY, composed, fused

drawn = pytest.mark.skipif(not renderer._pure() and not shutil.which("dot"), reason="no renderer here")


def pale(svg):
    return set(re.findall(r'<g opacity="0.15" id="([^"]+)"', svg))


@drawn
def test_one_picture_a_step_all_of_one_size(tmp_path):
    y = composed("primitive")
    drawing = mg.draw(y, gradient=DY)
    files = drawing.frames(tmp_path / "steps")
    assert [file.name for file in files] == [f"step-{k:02d}.svg" for k in range(8 + 8 + 1)]
    texts = [file.read_text("utf-8") for file in files]
    for text in texts:
        ElementTree.fromstring(text)
    assert len({re.search('viewBox="[^"]*"', text).group() for text in texts}) == 1  # type: ignore[union-attr]
    ops = {f"n-{node.id}" for node in drawing.graph if node.op}
    assert {name for name in pale(texts[0]) if name.startswith("n-")} == ops
    hidden = [len([n for n in pale(text) if n.startswith("n-")]) for text in texts]
    assert hidden == [8, 7, 6, 5, 4, 3, 2, 1] + [0] * 9
    assert pale(texts[-1]) == set()
    assert [text.count("<rect") for text in texts] == [0] + [1] * 16
    seen = [len(re.findall(">grad[^<]*<", text)) for text in texts]
    assert seen == sorted(seen)
    assert (seen[7], seen[8], seen[-1]) == (0, 1, 11)  # the cotangent is there when the backward pass begins


@drawn
def test_a_pair_has_a_folder_for_each(tmp_path):
    files = mg.draw_pair(composed("primitive"), fused(), gradient=DY).frames(tmp_path)
    assert {file.parent.name for file in files} == {"composed", "fused"}
    assert len(files) == 17 + 3


def test_scopes_are_namespaces_of_model_explorer(tmp_path):
    x = mg.tensor(np.eye(3), requires_grad=True, name="x")
    with mg.scope("a/b"), mg.scope("inner"):
        y = mg.batch_norm_composed(x).named("y")
    path = mg.draw(y, gradient=np.eye(3), title="one").save(tmp_path / "y.modelexplorer.json")
    held = json.loads(path.read_text("utf-8"))
    assert (held["label"], [g["id"] for g in held["graphs"]]) == ("one", ["one"])
    nodes = {n["id"]: n for n in held["graphs"][0]["nodes"]}
    div = next(n for n in nodes.values() if n["label"] == "div")
    assert div["namespace"] == "a|b/inner/normalize"
    assert all(edge["sourceNodeId"] in nodes for n in nodes.values() for edge in n["incomingEdges"])
    assert [e["targetNodeInputId"] for e in div["incomingEdges"]] == ["0", "1"]
    said = {a["key"]: a["value"] for a in div["attrs"]}
    assert said["expression"] == "centred / std"
    assert said["sent to centred"] == "g/std"
    assert div["outputsMetadata"][0]["attrs"][0] == {"key": "shape", "value": "(3, 3)"}
