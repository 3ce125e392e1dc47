"""The atlas of one screen in a real browser: predicted, on a panel, live, or still running."""

from __future__ import annotations

import contextlib
import io
import shlex
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("playwright", reason="the atlas in a browser takes playwright, of the extra dev")
pytest.importorskip("starlette", reason="the server takes the extra explorer")

from browsing import CHROMIUM, hosted, look, opened, served
from playwright.sync_api import expect

from mutascope import Design, Mutant, Screen
from mutascope.assays import TextAssay
from mutascope.core.schema import MUTANT_KEY
from mutascope.explorer import Atlas, write_site
from mutascope.run.live import Live
from mutascope.store import ScreenFolder, Shard
from mutascope.store.reader import ScreenData
from stores import records_of, write_predictions, write_screen

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


def test_what_is_predicted_is_paler_and_has_a_chance(browser, tmp_path):
    records = records_of({(0, "v"): "+-#.\n.#.+"})
    folder = write_predictions(
        write_screen(tmp_path / "some", records.head(6), shapes={(0, "v"): (2, 4)}), records
    )
    chances = ScreenData(folder).calls().group_by("row", "col").agg(pl.max("probability"))["probability"]
    for address in served(Atlas([str(folder)])):
        for page in opened(browser, address):
            look(page, "view=locus&locus=0.v")
            assert page.locator("[data-legend='predicted']").inner_text() == "paler: predicted, not run"
            look(page, "view=locus&locus=0.v&colour=chance&limit=0.5")
            page.get_by_text(f"{(chances >= 0.5).sum()} of 8 sites").wait_for()
            assert 0.4 < float(page.locator("#limit").input_value()) < 0.6


def commands(browser, folder: Path, name: str) -> list[str]:
    """The command and the line of Python that are shown with a mutant."""
    shown = []
    for address in served(Atlas([str(folder)])):
        for page in opened(browser, address):
            look(page, f"view=locus&locus={name.split(':')[0]}&mutant={name}")
            shown = page.locator("aside code").all_inner_texts()
    return shown


def printed(line: str) -> str:
    """What a line of Python prints."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(line)
    return told.getvalue()


def test_the_command_and_the_line_of_a_mutant_have_what_is_shown(browser, llama, cli, tmp_path):
    assay = TextAssay(name="t", prompt="The life cycle", seed=1, max_new_tokens=6)
    design = Design(kinds=("v",), layers=(0,), mutations=("max",), sample=4)
    Screen(llama, assay, design, tile=8).run(tmp_path / "s", quiet=True)
    record = ScreenData(tmp_path / "s").records().row(0, named=True)
    name = str(Mutant(*(record[key] for key in MUTANT_KEY)))
    command, line = commands(browser, tmp_path / "s", name)
    verb, *rest = shlex.split(command)[1:]
    assert "gives the same record" in cli(verb, *rest).out
    assert record["phenotype"] in printed(line)


def test_what_was_predicted_has_a_command_and_a_line_too(browser, tmp_path):
    records = records_of({(0, "v"): "+-#.\n.#.+"})
    folder = write_predictions(
        write_screen(tmp_path / "some", records.head(6), shapes={(0, "v"): (2, 4)}), records
    )
    call = ScreenData(folder).calls().filter(source="predicted").row(0, named=True)
    name = str(Mutant(*(call[key] for key in MUTANT_KEY)))
    command, line = commands(browser, folder, name)
    assert command.endswith(f"{name} --check")
    assert "predicted" in printed(line)


def test_outputs_on_a_panel_are_searched(browser, folders, tmp_path):
    site = tmp_path / "atlas"
    write_site([str(folders["drosophila"]), str(folders["panel"])], site, tell=lambda line: None)
    results = ScreenData(folders["panel"])
    texts = results.outputs().join(results.phenotypes(), on="phenotype")
    mutant = texts.row(0, named=True)
    name = f"{mutant['layer']}.{mutant['kind']}:{mutant['row']},{mutant['col']}:{mutant['mutation']}"
    mine = texts.filter(**{key: mutant[key] for key in MUTANT_KEY})
    wanted = mine.filter(pl.col("continuation").str.starts_with("A ")).height
    for address in hosted(str(site)):
        for page in opened(browser, address):
            look(page, f"view=panels&mutant={name}")
            assert page.locator("tbody tr").count() == len(mine)
            page.fill("input[type=search]", "a fly")
            assert page.locator("tbody tr:visible").count() == wanted
            page.get_by_text(f"{wanted} of {len(mine)} outputs").wait_for()


def test_what_is_asked_live_streams_side_by_side(browser, folders, llama):
    speaker, mutant = Live(llama, 4), Mutant(0, "v", 0, 0, "max")

    def says(dose: float) -> list[list[str]]:
        """Words of the wild type and of the mutant."""
        said = ["", ""]
        for piece in speaker.say("the egg", [[], [mutant]], dose=dose, seed=1, max_new_tokens=9):
            said[piece.column] += piece.text
        return [text.split() for text in said]

    wild, full = says(1)
    _, half = says(0.5)
    assert half not in (wild, full)
    for address in served(Atlas([str(folders["drosophila"])], live=True), speaker):
        for page in opened(browser, address):
            look(page, "view=live")
            suggested = Mutant.parse(page.locator("input.name").first.input_value())
            assert len(ScreenData(folders["drosophila"]).records().filter(silent=False, **asdict(suggested)))
            look(page, "view=live&mutants=0.v:0,0:max&prompt=the+egg&seed=1&length=9")
            page.get_by_role("button", name="say").click()
            page.wait_for_selector(".sides.live[data-done]")
            assert page.locator(".liveview [role=alert]").text_content() == ""
            shown = page.locator(".sides.live p")
            assert [text.split() for text in shown.all_text_contents()] == [wild, full]
            page.get_by_label("Dose", exact=True).fill("0.5")  # moving the slider asks again
            assert page.get_by_label("Dose in percent").inner_text() == "50 %"
            expect(shown).to_have_text([" ".join(wild), " ".join(half)], timeout=20_000)
            page.wait_for_selector(".sides.live[data-done]")
            page.get_by_role(
                "button", name="Dark or light"
            ).click()  # which draws all anew, but for what was said
            page.wait_for_timeout(200)
            assert [text.split() for text in shown.all_text_contents()] == [wild, half]
            page.get_by_role("button", name="put this into the address").click()
            page.wait_for_function(
                "() => location.hash.includes('dose=0.5') && location.hash.includes('length=9')"
            )
            page.locator("input.name").first.fill("99.v:0,0:max")
            page.get_by_role("button", name="say").click()
            page.get_by_text("has no 99.v:0,0:max").wait_for()


@pytest.mark.slow
def test_a_folder_that_grows_shows_what_is_new(browser, tmp_path):
    folder = write_screen(tmp_path / "grows", records_of({(0, "v"): "+-#."}))
    store = ScreenFolder(folder)
    manifest = store.manifest()
    manifest.units.mutants = 20
    store.write_manifest(manifest)
    for address in served(Atlas([str(folder)])):
        for page in opened(browser, address):
            look(page)
            page.get_by_text("8 mutants run").wait_for()
            (shard,) = (folder / "records").glob("*.parquet")
            texts = pl.read_parquet(folder / "phenotypes" / shard.name)
            store.write_unit("000001", Shard(pl.read_parquet(shard).head(4), texts, None))
            page.get_by_text("12 mutants run").wait_for()
