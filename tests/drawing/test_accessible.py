"""The page under axe-core, light and dark: `MINIGRAD_AXE=path/to/axe.min.js`, which this package does not bring."""

import os
from pathlib import Path

import pytest

import minigrad as mg

from .examples import DY, composed, fused, leaves
from .test_browser import CHROMIUM, FLAGS

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")
AXE = Path(os.environ.get("MINIGRAD_AXE", ""))
RUN = (
    "async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(v => [v.id, v.nodes[0].html])"
)


@pytest.mark.skipif(not AXE.is_file() or CHROMIUM is None, reason="MINIGRAD_AXE is not the path of axe.min.js")
@pytest.mark.filterwarnings("ignore")
def test_axe_finds_nothing(tmp_path):
    leaf = leaves()
    path = mg.page({"composed": composed(of=leaf), "fused": fused(of=leaf)}, tmp_path / "bn.html", gradient=DY)
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_context(bypass_csp=True).new_page()
        for state in ("t=11&theme=light", "t=18&theme=dark", "t=0&show=fused"):
            page.goto(f"{path.as_uri()}#{state}")
            page.reload()
            page.evaluate(AXE.read_text("utf-8"))
            assert page.evaluate(RUN) == []
        browser.close()
