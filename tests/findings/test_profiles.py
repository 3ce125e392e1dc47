"""Mutants of a panel in the other screens of their model, and choice assays of several subjects."""

import json
from shutil import copytree

import numpy as np
import polars as pl
import pytest

from mutascope.core.errors import NotHere
from mutascope.core.schema import MUTANT_KEY
from mutascope.findings import ScreenSet, build_table, figure_named
from mutascope.findings.sentences import sentences
from stores import GENRES, random_records, write_every_assay, write_pooled


@pytest.fixture(scope="module")
def given(folders) -> ScreenSet:
    return ScreenSet(list(folders.values()))


def test_profiles_hold_what_the_other_screens_say(given):
    profiles = build_table(given, "writer_profiles")
    writers = build_table(given, "writers")
    assert profiles.select(*MUTANT_KEY, "word", "rare").equals(writers.select(*MUTANT_KEY, "word", "rare"))
    for label in ("mmlu21", "mmlu"):
        known = given.records[label].select(*MUTANT_KEY, expected="score")
        both = profiles.join(known, on=MUTANT_KEY, how="left", maintain_order="left")
        assert both[label].to_list() == both["expected"].to_list()
    newton = given.severe["newton"].select(*MUTANT_KEY, expected="cosine")
    both = profiles.join(newton, on=MUTANT_KEY, how="left", maintain_order="left")
    assert both["newton"].to_list() == both["expected"].to_list()
    # every output is "WORD fly": words of three mutants and more are familiar
    outputs = given.outputs("panel").with_columns(word=pl.col("continuation").str.split(" ").list.first())
    writers = outputs.group_by("word").agg(number=pl.struct(MUTANT_KEY).n_unique())
    common = writers.filter(pl.col("number") > 2)["word"].to_list()
    assert common
    familiar = (1 + pl.col("word").is_in(common).cast(pl.Float64)) / 2
    means = outputs.with_columns(familiar=familiar).group_by(MUTANT_KEY).agg(pl.col("familiar").mean())
    both = profiles.join(means, on=MUTANT_KEY, suffix="_expected")
    assert both["familiar"].to_numpy() == pytest.approx(both["familiar_expected"].to_numpy())
    assert set(profiles["distinct"]) == {1.0}
    assert set(profiles["coherent"]) == {0.0}


def test_quality_by_score_and_texts(given):
    quality = build_table(given, "quality_by_score")
    assert set(quality["choice_assay"]) == {"mmlu21", "mmlu"}
    counts = quality.filter(measure="familiar", choice_assay="mmlu").select("who", "mutants").rows()
    rare = int(build_table(given, "writers")["rare"].sum())
    assert counts == [("rare", rare), ("common", 60 - rare), ("all", 60)]
    texts = build_table(given, "writers_on_texts").row(
        by_predicate=pl.col("text_assay") == "newton", named=True
    )
    profiles = build_table(given, "writer_profiles")
    for who, chosen in (("rare", pl.col("rare")), ("common", ~pl.col("rare"))):
        part = profiles.filter(chosen)
        assert texts[who] == len(part)
        assert texts[f"{who}_cosine"] == pytest.approx(part["newton"].mean())
        silent = part.join(given.records["newton"], on=MUTANT_KEY, how="left")["silent"]
        assert texts[f"{who}_silent"] == silent.sum()


def test_genres_are_those_of_the_prompts(given):
    found = build_table(given, "writer_genre_changes").filter(measure="familiar", who="common")
    outputs = given.outputs("panel").with_columns(
        genre=pl.col("prompt").replace_strict(dict(enumerate(GENRES)))
    )
    common = build_table(given, "writers").filter(~pl.col("rare"))
    words = outputs.with_columns(word=pl.col("continuation").str.split(" ").list.first())
    writers = words.group_by("word").agg(number=pl.struct(MUTANT_KEY).n_unique())
    known = writers.filter(pl.col("number") > 2)["word"].to_list()
    told = words.join(common.select(MUTANT_KEY), on=MUTANT_KEY, how="semi").with_columns(
        familiar=(1 + pl.col("word").is_in(known).cast(pl.Float64)) / 2
    )
    loci = told.group_by("layer", "kind", "genre").agg(pl.col("familiar").mean())
    for genre in ("literary", "factual"):
        assert found[genre].item() == pytest.approx(loci.filter(genre=genre)["familiar"].mean())
        assert found[f"wild_{genre}"].item() == pytest.approx(
            1 / 3
        )  # of "The egg hatches", others write "The"
    assert found["units"].item() == loci.select(pl.struct("layer", "kind").n_unique()).item()


