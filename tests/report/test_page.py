"""The report: complete, self-contained, escaped, and honest about what failed."""

import io
import json
import re
from base64 import b64decode
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mutascope.figures.palette import PAPER
from mutascope.findings import all_findings
from mutascope.findings.blocks import Figures, LeftOut
from mutascope.findings.finding import Drawing
from mutascope.report import pictures
from mutascope.report.blocks import Picture
from stores import random_covariates, random_records, records_of, write_predictions, write_screen

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>&amp;\u202eabc"


@pytest.fixture(scope="module")
def whole(folders, page_of):
    """Two text assays, a choice assay and a writer panel."""
    return page_of(*folders.values(), painted=1)


def change_manifest(folder: Path, **changes) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def check_self_contained(page):
    assert {tag for tag, _ in page.tags} & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    } == set()
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "url(" not in page.html
    assert "@import" not in page.html


def test_screens_of_every_sort_make_every_section(whole):
    names = [finding.section.name for finding in all_findings() if finding.section]
    lacking = ("predictions", "low_rank", "tokens", "seeds", "null", "baselines")
    told = [name for name in names if name not in lacking]
    assert whole.sections == ["brief", *told, "tables", "manifests"]
    assert [link["href"] for link in whole.all("a")] == [f"#{name}" for name in whole.sections]
    check_self_contained(whole)


def test_headline_numbers_are_those_of_the_tables(tmp_path, page_of):
    records = records_of({(0, "v"): "+-#.\n....", (1, "v"): "....\n...."}, ["fly", "a larva"])
    page = page_of(write_screen(tmp_path / "say", records))
    assert (
        "say: 4 of 32 mutants are NSMs (rate 12.5 %, every site that was planned was screened)" in page.text
    )
    assert "The NSMs of say have 2 distinct outputs and lie in 1 of 2 loci." in page.text
    assert "writers" not in page.sections
    assert "Writers: left out, it takes a writer panel." in page.text


def test_every_resolved_setting_is_shown(tmp_path, page_of):
    folder = write_screen(tmp_path / "s", records_of({(0, "v"): "+-"}))
    generation = {"do_sample": True, "top_k": 50, "epsilon_cutoff": 0.25}
    page = page_of(change_manifest(folder, generation=generation, libraries={"torch": "2.13.0"}))
    assert "sampled, top k 50" in page.text
    assert "4 x 4 elements" in page.text
    assert len(page.all("details")) == 1
    for words in ('"top_k": 50', '"epsilon_cutoff": 0.25', '"torch": "2.13.0"', "0" * 64, '"tile": 4'):
        assert words in page.text, words


def test_settings_that_differ_between_screens_stand_out(tmp_path, page_of):
    records = records_of({(0, "v"): "+-"})
    page = page_of(
        write_screen(tmp_path / "a", records, name="one"), write_screen(tmp_path / "b", records, name="two")
    )
    assert len(page.all("tr", **{"class": "differs"})) == 2  # assay and folder


def test_what_models_prompts_and_manifests_say_is_escaped(tmp_path, page_of):
    records = records_of({(0, "v"): "+-#.\n.+.-"}, [f"fly {HOSTILE}", HOSTILE])
    folder = write_screen(
        tmp_path / "<i>s",
        records,
        name=HOSTILE,
        model=HOSTILE,
        wild=[f"the egg {HOSTILE}"],
        prompts=[HOSTILE],
    )
    page = page_of(folder)
    check_self_contained(page)
    assert "<script" not in page.html.lower()
    assert "<i>s" not in page.html
    assert "\u202e" not in page.html
    assert "\\u202eabc" in page.html
    assert "<script>alert('x')</script>" in page.text  # as text, which the reader of the page sees


def test_failed_controls_are_at_the_top(tmp_path, page_of):
    folder = write_screen(tmp_path / "s", records_of({(0, "v"): "+-"}))
    controls = {
        "weights_restored": True,
        "engine": "fast",
        "replayed": 3,
        "replay_mismatches": ["0.v:0,1:min"],
        "noops": 8,
        "noops_not_silent": [],
    }
    page = page_of(change_manifest(folder, controls=controls))
    told = "1 of 3 replays disagree with the reference engine (0.v:0,1:min); do not trust these records."
    assert page.text.index(told) < page.text.index("format_version")
    assert len(page.all("p", role="alert")) == 1
    assert "2 of 3" in page.text
    assert "8 of 8" in page.text


