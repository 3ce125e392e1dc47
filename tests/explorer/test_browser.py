"""The atlas in a real browser: what is on the page, against numbers from the store."""

from __future__ import annotations

import polars as pl
import pytest

pytest.importorskip("playwright", reason="the atlas in a browser takes playwright, of the extra dev")
pytest.importorskip("starlette", reason="the server takes the extra explorer")

from browsing import CHROMIUM, look

from mutascope.analysis.copa import rearrange, sign_map
from mutascope.analysis.enrichment import nsm_enrichment
from mutascope.analysis.severity import severity_frame
from mutascope.store.reader import ScreenData

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


def test_a_way_through_the_atlas(page, folders):
    results = ScreenData(folders["drosophila"])
    look(page)
    assert page.locator("a.locus").count() == 6
    page.click("a.locus[data-locus='1.down']")
    page.wait_for_selector(".locusview")
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
    page.keyboard.press("Escape")
    page.wait_for_selector("aside", state="hidden")


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


def test_margins_tell_q_norms_and_massive_activations(page, folders):
    results = ScreenData(folders["drosophila"])
    tested = nsm_enrichment(results.records()).filter(layer=0, kind="v", axis="col").sort("index")
    norm = results.covariates().filter(layer=0, kind="v", col=0).row(0, named=True)["input_norm"]
    look(page, "view=locus&locus=0.v")
    assert bool(page.locator("[data-mark='any']").count()) == (tested["q"] <= 0.05).any()
    assert page.locator("[data-mark='norm'], [data-mark='massive']").count() == 2
    page.locator("canvas.chart").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text(f"column: {tested['hits'][0]} NSM sites (q ").wait_for()
    shown = float(page.locator(".tip").inner_text().rpartition("input norm ")[2])
    assert shown == pytest.approx(norm, rel=0.01)


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


def test_a_phrase_is_found_across_lines(page, hostile):
    said = ScreenData(hostile).phenotypes()["text"].str
    look(page, 'screen=1&view=phenotypes&words="hatches+into+an"')
    wanted = said.contains(r"hatches\s+into an").sum()
    assert wanted
    page.get_by_text(f"{wanted} of ").wait_for()


def tab_to(page, wanted: str) -> None:
    """Press Tab until the focus is there."""
    for _ in range(80):
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
        page.keyboard.press("Tab")
    raise AssertionError(wanted)


def test_keys_alone_lead_to_a_mutant_and_to_what_says_the_same(page):
    look(page)
    tab_to(page, "a.locus")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".locusview")
    assert page.evaluate("document.activeElement.id") == "main"  # and not the top of the page
    tab_to(page, "select[name='colour']")
    for colour in ("divergence", "cosine"):  # the choice keeps the focus, although it is drawn anew
        page.keyboard.press("ArrowDown")
        page.wait_for_function("colour => location.hash.includes(`colour=${colour}`)", arg=colour)
        page.wait_for_selector("#limit")
        page.wait_for_function("() => document.activeElement.name === 'colour'")
    tab_to(page, "#limit")
    for _ in range(2):
        before = page.locator("#limit").input_value()
        page.keyboard.press("ArrowLeft")
        page.wait_for_function("before => document.getElementById('limit').value !== before", arg=before)
        page.wait_for_function("() => document.activeElement.id === 'limit'")
    tab_to(page, "canvas.chart")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("aside h2")
    tab_to(page, "aside a[aria-label='Close']")
    page.keyboard.press("Escape")
    page.wait_for_selector("aside", state="hidden")
    tab_to(page, "#view-phenotypes")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search")
    tab_to(page, "tbody a")
    page.keyboard.press("Enter")
    page.wait_for_selector(".chosen")
    tab_to(page, ".chosen .mutants a")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-side='mutant'] p")


def test_a_phenotype_lights_up_on_the_model(page, folders):
    look(page, "view=model&phenotype=0")
    results = ScreenData(folders["drosophila"])
    most = results.records().filter(silent=False)["phenotype"].value_counts()["count"].max()
    page.get_by_text(f"{most} mutants say the same").wait_for()


def test_the_wheel_zooms_from_the_model_into_a_locus_and_out_again(page):
    look(page)
    box = page.locator("a.locus[data-locus='0.down']").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(30):
        page.mouse.wheel(0, -120)
        page.wait_for_timeout(30)
        if "view=locus" in page.url:
            break
    page.wait_for_selector(".locusview canvas.chart")
    assert "locus=0.down" in page.url
    assert "cam=" in page.url
    page.mouse.wheel(0, 3000)
    page.wait_for_selector(".model a.locus")
    assert page.evaluate("location.hash").startswith("#cam=0.down")
    page.go_back()
    page.wait_for_selector(".locusview")


def test_what_an_address_lacks_is_no_place_to_go_back_to(page):
    look(page)
    page.get_by_role("link", name="Locus").click()
    page.wait_for_selector(".locusview")
    page.go_back()
    page.wait_for_selector(".model a.locus")
    look(page, "view=constructor&palette=nope&screen=99")
    page.wait_for_selector(".model a.locus")
    assert page.evaluate("location.hash") == ""


def test_screens_beside_move_together_if_their_shapes_are_the_same(page):
    look(page, "view=locus&locus=0.v&beside=1")
    page.wait_for_selector("figure:nth-child(3)")
    captions = page.locator("figcaption").all_inner_texts()
    assert [": 3 by 5 sites, moves alone" in caption for caption in captions] == [False, True, False]
    page.wait_for_timeout(200)
    pictures = "[...document.querySelectorAll('canvas.chart')].map((canvas) => canvas.toDataURL())"
    before = page.evaluate(pictures)
    page.locator("canvas.chart").first.focus()
    page.keyboard.press("+")
    page.wait_for_timeout(200)
    after = page.evaluate(pictures)
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_arrow_keys_go_from_locus_to_locus(page):
    look(page)
    page.locator("a.locus[tabindex='0']").focus()
    for key, locus in (("ArrowRight", "0.gate"), ("ArrowDown", "1.gate"), ("ArrowDown", "1.gate")):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.dataset.locus") == locus
    page.keyboard.press("Enter")
    page.wait_for_selector(".locusview")
    assert "locus=1.gate" in page.url


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
    page.get_by_text("lean towards max").first.click()
    page.wait_for_selector(".model")
    assert page.locator("select[name='colour']").input_value() == "bias"


def test_a_line_of_all_layers_is_shown_on_the_model_and_on_a_locus(page):
    look(page, "line=col,2,down")
    assert page.locator("#line").inner_text() == "column 2 of down ×"
    for view, canvas in (
        ("line=col,2,down", "canvas.plane"),
        ("view=locus&locus=0.down&line=col,2,down", "canvas.chart"),
    ):
        look(page, view)
        page.wait_for_timeout(200)
        picture = f"document.querySelector('{canvas}').toDataURL()"
        marked = page.evaluate(picture)
        page.click("#line")
        page.wait_for_selector("#line", state="detached")
        page.wait_for_timeout(200)
        assert page.evaluate(picture) != marked


def test_colours_and_palettes_change_the_picture(page):
    look(page)
    pictures = set()
    for view in ("", "palette=paper", "colour=rate", "colour=phenotypes"):
        look(page, view)
        page.reload()
        page.wait_for_selector("a.locus")
        page.wait_for_timeout(200)
        pictures.add(page.evaluate("document.querySelector('canvas.plane').toDataURL()"))
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
