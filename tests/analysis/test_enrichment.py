"""Enrichment by hand, planted lines, false discoveries on random maps, and conservation."""

import math

import numpy as np
import polars as pl
import pytest

from analysis.frames import loci_of, records_of, records_of_arrays
from mutascope import MutascopeError
from mutascope.analysis.enrichment import (
    conserved_across_assays,
    conserved_across_layers,
    conserved_on_residual,
    enriched_lines,
    nsm_enrichment,
    nsm_sites,
    sensitive_points,
)
from mutascope.analysis.sites import by_assay


def random_map(
    random: np.random.Generator, rows: int, cols: int, rate: float, alike: float = 0.7
) -> np.ndarray:
    """Statuses of independent sites whose two mutations depend on each other."""
    first = random.random((rows, cols)) < rate
    second = np.where(random.random((rows, cols)) < alike, first, random.random((rows, cols)) < rate)
    return (1 + first + 2 * second).astype(np.int8)


def planted_map(random: np.random.Generator, col: int, rows: int = 24, cols: int = 24) -> np.ndarray:
    status = random_map(random, rows, cols, 0.2)
    status[:, col] = random.choice([1, 2, 3, 4], rows, p=[0.1, 0.2, 0.2, 0.5])
    return status


def test_enrichment_by_hand():
    frame = nsm_enrichment(records_of({(3, "v"): "#+-.\n...-\n...."}))
    assert frame.columns == [
        *("layer", "kind", "axis", "index", "sites", "hits", "expected", "fold", "p", "q", "enriched"),
        *("least_p", "blind"),
    ]
    rows = {(row["axis"], row["index"]): row for row in frame.to_dicts()}
    assert len(rows) == 3 + 4
    first = rows["row", 0]
    assert (first["sites"], first["hits"]) == (4, 3)
    assert first["expected"] == pytest.approx(4 * 4 / 12)
    assert first["fold"] == pytest.approx(3 / (16 / 12))
    # 4 hits among 12 sites, 4 drawn: P(3 or 4 hits)
    p = (math.comb(4, 3) * math.comb(8, 1) + 1) / math.comb(12, 4)
    assert first["p"] == pytest.approx(p)
    assert first["q"] == pytest.approx(3 * p)
    assert rows["row", 2]["p"] == 1
    assert first["least_p"] == pytest.approx(1 / math.comb(12, 4))  # a row full of hits
    assert not first["blind"]  # less than 0.05 / 3
    assert rows["col", 0]["blind"]  # three hits in a column: 4 / 220 is more than 0.05 / 4
    assert rows["col", 0]["p"] == pytest.approx(1 - math.comb(9, 4) / math.comb(12, 4))


def test_sites_count_once_and_only_where_both_mutations_were_screened():
    records = records_of({(0, "q"): "#+-."}).filter((pl.col("col") > 0) | (pl.col("mutation") == "max"))
    assert nsm_sites(records).select("col", "hit").rows() == [(1, True), (2, True), (3, False)]
    zero = records.filter(mutation="max").with_columns(mutation=pl.lit("zero"))
    assert nsm_sites(zero)["hit"].to_list() == [True, True, False, False]
    assert nsm_sites(pl.concat([records, zero])).equals(nsm_sites(records))
    assert nsm_enrichment(records.clear()).is_empty()


@pytest.mark.parametrize("status", [1, 4])
def test_nothing_stands_out_where_all_sites_are_alike(status):
    frame = nsm_enrichment(records_of_arrays({(0, "q"): np.full((6, 5), status)}))
    assert frame["p"].to_list() == [1.0] * 11
    assert not frame["enriched"].any()


def test_a_planted_column_is_found_and_nothing_else():
    random = np.random.default_rng(1)
    maps = {(layer, "v"): planted_map(random, 7) for layer in range(4)}
    called = nsm_enrichment(records_of_arrays(maps)).filter("enriched")
    assert called.select("layer", "axis", "index").rows() == [(layer, "col", 7) for layer in range(4)]
    assert np.min(called["fold"].to_numpy()) > 2


