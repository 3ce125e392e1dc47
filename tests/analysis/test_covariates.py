"""Covariates that explain maps: known effects are found, explained columns go, unexplained ones stay."""

import numpy as np
import polars as pl
import pytest
from scipy import special

from analysis.frames import RECORDS, loci_of, records_of_arrays
from mutascope.analysis.covariates import (
    TERMS,
    enrichment_given_covariates,
    expected_nsm_sites,
    explain_nsms,
    explain_severity,
    massive_lines,
)
from mutascope.analysis.enrichment import (
    conserved_across_layers,
    conserved_on_residual,
    nsm_enrichment,
)
from mutascope.core.schema import SITE_KEY

KEYS = [*SITE_KEY]


def covariates_of(
    random: np.random.Generator, loci: list[tuple[int, str]], rows: int, cols: int, loud: int | None = None
) -> pl.DataFrame:
    """Covariates of complete loci; column ``loud`` reads activations 20 times as large, massive ones."""
    frames = []
    for layer, kind in loci:
        row, col = np.indices((rows, cols)).reshape(2, -1)
        inputs = np.exp(random.normal(scale=0.5, size=cols))
        if loud is not None:
            inputs[loud] = 20
        norms = {
            name: np.exp(random.normal(scale=0.3, size=rows * cols))
            for name in ("tile_norm", "change_max", "change_min")
        }
        frame = pl.DataFrame({"row": row, "col": col, **norms, "input_norm": inputs[col]})
        frames.append(
            frame.with_columns(
                layer=pl.lit(layer),
                kind=pl.lit(kind),
                change_zero="tile_norm",
                stream_ratio=pl.when(kind not in ("o", "down")).then(pl.col("input_norm") * 100),
                massive=(pl.col("col") == loud) if loud is not None else pl.lit(False),
            )
        )
    types = {"layer": pl.Int16, "row": pl.Int32, "col": pl.Int32}
    return pl.concat(frames).cast(types)


def records_by(random: np.random.Generator, covariates: pl.DataFrame, **effects: float) -> pl.DataFrame:
    """Records in which an NSM depends on logarithms of the covariates, with a rate of each locus."""
    frames = []
    base = covariates["layer"].to_numpy() * 0.5 - 2
    for mutation in ("max", "min"):
        log_odds = base + sum(
            effect * np.log(covariates[f"change_{mutation}" if name == "change" else name].to_numpy())
            for name, effect in effects.items()
        )
        nsm = random.random(len(log_odds)) < special.expit(log_odds)
        frames.append(
            covariates.select(*KEYS).with_columns(
                mutation=pl.lit(mutation), silent=pl.Series(~nsm), phenotype=pl.lit("t")
            )
        )
    return pl.concat(frames).select(list(RECORDS))


LOCI = [(layer, "v") for layer in range(4)]


def test_known_effects_are_found():
    random = np.random.default_rng(0)
    covariates = covariates_of(random, [*LOCI, (0, "o")], 30, 24)
    records = records_by(random, covariates, input_norm=1.0, change=-0.8)
    frame = explain_nsms(records, covariates)
    assert frame.columns == [
        "kind",
        "term",
        "coefficient",
        "low",
        "high",
        "p",
        "q",
        "sd",
        "mutants",
        "sites",
        "explained",
    ]
    assert frame["kind"].to_list() == ["v"] * 4 + ["o"] * 4
    assert frame["term"].to_list() == [*TERMS] * 2
    rows = {row["term"]: row for row in frame.filter(kind="v").to_dicts()}
    for term, effect in (("input_norm", 1.0), ("change", -0.8), ("tile_norm", 0.0)):
        row = rows[term]
        assert row["coefficient"] == pytest.approx(effect * row["sd"], abs=0.1)
        assert row["low"] < row["coefficient"] < row["high"] < row["low"] + 0.2
        assert row["p"] < 1e-6 if effect else row["p"] > 0.01
        assert (row["mutants"], row["sites"]) == (4 * 720 * 2, 4 * 720)
    assert rows["change"]["sd"] == pytest.approx(0.3, rel=0.05)
    assert rows["massive"]["coefficient"] is rows["massive"]["p"] is None
    assert 0.02 < rows["change"]["explained"] < 0.3
    whole = explain_nsms(records, covariates, [])
    assert whole["mutants"].to_list() == [5 * 720 * 2] * 4


