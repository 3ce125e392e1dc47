"""Every analysis on real screens of all designs: from records to a frame, or one clear sentence."""

import polars as pl
import pytest

from mutascope import Design, Model, Mutant, MutascopeError, Screen, ScreenData, TextAssay
from mutascope.analysis.bias import bias_agreement, bias_shares, locus_bias
from mutascope.analysis.comparison import compare_mutants, count_changes
from mutascope.analysis.copa import copa, copa_contrasts
from mutascope.analysis.counts import count_nsms, count_statuses, silent_loci, zero_tables
from mutascope.analysis.covariates import (
    enrichment_given_covariates,
    explain_nsms,
    explain_severity,
    massive_lines,
)
from mutascope.analysis.enrichment import (
    conserved_across_assays,
    conserved_across_layers,
    conserved_on_residual,
    nsm_enrichment,
    sensitive_points,
)
from mutascope.analysis.overlap import layer_correlations, layer_counts, overlap_matrix
from mutascope.analysis.sites import by_assay
from mutascope.core.schema import LOCUS_KEY, SITE_KEY

SEEDS = (0, 1)
MUTATIONS = ("max", "min", "zero")


@pytest.fixture(scope="module", params=["full", "zero", "sample", "list", "locus"])
def screens(request, llama: Model, tmp_path_factory) -> dict[str, ScreenData]:
    """Two seeds of one prompt, in one design."""
    folder = tmp_path_factory.mktemp(request.param)
    listed = [Mutant(0, "q", 0, 1, "max"), Mutant(0, "q", 0, 1, "min"), Mutant(1, "down", 1, 1, "max")]
    pl.DataFrame(listed).write_csv(folder / "list.csv")
    design = {
        "full": Design(mutations=MUTATIONS),
        "zero": Design(layers=(0, 1), mutations=("zero",)),
        "sample": Design(sample=30),
        "list": Design(mutants=str(folder / "list.csv")),
        "locus": Design(layers=(1,), kinds=("v",)),
    }[request.param]
    found = {}
    for seed in SEEDS:
        assay = TextAssay(name=f"seed{seed}", prompt="Once upon a time:", max_new_tokens=4, seed=seed)
        screen = Screen(llama, assay, design, tile=24)
        screen.run(folder / str(seed), quiet=True)
        found[assay.name] = screen.results
    return found


def test_every_analysis_gives_a_frame(screens):
    records = {label: results.records() for label, results in screens.items()}
    loci = {label: results.loci for label, results in screens.items()}
    first, known = records["seed0"], screens["seed0"].covariates()
    frames = [
        count_nsms(first),
        count_nsms(first, [*LOCUS_KEY]),
        count_statuses(first),
        silent_loci(first),
    ]
    frames += [
        zero_tables(first, ["kind"]),
        locus_bias(first),
        bias_shares(locus_bias(first)),
        bias_agreement(records),
    ]
    frames += [overlap_matrix(records, loci), overlap_matrix(records, loci, [*LOCUS_KEY])]
    frames.append(layer_correlations(by_assay(records, lambda r: layer_counts(r, loci["seed0"]))))
    lines = by_assay(records, nsm_enrichment)
    conserved = [conserved_across_assays(lines), conserved_across_layers(lines)]
    conserved.append(conserved_on_residual(lines, loci["seed0"]))
    frames += [
        lines,
        *conserved,
        *(massive_lines(frame, known) for frame in conserved),
        sensitive_points(records),
    ]
    frames += [explain_nsms(first, known), enrichment_given_covariates(first, known)]
    frames.append(explain_severity(first.filter(~pl.col("silent")), known, "first_divergence", []))
    patterns = by_assay(records, lambda r: copa(r, loci["seed0"], shuffles=5))
    frames += [patterns, copa_contrasts(patterns, ["kind", "axis"])]
    mutants = compare_mutants(records, loci)
    frames += [mutants, count_changes(mutants, ["kind"])]
    for frame in frames:
        assert not any(column.is_nan().any() for column in frame.select(pl.selectors.float()))
        for name in frame.columns:
            if name in ("p", "q", "overlap", "kappa") or name.endswith(("_p", "_q")):
                assert frame[name].drop_nulls().is_between(-1 if name == "kappa" else 0, 1 + 1e-9).all()


def test_counts_agree_with_the_rates_and_the_records(screens):
    for results in screens.values():
        records = results.records()
        counts = count_nsms(records, [*LOCUS_KEY])
        assert counts["nsm"].sum() == (~records["silent"]).sum()
        rates = results.rates(*LOCUS_KEY)
        assert (
            counts["nsm"].to_list()
            == rates.join(counts, on=[*LOCUS_KEY], maintain_order="right")["nsm"].to_list()
        )
        assert len(results.covariates()) == records.select(*SITE_KEY).n_unique()


def test_a_screen_is_itself(screens):
    results = screens["seed0"]
    records, loci = results.records(), results.loci
    mutants = compare_mutants({"a": records, "b": records}, {"a": loci, "b": loci})
    row = count_changes(mutants).row(0, named=True)
    assert row["shared"] == row["same_phenotype"] == (~records["silent"]).sum()
    assert row["lost"] == row["gained"] == 0
    overlaps = overlap_matrix({"a": records, "b": records}, {"a": loci, "b": loci})
    assert overlaps["overlap"].drop_nulls().to_list() == pytest.approx([1.0] * overlaps["overlap"].count())


def test_screens_of_another_tile_are_one_sentence(screens, llama, tmp_path):
    other = Screen(
        llama,
        TextAssay(name="x", prompt="Once", max_new_tokens=1),
        Design(layers=(0, 1), kinds=("q", "v", "down"), cols=(0,), rows=(0,)),
        tile=16,
        engine="reference",
    )
    other.run(tmp_path / "out", quiet=True)
    results = screens["seed0"]
    records = {"a": results.records(), "b": other.records()}
    loci = {"a": results.loci, "b": other.results.loci}
    for compare in (overlap_matrix, compare_mutants):
        with pytest.raises(MutascopeError, match="compare screens of equal shape and tile"):
            compare(records, loci)


def test_a_screen_without_a_record_yet(screens):
    results = screens["seed0"]
    empty, known = results.records().clear(), results.covariates()
    records, loci = {"a": empty, "b": empty}, {"a": results.loci, "b": results.loci}
    lines = by_assay(records, nsm_enrichment)
    for frame in (
        locus_bias(empty),
        lines,
        conserved_across_assays(lines),
        conserved_across_layers(lines),
        sensitive_points(records),
        copa(empty, results.loci),
        layer_correlations(by_assay(records, lambda r: layer_counts(r, results.loci))),
        explain_nsms(empty, known),
        enrichment_given_covariates(empty, known),
        zero_tables(empty),
    ):
        assert frame.is_empty()
    assert overlap_matrix(records, loci)["overlap"].to_list() == [None] * 4
    assert bias_agreement(records)["loci"].to_list() == [0]
    with pytest.raises(MutascopeError, match="no mutant in common"):
        compare_mutants(records, loci)
