"""The page driven in a real headless Chromium: steps, clicks, keys, views, theme, address; no error, no request."""

import os
import shutil
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.drawing import renderer

from .examples import DY, composed, fused, leaves

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")
CHROMIUM = os.environ.get("MINIGRAD_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(renderer._pure() is None and shutil.which("dot") is None, reason="no renderer here"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with sync_api.sync_playwright() as play:
            started = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
            yield started
            started.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    leaf = leaves()
    graphs = {"composed": composed(of=leaf), "fused": fused(of=leaf)}
    return mg.page(graphs, folder / "bn.html", gradient=DY, title="Batch norm")


class Opened:
    """A page in the browser, with everything that it complained of or asked for."""

    def __init__(self, browser, file, **options):
        self.context = browser.new_context(viewport={"width": 1400, "height": 900}, **options)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.url = file.as_uri()

    def go(self, state=""):
        self.page.goto("about:blank")
        self.requests.clear()
        self.page.goto(f"{self.url}#{state if 'show=' in state else state + '&show=both'}")  # the cards
        return self.page

    def say(self):
        return self.page.inner_text("#say")

    def hash(self):
        return self.page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")

    def panel(self):
        return self.page.inner_text("#panel")


@pytest.fixture
def opened(browser, file):
    it = Opened(browser, file)
    yield it
    it.context.close()
    assert it.errors == []
    assert all(url.startswith(("file:", "about:", "data:")) for url in it.requests)
    assert len([url for url in it.requests if url.startswith("file:")]) == 1


def test_keys_buttons_and_slider_step_through_both_passes(opened):
    page = opened.go()
    assert opened.say().startswith("Start")
    page.keyboard.press("ArrowRight")
    assert opened.say() == "forward 1/9 mu = mean(x, axis=0)"
    page.keyboard.press("End")
    assert opened.say().startswith("backward 9/9 mean: x.grad += g/N")
    page.keyboard.press("ArrowLeft")
    assert opened.say().startswith("backward 8/9 sub")
    page.keyboard.press("Home")
    assert opened.say().startswith("Start")
    page.click("#pf")
    page.click("#pf")
    assert opened.say().startswith("forward 2/9")
    page.click("#pb")
    assert opened.say().startswith("forward 1/9")
    page.click("#p1")
    assert opened.hash()["t"] == "18"
    page.fill("#t", "12")
    assert opened.say().startswith("backward 3/9 div")
    page.focus("#t")
    page.keyboard.press("ArrowRight")  # the slider's own key: one step, not two
    assert opened.hash()["t"] == "13"


def test_a_value_appears_when_computed_and_a_gradient_when_all_of_it_is_in(opened):
    page = opened.go("t=0&show=both")
    hidden = (
        "id => [...document.querySelectorAll(`#n-p0_${id} .f-gradient_value`)].every(e => e.classList.contains('hid'))"
    )
    value = "id => [...document.querySelectorAll(`#n-p0_${id} .f-value`)].every(e => e.classList.contains('hid'))"
    assert page.evaluate(value, "n4")
    assert not page.evaluate(value, "n0")
    page.fill("#t", "2")
    assert not page.evaluate(value, "n4")
    assert page.evaluate(hidden, "n4")
    page.fill("#t", "12")  # x_hat sent its part of centred.grad, square has not
    assert page.evaluate(hidden, "n4")
    page.fill("#t", "16")
    assert not page.evaluate(hidden, "n4")


def test_the_fused_op_runs_while_the_last_composed_op_does(opened):
    page = opened.go("t=8&show=both")
    active = "() => [...document.querySelectorAll('.ring.act:not(.hid)')].map(r => r.parentNode.id)"
    assert page.evaluate(active) == ["n-p0_n10"]
    page.keyboard.press("ArrowRight")
    assert page.evaluate(active) == ["n-p0_n11", "n-p1_n3"]
    page.keyboard.press("End")
    assert page.evaluate(active) == ["n-p0_n3", "n-p1_n3"]


def test_click_enter_and_the_contributions_that_sum(opened):
    page = opened.go("t=18")
    page.click("#n-p0_n4")
    said = opened.panel()
    for text in (
        "centred = x - mu",
        "x.grad += g",
        "mu.grad += -sum0(g)",
        "2 of 2 contributions",
        "sum:",
        "saved by squared",
    ):
        assert text in said
    assert opened.hash()["sel"] == "composed.n4"
    page.focus("#n-p1_n3")
    page.keyboard.press("Enter")
    assert "batch_norm, fused" in opened.panel()
    assert "x_hat, 96 B" in opened.panel()
    page.fill("#t", "13")
    page.click("#n-p0_n4")
    assert "1 of 2 contributions" in opened.panel()


def test_views_and_what_is_the_same_in_both(opened):
    page = opened.go("t=18&sel=composed.x")
    assert "IN FUSED" in opened.panel().upper()
    assert "value equal" in opened.panel()
    assert page.locator(".ring.twin:not(.hid)").count() == 1
    page.click("[data-show='1']")
    assert page.locator("figure:visible").count() == 1
    assert opened.hash()["show"] == "fused"
    assert opened.say().startswith("backward 1/1")
    page.click("text=side by side")
    assert page.locator("figure:visible").count() == 2


def test_theme_button_and_the_system_setting(browser, file):
    it = Opened(browser, file, color_scheme="dark")
    page = it.go()
    colour = "() => getComputedStyle(document.querySelector('svg')).backgroundColor"
    assert page.evaluate(colour) == "rgb(15, 20, 25)"
    page.click("#th")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert it.hash()["theme"] == "light"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    assert page.locator("footer").is_hidden()
    it.context.close()
    assert it.errors == []


def test_the_address_holds_the_state(opened):
    opened.go("t=13&show=both&sel=composed.x_hat&theme=dark")
    assert opened.hash() == {"t": "13", "show": "both", "sel": "composed.n9", "theme": "dark"}
    assert "x_hat = centred / std" in opened.panel()
    before = opened.hash()
    opened.page.reload()
    opened.requests.pop()
    assert opened.hash() == before


@pytest.mark.parametrize("width", [1400, 600])
def test_no_text_leaves_its_card_and_the_page_never_scrolls_sideways(opened, width):
    page = opened.go("t=18")
    page.set_viewport_size({"width": width, "height": 900})
    outside = page.evaluate(
        """() => [...document.querySelectorAll('svg .node')].flatMap(n => {
            const box = n.querySelector('polygon, path').getBoundingClientRect();
            const all = [...n.querySelectorAll('polygon, path')].map(e => e.getBoundingClientRect());
            const left = Math.min(...all.map(b => b.left)), right = Math.max(...all.map(b => b.right));
            return [...n.querySelectorAll('text')].filter(t => { const b = t.getBoundingClientRect();
                return b.left < left - 1 || b.right > right + 1; }).map(t => t.textContent); })"""
    )
    assert outside == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_a_name_that_is_a_script_runs_nothing(browser, tmp_path):
    x, gamma, beta = leaves()
    x.named('<img src=x onerror="window.hit=1"><script>window.hit=1</script>')
    it = Opened(browser, mg.page({"a": composed(of=(x, gamma, beta))}, tmp_path / "x.html", gradient=DY))
    page = it.go("t=18&sel=a.n0")
    assert "onerror" in it.panel()
    assert page.evaluate("() => window.hit === undefined")
    it.context.close()
    assert it.errors == []


def test_every_step_and_every_card_of_folded_and_collapsed_graphs(browser, tmp_path):
    net = nn.MLP([2, 4, 4, 4, 4, 1], norm="batch", rng=0, implementation="composed")
    y = net(mg.tensor(np.ones((3, 2)) * [[1], [2], [4]], name="x"))
    loss = (y * y).mean().named("loss")
    loss.backward()
    views: dict[str, Any] = {
        "folded": {"fold": True},
        "modules": {"depth": 1},
        "whole": {"fold": False},
        "part": {"module": "affine"},
    }
    drawings = {label: mg.draw(loss, names=net, **options) for label, options in views.items()}
    it = Opened(browser, mg.page(drawings, tmp_path / "net.html"))
    page = it.go("t=0&show=both")
    for label in views:
        page.click(f"[data-show] >> text={label}")
        page.evaluate(
            """() => { for (const card of document.querySelectorAll('figure:not([hidden]) .node'))
                card.dispatchEvent(new MouseEvent('click', {bubbles: true})); }"""
        )
        page.keyboard.press("Home")
        steps = int(page.get_attribute("#t", "max"))
        for _ in range(steps):
            page.keyboard.press("ArrowRight")
        assert it.say().startswith("backward")
        page.evaluate(
            """() => { for (const card of document.querySelectorAll('figure:not([hidden]) .node'))
                card.dispatchEvent(new MouseEvent('click', {bubbles: true})); }"""
        )
    it.context.close()
    assert it.errors == []


def test_a_contribution_is_told_with_its_own_rule(browser, tmp_path):
    x = mg.tensor([1.0, -2.0], requires_grad=True, name="x")
    chosen = mg.where(np.array([True, False]), x, (x * x).named("square")).named("chosen")
    it = Opened(browser, mg.page(chosen, tmp_path / "x.html", gradient=[1.0, 1.0]))
    page = it.go("t=9&sel=graph.square")
    assert "from where chosen" in it.panel()
    page.evaluate("location.hash = 't=9&show=both&sel=graph.x'")
    page.wait_for_function("document.getElementById('panel').innerText.includes('3 of 3')")
    assert "x.grad += where(condition, g, 0)" in it.panel()
    it.context.close()
    assert it.errors == []


def test_inside_a_notebooks_frame_it_works_without_an_address(browser, tmp_path):
    frame = mg.draw_pair(composed(), fused(), gradient=DY).steps(height=600)
    outer = tmp_path / "notebook.html"
    outer.write_text(f"<!doctype html><meta charset=utf-8>{frame._repr_html_()}", "utf-8")
    it = Opened(browser, outer)
    page = it.go()
    inner = page.frame_locator("iframe")
    inner.locator("#p1").click()
    assert inner.locator("#say").inner_text().startswith("backward 9/9")
    assert page.locator("iframe").bounding_box()["height"] == 600
    it.context.close()
    assert it.errors == []


def test_what_a_backward_step_sends_and_what_still_waits(opened):
    page = opened.go("t=0&show=both")
    page.fill("#t", "12")
    said = opened.panel()
    assert "SENDS BACK" in said.upper()
    assert "to centred, centred.grad += g/std" in said
    assert "to std, std.grad += -sum0(g*x_hat/std)" in said
    page.fill("#t", "18")
    page.click("#n-p0_n4")
    assert page.locator("text=grad waiting >> visible=true").count() == 0
    page.fill("#t", "0")
    assert page.locator("text=grad waiting >> visible=true").count() > 10


def test_tabs_follow_the_execution_and_labels_say_what_is_seen(opened):
    page = opened.go("t=18")
    order = "() => [...document.querySelectorAll('figure')].map(f => [...f.querySelectorAll('.node')].map(n => n.id))"
    for ids in page.evaluate(order):
        numbers = [int(name.rpartition("n")[2]) for name in ids]
        assert numbers == sorted(numbers)
    button = page.get_by_role("button", name="centred std g/std -sum0(g*x_hat/std) div fwd 7")
    assert button.get_attribute("id") == "n-p0_n9"


def test_search_play_hover_and_the_wheel(opened):
    page = opened.go("t=0&show=both")
    page.fill("#find", "std")
    assert page.locator(".node.miss").count() > 5
    page.press("#find", "Enter")
    assert "std" in opened.hash()["sel"] or "std" in opened.panel()
    page.fill("#find", "")
    assert page.locator(".node.miss").count() == 0
    page.click("#play")
    page.wait_for_timeout(2500)
    assert int(page.input_value("#t")) >= 2
    page.click("#play")
    assert page.inner_text("#play") == "Play"
    page.hover("#n-p0_n9")
    assert page.locator(".edge.near").count() == 6  # two in and one out, each with its twin
    wide = page.evaluate("document.querySelector('svg').getBoundingClientRect().width")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    page.wait_for_timeout(200)
    assert page.evaluate("document.querySelector('svg').getBoundingClientRect().width") > 1.3 * wide


def test_side_by_side_can_be_read(opened):
    page = opened.go("t=18&show=both")
    page.set_viewport_size({"width": 1440, "height": 900})
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('svg text')].filter(t => t.textContent.trim())
            .map(t => parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a)"""
    )
    assert min(sizes) >= 9


COUNT_SEARCHES = """window.searches = 0;
for (const kind of [Document, Element]) for (const name of ['querySelector', 'querySelectorAll']) {
    const search = kind.prototype[name];
    kind.prototype[name] = function (...given) { window.searches++; return search.apply(this, given); };
}"""
CLICK = """([button, times]) => {
    const before = window.searches;
    for (let k = 0; k < times; k++) document.getElementById(button).click();
    return window.searches - before;
}"""


def work_of_a_step(browser, file, state, button, times=10):
    """What one click of `button` costs: blocks of script that run, layouts of the page, searches in its tree."""
    it = Opened(browser, file)
    it.page.add_init_script(COUNT_SEARCHES)
    tools = it.context.new_cdp_session(it.page)
    for domain in ("Performance", "Profiler"):
        tools.send(f"{domain}.enable")
    tools.send("Profiler.startPreciseCoverage", {"callCount": True, "detailed": True})
    page = it.go(state)

    def layouts():
        return {m["name"]: m["value"] for m in tools.send("Performance.getMetrics")["metrics"]}["LayoutCount"]

    before = layouts()
    tools.send("Profiler.takePreciseCoverage")  # what ran until here is forgotten
    searches = page.evaluate(CLICK, [button, times])
    scripts = tools.send("Profiler.takePreciseCoverage")["result"]
    blocks = sum(block["count"] for s in scripts for function in s["functions"] for block in function["ranges"])
    done = blocks / times, (layouts() - before) / times, searches / times
    said = it.say()
    it.context.close()
    assert it.errors == []
    return said, *done


def test_the_work_of_a_step_grows_as_the_cards_do(browser, tmp_path):
    found = []
    for cards in (250, 500):
        y = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
        for k in range(cards // 2):
            y = mg.tanh(y) * (1.0 + k / 1000)
        file = mg.page(y, tmp_path / f"{cards}.html", gradient=[1.0, 1.0], fold=False)
        said, blocks, layouts, searches = work_of_a_step(browser, file, f"t={2 * cards}", "pb")
        assert said.startswith(f"backward {cards - 10}/{cards}")
        assert cards < blocks < 60 * cards  # 29 a card today
        assert layouts <= 3, "a card that is measured between two changes lays the page out anew"
        found.append((blocks, searches))
    (fewer, searched), (more, searched_in_more) = found
    assert more < 2.1 * fewer
    assert searched == searched_in_more <= 6


def test_a_step_of_a_small_page_is_little_work(browser, file):
    said, blocks, layouts, searches = work_of_a_step(browser, file, "", "pf", times=18)
    assert said.startswith("backward 9/9")
    assert 20 < blocks < 1500  # 700 today
    assert layouts <= 3
    assert searches <= 6
