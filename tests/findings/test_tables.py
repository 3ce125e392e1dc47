"""The tables: hand-computed values on small screens, and their dictionary."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from mutascope.core.errors import MutascopeError
from mutascope.findings import ScreenSet, all_findings, build_table, build_tables, table_named
from mutascope.findings.blocks import Prose
from mutascope.findings.rates import headline
from stores import SHAPES, WILD, as_choice, random_records, records_of, write_screen

LEFT = {(0, "v"): "+-#.\n....", (1, "v"): "....\n...."}
RIGHT = {(0, "v"): "++#.\n...-", (1, "v"): "....\n#..."}
"""Statuses that agree at 0.v in sites 0, 2, 3, 4, 5, 6 and at 1.v in all but site 4."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> ScreenSet:
    root = tmp_path_factory.mktemp("pair")
    one = write_screen(root / "one", records_of(LEFT, ["a larva", "fly", "fly", "a larva"]), name="one")
    two = write_screen(root / "two", records_of(RIGHT), name="two")
    return ScreenSet([one, two])


def test_counts_of_a_screen(pair):
    total = build_table(pair, "nsm_total")
    assert total.select("assay", "loci", "silent_loci", "sites", "mutants", "nsm", "phenotypes").rows() == [
        ("one", 2, 1, 16, 32, 4, 2),
        ("two", 2, 0, 16, 32, 7, 1),
    ]
    assert total["rate"].to_list() == pytest.approx([4 / 32, 7 / 32])
    by_mutation = build_table(pair, "nsm_by_mutation")
    assert by_mutation.select("assay", "mutation", "nsm").rows() == [
        ("one", "max", 2),
        ("one", "min", 2),
        ("two", "max", 4),
        ("two", "min", 3),
    ]
    assert build_table(pair, "silent_loci").select("assay", "layer", "kind").rows() == [("one", 1, "v")]


def test_counts_by_locus_have_a_column_per_assay(pair):
    assert build_table(pair, "supplementary_1_nsms").rows() == [
        ("tiny", 0, "v", 4, 5),
        ("tiny", 1, "v", 0, 2),
    ]
    assert build_table(pair, "supplementary_1_phenotypes").rows() == [
        ("tiny", 0, "v", 2, 1),
        ("tiny", 1, "v", 0, 1),
    ]


def test_overlap_changes_and_sensitive_points_of_a_pair(pair):
    # 0.v: 6 of 8 sites are equal, the others max against min and silent against min; 1.v: 7 of 8 are equal.
    overlap = build_table(pair, "overlap").filter(assay_a="one", assay_b="two")
    assert overlap["overlap"].item() == pytest.approx(13 / 16)
    whole = build_table(pair, "changes").filter(pl.col("layer").is_null()).row(0, named=True)
    assert {name: whole[name] for name in ("lost", "gained", "shared")} == {
        "lost": 1,
        "gained": 4,
        "shared": 3,
    }
    assert build_table(pair, "sensitive_points").rows() == [("tiny", "one, two", 0, "v", 0, 2)]


def test_severity_is_that_of_the_continuations(pair):
    # "a larva" shares "a" and "larva" with "the egg hatches into a larva": cosine 2 / sqrt(2 * 6).
    found = build_table(pair, "phenotypes").filter(assay="one")
    assert found["cosine"].to_list() == pytest.approx([0.0, 2 / 12**0.5])
    assert found["mutants"].to_list() == [2, 2]
    row = build_table(pair, "severity_by_locus").filter(assay="one").row(0, named=True)
    assert (row["nsm"], row["cosine_below_0.5"], row["cosine_below_0.6"]) == (4, 2, 4)