def test_a_difference_between_loci_is_no_effect():
    random = np.random.default_rng(1)
    covariates = covariates_of(random, LOCI, 20, 20).with_columns(
        pl.col("input_norm") * (1 + pl.col("layer") * 5)
    )
    rows = {row["term"]: row for row in explain_nsms(records_by(random, covariates), covariates).to_dicts()}
    assert rows["input_norm"]["low"] < 0 < rows["input_norm"]["high"]


def test_zero_changes_a_tile_by_its_norm():
    random = np.random.default_rng(2)
    covariates = covariates_of(random, LOCI, 20, 20)
    records = (
        records_by(random, covariates, tile_norm=1.0)
        .filter(mutation="max")
        .with_columns(mutation=pl.lit("zero"))
    )
    rows = {row["term"]: row for row in explain_nsms(records, covariates, []).to_dicts()}
    assert rows["change"]["coefficient"] == pytest.approx(rows["change"]["sd"], abs=0.15)
    assert rows["tile_norm"]["coefficient"] is None  # the same numbers as the change
    assert len(expected_nsm_sites(records, covariates)) == 1600


@pytest.mark.parametrize("status", [1, 4])
def test_loci_that_are_all_silent_or_all_nsm_say_nothing(status):
    random = np.random.default_rng(3)
    covariates = covariates_of(random, [(0, "v")], 4, 5)
    records = records_of_arrays({(0, "v"): np.full((4, 5), status)})
    frame = explain_nsms(records, covariates)
    assert frame["coefficient"].to_list() == [None] * 4
    assert frame["mutants"].to_list() == [0] * 4
    assert expected_nsm_sites(records, covariates)["chance"].to_list() == [float(status == 4)] * 20
    assert enrichment_given_covariates(records, covariates)["p"].to_list() == [1.0] * 9


def test_nothing_is_explained_without_records_or_covariates():
    random = np.random.default_rng(4)
    covariates = covariates_of(random, [(0, "v")], 4, 5)
    records = records_by(random, covariates)
    for some, known in ((records.clear(), covariates), (records, covariates.clear())):
        assert explain_nsms(some, known).is_empty()
        assert enrichment_given_covariates(some, known).is_empty()
    unread = covariates.with_columns(input_norm=pl.lit(None, pl.Float64), massive=pl.lit(None, pl.Boolean))
    assert explain_nsms(records, unread).is_empty()


def test_a_sample_of_few_mutants_per_locus_is_not_biased():
    """Six mutants in each of 40 loci: with an intercept for each, the effect would be 1.24, with one for all 1.03."""
    random, found = np.random.default_rng(5), []
    for _ in range(150):
        covariates = covariates_of(random, [(layer, "v") for layer in range(40)], 1, 3)
        even = covariates.with_columns(layer=pl.lit(4, pl.Int16))  # the rate of layer 4, one half
        records = records_by(random, even, input_norm=1.0).with_columns(
            layer=pl.concat([covariates["layer"]] * 2)
        )
        row = explain_nsms(records, covariates, []).filter(term="input_norm").row(0, named=True)
        found.append(row["coefficient"] / row["sd"])
    assert 0.95 < np.mean(found) < 1.12


def test_severity_by_a_known_slope():
    random = np.random.default_rng(6)
    covariates = covariates_of(random, LOCI, 20, 20)
    records = records_by(random, covariates).join(covariates.select(*KEYS, "input_norm"), on=KEYS)
    noise = pl.Series(random.normal(scale=0.1, size=len(records)))
    severe = records.with_columns(cosine=pl.col("layer") - 0.3 * pl.col("input_norm").log() + noise)
    frame = explain_severity(
        severe.with_columns(pl.when(~pl.col("silent")).then("cosine")), covariates, "cosine"
    )
    rows = {row["term"]: row for row in frame.to_dicts()}
    assert rows["input_norm"]["coefficient"] == pytest.approx(-0.3 * rows["input_norm"]["sd"], abs=0.01)
    assert rows["input_norm"]["explained"] == pytest.approx(0.0225 / (0.0225 + 0.01), abs=0.1)
    assert rows["change"]["low"] < 0 < rows["change"]["high"]
    assert rows["change"]["mutants"] == (~records["silent"]).sum()


# enrichment given covariates


