"""The live page driven in a real Chromium: a number is changed, eps dragged, the mode switched; Python has the same."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.normalization import batch_norm_inference_composed

from .test_browser import Opened, browser, pytestmark  # noqa: F401

AXE = os.environ.get("MINIGRAD_AXE", "")  # path of axe.min.js, from the npm package axe-core
X = np.array([[6.0, 3, 7], [4, 6, 9], [2, 6, 7], [4, 3, 7], [7, 2, 5], [4, 1, 7], [5, 1, 4]])
GAMMA, BETA, EPS = np.array([1.0, 0.5, 2.0]), np.array([0.0, 0.5, -0.5]), 1e-2
DY = np.random.default_rng(1).normal(0, 1, X.shape).round(2)
READ = """() => Object.fromEntries([...document.querySelectorAll('.row[data-row]')].flatMap(row => {
    const name = row.querySelector('.who').textContent, read = e => [...e.querySelectorAll('.num')].map(n => +n.title);
    const sent = [...row.querySelectorAll('.sent')];
    return [[name, read(row.querySelector('.val'))], ...(sent.length ? [['d ' + name, read(sent.at(-1))]] : [])];
}))"""


def leaves(x=X, gamma=GAMMA, beta=BETA):
    given = {"x": x, "gamma": gamma, "beta": beta}
    return [mg.tensor(np.array(a), requires_grad=True, name=name) for name, a in given.items()]


def in_eval(of, x, eps=EPS):
    given = {"running_mean": X.mean(0), "running_var": X.var(0)}
    stats = [mg.tensor(a, requires_grad=True, name=name) for name, a in given.items()]
    form = batch_norm_inference_composed if of == "composed" else mg.batch_norm_inference
    return form(*leaves(x), *stats, eps=eps).named("y")


def in_train(of, x, eps=EPS, **more):
    if of == "fused":
        return mg.batch_norm(*leaves(x, **more), eps=eps).named("y")
    return mg.batch_norm_composed(*leaves(x, **more), eps=eps, variance="staged").named("y")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    ys = {of: in_train(of, X) for of in ("composed", "fused")}
    evaluated = {of: in_eval(of, X) for of in ys}
    path = tmp_path_factory.mktemp("live") / "bn.html"
    return mg.page(ys, path, gradient=DY, inference=evaluated, title="Batch norm")


@pytest.fixture
def opened(browser, file):  # noqa: F811
    it = Opened(browser, file)
    yield it
    it.context.close()
    assert it.errors == []
    assert len([url for url in it.requests if url.startswith("file:")]) == 1


def go(it, state="show=ladder"):
    page = it.go(state)
    page.wait_for_selector(".row[data-row]")
    return page


def holds(page, y, dy=DY, most=1e-12):
    """Every value and gradient on show is minigrad's for these inputs."""
    found, graph = page.evaluate(READ), mg.graph(y, gradient=dy)
    shown = 0
    for node in graph:
        shown += node.name in found
        for name, numbers in ((node.name, node.value), ("d " + node.name, node.gradient)):
            if name in found and numbers is not None:
                ours, theirs = np.ravel(np.asarray(numbers.array)), np.array(found[name])
                assert np.abs(ours - theirs).max() <= most * max(np.abs(ours).max(), 1e-300), name
    assert shown == len(graph)


def cell(page, key, i):
    return page.locator(f"[data-key='{key}'][data-i='{i}']")


def test_at_load_it_computes_what_python_recorded(opened):
    page = go(opened)
    said = page.inner_text(".off")
    assert "Largest difference from Python's numbers: " in said
    assert float(said.split("numbers: ")[1].split()[0]) < 1e-14
    assert "fused gives the same to" in said
    holds(page, in_train("composed", X))
    assert page.locator("#recording").count() == 0


