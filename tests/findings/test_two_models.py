"""Two models in one analysis: every table holds what each model alone gives."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mutascope.findings import ScreenSet, build_table, build_tables
from stores import write_every_assay

ACROSS = {"bias_agreement", "screens"}
"""Tables that compare models, or list them."""
FAMILY = {"writer_genres"}
"""Tables whose q is of a family of several screens."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, list[str]]:
    """Folders of two models with the same shapes, by model."""
    root = tmp_path_factory.mktemp("models")
    made = {
        name: write_every_assay(root / name, model, seed)
        for name, model, seed in (("a", "tiny", 0), ("b", "other", 7))
    }
    return {
        name: [f"{name}_{label}={path}" for label, path in folders.items()] for name, folders in made.items()
    }


def of_model(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """The rows, or the columns of a wide table, of one model."""
    other = {"a": "b_", "b": "a_"}[name]
    for column in ("assay", "assay_a", "assay_b", "assays", "text_assay"):
        if column in frame.columns:
            frame = frame.filter(~pl.col(column).str.contains(f"(^|, ){other}"))
    return frame.select(column for column in frame.columns if not column.startswith(other))


def test_every_table_is_that_of_each_model_alone(sets):
    both = dict(build_tables(ScreenSet([*sets["b"], *sets["a"]])))
    for name in ("a", "b"):
        for finding, alone in build_tables(ScreenSet(sets[name])):
            table = both[finding]
            if finding.name in ACROSS:
                continue
            assert isinstance(table, pl.DataFrame) == isinstance(alone, pl.DataFrame), finding.name
            if isinstance(alone, pl.DataFrame) and isinstance(table, pl.DataFrame):
                dropped = ["q"] if finding.name in FAMILY else []
                found = of_model(table, name).drop(dropped)
                assert_frame_equal(found, alone.drop(dropped), check_row_order=False), finding.name


def test_nothing_is_joined_across_models(sets):
    both = ScreenSet([*sets["b"], *sets["a"]])
    for table, one, other in (
        ("malignant", "assay", "text_assay"),
        ("layer_correlations", "assay_a", "assay_b"),
    ):
        pairs = build_table(both, table).select(one, other).unique().rows()
        assert pairs
        assert all(a[0] == b[0] for a, b in pairs)
    assert any("different models" in note for note in both.notes)


def test_the_panel_of_one_model_has_the_cosines_of_its_own_text(sets):
    words = build_table(ScreenSet([*sets["b"], *sets["a"]]), "writers").filter(assay="a_panel")
    alone = build_table(ScreenSet(sets["a"]), "writers")
    assert words["cosine"].to_list() == alone["cosine"].to_list()
    assert words["cosine"].null_count() == 0