def test_chances_add_up_to_the_hits_of_every_locus():
    random = np.random.default_rng(7)
    covariates = covariates_of(random, LOCI, 30, 40)
    sites = expected_nsm_sites(records_by(random, covariates, input_norm=1.0), covariates)
    sums = sites.group_by("layer").agg(pl.col("hit").sum(), pl.col("chance").sum()).sort("layer")
    np.testing.assert_allclose(sums["chance"], sums["hit"], rtol=1e-3)
    assert sites["chance"].is_between(0, 1).all()
    known = covariates.join(sites, on=KEYS)
    assert np.corrcoef(np.log(known["input_norm"]), special.logit(known["chance"].to_numpy()))[0, 1] > 0.5


@pytest.mark.parametrize("rows", [60, 8])
def test_a_column_explained_by_its_activations_is_no_longer_enriched_and_another_is(rows):
    """Loci of 1,000 sites with a regression of their own, and small ones that share it."""
    random = np.random.default_rng(8)
    loci = [(layer, "v") for layer in range(6)]
    covariates = covariates_of(random, loci, rows, 40, loud=9)
    records = records_by(random, covariates, input_norm=1.2)
    hidden = (pl.col("col") == 31) & pl.Series(random.random(len(records)) < 0.85)
    records = records.with_columns(silent=pl.col("silent") & ~hidden)

    before, after = nsm_enrichment(records), enrichment_given_covariates(records, covariates)
    assert before.drop("least_p", "blind").columns == after.columns
    assert before.select("layer", "kind", "axis", "index", "sites", "hits").equals(
        after.select("layer", "kind", "axis", "index", "sites", "hits")
    )
    for frame, columns in ((before, {9, 31}), (after, {31})):
        called = conserved_across_layers(frame).filter("conserved")
        assert set(called.filter(axis="col")["index"]) >= columns
    left = after.filter("enriched")
    assert set(left.filter(axis="col")["index"]) == {31}
    assert left.filter(axis="row").is_empty()


def test_no_more_false_lines_than_the_rate_when_covariates_are_all_there_is():
    random, with_calls = np.random.default_rng(9), 0
    for _ in range(100):
        covariates = covariates_of(random, [(0, "v"), (1, "v")], 26, 40, loud=3)
        records = records_by(random, covariates, input_norm=1.0, tile_norm=0.5)
        with_calls += bool(
            enrichment_given_covariates(records, covariates).filter(axis="col")["enriched"].any()
        )
    assert with_calls <= 10  # 5 expected at most


# massive activations


def test_conserved_lines_are_looked_up_in_the_stream():
    random = np.random.default_rng(10)
    covariates = covariates_of(random, [(0, "v"), (1, "v"), (1, "up"), (2, "q"), (2, "down")], 4, 6, loud=2)
    covariates = covariates.with_columns(massive=pl.col("massive") & (pl.col("layer") > 0))
    lines = pl.DataFrame(
        {
            "kind": ["v", "v", "v", "down", "down"],
            "axis": ["col", "col", "row", "row", "col"],
            "index": pl.Series([2, 3, 2, 2, 2], dtype=pl.Int32),
        }
    )
    found = massive_lines(lines, covariates)
    assert found.columns == ["kind", "axis", "index", "layers", "massive_layers", "stream_ratio", "massive"]
    assert found["layers"].to_list() == [3, 3, None, 3, None]
    assert found["massive_layers"].to_list() == [2, 0, None, 2, None]
    assert found["massive"].to_list() == [True, False, None, True, None]
    assert found["stream_ratio"][0] == pytest.approx(2000)
    by_layer = massive_lines(lines.with_columns(layer=pl.lit(0, pl.Int16)), covariates)
    assert by_layer["massive"].to_list() == [False, False, None, False, None]
    residual = massive_lines(lines.select("index").unique().sort("index"), covariates)
    assert residual["massive_layers"].to_list() == [2, 0]
    assert (
        massive_lines(lines.with_columns(index=pl.lit(99, pl.Int32)), covariates)["massive"].null_count() == 5
    )


def test_a_conserved_column_of_massive_activations_is_named():
    random = np.random.default_rng(11)
    loci = [(layer, kind) for layer in range(4) for kind in ("q", "v")]
    covariates = covariates_of(random, loci, 24, 24, loud=5)
    records = records_by(random, covariates, input_norm=1.5)
    lines = nsm_enrichment(records)
    grid = loci_of(dict.fromkeys(loci, (24, 24)))
    for conserved in (conserved_across_layers(lines), conserved_on_residual(lines, grid)):
        told = massive_lines(conserved.filter("conserved"), covariates)
        assert told.filter("massive")["index"].unique().to_list() == [5]
        assert set(told.filter("massive")["massive_layers"]) == {4}
