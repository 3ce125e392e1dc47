"""No serious fault on any view, by axe-core."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the atlas in a browser takes playwright, of the extra dev")
pytest.importorskip("starlette", reason="the server takes the extra explorer")
pytest.importorskip("axe_playwright_python", reason="axe-core comes with the extra dev")

from axe_playwright_python.sync_playwright import Axe
from browsing import CHROMIUM, look

from mutascope.store.reader import ScreenData

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
VIEWS = {
    "model": "",
    "rates": "colour=rate",
    "locus": "view=locus&locus=0.v",
    "threshold": "view=locus&locus=0.down&colour=cosine",
    "beside": "view=locus&locus=0.v&screen=2&beside=1",
    "phenotypes": "view=phenotypes",
    "phenotype": "view=phenotypes&phenotype=3",
    "findings": "view=findings",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_view_has_a_serious_fault(page, folders, theme):
    results = ScreenData(folders["drosophila"])
    nsm = results.records().filter(layer=0, kind="v", silent=False).row(0, named=True)
    mutant = f"view=locus&locus=0.v&mutant=0.v:{nsm['row']},{nsm['col']}:{nsm['mutation']}"
    page.emulate_media(color_scheme=theme)
    found = {}
    for name, view in {**VIEWS, "mutant": mutant}.items():
        look(page, view)
        page.reload()
        page.wait_for_selector("main[data-ready]:not([aria-busy])")
        serious = [
            f"{fault['id']}: {fault['help']}: {fault['nodes'][0]['html'][:200]}"
            for fault in Axe().run(page).response["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        found |= {name: serious} if serious else {}
    assert not found