def test_a_planted_column_is_found_in_a_sample_of_sites():
    random = np.random.default_rng(4)
    records = records_of_arrays({(0, "v"): planted_map(random, 7, 60, 40)})
    sites = records.select("row", "col").unique(maintain_order=True).sample(fraction=0.3, seed=1)
    called = nsm_enrichment(records.join(sites, on=["row", "col"], how="semi")).filter("enriched")
    assert called.select("axis", "index").rows() == [("col", 7)]


@pytest.fixture(scope="module")
def random_screens() -> list[pl.DataFrame]:
    random = np.random.default_rng(2)
    return [
        nsm_enrichment(
            records_of_arrays(
                {(i, "q"): random_map(random, 20, 16, rate) for i, rate in enumerate((0.1, 0.4))}
            )
        )
        for _ in range(200)
    ]


@pytest.mark.parametrize("axis", ["row", "col"])
def test_no_more_false_lines_than_the_rate_on_200_random_maps(random_screens, axis):
    """With nothing to find, the false discovery rate is the share of maps with a call: 5 % at most."""
    with_calls = sum(bool(frame.filter(axis=axis)["enriched"].any()) for frame in random_screens)
    assert with_calls <= 10
    p = np.concatenate([frame.filter(axis=axis)["p"].to_numpy() for frame in random_screens])
    assert (
        0.02 < (p <= 0.05).mean() <= 0.05
    )  # the null is exact, and not so conservative that it says nothing


def test_false_discoveries_beside_true_ones():
    random, rates = np.random.default_rng(3), []
    for _ in range(100):
        maps = {(0, "q"): planted_map(random, 3), (1, "q"): random_map(random, 24, 24, 0.3)}
        called = nsm_enrichment(records_of_arrays(maps)).filter("enriched", axis="col")
        true = called.filter(layer=0, index=3)
        assert len(true) == 1
        rates.append((len(called) - 1) / len(called))
    assert np.mean(rates) <= 0.05


def test_any_yes_or_no_per_site_can_be_tested():
    sites = nsm_sites(records_of({(0, "q"): "#+-.\n...."})).with_columns(hit=pl.col("col") == 2)
    frame = enriched_lines(sites)
    assert frame.filter(axis="col", index=2)["p"].item() == pytest.approx(1 / math.comb(8, 2))
    assert frame.filter(axis="row")["p"].to_list() == pytest.approx([1 - 6 / 28] * 2)


# conservation


def lines_of(enriched: dict[tuple[str, int, str], list[int]], lines: int, axis: str = "col") -> pl.DataFrame:
    """Lines of loci (assay, layer, kind), of which the listed ones are enriched."""
    return pl.concat(
        pl.DataFrame({"index": range(lines)}).select(
            assay=pl.lit(assay),
            layer=pl.lit(layer, pl.Int16),
            kind=pl.lit(kind),
            axis=pl.lit(axis),
            index=pl.col("index").cast(pl.Int32),
            enriched=pl.col("index").is_in(chosen),
        )
        for (assay, layer, kind), chosen in enriched.items()
    )


def test_conservation_across_assays_by_hand():
    lines = lines_of({("a", 0, "v"): [3, 5], ("b", 0, "v"): [3], ("c", 0, "v"): [3, 7]}, lines=20)
    frame = conserved_across_assays(lines)
    assert frame.select("index", "tested", "enriched").rows() == [(3, 3, 3), (5, 3, 1), (7, 3, 1)]
    a, b, c = 0.1, 0.05, 0.1
    some = 1 - (1 - a) * (1 - b) * (1 - c)
    assert frame["p"].to_list() == pytest.approx([a * b * c / some, 1, 1])
    assert frame["expected"].to_list() == pytest.approx([0.25] * 3)
    assert frame["conserved"].to_list() == [True, False, False]