def test_malignant_mutants_and_the_severe_table(tmp_path):
    text = records_of({(0, "v"): "+-#."}, ["fly", "fly", "the egg hatches into a larva now", "fly"])
    answers = [["A", "B"], ["A", "B"], ["the", "B"], ["A", "the"]]
    said = iter("\n".join(answer) for answer in answers)
    scores = iter([14, 8, 9, 3])
    rows = [
        {
            **row,
            "continuation": "A\nA" if row["silent"] else next(said),
            "score": 14 if row["silent"] else next(scores),
        }
        for row in text.rows(named=True)
    ]
    choice = pl.DataFrame(rows, schema={**text.schema, "score": pl.Int16}).with_columns(
        destructive=pl.col("continuation").str.contains("the")
    )
    given = ScreenSet(
        [
            write_screen(tmp_path / "drosophila", text, name="drosophila"),
            write_screen(tmp_path / "choice", choice, name="mmlu", wild=["A", "A"], prompts=["1", "2"]),
        ]
    )
    mutants = build_table(given, "malignant")
    assert mutants.select("row", "col", "mutation", "score", "cosine").rows() == [
        (0, 1, "min", 8, 0.0),
        (0, 2, "min", 3, 0.0),
    ]
    assert build_table(given, "malignant_by_locus").select("layer", "kind", "mutants", "share").rows() == [
        (0, "v", 2, 1.0)
    ]
    severe = build_table(given, "supplementary_2_severe")
    assert severe.columns[-1] == "drosophila"
    assert severe.select("col", "mutation", "score", "destructive").rows() == [
        (1, "min", 8, False),
        (2, "max", 9, True),
        (2, "min", 3, True),
    ]
    assert [float(cosine) for cosine in severe["drosophila"]] == pytest.approx([0.0, 6 / 42**0.5, 0.0])


def test_the_severe_table_has_scores_up_to_ten_and_says_standard_for_silent_mutants(tmp_path):
    text = records_of({(0, "v"): "+-.."}, ["fly", "fly"])
    scores = {(0, "max"): 10, (1, "min"): 11, (2, "max"): 3, (3, "max"): 4}
    choice = text.with_columns(
        silent=pl.Series([(col, name) not in scores for col, name in text.select("col", "mutation").rows()]),
        score=pl.Series(
            [scores.get(key, 14) for key in text.select("col", "mutation").rows()], dtype=pl.Int16
        ),
        destructive=pl.col("mutation") == "min",  # the paper's table has none above ten
    ).with_columns(continuation=pl.when("silent").then(pl.lit("A")).otherwise(pl.lit("B")))
    unknown = (pl.col("col") == 3) & (pl.col("mutation") == "max")
    folders = [
        write_screen(tmp_path / "drosophila", text.filter(~unknown), name="drosophila"),
        write_screen(tmp_path / "choice", choice, name="mmlu", wild=["A"], prompts=["1"]),
    ]
    severe = build_table(ScreenSet(folders), "supplementary_2_severe")
    assert severe.select("col", "score").rows() == [(0, 10), (2, 3), (3, 4)]
    assert severe["drosophila"].to_list() == [severe["drosophila"][0], "standard", None]
    assert float(severe["drosophila"][0]) == 0


def test_totals_are_of_all_mutations_and_rates_of_max_and_min(tmp_path):
    maps = records_of({(0, "q"): "+#\n..", (1, "q"): "..\n-."})
    zero = maps.filter(mutation="max").with_columns(mutation=pl.lit("zero"), silent=pl.col("col") == 1)
    zero = zero.with_columns(continuation=pl.when("silent").then(pl.lit(WILD)).otherwise(pl.lit("none")))
    given = ScreenSet([write_screen(tmp_path / "s", pl.concat([maps, zero]))])
    assert build_table(given, "nsm_total").select("nsm", "mutants", "rate").row(0) == (8, 24, 0.25)
    assert headline(given) == [
        "s: 8 of 24 mutants are NSMs (rate of max and min 25.0 %, every site that was planned was screened)"
    ]
    assert build_table(given, "supplementary_1_nsms").rows() == [("tiny", 0, "q", 5), ("tiny", 1, "q", 3)]
    assert build_table(given, "layer_counts")["nsm"].to_list() == pytest.approx([5, 3])


def test_a_column_of_double_sites_is_seen_in_a_map_that_is_full_of_nsms(tmp_path):
    random = np.random.default_rng(0)
    status = np.where(
        random.random((32, 32)) < 0.95, random.choice([2, 3, 4], (32, 32), p=[0.4, 0.4, 0.2]), 1
    )
    status[:, 7] = 4
    drawn = "\n".join("".join(" .+-#"[code] for code in row) for row in status)
    folder = write_screen(tmp_path / "s", records_of({(0, "v"): drawn}), shapes={(0, "v"): (32, 32)})
    lines = build_table(ScreenSet([folder]), "enrichment").filter("enriched", axis="col")
    assert lines.select("hit", "index").rows() == [("both", 7)]


