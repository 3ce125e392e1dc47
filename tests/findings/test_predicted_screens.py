"""Screens that were predicted, in part or whole: what tables and figures take from calls, records and sample."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from mutascope.analysis.calibration import calibration_scores, cross_fitted
from mutascope.analysis.status import Status
from mutascope.core.errors import NotHere
from mutascope.figures import PAPER, draw_sheet
from mutascope.findings import ScreenSet, build_table, build_tables, covariates, figure_named, figures
from mutascope.report import report_html
from mutascope.store.reader import ScreenData
from stores import WILD, as_choice, random_covariates, random_records, write_predictions, write_screen

GRID = {"v": (6, 8)}


def change_manifest(folder: Path, **changes) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """A predicted screen whose first three rows were run."""
    whole = random_records(1, GRID, 0)
    run = whole.filter(pl.col("row") < 3)
    folder = write_screen(tmp_path_factory.mktemp("mixed") / "s", run, name="say", shapes={(0, "v"): (6, 8)})
    return write_predictions(folder, whole)


def draw(given, name) -> dict[str, Any]:
    return dict(figure_named(name).draw(given, PAPER))


def test_cosine_maps_leave_out_what_was_not_run(mixed):
    (figure,) = draw(ScreenSet([mixed]), "cosine_maps").values()
    grey = to_rgb(PAPER.statuses[Status.UNSCREENED])
    for axes in figure.axes[:4]:
        unknown: Any = np.isclose(axes.images[0].get_array(), grey).all(axis=-1)
        assert not unknown[:3].any(), axes.get_label()
        assert unknown[3:].all(), axes.get_label()


def test_the_sheet_tells_what_was_predicted_as_the_map_does(mixed):
    (drawn,) = draw(ScreenSet([mixed]), "sheet").values()
    alone: Any = draw_sheet(ScreenData(mixed).maps())
    images = [figure.axes[0].images[0].get_array() for figure in (drawn, alone)]
    assert np.array_equal(*images)
    dots = drawn.axes[0].collections[0].get_offsets()
    assert set(dots[:, 1]) == {0, 1, 2}
    for figure in (drawn, alone):
        assert "PREDICTED where not marked" in " ".join(text.get_text() for text in figure.texts)
        assert "lighter: predicted" in [text.get_text() for text in figure.legends[0].get_texts()]


def make_adaptive(folder: Path, sampled_sites: int) -> Path:
    """Turn a screen into one whose first sites are a random sample and whose other mutants were chosen."""
    manifest = json.loads((folder / "manifest.json").read_text())
    first, *others = manifest["loci"]
    loci = [{**first, "sampled_sites": sampled_sites}, *({**locus, "sampled_sites": 0} for locus in others)]
    design = {"type": "adaptive", "sha256": "0", "mutations": ["max", "min"], "sample": sampled_sites}
    return change_manifest(folder, design=design, loci=loci)


def test_scores_of_an_adaptive_screen_are_those_of_its_random_sample(tmp_path):
    whole = random_records(1, GRID, 0)
    order = np.random.default_rng(1).permutation(48)
    records = pl.concat(whole.filter(pl.col("row") == at // 8, pl.col("col") == at % 8) for at in order)
    folder = write_predictions(write_screen(tmp_path / "s", records, shapes={(0, "v"): (6, 8)}), whole)
    everything = build_table(ScreenSet([folder]), "prediction_scores")
    assert everything["mutants"].to_list() == [96, 96]
    given = ScreenSet([make_adaptive(folder, 20)])
    sampled = build_table(given, "prediction_scores")
    assert sampled["mutants"].to_list() == [40, 40]
    assert build_table(given, "reliability")["mutants"].sum() == 40
    told = cross_fitted(given.results["s (predicted)"].checked_calls()).head(40)
    told = told.with_columns(weight=1.0)
    assert sampled["brier"][0] == pytest.approx(calibration_scores(told)["brier"][0])
    unfinished = ScreenSet([make_adaptive(folder, 0)])
    with pytest.raises(NotHere, match="an exact sample"):
        build_table(unfinished, "prediction_scores")


def test_scores_are_given_with_and_without_zero(tmp_path):
    whole = random_records(1, GRID, 0)
    zero = whole.filter(mutation="max").with_columns(mutation=pl.lit("zero"), silent=pl.lit(True))
    without, whole = whole, pl.concat([whole, zero])
    measured = whole.with_columns(silence=pl.col("silent").cast(pl.Float64))
    folder = write_predictions(write_screen(tmp_path / "s", measured, shapes={(0, "v"): (6, 8)}), whole)
    scores = build_table(ScreenSet([folder]), "prediction_scores")
    assert scores.filter(group="all").select("mutations", "mutants").rows() == [
        ("max, min, zero", 144),
        ("max, min", 96),
    ]
    assert scores["silence_r2"].is_between(0.2, 0.9).all()
    given, both = ScreenSet([folder]), ["max, min, zero", "max, min"]
    assert build_table(given, "reliability")["mutations"].unique(maintain_order=True).to_list() == both
    rates = build_table(given, "combined_rates")
    assert rates.select("mutations", "mutants").rows() == list(zip(both, [144, 96], strict=True))
    assert rates["sample_rate"].to_list() == pytest.approx(
        [(~part["silent"]).mean() for part in (whole, without)]
    )
    (axes,) = draw(given, "reliability")[""].axes
    assert sum(int(text.get_text()) for text in axes.texts) == 96


def test_a_choice_screen_that_was_predicted_without_an_exact_call_is_analysed(tmp_path):
    whole = random_records(1, GRID, 0)
    answers, wild = as_choice(whole)
    folder = write_screen(
        tmp_path / "quiz", answers, wild=wild, prompts=["?"] * 21, shapes={(0, "v"): (6, 8)}
    )
    for kind in ("records", "phenotypes", "checksums"):
        shutil.rmtree(folder / kind)
    folder = make_adaptive(change_manifest(folder, units={"mutants": 0, "size": 4}), 0)
    given = ScreenSet([write_predictions(folder, whole)])
    assert given.choice == []
    made = {finding.name: table for finding, table in build_tables(given)}
    assert isinstance(made["nsm_by_kind"], pl.DataFrame)
    assert isinstance(made["choice_by_kind"], str)


def test_zero_alone_is_counted_in_all_calls(tmp_path):
    zero = pl.lit("zero")
    whole = random_records(1, GRID, 0).filter(mutation="max").with_columns(mutation=zero)
    run = whole.filter(pl.col("row") < 3)
    folder = write_predictions(write_screen(tmp_path / "s", run, shapes={(0, "v"): (6, 8)}), whole)
    given = ScreenSet([folder])
    for name in ("nsm_total", "nsm_by_mutation"):
        assert build_table(given, name)["mutants"].to_list() == [48], name


def test_enrichment_given_covariates_is_of_the_calls_that_enrichment_is_of(tmp_path):
    whole = random_records(1, GRID, 0)
    run = whole.filter(pl.col("row") < 3)
    known = random_covariates(whole)
    folder = write_screen(tmp_path / "s", run, shapes={(0, "v"): (6, 8)}, covariates=known)
    given = ScreenSet([write_predictions(folder, whole)])
    plain = build_table(given, "enrichment").filter(hit="any").drop("model", "hit")
    beyond = build_table(given, "enrichment_given_covariates")
    counts = ["axis", "index", "sites", "hits"]
    assert beyond.select(counts).rows() == plain.select(counts).rows()
    assert covariates.enrichment_of_explained(given).equals(plain)

    folder = write_screen(
        tmp_path / "t", run, shapes={(0, "v"): (6, 8)}, covariates=known.filter(pl.col("row") < 4)
    )
    given = ScreenSet([write_predictions(folder, whole)])
    beyond = build_table(given, "enrichment_given_covariates")
    assert covariates.enrichment_of_explained(given).select(counts).rows() == beyond.select(counts).rows()
    assert set(beyond.filter(axis="col")["sites"]) == {4}


def with_zero(records: pl.DataFrame) -> pl.DataFrame:
    """The same with zero mutants, which are all silent."""
    zero = records.filter(mutation="max").with_columns(mutation=pl.lit("zero"), silent=pl.lit(True))
    silent = zero.with_columns(first_divergence=pl.lit(None, pl.Int32), continuation=pl.lit(WILD))
    return pl.concat([records, silent])


def combined(folder: Path, table: str = "combined_rates") -> dict:
    return build_table(ScreenSet([folder]), table).row(0, named=True)


def test_combined_rates_are_of_the_mutations_of_sample_and_predictions(tmp_path):
    whole = random_records(1, GRID, 0)
    rate = (~whole["silent"]).sum() / len(whole)
    plain = combined(write_predictions(write_screen(tmp_path / "a", whole), whole))
    assert plain["rate"] == pytest.approx(rate, abs=0.02)
    for name, run, guessed in (("b", whole, with_zero(whole)), ("c", with_zero(whole), whole)):
        folder = write_predictions(write_screen(tmp_path / name, run), guessed)
        row = combined(folder)
        assert row["mutants"] == 96, name
        assert row["rate"] == pytest.approx(rate, abs=0.02), name
        assert row["sample_rate"] == pytest.approx(rate), name


def test_combined_rates_are_of_the_region_that_was_screened(tmp_path):
    whole = random_records(1, GRID, 0)
    crowded = whole.filter(pl.col("col").is_in([2, 5]))
    folder = write_predictions(write_screen(tmp_path / "s", crowded, shapes={(0, "v"): (6, 8)}), whole)
    (locus,) = json.loads((folder / "manifest.json").read_text())["loci"]
    design = {"type": "region", "sha256": "0", "cols": [2, 5], "mutations": ["max", "min"]}
    row = combined(change_manifest(folder, design=design, loci=[{**locus, "region_sites": 12}]))
    assert row["rate"] == pytest.approx((~crowded["silent"]).sum() / len(crowded), abs=0.05)
    assert row["predicted"] == pytest.approx(row["rate"], abs=0.1)


def test_combined_rates_are_of_the_loci_that_were_predicted(tmp_path):
    whole = random_records(2, GRID, 0)
    first = whole.filter(layer=0)
    row = combined(write_predictions(write_screen(tmp_path / "s", whole), first))
    assert (row["loci"], row["mutants"]) == (1, 96)
    assert row["sample_rate"] == pytest.approx((~first["silent"]).sum() / len(first))


def test_a_sample_that_was_not_predicted_is_told(tmp_path):
    whole = random_records(1, GRID, 0)
    zero = with_zero(whole).filter(mutation="zero")
    folder = write_predictions(write_screen(tmp_path / "s", zero), whole)
    with pytest.raises(NotHere, match="no mutant of the exact sample was predicted"):
        combined(folder)


@pytest.fixture
def unrun(tmp_path) -> Path:
    """A predicted screen of which nothing was run."""
    whole = random_records(2, GRID, 0)
    folder = write_predictions(write_screen(tmp_path / "s", whole), whole)
    shutil.rmtree(folder / "records")
    loci = json.loads((folder / "manifest.json").read_text())["loci"]
    return change_manifest(
        folder,
        design={"type": "adaptive", "sha256": "0", "mutations": ["max", "min"], "sample": 0},
        loci=[{**locus, "sampled_sites": 0} for locus in loci],
        units={"mutants": 0, "size": 1},
    )


@pytest.mark.usefixtures("unpainted")
def test_predictions_alone_make_tables_figures_and_a_report(unrun):
    given = ScreenSet([unrun])
    made: dict[str, Any] = {table.name: found for table, found in build_tables(given)}
    assert made["nsm_total"]["mutants"].to_list() == [192]
    for name in ("prediction_scores", "reliability", "combined_rates"):
        assert made[name] == "it takes a predicted screen with an exact sample"
    reasons = {}
    for name, drawing in figures().items():
        try:
            for _, figure in drawing.draw(given, PAPER):
                FigureCanvasAgg(figure).draw()
        except NotHere as error:
            reasons[name] = str(error)
    assert not {"sheet", "nsm_by_kind", "layers", "bias", "copa", "copa_strength"} & set(reasons)
    assert reasons["cosine"] == "no mutant of a text assay that was run is an NSM"
    assert "0 calls exact, 192 predicted" in report_html(given)