def test_conservation_across_layers_keeps_assays_apart():
    lines = lines_of(
        {("a", 0, "v"): [1], ("a", 1, "v"): [1], ("a", 2, "k"): [1], ("b", 0, "v"): [1], ("b", 1, "v"): [4]},
        lines=10,
    )
    frame = conserved_across_layers(lines)
    found = {
        (row["assay"], row["kind"], row["index"]): (row["tested"], row["enriched"])
        for row in frame.to_dicts()
    }
    assert found == {
        ("a", "v", 1): (2, 2),
        ("a", "k", 1): (1, 1),
        ("b", "v", 1): (2, 1),
        ("b", "v", 4): (2, 1),
    }
    assert frame.filter(assay="a", kind="v")["p"].item() == pytest.approx(0.01 / 0.19)
    without = conserved_across_layers(lines.filter(assay="a").drop("assay"))
    assert without.equals(frame.filter(assay="a").drop("assay"))


def test_the_residual_stream_joins_columns_that_read_and_rows_that_write():
    loci = loci_of(
        {(0, "q"): (4, 10), (0, "k"): (2, 10), (0, "o"): (10, 4), (0, "down"): (10, 30), (1, "up"): (30, 9)}
    )
    cols = lines_of({("a", 0, "q"): [2], ("a", 0, "k"): [2], ("a", 0, "down"): [2], ("a", 1, "up"): [2]}, 10)
    rows = lines_of({("a", 0, "q"): [8], ("a", 0, "o"): [2, 3], ("a", 0, "down"): []}, 10, axis="row")
    frame = conserved_on_residual(pl.concat([cols, rows]).drop("assay"), loci)
    assert frame.select("index", "tested", "enriched", "kinds").rows() == [(2, 4, 3, "q k o"), (3, 4, 1, "o")]
    assert frame["p"][0] == pytest.approx(0.1 * 0.1 * 0.2 / (1 - 0.9 * 0.9 * 0.8))
    with pytest.raises(MutascopeError, match="residual stream"):
        conserved_on_residual(cols, loci_of({(0, "other"): (4, 4)}))


def test_conserved_lines_of_random_lines_are_rare():
    """Lines enriched at random, one locus with many: calls in at most 5 % of 200 screens."""
    random, with_calls = np.random.default_rng(6), 0
    for _ in range(200):
        sizes = [2, 2, 15, 3, 1, 2]
        chosen = {
            ("a", i, "v"): random.choice(30, size, replace=False).tolist() for i, size in enumerate(sizes)
        }
        with_calls += bool(conserved_across_layers(lines_of(chosen, 30))["conserved"].any())
    assert with_calls <= 10


def test_a_column_planted_in_all_layers_and_assays_is_conserved():
    random = np.random.default_rng(7)
    screens = {
        label: records_of_arrays(
            {(layer, kind): planted_map(random, 9) for layer in range(5) for kind in ("v", "o")}
        )
        for label in ("a", "b")
    }
    lines = by_assay(screens, nsm_enrichment)
    assert conserved_across_assays(lines).filter("conserved")["index"].unique().to_list() == [9]
    layers = conserved_across_layers(lines).filter("conserved")
    assert set(layers.select("assay", "kind", "axis", "index", "enriched").rows()) == {
        (label, kind, "col", 9, 5) for kind in ("v", "o") for label in ("a", "b")
    }
    loci = loci_of({(layer, kind): (24, 24) for layer in range(5) for kind in ("v", "o")})
    assert (
        conserved_on_residual(lines, loci).filter("conserved").select("index", "kinds").rows()
        == [(9, "v")] * 2
    )


def test_without_an_assay_there_is_no_conservation_across_assays():
    with pytest.raises(MutascopeError, match="column assay"):
        conserved_across_assays(nsm_enrichment(records_of({(0, "q"): "+"})))
    nothing = nsm_enrichment(records_of({(0, "q"): "+."}))
    assert conserved_across_layers(nothing).is_empty()
    assert conserved_on_residual(nothing, loci_of({(0, "q"): (1, 2)})).is_empty()


def test_sensitive_points_are_both_everywhere():
    screens = {
        "a": records_of({(0, "q"): "##+#", (1, "v"): "#"}),
        "b": records_of({(0, "q"): "#-# ", (1, "v"): "#"}),
    }
    assert sensitive_points(screens).rows() == [(0, "q", 0, 0), (1, "v", 0, 0)]
    with pytest.raises(MutascopeError, match="no screen"):
        sensitive_points({})