def test_every_table_of_every_sort_of_assay_is_made_and_every_column_explained(folders, predicted):
    made = dict(build_tables(ScreenSet([*folders.values(), predicted])))
    reasons = {table.name: found for table, found in made.items() if isinstance(found, str)}
    lacking = {
        "zero_against_others",
        "silence",
        "across_tokens",
        "seed_findings",
        "seed_rates",
        "null_structure",
    }
    assert set(reasons) == lacking
    for finding, frame in made.items():
        names = frame.columns if isinstance(frame, pl.DataFrame) else []
        for name in names:  # every p has its q
            if name == "p" or name.startswith("p_") or name.endswith("_p"):
                assert name == "least_p" or name.replace("p", "q", 1) in names or f"{name[:-2]}_q" in names, (
                    finding.name,
                    name,
                )
    frames = {finding: frame for finding, frame in made.items() if isinstance(frame, pl.DataFrame)}
    used: dict[str, set[str]] = {}
    for finding, frame in frames.items():
        for column in frame.columns:
            assert finding.column(column).meaning, (finding.name, column)
        used.setdefault(finding.table.__module__, {"*"}).update(frame.columns)
    for finding in frames:
        assert set(finding.columns) <= used[finding.table.__module__], finding.name


def test_a_panel_is_no_map(folders):
    given = ScreenSet(list(folders.values()))
    assert "panel" not in build_table(given, "nsm_total")["assay"].to_list()
    assert build_table(given, "writers")["assay"].unique().to_list() == ["panel"]


def test_one_screen_leaves_out_what_takes_two(folders):
    made: dict[str, Any] = {
        table.name: found for table, found in build_tables(ScreenSet([folders["newton"]]))
    }
    for name in ("overlap", "layer_correlations", "bias_agreement", "conserved_across_assays", "changes"):
        assert made[name] == "it takes two screens or more"
    assert made["writers"] == "it takes a writer panel"
    assert made["malignant"] == "it takes a choice assay and a text assay of the same model"
    assert made["explain_nsms"] == "it takes a screen with covariates.parquet"
    assert len(made["copa"]) == 2 * 6


@pytest.mark.parametrize("drawn", ["....\n....", "####\n####", "#"])
def test_all_silent_all_nsm_and_one_site_give_tables_or_reasons(tmp_path, drawn):
    given = ScreenSet([write_screen(tmp_path / "screen", records_of({(0, "q"): drawn}))])
    made: dict[str, Any] = {table.name: found for table, found in build_tables(given)}
    nsms = 2 * drawn.count("#")
    assert made["nsm_total"]["nsm"].item() == nsms
    assert all(
        isinstance(made[name], pl.DataFrame) for name in ("enrichment", "copa", "phenotypes", "bias_by_locus")
    )


def test_zero_alone_is_counted(tmp_path):
    records = records_of({(0, "q"): "+.\n.."}).filter(mutation="max").with_columns(mutation=pl.lit("zero"))
    made: dict[str, Any] = {
        t.name: found for t, found in build_tables(ScreenSet([write_screen(tmp_path / "screen", records)]))
    }
    assert made["nsm_total"]["nsm"].item() == 1
    assert isinstance(made["overlap"], str)
    assert len(made["enrichment"]) == 4


def test_unequal_shapes_are_analysed_each_and_not_compared(tmp_path):
    one = write_screen(tmp_path / "one", records_of({(0, "q"): "+.\n#."}), name="one")
    two = write_screen(tmp_path / "two", records_of({(0, "q"): "+..\n..#"}), name="two")
    given = ScreenSet([one, two])
    made: dict[str, Any] = {table.name: found for table, found in build_tables(given)}
    (note,) = given.notes
    assert note.startswith("two and one are not compared site by site: one and two cannot be compared")
    for name in ("overlap", "conserved_across_assays", "changes"):
        assert made[name] == note
    assert made["sensitive_points"].rows() == [("tiny", "one", 0, "q", 1, 0), ("tiny", "two", 0, "q", 1, 2)]
    assert made["bias_agreement"]["loci"].to_list() == [1]  # by layer and kind
    assert made["nsm_total"]["nsm"].to_list() == [3, 3]


def test_only_screens_of_equal_shapes_are_compared_site_by_site(tmp_path):
    folders = [
        write_screen(tmp_path / name, records_of({(0, kind): drawn}), name=name)
        for name, kind, drawn in (
            ("one", "q", "+.\n##"),
            ("wide", "q", "+..\n..#"),
            ("two", "q", "+#\n#."),
            ("far", "v", "+."),
        )
    ]
    given = ScreenSet(folders)
    assert given.pairs == [("one", "two")]
    assert given.groups == [["one", "two"], ["wide"], ["far"]]
    assert [note.partition(":")[0] for note in given.notes] == [
        "wide and one, two are not compared site by site",
        "far and one, two are not compared site by site",
    ]
    assert given.notes[1].endswith("one and far have no locus in common")
    overlap = build_table(given, "overlap")
    compared = {(a, b) for a, b in overlap.select("assay_a", "assay_b").iter_rows()}
    assert compared == {("one", "two"), ("two", "one"), *((name, name) for name in given.labels)}
    assert build_table(given, "changes").select("assay_a", "assay_b").unique().rows() == [("one", "two")]
    points = build_table(given, "sensitive_points")
    assert points.rows() == [("tiny", "one, two", 0, "q", 1, 0), ("tiny", "wide", 0, "q", 1, 2)]
    assert set(build_table(given, "conserved_across_assays")["assays"]) <= {"one, two"}


