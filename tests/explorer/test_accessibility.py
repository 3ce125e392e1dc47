"""No serious fault on any view, by axe-core."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the atlas in a browser takes playwright, of the extra dev")
pytest.importorskip("starlette", reason="the server takes the extra explorer")
pytest.importorskip("axe_playwright_python", reason="axe-core comes with the extra dev")

from axe_playwright_python.sync_playwright import Axe
from browsing import CHROMIUM, look, opened, served

from mutascope import Mutant
from mutascope.core.schema import MUTANT_KEY
from mutascope.explorer import Atlas
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


def mutant_of(folder) -> str:
    """A view of a mutant at 0.v that is no silent one."""
    nsm = ScreenData(folder).records().filter(layer=0, kind="v", silent=False).row(0, named=True)
    return f"view=locus&locus=0.v&mutant={Mutant(*(nsm[key] for key in MUTANT_KEY))}"


def faults(page, views: dict[str, str]) -> dict[str, list[str]]:
    """Serious faults by view."""
    found = {}
    for name, view in views.items():
        look(page, view)
        serious = [
            f"{fault['id']}: {fault['help']}: {fault['nodes'][0]['html'][:200]}"
            for fault in Axe().run(page).response["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        found |= {name: serious} if serious else {}
    return found


@pytest.mark.parametrize(
    "address", ["served", pytest.param("exported", marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_view_has_a_serious_fault(page, folders, theme):
    page.emulate_media(color_scheme=theme)
    choice = f"screen=2&{mutant_of(folders['mmlu21'])}"
    assert not faults(page, {**VIEWS, "mutant": mutant_of(folders["drosophila"]), "choice": choice})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_panels_and_live_have_no_serious_fault(browser, folders, theme):
    for address in served(Atlas([str(folders["drosophila"]), str(folders["panel"])], live=True)):
        for page in opened(browser, address):
            page.emulate_media(color_scheme=theme)
            assert not faults(page, {"panels": "view=panels", "live": "view=live", "line": "line=row,1,v"})