def test_subjects_of_a_pooled_assay(given):
    subjects = build_table(given, "subject_scores")
    assert subjects.select("assay", "subject", "questions", "wild_right").rows() == [
        ("mmlu", subject, 4, 3) for subject in ("anatomy", "law", "virology")
    ]
    nsms = given.records["mmlu"].filter(~pl.col("silent"))
    assert subjects["mean_score"].sum() == pytest.approx(nsms["score"].mean())
    assert subjects["nsm"].unique().to_list() == [len(nsms)]
    whole = build_table(given, "writers_by_subject").filter(pl.col("subject").is_null()).row(0, named=True)
    profiles = build_table(given, "writer_profiles")
    assert whole["rare_score"] == pytest.approx(profiles.filter("rare")["mmlu"].mean())
    assert (whole["questions"], whole["wild_right"]) == (12, 9)
    told = [sentence for section, said in sentences(given) if section.name == "subjects" for sentence in said]
    assert told[0].startswith("Of 12 questions of 3 subjects, the wild type answers 9 right")


def test_thresholds_of_a_short_test_are_not_applied_to_a_pooled_one(given):
    assert (given.choice, given.pooled) == (["mmlu21"], ["mmlu"])
    for name in (
        "choice_by_kind",
        "malignant",
        "lowest_scores",
        "writers_by_score",
        "supplementary_2_severe",
    ):
        assert "mmlu" not in build_table(given, name)["assay"].to_list(), name


def test_coordinates_and_rows_of_words(given):
    found = build_table(given, "writer_coordinates")
    rare = build_table(given, "writers").filter("rare")
    first = found.row(0, named=True)
    here = rare.filter(pl.col(first["axis"]) == first["index"], word=first["word"])
    assert (first["mutants"], first["loci"]) == (
        len(here),
        here.select(pl.struct("layer", "kind").n_unique()).item(),
    )
    assert first["of"] == len(rare.filter(word=first["word"]))
    assert (
        found.group_by("word", "axis").agg(pl.col("mutants").sum() - pl.col("of").first())["mutants"].sum()
        == 0
    )
    (figure,) = dict(figure_named("writer_rows").draw(given, _paper())).values()
    words = {str(axes.get_label()).split()[-1] for axes in figure.axes}
    assert words <= set(rare["word"])
    (figure,) = dict(figure_named("writer_maps").draw(given, _paper())).values()
    titles = [str(axes.get_label()) for axes in figure.axes]
    loci = [title.split()[0] for title in titles]
    assert loci[::2] == loci[1::2]  # low cosines and rare words of the same locus
    assert [title.partition(" ")[2] for title in titles[:2]] == ["cosine < 0.5", "rare words"]


def _paper():
    from mutascope.figures import PAPER

    return PAPER


def test_a_panel_is_joined_to_the_screens_of_its_own_model(tmp_path):
    alone = write_every_assay(tmp_path / "one")
    other = write_every_assay(tmp_path / "two", model="other", seed=3)
    named = [f"{name}_{n}={path}" for n, some in enumerate((alone, other)) for name, path in some.items()]
    both = ScreenSet(named)
    single = ScreenSet(named[: len(alone)])
    names = (
        "quality_by_score",
        "writers_on_texts",
        "writers_by_subject",
        "writer_genre_changes",
        "subject_scores",
    )
    for name in names:
        mine = build_table(both, name).filter(model="tiny").drop("q")
        assert mine.equals(build_table(single, name).drop("q")), name
    profiles = build_table(both, "writer_profiles")
    assert np.isfinite(profiles["mmlu"].to_numpy()).all()


def test_screens_of_another_tile_are_not_joined(folders, tmp_path):
    other = copytree(folders["newton"], tmp_path / "rare")
    given = ScreenSet([folders["panel"], other])
    assert {"rare", "rare (assay)"} <= set(build_table(given, "writer_profiles").columns)
    manifest = json.loads((other / "manifest.json").read_text())
    loci = [{**locus, "rows": 2 * locus["rows"], "cols": 2 * locus["cols"]} for locus in manifest["loci"]]
    tile = 2 * manifest["tile"]
    (other / "manifest.json").write_text(json.dumps({**manifest, "tile": tile, "loci": loci}))
    given = ScreenSet([folders["panel"], other])
    assert "rare (assay)" not in build_table(given, "writer_profiles").columns
    with pytest.raises(NotHere, match="and a text assay of its model"):
        build_table(given, "writers_on_texts")


def test_a_pooled_assay_alone(tmp_path):
    given = ScreenSet([write_pooled(tmp_path / "mmlu", random_records(2, {"v": (4, 4)}))])
    assert len(build_table(given, "subject_scores")) == 3