def test_a_loud_noop_of_the_design_is_a_failure(tmp_path, page_of):
    records = records_of({(0, "v"): "+."})
    loud = records.head(1).with_columns(mutation=pl.lit("noop"))
    page = page_of(write_screen(tmp_path / "s", pl.concat([records, loud])))
    assert "1 of 1 no-ops of the design are not silent" in page.text


def test_an_unfinished_screen_says_so_and_has_no_interval(tmp_path, page_of):
    folder = write_screen(tmp_path / "s", records_of({(0, "v"): "+-"}))
    page = page_of(change_manifest(folder, units={"mutants": 8, "size": 4}), painted=9)
    assert page.html == page_of(folder, painted=9).html  # the same screens give the same page
    assert "not finished: 4 of 8 mutants are stored" in page.text
    assert "no random sample: no interval" in page.text


def test_massive_activations_are_named_and_marked(tmp_path, page_of):
    records = random_records(6, {"v": (16, 16)}, seed=3)
    page = page_of(write_screen(tmp_path / "say", records, covariates=random_covariates(records)))
    assert "Column 2 of v is enriched" in page.text
    assert "a massive activation runs through it in 6 of 6 layers" in page.text
    assert page.all("tr", **{"class": "marked"})


def test_the_strangest_are_diffs_against_the_wild_type(whole):
    assert len(whole.all("div", **{"class": "change"})) == 10
    assert whole.all("del")
    assert whole.all("ins")


def test_long_tables_are_cut_and_say_where_the_rest_is(whole):
    assert (
        "12 of 72 rows; all in enrichment.csv" in whole.text
        or "in enrichment.csv of `mutascope analyze`" in whole.text
    )


def test_many_loci_are_a_gallery_of_small_maps(tmp_path, page_of):
    records = random_records(8, dict.fromkeys(["q", "v"], (6, 8)), seed=1)
    page = page_of(write_screen(tmp_path / "say", records))
    maps = [image for image in page.all("img") if "are NSM sites" in image.get("title", "")]
    assert len(maps) == 16
    assert all((image["width"], image["height"]) == ("32", "24") for image in maps)
    q = records.filter(~pl.col("silent"), layer=0, kind="q").select("row", "col").n_unique()
    assert f"0.q: {q} of 48 screened sites are NSM sites" in {image["title"] for image in maps}


def test_small_maps_of_a_predicted_screen_are_lighter_where_it_was_not_run(tmp_path, page_of):
    whole = random_records(8, dict.fromkeys(["q", "v"], (6, 8)), seed=1)
    run, shapes = whole.filter(pl.col("row") < 3), dict.fromkeys(product(range(8), ["q", "v"]), (6, 8))
    page = page_of(write_predictions(write_screen(tmp_path / "s", run, shapes=shapes), whole))
    maps = [
        image for image in page.all("img") if "NSM sites; 24 were run, the others" in image.get("title", "")
    ]
    assert len(maps) == 16
    seen = Image.open(io.BytesIO(b64decode(maps[0]["src"].partition(",")[2]))).convert("RGB")
    above, below = (
        {tuple(pixel) for pixel in rows.reshape(-1, 3).tolist()} for rows in np.split(np.array(seen), 2)
    )
    assert above & below == {(255, 255, 255)}  # silent
    assert "lighter: predicted" in page.text
    assert "PREDICTED where not run" in page.text


def test_a_predicted_screen_says_what_was_run_and_how_good_predictions_are(tmp_path, page_of):
    whole = random_records(2, {"v": (6, 8)}, seed=1)
    run, shapes = whole.filter(pl.col("row") < 3), dict.fromkeys(product(range(2), ["v"]), (6, 8))
    folder = write_predictions(write_screen(tmp_path / "s", run, shapes=shapes), whole)
    page = page_of(folder)
    assert re.search(r"192 mutants are NSMs \(rate [\d.]+ %, 96 calls exact, 96 predicted\)", page.text)
    assert "predictions" in page.sections
    for words in ("Scores of the predictions", "Reliability", "The same by kind", "sample rate, %"):
        assert words in page.text, words
    assert [image for image in page.all("img") if "share that is one" in image.get("alt", "")]