def test_screens_have_the_names_that_the_user_gave(tmp_path, monkeypatch):
    records = records_of({(0, "q"): "+."})
    a, b = (write_screen(tmp_path / folder, records, name="say") for folder in ("a", "b"))
    assert ScreenSet([a, f"{b}/"]).labels == ["a", "b"]
    assert ScreenSet([f"the egg={a}", f"fly={b}"]).labels == ["the egg", "fly"]
    assert ScreenSet([f"x={a}", f"x={b}"]).labels == [str(a), str(b)]
    other = write_screen(tmp_path / "x" / "a", records, name="say")
    assert ScreenSet([a, other, b]).labels == [str(a), str(other), "b"]
    equals = write_screen(tmp_path / "p=1", records)
    monkeypatch.chdir(tmp_path)
    assert ScreenSet([equals]).labels == ["p=1"]
    assert ScreenSet(["./p=1"]).labels == ["p=1"]
    monkeypatch.chdir(a)
    assert ScreenSet(["."]).labels == ["a"]


def test_assays_named_like_columns_get_columns_of_their_own(tmp_path):
    text = random_records(2, SHAPES, 0)
    answers, wild = as_choice(text)
    names = ("layer", "kind", "assay", "row", "mutation", "score", "destructive")
    folders = [write_screen(tmp_path / name, text, name=name) for name in names]
    questions = [f"Question {index}?" for index in range(len(wild))]
    folders.append(write_screen(tmp_path / "col", answers, name="col", wild=wild, prompts=questions))
    given = ScreenSet(folders)
    labels = [f"{name} (assay)" for name in (*names, "col")]
    assert given.labels == labels
    made = dict(build_tables(given))
    by_name: dict[str, Any] = {table.name: found for table, found in made.items()}
    assert by_name["supplementary_1_nsms"].columns == ["model", "layer", "kind", *labels]
    assert by_name["supplementary_2_severe"].columns[-len(names) :] == labels[:-1]
    for name in ("supplementary_1_nsms", "supplementary_2_severe"):
        assert table_named(name).column("row (assay)") == table_named(name).columns["*"]


def test_the_screen_of_the_tutorial_keeps_its_name(tmp_path):
    folder = write_screen(tmp_path / "first", records_of({(0, "q"): "+."}))
    assert ScreenSet([folder]).labels == ["first"]


def test_an_unfinished_screen_has_no_interval(tmp_path):
    folder = write_screen(tmp_path / "s", records_of({(0, "q"): "+."}))
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"mutants": 4', '"mutants": 8'))
    row = build_table(ScreenSet([folder]), "nsm_total").row(0, named=True)
    assert (row["rate"], row["low"], row["high"]) == (0.25, None, None)


def test_no_folder_one_twice_and_one_without_records_are_told_in_a_sentence(tmp_path):
    with pytest.raises(MutascopeError, match="give at least one screen folder"):
        ScreenSet([])
    folder = write_screen(tmp_path / "s", records_of({(0, "q"): "+."}))
    with pytest.raises(MutascopeError, match="is given twice"):
        ScreenSet([folder, f"{folder}/"])
    next((folder / "records").iterdir()).unlink()
    with pytest.raises(MutascopeError, match="holds no record yet"):
        ScreenSet([folder])


@pytest.mark.parametrize("share, told", [(1, False), (3, True)])
def test_a_wild_type_that_scores_low_itself_is_told(tmp_path, share, told):
    records, wild = as_choice(records_of({(0, "v"): "+-#."}))
    scored = records.with_columns(score=pl.col("score") // share)
    folder = write_screen(tmp_path / "mmlu21", scored, name="mmlu21", wild=wild, prompts=["Say:"] * len(wild))
    section = next(each.section for each in all_findings() if each.section and each.section.name == "choice")
    words = " ".join(block.text for block in section.blocks(ScreenSet([folder])) if isinstance(block, Prose))
    assert ("scores 4 itself" in words) == told
