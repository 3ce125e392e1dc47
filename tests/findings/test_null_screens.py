"""Null screens stand beside the real ones, and nowhere else."""

import polars as pl
import pytest

from mutascope.core.errors import MutascopeError, NotHere
from mutascope.findings import ScreenSet, build_table, draw_figure
from mutascope.findings.finding import Section
from mutascope.findings.null import FINDINGS
from stores import SHAPES, random_records, write_null, write_screen

RECORDS = random_records(2, SHAPES)


def _section() -> Section:
    (section,) = [finding.section for finding in FINDINGS if finding.section]
    return section


@pytest.fixture(scope="module")
def given(folders, tmp_path_factory) -> ScreenSet:
    """A real screen, another assay, and null screens of two of six loci of the first one."""
    root = tmp_path_factory.mktemp("null")
    kinds = RECORDS["kind"].unique(maintain_order=True).to_list()
    nulls = [
        write_null(root / f"null-{layer}", RECORDS.filter(layer=layer, kind=kinds[0]), seed=layer)
        for layer in range(2)
    ]
    return ScreenSet([folders["drosophila"], folders["newton"], *nulls])


def test_tables_are_those_of_the_real_screens_with_columns_more(given, folders):
    alone = ScreenSet([folders["drosophila"], folders["newton"]])
    assert given.labels == alone.labels
    for name in ("enrichment", "bias_by_locus", "copa", "conserved_across_layers", "conserved_on_residual"):
        table, plain = build_table(given, name), build_table(alone, name)
        added = [column for column in table.columns if column.endswith("_shuffled")]
        assert added
        assert table.drop(added).equals(plain)
        assert table.filter(assay="newton").select(added).null_count().row(0) == (
            len(table.filter(assay="newton")),
        ) * len(added)
    assert build_table(given, "layer_counts").equals(build_table(alone, "layer_counts"))


def test_shuffled_columns_are_those_of_the_null_screen(given, tmp_path):
    kind = RECORDS["kind"][0]
    null = given.null_maps["drosophila"].filter(layer=0, kind=kind)
    table = build_table(given, "enrichment").filter(
        assay="drosophila", layer=0, kind=kind, axis="col", hit="any"
    )
    nsm = (
        null.group_by("row", "col").agg((~pl.col("silent")).any()).group_by("col").agg(pl.col("silent").sum())
    )
    hits = dict(nsm.iter_rows())
    assert dict(table.select("index", "hits_shuffled").iter_rows()) == hits


def test_columns_that_crowd_in_the_real_screen_do_not_in_the_null_one(tmp_path):
    records = random_records(8, {"v": (16, 16)}, seed=3)
    null = write_null(tmp_path / "null", records, name="say")
    given = ScreenSet([write_screen(tmp_path / "say", records), null])
    found = {row["measure"]: row for row in build_table(given, "null_structure").iter_rows(named=True)}
    assert found["rate"]["value"] == pytest.approx(found["rate"]["value_shuffled"])
    assert found["spread_col"]["value"] > 3
    assert found["spread_col"]["value_shuffled"] == pytest.approx(1, abs=0.4)
    assert found["spread_col"]["p"] == pytest.approx(2 / 2**8)
    assert found["spread_col"]["loci"] == 8
    assert found["spread_col"]["least_p"] == 2 / 2**8
    said = " ".join(_section().sentences(given))
    assert f"In 8 loci of say, the spread of columns is {found['spread_col']['value']:.3f}, and " in said
    assert "No measure of structure" not in said


def test_report_and_figure_show_both(given):
    (figure,) = draw_figure(given, "null_maps").values()
    titles = [str(axes.get_label()) for axes in figure.axes]
    assert sum("shuffled" in title for title in titles) == 2
    assert all("% NSM sites" in title for title in titles)
    section = _section()
    told = [type(block).__name__ for block in section.blocks(given)]
    assert told == ["Prose", "Rows", "Figures"]
    said = " ".join(section.sentences(given))
    assert "Of 12 rows of drosophila with a null screen, " in said
    assert "Of 16 columns of drosophila with a null screen, " in said
    assert "2 loci cannot give a p below 0.500" in said


def test_real_lines_are_counted_in_a_family_of_the_size_of_the_shuffled_ones(given, tmp_path):
    kind = RECORDS["kind"][0]
    alone = ScreenSet([write_screen(tmp_path / "drosophila", RECORDS.filter(kind=kind))])
    columns = build_table(alone, "enrichment").filter("enriched", axis="col")
    any_, both = (columns.filter(hit=hit).height for hit in ("any", "both"))
    told = f"Of 16 columns of drosophila with a null screen, {any_} are enriched in NSM sites and {both} in double"
    assert told in " ".join(_section().sentences(given))


def test_a_null_screen_alone_is_a_screen_of_a_model_of_its_own(tmp_path):
    alone = ScreenSet([write_null(tmp_path / "null", RECORDS)])
    assert alone.labels == ["null (null)"]
    assert alone.model_names["null (null)"] == "tiny (6 loci shuffled)"
    with pytest.raises(NotHere, match="--null"):
        build_table(alone, "null_structure")


def test_two_null_screens_of_one_locus_are_refused(folders, tmp_path):
    nulls = [write_null(tmp_path / f"null{seed}", RECORDS, seed=seed) for seed in range(2)]
    with pytest.raises(MutascopeError, match="two of the null screens of drosophila"):
        build_table(ScreenSet([folders["drosophila"], *nulls]), "enrichment")


def test_a_null_screen_of_another_assay_or_model_is_not_beside(folders, tmp_path):
    null = write_null(tmp_path / "null", RECORDS, name="java")
    other = write_screen(tmp_path / "other", RECORDS, name="java", model="other")
    assert not ScreenSet([folders["drosophila"], null, other]).nulls