def test_maps_that_find_no_room_are_left_out_with_a_sentence(tmp_path, page_of, monkeypatch):
    monkeypatch.setattr(pictures, "ROOM", 2000)
    records = random_records(8, dict.fromkeys(["q", "v"], (6, 8)), seed=1)
    page = page_of(write_screen(tmp_path / "say", records))
    assert "maps of say: left out, the page would be too large" in page.text


@pytest.mark.parametrize("dots, kind", [(10, "svg+xml"), (9000, "png")])
def test_charts_of_thousands_of_dots_are_pixels(dots, kind):
    figure = Figure()
    figure.subplots().scatter(range(dots), np.arange(dots) ** 0.5)
    source = pictures.picture(figure, "Dots.").source
    assert source.startswith(f"data:image/{kind};base64,")
    assert len(source) < 300_000


def test_a_figure_of_many_pictures_leaves_room_for_the_first_ones_of_others(monkeypatch):
    monkeypatch.setattr(pictures, "ROOM", 30)
    nothing: Any = None
    album = pictures.Album(nothing, PAPER)
    drawn = [
        (rank, Picture("x" * 10, 1, ""), LeftOut(f"{name} {rank}", "no room"))
        for name, ranks in (("layers", 4), ("late", 1))
        for rank in range(ranks)
    ]
    album._drawn = drawn
    shown = [block for _, block in album.fitted([("blocks/picture.html", each) for _, each, _ in drawn])]
    left_out = [block.what for block in shown if isinstance(block, LeftOut)]
    assert left_out == ["layers 2", "layers 3"]


def test_of_dozens_of_pictures_of_a_figure_the_first_ones_are_drawn_alone(monkeypatch):
    drawn = []

    def pictures_of(given: Any, palette: Any) -> Iterator[tuple[str, Figure]]:
        for number in range(40):
            drawn.append(number)
            yield str(number), Figure(figsize=(1, 1))

    monkeypatch.setattr(pictures, "figure_named", lambda name: Drawing(name, "", pictures_of))
    nothing: Any = None
    blocks = list(pictures.Album(nothing, PAPER).figures(Figures("many", "Many.")))
    told = [block.what for block in blocks if isinstance(block, LeftOut)]
    assert (len(blocks), told) == (pictures.MOST + 1, ["other pictures of the figure many"])
    assert len(drawn) == pictures.MOST + 1


@pytest.mark.parametrize("drawn", ["....\n....", "####\n####", "#"])
def test_all_silent_all_nsm_and_single_sites_give_a_report(tmp_path, page_of, drawn):
    page = page_of(write_screen(tmp_path / "s", records_of({(0, "q"): drawn})))
    check_self_contained(page)
    assert {"brief", "screened", "controls", "rates", "maps", "tables"} <= set(page.sections)


def test_zero_alone_and_panels_alone_give_a_report(tmp_path, page_of, folders):
    zero = records_of({(0, "q"): "+.\n.."}).filter(mutation="max").with_columns(mutation=pl.lit("zero"))
    page = page_of(write_screen(tmp_path / "s", zero))
    assert "1 of 4 mutants are NSMs" in page.text
    assert "Bias towards max or min: left out" in page.text
    page = page_of(folders["panel"])
    assert "it takes a screen that is not a writer panel" in page.text


def test_screens_of_unequal_shapes_are_reported_each(tmp_path, page_of):
    one = write_screen(tmp_path / "one", records_of({(0, "q"): "+.\n.."}), name="one")
    two = write_screen(tmp_path / "two", records_of({(0, "q"): "+..\n..."}), name="two")
    page = page_of(one, two)
    assert "cannot be compared site by site: 0.q has" in page.text
    assert "comparison" in page.sections
