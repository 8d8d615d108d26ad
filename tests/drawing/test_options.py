"""What `mg.draw`, `mg.draw_pair` and `mg.page` take: a wrong value is an error that names option, value and choices."""

import inspect
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.drawing.options import Options

WRONG: dict[str, tuple[list[Any], str]] = {
    "backward": ([None, 1, "no"], "True or False"),
    "depth": ([-1, 1.0, "1", True], "None, or 0"),
    "detail": ([3, -1, 1.0, True, "all"], "0 (names), 1 (and shapes) or 2 (and numbers)"),
    "direction": (["RL", "tb", None, 0], "'TB' (top to bottom) or 'LR' (left to right)"),
    "theme": (["pink", "sentinel", None], "'light', 'dark' or 'auto'"),
    "title": ([None, 3], "a text"),
    "max_nodes": ([0, -5, 10.0, None, True], "at least 1"),
    "fold": ([1, "yes"], "None (where there are more than 40 cards), True or False"),
    "legend": ([None, 0], "True or False"),
    "tables": ([None, "no"], "True or False"),
    "width": ([0, 99, 830.0, "blog", True], "'readme', 'notebook', 'slide', 'column'"),
    "module": ([3, ["affine"]], "None or the name of a scope"),
}


def y():
    return mg.tensor([1.0, 2.0], requires_grad=True, name="x") * 2.0


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("function", [mg.draw, mg.draw_pair, mg.page], ids=lambda f: f.__name__)
def test_a_wrong_value_names_option_value_and_choices(name, function, tmp_path):
    if name not in inspect.signature(function).parameters:
        return
    arguments = {mg.draw: (y(),), mg.draw_pair: (y(), y()), mg.page: (y(), tmp_path / "x.html")}[function]
    for value in WRONG[name][0]:
        with pytest.raises(ValueError, match=f"^{name}=") as caught:
            function(*arguments, **{name: value})
        assert repr(value) in str(caught.value)
        assert WRONG[name][1] in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_every_option_is_checked_and_is_a_keyword_of_draw():
    assert set(WRONG) == {f.name for f in fields(Options)} - {"narrow", "color"}
    drawn = inspect.signature(mg.draw).parameters
    for f in fields(Options):
        assert f.name == "narrow" or drawn[f.name].default == f.default
    with pytest.raises(ValueError, match="detail=9 must be"):
        mg.graph(y()).to_dot(detail=9)
    with pytest.raises(TypeError, match="colour"):
        mg.graph(y()).to_dot(colour="red")


def test_numbers_of_numpy_are_numbers():
    numbers: Any = {"depth": np.int64(1), "max_nodes": np.int32(50)}
    assert mg.draw(y(), **numbers).graph.ops == 1


@pytest.mark.parametrize("value", [3, "size", ["x"]])
def test_a_wrong_color_says_what_it_takes(value):
    with pytest.raises(TypeError, match=r"color= takes 'bytes', 'time', 'gradient', a mapping"):
        mg.draw(y(), color=value)
    with pytest.raises(ValueError, match=r"is 1\.5, and must lie between 0 and 1"):
        mg.draw(y(), color={7: 1.5})


@pytest.mark.parametrize("labels", [("one",), ("a", "b", "c"), "ab"])
def test_a_pair_takes_two_labels(labels):
    with pytest.raises(ValueError, match=r"labels=.* must be two texts"):
        mg.draw_pair(y(), y(), labels=labels)


@pytest.mark.parametrize(("name", "value"), [("names", 3), ("names", ["x"]), ("marks", 3), ("marks", "mul")])
def test_what_is_no_dict_is_refused(name, value):
    with pytest.raises(TypeError, match=f"{name}= takes"):
        mg.draw(y(), **{name: value})
