"""The atlas in a real browser: what is on the page, against numbers from the store."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest

pytest.importorskip("playwright", reason="the atlas in a browser takes playwright, of the extra dev")
pytest.importorskip("starlette", reason="the server takes the extra explorer")

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from mutascope.analysis.copa import rearrange, sign_map
from mutascope.analysis.severity import severity_frame
from mutascope.explorer import Atlas, write_site
from mutascope.explorer.server import HOST, application, free_socket
from mutascope.store.reader import ScreenData

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def served(atlas: Atlas) -> Iterator[str]:
    listening = free_socket(0)
    server = uvicorn.Server(uvicorn.Config(application(atlas), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=[[listening]])
    thread.start()
    yield f"http://{HOST}:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


def hosted(folder: str) -> Iterator[str]:
    with ThreadingHTTPServer((HOST, 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["served", "exported"])
def address(request, folders, hostile, tmp_path_factory) -> Iterator[str]:
    """Address of an atlas of a text assay, of the hostile one and of a choice assay."""
    paths = [str(folders["drosophila"]), str(hostile), str(folders["mmlu21"])]
    if request.param == "served":
        yield from served(Atlas(paths))
    else:
        site = tmp_path_factory.mktemp("site") / "atlas"
        write_site(paths, site, tell=lambda line: None)
        yield from hosted(str(site))


@pytest.fixture
def page(browser, address) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=address)
    page.set_default_timeout(20_000)
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: requests.append(request.url))
    yield page
    page.close()
    assert not problems
    assert all(url.startswith((address, "data:")) for url in requests)


def look(page: Page, view: str = "") -> None:
    page.goto(f"/#{view}")
    page.wait_for_selector("main[data-ready]:not([aria-busy])")


def test_a_way_through_the_atlas(page, folders):
    results = ScreenData(folders["drosophila"])
    look(page)
    assert page.locator("a.locus").count() == 6
    page.click("a.locus[data-locus='1.down']")
    status = results.map(1, "down").status
    for value, name in enumerate(("unscreened", "silent", "max_only", "min_only", "both")):
        shown = page.locator(f".legend [data-status='{name}'] b").inner_text()
        assert int(shown) == (status == value).sum()
    nsm = results.texts().filter(layer=1, kind="down", silent=False).row(0, named=True)
    look(page, f"view=locus&locus=1.down&mutant=1.down:{nsm['row']},{nsm['col']}:{nsm['mutation']}")
    mutant = page.locator("[data-side='mutant'] p")
    mutant.wait_for()
    assert mutant.inner_text().split() == nsm["text"].split()
    assert page.locator("dd[data-fact='phenotype']").inner_text() == nsm["phenotype"]
    same = results.records().filter(phenotype=nsm["phenotype"], silent=False)
    assert page.locator("aside .mutants li").count() == min(len(same), 61)
    assert "mutascope show" in page.locator("aside code").first.inner_text()


def test_a_click_on_the_map_opens_the_mutant_of_the_site(page, folders):
    results = ScreenData(folders["drosophila"])
    look(page, "view=locus&locus=0.v")
    page.locator("canvas.chart").focus()
    page.keyboard.press("ArrowRight")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("aside h2")
    assert page.locator("aside h2").inner_text().startswith("0.v:1,3:")
    assert f"{len(results.records().filter(layer=0, kind='v', row=1, col=3))}" == str(
        page.locator("aside .tabs a").count()
    )
    page.go_back()
    page.wait_for_selector("aside", state="hidden")


def test_gate_is_drawn_transposed(page):
    look(page, "view=locus&locus=0.gate")
    box = page.locator("canvas.chart").bounding_box()
    scale = min((box["width"] - 60) / 10, (box["height"] - 60) / 6)
    page.mouse.click(box["x"] + 56 + 7.5 * scale, box["y"] + 56 + 2.5 * scale)
    page.wait_for_selector("aside h2")
    assert page.locator("aside h2").inner_text().startswith("0.gate:7,2:")


def test_a_threshold_counts_the_sites_that_it_keeps(page, folders):
    results = ScreenData(folders["drosophila"])
    wild = results.manifest.wild_type[0].continuation
    cosine = severity_frame(results.phenotypes(), wild).select("phenotype", "cosine")
    nsms = results.records().filter(layer=0, kind="down", silent=False).join(cosine, on="phenotype")
    sites = nsms.group_by("row", "col").agg(pl.min("cosine").cast(pl.Float32))
    for limit in (0.2, 0.4):
        look(page, f"view=locus&locus=0.down&colour=cosine&limit={limit}")
        page.reload()
        wanted = (sites["cosine"].cast(pl.Float64) <= limit).sum()
        page.get_by_text(f"{wanted} of {len(sites)} sites").wait_for()
    slider = page.locator("#limit")
    slider.focus()
    before = page.locator("#kept").inner_text()
    page.keyboard.press("Home")
    page.wait_for_function("before => document.getElementById('kept').textContent !== before", arg=before)
    assert int(page.locator("#kept").inner_text().split()[0]) <= int(before.split()[0])


def test_columns_are_put_in_the_order_of_copa(page, folders):
    look(page, "view=locus&locus=0.v")
    page.select_option("label:has-text('order') select", "copa-col")
    page.wait_for_function("() => location.hash.includes('copa-col')")
    page.wait_for_timeout(900)
    order = rearrange(sign_map(ScreenData(folders["drosophila"]).map(0, "v").status), "col").order
    page.locator("canvas.chart").focus()
    page.keyboard.press("ArrowRight")
    for place in range(3):
        page.get_by_text(f"row 0, column {order[place]} ").wait_for()
        page.keyboard.press("ArrowRight")


def test_phenotypes_are_searched_and_lead_to_mutants(page, folders):
    results = ScreenData(folders["drosophila"])
    look(page, "view=phenotypes")
    page.fill("#search", '"FRUIT eats"')
    page.press("#search", "Enter")
    texts = results.texts().filter(~pl.col("silent"))
    found = texts.filter(pl.col("text").str.contains("fruit eats"))["phenotype"].n_unique()
    total = texts["phenotype"].n_unique()
    page.get_by_text(f"{found} of {total} phenotypes").wait_for()
    page.locator("tbody a").first.click()
    page.locator(".chosen .mutants a").first.click()
    page.wait_for_selector("[data-side='mutant'] p")
    assert "fruit eats" in page.locator("[data-side='mutant'] p").inner_text()
    page.go_back()
    page.wait_for_selector(".chosen")


def test_a_phenotype_lights_up_on_the_model(page, folders):
    look(page, "view=model&phenotype=0")
    page.wait_for_selector(".lit")
    results = ScreenData(folders["drosophila"])
    most = results.records().filter(silent=False)["phenotype"].value_counts()["count"].max()
    assert page.locator(".lit").count() == most


def test_answers_are_listed_by_question(page, folders):
    results = ScreenData(folders["mmlu21"])
    nsm = results.texts().filter(layer=0, kind="v", silent=False).row(0, named=True)
    look(page, f"screen=2&view=locus&locus=0.v&mutant=0.v:{nsm['row']},{nsm['col']}:{nsm['mutation']}")
    page.wait_for_selector(".answers")
    assert page.locator(".answers tbody td:nth-child(3)").all_inner_texts() == results.wild_type.split("\n")
    assert page.locator(".answers tbody td:nth-child(4)").all_inner_texts() == nsm["text"].split("\n")
    assert page.locator("dd[data-fact='score']").inner_text() == str(nsm["score"])


def test_findings_are_sentences_with_links(page):
    look(page, "view=findings")
    page.wait_for_selector(".findings li a")
    assert page.locator(".findings li a").count() >= 1


def test_colours_and_palettes_change_the_picture(page):
    look(page)
    pictures = set()
    for view in ("", "palette=paper", "colour=rate", "colour=phenotypes"):
        look(page, view)
        page.reload()
        page.wait_for_selector("a.locus canvas")
        pictures.add(page.evaluate("document.querySelector('a.locus canvas').toDataURL()"))
    assert len(pictures) == 4


def test_dark_follows_the_system(browser, address):
    page = browser.new_page(color_scheme="dark")
    page.goto(address)
    page.wait_for_selector("a.locus")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.close()


def test_nothing_that_a_model_says_is_run(page, hostile):
    results = ScreenData(hostile)
    texts = results.phenotypes().filter(pl.col("phenotype") != results.manifest.wild_type[0].phenotype)
    look(page, "screen=1&view=phenotypes")
    assert page.locator("tbody tr").count() == len(texts)
    assert page.locator("main script, main img").count() == 0
    nsms = results.texts().filter(silent=False).unique("phenotype")
    for nsm in nsms.iter_rows(named=True):
        name = f"{nsm['layer']}.{nsm['kind']}:{nsm['row']},{nsm['col']}:{nsm['mutation']}"
        look(page, f"screen=1&view=locus&locus={nsm['layer']}.{nsm['kind']}&mutant={name}")
        page.get_by_role("heading", name=name).wait_for()
        shown = page.locator("[data-side='mutant'] p").text_content()
        for hidden, escape in (
            ("\u202e", "\\u202e"),
            ("\u202c", "\\u202c"),
            ("\0", "\\x00"),
            ("\u200d", "\\u200d"),
        ):
            assert hidden not in shown
            shown = shown.replace(escape, hidden)
        assert shown == nsm["text"]
        assert page.locator("aside script, aside img").count() == 0
        assert "run" not in page.title()
