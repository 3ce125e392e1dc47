"""What a notebook shows of a map: the view of the atlas, without a server."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the atlas in a browser takes playwright, of the extra dev")

from browsing import CHROMIUM

import mutascope
from mutascope import Mutant
from mutascope.core.schema import MUTANT_KEY
from mutascope.explorer import notebook


def test_a_map_is_a_picture_where_its_page_is_too_large(folders, monkeypatch):
    monkeypatch.setattr(notebook, "MOST", 100)
    shown = mutascope.open(folders["drosophila"]).map(0, "v")._repr_mimebundle_()
    assert set(shown) == {"image/png", "text/plain"}
    assert shown["image/png"].startswith(b"\x89PNG")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_a_map_is_shown_in_a_frame(browser, folders):
    results = mutascope.open(folders["drosophila"])
    data = results.map(1, "down")
    nsms = results.records().filter(silent=False)
    nsm = nsms.filter(layer=1, kind="down", row=0, mutation="max").row(0, named=True)
    wanted = [str(Mutant(*row)) for row in nsms.filter(phenotype=nsm["phenotype"]).select(MUTANT_KEY).rows()]
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: requests.append(request.url))
    page.set_content(data._repr_mimebundle_()["text/html"])
    frame = page.frame_locator("iframe")
    shown = frame.locator(".legend [data-status='both'] b").inner_text()
    assert int(shown) == (data.status == 4).sum()
    frame.locator("canvas.chart").focus()
    for key in (*["ArrowRight"] * (nsm["col"] + 1), "Enter"):
        page.keyboard.press(key)
    frame.locator("aside h2").filter(has_text=f"1.down:0,{nsm['col']}:max").wait_for()
    assert sorted(frame.locator("aside .mutants a").all_inner_texts()) == sorted(wanted)
    frame.get_by_role("link", name="Phenotypes").click()
    frame.locator("#search").fill("fruit")
    frame.locator("#search").press("Enter")
    frame.locator("tbody tr").first.wait_for()
    page.close()
    assert not problems
    assert all(url.startswith(("data:", "about:")) for url in requests)
