"""The page of a derivation in a real headless Chromium: keys, slider, nodes, theme, print; no error, no request."""

import pytest

import minigrad as mg
from tests.derivation import functions

pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")
from tests.drawing.test_browser import CHROMIUM, Opened, browser  # noqa: F401

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
NAMES = ("batch_norm", "cross_entropy_probabilities", "rms_norm")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("pages"), {}
    for name in NAMES:
        f, inputs, assume = functions.FUNCTIONS[name]
        d = mg.derive(f, inputs, assume=assume)
        found[name] = d, d.page(folder / f"{name}.html")
    return found


@pytest.fixture
def at(browser, pages):  # noqa: F811
    made = []

    def open_page(name, **options):
        made.append(Opened(browser, pages[name][1], **options))
        return made[-1], pages[name][0]

    yield open_page
    for opened in made:
        opened.context.close()
        assert opened.errors == []
        assert all(url.startswith(("file:", "about:", "data:")) for url in opened.requests)


@pytest.mark.parametrize("name", NAMES)
def test_the_keyboard_goes_through_all_steps_and_back(at, name):
    opened, d = at(name)
    page = opened.go()
    assert "as recorded" in page.inner_text("#fr figcaption")
    assert not page.is_visible("#fl")
    for k, step in enumerate(d.steps[1:], 1):
        page.keyboard.press("ArrowRight")
        assert opened.hash()["k"] == str(k)
        assert f"({k}) {step.name}" == page.inner_text("#panel h2")
        said = page.inner_text("#checked")
        assert (f"at {step.points} points" in said) if step.points else ("float64 alone" in said)
        assert page.locator("#fr .node.come").count() > 0
        assert page.locator("#fl .node.gone").count() > 0
        assert page.locator("#fl .node.gone .strike").count() == page.locator("#fl .node.gone").count()
        assert page.locator("#eqs p").count() >= 2
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    final = next(iter(d.formulas.values()))
    assert final in page.inner_text("#eqs")
    assert "nothing known makes it cheaper" in page.inner_text("#panel")
    page.keyboard.press("ArrowRight")
    assert opened.hash()["k"] == str(len(d.steps) - 1)
    page.keyboard.press("ArrowLeft")
    assert opened.hash()["k"] == str(len(d.steps) - 2)
    page.keyboard.press("Home")
    assert opened.hash()["k"] == "0"
    page.keyboard.press("End")
    page.focus("#k")
    page.keyboard.press("ArrowLeft")  # the slider's own key: one step, not two
    assert opened.hash()["k"] == str(len(d.steps) - 2)


def test_a_node_shows_which_steps_touched_it(at):
    opened, d = at("batch_norm")
    page = opened.go("k=3")
    names = [s.name for s in d.steps]
    page.hover("#fl .node:has-text('centred')")
    assert "centred = x - mu" in page.inner_text("#node")
    assert page.locator("#touched button").all_inner_texts()[-1] == f"(3) {names[3]}: goes"
    assert page.locator("#ticks .touched").count() == page.locator("#touched button").count()
    page.focus("#fr .node:has-text('x_hat')")
    assert "x_hat = centred/std" in page.inner_text("#node")
    assert page.locator(".node.lit").count() == 2  # left and right
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.classList.contains('node')")
    page.hover("#fr .node:has-text('x_hat')")
    last = page.locator("#touched button").all_inner_texts()[-1]
    page.click("#touched button:last-child")  # it stays while the pointer is on its way
    assert last.startswith(f"({opened.hash()['k']}) ")
    assert int(opened.hash()["k"]) > 3
    page.keyboard.press("Escape")
    assert page.locator(".node.lit").count() == 0


def test_dark_narrow_and_print(at):
    opened, _ = at("batch_norm", color_scheme="dark")
    page = opened.go("k=2")
    assert opened.hash()["theme"] == "dark"
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#th")
    assert opened.hash()["theme"] == "light"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.emulate_media(media="print")
    assert not page.is_visible("footer")
    assert page.is_visible("#eqs")


def test_an_address_out_of_range_is_a_step(at):
    opened, d = at("rms_norm")
    for given, is_at in (("k=99", len(d.steps) - 1), ("k=-3", 0), ("k=x", 0), ("k=1.7", 1)):
        opened.go(given)
        assert opened.hash()["k"] == str(is_at)
