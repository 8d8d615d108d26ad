"""A graph whose leaves were written since it was recorded says so: in the picture, the table, the data, the page."""

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def trained():
    """A loss, its net, and one step of the optimizer after the loss was recorded."""
    net = nn.MLP([3, 4, 1], rng=0)
    loss = mg.mean(mg.square(net(mg.tensor(np.eye(3), name="data")))).named("loss")
    loss.backward()
    mg.optim.SGD(net.parameters(), lr=0.1).step()
    return loss, net


def test_after_an_optimizers_step_the_picture_the_table_and_the_page_say_so():
    loss, net = trained()
    drawing = mg.draw(loss, names=net)
    g: Any = mg.graph(loss, names=net)
    (note,) = g.notes
    names = [name for name, _ in net.named_parameters()]
    assert note == (
        f"stale: {', '.join(names)} were written after this graph was recorded and hold newer values than the results "
        "were computed from, hence no gradients; run the forward again"
    )
    assert "stale: " + names[0] in drawing.dot
    assert drawing.dot.count("written after it was recorded") == len(names)
    assert note in str(drawing)
    assert note in drawing.markdown()
    assert all(f"{name}  &lt;- written" in str(g).replace("<", "&lt;") for name in names)
    assert {n.name for n in g if n.mark} == set(names)
    assert all(n.gradient is None for n in g)
    assert mg.drawing.Graph.from_json(g.to_json()).notes == (note,)
    assert mg.draw_pair(loss, loss, names=net).dot.count("stale: ") == 1


def test_the_page_says_so_at_every_step():
    pytest.importorskip("graphviz")
    loss, net = trained()
    try:
        page = mg.draw(loss, names=net).html()
    except mg.drawing.RendererNotFound:
        pytest.skip("no renderer here")
    caption = page[page.index("<figcaption>") : page.index("</figcaption>")]
    assert "stale: " in caption
    assert "run the forward again" in caption


def test_running_the_forward_again_is_what_it_takes():
    loss, net = trained()
    again = mg.mean(mg.square(net(np.eye(3))))
    assert mg.graph(loss).notes
    assert mg.graph(again).notes == ()
    again.backward()
    g: Any = mg.graph(again)
    assert g.notes == ()
    assert not any(n.mark for n in g)
    assert all(n.gradient is not None for n in g if n.needs)


def test_where_no_rule_reads_what_was_written_the_gradients_stay():
    x, b = mg.tensor([1.0, 2.0], requires_grad=True, name="x"), mg.tensor([0.5, 0.5], requires_grad=True, name="b")
    y = (x * 3.0 + b).named("y")
    b.data = np.array([7.0, 8.0])
    g: Any = mg.graph(y, gradient=np.ones(2))
    assert g["b"].gradient.sample == (1.0, 1.0)
    assert g["b"].value.sample == (7.0, 8.0)
    assert g["y"].value.sample == (3.5, 6.5)
    assert g.notes == (
        "stale: b was written after this graph was recorded and holds a newer value than the results were computed "
        "from; run the forward again",
    )


@pytest.mark.parametrize("shared", ["detached", "view"])
def test_writing_through_an_alias_counts(shared):
    w = mg.tensor([1.0, 2.0], requires_grad=True, name="w")
    y = mg.reshape(w, (2, 1)) * 2.0 if shared == "view" else w * w
    w.detach().data = np.array([5.0, 5.0])
    assert mg.graph(y).notes[0].startswith("stale: w was written after")


def test_the_users_own_name_is_said_and_many_are_counted():
    ws = [mg.tensor(float(k), requires_grad=True) for k in range(9)]
    y = mg.sum(mg.stack(ws))
    for w in ws:
        w.data = 1.0
    assert mg.graph(y, names={"ws": ws}).notes[0].startswith("stale: ws[0], ws[1], ws[2] and 6 more were written")
    one = mg.graph(ws[0] * 1.0, names={"mine": ws[0]})
    assert one.notes == ()  # recorded after it was written


def test_an_asked_for_gradient_is_still_an_error():
    w = mg.tensor([1.0, 2.0], requires_grad=True, name="w")
    y = w * w
    w.data = np.zeros(2)
    with pytest.raises(RuntimeError, match=r"mul needs w: .* was written \(as w\) after mul was recorded; run the"):
        mg.draw(y, gradient=np.ones(2))
