"""Graphs that the ladder's tests draw, and the boxes of the texts in its SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from examples import diagrams
from minigrad import nn
from minigrad.drawing import Graph
from minigrad.drawing.blocks import LETTER, width_of

from .examples import DY, composed, fused, leaves

SVG = "{http://www.w3.org/2000/svg}"


def leaf(name: str, *shape: int, learns: bool = True) -> Any:
    return mg.tensor(np.random.default_rng(len(name)).normal(size=shape), requires_grad=learns, name=name)


def mlp() -> Any:
    y = nn.MLP([2, 8, 8, 1], norm="batch", rng=0)(leaf("x", 6, 2)).sum().named("y")
    y.backward()
    return y


def rnn(steps: int = 6) -> Any:
    w, u, b, h = leaf("W", 4, 4), leaf("U", 3, 4), leaf("b", 4), mg.zeros((2, 4))
    for t in range(steps):
        h = mg.tanh(h @ w + leaf(f"x{t}", 2, 3, learns=False) @ u + b).named(f"h{t}")
    loss = h.sum().named("loss")
    loss.backward()
    return loss


def attention() -> Any:
    q, k, v = leaf("q", 2, 5, 4), leaf("k", 2, 5, 4), leaf("v", 2, 5, 4)
    y = (mg.softmax(q @ mg.swapaxes(k, -1, -2) / 2.0, axis=-1).named("share") @ v).sum()
    y.backward()
    return y


def second_order() -> Any:
    of = leaves()
    dx = mg.grad(composed(of=of), of[0], gradient=DY, create_graph=True).named("dx")
    return mg.graph(dx, gradient=np.arange(12.0).reshape(4, 3))


def views() -> Any:
    x = leaf("x", 4, 6)
    y = (x.reshape(2, 12)[:, ::2].sum() * mg.transpose(x)[1].sum()).named("y")
    y.backward()
    return y


def single_numbers() -> Any:
    a, b = mg.tensor(2.0, requires_grad=True, name="a"), mg.tensor(-3.0, requires_grad=True, name="b")
    y = mg.relu(a * b + a * a + 10.0)
    y.backward()
    return y


def empty() -> Any:
    y = (leaf("x", 0, 3) * 2.0).sum()
    y.backward()
    return y


def long_names() -> Any:
    x = leaf("a_name_that_goes_on_" * 20, 3, 2)
    return mg.graph((mg.exp(x * x).named("another_long_one_" * 9) + x).named("z" * 300), gradient=np.ones((3, 2)))


def wide_letters() -> Any:
    x = leaf("\u6279\u91cf\u6b63\u89c4\u5316" * 6, 3, 2)
    with mg.scope("\u7edf\u8ba1" * 9):
        y = mg.square((x - x.mean(axis=0)).named("\u4e2d\u5fc3\U0001f600")).named("\u5e73\u65b9")
    return mg.graph(y, gradient=np.ones((3, 2)))


def not_finite() -> Any:
    x = mg.tensor([[1.0, -1.0, 0.0], [np.inf, 2.0, 3.0]], requires_grad=True, name="x")
    with np.errstate(all="ignore"):
        y = mg.log(x).named("y")
        z = (y * y).sum().named("z")
        z.backward()
    return z


def tiny() -> Any:
    x = mg.tensor(np.array([[1.0, -2.5], [0.0, 3.25]]) * 1e-9, requires_grad=True, name="x")
    return mg.graph((x * 1e12).named("y"), gradient=np.full((2, 2), 1e-20))


def many_uses() -> Any:
    x = leaf("x", 2, 2)
    y = x
    for _ in range(9):
        y = y * x + mg.sin(x)
    return mg.graph(y.named("y"), gradient=np.ones((2, 2)))


def skips() -> Any:
    parts = [mg.sin(leaf(f"p{k}", 2, 2)) for k in range(14)]
    y = parts[-1]
    for part in parts[-2::-1]:
        y = y + part
    for part in parts:
        y = y * part
    return mg.graph(y.named("y"), gradient=np.ones((2, 2)))


def from_json() -> Any:
    y = mg.tanh(leaf("x", 40, 50)).sum()
    y.backward()
    return Graph.from_json(mg.graph(y).to_json())


def written_later() -> Any:
    w = leaf("w", 2, 2)
    y = (w * w).sum()
    y.backward()
    mg.optim.SGD([w], lr=0.1).step()
    return y


GRAPHS: dict[str, Any] = {
    "batch norm": lambda: mg.graph(composed(), gradient=DY),
    "three terms": lambda: mg.graph(composed("primitive"), gradient=DY),
    "fused": lambda: mg.graph(fused(), gradient=DY),
    "leaf alone": lambda: leaf("x", 2, 2),
    "8 x 6": lambda: mg.graph((leaf("x", 8, 6) @ leaf("w", 6, 6)).named("y"), gradient=np.ones((8, 6))),
    "five axes": lambda: mg.graph(mg.tanh(leaf("x", 2, 1, 2, 2, 3)), gradient=np.ones((2, 1, 2, 2, 3))),
    "list": lambda: mg.concatenate([leaf(f"part{k}", 2, 2) for k in range(12)]),
    "labels": lambda: mg.graph(mg.cross_entropy(leaf("logits", 4, 3), np.array([0, 2, 1, 1])), gradient=1.0),
    "modules": lambda: mg.ladder(mlp(), depth=0).graph,
}
GRAPHS |= {f.__name__: f for f in (mlp, rnn, attention, second_order, views, single_numbers, empty, long_names)}
GRAPHS |= {f.__name__: f for f in (wide_letters, not_finite, tiny, many_uses, skips, from_json, written_later)}
GRAPHS |= {name: lambda f=f: next(iter(f().graphs().values())) for name, f in diagrams.DIAGRAMS.items()}


class Box(NamedTuple):
    """A text of a picture: what it says, its size, and where it stands."""

    said: str
    size: float
    left: float
    top: float
    right: float
    bottom: float


def boxes(svg: str) -> list[Box]:
    """Every text, with the room that its letters take at most."""
    found = []

    def walk(element: ElementTree.Element, anchor: str) -> None:
        anchor = element.get("text-anchor", anchor)
        if element.tag == f"{SVG}text":
            said, size = element.text or "", float(element.get("font-size", LETTER))
            width = width_of(said, size) * (1.1 if element.get("font-family") else 1)
            x, y = float(element.get("x", "nan")), float(element.get("y", "nan"))
            x -= width if anchor == "end" else 0
            found.append(Box(said, size, x, y - 0.75 * size, x + width, y + 0.2 * size))
        for child in element:
            walk(child, anchor)

    walk(ElementTree.fromstring(svg), "start")
    return found


def overlaps(found: list[Box]) -> list[tuple[str, str]]:
    """Texts that stand on each other, by more than the half px that coordinates are rounded by."""
    found = sorted(found, key=lambda box: box.top)
    bad = []
    for k, a in enumerate(found):
        for b in found[k + 1 :]:
            if b.top >= a.bottom:
                break
            if a.left + 0.5 < b.right and b.left + 0.5 < a.right:
                bad.append((a.said, b.said))
    return bad


def row(svg: str, graph: Graph, name: str) -> list[str]:
    """The texts of one row."""
    found = [e for e in ElementTree.fromstring(svg).iter(f"{SVG}g") if e.get("id") == f"row-{graph[name].id}"]
    assert len(found) == 1
    return [text.text or "" for text in found[0].iter(f"{SVG}text")]