@pytest.mark.parametrize("of", ["composed", "fused"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_number_is_changed_eps_dragged_and_the_mode_switched(opened, of, mode):
    page = go(opened)
    page.click(f".bar >> text={of}")
    page.click(f".bar >> text={mode}")
    form = in_train if mode == "train" else in_eval
    holds(page, form(of, X))
    cell(page, "x x", 4).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("PageUp")
    x = X.copy()
    x[1, 1] += 1.1
    assert cell(page, "x x", 4).get_attribute("aria-valuenow") == "7.1"
    holds(page, form(of, x))
    assert "no longer Python's" in page.inner_text(".off")
    slider = page.locator(".eps input")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    eps = float(page.inner_text(".eps output"))
    assert eps != EPS
    exact = float(f"{10 ** float(slider.input_value()):.3g}")
    holds(page, form(of, x, exact))
    page.click("text=As recorded")
    holds(page, in_train(of, X))


def test_eval_mode_has_no_edges_of_mean_and_variance(opened):
    page = go(opened)
    ids = "() => [...document.querySelectorAll('.row[data-row] .who')].map(b => b.textContent)"
    assert {"mu", "squared", "var"} <= set(page.evaluate(ids))
    page.click(".bar >> text=eval")
    assert {"mu", "squared", "var"}.isdisjoint(page.evaluate(ids))
    cell(page, "x x", 0).hover()
    assert "20 of 21 do not move" in opened.panel()


def test_dragging_typing_and_the_gradient_that_is_given(opened):
    page = go(opened)
    box = cell(page, "x x", 0).bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + 50, box["y"] + 12, steps=4)
    page.mouse.up()
    x = X.copy()
    x[0, 0] = 7.0
    holds(page, in_train("composed", x))
    cell(page, "g d0", 2).focus()
    page.keyboard.press("Enter")
    page.keyboard.type("-2.5")
    page.keyboard.press("Enter")
    dy = DY.copy()
    dy[0, 2] = -2.5
    holds(page, in_train("composed", x), dy)
    page.keyboard.press("Enter")
    page.keyboard.type("nonsense")
    page.keyboard.press("Escape")
    holds(page, in_train("composed", x), dy)
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.i") == "3"
    assert page.locator("[data-key='g d0'][tabindex='0']").count() == 1  # one stop of the tab key for each array


def test_a_finger_drags_sideways(browser, file):  # noqa: F811
    it = Opened(browser, file, has_touch=True)
    page = go(it)
    page.set_viewport_size({"width": 390, "height": 844})
    tools = it.context.new_cdp_session(page)
    box = cell(page, "x x", 0).bounding_box()
    at = [box["x"] + 10, box["y"] + 10]
    for kind, by in (("touchStart", 0), ("touchMove", 12), ("touchMove", 30), ("touchEnd", None)):
        points = [] if by is None else [{"x": at[0] + by, "y": at[1]}]
        tools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    x = X.copy()
    x[0, 0] = 7.0
    holds(page, in_train("composed", x))
    assert "d y / d x[0, 0]" in it.panel()  # told above the rows
    assert page.locator("#panel").bounding_box()["y"] < box["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    it.context.close()
    assert it.errors == []


def test_a_column_of_the_jacobian(opened):
    page = go(opened)
    cell(page, "x x", 4).hover()
    assert "d y / d x[1, 1]" in opened.panel()
    assert "14 of 21 do not move" in opened.panel()
    found = page.evaluate("[...document.querySelectorAll('#panel .num')].map(n => +n.title)")
    truth = mg.jacobian(lambda x: mg.batch_norm(x, GAMMA, BETA, eps=EPS), X)
    assert np.allclose(found, truth.reshape(21, 21)[:, 4], rtol=1e-9, atol=1e-14)


def test_presets_show_what_breaks(opened):
    page = go(opened)

    def numbers(name):
        return np.array(page.evaluate(READ)[name], float)

    page.select_option(".bar select", label="a constant column, eps 0")
    assert np.isnan(numbers("x_hat").reshape(7, 3)[:, 0]).all()
    assert np.isnan(numbers("d x").reshape(7, 3)[:, 0]).all()
    assert np.isfinite(numbers("d x").reshape(7, 3)[:, 1:]).all()
    page.select_option(".bar select", label="a constant column")
    x = X.copy()
    x[:, 0] = x[0, 0]
    assert np.array_equal(numbers("y").reshape(7, 3)[:, 0], np.full(7, BETA[0]))
    holds(page, in_train("composed", x), most=1e-10)
    page.select_option(".bar select", label="a batch of one")
    assert np.array_equal(numbers("y"), BETA)
    assert np.array_equal(numbers("d x"), [0, 0, 0])
    page.select_option(".bar select", label="gamma = 0")
    holds(page, in_train("composed", X, gamma=0 * GAMMA))
    assert np.abs(numbers("d gamma")).min() > 1e-3
    page.select_option(".bar select", label="a mean of 1e6, in float32")
    narrow = numbers("x_hat")
    assert np.array_equal(narrow, narrow.astype(np.float32))
    assert "In float32, against float64: the result is off by" in page.inner_text(".off")
    page.click("text=As recorded")
    holds(page, in_train("composed", X))


def test_the_address_keeps_what_was_changed(opened):
    page = go(opened, "show=ladder&of=fused&mode=eval&eps=0.25&set=0.4%3A9&theme=dark")
    x = X.copy()
    x[1, 1] = 9
    holds(page, in_eval("fused", x, 0.25))
    assert page.get_attribute("html", "data-theme") == "dark"
    cell(page, "x x", 0).focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(400)
    kept = opened.hash()
    assert (kept["of"], kept["mode"], kept["eps"], kept["set"]) == ("fused", "eval", "0.25", "0.0:5.9_0.4:9")
    page.reload()
    opened.requests.pop()
    x[0, 0] = 5.9
    holds(page, in_eval("fused", x, 0.25))
    page.evaluate("location.hash = 'show=ladder&set=99.1:2_0.999:3_nonsense&eps=-1&of=nobody'")
    page.wait_for_timeout(200)
    holds(page, in_train("composed", X))


def test_steps_play_search_and_tabs_in_the_order_of_execution(opened):
    page = go(opened, "show=ladder&t=0")
    assert opened.say().startswith("Start")
    hidden = "name => [...document.querySelectorAll('.row')].find(r => r.querySelector('.who')?.textContent === name)"
    assert page.evaluate(hidden + ".querySelector('.val .heat').classList.contains('hid')", "mu")
    page.keyboard.press("ArrowRight")
    assert opened.say() == "forward 1/9 mu = mean(x, axis=0)"
    assert page.inner_text(".row.act .who") == "mu"
    page.keyboard.press("End")
    assert opened.say().startswith("backward 9/9 mean: x.grad += g/N")
    page.fill("#t", "12")
    assert "SENDS BACK" in opened.panel().upper()
    assert page.locator(".sent.hot").count() == 2
    page.fill("#find", "std")
    assert page.locator(".row.miss").count() > 5
    page.press("#find", "Enter")
    page.fill("#find", "")
    assert page.locator(".row.miss").count() == 0
    order = page.evaluate("[...document.querySelectorAll('.who')].map(b => b.textContent)")
    assert order == ["x", "mu", "centred", "squared", "var", "var_eps", "std", "x_hat", "gamma", "scaled", "beta", "y"]
    page.locator(".who", has_text="gamma").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "gamma 0"


def test_pointing_at_a_term_lights_its_edge(opened):
    page = go(opened)
    assert page.locator(".arcs path.near").count() == 0
    page.locator(".sent[data-from]", has_text="squared: 2*centred*g").hover()
    assert set(page.locator(".row.near .who").all_inner_texts()) == {"squared", "centred"}
    page.locator(".sent[data-from]", has_text="x_hat: g/std").hover()
    assert page.locator(".arcs path.b.near").count() == 1


def test_a_name_that_is_a_script_runs_nothing(browser, tmp_path):  # noqa: F811
    nasty = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\'"'
    x = mg.tensor(X, requires_grad=True, name=nasty)
    with mg.scope(nasty):
        y = mg.batch_norm_composed(x).named(nasty + "y")
    it = Opened(browser, mg.page({nasty: y, "b": mg.batch_norm(x)}, tmp_path / "x.html", gradient=DY))
    page = go(it)
    cell(page, "x " + nasty.replace("'", "\\'"), 0).hover()
    page.locator(".who").nth(0).click()
    assert "onerror" in it.panel()
    assert page.evaluate("window.hit === undefined && !document.querySelector('main img')")
    it.context.close()
    assert it.errors == []


def test_what_cannot_be_computed_is_named_and_stays_a_recording(browser, tmp_path):  # noqa: F811
    @mg.primitive
    def cube(x):
        return x**3

    cube.defvjp(lambda g, out, x: 3.0 * g * x * x)
    it = Opened(browser, mg.page(cube(leaves()[0]), tmp_path / "own.html", gradient=DY))
    page = it.go("show=ladder")
    assert "cube is a primitive of your own" in page.inner_text("#recording")
    assert page.locator("figure svg").is_visible()
    text = mg.page(mg.exp(leaves()[0]), tmp_path / "exp.html", gradient=DY).read_text("utf-8")
    assert '"op":"exp"' in text
    it.url = (tmp_path / "later.html").as_uri()
    (tmp_path / "later.html").write_text(text.replace('"op":"exp"', '"op":"flurb"'), "utf-8")
    page = it.go("show=ladder")
    assert "no kernel for flurb" in page.inner_text("#recording")
    assert page.locator("figure svg").is_visible()
    assert not page.locator("[data-show=ladder]").is_visible()
    it.context.close()
    assert it.errors == []


def test_other_graphs_are_live_too(browser, tmp_path):  # noqa: F811
    rng = np.random.default_rng(0)
    net = mg.nn.MLP([3, 8, 2], norm="batch", rng=0)
    loss = mg.cross_entropy(net(mg.tensor(X, name="x")), [0, 1, 1, 0, 1, 0, 1]).named("loss")
    a = mg.tensor(rng.normal(size=(20, 30)), requires_grad=True, name="a")
    graphs: dict[str, Any] = {
        "loss": (loss, 1.0, {"names": net}),
        "thumbnail": ((a @ a.T).sum().named("s"), 1.0, {}),
        "two results": ([(a * a).sum().named("p"), mg.exp(-a).mean().named("q")], [1.0, 2.0], {}),
        "no gradient": (mg.tanh(a[:2]).named("h"), None, {}),
        "float32": ((mg.tensor(X.astype("float32"), requires_grad=True, name="x") ** 2).sum(), np.float32(1), {}),
    }
    for name, (y, gradient, more) in graphs.items():
        it = Opened(browser, mg.page(y, tmp_path / f"{name}.html", gradient=gradient, **more))
        page = go(it)
        said = page.inner_text(".off")
        far = said.split("numbers: ")[1].split()[0] if "numbers: " in said else "0" if "last bit" in said else "nan"
        assert float(far) < (1e-6 if name == "float32" else 1e-12), f"{name}: {said}"
        page.keyboard.press("Home")
        page.keyboard.press("End")
        it.context.close()
        assert it.errors == [], name


def test_what_has_no_graph_is_said_to_stay(browser, tmp_path):  # noqa: F811
    x = mg.tensor([1.0, -1.0], requires_grad=True, name="x")
    y = mg.where((x > 0.0).named("chosen"), x, 0.1 * x).named("y")
    it = Opened(browser, mg.page(y, tmp_path / "x.html", gradient=[1.0, 1.0]))
    page = go(it)
    assert "Not computed again" not in page.inner_text(".off")
    cell(page, "x x", 1).focus()
    page.keyboard.press("Enter")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    assert "Not computed again, for it has no graph: chosen." in page.inner_text(".off")
    assert page.evaluate(READ)["y"] == [1, 0.2]  # as the branch that was recorded has it
    it.context.close()
    assert it.errors == []


def test_graphs_whose_leaves_differ_keep_their_own(browser, tmp_path):  # noqa: F811
    one, two = (mg.tensor(a, requires_grad=True, name="x") for a in ([1.0, 2.0], [3.0, 5.0]))
    graphs = {"one": mg.square(one).named("y"), "two": mg.exp(two).named("y"), "also": mg.sin(one).named("y")}
    it = Opened(browser, mg.page(graphs, tmp_path / "x.html", gradient=[1.0, 1.0]))
    page = go(it)
    cell(page, "x x", 0).focus()
    page.keyboard.press("PageUp")
    holds(page, mg.square(mg.tensor([2.0, 2.0], requires_grad=True, name="x")).named("y"), [1.0, 1.0])
    page.click(".bar >> text=also")
    holds(page, mg.sin(mg.tensor([2.0, 2.0], requires_grad=True, name="x")).named("y"), [1.0, 1.0])
    page.click(".bar >> text=two")
    holds(page, graphs["two"], [1.0, 1.0])
    it.context.close()
    assert it.errors == []


@pytest.mark.skipif(not AXE, reason="MINIGRAD_AXE does not name an axe.min.js")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("state", ["show=ladder", "show=ladder&t=5", "show=ladder&of=fused&mode=eval", "show=both"])
def test_axe_finds_nothing(opened, theme, width, state):
    page = opened.go(f"{state}&theme={theme}")
    page.set_viewport_size({"width": width, "height": 844})
    page.wait_for_timeout(200)
    page.evaluate(Path(AXE).read_text("utf-8"))
    found = page.evaluate("axe.run()")
    assert found["passes"]
    assert [(v["id"], [node["html"][:120] for node in v["nodes"]][:3]) for v in found["violations"]] == []


def test_the_page_of_batch_norm_is_small(file):
    assert file.stat().st_size < 200_000
    assert len(json.loads(file.read_text("utf-8").split('id="data">')[1].split("</script>")[0])["live"]["of"]) == 2
