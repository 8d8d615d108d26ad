"""Graphs as a file for Google's Model Explorer, which searches and unfolds what is too large for a picture.

Scopes become its namespaces. Knows plain data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..program.words import shape
from .data import Graph, Node
from .layout import ancestors
from .words import clean, size


def explorer_json(graphs: Mapping[str, Graph], label: str) -> str:
    """The text of a graph collection: one graph for each of `graphs`."""
    made = [{"id": clean(name), "nodes": [_node(graph, node) for node in graph]} for name, graph in graphs.items()]
    return json.dumps({"label": clean(label), "graphs": made}, ensure_ascii=False)


def _node(graph: Graph, node: Node) -> dict[str, Any]:
    about = {
        "name": node.name,
        "expression": node.expression,
        "formula": node.formula,
        "value": node.value.brief,
        "gradient": "" if node.gradient is None else node.gradient.brief,
        "saved for backward": ", ".join(f"{saved.name} {size(saved.nbytes)}" for saved in node.own_saves),
        "forward, backward": f"{node.forward}, {node.backward}" if node.op else "",
    }
    about |= {f"sent to {slot.text}": slot.local for slot in node.inputs if slot.local}
    scopes = [clean(graph.scopes[k].name).replace("/", "|") for k in reversed(ancestors(graph, node.scope))]
    result = {"shape": shape(node.value.shape), "dtype": node.value.dtype}
    return {
        "id": node.id,
        "label": clean(node.op or node.name),
        "namespace": "/".join(scopes),
        "attrs": _attributes(about),
        "incomingEdges": [
            {"sourceNodeId": slot.node, "sourceNodeOutputId": "0", "targetNodeInputId": str(k)}
            for k, slot in enumerate(node.inputs)
            if slot.node is not None
        ],
        "outputsMetadata": [{"id": "0", "attrs": _attributes(result)}],
    }


def _attributes(about: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": clean(key), "value": clean(value)} for key, value in about.items() if value]
