"""Two models in one analysis: every table holds what each model alone gives."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from mutascope.findings import ScreenSet, build_table, build_tables, draw_figure
from stores import random_records, records_of, write_every_assay, write_screen

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


MODELS = {"a": "tiny", "b": "other"}


def alone(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """A table of one model with the columns that it has beside another model: assays in place of labels."""
    return frame.rename({c: c.removeprefix(f"{name}_") for c in frame.columns if c.startswith(f"{name}_")})


def test_every_table_is_that_of_each_model_alone(sets):
    both = dict(build_tables(ScreenSet([*sets["b"], *sets["a"]])))
    for name in ("a", "b"):
        for finding, single in build_tables(ScreenSet(sets[name])):
            table = both[finding]
            assert isinstance(table, pl.DataFrame) == isinstance(single, pl.DataFrame), finding.name
            if isinstance(single, pl.DataFrame) and isinstance(table, pl.DataFrame):
                assert "model" in table.columns, finding.name
                found = table.filter(model=MODELS[name])
                if "model_b" in table.columns:
                    found = found.filter(model_b=MODELS[name])
                dropped = ["q"] if finding.name in FAMILY else []
                assert_frame_equal(
                    found.drop(dropped), alone(single, name).drop(dropped), check_row_order=False
                )


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


def test_biases_are_compared_across_models_by_layer_and_kind(tmp_path):
    square, wide = (records_of({(0, "v"): drawn, (3, "down"): drawn}) for drawn in ("++\n+#", "+++\n+#-"))
    given = ScreenSet(
        [write_screen(tmp_path / "a", square), write_screen(tmp_path / "b", wide, model="other")]
    )
    assert build_table(given, "bias_agreement").row(0) == ("tiny", "other", "a", "b", 2, 2, 2, 1.0, None)


def test_models_of_one_name_are_told_apart_by_their_fingerprints(tmp_path):
    folders = [
        write_screen(tmp_path / name, records_of({(0, "v"): "+-#."}), model=name) for name in ("x", "y")
    ]
    manifest = folders[1] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"name": "y"', '"name": "x"'))
    names = build_table(ScreenSet(folders), "nsm_total")["model"].to_list()
    assert len(set(names)) == 2
    assert all(name.startswith("x (") for name in names)


FIGURES = {
    "nsm_by_mutation": ["other", "tiny"],
    "nsm_by_kind": ["other", "tiny"],
    "overlap": ["other", "tiny"],
    "layer_correlation": ["other", "tiny", "choice assays"],
    "writers": ["b_panel", "a_panel"],
}


@pytest.mark.parametrize("name", FIGURES)
def test_models_stand_side_by_side(sets, name):
    drawn = draw_figure(ScreenSet([*sets["b"], *sets["a"]]), name)
    assert list(drawn) == [""]
    titles = [axes.get_title() or axes.get_title(loc="left") for axes in drawn[""].axes]
    assert [title for title in titles if title] == FIGURES[name]


def test_layers_of_both_models_stand_beside_each_other(sets):
    drawn = draw_figure(ScreenSet([*sets["b"], *sets["a"]]), "layers")
    assert list(drawn) == ["drosophila", "newton", "mmlu21", "mmlu"]
    titles = [axes.get_title() for axes in drawn["newton"].axes if axes.get_title()]
    assert titles == [f"{kind}, {model}" for kind in ("v", "gate", "down") for model in ("other", "tiny")]


def test_the_malignant_maps_of_both_models_are_one_picture(sets):
    drawn = draw_figure(ScreenSet([*sets["b"], *sets["a"]]), "malignant")
    assert list(drawn) == ["mmlu21_drosophila", "mmlu21_newton"]
    labels = " ".join(str(axes.get_label()) for axes in drawn["mmlu21_drosophila"].axes)
    assert "malignant, tiny" in labels
    assert "malignant, other" in labels


def test_each_model_is_drawn_against_its_own_python0(tmp_path):
    folders = [
        write_screen(
            tmp_path / f"{model}_{name}", random_records(3, {"v": (6, 8)}, seed), name=name, model=model
        )
        for model in ("tiny", "other")
        for seed, name in enumerate(("java", "python0"))
    ]
    figure = draw_figure(ScreenSet(folders), "layer_correlation")[""]
    assert [axes.get_xlabel() for axes in figure.axes] == ["NSMs, python0"] * 2
    for axes, model in zip(figure.axes, ("tiny", "other"), strict=True):
        nsms = build_table(ScreenSet(folders), "layer_counts").filter(model=model, assay=f"{model}_python0")
        assert np.asarray(axes.collections[0].get_offsets())[:, 0].tolist() == nsms["nsm"].to_list()


def test_no_bar_of_a_model_is_cut_off(tmp_path):
    few, many = (records_of({(0, "v"): drawn}) for drawn in ("+...\n....", "####\n####"))
    folders = [write_screen(tmp_path / "a", few), write_screen(tmp_path / "b", many, model="other")]
    for name in ("nsm_by_mutation", "nsm_by_kind"):
        for axes in draw_figure(ScreenSet(folders), name)[""].axes:
            assert axes.get_ylim()[0] == 0
            assert axes.get_ylim()[1] >= 100


def test_outputs_are_of_the_panel_of_a_model_or_else_of_its_texts(sets):
    folders = [folder for folder in [*sets["a"], *sets["b"]] if not folder.startswith("b_panel")]
    outputs = build_table(ScreenSet(folders), "supplementary_3_outputs")
    assert outputs["assay"].unique(maintain_order=True).to_list() == ["a_panel", "b_drosophila", "b_newton"]
    assert outputs.filter(model="other")["outputs"].null_count() == len(outputs.filter(model="other"))
    mutants = outputs.filter(pl.col("kind").is_not_null(), model="tiny")
    assert mutants.select("outputs", "cosine", "score", "changed").null_count().row(0) == (0, 0, 0, 0)
    answers = build_table(ScreenSet(folders), "writers_by_score")
    assert answers["model"].unique().to_list() == ["tiny"]


def test_changed_answers_are_counted(sets):
    given = ScreenSet(sets["a"])
    outputs = build_table(given, "supplementary_3_outputs").filter(pl.col("kind").is_not_null())
    records = given.results["a_mmlu21"].texts()
    wild = [output.continuation for output in given.results["a_mmlu21"].manifest.wild_type]
    for row in outputs.unique(["layer", "kind", "row", "col", "mutation"]).iter_rows(named=True):
        key = {name: row[name] for name in ("layer", "kind", "row", "col", "mutation")}
        answers = records.filter(**key)["text"].item().split("\n")
        assert row["changed"] == sum(a != b for a, b in zip(answers, wild, strict=True))


def test_the_panel_of_one_model_has_the_cosines_of_its_own_text(sets):
    words = build_table(ScreenSet([*sets["b"], *sets["a"]]), "writers").filter(assay="a_panel")
    alone = build_table(ScreenSet(sets["a"]), "writers")
    assert words["cosine"].to_list() == alone["cosine"].to_list()
    assert words["cosine"].null_count() == 0
